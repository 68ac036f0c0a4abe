//! Version profiles: fixed answers. Muster updates nothing, but public clients look the ids up before
//! they make a group.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::envelope::Envelope;
use super::wire::version_profile::{DEFAULT, PROFILES, VersionProfileField};
use super::{Api, Call, actor};
use crate::domain::Role;
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    api.management.authorise(actor(session), call.customer()?, Role::Auditor).await?;
    let query = call.query.list_query()?;
    let page = query.select(PROFILES.iter().collect(), |profile, field: VersionProfileField| field.value_of(profile));
    Ok(Answer::json(StatusCode::OK, &Envelope::new(page.rows, page.total, &query)))
}

/// The profile of every customer.
pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    api.management.authorise(actor(session), call.customer()?, Role::Auditor).await?;
    Ok(Answer::json(StatusCode::OK, &DEFAULT))
}

/// Takes the profile that a customer has already, and no other: a change that is answered is a change
/// that was made.
pub(super) async fn choose(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    api.management.authorise(actor(session), call.customer()?, Role::Admin).await?;
    match PROFILES.iter().find(|profile| profile.id == call.path.id) {
        Some(profile) if profile.id == DEFAULT.id => Ok(Answer::empty()),
        Some(_) => Err(Refusal::NotOffered { reason: "software is not updated from here: the profile stays Default" }),
        None => Err(Refusal::NoSuchRoute),
    }
}
