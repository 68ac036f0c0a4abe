//! Signing certificates: `enrollmentCert` to the public clients.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::envelope::Envelope;
use super::wire::signing_certificate::{
    DeletionBody, PKIX_CRL, SigningCertificateBody, decode_edit, decode_import, decode_new, decode_replacement,
    decode_request,
};
use super::{Api, Call, actor};
use crate::management::sessions::Session;
use crate::management::signing_certificates::{NewSigningCertificate, SigningCertificateView};
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
    Ok(answer(StatusCode::OK, &found))
}

/// As the enrollment listener serves it.
pub(super) async fn crl(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::SigningCertificate)?);
    let found = api.management.find_crl(actor(session), customer, id).await?;
    Ok(Answer::bytes(PKIX_CRL, found.der))
}

/// An import: certificate, issuers and private key.
pub(super) async fn import(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = decode_import(&mut call.members()?);
    let outcome = |made: &SigningCertificateView| answer(StatusCode::CREATED, made).outcome(None);
    let request = call.request(session, &outcome);
    let made = api.management.import_signing_certificate(request, call.customer()?, input).await?;
    Ok(answer(StatusCode::CREATED, &made))
}

/// `…/csr/generate`: a key pair made here, for a certificate that an [`edit`] will bring.
pub(super) async fn request(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = decode_request(&call.members()?);
    let outcome = |made: &SigningCertificateView| answer(StatusCode::OK, made).outcome(None);
    let request = call.request(session, &outcome);
    let made = api.management.request_signing_certificate(request, call.customer()?, input).await?;
    Ok(answer(StatusCode::OK, &made))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::SigningCertificate)?);
    let input = decode_edit(&call.members()?);
    let expected = call.expected_revision()?;
    let revision = api.management.edit_signing_certificate(actor(session), customer, id, expected, &input).await?;
    Ok(Answer::empty().tagged(revision))
}

/// `{"enrollmentCertId"}`: what its keys and groups have from then on.
pub(super) async fn replace(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::SigningCertificate)?);
    let successor = decode_replacement(&call.members()?);
    api.management.replace_signing_certificate(actor(session), customer, id, successor).await?;
    Ok(Answer::empty())
}

/// With `dryRun=true` it says what a deletion would meet, and deletes nothing.
pub(super) async fn delete(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::SigningCertificate)?);
    if call.query.flag("dryRun")? {
        let preview = api.management.preview_signing_certificate_deletion(actor(session), customer, id).await?;
        return Ok(Answer::json(StatusCode::OK, &DeletionBody::new(&preview)));
    }
    api.management.delete_signing_certificate(actor(session), customer, id, call.expected_revision()?).await?;
    Ok(Answer::empty())
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

async fn create(api: &Api, call: &Call, session: &Session, input: NewSigningCertificate) -> Result<Answer, Refusal> {
    let outcome = |made: &SigningCertificateView| answer(StatusCode::OK, made).outcome(None);
    let request = call.request(session, &outcome);
    let made = api.management.create_signing_certificate(request, call.customer()?, input).await?;
    Ok(answer(StatusCode::OK, &made))
}

fn answer(status: StatusCode, view: &SigningCertificateView) -> Answer {
    Answer::json(status, &SigningCertificateBody::new(view)).tagged(view.certificate.revision)
}
