//! What an administrator chooses of the portal itself: columns, theme, sets of filters. Each is a form, after
//! which one is back where one was.

use hyper::StatusCode;
use zeroize::Zeroizing;

use crate::id::CustomerId;
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject};
use crate::server::portal::Portal;
use crate::server::portal::ask::Confirmation;
use crate::server::portal::form::{Faults, Field, Form, Names};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::guard::local;
use crate::server::portal::preferences::Preferences;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};

fn back(visit: &Visit) -> Reply {
    Reply::see_other(local(visit.form.text("back")))
}

/// Which columns a list shows; with `reset` those that it has by itself.
pub(in crate::server::portal) async fn columns(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let page = visit.form.text("page");
    let mut kept = visit.preferences.list(page);
    kept.columns = match visit.form.find("reset") {
        Some(_) => None,
        None => Some(visit.form.all("column").collect::<Vec<_>>().join(",")),
    };
    portal.management().set_preference(&session.actor, page, Some(&kept.to_text())).await?;
    Ok(back(visit))
}

/// Light, dark, or as the system has it.
pub(in crate::server::portal) async fn theme(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let theme = Some(visit.form.text("theme")).filter(|theme| matches!(*theme, "light" | "dark"));
    portal.management().set_preference(&session.actor, Preferences::THEME, theme).await?;
    Ok(back(visit))
}

/// Keeps the filters that are on under a name, which then is in the drop-down of this list.
pub(in crate::server::portal) async fn save_filter(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    const NAMES: &Names = &[(Subject::Name, "name", "Name"), (Subject::Query, "", "What is to be saved")];
    let [page, name, query] = ["page", "name", "query"].map(|field| visit.form.text(field));
    match portal.management().save_filter(&session.actor, page, name, query).await {
        Ok(()) => Ok(back(visit).with_notice(name, "is among the saved filters of this list.")),
        Err(error) => {
            let faults = Faults::of_error(error, NAMES, &visit.form, "set of filters")?;
            let field = Field::text("name", "Name", &visit.form);
            let ask = Ask { question: "Save these filters".to_owned(), button: "Save filters", field, faults };
            ask.reply(portal, visit, session, &["page", "query"]).await
        }
    }
}

/// The first time asks for the new name.
pub(in crate::server::portal) async fn rename_filter(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    const NAMES: &Names = &[(Subject::Name, "new", "Name")];
    let [page, name] = ["page", "name"].map(|field| visit.form.text(field));
    let (field, faults) = match visit.form.find("new") {
        None => {
            let values = Fields::new(vec![("new".to_owned(), Zeroizing::new(name.to_owned()))]);
            (Field::text("new", "Name", &values), Faults::default())
        }
        Some(new) => match portal.management().rename_saved_filter(&session.actor, page, name, new).await {
            Ok(()) => return Ok(back(visit).with_notice(name, format!("is called {new} now."))),
            Err(error) => {
                let faults = Faults::of_error(error, NAMES, &visit.form, "set of filters")?;
                (Field::text("new", "Name", &visit.form), faults)
            }
        },
    };
    let ask = Ask { question: format!("Rename {name}"), button: "Rename filters", field, faults };
    ask.reply(portal, visit, session, &["page", "name"]).await
}

pub(in crate::server::portal) async fn delete_filter(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let [page, name] = ["page", "name"].map(|field| visit.form.text(field));
    match portal.management().delete_saved_filter(&session.actor, page, name).await {
        // Gone already, which is what was wanted.
        Ok(()) | Err(Error::NotFound { .. }) => {
            Ok(back(visit).with_notice(name, "is no longer among the saved filters."))
        }
        Err(error) => Err(error.into()),
    }
}

/// A question for a name.
struct Ask {
    question: String,
    button: &'static str,
    field: Field,
    faults: Faults,
}

impl Ask {
    /// The page that asks, where the form was sent to. `sent_along` are fields that go with the name.
    async fn reply(
        self,
        portal: &Portal,
        visit: &Visit,
        session: &Session,
        sent_along: &[&'static str],
    ) -> Result<Reply, Trouble> {
        let cancel = local(visit.form.text("back"));
        let customer = customer_in(cancel).unwrap_or(session.actor.customer_id);
        let status = if self.faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        let page = Confirmation {
            frame: Frame::around(portal, visit, session, customer, Place::Account, self.question.as_str()).await?,
            question: self.question,
            sentences: Vec::new(),
            form: Form::new(vec![self.field]).with_faults(&self.faults),
            action: visit.address.clone(),
            hidden: sent_along.iter().chain(&["back"]).map(|name| (*name, visit.form.text(name).to_owned())).collect(),
            button: self.button,
            is_destructive: false,
            cancel: cancel.to_owned(),
        };
        Ok(Reply::page(status, &page))
    }
}

/// Whose page an address is.
fn customer_in(address: &str) -> Option<CustomerId> {
    address.strip_prefix("/c/")?.split(['/', '?']).next()?.parse().ok()
}
