//! `preferences`.

use super::administrators;
use super::errors::{ApplyError, Error};
use super::session::Session;
use crate::domain::preference::PREFERENCES_MAX;
use crate::domain::{PageName, Preference};
use crate::id::{AdministratorId, CustomerId};
use crate::store::BrokenRule;

/// In order of page.
pub(super) async fn list(
    session: &Session,
    customer: CustomerId,
    administrator: AdministratorId,
) -> Result<Vec<Preference>, Error> {
    session
        .list(
            "SELECT page, value FROM preferences WHERE customer_id = $1 AND administrator_id = $2 ORDER BY page",
            &[&customer, &administrator],
            |row| {
                let (page, value) = (row.get(0)?, row.get(1)?);
                Ok(Preference { customer_id: customer, administrator_id: administrator, page, value })
            },
        )
        .await
}

pub(super) async fn put(session: &Session, row: &Preference) -> Result<(), ApplyError> {
    administrators::require(session, row.customer_id, row.administrator_id).await?;
    session
        .execute(
            "INSERT INTO preferences (customer_id, administrator_id, page, value) VALUES ($1, $2, $3, $4)
             ON CONFLICT (customer_id, administrator_id, page) DO UPDATE SET value = excluded.value",
            &[&row.customer_id, &row.administrator_id, &row.page, &row.value],
        )
        .await?;
    // A broken rule undoes the whole transaction, this row too.
    let count: u32 = session
        .row(
            "SELECT count(*) FROM preferences WHERE customer_id = $1 AND administrator_id = $2",
            &[&row.customer_id, &row.administrator_id],
        )
        .await?
        .count(0)?;
    if count > PREFERENCES_MAX { Err(BrokenRule::Full { limit: PREFERENCES_MAX }.into()) } else { Ok(()) }
}

pub(super) async fn delete(
    session: &Session,
    customer: CustomerId,
    administrator: AdministratorId,
    page: &PageName,
) -> Result<(), Error> {
    session
        .execute(
            "DELETE FROM preferences WHERE customer_id = $1 AND administrator_id = $2 AND page = $3",
            &[&customer, &administrator, page],
        )
        .await?;
    Ok(())
}

/// All of one who goes.
pub(super) async fn delete_of(
    session: &Session,
    customer: CustomerId,
    administrator: AdministratorId,
) -> Result<(), Error> {
    session
        .execute(
            "DELETE FROM preferences WHERE customer_id = $1 AND administrator_id = $2",
            &[&customer, &administrator],
        )
        .await?;
    Ok(())
}
