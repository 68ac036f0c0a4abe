//! Failed sign-ins of known administrators, counted until they are written down.
//!
//! Whoever sends wrong passwords must not be able to fill the audit log, nor learn from the time of an
//! answer that a user name exists because its failure is written down. So failures are counted in memory
//! and become one event per administrator, the first within a minute and then at most four an hour. Counts
//! that were not written yet are lost in a crash.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::{CommitError, Error, Management, Object};
use crate::clock::Timestamp;
use crate::domain::address::SourcePrefix;
use crate::domain::audit::AuditEvent;
use crate::domain::{Actor, Administrator};
use crate::id::{AdministratorId, CustomerId};

/// Between two events about the same administrator.
const WRITTEN_EVERY: Duration = Duration::from_secs(900);

/// As many administrators at most as there are.
#[derive(Default)]
pub(super) struct FailedSignIns(Mutex<HashMap<AdministratorId, Counted>>);

#[derive(Default)]
struct Counted {
    pending: Option<Tally>,
    written_at: Option<Timestamp>,
}

/// Failures of one administrator that no event tells of.
#[derive(Clone, Debug)]
struct Tally {
    customer: CustomerId,
    username: String,
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    last_source: SourcePrefix,
}

impl FailedSignIns {
    pub(super) fn note(&self, administrator: &Administrator, source: SourcePrefix, now: Timestamp) {
        let mut counted = self.lock();
        let pending = &mut counted.entry(administrator.id).or_default().pending;
        let tally = pending.get_or_insert_with(|| Tally {
            customer: administrator.customer_id,
            username: administrator.username.as_str().to_owned(),
            count: 0,
            first_at: now,
            last_at: now,
            last_source: source,
        });
        tally.count += 1;
        (tally.last_at, tally.last_source) = (now, source);
    }

    /// What is due, or all. It counts as written from now on.
    fn take(&self, now: Timestamp, which: Which) -> Vec<(AdministratorId, Tally)> {
        let mut counted = self.lock();
        let mut due = Vec::new();
        counted.retain(|id, counted| {
            let rests = counted.written_at.is_some_and(|at| now.since(at) < WRITTEN_EVERY) && which == Which::Due;
            if !rests {
                counted.written_at = None;
                if let Some(tally) = counted.pending.take() {
                    counted.written_at = Some(now);
                    due.push((*id, tally));
                }
            }
            counted.written_at.is_some()
        });
        due
    }

    /// It could not be written; failures that came meanwhile are added to it.
    fn put_back(&self, tallies: Vec<(AdministratorId, Tally)>) {
        let mut counted = self.lock();
        for (id, mut tally) in tallies {
            let entry = counted.entry(id).or_default();
            entry.written_at = None;
            if let Some(newer) = entry.pending.take() {
                tally.count += newer.count;
                (tally.last_at, tally.last_source) = (newer.last_at, newer.last_source);
            }
            entry.pending = Some(tally);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AdministratorId, Counted>> {
        // A tally is changed in one step, so whoever panicked left whole ones.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which failures are to be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All: the process is about to end.
    All,
    /// Those of administrators about whom nothing was written of late.
    Due,
}

impl Management {
    /// Writes failed sign-ins into the audit log, one event per administrator. To be called every minute
    /// or so, and at the end.
    ///
    /// # Errors
    /// Outages; the failures are kept for the next call.
    pub async fn write_failed_sign_ins(&self, which: Which) -> Result<(), Error> {
        let now = self.now();
        let due = self.failed_sign_ins.take(now, which);
        if due.is_empty() {
            return Ok(());
        }
        let events = due.iter().map(|(id, tally)| event(*id, tally, now)).collect();
        match self.store().commit_changes(Vec::new(), events, &self.parts.audit_key).await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.failed_sign_ins.put_back(due);
                Err(CommitError::from(error).about(Object::Administrator, "", ""))
            }
        }
    }
}

/// Whoever tried is not known, so the service tells it.
fn event(id: AdministratorId, tally: &Tally, now: Timestamp) -> AuditEvent {
    let told = json!({
        "count": tally.count,
        "firstAt": tally.first_at,
        "lastAt": tally.last_at,
        "lastSource": tally.last_source.to_string(),
    });
    let object = (Object::Administrator.as_str(), id.to_string(), tally.username.as_str());
    let event = AuditEvent::new(&Actor::system(), tally.customer, now, "sign-in-failed", object);
    AuditEvent { after: Some(told.to_string()), ..event }
}
