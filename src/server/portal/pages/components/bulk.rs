//! What is done with the components that are ticked: deleted, or given out as a file.

use super::may_edit;
use crate::domain::Kind;
use crate::id::{ComponentId, CustomerId};
use crate::management::components::ComponentView;
use crate::management::sessions::Session;
use crate::management::{Error, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::Confirmation;
use crate::server::portal::csv::Csv;
use crate::server::portal::form::Form;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::kinds::words;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::ticked::{Ticked, confirmed, named, still_there};
use crate::server::portal::visit::Visit;
use crate::server::portal::words as say;

pub(in crate::server::portal) async fn bulk(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    let list = Place::Components(kind).address(customer);
    let (one, many) = words(kind).nouns;
    let ticked = match Ticked::<ComponentId>::read(visit, &list, one)? {
        Ok(ticked) => ticked,
        Err(back) => return Ok(back),
    };
    match ticked.operation {
        "csv" => export(portal, session, customer, kind, &ticked.ids).await,
        "delete" if !ticked.is_confirmed => ask(portal, visit, session, ticked).await,
        "delete" => {
            let count = ticked.ids.len() as u64;
            let ids = Input::Given(ticked.ids);
            portal.management().delete_components(&session.actor, customer, kind, ids).await?;
            let sentence = format!("{} deleted.", say::counted(count, one, many));
            Ok(Reply::see_other(ticked.back).with_notice("", sentence))
        }
        _ => Err(Trouble::Malformed),
    }
}

async fn ask(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    ticked: Ticked<'_, ComponentId>,
) -> Result<Reply, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    if !may_edit(session) {
        return Err(Error::Forbidden { role: session.actor.role, needed: crate::domain::Role::Operator }.into());
    }
    let views = find_all(portal, session, customer, kind, &ticked.ids).await?;
    let (one, many) = words(kind).nouns;
    if views.is_empty() {
        let sentence = format!("The {many} that were ticked are deleted already.");
        return Ok(Reply::see_other(ticked.back).with_notice("", sentence));
    }
    let place = Place::Components(kind);
    let question = format!("Delete {}?", say::counted(views.len() as u64, one, many));
    let names: Vec<_> = views.iter().map(|view| view.component.name.as_str()).collect();
    let confirmation = Confirmation {
        frame: Frame::around(portal, visit, session, customer, place, question.as_str()).await?,
        question,
        sentences: vec![
            named(&names),
            "Their certificates are revoked at once. Their devices may enroll again, each for another use of a key."
                .to_owned(),
            "No use is given back. This cannot be undone.".to_owned(),
        ],
        form: Form::default(),
        action: format!("{}/bulk", place.address(customer)),
        hidden: confirmed("delete", &ticked.back, &ticked.ids),
        button: super::button(
            kind,
            ["Delete connectors", "Delete service edges", "Delete network connectors", "Delete machines"],
        ),
        is_destructive: true,
        cancel: ticked.back,
    };
    Ok(Reply::ok(&confirmation))
}

/// Those that are still there.
async fn find_all(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    kind: Kind,
    ids: &[ComponentId],
) -> Result<Vec<ComponentView>, Error> {
    still_there(ids, |id| portal.management().find_component(&session.actor, customer, kind, id)).await
}

async fn export(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    kind: Kind,
    ids: &[ComponentId],
) -> Result<Reply, Trouble> {
    let words = words(kind);
    let mut csv = Csv::default();
    csv.push([
        "Id",
        "Name",
        "Status",
        "Hostname",
        words.group,
        "Provisioning Key",
        "Certificate Expires",
        "Serial Number",
        "Signing Certificate",
        "Fingerprint",
        "Address",
        "Platform",
        "Software Version",
        "Enrolled",
        "Modified",
        "Description",
    ]);
    for view in find_all(portal, session, customer, kind, ids).await? {
        csv.push(line(&view));
    }
    Ok(Reply::file(format!("{kind}s.csv"), "text/csv; charset=utf-8", csv.into_text()))
}

/// Times are RFC 3339.
fn line(view: &ComponentView) -> [String; 16] {
    let (component, relations) = (&view.component, &view.relations);
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let name = |name: &Option<crate::domain::Name>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    [
        component.id.to_string(),
        component.name.clone(),
        view.badge.as_str().to_owned(),
        said(&component.hostname),
        name(&relations.group_name),
        name(&relations.key_name),
        relations.not_after.to_string(),
        relations.serial.to_string(),
        name(&relations.signing_certificate_name),
        component.fingerprint.as_str().to_owned(),
        component.remote_address.to_string(),
        said(&component.platform),
        said(&component.software_version),
        component.enrolled_at.to_string(),
        component.modified_at.to_string(),
        component.description.as_str().to_owned(),
    ]
}
