//! Equal stretches of time that follow each other: what a chart counts in.

use std::time::Duration;

use crate::clock::{DAY, Timestamp};

pub const HOUR: Duration = Duration::from_secs(3_600);

/// Full hours or full days of UTC, one after the other; never none, at most [`Self::COUNT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    from: Timestamp,
    step: BucketStep,
    count: u32,
}

/// How long each bucket lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketStep {
    Day,
    Hour,
}

impl BucketStep {
    pub const fn lasting(self) -> Duration {
        match self {
            Self::Day => DAY,
            Self::Hour => HOUR,
        }
    }
}

impl Buckets {
    pub const COUNT_MAX: u32 = 1_000;

    /// The bucket that `now` is in and those before it. `count` is taken for 1 below that, and for
    /// [`Self::COUNT_MAX`] above.
    pub fn until(now: Timestamp, step: BucketStep, count: u32) -> Self {
        let count = count.clamp(1, Self::COUNT_MAX);
        let last = start_of(now, step.lasting());
        Self { from: last.saturating_sub(step.lasting() * (count - 1)), step, count }
    }

    /// Where the first one begins.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    pub fn step(&self) -> BucketStep {
        self.step
    }

    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Where each begins, in order.
    pub fn starts(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let Self { from, step, count } = *self;
        (0..count).map(move |place| from.saturating_add(step.lasting() * place))
    }

    /// In which one an instant is; `None`: before the first or after the last.
    pub fn place(&self, at: Timestamp) -> Option<usize> {
        let place = usize::try_from(at.since(self.from).as_secs() / self.step.lasting().as_secs()).ok()?;
        (at >= self.from && place < self.count()).then_some(place)
    }
}

/// The last multiple of `lasting` since the epoch that is not after `at`.
pub fn start_of(at: Timestamp, lasting: Duration) -> Timestamp {
    let lasting = i64::try_from(lasting.as_secs()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_unix_seconds(at.unix_seconds().div_euclid(lasting) * lasting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bucket_is_the_one_that_now_is_in() {
        let now = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
        for (step, count, first, last) in [
            (BucketStep::Hour, 24, "2026-11-19T17:00:00Z", "2026-11-20T16:00:00Z"),
            (BucketStep::Day, 14, "2026-11-07T00:00:00Z", "2026-11-20T00:00:00Z"),
            (BucketStep::Day, 0, "2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z"),
        ] {
            let buckets = Buckets::until(now, step, count);
            let starts: Vec<_> = buckets.starts().map(|start| start.to_string()).collect();
            assert_eq!((&*starts[0], &**starts.last().unwrap()), (first, last));
            assert_eq!(starts.len(), buckets.count());
            assert_eq!(buckets.place(now), Some(buckets.count() - 1));
        }
    }

    #[test]
    fn a_bucket_begins_with_its_start_and_ends_before_the_next() {
        let buckets = Buckets::until(Timestamp::from_unix_seconds(7_200), BucketStep::Hour, 2);
        let place = |seconds| buckets.place(Timestamp::from_unix_seconds(seconds));
        assert_eq!(
            [place(3_599), place(3_600), place(7_199), place(7_200), place(10_799), place(10_800)],
            [None, Some(0), Some(0), Some(1), Some(1), None]
        );
        assert_eq!(Buckets::until(Timestamp::from_unix_seconds(0), BucketStep::Day, u32::MAX).count(), 1_000);
    }
}
