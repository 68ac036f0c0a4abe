//! `sessions`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::administrators;
use super::errors::ApplyError;
use crate::clock::Timestamp;
use crate::domain::{Revision, SessionRecord};
use crate::id::{AdministratorId, CustomerId};
use crate::store::encoding::Address;
use crate::store::rows::SESSION as COLUMNS;
use crate::store::{BrokenRule, Page, PageRequest};

fn read(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
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
pub(super) fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<SessionRecord>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// Those that are good at `now`, newest first.
pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    administrator: AdministratorId,
    now: Timestamp,
    page: PageRequest,
) -> rusqlite::Result<Page<SessionRecord>> {
    let live = "customer_id = ?1 AND administrator_id = ?2 AND ended_at IS NULL AND expires_at > ?3";
    let of = params![customer, administrator, now];
    let total = connection
        .prepare_cached(&format!("SELECT count(*) FROM sessions WHERE {live}"))?
        .query_row(of, |row| row.get(0))?;
    let (limit, offset) = page.bounds();
    let rows = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM sessions WHERE {live} ORDER BY created_at DESC, id LIMIT {limit} OFFSET {offset}"
        ))?
        .query_map(of, read)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Page { rows, total })
}

/// Of an administrator, whose sign-in it notes.
pub(super) fn insert(connection: &Connection, row: &SessionRecord, revision: Revision) -> Result<(), ApplyError> {
    let id = row.administrator_id.ok_or(BrokenRule::UnknownReference { what: "administrator" })?;
    administrators::note_sign_in(connection, row.customer_id, id, revision, row.created_at)?;
    write(connection, row)?;
    Ok(())
}

/// What was ended stays so from the first time.
pub(super) fn end(connection: &Connection, row: &SessionRecord, at: Timestamp) -> rusqlite::Result<()> {
    write(connection, &SessionRecord { ended_at: Some(at), ..row.clone() })
}

pub(super) fn end_of(
    connection: &Connection,
    customer: CustomerId,
    administrator: AdministratorId,
    at: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE sessions SET ended_at = ?3
             WHERE customer_id = ?1 AND administrator_id = ?2 AND ended_at IS NULL",
        )?
        .execute(params![customer, administrator, at])?;
    Ok(())
}

pub(super) fn end_all(connection: &Connection, at: Timestamp) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE sessions SET ended_at = ?1 WHERE ended_at IS NULL")?.execute([at])?;
    Ok(())
}

fn write(connection: &Connection, row: &SessionRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO sessions (id, customer_id, administrator_id, created_at, expires_at, ended_at, remote_address,
                 user_agent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET ended_at = coalesce(ended_at, excluded.ended_at)",
        )?
        .execute(params![
            row.id,
            row.customer_id,
            row.administrator_id,
            row.created_at,
            row.expires_at,
            row.ended_at,
            row.remote_address.map(Address),
            row.user_agent,
        ])?;
    Ok(())
}

pub(super) fn sweep(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM sessions WHERE expires_at <= ?1")?.execute([now])?;
    Ok(())
}
