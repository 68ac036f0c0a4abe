//! What `turns.rs` names of the room `index`: a key and its count, as `src/index/mod.rs` has them. The count is a
//! number that threads may meet at.

use std::num::NonZeroU32;

use shuttle::sync::atomic::{AtomicU32, Ordering};

use crate::domain::Revision;
use crate::id::ProvisioningKeyId;

pub struct KeyEntry {
    key: Key,
    uses: AtomicU32,
}

pub struct Key {
    pub id: ProvisioningKeyId,
    pub maximum: Option<NonZeroU32>,
    pub revision: Revision,
}

impl KeyEntry {
    pub fn new(id: ProvisioningKeyId, maximum: u32) -> Self {
        let key = Key { id, maximum: NonZeroU32::new(maximum), revision: Revision(1) };
        Self { key, uses: AtomicU32::new(0) }
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn uses(&self) -> u32 {
        self.uses.load(Ordering::Acquire)
    }

    pub fn observe_uses(&self, uses: u32) {
        self.uses.fetch_max(uses, Ordering::AcqRel);
    }

    pub fn is_exhausted(&self) -> bool {
        self.key.maximum.is_some_and(|maximum| self.uses() >= maximum.get())
    }
}
