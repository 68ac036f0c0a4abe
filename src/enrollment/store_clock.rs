//! How far this node's clock is from the store's, which judges expiry at commit.
//!
//! Both tell whole seconds, so what is measured is up to a second off.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::metrics::Metrics;
use crate::store::StoreError;

/// A node that is further off is not ready.
const READY_SECONDS_MAX: u64 = 5;

/// A node that is further off signs nothing: its certificates would begin and end at the wrong time.
const SIGNING_SECONDS_MAX: u64 = 60;

/// An answer that took longer says too little about the moment that it was given at.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(2);

/// What a node knows of the store's clock. Shared in an `Arc`.
pub struct StoreClock {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    ahead_seconds: AtomicI64,
}

/// How far the store's clock is from a node's. Zero until it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockDifference {
    /// Negative: the store's is behind.
    pub store_ahead_seconds: i64,
}

impl StoreClock {
    /// `clock`: the node's.
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics, ahead_seconds: AtomicI64::new(0) }
    }

    /// Compares the node's clock with `store_now`, which the store is asked for here, and says in the log when
    /// it begins or ceases to matter. The answer counts as given halfway through the wait for it; one that was
    /// long in coming does not count.
    ///
    /// # Errors
    /// The store's: what was measured before stays.
    pub async fn measure(
        &self,
        store_now: impl Future<Output = Result<Timestamp, StoreError>>,
    ) -> Result<(), StoreError> {
        let (asked_at, asked) = (self.clock.now(), Instant::now());
        let store_now = store_now.await?;
        let took = asked.elapsed();
        if took > ROUND_TRIP_MAX {
            return Ok(());
        }
        // To the nearest second.
        let here = asked_at.saturating_add(took / 2 + Duration::from_millis(500));
        let measured = ClockDifference { store_ahead_seconds: store_now.unix_seconds() - here.unix_seconds() };
        self.metrics.set_store_clock_difference(measured.store_ahead_seconds);
        let before = self.ahead_seconds.swap(measured.store_ahead_seconds, Ordering::Relaxed);
        measured.tell(ClockDifference { store_ahead_seconds: before });
        Ok(())
    }

    /// As last measured.
    pub fn difference(&self) -> ClockDifference {
        ClockDifference { store_ahead_seconds: self.ahead_seconds.load(Ordering::Relaxed) }
    }
}

/// What a difference means for a node.
#[derive(PartialEq, Eq)]
enum Agreement {
    Agreed,
    NotReady,
    SignsNothing,
}

impl ClockDifference {
    /// Near enough for a node to be ready.
    pub fn is_ready(self) -> bool {
        self.agreement() == Agreement::Agreed
    }

    /// Near enough for a node to sign.
    pub fn may_sign(self) -> bool {
        self.agreement() != Agreement::SignsNothing
    }

    fn agreement(self) -> Agreement {
        let apart = self.store_ahead_seconds.unsigned_abs();
        if apart <= READY_SECONDS_MAX {
            Agreement::Agreed
        } else if apart <= SIGNING_SECONDS_MAX {
            Agreement::NotReady
        } else {
            Agreement::SignsNothing
        }
    }

    fn tell(self, before: Self) {
        if self.agreement() == before.agreement() {
            return;
        }
        match self.agreement() {
            Agreement::Agreed => tracing::info!("This node's clock agrees with the store's again."),
            Agreement::NotReady => tracing::warn!(
                "This node's clock is {self}, and it is not ready above {READY_SECONDS_MAX} s: set the clocks of this \
                 machine and the store's."
            ),
            Agreement::SignsNothing => tracing::error!(
                "This node's clock is {self}, and it signs nothing above {SIGNING_SECONDS_MAX} s: set the clocks of \
                 this machine and the store's."
            ),
        }
    }
}

/// What follows "this node's clock is".
impl fmt::Display for ClockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.store_ahead_seconds.unsigned_abs();
        match self.store_ahead_seconds {
            0 => f.write_str("as the store's"),
            1.. => write!(f, "{seconds} s behind the store's"),
            _ => write!(f, "{seconds} s ahead of the store's"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const NOON: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn store_clock() -> (StoreClock, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(NOON));
        (StoreClock::new(clock.clone(), Arc::new(Metrics::new())), clock)
    }

    /// The store's answer, so many seconds after noon, after so many milliseconds.
    async fn answer(seconds: i64, after_ms: u64) -> Result<Timestamp, StoreError> {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        Ok(Timestamp::from_unix_seconds(NOON.unix_seconds() + seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_was_given_halfway_through_the_wait_for_it() {
        let (store_clock, _) = store_clock();
        for (seconds, after_ms, expected) in [(0, 0, 0), (7, 5, 7), (-7, 5, -7), (1, 1_900, 0), (1, 900, 1)] {
            store_clock.measure(answer(seconds, after_ms)).await.unwrap();
            assert_eq!(store_clock.difference().store_ahead_seconds, expected, "{seconds} s after {after_ms} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_long_in_coming_says_nothing() {
        let (store_clock, clock) = store_clock();
        store_clock.measure(answer(3, 0)).await.unwrap();
        store_clock.measure(answer(90, 2_001)).await.unwrap();
        let away = async { Err(StoreError::Unavailable { reason: "on purpose".to_owned() }) };
        assert!(store_clock.measure(away).await.is_err());
        assert_eq!(store_clock.difference().store_ahead_seconds, 3);
        clock.advance(Duration::from_secs(3));
        store_clock.measure(answer(3, 2_000)).await.unwrap();
        assert_eq!(store_clock.difference().store_ahead_seconds, -1);
    }

    #[test]
    fn a_difference_is_told_from_the_nodes_side() {
        let told = |store_ahead_seconds| ClockDifference { store_ahead_seconds }.to_string();
        assert_eq!(
            [told(0), told(7), told(-7)],
            ["as the store's", "7 s behind the store's", "7 s ahead of the store's"]
        );
    }
}
