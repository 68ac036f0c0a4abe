//! Components of the four kinds.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::component::{PEM, decode, encode};
use super::wire::envelope::Envelope;
use super::{Api, Call, actor};
use crate::ca::certificate_pem;
use crate::management::Object;
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.list_query()?;
    let page = api.management.list_components(actor(session), call.customer()?, call.kind(), &query).await?;
    let rows = page.rows.iter().map(encode).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, &query)))
}

pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let id = call.object(Object::Component)?;
    let found = api.management.find_component(actor(session), call.customer()?, call.kind(), id).await?;
    Ok(Answer::json(StatusCode::OK, &encode(&found)).tagged(found.component.revision))
}

/// The component's own certificate alone, as text.
pub(super) async fn certificate(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let id = call.object(Object::Component)?;
    let customer = call.customer()?;
    let found = api.management.find_component_certificate(actor(session), customer, call.kind(), id).await?;
    Ok(Answer::text(PEM, certificate_pem(&found.der)))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Component)?);
    let input = decode(&call.members()?);
    let expected = call.expected_revision()?;
    let revision = api.management.edit_component(actor(session), customer, call.kind(), id, expected, &input).await?;
    Ok(Answer::empty().tagged(revision))
}

/// `{"reason":"…"}`, or nothing.
pub(super) async fn revoke(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Component)?);
    let (reason, expected) = (call.members()?.text("reason"), call.expected_revision()?);
    api.management.revoke_component(actor(session), customer, call.kind(), id, expected, reason).await?;
    Ok(Answer::empty())
}

/// `?releaseUse=true` gives the use back.
pub(super) async fn delete(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Component)?);
    let (expected, release_use) = (call.expected_revision()?, call.query.flag("releaseUse")?);
    api.management.delete_component(actor(session), customer, call.kind(), id, expected, release_use).await?;
    Ok(Answer::empty())
}

/// `{"ids":["…"]}`; 204, as all public clients accept it.
pub(super) async fn delete_many(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let ids = call.members()?.ids("ids");
    api.management.delete_components(actor(session), call.customer()?, call.kind(), ids).await?;
    Ok(Answer::empty())
}
