//! `webhooks`, `webhook_deliveries` and `webhook_marks`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::errors::ApplyError;
use super::{customers, lists};
use crate::clock::Timestamp;
use crate::domain::key::KeyName;
use crate::domain::webhook::{
    DELIVERIES_SHOWN, DeliveryState, QUEUE_MAX, WEBHOOKS_MAX, WebhookMark, probe_pause, retry_pause,
};
use crate::domain::{Revision, Webhook, WebhookDelivery, WebhookEvent};
use crate::id::{CustomerId, ProvisioningKeyId, WebhookDeliveryId, WebhookId};
use crate::store::lists::{Dialect, List};
use crate::store::revisions::{next_revision, require_revision};
use crate::store::rows::{WEBHOOK as COLUMNS, WEBHOOK_DELIVERY as DELIVERY_COLUMNS, look_column};
use crate::store::{
    BrokenRule, ClaimedDelivery, DeliveryAttempt, ListQuery, Page, PageRequest, ServedWebhook, UntoldLedger,
    WebhookField, WebhookNews,
};

fn read(row: &Row<'_>) -> rusqlite::Result<Webhook> {
    Ok(Webhook {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        name: row.get(2)?,
        url: row.get(3)?,
        events: row.get(4)?,
        sealed_secret: row.get(5)?,
        enabled: row.get(6)?,
        since: row.get(7)?,
        last_success_at: row.get(8)?,
        last_failure_at: row.get(9)?,
        last_failure: row.get(10)?,
        failing_since: row.get(11)?,
        created_at: row.get(12)?,
        modified_at: row.get(13)?,
        modified_by: row.get(14)?,
        revision: row.get(15)?,
    })
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<WebhookDelivery> {
    Ok(WebhookDelivery {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        webhook_id: row.get(2)?,
        event: row.get(3)?,
        payload: row.get(4)?,
        created_at: row.get(5)?,
        state: row.get(6)?,
        attempts: row.get(7)?,
        next_at: row.get(8)?,
        last_result: row.get(9)?,
    })
}

pub(super) fn find(connection: &Connection, customer: CustomerId, id: WebhookId) -> rusqlite::Result<Option<Webhook>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM webhooks WHERE id = ?1 AND customer_id = ?2"))?
        .query_row(params![id, customer], read)
        .optional()
}

pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    query: &ListQuery<WebhookField>,
    now: Timestamp,
) -> rusqlite::Result<Page<Webhook>> {
    let list = List::of_customer(COLUMNS, "webhooks", customer, Dialect::Sqlite { now });
    lists::page(connection, list, query, read)
}

pub(super) fn list_served(connection: &Connection) -> rusqlite::Result<Vec<ServedWebhook>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, attention_looks, component_looks, (
                 SELECT count(*) FROM webhook_deliveries d
                 WHERE d.customer_id = w.customer_id AND d.webhook_id = w.id AND d.state = 1)
             FROM webhooks w WHERE enabled ORDER BY id"
        ))?
        .query_map([], |row| {
            Ok(ServedWebhook {
                webhook: read(row)?,
                attention_looks: row.get(16)?,
                component_looks: row.get(17)?,
                waiting: row.get(18)?,
            })
        })?
        .collect()
}

pub(super) fn insert(connection: &Connection, row: &Webhook) -> Result<(), ApplyError> {
    customers::require(connection, row.customer_id, false)?;
    require_free_name(connection, row)?;
    let count: u32 = connection
        .prepare_cached("SELECT count(*) FROM webhooks WHERE customer_id = ?1")?
        .query_row([row.customer_id], |row| row.get(0))?;
    if count >= WEBHOOKS_MAX {
        return Err(BrokenRule::Full { limit: WEBHOOKS_MAX }.into());
    }
    connection
        .prepare_cached(
            "INSERT INTO webhooks (id, customer_id, revision, name, url, events, sealed_secret, enabled, since,
                 created_at, modified_at, modified_by, attention_looks, component_looks, last_failure, failures)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, 0, '', 0)",
        )?
        .execute(params![
            row.id,
            row.customer_id,
            Revision::FIRST,
            row.name,
            row.url,
            row.events,
            row.sealed_secret,
            row.enabled,
            row.since,
            row.created_at,
            row.modified_at,
            row.modified_by,
        ])?;
    Ok(())
}

pub(super) fn update(connection: &Connection, row: &Webhook) -> Result<(), ApplyError> {
    let found = find(connection, row.customer_id, row.id)?.ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(found.revision), row.revision)?;
    require_free_name(connection, row)?;
    connection
        .prepare_cached(
            "UPDATE webhooks SET revision = ?2, name = ?3, url = ?4, events = ?5, enabled = ?6,
                 since = ?7, modified_at = ?8, modified_by = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            row.id,
            next,
            row.name,
            row.url,
            row.events,
            row.enabled,
            row.since,
            row.modified_at,
            row.modified_by,
        ])?;
    if row.begins_anew(&found) {
        connection
            .prepare_cached("UPDATE webhooks SET failing_since = NULL, failures = 0 WHERE id = ?1")?
            .execute([row.id])?;
        set_due(connection, row.customer_id, row.id, Some(row.modified_at))?;
    }
    if row.since != found.since {
        connection
            .prepare_cached("DELETE FROM webhook_marks WHERE customer_id = ?1 AND webhook_id = ?2 AND event = ?3")?
            .execute(params![row.customer_id, row.id, WebhookMark::OF_LEDGER])?;
    }
    Ok(())
}

pub(super) fn delete(
    connection: &Connection,
    customer: CustomerId,
    id: WebhookId,
    revision: Option<Revision>,
) -> Result<(), ApplyError> {
    let found = find(connection, customer, id)?.ok_or(BrokenRule::NotFound)?;
    require_revision(found.revision, revision)?;
    connection.prepare_cached("DELETE FROM webhooks WHERE id = ?1")?.execute([id])?;
    for table in ["webhook_deliveries", "webhook_marks"] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE customer_id = ?1 AND webhook_id = ?2"))?
            .execute(params![customer, id])?;
    }
    Ok(())
}

pub(super) fn insert_test(connection: &Connection, row: &WebhookDelivery) -> Result<(), ApplyError> {
    // Whoever asks for it waits for it.
    let found = connection
        .prepare_cached(
            "UPDATE webhooks SET due_at = min(coalesce(due_at, ?3), ?3) WHERE id = ?1 AND customer_id = ?2",
        )?
        .execute(params![row.webhook_id, row.customer_id, row.next_at])?;
    if found == 0 {
        return Err(BrokenRule::NotFound.into());
    }
    connection
        .prepare_cached(
            "DELETE FROM webhook_deliveries
             WHERE customer_id = ?1 AND webhook_id = ?2 AND state = 1 AND event = ?3",
        )?
        .execute(params![row.customer_id, row.webhook_id, WebhookEvent::Test])?;
    Ok(insert_delivery(connection, row)?)
}

fn insert_delivery(connection: &Connection, row: &WebhookDelivery) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO webhook_deliveries ({DELIVERY_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        ))?
        .execute(params![
            row.id,
            row.customer_id,
            row.webhook_id,
            row.event,
            row.payload,
            row.created_at,
            row.state,
            row.attempts,
            row.next_at,
            row.last_result,
        ])?;
    Ok(())
}

fn require_free_name(connection: &Connection, row: &Webhook) -> Result<(), ApplyError> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM webhooks WHERE customer_id = ?1 AND name = ?2 AND id <> ?3")?
        .exists(params![row.customer_id, row.name, row.id])?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}

pub(super) fn list_deliveries(
    connection: &Connection,
    customer: CustomerId,
    id: WebhookId,
    page: PageRequest,
) -> rusqlite::Result<Page<WebhookDelivery>> {
    let (limit, offset) = page.bounds();
    let due_at = connection
        .prepare_cached("SELECT due_at FROM webhooks WHERE id = ?1 AND customer_id = ?2")?
        .query_row(params![id, customer], |row| row.get(0))
        .optional()?
        .flatten();
    let rows = connection
        .prepare_cached(&format!(
            "SELECT {DELIVERY_COLUMNS} FROM webhook_deliveries WHERE customer_id = ?1 AND webhook_id = ?2
             ORDER BY created_at DESC, id DESC LIMIT ?3 OFFSET ?4"
        ))?
        .query_map(params![customer, id, limit, offset], read_delivery)?
        .map(|delivery| Ok(delivery?.not_before(due_at)))
        .collect::<rusqlite::Result<_>>()?;
    let total = connection
        .prepare_cached("SELECT count(*) FROM webhook_deliveries WHERE customer_id = ?1 AND webhook_id = ?2")?
        .query_row(params![customer, id], |row| row.get(0))?;
    Ok(Page { rows, total })
}

pub(super) fn list_marks(
    connection: &Connection,
    customer: CustomerId,
    id: WebhookId,
) -> rusqlite::Result<Vec<WebhookMark>> {
    let mut marks = connection
        .prepare_cached(
            "SELECT event, object_id, value FROM webhook_marks
             WHERE customer_id = ?1 AND webhook_id = ?2 AND event <> ?3",
        )?
        .query_map(params![customer, id, WebhookMark::OF_LEDGER], |row| {
            Ok(WebhookMark { event: row.get(0)?, object: row.get(1)?, value: row.get(2)? })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    marks.sort_unstable();
    Ok(marks)
}

/// What was there before `since` is told of no ledger; where that ends is looked up until the first row is told.
pub(super) fn list_untold(
    connection: &Connection,
    customer: CustomerId,
    id: WebhookId,
    since: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<UntoldLedger>> {
    connection
        .prepare_cached(
            "SELECT id, kind, name, told FROM (
                 SELECT k.id, k.kind, k.name, n.last_sequence, coalesce(m.value, (
                     SELECT u.sequence FROM key_uses u
                     WHERE u.customer_id = ?1 AND u.key_id = k.id AND u.at < ?3
                     ORDER BY u.sequence DESC LIMIT 1), 0) AS told
                 FROM provisioning_keys k INDEXED BY provisioning_keys_by_kind
                     CROSS JOIN key_counters n ON n.key_id = k.id
                     LEFT JOIN webhook_marks m ON m.customer_id = ?1 AND m.webhook_id = ?2 AND m.event = ?5
                         AND m.object_id = k.id
                 WHERE k.customer_id = ?1 AND n.last_sequence > coalesce(m.value, 0)) AS ledgers
             WHERE last_sequence > told
             ORDER BY (SELECT u.at FROM key_uses u
                       WHERE u.customer_id = ?1 AND u.key_id = ledgers.id AND u.sequence > told
                       ORDER BY u.sequence LIMIT 1), id
             LIMIT ?4",
        )?
        .query_map(params![customer, id, since, limit, WebhookMark::OF_LEDGER], |row| {
            Ok(UntoldLedger {
                key: KeyName { id: row.get(0)?, kind: row.get(1)?, name: row.get(2)? },
                told: row.get(3)?,
            })
        })?
        .collect()
}

/// Compare and set on the number of looks. `false`: nothing is to stay written.
pub(super) fn queue(connection: &Connection, news: &WebhookNews) -> rusqlite::Result<bool> {
    let WebhookNews { customer, webhook, look, looks, deliveries, told, ceased } = news;
    let count = look_column(*look);
    let is_next = connection
        .prepare_cached(&format!(
            "UPDATE webhooks SET {count} = {count} + 1 WHERE id = ?1 AND customer_id = ?2 AND {count} = ?3 AND enabled"
        ))?
        .execute(params![webhook, customer, looks])?;
    if is_next == 0 || count_waiting(connection, *customer, *webhook)? + deliveries.len() > QUEUE_MAX as usize {
        return Ok(false);
    }
    for delivery in deliveries {
        insert_delivery(connection, delivery)?;
    }
    if let Some(due_at) = deliveries.iter().map(|delivery| delivery.next_at).min() {
        // One that fails, or has an attempt under way, keeps its time.
        connection
            .prepare_cached(
                "UPDATE webhooks SET due_at = CASE
                     WHEN due_at IS NULL THEN ?3 WHEN failures = 0 THEN min(due_at, ?3) ELSE due_at END
                 WHERE id = ?1 AND customer_id = ?2",
            )?
            .execute(params![webhook, customer, due_at])?;
    }
    let mut put = connection.prepare_cached(
        "INSERT INTO webhook_marks (customer_id, webhook_id, event, object_id, value)
         SELECT ?1, ?2, ?3, ?4, ?5
         WHERE ?3 <> ?6 OR EXISTS (SELECT 1 FROM provisioning_keys WHERE id = ?4 AND customer_id = ?1)
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for WebhookMark { event, object, value } in told {
        put.execute(params![customer, webhook, event, object, value, WebhookMark::OF_LEDGER])?;
    }
    let mut cease = connection.prepare_cached(
        "DELETE FROM webhook_marks WHERE customer_id = ?1 AND webhook_id = ?2 AND event = ?3 AND object_id = ?4",
    )?;
    for WebhookMark { event, object, .. } in ceased {
        cease.execute(params![customer, webhook, event, object])?;
    }
    Ok(true)
}

fn count_waiting(connection: &Connection, customer: CustomerId, id: WebhookId) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM webhook_deliveries WHERE customer_id = ?1 AND webhook_id = ?2 AND state = 1",
        )?
        .query_row(params![customer, id], |row| row.get(0))
}

/// Marks of ledgers of keys that were deleted.
pub(super) fn forget_keys(
    connection: &Connection,
    customer: CustomerId,
    keys: &[ProvisioningKeyId],
) -> rusqlite::Result<()> {
    let webhooks: Vec<WebhookId> = connection
        .prepare_cached("SELECT id FROM webhooks WHERE customer_id = ?1")?
        .query_map([customer], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut forget = connection.prepare_cached(
        "DELETE FROM webhook_marks WHERE customer_id = ?1 AND webhook_id = ?2 AND event = ?3 AND object_id = ?4",
    )?;
    for webhook in webhooks {
        for key in keys {
            forget.execute(params![customer, webhook, WebhookMark::OF_LEDGER, key])?;
        }
    }
    Ok(())
}

pub(super) fn list_due(
    connection: &Connection,
    now: Timestamp,
    are_failing: bool,
    limit: u32,
) -> rusqlite::Result<Vec<(CustomerId, WebhookId)>> {
    connection
        .prepare_cached(
            "SELECT customer_id, id FROM webhooks INDEXED BY webhooks_due
             WHERE enabled AND due_at <= ?1 AND (failures > 0) = ?2 ORDER BY due_at, id LIMIT ?3",
        )?
        .query_map(params![now, are_failing, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub(super) fn claim(
    connection: &Connection,
    customer: CustomerId,
    id: WebhookId,
    now: Timestamp,
    part: f64,
) -> rusqlite::Result<Option<ClaimedDelivery>> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, failures FROM webhooks WHERE id = ?1 AND customer_id = ?2 AND enabled AND due_at <= ?3"
        ))?
        .query_row(params![id, customer, now], |row| Ok((read(row)?, row.get::<_, u32>(16)?)))
        .optional()?;
    let Some((webhook, failures)) = found else { return Ok(None) };
    let due = connection
        .prepare_cached(
            "SELECT id FROM webhook_deliveries INDEXED BY webhook_deliveries_waiting
             WHERE customer_id = ?1 AND webhook_id = ?2 AND state = 1 AND next_at <= ?3
             ORDER BY event <> ?4, next_at, id LIMIT 1",
        )?
        .query_row(params![customer, id, now, WebhookEvent::Test], |row| row.get::<_, WebhookDeliveryId>(0))
        .optional()?;
    let Some(due) = due else {
        set_due(connection, customer, id, None)?;
        return Ok(None);
    };
    let mut delivery = connection
        .prepare_cached(&format!(
            "SELECT {DELIVERY_COLUMNS} FROM webhook_deliveries WHERE customer_id = ?1 AND webhook_id = ?2 AND id = ?3"
        ))?
        .query_row(params![customer, id, due], read_delivery)?;
    delivery.attempts += 1;
    delivery.next_at = now.saturating_add(retry_pause(delivery.attempts, part));
    let failures = failures.saturating_add(1);
    connection
        .prepare_cached(
            "UPDATE webhook_deliveries SET attempts = ?4, next_at = ?5
             WHERE customer_id = ?1 AND webhook_id = ?2 AND id = ?3",
        )?
        .execute(params![customer, id, due, delivery.attempts, delivery.next_at])?;
    connection
        .prepare_cached("UPDATE webhooks SET failures = ?3, due_at = ?4 WHERE id = ?1 AND customer_id = ?2")?
        .execute(params![id, customer, failures, now.saturating_add(probe_pause(failures, part))])?;
    Ok(Some(ClaimedDelivery { webhook, delivery, failures }))
}

/// Its turn is when the first that waits is due, not before `from` or, without that, the time that stands there.
fn set_due(
    connection: &Connection,
    customer: CustomerId,
    id: WebhookId,
    from: Option<Timestamp>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE webhooks SET due_at = (
                 SELECT max(d.next_at, coalesce(?3, webhooks.due_at, 0)) FROM webhook_deliveries d
                 WHERE d.customer_id = ?2 AND d.webhook_id = ?1 AND d.state = 1 ORDER BY d.next_at LIMIT 1)
             WHERE id = ?1 AND customer_id = ?2",
        )?
        .execute(params![id, customer, from])?;
    Ok(())
}

pub(super) fn finish_attempt(connection: &Connection, attempt: &DeliveryAttempt) -> rusqlite::Result<()> {
    let DeliveryAttempt { customer, webhook, delivery, failures, at, state, result } = attempt;
    let (is_over, is_delivered) = (*state != DeliveryState::Waiting, *state == DeliveryState::Delivered);
    let is_news = if is_delivered {
        connection
            .prepare_cached(
                "UPDATE webhooks SET last_success_at = ?3, failing_since = NULL, failures = 0
                 WHERE id = ?1 AND customer_id = ?2",
            )?
            .execute(params![webhook, customer, at])?
    } else {
        connection
            .prepare_cached(
                "UPDATE webhooks
                 SET last_failure_at = ?3, last_failure = ?4, failing_since = coalesce(failing_since, ?3)
                 WHERE id = ?1 AND customer_id = ?2 AND failures = ?5",
            )?
            .execute(params![webhook, customer, at, result, failures])?
    };
    connection
        .prepare_cached(
            "UPDATE webhook_deliveries SET state = ?4, last_result = ?5, next_at = CASE WHEN ?6 THEN ?7 ELSE next_at END
             WHERE customer_id = ?1 AND webhook_id = ?2 AND id = ?3 AND state = 1",
        )?
        .execute(params![customer, webhook, delivery, state, result, is_over, at])?;
    if is_news > 0 {
        set_due(connection, *customer, *webhook, is_delivered.then_some(*at))?;
    }
    if is_over {
        connection
            .prepare_cached(
                "DELETE FROM webhook_deliveries WHERE customer_id = ?1 AND webhook_id = ?2 AND id IN (
                     SELECT id FROM webhook_deliveries WHERE customer_id = ?1 AND webhook_id = ?2 AND state <> 1
                     ORDER BY next_at DESC, id DESC LIMIT -1 OFFSET ?3)",
            )?
            .execute(params![customer, webhook, DELIVERIES_SHOWN])?;
    }
    Ok(())
}
