//! `apiClients`. The secret is shown when it is made.

use serde::Serialize;

use super::administrator::ROLES;
use super::members::Members;
use super::{Epoch, Listed, ModifiedBy};
use crate::domain::{ApiClient, Name};
use crate::id::ApiClientId;
use crate::management::api_clients::{ApiClientInput, NewSecret};
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::ApiClientField;

pub static API_CLIENT: Shape = Shape::new(
    "ApiClient",
    &[
        Member::id("id", "Its id"),
        Member::name("Unique in its customer").required(),
        Member::text("clientId", "What it signs in with"),
        Member::word("role", ROLES, "What it may do; owner in customer 0 only").required(),
        Member::flag("enabled", "Whether it signs in; true by default").writable(),
        Member::flag("managing", "Whether keys that it makes are read-only to all others; false by default").writable(),
        Member::new("label", Form::Name, "What such keys are shown to be managed by; its name by default")
            .writable()
            .optional(),
        Member::epoch("creationTime", "When it was made"),
        Member::epoch("modifiedTime", "When it was changed last"),
        Member::new("modifiedBy", Form::ModifiedBy, "Who changed it last"),
        Member::epoch("lastUsedTime", "When it signed in last").optional(),
        Member::text("clientSecret", "Once, when it was made").optional(),
    ],
);

impl Listed for ApiClientField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("name", Self::Name),
        ("clientId", Self::ClientId),
        ("role", Self::Role),
        ("enabled", Self::Enabled),
        ("managing", Self::Managing),
        ("label", Self::Label),
        ("creationTime", Self::CreatedAt),
        ("modifiedTime", Self::ModifiedAt),
        ("lastUsedTime", Self::LastUsedAt),
    ];
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiClientBody<'a> {
    id: ApiClientId,
    name: &'a Name,
    client_id: &'a str,
    role: &'static str,
    enabled: bool,
    managing: bool,
    /// Of clients that manage the keys they make.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a Name>,
    creation_time: Epoch,
    modified_time: Epoch,
    modified_by: ModifiedBy,
    /// Its last sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_time: Option<Epoch>,
    /// Once, when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

pub fn encode(client: &ApiClient) -> ApiClientBody<'_> {
    ApiClientBody {
        id: client.id,
        name: &client.name,
        client_id: &client.client_id,
        role: client.role.as_str(),
        enabled: client.enabled,
        managing: client.managing.is_some(),
        label: client.managing.as_ref(),
        creation_time: Epoch(client.created_at),
        modified_time: Epoch(client.modified_at),
        modified_by: ModifiedBy(client.modified_by),
        last_used_time: client.last_used_at.map(Epoch),
        client_secret: None,
    }
}

pub fn encode_new(made: &NewSecret) -> ApiClientBody<'_> {
    ApiClientBody { client_secret: Some(&made.credentials.client_secret), ..encode(&made.client) }
}

pub fn decode(members: &Members) -> ApiClientInput {
    ApiClientInput {
        name: members.text("name"),
        role: members.text("role"),
        enabled: members.flag("enabled"),
        managing: members.flag("managing"),
        label: members.text("label"),
    }
}
