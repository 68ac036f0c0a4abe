//! Editing a signing certificate.

use super::{NAMES, PLACE, address, find};
use crate::clock::DAY_SECONDS;
use crate::domain::{Revision, Role, SigningCertificate};
use crate::management::sessions::Session;
use crate::management::signing_certificates::SigningCertificateInput;
use crate::management::{Error, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{Faults, Field, Form, number, text};
use crate::server::portal::frame::Frame;
use crate::server::portal::head::PageHead;
use crate::server::portal::object::{Again, Edited, Other, REVISION, author, changed_meanwhile, revision, saved};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    portal.management().authorise(&session.actor, visit.customer()?, Role::Admin).await?;
    let row = find(portal, visit, session).await?.certificate;
    let form = form(&values_of(&row));
    Ok(Reply::ok(&page(portal, visit, session, &row, form, row.revision).await?))
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, values) = (visit.customer()?, visit.id()?, &visit.form);
    let expected = revision(visit)?;
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else {
        let input = SigningCertificateInput {
            name: text(values.text("name")),
            description: text(values.text("description")),
            allow_signing: Input::Given(!values.text("allow_signing").is_empty()),
            component_lifetime_days: number(values.text("component_lifetime")),
            ..SigningCertificateInput::default()
        };
        let result =
            portal.management().edit_signing_certificate(&session.actor, customer, id, Some(expected), &input).await;
        Edited::of(result, NAMES, values, "signing certificate")?
    };
    if let Edited::Done = edited {
        return Ok(saved(address(customer, id, ""), values.text("name")));
    }
    let row = find(portal, visit, session).await?.certificate;
    let other = other(portal, session, &row).await?;
    let Again { status, form, revision } = edited.again(form(values), expected, other);
    Ok(Reply::page(status, &page(portal, visit, session, &row, form, revision).await?))
}

/// What somebody else made of it meanwhile.
pub(super) async fn other(portal: &Portal, session: &Session, row: &SigningCertificate) -> Result<Other, Error> {
    let author = author(portal, session, row.customer_id, row.modified_by).await?;
    let sentence = changed_meanwhile(author.as_ref(), "signing certificate", row.modified_at, portal.now());
    Ok(Other { values: values_of(row), revision: row.revision, sentence })
}

fn form(values: &Fields) -> Form {
    Form::new(vec![
        Field::text("name", "Name", values),
        Field::tick("allow_signing", "Allow signing", values, true)
            .hint("While it is off, devices with keys that name it are refused, renewals too."),
        Field::number("component_lifetime", "Days that what it signs is valid for", values)
            .hint("1 to 3,650. Of certificates from now on; never beyond its own end."),
        Field::text("description", "Description", values).optional(),
    ])
}

fn values_of(row: &SigningCertificate) -> Fields {
    Fields::of([
        ("name", row.name.as_str()),
        ("allow_signing", if row.allow_signing { "on" } else { "" }),
        ("component_lifetime", &(row.lifetime_seconds / DAY_SECONDS).to_string()),
        ("description", row.description.as_str()),
    ])
}

async fn page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    row: &SigningCertificate,
    form: Form,
    revision: Revision,
) -> Result<FormPage, Trouble> {
    let title = format!("Edit {}", row.name);
    Ok(FormPage {
        frame: Frame::around(portal, visit, session, row.customer_id, PLACE, &title).await?,
        head: PageHead::below_place(row.customer_id, PLACE, title),
        form,
        action: address(row.customer_id, row.id, "/edit"),
        hidden: vec![(REVISION, revision.0.to_string())],
        button: "Save signing certificate",
        cancel: address(row.customer_id, row.id, ""),
    })
}
