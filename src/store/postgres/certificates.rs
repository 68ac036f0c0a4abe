//! `certificates`: every component certificate that left the process.

use super::errors::Error;
use super::session::{Row, Session, columns_of};
use crate::clock::Timestamp;
use crate::domain::{CertificateRecord, SerialNumber};
use crate::id::{ComponentId, CustomerId};
use crate::store::codes;
pub(super) use crate::store::rows::CERTIFICATE as COLUMNS;

/// From [`COLUMNS`], which begin at column `first`.
pub(super) fn read(row: &Row, first: usize) -> Result<CertificateRecord, Error> {
    Ok(CertificateRecord {
        serial: row.get(first)?,
        customer_id: row.get(first + 1)?,
        component_id: row.get(first + 2)?,
        key_id: row.get(first + 11)?,
        signing_certificate_id: row.get(first + 3)?,
        der: row.get(first + 4)?,
        public_key_hash: row.bytes(first + 5)?,
        issued_at: row.get(first + 6)?,
        not_before: row.get(first + 7)?,
        not_after: row.get(first + 8)?,
        status: codes::certificate_status(row.get(first + 9)?, row.get(first + 10)?)?,
    })
}

pub(super) async fn find(
    session: &Session,
    customer: CustomerId,
    component: ComponentId,
    serial: SerialNumber,
) -> Result<Option<CertificateRecord>, Error> {
    session
        .find(
            &format!("SELECT {COLUMNS} FROM certificates WHERE customer_id = $1 AND component_id = $2 AND serial = $3"),
            &[&customer, &component, &serial],
            |row| read(row, 0),
        )
        .await
}

/// In the order of `serials`.
pub(super) async fn find_many(
    session: &Session,
    customer: CustomerId,
    component: ComponentId,
    serials: &[SerialNumber],
) -> Result<Vec<CertificateRecord>, Error> {
    session
        .list(
            &format!(
                "SELECT {} FROM unnest($3::bytea[]) WITH ORDINALITY AS asked (serial, place)
                     JOIN certificates t ON t.customer_id = $1 AND t.component_id = $2 AND t.serial = asked.serial
                 ORDER BY asked.place",
                columns_of("t", COLUMNS)
            ),
            &[&customer, &component, &serials],
            |row| read(row, 0),
        )
        .await
}

/// Ends a certificate that is current; others keep the end they had.
pub(super) async fn end(
    session: &Session,
    customer: CustomerId,
    serial: SerialNumber,
    status: i64,
    at: Timestamp,
) -> Result<(), Error> {
    session
        .execute(
            "UPDATE certificates SET status = $3, status_at = $4 WHERE customer_id = $1 AND serial = $2 AND status = 1",
            &[&customer, &serial, &status, &at],
        )
        .await?;
    Ok(())
}
