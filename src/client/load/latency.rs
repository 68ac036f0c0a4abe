//! How long something took, of any number of times in a fixed amount of memory.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// What takes longer counts as that long: no device is given more time.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// Values are kept to a thousandth of themselves.
const SIGNIFICANT_DIGITS: u8 = 3;

pub(super) struct Latencies(Histogram<u64>);

/// Some latencies, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    pub count: u64,
    pub mean: f64,
    pub min: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    pub max: f64,
    /// From the shortest to the longest, none left out in between; not empty.
    pub histogram: Vec<Bucket>,
}

/// How many there were above the bucket before and up to a bound: 1, 1.5, 2, 3, 5, 7, 10, 15, …
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    pub up_to: f64,
    pub count: u64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        let longest_us = LONGEST.as_micros() as u64;
        Self(Histogram::new_with_bounds(1, longest_us, SIGNIFICANT_DIGITS).expect("the bounds are in order"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// So much or less took the part `quantile` of them; `None` if there are none.
    pub(super) fn at(&self, quantile: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.value_at_quantile(quantile).min(self.0.max())))
    }

    /// `None` if there are none.
    pub(super) fn summary(&self) -> Option<Latency> {
        let at = |quantile| self.at(quantile).map(milliseconds);
        Some(Latency {
            count: self.0.len(),
            mean: self.0.mean() / 1e3,
            min: self.0.min() as f64 / 1e3,
            p50: at(0.5)?,
            p90: at(0.9)?,
            p99: at(0.99)?,
            p999: at(0.999)?,
            max: at(1.0)?,
            histogram: self.buckets(),
        })
    }

    fn buckets(&self) -> Vec<Bucket> {
        let mut buckets: Vec<Bucket> = Vec::new();
        let mut bounds = bounds_us();
        for value in self.0.iter_recorded() {
            let us = value.value_iterated_to().min(self.0.max());
            while buckets.last().is_none_or(|bucket| us as f64 > bucket.up_to * 1e3) {
                let Some(bound) = bounds.next() else { return buckets };
                if !buckets.is_empty() || us <= bound {
                    buckets.push(Bucket { up_to: bound as f64 / 1e3, count: 0 });
                }
            }
            if let Some(bucket) = buckets.last_mut() {
                bucket.count += value.count_since_last_iteration();
            }
        }
        buckets
    }
}

/// 10 µs, 15 µs, 20 µs, 30 µs, 50 µs, 70 µs, 100 µs, … beyond [`LONGEST`].
fn bounds_us() -> impl Iterator<Item = u64> {
    (0..=11).flat_map(|power| [10, 15, 20, 30, 50, 70].map(|digits| digits * 10u64.pow(power)))
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        assert_eq!((latencies.summary(), latencies.at(0.5)), (None, None));
        for ms in 1..=1_000 {
            latencies.record(Duration::from_millis(ms));
        }
        let summary = latencies.summary().unwrap();
        let near = |found: f64, expected: f64| (found - expected).abs() <= expected / 1e3;
        for (found, expected) in [
            (summary.mean, 500.5),
            (summary.min, 1.0),
            (summary.p50, 500.0),
            (summary.p90, 900.0),
            (summary.p99, 990.0),
            (summary.p999, 999.0),
            (summary.max, 1_000.0),
        ] {
            assert!(near(found, expected), "{found} {expected}");
        }
        assert_eq!(summary.count, 1_000);
    }

    #[test]
    fn the_histogram_has_every_bucket_between_the_ends() {
        let mut latencies = Latencies::new();
        for us in [700, 1_000, 1_001, 9_000] {
            latencies.record(Duration::from_micros(us));
        }
        let histogram = latencies.summary().unwrap().histogram;
        let buckets: Vec<_> = histogram.iter().map(|bucket| (bucket.up_to, bucket.count)).collect();
        assert_eq!(buckets, [(0.7, 1), (1.0, 1), (1.5, 1), (2.0, 0), (3.0, 0), (5.0, 0), (7.0, 0), (10.0, 1)]);
    }

    #[test]
    fn extremes_are_kept_within_the_bounds() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::ZERO);
        latencies.record(LONGEST * 2);
        let summary = latencies.summary().unwrap();
        assert_eq!(summary.count, 2);
        assert_eq!(summary.histogram.iter().map(|bucket| bucket.count).sum::<u64>(), 2);
    }
}
