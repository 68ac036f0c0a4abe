//! The enrollment transaction: decides for good and writes, many enrollments at a time.
//!
//! A batch is walked key by key. Each key is read once and its counters are written once, however
//! many of the batch are its own. Nothing here begins or commits: `writer.rs` does.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::blocks::Counts;
use super::{certificates, encoding, errors, signing_certificates};
use crate::clock::Timestamp;
use crate::domain::certificate::PublicKeyHash;
use crate::domain::{Kind, Revision, SerialNumber};
use crate::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::store::codes;
use crate::store::encoding::Address;
use crate::store::{EnrollmentCommit, EnrollmentIntent, EnrollmentOutcome, SeenRevisions, StoreError};

/// Decides and writes every commit of `batch`; the outcomes stand in the same order.
///
/// Those of one key are decided in the order they came. A stored row that cannot be read is the
/// error ([`StoreError::Corrupt`]) of those that hang on it and of no others: reading comes before
/// writing, so nothing of theirs is in the transaction. An error of the whole means that the
/// transaction must be rolled back.
pub(super) fn record(
    connection: &Connection,
    now: Timestamp,
    batch: &[&EnrollmentCommit],
) -> rusqlite::Result<Vec<Decision>> {
    let mut statements = Statements::prepare(connection)?;
    let mut order: Vec<usize> = (0..batch.len()).collect();
    order.sort_by_key(|&position| batch[position].seen.key.0);

    let mut decisions: Vec<Decision> = batch.iter().map(|_| Ok(EnrollmentOutcome::Outdated)).collect();
    for of_one_key in order.chunk_by(|&a, &b| batch[a].seen.key.0 == batch[b].seen.key.0) {
        let mut key = match KeyRow::find(&mut statements, batch[of_one_key[0]].seen.key.0) {
            Ok(Some(key)) => key,
            Ok(None) => continue,
            Err(error) if errors::is_of_stored_value(&error) => {
                for &position in of_one_key {
                    decisions[position] = Err(StoreError::Corrupt { detail: error.to_string() });
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        for &position in of_one_key {
            decisions[position] = match key.take(&mut statements, now, batch[position]) {
                Err(error) if errors::is_of_stored_value(&error) => Err(error.into()),
                decided => Ok(decided?),
            };
        }
        key.write_counters(&mut statements)?;
    }
    statements.counts.write(connection)?;
    Ok(decisions)
}

/// What becomes of one enrollment of a batch, if the transaction commits.
type Decision = Result<EnrollmentOutcome, StoreError>;

/// What every batch runs, looked up once per batch.
struct Statements<'c> {
    connection: &'c Connection,
    find_key: CachedStatement<'c>,
    insert_component: CachedStatement<'c>,
    insert_certificate: CachedStatement<'c>,
    insert_use: CachedStatement<'c>,
    update_counters: CachedStatement<'c>,
    /// Components that the batch makes.
    counts: Counts,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            find_key: connection.prepare_cached(
                "SELECT k.customer_id, c.revision, k.group_id, g.revision, k.signing_certificate_id, s.revision,
                     k.revision, k.maximum, k.expires_at, k.kind, k.name,
                     n.uses, n.re_enrollments, n.last_ordinal, n.last_sequence, s.signed_until
                 FROM provisioning_keys k
                     JOIN key_counters n ON n.key_id = k.id
                     JOIN customers c ON c.id = k.customer_id
                     JOIN groups g ON g.id = k.group_id
                     JOIN signing_certificates s ON s.id = k.signing_certificate_id
                 WHERE k.id = ?1",
            )?,
            insert_component: connection.prepare_cached(
                "INSERT INTO components (id, customer_id, key_id, fingerprint, enabled, current_serial, revision, kind,
                     group_id, enrolled_key_id, ordinal, name, hostname, platform, software_version, remote_address,
                     enrolled_at, modified_at, description)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, 1, ?6, ?7, ?3, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, '')
                 ON CONFLICT (customer_id, key_id, fingerprint) WHERE deleted_at IS NULL DO NOTHING",
            )?,
            insert_certificate: certificates::prepare_insert(connection)?,
            insert_use: connection.prepare_cached(
                "INSERT INTO key_uses (customer_id, key_id, sequence, entry, at, component_id, address,
                     public_key_hash, serial)
                 VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8)",
            )?,
            update_counters: connection.prepare_cached(
                "UPDATE key_counters SET uses = ?2, re_enrollments = ?3, last_ordinal = ?4, last_sequence = ?5,
                     last_used_at = coalesce(?6, last_used_at), last_used_by = coalesce(?7, last_used_by)
                 WHERE key_id = ?1",
            )?,
            counts: Counts::default(),
        })
    }
}

/// A key and what it hangs on, as they are in this transaction; its counters run ahead of the row
/// until [`Self::write_counters`].
struct KeyRow {
    id: ProvisioningKeyId,
    customer: (CustomerId, Revision),
    group: (GroupId, Revision),
    signing_certificate: (SigningCertificateId, Revision),
    /// Of the signing certificate.
    signed_until: Option<Timestamp>,
    revision: Revision,
    maximum: Option<u32>,
    expires_at: Option<Timestamp>,
    kind: Kind,
    name: String,
    uses: u32,
    re_enrollments: u64,
    last_ordinal: u64,
    last_sequence: u64,
    last_used: Option<(Timestamp, ComponentId)>,
    is_changed: bool,
}

impl KeyRow {
    /// `None`: the key, or something that it hangs on, is gone.
    fn find(statements: &mut Statements<'_>, id: ProvisioningKeyId) -> rusqlite::Result<Option<Self>> {
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Self {
                id,
                customer: (row.get(0)?, row.get(1)?),
                group: (row.get(2)?, row.get(3)?),
                signing_certificate: (row.get(4)?, row.get(5)?),
                revision: row.get(6)?,
                maximum: encoding::maximum(row.get(7)?)?.map(std::num::NonZeroU32::get),
                expires_at: row.get(8)?,
                kind: row.get(9)?,
                name: row.get(10)?,
                uses: row.get(11)?,
                re_enrollments: row.get(12)?,
                last_ordinal: row.get(13)?,
                last_sequence: row.get(14)?,
                signed_until: row.get(15)?,
                last_used: None,
                is_changed: false,
            })
        };
        statements.find_key.query_row([id], read).optional()
    }

    /// The checks in the order that [`commit_enrollment`](crate::store::EnrollmentStore::commit_enrollment)
    /// promises, then the rows.
    fn take(
        &mut self,
        statements: &mut Statements<'_>,
        now: Timestamp,
        commit: &EnrollmentCommit,
    ) -> rusqlite::Result<EnrollmentOutcome> {
        if !self.is_as_seen(&commit.seen) {
            return Ok(EnrollmentOutcome::Outdated);
        }
        if self.expires_at.is_some_and(|end| now >= end) {
            return Ok(EnrollmentOutcome::Expired);
        }
        match commit.intent {
            EnrollmentIntent::Enroll { component } => self.enroll(statements, now, commit, component),
            EnrollmentIntent::ReEnroll { component, superseded } => {
                self.re_enroll(statements, now, commit, component, superseded)
            }
        }
    }

    fn is_as_seen(&self, seen: &SeenRevisions) -> bool {
        seen.customer == self.customer
            && seen.group == self.group
            && seen.signing_certificate == self.signing_certificate
            && seen.key.1 == self.revision
    }

    fn enroll(
        &mut self,
        statements: &mut Statements<'_>,
        now: Timestamp,
        commit: &EnrollmentCommit,
        component: ComponentId,
    ) -> rusqlite::Result<EnrollmentOutcome> {
        if self.maximum.is_some_and(|maximum| self.uses >= maximum) {
            // A taken fingerprint is told before an exhausted key: its device may be served yet.
            let is_known = statements
                .connection
                .prepare_cached(
                    "SELECT 1 FROM components
                     WHERE customer_id = ?1 AND key_id = ?2 AND fingerprint = ?3 AND deleted_at IS NULL",
                )?
                .exists(params![self.customer.0, self.id, commit.fingerprint])?;
            let exhausted = EnrollmentOutcome::Exhausted { uses: self.uses };
            return Ok(if is_known { EnrollmentOutcome::Known } else { exhausted });
        }
        let ordinal = self.last_ordinal + 1;
        let component_name = format!("{}-{ordinal}", self.name);
        let address = Address(commit.remote_address);
        // The unique index finds out whether (key, fingerprint) is free.
        let inserted = statements.insert_component.execute(params![
            component,
            self.customer.0,
            self.id,
            commit.fingerprint,
            commit.certificate.serial,
            self.kind,
            self.group.0,
            ordinal,
            component_name,
            commit.device.hostname,
            commit.device.platform,
            commit.device.software_version,
            address,
            now,
        ])?;
        if inserted == 0 {
            return Ok(EnrollmentOutcome::Known);
        }
        self.insert_certificate(statements, commit, component)?;
        statements.insert_use.execute(params![
            self.customer.0,
            self.id,
            self.last_sequence + 1,
            now,
            component,
            address,
            commit.certificate.public_key_hash,
            commit.certificate.serial,
        ])?;
        statements.counts.add(self.customer.0, self.kind, self.group.0, component, 1);
        self.uses += 1;
        self.last_ordinal = ordinal;
        self.last_sequence += 1;
        self.last_used = Some((now, component));
        self.is_changed = true;
        Ok(EnrollmentOutcome::Committed { component_name, uses: self.uses })
    }

    /// Compare and set on the component's current serial.
    fn re_enroll(
        &mut self,
        statements: &mut Statements<'_>,
        now: Timestamp,
        commit: &EnrollmentCommit,
        component: ComponentId,
        superseded: SerialNumber,
    ) -> rusqlite::Result<EnrollmentOutcome> {
        let connection = statements.connection;
        let before: Option<(String, Address, PublicKeyHash)> = connection
            .prepare_cached(
                "SELECT p.name, p.remote_address, t.public_key_hash
                 FROM components p
                     JOIN certificates t ON t.customer_id = p.customer_id AND t.component_id = p.id
                         AND t.serial = p.current_serial
                 WHERE p.id = ?1 AND p.customer_id = ?2 AND p.key_id = ?3 AND p.fingerprint = ?4
                     AND p.current_serial = ?5 AND p.enabled AND p.revoked_at IS NULL AND p.deleted_at IS NULL",
            )?
            .query_row(params![component, self.customer.0, self.id, commit.fingerprint, superseded], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((component_name, old_address, old_public_key_hash)) = before else {
            return Ok(EnrollmentOutcome::Known);
        };
        let new = &commit.certificate;
        let address = Address(commit.remote_address);
        certificates::end(connection, self.customer.0, (component, superseded), codes::SUPERSEDED, now)?;
        certificates::end_renewed(connection, self.customer.0, component, codes::SUPERSEDED, now)?;
        self.insert_certificate(statements, commit, component)?;
        connection
            .prepare_cached(
                "UPDATE components SET current_serial = ?2, previous_serial = NULL, remote_address = ?3, hostname = ?4,
                     platform = ?5, software_version = ?6
                 WHERE id = ?1",
            )?
            .execute(params![
                component,
                new.serial,
                address,
                commit.device.hostname,
                commit.device.platform,
                commit.device.software_version,
            ])?;
        connection
            .prepare_cached(
                "INSERT INTO key_uses (customer_id, key_id, sequence, entry, at, component_id, address,
                     public_key_hash, serial, old_address, old_public_key_hash, old_serial)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                self.customer.0,
                self.id,
                self.last_sequence + 1,
                codes::RE_ENROLLMENT,
                now,
                component,
                address,
                new.public_key_hash,
                new.serial,
                old_address,
                old_public_key_hash,
                superseded,
            ])?;
        self.re_enrollments += 1;
        self.last_sequence += 1;
        self.is_changed = true;
        Ok(EnrollmentOutcome::Committed { component_name, uses: self.uses })
    }

    fn insert_certificate(
        &mut self,
        statements: &mut Statements<'_>,
        commit: &EnrollmentCommit,
        component: ComponentId,
    ) -> rusqlite::Result<()> {
        let (signer, certificate) = (self.signing_certificate.0, &commit.certificate);
        let insert = &mut statements.insert_certificate;
        certificates::insert(insert, self.customer.0, (self.id, component, signer), certificate)?;
        signing_certificates::note_signed(statements.connection, signer, &mut self.signed_until, certificate.not_after)
    }

    fn write_counters(&self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        if !self.is_changed {
            return Ok(());
        }
        statements.update_counters.execute(params![
            self.id,
            self.uses,
            self.re_enrollments,
            self.last_ordinal,
            self.last_sequence,
            self.last_used.map(|(at, _)| at),
            self.last_used.map(|(_, by)| by),
        ])?;
        Ok(())
    }
}
