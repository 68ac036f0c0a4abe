//! The audit log: who did what to what, newest first, with what was before and after; and as a file.

use std::collections::BTreeSet;

use askama::Template;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::clock::{DAY_SECONDS, Timestamp};
use crate::domain::audit::{AuditEvent, AuditMac, AuditRow};
use crate::id::CustomerId;
use crate::management::audit::{EXPORT_ROWS_MAX, Located};
use crate::management::sessions::Session;
use crate::management::{Error, Object};
use crate::server::api::wire::audit_event::encode;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, Link, PageHead, Tab};
use crate::server::portal::list::{Column, Filter, FilterChoice, ListState};
use crate::server::portal::listing::{ListPage, Listing};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Cell, Change, Detail, Row, Totals};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::server::portal::{Portal, filters};
use crate::store::{AuditField, AuditQuery, ListQuery, Page, PageRequest};

/// Most pieces of the log that the page of the export has links for.
const PIECES_MAX: u64 = 100;

/// What is done, as the log writes it and as people read it.
const ACTIONS: [(&str, &str); 25] = [
    ("attach", "Attached to another key"),
    ("change-password", "Changed own password"),
    ("check", "Checked"),
    ("create", "Created"),
    ("delete", "Deleted"),
    ("end-session", "Session ended"),
    ("export", "Key string shown"),
    ("finish-roll", "Roll finished"),
    ("import", "Imported"),
    ("initialize", "Service started first"),
    ("raise-maximum", "Maximum raised"),
    ("recover", "Recovered"),
    ("replace", "Replaced by another"),
    ("replace-secret", "Secret replaced"),
    ("reseal", "Sealed by another master key"),
    ("reset-password", "Password reset"),
    ("restore", "Restored from a backup"),
    ("revoke", "Revoked"),
    ("roll", "Rolled"),
    ("rotate", "Rotated"),
    ("sign-in", "Signed in"),
    ("sign-in-failed", "Sign-in failed"),
    ("sign-out", "Signed out"),
    ("test", "Tested"),
    ("update", "Edited"),
];

/// What things are done to.
const OBJECTS: [(Object, &str); 12] = [
    (Object::Administrator, "Administrator"),
    (Object::ApiClient, "API client"),
    (Object::CleanUpSchedule, "Clean-up schedule"),
    (Object::Component, "Component"),
    (Object::Customer, "Customer"),
    (Object::Group, "Group"),
    (Object::ProvisioningKey, "Provisioning key"),
    (Object::Service, "Service"),
    (Object::Session, "Session"),
    (Object::SigningCertificate, "Signing certificate"),
    (Object::TlsTrustAnchor, "TLS trust anchor"),
    (Object::Webhook, "Webhook"),
];

#[derive(Template)]
#[template(path = "audit_export.html", config = "src/server/portal/askama.toml")]
struct ExportPage {
    frame: Frame,
    head: PageHead,
    pieces: Vec<Link>,
    command: String,
}

/// `?object=<id>` shows what was done to one object.
pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    let listing = Listing::read(portal, visit, session, "audit", columns()).await;
    let total = management.list_audit_events(actor, customer, &audit_query(&listing.whole())).await?.total;
    let Page { rows: events, total: found } =
        listing.find(async |query| management.list_audit_events(actor, customer, &audit_query(query)).await).await?;
    let ids: Vec<_> = events.iter().map(|event| event.sequence.to_string()).collect();
    let mut rows = Vec::with_capacity(events.len());
    for AuditRow { sequence, event, mac } in &events {
        let time = Instant::to_the_second(event.at).text;
        let mut row = Row::new(&listing.state, &sequence, time, String::new(), &ids);
        row.address.clone_from(&row.toggle_address);
        row.cells = listing.shown().iter().map(|column| cell(column, *sequence, event)).collect();
        let [mut object, mut author] = [String::new(), String::new()];
        if row.is_open {
            object = address(portal, session, customer, &event.object_type, &event.object_id).await?;
            author = address(portal, session, customer, &event.actor_type, &event.actor_id).await?;
        }
        row.details = details(*sequence, event, mac, object, author);
        rows.push(row);
    }
    let tabs = tabs(&listing.state, portal.now());
    let totals = Totals { found, unfiltered: total };
    let table = listing.into_table(portal, session, ("Audit", "event", "events"), rows, totals, None).await?;
    let export = format!("{}/export", Place::Audit.address(customer));
    let export = if total <= u64::from(EXPORT_ROWS_MAX) { format!("{export}?after=0") } else { export };
    let head = PageHead {
        lead: "Who did what to what. Each event carries a seal over itself and the event before it, so that a \
               changed, missing or reordered one is found: muster audit verify looks for that."
            .to_owned(),
        actions: vec![HeadAction::new("Export JSON lines", "download", export)],
        tabs,
        tabs_label: "Time",
        ..PageHead::new(Place::Audit.label())
    };
    let frame = Frame::around(portal, visit, session, customer, Place::Audit, Place::Audit.label()).await?;
    Ok(Reply::ok(&ListPage { frame, head, table, empty: None }))
}

/// With `?after=<number>` the piece of the log that follows that event, as the management API exports it; else
/// links to all pieces.
pub(in crate::server::portal) async fn export(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    let Some(after) = visit.query.find("after") else { return pieces(portal, visit, session, customer).await };
    let after: u64 = after.parse().map_err(|_| Trouble::NoSuchPage)?;
    let rows = management.export_audit_events(actor, customer, after, EXPORT_ROWS_MAX).await?;
    let mut lines = Zeroizing::new(String::new());
    for row in &rows {
        lines.push_str(&serde_json::to_string(&encode(row)).expect("wire shapes serialize"));
        lines.push('\n');
    }
    let last = rows.last().map_or(after, |row| row.sequence);
    let name = format!("audit-{customer}-{}-{last}.jsonl", after.saturating_add(1));
    Ok(Reply::file(name, "application/x-ndjson", lines))
}

async fn pieces(portal: &Portal, visit: &Visit, session: &Session, customer: CustomerId) -> Result<Reply, Trouble> {
    let query = audit_query(&ListQuery::first(1));
    let total = portal.management().list_audit_events(&session.actor, customer, &query).await?.total;
    let (count, each) = (total.div_ceil(EXPORT_ROWS_MAX.into()), u64::from(EXPORT_ROWS_MAX));
    let piece = |index: u64| {
        let (after, last) = (index * each, ((index + 1) * each).min(total));
        let label = format!("Events {}–{}", say::number(after + 1), say::number(last));
        Link { label, address: format!("{}/export?after={after}", Place::Audit.address(customer)) }
    };
    let head = PageHead {
        lead: format!(
            "One file holds {} events, oldest first, one JSON object on each line. muster audit verify --file checks \
             one.",
            say::number(EXPORT_ROWS_MAX)
        ),
        ..PageHead::below_place(customer, Place::Audit, "Export")
    };
    let page = ExportPage {
        frame: Frame::around(portal, visit, session, customer, Place::Audit, "Export").await?,
        head,
        // The newest of very many; the command has all.
        pieces: (count.saturating_sub(PIECES_MAX)..count).map(piece).collect(),
        command: format!("muster audit export --customer {customer} > audit.jsonl"),
    };
    Ok(Reply::ok(&page))
}

/// The log has one order: newest first.
fn audit_query(query: &ListQuery<AuditField>) -> AuditQuery {
    let page = PageRequest { offset: query.offset, limit: query.limit };
    AuditQuery { conditions: query.conditions.clone(), page }
}

fn columns() -> Vec<Column<AuditField>> {
    let column = |id, label: &str, short, class, field| Column::new(id, label, short, class, field).unsorted();
    let choice = |value: &str, label: &str, field| FilterChoice::equals(value, label, field, value);
    let actions = ACTIONS.iter().map(|(value, label)| choice(value, label, AuditField::Action)).collect();
    let objects =
        OBJECTS.iter().map(|(object, label)| choice(object.as_str(), label, AuditField::ObjectType)).collect();
    vec![
        column("time", "Time (UTC)", "Time", "", AuditField::At).filtered(Filter::Period(AuditField::At)),
        column("who", "Who", "Who", "c-group", AuditField::ActorName).filtered(Filter::Contains(AuditField::ActorName)),
        column("action", "What", "What", "c-group", AuditField::Action).filtered(Filter::Choice(actions)),
        column("type", "Object Type", "Type", "c-state", AuditField::ObjectType).filtered(Filter::Choice(objects)),
        column("name", "Object", "Object", "c-text", AuditField::ObjectName)
            .filtered(Filter::Contains(AuditField::ObjectName)),
        column("object", "Object ID", "ID", "c-group", AuditField::ObjectId)
            .optional()
            .filtered(Filter::Equals(AuditField::ObjectId)),
        column("number", "Number", "Number", "c-short", AuditField::Sequence)
            .optional()
            .numeric()
            .filtered(Filter::AtLeast(AuditField::Sequence)),
    ]
}

/// Spans of time that are often wanted.
fn tabs(state: &ListState, now: Timestamp) -> Vec<Tab> {
    let day = |back: i64| {
        let at = Timestamp::from_unix_seconds(now.unix_seconds() - back * i64::from(DAY_SECONDS));
        at.to_string()[..10].to_owned()
    };
    let tab = |label, value: String| Tab {
        label,
        is_current: state.filter("time") == value,
        address: match value.is_empty() {
            true => state.without_filter("time"),
            false => state.with_filter("time", value),
        }
        .address(),
        count: String::new(),
    };
    vec![
        tab("All", String::new()),
        tab("Today", day(0)),
        tab("Last 7 days", format!("{}..", day(6))),
        tab("Last 30 days", format!("{}..", day(29))),
    ]
}

fn cell(column: &str, sequence: u64, event: &AuditEvent) -> Cell {
    match column {
        "who" => Cell::text(event.actor_name.as_str()),
        "action" => Cell::text(action(&event.action)),
        "type" => Cell::text(object(&event.object_type)),
        "name" => Cell::text(event.object_name.as_str()),
        "object" if event.object_id.is_empty() => Cell::Nothing,
        "object" => Cell::Mono(event.object_id.clone()),
        "number" => Cell::text(say::number(sequence)),
        _ => Cell::Nothing,
    }
}

/// Where the page of something that the log names is; empty when there is none, or it is gone.
async fn address(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    object_type: &str,
    id: &str,
) -> Result<String, Error> {
    let below = |place: Place, id: &dyn std::fmt::Display| format!("{}/{id}", place.address(customer));
    let located = portal.management().locate(&session.actor, customer, object_type, id).await?;
    Ok(match located {
        None => String::new(),
        Some(Located::Administrator(id)) => below(Place::Administrators, &id),
        Some(Located::ApiClient(id)) => below(Place::ApiClients, &id),
        Some(Located::Component(kind, id)) => below(Place::Components(kind), &id),
        Some(Located::Group(kind, id)) => below(Place::Groups(kind), &id),
        Some(Located::ProvisioningKey(kind, id)) => below(Place::Keys(kind), &id),
        Some(Located::SigningCertificate(id)) => below(Place::SigningCertificates, &id),
        Some(Located::Webhook(id)) => below(Place::Webhooks, &id),
    })
}

fn details(
    sequence: u64,
    event: &AuditEvent,
    mac: &AuditMac,
    object_address: String,
    author_address: String,
) -> Vec<Detail> {
    let named = |name: &str, address: String, nameless: &str| match (name, address.is_empty()) {
        ("", true) => Cell::text(nameless),
        ("", false) => Cell::Link { label: nameless.to_owned(), address },
        (name, true) => Cell::text(name),
        (name, false) => Cell::Link { label: name.to_owned(), address },
    };
    let detail = |label, value| Detail { label, value };
    let author_kind = match event.actor_type.as_str() {
        "administrator" => "Administrator",
        "api-client" => "API client",
        _ => "System",
    };
    // Enough to tell it from others; whoever checks one has the export.
    let seal: String = mac[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut details = vec![
        detail(author_kind, named(&event.actor_name, author_address, "–")),
        detail("Object", named(&event.object_name, object_address, &object(&event.object_type))),
        detail(
            "Object ID",
            if event.object_id.is_empty() { Cell::Nothing } else { Cell::Mono(event.object_id.clone()) },
        ),
        detail("Number and seal", Cell::Mono(format!("{sequence} · {seal}…"))),
    ];
    let changes = changes(event.before.as_deref(), event.after.as_deref());
    if !changes.is_empty() {
        details.push(detail("Settings", Cell::Changes(changes)));
    }
    details
}

fn action(action: &str) -> String {
    ACTIONS.iter().find(|(known, _)| *known == action).map_or(action, |(_, label)| label).to_owned()
}

fn object(object_type: &str) -> String {
    OBJECTS.iter().find(|(known, _)| known.as_str() == object_type).map_or(object_type, |(_, label)| label).to_owned()
}

/// The members that differ. What is no JSON object is shown as it is.
fn changes(before: Option<&str>, after: Option<&str>) -> Vec<Change> {
    let read = |text: Option<&str>| match text.map(serde_json::from_str::<Value>) {
        None => Some(serde_json::Map::new()),
        Some(Ok(Value::Object(members))) => Some(members),
        Some(_) => None,
    };
    let (Some(old), Some(new)) = (read(before), read(after)) else {
        let [before, after] = [before, after].map(|text| text.map(str::to_owned));
        return vec![Change { label: "Settings".to_owned(), before, after }];
    };
    let members: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = members.into_iter().filter(|member| old.get(*member) != new.get(*member));
    differing
        .map(|member| Change {
            label: label(member),
            before: old.get(member).and_then(shown),
            after: new.get(member).and_then(shown),
        })
        .filter(|change| change.before != change.after)
        .collect()
}

/// `signingCertificateId` → `Signing certificate id`.
fn label(member: &str) -> String {
    let mut label = String::with_capacity(member.len() + 4);
    for c in member.chars() {
        if label.is_empty() {
            label.extend(c.to_uppercase());
        } else if c.is_uppercase() {
            label.push(' ');
            label.extend(c.to_lowercase());
        } else {
            label.push(c);
        }
    }
    label
}

/// A value as people read it; nothing for what is not set.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(is_so) => Some(if *is_so { "On" } else { "Off" }.to_owned()),
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().filter_map(shown).collect();
            (!values.is_empty()).then(|| values.join(", "))
        }
        Value::Number(_) | Value::Object(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(label: &str, before: Option<&str>, after: Option<&str>) -> Change {
        Change { label: label.to_owned(), before: before.map(str::to_owned), after: after.map(str::to_owned) }
    }

    #[test]
    fn only_what_differs_is_compared() {
        let before = r#"{"name":"HQ","enabled":true,"maximum":10,"addresses":[],"description":""}"#;
        let after = r#"{"name":"Head office","enabled":false,"maximum":10,"addresses":["192.0.2.0/24","::/0"]}"#;
        assert_eq!(
            changes(Some(before), Some(after)),
            [
                change("Addresses", None, Some("192.0.2.0/24, ::/0")),
                change("Enabled", Some("On"), Some("Off")),
                change("Name", Some("HQ"), Some("Head office")),
            ]
        );
        assert_eq!(changes(Some(before), Some(before)), []);
        assert_eq!(changes(None, None), []);
    }

    #[test]
    fn a_beginning_and_an_end_have_one_side() {
        let settings = r#"{"signingCertificateId":"7","expiresAt":null}"#;
        assert_eq!(changes(None, Some(settings)), [change("Signing certificate id", None, Some("7"))]);
        assert_eq!(changes(Some(settings), None), [change("Signing certificate id", Some("7"), None)]);
    }

    #[test]
    fn what_is_no_settings_is_shown_as_it_is() {
        for text in ["", "not JSON", "[1]", "\"<script>\""] {
            assert_eq!(changes(Some(text), None), [change("Settings", Some(text), None)], "{text:?}");
        }
    }
}
