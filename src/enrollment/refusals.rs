//! Counting the refusals of verified keys, for the key's page and its ledger.
//!
//! Counted in memory, handed to the store every few seconds: a refusal costs no disk write of its
//! own, and a flood of them is one row per key, code, source and minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::domain::address::SourcePrefix;
use crate::domain::ledger::RefusalTally;
use crate::domain::{Reference, Refusal, RefusalReason};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::store::{EnrollmentStore, StoreError};

/// Most rows waiting to be handed over. A flood beyond it is dropped: the log still has it.
const WAITING_MAX: usize = 10_000;

/// Refusals since the last hand-over. Shared in an `Arc`.
#[derive(Default)]
pub struct RefusalTallies {
    waiting: Mutex<HashMap<Row, (u64, Reference, RefusalReason)>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Row {
    customer_id: CustomerId,
    key_id: ProvisioningKeyId,
    refusal: Refusal,
    source: SourcePrefix,
    minute: Timestamp,
}

impl RefusalTallies {
    /// Counts one refusal.
    pub fn note(
        &self,
        (customer_id, key_id): (CustomerId, ProvisioningKeyId),
        (refusal, reason): (Refusal, RefusalReason),
        source: SourcePrefix,
        reference: Reference,
        now: Timestamp,
    ) {
        let minute = Timestamp::from_unix_seconds(now.unix_seconds().div_euclid(60) * 60);
        let row = Row { customer_id, key_id, refusal, source, minute };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX || waiting.contains_key(&row) {
            let count = waiting.get(&row).map_or(0, |(count, ..)| *count);
            waiting.insert(row, (count + 1, reference, reason));
        }
    }

    /// Hands what was counted to the store. What fails is lost, as the contract allows.
    ///
    /// # Errors
    /// The store's.
    pub async fn hand_over(&self, store: &dyn EnrollmentStore) -> Result<(), StoreError> {
        let counted = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if counted.is_empty() {
            return Ok(());
        }
        let tallies = counted
            .into_iter()
            .map(|(row, (count, last_reference, last_reason))| {
                let Row { customer_id, key_id, refusal, source, minute } = row;
                RefusalTally { customer_id, key_id, refusal, source, minute, count, last_reference, last_reason }
            })
            .collect();
        store.add_refusals(tallies).await
    }
}
