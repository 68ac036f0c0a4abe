//! Looks at a store that changes while it is looked at.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicU32, Ordering};
use tokio::task::yield_now;

use super::freshness::{Freshness, Memory};
use crate::store::StoreError;

#[derive(Default)]
struct Copy {
    stored: AtomicU32,
    copied: AtomicU32,
    looking: AtomicU32,
    looks: AtomicU32,
}

impl Memory for Copy {
    async fn catch_up(&self) -> Result<(), StoreError> {
        assert_eq!(self.looking.fetch_add(1, Ordering::SeqCst), 0, "two looks at once");
        let look = self.looks.fetch_add(1, Ordering::SeqCst);
        let stored = self.stored.load(Ordering::SeqCst);
        yield_now().await;
        self.looking.fetch_sub(1, Ordering::SeqCst);
        if look == 1 {
            return Err(StoreError::Unavailable { reason: "the second look fails".to_owned() });
        }
        self.copied.fetch_max(stored, Ordering::SeqCst);
        Ok(())
    }
}

/// Four who ask while the store changes, one of whom hangs up at some moment: whoever is told that memory is current
/// has what was stored before it asked, one look runs at a time, and nobody waits for ever.
pub fn a_look_begins_after_it_was_asked_for() {
    block_on(async {
        let (freshness, copy) = (Arc::new(Freshness::new()), Arc::new(Copy::default()));
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let (freshness, copy) = (Arc::clone(&freshness), Arc::clone(&copy));
                tokio::spawn(async move {
                    let before = copy.stored.fetch_add(1, Ordering::SeqCst) + 1;
                    if freshness.confirm(&copy).await.is_ok() {
                        assert!(copy.copied.load(Ordering::SeqCst) >= before, "memory is older than the question");
                    }
                })
            })
            .collect();
        asking[1].abort();
        for (number, asking) in asking.into_iter().enumerate() {
            assert!(asking.await.is_ok() || number == 1);
        }
        assert!(copy.looks.load(Ordering::SeqCst) <= 4, "more looks than questions");
    });
}
