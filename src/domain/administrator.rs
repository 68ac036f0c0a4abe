//! Who manages: administrators, API clients, and the roles of both.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::{Description, Name, Revision};
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
    /// Unique over the service, without regard to case: a sign-in names no customer.
    pub username: Name,
    pub description: Description,
    /// PHC string of argon2id.
    pub password_hash: String,
    pub role: Role,
    pub enabled: bool,
    /// Kept by sign-ins; no setting, so it does not move the revision.
    pub last_sign_in_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    /// Administrator or API client; `None` for the system.
    pub modified_by: Option<u64>,
    pub revision: Revision,
}

/// A password that an administrator may have: [`Self::BYTES_MIN`] to [`Self::BYTES_MAX`] bytes, and not
/// the user name. What it is made of is free (NIST SP 800-63B §3.1.1.2 asks for length and advises
/// against rules of composition). No `Debug`; wiped on drop.
pub struct NewPassword(Zeroizing<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("has {found} bytes; {} to {} are accepted", NewPassword::BYTES_MIN, NewPassword::BYTES_MAX)]
    Length { found: usize },
    #[error("is the user name")]
    Username,
}

impl NewPassword {
    pub const BYTES_MIN: usize = 12;
    pub const BYTES_MAX: usize = 1_024;

    /// # Errors
    /// The rule that the text breaks. The user name is compared without regard to case.
    pub fn new(text: Zeroizing<String>, username: &str) -> Result<Self, WeakPassword> {
        if !(Self::BYTES_MIN..=Self::BYTES_MAX).contains(&text.len()) {
            return Err(WeakPassword::Length { found: text.len() });
        }
        if text.eq_ignore_ascii_case(username) {
            return Err(WeakPassword::Username);
        }
        Ok(Self(text))
    }

    pub fn into_text(self) -> Zeroizing<String> {
        self.0
    }
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
    /// How often the secret was replaced. Tokens carry it, so those of an older secret end with it.
    pub secret_generation: u32,
    pub role: Role,
    pub enabled: bool,
    /// Keys it creates are managed: read-only to all others, shown with this label.
    pub managing: Option<Name>,
    /// When it last signed in; no setting, so it does not move the revision.
    pub last_used_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    /// Administrator or API client; `None` for the system.
    pub modified_by: Option<u64>,
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

    /// Which administrator the actor is, if it is one.
    pub fn administrator_id(&self) -> Option<AdministratorId> {
        match &self.identity {
            ActorIdentity::Administrator { id, .. } => Some(*id),
            ActorIdentity::ApiClient { .. } | ActorIdentity::System => None,
        }
    }

    /// Which API client the actor is, if it is one.
    pub fn api_client_id(&self) -> Option<ApiClientId> {
        match &self.identity {
            ActorIdentity::ApiClient { id, .. } => Some(*id),
            ActorIdentity::Administrator { .. } | ActorIdentity::System => None,
        }
    }

    /// Whether the actor is this administrator.
    pub fn is_administrator(&self, administrator: AdministratorId) -> bool {
        self.administrator_id() == Some(administrator)
    }

    /// Whether the actor is this API client.
    pub fn is_api_client(&self, client: ApiClientId) -> bool {
        self.api_client_id() == Some(client)
    }

    /// Whether the actor may see this customer at all.
    pub fn reaches(&self, customer: CustomerId) -> bool {
        self.role == Role::Owner || self.customer_id == customer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id as _;

    fn actor(identity: ActorIdentity, role: Role) -> Actor {
        let customer_id = if role == Role::Owner { CustomerId::SERVICE } else { CustomerId::from_raw(7) };
        Actor { identity, customer_id, role }
    }

    fn administrator(id: u64, role: Role) -> Actor {
        let id = AdministratorId::from_raw(id);
        actor(ActorIdentity::Administrator { id, username: "ada".into() }, role)
    }

    fn client(id: u64, role: Role) -> Actor {
        let id = ApiClientId::from_raw(id);
        actor(ActorIdentity::ApiClient { id, client_id: "c".into(), managing: None }, role)
    }

    #[test]
    fn only_an_owner_reaches_another_customer() {
        for role in Role::ALL {
            let reached = [CustomerId::from_raw(7), CustomerId::from_raw(8), CustomerId::SERVICE]
                .map(|customer| administrator(1, role).reaches(customer));
            assert_eq!(reached, if role == Role::Owner { [true; 3] } else { [true, false, false] }, "{role}");
        }
    }

    #[test]
    fn all_but_auditors_are_shown_key_strings() {
        assert_eq!(Role::ALL.map(Role::sees_key_strings), [false, true, true, true]);
    }

    #[test]
    fn roles_are_read_as_they_are_written() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse::<Role>().ok(), Some(role));
        }
        for text in ["", "Owner", "owner ", "root"] {
            assert!(text.parse::<Role>().is_err(), "{text:?}");
        }
    }

    /// An administrator and an API client may have the same number.
    #[test]
    fn an_actor_is_itself_and_nobody_else() {
        let (administrator, client) = (administrator(5, Role::Admin), client(5, Role::Admin));
        let is = |actor: &Actor, id| {
            (actor.is_administrator(AdministratorId::from_raw(id)), actor.is_api_client(ApiClientId::from_raw(id)))
        };
        assert_eq!([is(&administrator, 5), is(&administrator, 6)], [(true, false), (false, false)]);
        assert_eq!([is(&client, 5), is(&client, 6)], [(false, true), (false, false)]);
        assert_eq!(is(&Actor::system(), 5), (false, false));
        assert_eq!([&administrator, &client, &Actor::system()].map(Actor::row_id), [Some(5), Some(5), None]);
    }

    #[test]
    fn a_new_password_is_the_text_that_was_given() {
        let text = "correct horse battery";
        assert_eq!(*NewPassword::new(Zeroizing::new(text.into()), "ada").unwrap().into_text(), text);
    }

    #[test]
    fn a_password_at_its_bounds() {
        let password = |text: String| NewPassword::new(Zeroizing::new(text), "administrator").map(drop);
        for (length, accepted) in [(0, false), (11, false), (12, true), (1_024, true), (1_025, false)] {
            let expected = if accepted { Ok(()) } else { Err(WeakPassword::Length { found: length }) };
            assert_eq!(password("p".repeat(length)), expected, "{length}");
        }
        assert_eq!(password("üüüüüü".into()), Ok(()), "bytes are counted");
        assert_eq!(password("Administrator".into()), Err(WeakPassword::Username));
        assert_eq!(password("administrator1".into()), Ok(()));
    }
}
