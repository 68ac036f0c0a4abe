//! Clean-up schedules: one per kind, so the list of them is the object itself.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::clean_up::{CleanUpScheduleBody, decode};
use super::{Api, Call, actor};
use crate::domain::CleanUpSchedule;
use crate::management::Object;
use crate::management::sessions::Session;

pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let found = api.management.find_clean_up_schedule(actor(session), call.customer()?, call.kind()).await?;
    Ok(Answer::json(StatusCode::OK, &CleanUpScheduleBody::new(&found)).tagged(found.revision))
}

pub(super) async fn create(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = decode(&call.members()?);
    let answer = |made: &CleanUpSchedule| {
        Answer::json(StatusCode::CREATED, &CleanUpScheduleBody::new(made)).tagged(made.revision)
    };
    let outcome = |made: &CleanUpSchedule| answer(made).outcome(None);
    let request = call.request(session, &outcome);
    Ok(answer(&api.management.create_clean_up_schedule(request, call.customer()?, call.kind(), input).await?))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (customer, id) = (call.customer()?, call.object(Object::CleanUpSchedule)?);
    let input = decode(&call.members()?);
    let expected = call.expected_revision()?;
    let management = &api.management;
    let revision =
        management.edit_clean_up_schedule(actor(session), customer, call.kind(), id, expected, &input).await?;
    Ok(Answer::empty().tagged(revision))
}
