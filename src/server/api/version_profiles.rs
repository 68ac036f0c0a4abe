//! Version profiles: a fixed answer. Muster updates nothing, but public clients look the ids up before
//! they make a group.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::envelope::Envelope;
use super::wire::version_profile::{PROFILES, VersionProfileField};
use super::{Api, Call, actor};
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    api.management.find_customer(actor(session), call.customer()?).await?;
    let query = call.query.list_query()?;
    let page = query.select(PROFILES.iter().collect(), |profile, field: VersionProfileField| field.value_of(profile));
    Ok(Answer::json(StatusCode::OK, &Envelope::new(page.rows, page.total, &query)))
}
