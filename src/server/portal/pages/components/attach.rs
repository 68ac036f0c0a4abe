//! Attaching a component to another key of its group.

use hyper::StatusCode;

use super::address;
use super::edit::{KEY, NAMES, refuse_unless_allowed};
use crate::id::{ComponentId, Id as _};
use crate::management::components::{ComponentInput, ComponentView};
use crate::management::sessions::Session;
use crate::management::{Error, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{self, Faults, Field, Form};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::PageHead;
use crate::server::portal::kinds::words;
use crate::server::portal::object::{self, Edited};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::store::{Comparison, KeyField, ListQuery, Sort};

pub(in crate::server::portal) async fn ask_to_attach(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    asking(portal, visit, session, &Faults::default(), StatusCode::OK).await
}

pub(in crate::server::portal) async fn attach(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, id) = (visit.customer()?, visit.kind(), visit.id::<ComponentId>()?);
    if visit.is_shown_again {
        return asking(portal, visit, session, &Faults::default(), StatusCode::OK).await;
    }
    let key = match form::chosen(visit.form.text(KEY)) {
        Input::Cleared | Input::Absent => Input::Malformed("is missing. Choose the key that it is to belong to"),
        key => key,
    };
    let input = ComponentInput { key, ..ComponentInput::default() };
    let revision = Some(object::revision(visit)?);
    let edit = portal.management().edit_component(&session.actor, customer, kind, id, revision, &input);
    match Edited::of(edit.await, NAMES, &visit.form, words(kind).component)? {
        Edited::Done => {
            // It is attached, whether or not the names can be read.
            let view = portal.management().find_component(&session.actor, customer, kind, id).await.ok();
            let key = view.as_ref().and_then(|view| view.relations.key_name.as_ref());
            let sentence =
                format!("was attached to {}. No use was taken.", key.map_or("another key", |name| name.as_str()));
            let name = view.as_ref().map_or("It", |view| view.component.name.as_str());
            let address = format!("{}/{id}", Place::Components(kind).address(customer));
            Ok(Reply::see_other(address).with_notice(name, sentence))
        }
        Edited::Outdated => {
            let faults = Faults::of("", "It was changed meanwhile. Look whether this is still what you want.");
            asking(portal, visit, session, &faults, StatusCode::CONFLICT).await
        }
        Edited::Refused(faults) => asking(portal, visit, session, &faults, StatusCode::UNPROCESSABLE_ENTITY).await,
    }
}

async fn asking(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    faults: &Faults,
    status: StatusCode,
) -> Result<Reply, Trouble> {
    refuse_unless_allowed(session)?;
    let (customer, kind) = (visit.customer()?, visit.kind());
    let view = portal.management().find_component(&session.actor, customer, kind, visit.id()?).await?;
    let component = &view.component;
    let (place, title) = (Place::Components(kind), format!("Attach {} to another key", component.name));
    let mut head = PageHead::below(customer, place, kind, title.as_str());
    head.lead =
        "Its limits, flags and address lists then are those of the other key. No use is taken from that one, and \
                 none is given back to the key that it has now."
            .to_owned();
    let page = FormPage {
        frame: Frame::around(portal, visit, session, customer, place, title).await?,
        head,
        form: Form::new(vec![keys(portal, visit, session, &view).await?]).with_faults(faults),
        action: address(component, "/attach"),
        hidden: vec![(object::REVISION, component.revision.0.to_string())],
        button: "Attach",
        cancel: address(component, ""),
    };
    Ok(Reply::page(status, &page))
}

/// The other keys of its group.
async fn keys(portal: &Portal, visit: &Visit, session: &Session, view: &ComponentView) -> Result<Field, Error> {
    let component = &view.component;
    let group = i64::try_from(component.group_id.raw()).unwrap_or(i64::MAX);
    let sort = Some(Sort { field: KeyField::Name, descending: false });
    let of_group =
        ListQuery::first_where(ListQuery::<KeyField>::LIMIT_MAX, KeyField::GroupId, Comparison::Equals, group);
    let query = ListQuery { sort, ..of_group };
    let found = portal.management().list_keys(&session.actor, component.customer_id, component.kind, &query).await?;
    let others = found.rows.iter().filter(|key| key.key.id != component.key_id);
    let mut options = vec![(String::new(), "Choose a key".to_owned())];
    options.extend(others.map(|key| (key.key.id.to_string(), key.key.name.to_string())));
    let group = view.relations.group_name.as_ref().map_or("Its group", |name| name.as_str());
    let hint = match options.len() {
        1 => format!("{group} has no other key. Make one for this group first."),
        _ => format!("Keys of {group}; a component stays in its group."),
    };
    Ok(Field::select(KEY, "Provisioning Key", &visit.form, options).hint(hint))
}
