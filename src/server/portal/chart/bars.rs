//! What became of devices, hour by hour or day by day: bars that stand one upon the other.

use super::{
    BASE, Bar, BarPart, Chart, ChartTable, Label, Legend, MANY, Range, Scale, TableRow, VALUE_MAX, bucket_head,
    bucket_label, labels, percent, pixels,
};
use crate::domain::BucketStep;
use crate::management::home::{EnrollmentCounts, EnrollmentsOverTime};
use crate::server::portal::words as say;

/// Where the highest rule is, in pixels.
const TOP: f64 = 8.0;

/// What a bar takes of its place.
const WIDTH: f64 = 0.64;

/// Over all of a customer's keys; `path` is the page's, for the links to other ranges.
pub(in crate::server::portal) fn of_enrollments(range: Range, found: &EnrollmentsOverTime, path: &str) -> Chart {
    let buckets = &found.buckets;
    let highest = found.counts.iter().copied().max_by_key(|counts| sum(*counts)).unwrap_or_default();
    let scale = Scale::up_to(sum(highest), TOP);
    let place_width = 100.0 / buckets.count() as f64;
    let bar = |(place, (start, counts)): (usize, (_, &EnrollmentCounts))| Bar {
        title: format!("{}: {}", bucket_label(buckets, start), tell(*counts)),
        x: percent((place as f64 + (1.0 - WIDTH) / 2.0) * place_width),
        width: percent(WIDTH * place_width),
        parts: parts(scale, *counts),
    };
    let row = |(start, counts): (_, &EnrollmentCounts)| TableRow {
        label: bucket_label(buckets, start),
        numbers: numbers(*counts).map(say::number).into(),
    };
    let total = found.counts.iter().fold(EnrollmentCounts::default(), |total, counts| EnrollmentCounts {
        enrolled: total.enrolled.saturating_add(counts.enrolled),
        re_enrolled: total.re_enrolled.saturating_add(counts.re_enrolled),
        refused: total.refused.saturating_add(counts.refused),
    });
    let legend = |class, word, count| Legend { class, text: format!("{word} {}", say::number(count)) };
    Chart {
        title: match buckets.step() {
            BucketStep::Day => "Enrollments per day",
            BucketStep::Hour => "Enrollments per hour",
        },
        sentence: sentence(range, found, total),
        legend: vec![
            legend("", "Enrolled", total.enrolled),
            legend("sw-b", "Re-enrolled", total.re_enrolled),
            legend("sw-r", "Refused", total.refused),
        ],
        ranges: range.links(&Range::OF_ENROLLMENTS, path),
        rules: scale.rules(),
        labels: labels(buckets)
            .into_iter()
            .map(|(place, text, is_alternate)| Label {
                x: percent((place as f64 + 0.5) * place_width),
                text,
                is_alternate,
            })
            .collect(),
        bars: buckets
            .starts()
            .zip(&found.counts)
            .enumerate()
            .filter(|(_, (_, counts))| sum(**counts) > 0)
            .map(bar)
            .collect(),
        line: None,
        table: ChartTable {
            heads: vec![bucket_head(buckets.step()), "Enrolled", "Re-enrolled", "Refused"],
            rows: buckets
                .starts()
                .zip(&found.counts)
                .filter(|(_, counts)| buckets.count() <= MANY || sum(**counts) > 0)
                .map(row)
                .collect(),
        },
    }
}

/// From the base up, a pixel between them. What is there is seen, however little it is.
fn parts(scale: Scale, counts: EnrollmentCounts) -> Vec<BarPart> {
    let mut bottom = BASE;
    let mut parts = Vec::new();
    for (class, count) in ["a", "b", "ro"].into_iter().zip(numbers(counts)).filter(|(_, count)| *count > 0) {
        let height = (BASE - scale.y(count)).max(1.0);
        let gap = if parts.is_empty() || height < 2.0 { 0.0 } else { 1.0 };
        let y = bottom - height;
        parts.push(BarPart { class, y: pixels(y), height: pixels(height - gap) });
        bottom = y;
    }
    parts
}

/// None is larger than what three of make a [`VALUE_MAX`].
fn numbers(counts: EnrollmentCounts) -> [u64; 3] {
    [counts.enrolled, counts.re_enrolled, counts.refused].map(|count| count.min(VALUE_MAX / 3))
}

fn sum(counts: EnrollmentCounts) -> u64 {
    numbers(counts).into_iter().fold(0, u64::saturating_add)
}

/// `488 enrolled, 21 re-enrolled, 88 refused`.
fn tell(counts: EnrollmentCounts) -> String {
    let [enrolled, re_enrolled, refused] = numbers(counts).map(say::number);
    format!("{enrolled} enrolled, {re_enrolled} re-enrolled, {refused} refused")
}

fn sentence(range: Range, found: &EnrollmentsOverTime, total: EnrollmentCounts) -> String {
    let span = range.span();
    if sum(total) == 0 {
        return format!("No device enrolled and none was refused over the last {span}.");
    }
    let highest = found.buckets.starts().zip(&found.counts).max_by_key(|(_, counts)| sum(**counts));
    let highest = highest.map_or_else(String::new, |(start, counts)| {
        let when = match found.buckets.step() {
            BucketStep::Day => format!("on {}", say::day(start)),
            BucketStep::Hour => format!("from {}", say::minute(start)),
        };
        format!(" Highest {when}: {}.", tell(*counts))
    });
    format!("Over the last {span}: {}.{highest}", tell(total))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;

    fn counts(enrolled: u64, re_enrolled: u64, refused: u64) -> EnrollmentCounts {
        EnrollmentCounts { enrolled, re_enrolled, refused }
    }

    fn chart(range: Range, found: Vec<EnrollmentCounts>) -> Chart {
        let mut found = found;
        let buckets = range.buckets(Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap());
        found.resize(buckets.count(), EnrollmentCounts::default());
        of_enrollments(range, &EnrollmentsOverTime { buckets, counts: found }, "/c/7")
    }

    #[test]
    fn nothing_is_no_bar_and_says_so() {
        let chart = chart(Range::Hours24, vec![]);
        assert!(chart.bars.is_empty());
        assert_eq!(chart.sentence, "No device enrolled and none was refused over the last 24 hours.");
        assert_eq!(chart.table.rows.len(), 24);
    }

    #[test]
    fn a_bar_stands_on_zero_with_a_pixel_between_its_parts() {
        let chart = chart(Range::Hours24, vec![counts(488, 21, 88), counts(1, 0, 1)]);
        let parts: Vec<_> = chart.bars[0].parts.iter().map(|part| (part.class, &*part.y, &*part.height)).collect();
        assert_eq!(parts, [("a", "37.9", "130.1"), ("b", "32.3", "4.6"), ("ro", "8.8", "22.5")]);
        let parts: Vec<_> = chart.bars[1].parts.iter().map(|part| (part.class, &*part.height)).collect();
        assert_eq!(parts, [("a", "1.0"), ("ro", "1.0")], "a single one is seen");
        assert_eq!((&*chart.bars[0].x, &*chart.bars[0].width), ("0.75%", "2.67%"));
        assert_eq!(chart.bars[0].title, "17:00: 488 enrolled, 21 re-enrolled, 88 refused");
        assert_eq!(
            chart.sentence,
            "Over the last 24 hours: 489 enrolled, 21 re-enrolled, 89 refused. Highest from 19 Nov 2026, 17:00: 488 \
             enrolled, 21 re-enrolled, 88 refused."
        );
    }

    fn any_counts() -> impl Strategy<Value = EnrollmentCounts> {
        let count = prop_oneof![Just(0), 0..100_u64, Just(1 << 31), any::<u64>()];
        (count.clone(), count.clone(), count).prop_map(|(a, b, c)| counts(a, b, c))
    }

    proptest! {
        #[test]
        fn any_data_stays_within_the_picture(found in prop::collection::vec(any_counts(), 0..31), month: bool) {
            let range = if month { Range::Days30 } else { Range::Hours24 };
            let chart = chart(range, found);
            for bar in &chart.bars {
                for part in &bar.parts {
                    let (y, height): (f64, f64) = (part.y.parse().unwrap(), part.height.parse().unwrap());
                    prop_assert!(y.is_finite() && y >= 0.0 && height > 0.0 && y + height <= BASE + 0.11);
                }
                let x: f64 = bar.x.trim_end_matches('%').parse().unwrap();
                prop_assert!((0.0..100.0).contains(&x));
            }
            prop_assert!(chart.rules.len() <= 6);
        }

        #[test]
        fn the_sums_are_those_of_the_table(found in prop::collection::vec((0..1_u64 << 31, 0..9_u64, 0..9_u64), 24)) {
            let chart = chart(Range::Hours24, found.into_iter().map(|(a, b, c)| counts(a, b, c)).collect());
            for (place, legend) in chart.legend.iter().enumerate() {
                let number = |row: &TableRow| row.numbers[place].replace(',', "").parse::<u64>().unwrap();
                let total: u64 = chart.table.rows.iter().map(number).sum();
                prop_assert!(legend.text.ends_with(&format!(" {}", say::number(total))), "{legend:?} {total}");
            }
        }
    }
}
