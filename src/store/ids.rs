//! Hands out ids, a block at a time.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::{Store, StoreError};
use crate::id::Id;

/// Ids per block. Small enough that restarts in a loop do not use up 53 bits, large enough that
/// the store is asked rarely.
const BLOCK: u64 = 1 << 16;

/// The process's source of new ids.
pub struct IdAllocator {
    store: Arc<dyn Store>,
    block: Mutex<Range<u64>>,
}

impl IdAllocator {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, block: Mutex::new(0..0) }
    }

    /// A new id. Asks the store once per 65,536 ids.
    ///
    /// # Errors
    /// The store's, when a new block is needed and cannot be had.
    pub async fn next<T: Id>(&self) -> Result<T, StoreError> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            let first = self.store.reserve_ids(BLOCK).await?;
            *block = first..first + BLOCK;
        }
        let raw = block.next().expect("a new block is not empty");
        Ok(T::from_raw(raw))
    }
}
