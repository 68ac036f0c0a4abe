//! `audit_events` and `audit_heads`: one chain per customer.

use super::encoding::{Count, Exactly};
use super::errors::Error;
use super::session::{Row, Session};
use crate::domain::audit::{AuditEvent, AuditKey, AuditMac, AuditRow, CHAIN_START};
use crate::id::CustomerId;
pub(super) use crate::store::rows::AUDIT_ROW as COLUMNS;

pub(super) fn read(row: &Row) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        sequence: row.count(0)?,
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
        mac: row.bytes(12)?,
    })
}

/// Appends to the chain of the event's customer and moves its head.
pub(super) async fn append(session: &Session, event: &AuditEvent, key: &AuditKey) -> Result<(), Error> {
    let (last, previous) = find_head(session, event.customer_id).await?.unwrap_or((0, CHAIN_START));
    let sequence = last + 1;
    let mac = key.mac(&previous, sequence, event);
    session
        .execute(
            "WITH head AS (
                 INSERT INTO audit_heads (customer_id, sequence, mac) VALUES ($1, $2, $13)
                 ON CONFLICT (customer_id) DO UPDATE SET sequence = excluded.sequence, mac = excluded.mac)
             INSERT INTO audit_events (customer_id, sequence, at, actor_type, actor_id, actor_name, action,
                 object_type, object_id, object_name, before, after, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            &[
                &event.customer_id,
                &Count(sequence),
                &event.at,
                &event.actor_type,
                &event.actor_id,
                &event.actor_name,
                &event.action,
                &event.object_type,
                &event.object_id,
                &event.object_name,
                &event.before,
                &event.after,
                &Exactly(mac),
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn list(
    session: &Session,
    customer: CustomerId,
    after: u64,
    limit: u32,
) -> Result<Vec<AuditRow>, Error> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    session
        .list(
            &format!(
                "SELECT {COLUMNS} FROM audit_events WHERE customer_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
            ),
            &[&customer, &after, &Count(limit)],
            read,
        )
        .await
}

/// Sequence and MAC of a chain's last row, as they are kept apart from it.
pub(super) async fn find_head(session: &Session, customer: CustomerId) -> Result<Option<(u64, AuditMac)>, Error> {
    session
        .find("SELECT sequence, mac FROM audit_heads WHERE customer_id = $1", &[&customer], |row| {
            Ok((row.count(0)?, row.bytes(1)?))
        })
        .await
}

/// All customers that have rows or a head.
pub(super) async fn list_chains(session: &Session) -> Result<Vec<CustomerId>, Error> {
    session
        .list(
            "SELECT customer_id FROM audit_heads UNION SELECT customer_id FROM audit_events ORDER BY customer_id",
            &[],
            |row| row.get(0),
        )
        .await
}
