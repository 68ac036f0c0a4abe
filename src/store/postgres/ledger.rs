//! `key_uses`, the ledger, and `key_refusals` beside it. Uses and re-enrollments are written by
//! `enroll.rs`.

use super::encoding::Count;
use super::errors::Error;
use super::session::{Row, Session, Values, columns_of};
use super::{StoreClock, hours};
use crate::clock::{DAY, Timestamp};
use crate::domain::buckets::{HOUR, start_of};
use crate::domain::key::KeyName;
use crate::domain::ledger::{HourTally, LedgerEntry, LedgerRow, Presence, RefusalSum, RefusalTally};
use crate::id::{ComponentId, CustomerId, ProvisioningKeyId};
use crate::store::codes;
use crate::store::encoding::{Address, unreadable};
use crate::store::{KeyUse, Page, PageRequest};

const COLUMNS: &str = "customer_id, key_id, sequence, at, entry, component_id, address, public_key_hash, serial, \
                       old_address, old_public_key_hash, old_serial, uses, re_enrollments";

/// The column after those of [`COLUMNS`].
const COLUMNS_END: usize = 14;

fn read(row: &Row) -> Result<LedgerRow, Error> {
    let entry = match row.get(4)? {
        codes::USE => LedgerEntry::Use { component_id: row.get(5)?, device: presence(row, 6)? },
        codes::RE_ENROLLMENT => {
            LedgerEntry::ReEnrollment { component_id: row.get(5)?, old: presence(row, 9)?, new: presence(row, 6)? }
        }
        codes::RELEASE => LedgerEntry::Release { component_id: row.get(5)? },
        codes::CHECKPOINT => LedgerEntry::Checkpoint { uses: row.count(12)?, re_enrollments: row.count(13)? },
        other => return Err(unreadable("ledger entry", &other).into()),
    };
    Ok(LedgerRow { customer_id: row.get(0)?, key_id: row.get(1)?, sequence: row.count(2)?, at: row.get(3)?, entry })
}

fn presence(row: &Row, first: usize) -> Result<Presence, Error> {
    let Address(address) = row.get(first)?;
    Ok(Presence { address, public_key_hash: row.bytes(first + 1)?, serial: row.get(first + 2)? })
}

/// Newest first. Any page costs what is on it: sequences have no gaps, as what is purged is folded into the
/// first row that is left, so a row's place is known from its number.
pub(super) async fn list(
    session: &Session,
    customer: CustomerId,
    key: ProvisioningKeyId,
    page: PageRequest,
) -> Result<Page<KeyUse>, Error> {
    let ends = session
        .row(
            "SELECT min(sequence), max(sequence) FROM key_uses WHERE customer_id = $1 AND key_id = $2",
            &[&customer, &key],
        )
        .await?;
    let (first, last): (Option<u64>, Option<u64>) = (ends.count_or_none(0)?, ends.count_or_none(1)?);
    let (Some(first), Some(last)) = (first, last) else { return Ok(Page { rows: Vec::new(), total: 0 }) };
    let rows = session
        .list(
            &format!("{} AND u.sequence <= $3 ORDER BY u.sequence DESC LIMIT $4", named_rows()),
            &[
                &customer,
                &key,
                &Count(last.saturating_sub(page.offset)),
                &Count(page.limit.clamp(1, PageRequest::LIMIT_MAX)),
            ],
            read_named,
        )
        .await?;
    Ok(Page { rows, total: last - first + 1 })
}

/// Oldest first.
pub(super) async fn list_after(
    session: &Session,
    customer: CustomerId,
    key: ProvisioningKeyId,
    after: u64,
    limit: u32,
) -> Result<Vec<KeyUse>, Error> {
    session
        .list(
            &format!("{} AND u.sequence > $3 ORDER BY u.sequence LIMIT $4", named_rows()),
            &[&customer, &key, &Count(after), &Count(limit)],
            read_named,
        )
        .await
}

/// A key's rows with the names of their components.
fn named_rows() -> String {
    format!(
        "SELECT {}, p.name
         FROM key_uses u LEFT JOIN components p ON p.customer_id = u.customer_id AND p.id = u.component_id
         WHERE u.customer_id = $1 AND u.key_id = $2",
        columns_of("u", COLUMNS)
    )
}

fn read_named(row: &Row) -> Result<KeyUse, Error> {
    Ok(KeyUse { row: read(row)?, component_name: row.get(COLUMNS_END)? })
}

/// Newest first. The index has them in this order.
pub(super) async fn list_re_enrollments(
    session: &Session,
    customer: CustomerId,
    component: ComponentId,
    limit: u32,
) -> Result<Vec<LedgerRow>, Error> {
    session
        .list(
            &format!(
                "SELECT {COLUMNS} FROM key_uses WHERE customer_id = $1 AND component_id = $2 AND entry = 2
                 ORDER BY at DESC, key_id DESC, sequence DESC LIMIT $3"
            ),
            &[&customer, &component, &Count(limit)],
            read,
        )
        .await
}

/// Gives one use back. `false`: the key is gone, nothing was written. The key's lock is held.
pub(super) async fn release(
    session: &Session,
    customer: CustomerId,
    key: ProvisioningKeyId,
    component: ComponentId,
    at: Timestamp,
) -> Result<bool, Error> {
    let sequence: Option<u64> = session
        .find(
            "UPDATE key_counters SET uses = uses - 1, last_sequence = last_sequence + 1
             WHERE customer_id = $1 AND key_id = $2 AND uses > 0 RETURNING last_sequence",
            &[&customer, &key],
            |row| row.count(0),
        )
        .await?;
    let Some(sequence) = sequence else { return Ok(false) };
    session
        .execute(
            "INSERT INTO key_uses (customer_id, key_id, sequence, entry, at, component_id)
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[&customer, &key, &Count(sequence), &codes::RELEASE, &at, &component],
        )
        .await?;
    let released = HourTally { releases: 1, ..HourTally::empty(start_of(at, HOUR)) };
    hours::add(session, customer, key, released).await?;
    Ok(true)
}

/// Tallies of refusals that one statement writes: so long its rows are locked, which are the hours that
/// enrollments of the same keys add to.
const REFUSALS_AT_ONCE: usize = 500;

/// How often a statement is tried that gives way to another transaction.
const TRIES: u32 = 4;

/// Adds to the tallies of keys that still exist, and lets each key's oldest rows go, and each customer's hours
/// of more than two days ago.
///
/// Takes no key's lock, so that it never stands behind a queue of enrollments. It is a statement for every
/// customer and [`REFUSALS_AT_ONCE`], each a transaction of its own.
pub(super) async fn add_refusals(
    session: &Session,
    mut tallies: Vec<RefusalTally>,
    clock: &StoreClock,
) -> Result<(), Error> {
    tallies.sort_by_key(|tally| tally.customer_id);
    for of_customer in tallies.chunk_by(|a, b| a.customer_id == b.customer_id) {
        let customer = of_customer[0].customer_id;
        for part in of_customer.chunks(REFUSALS_AT_ONCE) {
            add_refusals_of(session, customer, part).await?;
        }
        let forget =
            format!("DELETE FROM refusal_hours WHERE customer_id = $1 AND hour <= (SELECT {} - $3)", super::now("$2"));
        let forgotten = (2 * DAY + HOUR).as_secs();
        persist(session, &forget, &[&customer, &clock.given(), &Count(forgotten)]).await?;
    }
    Ok(())
}

/// The rows of the keys are shared until the statement ends, which nothing but a key's deletion waits for: that
/// then finds what was written and takes it along. If the deletion came first, the key is not there any more.
async fn add_refusals_of(session: &Session, customer: CustomerId, tallies: &[RefusalTally]) -> Result<(), Error> {
    let mut keys: Vec<_> = tallies.iter().map(|tally| tally.key_id).collect();
    persist(
        session,
        "WITH told AS (
             SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                 $8::text[]) WITH ORDINALITY
                 AS told (key_id, minute, refusal, source, count, last_reference, last_reason, place)),
         keys AS MATERIALIZED (
             SELECT id FROM provisioning_keys
             WHERE customer_id = $1 AND id = ANY ($2) ORDER BY id FOR KEY SHARE),
         tallies AS MATERIALIZED (
             SELECT key_id, minute, refusal, source, sum(count)::bigint AS count,
                 (array_agg(last_reference ORDER BY place DESC))[1] AS last_reference,
                 (array_agg(last_reason ORDER BY place DESC))[1] AS last_reason
             FROM told JOIN keys ON keys.id = key_id GROUP BY key_id, minute, refusal, source),
         of_keys AS (
             INSERT INTO key_hours AS h (customer_id, key_id, hour, uses, releases, re_enrollments, refusals)
             SELECT $1, key_id, minute - minute % 3600, 0, 0, 0, sum(count)::bigint FROM tallies
             GROUP BY 2, 3 ORDER BY 2, 3
             ON CONFLICT (customer_id, key_id, hour) DO UPDATE SET refusals = h.refusals + excluded.refusals),
         of_codes AS (
             INSERT INTO refusal_hours AS h (customer_id, hour, refusal, key_id, count, first_minute, last_minute)
             SELECT $1, minute - minute % 3600, refusal, key_id, sum(count)::bigint, min(minute), max(minute)
             FROM tallies GROUP BY 2, 3, 4 ORDER BY 2, 3, 4
             ON CONFLICT (customer_id, hour, refusal, key_id) DO UPDATE SET count = h.count + excluded.count,
                 first_minute = least(h.first_minute, excluded.first_minute),
                 last_minute = greatest(h.last_minute, excluded.last_minute))
         INSERT INTO key_refusals AS r (customer_id, key_id, minute, refusal, source, count, last_reference,
             last_reason)
         SELECT $1, key_id, minute, refusal, source, count, last_reference, last_reason FROM tallies
         ORDER BY key_id, minute, refusal, source
         ON CONFLICT (customer_id, key_id, minute, refusal, source) DO UPDATE SET count = r.count + excluded.count,
             last_reference = excluded.last_reference, last_reason = excluded.last_reason",
        &[
            &customer,
            &keys,
            &tallies.iter().map(|tally| tally.minute).collect::<Vec<_>>(),
            &tallies.iter().map(|tally| tally.refusal).collect::<Vec<_>>(),
            &tallies.iter().map(|tally| tally.source).collect::<Vec<_>>(),
            &tallies.iter().map(|tally| Count(tally.count)).collect::<Vec<_>>(),
            &tallies.iter().map(|tally| &tally.last_reference).collect::<Vec<_>>(),
            &tallies.iter().map(|tally| &tally.last_reason).collect::<Vec<_>>(),
        ],
    )
    .await?;
    keys.sort_unstable();
    keys.dedup();
    persist(
        session,
        "DELETE FROM key_refusals r
         USING unnest($2::bigint[]) AS k (id), LATERAL (
             SELECT o.minute, o.refusal, o.source FROM key_refusals o WHERE o.customer_id = $1 AND o.key_id = k.id
             ORDER BY o.minute DESC, o.refusal DESC, o.source DESC OFFSET $3 LIMIT 1) AS last
         WHERE r.customer_id = $1 AND r.key_id = k.id
             AND (r.minute, r.refusal, r.source) <= (last.minute, last.refusal, last.source)",
        &[&customer, &keys, &Count(codes::REFUSALS_MAX)],
    )
    .await
}

/// Runs a statement that is a transaction of its own, again when it gave way to another one.
async fn persist(session: &Session, sql: &str, values: Values<'_>) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        match session.execute(sql, values).await {
            Err(error) if error.is_conflict() && tries < TRIES => tries += 1,
            executed => return executed.map(drop),
        }
    }
}

/// By code, the most frequent first.
pub(super) async fn sum_refusals(
    session: &Session,
    customer: CustomerId,
    since: Timestamp,
) -> Result<Vec<RefusalSum>, Error> {
    session
        .list(
            "SELECT refusal, total::bigint, last_minute, id, kind, name, count FROM (
                 SELECT r.refusal, r.count, k.id, k.kind, k.name,
                     sum(r.count) OVER of_refusal AS total, max(r.last_minute) OVER of_refusal AS last_minute,
                     row_number() OVER (PARTITION BY r.refusal ORDER BY k.id IS NULL, r.count DESC, r.key_id) AS place
                 FROM (SELECT refusal, key_id, sum(count)::bigint AS count, max(last_minute) AS last_minute
                       FROM refusal_hours WHERE customer_id = $1 AND hour >= $2 GROUP BY refusal, key_id) AS r
                     LEFT JOIN provisioning_keys k ON k.customer_id = $1 AND k.id = r.key_id
                 WINDOW of_refusal AS (PARTITION BY r.refusal)) AS sums
             WHERE place = 1 ORDER BY total DESC, refusal",
            &[&customer, &start_of(since, HOUR)],
            |row| {
                let id: Option<ProvisioningKeyId> = row.get(3)?;
                let most_refused = match id {
                    Some(id) => Some((KeyName { id, kind: row.get(4)?, name: row.get(5)? }, row.count(6)?)),
                    None => None,
                };
                Ok(RefusalSum { refusal: row.get(0)?, count: row.count(1)?, last_minute: row.get(2)?, most_refused })
            },
        )
        .await
}

/// Newest minute first.
pub(super) async fn list_refusals(
    session: &Session,
    customer: CustomerId,
    key: ProvisioningKeyId,
) -> Result<Vec<RefusalTally>, Error> {
    session
        .list(
            "SELECT customer_id, key_id, refusal, source, minute, count, last_reference, last_reason
             FROM key_refusals WHERE customer_id = $1 AND key_id = $2 ORDER BY minute DESC, refusal, source",
            &[&customer, &key],
            |row| {
                Ok(RefusalTally {
                    customer_id: row.get(0)?,
                    key_id: row.get(1)?,
                    refusal: row.get(2)?,
                    source: row.get(3)?,
                    minute: row.get(4)?,
                    count: row.count(5)?,
                    last_reference: row.get(6)?,
                    last_reason: row.get(7)?,
                })
            },
        )
        .await
}
