//! Turns and seats, with requests that are dropped wherever they wait.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicU32, Ordering};
use tokio::task::yield_now;

use super::turns::{Seats, Turns};
use crate::domain::Fingerprint;
use crate::id::{Id, ProvisioningKeyId};
use crate::index::KeyEntry;

fn key() -> ProvisioningKeyId {
    ProvisioningKeyId::from_raw(7)
}

/// Three requests of one device and one of another, one of the three hangs up at some moment: never two of a device
/// are served at once, everybody else is served, and nothing is left behind.
pub fn one_turn_per_device() {
    block_on(async {
        let turns = Arc::new(Turns::default());
        let served = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let requests: Vec<_> = [0, 0, 0, 1]
            .into_iter()
            .map(|device| {
                let (turns, served) = (Arc::clone(&turns), Arc::clone(&served));
                tokio::spawn(async move {
                    let turn = turns.take(key(), &Fingerprint(device)).await;
                    let at_work = AtWork::begin(&served[device as usize]);
                    assert_eq!(at_work.others, 0, "two requests of a device are served at once");
                    yield_now().await;
                    drop(at_work);
                    drop(turn);
                })
            })
            .collect();
        requests[1].abort();
        for (number, request) in requests.into_iter().enumerate() {
            assert!(request.await.is_ok() || number == 1);
        }
        assert!(turns.devices.is_empty(), "something is left of a device that nobody serves");
    });
}

/// Counts who is at work, also when that is broken off.
struct AtWork<'a> {
    count: &'a AtomicU32,
    others: u32,
}

impl<'a> AtWork<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        Self { others: count.fetch_add(1, Ordering::SeqCst), count }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A key of two uses, four devices, one of which hangs up at some moment: never more are signed for than uses are left,
/// who is refused is refused because they are taken, and nobody waits for ever.
pub fn no_more_seats_than_uses_are_left() {
    race(4, 2, Some(2), false);
}

/// The first commit fails. Its use goes to another, so both are taken in the end.
pub fn a_failed_use_is_anothers() {
    race(4, 2, None, true);
}

fn race(devices: u32, maximum: u32, hangs_up: Option<usize>, first_fails: bool) {
    block_on(async move {
        let (seats, entry) = (Arc::new(Seats::default()), Arc::new(KeyEntry::new(key(), maximum)));
        let (at_work, stored) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let requests: Vec<_> = (0..devices)
            .map(|device| {
                let (seats, entry) = (Arc::clone(&seats), Arc::clone(&entry));
                let (at_work, stored) = (Arc::clone(&at_work), Arc::clone(&stored));
                tokio::spawn(async move {
                    let Some(seat) = seats.take(&entry).await else {
                        assert_eq!(stored.load(Ordering::SeqCst), maximum, "refused while a use is left");
                        return;
                    };
                    let working = AtWork::begin(&at_work);
                    assert!(working.others < maximum, "more are signed for than there are uses");
                    yield_now().await;
                    if !(first_fails && device == 0) {
                        let uses = stored.fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(uses <= maximum, "a commit that the store had to refuse");
                        entry.observe_uses(uses);
                    }
                    drop(working);
                    drop(seat);
                })
            })
            .collect();
        if let Some(request) = hangs_up {
            requests[request].abort();
        }
        for (number, request) in requests.into_iter().enumerate() {
            assert!(request.await.is_ok() || Some(number) == hangs_up);
        }
        assert_eq!(stored.load(Ordering::SeqCst), maximum, "a use was left to nobody");
        assert!(seats.keys.is_empty(), "something is left of a key that nobody uses");
    });
}
