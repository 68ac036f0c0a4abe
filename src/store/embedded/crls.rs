//! `crls`, and `crl_news`, which the database keeps by itself.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::changes;
use crate::clock::Timestamp;
use crate::domain::SerialNumber;
use crate::domain::revocation::{Crl, CrlHead, CrlNumber, RevokedCertificate};
use crate::id::{CustomerId, SigningCertificateId};
use crate::store::rows::CRL_HEAD as HEAD;
use crate::store::{ObjectRef, Revocations, codes};

fn read_head(row: &Row<'_>) -> rusqlite::Result<CrlHead> {
    Ok(CrlHead {
        customer_id: row.get(0)?,
        signing_certificate_id: row.get(1)?,
        number: row.get(2)?,
        this_update: row.get(3)?,
        next_update: row.get(4)?,
        entries: row.get(5)?,
    })
}

pub(super) fn find_head(
    connection: &Connection,
    customer: CustomerId,
    signer: SigningCertificateId,
) -> rusqlite::Result<Option<CrlHead>> {
    connection
        .prepare_cached(&format!("SELECT {HEAD} FROM crls WHERE customer_id = ?1 AND signing_certificate_id = ?2"))?
        .query_row(params![customer, signer], read_head)
        .optional()
}

pub(super) fn find(
    connection: &Connection,
    customer: CustomerId,
    signer: SigningCertificateId,
) -> rusqlite::Result<Option<Crl>> {
    connection
        .prepare_cached(&format!(
            "SELECT {HEAD}, der FROM crls WHERE customer_id = ?1 AND signing_certificate_id = ?2"
        ))?
        .query_row(params![customer, signer], |row| {
            Ok(Crl { head: read_head(row)?, der: row.get::<_, Vec<u8>>(6)?.into() })
        })
        .optional()
}

pub(super) fn list_with_news(connection: &Connection) -> rusqlite::Result<Vec<(CustomerId, SigningCertificateId)>> {
    connection
        .prepare_cached("SELECT customer_id, signing_certificate_id FROM crl_news")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Consistent within the read transaction that the connection is in.
pub(super) fn find_revocations(
    connection: &Connection,
    customer: CustomerId,
    signer: SigningCertificateId,
    now: Timestamp,
) -> rusqlite::Result<Revocations> {
    let previous = find_head(connection, customer, signer)?;
    let news = connection
        .prepare_cached("SELECT serial FROM crl_news WHERE customer_id = ?1 AND signing_certificate_id = ?2")?
        .query_map(params![customer, signer], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let since = previous.map_or(now, |previous| previous.this_update);
    let certificates = connection
        .prepare_cached(
            "SELECT serial, status, status_at, reason FROM certificates INDEXED BY certificates_revoked
             WHERE customer_id = ?1 AND signing_certificate_id = ?2 AND not_after >= ?3 AND status IN (2, 3)
             ORDER BY not_after, serial",
        )?
        .query_map(params![customer, signer, since], |row| {
            let reason = codes::crl_reason(row.get(1)?, row.get(3)?);
            Ok(RevokedCertificate { serial: row.get(0)?, at: row.get(2)?, reason })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Revocations { previous, certificates, news })
}

/// Compare and set on the number. `false`: nothing was written.
pub(super) fn publish(
    connection: &Connection,
    crl: &Crl,
    after: Option<CrlNumber>,
    news: &[SerialNumber],
) -> rusqlite::Result<bool> {
    let CrlHead { customer_id, signing_certificate_id, number, this_update, next_update, entries } = crl.head;
    let found = find_head(connection, customer_id, signing_certificate_id)?;
    if found.map(|found| found.number) != after || !exists(connection, customer_id, signing_certificate_id)? {
        return Ok(false);
    }
    connection
        .prepare_cached(&format!(
            "INSERT INTO crls ({HEAD}, der) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET number = excluded.number, this_update = excluded.this_update,
                 next_update = excluded.next_update, entries = excluded.entries, der = excluded.der"
        ))?
        .execute(params![
            customer_id,
            signing_certificate_id,
            number,
            this_update,
            next_update,
            entries,
            &crl.der[..],
        ])?;
    let mut told = connection.prepare_cached(
        "DELETE FROM crl_news WHERE customer_id = ?1 AND signing_certificate_id = ?2 AND serial = ?3",
    )?;
    for serial in news {
        told.execute(params![customer_id, signing_certificate_id, serial])?;
    }
    changes::announce(connection, &[ObjectRef::Crl(customer_id, signing_certificate_id)])?;
    Ok(true)
}

fn exists(connection: &Connection, customer: CustomerId, signer: SigningCertificateId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM signing_certificates WHERE id = ?1 AND customer_id = ?2")?
        .exists(params![signer, customer])
}

/// When its signing certificate goes.
pub(super) fn delete(
    connection: &Connection,
    customer: CustomerId,
    signer: SigningCertificateId,
) -> rusqlite::Result<()> {
    for table in ["crls", "crl_news"] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE customer_id = ?1 AND signing_certificate_id = ?2"))?
            .execute(params![customer, signer])?;
    }
    Ok(())
}
