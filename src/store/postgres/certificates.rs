//! `certificates`: every component certificate that left the process.

use tokio_postgres::types::ToSql;

use super::encoding::Count;
use super::errors::Error;
use super::session::{Row, Session};
use crate::clock::Timestamp;
use crate::domain::{CertificateRecord, RevocationReason, SerialNumber};
use crate::id::{ComponentId, CustomerId};
use crate::store::codes;
pub(super) use crate::store::rows::CERTIFICATE as COLUMNS;

/// The columns after those of [`COLUMNS`] begin here.
pub(super) const COLUMNS_END: usize = 13;

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
        status: codes::certificate_status(row.get(first + 9)?, row.get(first + 10)?, row.get(first + 12)?)?,
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

/// Newest first: of the current one and of those before it which end last, at most `limit`. Of those that were issued in
/// one second the current one is the newest, then what was replaced last.
pub(super) async fn list(
    session: &Session,
    customer: CustomerId,
    component: ComponentId,
    limit: u32,
) -> Result<Vec<CertificateRecord>, Error> {
    session
        .list(
            &format!(
                "SELECT {COLUMNS} FROM (
                     SELECT t.* FROM components p
                         JOIN certificates t ON t.customer_id = $1 AND t.serial = p.current_serial
                     WHERE p.customer_id = $1 AND p.id = $2 AND t.status = 1
                     UNION ALL
                     (SELECT * FROM certificates
                      WHERE customer_id = $1 AND component_id = $2 AND status <> 1 ORDER BY not_after DESC LIMIT $3)) c
                 ORDER BY issued_at DESC, status = 1 DESC, status_at DESC LIMIT $3"
            ),
            &[&customer, &component, &Count(limit)],
            |row| read(row, 0),
        )
        .await
}

/// Revokes the current certificates of a customer's components `p` that meet `condition`, and those that were renewed
/// and have not ended: they have the same key pair. Others keep the end they had.
///
/// The condition says `$2` for `id`.
pub(super) async fn revoke(
    session: &Session,
    customer: CustomerId,
    condition: &str,
    id: &(dyn ToSql + Sync),
    (at, reason): (Timestamp, RevocationReason),
) -> Result<(), Error> {
    let ended = |of: &str| {
        format!(
            "UPDATE certificates t SET status = 3, status_at = $3, reason = $4
             FROM components p
             WHERE p.customer_id = $1 AND {condition} AND t.customer_id = $1 AND {of}
             RETURNING t.signing_certificate_id, t.serial"
        )
    };
    session
        .execute(
            &format!(
                "WITH latest AS ({}),
                 renewed AS ({}),
                 gone AS (SELECT * FROM latest UNION ALL SELECT * FROM renewed)
                 {NEWS}",
                ended("t.serial = p.current_serial AND t.status = 1"),
                ended("t.component_id = p.id AND t.status = 4 AND t.not_after > $3"),
            ),
            &[&customer, id, &at, &reason],
        )
        .await?;
    Ok(())
}

/// Puts what is `gone`, certificates that go on a CRL now, into the news of CRLs: one for each signing certificate, as
/// all of a transaction come together.
pub(super) const NEWS: &str = "INSERT INTO crl_news (customer_id, signing_certificate_id, serial)
    SELECT DISTINCT ON (signing_certificate_id) $1, signing_certificate_id, serial FROM gone";
