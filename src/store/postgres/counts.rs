//! `component_counts`: how many components groups have. What enrollments add is in the slots of their nodes.

use super::errors::Error;
use super::session::Session;
use crate::domain::Kind;
use crate::id::{CustomerId, GroupId};

/// Where administrators add, one at a time.
const SLOT: i64 = 0;

/// A slot alone may be below zero: what one adds another may take away.
pub(super) async fn add(
    session: &Session,
    customer: CustomerId,
    group: GroupId,
    kind: Kind,
    delta: i64,
) -> Result<(), Error> {
    session
        .execute(
            "INSERT INTO component_counts AS c (customer_id, group_id, slot, kind, components)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (customer_id, group_id, slot) DO UPDATE SET components = c.components + excluded.components",
            &[&customer, &group, &SLOT, &kind, &delta],
        )
        .await?;
    Ok(())
}

/// Forgets a group that goes.
pub(super) async fn clear_group(session: &Session, customer: CustomerId, group: GroupId) -> Result<(), Error> {
    session
        .execute("DELETE FROM component_counts WHERE customer_id = $1 AND group_id = $2", &[&customer, &group])
        .await?;
    Ok(())
}

/// How many components there are of a kind.
pub(super) async fn of_kind(session: &Session, customer: CustomerId, kind: Kind) -> Result<u64, Error> {
    session
        .row(
            "SELECT coalesce(sum(components), 0)::bigint FROM component_counts WHERE customer_id = $1 AND kind = $2",
            &[&customer, &kind],
        )
        .await?
        .count(0)
}
