//! `settings` and `secrets`: rows of the service as a whole. The store's own counters stand among
//! the settings, under names that begin with `store.`.

use rusqlite::{Connection, OptionalExtension, params};

use super::errors::ApplyError;
use crate::clock::Timestamp;
use crate::id::SEQUENCE_BITS;
use crate::store::codes::{FIRST_ID, NEXT_ID};
use crate::store::{BrokenRule, ObjectRef, SealedSecret};

/// What [`probe`] writes.
const PROBED_AT: &str = "store.probed_at";

pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM settings WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

pub(super) fn insert(connection: &Connection, name: &str, value: &str) -> Result<ObjectRef, ApplyError> {
    if find(connection, name)?.is_some() {
        return Err(BrokenRule::DuplicateName.into());
    }
    Ok(put(connection, name, value)?)
}

pub(super) fn put(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<ObjectRef> {
    connection
        .prepare_cached(
            "INSERT INTO settings (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute([name, value])?;
    Ok(ObjectRef::Service)
}

pub(super) fn replace(
    connection: &Connection,
    name: &str,
    value: &str,
    before: Option<&str>,
) -> Result<ObjectRef, ApplyError> {
    if find(connection, name)?.as_deref() != before {
        return Err(BrokenRule::NotFound.into());
    }
    Ok(put(connection, name, value)?)
}

pub(super) fn list_secrets(connection: &Connection, purpose: &str) -> rusqlite::Result<Vec<SealedSecret>> {
    connection
        .prepare_cached("SELECT purpose, name, sealed FROM secrets WHERE purpose = ?1 ORDER BY name")?
        .query_map([purpose], |row| Ok(SealedSecret { purpose: row.get(0)?, name: row.get(1)?, sealed: row.get(2)? }))?
        .collect()
}

pub(super) fn insert_secret(connection: &Connection, secret: &SealedSecret) -> Result<ObjectRef, ApplyError> {
    let inserted = connection
        .prepare_cached("INSERT INTO secrets (purpose, name, sealed) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![secret.purpose, secret.name, secret.sealed])?;
    if inserted == 1 { Ok(ObjectRef::Service) } else { Err(BrokenRule::DuplicateName.into()) }
}

pub(super) fn put_secret(connection: &Connection, secret: &SealedSecret) -> rusqlite::Result<ObjectRef> {
    connection
        .prepare_cached(
            "INSERT INTO secrets (purpose, name, sealed) VALUES (?1, ?2, ?3)
             ON CONFLICT (purpose, name) DO UPDATE SET sealed = excluded.sealed",
        )?
        .execute(params![secret.purpose, secret.name, secret.sealed])?;
    Ok(ObjectRef::Service)
}

pub(super) fn replace_secret(
    connection: &Connection,
    secret: &SealedSecret,
    before: &[u8],
) -> Result<ObjectRef, ApplyError> {
    let replaced = connection
        .prepare_cached("UPDATE secrets SET sealed = ?3 WHERE purpose = ?1 AND name = ?2 AND sealed = ?4")?
        .execute(params![secret.purpose, secret.name, secret.sealed, before])?;
    if replaced == 1 { Ok(ObjectRef::Service) } else { Err(BrokenRule::NotFound.into()) }
}

pub(super) fn delete_secret(connection: &Connection, secret: &SealedSecret) -> Result<ObjectRef, ApplyError> {
    let deleted = connection
        .prepare_cached("DELETE FROM secrets WHERE purpose = ?1 AND name = ?2 AND sealed = ?3")?
        .execute(params![secret.purpose, secret.name, secret.sealed])?;
    if deleted == 1 { Ok(ObjectRef::Service) } else { Err(BrokenRule::NotFound.into()) }
}

/// The first of `count` ids that nobody else gets. `None`: there are not that many left.
pub(super) fn reserve_ids(connection: &Connection, count: u64) -> rusqlite::Result<Option<u64>> {
    let first = match find(connection, NEXT_ID)? {
        Some(text) => text.parse().map_err(|_| rusqlite::Error::InvalidColumnName(format!("{NEXT_ID} = {text:?}")))?,
        None => FIRST_ID,
    };
    let Some(next) = first.checked_add(count).filter(|next| *next <= 1 << SEQUENCE_BITS) else { return Ok(None) };
    put(connection, NEXT_ID, &next.to_string())?;
    Ok(Some(first))
}

/// A small write, to learn whether one goes through.
pub(super) fn probe(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    put(connection, PROBED_AT, &now.to_string()).map(drop)
}
