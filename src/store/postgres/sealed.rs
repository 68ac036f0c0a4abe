//! Which master key sealed what, and what it is sealed with instead.

use super::errors::Error;
use super::session::Session;
use crate::store::{SETTING_SEALED_BY, SealedColumn, SealedCounts, SealedValue};

pub(super) async fn list_otherwise(
    session: &Session,
    column: SealedColumn,
    header: &[u8],
    after: u64,
    limit: u32,
) -> Result<Vec<SealedValue>, Error> {
    let (table, column) = column.names();
    let sql = format!(
        "SELECT customer_id, id, {column} FROM {table}
         WHERE id > $2 AND {column} IS NOT NULL AND substr({column}, 1, length($1::bytea)) <> $1 ORDER BY id LIMIT $3"
    );
    session
        .list(&sql, &[&header, &after.cast_signed(), &i64::from(limit)], |row| {
            Ok(SealedValue { customer: row.get(0)?, id: row.count(1)?, sealed: row.get(2)? })
        })
        .await
}

/// One statement for all: who dies in between has sealed all of them anew or none. Which key seals stays so until it is done.
pub(super) async fn replace(
    session: &Session,
    column: SealedColumn,
    by: &str,
    values: &[(SealedValue, Vec<u8>)],
) -> Result<(), Error> {
    let (table, column) = column.names();
    let sql = format!(
        "WITH said AS (SELECT split_part(value, ' ', 1) AS sealing FROM settings WHERE name = $5 FOR SHARE)
         UPDATE {table} AS t SET {column} = v.sealed
         FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[]) AS v (customer_id, id, sealed, before)
         WHERE t.customer_id = v.customer_id AND t.id = v.id AND t.{column} = v.before
             AND coalesce((SELECT sealing FROM said), $6::text) = $6::text"
    );
    let customers: Vec<_> = values.iter().map(|(before, _)| before.customer).collect();
    let ids: Vec<_> = values.iter().map(|(before, _)| before.id.cast_signed()).collect();
    let sealed: Vec<_> = values.iter().map(|(_, sealed)| sealed.as_slice()).collect();
    let before: Vec<_> = values.iter().map(|(before, _)| before.sealed.as_slice()).collect();
    session.execute(&sql, &[&customers, &ids, &sealed, &before, &SETTING_SEALED_BY, &by]).await?;
    Ok(())
}

pub(super) async fn count(session: &Session, header: &[u8]) -> Result<SealedCounts, Error> {
    let row = session.row(&SealedCounts::sql("$1::bytea"), &[&header]).await?;
    Ok(SealedCounts {
        secrets: row.count(0)?,
        key_strings: row.count(1)?,
        signing_keys: row.count(2)?,
        webhook_secrets: row.count(3)?,
        answers: row.count(4)?,
    })
}
