//! Places shared out by dynamic thresholds, as switches share their buffers: an owner may hold three
//! times as many as are free, no more.
//!
//! Alone it gets three quarters of them, as a boot storm behind one address or with one key needs. A
//! flood of *n* owners leaves `1 / (1 + 3 n)` of the places to everyone else, and who holds none is let
//! in as long as there is one.

use std::collections::HashMap;
use std::hash::Hash;

/// Places that one owner may hold for each that is free.
const PLACES_PER_FREE_PLACE: usize = 3;

/// How many places each owner holds. One entry for a place at most.
#[derive(Debug)]
pub struct Shares<K>(HashMap<K, usize>);

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Shares<K> {
    /// What one owner may hold while so many places are free.
    pub fn most(free: usize) -> usize {
        PLACES_PER_FREE_PLACE.saturating_mul(free)
    }

    pub fn held(&self, owner: &K) -> usize {
        self.0.get(owner).copied().unwrap_or(0)
    }

    /// Takes one of the `free` places. `false`, and not taken: the owner has its share.
    pub fn take(&mut self, owner: K, free: usize) -> bool {
        let held = self.held(&owner);
        let is_taken = held < Self::most(free);
        if is_taken {
            self.0.insert(owner, held + 1);
        }
        is_taken
    }

    pub fn give_back(&mut self, owner: &K) {
        match self.0.get_mut(owner) {
            Some(held @ 2..) => *held -= 1,
            _ => drop(self.0.remove(owner)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 100;

    /// Takes until each of the owners is refused; how many there were for each.
    fn flood(shares: &mut Shares<u32>, owners: std::ops::Range<u32>) -> Vec<usize> {
        loop {
            let mut taken = 0;
            for owner in owners.clone() {
                let free = PLACES - shares.0.values().sum::<usize>();
                taken += usize::from(shares.take(owner, free));
            }
            if taken == 0 {
                return owners.map(|owner| shares.held(&owner)).collect();
            }
        }
    }

    #[test]
    fn one_alone_gets_three_quarters() {
        assert_eq!(flood(&mut Shares::default(), 0..1), [75]);
    }

    #[test]
    fn a_flood_leaves_places_to_who_holds_none() {
        for owners in 1..=20 {
            let mut shares = Shares::default();
            let held: usize = flood(&mut shares, 0..owners).iter().sum();
            assert!(held < PLACES, "{owners} owners took all");
            assert!(shares.take(owners, PLACES - held));
        }
    }

    #[test]
    fn what_is_given_back_is_free_and_forgotten() {
        let mut shares = Shares::default();
        assert!(!shares.take(1, 0));
        for free in (1..=3).rev() {
            assert!(shares.take(1, free));
        }
        assert!(!shares.take(1, 1));
        (0..3).for_each(|_| shares.give_back(&1));
        assert_eq!(shares.held(&1), 0);
        assert!(shares.0.is_empty());
    }
}
