//! The use cases of administrators: validate as a whole, authorise, one transaction with its audit
//! event, then announce.
//!
//! Every door (the REST API, the portal, the command line through the API) calls the same methods
//! of [`Management`], one per use case, one file per aggregate. Each takes the [`Actor`] and decides
//! by itself whether the actor may: a door cannot forget to ask.
//!
//! What it deliberately does not do: know HTTP, status codes, wire names or SQL; issue component
//! certificates; see the enrollment room. After a commit it tells [`Announce`], and answers only when
//! that is done, so that a key enrolls the moment its creation is answered.

pub mod actors;
pub mod administrators;
pub mod api_clients;
pub mod audit;
pub mod certificate_uploads;
pub mod clean_up;
pub mod components;
pub mod crls;
pub mod customers;
pub mod error;
pub mod fields;
pub mod first_start;
pub mod groups;
pub mod home;
pub mod keys;
pub mod once;
pub mod peppers;
pub mod preferences;
pub mod recovery;
pub mod reseal;
pub mod restored;
pub mod saved_filters;
pub mod sealing;
pub mod sessions;
pub mod signing_certificates;
pub mod tls_anchor;
pub mod webhooks;

mod audited;
mod edits;
mod failed_sign_ins;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use self::edits::Attempt;
use self::failed_sign_ins::FailedSignIns;
use crate::auth::{Passwords, SignInThrottle, TokenKey};
use crate::ca::Profile;
use crate::clock::Clock;
use crate::domain::audit::{AuditEvent, AuditKey};
use crate::domain::webhook::Destinations;
use crate::domain::{Actor, Cloud, Name, Role, TrustPin};
use crate::id::CustomerId;
use crate::secret::master::MasterKeys;
use crate::secret::pepper::Peppers;
use crate::store::{BrokenRule, Change, ChangeError, ChangeSequence, IdAllocator, Store};

pub use error::{Error, InvalidToken, Object};
pub use failed_sign_ins::Which;
pub use fields::{Field, FieldError, FieldErrors, Input};
pub use once::Request;

/// Told of every administrative commit before its caller is answered.
///
/// `app` connects it to whatever keeps settings in memory.
#[async_trait]
pub trait Announce: Send + Sync {
    /// Returns when everything up to `through` is in force on this node.
    ///
    /// # Errors
    /// When that could not be reached. The commit stands all the same.
    async fn announce(&self, through: ChangeSequence) -> Result<(), AnnounceError>;
}

/// A commit is durable, yet this node could not be brought up to it.
#[derive(Debug, thiserror::Error)]
#[error("the change {through:?} is stored but not yet in force on this node: {reason}")]
pub struct AnnounceError {
    pub through: ChangeSequence,
    pub reason: String,
}

/// What management is made of. All of it is shared with other rooms, so `app` makes it.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub ids: Arc<IdAllocator>,
    pub clock: Arc<dyn Clock>,
    pub announce: Arc<dyn Announce>,
    pub master_keys: Arc<MasterKeys>,
    pub audit_key: Arc<AuditKey>,
    pub peppers: Arc<Peppers>,
    pub token_key: Arc<TokenKey>,
    /// Stands in new key strings. Swapped by `muster cloud set`.
    pub cloud: Arc<ArcSwap<Cloud>>,
    /// Stands in new key strings. Swapped when the endpoint's anchor changes.
    pub trust_pin: Arc<ArcSwap<TrustPin>>,
    /// What trial certificates of new signing certificates are made with.
    pub profile: Arc<Profile>,
    /// How long the certificates of components live that new signing certificates sign.
    pub component_lifetime_seconds: u32,
    /// Where webhooks may lead.
    pub webhook_destinations: Destinations,
}

/// The use cases. Share in an `Arc`.
pub struct Management {
    parts: Parts,
    passwords: Passwords,
    throttle: SignInThrottle,
    failed_sign_ins: FailedSignIns,
}

impl Management {
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            passwords: Passwords::default(),
            throttle: SignInThrottle::default(),
            failed_sign_ins: FailedSignIns::default(),
        }
    }

    fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    fn now(&self) -> crate::clock::Timestamp {
        self.parts.clock.now()
    }

    /// Whether `actor` may do what takes `needed` in `customer`. Every use case asks by itself; a door
    /// asks only for the fixed answers that it gives without one.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another's customer, the same as for a missing one; then
    /// [`Error::Forbidden`].
    pub async fn authorise(&self, actor: &Actor, customer: CustomerId, needed: Role) -> Result<(), Error> {
        let missing = || Error::not_found(Object::Customer, customer);
        if !actor.reaches(customer) {
            return Err(missing());
        }
        if actor.role < needed {
            return Err(Error::Forbidden { role: actor.role, needed });
        }
        // One's own customer was looked at when the actor was authenticated.
        if actor.customer_id != customer && self.store().find_customer(customer).await?.is_none() {
            return Err(missing());
        }
        Ok(())
    }

    /// One transaction with its audit events, in force on this node when this returns.
    async fn commit(&self, changes: Vec<Change>, audit: Vec<AuditEvent>) -> Result<(), CommitError> {
        let through = self.store().commit_changes(changes, audit, &self.parts.audit_key).await?;
        // The change is durable: refusing now would make the caller lose a key string that is shown
        // once. The feed brings the node up to date as soon as it can be read.
        if let Err(error) = self.parts.announce.announce(through).await {
            tracing::error!(error = %error, "a stored change is not in force on this node yet");
        }
        Ok(())
    }

    /// Brings this node up to what the store has now, for whoever found that it is behind.
    async fn catch_up(&self) -> Result<(), Error> {
        let through = self.store().last_change().await?;
        if let Err(error) = self.parts.announce.announce(through).await {
            tracing::warn!(error = %error, "this node is behind the store and could not catch up");
        }
        Ok(())
    }

    /// [`commit`](Self::commit) of one change within an attempt of
    /// [`until_not_overtaken`](edits::until_not_overtaken): whether the row was still as it was read.
    /// `id` and `name` are the object's, for the error.
    async fn commit_edit(
        &self,
        change: Change,
        event: AuditEvent,
        about: (Object, impl std::fmt::Display, &str),
    ) -> Result<Attempt<()>, Error> {
        self.commit_edits(vec![change], vec![event], about).await
    }

    /// The same for an edit of several changes.
    async fn commit_edits(
        &self,
        changes: Vec<Change>,
        events: Vec<AuditEvent>,
        (object, id, name): (Object, impl std::fmt::Display, &str),
    ) -> Result<Attempt<()>, Error> {
        match self.commit(changes, events).await {
            Ok(()) => Ok(Attempt::Done(())),
            Err(CommitError::Rule { rule: BrokenRule::Outdated { .. }, .. }) => Ok(Attempt::Overtaken),
            Err(error) => Err(error.about(object, id, name)),
        }
    }
}

/// The name that goes with `id`, looked up the first time only; for the rows of one page, which share
/// few groups and signing certificates.
async fn named_once<I: Copy + Eq + std::hash::Hash>(
    known: &mut HashMap<I, Option<Name>>,
    id: I,
    look: impl Future<Output = Result<Option<Name>, Error>>,
) -> Result<Option<Name>, Error> {
    if let Some(name) = known.get(&id) {
        return Ok(name.clone());
    }
    let name = look.await?;
    known.insert(id, name.clone());
    Ok(name)
}

/// A refused transaction, before it is known what that means to the use case.
enum CommitError {
    /// `position`: of the change that broke it.
    Rule {
        position: usize,
        rule: BrokenRule,
    },
    Failed(Error),
}

impl From<ChangeError> for CommitError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Rule { position, rule } => Self::Rule { position, rule },
            ChangeError::Store(error) => Self::Failed(error.into()),
        }
    }
}

impl CommitError {
    /// In the words of the object that the use case is about.
    fn about(self, object: Object, id: impl std::fmt::Display, name: &str) -> Error {
        let rule = match self {
            Self::Failed(error) => return error,
            Self::Rule { rule, .. } => rule,
        };
        match rule {
            BrokenRule::AnsweredBefore => Error::Contended { object, id: id.to_string() },
            BrokenRule::DuplicateDigest => Error::DuplicateKeyString,
            BrokenRule::DuplicateFingerprint => Error::DuplicateFingerprint,
            BrokenRule::DuplicateKeyPair => Error::DuplicateKeyPair,
            BrokenRule::DuplicateName => Error::DuplicateName { object, name: name.to_owned() },
            BrokenRule::Full { limit } => fields::full(Field::Name, limit),
            BrokenRule::LastOwner => Error::LastOwner,
            BrokenRule::Managed { label } => Error::ReadOnly { label },
            BrokenRule::NotFound => Error::not_found(object, id),
            BrokenRule::Outdated { .. } => Error::Contended { object, id: id.to_string() },
            BrokenRule::Referenced { by } => Error::Referenced { object, by, name: name.to_owned() },
            BrokenRule::SealedOtherwise => Error::StoreUnavailable {
                reason: "another master key seals now; this node follows in a moment".to_owned(),
            },
            BrokenRule::UnknownPepper => Error::Contended { object: Object::Service, id: "pepper".to_owned() },
            BrokenRule::UnknownReference { what } => Error::Vanished { what },
        }
    }
}
