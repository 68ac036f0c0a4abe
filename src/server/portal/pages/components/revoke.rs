//! Revoking a component: it ends, and its row keeps the device out.

use super::address;
use super::edit::refuse_unless_allowed;
use crate::domain::RevocationReason;
use crate::id::ComponentId;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::ask::Confirmation;
use crate::server::portal::form::{self, Field, Form};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::words as say;

pub(in crate::server::portal) async fn ask_to_revoke(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    refuse_unless_allowed(session)?;
    let (customer, kind) = (visit.customer()?, visit.kind());
    let component =
        portal.management().find_component(&session.actor, customer, kind, visit.id::<ComponentId>()?).await?.component;
    let question = format!("Revoke {}?", component.name);
    let reasons =
        RevocationReason::CHOICES.map(|reason| (reason.as_str().to_owned(), say::revocation_reason(reason).to_owned()));
    let hint = "It stands on the CRL, for those who check its certificate.";
    let confirmation = Confirmation {
        frame: Frame::around(portal, visit, session, customer, Place::Components(kind), question.as_str()).await?,
        question,
        sentences: vec![
            "Its certificate is revoked at once and goes on the CRL.".to_owned(),
            "Its device is kept out: it neither renews nor enrolls again with this key until it is deleted here."
                .to_owned(),
            "A certificate that is revoked stays so. To stop it for a while, disable it.".to_owned(),
        ],
        form: Form::new(vec![Field::select("reason", "Reason", &visit.form, reasons).hint(hint)]),
        action: address(&component, "/revoke"),
        hidden: Vec::new(),
        button: super::button(
            kind,
            ["Revoke connector", "Revoke service edge", "Revoke network connector", "Revoke machine"],
        ),
        is_destructive: true,
        cancel: address(&component, ""),
    };
    Ok(Reply::ok(&confirmation))
}

pub(in crate::server::portal) async fn revoke(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    if visit.is_shown_again {
        return ask_to_revoke(portal, visit, session).await;
    }
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    let id: ComponentId = visit.id()?;
    // Before: a read that failed after it would be told as a revocation that was not made.
    let component = management.find_component(actor, customer, kind, id).await?.component;
    management.revoke_component(actor, customer, kind, id, None, form::text(visit.form.text("reason"))).await?;
    let sentence = "was revoked. Delete it to let its device enroll again.";
    Ok(Reply::see_other(address(&component, "")).with_notice(component.name, sentence))
}
