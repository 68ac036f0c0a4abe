//! Groups of the four kinds.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::envelope::{Envelope, IdAndName};
use super::wire::group::{decode, encode};
use super::{Api, Call, actor};
use crate::management::Object;
use crate::management::groups::GroupView;
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.list_query()?;
    let page = api.management.list_groups(actor(session), call.customer()?, call.kind(), &query).await?;
    let rows = page.rows.iter().map(encode).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, &query)))
}

pub(super) async fn summary(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.list_query()?;
    let page = api.management.list_groups(actor(session), call.customer()?, call.kind(), &query).await?;
    let rows = page.rows.iter().map(|row| IdAndName { id: row.group.id, name: &row.group.name }).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, &query)))
}

pub(super) async fn create(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = decode(call.kind(), &call.members()?);
    let answer = |made: &GroupView| Answer::json(StatusCode::CREATED, &encode(made)).tagged(made.group.revision);
    let outcome = |made: &GroupView| answer(made).outcome(None);
    let request = call.request(session, &outcome);
    Ok(answer(&api.management.create_group(request, call.customer()?, call.kind(), input).await?))
}

pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let id = call.object(Object::Group)?;
    let found = api.management.find_group(actor(session), call.customer()?, call.kind(), id).await?;
    Ok(Answer::json(StatusCode::OK, &encode(&found)).tagged(found.group.revision))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Group)?);
    let input = decode(call.kind(), &call.members()?);
    let expected = call.expected_revision()?;
    let revision = api.management.edit_group(actor(session), customer, call.kind(), id, expected, &input).await?;
    Ok(Answer::empty().tagged(revision))
}

/// `?force=true`: with its keys and components.
pub(super) async fn delete(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::Group)?);
    let expected = call.expected_revision()?;
    if call.query.flag("force")? {
        api.management.delete_group_with_contents(actor(session), customer, call.kind(), id, expected).await?;
    } else {
        api.management.delete_group(actor(session), customer, call.kind(), id, expected).await?;
    }
    Ok(Answer::empty())
}
