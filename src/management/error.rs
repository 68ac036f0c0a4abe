//! Why a use case did not happen.

use std::fmt;
use std::time::Duration;

use super::fields::FieldErrors;
use super::peppers::PepperRefusal;
use crate::auth::{AuthError, TokenError, TooManyAttempts};
use crate::domain::{Name, Revision, Role};
use crate::id::ProvisioningKeyId;
use crate::store::StoreError;

/// Sorted by who is at fault. Carries what a door needs to answer and the log needs to tell; the
/// `Display` texts of outages and bugs are for the log only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // --- the caller's input
    #[error("refused: {0}")]
    Invalid(FieldErrors),
    /// Of a key and of the group that is made with it; one of the two at least.
    #[error("refused: {}", told_apart(.group.as_ref(), .key.as_ref()))]
    InvalidWithGroup { group: Option<FieldErrors>, key: Option<FieldErrors> },
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,

    // --- who the caller is, and what it may do
    #[error("unknown name or wrong secret")]
    InvalidCredentials,
    #[error("too many sign-ins that failed; the next one is looked at in {retry_after:?}")]
    TooManySignIns { retry_after: Duration },
    #[error("the token is not accepted: {0}")]
    InvalidToken(InvalidToken),
    #[error("this takes the role {needed}, the caller is {role}")]
    Forbidden { role: Role, needed: Role },
    #[error("nobody may {what}")]
    NobodyMay { what: &'static str },
    #[error("managed by {label}, read-only to all others")]
    ReadOnly { label: Name },

    // --- a rule that refuses
    #[error("no such {object}: {id}")]
    NotFound { object: Object, id: String },
    #[error("another component of the key has the same fingerprint")]
    DuplicateFingerprint,
    #[error("another signing certificate has the key pair")]
    DuplicateKeyPair,
    #[error("the key string is known already")]
    DuplicateKeyString,
    #[error("there is a {object} already")]
    AlreadyExists { object: Object },
    #[error("a {object} named {name:?} exists already")]
    DuplicateName { object: Object, name: String },
    #[error("the key has the successor {successor} already")]
    AlreadyRotated { successor: ProvisioningKeyId },
    #[error("all uses of the key are taken")]
    KeyExhausted,
    #[error("the TLS trust anchor {}", if *.is_rolling { "is being rolled already" } else { "is not being rolled" })]
    AnchorRoll { is_rolling: bool },
    #[error(transparent)]
    PepperRotation(PepperRefusal),
    #[error("the key string is not kept")]
    NotExportable,
    #[error("no enabled owner would be left")]
    LastOwner,
    #[error("the {object} {name:?} is in use by: {by}")]
    Referenced { object: Object, by: &'static str, name: String },
    #[error("what it refers to is gone: {what}")]
    Vanished { what: &'static str },
    #[error("the {object} has revision {}, the caller expected {}", .found.0, .expected.0)]
    Outdated { object: Object, expected: Revision, found: Revision },

    // --- someone else's outage
    #[error("the {object} {id} is being changed by others without end")]
    Contended { object: Object, id: String },
    #[error("too many passwords are being checked ({waiting} waiting)")]
    PasswordsOverloaded { waiting: usize },
    #[error("the store's queue is full ({waiting} waiting)")]
    StoreOverloaded { waiting: usize },
    #[error("the store is not available: {reason}")]
    StoreUnavailable { reason: String },
    #[error("the store could not say whether the change took place: {reason}")]
    OutcomeUnknown { reason: String },

    // --- our bug, or a damaged store
    #[error("internal: {detail}")]
    Internal { detail: String },
}

/// What is wrong with a token. One answer from outside, told apart in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("signed out")]
    SignedOut,
    #[error("the administrator of session {session} is gone or disabled")]
    Administrator { session: String },
    #[error("the client {client_id} is gone, disabled, or has another customer or a newer secret")]
    Client { client_id: String },
    #[error("the customer is gone or disabled")]
    Customer,
    #[error("there is no such session")]
    NoSession,
}

/// What an error, or an audit event, is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    Administrator,
    ApiClient,
    CleanUpSchedule,
    Component,
    Customer,
    Group,
    Preference,
    ProvisioningKey,
    SavedFilter,
    Service,
    Session,
    SigningCertificate,
    TlsTrustAnchor,
    Webhook,
}

impl Object {
    /// As the audit log writes it: a logical table's singular.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::ApiClient => "api-client",
            Self::CleanUpSchedule => "clean-up-schedule",
            Self::Component => "component",
            Self::Customer => "customer",
            Self::Group => "group",
            Self::Preference => "preference",
            Self::ProvisioningKey => "provisioning-key",
            Self::SavedFilter => "saved-filter",
            Self::Service => "service",
            Self::Session => "session",
            Self::SigningCertificate => "signing-certificate",
            Self::TlsTrustAnchor => "tls-trust-anchor",
            Self::Webhook => "webhook",
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Error {
    pub fn not_found(object: Object, id: impl fmt::Display) -> Self {
        Self::NotFound { object, id: id.to_string() }
    }

    /// # Errors
    /// [`Error::Outdated`] when the caller named a revision and it is not the one found.
    pub(super) fn expect_revision(object: Object, expected: Option<Revision>, found: Revision) -> Result<(), Self> {
        match expected {
            Some(expected) if expected != found => Err(Self::Outdated { object, expected, found }),
            _ => Ok(()),
        }
    }
}

fn told_apart(group: Option<&FieldErrors>, key: Option<&FieldErrors>) -> String {
    let parts = [("the group", group), ("the key", key)];
    let faulty = parts.into_iter().filter_map(|(part, errors)| Some(format!("{part}: {}", errors?)));
    faulty.collect::<Vec<_>>().join("; ")
}

impl From<InvalidToken> for Error {
    fn from(why: InvalidToken) -> Self {
        Self::InvalidToken(why)
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Overloaded { waiting } => Self::PasswordsOverloaded { waiting },
            AuthError::CorruptHash { .. } | AuthError::Hashing { .. } => Self::Internal { detail: error.to_string() },
        }
    }
}

impl From<TooManyAttempts> for Error {
    fn from(TooManyAttempts { retry_after }: TooManyAttempts) -> Self {
        Self::TooManySignIns { retry_after }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded { waiting } => Self::StoreOverloaded { waiting },
            StoreError::Unavailable { reason } => Self::StoreUnavailable { reason },
            StoreError::Unknown { reason } => Self::OutcomeUnknown { reason },
            StoreError::Corrupt { detail } => Self::Internal { detail },
        }
    }
}
