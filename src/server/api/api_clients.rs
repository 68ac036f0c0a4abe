//! API clients.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::api_client::{ApiClientBody, decode, encode, encode_new};
use super::wire::envelope::Envelope;
use super::{Api, Call, actor};
use crate::management::Object;
use crate::management::api_clients::NewSecret;
use crate::management::once::Outcome;
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.list_query()?;
    let page = api.management.list_api_clients(actor(session), call.customer_or_service()?, &query).await?;
    let rows = page.rows.iter().map(encode).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, &query)))
}

pub(super) async fn create(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = decode(&call.members()?);
    let outcome = |made: &NewSecret| outcome(StatusCode::CREATED, made);
    let request = call.request(session, &outcome);
    let made = api.management.create_api_client(request, call.customer_or_service()?, input).await?;
    Ok(made_answer(StatusCode::CREATED, &encode_new(&made), &made))
}

/// What a repetition is answered: the secret is soon left out.
fn outcome(status: StatusCode, made: &NewSecret) -> Outcome {
    let lasting = made_answer(status, &encode(&made.client), made);
    made_answer(status, &encode_new(made), made).outcome(Some(&lasting))
}

fn made_answer(status: StatusCode, body: &ApiClientBody<'_>, made: &NewSecret) -> Answer {
    Answer::json(status, body).tagged(made.client.revision)
}

pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::ApiClient)?);
    let found = api.management.find_api_client(actor(session), customer, id).await?;
    Ok(Answer::json(StatusCode::OK, &encode(&found)).tagged(found.revision))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::ApiClient)?);
    let input = decode(&call.members()?);
    let expected = call.expected_revision()?;
    let revision = api.management.edit_api_client(actor(session), customer, id, expected, &input).await?;
    Ok(Answer::empty().tagged(revision))
}

/// The new secret is shown in the answer and never again.
pub(super) async fn replace_secret(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::ApiClient)?);
    let expected = call.expected_revision()?;
    let outcome = |made: &NewSecret| outcome(StatusCode::OK, made);
    let made = api.management.replace_secret(call.request(session, &outcome), customer, id, expected).await?;
    Ok(made_answer(StatusCode::OK, &encode_new(&made), &made))
}

pub(super) async fn delete(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer_or_service()?, call.object(Object::ApiClient)?);
    let expected = call.expected_revision()?;
    api.management.delete_api_client(actor(session), customer, id, expected).await?;
    Ok(Answer::empty())
}
