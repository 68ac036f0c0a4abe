//! `administrators` and `api_clients`: who signs in.

use rusqlite::{Connection, OptionalExtension, params};

use super::customers;
use super::errors::ApplyError;
use crate::domain::{Administrator, ApiClient, Revision};
use crate::store::{BrokenRule, ObjectRef};

/// Over all customers, without regard to case.
pub(super) fn find(connection: &Connection, username: &str) -> rusqlite::Result<Option<Administrator>> {
    connection
        .prepare_cached(
            "SELECT id, customer_id, username, password_hash, role, enabled, created_at, modified_at, revision
             FROM administrators WHERE username = ?1",
        )?
        .query_row([username], |row| {
            Ok(Administrator {
                id: row.get(0)?,
                customer_id: row.get(1)?,
                username: row.get(2)?,
                password_hash: row.get(3)?,
                role: row.get(4)?,
                enabled: row.get(5)?,
                created_at: row.get(6)?,
                modified_at: row.get(7)?,
                revision: row.get(8)?,
            })
        })
        .optional()
}

pub(super) fn insert(connection: &Connection, row: &Administrator) -> Result<ObjectRef, ApplyError> {
    customers::require(connection, row.customer_id, true)?;
    let taken =
        connection.prepare_cached("SELECT 1 FROM administrators WHERE username = ?1")?.exists(params![row.username])?;
    if taken {
        return Err(BrokenRule::DuplicateName.into());
    }
    connection
        .prepare_cached(
            "INSERT INTO administrators (id, customer_id, revision, username, password_hash, role, enabled,
                 created_at, modified_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            row.id,
            row.customer_id,
            Revision::FIRST,
            row.username,
            row.password_hash,
            row.role,
            row.enabled,
            row.created_at,
            row.modified_at,
        ])?;
    Ok(ObjectRef::Administrator(row.customer_id, row.id))
}

/// Over all customers.
pub(super) fn find_client(connection: &Connection, client_id: &str) -> rusqlite::Result<Option<ApiClient>> {
    connection
        .prepare_cached(
            "SELECT id, customer_id, name, client_id, secret_digest, pepper, role, enabled, managing, created_at,
                 modified_at, revision
             FROM api_clients WHERE client_id = ?1",
        )?
        .query_row([client_id], |row| {
            Ok(ApiClient {
                id: row.get(0)?,
                customer_id: row.get(1)?,
                name: row.get(2)?,
                client_id: row.get(3)?,
                secret_digest: row.get(4)?,
                pepper: row.get(5)?,
                role: row.get(6)?,
                enabled: row.get(7)?,
                managing: row.get(8)?,
                created_at: row.get(9)?,
                modified_at: row.get(10)?,
                revision: row.get(11)?,
            })
        })
        .optional()
}

/// Neither the name within the customer nor the client id within the service may be taken.
pub(super) fn insert_client(connection: &Connection, row: &ApiClient) -> Result<ObjectRef, ApplyError> {
    customers::require(connection, row.customer_id, true)?;
    let taken = connection
        .prepare_cached("SELECT 1 FROM api_clients WHERE client_id = ?1 OR (customer_id = ?2 AND name = ?3)")?
        .exists(params![row.client_id, row.customer_id, row.name])?;
    if taken {
        return Err(BrokenRule::DuplicateName.into());
    }
    connection
        .prepare_cached(
            "INSERT INTO api_clients (id, customer_id, revision, name, client_id, secret_digest, pepper, role,
                 enabled, managing, created_at, modified_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            row.id,
            row.customer_id,
            Revision::FIRST,
            row.name,
            row.client_id,
            row.secret_digest,
            row.pepper,
            row.role,
            row.enabled,
            row.managing,
            row.created_at,
            row.modified_at,
        ])?;
    Ok(ObjectRef::ApiClient(row.customer_id, row.id))
}
