//! The renewal part of a batch: a new certificate each for the holder of the one before. Nothing here begins or
//! commits: `writer.rs` does.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::{certificates, errors, signing_certificates};
use crate::clock::Timestamp;
use crate::domain::Revision;
use crate::store::codes;
use crate::store::encoding::Address;
use crate::store::{RenewalCommit, RenewalOutcome, StoreError};

/// As [`enroll::record`](super::enroll::record) does for enrollments.
pub(super) fn record(
    connection: &Connection,
    now: Timestamp,
    batch: &[&RenewalCommit],
) -> rusqlite::Result<Vec<Result<RenewalOutcome, StoreError>>> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let mut find = connection.prepare_cached(
        "SELECT p.revision, p.current_serial = ?3, p.enabled AND p.revoked_at IS NULL AND p.deleted_at IS NULL,
             p.key_id = ?4 AND p.group_id = ?5, c.revision, g.revision, s.revision, k.revision, s.signed_until
         FROM components p
             JOIN customers c ON c.id = p.customer_id
             JOIN groups g ON g.id = p.group_id
             JOIN signing_certificates s ON s.id = ?6
             LEFT JOIN provisioning_keys k ON k.id = p.key_id
         WHERE p.id = ?1 AND p.customer_id = ?2",
    )?;
    let decide = |commit: &&RenewalCommit| match renew(connection, &mut find, now, commit) {
        Err(error) if errors::is_of_stored_value(&error) => Ok(Err(error.into())),
        decided => decided.map(Ok),
    };
    batch.iter().map(decide).collect()
}

/// Compare and set on the component's current serial, and on whatever else the renewal was checked against.
fn renew(
    connection: &Connection,
    find: &mut CachedStatement<'_>,
    now: Timestamp,
    commit: &RenewalCommit,
) -> rusqlite::Result<RenewalOutcome> {
    let RenewalCommit { seen, certificate, .. } = commit;
    let (customer, component) = (seen.customer.0, seen.component.0);
    let signer = seen.signing_certificate.0;
    let values = params![component, customer, commit.replaced, seen.key.0, seen.group.0, signer];
    let Some(mut row) = find.query_row(values, Standing::read).optional()? else {
        return Ok(RenewalOutcome::Outdated);
    };
    if !row.is_as_seen(commit) {
        return Ok(RenewalOutcome::Outdated);
    }
    if now >= commit.good_until {
        return Ok(RenewalOutcome::Expired);
    }
    let status = if commit.is_rekey { codes::SUPERSEDED } else { codes::RENEWED };
    if commit.is_rekey {
        certificates::end_renewed(connection, customer, component, status, now)?;
    }
    certificates::end(connection, customer, (component, commit.replaced), status, now)?;
    let mut insert = certificates::prepare_insert(connection)?;
    certificates::insert(&mut insert, customer, (seen.key.0, component, signer), certificate)?;
    connection
        .prepare_cached(
            "UPDATE components SET current_serial = ?2, previous_serial = ?3, remote_address = ?4 WHERE id = ?1",
        )?
        .execute(params![component, certificate.serial, commit.replaced, Address(commit.remote_address)])?;
    signing_certificates::note_signed(connection, signer, &mut row.signed_until, certificate.not_after)?;
    Ok(RenewalOutcome::Committed)
}

/// A component and what its renewal hangs on, as they are in this transaction.
struct Standing {
    component: Revision,
    /// Of the certificate that is to be replaced.
    is_current: bool,
    is_good: bool,
    /// Key and group.
    is_where_it_was: bool,
    customer: Revision,
    group: Revision,
    signing_certificate: Revision,
    key: Option<Revision>,
    /// Of the signing certificate.
    signed_until: Option<Timestamp>,
}

impl Standing {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            component: row.get(0)?,
            is_current: row.get(1)?,
            is_good: row.get(2)?,
            is_where_it_was: row.get(3)?,
            customer: row.get(4)?,
            group: row.get(5)?,
            signing_certificate: row.get(6)?,
            key: row.get(7)?,
            signed_until: row.get(8)?,
        })
    }

    fn is_as_seen(&self, commit: &RenewalCommit) -> bool {
        let seen = &commit.seen;
        self.is_current
            && self.is_good
            && self.is_where_it_was
            && self.component == seen.component.1
            && self.customer == seen.customer.1
            && self.group == seen.group.1
            && self.signing_certificate == seen.signing_certificate.1
            && self.key == seen.key.1
    }
}
