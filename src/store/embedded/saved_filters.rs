//! `saved_filters`.

use rusqlite::{Connection, params};

use super::administrators;
use super::errors::ApplyError;
use crate::domain::preference::{SAVED_FILTERS_MAX, SAVED_FILTERS_OF_PAGE_MAX};
use crate::domain::{FilterName, PageName, SavedFilter};
use crate::id::{AdministratorId, CustomerId};
use crate::store::BrokenRule;

/// In order of name.
pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    administrator: AdministratorId,
    page: &PageName,
) -> rusqlite::Result<Vec<SavedFilter>> {
    connection
        .prepare_cached(
            "SELECT name, query FROM saved_filters WHERE customer_id = ?1 AND administrator_id = ?2 AND page = ?3
             ORDER BY name",
        )?
        .query_map(params![customer, administrator, page], |row| {
            let (name, query) = (row.get(0)?, row.get(1)?);
            Ok(SavedFilter { customer_id: customer, administrator_id: administrator, page: page.clone(), name, query })
        })?
        .collect()
}

/// The name is then spelled as it was given last.
pub(super) fn put(connection: &Connection, row: &SavedFilter) -> Result<(), ApplyError> {
    administrators::require(connection, row.customer_id, row.administrator_id)?;
    connection
        .prepare_cached(
            "INSERT INTO saved_filters (customer_id, administrator_id, page, name, query) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET name = excluded.name, query = excluded.query",
        )?
        .execute(params![row.customer_id, row.administrator_id, row.page, row.name, row.query])?;
    // A broken rule undoes the whole transaction, this row too.
    let (of_page, of_all): (u32, u32) = connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE page = ?3), count(*) FROM saved_filters
             WHERE customer_id = ?1 AND administrator_id = ?2",
        )?
        .query_row(params![row.customer_id, row.administrator_id, row.page], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (count, limit) in [(of_page, SAVED_FILTERS_OF_PAGE_MAX), (of_all, SAVED_FILTERS_MAX)] {
        if count > limit {
            return Err(BrokenRule::Full { limit }.into());
        }
    }
    Ok(())
}

pub(super) fn rename(
    connection: &Connection,
    customer: CustomerId,
    administrator: AdministratorId,
    page: &PageName,
    name: &FilterName,
    new: &FilterName,
) -> Result<(), ApplyError> {
    let of = params![customer, administrator, page, name, new];
    let taken = connection
        .prepare_cached(
            "SELECT 1 FROM saved_filters
             WHERE customer_id = ?1 AND administrator_id = ?2 AND page = ?3 AND name <> ?4 AND name = ?5",
        )?
        .exists(of)?;
    if taken {
        return Err(BrokenRule::DuplicateName.into());
    }
    let renamed = connection
        .prepare_cached(
            "UPDATE saved_filters SET name = ?5
             WHERE customer_id = ?1 AND administrator_id = ?2 AND page = ?3 AND name = ?4",
        )?
        .execute(of)?;
    if renamed == 1 { Ok(()) } else { Err(BrokenRule::NotFound.into()) }
}

pub(super) fn delete(
    connection: &Connection,
    customer: CustomerId,
    administrator: AdministratorId,
    page: &PageName,
    name: &FilterName,
) -> Result<(), ApplyError> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM saved_filters WHERE customer_id = ?1 AND administrator_id = ?2 AND page = ?3 AND name = ?4",
        )?
        .execute(params![customer, administrator, page, name])?;
    if deleted == 1 { Ok(()) } else { Err(BrokenRule::NotFound.into()) }
}

/// All of one who goes.
pub(super) fn delete_of(
    connection: &Connection,
    customer: CustomerId,
    administrator: AdministratorId,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM saved_filters WHERE customer_id = ?1 AND administrator_id = ?2")?
        .execute(params![customer, administrator])?;
    Ok(())
}
