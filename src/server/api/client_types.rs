//! Client types: a fixed answer. They are words of access policies, which Muster has none of, but public
//! clients read them at their start.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::client_type::ClientTypes;
use super::{Api, Call, actor};
use crate::domain::Role;
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    api.management.authorise(actor(session), call.customer()?, Role::Auditor).await?;
    Ok(Answer::json(StatusCode::OK, &ClientTypes))
}
