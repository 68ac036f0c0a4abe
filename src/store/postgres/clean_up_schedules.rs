//! `clean_up_schedules`.

use super::customers;
use super::encoding::Count;
use super::errors::{ApplyError, Error};
use super::session::{Row, Session};
use crate::domain::{CleanUpSchedule, Kind, Revision};
use crate::id::{CleanUpScheduleId, CustomerId};
use crate::store::revisions::next_revision;
use crate::store::rows::CLEAN_UP_SCHEDULE as COLUMNS;
use crate::store::{BrokenRule, ObjectRef};

fn read(row: &Row) -> Result<CleanUpSchedule, Error> {
    Ok(CleanUpSchedule {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        kind: row.get(2)?,
        enabled: row.get(3)?,
        delete_disabled: row.get(4)?,
        days: row.get(5)?,
        created_at: row.get(6)?,
        modified_at: row.get(7)?,
        modified_by: row.count_or_none(8)?,
        revision: row.get(9)?,
    })
}

pub(super) async fn find(
    session: &Session,
    customer: CustomerId,
    kind: Kind,
) -> Result<Option<CleanUpSchedule>, Error> {
    session
        .find(
            &format!("SELECT {COLUMNS} FROM clean_up_schedules WHERE customer_id = $1 AND kind = $2"),
            &[&customer, &kind],
            read,
        )
        .await
}

pub(super) async fn list(session: &Session) -> Result<Vec<CleanUpSchedule>, Error> {
    session.list(&format!("SELECT {COLUMNS} FROM clean_up_schedules ORDER BY customer_id, kind"), &[], read).await
}

pub(super) async fn insert(session: &Session, schedule: &CleanUpSchedule) -> Result<ObjectRef, ApplyError> {
    customers::require(session, schedule.customer_id, false).await?;
    let inserted = session
        .execute(
            "INSERT INTO clean_up_schedules (id, customer_id, revision, kind, enabled, delete_disabled, days,
                 created_at, modified_at, modified_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (customer_id, kind) DO NOTHING",
            &[
                &schedule.id,
                &schedule.customer_id,
                &Revision::FIRST,
                &schedule.kind,
                &schedule.enabled,
                &schedule.delete_disabled,
                &schedule.days,
                &schedule.created_at,
                &schedule.modified_at,
                &schedule.modified_by.map(Count),
            ],
        )
        .await?;
    if inserted == 0 {
        return Err(BrokenRule::DuplicateName.into());
    }
    Ok(ObjectRef::CleanUpSchedule(schedule.customer_id, schedule.id))
}

pub(super) async fn update(session: &Session, schedule: &CleanUpSchedule) -> Result<ObjectRef, ApplyError> {
    let found = revision(session, schedule.customer_id, schedule.id).await?;
    let next = next_revision(found, schedule.revision)?;
    session
        .execute(
            "UPDATE clean_up_schedules SET revision = $3, enabled = $4, delete_disabled = $5, days = $6,
                 modified_at = $7, modified_by = $8
             WHERE customer_id = $1 AND id = $2",
            &[
                &schedule.customer_id,
                &schedule.id,
                &next,
                &schedule.enabled,
                &schedule.delete_disabled,
                &schedule.days,
                &schedule.modified_at,
                &schedule.modified_by.map(Count),
            ],
        )
        .await?;
    Ok(ObjectRef::CleanUpSchedule(schedule.customer_id, schedule.id))
}

/// What a clean-up hangs on.
pub(super) async fn require(
    session: &Session,
    customer: CustomerId,
    (id, seen): (CleanUpScheduleId, Revision),
) -> Result<(), ApplyError> {
    let is_as_seen = revision(session, customer, id).await? == Some(seen);
    if is_as_seen { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "clean-up schedule" }.into()) }
}

async fn revision(session: &Session, customer: CustomerId, id: CleanUpScheduleId) -> Result<Option<Revision>, Error> {
    session
        .find("SELECT revision FROM clean_up_schedules WHERE customer_id = $1 AND id = $2", &[&customer, &id], |row| {
            row.get(0)
        })
        .await
}
