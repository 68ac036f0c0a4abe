//! The service's peppers: what is under which, and their rotation.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::pepper::PeppersBody;
use super::{Api, Call, actor};
use crate::management::peppers::{PepperReport, PepperStep};
use crate::management::sessions::Session;

pub(super) async fn get(api: &Api, _call: &Call, session: &Session) -> Result<Answer, Refusal> {
    Ok(answer(&api.management.find_peppers(actor(session)).await?))
}

pub(super) async fn rotate(api: &Api, _call: &Call, session: &Session) -> Result<Answer, Refusal> {
    Ok(answer(&api.management.take_pepper_step(actor(session), PepperStep::Rotate).await?))
}

pub(super) async fn finish(api: &Api, _call: &Call, session: &Session) -> Result<Answer, Refusal> {
    Ok(answer(&api.management.take_pepper_step(actor(session), PepperStep::Finish).await?))
}

fn answer(report: &PepperReport) -> Answer {
    Answer::json(StatusCode::OK, &PeppersBody::new(report))
}
