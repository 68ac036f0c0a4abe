//! Which master key sealed what, and what it is sealed with instead.

use rusqlite::{Connection, params};

use super::settings;
use crate::id::CustomerId;
use crate::store::sealing::sealing;
use crate::store::{SETTING_SEALED_BY, SealedColumn, SealedCounts, SealedValue};

pub(super) fn list_otherwise(
    connection: &Connection,
    column: SealedColumn,
    header: &[u8],
    after: u64,
    limit: u32,
) -> rusqlite::Result<Vec<SealedValue>> {
    let (table, column) = column.names();
    connection
        .prepare_cached(&format!(
            "SELECT customer_id, id, {column} FROM {table}
             WHERE id > ?2 AND {column} IS NOT NULL AND substr({column}, 1, length(?1)) <> ?1 ORDER BY id LIMIT ?3"
        ))?
        .query_map(params![header, after.cast_signed(), limit], |row| {
            let id: i64 = row.get(1)?;
            Ok(SealedValue { customer: row.get::<_, CustomerId>(0)?, id: id.cast_unsigned(), sealed: row.get(2)? })
        })?
        .collect()
}

pub(super) fn replace(
    connection: &Connection,
    column: SealedColumn,
    by: &str,
    values: &[(SealedValue, Vec<u8>)],
) -> rusqlite::Result<()> {
    if settings::find(connection, SETTING_SEALED_BY)?.is_some_and(|value| sealing(&value) != by) {
        return Ok(());
    }
    let (table, column) = column.names();
    let mut update = connection.prepare_cached(&format!(
        "UPDATE {table} SET {column} = ?3 WHERE customer_id = ?1 AND id = ?2 AND {column} = ?4"
    ))?;
    for (before, sealed) in values {
        update.execute(params![before.customer, before.id.cast_signed(), sealed, before.sealed])?;
    }
    Ok(())
}

pub(super) fn count(connection: &Connection, header: &[u8]) -> rusqlite::Result<SealedCounts> {
    connection.prepare_cached(&SealedCounts::sql("?1"))?.query_row([header], |row| {
        Ok(SealedCounts {
            secrets: row.get(0)?,
            key_strings: row.get(1)?,
            signing_keys: row.get(2)?,
            webhook_secrets: row.get(3)?,
            answers: row.get(4)?,
        })
    })
}
