//! Webhooks.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::envelope::Envelope;
use super::wire::webhook::{DeliveryBody, decode, encode, encode_new};
use super::{Api, Call, actor};
use crate::management::Object;
use crate::management::once::Outcome;
use crate::management::sessions::Session;
use crate::management::webhooks::NewWebhook;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.list_query()?;
    let page = api.management.list_webhooks(actor(session), call.customer()?, &query).await?;
    let rows = page.rows.iter().map(encode).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, &query)))
}

pub(super) async fn create(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = decode(&call.members()?);
    let request = call.request(session, &outcome);
    let made = api.management.create_webhook(request, call.customer()?, input).await?;
    Ok(Answer::json(StatusCode::CREATED, &encode_new(&made)).tagged(made.webhook.revision))
}

/// What a repetition is answered: the secret is soon left out.
fn outcome(made: &NewWebhook) -> Outcome {
    let answer = |body| Answer::json(StatusCode::CREATED, &body).tagged(made.webhook.revision);
    answer(encode_new(made)).outcome(Some(&answer(encode(&made.webhook))))
}

pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Webhook)?);
    let found = api.management.find_webhook(actor(session), customer, id).await?;
    Ok(Answer::json(StatusCode::OK, &encode(&found)).tagged(found.revision))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Webhook)?);
    let input = decode(&call.members()?);
    let expected = call.expected_revision()?;
    let revision = api.management.edit_webhook(actor(session), customer, id, expected, &input).await?;
    Ok(Answer::empty().tagged(revision))
}

pub(super) async fn delete(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Webhook)?);
    let expected = call.expected_revision()?;
    api.management.delete_webhook(actor(session), customer, id, expected).await?;
    Ok(Answer::empty())
}

pub(super) async fn deliveries(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Webhook)?);
    let page_request = call.query.page()?;
    let page = api.management.list_webhook_deliveries(actor(session), customer, id, page_request).await?;
    let rows = page.rows.iter().map(DeliveryBody::new).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, page_request)))
}

pub(super) async fn test(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Webhook)?);
    let delivery = api.management.test_webhook(actor(session), customer, id).await?;
    Ok(Answer::json(StatusCode::OK, &DeliveryBody::new(&delivery)))
}
