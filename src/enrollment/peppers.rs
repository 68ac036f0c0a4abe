//! The node's peppers, kept up with the store's, and the keys that are to move to the newest one.
//!
//! A pepper that another node adds is known here from the feed on, before any key is under it: nobody makes digests by a
//! new one until all who follow the feed have seen it ([`SETTLES`]). Which keys still have an older one's digest, and
//! were presented, is noted in memory; what is lost of that is noted again by the next use (docs/decisions/0028).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::peppers::open_peppers;
use crate::domain::places;
use crate::id::ProvisioningKeyId;
use crate::index::{KeyEntry, KeyIndex, PresentedKey};
use crate::secret::master::MasterKeys;
use crate::secret::pepper::{PepperBytes, PepperNumber};
use crate::store::{NewDigest, SealedSecret, Store, StoreError};

/// How long a new pepper only verifies where other nodes share the store. Twice as long as a node that has lost the store
/// believes what it knew: whoever has not heard of the pepper by then refuses nobody for it.
const SETTLES: Duration = Duration::from_secs(10);

/// Keys that are remembered at a time.
const NOTED_MAX: usize = 10_000;

/// Keys that move in one transaction: an enrollment waits for no more of them.
const MOVED_AT_ONCE: usize = 100;

/// What a node does about its peppers.
pub(super) struct PepperWatch {
    followed: Mutex<Followed>,
    /// Keys that were presented and are to move, until they are handed over.
    noted: Mutex<HashMap<ProvisioningKeyId, NewDigest<ProvisioningKeyId>>>,
}

/// How far the store was followed.
#[derive(Default)]
struct Followed {
    /// As they were read last; empty before the first time.
    sealed: Vec<SealedSecret>,
    /// From when on the newest makes digests. `None`: it does.
    settled: Option<Instant>,
}

impl PepperWatch {
    pub(super) fn new() -> Self {
        Self { followed: Mutex::default(), noted: Mutex::default() }
    }

    /// Lets the store's peppers that are new verify here, beside those that do, and answers whether any came or went. One
    /// that is gone is kept, as keys that moved away from it may not have been read anew yet: that is for
    /// [`follow`](Self::follow), afterwards.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn add_new(
        &self,
        store: &dyn Store,
        master_keys: &MasterKeys,
        index: &KeyIndex,
    ) -> Result<bool, StoreError> {
        let news = self.read_news(store, master_keys).await?;
        if let Some((_, peppers)) = &news {
            index.peppers().add(peppers);
        }
        Ok(news.is_some())
    }

    /// Takes over the peppers as the store has them now.
    ///
    /// # Errors
    /// The store's. [`StoreError::Corrupt`]: one does not open, so this node cannot tell which strings are unknown.
    pub(super) async fn follow(
        &self,
        store: &dyn Store,
        master_keys: &MasterKeys,
        index: &KeyIndex,
    ) -> Result<(), StoreError> {
        let Some((sealed, peppers)) = self.read_news(store, master_keys).await? else { return Ok(()) };
        let mut followed = self.followed();
        let is_known = |name: &str| followed.sealed.iter().any(|known| known.name == name);
        // A new master key seals the same ones.
        let are_others = sealed.len() != followed.sealed.len() || !sealed.iter().all(|secret| is_known(&secret.name));
        let newest = peppers.first().map(|(number, _)| *number);
        let makes = newest == Some(index.peppers().making()) && newest.is_some_and(|it| is_known(&it.0.to_string()));
        let is_settled = makes || peppers.len() < 2 || !store.is_shared();
        index.peppers().replace(&peppers, is_settled);
        followed.settled = (!is_settled).then(|| Instant::now() + SETTLES);
        if followed.sealed.is_empty() || !are_others {
            tracing::debug!(peppers = peppers.len(), "the peppers were read");
        } else {
            tracing::info!(newest = newest.map(|it| it.0), live = peppers.len(), "The peppers have changed.");
        }
        followed.sealed = sealed;
        Ok(())
    }

    /// The store's peppers, sealed and opened, if they are others than were followed last.
    async fn read_news(
        &self,
        store: &dyn Store,
        master_keys: &MasterKeys,
    ) -> Result<Option<(Vec<SealedSecret>, Vec<(PepperNumber, PepperBytes)>)>, StoreError> {
        let sealed = store.list_secrets(places::PEPPER).await?;
        if sealed == self.followed().sealed || sealed.is_empty() {
            return Ok(None);
        }
        let peppers = open_peppers(sealed.iter().map(|secret| (&*secret.name, &*secret.sealed)), master_keys)
            .map_err(|error| StoreError::Corrupt { detail: error.to_string() })?;
        Ok(Some((sealed, peppers)))
    }

    /// Lets the newest pepper make digests when its time has come. Called every second.
    pub(super) fn settle(&self, index: &KeyIndex) {
        let mut followed = self.followed();
        if followed.settled.is_some_and(|settled| Instant::now() >= settled) {
            followed.settled = None;
            index.peppers().settle();
        }
    }

    /// A key was presented, so the digest that it is to have can be told, if it is to have another. Costs a look at the
    /// number of live peppers when there is one.
    pub(super) fn note(&self, index: &KeyIndex, presented: &PresentedKey, entry: &Arc<KeyEntry>) {
        let Some((pepper, digest)) = index.newer_digest(presented, entry) else { return };
        let key = entry.key();
        let mut noted = self.noted();
        if noted.len() < NOTED_MAX {
            let new = NewDigest { customer: key.customer_id, id: key.id, before: key.digest, pepper, digest };
            noted.insert(key.id, new);
        }
    }

    /// Has those keys moved that were presented, and answers how many were.
    ///
    /// # Errors
    /// The store's. They are noted again when they are presented again.
    pub(super) async fn hand_over(&self, store: &dyn Store) -> Result<u64, StoreError> {
        let mut noted: Vec<_> = std::mem::take(&mut *self.noted()).into_values().collect();
        noted.sort_unstable_by_key(|new| (new.customer, new.id));
        let mut moved = 0;
        for part in noted.chunks(MOVED_AT_ONCE) {
            moved += store.replace_digests(part.to_vec()).await?;
        }
        Ok(moved)
    }

    /// No code of others runs under these locks, so a poisoned one still holds what it held.
    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<ProvisioningKeyId, NewDigest<ProvisioningKeyId>>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
