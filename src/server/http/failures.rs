//! How often one source may be told that its key, its password or its request is wrong.
//!
//! Asked only once something has failed, in place of saying so: whoever has a good key or secret is
//! never refused for the failures of others behind the same address. The rate is kept per address
//! (IPv4) or /64 (IPv6).

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::address::SourcePrefix;

/// Sources remembered at once, about 48 bytes each.
const SOURCES_MAX: usize = 65_536;
const SHARDS: usize = 16;
const SOURCES_PER_SHARD: usize = SOURCES_MAX / SHARDS;

/// What one source may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRate {
    /// `None`: no limit.
    pub per_second: Option<NonZeroU32>,
    /// Failures that may come at once after a quiet while; at least 1 is taken.
    pub burst: u32,
}

impl Default for FailureRate {
    fn default() -> Self {
        Self { per_second: NonZeroU32::new(20), burst: 200 }
    }
}

/// A source that failed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyFailures {
    /// When its next failure will be told; above zero.
    pub retry_after: Duration,
}

/// Counts failures by the generic cell rate algorithm: per source one instant, at which its
/// allowance will be whole again. A source whose instant has passed need not be remembered.
///
/// When a shard is full and none of its sources can be forgotten, the sources it does not know
/// share one allowance: memory stays bounded, and so does the rate of all of them together. It
/// takes thousands of sources failing at once, and the price is that an honest device that mistyped
/// its key may read 429 instead of 401 until the flood is over.
pub struct FailureLimiter {
    shards: [Mutex<Shard>; SHARDS],
    hasher: std::hash::RandomState,
    started: Instant,
}

#[derive(Default)]
struct Shard {
    /// Nanoseconds after `started` at which the source's allowance is whole again.
    whole_at: HashMap<SourcePrefix, u64>,
    /// The same for all sources that found no place.
    others_whole_at: u64,
    /// Before this, looking for sources to forget finds none.
    sweep_at: u64,
}

impl FailureLimiter {
    /// Remembers nobody. Memory grows with the sources that fail, up to 65,536 of them.
    pub fn new(now: Instant) -> Self {
        Self { shards: Default::default(), hasher: std::hash::RandomState::new(), started: now }
    }

    /// Counts a failure of `source` at `now`, which must not go back.
    ///
    /// # Errors
    /// [`TooManyFailures`]: it is one too many, and not counted.
    pub fn admit(&self, source: SourcePrefix, rate: FailureRate, now: Instant) -> Result<(), TooManyFailures> {
        let Some(per_second) = rate.per_second else { return Ok(()) };
        let now = nanoseconds(now.saturating_duration_since(self.started));
        let place = self.hasher.hash_one(source) as usize % SHARDS;
        let mut shard = self.shards[place].lock().unwrap_or_else(PoisonError::into_inner);
        let shard = &mut *shard;
        shard.make_room(source, now);
        let whole_at = if shard.whole_at.len() < SOURCES_PER_SHARD {
            shard.whole_at.entry(source).or_insert(now)
        } else {
            shard.whole_at.get_mut(&source).unwrap_or(&mut shard.others_whole_at)
        };
        let interval = nanoseconds(Duration::from_secs(1)) / u64::from(per_second.get());
        let after = (*whole_at).max(now) + interval;
        let allowance = interval.saturating_mul(rate.burst.max(1).into());
        match (after - now).checked_sub(allowance) {
            None | Some(0) => {
                *whole_at = after;
                Ok(())
            }
            Some(wait) => Err(TooManyFailures { retry_after: Duration::from_nanos(wait) }),
        }
    }
}

impl Shard {
    /// Forgets sources whose allowance is whole, if there is no place for a new one. A look that
    /// found nothing is not repeated before it could find something.
    fn make_room(&mut self, source: SourcePrefix, now: u64) {
        let is_full = self.whole_at.len() >= SOURCES_PER_SHARD;
        if is_full && now >= self.sweep_at && !self.whole_at.contains_key(&source) {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.sweep_at = self.whole_at.values().copied().min().unwrap_or(now);
        }
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> FailureRate {
        FailureRate { per_second: NonZeroU32::new(per_second), burst }
    }

    fn source(number: u32) -> SourcePrefix {
        SourcePrefix::of(Ipv4Addr::from_bits(number).into())
    }

    fn admitted(limiter: &FailureLimiter, source: SourcePrefix, rate: FailureRate, now: Instant, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(limiter.admit(source, rate, now).is_ok())).sum()
    }

    #[test]
    fn a_burst_is_admitted_and_refills_at_the_rate() {
        let start = Instant::now();
        let limiter = FailureLimiter::new(start);
        let rate = rate(20, 200);
        assert_eq!(admitted(&limiter, source(1), rate, start, 199), 199);
        assert_eq!(admitted(&limiter, source(1), rate, start, 10), 1, "200 at once and no more");
        assert_eq!(admitted(&limiter, source(1), rate, start + Duration::from_millis(49), 10), 0);
        assert_eq!(admitted(&limiter, source(1), rate, start + Duration::from_millis(50), 10), 1);
        assert_eq!(admitted(&limiter, source(1), rate, start + Duration::from_millis(1_050), 100), 20);
        assert_eq!(admitted(&limiter, source(1), rate, start + Duration::from_secs(3_600), 500), 200);
    }

    #[test]
    fn whoever_waits_as_told_is_admitted_and_no_sooner() {
        let start = Instant::now();
        let limiter = FailureLimiter::new(start);
        let rate = rate(4, 2);
        assert_eq!(admitted(&limiter, source(1), rate, start, 2), 2);
        let now = start + Duration::from_millis(100);
        let refused = limiter.admit(source(1), rate, now).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_millis(150));
        let due = now + refused.retry_after;
        assert!(limiter.admit(source(1), rate, due - Duration::from_nanos(1)).is_err());
        assert_eq!(limiter.admit(source(1), rate, due), Ok(()));
    }

    #[test]
    fn sources_do_not_pay_for_each_other() {
        let start = Instant::now();
        let limiter = FailureLimiter::new(start);
        let rate = rate(1, 1);
        assert_eq!(admitted(&limiter, source(1), rate, start, 5), 1);
        assert_eq!(admitted(&limiter, source(2), rate, start, 5), 1);
        let v6 = |text: &str| SourcePrefix::of(text.parse().unwrap());
        assert!(limiter.admit(v6("2001:db8:0:1::1"), rate, start).is_ok());
        assert!(limiter.admit(v6("2001:db8:0:1::2"), rate, start).is_err(), "one /64 is one source");
        assert!(limiter.admit(v6("2001:db8:0:2::1"), rate, start).is_ok());
    }

    #[test]
    fn none_is_no_limit_and_a_burst_is_at_least_one() {
        let start = Instant::now();
        let limiter = FailureLimiter::new(start);
        assert_eq!(admitted(&limiter, source(1), rate(0, 0), start, 1_000), 1_000);
        assert_eq!(admitted(&limiter, source(1), rate(5, 0), start, 1_000), 1);
    }

    #[test]
    fn memory_is_bounded_and_the_rest_share_one_allowance() {
        let start = Instant::now();
        let limiter = FailureLimiter::new(start);
        let rate = rate(1, 2);
        let flood = 3 * SOURCES_MAX as u32;
        let admitted_of_flood = (0..flood).filter(|number| limiter.admit(source(*number), rate, start).is_ok()).count();
        let remembered = || -> usize { limiter.shards.iter().map(|shard| shard.lock().unwrap().whole_at.len()).sum() };
        assert_eq!(remembered(), SOURCES_MAX);
        assert_eq!(admitted_of_flood, SOURCES_MAX + SHARDS * 2);

        let later = start + Duration::from_secs(3);
        assert!((flood..flood + 1_000).all(|number| limiter.admit(source(number), rate, later).is_ok()));
        assert!(remembered() <= 1_000, "those whose allowance is whole again made room");
    }
}
