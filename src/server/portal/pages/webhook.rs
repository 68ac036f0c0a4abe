//! A webhook: the page with its deliveries, add, edit, test, delete.

use super::administrators::status;
use crate::clock::Timestamp;
use crate::domain::webhook::DeliveryState;
use crate::domain::{Name, Role, Webhook, WebhookDelivery, WebhookEvent};
use crate::id::{CustomerId, WebhookId};
use crate::management::sessions::Session;
use crate::management::webhooks::{NewWebhook, WebhookInput};
use crate::management::{Field as Subject, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::{Confirmation, FormPage};
use crate::server::portal::form::{Faults, Field, Form, Names, text};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, PageHead};
use crate::server::portal::object::{
    Body, Edited, Grid, GridRow, ObjectForms, ObjectPage, Panel, ShownOncePage, ShownValue, Stat, add_form, author,
    modified, revision, saved,
};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Badge, Cell, Detail};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words::{self as say, Instant};
use crate::store::PageRequest;

const PLACE: Place = Place::Webhooks;

/// Deliveries that the page shows; the command line lists all that are kept.
const DELIVERIES_MAX: u32 = 20;

const NAMES: &Names = &[
    (Subject::Name, "name", "Name"),
    (Subject::Url, "url", "URL"),
    (Subject::Events, WebhookEvent::ALL[0].as_str(), "Events"),
    (Subject::Enabled, "enabled", "Enabled"),
];

fn address(customer: CustomerId, id: WebhookId, what: &str) -> String {
    format!("{}/{id}{what}", PLACE.address(customer))
}

fn forms(webhook: &Webhook) -> ObjectForms<'_> {
    ObjectForms {
        place: PLACE,
        customer: webhook.customer_id,
        address: address(webhook.customer_id, webhook.id, ""),
        name: &webhook.name,
        what: "webhook",
        buttons: ["Save webhook", "Delete webhook"],
        revision: webhook.revision,
        modified: (webhook.modified_at, webhook.modified_by),
    }
}

/// As people read it.
const fn label(event: WebhookEvent) -> &'static str {
    match event {
        WebhookEvent::ComponentEnrolled => "Component enrolled",
        WebhookEvent::ComponentTakenOver => "Component taken over",
        WebhookEvent::GroupDisabled => "Devices refused: group disabled",
        WebhookEvent::KeyDisabled => "Devices refused: key disabled",
        WebhookEvent::KeyExhausted => "Devices refused: key used up",
        WebhookEvent::KeyExpired => "Key expired",
        WebhookEvent::KeyExpiring => "Key expires soon",
        WebhookEvent::KeyNearlyExhausted => "Key nearly used up",
        WebhookEvent::RefusalsUnusual => "Unusually many refusals",
        WebhookEvent::SigningCertificateExpired => "Signing certificate expired",
        WebhookEvent::SigningCertificateExpiring => "Signing certificate expires soon",
        WebhookEvent::Test => "Test",
    }
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let webhook = management.find_webhook(actor, customer, id).await?;
    let page = PageRequest::first(DELIVERIES_MAX);
    let deliveries = management.list_webhook_deliveries(actor, customer, id, page).await?.rows;
    let author = author(portal, session, customer, webhook.modified_by).await?;
    let name = webhook.name.as_str();
    let mut head = PageHead::below_place(customer, PLACE, name);
    if !webhook.enabled {
        head.badges.push(Badge::new("", "pause", "Disabled"));
    }
    if actor.role >= Role::Admin {
        head.actions = vec![
            HeadAction::new("Edit", "edit", address(customer, id, "/edit")),
            HeadAction::new("Test", "probe", address(customer, id, "/test")),
            HeadAction::delete(address(customer, id, "/delete")),
        ];
    }
    let rows: Vec<_> = deliveries.iter().map(delivery_row).collect();
    let deliveries = if rows.is_empty() {
        Body::Text("Nothing was to be told yet.".to_owned())
    } else {
        Body::Grid(Grid::new(vec!["Found", "Event", "State", "Attempts", "Result"], rows))
    };
    Ok(Reply::ok(&ObjectPage {
        frame: Frame::around(portal, visit, session, customer, PLACE, name).await?,
        head,
        remarks: Vec::new(),
        stats: stats(&webhook, portal.now()),
        main: vec![Panel::new("deliveries", "Deliveries", deliveries)],
        side: vec![settings(&webhook, author)],
    }))
}

fn delivery_row(delivery: &WebhookDelivery) -> GridRow {
    let state = match delivery.state {
        DeliveryState::Delivered => "Delivered",
        DeliveryState::GivenUp => "Given up",
        DeliveryState::Waiting => "Waiting",
    };
    GridRow::new(vec![
        Cell::Time(Instant::to_the_second(delivery.created_at)),
        Cell::text(label(delivery.event)),
        Cell::text(state),
        Cell::text(say::number(delivery.attempts)),
        Cell::text(&*delivery.last_result),
    ])
}

fn stats(webhook: &Webhook, now: Timestamp) -> Vec<Stat> {
    let ago = |at: Option<Timestamp>| at.map_or_else(|| "Never".to_owned(), |at| Instant::past(at, now).text);
    vec![
        Stat {
            label: "Last delivered",
            value: ago(webhook.last_success_at),
            class: "",
            below: Cell::text("answered 200 to 299"),
        },
        Stat {
            label: "Last failure",
            value: ago(webhook.last_failure_at),
            class: "",
            below: Cell::text(match (webhook.failing_since, &*webhook.last_failure) {
                (_, "") => "no attempt failed".to_owned(),
                (Some(since), failure) => format!("{failure}; nothing delivered since {}", say::minute(since)),
                (None, failure) => failure.to_owned(),
            }),
        },
    ]
}

fn settings(webhook: &Webhook, author: Option<Name>) -> Panel {
    let events: Vec<_> = webhook.events.iter().map(label).collect();
    let settings = vec![
        Detail::new("URL", Cell::Mono(webhook.url.to_string())),
        Detail::new("Events", Cell::text(events.join(", "))),
        Detail::new("Status", status(webhook.enabled)),
        Detail::new("Created", Cell::Time(Instant::at(webhook.created_at))),
        Detail::new("Modified", modified(webhook.modified_at, author)),
        Detail::new("Id", Cell::Mono(webhook.id.to_string())),
    ];
    Panel::new("settings", "Settings", Body::Pairs(settings))
}

// --- add

pub(in crate::server::portal) async fn add(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    portal.management().authorise(&session.actor, visit.customer()?, Role::Admin).await?;
    let values = Fields::of([("enabled", "on")]);
    Ok(Reply::ok(&add_page(portal, visit, session, &values, &Faults::default()).await?))
}

pub(in crate::server::portal) async fn save_new(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, values) = (visit.customer()?, &visit.form);
    if visit.is_shown_again {
        return Ok(Reply::ok(&add_page(portal, visit, session, values, &Faults::default()).await?));
    }
    // Before: no read may fail between the secret and whoever waits for it.
    let frame = Frame::around(portal, visit, session, customer, PLACE, values.text("name")).await?;
    match portal.management().create_webhook(&session.actor, customer, input(values)).await {
        Ok(made) => Ok(shown_secret(frame, &made)),
        Err(error) => {
            let faults = Faults::of_error(error, NAMES, values, "webhook")?;
            Ok(Reply::unprocessable(&add_page(portal, visit, session, values, &faults).await?))
        }
    }
}

async fn add_page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    values: &Fields,
    faults: &Faults,
) -> Result<FormPage, Trouble> {
    let words = ("Add Webhook", "The secret is made here and shown once, on the next page.");
    add_form(portal, visit, session, PLACE, words, form(values).with_faults(faults)).await
}

fn form(values: &Fields) -> Form {
    let mut fields = vec![
        Field::text("name", "Name", values),
        Field::text("url", "URL", values)
            .hint("https:// and a host on the internet, or one that webhooks.allow_networks names. Everybody who may see webhooks sees it."),
    ];
    fields.extend(WebhookEvent::ALL.map(|event| Field::tick(event.as_str(), label(event), values, false)));
    fields.push(
        Field::tick("enabled", "Enabled", values, true)
            .hint("One that is switched on is told of what happens from then on."),
    );
    Form::new(fields)
}

fn shown_secret(frame: Frame, made: &NewWebhook) -> Reply {
    let webhook = &made.webhook;
    Reply::ok(&ShownOncePage {
        frame,
        head: PageHead::below_place(webhook.customer_id, PLACE, webhook.name.as_str()),
        what: "secret",
        advice: "The receiver verifies messages with it. If it is lost, make another webhook.",
        values: vec![ShownValue {
            id: "webhook-secret",
            label: "Signing secret",
            text: &made.secret,
            hint: "How to verify a message stands in docs/webhooks.md.",
        }],
        done: address(webhook.customer_id, webhook.id, ""),
    })
}

// --- edit

pub(in crate::server::portal) async fn edit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Admin).await?;
    let webhook = management.find_webhook(actor, customer, visit.id()?).await?;
    let form = form(&values_of(&webhook));
    Ok(Reply::ok(&forms(&webhook).edit(portal, visit, session, form, webhook.revision).await?))
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let (expected, values) = (revision(visit)?, &visit.form);
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else {
        let result = management.edit_webhook(actor, customer, id, Some(expected), &input(values)).await;
        Edited::of(result, NAMES, values, "webhook")?
    };
    if let Edited::Done = edited {
        return Ok(saved(address(customer, id, ""), values.text("name")));
    }
    let webhook = management.find_webhook(actor, customer, id).await?;
    let typed = (form(values), expected);
    forms(&webhook).edit_again(portal, visit, session, edited, typed, values_of(&webhook)).await
}

fn values_of(webhook: &Webhook) -> Fields {
    let on = |is_so: bool| if is_so { "on" } else { "" };
    let of_events = WebhookEvent::ALL.map(|event| (event.as_str(), on(webhook.events.contains(event))));
    let others = [("name", webhook.name.as_str()), ("url", webhook.url.as_str()), ("enabled", on(webhook.enabled))];
    let all = others.into_iter().chain(of_events);
    Fields::new(all.map(|(name, value)| (name.to_owned(), value.to_owned().into())).collect())
}

fn input(values: &Fields) -> WebhookInput {
    let is_on = |name: &str| !values.text(name).is_empty();
    let events = WebhookEvent::ALL.into_iter().map(WebhookEvent::as_str).filter(|name| is_on(name));
    WebhookInput {
        name: text(values.text("name")),
        url: text(values.text("url")),
        events: Input::Given(events.map(str::to_owned).collect()),
        enabled: Input::Given(is_on("enabled")),
    }
}

// --- test

pub(in crate::server::portal) async fn ask_test(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Admin).await?;
    let webhook = management.find_webhook(actor, customer, id).await?;
    let question = if webhook.enabled {
        format!("Send a test to {}?", webhook.name)
    } else {
        format!("{} is switched off", webhook.name)
    };
    let sentence = if webhook.enabled {
        format!("A message of the type webhook.test goes to {}. The next page says how it went.", webhook.url)
    } else {
        "Nothing is sent to it. Enable it first.".to_owned()
    };
    let frame = Frame::around(portal, visit, session, customer, PLACE, &*question).await?;
    Ok(Reply::ok(&Confirmation {
        frame,
        question,
        sentences: vec![sentence],
        form: Form::default(),
        action: address(customer, id, "/test"),
        hidden: Vec::new(),
        button: if webhook.enabled { "Send test" } else { "" },
        is_destructive: false,
        cancel: address(customer, id, ""),
    }))
}

pub(in crate::server::portal) async fn test(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let webhook = management.find_webhook(actor, customer, id).await?;
    management.test_webhook(actor, customer, id).await?;
    let notice = "is being tested; load this page again in some seconds.";
    Ok(Reply::see_other(address(customer, id, "")).with_notice(webhook.name.as_str(), notice))
}

// --- delete

pub(in crate::server::portal) async fn ask_delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Admin).await?;
    let webhook = management.find_webhook(actor, customer, id).await?;
    let sentences = vec!["Nothing is told to it any more, and what waits for it goes with it.".to_owned()];
    Ok(Reply::ok(&forms(&webhook).deletion(portal, visit, session, sentences).await?))
}

pub(in crate::server::portal) async fn delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let webhook = management.find_webhook(actor, customer, id).await?;
    management.delete_webhook(actor, customer, id, Some(revision(visit)?)).await?;
    Ok(Reply::see_other(PLACE.address(customer)).with_notice(webhook.name.as_str(), "was deleted."))
}
