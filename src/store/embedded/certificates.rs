//! `certificates`: every component certificate that left the process.

use rusqlite::types::FromSqlError;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, ToSql, params};

use crate::clock::Timestamp;
use crate::domain::{CertificateRecord, IssuedCertificate, RevocationReason, SerialNumber};
use crate::id::{ComponentId, CustomerId, ProvisioningKeyId, SigningCertificateId};
use crate::store::codes;
use crate::store::rows::CERTIFICATE as COLUMNS;

fn read(row: &Row<'_>) -> rusqlite::Result<CertificateRecord> {
    let status = codes::certificate_status(row.get(9)?, row.get(10)?, row.get(12)?).map_err(FromSqlError::from)?;
    Ok(CertificateRecord {
        serial: row.get(0)?,
        customer_id: row.get(1)?,
        component_id: row.get(2)?,
        key_id: row.get(11)?,
        signing_certificate_id: row.get(3)?,
        der: row.get(4)?,
        public_key_hash: row.get(5)?,
        issued_at: row.get(6)?,
        not_before: row.get(7)?,
        not_after: row.get(8)?,
        status,
    })
}

pub(super) fn find(
    connection: &Connection,
    customer: CustomerId,
    component: ComponentId,
    serial: SerialNumber,
) -> rusqlite::Result<Option<CertificateRecord>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM certificates WHERE customer_id = ?1 AND component_id = ?2 AND serial = ?3"
        ))?
        .query_row(params![customer, component, serial], read)
        .optional()
}

/// Newest first: of the current one and of those before it which end last, at most `limit`.
pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    component: ComponentId,
    limit: u32,
) -> rusqlite::Result<Vec<CertificateRecord>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM (
                 SELECT t.rowid AS place, t.* FROM components p
                     JOIN certificates t ON t.customer_id = p.customer_id AND t.component_id = p.id
                         AND t.serial = p.current_serial
                 WHERE p.id = ?2 AND p.customer_id = ?1 AND t.status = 1
                 UNION ALL
                 SELECT * FROM (
                     SELECT rowid AS place, * FROM certificates INDEXED BY certificates_past
                     WHERE customer_id = ?1 AND component_id = ?2 AND status <> 1 ORDER BY not_after DESC LIMIT ?3))
             ORDER BY place DESC LIMIT ?3"
        ))?
        .query_map(params![customer, component, limit], read)?
        .collect()
}

/// For [`insert`].
pub(super) fn prepare_insert(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(
        "INSERT INTO certificates (customer_id, key_id, component_id, serial, status, signing_certificate_id,
             public_key_hash, issued_at, not_before, not_after, der)
         VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
}

/// As the component's current one.
pub(super) fn insert(
    prepared: &mut CachedStatement<'_>,
    customer: CustomerId,
    (key, component, signer): (ProvisioningKeyId, ComponentId, SigningCertificateId),
    certificate: &IssuedCertificate,
) -> rusqlite::Result<()> {
    prepared.execute(params![
        customer,
        key,
        component,
        certificate.serial,
        signer,
        certificate.public_key_hash,
        certificate.issued_at,
        certificate.not_before,
        certificate.not_after,
        certificate.der,
    ])?;
    Ok(())
}

/// Ends a certificate that is current; others keep the end they had.
pub(super) fn end(
    connection: &Connection,
    customer: CustomerId,
    (component, serial): (ComponentId, SerialNumber),
    status: i64,
    at: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE certificates SET status = ?4, status_at = ?5
             WHERE customer_id = ?1 AND component_id = ?2 AND serial = ?3 AND status = 1",
        )?
        .execute(params![customer, component, serial, status, at])?;
    Ok(())
}

/// Ends those that had the key pair of the current one before it and have not ended by themselves.
pub(super) fn end_renewed(
    connection: &Connection,
    customer: CustomerId,
    component: ComponentId,
    status: i64,
    at: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE certificates INDEXED BY certificates_past SET status = ?3, status_at = ?4
             WHERE customer_id = ?1 AND component_id = ?2 AND not_after > ?4 AND status <> 1 AND status = 4",
        )?
        .execute(params![customer, component, status, at])?;
    Ok(())
}

/// Revokes the current certificates of a customer's components `p` that meet `condition`, and those that were renewed
/// and have not ended: they have the same key pair. Others keep the end they had.
///
/// The condition numbers its `values` from 4 on.
pub(super) fn revoke(
    connection: &Connection,
    customer: CustomerId,
    condition: &str,
    values: &[&dyn ToSql],
    (at, reason): (Timestamp, RevocationReason),
) -> rusqlite::Result<()> {
    let bound: Vec<&dyn ToSql> =
        [&customer as &dyn ToSql, &at, &reason].into_iter().chain(values.iter().copied()).collect();
    connection
        .prepare_cached(&format!(
            "UPDATE certificates SET status = 3, status_at = ?2, reason = ?3
             FROM (SELECT p.id FROM components p WHERE p.customer_id = ?1 AND {condition}) AS p
             WHERE customer_id = ?1 AND component_id = p.id AND (status = 1 OR status = 4 AND not_after > ?2)"
        ))?
        .execute(&*bound)?;
    Ok(())
}
