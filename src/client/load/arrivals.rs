//! When devices begin.

use std::time::Duration;

use serde::Serialize;

use crate::secret::random_bytes;

/// What decides when the next device begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// So many devices at a time; the next begins when one is in or has given up, a wait before a retry
    /// included. What it measures is throughput: a slow service is also asked less.
    Closed { concurrency: usize },
    /// So many devices per second, whatever became of those before, as in a storm. Latency counts from the
    /// moment that a device was to begin, so that neither a slow service nor a slow client hides a wait.
    Open { rate_per_second: f64, spacing: Spacing },
}

/// How arrivals at a rate are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// One after the other at the same distance.
    Even,
    /// Each independent of the others, as devices are that know nothing of each other.
    Poisson,
}

/// The moments at which devices are to begin at a rate, counted from the start. Never ends.
pub(super) struct Schedule {
    rate_per_second: f64,
    spacing: Spacing,
    ramp_seconds: f64,
    /// How many arrivals the rate has brought until the last one.
    arrived: Option<f64>,
}

impl Schedule {
    /// The rate rises evenly from nothing during `ramp`.
    pub(super) fn new(rate_per_second: f64, spacing: Spacing, ramp: Duration) -> Self {
        Self { rate_per_second, spacing, ramp_seconds: ramp.as_secs_f64(), arrived: None }
    }

    /// When the rate has brought so many: the inverse of its integral.
    fn seconds_until(&self, arrived: f64) -> f64 {
        let in_ramp = self.rate_per_second * self.ramp_seconds / 2.0;
        if arrived < in_ramp {
            (2.0 * arrived * self.ramp_seconds / self.rate_per_second).sqrt()
        } else {
            self.ramp_seconds + (arrived - in_ramp) / self.rate_per_second
        }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let step = match self.spacing {
            Spacing::Even => 1.0,
            Spacing::Poisson => exponential(),
        };
        let arrived = match (self.arrived, self.spacing) {
            (None, Spacing::Even) => 0.0,
            (before, _) => before.unwrap_or(0.0) + step,
        };
        self.arrived = Some(arrived);
        Some(Duration::try_from_secs_f64(self.seconds_until(arrived)).unwrap_or(Duration::MAX))
    }
}

/// Exponentially distributed with mean 1.
fn exponential() -> f64 {
    let uniform = (u64::from_le_bytes(*random_bytes::<8>()) >> 11) as f64 / (1u64 << 53) as f64; // [0, 1)
    -(1.0 - uniform).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(schedule: Schedule, count: usize) -> Vec<f64> {
        schedule.take(count).map(|at| at.as_secs_f64()).collect()
    }

    #[test]
    fn even_arrivals_keep_their_distance() {
        assert_eq!(seconds(Schedule::new(4.0, Spacing::Even, Duration::ZERO), 5), [0.0, 0.25, 0.5, 0.75, 1.0]);
    }

    #[test]
    fn a_ramp_brings_half_as_many_and_ends_at_the_rate() {
        // 10 s up to 4 per second bring 20; from then on 4 per second.
        let at = seconds(Schedule::new(4.0, Spacing::Even, Duration::from_secs(10)), 41);
        assert_eq!((at[0], at[5], at[20], at[24], at[40]), (0.0, 5.0, 10.0, 11.0, 15.0));
        assert!(at.is_sorted());
    }

    #[test]
    fn independent_arrivals_have_the_rate_and_are_spread() {
        let count = 20_000;
        let at = seconds(Schedule::new(100.0, Spacing::Poisson, Duration::ZERO), count);
        assert!(at.is_sorted());
        // The sum of n exponential distances has a standard deviation of √n: 5 of them, one run in a million.
        let (mean, deviation) = (count as f64 / 100.0, (count as f64).sqrt() / 100.0);
        assert!((at[count - 1] - mean).abs() < 5.0 * deviation, "{}", at[count - 1]);
        // A distance below a tenth of the mean has probability 1 − e^−0.1 = 9.5 %.
        let close = at.windows(2).filter(|pair| pair[1] - pair[0] < 0.001).count() as f64 / count as f64;
        assert!((0.08..0.11).contains(&close), "{close}");
    }
}
