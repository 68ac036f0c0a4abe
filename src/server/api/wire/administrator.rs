//! `administrators`, and their sessions. A password goes in and, unless it was generated, never comes out.

use serde::Serialize;

use super::members::Members;
use super::{Epoch, Listed, ModifiedBy};
use crate::domain::{Administrator, Description, Name, SessionRecord};
use crate::id::AdministratorId;
use crate::management::administrators::{AdministratorInput, NewAdministrator, PasswordChange};
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::AdministratorField;

pub static ADMINISTRATOR: Shape = Shape::new("Administrator", ADMINISTRATOR_MEMBERS);

/// Of a new customer: an admin, if nothing else is said.
pub static FIRST_ADMINISTRATOR: Shape =
    Shape::new("FirstAdministrator", &[Member::word("role", ROLES, "What they may do; admin by default").writable()])
        .with_variants(&[ADMINISTRATOR_MEMBERS]);

/// As [`Role`](crate::domain::Role) writes them.
pub const ROLES: &[&str] = &["auditor", "operator", "admin", "owner"];

const ADMINISTRATOR_MEMBERS: &[Member] = &[
    Member::id("id", "Its id"),
    Member::new("username", Form::Name, "What they sign in with; unique in the service, without regard to case")
        .required(),
    Member::text("description", "For people").writable().optional(),
    Member::word("role", ROLES, "What they may do; owner in customer 0 only").required(),
    Member::flag("enabled", "Whether they sign in; true by default").writable(),
    Member::epoch("creationTime", "When it was made"),
    Member::epoch("modifiedTime", "When it was changed last"),
    Member::new("modifiedBy", Form::ModifiedBy, "Who changed it last"),
    Member::epoch("lastSignInTime", "When they signed in last").optional(),
    Member::text("password", "12 to 1,024 bytes; answered once, where it was generated").writable().optional(),
];

pub static PASSWORD_CHANGE: Shape = Shape::new(
    "PasswordChange",
    &[
        Member::text("currentPassword", "The one until now").required(),
        Member::text("newPassword", "12 to 1,024 bytes").required(),
    ],
);

pub static SESSION: Shape = Shape::new(
    "Session",
    &[
        Member::text("id", "Its id"),
        Member::epoch("creationTime", "When they signed in"),
        Member::epoch("expirationTime", "When it ends by itself"),
        Member::text("remoteAddress", "Where from").optional(),
        Member::text("userAgent", "With what").optional(),
        Member::flag("current", "Whether it is the session that asks"),
    ],
);

impl Listed for AdministratorField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("username", Self::Username),
        ("description", Self::Description),
        ("role", Self::Role),
        ("enabled", Self::Enabled),
        ("creationTime", Self::CreatedAt),
        ("modifiedTime", Self::ModifiedAt),
        ("lastSignInTime", Self::LastSignInAt),
    ];
    const NAME: &'static str = "username";
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdministratorBody<'a> {
    id: AdministratorId,
    username: &'a Name,
    #[serde(skip_serializing_if = "Description::is_empty")]
    description: &'a Description,
    role: &'static str,
    enabled: bool,
    creation_time: Epoch,
    modified_time: Epoch,
    modified_by: ModifiedBy,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sign_in_time: Option<Epoch>,
    /// Once, when it was generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

pub fn encode(administrator: &Administrator) -> AdministratorBody<'_> {
    AdministratorBody {
        id: administrator.id,
        username: &administrator.username,
        description: &administrator.description,
        role: administrator.role.as_str(),
        enabled: administrator.enabled,
        creation_time: Epoch(administrator.created_at),
        modified_time: Epoch(administrator.modified_at),
        modified_by: ModifiedBy(administrator.modified_by),
        last_sign_in_time: administrator.last_sign_in_at.map(Epoch),
        password: None,
    }
}

pub fn encode_new(made: &NewAdministrator) -> AdministratorBody<'_> {
    let password = made.password.as_ref().map(|password| password.as_str());
    AdministratorBody { password, ..encode(&made.administrator) }
}

pub fn decode(members: &mut Members) -> AdministratorInput {
    AdministratorInput {
        username: members.text("username"),
        description: members.text("description"),
        role: members.text("role"),
        enabled: members.flag("enabled"),
        password: members.take_secret("password"),
    }
}

pub fn decode_password_change(members: &mut Members) -> PasswordChange {
    PasswordChange { current: members.take_secret("currentPassword"), new: members.take_secret("newPassword") }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionBody<'a> {
    id: &'a str,
    creation_time: Epoch,
    expiration_time: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_address: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    /// Whether it is the session that asks.
    current: bool,
}

pub fn encode_session<'a>(session: &'a SessionRecord, asking: &str) -> SessionBody<'a> {
    SessionBody {
        id: &session.id,
        creation_time: Epoch(session.created_at),
        expiration_time: Epoch(session.expires_at),
        remote_address: session.remote_address,
        user_agent: &session.user_agent,
        current: session.id == asking,
    }
}
