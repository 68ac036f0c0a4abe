//! Who manages: administrators, API clients, and the roles of both.

use std::fmt;
use std::str::FromStr;

use super::{Name, Revision};
use crate::clock::Timestamp;
use crate::id::{AdministratorId, ApiClientId, CustomerId};
use crate::secret::pepper::{KeyDigest, PepperNumber};

/// What one may do, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads one customer, never a key string.
    Auditor,
    /// One customer's keys and components.
    Operator,
    /// One customer.
    Admin,
    /// Everything, all customers.
    Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such role: expected owner, admin, operator or auditor")]
pub struct UnknownRole;

impl Role {
    pub const ALL: [Self; 4] = [Self::Auditor, Self::Operator, Self::Admin, Self::Owner];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Whether this role is ever shown a key string.
    pub const fn sees_key_strings(self) -> bool {
        !matches!(self, Self::Auditor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

/// A person who signs in with a name and a password.
#[derive(Clone)]
pub struct Administrator {
    pub id: AdministratorId,
    /// [`CustomerId::SERVICE`] for owners.
    pub customer_id: CustomerId,
    pub username: Name,
    /// PHC string of argon2id.
    pub password_hash: String,
    pub role: Role,
    pub enabled: bool,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    pub revision: Revision,
}

/// A program that signs in with a client id and a secret.
#[derive(Clone)]
pub struct ApiClient {
    pub id: ApiClientId,
    pub customer_id: CustomerId,
    pub name: Name,
    /// What is sent as `client_id`; unique over the service.
    pub client_id: String,
    pub secret_digest: KeyDigest,
    pub pepper: PepperNumber,
    pub role: Role,
    pub enabled: bool,
    /// Keys it creates are managed: read-only to all others, shown with this label.
    pub managing: Option<Name>,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    pub revision: Revision,
}

/// Who does something, as authorisation and the audit log see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub identity: ActorIdentity,
    /// The customer that the actor belongs to; [`CustomerId::SERVICE`] for owners.
    pub customer_id: CustomerId,
    pub role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorIdentity {
    Administrator {
        id: AdministratorId,
        username: String,
    },
    ApiClient {
        id: ApiClientId,
        client_id: String,
        managing: Option<Name>,
    },
    /// The service itself: first start, schedules.
    System,
}

impl Actor {
    pub fn system() -> Self {
        Self { identity: ActorIdentity::System, customer_id: CustomerId::SERVICE, role: Role::Owner }
    }

    /// The id that rows carry as `modifiedBy`; `None` for the system.
    pub fn row_id(&self) -> Option<u64> {
        use crate::id::Id as _;
        match &self.identity {
            ActorIdentity::Administrator { id, .. } => Some(id.raw()),
            ActorIdentity::ApiClient { id, .. } => Some(id.raw()),
            ActorIdentity::System => None,
        }
    }

    /// Whether the actor may see this customer at all.
    pub fn reaches(&self, customer: CustomerId) -> bool {
        self.role == Role::Owner || self.customer_id == customer
    }
}
