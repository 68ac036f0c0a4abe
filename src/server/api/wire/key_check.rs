//! `provisioningKey/check`.

use serde::Serialize;

use super::key::association;
use crate::domain::{Name, Refusal};
use crate::id::ProvisioningKeyId;
use crate::management::keys::check::{KeyCheck, KnownKey};
use crate::server::api::schema::{Member, Shape};

pub static KEY_CHECK: Shape = Shape::new(
    "KeyCheck",
    &[
        Member::word("result", &["damaged", "known", "unknown"], "What the text is"),
        Member::flag("wouldEnroll", "Whether a new device would enroll with it now"),
        Member::text("code", "The refusal that a new device would meet").optional(),
        Member::id("id", "The key").optional(),
        Member::text("keyId", "Names the key string without giving it away").optional(),
        Member::text("name", "The key's").optional(),
        Member::text("associationType", "The key's kind").optional(),
        Member::flag("addressesRestricted", "Whether only devices at listed addresses enroll").optional(),
    ],
);

/// What a text is. All but the first two members are there for a known key only.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckBody<'a> {
    /// `damaged`, `known` or `unknown`.
    result: &'static str,
    would_enroll: bool,
    /// The refusal that a new device would meet now.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(flatten)]
    key: Option<KnownBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KnownBody<'a> {
    id: ProvisioningKeyId,
    key_id: &'a str,
    name: &'a Name,
    association_type: &'static str,
    /// Then only devices at the addresses of the key's and its group's `ipAcl` enroll.
    addresses_restricted: bool,
}

impl<'a> CheckBody<'a> {
    pub fn new(check: &'a KeyCheck) -> Self {
        let known = match check {
            KeyCheck::Known(known) => Some(known),
            KeyCheck::Damaged | KeyCheck::Unknown => None,
        };
        Self {
            result: check.as_str(),
            would_enroll: check.would_enroll(),
            code: known.and_then(|known| known.refusal).map(Refusal::code),
            key: known.map(|known: &KnownKey| KnownBody {
                id: known.id,
                key_id: &known.key_id,
                name: &known.name,
                association_type: association(known.kind),
                addresses_restricted: known.addresses_restricted,
            }),
        }
    }
}
