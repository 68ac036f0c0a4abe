//! The groups of a kind: the list, and what is done with the rows of it that are ticked.

mod delete;
mod edit;
mod show;

pub(in crate::server::portal) use self::delete::{ask_to_delete, delete};
pub(in crate::server::portal) use self::edit::{add, create, edit, save};
pub(in crate::server::portal) use self::show::show;
use crate::domain::{Group, Kind, Role};
use crate::id::{CustomerId, GroupId};
use crate::management::groups::{GroupInput, GroupView};
use crate::management::sessions::Session;
use crate::management::{Error, Input};
use crate::server::portal::Portal;
use crate::server::portal::empty::{Empty, Step};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, KindCounts, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::list::{Column, Filter, FilterChoice, ListState, where_exactly};
use crate::server::portal::listing::{ListPage, Listing};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Action, Badge, Bulk, BulkAction, Cell, Detail, Row, Totals};
use crate::server::portal::ticked::Ticked;
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::store::{GroupField, Page};

pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    let (place, words, may_edit) = (Place::Groups(kind), words(kind), may_edit(session));
    let counts = KindCounts::look_up(portal, session, customer, kind).await?;
    let mut head = PageHead::of_kind(customer, place, kind, &counts);
    let frame = Frame::around(portal, visit, session, customer, place, words.groups).await?;
    let add =
        may_edit.then(|| HeadAction::add(format!("Add {}", words.group), format!("{}/add", place.address(customer))));
    let listing = Listing::read(portal, visit, session, format!("{kind}/groups"), columns(kind)).await;
    let Page { rows: groups, total: found } =
        listing.find(|query| management.list_groups(actor, customer, kind, query)).await?;
    let ids: Vec<_> = groups.iter().map(|view| view.group.id.to_string()).collect();
    let rows = groups.iter().map(|view| row(&listing.state, view, listing.shown(), &ids, may_edit)).collect();
    let action = |value, label| BulkAction { value, label, is_destructive: false };
    let bulk = may_edit.then(|| Bulk {
        address: format!("{}/bulk", place.address(customer)),
        actions: vec![action("enable", "Enable"), action("disable", "Disable")],
    });
    let totals = Totals { found, unfiltered: counts.groups };
    let table = listing.into_table(portal, session, (words.groups, "group", "groups"), rows, totals, bulk).await?;
    let mut empty = None;
    if counts.groups == 0 {
        empty = Some(nothing_yet(customer, kind, add));
    } else {
        words.groups_lead.clone_into(&mut head.lead);
        head.actions.extend(add);
    }
    Ok(Reply::ok(&ListPage { frame, head, table, empty }))
}

fn row(state: &ListState, view: &GroupView, shown: &[&'static str], page_ids: &[String], may_edit: bool) -> Row {
    let (group, name) = (&view.group, view.group.name.as_str());
    let mut row = Row::new(state, &group.id, name, address(group, ""), page_ids);
    row.cells = shown.iter().map(|column| cell(view, column)).collect();
    if !shown.contains(&"status") && !group.enabled {
        row.badges.push(status_badge(group));
    }
    if may_edit {
        row.actions =
            vec![Action::edit(name, address(group, "/edit")), Action::delete(name, address(group, "/delete"))];
    }
    row.details = details(view);
    row
}

/// What becomes of the groups that are ticked.
pub(in crate::server::portal) async fn bulk(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    let ticked = match Ticked::<GroupId>::read(visit, &Place::Groups(kind).address(customer), "group")? {
        Ok(ticked) => ticked,
        Err(back) => return Ok(back),
    };
    let (enabled, done) = match ticked.operation {
        "enable" => (true, "enabled"),
        "disable" => (false, "disabled"),
        _ => return Err(Trouble::Malformed),
    };
    let input = GroupInput { enabled: Input::Given(enabled), ..GroupInput::default() };
    let (mut changed, mut gone, mut left) = (0, 0, ticked.ids.len());
    for id in ticked.ids {
        match portal.management().edit_group(&session.actor, customer, kind, id, None, &input).await {
            Ok(_) => changed += 1,
            Err(Error::NotFound { .. }) => gone += 1,
            Err(error) if changed == 0 => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "a group could not be changed with others");
                break;
            }
        }
        left -= 1;
    }
    let mut sentence = format!("{} {done}", say::counted(changed, "group", "groups"));
    sentence[..1].make_ascii_uppercase();
    if gone > 0 {
        sentence += &format!(", {} deleted already", if gone == 1 { "1 is".to_owned() } else { format!("{gone} are") });
    }
    if left > 0 {
        let are = if left == 1 { "1 is".to_owned() } else { format!("{left} are") };
        sentence += &format!(", {are} left as before, because the store did not answer");
    }
    Ok(Reply::see_other(ticked.back).with_notice("", sentence + "."))
}

/// Making and changing groups takes an administrator.
fn may_edit(session: &Session) -> bool {
    session.actor.role >= Role::Admin
}

/// Where a group's page is; with what follows it, `/edit`.
fn address(group: &Group, what: &str) -> String {
    format!("{}/{}{what}", Place::Groups(group.kind).address(group.customer_id), group.id)
}

fn nothing_yet(customer: CustomerId, kind: Kind, add: Option<HeadAction>) -> Empty {
    let words = words(kind);
    Empty {
        title: format!("No {} yet", words.groups.to_lowercase()),
        lead: words.groups_lead.to_owned(),
        action: add,
        command_lead: "Or from a terminal; it prints the group’s id:",
        command: format!("muster group create --kind {kind} --name \"HQ\""),
        steps: vec![
            Step::new("group", "Make a group", "A name and a signing certificate. Half a minute."),
            Step::new("key", "Make keys for it", "Each belongs to one group:")
                .link(words.keys, format!("{}/add", Place::Keys(kind).address(customer))),
            Step::new(
                words.icon,
                format!("{} join it", words.components),
                "Whichever key of the group they enroll with.",
            ),
        ],
    }
}

fn columns(kind: Kind) -> Vec<Column<GroupField>> {
    let words = words(kind);
    let is = |value: &str, label: &str, enabled: bool| FilterChoice::equals(value, label, GroupField::Enabled, enabled);
    vec![
        Column::new("name", "Name", "Name", "", GroupField::Name).filtered(Filter::Contains(GroupField::Name)),
        Column::new("status", "Status", "Status", "c-state", GroupField::Enabled)
            .filtered(Filter::Choice(vec![is("enabled", "Enabled", true), is("disabled", "Disabled", false)])),
        Column::new("keys", "Keys", "Keys", "c-short", GroupField::Id).numeric().unsorted(),
        Column::new("components", words.components, "Components", "c-text", GroupField::Id).numeric().unsorted(),
        Column::new("cert", "Signing Certificate", "Certificate", "c-text", GroupField::SigningCertificateName)
            .filtered(Filter::Contains(GroupField::SigningCertificateName)),
        Column::new("description", "Description", "Description", "c-text", GroupField::Description)
            .optional()
            .filtered(Filter::Contains(GroupField::Description)),
        Column::new("created", "Created", "Created", "c-when", GroupField::CreatedAt).optional(),
        Column::new("modified", "Modified", "Modified", "c-when", GroupField::ModifiedAt).optional(),
    ]
}

fn cell(view: &GroupView, column: &str) -> Cell {
    let group = &view.group;
    match column {
        "status" => Cell::Badge(status_badge(group)),
        "keys" => {
            Cell::Link { label: say::number(view.contents.keys), address: within(Place::Keys(group.kind), group) }
        }
        "components" => Cell::Link {
            label: say::number(view.contents.components),
            address: within(Place::Components(group.kind), group),
        },
        "cert" => signing_certificate(view),
        "description" => Cell::text(group.description.as_str()),
        "created" => Cell::Time(Instant::at(group.created_at)),
        "modified" => Cell::Time(Instant::at(group.modified_at)),
        _ => Cell::Nothing,
    }
}

fn details(view: &GroupView) -> Vec<Detail> {
    let group = &view.group;
    let mut details = vec![
        Detail::new("Description", Cell::text(group.description.as_str())),
        Detail::new("Addresses", addresses(group)),
        Detail::new("Created", Cell::Time(Instant::at(group.created_at))),
        Detail::new("Modified", Cell::Time(Instant::at(group.modified_at))),
    ];
    details.extend(attributes(group));
    details
}

fn status_badge(group: &Group) -> Badge {
    if group.enabled { Badge::new("badge-ok", "dot", "Enabled") } else { Badge::new("", "pause", "Disabled") }
}

fn signing_certificate(view: &GroupView) -> Cell {
    let place = Place::SigningCertificates.address(view.group.customer_id);
    match &view.signing_certificate_name {
        Some(name) => {
            Cell::Link { label: name.to_string(), address: format!("{place}/{}", view.group.signing_certificate_id) }
        }
        None => Cell::Nothing,
    }
}

/// A list of the kind with what belongs to the group.
fn within(place: Place, group: &Group) -> String {
    where_exactly(&place.address(group.customer_id), "group", group.name.as_str())
}

fn addresses(group: &Group) -> Cell {
    if group.addresses.is_empty() {
        return Cell::Text("From everywhere".to_owned());
    }
    Cell::Codes(group.addresses.entries().map(str::to_owned).collect())
}

/// What the group keeps for clients of the management API and people ask for, where it is set.
fn attributes(group: &Group) -> Vec<Detail> {
    const SHOWN: [(&str, &str); 8] = [
        ("location", "Location"),
        ("city", "City"),
        ("cityCountry", "City and country"),
        ("countryCode", "Country"),
        ("latitude", "Latitude"),
        ("longitude", "Longitude"),
        ("dcHostingInfo", "Data center"),
        ("siteId", "Site"),
    ];
    let value = |(name, label): (&str, &'static str)| {
        let text = group.attributes.get(name)?.as_str().filter(|text| !text.is_empty())?;
        Some(Detail::new(label, Cell::text(text)))
    };
    SHOWN.into_iter().filter_map(value).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use askama::Template as _;
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{AddressList, Description, Name, Revision};
    use crate::id::{Id as _, SigningCertificateId};
    use crate::server::portal::preferences::ListPreference;
    use crate::server::portal::table::{About, Table};
    use crate::server::portal::visit::Fields;
    use crate::store::GroupContents;

    pub(super) const HOSTILE: &str = "\"'><script>x</script><img src=x onerror=x>";

    pub(super) fn view(text: &str) -> GroupView {
        let at = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
        let group = Group {
            id: GroupId::from_raw(4),
            customer_id: CustomerId::from_raw(7),
            kind: Kind::Machine,
            name: Name::new("Frankfurt DC 2").unwrap(),
            description: Description::new(text).unwrap(),
            enabled: false,
            signing_certificate_id: SigningCertificateId::from_raw(3),
            addresses: AddressList::parse(&["192.0.2.0/24", "2001:db8::/32"]).unwrap(),
            attributes: json!({ "location": text, "latitude": "50.1", "upgradeDay": "SUNDAY" })
                .as_object()
                .unwrap()
                .clone(),
            created_at: at,
            modified_at: at,
            modified_by: None,
            revision: Revision::FIRST,
        };
        let contents = GroupContents { keys: 3, components: 4_790 };
        let signing_certificate_name = Some(Name::new("Client").unwrap());
        GroupView { group, signing_certificate_name, contents, machines: None }
    }

    fn rendered(query: &str, views: &[GroupView], may_edit: bool) -> String {
        let columns = columns(Kind::Machine);
        let fields = Fields::parse(query).unwrap();
        let state = ListState::read("/c/7/machine/groups", &fields, &columns, &ListPreference::default());
        let rows: Vec<_> = views.iter().map(|view| row(&state, view, &state.columns[1..], &[], may_edit)).collect();
        let about = About {
            label: "Machine Groups".to_owned(),
            one: "group",
            many: "groups",
            page: String::new(),
            columns: &columns,
            saved: Vec::new(),
            bulk: None,
            unasked: None,
        };
        let total = rows.len() as u64;
        let table = Table::new(&state, about, rows, Totals { found: total, unfiltered: total });
        let empty = views.is_empty().then(|| nothing_yet(CustomerId::from_raw(7), Kind::Machine, None));
        let head = PageHead::new("Machine Groups");
        ListPage { frame: Frame::for_tests(), head, table, empty }.render().unwrap()
    }

    #[test]
    fn a_list_shows_none_one_many_and_hostile_text_as_text() {
        let html = rendered("", &[], true);
        assert!(
            html.contains("No machine groups yet") && html.contains("muster group create --kind machine"),
            "{html}"
        );
        let html = rendered("", &[view("")], true);
        assert!(html.contains("<b>1 group</b>") && html.contains("4,790"), "{html}");
        assert!(html.contains("/c/7/machine/components?group=%3DFrankfurt%20DC%202"), "{html}");
        let html = rendered("open=all&columns=name,description", &[view(HOSTILE), view(HOSTILE)], true);
        assert!(html.contains("<b>2 groups</b>") && html.contains("&#60;script&#62;x"), "{html}");
        assert!(!html.contains("<script>x") && !html.contains("<img"));
        assert!(html.contains("Disabled"), "beneath the name, as the column is not shown");
    }

    #[test]
    fn who_may_not_edit_is_not_offered_to() {
        let html = rendered("", &[view("")], false);
        assert!(!html.contains("/edit") && !html.contains("/delete"), "{html}");
    }

    #[test]
    fn of_what_is_kept_for_others_people_see_what_they_know() {
        let labels: Vec<_> = attributes(&view("Rack 17").group).iter().map(|detail| detail.label).collect();
        assert_eq!(labels, ["Location", "Latitude"]);
        assert_eq!(attributes(&view("").group).len(), 1, "empty ones are as good as none");
    }
}
