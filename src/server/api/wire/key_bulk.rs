//! `provisioningKey/bulk`.

use serde::Serialize;

use super::error::{ERROR, ErrorBody};
use super::members::Members;
use crate::domain::Reference;
use crate::id::ProvisioningKeyId;
use crate::management::Error;
use crate::management::keys::bulk::BulkInput;
use crate::server::api::refusal::of_use_case;
use crate::server::api::schema::{Form, Member, Shape};

pub static KEY_BULK: Shape = Shape::new(
    "KeyBulk",
    &[
        Member::word("operation", &["enable", "disable", "delete", "extend"], "What is done with each").required(),
        Member::new("ids", Form::Ids, "1 to 500 keys").required(),
        Member::epoch("expirationInEpochSec", "Of extend, which needs it: when they end").writable(),
        Member::flag("revoke", "Of delete: what came of them is revoked; false by default").writable(),
    ],
);

pub static KEY_BULK_RESULTS: Shape = Shape::new(
    "KeyBulkResults",
    &[Member::new("results", Form::Objects(&KEY_BULK_RESULT), "In the order of the request")],
);

static KEY_BULK_RESULT: Shape = Shape::new(
    "KeyBulkResult",
    &[
        Member::id("id", "The key"),
        Member::word("status", &["ok", "refused", "failed"], "What came of it; failed is worth another try"),
        Member::new("error", Form::Object(&ERROR), "What it alone would have been answered with").optional(),
    ],
);

pub fn decode(members: &Members) -> BulkInput {
    BulkInput {
        operation: members.text("operation"),
        ids: members.ids("ids"),
        expires_at: members.instant("expirationInEpochSec"),
        revoke: members.flag("revoke"),
    }
}

#[derive(Serialize)]
pub struct BulkBody {
    /// In the order of the request.
    pub results: Vec<ResultBody>,
}

/// What came of one key.
#[derive(Serialize)]
pub struct ResultBody {
    id: ProvisioningKeyId,
    /// `ok`; `refused`: it will not be otherwise; `failed`: worth another try.
    status: &'static str,
    /// The envelope that the same would have been answered with alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

impl ResultBody {
    /// What is logged stands under the request's `reference`.
    pub fn new(id: ProvisioningKeyId, outcome: Result<(), Error>, reference: &Reference) -> Self {
        let Err(error) = outcome else { return Self { id, status: "ok", error: None } };
        let (status, error) = of_use_case(&error, reference);
        let status = if status.is_server_error() { "failed" } else { "refused" };
        Self { id, status, error: Some(error) }
    }
}
