//! "Add App Connector": which key a new component is to present, one that is there or a new one, and then the lines
//! for the device.

use askama::Template;

use super::wizard::{COMPONENT, OFFERED_MAX, Way, chooser};
use crate::domain::{KeyState, Kind, Name, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::keys::KeyView;
use crate::management::sessions::Session;
use crate::management::{Error, Object};
use crate::server::portal::form::{Control, Faults, Form};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::kinds::words;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::window::{RailStep, Window};
use crate::server::portal::words as say;
use crate::server::portal::{Portal, filters};
use crate::store::{Comparison, Condition, KeyField, ListQuery, Sort};

const KEY: &str = "provisioning-key";
const STEPS: [&str; 2] = ["Provisioning Key", "Provisioning Key Details"];

#[derive(Template)]
#[template(path = "add_component.html", config = "src/server/portal/askama.toml")]
struct AddComponentPage {
    frame: Frame,
    window: Window,
    lead: String,
    form: Form,
    is_create: bool,
    action: String,
}

pub(in crate::server::portal) async fn start(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    ask(portal, visit, session, &visit.query, &Faults::default()).await
}

/// On to the device with a key that is there, or to the wizard.
pub(in crate::server::portal) async fn go_on(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, form) = (visit.customer()?, visit.kind(), &visit.form);
    if visit.is_shown_again {
        return ask(portal, visit, session, form, &Faults::default()).await;
    }
    if form.text("go").starts_with("clear-") {
        return ask(portal, visit, session, &Fields::default(), &Faults::default()).await;
    }
    if form.text("way") == "create" {
        let wizard = format!("{}/add?for={COMPONENT}", Place::Keys(kind).address(customer));
        return Ok(Reply::see_other(wizard));
    }
    match choose(portal, session, customer, kind, form.text(KEY)).await? {
        Ok(view) => deploy(portal, visit, session, view).await,
        Err(sentence) => ask(portal, visit, session, form, &Faults::of(KEY, sentence)).await,
    }
}

/// A key that devices could use now, with its string; or why this one is not.
async fn choose(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    kind: Kind,
    chosen: &str,
) -> Result<Result<KeyView, String>, Trouble> {
    let (management, actor) = (portal.management(), &session.actor);
    if chosen.is_empty() {
        return Ok(Err("No provisioning key is selected. Select one, or create one.".to_owned()));
    }
    let gone = || Ok(Err("This key is no longer there. Select another one.".to_owned()));
    let Ok(id) = chosen.parse::<ProvisioningKeyId>() else { return gone() };
    let mut view = match management.find_key(actor, customer, kind, id).await {
        Ok(view) => view,
        Err(Error::NotFound { object: Object::ProvisioningKey, .. }) => return gone(),
        Err(error) => return Err(error.into()),
    };
    let key = &view.key;
    let why = match view.state {
        _ if !key.is_exportable() => "has view and export off",
        KeyState::Active => "",
        KeyState::Disabled => "is disabled",
        KeyState::Exhausted => "has no uses left",
        KeyState::Expired => "has expired",
    };
    if !why.is_empty() {
        return Ok(Err(format!("{} {why}. Select another one.", key.name)));
    }
    match management.export_key(actor, customer, kind, id).await {
        Ok(exported) => view.string = Some(exported.string),
        Err(Error::KeyExhausted) => return Ok(Err(format!("{} has no uses left. Select another one.", key.name))),
        Err(Error::NotFound { object: Object::ProvisioningKey, .. } | Error::NotExportable) => return gone(),
        Err(error) => return Err(error.into()),
    }
    Ok(Ok(view))
}

async fn deploy(portal: &Portal, visit: &Visit, session: &Session, view: KeyView) -> Result<Reply, Trouble> {
    let KeyView { key, group_name, string, .. } = view;
    let list = Place::Components(key.kind).address(key.customer_id);
    let way = Way {
        title: title(key.kind),
        steps: rail(2, key.name.to_string()),
        state: "is ready. It",
        another: format!("{list}/add"),
        done: list,
    };
    let group = group_name.as_ref().map_or("–", Name::as_str).to_owned();
    way.end(portal, visit, session, &key, group, string).await
}

fn title(kind: Kind) -> String {
    format!("Add {}", words(kind).component)
}

fn rail(now: usize, choice: String) -> Vec<RailStep> {
    let choices = [choice, String::new()];
    let steps = STEPS.into_iter().zip(choices).zip(1..);
    steps.map(|((title, choice), number)| RailStep::new(title, number, now, choice)).collect()
}

async fn ask(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    values: &Fields,
    faults: &Faults,
) -> Result<Reply, Trouble> {
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Operator).await?;
    let (place, words) = (Place::Components(kind), words(kind));
    let query = ListQuery {
        conditions: vec![
            Condition::new(KeyField::State, Comparison::Equals, KeyState::Active.as_str()),
            Condition::new(KeyField::Exportable, Comparison::Equals, true),
        ],
        sort: Some(Sort { field: KeyField::Name, descending: false }),
        ..ListQuery::first(OFFERED_MAX)
    };
    let page = management.list_keys(actor, customer, kind, &query).await?;
    let offered = page.rows.iter().map(|view| {
        let key = &view.key;
        let group = view.group_name.as_ref().map_or("–", Name::as_str);
        let left = key.maximum.map_or_else(
            || "no limit".to_owned(),
            |maximum| format!("{} left", say::number(maximum.get().saturating_sub(key.usage.uses))),
        );
        (key.id.to_string(), format!("{}, {group}, {left}", key.name))
    });
    let hint = if page.total == 0 {
        "No key can be used now. Create one."
    } else if page.total > u64::from(OFFERED_MAX) {
        "The first 500 are offered. Others can be copied on their own pages."
    } else {
        "Offered are keys that are enabled, unexpired, not exhausted and viewable."
    };
    let field = chooser(KEY, words.key, values, "Select a key", offered).hint(hint);
    let title = title(kind);
    let frame = Frame::around(portal, visit, session, customer, place, title.clone()).await?;
    let list = place.address(customer);
    let page = AddComponentPage {
        window: Window::new(title, &frame, Some(list.clone()), rail(1, String::new())),
        frame,
        lead: format!("{} presents a key when it first starts, and joins the key’s group.", an(words.component)),
        form: Form::new(vec![field]).with_faults(faults),
        is_create: values.text("way") == "create" || page.total == 0,
        action: format!("{list}/add"),
    };
    Ok(if faults.is_empty() { Reply::ok(&page) } else { Reply::unprocessable(&page) })
}

fn an(word: &str) -> String {
    let article = if word.starts_with(['A', 'E', 'I', 'O', 'U']) { "An" } else { "A" };
    format!("{article} {word}")
}
