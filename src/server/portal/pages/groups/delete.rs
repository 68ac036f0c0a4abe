//! Deleting a group, alone or with everything in it.

use super::address;
use crate::domain::Revision;
use crate::id::GroupId;
use crate::management::Error;
use crate::management::groups::GroupView;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::ask::{CONFIRM, Confirmation, check_typed_name};
use crate::server::portal::form::{Faults, Field, Form};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::kinds::words;
use crate::server::portal::object;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::words as say;

pub(in crate::server::portal) async fn ask_to_delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let view = find(portal, visit, session).await?;
    Ok(Reply::ok(&question(portal, visit, session, &view, &Faults::default()).await?))
}

pub(in crate::server::portal) async fn delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, id, actor) = (visit.customer()?, visit.kind(), visit.id::<GroupId>()?, &session.actor);
    let view = find(portal, visit, session).await?;
    if visit.is_shown_again {
        return Ok(Reply::ok(&question(portal, visit, session, &view, &Faults::default()).await?));
    }
    let name = view.group.name.as_str();
    let revision: Option<Revision> = Some(object::revision(visit)?);
    let (outcome, sentence) = if visit.form.find("contents").is_some() {
        let faults = check_typed_name(visit.form.text(CONFIRM), name);
        if !faults.is_empty() {
            return Ok(Reply::unprocessable(&question(portal, visit, session, &view, &faults).await?));
        }
        let sentence = format!("was deleted with {}.", contents(&view));
        (portal.management().delete_group_with_contents(actor, customer, kind, id, revision).await, sentence)
    } else {
        (portal.management().delete_group(actor, customer, kind, id, revision).await, "was deleted.".to_owned())
    };
    match outcome {
        Ok(()) => Ok(Reply::see_other(Place::Groups(kind).address(customer)).with_notice(name, sentence)),
        // What the question said is no longer so.
        Err(Error::Outdated { .. } | Error::Referenced { .. }) => {
            let view = find(portal, visit, session).await?;
            let faults = Faults::of("", "The group was changed meanwhile. Read again what happens before you go on.");
            Ok(Reply::unprocessable(&question(portal, visit, session, &view, &faults).await?))
        }
        Err(error) => Err(error.into()),
    }
}

async fn question(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    view: &GroupView,
    faults: &Faults,
) -> Result<Confirmation, Trouble> {
    let group = &view.group;
    let (name, words, place) = (group.name.as_str(), words(group.kind), Place::Groups(group.kind));
    let mut hidden = vec![(object::REVISION, group.revision.0.to_string())];
    let (sentences, form, button) = if view.contents.keys == 0 && view.contents.components == 0 {
        let sentences = vec![format!("It has no keys and no {}. This cannot be undone.", words.nouns.1)];
        (sentences, Form::default(), "Delete group")
    } else {
        hidden.push(("contents", "yes".to_owned()));
        let sentences = vec![
            format!("{name} has {}. Move or delete them first.", contents(view)),
            format!(
                "Or delete everything in it: its keys stop at once, and its {} are revoked and deleted with it. Their \
                 devices need a key of another group to come back. This cannot be undone.",
                words.nouns.1
            ),
        ];
        let typed = Field::text(CONFIRM, format!("Type {name} to confirm"), &visit.form);
        (sentences, Form::new(vec![typed]), "Delete everything in it")
    };
    let question = format!("Delete {name}?");
    Ok(Confirmation {
        frame: Frame::around(portal, visit, session, group.customer_id, place, question.as_str()).await?,
        question,
        sentences,
        form: form.with_faults(faults),
        action: address(group, "/delete"),
        hidden,
        button,
        is_destructive: true,
        cancel: address(group, ""),
    })
}

/// "3 keys and 4,790 connectors".
fn contents(view: &GroupView) -> String {
    let (one, many) = words(view.group.kind).nouns;
    let keys = say::counted(view.contents.keys, "key", "keys");
    format!("{keys} and {}", say::counted(view.contents.components, one, many))
}

async fn find(portal: &Portal, visit: &Visit, session: &Session) -> Result<GroupView, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    Ok(portal.management().find_group(&session.actor, customer, kind, visit.id::<GroupId>()?).await?)
}
