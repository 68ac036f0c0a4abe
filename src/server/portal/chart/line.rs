//! How a key's count went, what it may reach, and when it will.

use std::fmt::Write as _;

use super::{
    BASE, Chart, ChartTable, Label, Legend, LimitLabel, Line, MANY, Range, Scale, TableRow, VALUE_MAX, bucket_head,
    bucket_label, labels, percent, pixels,
};
use crate::clock::Timestamp;
use crate::domain::attention::full_in;
use crate::domain::{BucketStep, Buckets, KeyState};
use crate::management::Error;
use crate::management::keys::KeyView;
use crate::management::keys::history::{KeyUsageOverTime, MaximumChange, UsageCounts};
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::frame::Place;
use crate::server::portal::visit::Visit;
use crate::server::portal::words as say;

/// Where the highest rule is, in pixels: the maximum's words have room above it.
const TOP: f64 = 24.0;

/// Where now is, in per cent: the rest is what comes.
const NOW: f64 = 95.0;

/// The words of a maximum begin where it does, but end at the edge if that is further right, in per cent.
const LIMIT_LABEL_MAX: f64 = 60.0;

/// A maximum of more than so many times what was used is left out of the picture: one would see nothing else.
const LIMIT_TIMES_MAX: u64 = 10;

/// What there is to draw.
struct Uses<'a> {
    found: &'a KeyUsageOverTime,
    now: Timestamp,
    /// As it is now; `None`: no limit.
    maximum: Option<u32>,
    /// Over the last day; `None`: it takes no more uses for now.
    uses_last_day: Option<u64>,
}

/// Of one key, for the range that the address asks for.
///
/// # Errors
/// As [`key_usage`](crate::management::Management::key_usage).
pub(in crate::server::portal) async fn of_key(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    view: &KeyView,
) -> Result<Chart, Error> {
    let (key, now) = (&view.key, portal.now());
    let range = Range::read(visit, &Range::OF_KEY, Range::Days14);
    let usage = async |range: Range| {
        let buckets = range.buckets(now);
        portal.management().key_usage(&session.actor, key.customer_id, key.kind, key.id, buckets).await
    };
    let found = usage(range).await?;
    let uses_last_day = match view.state {
        KeyState::Active if range == Range::Hours24 => Some(taken(&found)),
        KeyState::Active if key.maximum.is_some() => Some(taken(&usage(Range::Hours24).await?)),
        _ => None,
    };
    let maximum = key.maximum.map(std::num::NonZeroU32::get);
    let uses = Uses { found: &found, now, maximum, uses_last_day };
    Ok(draw(range, &uses, &format!("{}/{}", Place::Keys(key.kind).address(key.customer_id), key.id)))
}

/// How many uses more there are at the end than at the start.
fn taken(found: &KeyUsageOverTime) -> u64 {
    u64::try_from(moved(&found.counts)).unwrap_or(0)
}

fn moved(counts: &[UsageCounts]) -> i64 {
    counts.iter().fold(0, |sum, counts| sum.saturating_add(counts.uses))
}

fn draw(range: Range, uses: &Uses<'_>, path: &str) -> Chart {
    let buckets = &uses.found.buckets;
    let axis = Axis::new(buckets, uses.now);
    let counts = uses.counts();
    let last = counts.last().copied().unwrap_or_default();
    let limits = uses.limits();
    let highest_use = counts.iter().copied().max().unwrap_or_default();
    let highest_limit = limits.iter().filter_map(|(_, limit)| *limit).max().map_or(0, u64::from);
    let is_limit_shown = highest_limit > 0 && (highest_use == 0 || highest_limit / highest_use <= LIMIT_TIMES_MAX);
    let scale = Scale::up_to(highest_use.max(if is_limit_shown { highest_limit } else { 0 }), TOP);
    let shown_limits = if is_limit_shown { &*limits } else { &[] };
    let line = line(uses, &axis, scale, &counts, shown_limits);

    let mut legend = vec![Legend { class: "", text: format!("Uses {}", signed(moved(&uses.found.counts))) }];
    if let Some(maximum) = uses.maximum {
        let maximum = say::number(maximum);
        legend.push(match is_limit_shown {
            true => Legend { class: "sw-lim", text: format!("Maximum {maximum}") },
            false => Legend { class: "sw-lim", text: format!("Maximum {maximum}, far above") },
        });
    }
    if !line.forecast.is_empty() {
        legend.push(Legend { class: "sw-fc", text: "Forecast".to_owned() });
    }
    let row = |(start, (counts, after)): (Timestamp, (&UsageCounts, &u64))| TableRow {
        label: bucket_label(buckets, start),
        numbers: vec![
            signed(counts.uses),
            say::number(*after),
            say::number(counts.re_enrollments),
            say::number(counts.refusals),
        ],
    };
    let is_told = |counts: &UsageCounts| buckets.count() <= MANY || *counts != UsageCounts::default();
    Chart {
        title: "Use over time",
        sentence: sentence(uses, last),
        legend,
        ranges: range.links(&Range::OF_KEY, path),
        rules: scale.rules(),
        labels: labels(buckets)
            .into_iter()
            .filter_map(|(place, text, is_alternate)| {
                let x = axis.x(buckets.starts().nth(place)?);
                Some(Label { x: percent(x), text, is_alternate })
            })
            .collect(),
        bars: Vec::new(),
        line: Some(line),
        table: ChartTable {
            heads: vec![bucket_head(buckets.step()), "Uses", "Count", "Re-enrolled", "Refused"],
            rows: buckets
                .starts()
                .zip(uses.found.counts.iter().zip(&counts[1..]))
                .filter(|(_, (counts, _))| is_told(counts))
                .map(row)
                .collect(),
        },
    }
}

impl Uses<'_> {
    /// The count where the first bucket begins, and after each.
    fn counts(&self) -> Vec<u64> {
        let mut count = i64::from(self.found.uses_before);
        let after = self.found.counts.iter().map(|counts| {
            count = count.saturating_add(counts.uses);
            u64::try_from(count).unwrap_or(0).min(VALUE_MAX)
        });
        let mut all = vec![u64::from(self.found.uses_before)];
        all.extend(after);
        all
    }

    /// From when on which maximum was in force, the oldest first.
    fn limits(&self) -> Vec<(Timestamp, Option<u32>)> {
        let changes = &self.found.maximum_changes;
        let first = changes.last().map_or(self.maximum, |change| change.before);
        let mut limits = vec![(self.found.buckets.from(), first)];
        limits.extend(changes.iter().rev().map(|change| (change.at, change.after)));
        limits
    }
}

/// From instants to per cent.
struct Axis {
    from: Timestamp,
    seconds: f64,
}

impl Axis {
    fn new(buckets: &Buckets, now: Timestamp) -> Self {
        Self { from: buckets.from(), seconds: now.since(buckets.from()).as_secs().max(1) as f64 }
    }

    /// What lies ahead is 100 at most.
    fn x(&self, at: Timestamp) -> f64 {
        (at.since(self.from).as_secs() as f64 / self.seconds * NOW).min(100.0)
    }
}

fn line(uses: &Uses<'_>, axis: &Axis, scale: Scale, counts: &[u64], limits: &[(Timestamp, Option<u32>)]) -> Line {
    let instants = uses.found.buckets.starts().chain([uses.now]);
    let mut path = String::new();
    for (at, count) in instants.zip(counts) {
        let command = if path.is_empty() { 'M' } else { 'L' };
        write_point(&mut path, command, axis.x(at).min(NOW), scale.y(*count));
    }
    let last = counts.last().copied().unwrap_or_default();
    let mut limit = String::new();
    let mut limit_label = None;
    for (place, (at, maximum)) in limits.iter().enumerate() {
        let Some(maximum) = *maximum else { continue };
        let (x, y) = (axis.x(*at).min(NOW), scale.y(maximum.into()));
        let follows = place > 0 && limits[place - 1].1.is_some();
        write_point(&mut limit, if follows { 'L' } else { 'M' }, x, y);
        let end = limits.get(place + 1).map_or(100.0, |(next, _)| axis.x(*next).min(NOW));
        write_point(&mut limit, 'L', end, y);
        let ends_at_edge = x > LIMIT_LABEL_MAX;
        limit_label = Some(LimitLabel {
            x: percent(if ends_at_edge { 100.0 } else { x }),
            ends_at_edge,
            y: pixels(y - 7.0),
            text: format!("Maximum {}", say::number(maximum)),
        });
    }
    Line {
        area: format!("{path}L{NOW:.2} {BASE:.1}L0.00 {BASE:.1}z"),
        path,
        limit,
        limit_label: limit_label.filter(|_| uses.maximum.is_some()),
        forecast: forecast(uses, axis, scale, last),
        x: percent(NOW),
        y: pixels(scale.y(last)),
    }
}

/// On from now as over the last day, to the maximum or the edge.
fn forecast(uses: &Uses<'_>, axis: &Axis, scale: Scale, last: u64) -> String {
    let (Some(maximum), Some(rate)) = (uses.maximum, uses.uses_last_day.filter(|rate| *rate > 0)) else {
        return String::new();
    };
    let per_second = rate as f64 / crate::clock::DAY.as_secs_f64();
    let seconds_to_edge = (100.0 - NOW) / NOW * axis.seconds;
    let at_edge = last.saturating_add((per_second * seconds_to_edge) as u64);
    let (x, count) = if at_edge >= u64::from(maximum) {
        let seconds = u64::from(maximum).saturating_sub(last) as f64 / per_second;
        (NOW + (seconds / axis.seconds * NOW).min(100.0 - NOW), u64::from(maximum))
    } else {
        (100.0, at_edge)
    };
    let mut path = String::new();
    write_point(&mut path, 'M', NOW, scale.y(last));
    write_point(&mut path, 'L', x, scale.y(count));
    path
}

fn write_point(path: &mut String, command: char, x: f64, y: f64) {
    write!(path, "{command}{x:.2} {y:.1}").expect("a String takes what is written");
}

/// `+1,608`, `−3`, `0`.
fn signed(number: i64) -> String {
    let sign = match number {
        ..0 => "−",
        0 => "",
        1.. => "+",
    };
    format!("{sign}{}", say::number(number.unsigned_abs()))
}

fn sentence(uses: &Uses<'_>, last: u64) -> String {
    let tell = |at| match uses.found.buckets.step() {
        BucketStep::Day => say::day(at),
        BucketStep::Hour => say::minute(at),
    };
    let (before, from) = (u64::from(uses.found.uses_before), tell(uses.found.buckets.from()));
    let [first, now] = [before, last].map(say::number);
    let mut sentence = match before.cmp(&last) {
        std::cmp::Ordering::Less => format!("Uses rose from {first} on {from} to {now} now"),
        std::cmp::Ordering::Equal => format!("Uses have been {now} since {from}"),
        std::cmp::Ordering::Greater => format!("Uses fell from {first} on {from} to {now} now"),
    };
    sentence += "; ";
    sentence += &match (uses.found.maximum_changes.first(), uses.maximum) {
        (Some(MaximumChange { at, before: Some(before), after: Some(after) }), _) => {
            let verb = if before < after { "raised" } else { "lowered" };
            let [before, after] = [*before, *after].map(say::number);
            format!("the maximum was {verb} from {before} to {after} on {}", tell(*at))
        }
        (Some(MaximumChange { at, after: Some(after), .. }), _) => {
            format!("a maximum of {} was set on {}", say::number(*after), tell(*at))
        }
        (Some(MaximumChange { at, .. }), _) => format!("the maximum was taken away on {}", tell(*at)),
        (None, Some(maximum)) => format!("the maximum is {}", say::number(maximum)),
        (None, None) => "there is no maximum".to_owned(),
    };
    if let (Some(maximum), Some(rate)) = (uses.maximum, uses.uses_last_day) {
        let full = full_in(u32::try_from(last).unwrap_or(u32::MAX), maximum, rate);
        if let Some(full) = full {
            sentence += &format!("; at today’s rate the key is full in about {}", say::span(full));
        }
    }
    sentence + "."
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        at("2026-11-20T16:06:00Z")
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    fn usage(range: Range, uses_before: u32, uses: &[i64], maximum_changes: Vec<MaximumChange>) -> KeyUsageOverTime {
        let buckets = range.buckets(now());
        let mut counts: Vec<_> =
            uses.iter().map(|uses| UsageCounts { uses: *uses, ..UsageCounts::default() }).collect();
        counts.resize(buckets.count(), UsageCounts::default());
        KeyUsageOverTime { buckets, uses_before, counts, maximum_changes }
    }

    fn chart(range: Range, found: &KeyUsageOverTime, maximum: Option<u32>, uses_last_day: Option<u64>) -> Chart {
        draw(range, &Uses { found, now: now(), maximum, uses_last_day }, "/k")
    }

    fn legend(chart: &Chart) -> Vec<&str> {
        chart.legend.iter().map(|legend| &*legend.text).collect()
    }

    #[test]
    fn a_key_that_fills_shows_its_way_its_maximum_and_what_comes() {
        let raised = MaximumChange { at: at("2026-11-12T08:31:00Z"), before: Some(4_200), after: Some(5_000) };
        let found =
            usage(Range::Days14, 3_204, &[100, 108, 0, 0, 200, 300, 300, 100, 50, 0, 0, 0, 200, 250], vec![raised]);
        let chart = chart(Range::Days14, &found, Some(5_000), Some(644));
        assert_eq!(
            chart.sentence,
            "Uses rose from 3,204 on 7 Nov 2026 to 4,812 now; the maximum was raised from 4,200 to 5,000 on 12 Nov \
             2026; at today’s rate the key is full in about 7 h."
        );
        assert_eq!(legend(&chart), ["Uses +1,608", "Maximum 5,000", "Forecast"]);
        let line = chart.line.unwrap();
        assert!(line.path.starts_with("M0.00 75.7L"), "{}", line.path);
        assert_eq!((&*line.x, &*line.y), ("95.00%", "29.4"));
        assert_eq!(line.limit, "M0.00 47.0L37.21 47.0L37.21 24.0L100.00 24.0", "a step");
        assert_eq!(line.forecast, "M95.00 29.4L97.03 24.0", "up to the maximum");
        let label = line.limit_label.unwrap();
        assert_eq!((&*label.x, &*label.y, &*label.text), ("37.21%", "17.0", "Maximum 5,000"));
    }

    #[test]
    fn a_maximum_far_above_does_not_flatten_what_was_used() {
        let found = usage(Range::Hours24, 0, &[3, 4], vec![]);
        let far = chart(Range::Hours24, &found, Some(10_000), None);
        assert_eq!(legend(&far), ["Uses +7", "Maximum 10,000, far above"]);
        assert!(far.line.unwrap().limit.is_empty());
        let near = chart(Range::Hours24, &found, Some(70), None);
        assert_eq!(near.line.unwrap().limit, "M0.00 42.0L100.00 42.0");
        let unused = usage(Range::Hours24, 0, &[], vec![]);
        assert!(!chart(Range::Hours24, &unused, Some(10_000), None).line.unwrap().limit.is_empty());
    }

    #[test]
    fn a_maximum_of_late_is_named_at_the_edge() {
        let raised = MaximumChange { at: at("2026-11-20T08:31:00Z"), before: None, after: Some(50) };
        let found = usage(Range::Days14, 40, &[], vec![raised]);
        let line = chart(Range::Days14, &found, Some(50), None).line.unwrap();
        let label = line.limit_label.unwrap();
        assert_eq!((&*label.x, label.ends_at_edge), ("100.00%", true));
    }

    #[test]
    fn what_has_no_maximum_shows_none_and_no_forecast() {
        let taken_away = MaximumChange { at: at("2026-11-12T08:31:00Z"), before: Some(50), after: None };
        let found = usage(Range::Days14, 0, &[40], vec![taken_away]);
        let chart = chart(Range::Days14, &found, None, Some(9));
        assert_eq!(legend(&chart), ["Uses +40"]);
        assert!(chart.sentence.ends_with("; the maximum was taken away on 12 Nov 2026."), "{}", chart.sentence);
        let line = chart.line.unwrap();
        assert_eq!(line.limit, "M0.00 24.0L37.21 24.0", "as long as there was one");
        assert!(line.limit_label.is_none());
        assert!(line.forecast.is_empty());
    }

    #[test]
    fn a_year_tells_the_days_on_which_something_happened() {
        let chart = chart(Range::Year, &usage(Range::Year, 0, &[0, 5, 0, -2], vec![]), None, None);
        let rows: Vec<_> =
            chart.table.rows.iter().map(|row| (&*row.label, &*row.numbers[0], &*row.numbers[1])).collect();
        assert_eq!(rows, [("22 Nov 2025", "+5", "5"), ("24 Nov 2025", "−2", "3")]);
    }

    /// All numbers of a path.
    fn numbers(path: &str) -> impl Iterator<Item = f64> {
        let parts = path.split(|c: char| c.is_ascii_alphabetic() || c == ' ').filter(|part| !part.is_empty());
        parts.map(|part| part.parse().unwrap())
    }

    fn any_uses() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), -9..100_i64, Just(1 << 31), Just(-(1 << 31)), any::<i64>()]
    }

    proptest! {
        #[test]
        fn any_data_stays_within_the_picture(
            uses in prop::collection::vec(any_uses(), 0..24),
            before in prop_oneof![Just(0), any::<u32>()],
            maximum in prop::option::of(1..u32::MAX),
            changed in prop::option::of(prop::option::of(1..u32::MAX)),
            seconds in 0..200_000_u64,
            rate in prop::option::of(any::<u64>()),
        ) {
            let change = |before| MaximumChange {
                at: now().saturating_sub(std::time::Duration::from_secs(seconds)), before, after: maximum,
            };
            let found = usage(Range::Hours24, before, &uses, changed.map(change).into_iter().collect());
            let chart = chart(Range::Hours24, &found, maximum, rate);
            let line = chart.line.unwrap();
            for path in [&line.path, &line.area, &line.limit, &line.forecast] {
                for (place, number) in numbers(path).enumerate() {
                    let highest = if place % 2 == 0 { 100.0 } else { BASE };
                    prop_assert!(number.is_finite() && (0.0..=highest).contains(&number), "{path}");
                }
            }
        }

        #[test]
        fn the_sum_is_that_of_the_table(uses in prop::collection::vec(-9..1_i64 << 31, 24), before in 1_000..u32::MAX) {
            let chart = chart(Range::Hours24, &usage(Range::Hours24, before, &uses, vec![]), None, None);
            let total = format!("Uses {}", signed(uses.iter().sum()));
            prop_assert_eq!(&chart.legend[0].text, &total);
            let last = say::number(u64::try_from(i64::from(before) + uses.iter().sum::<i64>()).unwrap());
            prop_assert_eq!(&chart.table.rows.last().unwrap().numbers[1], &last);
            prop_assert!(chart.sentence.contains(&last));
        }
    }
}
