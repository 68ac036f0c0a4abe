//! Deleting a component, with the use that it took or without.

use super::address;
use super::edit::refuse_unless_allowed;
use crate::id::ComponentId;
use crate::management::Error;
use crate::management::components::ComponentView;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::ask::{CONFIRM, Confirmation, check_typed_name};
use crate::server::portal::form::{Faults, Field, Form};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::object;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;

pub(in crate::server::portal) async fn ask_to_delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    Ok(Reply::ok(&question(portal, visit, session, &Faults::default()).await?))
}

pub(in crate::server::portal) async fn delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    if visit.is_shown_again {
        return ask_to_delete(portal, visit, session).await;
    }
    let (customer, kind, id) = (visit.customer()?, visit.kind(), visit.id::<ComponentId>()?);
    let name = find(portal, visit, session).await?.component.name;
    let faults = check_typed_name(visit.form.text(CONFIRM), &name);
    if !faults.is_empty() {
        return Ok(Reply::unprocessable(&question(portal, visit, session, &faults).await?));
    }
    let (revision, release) = (Some(object::revision(visit)?), visit.form.find("release").is_some());
    match portal.management().delete_component(&session.actor, customer, kind, id, revision, release).await {
        Ok(()) => {
            let sentence = match release {
                true => "was deleted, and the use that it took was given back to its key if that is still there.",
                false => "was deleted.",
            };
            Ok(Reply::see_other(Place::Components(kind).address(customer)).with_notice(name, sentence))
        }
        Err(Error::Outdated { .. }) => {
            let faults = Faults::of("", "It was changed meanwhile. Look whether this is still what you want.");
            Ok(Reply::unprocessable(&question(portal, visit, session, &faults).await?))
        }
        Err(error) => Err(error.into()),
    }
}

async fn question(portal: &Portal, visit: &Visit, session: &Session, faults: &Faults) -> Result<Confirmation, Trouble> {
    refuse_unless_allowed(session)?;
    let (customer, kind, view) = (visit.customer()?, visit.kind(), find(portal, visit, session).await?);
    let component = &view.component;
    let mut fields = Vec::new();
    if view.relations.key_name.is_some() {
        let hint = "Its count goes down by one, so another device can take the place. Without this a deleted component \
                    still counts.";
        fields.push(Field::tick("release", "Give the use back to its key", &visit.form, false).hint(hint));
    }
    fields.push(Field::text(CONFIRM, format!("Type {} to confirm", component.name), &visit.form));
    let question = format!("Delete {}?", component.name);
    Ok(Confirmation {
        frame: Frame::around(portal, visit, session, customer, Place::Components(kind), question.as_str()).await?,
        question,
        sentences: vec![
            "Its certificate is revoked at once and goes on the CRL.".to_owned(),
            "Its device may enroll again with any key that it knows, for another use. To keep it out, revoke it \
             instead."
                .to_owned(),
        ],
        form: Form::new(fields).with_faults(faults),
        action: address(component, "/delete"),
        hidden: vec![(object::REVISION, component.revision.0.to_string())],
        button: super::button(
            kind,
            ["Delete connector", "Delete service edge", "Delete network connector", "Delete machine"],
        ),
        is_destructive: true,
        cancel: address(component, ""),
    })
}

async fn find(portal: &Portal, visit: &Visit, session: &Session) -> Result<ComponentView, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    Ok(portal.management().find_component(&session.actor, customer, kind, visit.id()?).await?)
}
