//! The provisioning keys of a kind: the list, and what is done with the rows of it that are ticked.

pub(in crate::server::portal) mod bulk;

use crate::clock::Timestamp;
use crate::domain::attention::{KEY_END_NEAR, full_in};
use crate::domain::{BucketStep, Buckets, KeyState, Kind, Name, ProvisioningKey, Role};
use crate::id::{ComponentId, CustomerId, Id as _};
use crate::management::Error;
use crate::management::keys::KeyView;
use crate::management::sessions::Session;
use crate::server::http::form::encode_into;
use crate::server::portal::Portal;
use crate::server::portal::empty::{Empty, Step};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, KindCounts, Link, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::list::{Column, Filter, FilterChoice};
use crate::server::portal::listing::{ListPage, Listing};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{
    Action, Badge, Bulk, BulkAction, Cell, Detail, KeyCell, Obstacle, Row, Tag, Totals, Usage,
};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Cut, Instant};
use crate::store::{Comparison, ComponentField, Condition, KeyField, ListQuery, Page};
use std::collections::HashMap;
use std::num::NonZeroU32;

/// From here on a bar warns, in per cent.
const NEARLY_FULL_PERCENT: i64 = 90;

/// Below that no forecast is made, in per cent: nobody need act yet.
const FORECAST_FROM_PERCENT: u64 = 50;

pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    let (place, words, may_edit) = (Place::Keys(kind), words(kind), actor.role >= Role::Operator);
    let counts = KindCounts::look_up(portal, session, customer, kind).await?;
    let mut head = PageHead::of_kind(customer, place, kind, &counts);
    let add = may_edit.then(|| HeadAction::add(format!("Add {}", words.key), add_address(customer, kind)));
    let frame = Frame::around(portal, visit, session, customer, place, words.keys).await?;
    let empty = if counts.keys == 0 {
        let groups = management.list_groups(actor, customer, kind, &ListQuery::first(1)).await?;
        let group = groups.rows.first().map(|view| view.group.name.as_str());
        Some(nothing_yet(customer, kind, group, add))
    } else {
        words.keys_lead.clone_into(&mut head.lead);
        head.actions.extend(add);
        None
    };
    let listing = Listing::read(portal, visit, session, format!("{kind}/keys"), columns(kind)).await;
    let Page { rows: keys, total: found } =
        listing.find(|query| management.list_keys(actor, customer, kind, query)).await?;
    let ids: Vec<_> = keys.iter().map(|view| view.key.id.to_string()).collect();
    let context = RowContext { kind, now: portal.now(), may_edit, has_status: listing.shown().contains(&"status") };
    let mut rows = Vec::with_capacity(keys.len());
    for view in &keys {
        let mut row = Row::new(&listing.state, &view.key.id, view.key.name.as_str(), address(&view.key, ""), &ids);
        let related = match row.is_open {
            true => Related::look_up(portal, session, view).await?,
            false => Related::default(),
        };
        context.fill(&mut row, view, &related, listing.shown());
        rows.push(row);
    }
    let bulk = Bulk { address: format!("{}/bulk", place.address(customer)), actions: bulk_actions(may_edit) };
    let totals = Totals { found, unfiltered: counts.keys };
    let table = listing.into_table(portal, session, (words.keys, "key", "keys"), rows, totals, Some(bulk)).await?;
    Ok(Reply::ok(&ListPage { frame, head, table, empty }))
}

/// What can be done with many keys at once. The list as a file is for everybody who sees it.
fn bulk_actions(may_edit: bool) -> Vec<BulkAction> {
    let action = |value, label| BulkAction { value, label, is_destructive: false };
    let mut actions = vec![action("csv", "Export CSV")];
    if may_edit {
        actions.splice(..0, [action("enable", "Enable"), action("disable", "Disable")]);
        actions.push(BulkAction { value: "delete", label: "Delete…", is_destructive: true });
    }
    actions
}

/// Where a key's page is; with what follows it, `/edit`.
pub(super) fn address(key: &ProvisioningKey, what: &str) -> String {
    format!("{}/{}{what}", Place::Keys(key.kind).address(key.customer_id), key.id)
}

pub(super) fn add_address(customer: CustomerId, kind: Kind) -> String {
    format!("{}/add", Place::Keys(kind).address(customer))
}

/// From a kind without keys to a device that is enrolled. `group`: the name of one that is there.
fn nothing_yet(customer: CustomerId, kind: Kind, group: Option<&str>, add: Option<HeadAction>) -> Empty {
    let words = words(kind);
    let (name, maximum) = match kind {
        Kind::AppConnector => ("hq-2026", 10),
        Kind::ServiceEdge => ("edges-2026", 10),
        Kind::NetworkConnector => ("branches-2026", 50),
        Kind::Machine => ("laptops-2026", 500),
    };
    let make_group = match group {
        Some(_) => String::new(),
        None => format!("muster group create --kind {kind} --name \"HQ\"\n"),
    };
    let group = group.unwrap_or("HQ");
    let ways = match kind {
        Kind::Machine => "As a file, with your MDM profile, or by cloud-init.",
        _ => "As a file, or by cloud-init.",
    };
    Empty {
        title: format!("No {} yet", words.keys.to_lowercase()),
        lead: words.keys_lead.to_owned(),
        action: add,
        command_lead: "Or from a terminal; it prints the key and nothing else:",
        command: format!(
            "{make_group}muster key create --kind {kind} --group \"{group}\" \\\n  --name {name} --max-uses {maximum}"
        ),
        steps: vec![
            Step::new("key", "Make a key", "Signing certificate, group, limit. About a minute."),
            Step::new("file", format!("Give it to your {}", words.components), ways),
            Step::new(
                words.icon,
                format!("{} enroll at boot", words.components),
                "The key counts each one, and all of them appear under",
            )
            .link(words.components, Place::Components(kind).address(customer)),
        ],
    }
}

/// All columns: those that are shown unless somebody chose otherwise, and those that can be added.
fn columns(kind: Kind) -> Vec<Column<KeyField>> {
    let words = words(kind);
    let has_maximum = kind.requires_maximum();
    let optional = |column: Column<KeyField>, is_default: bool| if is_default { column } else { column.optional() };
    let used = |value: &str, label: &str, comparison, percent: i64| FilterChoice {
        value: value.to_owned(),
        label: label.to_owned(),
        conditions: vec![Condition::new(KeyField::UsedPercent, comparison, percent)],
    };
    let state = |state: KeyState, label| FilterChoice::equals(state.as_str(), label, KeyField::State, state.as_str());
    vec![
        Column::new("name", "Name", "Name", "", KeyField::Name).filtered(Filter::Contains(KeyField::Name)),
        optional(Column::new("max", words.maximum, "Maximum", "c-max", KeyField::Maximum), has_maximum)
            .numeric()
            .filtered(Filter::AtLeast(KeyField::Maximum)),
        optional(
            Column::new("uses", "Provisioning Key Utilization Count", "Utilization", "c-use", KeyField::Uses),
            has_maximum,
        )
        .filtered(Filter::Choice(vec![
            FilterChoice::equals("none", "Not used yet", KeyField::Uses, 0),
            FilterChoice {
                value: "some".to_owned(),
                label: "Used".to_owned(),
                conditions: vec![Condition::new(KeyField::Uses, Comparison::GreaterOrEquals, 1)],
            },
            used("nearly", "90 % or more", Comparison::GreaterOrEquals, NEARLY_FULL_PERCENT),
            used("full", "All used", Comparison::GreaterOrEquals, 100),
        ])),
        Column::new("group", words.group, "Group", "c-group", KeyField::GroupName)
            .filtered(Filter::Contains(KeyField::GroupName)),
        optional(Column::new("status", "Status", "Status", "c-state", KeyField::State), kind == Kind::Machine)
            .filtered(Filter::Choice(vec![
                state(KeyState::Active, "Active"),
                state(KeyState::Disabled, "Disabled"),
                state(KeyState::Exhausted, "Exhausted"),
                state(KeyState::Expired, "Expired"),
            ])),
        Column::new("used", "Last Used", "Last used", "c-when", KeyField::LastUsedAt).optional(),
        Column::new("expires", "Expires", "Expires", "c-when", KeyField::ExpiresAt).optional(),
        Column::new("cert", "Signing Certificate", "Certificate", "c-text", KeyField::SigningCertificateName)
            .optional()
            .filtered(Filter::Contains(KeyField::SigningCertificateName)),
        Column::new("created", "Created", "Created", "c-when", KeyField::CreatedAt).optional(),
        Column::new("key", "Provisioning Key", "Key", "c-key", KeyField::Hint)
            .unsorted()
            .filtered(Filter::StartsWith(KeyField::KeyId)),
    ]
}

/// What rows are made with.
struct RowContext {
    kind: Kind,
    now: Timestamp,
    may_edit: bool,
    /// The state has a column of its own, and need not stand beneath the name.
    has_status: bool,
}

impl RowContext {
    fn fill(&self, row: &mut Row, view: &KeyView, related: &Related, shown: &[&'static str]) {
        let key = &view.key;
        let badge = state_badge(view, self.now);
        row.cells = shown.iter().map(|column| self.cell(view, column, badge.as_ref())).collect();
        if !self.has_status {
            row.badges.extend(badge);
        }
        if !key.is_exportable() {
            row.badges.push(Badge::new("badge-line", "eyeoff", "View off"));
        }
        if key.successor_id.is_some() {
            row.badges.push(Badge::new("badge-line", "rotate", "Rotated"));
        }
        row.tag =
            key.managed_by.as_ref().map(|managed| Tag { icon: "lock", label: format!("Managed by {}", managed.label) });
        if self.may_edit && key.managed_by.is_none() {
            let name = key.name.as_str();
            row.actions =
                vec![Action::edit(name, address(key, "/edit")), Action::delete(name, address(key, "/delete"))];
        }
        row.details = self.details(view, related);
    }

    fn cell(&self, view: &KeyView, column: &str, badge: Option<&Badge>) -> Cell {
        let key = &view.key;
        match column {
            "max" => match key.maximum {
                Some(maximum) => Cell::Text(say::number(maximum.get())),
                None => Cell::Text("No limit".to_owned()),
            },
            "uses" => Cell::Usage(usage(key, view.state)),
            "group" => group(view),
            "status" => Cell::Badge(badge.cloned().unwrap_or_else(|| Badge::new("badge-ok", "dot", "Active"))),
            "used" => key.usage.last_used.map_or(Cell::Nothing, |used| Cell::Time(Instant::past(used.at, self.now))),
            "expires" => key.expires_at.map_or(Cell::Nothing, |at| Cell::Time(Instant::at(at))),
            "cert" => signing_certificate(view),
            "created" => Cell::Time(Instant::at(key.created_at)),
            "key" => Cell::Key(key_cell(key, self.may_edit)),
            _ => Cell::Nothing,
        }
    }

    fn details(&self, view: &KeyView, related: &Related) -> Vec<Detail> {
        let key = &view.key;
        let detail = |label, value| Detail { label, value };
        let by = |at, by: Option<u64>| match by.and_then(|id| related.actors.get(&id)) {
            Some(name) => Cell::TimeBy { at: Instant::at(at), by: name.to_string(), address: String::new() },
            None => Cell::Time(Instant::at(at)),
        };
        let last_used = match (key.usage.last_used, &related.last_used_by) {
            (None, _) => Cell::Text("Never".to_owned()),
            (Some(used), None) => Cell::Time(Instant::past(used.at, self.now)),
            (Some(used), Some(Link { label, address })) => {
                Cell::TimeBy { at: Instant::past(used.at, self.now), by: label.clone(), address: address.clone() }
            }
        };
        let components = words(self.kind);
        vec![
            detail("Signing Certificate", signing_certificate(view)),
            detail("View or export", Cell::yes_no(key.is_exportable())),
            detail("Re-enrollment", Cell::yes_no(key.allow_re_enrollment)),
            detail(
                "Components",
                Cell::Link {
                    label: say::counted(related.components, components.component, components.components),
                    address: components_address(key),
                },
            ),
            detail("Created", by(key.created_at, key.created_by)),
            detail("Modified", by(key.modified_at, key.modified_by)),
            detail("Last used", last_used),
            detail("Remaining", Cell::Text(remaining(key, related.forecast.as_deref()))),
        ]
    }
}

/// What is looked up beside a key when there is room to tell it.
#[derive(Default)]
pub(super) struct Related {
    /// Who made and changed it, by row id; those that are gone are missing.
    pub(super) actors: HashMap<u64, Name>,
    /// How many components it has.
    pub(super) components: u64,
    /// The component that used it last, if that is still there.
    pub(super) last_used_by: Option<Link>,
    /// When it will be full if it goes on being used as in the last day: "7 h". `None`: not in sight.
    pub(super) forecast: Option<String>,
}

impl Related {
    /// # Errors
    /// Outages.
    pub(super) async fn look_up(portal: &Portal, session: &Session, view: &KeyView) -> Result<Self, Error> {
        let key = &view.key;
        let (management, actor, customer) = (portal.management(), &session.actor, key.customer_id);
        let ids: Vec<_> = key.created_by.into_iter().chain(key.modified_by).collect();
        let last_used_by = match key.usage.last_used {
            Some(used) => match management.find_component(actor, customer, key.kind, used.by).await {
                Ok(view) => Some(component_link(key, used.by, &view.component.name)),
                Err(Error::NotFound { .. }) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        Ok(Self {
            actors: management.name_actors(actor, customer, &ids).await?,
            components: count_components(portal, session, key).await?,
            last_used_by,
            forecast: forecast(portal, session, view).await?,
        })
    }
}

async fn forecast(portal: &Portal, session: &Session, view: &KeyView) -> Result<Option<String>, Error> {
    let key = &view.key;
    let (Some(maximum), KeyState::Active) = (key.maximum.map(NonZeroU32::get), view.state) else {
        return Ok(None);
    };
    if u64::from(key.usage.uses) * 100 < u64::from(maximum) * FORECAST_FROM_PERCENT {
        return Ok(None);
    }
    let buckets = Buckets::until(portal.now(), BucketStep::Hour, 24);
    let usage = portal.management().key_usage(&session.actor, key.customer_id, key.kind, key.id, buckets).await?;
    let of_late = usage.counts.iter().map(|count| count.uses).sum::<i64>();
    Ok(full_in(key.usage.uses, maximum, u64::try_from(of_late).unwrap_or(0)).map(say::span))
}

/// How many components of a key are neither deleted nor those of another.
pub(super) async fn count_components(portal: &Portal, session: &Session, key: &ProvisioningKey) -> Result<u64, Error> {
    let query = ListQuery::first_where(1, ComponentField::KeyId, Comparison::Equals, key.id.raw().cast_signed());
    let page = portal.management().list_components(&session.actor, key.customer_id, key.kind, &query).await?;
    Ok(page.total)
}

pub(super) fn component_link(key: &ProvisioningKey, id: ComponentId, name: &str) -> Link {
    let place = Place::Components(key.kind).address(key.customer_id);
    Link { label: name.to_owned(), address: format!("{place}/{id}") }
}

/// The list of a key's components.
pub(super) fn components_address(key: &ProvisioningKey) -> String {
    let mut address = format!("{}?key=", Place::Components(key.kind).address(key.customer_id));
    encode_into(&mut address, &format!("={}", key.name));
    address
}

pub(super) fn group(view: &KeyView) -> Cell {
    let place = Place::Groups(view.key.kind).address(view.key.customer_id);
    Cell::Link {
        label: view.group_name.as_ref().map_or("–", |name| name.as_str()).to_owned(),
        address: format!("{place}/{}", view.key.group_id),
    }
}

pub(super) fn signing_certificate(view: &KeyView) -> Cell {
    let place = Place::SigningCertificates.address(view.key.customer_id);
    Cell::Link {
        label: view.signing_certificate_name.as_ref().map_or("–", |name| name.as_str()).to_owned(),
        address: format!("{place}/{}", view.key.signing_certificate_id),
    }
}

/// What can be had of a key's string, and what is in the way. Somebody who sees no key strings is told the same, without
/// the buttons and without the way to what would help.
pub(super) fn key_cell(key: &ProvisioningKey, may_edit: bool) -> KeyCell {
    let obstacle = |is_warning, text: &str, link: &str, address: String| Obstacle {
        id: format!("obstacle-{}", key.id),
        is_warning,
        text: text.to_owned(),
        link: may_edit.then(|| Link { label: link.to_owned(), address }),
    };
    let obstacle = match &key.managed_by {
        _ if !key.is_exportable() => Some(obstacle(
            false,
            "Not in your credential vault?",
            "Make a new key",
            add_address(key.customer_id, key.kind),
        )),
        _ if !key.is_exhausted() => None,
        None if may_edit => {
            Some(obstacle(true, "Maximum reached. To copy it,", "edit the maximum", address(key, "/edit#maximum")))
        }
        None => Some(obstacle(true, "Maximum reached.", "", String::new())),
        Some(managed) => Some(Obstacle {
            link: None,
            ..obstacle(true, &format!("Maximum reached. {} can raise it.", managed.label), "", String::new())
        }),
    };
    KeyCell {
        hint: key.is_exportable().then(|| Cut::of_hint(&key.hint)),
        copy_address: if may_edit { address(key, "/copy") } else { String::new() },
        download_address: address(key, "/download"),
        file_name: format!("{}.txt", key.name),
        obstacle,
    }
}

/// "188, full in about 7 h", "No limit".
fn remaining(key: &ProvisioningKey, forecast: Option<&str>) -> String {
    let Some(maximum) = key.maximum else { return "No limit".to_owned() };
    let left = say::number(maximum.get().saturating_sub(key.usage.uses));
    match forecast {
        Some(span) => format!("{left}, full in about {span}"),
        None => left,
    }
}

/// What is unusual about a key, the gravest first; none for one that is simply good.
pub(super) fn state_badge(view: &KeyView, now: Timestamp) -> Option<Badge> {
    let key = &view.key;
    let soon = now.saturating_add(KEY_END_NEAR);
    if key.is_exhausted() {
        Some(Badge::new("badge-bad", "full", "Exhausted"))
    } else if key.is_expired(now) {
        Some(Badge::new("badge-bad", "clock", "Expired"))
    } else if !key.enabled {
        Some(Badge::new("", "pause", "Disabled"))
    } else {
        let ends = key.expires_at.filter(|at| *at <= soon)?;
        Some(Badge::new("badge-warn", "clock", format!("Expires {}", say::ahead(ends, now))))
    }
}

pub(super) fn usage(key: &ProvisioningKey, state: KeyState) -> Usage {
    let uses = key.usage.uses;
    let Some(maximum) = key.maximum else {
        return Usage { uses: say::number(uses), of: String::new(), width: String::new(), class: "" };
    };
    let per_mille = (u64::from(uses) * 1_000 / u64::from(maximum.get())).min(1_000);
    let class = match state {
        KeyState::Disabled | KeyState::Expired => "bar-off",
        KeyState::Exhausted => "bar-bad",
        KeyState::Active if i64::try_from(per_mille / 10).is_ok_and(|percent| percent >= NEARLY_FULL_PERCENT) => {
            "bar-warn"
        }
        KeyState::Active => "",
    };
    Usage {
        uses: say::number(uses),
        of: format!("of {}", say::number(maximum.get())),
        width: format!("{}.{}%", per_mille / 10, per_mille % 10),
        class,
    }
}

#[cfg(test)]
mod tests;
