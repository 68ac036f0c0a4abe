//! Administrators, their sessions, and changing one's own password.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::administrator::{
    AdministratorBody, decode, decode_password_change, encode, encode_new, encode_session,
};
use super::wire::envelope::Envelope;
use super::{Api, Call, actor};
use crate::management::Object;
use crate::management::administrators::NewAdministrator;
use crate::management::once::Outcome;
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.list_query()?;
    let page = api.management.list_administrators(actor(session), call.customer_or_service()?, &query).await?;
    let rows = page.rows.iter().map(encode).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, &query)))
}

pub(super) async fn create(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = decode(&mut call.members()?);
    let request = call.request(session, &outcome);
    let made = api.management.create_administrator(request, call.customer_or_service()?, input).await?;
    Ok(made_answer(&encode_new(&made), &made))
}

/// What a repetition is answered: a password that was generated is soon left out.
fn outcome(made: &NewAdministrator) -> Outcome {
    let lasting = made.password.is_some().then(|| made_answer(&encode(&made.administrator), made));
    made_answer(&encode_new(made), made).outcome(lasting.as_ref())
}

fn made_answer(body: &AdministratorBody<'_>, made: &NewAdministrator) -> Answer {
    Answer::json(StatusCode::CREATED, body).tagged(made.administrator.revision)
}

pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::Administrator)?);
    let found = api.management.find_administrator(actor(session), customer, id).await?;
    Ok(Answer::json(StatusCode::OK, &encode(&found)).tagged(found.revision))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::Administrator)?);
    let input = decode(&mut call.members()?);
    let expected = call.expected_revision()?;
    let revision = api.management.edit_administrator(actor(session), customer, id, expected, &input).await?;
    Ok(Answer::empty().tagged(revision))
}

pub(super) async fn delete(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::Administrator)?);
    let expected = call.expected_revision()?;
    api.management.delete_administrator(actor(session), customer, id, expected).await?;
    Ok(Answer::empty())
}

/// `{"currentPassword", "newPassword"}`. The token that asks is dead afterwards, as all of them.
pub(super) async fn change_password(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::Administrator)?);
    let change = decode_password_change(&mut call.members()?);
    api.management.change_password(actor(session), customer, id, change, call.address).await?;
    Ok(Answer::empty())
}

pub(super) async fn list_sessions(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::Administrator)?);
    let page_request = call.query.page()?;
    let page = api.management.list_sessions(actor(session), customer, id, page_request).await?;
    let rows = page.rows.iter().map(|row| encode_session(row, session.id())).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, page_request)))
}

pub(super) async fn end_session(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::Administrator)?);
    api.management.end_session(actor(session), customer, id, &call.path.session).await?;
    Ok(Answer::empty())
}
