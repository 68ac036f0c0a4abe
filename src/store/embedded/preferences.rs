//! `preferences`.

use rusqlite::{Connection, params};

use super::administrators;
use super::errors::ApplyError;
use crate::domain::preference::PREFERENCES_MAX;
use crate::domain::{PageName, Preference};
use crate::id::{AdministratorId, CustomerId};
use crate::store::BrokenRule;

/// In order of page.
pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    administrator: AdministratorId,
) -> rusqlite::Result<Vec<Preference>> {
    connection
        .prepare_cached(
            "SELECT page, value FROM preferences WHERE customer_id = ?1 AND administrator_id = ?2 ORDER BY page",
        )?
        .query_map(params![customer, administrator], |row| {
            let (page, value) = (row.get(0)?, row.get(1)?);
            Ok(Preference { customer_id: customer, administrator_id: administrator, page, value })
        })?
        .collect()
}

pub(super) fn put(connection: &Connection, row: &Preference) -> Result<(), ApplyError> {
    administrators::require(connection, row.customer_id, row.administrator_id)?;
    connection
        .prepare_cached(
            "INSERT INTO preferences (customer_id, administrator_id, page, value) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET value = excluded.value",
        )?
        .execute(params![row.customer_id, row.administrator_id, row.page, row.value])?;
    // A broken rule undoes the whole transaction, this row too.
    let count: u32 = connection
        .prepare_cached("SELECT count(*) FROM preferences WHERE customer_id = ?1 AND administrator_id = ?2")?
        .query_row(params![row.customer_id, row.administrator_id], |row| row.get(0))?;
    if count > PREFERENCES_MAX { Err(BrokenRule::Full { limit: PREFERENCES_MAX }.into()) } else { Ok(()) }
}

pub(super) fn delete(
    connection: &Connection,
    customer: CustomerId,
    administrator: AdministratorId,
    page: &PageName,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM preferences WHERE customer_id = ?1 AND administrator_id = ?2 AND page = ?3")?
        .execute(params![customer, administrator, page])?;
    Ok(())
}

/// All of one who goes.
pub(super) fn delete_of(
    connection: &Connection,
    customer: CustomerId,
    administrator: AdministratorId,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM preferences WHERE customer_id = ?1 AND administrator_id = ?2")?
        .execute(params![customer, administrator])?;
    Ok(())
}
