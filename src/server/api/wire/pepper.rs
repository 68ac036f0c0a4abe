//! `pepper`: what key strings and secrets of API clients are digested under.

use serde::Serialize;

use crate::domain::Name;
use crate::id::{ApiClientId, CustomerId, ProvisioningKeyId};
use crate::management::peppers::{NamedDigests, PepperReport};
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::DigestCounts;

pub static PEPPERS: Shape = Shape::new(
    "Peppers",
    &[
        Member::new("peppers", Form::Objects(&PEPPER), "Those that there are, newest first; two while one is rotated"),
        Member::new("left", Form::Object(&NAMED), "The first 100 of each that are under the one before the newest"),
        Member::new("lost", Form::Object(&NAMED), "The first 100 of each that were left when a rotation was ended"),
    ],
);

static PEPPER: Shape = Shape::new(
    "Pepper",
    &[
        Member::counter("number", "Its number"),
        Member::counter("keyCount", "How many keys are under it"),
        Member::counter("apiClientCount", "How many API clients are under it"),
    ],
);

static NAMED: Shape = Shape::new(
    "PepperUsers",
    &[
        Member::new("keys", Form::Objects(&KEY), "Provisioning keys"),
        Member::new("apiClients", Form::Objects(&API_CLIENT), "API clients"),
    ],
);

static KEY: Shape = Shape::new(
    "PepperKey",
    &[
        Member::id("customerId", "Whose it is"),
        Member::id("id", "Its id"),
        Member::text("kind", "Its kind"),
        Member::name("Its name"),
    ],
);

static API_CLIENT: Shape = Shape::new(
    "PepperApiClient",
    &[Member::id("customerId", "Whose it is"), Member::id("id", "Its id"), Member::name("Its name")],
);

#[derive(Serialize)]
pub struct PeppersBody<'a> {
    peppers: Vec<PepperBody>,
    left: NamedBody<'a>,
    lost: NamedBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PepperBody {
    number: String,
    key_count: String,
    api_client_count: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NamedBody<'a> {
    keys: Vec<KeyBody<'a>>,
    api_clients: Vec<ApiClientBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyBody<'a> {
    customer_id: CustomerId,
    id: ProvisioningKeyId,
    kind: &'a str,
    name: &'a Name,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiClientBody<'a> {
    customer_id: CustomerId,
    id: ApiClientId,
    name: &'a Name,
}

impl<'a> PeppersBody<'a> {
    pub fn new(report: &'a PepperReport) -> Self {
        Self {
            peppers: report.live.iter().map(PepperBody::new).collect(),
            left: NamedBody::new(&report.left),
            lost: NamedBody::new(&report.lost),
        }
    }
}

impl PepperBody {
    fn new(counts: &DigestCounts) -> Self {
        Self {
            number: counts.pepper.0.to_string(),
            key_count: counts.keys.to_string(),
            api_client_count: counts.api_clients.to_string(),
        }
    }
}

impl<'a> NamedBody<'a> {
    fn new(named: &'a NamedDigests) -> Self {
        let key = |(customer_id, key): &'a (CustomerId, crate::domain::key::KeyName)| KeyBody {
            customer_id: *customer_id,
            id: key.id,
            kind: key.kind.as_str(),
            name: &key.name,
        };
        let client = |client: &'a crate::management::peppers::NamedApiClient| ApiClientBody {
            customer_id: client.customer,
            id: client.id,
            name: &client.name,
        };
        Self { keys: named.keys.iter().map(key).collect(), api_clients: named.api_clients.iter().map(client).collect() }
    }
}
