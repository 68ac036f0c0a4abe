//! Slows password guessing down without giving anyone the means to lock an administrator out.
//!
//! An attempt is counted where it comes from, never against the account: for the source, and for the
//! pair of user name and source. Each has an allowance that may be used at once and refills at a rate.
//! Whoever fails from one place is refused there for seconds; the same user name signs in from another
//! place as if nothing had happened. A right password gives back what its attempt took.
//!
//! Attempts are counted *before* the password is looked at: what is refused costs no hashing, so the
//! guesses of one source take a bounded part of the hashing that there is. A refusal is the same for
//! user names that exist and for those that do not.
//!
//! What this does not stop: a guesser with very many addresses. It gets an allowance for each of them,
//! and at most what the hashing queue lets through (two hashes at a time, so tens a second), which finds
//! no password that [`NewPassword`](crate::domain::administrator::NewPassword) accepts, unless it is a bad one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::address::SourcePrefix;

/// How many attempts may come at once, and how many seconds bring one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub at_once: u32,
    pub seconds_each: u32,
}

/// For one user name from one source.
pub const PER_NAME_AND_SOURCE: Allowance = Allowance { at_once: 5, seconds_each: 15 };

/// For one source, whatever the names: people behind one address share it.
pub const PER_SOURCE: Allowance = Allowance { at_once: 30, seconds_each: 2 };

/// Places remembered at once. A place is forgotten when its allowance is whole again, 75 seconds after
/// its last attempt at most, and hashing does not allow nearly as many attempts in that time. Should it
/// be full all the same, places that it does not know are let through: nobody is locked out.
const PLACES_MAX: usize = 65_536;

/// It was one attempt too many; nothing was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyAttempts {
    /// When the next one will be looked at, in whole seconds from now; above zero.
    pub retry_after: Duration,
}

/// Counts attempts by the generic cell rate algorithm: per place one instant, at which its allowance is
/// whole again.
#[derive(Default)]
pub struct SignInThrottle {
    places: Mutex<Places>,
    hasher: RandomState,
}

#[derive(Default)]
struct Places {
    /// Unix seconds.
    whole_at: HashMap<Place, i64>,
    /// Not before this is it looked again for places to forget.
    sweep_at: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    source: SourcePrefix,
    /// A keyed hash of the user name; `None`: the source as a whole.
    name: Option<u64>,
}

impl SignInThrottle {
    /// Counts an attempt. Case does not tell names apart.
    ///
    /// # Errors
    /// [`TooManyAttempts`]: it is not counted, and must not be made.
    pub fn begin(&self, username: &str, source: SourcePrefix, now: Timestamp) -> Result<(), TooManyAttempts> {
        let now = now.unix_seconds();
        let mut known = self.lock();
        known.make_room(now);
        let whole_at = &mut known.whole_at;
        let places = self.places(username, source);
        let waits = places.map(|(place, allowance)| allowance.wait(whole_at.get(&place).copied(), now));
        let wait = waits.into_iter().max().unwrap_or(0);
        if wait > 0 {
            return Err(TooManyAttempts { retry_after: Duration::from_secs(wait) });
        }
        for (place, allowance) in places {
            let is_full = whole_at.len() >= PLACES_MAX;
            match whole_at.entry(place) {
                Entry::Occupied(mut known) => *known.get_mut() = allowance.after(Some(*known.get()), now),
                Entry::Vacant(_) if is_full => {}
                Entry::Vacant(new) => drop(new.insert(allowance.after(None, now))),
            }
        }
        Ok(())
    }

    /// The attempt was none at guessing: the password was right, or nobody looked at it. Gives back what
    /// it took.
    pub fn give_back(&self, username: &str, source: SourcePrefix) {
        let mut places = self.lock();
        for (place, allowance) in self.places(username, source) {
            if let Entry::Occupied(mut known) = places.whole_at.entry(place) {
                *known.get_mut() -= i64::from(allowance.seconds_each);
            }
        }
    }

    fn places(&self, username: &str, source: SourcePrefix) -> [(Place, Allowance); 2] {
        let name = Some(self.hasher.hash_one(username.to_ascii_lowercase()));
        [(Place { source, name }, PER_NAME_AND_SOURCE), (Place { source, name: None }, PER_SOURCE)]
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Whoever panicked left instants behind, and any instants are good ones.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Forgets places whose allowance is whole, if there is no place for new ones: at most once a second,
    /// so that a flood does not make every attempt cost a walk over all of them.
    fn make_room(&mut self, now: i64) {
        let is_due = now >= self.sweep_at || now < self.sweep_at - 1;
        if self.whole_at.len() >= PLACES_MAX && is_due {
            self.whole_at.retain(|_, at| *at > now);
            self.sweep_at = now + 1;
        }
    }
}

impl Allowance {
    fn whole_seconds(self) -> i64 {
        i64::from(self.at_once) * i64::from(self.seconds_each)
    }

    /// When it will be whole again after one more attempt. An instant that lies further ahead than the
    /// allowance does was noted before the clock was set back.
    fn after(self, whole_at: Option<i64>, now: i64) -> i64 {
        whole_at.unwrap_or(now).clamp(now, now + self.whole_seconds()) + i64::from(self.seconds_each)
    }

    /// Seconds until one more attempt fits in; zero: it does.
    fn wait(self, whole_at: Option<i64>, now: i64) -> u64 {
        u64::try_from(self.after(whole_at, now) - now - self.whole_seconds()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock};

    fn source(text: &str) -> SourcePrefix {
        SourcePrefix::of(text.parse().unwrap())
    }

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000))
    }

    /// How many of `tries` are looked at.
    fn admitted(throttle: &SignInThrottle, name: &str, from: &str, clock: &ManualClock, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(throttle.begin(name, source(from), clock.now()).is_ok())).sum()
    }

    #[test]
    fn guesses_at_one_name_are_slowed_down_where_they_come_from_and_nowhere_else() {
        let (throttle, clock) = (SignInThrottle::default(), clock());
        assert_eq!(admitted(&throttle, "admin", "192.0.2.1", &clock, 4), 4);
        assert_eq!(admitted(&throttle, "ADMIN", "192.0.2.1", &clock, 100), 1, "five at once, whatever the case");
        assert_eq!(admitted(&throttle, "admin", "198.51.100.1", &clock, 1), 1, "the administrator, from elsewhere");
        assert_eq!(admitted(&throttle, "ada", "192.0.2.1", &clock, 1), 1, "another one, from there");

        clock.advance(Duration::from_secs(14));
        let refused = throttle.begin("admin", source("192.0.2.1"), clock.now());
        assert_eq!(refused, Err(TooManyAttempts { retry_after: Duration::from_secs(1) }));
        clock.advance(Duration::from_secs(1));
        assert_eq!(admitted(&throttle, "admin", "192.0.2.1", &clock, 100), 1);
        clock.advance(Duration::from_secs(75));
        assert_eq!(admitted(&throttle, "admin", "192.0.2.1", &clock, 100), 5, "whole again");
    }

    #[test]
    fn one_source_is_slowed_down_however_many_names_it_tries() {
        let (throttle, clock) = (SignInThrottle::default(), clock());
        let tried = |from: &str| (0..200).map(|n| admitted(&throttle, &format!("n{n}"), from, &clock, 1)).sum::<u32>();
        assert_eq!(tried("2001:db8::1"), PER_SOURCE.at_once);
        assert_eq!(tried("2001:db8::2"), 0, "one /64 is one source");
        assert_eq!(tried("2001:db8:0:1::1"), PER_SOURCE.at_once);
        clock.advance(Duration::from_secs(u64::from(PER_SOURCE.seconds_each)));
        assert_eq!(tried("2001:db8::1"), 1);
    }

    #[test]
    fn right_passwords_take_nothing() {
        let (throttle, clock) = (SignInThrottle::default(), clock());
        for _ in 0..1_000 {
            throttle.begin("admin", source("192.0.2.1"), clock.now()).unwrap();
            throttle.give_back("admin", source("192.0.2.1"));
        }
        assert_eq!(admitted(&throttle, "admin", "192.0.2.1", &clock, 100), PER_NAME_AND_SOURCE.at_once);
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let (throttle, clock) = (SignInThrottle::default(), clock());
        assert_eq!(admitted(&throttle, "admin", "192.0.2.1", &clock, 100), 5);
        clock.set(Timestamp::from_unix_seconds(1_700_000_000));
        let refused = throttle.begin("admin", source("192.0.2.1"), clock.now()).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(15));
    }

    #[test]
    fn memory_is_bounded_and_makes_room_by_itself() {
        let (throttle, clock) = (SignInThrottle::default(), clock());
        let from = |n: u32| SourcePrefix::of(std::net::Ipv4Addr::from_bits(n).into());
        let flood = PLACES_MAX as u32;
        assert!((0..flood).all(|n| throttle.begin("admin", from(n), clock.now()).is_ok()));
        assert_eq!(throttle.lock().whole_at.len(), PLACES_MAX);
        assert!(throttle.begin("admin", from(flood), clock.now()).is_ok(), "nobody is locked out");
        assert_eq!(throttle.lock().whole_at.len(), PLACES_MAX);
        clock.advance(Duration::from_secs(75));
        assert!(throttle.begin("admin", from(flood), clock.now()).is_ok());
        assert_eq!(throttle.lock().whole_at.len(), 2);
    }
}
