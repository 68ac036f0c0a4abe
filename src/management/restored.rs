//! A store that was taken out of a backup, before anybody serves from it. No door leads here: it takes the store itself.
//!
//! What happened after the backup is unknown to it, and must not be contradicted: an id that was given out then is in
//! certificates out there, a session that was ended then must not come to life again. Serial numbers are random, and CRL
//! numbers follow the clock, so both go on above what was given out.

use serde_json::json;

use super::first_start::sealed;
use super::{CommitError, Error, Object};
use crate::auth::TokenKey;
use crate::clock::{Clock, Timestamp};
use crate::domain::Actor;
use crate::domain::audit::{AuditEvent, AuditKey};
use crate::domain::places;
use crate::id::CustomerId;
use crate::secret::master::MasterKeys;
use crate::secret::random_bytes;
use crate::store::{Change, Store};

/// Ids that are left out at least: more than a service gives out between a backup and its loss.
const IDS_LEFT_OUT: u64 = 1 << 32;

/// Ids begin here, or above, in a store that is restored now: each hour has its own, and each restoration in it a place of its
/// own, so that a backup that is restored twice gives out other ids each time. 2²¹ hours have room in 53 bits.
fn first_id(now: Timestamp) -> u64 {
    const Y2020: i64 = 1_577_836_800;
    let hours = u64::try_from((now.unix_seconds() - Y2020) / 3_600).unwrap_or(0);
    (hours << 32) + u64::from(u32::from_le_bytes(*random_bytes()) >> 1)
}

/// What a store was restored from.
pub struct Origin {
    /// When the backup was made.
    pub made_at: Timestamp,
    /// Lower-case hex.
    pub digest: String,
}

/// Leaves out ids that may have been given out since, makes a new key for access tokens, ends all sessions, and writes the
/// restoration into the service's audit log. Done again it does so again.
///
/// # Errors
/// Outages.
pub async fn settle(
    store: &dyn Store,
    master_keys: &MasterKeys,
    audit_key: &AuditKey,
    clock: &dyn Clock,
    origin: &Origin,
) -> Result<(), Error> {
    let now = clock.now();
    let next = store.reserve_ids(IDS_LEFT_OUT).await? + IDS_LEFT_OUT;
    if let Some(more @ 1..) = first_id(now).checked_sub(next) {
        store.reserve_ids(more).await?;
    }
    let token_key = sealed(&places::token_key(), &*TokenKey::generate(), master_keys);
    let changes = vec![Change::PutSecret(token_key), Change::EndSessionsOfAll { at: now }];
    let object = (Object::Service.as_str(), String::new(), "");
    let event = AuditEvent {
        after: Some(json!({ "backupMadeAt": origin.made_at, "backupDigest": origin.digest }).to_string()),
        ..AuditEvent::new(&Actor::system(), CustomerId::SERVICE, now, "restore", object)
    };
    let committed = store.commit_changes(changes, vec![event], audit_key).await;
    committed.map(drop).map_err(|error| CommitError::from(error).about(Object::Service, "", ""))
}
