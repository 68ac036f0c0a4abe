//! Slows down failed sign-ins from one network without locking anyone out.
//!
//! Only failures count, and only failures are refused: right credentials are let through whatever
//! others behind the same address did.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::domain::address::SourcePrefix;

/// Failures that a network may have at once before it is slowed down.
const BURST: u32 = 20;

/// One more failure is forgiven each.
const REFILL: Duration = Duration::from_secs(1);

/// Networks remembered. When more fail at one time, the rest share one budget.
const NETWORKS_MAX: usize = 8_192;

/// A budget of failures for each network. Bounded in memory.
#[derive(Default)]
pub(super) struct Throttle {
    budgets: Mutex<Budgets>,
}

#[derive(Default)]
struct Budgets {
    by_network: HashMap<SourcePrefix, Budget>,
    shared: Budget,
}

/// When the last failure will have been forgiven (a virtual scheduling clock, as in GCRA): one instant
/// says it all.
#[derive(Clone, Copy, Default)]
struct Budget {
    clear_at: Option<Instant>,
}

impl Throttle {
    /// Notes a failure. `Err`: there were too many, and in how many whole seconds one more is accepted.
    pub(super) fn note_failure(&self, source: SourcePrefix, now: Instant) -> Result<(), u32> {
        let mut budgets = self.budgets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Budgets { by_network, shared } = &mut *budgets;
        if by_network.len() >= NETWORKS_MAX && !by_network.contains_key(&source) {
            by_network.retain(|_, budget| !budget.is_clear(now));
        }
        let has_room = by_network.len() < NETWORKS_MAX || by_network.contains_key(&source);
        let budget = if has_room { by_network.entry(source).or_default() } else { shared };
        budget.take(now)
    }
}

impl Budget {
    fn is_clear(&self, now: Instant) -> bool {
        self.clear_at.is_none_or(|at| at <= now)
    }

    fn take(&mut self, now: Instant) -> Result<(), u32> {
        let clear_at = self.clear_at.filter(|at| *at > now).unwrap_or(now) + REFILL;
        let debt = clear_at - now;
        let limit = REFILL * BURST;
        if debt > limit {
            let wait = debt - limit;
            return Err(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1));
        }
        self.clear_at = Some(clear_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourcePrefix {
        SourcePrefix::of(text.parse().unwrap())
    }

    #[test]
    fn a_burst_is_free_then_one_failure_a_second() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let (bad, other) = (source("192.0.2.1"), source("192.0.2.2"));
        for _ in 0..BURST {
            assert_eq!(throttle.note_failure(bad, start), Ok(()));
        }
        assert!(throttle.note_failure(bad, start).is_err());
        assert_eq!(throttle.note_failure(other, start), Ok(()));
        assert_eq!(throttle.note_failure(bad, start + REFILL), Ok(()));
        assert!(throttle.note_failure(bad, start + REFILL).is_err());
        assert_eq!(throttle.note_failure(bad, start + REFILL * 100), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_rest_shares_a_budget() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let many = |n: u32| source(&std::net::Ipv4Addr::from(n).to_string());
        let count = u32::try_from(NETWORKS_MAX).unwrap();
        for n in 0..count + BURST {
            assert_eq!(throttle.note_failure(many(n), start), Ok(()), "{n}");
        }
        assert!(throttle.note_failure(many(count + BURST), start).is_err());
        assert_eq!(throttle.budgets.lock().unwrap().by_network.len(), NETWORKS_MAX);
        // Once they are forgiven there is room again.
        assert_eq!(throttle.note_failure(many(count + BURST), start + REFILL * 2), Ok(()));
        assert_eq!(throttle.budgets.lock().unwrap().by_network.len(), 1);
    }
}
