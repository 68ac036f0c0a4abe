//! `clean_up_schedules`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::customers;
use super::errors::ApplyError;
use crate::domain::{CleanUpSchedule, Kind, Revision};
use crate::id::{CleanUpScheduleId, CustomerId};
use crate::store::revisions::next_revision;
use crate::store::rows::CLEAN_UP_SCHEDULE as COLUMNS;
use crate::store::{BrokenRule, ObjectRef};

fn read(row: &Row<'_>) -> rusqlite::Result<CleanUpSchedule> {
    Ok(CleanUpSchedule {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        kind: row.get(2)?,
        enabled: row.get(3)?,
        delete_disabled: row.get(4)?,
        days: row.get(5)?,
        created_at: row.get(6)?,
        modified_at: row.get(7)?,
        modified_by: row.get(8)?,
        revision: row.get(9)?,
    })
}

pub(super) fn find(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
) -> rusqlite::Result<Option<CleanUpSchedule>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM clean_up_schedules WHERE customer_id = ?1 AND kind = ?2"))?
        .query_row(params![customer, kind], read)
        .optional()
}

pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<CleanUpSchedule>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM clean_up_schedules ORDER BY customer_id, kind"))?
        .query_map([], read)?
        .collect()
}

pub(super) fn insert(connection: &Connection, schedule: &CleanUpSchedule) -> Result<ObjectRef, ApplyError> {
    customers::require(connection, schedule.customer_id, false)?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO clean_up_schedules (id, customer_id, revision, kind, enabled, delete_disabled, days,
                 created_at, modified_at, modified_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (customer_id, kind) DO NOTHING",
        )?
        .execute(params![
            schedule.id,
            schedule.customer_id,
            Revision::FIRST,
            schedule.kind,
            schedule.enabled,
            schedule.delete_disabled,
            schedule.days,
            schedule.created_at,
            schedule.modified_at,
            schedule.modified_by,
        ])?;
    if inserted == 0 {
        return Err(BrokenRule::DuplicateName.into());
    }
    Ok(ObjectRef::CleanUpSchedule(schedule.customer_id, schedule.id))
}

pub(super) fn update(connection: &Connection, schedule: &CleanUpSchedule) -> Result<ObjectRef, ApplyError> {
    let found = revision(connection, schedule.customer_id, schedule.id)?;
    let next = next_revision(found, schedule.revision)?;
    connection
        .prepare_cached(
            "UPDATE clean_up_schedules SET revision = ?2, enabled = ?3, delete_disabled = ?4, days = ?5,
                 modified_at = ?6, modified_by = ?7
             WHERE id = ?1",
        )?
        .execute(params![
            schedule.id,
            next,
            schedule.enabled,
            schedule.delete_disabled,
            schedule.days,
            schedule.modified_at,
            schedule.modified_by,
        ])?;
    Ok(ObjectRef::CleanUpSchedule(schedule.customer_id, schedule.id))
}

/// What a clean-up hangs on.
pub(super) fn require(
    connection: &Connection,
    customer: CustomerId,
    (id, seen): (CleanUpScheduleId, Revision),
) -> Result<(), ApplyError> {
    let is_as_seen = revision(connection, customer, id)? == Some(seen);
    if is_as_seen { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "clean-up schedule" }.into()) }
}

fn revision(
    connection: &Connection,
    customer: CustomerId,
    id: CleanUpScheduleId,
) -> rusqlite::Result<Option<Revision>> {
    connection
        .prepare_cached("SELECT revision FROM clean_up_schedules WHERE id = ?1 AND customer_id = ?2")?
        .query_row(params![id, customer], |row| row.get(0))
        .optional()
}
