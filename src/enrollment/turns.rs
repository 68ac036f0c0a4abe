//! Keeping the queue honest: one request at a time per device, and no more signatures under way
//! for a key than it has uses left.
//!
//! None of this is stored and none of it decides: the store's transaction does. Without it the
//! result would be the same, at the price of signatures that are dropped unsent.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{Notify, OwnedMutexGuard};

use crate::domain::{Fingerprint, Revision};
use crate::id::ProvisioningKeyId;
use crate::index::KeyEntry;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Who is being served, by (key, fingerprint).
#[derive(Default)]
pub struct Turns {
    pub(super) devices: DashMap<(ProvisioningKeyId, Fingerprint), Arc<tokio::sync::Mutex<()>>>,
}

/// While it is held, other requests of the same device wait.
pub struct Turn<'a> {
    turns: &'a Turns,
    device: (ProvisioningKeyId, Fingerprint),
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for earlier requests of the same (key, fingerprint).
    pub async fn take(&self, key: ProvisioningKeyId, fingerprint: &Fingerprint) -> Turn<'_> {
        let device = (key, fingerprint.clone());
        let mutex = Arc::clone(&self.devices.entry(device.clone()).or_default());
        // Made before waiting, so that a request that is dropped in the queue cleans up as well.
        let mut turn = Turn { turns: self, device, guard: None };
        turn.guard = Some(mutex.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        // Newcomers clone the Arc under the map's lock, so a count of one means nobody waits.
        self.turns.devices.remove_if(&self.device, |_, mutex| Arc::strong_count(mutex) == 1);
    }
}

/// How many uses of each key are under way, counted apart for each revision of its settings: under
/// load, those who wait by an old maximum would else wait for all who came under the new one.
#[derive(Default)]
pub struct Seats {
    pub(super) keys: DashMap<(ProvisioningKeyId, Revision), Arc<KeySeats>>,
}

#[derive(Default)]
pub(super) struct KeySeats {
    taken: Mutex<u32>,
    settled: Notify,
}

/// One use under way. Dropping it lets the next in line look again.
pub struct Seat<'a> {
    seats: &'a Seats,
    key: (ProvisioningKeyId, Revision),
    /// `None` for a key without limit, which needs no counting.
    counted: Option<Arc<KeySeats>>,
}

impl Seats {
    /// A seat, or `None` when the key's uses are given out for good. While they are merely all
    /// under way, waits for one to settle: it may yet fail and leave its use to this request.
    pub async fn take(&self, entry: &KeyEntry) -> Option<Seat<'_>> {
        let key = (entry.key().id, entry.key().revision);
        let Some(maximum) = entry.key().maximum else {
            return Some(Seat { seats: self, key, counted: None });
        };
        if entry.is_exhausted() {
            return None;
        }
        let seats = Arc::clone(&self.keys.entry(key).or_default());
        let seat = loop {
            let settled = seats.settled.notified();
            {
                let mut taken = seats.lock();
                if entry.is_exhausted() {
                    break None;
                }
                if entry.uses().saturating_add(*taken) < maximum.get() {
                    *taken += 1;
                    break Some(Seat { seats: self, key, counted: Some(Arc::clone(&seats)) });
                }
            }
            settled.await;
        };
        if seat.is_none() {
            // Whoever learns that the key is exhausted tells the next in line.
            seats.settled.notify_one();
        }
        self.forget(key, seats);
        seat
    }

    fn forget(&self, key: (ProvisioningKeyId, Revision), seats: Arc<KeySeats>) {
        drop(seats);
        self.keys.remove_if(&key, |_, seats| Arc::strong_count(seats) == 1);
    }
}

impl KeySeats {
    fn lock(&self) -> MutexGuard<'_, u32> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(seats) = self.counted.take() {
            *seats.lock() -= 1;
            seats.settled.notify_one();
            self.seats.forget(self.key, seats);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::domain::{IndexedKey, Networks};
    use crate::id::{CustomerId, GroupId, Id, SigningCertificateId};
    use crate::index::KeyIndex;
    use crate::secret::pepper::{PepperNumber, Peppers};

    /// A key's entry as the index makes it.
    fn entry(maximum: Option<u32>, uses: u32) -> Arc<KeyEntry> {
        entry_of(Revision::FIRST, maximum, uses)
    }

    fn entry_of(revision: Revision, maximum: Option<u32>, uses: u32) -> Arc<KeyEntry> {
        let peppers = [(PepperNumber(1), Peppers::generate())];
        let index = KeyIndex::new(Arc::new(Peppers::new(&peppers)));
        let text = "1|localhost|AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        index.put(IndexedKey {
            id: ProvisioningKeyId::from_raw(7),
            customer_id: CustomerId::from_raw(1),
            group_id: GroupId::from_raw(2),
            signing_certificate_id: SigningCertificateId::from_raw(3),
            maximum: maximum.and_then(NonZeroU32::new),
            enabled: true,
            allow_re_enrollment: false,
            expires_at: None,
            addresses: Networks::default(),
            digest: Peppers::new(&peppers).digest(text.as_bytes()).1,
            uses: uses.into(),
            revision,
        });
        index.find_by_id(ProvisioningKeyId::from_raw(7)).unwrap()
    }

    #[tokio::test]
    async fn a_second_request_of_the_same_device_waits() {
        let turns = Turns::default();
        let key = ProvisioningKeyId::from_raw(7);
        let (one, other) =
            (Fingerprint::new("0123456789abcdef").unwrap(), Fingerprint::new("fedcba9876543210").unwrap());
        let first = turns.take(key, &one).await;
        let _other = turns.take(key, &other).await;
        let mut second = Box::pin(turns.take(key, &one));
        assert!(futures_poll(&mut second).is_none());
        drop(first);
        assert!(futures_poll(&mut second).is_some());
        drop(second);
        drop(_other);
        assert!(turns.devices.is_empty());
    }

    #[tokio::test]
    async fn a_request_dropped_while_waiting_leaves_nothing_behind() {
        let turns = Turns::default();
        let key = ProvisioningKeyId::from_raw(7);
        let device = Fingerprint::new("0123456789abcdef").unwrap();
        let first = turns.take(key, &device).await;
        let mut second = Box::pin(turns.take(key, &device));
        assert!(futures_poll(&mut second).is_none());
        drop(second);
        drop(first);
        assert!(turns.devices.is_empty());
    }

    #[tokio::test]
    async fn a_failed_use_leaves_its_seat_to_the_next() {
        let (seats, entry) = (Seats::default(), entry(Some(2), 1));
        let first = seats.take(&entry).await.unwrap();
        let mut second = Box::pin(seats.take(&entry));
        assert!(futures_poll(&mut second).is_none(), "one use is left, and it is under way");
        drop(first);
        let second = futures_poll(&mut second).expect("the wait is over");
        assert!(second.is_some());
        drop(second);
        assert!(seats.keys.is_empty());
    }

    #[tokio::test]
    async fn when_the_last_use_is_taken_everyone_in_line_learns_it() {
        let (seats, entry) = (Seats::default(), entry(Some(1), 0));
        let first = seats.take(&entry).await.unwrap();
        let mut waiting: Vec<_> = (0..20).map(|_| Box::pin(seats.take(&entry))).collect();
        for wait in &mut waiting {
            assert!(futures_poll(wait).is_none());
        }
        entry.observe_uses(1);
        drop(first);
        for wait in &mut waiting {
            assert!(matches!(futures_poll(wait), Some(None)));
        }
        drop(waiting);
        assert!(seats.keys.is_empty());
    }

    #[tokio::test]
    async fn who_waits_under_old_settings_does_not_wait_for_those_under_new_ones() {
        let seats = Seats::default();
        let (before, after) = (entry(Some(2), 1), entry_of(Revision::FIRST.next(), Some(1_000), 1));
        let first = seats.take(&before).await.unwrap();
        let mut waiting = Box::pin(seats.take(&before));
        assert!(futures_poll(&mut waiting).is_none());
        let under_new_settings = [seats.take(&after).await.unwrap(), seats.take(&after).await.unwrap()];
        drop(first);
        let waited = futures_poll(&mut waiting).expect("the only seat under the old settings is free again");
        assert!(waited.is_some());
        drop((waited, under_new_settings, waiting));
        assert!(seats.keys.is_empty());
    }

    #[tokio::test]
    async fn a_key_without_limit_never_waits() {
        let (seats, entry) = (Seats::default(), entry(None, 5));
        let held: Vec<_> = [seats.take(&entry).await, seats.take(&entry).await].into();
        assert!(held.iter().all(Option::is_some));
        assert!(seats.keys.is_empty());
    }

    /// Polls once; `Some` when ready.
    fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
