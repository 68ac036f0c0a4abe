//! Charts: finished numbers for an inline SVG, and the same numbers as a table. A page includes `chart.html` with
//! a field `chart`.
//!
//! x is in per cent and y in pixels, so that text and strokes never stretch; paths lie in a nested box of their
//! own, 100 wide. Scales start at zero.

mod bars;
mod line;

pub(super) use self::bars::of_enrollments;
pub(super) use self::line::of_key;

use super::visit::Visit;
use super::words as say;
use crate::clock::Timestamp;
use crate::domain::{BucketStep, Buckets};

/// All in pixels, from the top: where zero is, and where words stand beneath it.
const BASE: f64 = 168.0;
const LABELS_Y: f64 = 186.0;
const HEIGHT: u32 = 192;

/// Most lines across a chart, without the one at zero.
const RULES_MAX: u64 = 5;

/// Most words beneath a chart that counts by hours or by days.
const LABELS_MAX: usize = 8;

/// From so many buckets on, months are named and the table leaves out where nothing happened.
const MANY: usize = 60;

/// More than any chart has to show; keeps all sums within a number.
const VALUE_MAX: u64 = 1_000_000_000_000_000_000;

/// A panel with a chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// What one would see.
    pub(super) sentence: String,
    pub(super) legend: Vec<Legend>,
    pub(super) ranges: Vec<RangeLink>,
    /// The first is at zero.
    pub(super) rules: Vec<Rule>,
    pub(super) labels: Vec<Label>,
    /// Either these …
    pub(super) bars: Vec<Bar>,
    /// … or this.
    pub(super) line: Option<Line>,
    pub(super) table: ChartTable,
}

/// A name and what it stands for, with its sum.
#[derive(Debug)]
pub(super) struct Legend {
    /// Style class of the swatch beside `sw`; empty for none of its own.
    pub(super) class: &'static str,
    pub(super) text: String,
}

/// Another stretch of time, or the one on screen.
pub(super) struct RangeLink {
    pub(super) id: String,
    pub(super) label: &'static str,
    pub(super) address: String,
    pub(super) is_current: bool,
}

/// A line across, at a round number.
pub(super) struct Rule {
    pub(super) y: String,
    /// Where its number stands.
    pub(super) text_y: String,
    pub(super) text: String,
}

/// A word beneath the chart.
pub(super) struct Label {
    pub(super) x: String,
    pub(super) text: String,
    /// Left out on a phone: every second.
    pub(super) is_alternate: bool,
}

/// What happened within one bucket, one upon the other.
pub(super) struct Bar {
    /// For whoever points at it.
    pub(super) title: String,
    pub(super) x: String,
    pub(super) width: String,
    pub(super) parts: Vec<BarPart>,
}

pub(super) struct BarPart {
    /// `a`, `b`, or `ro`: refused, which is hatched as well as red.
    pub(super) class: &'static str,
    pub(super) y: String,
    pub(super) height: String,
}

/// A count as it went, what it may reach, and where it goes.
pub(super) struct Line {
    pub(super) path: String,
    pub(super) area: String,
    /// Empty: there is none, or too far up to be shown.
    pub(super) limit: String,
    pub(super) limit_label: Option<LimitLabel>,
    /// Empty: not in sight.
    pub(super) forecast: String,
    /// Now.
    pub(super) x: String,
    pub(super) y: String,
}

pub(super) struct LimitLabel {
    pub(super) x: String,
    /// Else it begins at `x`.
    pub(super) ends_at_edge: bool,
    pub(super) y: String,
    pub(super) text: String,
}

/// The numbers of a chart.
pub(super) struct ChartTable {
    pub(super) heads: Vec<&'static str>,
    pub(super) rows: Vec<TableRow>,
}

pub(super) struct TableRow {
    pub(super) label: String,
    pub(super) numbers: Vec<String>,
}

impl Chart {
    #[expect(clippy::unused_self, reason = "for the template, which names no constants")]
    pub(super) fn height(&self) -> u32 {
        HEIGHT
    }

    #[expect(clippy::unused_self, reason = "as above")]
    pub(super) fn label_y(&self) -> String {
        pixels(LABELS_Y)
    }
}

/// A stretch of time that can be asked for, up to now: `?range=24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Hours24,
    Days7,
    Days14,
    Days30,
    Year,
}

impl Range {
    pub(super) const OF_ENROLLMENTS: [Self; 3] = [Self::Hours24, Self::Days7, Self::Days30];
    pub(super) const OF_KEY: [Self; 3] = [Self::Hours24, Self::Days14, Self::Year];

    /// The one of `offered` that the address asks for, else `default`.
    pub(super) fn read(visit: &Visit, offered: &[Self], default: Self) -> Self {
        let asked = visit.query.text("range");
        offered.iter().copied().find(|range| range.as_str() == asked).unwrap_or(default)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Hours24 => "24h",
            Self::Days7 => "7d",
            Self::Days14 => "14d",
            Self::Days30 => "30d",
            Self::Year => "1y",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Hours24 => "24 h",
            Self::Days7 => "7 days",
            Self::Days14 => "14 days",
            Self::Days30 => "30 days",
            Self::Year => "1 year",
        }
    }

    /// As in "the last 24 hours".
    const fn span(self) -> &'static str {
        match self {
            Self::Hours24 => "24 hours",
            Self::Days7 => "7 days",
            Self::Days14 => "14 days",
            Self::Days30 => "30 days",
            Self::Year => "year",
        }
    }

    pub(super) fn buckets(self, now: Timestamp) -> Buckets {
        let (step, count) = match self {
            Self::Hours24 => (BucketStep::Hour, 24),
            Self::Days7 => (BucketStep::Day, 7),
            Self::Days14 => (BucketStep::Day, 14),
            Self::Days30 => (BucketStep::Day, 30),
            Self::Year => (BucketStep::Day, 365),
        };
        Buckets::until(now, step, count)
    }

    fn links(self, offered: &[Self], path: &str) -> Vec<RangeLink> {
        let link = |range: &Self| RangeLink {
            id: format!("range-{}", range.as_str()),
            label: range.label(),
            address: format!("{path}?range={}", range.as_str()),
            is_current: *range == self,
        };
        offered.iter().map(link).collect()
    }
}

/// From numbers to pixels.
#[derive(Clone, Copy, Debug)]
struct Scale {
    step: u64,
    count: u64,
    /// Where the highest rule is, in pixels from the top.
    top: f64,
}

impl Scale {
    /// The least that has room for `highest`, with a round number between its rules: 1, 2 or 5 and zeros.
    fn up_to(highest: u64, top: f64) -> Self {
        let highest = highest.clamp(1, VALUE_MAX);
        let mut tens = 1;
        loop {
            for step in [1, 2, 5].map(|digit| digit * tens) {
                let count = highest.div_ceil(step);
                if count <= RULES_MAX {
                    return Self { step, count, top };
                }
            }
            tens *= 10;
        }
    }

    fn highest(self) -> u64 {
        self.step * self.count
    }

    fn y(self, value: u64) -> f64 {
        let share = value.min(self.highest()) as f64 / self.highest() as f64;
        BASE - share * (BASE - self.top)
    }

    fn rules(self) -> Vec<Rule> {
        let rule = |number| {
            let y = self.y(number);
            Rule { y: pixels(y), text_y: pixels(y + 4.0), text: self.short(number) }
        };
        (0..=self.count).map(|place| rule(place * self.step)).collect()
    }

    /// `4,000`, `20 M`: what fits beside a chart.
    fn short(self, number: u64) -> String {
        const MILLION: u64 = 1_000_000;
        if number > 0 && self.step.is_multiple_of(MILLION) {
            format!("{} M", say::number(number / MILLION))
        } else {
            say::number(number)
        }
    }
}

/// Which buckets have a word beneath them, which word, and whether a phone leaves it out.
fn labels(buckets: &Buckets) -> Vec<(usize, String, bool)> {
    let every = buckets.count().div_ceil(LABELS_MAX).max(1);
    let of_bucket = |(place, start): (usize, Timestamp)| match buckets.step() {
        BucketStep::Hour => {
            let hour = usize::from(start.to_offset_date_time().hour());
            hour.is_multiple_of(every).then(|| (place, say::hour(start), !hour.is_multiple_of(2 * every)))
        }
        BucketStep::Day if buckets.count() > MANY => {
            let date = start.to_offset_date_time();
            let is_alternate = u8::from(date.month()).is_multiple_of(2);
            (date.day() == 1).then(|| (place, say::month(start), is_alternate))
        }
        BucketStep::Day => {
            let left = buckets.count() - 1 - place;
            let is_alternate = !left.is_multiple_of(2 * every);
            left.is_multiple_of(every).then(|| (place, say::day_of_month(start), is_alternate))
        }
    };
    buckets.starts().enumerate().filter_map(of_bucket).collect()
}

/// One bucket in a table.
fn bucket_label(buckets: &Buckets, start: Timestamp) -> String {
    match buckets.step() {
        BucketStep::Day => say::day(start),
        BucketStep::Hour => say::hour(start),
    }
}

const fn bucket_head(step: BucketStep) -> &'static str {
    match step {
        BucketStep::Day => "Day",
        BucketStep::Hour => "Hour",
    }
}

fn pixels(value: f64) -> String {
    format!("{value:.1}")
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_stand_at_round_numbers_and_start_at_zero() {
        for (highest, step, rules) in
            [(0, 1, 1), (1, 1, 1), (5, 1, 5), (6, 2, 3), (768, 200, 4), (5_000, 1_000, 5), (5_001, 2_000, 3)]
        {
            let scale = Scale::up_to(highest, 8.0);
            assert_eq!((scale.step, scale.count), (step, rules), "{highest}");
            let texts: Vec<_> = scale.rules().into_iter().map(|rule| rule.text).collect();
            assert_eq!(texts[0], "0");
            assert_eq!(texts.len() as u64, rules + 1);
        }
        let texts: Vec<_> = Scale::up_to(1 << 31, 8.0).rules().into_iter().map(|rule| rule.text).collect();
        assert_eq!(texts, ["0", "500 M", "1,000 M", "1,500 M", "2,000 M", "2,500 M"]);
        assert!(Scale::up_to(u64::MAX, 8.0).count <= RULES_MAX);
    }

    #[test]
    fn labels_stand_at_round_times_and_the_last_day() {
        let now = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
        let words = |range: Range| {
            let buckets = range.buckets(now);
            labels(&buckets).into_iter().map(|(_, text, alternate)| (text, alternate)).collect::<Vec<_>>()
        };
        let texts = |range| words(range).into_iter().map(|(text, _)| text).collect::<Vec<_>>();
        assert_eq!(texts(Range::Hours24), ["18:00", "21:00", "00:00", "03:00", "06:00", "09:00", "12:00", "15:00"],);
        assert_eq!(words(Range::Hours24).iter().filter(|(_, alternate)| *alternate).count(), 4);
        assert_eq!(texts(Range::Days14).last().unwrap(), "20 Nov");
        assert_eq!(words(Range::Days14).last().unwrap(), &("20 Nov".to_owned(), false));
        assert_eq!(texts(Range::Year).len(), 12);
        assert_eq!(texts(Range::Year)[0], "Dec");
        for range in [Range::Days7, Range::Days30] {
            assert!((5..=LABELS_MAX).contains(&words(range).len()), "{range:?}");
        }
    }
}
