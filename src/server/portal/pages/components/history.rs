//! What happened to a component, in a line each.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::domain::audit::AuditEvent;
use crate::domain::{Component, Name, RevocationReason};
use crate::management::components::history::{ComponentEvent, ComponentEventKind, ComponentHistory, EventKey};
use crate::server::portal::frame::Place;
use crate::server::portal::object::{Body, Grid, GridRow, Panel};
use crate::server::portal::table::Cell;
use crate::server::portal::words::{self as say, Instant};

/// Ids of those whose names [`panel`] wants.
pub(super) fn actors(history: &ComponentHistory) -> Vec<u64> {
    let by = |event: &ComponentEvent| match &event.what {
        ComponentEventKind::Administered(event) => event.actor_id.parse().ok(),
        ComponentEventKind::RevokedWithKey { by } => *by,
        ComponentEventKind::Enrolled { .. }
        | ComponentEventKind::ReEnrolled { .. }
        | ComponentEventKind::Renewed { .. } => None,
    };
    history.events.iter().filter_map(by).collect()
}

pub(super) fn panel(component: &Component, history: &ComponentHistory, names: &HashMap<u64, Name>) -> Panel {
    let mut rows: Vec<_> = history.events.iter().map(|event| row(component, event, names)).collect();
    if history.is_cut {
        let note = Cell::Text("Older events are in the audit log and in the ledger of the key.".to_owned());
        rows.push(GridRow::new(vec![Cell::Nothing, note, Cell::Nothing, Cell::Nothing]));
    }
    Panel::new("history", "History", Body::Grid(Grid::new(vec!["Time", "What", "Key", "By or from"], rows)))
}

fn row(component: &Component, event: &ComponentEvent, names: &HashMap<u64, Name>) -> GridRow {
    let key_cell = |key: &EventKey| match &key.name {
        Some(name) => Cell::Link {
            label: name.to_string(),
            address: format!("{}/{}", Place::Keys(component.kind).address(component.customer_id), key.id),
        },
        None => Cell::Text("Deleted".to_owned()),
    };
    let (what, key, by) = match &event.what {
        ComponentEventKind::Administered(event) => {
            let name = event.actor_id.parse().ok().and_then(|id: u64| names.get(&id));
            (told(event), Cell::Nothing, Cell::text(name.map_or(event.actor_name.as_str(), |name| name.as_str())))
        }
        ComponentEventKind::Enrolled { key, address } => {
            let from = address.map_or(Cell::Nothing, |address| Cell::Text(address.to_string()));
            ("Enrolled".to_owned(), key_cell(key), from)
        }
        ComponentEventKind::ReEnrolled { key, old, new } => {
            let what = match old.public_key_hash == new.public_key_hash {
                true => "Re-enrolled with the same key pair",
                false => "Re-enrolled with a new key pair",
            };
            let from = match old.address == new.address {
                true => new.address.to_string(),
                false => format!("{}, before {}", new.address, old.address),
            };
            (what.to_owned(), key_cell(key), Cell::Text(from))
        }
        ComponentEventKind::Renewed { is_rekey } => {
            let what = if *is_rekey { "Renewed with a new key pair" } else { "Renewed" };
            (what.to_owned(), Cell::Nothing, Cell::Nothing)
        }
        ComponentEventKind::RevokedWithKey { by } => {
            let by = by.and_then(|by| names.get(&by)).map_or(Cell::Nothing, |name| Cell::text(name.as_str()));
            ("Revoked, as its key was deleted".to_owned(), Cell::Nothing, by)
        }
    };
    GridRow::new(vec![Cell::Time(Instant::to_the_second(event.at)), Cell::Text(what), key, by])
}

/// "Revoked", "Disabled", "Attached to another key", "Edited: name, description".
fn told(event: &AuditEvent) -> String {
    match event.action.as_str() {
        "attach" => return "Attached to another key".to_owned(),
        "revoke" => return revoked(event),
        _ => {}
    }
    let settings = |text: &Option<String>| -> Map<String, Value> {
        text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let (before, after) = (settings(&event.before), settings(&event.after));
    let changed: Vec<_> = after.iter().filter(|(name, value)| before.get(*name) != Some(value)).collect();
    match changed.as_slice() {
        [(name, Value::Bool(true))] if *name == "enabled" => "Enabled".to_owned(),
        [(name, Value::Bool(false))] if *name == "enabled" => "Disabled".to_owned(),
        [] => "Edited".to_owned(),
        changed => {
            let word = |name: &str| match name {
                "enabled" => "status".to_owned(),
                name => name.to_owned(),
            };
            format!("Edited: {}", changed.iter().map(|(name, _)| word(name)).collect::<Vec<_>>().join(", "))
        }
    }
}

/// With the reason, if one was given.
fn revoked(event: &AuditEvent) -> String {
    let told: Option<Value> = event.after.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let reason = told.as_ref().and_then(|told| RevocationReason::chosen(told["reason"].as_str()?));
    match reason.filter(|reason| *reason != RevocationReason::Unspecified) {
        Some(reason) => format!("Revoked: {}", say::revocation_reason(reason).to_lowercase()),
        None => "Revoked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::Actor;
    use crate::id::{CustomerId, Id as _};

    #[test]
    fn a_change_is_told_by_what_it_changed() {
        let of = |action: &str, before: &str, after: &str| {
            let at = Timestamp::from_unix_seconds(0);
            let object = ("component", "7".to_owned(), "c-1");
            let mut event = AuditEvent::new(&Actor::system(), CustomerId::from_raw(1), at, action, object);
            (event.before, event.after) = (Some(before.to_owned()), Some(after.to_owned()));
            told(&event)
        };
        assert_eq!(of("update", r#"{"enabled":true,"name":"a"}"#, r#"{"enabled":false,"name":"a"}"#), "Disabled");
        assert_eq!(of("update", r#"{"enabled":false}"#, r#"{"enabled":true}"#), "Enabled");
        let both = of("update", r#"{"enabled":false,"name":"a"}"#, r#"{"enabled":true,"name":"b"}"#);
        assert_eq!(both, "Edited: status, name");
        assert_eq!(of("update", "{", "{"), "Edited");
        assert_eq!(of("attach", "{}", "{}"), "Attached to another key");
        assert_eq!(of("revoke", "{}", "{}"), "Revoked");
        assert_eq!(of("revoke", "{}", r#"{"reason":"unspecified"}"#), "Revoked");
        assert_eq!(of("revoke", "{}", r#"{"reason":"keyCompromise"}"#), "Revoked: key compromised");
    }
}
