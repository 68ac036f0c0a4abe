//! `audit_events` and `audit_heads`: one chain per customer.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::lists;
use crate::clock::Timestamp;
use crate::domain::audit::{AuditEvent, AuditKey, AuditMac, AuditRow, CHAIN_START};
use crate::id::CustomerId;
use crate::store::lists::{Dialect, List};
use crate::store::rows::AUDIT_ROW as COLUMNS;
use crate::store::{AuditQuery, Page};

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        sequence: row.get(0)?,
        event: AuditEvent {
            customer_id: row.get(1)?,
            at: row.get(2)?,
            actor_type: row.get(3)?,
            actor_id: row.get(4)?,
            actor_name: row.get(5)?,
            action: row.get(6)?,
            object_type: row.get(7)?,
            object_id: row.get(8)?,
            object_name: row.get(9)?,
            before: row.get(10)?,
            after: row.get(11)?,
        },
        mac: row.get(12)?,
    })
}

/// Appends to the chain of the event's customer and moves its head.
pub(super) fn append(connection: &Connection, event: &AuditEvent, key: &AuditKey) -> rusqlite::Result<()> {
    let (last, previous) = find_head(connection, event.customer_id)?.unwrap_or((0, CHAIN_START));
    let sequence = last + 1;
    let mac = key.mac(&previous, sequence, event);
    connection
        .prepare_cached(
            "INSERT INTO audit_events (customer_id, sequence, at, actor_type, actor_id, actor_name, action,
                 object_type, object_id, object_name, before, after, mac)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            event.customer_id,
            sequence,
            event.at,
            event.actor_type,
            event.actor_id,
            event.actor_name,
            event.action,
            event.object_type,
            event.object_id,
            event.object_name,
            event.before,
            event.after,
            mac,
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO audit_heads (customer_id, sequence, mac) VALUES (?1, ?2, ?3)
             ON CONFLICT (customer_id) DO UPDATE SET sequence = excluded.sequence, mac = excluded.mac",
        )?
        .execute(params![event.customer_id, sequence, mac])?;
    Ok(())
}

pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    after: u64,
    limit: u32,
) -> rusqlite::Result<Vec<AuditRow>> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM audit_events WHERE customer_id = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3"
        ))?
        .query_map(params![customer, after, limit], read)?
        .collect()
}

/// Newest first. Without conditions a page costs the same whatever its number, as sequences have no
/// gaps; with them the chain is read from its end, but for an object's own events, to which an index leads.
pub(super) fn search(
    connection: &Connection,
    customer: CustomerId,
    query: &AuditQuery,
    now: Timestamp,
) -> rusqlite::Result<Page<AuditRow>> {
    if !query.conditions.is_empty() {
        let list = List::of_customer(COLUMNS, "audit_events", customer, Dialect::Sqlite { now });
        return lists::page_ordered_by(connection, list, &query.conditions, "sequence DESC", query.page, read);
    }
    let total = find_head(connection, customer)?.map_or(0, |(sequence, _)| sequence);
    let (limit, _) = query.page.bounds();
    let rows = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM audit_events WHERE customer_id = ?1 AND sequence <= ?2
             ORDER BY sequence DESC LIMIT {limit}"
        ))?
        .query_map(params![customer, total.saturating_sub(query.page.offset)], read)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Page { rows, total })
}

/// Sequence and MAC of a chain's last row, as they are kept apart from it.
pub(super) fn find_head(connection: &Connection, customer: CustomerId) -> rusqlite::Result<Option<(u64, AuditMac)>> {
    connection
        .prepare_cached("SELECT sequence, mac FROM audit_heads WHERE customer_id = ?1")?
        .query_row([customer], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// All customers that have rows or a head.
pub(super) fn list_chains(connection: &Connection) -> rusqlite::Result<Vec<CustomerId>> {
    connection
        .prepare_cached(
            "SELECT customer_id FROM audit_heads UNION SELECT customer_id FROM audit_events ORDER BY customer_id",
        )?
        .query_map([], |row| row.get(0))?
        .collect()
}
