//! `saved_filters`.

use super::administrators;
use super::errors::{ApplyError, Error};
use super::session::Session;
use crate::domain::preference::{SAVED_FILTERS_MAX, SAVED_FILTERS_OF_PAGE_MAX};
use crate::domain::{FilterName, PageName, SavedFilter};
use crate::id::{AdministratorId, CustomerId};
use crate::store::BrokenRule;

/// In order of name.
pub(super) async fn list(
    session: &Session,
    customer: CustomerId,
    administrator: AdministratorId,
    page: &PageName,
) -> Result<Vec<SavedFilter>, Error> {
    session
        .list(
            "SELECT name, query FROM saved_filters WHERE customer_id = $1 AND administrator_id = $2 AND page = $3
             ORDER BY lower(name)",
            &[&customer, &administrator, page],
            |row| {
                let (name, query) = (row.get(0)?, row.get(1)?);
                let page = page.clone();
                Ok(SavedFilter { customer_id: customer, administrator_id: administrator, page, name, query })
            },
        )
        .await
}

/// The name is then spelled as it was given last.
pub(super) async fn put(session: &Session, row: &SavedFilter) -> Result<(), ApplyError> {
    administrators::require(session, row.customer_id, row.administrator_id).await?;
    session
        .execute(
            "INSERT INTO saved_filters (customer_id, administrator_id, page, name, query) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (customer_id, administrator_id, page, lower(name))
             DO UPDATE SET name = excluded.name, query = excluded.query",
            &[&row.customer_id, &row.administrator_id, &row.page, &row.name, &row.query],
        )
        .await?;
    // A broken rule undoes the whole transaction, this row too.
    let counts = session
        .row(
            "SELECT count(*) FILTER (WHERE page = $3), count(*) FROM saved_filters
             WHERE customer_id = $1 AND administrator_id = $2",
            &[&row.customer_id, &row.administrator_id, &row.page],
        )
        .await?;
    let (of_page, of_all): (u32, u32) = (counts.count(0)?, counts.count(1)?);
    for (count, limit) in [(of_page, SAVED_FILTERS_OF_PAGE_MAX), (of_all, SAVED_FILTERS_MAX)] {
        if count > limit {
            return Err(BrokenRule::Full { limit }.into());
        }
    }
    Ok(())
}

pub(super) async fn rename(
    session: &Session,
    customer: CustomerId,
    administrator: AdministratorId,
    page: &PageName,
    name: &FilterName,
    new: &FilterName,
) -> Result<(), ApplyError> {
    let taken = session
        .exists(
            "SELECT 1 FROM saved_filters
             WHERE customer_id = $1 AND administrator_id = $2 AND page = $3
                 AND lower(name) <> lower($4 COLLATE \"C\") AND lower(name) = lower($5 COLLATE \"C\")",
            &[&customer, &administrator, page, name, new],
        )
        .await?;
    if taken {
        return Err(BrokenRule::DuplicateName.into());
    }
    let renamed = session
        .execute(
            "UPDATE saved_filters SET name = $5
             WHERE customer_id = $1 AND administrator_id = $2 AND page = $3
                 AND lower(name) = lower($4 COLLATE \"C\")",
            &[&customer, &administrator, page, name, new],
        )
        .await?;
    if renamed == 1 { Ok(()) } else { Err(BrokenRule::NotFound.into()) }
}

pub(super) async fn delete(
    session: &Session,
    customer: CustomerId,
    administrator: AdministratorId,
    page: &PageName,
    name: &FilterName,
) -> Result<(), ApplyError> {
    let deleted = session
        .execute(
            "DELETE FROM saved_filters
             WHERE customer_id = $1 AND administrator_id = $2 AND page = $3
                 AND lower(name) = lower($4 COLLATE \"C\")",
            &[&customer, &administrator, page, name],
        )
        .await?;
    if deleted == 1 { Ok(()) } else { Err(BrokenRule::NotFound.into()) }
}

/// All of one who goes.
pub(super) async fn delete_of(
    session: &Session,
    customer: CustomerId,
    administrator: AdministratorId,
) -> Result<(), Error> {
    session
        .execute(
            "DELETE FROM saved_filters WHERE customer_id = $1 AND administrator_id = $2",
            &[&customer, &administrator],
        )
        .await?;
    Ok(())
}
