//! `provisioningKey/{id}/uses` and `…/refusals`.

use std::net::IpAddr;

use serde::Serialize;

use super::{Epoch, Text};
use crate::domain::ledger::{LedgerEntry, Presence, RefusalTally};
use crate::domain::{Reference, SerialNumber};
use crate::id::ComponentId;
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::KeyUse;

pub static KEY_USE: Shape = Shape::new(
    "KeyUse",
    &[
        Member::counter("sequence", "1, 2, 3… per key"),
        Member::word("type", &["checkpoint", "re-enrollment", "release", "use"], "What happened"),
        Member::epoch("time", "When"),
        Member::id("componentId", "The component").optional(),
        Member::text("componentName", "Its name, while it is there").optional(),
        REMOTE_ADDRESS.optional(),
        SERIAL_NUMBER.optional(),
        PUBLIC_KEY_HASH.optional(),
        Member::new("previous", Form::Object(&PRESENCE), "Of a re-enrollment: how it was before").optional(),
        Member::counter("uses", "Of a checkpoint: uses that it stands for").optional(),
        Member::counter("reEnrollments", "Of a checkpoint: re-enrollments that it stands for").optional(),
    ],
);

static PRESENCE: Shape = Shape::new("Presence", &[REMOTE_ADDRESS, SERIAL_NUMBER, PUBLIC_KEY_HASH]);

const REMOTE_ADDRESS: Member = Member::text("remoteAddress", "From where the device came");
const SERIAL_NUMBER: Member = Member::text("certificateSerialNumber", "Of the certificate that it was given, hex");
const PUBLIC_KEY_HASH: Member = Member::text("publicKeyHash", "SHA-256 of its SubjectPublicKeyInfo, hex");

pub static KEY_REFUSAL: Shape = Shape::new(
    "KeyRefusal",
    &[
        Member::text("code", "Why devices were refused"),
        Member::text("source", "Where they came from: an address, or the /64 of an IPv6 one"),
        Member::epoch("minute", "When the minute began"),
        Member::counter("count", "How often in that minute"),
        Member::text("lastReference", "Leads to the log line of the last one"),
        Member::text("lastReason", "What the matter was with the last one; not told to the device"),
    ],
);

/// A row of the ledger. Where and with what a device was seen stands beside what it did; for a
/// re-enrollment that is the new state, and `previous` the one before.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UseBody<'a> {
    /// 1, 2, 3… per key.
    sequence: Text<u64>,
    #[serde(rename = "type")]
    entry_type: &'static str,
    time: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    component_id: Option<ComponentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    component_name: Option<&'a str>,
    #[serde(flatten)]
    presence: Option<PresenceBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<PresenceBody>,
    /// Of a checkpoint: what the rows counted that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<Text<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    re_enrollments: Option<Text<u64>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PresenceBody {
    remote_address: IpAddr,
    certificate_serial_number: Text<SerialNumber>,
    /// SHA-256 of the SubjectPublicKeyInfo, lower-case hex.
    public_key_hash: String,
}

impl PresenceBody {
    fn new(presence: &Presence) -> Self {
        Self {
            remote_address: presence.address,
            certificate_serial_number: Text(presence.serial),
            public_key_hash: presence.public_key_hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl<'a> UseBody<'a> {
    pub fn new(view: &'a KeyUse) -> Self {
        let row = &view.row;
        let body = Self {
            sequence: Text(row.sequence),
            entry_type: row.entry.as_str(),
            time: Epoch(row.at),
            component_id: row.entry.component_id(),
            component_name: view.component_name.as_deref(),
            presence: None,
            previous: None,
            uses: None,
            re_enrollments: None,
        };
        match &row.entry {
            LedgerEntry::Checkpoint { uses, re_enrollments } => {
                Self { uses: Some(Text(*uses)), re_enrollments: Some(Text(*re_enrollments)), ..body }
            }
            LedgerEntry::ReEnrollment { old, new, .. } => {
                Self { presence: Some(PresenceBody::new(new)), previous: Some(PresenceBody::new(old)), ..body }
            }
            LedgerEntry::Release { .. } => body,
            LedgerEntry::Use { device, .. } => Self { presence: Some(PresenceBody::new(device)), ..body },
        }
    }
}

/// Refusals of one minute, code and source.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalBody<'a> {
    code: &'static str,
    /// The address, or the /64 of an IPv6 one, in CIDR form.
    source: String,
    /// When the minute began.
    minute: Epoch,
    count: Text<u64>,
    /// Leads to the log line of the last one.
    last_reference: Text<&'a Reference>,
    last_reason: &'a str,
}

impl<'a> RefusalBody<'a> {
    pub fn new(tally: &'a RefusalTally) -> Self {
        Self {
            code: tally.refusal.code(),
            source: tally.source.to_string(),
            minute: Epoch(tally.minute),
            count: Text(tally.count),
            last_reference: Text(&tally.last_reference),
            last_reason: tally.last_reason.as_str(),
        }
    }
}
