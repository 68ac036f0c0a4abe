//! The provisioning keys of a kind: the list, and what is done with the rows of it that are ticked.

use askama::Template;

use crate::clock::{DAY_SECONDS, Timestamp};
use crate::domain::{KeyState, Kind, ProvisioningKey, Role};
use crate::id::CustomerId;
use crate::management::keys::KeyView;
use crate::management::sessions::Session;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, KindCounts, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::list::{Column, Filter, FilterChoice};
use crate::server::portal::listing::Listing;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{
    Action, Badge, Bulk, BulkAction, Cell, Detail, KeyCell, Obstacle, Row, Table, Tag, Totals, Usage,
};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Cut, Instant};
use crate::server::portal::{Portal, filters};
use crate::store::{Comparison, Condition, KeyField};

/// From here on a bar warns, in per cent.
const NEARLY_FULL_PERCENT: i64 = 90;

/// From so long before its end a key is said to expire.
const EXPIRES_SOON_DAYS: u32 = 7;

#[derive(Template)]
#[template(path = "keys.html", config = "src/server/portal/askama.toml")]
struct KeysPage {
    frame: Frame,
    head: PageHead,
    table: Table,
}

pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    let place = Place::Keys(kind);
    let listing = Listing::read(portal, visit, session, format!("{kind}/keys"), columns(kind)).await?;
    let counts = KindCounts::look_up(portal, session, customer, kind).await?;
    let page = match &listing.query {
        Some(query) => Some(management.list_keys(actor, customer, kind, query).await?),
        None => None,
    };
    let (keys, found) = page.map_or((Vec::new(), 0), |page| (page.rows, page.total));
    let ids: Vec<_> = keys.iter().map(|view| view.key.id.to_string()).collect();
    let may_edit = actor.role >= Role::Operator;
    let context =
        RowContext { customer, kind, now: portal.now(), may_edit, has_status: listing.shown().contains(&"status") };
    let rows = keys
        .iter()
        .map(|view| {
            let key = &view.key;
            let mut row = Row::new(&listing.state, key.id, key.name.as_str(), context.address(key, ""), &ids);
            context.fill(&mut row, view, listing.shown());
            row
        })
        .collect();
    let bulk = may_edit.then(|| Bulk {
        address: format!("{}/bulk", place.address(customer)),
        actions: vec![
            BulkAction { value: "enable", label: "Enable", is_destructive: false },
            BulkAction { value: "disable", label: "Disable", is_destructive: false },
            BulkAction { value: "csv", label: "Export CSV", is_destructive: false },
            BulkAction { value: "delete", label: "Delete…", is_destructive: true },
        ],
    });
    let words = words(kind);
    let totals = Totals { found, unfiltered: counts.keys };
    let table = listing.into_table(portal, session, (words.keys, "key", "keys"), rows, totals, bulk).await?;
    let mut head = PageHead::of_kind(customer, place, kind, &counts);
    words.keys_lead.clone_into(&mut head.lead);
    if may_edit {
        head.actions = vec![HeadAction::add(format!("Add {}", words.key), format!("{}/add", place.address(customer)))];
    }
    let frame = Frame::around(portal, visit, session, customer, place, words.keys).await?;
    Ok(Reply::ok(&KeysPage { frame, head, table }))
}

/// The columns of DESIGN §13, in its words, and those that can be added.
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
    customer: CustomerId,
    kind: Kind,
    now: Timestamp,
    may_edit: bool,
    /// The state has a column of its own, and need not stand beneath the name.
    has_status: bool,
}

impl RowContext {
    fn address(&self, key: &ProvisioningKey, what: &str) -> String {
        format!("{}/{}{what}", Place::Keys(self.kind).address(self.customer), key.id)
    }

    fn fill(&self, row: &mut Row, view: &KeyView, shown: &[&'static str]) {
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
            row.actions = vec![
                Action::edit(name, self.address(key, "/edit")),
                Action::delete(name, self.address(key, "/delete")),
            ];
        }
        row.details = self.details(view);
    }

    fn cell(&self, view: &KeyView, column: &str, badge: Option<&Badge>) -> Cell {
        let key = &view.key;
        match column {
            "max" => match key.maximum {
                Some(maximum) => Cell::Text(say::number(maximum.get())),
                None => Cell::Text("No limit".to_owned()),
            },
            "uses" => Cell::Usage(usage(key, view.state)),
            "group" => Cell::Link {
                label: view.group_name.as_ref().map_or("–", |name| name.as_str()).to_owned(),
                address: format!("{}/{}", Place::Groups(self.kind).address(self.customer), key.group_id),
            },
            "status" => Cell::Badge(badge.cloned().unwrap_or_else(|| Badge::new("badge-ok", "dot", "Active"))),
            "used" => key.usage.last_used.map_or(Cell::Nothing, |used| Cell::Time(Instant::past(used.at, self.now))),
            "expires" => key.expires_at.map_or(Cell::Nothing, |at| Cell::Time(Instant::at(at))),
            "cert" => self.signing_certificate(view),
            "created" => Cell::Time(Instant::at(key.created_at)),
            "key" => Cell::Key(self.key_cell(view)),
            _ => Cell::Nothing,
        }
    }

    fn signing_certificate(&self, view: &KeyView) -> Cell {
        let place = Place::SigningCertificates.address(self.customer);
        Cell::Link {
            label: view.signing_certificate_name.as_ref().map_or("–", |name| name.as_str()).to_owned(),
            address: format!("{place}/{}", view.key.signing_certificate_id),
        }
    }

    fn key_cell(&self, view: &KeyView) -> KeyCell {
        let key = &view.key;
        let id = format!("obstacle-{}", key.id);
        let obstacle = if !key.is_exportable() {
            Some(Obstacle {
                id,
                is_warning: false,
                text: "Not in your credential vault?",
                link: "Make a new key",
                address: format!("{}/add", Place::Keys(self.kind).address(self.customer)),
            })
        } else if key.is_exhausted() {
            Some(Obstacle {
                id,
                is_warning: true,
                text: "Maximum reached. To copy it,",
                link: "edit the maximum",
                address: self.address(key, "/edit#maximum"),
            })
        } else {
            None
        };
        KeyCell {
            hint: key.is_exportable().then(|| Cut::of_hint(&key.hint)),
            copy_address: if self.may_edit { self.address(key, "/copy") } else { String::new() },
            download_address: self.address(key, "/download"),
            file_name: format!("{}.txt", key.name),
            obstacle,
        }
    }

    fn details(&self, view: &KeyView) -> Vec<Detail> {
        let key = &view.key;
        let components = Place::Components(self.kind).address(self.customer);
        let detail = |label, value| Detail { label, value };
        vec![
            detail("Signing Certificate", self.signing_certificate(view)),
            detail("View or export", Cell::yes_no(key.is_exportable())),
            detail("Re-enrollment", Cell::yes_no(key.allow_re_enrollment)),
            detail(
                "Components",
                Cell::Link {
                    label: format!("{} of this key", words(self.kind).components),
                    address: format!("{components}?key=={}", key.name),
                },
            ),
            detail("Created", Cell::Time(Instant::at(key.created_at))),
            detail("Modified", Cell::Time(Instant::at(key.modified_at))),
            detail(
                "Last used",
                key.usage.last_used.map_or_else(
                    || Cell::Text("Never".to_owned()),
                    |used| Cell::Time(Instant::past(used.at, self.now)),
                ),
            ),
            detail(
                "Remaining",
                Cell::Text(match key.maximum {
                    Some(maximum) => say::number(maximum.get().saturating_sub(key.usage.uses)),
                    None => "No limit".to_owned(),
                }),
            ),
        ]
    }
}

/// What is unusual about a key, the gravest first; none for one that is simply good.
pub(super) fn state_badge(view: &KeyView, now: Timestamp) -> Option<Badge> {
    let key = &view.key;
    let soon = now.saturating_add(std::time::Duration::from_secs(u64::from(EXPIRES_SOON_DAYS * DAY_SECONDS)));
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
