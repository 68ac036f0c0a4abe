//! What stands for variants in columns, the names of the store's own settings, and bounds on rows, in both stores.

use super::encoding::{Unreadable, unreadable};
use crate::clock::Timestamp;
use crate::domain::{CertificateStatus, RevocationReason};

/// How [`CertificateStatus`] stands in its column.
pub(super) const CURRENT: i64 = 1;
pub(super) const SUPERSEDED: i64 = 2;
pub(super) const REVOKED: i64 = 3;
pub(super) const RENEWED: i64 = 4;

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

/// A status, since when (empty while the certificate is current), and why it was revoked.
pub(super) fn certificate_status(
    status: i64,
    at: Option<Timestamp>,
    reason: Option<RevocationReason>,
) -> Result<CertificateStatus, Unreadable> {
    match (status, at) {
        (CURRENT, _) => Ok(CertificateStatus::Current),
        (SUPERSEDED, Some(at)) => Ok(CertificateStatus::Superseded { at }),
        (REVOKED, Some(at)) => Ok(CertificateStatus::Revoked { at, reason: reason.unwrap_or_default() }),
        (RENEWED, Some(at)) => Ok(CertificateStatus::Renewed { at }),
        (other, _) => Err(unreadable("certificate status with its time", &other)),
    }
}

/// What an entry of a CRL gives as the reason of a certificate with this status.
pub(super) fn crl_reason(status: i64, reason: Option<RevocationReason>) -> RevocationReason {
    if status == SUPERSEDED { RevocationReason::Superseded } else { reason.unwrap_or_default() }
}
