//! `crls` and `crl_news`.

use super::connections::Connections;
use super::encoding::Count;
use super::errors::Error;
use super::session::{Mode, Row, Session};
use super::{StoreClock, changes};
use crate::clock::Timestamp;
use crate::domain::SerialNumber;
use crate::domain::revocation::{Crl, CrlHead, CrlNumber, RevokedCertificate};
use crate::id::{CustomerId, SigningCertificateId};
use crate::store::rows::CRL_HEAD as HEAD;
use crate::store::{ObjectRef, Revocations, StoreError, codes};

/// Entries that are read at once: some milliseconds of the thread that takes them.
const ENTRIES_AT_ONCE: usize = 5_000;

fn read_head(row: &Row) -> Result<CrlHead, Error> {
    Ok(CrlHead {
        customer_id: row.get(0)?,
        signing_certificate_id: row.get(1)?,
        number: row.get(2)?,
        this_update: row.get(3)?,
        next_update: row.get(4)?,
        entries: row.count(5)?,
    })
}

pub(super) async fn find_head(
    session: &Session,
    customer: CustomerId,
    signer: SigningCertificateId,
) -> Result<Option<CrlHead>, Error> {
    session
        .find(
            &format!("SELECT {HEAD} FROM crls WHERE customer_id = $1 AND signing_certificate_id = $2"),
            &[&customer, &signer],
            read_head,
        )
        .await
}

pub(super) async fn find(
    session: &Session,
    customer: CustomerId,
    signer: SigningCertificateId,
) -> Result<Option<Crl>, Error> {
    session
        .find(
            &format!("SELECT {HEAD}, der FROM crls WHERE customer_id = $1 AND signing_certificate_id = $2"),
            &[&customer, &signer],
            |row| Ok(Crl { head: read_head(row)?, der: row.get::<Vec<u8>>(6)?.into() }),
        )
        .await
}

pub(super) async fn list_with_news(session: &Session) -> Result<Vec<(CustomerId, SigningCertificateId)>, Error> {
    session
        .list(
            "SELECT DISTINCT customer_id, signing_certificate_id FROM crl_news
             ORDER BY customer_id, signing_certificate_id",
            &[],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .await
}

/// Consistent within the snapshot that the session has.
pub(super) async fn find_revocations(
    session: &Session,
    customer: CustomerId,
    signer: SigningCertificateId,
    now: Timestamp,
) -> Result<Revocations, Error> {
    let previous = find_head(session, customer, signer).await?;
    let news = session
        .list(
            "SELECT serial FROM crl_news WHERE customer_id = $1 AND signing_certificate_id = $2",
            &[&customer, &signer],
            |row| row.get(0),
        )
        .await?;
    let mut certificates: Vec<RevokedCertificate> = Vec::new();
    // No serial number is empty.
    let mut after: (Timestamp, Vec<u8>) = (previous.map_or(now, |previous| previous.this_update), Vec::new());
    loop {
        let part = session
            .list(
                "SELECT serial, status, status_at, reason, not_after FROM certificates
                 WHERE customer_id = $1 AND signing_certificate_id = $2 AND status IN (2, 3)
                     AND (not_after, serial) > ($3, $4)
                 ORDER BY not_after, serial LIMIT $5",
                &[&customer, &signer, &after.0, &after.1, &Count(ENTRIES_AT_ONCE)],
                |row| {
                    let reason = codes::crl_reason(row.get(1)?, row.get(3)?);
                    let not_after: Timestamp = row.get(4)?;
                    Ok((RevokedCertificate { serial: row.get(0)?, at: row.get(2)?, reason }, not_after))
                },
            )
            .await?;
        let is_last = part.len() < ENTRIES_AT_ONCE;
        if let Some((last, not_after)) = part.last() {
            after = (*not_after, last.serial.as_bytes().to_vec());
        }
        certificates.extend(part.into_iter().map(|(certificate, _)| certificate));
        if is_last {
            return Ok(Revocations { previous, certificates, news });
        }
    }
}

/// Compare and set on the number. `false`: nothing was written.
pub(super) async fn publish(
    connections: &Connections,
    clock: &StoreClock,
    crl: &Crl,
    after: Option<CrlNumber>,
    news: &[SerialNumber],
) -> Result<bool, StoreError> {
    let mut session = connections.get().await?;
    session.begin(Mode::Write).await?;
    if !replace(&session, clock, crl, after, news).await? {
        session.roll_back().await?;
        return Ok(false);
    }
    session.commit().await?;
    Ok(true)
}

async fn replace(
    session: &Session,
    clock: &StoreClock,
    crl: &Crl,
    after: Option<CrlNumber>,
    news: &[SerialNumber],
) -> Result<bool, Error> {
    let CrlHead { customer_id, signing_certificate_id, number, this_update, next_update, entries } = crl.head;
    // CRLs are replaced, and signing certificates deleted, one at a time.
    let (last, _) = changes::lock(session, clock).await?;
    let found = find_head(session, customer_id, signing_certificate_id).await?;
    let exists = session
        .exists(
            "SELECT 1 FROM signing_certificates WHERE customer_id = $1 AND id = $2",
            &[&customer_id, &signing_certificate_id],
        )
        .await?;
    if found.map(|found| found.number) != after || !exists {
        return Ok(false);
    }
    session
        .execute(
            &format!(
                "INSERT INTO crls ({HEAD}, der) VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (customer_id, signing_certificate_id) DO UPDATE SET number = excluded.number,
                     this_update = excluded.this_update, next_update = excluded.next_update,
                     entries = excluded.entries, der = excluded.der"
            ),
            &[
                &customer_id,
                &signing_certificate_id,
                &number,
                &this_update,
                &next_update,
                &Count(entries),
                &&crl.der[..],
            ],
        )
        .await?;
    session
        .execute(
            "DELETE FROM crl_news WHERE customer_id = $1 AND signing_certificate_id = $2 AND serial = ANY ($3)",
            &[&customer_id, &signing_certificate_id, &news],
        )
        .await?;
    changes::announce(session, last, &[ObjectRef::Crl(customer_id, signing_certificate_id)]).await?;
    Ok(true)
}

/// When its signing certificate goes.
pub(super) async fn delete(session: &Session, customer: CustomerId, signer: SigningCertificateId) -> Result<(), Error> {
    for table in ["crls", "crl_news"] {
        session
            .execute(
                &format!("DELETE FROM {table} WHERE customer_id = $1 AND signing_certificate_id = $2"),
                &[&customer, &signer],
            )
            .await?;
    }
    Ok(())
}
