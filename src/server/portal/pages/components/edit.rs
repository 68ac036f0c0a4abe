//! Changing a component, and switching it on and off.

use hyper::StatusCode;

use super::{address, may_edit};
use crate::domain::{Component, Kind, Role};
use crate::id::ComponentId;
use crate::management::components::ComponentInput;
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{self, Faults, Field, Form, Names};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::PageHead;
use crate::server::portal::kinds::words;
use crate::server::portal::object::{self, Again, Edited, Other};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};

/// The field in which [another key](mod@super::attach) is chosen. A field `key` holds a string.
pub(super) const KEY: &str = "provisioning-key";

pub(super) const NAMES: &Names = &[
    (Subject::Name, "name", "Name"),
    (Subject::Description, "description", "Description"),
    (Subject::Enabled, "enabled", "Status"),
    (Subject::ProvisioningKey, KEY, "Provisioning Key"),
];

pub(in crate::server::portal) async fn edit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let component = find(portal, visit, session).await?;
    let form = form(&values_of(&component));
    editing(portal, visit, session, &component, Again { status: StatusCode::OK, form, revision: component.revision })
        .await
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, id) = (visit.customer()?, visit.kind(), visit.id::<ComponentId>()?);
    let (typed, expected) = (&visit.form, object::revision(visit)?);
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else {
        let input = ComponentInput {
            name: Input::Given(typed.text("name").to_owned()),
            description: form::text(typed.text("description")),
            enabled: Input::Given(typed.find("enabled").is_some()),
            key: Input::Absent,
        };
        let edited =
            portal.management().edit_component(&session.actor, customer, kind, id, Some(expected), &input).await;
        Edited::of(edited, NAMES, typed, words(kind).component)?
    };
    if let Edited::Done = edited {
        let address = format!("{}/{id}", Place::Components(kind).address(customer));
        return Ok(object::saved(address, typed.text("name")));
    }
    let component = find(portal, visit, session).await?;
    let who = object::author(portal, session, customer, component.modified_by).await?;
    let (word, at) = (words(kind).nouns.0, component.modified_at);
    let sentence = object::changed_meanwhile(who.as_ref(), word, at, portal.now());
    let other = Other { values: values_of(&component), revision: component.revision, sentence };
    editing(portal, visit, session, &component, edited.again(form(typed), expected, other)).await
}

pub(in crate::server::portal) async fn enable(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    switch(portal, visit, session, true).await
}

pub(in crate::server::portal) async fn disable(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    switch(portal, visit, session, false).await
}

async fn switch(portal: &Portal, visit: &Visit, session: &Session, enabled: bool) -> Result<Reply, Trouble> {
    let (customer, kind, id) = (visit.customer()?, visit.kind(), visit.id::<ComponentId>()?);
    let input = ComponentInput { enabled: Input::Given(enabled), ..ComponentInput::default() };
    // Before: a read that failed after it would be told as a change that was not made.
    let component = find(portal, visit, session).await?;
    portal.management().edit_component(&session.actor, customer, kind, id, None, &input).await?;
    let sentence = if enabled {
        "was enabled. Its device may renew and enroll again."
    } else {
        "was disabled. Its device neither renews nor enrolls again; its certificate counts until it ends."
    };
    Ok(Reply::see_other(address(&component, "")).with_notice(component.name, sentence))
}

async fn editing(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    component: &Component,
    Again { status, form, revision }: Again,
) -> Result<Reply, Trouble> {
    refuse_unless_allowed(session)?;
    let (kind, customer) = (component.kind, component.customer_id);
    let (place, title) = (Place::Components(kind), format!("Edit {}", component.name));
    let page = FormPage {
        frame: Frame::around(portal, visit, session, customer, place, title.as_str()).await?,
        head: PageHead::below(customer, place, kind, title),
        form,
        action: address(component, "/edit"),
        hidden: vec![(object::REVISION, revision.0.to_string())],
        button: super::button(kind, ["Save connector", "Save service edge", "Save network connector", "Save machine"]),
        cancel: address(component, ""),
    };
    Ok(Reply::page(status, &page))
}

/// A form that could not be saved is not shown; the use case would refuse it as well.
pub(super) fn refuse_unless_allowed(session: &Session) -> Result<(), Trouble> {
    if may_edit(session) {
        return Ok(());
    }
    Err(Error::Forbidden { role: session.actor.role, needed: Role::Operator }.into())
}

async fn find(portal: &Portal, visit: &Visit, session: &Session) -> Result<Component, Trouble> {
    let (customer, kind): (_, Kind) = (visit.customer()?, visit.kind());
    Ok(portal.management().find_component(&session.actor, customer, kind, visit.id()?).await?.component)
}

fn form(values: &Fields) -> Form {
    Form::new(vec![
        Field::text("name", "Name", values),
        Field::text("description", "Description", values).optional(),
        Field::tick("enabled", "Enabled", values, true)
            .hint("While it is disabled, its device neither renews nor enrolls again."),
    ])
}

/// A component as its form would send it.
fn values_of(component: &Component) -> Fields {
    Fields::of([
        ("name", component.name.as_str()),
        ("description", component.description.as_str()),
        ("enabled", if component.enabled { "on" } else { "" }),
    ])
}
