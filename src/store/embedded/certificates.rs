//! `certificates`: every component certificate that left the process.

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::clock::Timestamp;
use crate::domain::{CertificateRecord, SerialNumber};
use crate::id::{ComponentId, CustomerId};
use crate::store::codes;
use crate::store::rows::CERTIFICATE as COLUMNS;

fn read(row: &Row<'_>) -> rusqlite::Result<CertificateRecord> {
    let status = codes::certificate_status(row.get(9)?, row.get(10)?).map_err(FromSqlError::from)?;
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
