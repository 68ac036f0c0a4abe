//! `key_uses`, the ledger, and `key_refusals` beside it. Uses and re-enrollments are written by
//! `enroll.rs`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::hours::Hours;
use crate::clock::{DAY, Timestamp};
use crate::domain::buckets::{HOUR, start_of};
use crate::domain::key::KeyName;
use crate::domain::ledger::{LedgerEntry, LedgerRow, Presence, RefusalSum, RefusalTally};
use crate::id::{ComponentId, CustomerId, ProvisioningKeyId};
use crate::store::codes;
use crate::store::encoding::Address;
use crate::store::{KeyUse, Page, PageRequest};

fn read(row: &Row<'_>) -> rusqlite::Result<LedgerRow> {
    let entry = match row.get(4)? {
        codes::USE => LedgerEntry::Use { component_id: row.get(5)?, device: presence(row, 6)? },
        codes::RE_ENROLLMENT => {
            LedgerEntry::ReEnrollment { component_id: row.get(5)?, old: presence(row, 9)?, new: presence(row, 6)? }
        }
        codes::RELEASE => LedgerEntry::Release { component_id: row.get(5)? },
        codes::CHECKPOINT => LedgerEntry::Checkpoint { uses: row.get(12)?, re_enrollments: row.get(13)? },
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(4, other)),
    };
    Ok(LedgerRow { customer_id: row.get(0)?, key_id: row.get(1)?, sequence: row.get(2)?, at: row.get(3)?, entry })
}

fn presence(row: &Row<'_>, first: usize) -> rusqlite::Result<Presence> {
    let Address(address) = row.get(first)?;
    Ok(Presence { address, public_key_hash: row.get(first + 1)?, serial: row.get(first + 2)? })
}

/// Newest first. Any page costs what is on it: sequences have no gaps, as what is purged is folded into the
/// first row that is left, so a row's place is known from its number.
pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    key: ProvisioningKeyId,
    page: PageRequest,
) -> rusqlite::Result<Page<KeyUse>> {
    let (first, last): (Option<i64>, Option<i64>) = connection
        .prepare_cached(
            "SELECT (SELECT min(sequence) FROM key_uses WHERE customer_id = ?1 AND key_id = ?2),
                 (SELECT max(sequence) FROM key_uses WHERE customer_id = ?1 AND key_id = ?2)",
        )?
        .query_row(params![customer, key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(Page { rows: Vec::new(), total: 0 }) };
    let (limit, offset) = page.bounds();
    let rows = connection
        .prepare_cached(&format!("{NAMED_ROWS} AND u.sequence <= ?3 ORDER BY u.sequence DESC LIMIT ?4"))?
        .query_map(params![customer, key, last.saturating_sub(offset), limit], read_named)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Page { rows, total: (last - first + 1).cast_unsigned() })
}

/// Oldest first.
pub(super) fn list_after(
    connection: &Connection,
    customer: CustomerId,
    key: ProvisioningKeyId,
    after: u64,
    limit: u32,
) -> rusqlite::Result<Vec<KeyUse>> {
    connection
        .prepare_cached(&format!("{NAMED_ROWS} AND u.sequence > ?3 ORDER BY u.sequence LIMIT ?4"))?
        .query_map(params![customer, key, after, limit], read_named)?
        .collect()
}

/// A key's rows with the names of their components.
const NAMED_ROWS: &str =
    "SELECT u.customer_id, u.key_id, u.sequence, u.at, u.entry, u.component_id, u.address, u.public_key_hash,
         u.serial, u.old_address, u.old_public_key_hash, u.old_serial, u.uses, u.re_enrollments, p.name
     FROM key_uses u LEFT JOIN components p ON p.id = u.component_id AND p.customer_id = u.customer_id
     WHERE u.customer_id = ?1 AND u.key_id = ?2";

fn read_named(row: &Row<'_>) -> rusqlite::Result<KeyUse> {
    Ok(KeyUse { row: read(row)?, component_name: row.get(14)? })
}

/// Newest first. The index has them in this order.
pub(super) fn list_re_enrollments(
    connection: &Connection,
    customer: CustomerId,
    component: ComponentId,
    limit: u32,
) -> rusqlite::Result<Vec<LedgerRow>> {
    connection
        .prepare_cached(
            "SELECT customer_id, key_id, sequence, at, entry, component_id, address, public_key_hash, serial,
                 old_address, old_public_key_hash, old_serial, uses, re_enrollments
             FROM key_uses WHERE customer_id = ?1 AND component_id = ?2 AND entry = 2
             ORDER BY at DESC, key_id DESC, sequence DESC LIMIT ?3",
        )?
        .query_map(params![customer, component, limit], read)?
        .collect()
}

pub(super) fn count_re_enrollments(
    connection: &Connection,
    customer: CustomerId,
    component: ComponentId,
    since: Timestamp,
) -> rusqlite::Result<u32> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM key_uses WHERE customer_id = ?1 AND component_id = ?2 AND at > ?3 AND entry = 2",
        )?
        .query_row(params![customer, component, since], |row| row.get(0))
}

/// Gives one use back. `false`: the key is gone, nothing was written.
pub(super) fn release(
    connection: &Connection,
    customer: CustomerId,
    key: ProvisioningKeyId,
    component: ComponentId,
    at: Timestamp,
) -> rusqlite::Result<bool> {
    let sequence: Option<u64> = connection
        .prepare_cached(
            "UPDATE key_counters SET uses = uses - 1, last_sequence = last_sequence + 1
             WHERE key_id = ?1 AND uses > 0 RETURNING last_sequence",
        )?
        .query_row([key], |row| row.get(0))
        .optional()?;
    let Some(sequence) = sequence else { return Ok(false) };
    connection
        .prepare_cached(
            "INSERT INTO key_uses (customer_id, key_id, sequence, entry, at, component_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![customer, key, sequence, codes::RELEASE, at, component])?;
    let mut hours = Hours::default();
    hours.add(customer, key, at, |tally| tally.releases += 1);
    hours.write(connection)?;
    Ok(true)
}

/// Adds to the tallies of keys that still exist, and lets each key's oldest rows go, and each customer's hours
/// of more than two days ago.
pub(super) fn add_refusals(connection: &Connection, tallies: &[RefusalTally], now: Timestamp) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO key_refusals (customer_id, key_id, minute, refusal, source, count, last_reference, last_reason)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
         WHERE EXISTS (SELECT 1 FROM provisioning_keys WHERE id = ?2 AND customer_id = ?1)
         ON CONFLICT DO UPDATE SET count = count + excluded.count, last_reference = excluded.last_reference,
             last_reason = excluded.last_reason",
    )?;
    let mut add_to_hour = connection.prepare_cached(
        "INSERT INTO refusal_hours (customer_id, hour, refusal, key_id, count, first_minute, last_minute)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
         ON CONFLICT DO UPDATE SET count = count + excluded.count,
             first_minute = min(first_minute, excluded.first_minute),
             last_minute = max(last_minute, excluded.last_minute)",
    )?;
    let mut hours = Hours::default();
    for tally in tallies {
        let added = add.execute(params![
            tally.customer_id,
            tally.key_id,
            tally.minute,
            tally.refusal,
            tally.source,
            tally.count,
            tally.last_reference,
            tally.last_reason,
        ])?;
        if added > 0 {
            hours.add(tally.customer_id, tally.key_id, tally.minute, |hour| hour.refusals += tally.count);
            let RefusalTally { customer_id, key_id, refusal, minute, count, .. } = tally;
            add_to_hour.execute(params![customer_id, start_of(*minute, HOUR), refusal, key_id, count, minute])?;
        }
    }
    hours.write(connection)?;
    let mut keys: Vec<_> = tallies.iter().map(|tally| (tally.customer_id, tally.key_id)).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut trim = connection.prepare_cached(
        "DELETE FROM key_refusals WHERE customer_id = ?1 AND key_id = ?2 AND (minute, refusal, source) IN (
             SELECT minute, refusal, source FROM key_refusals WHERE customer_id = ?1 AND key_id = ?2
             ORDER BY minute DESC, refusal DESC, source DESC LIMIT -1 OFFSET ?3)",
    )?;
    let mut forget = connection.prepare_cached("DELETE FROM refusal_hours WHERE customer_id = ?1 AND hour < ?2")?;
    for (customer, key) in keys {
        trim.execute(params![customer, key, codes::REFUSALS_MAX])?;
        forget.execute(params![customer, start_of(now.saturating_sub(2 * DAY), HOUR)])?;
    }
    Ok(())
}

/// By code, the most frequent first.
pub(super) fn sum_refusals(
    connection: &Connection,
    customer: CustomerId,
    since: Timestamp,
) -> rusqlite::Result<Vec<RefusalSum>> {
    connection
        .prepare_cached(
            "SELECT refusal, total, last_minute, id, kind, name, count FROM (
                 SELECT r.refusal, r.count, k.id, k.kind, k.name,
                     sum(r.count) OVER of_refusal AS total, max(r.last_minute) OVER of_refusal AS last_minute,
                     row_number() OVER (PARTITION BY r.refusal ORDER BY k.id IS NULL, r.count DESC, r.key_id) AS place
                 FROM (SELECT refusal, key_id, sum(count) AS count, max(last_minute) AS last_minute
                       FROM refusal_hours WHERE customer_id = ?1 AND hour >= ?2 GROUP BY refusal, key_id) r
                     LEFT JOIN provisioning_keys k ON k.id = r.key_id AND k.customer_id = ?1
                 WINDOW of_refusal AS (PARTITION BY r.refusal))
             WHERE place = 1 ORDER BY total DESC, refusal",
        )?
        .query_map(params![customer, start_of(since, HOUR)], |row| {
            let id: Option<ProvisioningKeyId> = row.get(3)?;
            let most_refused = match id {
                Some(id) => Some((KeyName { id, kind: row.get(4)?, name: row.get(5)? }, row.get(6)?)),
                None => None,
            };
            Ok(RefusalSum { refusal: row.get(0)?, count: row.get(1)?, last_minute: row.get(2)?, most_refused })
        })?
        .collect()
}

/// Newest minute first.
pub(super) fn list_refusals(
    connection: &Connection,
    customer: CustomerId,
    key: ProvisioningKeyId,
) -> rusqlite::Result<Vec<RefusalTally>> {
    connection
        .prepare_cached(
            "SELECT customer_id, key_id, refusal, source, minute, count, last_reference, last_reason
             FROM key_refusals WHERE customer_id = ?1 AND key_id = ?2 ORDER BY minute DESC, refusal, source",
        )?
        .query_map(params![customer, key], |row| {
            Ok(RefusalTally {
                customer_id: row.get(0)?,
                key_id: row.get(1)?,
                refusal: row.get(2)?,
                source: row.get(3)?,
                minute: row.get(4)?,
                count: row.get(5)?,
                last_reference: row.get(6)?,
                last_reason: row.get(7)?,
            })
        })?
        .collect()
}
