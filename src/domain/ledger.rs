//! The ledger: what happened to a key's uses, row by row. The count is derived from it.

use std::net::IpAddr;

use super::certificate::PublicKeyHash;
use super::key::KeyName;
use super::{Reference, Refusal, RefusalReason, SerialNumber};
use crate::clock::Timestamp;
use crate::domain::address::SourcePrefix;
use crate::id::{ComponentId, CustomerId, ProvisioningKeyId};

/// One row of a key's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    pub customer_id: CustomerId,
    pub key_id: ProvisioningKeyId,
    /// 1, 2, 3… per key, without gaps.
    pub sequence: u64,
    pub at: Timestamp,
    pub entry: LedgerEntry,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerEntry {
    /// Purged rows folded into one: counts `uses`, for `re_enrollments` rows no longer there.
    Checkpoint { uses: u32, re_enrollments: u64 },
    /// A known device got a new certificate without taking a use. Old and new facts, because
    /// whoever holds the key string and knows a fingerprint can do this.
    ReEnrollment { component_id: ComponentId, old: Presence, new: Presence },
    /// One use given back by an administrator.
    Release { component_id: ComponentId },
    /// One deployment counted against the maximum.
    Use { component_id: ComponentId, device: Presence },
}

/// From where, with which key pair and under which certificate a device was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub address: IpAddr,
    pub public_key_hash: PublicKeyHash,
    pub serial: SerialNumber,
}

impl LedgerEntry {
    /// As people are told.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Checkpoint { .. } => "checkpoint",
            Self::ReEnrollment { .. } => "re-enrollment",
            Self::Release { .. } => "release",
            Self::Use { .. } => "use",
        }
    }

    /// Whose row it is; a checkpoint is of many.
    pub const fn component_id(&self) -> Option<ComponentId> {
        match self {
            Self::Checkpoint { .. } => None,
            Self::ReEnrollment { component_id, .. }
            | Self::Release { component_id }
            | Self::Use { component_id, .. } => Some(*component_id),
        }
    }

    /// What the row adds to the key's uses.
    pub fn uses_delta(&self) -> i64 {
        match self {
            Self::Checkpoint { uses, .. } => i64::from(*uses),
            Self::ReEnrollment { .. } => 0,
            Self::Release { .. } => -1,
            Self::Use { .. } => 1,
        }
    }
}

/// What happened within one hour, to one key or to all of a customer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourTally {
    /// Where the hour begins: a full hour of UTC.
    pub hour: Timestamp,
    /// Taken; those given back later are not taken off.
    pub uses: u64,
    /// Given back.
    pub releases: u64,
    pub re_enrollments: u64,
    pub refusals: u64,
}

impl HourTally {
    pub const fn empty(hour: Timestamp) -> Self {
        Self { hour, uses: 0, releases: 0, re_enrollments: 0, refusals: 0 }
    }
}

/// Refusals of one verified key: one row per key, code, source prefix and minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalTally {
    pub customer_id: CustomerId,
    pub key_id: ProvisioningKeyId,
    pub refusal: Refusal,
    pub source: SourcePrefix,
    /// Start of the minute.
    pub minute: Timestamp,
    pub count: u64,
    pub last_reference: Reference,
    pub last_reason: RefusalReason,
}

/// Refusals of all of a customer's keys for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalSum {
    pub refusal: Refusal,
    pub count: u64,
    /// Start of the minute of the last one.
    pub last_minute: Timestamp,
    /// The key that was refused most for it, and how often; `None`: no key that was is there any more.
    pub most_refused: Option<(KeyName, u64)>,
}
