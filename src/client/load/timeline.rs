//! How it went over time, in a bounded number of intervals.

use std::time::Duration;

use serde::Serialize;

/// Twice as long each when they would be more: at least 300 s are told by the second.
const INTERVALS_MAX: usize = 600;

/// Counts per interval, from the start on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    pub interval_seconds: u64,
    /// At most 600; ends with the last one in which something happened.
    pub intervals: Vec<Interval>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Devices that were to begin.
    pub started: u64,
    /// Devices that got their certificate.
    pub enrolled: u64,
    /// Attempts that were refused.
    pub refused: u64,
    /// Attempts that got no answer.
    pub failed: u64,
}

impl Timeline {
    pub(super) fn new() -> Self {
        Self { interval_seconds: 1, intervals: Vec::new() }
    }

    /// The interval of a moment.
    pub(super) fn at(&mut self, since_start: Duration) -> &mut Interval {
        while since_start.as_secs() / self.interval_seconds >= INTERVALS_MAX as u64 {
            self.halve();
        }
        let at = (since_start.as_secs() / self.interval_seconds) as usize;
        if at >= self.intervals.len() {
            self.intervals.resize(at + 1, Interval::default());
        }
        &mut self.intervals[at]
    }

    fn halve(&mut self) {
        self.interval_seconds *= 2;
        self.intervals =
            self.intervals.chunks(2).map(|pair| pair.iter().copied().fold(Interval::default(), sum)).collect();
    }
}

fn sum(a: Interval, b: Interval) -> Interval {
    Interval {
        started: a.started + b.started,
        enrolled: a.enrolled + b.enrolled,
        refused: a.refused + b.refused,
        failed: a.failed + b.failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_grow_longer_instead_of_more() {
        let mut timeline = Timeline::new();
        for second in 0..1_500 {
            timeline.at(Duration::from_millis(second * 1_000 + 999)).enrolled += 1;
        }
        assert_eq!(timeline.interval_seconds, 4);
        assert_eq!(timeline.intervals.len(), 375);
        assert!(timeline.intervals.iter().all(|interval| interval.enrolled == 4));
        assert_eq!(timeline.at(Duration::ZERO).enrolled, 4);
    }
}
