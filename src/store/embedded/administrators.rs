//! `administrators` and `api_clients`: who signs in.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::errors::ApplyError;
use super::{customers, lists, peppers, preferences, saved_filters};
use crate::clock::Timestamp;
use crate::domain::{Administrator, ApiClient, Name, Revision, Role};
use crate::id::{AdministratorId, ApiClientId, CustomerId};
use crate::store::lists::{Dialect, List};
use crate::store::revisions::{next_revision, require_revision};
use crate::store::rows::ADMINISTRATOR as COLUMNS;
pub(super) use crate::store::rows::API_CLIENT as CLIENT_COLUMNS;
use crate::store::{AdministratorField, ApiClientField, BrokenRule, ListQuery, ObjectRef, Page};

fn read(row: &Row<'_>) -> rusqlite::Result<Administrator> {
    Ok(Administrator {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        username: row.get(2)?,
        description: row.get(3)?,
        password_hash: row.get(4)?,
        role: row.get(5)?,
        enabled: row.get(6)?,
        last_sign_in_at: row.get(7)?,
        created_at: row.get(8)?,
        modified_at: row.get(9)?,
        modified_by: row.get(10)?,
        revision: row.get(11)?,
    })
}

/// Over all customers, without regard to case.
pub(super) fn find(connection: &Connection, username: &str) -> rusqlite::Result<Option<Administrator>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM administrators WHERE username = ?1"))?
        .query_row([username], read)
        .optional()
}

pub(super) fn find_by_id(
    connection: &Connection,
    customer: CustomerId,
    id: AdministratorId,
) -> rusqlite::Result<Option<Administrator>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM administrators WHERE id = ?1 AND customer_id = ?2"))?
        .query_row(params![id, customer], read)
        .optional()
}

pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    query: &ListQuery<AdministratorField>,
    now: Timestamp,
) -> rusqlite::Result<Page<Administrator>> {
    let list = List::of_customer(COLUMNS, "administrators", customer, Dialect::Sqlite { now });
    lists::page(connection, list, query, read)
}

pub(super) fn insert(connection: &Connection, row: &Administrator) -> Result<ObjectRef, ApplyError> {
    customers::require(connection, row.customer_id, true)?;
    require_free_username(connection, row)?;
    connection
        .prepare_cached(
            "INSERT INTO administrators (id, customer_id, revision, username, description, password_hash, role,
                 enabled, created_at, modified_at, modified_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            row.id,
            row.customer_id,
            Revision::FIRST,
            row.username,
            row.description,
            row.password_hash,
            row.role,
            row.enabled,
            row.created_at,
            row.modified_at,
            row.modified_by,
        ])?;
    Ok(ObjectRef::Administrator(row.customer_id, row.id))
}

/// All but id, customer and creation, which are fixed, and the last sign-in, which sign-ins write.
pub(super) fn update(connection: &Connection, row: &Administrator) -> Result<ObjectRef, ApplyError> {
    let found = find_by_id(connection, row.customer_id, row.id)?.ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(found.revision), row.revision)?;
    require_free_username(connection, row)?;
    connection
        .prepare_cached(
            "UPDATE administrators SET revision = ?2, username = ?3, description = ?4, password_hash = ?5, role = ?6,
                 enabled = ?7, modified_at = ?8, modified_by = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            row.id,
            next,
            row.username,
            row.description,
            row.password_hash,
            row.role,
            row.enabled,
            row.modified_at,
            row.modified_by,
        ])?;
    require_owner_left(connection, &found)?;
    Ok(ObjectRef::Administrator(row.customer_id, row.id))
}

pub(super) fn delete(
    connection: &Connection,
    customer: CustomerId,
    id: AdministratorId,
    revision: Option<Revision>,
) -> Result<ObjectRef, ApplyError> {
    let found = find_by_id(connection, customer, id)?.ok_or(BrokenRule::NotFound)?;
    require_revision(found.revision, revision)?;
    connection.prepare_cached("DELETE FROM administrators WHERE id = ?1")?.execute([id])?;
    preferences::delete_of(connection, customer, id)?;
    saved_filters::delete_of(connection, customer, id)?;
    require_owner_left(connection, &found)?;
    Ok(ObjectRef::Administrator(customer, id))
}

/// Notes a sign-in of one who still has the revision that its password was checked with.
pub(super) fn note_sign_in(
    connection: &Connection,
    customer: CustomerId,
    id: AdministratorId,
    revision: Revision,
    at: Timestamp,
) -> Result<(), ApplyError> {
    let found = find_by_id(connection, customer, id)?.ok_or(BrokenRule::NotFound)?;
    require_revision(found.revision, Some(revision))?;
    connection
        .prepare_cached("UPDATE administrators SET last_sign_in_at = ?2 WHERE id = ?1")?
        .execute(params![id, at])?;
    Ok(())
}

/// Whom something is kept for.
pub(super) fn require(connection: &Connection, customer: CustomerId, id: AdministratorId) -> Result<(), ApplyError> {
    let exists = connection
        .prepare_cached("SELECT 1 FROM administrators WHERE id = ?1 AND customer_id = ?2")?
        .exists(params![id, customer])?;
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "administrator" }.into()) }
}

/// After `before` was changed or deleted. With one writer, two owners who end each other are one after
/// the other, and the second is refused.
fn require_owner_left(connection: &Connection, before: &Administrator) -> Result<(), ApplyError> {
    let was_owner = before.role == Role::Owner && before.enabled;
    let is_left = || {
        connection
            .prepare_cached("SELECT 1 FROM administrators WHERE customer_id = ?1 AND role = ?2 AND enabled")?
            .exists(params![CustomerId::SERVICE, Role::Owner])
    };
    if was_owner && !is_left()? { Err(BrokenRule::LastOwner.into()) } else { Ok(()) }
}

fn require_free_username(connection: &Connection, row: &Administrator) -> Result<(), ApplyError> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM administrators WHERE username = ?1 AND id <> ?2")?
        .exists(params![row.username, row.id])?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}

/// Of administrators and API clients, the customer's and the service's own.
pub(super) fn find_names(
    connection: &Connection,
    customer: CustomerId,
    ids: &[u64],
) -> rusqlite::Result<HashMap<u64, Name>> {
    let mut find = connection.prepare_cached(
        "SELECT username FROM administrators WHERE id = ?1 AND customer_id IN (?2, ?3)
         UNION ALL SELECT name FROM api_clients WHERE id = ?1 AND customer_id IN (?2, ?3)",
    )?;
    let mut names = HashMap::with_capacity(ids.len());
    for &id in ids {
        if let Some(name) = find.query_row(params![id, customer, CustomerId::SERVICE], |row| row.get(0)).optional()? {
            names.insert(id, name);
        }
    }
    Ok(names)
}

pub(super) fn read_client(row: &Row<'_>) -> rusqlite::Result<ApiClient> {
    Ok(ApiClient {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        name: row.get(2)?,
        client_id: row.get(3)?,
        secret_digest: row.get(4)?,
        pepper: row.get(5)?,
        secret_generation: row.get(6)?,
        role: row.get(7)?,
        enabled: row.get(8)?,
        managing: row.get(9)?,
        last_used_at: row.get(10)?,
        created_at: row.get(11)?,
        modified_at: row.get(12)?,
        modified_by: row.get(13)?,
        revision: row.get(14)?,
    })
}

/// Over all customers.
pub(super) fn find_client(connection: &Connection, client_id: &str) -> rusqlite::Result<Option<ApiClient>> {
    connection
        .prepare_cached(&format!("SELECT {CLIENT_COLUMNS} FROM api_clients WHERE client_id = ?1"))?
        .query_row([client_id], read_client)
        .optional()
}

pub(super) fn find_client_by_id(
    connection: &Connection,
    customer: CustomerId,
    id: ApiClientId,
) -> rusqlite::Result<Option<ApiClient>> {
    connection
        .prepare_cached(&format!("SELECT {CLIENT_COLUMNS} FROM api_clients WHERE id = ?1 AND customer_id = ?2"))?
        .query_row(params![id, customer], read_client)
        .optional()
}

pub(super) fn list_clients(
    connection: &Connection,
    customer: CustomerId,
    query: &ListQuery<ApiClientField>,
    now: Timestamp,
) -> rusqlite::Result<Page<ApiClient>> {
    let list = List::of_customer(CLIENT_COLUMNS, "api_clients", customer, Dialect::Sqlite { now });
    lists::page(connection, list, query, read_client)
}

/// Neither the name within the customer nor the client id within the service may be taken.
pub(super) fn insert_client(connection: &Connection, row: &ApiClient) -> Result<ObjectRef, ApplyError> {
    customers::require(connection, row.customer_id, true)?;
    let taken =
        connection.prepare_cached("SELECT 1 FROM api_clients WHERE client_id = ?1")?.exists(params![row.client_id])?;
    if taken {
        return Err(BrokenRule::DuplicateName.into());
    }
    require_free_client_name(connection, row)?;
    peppers::require(connection, row.pepper)?;
    connection
        .prepare_cached(
            "INSERT INTO api_clients (id, customer_id, revision, name, client_id, secret_digest, pepper,
                 secret_generation, role, enabled, managing, created_at, modified_at, modified_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            row.id,
            row.customer_id,
            Revision::FIRST,
            row.name,
            row.client_id,
            row.secret_digest,
            row.pepper,
            row.secret_generation,
            row.role,
            row.enabled,
            row.managing,
            row.created_at,
            row.modified_at,
            row.modified_by,
        ])?;
    Ok(ObjectRef::ApiClient(row.customer_id, row.id))
}

/// All but id, customer, client id and creation, which are fixed, and the last use, which sign-ins write. So they do
/// with another digest of the same secret: only a new secret brings its own.
pub(super) fn update_client(connection: &Connection, row: &ApiClient) -> Result<ObjectRef, ApplyError> {
    let found = find_client_by_id(connection, row.customer_id, row.id)?.ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(found.revision), row.revision)?;
    require_free_client_name(connection, row)?;
    let (digest, pepper) = match row.secret_generation == found.secret_generation {
        true => (found.secret_digest, found.pepper),
        false => {
            peppers::require(connection, row.pepper)?;
            (row.secret_digest, row.pepper)
        }
    };
    connection
        .prepare_cached(
            "UPDATE api_clients SET revision = ?2, name = ?3, secret_digest = ?4, pepper = ?5, secret_generation = ?6,
                 role = ?7, enabled = ?8, managing = ?9, modified_at = ?10, modified_by = ?11
             WHERE id = ?1",
        )?
        .execute(params![
            row.id,
            next,
            row.name,
            digest,
            pepper,
            row.secret_generation,
            row.role,
            row.enabled,
            row.managing,
            row.modified_at,
            row.modified_by,
        ])?;
    Ok(ObjectRef::ApiClient(row.customer_id, row.id))
}

/// One that manages keys stays: nobody else could edit or delete them.
pub(super) fn delete_client(
    connection: &Connection,
    customer: CustomerId,
    id: ApiClientId,
    revision: Option<Revision>,
) -> Result<ObjectRef, ApplyError> {
    let found = find_client_by_id(connection, customer, id)?.ok_or(BrokenRule::NotFound)?;
    require_revision(found.revision, revision)?;
    let manages = connection
        .prepare_cached("SELECT 1 FROM provisioning_keys WHERE customer_id = ?1 AND managed_by_client_id = ?2")?
        .exists(params![customer, id])?;
    if manages {
        return Err(BrokenRule::Referenced { by: "provisioning keys" }.into());
    }
    connection.prepare_cached("DELETE FROM api_clients WHERE id = ?1")?.execute([id])?;
    Ok(ObjectRef::ApiClient(customer, id))
}

/// Nothing when it is gone meanwhile: its token is refused by the next request.
pub(super) fn note_client_use(
    connection: &Connection,
    customer: CustomerId,
    id: ApiClientId,
    at: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE api_clients SET last_used_at = ?3 WHERE id = ?1 AND customer_id = ?2")?
        .execute(params![id, customer, at])?;
    Ok(())
}

fn require_free_client_name(connection: &Connection, row: &ApiClient) -> Result<(), ApplyError> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM api_clients WHERE customer_id = ?1 AND name = ?2 AND id <> ?3")?
        .exists(params![row.customer_id, row.name, row.id])?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}
