//! Which key strings are known: the concurrent in-memory index that every presented key is
//! looked up in.
//!
//! Keyed by the first 16 bytes of the digest, compared over all 32 in constant time. A presented
//! text costs the same work whether it is no key string at all, unknown, or known: one digest per
//! live pepper, one lookup each, one comparison each.
//!
//! What it deliberately does not do: read the store (whoever feeds it does), judge a key's state,
//! or decide about uses: its counter is a hint for the queue, the store decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use subtle::ConditionallySelectable;

use crate::domain::key::IndexedKey;
use crate::domain::key_string::{KEY_STRING_BYTES_MAX, KeyString};
use crate::id::ProvisioningKeyId;
use crate::secret::pepper::{KeyDigest, Peppers};

/// Compared against when nothing was found, so that a miss costs what a hit costs.
const DUMMY: KeyDigest = KeyDigest::from_bytes([0; KeyDigest::BYTES]);

type Prefix = [u8; KeyDigest::PREFIX_BYTES];

/// All keys of all customers. Shared in an `Arc`; no lock is held beyond a call.
pub struct KeyIndex {
    by_digest: DashMap<Prefix, Arc<KeyEntry>>,
    /// To find what to take out when only the id is left.
    by_id: DashMap<ProvisioningKeyId, Prefix>,
    peppers: Peppers,
}

/// A key as of its last change, with the count as of its last commit on this node.
pub struct KeyEntry {
    key: IndexedKey,
    uses: AtomicU32,
}

impl KeyIndex {
    pub fn new(peppers: Peppers) -> Self {
        Self { by_digest: DashMap::new(), by_id: DashMap::new(), peppers }
    }

    /// The key that `text` is the key string of. Allocates nothing.
    pub fn find(&self, text: &str) -> Option<Arc<KeyEntry>> {
        let parsed = KeyString::parse(text);
        // What does not parse is digested all the same, up to the longest that could have parsed.
        let bytes = match &parsed {
            Some(key_string) => key_string.as_str().as_bytes(),
            None => &text.as_bytes()[..text.len().min(KEY_STRING_BYTES_MAX)],
        };
        let mut found = None;
        for (_, presented) in self.peppers.digests(bytes) {
            let candidate = self.by_digest.get(&presented.prefix()).map(|entry| Arc::clone(&entry));
            let stored = candidate.as_ref().map_or(&DUMMY, |entry| &entry.key.digest);
            let mut accepted = presented.matches(stored);
            accepted.conditional_assign(&0.into(), u8::from(parsed.is_none()).into());
            if bool::from(accepted) {
                found = candidate;
            }
        }
        found
    }

    /// Adds a key, or replaces what is known of it.
    pub fn put(&self, key: IndexedKey) {
        let (id, prefix) = (key.id, key.digest.prefix());
        let uses = AtomicU32::new(key.uses);
        self.by_digest.insert(prefix, Arc::new(KeyEntry { key, uses }));
        let previous = self.by_id.insert(id, prefix);
        if let Some(previous) = previous.filter(|previous| *previous != prefix) {
            self.by_digest.remove_if(&previous, |_, entry| entry.key.id == id);
        }
    }

    pub fn remove(&self, id: ProvisioningKeyId) {
        if let Some((_, prefix)) = self.by_id.remove(&id) {
            self.by_digest.remove_if(&prefix, |_, entry| entry.key.id == id);
        }
    }

    /// Takes out every key; for a node that must load everything anew.
    pub fn clear(&self) {
        self.by_digest.clear();
        self.by_id.clear();
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl KeyEntry {
    /// The settings; its `uses` is what they were read with, see [`Self::uses`].
    pub fn key(&self) -> &IndexedKey {
        &self.key
    }

    /// The count as far as this node knows. Never more than the store's.
    pub fn uses(&self) -> u32 {
        self.uses.load(Ordering::Acquire)
    }

    /// Takes over a count that the store answered.
    ///
    /// Counts only go up between changes of the key (a release is a change, and brings a new
    /// entry), so the larger one is the newer one.
    pub fn observe_uses(&self, uses: u32) {
        self.uses.fetch_max(uses, Ordering::AcqRel);
    }

    /// Whether the store is known to have given out every use.
    pub fn is_exhausted(&self) -> bool {
        self.key.maximum.is_some_and(|maximum| self.uses() >= maximum.get())
    }
}
