//! Something that is so or not, and that tasks wait for.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Who waits is woken in the order of arrival, so that a run can be repeated: a `watch` wakes by chance.
#[derive(Default)]
pub struct Flag {
    is_set: AtomicBool,
    changed: Notify,
}

impl Flag {
    pub fn set(&self, is_set: bool) {
        self.is_set.store(is_set, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    pub async fn until(&self, is_set: bool) {
        loop {
            let changed = self.changed.notified();
            if self.is_set() == is_set {
                return;
            }
            changed.await;
        }
    }
}
