//! The audit log.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::audit_event::encode;
use super::wire::envelope::Envelope;
use super::{Api, Call, actor};
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.audit_query()?;
    let page = api.management.list_audit_events(actor(session), call.customer_or_service()?, &query).await?;
    let rows = page.rows.iter().map(encode).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, query.page)))
}

/// A bounded piece of the chain, oldest first. One goes on with `after` = the `sequence` of the last line,
/// until an answer has none.
pub(super) async fn export(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let (after, limit) = call.query.export_bounds()?;
    let customer = call.customer_or_service()?;
    let rows = api.management.export_audit_events(actor(session), customer, after, limit).await?;
    Ok(Answer::json_lines(rows.iter().map(encode)))
}
