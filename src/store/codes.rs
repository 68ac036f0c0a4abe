//! What stands for variants in columns, the names of the store's own settings, and bounds on rows, in both stores.

use super::encoding::{Unreadable, unreadable};
use crate::clock::Timestamp;
use crate::domain::CertificateStatus;

/// How [`CertificateStatus`] stands in its column.
pub(super) const CURRENT: i64 = 1;
pub(super) const SUPERSEDED: i64 = 2;
pub(super) const REVOKED: i64 = 3;

/// How [`LedgerEntry`](crate::domain::ledger::LedgerEntry) stands in its column.
pub(super) const USE: i64 = 1;
pub(super) const RE_ENROLLMENT: i64 = 2;
pub(super) const RELEASE: i64 = 3;
pub(super) const CHECKPOINT: i64 = 4;

/// The setting with the next id that was given to nobody.
pub(super) const NEXT_ID: &str = "store.next_id";

/// Ids below are left for rows that have fixed ones.
pub(super) const FIRST_ID: u64 = 1 << 16;

/// Refusal rows kept of one key: the newest.
pub(super) const REFUSALS_MAX: u32 = 1_000;

/// A status and since when: that is empty while the certificate is current.
pub(super) fn certificate_status(status: i64, at: Option<Timestamp>) -> Result<CertificateStatus, Unreadable> {
    match (status, at) {
        (CURRENT, _) => Ok(CertificateStatus::Current),
        (SUPERSEDED, Some(at)) => Ok(CertificateStatus::Superseded { at }),
        (REVOKED, Some(at)) => Ok(CertificateStatus::Revoked { at }),
        (other, _) => Err(unreadable("certificate status with its time", &other)),
    }
}
