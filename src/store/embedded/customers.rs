//! `customers`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::errors::ApplyError;
use super::lists;
use crate::clock::Timestamp;
use crate::domain::{Customer, Revision};
use crate::id::CustomerId;
use crate::store::lists::{Dialect, List};
use crate::store::revisions::next_revision;
use crate::store::rows::CUSTOMER as COLUMNS;
use crate::store::{BrokenRule, CustomerField, ListQuery, ObjectRef, Page};

fn read(row: &Row<'_>) -> rusqlite::Result<Customer> {
    Ok(Customer {
        id: row.get(0)?,
        name: row.get(1)?,
        enabled: row.get(2)?,
        created_at: row.get(3)?,
        modified_at: row.get(4)?,
        revision: row.get(5)?,
    })
}

pub(super) fn find(connection: &Connection, id: CustomerId) -> rusqlite::Result<Option<Customer>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM customers WHERE id = ?1"))?
        .query_row([id], read)
        .optional()
}

pub(super) fn list(
    connection: &Connection,
    query: &ListQuery<CustomerField>,
    now: Timestamp,
) -> rusqlite::Result<Page<Customer>> {
    lists::page(connection, List::of_service(COLUMNS, "customers", Dialect::Sqlite { now }), query, read)
}

pub(super) fn scan(connection: &Connection) -> rusqlite::Result<Vec<Customer>> {
    connection.prepare_cached(&format!("SELECT {COLUMNS} FROM customers ORDER BY id"))?.query_map([], read)?.collect()
}

pub(super) fn insert(connection: &Connection, customer: &Customer) -> Result<ObjectRef, ApplyError> {
    require_free_name(connection, customer)?;
    connection
        .prepare_cached(
            "INSERT INTO customers (id, revision, name, enabled, created_at, modified_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            customer.id,
            Revision::FIRST,
            customer.name,
            customer.enabled,
            customer.created_at,
            customer.modified_at
        ])?;
    Ok(ObjectRef::Customer(customer.id))
}

pub(super) fn update(connection: &Connection, customer: &Customer) -> Result<ObjectRef, ApplyError> {
    let found = connection
        .prepare_cached("SELECT revision FROM customers WHERE id = ?1")?
        .query_row([customer.id], |row| row.get(0))
        .optional()?;
    let next = next_revision(found, customer.revision)?;
    require_free_name(connection, customer)?;
    connection
        .prepare_cached("UPDATE customers SET revision = ?2, name = ?3, enabled = ?4, modified_at = ?5 WHERE id = ?1")?
        .execute(params![customer.id, next, customer.name, customer.enabled, customer.modified_at])?;
    Ok(ObjectRef::Customer(customer.id))
}

fn require_free_name(connection: &Connection, customer: &Customer) -> Result<(), ApplyError> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM customers WHERE name = ?1 AND id <> ?2")?
        .exists(params![customer.name, customer.id])?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}

/// What rows of a customer refer to. The service itself counts only where `or_service` says so.
pub(super) fn require(connection: &Connection, id: CustomerId, or_service: bool) -> Result<(), ApplyError> {
    let exists = (or_service && id == CustomerId::SERVICE)
        || connection.prepare_cached("SELECT 1 FROM customers WHERE id = ?1")?.exists([id])?;
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "customer" }.into()) }
}
