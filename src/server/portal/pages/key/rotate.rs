//! Rotating a key: a successor with the same settings and a string of its own.

use super::{Occasion, find_to_change, reply};
use crate::domain::{KeySecret, ProvisioningKey};
use crate::management::Field as Subject;
use crate::management::keys::{KeyView, successor_name};
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::ask::Confirmation;
use crate::server::portal::form::{self, Faults, Field, Form, Names};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::PageHead;
use crate::server::portal::kinds::words;
use crate::server::portal::object::{ShownOncePage, ShownValue};
use crate::server::portal::pages::keys::address;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;

/// The successor's name.
const NAME: &str = "successor";

const NAMES: &Names =
    &[(Subject::Name, NAME, "Name of the successor"), (Subject::SigningCertificate, "", "The signing certificate")];

pub(in crate::server::portal) async fn ask(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let view = find_to_change(portal, visit, session).await?;
    Ok(Reply::ok(&question(portal, visit, session, &view, &Faults::default()).await?))
}

/// Leads to the successor's page; shows the string there at once when it is kept nowhere.
pub(in crate::server::portal) async fn submit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let view = find_to_change(portal, visit, session).await?;
    if visit.is_shown_again {
        return Ok(Reply::ok(&question(portal, visit, session, &view, &Faults::default()).await?));
    }
    let key = &view.key;
    let name = match form::text(visit.form.text(NAME)) {
        crate::management::Input::Cleared => crate::management::Input::Absent,
        name => name,
    };
    let (actor, title) = (&session.actor, format!("Successor of {}", key.name));
    let frame = Frame::around(portal, visit, session, key.customer_id, Place::Keys(key.kind), title).await?;
    let rotated = portal.management().rotate_key(actor, key.customer_id, key.kind, key.id, None, &name).await;
    let mut successor = match rotated {
        Ok(successor) => successor,
        Err(error) => {
            let faults = Faults::of_error(error, NAMES, &visit.form, &format!("{} key", words(key.kind).component))?;
            return Ok(Reply::unprocessable(&question(portal, visit, session, &view, &faults).await?));
        }
    };
    if let (false, Some(string)) = (successor.key.is_exportable(), successor.string.take()) {
        let plainly = plain_page(frame, &successor.key, &string);
        let occasion = Occasion { is_only_time: true, ..Occasion::reveal(string) };
        return Ok(reply(portal, visit, session, &successor, occasion).await.unwrap_or_else(|trouble| {
            tracing::warn!(?trouble, "a key that is shown once is shown without its page");
            plainly
        }));
    }
    let sentence = format!("follows {0}. Devices that hold {0} enroll with it until you disable it.", key.name);
    Ok(Reply::see_other(address(&successor.key, "")).with_notice(successor.key.name.as_str(), sentence))
}

/// The string by itself, for when the key's page cannot be read: no later request could have it.
fn plain_page(frame: Frame, key: &ProvisioningKey, string: &KeySecret) -> Reply {
    let place = Place::Keys(key.kind);
    Reply::ok(&ShownOncePage {
        frame,
        head: PageHead::below(key.customer_id, place, key.kind, key.name.as_str()),
        what: "key",
        advice: "It is not kept. Store it in a credential vault before you go on.",
        values: vec![ShownValue { id: "secret", label: "Provisioning key", text: string.expose(), hint: "" }],
        done: address(key, ""),
    })
}

async fn question(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    view: &KeyView,
    faults: &Faults,
) -> Result<Confirmation, Trouble> {
    let key = &view.key;
    let mut sentences = vec![
        "A successor is made: the same settings, a new string, no uses.".to_owned(),
        format!("{} stays as it is until you disable it. To a device the successor is a new key.", key.name),
    ];
    if !key.is_exportable() {
        sentences.push("View and export are off, so the new string is shown once, on the next page.".to_owned());
    }
    let name = Field::text(NAME, "Name of the successor", &visit.form)
        .optional()
        .hint(format!("Left empty: {}, or the next number that is free.", successor_name(&key.name, 0)));
    let question = format!("Rotate {}?", key.name);
    Ok(Confirmation {
        frame: Frame::around(portal, visit, session, key.customer_id, Place::Keys(key.kind), question.as_str()).await?,
        question,
        sentences,
        form: Form::new(vec![name]).with_faults(faults),
        action: address(key, "/rotate"),
        hidden: Vec::new(),
        button: "Rotate key",
        is_destructive: false,
        cancel: address(key, ""),
    })
}
