//! Provisioning keys.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::envelope::Envelope;
use super::wire::key::{KeyBody, decode};
use super::{Api, Call, actor};
use crate::management::Object;
use crate::management::keys::KeyView;
use crate::management::once::Outcome;
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.list_query()?;
    let page = api.management.list_keys(actor(session), call.customer()?, call.kind(), &query).await?;
    let rows = page.rows.iter().map(KeyBody::new).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, &query)))
}

/// 200 and not 201, as the vendor was recorded to answer.
pub(super) async fn create(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = decode(&call.members()?);
    let request = call.request(session, &outcome);
    let made = api.management.create_key(request, call.customer()?, call.kind(), input).await?;
    Ok(made_answer(&KeyBody::new(&made), &made))
}

/// What a repetition is answered: a string that is never to be shown again is soon left out.
fn outcome(made: &KeyView) -> Outcome {
    let without_string = || made_answer(&KeyBody::new(made).without_string(), made);
    let lasting = (!made.key.is_exportable()).then(without_string);
    made_answer(&KeyBody::new(made), made).outcome(lasting.as_ref())
}

fn made_answer(body: &KeyBody<'_>, made: &KeyView) -> Answer {
    Answer::json(StatusCode::OK, body).tagged(made.key.revision)
}

pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let id = call.object(Object::ProvisioningKey)?;
    let found = api.management.find_key(actor(session), call.customer()?, call.kind(), id).await?;
    Ok(Answer::json(StatusCode::OK, &KeyBody::new(&found)).tagged(found.key.revision))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::ProvisioningKey)?);
    let input = decode(&call.members()?);
    let expected = call.expected_revision()?;
    let edited = api.management.edit_key(actor(session), customer, call.kind(), id, expected, &input).await?;
    Ok(Answer::empty().tagged(edited.key.revision))
}

pub(super) async fn delete(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::ProvisioningKey)?);
    let expected = call.expected_revision()?;
    api.management.delete_key(actor(session), customer, call.kind(), id, expected).await?;
    Ok(Answer::empty())
}
