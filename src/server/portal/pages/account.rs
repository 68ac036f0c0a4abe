//! One's own account: who one is, the theme, the password, where one is signed in.
//!
//! Around the page stands the navigation of the customer in the query, as owners have none of their own. It says
//! nothing else: password and sessions are always those of whoever asks.

use askama::Template;
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::domain::{Role, SessionRecord};
use crate::id::{AdministratorId, CustomerId};
use crate::management::administrators::PasswordChange;
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject, Input, Object};
use crate::server::portal::form::{Control, Faults, Field, Form, Names};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::PageHead;
use crate::server::portal::preferences::Preferences;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words::{self as say, Instant};
use crate::server::portal::{Portal, filters, guard};
use crate::store::PageRequest;

/// More sessions than anybody looks through; they end by themselves.
const SESSIONS_MAX: u32 = 100;

const NAMES: &Names = &[
    (Subject::CurrentPassword, "current-password", "The current password"),
    (Subject::NewPassword, "new-password", "The new password"),
];

#[derive(Template)]
#[template(path = "account.html", config = "src/server/portal/askama.toml")]
struct AccountPage {
    frame: Frame,
    head: PageHead,
    /// Labels and values.
    facts: Vec<(&'static str, String)>,
    theme: Field,
    /// Of the password.
    form: Form,
    sessions: Vec<SessionRow>,
    /// There are more than this one.
    has_others: bool,
    /// The page's own address.
    address: String,
    /// Of the customer in the addresses of the forms.
    customer: CustomerId,
}

struct SessionRow {
    id: String,
    /// "Firefox on Windows".
    program: String,
    whole_user_agent: String,
    source: String,
    since: Instant,
    until: String,
    until_exact: Instant,
    is_this: bool,
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    Ok(Reply::ok(&page(portal, visit, session, &Faults::default()).await?))
}

/// Ends all sessions, this one with them.
pub(in crate::server::portal) async fn change_password(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    if visit.is_shown_again {
        return show(portal, visit, session).await;
    }
    let (actor, secret) = (&session.actor, |name| Zeroizing::new(visit.form.text(name).to_owned()));
    let (current, new, again) = (secret("current-password"), secret("new-password"), secret("new-password-again"));
    if new != again && !new.is_empty() {
        let faults = Faults::of("new-password-again", "This is not the same as the new password. Type both again.");
        return Ok(Reply::unprocessable(&page(portal, visit, session, &faults).await?));
    }
    let given = |text: Zeroizing<String>| if text.is_empty() { Input::Absent } else { Input::Given(text) };
    let change = PasswordChange { current: given(current), new: given(new) };
    let done = portal.management().change_password(actor, actor.customer_id, own_id(session)?, change, visit.source);
    match done.await {
        Ok(()) => Ok(Reply::see_other("/sign-in")
            .with_cookie(guard::SESSION, None)
            .with_notice("", "Your password is changed, and you are signed out everywhere. Sign in with the new one.")),
        Err(Error::TooManySignIns { retry_after }) => {
            let seconds = retry_after.as_secs().max(1);
            let sentence = format!("Too many passwords were wrong. Try again in {seconds} s.");
            let page = page(portal, visit, session, &Faults::of("current-password", sentence)).await?;
            Ok(Reply::page(StatusCode::TOO_MANY_REQUESTS, &page).with_header(RETRY_AFTER, seconds))
        }
        Err(error) => {
            let faults = Faults::of_error(error, NAMES, &visit.form, "administrator")?;
            Ok(Reply::unprocessable(&page(portal, visit, session, &faults).await?))
        }
    }
}

pub(in crate::server::portal) async fn end_session(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let actor = &session.actor;
    let ended = portal.management().end_session(actor, actor.customer_id, own_id(session)?, visit.form.text("session"));
    match ended.await {
        // Ended already, which is what was wanted.
        Ok(()) | Err(Error::NotFound { object: Object::Session, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let customer = customer_around(portal, visit, session).await?;
    Ok(Reply::see_other(Place::Account.address(customer)).with_notice("The session", "has ended."))
}

pub(in crate::server::portal) async fn end_other_sessions(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let actor = &session.actor;
    let ended = portal.management().end_other_sessions(actor, actor.customer_id, own_id(session)?, session.id());
    let sentence = match ended.await? {
        0 => "There was no other session.".to_owned(),
        1 => "One other session has ended.".to_owned(),
        count => format!("{} other sessions have ended.", say::number(count)),
    };
    let customer = customer_around(portal, visit, session).await?;
    Ok(Reply::see_other(Place::Account.address(customer)).with_notice("", sentence))
}

/// Sessions of the portal are administrators'.
fn own_id(session: &Session) -> Result<AdministratorId, Trouble> {
    session.actor.administrator_id().ok_or(Trouble::SignedOut)
}

/// Whose navigation stands around the page: the customer in the query, if one may look at it, else one's own.
async fn customer_around(portal: &Portal, visit: &Visit, session: &Session) -> Result<CustomerId, Error> {
    let actor = &session.actor;
    let Ok(asked) = visit.query.text("customer").parse() else { return Ok(actor.customer_id) };
    match portal.management().authorise(actor, asked, Role::Auditor).await {
        Ok(()) => Ok(asked),
        Err(Error::NotFound { .. }) => Ok(actor.customer_id),
        Err(error) => Err(error),
    }
}

async fn page(portal: &Portal, visit: &Visit, session: &Session, faults: &Faults) -> Result<AccountPage, Trouble> {
    let (management, actor, now) = (portal.management(), &session.actor, portal.now());
    let customer = customer_around(portal, visit, session).await?;
    let administrator = management.find_administrator(actor, actor.customer_id, own_id(session)?).await?;
    let request = PageRequest { offset: 0, limit: SESSIONS_MAX };
    let found = management.list_sessions(actor, actor.customer_id, administrator.id, request).await?;
    let whose = if actor.customer_id == CustomerId::SERVICE {
        "All of this service".to_owned()
    } else {
        management.find_customer(actor, actor.customer_id).await?.name.to_string()
    };
    let username = administrator.username.to_string();
    let theme = Preferences::THEME;
    let chosen = vec![(theme.to_owned(), Zeroizing::new(visit.preferences.theme().unwrap_or_default().to_owned()))];
    let themes = [("", "As the system has it"), ("light", "Light"), ("dark", "Dark")];
    let themes = themes.map(|(value, label)| (value.to_owned(), label.to_owned()));
    let password = Form::new(vec![
        Field::secret("current-password", "Current password", "current-password"),
        Field::secret("new-password", "New password", "new-password").hint("12 bytes or more, and not the user name."),
        Field::secret("new-password-again", "New password again", "new-password"),
    ]);
    let frame = Frame::around(portal, visit, session, customer, Place::Account, Place::Account.label()).await?;
    Ok(AccountPage {
        frame,
        head: PageHead {
            lead: "Who you are here, where you are signed in, and how the portal looks to you.".to_owned(),
            ..PageHead::new("Account and preferences")
        },
        facts: vec![("User name", username), ("Role", say::role(actor.role).to_owned()), ("Customer", whose)],
        theme: Field::select(Preferences::THEME, "Theme", &Fields::new(chosen), themes),
        form: password.with_faults(faults),
        has_others: found.total > 1,
        sessions: found.rows.iter().map(|record| SessionRow::new(record, session, now)).collect(),
        address: Place::Account.address(customer),
        customer,
    })
}

impl SessionRow {
    fn new(record: &SessionRecord, session: &Session, now: Timestamp) -> Self {
        Self {
            id: record.id.clone(),
            program: say::program(&record.user_agent),
            whole_user_agent: record.user_agent.clone(),
            source: record.remote_address.map_or_else(|| "–".to_owned(), |address| address.to_string()),
            since: Instant::past(record.created_at, now),
            until: say::ahead(record.expires_at, now),
            until_exact: Instant::at(record.expires_at),
            is_this: record.id == session.id(),
        }
    }
}
