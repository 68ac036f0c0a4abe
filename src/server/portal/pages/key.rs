//! A provisioning key's own page: how much of it is used, what happened to it, its string on demand, its
//! settings; and the whole of its ledger and of its refusals.

pub(in crate::server::portal) mod delete;
pub(in crate::server::portal) mod edit;
pub(in crate::server::portal) mod history;
pub(in crate::server::portal) mod rotate;
pub(in crate::server::portal) mod string;

use askama::Template;
use hyper::StatusCode;

use self::history::{Ledger, RefusalLine};
use super::details::KeyDetails;
use super::keys::{
    Related, add_address, address, components_address, group, key_cell, signing_certificate, state_badge, usage,
};
use crate::clock::Timestamp;
use crate::domain::{KeySecret, KeyVersion, ProvisioningKey, Role};
use crate::id::ProvisioningKeyId;
use crate::management::keys::{KeyInput, KeyView};
use crate::management::sessions::Session;
use crate::management::{Error, Input};
use crate::server::portal::chart::{self, Chart};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, Link, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Badge, Cell, KeyCell, Usage};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::server::portal::{Portal, filters};
use crate::store::{Comparison, KeyField, ListQuery, PageRequest};

/// Rows of the ledger and of the refusals that stand on the page itself.
const NEWEST: u32 = 5;

#[derive(Template)]
#[template(path = "key.html", config = "src/server/portal/askama.toml")]
struct KeyPage {
    frame: Frame,
    head: PageHead,
    /// Why something was not done, and what would help.
    problem: Option<Problem>,
    stats: Stats,
    key: KeyCell,
    show_address: String,
    /// Shown now, because somebody asked for it.
    details: Option<KeyDetails>,
    /// There will be no other time.
    is_only_time: bool,
    /// Of a role that never sees a string.
    is_hidden: bool,
    chart: Chart,
    ledger: Ledger,
    ledger_address: String,
    refusals: Vec<RefusalLine>,
    refusals_address: String,
    settings: Vec<Setting>,
    edit_address: Option<String>,
}

struct Problem {
    sentence: String,
    link: Option<Link>,
}

/// The figures on top.
struct Stats {
    usage: Usage,
    /// "188 left. At today’s rate full in about 7 h."
    left: String,
    components_label: &'static str,
    components: String,
    components_address: String,
    last_used: Option<Instant>,
    last_used_by: Option<Link>,
    /// "in 41 days".
    expires: String,
    expires_at: Option<Instant>,
}

/// A label beside its value.
struct Setting {
    label: &'static str,
    value: Cell,
    /// In place of the value: a line for each.
    codes: Vec<String>,
    /// Beneath the value.
    remark: String,
    link: Option<Link>,
}

/// What a key's page shows this time beside the key.
struct Occasion {
    status: StatusCode,
    problem: Option<Problem>,
    string: Option<KeySecret>,
    is_only_time: bool,
}

impl Occasion {
    const LOOK: Self = Self { status: StatusCode::OK, problem: None, string: None, is_only_time: false };

    fn reveal(string: KeySecret) -> Self {
        Self { string: Some(string), ..Self::LOOK }
    }

    fn refuse(status: StatusCode, problem: Problem) -> Self {
        Self { status, problem: Some(problem), ..Self::LOOK }
    }
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let view = find(portal, visit, session).await?;
    reply(portal, visit, session, &view, Occasion::LOOK).await
}

pub(in crate::server::portal) async fn enable(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    switch(portal, visit, session, true).await
}

pub(in crate::server::portal) async fn disable(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    switch(portal, visit, session, false).await
}

async fn switch(portal: &Portal, visit: &Visit, session: &Session, enabled: bool) -> Result<Reply, Trouble> {
    let KeyView { key, .. } = find(portal, visit, session).await?;
    let input = KeyInput { enabled: Input::Given(enabled), ..KeyInput::default() };
    portal.management().edit_key(&session.actor, key.customer_id, key.kind, key.id, None, &input).await?;
    let sentence = if enabled { "is enabled." } else { "is disabled. No device enrolls with it." };
    Ok(Reply::see_other(address(&key, "")).with_notice(key.name.as_str(), sentence))
}

/// The key in the path.
async fn find(portal: &Portal, visit: &Visit, session: &Session) -> Result<KeyView, Trouble> {
    let id: ProvisioningKeyId = visit.id()?;
    Ok(portal.management().find_key(&session.actor, visit.customer()?, visit.kind(), id).await?)
}

/// The same, for whoever is about to change it.
async fn find_to_change(portal: &Portal, visit: &Visit, session: &Session) -> Result<KeyView, Trouble> {
    portal.management().authorise(&session.actor, visit.customer()?, Role::Operator).await?;
    let view = find(portal, visit, session).await?;
    match &view.key.managed_by {
        Some(managed) => Err(Error::ReadOnly { label: managed.label.clone() }.into()),
        None => Ok(view),
    }
}

/// The key's page.
async fn reply(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    view: &KeyView,
    occasion: Occasion,
) -> Result<Reply, Trouble> {
    let (key, now, management, actor) = (&view.key, portal.now(), portal.management(), &session.actor);
    let (customer, kind, place) = (key.customer_id, key.kind, Place::Keys(key.kind));
    let may_edit = actor.role >= Role::Operator;
    let related = Related::look_up(portal, session, view).await?;
    let kinship = Kinship::look_up(portal, session, key).await?;
    let uses = management.list_key_uses(actor, customer, kind, key.id, PageRequest::first(NEWEST)).await?;
    let refusals = management.list_key_refusals(actor, customer, kind, key.id).await?;

    let mut head = PageHead::below(customer, place, kind, key.name.as_str());
    head.badges.push(state_badge(view, now).unwrap_or_else(|| Badge::new("badge-ok", "dot", "Active")));
    if key.successor_id.is_some() {
        head.badges.push(Badge::new("badge-line", "rotate", "Rotated"));
    }
    if let Some(managed) = &key.managed_by {
        head.badges.push(Badge::new("badge-line", "lock", format!("Managed by {}", managed.label)));
    }
    let may_change = may_edit && key.managed_by.is_none();
    head.actions = actions(key, may_edit, may_change, kinship.successor.is_some());
    let frame = Frame::around(portal, visit, session, customer, place, key.name.as_str()).await?;
    let page = KeyPage {
        frame,
        head,
        problem: occasion.problem,
        stats: Stats::new(view, &related, now),
        key: key_cell(key, may_edit),
        show_address: address(key, "/show"),
        details: occasion.string.map(|string| KeyDetails::new(customer, key, string, &portal.parts.cloud.load())),
        is_only_time: occasion.is_only_time,
        is_hidden: !actor.role.sees_key_strings(),
        chart: chart::of_key(portal, visit, session, view).await?,
        ledger: Ledger::newest(key, uses),
        ledger_address: address(key, "/uses"),
        refusals: refusals.iter().take(NEWEST as usize).map(RefusalLine::new).collect(),
        refusals_address: address(key, "/refusals"),
        settings: settings(view, &related, kinship),
        edit_address: may_change.then(|| address(key, "/edit")),
    };
    Ok(Reply::page(occasion.status, &page))
}

fn actions(key: &ProvisioningKey, may_edit: bool, may_change: bool, has_successor: bool) -> Vec<HeadAction> {
    let mut actions = Vec::new();
    if may_change {
        actions.push(HeadAction::new("Edit", "edit", address(key, "/edit")));
        if !has_successor {
            actions.push(HeadAction::ask("Rotate", "rotate", address(key, "/rotate")));
        }
    }
    if may_edit {
        actions.push(HeadAction::new("Check", "probe", Place::CheckKey.address(key.customer_id)));
    }
    if may_change {
        actions.push(match key.enabled {
            true => HeadAction::post("Disable", "pause", address(key, "/disable")),
            false => HeadAction::post("Enable", "check", address(key, "/enable")),
        });
        actions.push(HeadAction::delete(address(key, "/delete")));
    }
    actions
}

impl Stats {
    fn new(view: &KeyView, related: &Related, now: Timestamp) -> Self {
        let (key, words) = (&view.key, words(view.key.kind));
        let used = key.usage.uses;
        let left = match key.maximum.map(std::num::NonZeroU32::get) {
            None => "No limit.".to_owned(),
            Some(maximum) if used > maximum => {
                format!("{} more than the maximum.", say::number(used - maximum))
            }
            Some(maximum) if used == maximum => "Maximum reached.".to_owned(),
            Some(maximum) => match &related.forecast {
                Some(span) => format!("{} left. At today’s rate full in about {span}.", say::number(maximum - used)),
                None => format!("{} left.", say::number(maximum - used)),
            },
        };
        Self {
            usage: usage(key, view.state),
            left,
            components_label: words.components,
            components: say::number(related.components),
            components_address: components_address(key),
            last_used: key.usage.last_used.map(|used| Instant::past(used.at, now)),
            last_used_by: related.last_used_by.clone(),
            expires: match key.expires_at {
                None => "Never".to_owned(),
                Some(_) if key.is_expired(now) => "Expired".to_owned(),
                Some(at) => say::ahead(at, now),
            },
            expires_at: key.expires_at.map(Instant::at),
        }
    }
}

/// Which keys a key was rotated from and to, as far as they are still there.
struct Kinship {
    successor: Option<Link>,
    predecessor: Option<Link>,
}

impl Kinship {
    async fn look_up(portal: &Portal, session: &Session, key: &ProvisioningKey) -> Result<Self, Error> {
        use crate::id::Id as _;
        let (management, actor) = (portal.management(), &session.actor);
        let link = |key: &ProvisioningKey| Link { label: key.name.to_string(), address: address(key, "") };
        let successor = match key.successor_id {
            Some(id) => match management.find_key(actor, key.customer_id, key.kind, id).await {
                Ok(view) => Some(link(&view.key)),
                Err(Error::NotFound { .. }) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let before = ListQuery::first_where(1, KeyField::SuccessorId, Comparison::Equals, key.id.raw().cast_signed());
        let before = management.list_keys(actor, key.customer_id, key.kind, &before).await?;
        Ok(Self { successor, predecessor: before.rows.first().map(|view| link(&view.key)) })
    }
}

fn settings(view: &KeyView, related: &Related, kinship: Kinship) -> Vec<Setting> {
    let key = &view.key;
    let setting = |label, cell| Setting { label, value: cell, codes: Vec::new(), remark: String::new(), link: None };
    let text = |label, text: &str| setting(label, Cell::Text(text.to_owned()));
    let name = |id: Option<u64>| id.and_then(|id| related.actors.get(&id)).map(ToString::to_string);
    let version = match key.version {
        KeyVersion::Bare => "1, bare",
        KeyVersion::Bootstrap => "3, bootstrap",
        KeyVersion::Imported => "Imported",
    };
    let addresses: Vec<_> = key.addresses.entries().map(str::to_owned).collect();
    let mut settings = vec![
        setting(words(key.kind).group, group(view)),
        setting("Signing Certificate", signing_certificate(view)),
        text("Status", if key.enabled { "Enabled" } else { "Disabled" }),
        setting("View or export", Cell::yes_no(key.is_exportable())),
        setting("Re-enrollment", Cell::yes_no(key.allow_re_enrollment)),
        match addresses.is_empty() {
            true => text("Addresses", "From anywhere"),
            false => Setting { codes: addresses, ..text("Addresses", "") },
        },
    ];
    if !key.description.is_empty() {
        settings.push(text("Description", key.description.as_str()));
    }
    settings.push(text("Key version", version));
    settings.push(Setting { codes: vec![key.key_id.clone()], ..text("Key id", "") });
    settings.push(Setting {
        remark: name(key.created_by).unwrap_or_default(),
        ..setting("Created", Cell::Time(Instant::at(key.created_at)))
    });
    let audit = format!("{}?object={}", Place::Audit.address(key.customer_id), key.id);
    settings.push(Setting {
        remark: name(key.modified_by).map(|name| format!("{name},")).unwrap_or_default(),
        link: Some(Link { label: "audit".to_owned(), address: audit }),
        ..setting("Modified", Cell::Time(Instant::at(key.modified_at)))
    });
    let kin = [("Rotated from", kinship.predecessor), ("Rotated to", kinship.successor)];
    settings.extend(kin.into_iter().filter_map(|(label, link)| {
        let Link { label: name, address } = link?;
        Some(setting(label, Cell::Link { label: name, address }))
    }));
    if let Some(managed) = &key.managed_by {
        settings.push(text("Managed by", managed.label.as_str()));
    }
    settings
}

#[cfg(test)]
mod tests;
