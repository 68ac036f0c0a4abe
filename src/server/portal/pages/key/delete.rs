//! Deleting a key: what becomes of others first, then its name typed.

use super::find_to_change;
use crate::management::keys::KeyView;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::ask::{CONFIRM, Confirmation, check_typed_name};
use crate::server::portal::form::{Faults, Field, Form};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::kinds::words;
use crate::server::portal::pages::keys::{address, count_components};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words as say;

pub(in crate::server::portal) async fn ask(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let view = find_to_change(portal, visit, session).await?;
    let question = question(portal, visit, session, &view, &Faults::default()).await?;
    Ok(Reply::ok(&question))
}

pub(in crate::server::portal) async fn submit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let view = find_to_change(portal, visit, session).await?;
    let (key, form) = (&view.key, &visit.form);
    let faults = check_typed_name(form.text(CONFIRM), key.name.as_str());
    if visit.is_shown_again {
        return Ok(Reply::ok(&question(portal, visit, session, &view, &Faults::default()).await?));
    }
    if !faults.is_empty() {
        return Ok(Reply::unprocessable(&question(portal, visit, session, &view, &faults).await?));
    }
    let revoke = form.find("revoke").is_some();
    // The one whose name was typed, and not what somebody makes of it in this moment.
    let seen = Some(key.revision);
    portal.management().delete_key(&session.actor, key.customer_id, key.kind, key.id, seen, revoke).await?;
    let sentence = match revoke {
        true => format!("was deleted. Its {} are revoked.", words(key.kind).components),
        false => "was deleted.".to_owned(),
    };
    Ok(Reply::see_other(Place::Keys(key.kind).address(key.customer_id)).with_notice(key.name.as_str(), sentence))
}

async fn question(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    view: &KeyView,
    faults: &Faults,
) -> Result<Confirmation, Trouble> {
    let key = &view.key;
    let (words, values): (_, &Fields) = (words(key.kind), &visit.form);
    let components = count_components(portal, session, key).await?;
    let mut sentences = Vec::new();
    let mut fields = Vec::new();
    if components == 0 {
        sentences.push(format!("No {} came from this key.", words.component));
    } else {
        let came = say::counted(components, words.component, words.components);
        let (they, them) = if components == 1 { ("it keeps", "it") } else { ("they keep", "them") };
        sentences.push(format!("{came} came from this key; {they} working."));
        fields.push(
            Field::tick("revoke", format!("Revoke {them} too"), values, false)
                .hint("Revoked certificates stop counting at once."),
        );
    }
    sentences.push("From then on no device enrolls with this key. This cannot be undone.".to_owned());
    fields.push(Field::text(CONFIRM, format!("Type {} to confirm", key.name), values));
    let question = format!("Delete {}?", key.name);
    Ok(Confirmation {
        frame: Frame::around(portal, visit, session, key.customer_id, Place::Keys(key.kind), question.as_str()).await?,
        question,
        sentences,
        form: Form::new(fields).with_faults(faults),
        action: address(key, "/delete"),
        hidden: Vec::new(),
        button: "Delete key",
        is_destructive: true,
        cancel: address(key, ""),
    })
}
