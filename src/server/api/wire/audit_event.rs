//! `auditEvents`: in a list, and one line each in an export.
//!
//! The line of an export has everything that its MAC covers, the settings before and after as they were
//! written, byte for byte: whoever has the audit key can check the file ([`decode_line`]).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Epoch, Listed, Text};
use crate::clock::Timestamp;
use crate::domain::audit::{AuditEvent, AuditMac, AuditRow};
use crate::id::CustomerId;
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::AuditField;

pub static AUDIT_EVENT: Shape = Shape::new(
    "AuditEvent",
    &[
        Member::counter("sequence", "Its number in the customer's chain: 1, 2, 3…"),
        Member::id("customerId", "Whose chain; 0 is the service's"),
        Member::epoch("time", "When it happened"),
        Member::text("actorType", "Kind of who did it"),
        Member::text("actorId", "Who did it").optional(),
        Member::text("actorName", "What they were called then"),
        Member::text("action", "What was done"),
        Member::text("objectType", "Kind of what it was done to"),
        Member::text("objectId", "What it was done to").optional(),
        Member::text("objectName", "What that was called then").optional(),
        Member::new("before", Form::Any, "Settings before, without secrets").optional(),
        Member::new("after", Form::Any, "Settings after, without secrets").optional(),
        Member::text("mac", "HMAC-SHA-256 over the MAC before it and the row; 64 lower-case hex digits"),
    ],
);

impl Listed for AuditField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("sequence", Self::Sequence),
        ("time", Self::At),
        ("actorType", Self::ActorType),
        ("actorId", Self::ActorId),
        ("actorName", Self::ActorName),
        ("action", Self::Action),
        ("objectType", Self::ObjectType),
        ("objectId", Self::ObjectId),
        ("objectName", Self::ObjectName),
    ];
    const NAME: &'static str = "objectName";
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEventBody<'a> {
    /// The row's number in its customer's chain: 1, 2, 3…
    sequence: Text<u64>,
    customer_id: CustomerId,
    time: Epoch,
    actor_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    actor_id: &'a str,
    actor_name: &'a str,
    action: &'a str,
    object_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    object_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    object_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Cow<'a, RawValue>>,
    /// HMAC-SHA-256 over the MAC before it and the row; 64 lower-case hex digits.
    mac: String,
}

pub fn encode(row: &AuditRow) -> AuditEventBody<'_> {
    let event = &row.event;
    AuditEventBody {
        sequence: Text(row.sequence),
        customer_id: event.customer_id,
        time: Epoch(event.at),
        actor_type: &event.actor_type,
        actor_id: &event.actor_id,
        actor_name: &event.actor_name,
        action: &event.action,
        object_type: &event.object_type,
        object_id: &event.object_id,
        object_name: &event.object_name,
        before: event.before.as_deref().map(settings),
        after: event.after.as_deref().map(settings),
        mac: row.mac.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// A JSON object, as everything is that this service wrote; what somebody else put there is shown as a
/// string.
fn settings(text: &str) -> Cow<'_, RawValue> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) if text.starts_with('{') && raw.get().len() == text.len() && !text.contains('\n') => Cow::Borrowed(raw),
        _ => Cow::Owned(serde_json::value::to_raw_value(text).expect("a string is JSON")),
    }
}

/// A line that is none of an export.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableLine(String);

/// The row that a line of an export tells of.
///
/// # Errors
/// When a member is missing or of another form.
pub fn decode_line(line: &str) -> Result<AuditRow, UnreadableLine> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| UnreadableLine(error.to_string()))?;
    let number = |member: &str, text: &str| {
        text.parse::<i64>().map_err(|_| UnreadableLine(format!("{member} is {text:?}, which is no number")))
    };
    let customer_id = match &*line.customer_id {
        "0" => CustomerId::SERVICE,
        text => text.parse().map_err(|error| UnreadableLine(format!("customerId: {error}")))?,
    };
    let event = AuditEvent {
        customer_id,
        at: Timestamp::from_unix_seconds(number("time", &line.time)?),
        actor_type: line.actor_type.into_owned(),
        actor_id: line.actor_id.into_owned(),
        actor_name: line.actor_name.into_owned(),
        action: line.action.into_owned(),
        object_type: line.object_type.into_owned(),
        object_id: line.object_id.into_owned(),
        object_name: line.object_name.into_owned(),
        before: line.before.map(text_of).transpose()?,
        after: line.after.map(text_of).transpose()?,
    };
    let sequence = u64::try_from(number("sequence", &line.sequence)?);
    let sequence = sequence.map_err(|_| UnreadableLine("sequence is below zero".to_owned()))?;
    let mac = parse_mac(&line.mac).ok_or_else(|| UnreadableLine("mac is not 64 hex digits".to_owned()))?;
    Ok(AuditRow { sequence, event, mac })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow)]
    sequence: Cow<'a, str>,
    #[serde(borrow)]
    customer_id: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    actor_type: Cow<'a, str>,
    #[serde(borrow, default)]
    actor_id: Cow<'a, str>,
    #[serde(borrow)]
    actor_name: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    object_type: Cow<'a, str>,
    #[serde(borrow, default)]
    object_id: Cow<'a, str>,
    #[serde(borrow, default)]
    object_name: Cow<'a, str>,
    #[serde(borrow, default)]
    before: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    mac: Cow<'a, str>,
}

fn text_of(raw: &RawValue) -> Result<String, UnreadableLine> {
    if raw.get().starts_with('"') {
        return serde_json::from_str(raw.get()).map_err(|error| UnreadableLine(error.to_string()));
    }
    Ok(raw.get().to_owned())
}

fn parse_mac(hex: &str) -> Option<AuditMac> {
    let mut mac = AuditMac::default();
    if hex.len() != 2 * mac.len() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in mac.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Actor;

    #[test]
    fn a_line_says_exactly_what_its_row_does() {
        for (before, after) in [
            (None, None),
            (Some("{}"), Some(r#"{"b":1,"a":"\u00fc \"x\"","list":[1.50,null]}"#)),
            // Nothing of ours, yet it is told as it is.
            (Some("not JSON\n"), Some(" {}")),
            (Some(""), Some("\"text\"")),
            (Some("{\n}"), Some("[]")),
        ] {
            let object = ("group", "7".to_owned(), "HQ \"1\"\n");
            let at = Timestamp::from_unix_seconds(1_800_000_000);
            let event = AuditEvent::new(&Actor::system(), CustomerId::SERVICE, at, "update", object);
            let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
            let row = AuditRow { sequence: 12, event: AuditEvent { before, after, ..event }, mac: [0xa7; 32] };
            let line = serde_json::to_string(&encode(&row)).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(decode_line(&line).unwrap(), row, "{line}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for line in ["", "{}", "[]", "x", r#"{"sequence":"1"}"#] {
            assert!(decode_line(line).is_err(), "{line:?}");
        }
        for hex in ["", "zz", &"0".repeat(63), &"0".repeat(65), &"+f".repeat(32), &"ü".repeat(32)] {
            assert_eq!(parse_mac(hex), None, "{hex:?}");
        }
    }
}
