//! Which master key seals. The store says it ([`SETTING_SEALED_BY`]) and takes nothing that another sealed, so a node with an
//! older file cannot seal backwards, and a master key that seals nothing any more never will again.
//!
//! A first line that never sealed here is an order to go over to it ([`reseal`](super::reseal)). One that did is of an older
//! file: whoever has that goes by the store.

use crate::domain::places;
use crate::secret::master::{MasterKeys, UnsealError};
use crate::store::{SETTING_SEALED_BY, Store, StoreError};

/// Ids of the master keys that have sealed in a store, the one that seals first; empty in one that does not say it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedBy(Vec<String>);

/// Why a store's word cannot be followed. Nothing that is sealed here is kept until it can.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    #[error(
        "everything is sealed by master key {id} now, which is not among those here: copy the master key file of a node \
         that has it"
    )]
    Missing { id: String },
    #[error(
        "everything is sealed by a master key {id} that is not the one of this id here: copy the master key file of a \
         node that has it, and keep this one's other lines"
    )]
    Differs { id: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SealedBy {
    /// # Errors
    /// The store's.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let value = store.find_setting(SETTING_SEALED_BY).await?.unwrap_or_default();
        Ok(Self(value.split_whitespace().map(str::to_owned).collect()))
    }

    /// As the setting has it; `None`: it is not there.
    pub fn value(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(" "))
    }

    /// The one that seals first.
    pub fn ids(&self) -> &[String] {
        &self.0
    }

    /// The one that seals.
    pub fn sealing(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// Whether it sealed and never will again.
    pub fn is_former(&self, id: &str) -> bool {
        self.0.iter().skip(1).any(|other| other == id)
    }

    /// Whether it seals or sealed.
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|other| other == id)
    }

    /// The first of `ids`, if it is to seal and never did.
    pub fn successor<'a>(&self, ids: &'a [String]) -> Option<&'a str> {
        ids.first().map(String::as_str).filter(|first| !self.has(first))
    }

    /// With another that seals.
    #[must_use]
    pub fn succeeded_by(&self, id: &str) -> Self {
        Self([id.to_owned()].into_iter().chain(self.0.iter().cloned()).collect())
    }
}

/// Has `master_keys` seal by the one that the store says. Two reads at most.
///
/// # Errors
/// [`SealingError`]; what seals is as it was, and the store takes nothing of it.
pub async fn follow(store: &dyn Store, master_keys: &MasterKeys) -> Result<SealedBy, SealingError> {
    let sealed_by = SealedBy::load(store).await?;
    let Some(id) = sealed_by.sealing() else { return Ok(sealed_by) };
    if master_keys.sealing_id() == id {
        return Ok(sealed_by);
    }
    // By what it opens, and not by its name: two nodes may each have made one of the same id.
    let place = places::token_key();
    for secret in store.list_secrets(place.purpose()).await?.iter().filter(|secret| secret.name == place.record()) {
        match master_keys.open(place.as_place(), &secret.sealed) {
            Ok(_) => {}
            Err(UnsealError::UnknownMasterKey { id }) => return Err(SealingError::Missing { id }),
            Err(UnsealError::Refused) => return Err(SealingError::Differs { id: id.to_owned() }),
        }
    }
    if !master_keys.seal_by(id) {
        return Err(SealingError::Missing { id: id.to_owned() });
    }
    tracing::info!(id, "Master key {id} seals from now on.");
    Ok(sealed_by)
}
