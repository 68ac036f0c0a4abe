//! Signing certificates: `enrollmentCert` to the public clients.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::envelope::Envelope;
use super::wire::signing_certificate::{SigningCertificateBody, decode_edit, decode_new};
use super::{Api, Call, actor};
use crate::management::sessions::Session;
use crate::management::{Input, Object};

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.list_query()?;
    let page = api.management.list_signing_certificates(actor(session), call.customer()?, &query).await?;
    let rows = page.rows.iter().map(SigningCertificateBody::new).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, &query)))
}

pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let id = call.object(Object::SigningCertificate)?;
    let found = api.management.find_signing_certificate(actor(session), call.customer()?, id).await?;
    Ok(Answer::json(StatusCode::OK, &SigningCertificateBody::new(&found)).tagged(found.certificate.revision))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::SigningCertificate)?);
    let input = decode_edit(&call.members()?);
    let expected = call.expected_revision()?;
    let edited = api.management.edit_signing_certificate(actor(session), customer, id, expected, &input).await?;
    Ok(Answer::empty().tagged(edited.certificate.revision))
}

/// `…/selfsigned/generate`: a root, whatever `parentCertId` says.
pub(super) async fn create_root(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let mut input = decode_new(&call.members()?);
    input.parent = Input::Absent;
    create(api, call, session, input).await
}

/// `…/enrollmentCert/generate`: one below `parentCertId`.
pub(super) async fn create_below(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let mut input = decode_new(&call.members()?);
    if matches!(input.parent, Input::Absent | Input::Cleared) {
        input.parent = Input::Malformed("is required; use selfsigned/generate to make a root");
    }
    create(api, call, session, input).await
}

async fn create(
    api: &Api,
    call: &Call,
    session: &Session,
    input: crate::management::signing_certificates::NewSigningCertificate,
) -> Result<Answer, Refusal> {
    let made = api.management.create_signing_certificate(actor(session), call.customer()?, input).await?;
    Ok(Answer::json(StatusCode::OK, &SigningCertificateBody::new(&made)).tagged(made.certificate.revision))
}
