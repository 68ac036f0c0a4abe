//! The string of a key, on demand and written down: to be copied, to be read on the key's page, as a file.

use hyper::StatusCode;
use zeroize::Zeroizing;

use super::{Occasion, Problem, add_address, address, find, reply};
use crate::management::Error;
use crate::management::keys::KeyView;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::head::Link;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;

/// How a string is given.
#[derive(Clone, Copy)]
enum Form {
    /// A text file with one line.
    File,
    /// On the key's page.
    Page,
    /// For our script, which puts it into the clipboard.
    Text,
}

pub(in crate::server::portal) async fn copy(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    give(portal, visit, session, if visit.is_fetch { Form::Text } else { Form::Page }).await
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    give(portal, visit, session, Form::Page).await
}

pub(in crate::server::portal) async fn download(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    give(portal, visit, session, Form::File).await
}

async fn give(portal: &Portal, visit: &Visit, session: &Session, form: Form) -> Result<Reply, Trouble> {
    let view = find(portal, visit, session).await?;
    let key = &view.key;
    let exported = match portal.management().export_key(&session.actor, key.customer_id, key.kind, key.id).await {
        Ok(exported) => exported,
        Err(error) => return refuse(portal, visit, session, &view, error).await,
    };
    let string = exported.string;
    Ok(match form {
        Form::File => {
            let text = Zeroizing::new(format!("{}\n", string.expose()));
            Reply::file(format!("{}.txt", exported.name), "text/plain; charset=utf-8", text)
        }
        Form::Page => reply(portal, visit, session, &view, Occasion::reveal(string)).await?,
        Form::Text => Reply::text(Zeroizing::new(string.expose().to_owned())),
    })
}

/// The key's page with what is in the way, and where to change that.
async fn refuse(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    view: &KeyView,
    error: Error,
) -> Result<Reply, Trouble> {
    let key = &view.key;
    let link = |label: &str, address| Some(Link { label: label.to_owned(), address });
    let (status, sentence, link) = match (&error, &key.managed_by) {
        (Error::KeyExhausted, None) => (
            StatusCode::CONFLICT,
            "Maximum reached. To copy it,".to_owned(),
            link("edit the maximum", address(key, "/edit#maximum")),
        ),
        (Error::KeyExhausted, Some(managed)) => {
            (StatusCode::CONFLICT, format!("Maximum reached. {} can raise it.", managed.label), None)
        }
        (Error::NotExportable, _) => (
            StatusCode::CONFLICT,
            "View and export are off, so the string is not kept. Not in your credential vault?".to_owned(),
            link("Make a new key", add_address(key.customer_id, key.kind)),
        ),
        (Error::Forbidden { .. }, _) if !session.actor.role.sees_key_strings() => {
            (StatusCode::FORBIDDEN, "Auditors do not see key strings. Ask an operator.".to_owned(), None)
        }
        _ => return Err(error.into()),
    };
    reply(portal, visit, session, view, Occasion::refuse(status, Problem { sentence, link })).await
}
