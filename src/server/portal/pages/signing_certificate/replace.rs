//! Replacing a signing certificate: all keys and groups that have it get another.

use hyper::StatusCode;

use super::{PLACE, address, find};
use crate::domain::{Role, SigningCertificate};
use crate::management::Field as Subject;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{Faults, Field, Form, Names, chosen};
use crate::server::portal::frame::Frame;
use crate::server::portal::head::{HeadAction, PageHead};
use crate::server::portal::pages::signing_certificates::usable;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::words as say;

const SUCCESSOR: &str = "successor";

const NAMES: &Names = &[(Subject::SigningCertificate, SUCCESSOR, "Replace it by")];

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    portal.management().authorise(&session.actor, visit.customer()?, Role::Admin).await?;
    let row = find(portal, visit, session).await?.certificate;
    Ok(Reply::ok(&page(portal, visit, session, &row, &Faults::default()).await?))
}

pub(in crate::server::portal) async fn submit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management) = (visit.customer()?, visit.id()?, portal.management());
    management.authorise(&session.actor, customer, Role::Admin).await?;
    let row = find(portal, visit, session).await?.certificate;
    if visit.is_shown_again {
        return Ok(Reply::ok(&page(portal, visit, session, &row, &Faults::default()).await?));
    }
    let successor = chosen(visit.form.text(SUCCESSOR));
    match management.replace_signing_certificate(&session.actor, customer, id, successor).await {
        Ok(()) => {
            let sentence = "was replaced. Components get a certificate of its successor with their next renewal.";
            Ok(Reply::see_other(address(customer, id, "")).with_notice(row.name.as_str(), sentence))
        }
        Err(error) => {
            let faults = Faults::of_error(error, NAMES, &visit.form, "signing certificate")?;
            let page = page(portal, visit, session, &row, &faults).await?;
            Ok(Reply::page(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

async fn page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    row: &SigningCertificate,
    faults: &Faults,
) -> Result<FormPage, Trouble> {
    let (customer, id) = (row.customer_id, row.id);
    let references = portal.management().find_signing_certificate_references(&session.actor, customer, id).await?;
    let title = format!("Replace {}", row.name);
    let mut head = PageHead::below_place(customer, PLACE, &*title);
    head.lead = format!(
        "{} and {} have it. All of them get the one that you choose, at once. What it signed stays good; components get \
         a certificate of the other one with their next renewal.",
        say::counted(references.keys, "key", "keys"),
        say::counted(references.groups, "group", "groups"),
    );
    head.lead[..1].make_ascii_uppercase();
    head.actions = vec![HeadAction::add("Add Signing Certificate", format!("{}/add", PLACE.address(customer)))];
    let others = usable(portal, session, customer).await?;
    let mut options = vec![(String::new(), "Choose a signing certificate".to_owned())];
    options.extend(others.iter().filter(|one| one.id != id).map(|one| (one.id.to_string(), one.name.to_string())));
    let hint = match options.len() {
        1 => "No other one can sign now. Add one first.",
        _ => "Those that can sign now. One that is below the same root needs nothing new where components are trusted.",
    };
    Ok(FormPage {
        frame: Frame::around(portal, visit, session, customer, PLACE, title).await?,
        head,
        form: Form::new(vec![Field::select(SUCCESSOR, "Replace it by", &visit.form, options).hint(hint)])
            .with_faults(faults),
        action: address(customer, id, "/replace"),
        hidden: Vec::new(),
        button: "Replace signing certificate",
        cancel: address(customer, id, ""),
    })
}
