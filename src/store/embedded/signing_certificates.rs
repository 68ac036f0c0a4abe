//! `signing_certificates`.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::errors::ApplyError;
use super::{crls, customers, groups, keys, lists};
use crate::clock::{DAY, Timestamp};
use crate::domain::{Revision, SigningCertificate};
use crate::id::{CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::store::encoding::Chain;
use crate::store::lists::{Dialect, List};
use crate::store::revisions::{next_revision, require_revision};
use crate::store::rows::SIGNING_CERTIFICATE as COLUMNS;
use crate::store::{
    BrokenRule, ListQuery, ObjectRef, Page, SigningCertificateField, SigningCertificateReferences,
    SigningCertificateReplacement,
};

fn read(row: &Row<'_>) -> rusqlite::Result<SigningCertificate> {
    let Chain(chain) = row.get(5)?;
    Ok(SigningCertificate {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        certificate: row.get(4)?,
        chain,
        sealed_private_key: row.get(6)?,
        csr: row.get(7)?,
        parent_id: row.get(8)?,
        allow_signing: row.get(9)?,
        lifetime_seconds: row.get(10)?,
        purpose: row.get(11)?,
        not_before: row.get(12)?,
        not_after: row.get(13)?,
        created_at: row.get(14)?,
        modified_at: row.get(15)?,
        modified_by: row.get(16)?,
        revision: row.get(17)?,
        public_key_hash: row.get(18)?,
    })
}

pub(super) fn find(
    connection: &Connection,
    customer: CustomerId,
    id: SigningCertificateId,
) -> rusqlite::Result<Option<SigningCertificate>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM signing_certificates WHERE id = ?1 AND customer_id = ?2"))?
        .query_row(params![id, customer], read)
        .optional()
}

pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    query: &ListQuery<SigningCertificateField>,
    now: Timestamp,
) -> rusqlite::Result<Page<SigningCertificate>> {
    let list = List::of_customer(COLUMNS, "signing_certificates", customer, Dialect::Sqlite { now });
    lists::page(connection, list, query, read)
}

pub(super) fn scan(
    connection: &Connection,
    after: SigningCertificateId,
    limit: u32,
) -> rusqlite::Result<Vec<SigningCertificate>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM signing_certificates WHERE id > ?1 ORDER BY id LIMIT ?2"))?
        .query_map(params![after, limit], read)?
        .collect()
}

pub(super) fn insert(connection: &Connection, row: &SigningCertificate) -> Result<ObjectRef, ApplyError> {
    customers::require(connection, row.customer_id, false)?;
    require_parent(connection, row)?;
    require_free_name(connection, row)?;
    require_free_key_pair(connection, row)?;
    connection
        .prepare_cached(
            "INSERT INTO signing_certificates (id, customer_id, revision, name, description, certificate, chain,
                 sealed_private_key, csr, parent_id, allow_signing, lifetime_seconds, purpose, not_before, not_after,
                 created_at, modified_at, modified_by, public_key_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params![
            row.id,
            row.customer_id,
            Revision::FIRST,
            row.name,
            row.description,
            row.certificate,
            Chain(row.chain.clone()),
            row.sealed_private_key,
            row.csr,
            row.parent_id,
            row.allow_signing,
            row.lifetime_seconds,
            row.purpose,
            row.not_before,
            row.not_after,
            row.created_at,
            row.modified_at,
            row.modified_by,
            row.public_key_hash,
        ])?;
    Ok(ObjectRef::SigningCertificate(row.customer_id, row.id))
}

pub(super) fn update(connection: &Connection, row: &SigningCertificate) -> Result<ObjectRef, ApplyError> {
    let found = connection
        .prepare_cached("SELECT revision FROM signing_certificates WHERE id = ?1 AND customer_id = ?2")?
        .query_row(params![row.id, row.customer_id], |row| row.get(0))
        .optional()?;
    let next = next_revision(found, row.revision)?;
    require_parent(connection, row)?;
    require_free_name(connection, row)?;
    require_free_key_pair(connection, row)?;
    connection
        .prepare_cached(
            "UPDATE signing_certificates SET revision = ?2, name = ?3, description = ?4, certificate = ?5, chain = ?6,
                 sealed_private_key = iif(?7, sealed_private_key, NULL), csr = ?8, parent_id = ?9, allow_signing = ?10, lifetime_seconds = ?11,
                 purpose = ?12, not_before = ?13, not_after = ?14, modified_at = ?15, modified_by = ?16,
                 public_key_hash = ?17
             WHERE id = ?1",
        )?
        .execute(params![
            row.id,
            next,
            row.name,
            row.description,
            row.certificate,
            Chain(row.chain.clone()),
            row.sealed_private_key.is_some(),
            row.csr,
            row.parent_id,
            row.allow_signing,
            row.lifetime_seconds,
            row.purpose,
            row.not_before,
            row.not_after,
            row.modified_at,
            row.modified_by,
            row.public_key_hash,
        ])?;
    Ok(ObjectRef::SigningCertificate(row.customer_id, row.id))
}

/// One that something refers to stays.
pub(super) fn delete(
    connection: &Connection,
    customer: CustomerId,
    id: SigningCertificateId,
    revision: Option<Revision>,
    at: Timestamp,
) -> Result<ObjectRef, ApplyError> {
    let found = connection
        .prepare_cached("SELECT revision FROM signing_certificates WHERE id = ?1 AND customer_id = ?2")?
        .query_row(params![id, customer], |row| row.get(0))
        .optional()?;
    require_revision(found.ok_or(BrokenRule::NotFound)?, revision)?;
    let references = find_references(connection, customer, id)?.ok_or(BrokenRule::NotFound)?;
    if let Some(by) = references.in_the_way(at) {
        return Err(BrokenRule::Referenced { by }.into());
    }
    connection.prepare_cached("DELETE FROM signing_certificates WHERE id = ?1")?.execute([id])?;
    crls::delete(connection, customer, id)?;
    Ok(ObjectRef::SigningCertificate(customer, id))
}

/// Puts one in the place of another; the keys and groups that have it now.
pub(super) fn replace(
    connection: &Connection,
    replacement: &SigningCertificateReplacement,
) -> Result<(Vec<ProvisioningKeyId>, Vec<GroupId>), ApplyError> {
    require(connection, replacement.customer, replacement.to)?;
    let keys = keys::replace_signing_certificate(connection, replacement)?;
    Ok((keys, groups::replace_signing_certificate(connection, replacement)?))
}

pub(super) fn find_references(
    connection: &Connection,
    customer: CustomerId,
    id: SigningCertificateId,
) -> rusqlite::Result<Option<SigningCertificateReferences>> {
    connection
        .prepare_cached(
            "SELECT (SELECT count(*) FROM provisioning_keys WHERE customer_id = ?2 AND signing_certificate_id = ?1),
                 (SELECT count(*) FROM groups WHERE customer_id = ?2 AND signing_certificate_id = ?1),
                 (SELECT count(*) FROM signing_certificates WHERE customer_id = ?2 AND parent_id = ?1),
                 signed_until
             FROM signing_certificates WHERE id = ?1 AND customer_id = ?2",
        )?
        .query_row(params![id, customer], |row| {
            Ok(SigningCertificateReferences {
                keys: row.get(0)?,
                groups: row.get(1)?,
                below: row.get(2)?,
                signed_until: row.get(3)?,
            })
        })
        .optional()
}

/// How far ahead [`note_signed`] writes, so that it seldom has to.
const SIGNED_AHEAD: Duration = DAY;

/// Notes that it signed a certificate that counts until `not_after`. `noted`: what stands in the row.
pub(super) fn note_signed(
    connection: &Connection,
    id: SigningCertificateId,
    noted: &mut Option<Timestamp>,
    not_after: Timestamp,
) -> rusqlite::Result<()> {
    if noted.is_some_and(|until| not_after <= until) {
        return Ok(());
    }
    let until = not_after.saturating_add(SIGNED_AHEAD);
    connection
        .prepare_cached("UPDATE signing_certificates SET signed_until = ?2 WHERE id = ?1")?
        .execute(params![id, until])?;
    *noted = Some(until);
    Ok(())
}

/// What groups and keys refer to.
pub(super) fn require(
    connection: &Connection,
    customer: CustomerId,
    id: SigningCertificateId,
) -> Result<(), ApplyError> {
    let exists = connection
        .prepare_cached("SELECT 1 FROM signing_certificates WHERE id = ?1 AND customer_id = ?2")?
        .exists(params![id, customer])?;
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "signing certificate" }.into()) }
}

fn require_parent(connection: &Connection, row: &SigningCertificate) -> Result<(), ApplyError> {
    row.parent_id.map_or(Ok(()), |parent| require(connection, row.customer_id, parent))
}

fn require_free_name(connection: &Connection, row: &SigningCertificate) -> Result<(), ApplyError> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM signing_certificates WHERE customer_id = ?1 AND name = ?2 AND id <> ?3")?
        .exists(params![row.customer_id, row.name, row.id])?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}

fn require_free_key_pair(connection: &Connection, row: &SigningCertificate) -> Result<(), ApplyError> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM signing_certificates WHERE public_key_hash = ?1 AND id <> ?2")?
        .exists(params![row.public_key_hash, row.id])?;
    if taken { Err(BrokenRule::DuplicateKeyPair.into()) } else { Ok(()) }
}
