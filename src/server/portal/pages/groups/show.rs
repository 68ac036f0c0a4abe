//! A group's own page.

use super::{addresses, attributes, may_edit, signing_certificate, status_badge, within};
use crate::domain::{Group, Role};
use crate::id::{GroupId, Id as _};
use crate::management::groups::GroupView;
use crate::management::keys::KeyView;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, Link, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::object::{self, Body, Grid, GridRow, ObjectPage, Panel, Remark, Stat};
use crate::server::portal::pages::{clean_up, keys};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Badge, Cell, Detail};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::store::{Comparison, Condition, KeyField, ListQuery, Sort};

/// Keys that the page shows of those that were used last; the list of keys has all.
const KEYS_SHOWN: u32 = 10;

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    let view = management.find_group(actor, customer, kind, visit.id::<GroupId>()?).await?;
    let group = &view.group;
    let id = i64::try_from(group.id.raw()).unwrap_or(i64::MAX);
    let query = ListQuery {
        conditions: vec![Condition::new(KeyField::GroupId, Comparison::Equals, id)],
        sort: Some(Sort { field: KeyField::LastUsedAt, descending: true }),
        ..ListQuery::first(KEYS_SHOWN)
    };
    let keys = management.list_keys(actor, customer, kind, &query).await?.rows;
    let author = object::author(portal, session, customer, group.modified_by).await?;
    let schedule = clean_up::summary(portal, session, customer, kind).await?;

    let place = Place::Groups(kind);
    let mut head = PageHead::below(customer, place, kind, group.name.as_str());
    head.badges.push(status_badge(group));
    group.description.as_str().clone_into(&mut head.lead);
    head.actions = actions(session, group);
    let now = portal.now();
    let settings = [
        vec![
            Detail::new("Signing Certificate", signing_certificate(&view)),
            Detail::new("Addresses", addresses(group)),
        ],
        attributes(group),
        vec![
            Detail::new("Clean-up", Cell::Link { label: schedule, address: clean_up::address(customer, kind) }),
            Detail::new("Created", Cell::Time(Instant::at(group.created_at))),
            Detail::new("Modified", object::modified(group.modified_at, author)),
        ],
    ];
    let settings = Panel::new("settings", "Settings", Body::Pairs(settings.into_iter().flatten().collect()));
    let page = ObjectPage {
        frame: Frame::around(portal, visit, session, customer, place, group.name.as_str()).await?,
        head,
        remarks: remarks(group),
        stats: stats(&view, keys.first(), now),
        main: vec![keys_panel(&view, &keys, now)],
        side: vec![settings],
    };
    Ok(Reply::ok(&page))
}

fn actions(session: &Session, group: &Group) -> Vec<HeadAction> {
    let mut actions = Vec::new();
    if may_edit(session) {
        actions.push(HeadAction::new("Edit", "edit", super::address(group, "/edit")));
    }
    if session.actor.role >= Role::Operator {
        let keys = Place::Keys(group.kind).address(group.customer_id);
        actions.push(HeadAction::new("Add key", "plus", format!("{keys}/add?group={}", group.id)));
    }
    if may_edit(session) {
        actions.push(HeadAction::delete(super::address(group, "/delete")));
    }
    actions
}

fn remarks(group: &Group) -> Vec<Remark> {
    if group.enabled {
        return Vec::new();
    }
    vec![Remark {
        class: "note-warn",
        icon: "pause",
        title: "This group is disabled".to_owned(),
        text: "None of its keys enrolls a device. Enable it when they are to work again.".to_owned(),
        links: Vec::new(),
    }]
}

/// `last`: the key of it that was used last.
fn stats(view: &GroupView, last: Option<&KeyView>, now: crate::clock::Timestamp) -> Vec<Stat> {
    let group = &view.group;
    let words = words(group.kind);
    let all = |count, place, label: String| match count {
        0 => Cell::Text("None yet".to_owned()),
        _ => Cell::Link { label, address: within(place, group) },
    };
    let used = last.and_then(|view| Some((view, view.key.usage.last_used?)));
    vec![
        Stat {
            label: words.components,
            value: say::number(view.contents.components),
            class: "",
            below: all(
                view.contents.components,
                Place::Components(group.kind),
                format!("{} of this group", words.components),
            ),
        },
        Stat {
            label: "Provisioning Keys",
            value: say::number(view.contents.keys),
            class: "",
            below: all(view.contents.keys, Place::Keys(group.kind), "Keys of this group".to_owned()),
        },
        Stat {
            label: "Last used",
            value: used.map_or("Never".to_owned(), |(_, used)| Instant::past(used.at, now).text),
            class: "",
            below: used.map_or(Cell::Text("No device enrolled yet".to_owned()), |(view, _)| Cell::Link {
                label: view.key.name.to_string(),
                address: key_address(view),
            }),
        },
    ]
}

fn keys_panel(view: &GroupView, keys: &[KeyView], now: crate::clock::Timestamp) -> Panel {
    if keys.is_empty() {
        let text = "Nothing can join this group yet: it has no provisioning key.";
        return Panel::new("keys", "Provisioning Keys", Body::Text(text.to_owned()));
    }
    let row = |view: &KeyView| {
        GridRow::new(vec![
            Cell::Link { label: view.key.name.to_string(), address: key_address(view) },
            Cell::Badge(keys::state_badge(view, now).unwrap_or_else(|| Badge::new("badge-ok", "dot", "Active"))),
            Cell::Usage(keys::usage(&view.key, view.state)),
            view.key
                .usage
                .last_used
                .map_or(Cell::Text("Never".to_owned()), |used| Cell::Time(Instant::past(used.at, now))),
        ])
    };
    let grid = Grid::new(vec!["Name", "Status", "Utilization", "Last used"], keys.iter().map(row).collect());
    let label = match view.contents.keys {
        1 => "Show in the list".to_owned(),
        count => format!("All {} keys", say::number(count)),
    };
    let all = Link { label, address: within(Place::Keys(view.group.kind), &view.group) };
    Panel::new("keys", "Provisioning Keys", Body::Grid(grid)).with_links(vec![all])
}

fn key_address(view: &KeyView) -> String {
    format!("{}/{}", Place::Keys(view.key.kind).address(view.key.customer_id), view.key.id)
}
