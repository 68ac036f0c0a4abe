//! An administrator: the page with the sessions, add, edit, a new password, delete.

use zeroize::Zeroizing;

use super::administrators::status;
use crate::clock::Timestamp;
use crate::domain::{Administrator, Name, Revision, Role, SessionRecord};
use crate::id::{AdministratorId, CustomerId};
use crate::management::administrators::{AdministratorInput, NewAdministrator};
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{Faults, Field, Form, Names, text};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, Link, PageHead};
use crate::server::portal::object::{
    Body, Edited, Grid, GridButton, GridRow, ObjectForms, ObjectPage, Panel, REVISION, Remark, ShownOncePage,
    ShownValue, Stat, add_form, author, modified, revision, saved,
};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Badge, Cell, Detail};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words::{self as say, Instant};
use crate::store::PageRequest;

const PLACE: Place = Place::Administrators;

/// More sessions than anybody looks through; they end by themselves.
const SESSIONS_MAX: u32 = 50;

const NAMES: &Names = &[
    (Subject::Username, "username", "User name"),
    (Subject::Role, "role", "Role"),
    (Subject::Password, "password", "Password"),
    (Subject::Enabled, "enabled", "Enabled"),
    (Subject::Description, "description", "Description"),
];

fn address(customer: CustomerId, id: AdministratorId, what: &str) -> String {
    format!("{}/{id}{what}", PLACE.address(customer))
}

fn forms(administrator: &Administrator) -> ObjectForms<'_> {
    ObjectForms {
        place: PLACE,
        customer: administrator.customer_id,
        address: address(administrator.customer_id, administrator.id, ""),
        name: &administrator.username,
        what: "administrator",
        buttons: ["Save administrator", "Delete administrator"],
        revision: administrator.revision,
        modified: (administrator.modified_at, administrator.modified_by),
    }
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let administrator = management.find_administrator(actor, customer, id).await?;
    let is_oneself = actor.is_administrator(id);
    let sessions = if is_oneself || actor.role >= Role::Admin {
        let page = PageRequest { offset: 0, limit: SESSIONS_MAX };
        Some(management.list_sessions(actor, customer, id, page).await?)
    } else {
        None
    };
    let author = author(portal, session, customer, administrator.modified_by).await?;
    let name = administrator.username.as_str();
    let settings = settings(&administrator, author);
    let stats = stats(&administrator, sessions.as_ref().map(|page| page.total), portal.now());
    // Who does not see sessions sees the settings in their place.
    let (main, side) = match sessions {
        Some(page) => (vec![sessions_panel(&administrator, &page.rows, session)], vec![settings]),
        None => (vec![settings], Vec::new()),
    };
    Ok(Reply::ok(&ObjectPage {
        frame: Frame::around(portal, visit, session, customer, PLACE, name).await?,
        head: head(&administrator, session),
        remarks: if is_oneself { vec![this_is_you(customer)] } else { Vec::new() },
        stats,
        main,
        side,
    }))
}

fn head(administrator: &Administrator, session: &Session) -> PageHead {
    let (customer, id) = (administrator.customer_id, administrator.id);
    let is_oneself = session.actor.is_administrator(id);
    let mut head = PageHead::below_place(customer, PLACE, administrator.username.as_str());
    if !administrator.enabled {
        head.badges.push(Badge::new("", "pause", "Disabled"));
    }
    if is_oneself {
        head.badges.push(Badge::new("badge-line", "user", "You"));
    }
    if session.actor.role >= Role::Admin {
        head.actions.push(HeadAction::new("Edit", "edit", address(customer, id, "/edit")));
        if !is_oneself {
            head.actions.push(HeadAction::new("Reset password", "key", address(customer, id, "/password")));
            head.actions.push(HeadAction::delete(address(customer, id, "/delete")));
        }
    }
    head
}

fn this_is_you(customer: CustomerId) -> Remark {
    Remark {
        class: "",
        icon: "info",
        title: "This is you".to_owned(),
        text: "Nobody changes their own role, disables or deletes themselves. Another administrator can.".to_owned(),
        links: vec![Link { label: "Change your password".to_owned(), address: Place::Account.address(customer) }],
    }
}

/// `sessions`: how many there are, for those who may know.
fn stats(administrator: &Administrator, sessions: Option<u64>, now: Timestamp) -> Vec<Stat> {
    let last = administrator.last_sign_in_at;
    vec![
        Stat {
            label: "Last sign-in",
            value: last.map_or_else(|| "Never".to_owned(), |at| Instant::past(at, now).text),
            class: "",
            below: Cell::Text(last.map_or_else(String::new, |at| format!("{} UTC", say::minute(at)))),
        },
        Stat {
            label: "Role",
            value: say::role(administrator.role).to_owned(),
            class: "",
            below: Cell::text(what_role_may(administrator.role)),
        },
        Stat {
            label: "Sessions",
            value: sessions.map_or_else(|| "–".to_owned(), say::number),
            class: "",
            below: Cell::text(if sessions.is_some() { "signed in now" } else { "shown to admins" }),
        },
        Stat {
            label: "Status",
            value: if administrator.enabled { "Enabled" } else { "Disabled" }.to_owned(),
            class: "",
            below: Cell::text(if administrator.enabled { "can sign in" } else { "cannot sign in" }),
        },
    ]
}

fn settings(administrator: &Administrator, author: Option<Name>) -> Panel {
    let settings = vec![
        Detail::new("User name", Cell::text(administrator.username.as_str())),
        Detail::new("Role", Cell::text(say::role(administrator.role))),
        Detail::new("Status", status(administrator.enabled)),
        Detail::new("Description", Cell::text(administrator.description.as_str())),
        Detail::new("Created", Cell::Time(Instant::at(administrator.created_at))),
        Detail::new("Modified", modified(administrator.modified_at, author)),
        Detail::new("Id", Cell::Mono(administrator.id.to_string())),
    ];
    Panel::new("settings", "Settings", Body::Pairs(settings))
}

fn sessions_panel(administrator: &Administrator, sessions: &[SessionRecord], session: &Session) -> Panel {
    let (customer, id) = (administrator.customer_id, administrator.id);
    let rows: Vec<_> = sessions.iter().map(|record| session_row(customer, id, record, session)).collect();
    let body = if rows.is_empty() {
        Body::Text(format!("{} is not signed in.", administrator.username))
    } else {
        Body::Grid(Grid::new(vec!["Signed in", "From", "With", "Ends"], rows))
    };
    Panel::new("sessions", "Sessions", body)
}

fn session_row(customer: CustomerId, id: AdministratorId, record: &SessionRecord, session: &Session) -> GridRow {
    let is_this = record.id == session.id();
    let from = record.remote_address.map(|address| address.to_string()).unwrap_or_default();
    let started = Instant::at(record.created_at);
    let button = GridButton {
        label: "End",
        whole_label: format!("End the session of {}", started.text),
        address: address(customer, id, "/end-session"),
        name: "session",
        value: record.id.clone(),
    };
    GridRow {
        cells: vec![
            Cell::Time(started),
            Cell::text(from),
            Cell::text(if is_this { "this session".to_owned() } else { say::program(&record.user_agent) }),
            Cell::Time(Instant::at(record.expires_at)),
        ],
        button: (!is_this).then_some(button),
    }
}

pub(in crate::server::portal) async fn end_session(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id) = (visit.customer()?, visit.id()?);
    portal.management().end_session(&session.actor, customer, id, visit.form.text("session")).await?;
    let notice = "It was ended; its next request is refused.";
    Ok(Reply::see_other(address(customer, id, "")).with_notice("The session", notice))
}

const fn what_role_may(role: Role) -> &'static str {
    match role {
        Role::Auditor => "reads, never a key string",
        Role::Operator => "keys and components",
        Role::Admin => "everything of this customer",
        Role::Owner => "everything, of all customers",
    }
}

/// Those that somebody may give in a customer, the weakest first: owners belong to the service, which has nobody else.
fn roles_to_give(customer: CustomerId, giver: Role) -> impl Iterator<Item = Role> {
    Role::ALL
        .into_iter()
        .filter(move |role| (*role == Role::Owner) == (customer == CustomerId::SERVICE) && *role <= giver)
}

/// The field in which a role is chosen.
pub(super) fn role_field(values: &Fields, customer: CustomerId, giver: Role) -> Field {
    let option = |role: Role| (role.as_str().to_owned(), format!("{}: {}", say::role(role), what_role_may(role)));
    Field::select("role", "Role", values, roles_to_give(customer, giver).map(option))
}

// --- add

pub(in crate::server::portal) async fn add(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    portal.management().authorise(&session.actor, visit.customer()?, Role::Admin).await?;
    let values = Fields::of([("enabled", "on")]);
    Ok(Reply::ok(&add_page(portal, visit, session, &values, &Faults::default()).await?))
}

pub(in crate::server::portal) async fn save_new(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, values) = (visit.customer()?, &visit.form);
    if visit.is_shown_again {
        return Ok(Reply::ok(&add_page(portal, visit, session, values, &Faults::default()).await?));
    }
    let input = AdministratorInput { password: password(values).map_or(Input::Absent, Input::Given), ..input(values) };
    // Before: no read may fail between a password and whoever waits for it.
    let frame = Frame::around(portal, visit, session, customer, PLACE, values.text("username")).await?;
    let new = match portal.management().create_administrator(&session.actor, customer, input).await {
        Ok(new) => new,
        Err(error) => {
            let faults = Faults::of_error(error, NAMES, values, "administrator")?;
            return Ok(Reply::unprocessable(&add_page(portal, visit, session, values, &faults).await?));
        }
    };
    if new.password.is_some() {
        return Ok(shown_password(frame, &new, PLACE.address(customer)));
    }
    let sentence = "was added, with the password that you gave.";
    Ok(Reply::see_other(PLACE.address(customer)).with_notice(new.administrator.username.as_str(), sentence))
}

async fn add_page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    values: &Fields,
    faults: &Faults,
) -> Result<FormPage, Trouble> {
    let form = Form::new(vec![
        Field::text("username", "User name", values).hint("Unique over all customers; one signs in with it alone."),
        role_field(values, visit.customer()?, session.actor.role),
        password_field(),
        Field::text("description", "Description", values).optional(),
        enabled_field(values),
    ]);
    add_form(portal, visit, session, PLACE, ("Add Administrator", ""), form.with_faults(faults)).await
}

fn password_field() -> Field {
    Field::secret("password", "Password", "new-password")
        .hint("At least 12 characters. Leave it empty to have one made, which is shown once.")
        .optional()
}

fn enabled_field(values: &Fields) -> Field {
    Field::tick("enabled", "Enabled", values, true)
        .hint("When somebody is disabled, all sessions of theirs end and they cannot sign in.")
}

fn password(values: &Fields) -> Option<Zeroizing<String>> {
    values.find("password").filter(|password| !password.is_empty()).map(|password| Zeroizing::new(password.to_owned()))
}

/// The page with a new administrator's password, which nobody sees again.
pub(super) fn shown_password(frame: Frame, new: &NewAdministrator, done: String) -> Reply {
    let password = new.password.as_ref().map_or("", |password| password.as_str());
    Reply::ok(&password_page(frame, &new.administrator, password, done))
}

fn password_page<'a>(
    frame: Frame,
    administrator: &'a Administrator,
    password: &'a str,
    done: String,
) -> ShownOncePage<'a> {
    let customer = administrator.customer_id;
    let username = administrator.username.as_str();
    ShownOncePage {
        frame,
        head: PageHead::below_place(customer, PLACE, username),
        what: "password",
        advice: "Hand it over on a way that others do not read, and ask for a change after the first sign-in.",
        values: vec![
            ShownValue { id: "username", label: "User name", text: username, hint: "" },
            ShownValue { id: "password", label: "Password", text: password, hint: "" },
        ],
        done,
    }
}

// --- edit

pub(in crate::server::portal) async fn edit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Admin).await?;
    let administrator = management.find_administrator(actor, customer, visit.id()?).await?;
    let form = edit_form(&values_of(&administrator), &administrator, session);
    Ok(Reply::ok(&forms(&administrator).edit(portal, visit, session, form, administrator.revision).await?))
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let (expected, values) = (revision(visit)?, &visit.form);
    let before = management.find_administrator(actor, customer, id).await?;
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else {
        let mut input = input(values);
        if actor.is_administrator(id) {
            // The form does not have these for oneself.
            (input.role, input.enabled) = (Input::Absent, Input::Absent);
        }
        let result = management.edit_administrator(actor, customer, id, Some(expected), &input).await;
        Edited::of(result, NAMES, values, "administrator")?
    };
    if let Edited::Done = edited {
        return Ok(saved(address(customer, id, ""), values.text("username")));
    }
    let current = management.find_administrator(actor, customer, id).await.unwrap_or(before);
    let typed = (edit_form(values, &current, session), expected);
    forms(&current).edit_again(portal, visit, session, edited, typed, values_of(&current)).await
}

fn edit_form(values: &Fields, administrator: &Administrator, session: &Session) -> Form {
    let mut fields = vec![Field::text("username", "User name", values)];
    // Nobody changes their own.
    if !session.actor.is_administrator(administrator.id) {
        fields.push(role_field(values, administrator.customer_id, session.actor.role));
        fields.push(enabled_field(values));
    }
    fields.push(Field::text("description", "Description", values).optional());
    Form::new(fields)
}

fn values_of(administrator: &Administrator) -> Fields {
    Fields::of([
        ("username", administrator.username.as_str()),
        ("role", administrator.role.as_str()),
        ("enabled", if administrator.enabled { "on" } else { "" }),
        ("description", administrator.description.as_str()),
    ])
}

/// Everything but the password.
fn input(values: &Fields) -> AdministratorInput {
    AdministratorInput {
        username: text(values.text("username")),
        role: text(values.text("role")),
        enabled: Input::Given(!values.text("enabled").is_empty()),
        description: text(values.text("description")),
        password: Input::Absent,
    }
}

// --- a new password

pub(in crate::server::portal) async fn ask_password(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Admin).await?;
    let administrator = management.find_administrator(actor, customer, visit.id()?).await?;
    let revision = administrator.revision;
    Ok(Reply::ok(&reset_page(portal, visit, session, &administrator, revision, &Faults::default()).await?))
}

pub(in crate::server::portal) async fn reset_password(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let (expected, values) = (revision(visit)?, &visit.form);
    let administrator = management.find_administrator(actor, customer, id).await?;
    if visit.is_shown_again {
        let page = reset_page(portal, visit, session, &administrator, expected, &Faults::default()).await?;
        return Ok(Reply::ok(&page));
    }
    let frame = Frame::around(portal, visit, session, customer, PLACE, administrator.username.as_str()).await?;
    match management.reset_password(actor, customer, id, Some(expected), password(values)).await {
        Ok(Some(made)) => {
            let done = address(customer, id, "");
            Ok(Reply::ok(&password_page(frame, &administrator, &made, done)))
        }
        Ok(None) => {
            let notice = "has the new password; all sessions were ended.";
            Ok(Reply::see_other(address(customer, id, "")).with_notice(administrator.username.as_str(), notice))
        }
        Err(error) => {
            let faults = Faults::of_error(error, NAMES, values, "administrator")?;
            let page = reset_page(portal, visit, session, &administrator, expected, &faults).await?;
            Ok(Reply::unprocessable(&page))
        }
    }
}

async fn reset_page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    administrator: &Administrator,
    revision: Revision,
    faults: &Faults,
) -> Result<FormPage, Trouble> {
    let (customer, id, name) = (administrator.customer_id, administrator.id, &administrator.username);
    let title = format!("Reset the password of {name}");
    let mut head = PageHead::below_place(customer, PLACE, &*title);
    head.lead = format!("The old password is refused at once, and all sessions of {name} end.");
    Ok(FormPage {
        frame: Frame::around(portal, visit, session, customer, PLACE, title).await?,
        head,
        form: Form::new(vec![password_field()]).with_faults(faults),
        action: address(customer, id, "/password"),
        hidden: vec![(REVISION, revision.0.to_string())],
        button: "Reset password",
        cancel: address(customer, id, ""),
    })
}

// --- delete

pub(in crate::server::portal) async fn ask_delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Admin).await?;
    let administrator = management.find_administrator(actor, customer, id).await?;
    if actor.is_administrator(id) {
        return Err(Error::NobodyMay { what: "delete themselves" }.into());
    }
    let page = PageRequest { offset: 0, limit: 1 };
    let sessions = management.list_sessions(actor, customer, id, page).await?.total;
    let name = &administrator.username;
    let mut sentences = vec![sessions_end(name, sessions)];
    if administrator.role == Role::Owner {
        sentences.push("At least one enabled owner stays; the last one is not deleted.".to_owned());
    }
    sentences.push("What they did stays in the audit log.".to_owned());
    Ok(Reply::ok(&forms(&administrator).deletion(portal, visit, session, sentences).await?))
}

fn sessions_end(name: &Name, sessions: u64) -> String {
    match sessions {
        0 => format!("{name} is not signed in, and cannot sign in any more."),
        1 => format!("{name} is signed in; the session ends at once."),
        _ => format!("{name} is signed in; {} sessions end at once.", say::number(sessions)),
    }
}

pub(in crate::server::portal) async fn delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let administrator = management.find_administrator(actor, customer, id).await?;
    management.delete_administrator(actor, customer, id, Some(revision(visit)?)).await?;
    Ok(Reply::see_other(PLACE.address(customer)).with_notice(administrator.username.as_str(), "was deleted."))
}
