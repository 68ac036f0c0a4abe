//! Provisioning keys.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::envelope::Envelope;
use super::wire::key::{KeyBody, decode, take_string};
use super::wire::{key_bulk, key_check, key_history};
use super::{Api, Call, actor};
use crate::management::Object;
use crate::management::keys::KeyView;
use crate::management::keys::bulk::BulkResult;
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

/// What a repetition is answered. The string is soon left out of it: whether it may be seen at all can be
/// changed in the meantime, and who may see it reads the key.
fn outcome(made: &KeyView) -> Outcome {
    let lasting = made.string.as_ref().map(|_| made_answer(&KeyBody::new(made).without_string(), made));
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
    let revision = api.management.edit_key(actor(session), customer, call.kind(), id, expected, &input).await?;
    Ok(Answer::empty().tagged(revision))
}

pub(super) async fn delete(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::ProvisioningKey)?);
    let expected = call.expected_revision()?;
    let revoke = call.query.flag("revoke")?;
    api.management.delete_key(actor(session), customer, call.kind(), id, expected, revoke).await?;
    Ok(Answer::empty())
}

/// A bare array, and all of it: the clients that ask for it know no pages here.
pub(super) async fn list_of_group(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let group = call.object(Object::Group)?;
    let keys = api.management.list_keys_of_group(actor(session), call.customer()?, call.kind(), group).await?;
    let rows: Vec<_> = keys.iter().map(KeyBody::new).collect();
    Ok(Answer::json(StatusCode::OK, &rows))
}

/// 200 as [`create`] answers, without the string that the caller has.
pub(super) async fn import(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let mut members = call.members()?;
    let string = take_string(&mut members);
    let input = decode(&members);
    let request = call.request(session, &outcome);
    let made = api.management.import_key(request, call.customer()?, call.kind(), string, input).await?;
    Ok(made_answer(&KeyBody::new(&made), &made))
}

/// Answers the successor.
pub(super) async fn rotate(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::ProvisioningKey)?);
    let name = call.members()?.text("name");
    let expected = call.expected_revision()?;
    let request = call.request(session, &outcome);
    let made = api.management.rotate_key(request, customer, call.kind(), id, expected, &name).await?;
    Ok(made_answer(&KeyBody::new(&made), &made))
}

pub(super) async fn export(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let id = call.object(Object::ProvisioningKey)?;
    let exported = api.management.export_key(actor(session), call.customer()?, call.kind(), id).await?;
    Ok(Answer::text_file(&exported.name, exported.string.expose()))
}

pub(super) async fn uses(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::ProvisioningKey)?);
    let page_request = call.query.page()?;
    let page = api.management.list_key_uses(actor(session), customer, call.kind(), id, page_request).await?;
    let rows = page.rows.iter().map(key_history::UseBody::new).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, page_request)))
}

pub(super) async fn refusals(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::ProvisioningKey)?);
    let page_request = call.query.page()?;
    let tallies = api.management.list_key_refusals(actor(session), customer, call.kind(), id).await?;
    let skipped = usize::try_from(page_request.offset).unwrap_or(usize::MAX);
    let page = tallies.iter().skip(skipped).take(page_request.limit as usize);
    let rows = page.map(key_history::RefusalBody::new).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, tallies.len() as u64, page_request)))
}

/// Whatever kind stands in the path: who checks a key often does not know which it is.
pub(super) async fn check(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let string = take_string(&mut call.members()?);
    let check = api.management.check_key(actor(session), call.customer()?, string).await?;
    Ok(Answer::json(StatusCode::OK, &key_check::CheckBody::new(&check)))
}

pub(super) async fn bulk(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = key_bulk::decode(&call.members()?);
    let results = api.management.bulk_keys(actor(session), call.customer()?, call.kind(), input).await?;
    let told = |result: BulkResult| key_bulk::ResultBody::new(result.id, result.outcome, &call.reference);
    let results = results.into_iter().map(told).collect();
    Ok(Answer::json(StatusCode::OK, &key_bulk::BulkBody { results }))
}
