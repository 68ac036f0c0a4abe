//! The clean-up schedule of a kind: after how long components go whose certificate ended.

use hyper::StatusCode;

use crate::domain::{CleanUpDays, CleanUpSchedule, Kind, Revision, Role};
use crate::id::CustomerId;
use crate::management::clean_up::CleanUpInput;
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject, Input, Object};
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{self, Faults, Field, Form, Names};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::PageHead;
use crate::server::portal::kinds::words;
use crate::server::portal::object::{self, Again, Body, Edited, ObjectPage, Other, Panel};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Cell, Detail};
use crate::server::portal::visit::{Fields, Visit};

const NAMES: &Names = &[
    (Subject::Enabled, "enabled", "Clean-up"),
    (Subject::CleanUpDays, "days", "Days"),
    (Subject::DeleteDisabled, "disabled", "Disabled ones"),
];

/// Preselected where nothing was ever set.
const DAYS_DEFAULT: u64 = 30;

/// Of a form that was made when there was no schedule; none that is there has it.
const NONE: Revision = Revision(0);

/// Where it is.
pub(super) fn address(customer: CustomerId, kind: Kind) -> String {
    format!("/c/{customer}/{kind}/clean-up")
}

/// "30 days after their certificate’s end", "Off".
///
/// # Errors
/// Rights and outages.
pub(super) async fn summary(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    kind: Kind,
) -> Result<String, Error> {
    let schedule = find(portal, session, customer, kind).await?;
    Ok(match schedule.filter(|schedule| schedule.enabled) {
        Some(schedule) => format!("{} days after their certificate’s end", schedule.days.get()),
        None => "Off".to_owned(),
    })
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let schedule = find(portal, session, visit.customer()?, visit.kind()).await?;
    if session.actor.role < Role::Admin {
        return read_only(portal, visit, session, schedule.as_ref()).await;
    }
    let form = form(visit.kind(), &values_of(schedule.as_ref()));
    let revision = schedule.map_or(NONE, |schedule| schedule.revision);
    page(portal, visit, session, Again { status: StatusCode::OK, form, revision }).await
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    let (typed, expected) = (&visit.form, object::revision(visit)?);
    let input = CleanUpInput {
        enabled: Input::Given(typed.find("enabled").is_some()),
        delete_disabled: Input::Given(typed.find("disabled").is_some()),
        days: form::number(typed.text("days")),
    };
    let before = find(portal, session, customer, kind).await?;
    let edited = match &before {
        _ if visit.is_shown_again => Edited::Refused(Faults::default()),
        None => match management.create_clean_up_schedule(actor, customer, kind, input).await {
            Err(Error::AlreadyExists { .. }) => Edited::Outdated,
            made => Edited::of(made, NAMES, typed, "")?,
        },
        Some(schedule) => {
            let edit = management.edit_clean_up_schedule(actor, customer, kind, schedule.id, Some(expected), &input);
            Edited::of(edit.await, NAMES, typed, "")?
        }
    };
    let now = find(portal, session, customer, kind).await;
    if let Edited::Done = edited {
        let sentence = match now.map(|now| now.filter(|schedule| schedule.enabled)) {
            Ok(Some(schedule)) => {
                let (components, days) = (words(kind).components, schedule.days.get());
                format!("Clean-up is on: {components} go {days} days after their certificate’s end.")
            }
            Ok(None) => "Clean-up is off.".to_owned(),
            // It is saved, whether or not it can be read.
            Err(_) => "Clean-up was saved.".to_owned(),
        };
        return Ok(Reply::see_other(Place::Components(kind).address(customer)).with_notice("", sentence));
    }
    let now = now?;
    let by = now.as_ref().and_then(|schedule| schedule.modified_by);
    let who = object::author(portal, session, customer, by).await?;
    let at = now.as_ref().map_or(portal.now(), |schedule| schedule.modified_at);
    let other = Other {
        values: values_of(now.as_ref()),
        revision: now.map_or(NONE, |schedule| schedule.revision),
        sentence: object::changed_meanwhile(who.as_ref(), "clean-up", at, portal.now()),
    };
    page(portal, visit, session, edited.again(form(kind, typed), expected, other)).await
}

async fn page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    Again { status, form, revision }: Again,
) -> Result<Reply, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    let place = Place::Components(kind);
    let head = head(customer, kind);
    let page = FormPage {
        frame: Frame::around(portal, visit, session, customer, place, head.title.as_str()).await?,
        head,
        form,
        action: address(customer, kind),
        hidden: vec![(object::REVISION, revision.0.to_string())],
        button: "Save clean-up",
        cancel: place.address(customer),
    };
    Ok(Reply::page(status, &page))
}

/// For those who see it and may not change it.
async fn read_only(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    schedule: Option<&CleanUpSchedule>,
) -> Result<Reply, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    let enabled = schedule.filter(|schedule| schedule.enabled);
    let mut details = vec![Detail::new("Clean-up", Cell::yes_no(enabled.is_some()))];
    if let Some(schedule) = enabled {
        details.push(Detail::new("Days after the end", Cell::Text(schedule.days.get().to_string())));
        details.push(Detail::new("Disabled ones too", Cell::yes_no(schedule.delete_disabled)));
    }
    let head = head(customer, kind);
    let page = ObjectPage {
        frame: Frame::around(portal, visit, session, customer, Place::Components(kind), head.title.as_str()).await?,
        head,
        remarks: Vec::new(),
        stats: Vec::new(),
        main: vec![Panel::new("schedule", "Schedule", Body::Pairs(details))],
        side: Vec::new(),
    };
    Ok(Reply::ok(&page))
}

fn head(customer: CustomerId, kind: Kind) -> PageHead {
    let words = words(kind);
    let mut head =
        PageHead::below(customer, Place::Components(kind), kind, format!("Clean-up of {}", words.components));
    head.lead = "A component whose certificate ended long ago and was not renewed is deleted by itself, once an hour. \
                 Revoked ones stay, as they keep their devices out; so does all of a customer or group that is \
                 disabled. No use is given back."
        .to_owned();
    head
}

fn form(kind: Kind, values: &Fields) -> Form {
    let days = CleanUpDays::ALL.map(|days| (days.get().to_string(), format!("{} days", days.get())));
    Form::new(vec![
        Field::tick("enabled", format!("Delete {} by themselves", words(kind).components), values, false),
        Field::select("days", "How long after the end of the certificate", values, days),
        Field::tick("disabled", "Disabled ones too", values, false)
            .hint("A disabled one cannot renew, so its certificate ends in any case."),
    ])
}

fn values_of(schedule: Option<&CleanUpSchedule>) -> Fields {
    let on = |is_on: bool| if is_on { "on" } else { "" };
    let days = schedule.map_or(DAYS_DEFAULT, |schedule| u64::from(schedule.days.get()));
    Fields::of([
        ("enabled", on(schedule.is_some_and(|schedule| schedule.enabled))),
        ("days", &days.to_string()),
        ("disabled", on(schedule.is_some_and(|schedule| schedule.delete_disabled))),
    ])
}

/// `None`: nothing was ever set.
async fn find(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    kind: Kind,
) -> Result<Option<CleanUpSchedule>, Error> {
    match portal.management().find_clean_up_schedule(&session.actor, customer, kind).await {
        Ok(schedule) => Ok(Some(schedule)),
        Err(Error::NotFound { object: Object::CleanUpSchedule, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
