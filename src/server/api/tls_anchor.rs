//! The service's TLS trust anchor: what it is, and its roll.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::tls_anchor::TlsAnchorBody;
use super::{Api, Call, actor};
use crate::management::sessions::Session;
use crate::management::tls_anchor::{RollStep, TlsAnchor};

pub(super) async fn get(api: &Api, _call: &Call, session: &Session) -> Result<Answer, Refusal> {
    Ok(answer(&api.management.find_tls_anchor(actor(session)).await?))
}

pub(super) async fn roll(api: &Api, _call: &Call, session: &Session) -> Result<Answer, Refusal> {
    Ok(answer(&api.management.roll_tls_anchor(actor(session), RollStep::Roll).await?))
}

pub(super) async fn finish(api: &Api, _call: &Call, session: &Session) -> Result<Answer, Refusal> {
    Ok(answer(&api.management.roll_tls_anchor(actor(session), RollStep::Finish).await?))
}

fn answer(anchor: &TlsAnchor) -> Answer {
    Answer::json(StatusCode::OK, &TlsAnchorBody::new(anchor))
}
