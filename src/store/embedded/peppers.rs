//! Which pepper digests are under, and what takes their place when there is a newer one.

use rusqlite::{Connection, OptionalExtension, params};

use super::administrators::{CLIENT_COLUMNS, read_client};
use super::changes;
use super::errors::ApplyError;
use crate::clock::Timestamp;
use crate::domain::key::KeyName;
use crate::domain::{ApiClient, places};
use crate::id::{ApiClientId, ProvisioningKeyId};
use crate::secret::pepper::{Digests, PepperNumber};
use crate::store::{BrokenRule, DigestCounts, KeyUnderPepper, NewDigest, ObjectRef};

/// The oldest pepper that is there and the newest; `None`: the store has none.
fn range(connection: &Connection) -> rusqlite::Result<Option<(PepperNumber, PepperNumber)>> {
    connection
        .prepare_cached(
            "SELECT min(CAST(name AS INTEGER)), max(CAST(name AS INTEGER)) FROM secrets WHERE purpose = ?1",
        )?
        .query_row([places::PEPPER], |row| {
            let (oldest, newest): (Option<u32>, Option<u32>) = (row.get(0)?, row.get(1)?);
            Ok(oldest.zip(newest).map(|(oldest, newest)| (PepperNumber(oldest), PepperNumber(newest))))
        })
}

/// Whose digest is under a pepper that was let go of could never be verified.
pub(super) fn require(connection: &Connection, pepper: PepperNumber) -> Result<(), ApplyError> {
    match range(connection)? {
        Some((oldest, _)) if pepper < oldest => Err(BrokenRule::UnknownPepper.into()),
        _ => Ok(()),
    }
}

/// That no key has one of these digests of a text, under whatever pepper.
pub(super) fn expect_new_string(connection: &Connection, digests: &Digests) -> Result<(), ApplyError> {
    if range(connection)?.is_some_and(|(_, newest)| digests.under(newest).is_none()) {
        return Err(BrokenRule::UnknownPepper.into());
    }
    let mut known = connection.prepare_cached("SELECT 1 FROM digests WHERE digest = ?1")?;
    for (_, digest) in digests.iter() {
        if known.exists([digest])? {
            return Err(BrokenRule::DuplicateDigest.into());
        }
    }
    Ok(())
}

pub(super) fn count(connection: &Connection) -> rusqlite::Result<Vec<DigestCounts>> {
    connection
        .prepare_cached(
            "SELECT pepper, sum(keys), sum(clients) FROM (
                 SELECT pepper, count(*) AS keys, 0 AS clients FROM provisioning_keys GROUP BY pepper
                 UNION ALL
                 SELECT pepper, 0, count(*) FROM api_clients GROUP BY pepper)
             GROUP BY pepper ORDER BY pepper",
        )?
        .query_map([], |row| Ok(DigestCounts { pepper: row.get(0)?, keys: row.get(1)?, api_clients: row.get(2)? }))?
        .collect()
}

pub(super) fn list_keys(
    connection: &Connection,
    pepper: PepperNumber,
    after: ProvisioningKeyId,
    limit: u32,
) -> rusqlite::Result<Vec<KeyUnderPepper>> {
    connection
        .prepare_cached(
            "SELECT customer_id, id, kind, name, digest, sealed_string FROM provisioning_keys
             WHERE pepper = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )?
        .query_map(params![pepper, after, limit], |row| {
            Ok(KeyUnderPepper {
                customer: row.get(0)?,
                key: KeyName { id: row.get(1)?, kind: row.get(2)?, name: row.get(3)? },
                digest: row.get(4)?,
                sealed_string: row.get(5)?,
            })
        })?
        .collect()
}

pub(super) fn list_clients(
    connection: &Connection,
    pepper: PepperNumber,
    limit: u32,
) -> rusqlite::Result<Vec<ApiClient>> {
    connection
        .prepare_cached(&format!("SELECT {CLIENT_COLUMNS} FROM api_clients WHERE pepper = ?1 ORDER BY id LIMIT ?2"))?
        .query_map(params![pepper, limit], read_client)?
        .collect()
}

/// Answers how many were replaced.
pub(super) fn replace_of_keys(
    connection: &Connection,
    digests: &[NewDigest<ProvisioningKeyId>],
) -> rusqlite::Result<u64> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO digests (digest, customer_id, key_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    let mut update = connection.prepare_cached(
        "UPDATE provisioning_keys SET digest = ?4, pepper = ?5
         WHERE id = ?1 AND customer_id = ?2 AND digest = ?3 AND pepper > ?6 AND pepper < ?5",
    )?;
    let mut delete = connection.prepare_cached("DELETE FROM digests WHERE digest = ?1")?;
    let mut replaced = Vec::with_capacity(digests.len());
    let newest = range(connection)?.map(|(_, newest)| newest);
    // A node may know a pepper that a restored store does not have.
    for NewDigest { customer, id, before, pepper, digest } in digests.iter().filter(|new| Some(new.pepper) <= newest) {
        if insert.execute(params![digest, customer, id])? == 0 {
            continue;
        }
        if update.execute(params![id, customer, before, digest, pepper, PepperNumber::GONE])? == 1 {
            delete.execute([before])?;
            replaced.push(ObjectRef::Key(*customer, *id));
        } else {
            delete.execute([digest])?;
        }
    }
    changes::announce(connection, &replaced)?;
    Ok(replaced.len() as u64)
}

pub(super) fn replace_of_client(connection: &Connection, new: &NewDigest<ApiClientId>) -> rusqlite::Result<()> {
    let NewDigest { customer, id, before, pepper, digest } = new;
    if range(connection)?.is_none_or(|(_, newest)| *pepper > newest) {
        return Ok(());
    }
    connection
        .prepare_cached(
            "UPDATE api_clients SET secret_digest = ?4, pepper = ?5
             WHERE id = ?1 AND customer_id = ?2 AND secret_digest = ?3 AND pepper > ?6 AND pepper < ?5",
        )?
        .execute(params![id, customer, before, digest, pepper, PepperNumber::GONE])?;
    Ok(())
}

/// What lost its digest with the pepper.
pub(super) struct Left {
    pub(super) keys: Vec<ObjectRef>,
    pub(super) api_clients: Vec<ObjectRef>,
}

pub(super) fn retire(
    connection: &Connection,
    pepper: PepperNumber,
    give_up: Option<(Timestamp, Option<u64>)>,
) -> Result<Left, ApplyError> {
    if range(connection)?.is_none_or(|(_, newest)| newest <= pepper) {
        return Err(BrokenRule::NotFound.into());
    }
    let deleted = connection
        .prepare_cached("DELETE FROM secrets WHERE purpose = ?1 AND name = ?2")?
        .execute(params![places::PEPPER, pepper.0.to_string()])?;
    if deleted == 0 {
        return Err(BrokenRule::NotFound.into());
    }
    let Some((at, by)) = give_up else {
        for (table, by) in [("provisioning_keys", "provisioning keys"), ("api_clients", "API clients")] {
            let left: Option<u32> = connection
                .prepare_cached(&format!("SELECT 1 FROM {table} WHERE pepper = ?1 LIMIT 1"))?
                .query_row([pepper], |row| row.get(0))
                .optional()?;
            if left.is_some() {
                return Err(BrokenRule::Referenced { by }.into());
            }
        }
        return Ok(Left { keys: Vec::new(), api_clients: Vec::new() });
    };
    let keys = connection
        .prepare_cached(
            "UPDATE provisioning_keys
             SET pepper = ?2, enabled = 0, revision = revision + 1, modified_at = ?3, modified_by = ?4
             WHERE pepper = ?1 RETURNING customer_id, id",
        )?
        .query_map(params![pepper, PepperNumber::GONE, at, by], |row| Ok(ObjectRef::Key(row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let api_clients = connection
        .prepare_cached(
            "UPDATE api_clients
             SET pepper = ?2, secret_generation = secret_generation + 1, revision = revision + 1, modified_at = ?3,
                 modified_by = ?4
             WHERE pepper = ?1 RETURNING customer_id, id",
        )?
        .query_map(params![pepper, PepperNumber::GONE, at, by], |row| {
            Ok(ObjectRef::ApiClient(row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Left { keys, api_clients })
}
