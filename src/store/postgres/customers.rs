//! `customers`.

use super::errors::{ApplyError, Error};
use super::session::{Row, Session};
use crate::domain::{Customer, Revision};
use crate::id::CustomerId;
use crate::store::revisions::next_revision;
pub(super) use crate::store::rows::CUSTOMER as COLUMNS;
use crate::store::{BrokenRule, ObjectRef};

pub(super) fn read(row: &Row) -> Result<Customer, Error> {
    Ok(Customer {
        id: row.get(0)?,
        name: row.get(1)?,
        enabled: row.get(2)?,
        created_at: row.get(3)?,
        modified_at: row.get(4)?,
        revision: row.get(5)?,
    })
}

pub(super) async fn find(session: &Session, id: CustomerId) -> Result<Option<Customer>, Error> {
    session.find(&format!("SELECT {COLUMNS} FROM customers WHERE id = $1"), &[&id], read).await
}

pub(super) async fn scan(session: &Session) -> Result<Vec<Customer>, Error> {
    session.list(&format!("SELECT {COLUMNS} FROM customers ORDER BY id"), &[], read).await
}

pub(super) async fn insert(session: &Session, customer: &Customer) -> Result<ObjectRef, ApplyError> {
    require_free_name(session, customer).await?;
    session
        .execute(
            "INSERT INTO customers (id, revision, name, enabled, created_at, modified_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[
                &customer.id,
                &Revision::FIRST,
                &customer.name,
                &customer.enabled,
                &customer.created_at,
                &customer.modified_at,
            ],
        )
        .await?;
    Ok(ObjectRef::Customer(customer.id))
}

pub(super) async fn update(session: &Session, customer: &Customer) -> Result<ObjectRef, ApplyError> {
    let found = session.find("SELECT revision FROM customers WHERE id = $1", &[&customer.id], |row| row.get(0)).await?;
    let next = next_revision(found, customer.revision)?;
    require_free_name(session, customer).await?;
    session
        .execute(
            "UPDATE customers SET revision = $2, name = $3, enabled = $4, modified_at = $5 WHERE id = $1",
            &[&customer.id, &next, &customer.name, &customer.enabled, &customer.modified_at],
        )
        .await?;
    Ok(ObjectRef::Customer(customer.id))
}

async fn require_free_name(session: &Session, customer: &Customer) -> Result<(), ApplyError> {
    let taken = session
        .exists(
            "SELECT 1 FROM customers WHERE lower(name) = lower($1 COLLATE \"C\") AND id <> $2",
            &[&customer.name, &customer.id],
        )
        .await?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}

/// What rows of a customer refer to. The service itself counts only where `or_service` says so.
pub(super) async fn require(session: &Session, id: CustomerId, or_service: bool) -> Result<(), ApplyError> {
    let exists = (or_service && id == CustomerId::SERVICE)
        || session.exists("SELECT 1 FROM customers WHERE id = $1", &[&id]).await?;
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "customer" }.into()) }
}
