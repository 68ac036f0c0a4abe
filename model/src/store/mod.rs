//! What the files under test name of the room `store`, and the two of them that are in it.

use std::time::Duration;

use crate::id::{CustomerId, ProvisioningKeyId};

#[path = "../../../src/store/jobs.rs"]
#[allow(dead_code, reason = "the stores use more of it")]
mod jobs;

pub mod embedded;

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the queue is full ({waiting} waiting)")]
    Overloaded { waiting: usize },
    #[error("{reason}")]
    Unavailable { reason: String },
}

#[derive(Clone, Copy)]
pub struct BatchSettings {
    pub size_max: usize,
    pub linger: Duration,
    pub queue_max: usize,
}

pub struct Seen {
    pub customer: (CustomerId, u64),
    pub key: (ProvisioningKeyId, u64),
}

pub struct EnrollmentCommit {
    pub seen: Seen,
}

pub struct RenewalCommit {
    pub seen: Seen,
}

#[derive(Debug, PartialEq, Eq)]
pub enum EnrollmentOutcome {
    Committed { uses: u64 },
}

#[derive(Debug, PartialEq, Eq)]
pub enum RenewalOutcome {
    Committed,
    Outdated,
}
