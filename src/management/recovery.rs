//! A way back in when no owner can sign in any more. No door leads here: it takes the store itself.

use zeroize::Zeroizing;

use super::signing_certificates::off_the_async_threads;
use super::{CommitError, Error, Object, audited};
use crate::auth::password;
use crate::clock::Clock;
use crate::domain::Actor;
use crate::domain::audit::AuditKey;
use crate::id::CustomerId;
use crate::store::{Change, ListQuery, PageRequest, Store};

/// An owner's new password. Shown once, kept nowhere. No `Debug`.
pub struct Recovered {
    pub username: String,
    pub password: Zeroizing<String>,
}

pub enum Outcome {
    Recovered(Recovered),
    /// The first 500 user names there are.
    NoSuchOwner {
        owners: Vec<String>,
    },
}

/// Gives the owner of this name, or the first one there is, a new password, enables it and ends its
/// sessions; one transaction with its audit event.
///
/// # Errors
/// Outages.
pub async fn recover_owner(
    store: &dyn Store,
    audit_key: &AuditKey,
    clock: &dyn Clock,
    username: Option<&str>,
) -> Result<Outcome, Error> {
    let owners = store.list_administrators(CustomerId::SERVICE, &ListQuery::first(PageRequest::LIMIT_MAX)).await?.rows;
    let is_meant = |name: &str| username.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name));
    let Some(before) = owners.iter().find(|owner| is_meant(owner.username.as_str())) else {
        let owners = owners.iter().map(|owner| owner.username.as_str().to_owned()).collect();
        return Ok(Outcome::NoSuchOwner { owners });
    };
    let new_password = password::generate();
    let hashing = new_password.clone();
    let mut after = before.clone();
    after.password_hash = off_the_async_threads(move || Ok(password::hash(&hashing)?)).await?;
    let (system, now) = (Actor::system(), clock.now());
    after.enabled = true;
    (after.modified_at, after.modified_by) = (now, system.row_id());
    let mut events = vec![audited::done("recover", &system, now, before)];
    if !before.enabled {
        events.push(audited::updated(&system, now, before, &after));
    }
    let end = Change::EndSessionsOf { customer: CustomerId::SERVICE, administrator: before.id, at: now };
    let username = before.username.as_str().to_owned();
    match store.commit_changes(vec![Change::UpdateAdministrator(after), end], events, audit_key).await {
        Ok(_) => Ok(Outcome::Recovered(Recovered { username, password: new_password })),
        Err(error) => Err(CommitError::from(error).about(Object::Administrator, before.id, &username)),
    }
}
