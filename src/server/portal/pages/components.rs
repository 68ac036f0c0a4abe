//! The components of a kind: the list, and what is done with the rows of it that are ticked.

mod attach;
mod bulk;
mod certificate;
mod delete;
mod edit;
mod history;
mod revoke;
mod show;

pub(in crate::server::portal) use self::attach::{ask_to_attach, attach};
pub(in crate::server::portal) use self::bulk::bulk;
pub(in crate::server::portal) use self::certificate::download as certificate;
pub(in crate::server::portal) use self::delete::{ask_to_delete, delete};
pub(in crate::server::portal) use self::edit::{disable, edit, enable, save};
pub(in crate::server::portal) use self::revoke::{ask_to_revoke, revoke};
pub(in crate::server::portal) use self::show::show;
use crate::clock::{DAY_SECONDS, Timestamp};
use crate::domain::certificate::renew_after;
use crate::domain::{Component, ComponentBadge, Kind, Role};
use crate::id::CustomerId;
use crate::management::components::ComponentView;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::empty::{Empty, Step};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, KindCounts, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::list::{Column, Filter, FilterChoice, ListState};
use crate::server::portal::listing::{ListPage, Listing};
use crate::server::portal::pages::clean_up;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Action, Badge, Bulk, BulkAction, Cell, Detail, Row, Totals};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::store::{Comparison, ComponentField, Condition, Page};

/// From so many days before its end a certificate is pointed out, when it should have been renewed.
const WARN_DAYS: u32 = 30;

/// The same, gravely.
const ALARM_DAYS: u32 = 7;

pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    let (place, words, may_edit, now) = (Place::Components(kind), words(kind), may_edit(session), portal.now());
    let counts = KindCounts::look_up(portal, session, customer, kind).await?;
    let mut head = PageHead::of_kind(customer, place, kind, &counts);
    let frame = Frame::around(portal, visit, session, customer, place, words.components).await?;
    let below = |what: &str| format!("{}/{what}", place.address(customer));
    let add = may_edit.then(|| HeadAction::add(format!("Add {}", words.component), below("add")));
    let listing = Listing::read(portal, visit, session, format!("{kind}/components"), columns(kind, now)).await;
    let Page { rows: components, total: found } =
        listing.find(|query| management.list_components(actor, customer, kind, query)).await?;
    let ids: Vec<_> = components.iter().map(|view| view.component.id.to_string()).collect();
    let rows = components.iter().map(|view| row(&listing.state, view, listing.shown(), &ids, may_edit, now)).collect();
    let bulk = Bulk { address: below("bulk"), actions: bulk_actions(may_edit) };
    let totals = Totals { found, unfiltered: counts.components };
    let (one, many) = words.nouns;
    let table = listing.into_table(portal, session, (words.components, one, many), rows, totals, Some(bulk)).await?;
    head.actions.push(HeadAction::new("Clean-up", "clock", clean_up::address(customer, kind)));
    let mut empty = None;
    if counts.components == 0 {
        empty = Some(nothing_yet(customer, kind, add));
    } else {
        words.components_lead.clone_into(&mut head.lead);
        head.actions.extend(add);
    }
    Ok(Reply::ok(&ListPage { frame, head, table, empty }))
}

fn row(
    state: &ListState,
    view: &ComponentView,
    shown: &[&'static str],
    page_ids: &[String],
    may_edit: bool,
    now: Timestamp,
) -> Row {
    let component = &view.component;
    let mut row = Row::new(state, &component.id, &component.name, address(component, ""), page_ids);
    row.cells = shown.iter().map(|column| cell(view, column, now)).collect();
    if !shown.contains(&"status") && view.badge != ComponentBadge::Live {
        row.badges.push(status_badge(view.badge));
    }
    if may_edit {
        row.actions = vec![
            Action::edit(&component.name, address(component, "/edit")),
            Action::delete(&component.name, address(component, "/delete")),
        ];
    }
    row.details = details(view);
    row
}

/// What can be done with many at once. The list as a file is for everybody who sees it.
fn bulk_actions(may_edit: bool) -> Vec<BulkAction> {
    let mut actions = vec![BulkAction { value: "csv", label: "Export CSV", is_destructive: false }];
    if may_edit {
        actions.push(BulkAction { value: "delete", label: "Delete…", is_destructive: true });
    }
    actions
}

fn may_edit(session: &Session) -> bool {
    session.actor.role >= Role::Operator
}

/// Where a component's page is; with what follows it, `/edit`.
fn address(component: &Component, what: &str) -> String {
    format!("{}/{}{what}", Place::Components(component.kind).address(component.customer_id), component.id)
}

/// The verb and the kind's own word: "Delete connector".
const fn button(kind: Kind, of: [&'static str; 4]) -> &'static str {
    match kind {
        Kind::AppConnector => of[0],
        Kind::ServiceEdge => of[1],
        Kind::NetworkConnector => of[2],
        Kind::Machine => of[3],
    }
}

fn nothing_yet(customer: CustomerId, kind: Kind, add: Option<HeadAction>) -> Empty {
    let words = words(kind);
    let keys = Place::Keys(kind).address(customer);
    Empty {
        title: format!("No {} yet", words.components.to_lowercase()),
        lead: words.components_lead.to_owned(),
        action: add,
        command_lead: "A device enrolls with a key that stands in a file, here with our own client:",
        command: "muster enroll --key-file /etc/muster/provision_key".to_owned(),
        steps: vec![
            Step::new("key", "Take a key", "Copy or download one of the").link(words.keys, keys),
            Step::new("file", "Put it on the device", "Into a file that only the agent reads."),
            Step::new(words.icon, "It enrolls", "It appears here the moment it has its certificate."),
        ],
    }
}

fn columns(kind: Kind, now: Timestamp) -> Vec<Column<ComponentField>> {
    use ComponentField::{CertificateNotAfter, State};
    let words = words(kind);
    let now = now.unix_seconds();
    let state = |value: &str, label: &str| FilterChoice::equals(value, label, State, value);
    let live_and = |value: &str, label: &str, comparison| FilterChoice {
        value: value.to_owned(),
        label: label.to_owned(),
        conditions: vec![
            Condition::new(State, Comparison::Equals, "live"),
            Condition::new(CertificateNotAfter, comparison, now),
        ],
    };
    let within = |value: &str, label: &str, days: u32| FilterChoice {
        value: value.to_owned(),
        label: label.to_owned(),
        conditions: vec![
            Condition::new(CertificateNotAfter, Comparison::Greater, now),
            Condition::new(CertificateNotAfter, Comparison::LessOrEquals, now + i64::from(days * DAY_SECONDS)),
        ],
    };
    let text = |id, label: &str, short, class, field| {
        Column::new(id, label, short, class, field).filtered(Filter::Contains(field))
    };
    vec![
        text("name", "Name", "Name", "", ComponentField::Name),
        Column::new("status", "Status", "Status", "c-short", State).filtered(Filter::Choice(vec![
            live_and("live", "Live", Comparison::Greater),
            live_and("expired", "Expired", Comparison::LessOrEquals),
            state("disabled", "Disabled"),
            state("revoked", "Revoked"),
        ])),
        text("hostname", "Hostname", "Hostname", "c-group", ComponentField::Hostname),
        text("group", words.group, "Group", "c-group", ComponentField::GroupName),
        text("key", "Provisioning Key", "Key", "c-group", ComponentField::KeyName),
        Column::new("expires", "Certificate Expires", "Expires", "c-when", CertificateNotAfter).filtered(
            Filter::Choice(vec![
                within("7", "Within 7 days", ALARM_DAYS),
                within("30", "Within 30 days", WARN_DAYS),
                FilterChoice {
                    value: "ended".to_owned(),
                    label: "Expired".to_owned(),
                    conditions: vec![Condition::new(CertificateNotAfter, Comparison::LessOrEquals, now)],
                },
            ]),
        ),
        text("platform", "Platform", "Platform", "c-text", ComponentField::Platform).optional(),
        text("version", "Software Version", "Version", "c-short", ComponentField::SoftwareVersion).optional(),
        text("fingerprint", "Fingerprint", "Fingerprint", "c-text", ComponentField::Fingerprint).optional(),
        text("address", "Address", "Address", "c-text", ComponentField::RemoteAddress).optional(),
        Column::new("enrolled", "Enrolled", "Enrolled", "c-when", ComponentField::EnrolledAt).optional(),
        text("serial", "Serial Number", "Serial", "c-text", ComponentField::SerialNumber).optional(),
        text("description", "Description", "Description", "c-text", ComponentField::Description).optional(),
    ]
}

fn cell(view: &ComponentView, column: &str, now: Timestamp) -> Cell {
    let component = &view.component;
    let said = |text: &Option<String>| text.as_deref().map_or(Cell::Nothing, Cell::text);
    match column {
        "status" => Cell::Badge(status_badge(view.badge)),
        "hostname" => said(&component.hostname),
        "group" => group(view),
        "key" => key(view),
        "expires" => expires(view, now),
        "platform" => said(&component.platform),
        "version" => said(&component.software_version),
        "fingerprint" => Cell::Mono(component.fingerprint.as_str().to_owned()),
        "address" => Cell::Text(component.remote_address.to_string()),
        "enrolled" => Cell::Time(Instant::past(component.enrolled_at, now)),
        "serial" => Cell::Mono(view.relations.serial.to_string()),
        "description" => Cell::text(component.description.as_str()),
        _ => Cell::Nothing,
    }
}

fn details(view: &ComponentView) -> Vec<Detail> {
    let component = &view.component;
    let said = |text: &Option<String>| text.as_deref().map_or(Cell::Nothing, Cell::text);
    vec![
        Detail::new("Fingerprint", Cell::Mono(component.fingerprint.as_str().to_owned())),
        Detail::new("Serial Number", Cell::Mono(view.relations.serial.to_string())),
        Detail::new("Signing Certificate", signing_certificate(view)),
        Detail::new("Address", Cell::Text(component.remote_address.to_string())),
        Detail::new("Platform", said(&component.platform)),
        Detail::new("Software Version", said(&component.software_version)),
        Detail::new("Enrolled", Cell::Time(Instant::at(component.enrolled_at))),
        Detail::new("Description", Cell::text(component.description.as_str())),
    ]
}

fn status_badge(badge: ComponentBadge) -> Badge {
    match badge {
        ComponentBadge::Deleted => Badge::new("badge-bad", "trash", "Deleted"),
        ComponentBadge::Revoked => Badge::new("badge-bad", "revoke", "Revoked"),
        ComponentBadge::Disabled => Badge::new("", "pause", "Disabled"),
        ComponentBadge::Expired => Badge::new("badge-bad", "clock", "Expired"),
        ComponentBadge::Live => Badge::new("badge-ok", "dot", "Live"),
    }
}

fn group(view: &ComponentView) -> Cell {
    let component = &view.component;
    let place = Place::Groups(component.kind).address(component.customer_id);
    view.relations.group_name.as_ref().map_or(Cell::Nothing, |name| Cell::Link {
        label: name.to_string(),
        address: format!("{place}/{}", component.group_id),
    })
}

fn key(view: &ComponentView) -> Cell {
    let component = &view.component;
    let place = Place::Keys(component.kind).address(component.customer_id);
    match &view.relations.key_name {
        Some(name) => Cell::Link { label: name.to_string(), address: format!("{place}/{}", component.key_id) },
        None => Cell::Text("Deleted".to_owned()),
    }
}

fn signing_certificate(view: &ComponentView) -> Cell {
    let place = Place::SigningCertificates.address(view.component.customer_id);
    match &view.relations.signing_certificate_name {
        Some(name) => Cell::Link {
            label: name.to_string(),
            address: format!("{place}/{}", view.relations.signing_certificate_id),
        },
        None => Cell::Text("Deleted".to_owned()),
    }
}

/// A date; how soon, in a colour, where the certificate should have been renewed by now.
fn expires(view: &ComponentView, now: Timestamp) -> Cell {
    let at = view.relations.not_after;
    match expiry_class(view, now) {
        "" => Cell::Time(Instant::at(at)),
        class if at <= now => Cell::Toned { class, text: say::day(at) },
        class => Cell::Toned { class, text: say::ahead(at, now) },
    }
}

/// `tag-warn`, `tag-bad` or none. A short certificate that is in the first two thirds of its life is no news.
fn expiry_class(view: &ComponentView, now: Timestamp) -> &'static str {
    let (issued_at, not_after) = (view.relations.issued_at, view.relations.not_after);
    let days_left = not_after.since(now).as_secs() / u64::from(DAY_SECONDS);
    if matches!(view.badge, ComponentBadge::Revoked | ComponentBadge::Deleted)
        || now < renew_after(issued_at, not_after)
    {
        ""
    } else if days_left < u64::from(ALARM_DAYS) {
        "tag-bad"
    } else if days_left < u64::from(WARN_DAYS) {
        "tag-warn"
    } else {
        ""
    }
}

#[cfg(test)]
pub(super) mod tests {
    use askama::Template as _;

    use super::*;
    use crate::clock::DAY;
    use crate::domain::{ComponentState, Description, Fingerprint, Name, Revision, SerialNumber};
    use crate::id::{ComponentId, GroupId, Id as _, ProvisioningKeyId, SigningCertificateId};
    use crate::server::portal::preferences::ListPreference;
    use crate::server::portal::table::{About, Table};
    use crate::server::portal::visit::Fields;
    use crate::store::ComponentRelations;

    pub(super) const NOW: &str = "2026-11-20T16:06:00Z";

    pub(super) const HOSTILE: &str = "\"'><script>x</script><img src=x onerror=x>";

    pub(super) fn now() -> Timestamp {
        Timestamp::from_rfc3339(NOW).unwrap()
    }

    /// Enrolled 60 days ago, with a certificate of 90 days.
    pub(super) fn view(text: &str) -> ComponentView {
        let at = now().saturating_sub(DAY * 60);
        let serial = SerialNumber::from_bytes([7; 16]);
        let said = (!text.is_empty()).then(|| text.to_owned());
        let component = Component {
            id: ComponentId::from_raw(9),
            customer_id: CustomerId::from_raw(7),
            key_id: ProvisioningKeyId::from_raw(5),
            group_id: GroupId::from_raw(4),
            kind: Kind::AppConnector,
            name: "eu-fra2-1".to_owned(),
            description: Description::new(text).unwrap(),
            ordinal: 1,
            fingerprint: Fingerprint::new("dev-1/+=--------------").unwrap(),
            hostname: said.clone(),
            platform: said.clone(),
            software_version: said,
            remote_address: "192.0.2.7".parse().unwrap(),
            enabled: true,
            state: ComponentState::Live,
            enrolled_at: at,
            current_serial: serial,
            previous_serial: None,
            modified_at: at,
            modified_by: None,
            revision: Revision::FIRST,
        };
        let relations = ComponentRelations {
            component: component.id,
            group_name: Some(Name::new("Frankfurt DC 2").unwrap()),
            key_name: None,
            signing_certificate_id: SigningCertificateId::from_raw(3),
            signing_certificate_name: Some(Name::new("Connector").unwrap()),
            serial,
            issued_at: at,
            not_after: now().saturating_add(DAY * 30),
        };
        ComponentView { badge: component.badge(relations.not_after, now()), component, relations }
    }

    fn rendered(query: &str, views: &[ComponentView]) -> String {
        let columns = columns(Kind::AppConnector, now());
        let fields = Fields::parse(query).unwrap();
        let state = ListState::read("/c/7/app-connector/components", &fields, &columns, &ListPreference::default());
        let shown = state.columns[1..].to_vec();
        let rows: Vec<_> = views.iter().map(|view| row(&state, view, &shown, &[], true, now())).collect();
        let about = About {
            label: "App Connectors".to_owned(),
            one: "connector",
            many: "connectors",
            page: String::new(),
            columns: &columns,
            saved: Vec::new(),
            bulk: Some(Bulk { address: String::new(), actions: bulk_actions(true) }),
            unasked: None,
        };
        let total = rows.len() as u64;
        let table = Table::new(&state, about, rows, Totals { found: total, unfiltered: total });
        let empty = views.is_empty().then(|| nothing_yet(CustomerId::from_raw(7), Kind::AppConnector, None));
        let head = PageHead::new("App Connectors");
        ListPage { frame: Frame::for_tests(), head, table, empty }.render().unwrap()
    }

    const ALL_COLUMNS: &str = "open=all&columns=name,status,hostname,group,key,expires,platform,version,fingerprint,\
                               address,enrolled,serial,description";

    #[test]
    fn a_list_of_none_says_how_to_enroll_one() {
        let html = rendered("", &[]);
        assert!(html.contains("No app connectors yet") && html.contains("muster enroll --key-file"), "{html}");
        assert!(!html.contains("<table"));
    }

    #[test]
    fn a_list_shows_one_and_many_and_hostile_text_as_text() {
        let html = rendered("", &[view("")]);
        assert!(html.contains("<b>1 connector</b>") && html.contains("href=\"/c/7/app-connector/groups/4\""), "{html}");
        let html = rendered(ALL_COLUMNS, &[view(HOSTILE), view(HOSTILE), view("")]);
        assert!(html.contains("<b>3 connectors</b>") && html.contains("&#60;script&#62;x"), "{html}");
        assert!(!html.contains("<script>x") && !html.contains("<img"));
    }

    #[test]
    fn a_link_to_the_same_hardware_shows_its_column_with_the_filter() {
        let html = rendered("fingerprint==dev-1", &[view("")]);
        assert!(html.contains("name=\"fingerprint\" value=\"=dev-1\""), "{html}");
    }

    #[test]
    fn an_end_is_pointed_out_once_renewal_is_due() {
        let class = |issued: u32, left: u32| {
            let mut view = view("");
            view.relations.issued_at = now().saturating_sub(DAY * issued);
            view.relations.not_after = now().saturating_add(DAY * left);
            expiry_class(&view, now())
        };
        // A certificate of 90 days, day by day.
        assert_eq!(
            [(59, 31), (61, 29), (82, 8), (84, 6)].map(|(issued, left)| class(issued, left)),
            ["", "tag-warn", "tag-warn", "tag-bad"]
        );
        // One of six days is fine for four.
        assert_eq!([(3, 3), (5, 1), (6, 0)].map(|(issued, left)| class(issued, left)), ["", "tag-bad", "tag-bad"]);
        let mut revoked = view("");
        (revoked.badge, revoked.relations.not_after) = (ComponentBadge::Revoked, now());
        assert_eq!(expiry_class(&revoked, now()), "");
    }
}
