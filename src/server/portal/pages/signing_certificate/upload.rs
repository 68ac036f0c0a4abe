//! Uploading the certificate that an operator's CA made of a signing certificate's CSR.

use hyper::StatusCode;

use super::edit::other;
use super::{NAMES, PLACE, address, find};
use crate::domain::certificate::SigningState;
use crate::domain::{Revision, Role, SigningCertificate};
use crate::management::sessions::Session;
use crate::management::signing_certificates::SigningCertificateInput;
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{Faults, Field, Form, text};
use crate::server::portal::frame::Frame;
use crate::server::portal::head::{HeadAction, PageHead};
use crate::server::portal::object::{Edited, REVISION, revision};
use crate::server::portal::pages::signing_certificates::state_label;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words as say;

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    portal.management().authorise(&session.actor, visit.customer()?, Role::Admin).await?;
    let row = find(portal, visit, session).await?.certificate;
    let form = form(&Fields::default());
    Ok(Reply::ok(&page(portal, visit, session, &row, form, row.revision).await?))
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, values) = (visit.customer()?, visit.id()?, &visit.form);
    let expected = revision(visit)?;
    let (certificate, chain) = (values.text("certificate").trim(), values.text("chain").trim());
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else if certificate.is_empty() {
        Edited::Refused(Faults::of("certificate", "Certificate is missing."))
    } else {
        let input = SigningCertificateInput {
            certificate: text(certificate),
            chain: text(chain),
            ..SigningCertificateInput::default()
        };
        let result =
            portal.management().edit_signing_certificate(&session.actor, customer, id, Some(expected), &input).await;
        Edited::of(result, NAMES, values, "signing certificate")?
    };
    let found = find(portal, visit, session).await;
    if let (Edited::Done, Err(_)) = (&edited, &found) {
        // It has, whether or not it can be read.
        return Ok(Reply::see_other(address(customer, id, "")).with_notice("It", "has its certificate."));
    }
    let row = found?.certificate;
    let form = form(values);
    let (status, form, revision) = match edited {
        Edited::Done => {
            let sentence = match row.state(portal.now()) {
                SigningState::Active => format!("has its certificate and can sign until {}.", say::day(row.not_after)),
                other => format!("has its certificate. {}.", state_label(other)),
            };
            return Ok(Reply::see_other(address(customer, id, "")).with_notice(row.name.as_str(), sentence));
        }
        // There are no two versions of what was pasted: it goes on from the newer one.
        Edited::Outdated => {
            let sentence = other(portal, session, &row).await?.sentence;
            (StatusCode::CONFLICT, Form { conflict: Some(sentence), ..form }, row.revision)
        }
        Edited::Refused(faults) => {
            let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            (status, form.with_faults(&faults), expected)
        }
    };
    Ok(Reply::page(status, &page(portal, visit, session, &row, form, revision).await?))
}

fn form(values: &Fields) -> Form {
    Form::new(vec![
        Field::code("certificate", "Certificate", values, 10)
            .hint("PEM of the CA certificate that your CA made of the CSR; its issuers may follow it."),
        Field::code("chain", "Chain", values, 8)
            .hint("PEM of the issuers up to the root, where they do not follow the certificate.")
            .optional(),
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
    let title = format!("Upload the certificate of {}", row.name);
    let mut head = PageHead::below_place(row.customer_id, PLACE, &*title);
    head.lead = match &row.certificate {
        None => "It is tried out before it is stored: it signs a certificate of each kind, which another verifier \
                 checks."
            .to_owned(),
        Some(_) => "It takes the place of the present one, with the same key and the same subject, so that what was \
                    signed stays good. It is tried out before it is stored."
            .to_owned(),
    };
    if row.csr.is_some() {
        let csr = address(row.customer_id, row.id, "/request.pem");
        head.actions = vec![HeadAction::new("Download CSR", "download", csr)];
    }
    Ok(FormPage {
        frame: Frame::around(portal, visit, session, row.customer_id, PLACE, title).await?,
        head,
        form,
        action: address(row.customer_id, row.id, "/certificate"),
        hidden: vec![(REVISION, revision.0.to_string())],
        button: "Upload certificate",
        cancel: address(row.customer_id, row.id, ""),
    })
}
