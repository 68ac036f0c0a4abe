//! `sessions`.

use super::administrators;
use super::errors::{ApplyError, Error};
use super::session::{Row, Session};
use crate::clock::Timestamp;
use crate::domain::{Revision, SessionRecord};
use crate::id::{AdministratorId, CustomerId};
use crate::store::encoding::Address;
use crate::store::rows::SESSION as COLUMNS;
use crate::store::{BrokenRule, Page, PageRequest};

fn read(row: &Row) -> Result<SessionRecord, Error> {
    let remote_address: Option<Address> = row.get(6)?;
    Ok(SessionRecord {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        administrator_id: row.get(2)?,
        created_at: row.get(3)?,
        expires_at: row.get(4)?,
        ended_at: row.get(5)?,
        remote_address: remote_address.map(|address| address.0),
        user_agent: row.get(7)?,
    })
}

/// Over all customers.
pub(super) async fn find(session: &Session, id: &str) -> Result<Option<SessionRecord>, Error> {
    session.find(&format!("SELECT {COLUMNS} FROM sessions WHERE id = $1"), &[&id], read).await
}

/// Those that are good at `now`, newest first.
pub(super) async fn list(
    session: &Session,
    customer: CustomerId,
    administrator: AdministratorId,
    now: Timestamp,
    page: PageRequest,
) -> Result<Page<SessionRecord>, Error> {
    let live = "customer_id = $1 AND administrator_id = $2 AND ended_at IS NULL AND expires_at > $3";
    let total = session
        .row(&format!("SELECT count(*) FROM sessions WHERE {live}"), &[&customer, &administrator, &now])
        .await?
        .count(0)?;
    let (limit, offset) = page.bounds();
    let rows = session
        .list(
            &format!("SELECT {COLUMNS} FROM sessions WHERE {live} ORDER BY created_at DESC, id LIMIT $4 OFFSET $5"),
            &[&customer, &administrator, &now, &i64::from(limit), &offset],
            read,
        )
        .await?;
    Ok(Page { rows, total })
}

/// Of an administrator, whose sign-in it notes.
pub(super) async fn insert(session: &Session, row: &SessionRecord, revision: Revision) -> Result<(), ApplyError> {
    let id = row.administrator_id.ok_or(BrokenRule::UnknownReference { what: "administrator" })?;
    administrators::note_sign_in(session, row.customer_id, id, revision, row.created_at).await?;
    write(session, row).await?;
    Ok(())
}

/// What was ended stays so from the first time.
pub(super) async fn end(session: &Session, row: &SessionRecord, at: Timestamp) -> Result<(), Error> {
    write(session, &SessionRecord { ended_at: Some(at), ..row.clone() }).await
}

pub(super) async fn end_of(
    session: &Session,
    customer: CustomerId,
    administrator: AdministratorId,
    at: Timestamp,
) -> Result<(), Error> {
    session
        .execute(
            "UPDATE sessions SET ended_at = $3
             WHERE customer_id = $1 AND administrator_id = $2 AND ended_at IS NULL",
            &[&customer, &administrator, &at],
        )
        .await?;
    Ok(())
}

pub(super) async fn end_all(session: &Session, at: Timestamp) -> Result<(), Error> {
    session.execute("UPDATE sessions SET ended_at = $1 WHERE ended_at IS NULL", &[&at]).await?;
    Ok(())
}

async fn write(session: &Session, row: &SessionRecord) -> Result<(), Error> {
    session
        .execute(
            "INSERT INTO sessions (id, customer_id, administrator_id, created_at, expires_at, ended_at, remote_address,
                 user_agent)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (id) DO UPDATE SET ended_at = coalesce(sessions.ended_at, excluded.ended_at)",
            &[
                &row.id,
                &row.customer_id,
                &row.administrator_id,
                &row.created_at,
                &row.expires_at,
                &row.ended_at,
                &row.remote_address.map(Address),
                &row.user_agent,
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn sweep(session: &Session, now: Timestamp) -> Result<(), Error> {
    session.execute("DELETE FROM sessions WHERE expires_at <= $1", &[&now]).await?;
    Ok(())
}
