//! Version profiles: a fixed answer. Muster updates nothing, but public clients look the ids up before
//! they make a group.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::envelope::Envelope;
use super::wire::version_profile::PROFILES;
use super::{Api, Call, actor};
use crate::management::sessions::Session;
use crate::store::{ListQuery, NameFilter};

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    api.management.find_customer(actor(session), call.customer()?).await?;
    let query = call.query.list_query()?;
    let matching: Vec<_> = PROFILES.iter().filter(|profile| is_wanted(&query, profile.name)).collect();
    let total = matching.len() as u64;
    let page = matching.into_iter().skip(usize::try_from(query.offset).unwrap_or(usize::MAX));
    let rows = page.take(query.limit as usize).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, total, &query)))
}

/// What a store does for the lists that it keeps.
fn is_wanted(query: &ListQuery, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    query.filter.iter().all(|filter| match filter {
        NameFilter::Contains(text) => name.contains(&text.to_ascii_lowercase()),
        NameFilter::EndsWith(text) => name.ends_with(&text.to_ascii_lowercase()),
        NameFilter::Equals(text) => name == text.to_ascii_lowercase(),
        NameFilter::NotEquals(text) => name != text.to_ascii_lowercase(),
        NameFilter::StartsWith(text) => name.starts_with(&text.to_ascii_lowercase()),
    })
}
