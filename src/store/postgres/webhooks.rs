//! `webhooks`, `webhook_deliveries` and `webhook_marks`.
//!
//! Edits are administrative transactions. What looks and deliveries write beside them is guarded by the webhook's row:
//! by its counts of looks, by the time of its turn. Whoever needs that row takes it first.

use super::connections::Connections;
use super::customers;
use super::encoding::Count;
use super::errors::{ApplyError, Error};
use super::session::{Mode, Row, Session};
use crate::clock::Timestamp;
use crate::domain::key::KeyName;
use crate::domain::webhook::{
    DELIVERIES_SHOWN, DeliveryState, QUEUE_MAX, WEBHOOKS_MAX, WebhookMark, probe_pause, retry_pause,
};
use crate::domain::{Revision, Webhook, WebhookDelivery, WebhookEvent};
use crate::id::{CustomerId, ProvisioningKeyId, WebhookId};
use crate::store::revisions::{next_revision, require_revision};
use crate::store::rows::{WEBHOOK, WEBHOOK_DELIVERY as DELIVERY_COLUMNS, look_column};
use crate::store::{
    BrokenRule, ClaimedDelivery, DeliveryAttempt, Page, PageRequest, ServedWebhook, StoreError, UntoldLedger,
    WebhookNews,
};

pub(super) const COLUMNS: &str = WEBHOOK;

pub(super) fn read(row: &Row) -> Result<Webhook, Error> {
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
        modified_by: row.count_or_none(14)?,
        revision: row.get(15)?,
    })
}

fn read_delivery(row: &Row) -> Result<WebhookDelivery, Error> {
    Ok(WebhookDelivery {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        webhook_id: row.get(2)?,
        event: row.get(3)?,
        payload: row.get(4)?,
        created_at: row.get(5)?,
        state: row.get(6)?,
        attempts: row.count(7)?,
        next_at: row.get(8)?,
        last_result: row.get(9)?,
    })
}

pub(super) async fn find(session: &Session, customer: CustomerId, id: WebhookId) -> Result<Option<Webhook>, Error> {
    session
        .find(&format!("SELECT {COLUMNS} FROM webhooks WHERE customer_id = $1 AND id = $2"), &[&customer, &id], read)
        .await
}

pub(super) async fn list_served(session: &Session) -> Result<Vec<ServedWebhook>, Error> {
    session
        .list(
            &format!(
                "SELECT {COLUMNS}, attention_looks, component_looks, (
                     SELECT count(*) FROM webhook_deliveries d
                     WHERE d.customer_id = w.customer_id AND d.webhook_id = w.id AND d.state = 1)
                 FROM webhooks w WHERE enabled ORDER BY id"
            ),
            &[],
            |row| {
                Ok(ServedWebhook {
                    webhook: read(row)?,
                    attention_looks: row.count(16)?,
                    component_looks: row.count(17)?,
                    waiting: row.count(18)?,
                })
            },
        )
        .await
}

pub(super) async fn insert(session: &Session, row: &Webhook) -> Result<(), ApplyError> {
    customers::require(session, row.customer_id, false).await?;
    require_free_name(session, row).await?;
    let count: u32 =
        session.row("SELECT count(*) FROM webhooks WHERE customer_id = $1", &[&row.customer_id]).await?.count(0)?;
    if count >= WEBHOOKS_MAX {
        return Err(BrokenRule::Full { limit: WEBHOOKS_MAX }.into());
    }
    session
        .execute(
            "INSERT INTO webhooks (customer_id, id, revision, name, url, events, sealed_secret, enabled, since,
                 created_at, modified_at, modified_by, attention_looks, component_looks, last_failure, failures)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, '', 0)",
            &[
                &row.customer_id,
                &row.id,
                &Revision::FIRST,
                &row.name,
                &row.url,
                &row.events,
                &row.sealed_secret,
                &row.enabled,
                &row.since,
                &row.created_at,
                &row.modified_at,
                &row.modified_by.map(Count),
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn update(session: &Session, row: &Webhook) -> Result<(), ApplyError> {
    let found = find(session, row.customer_id, row.id).await?.ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(found.revision), row.revision)?;
    require_free_name(session, row).await?;
    session
        .execute(
            "UPDATE webhooks SET revision = $3, name = $4, url = $5, events = $6, enabled = $7,
                 since = $8, modified_at = $9, modified_by = $10
             WHERE customer_id = $1 AND id = $2",
            &[
                &row.customer_id,
                &row.id,
                &next,
                &row.name,
                &row.url,
                &row.events,
                &row.enabled,
                &row.since,
                &row.modified_at,
                &row.modified_by.map(Count),
            ],
        )
        .await?;
    if row.begins_anew(&found) {
        session
            .execute(
                "UPDATE webhooks SET failing_since = NULL, failures = 0 WHERE customer_id = $1 AND id = $2",
                &[&row.customer_id, &row.id],
            )
            .await?;
        set_due(session, row.customer_id, row.id, Some(row.modified_at)).await?;
    }
    if row.since != found.since {
        session
            .execute(
                "DELETE FROM webhook_marks WHERE customer_id = $1 AND webhook_id = $2 AND event = $3",
                &[&row.customer_id, &row.id, &WebhookMark::OF_LEDGER],
            )
            .await?;
    }
    Ok(())
}

/// The webhook's row goes first: whoever queues for it, or finishes an attempt, waits and then finds none.
pub(super) async fn delete(
    session: &Session,
    customer: CustomerId,
    id: WebhookId,
    revision: Option<Revision>,
) -> Result<(), ApplyError> {
    let found = find(session, customer, id).await?.ok_or(BrokenRule::NotFound)?;
    require_revision(found.revision, revision)?;
    session.execute("DELETE FROM webhooks WHERE customer_id = $1 AND id = $2", &[&customer, &id]).await?;
    for table in ["webhook_deliveries", "webhook_marks"] {
        session
            .execute(&format!("DELETE FROM {table} WHERE customer_id = $1 AND webhook_id = $2"), &[&customer, &id])
            .await?;
    }
    Ok(())
}

pub(super) async fn insert_test(session: &Session, row: &WebhookDelivery) -> Result<(), ApplyError> {
    // Whoever asks for it waits for it.
    let found = session
        .execute(
            "UPDATE webhooks SET due_at = least(due_at, $3) WHERE customer_id = $1 AND id = $2",
            &[&row.customer_id, &row.webhook_id, &row.next_at],
        )
        .await?;
    if found == 0 {
        return Err(BrokenRule::NotFound.into());
    }
    session
        .execute(
            "DELETE FROM webhook_deliveries
             WHERE customer_id = $1 AND webhook_id = $2 AND state = 1 AND event = $3",
            &[&row.customer_id, &row.webhook_id, &WebhookEvent::Test],
        )
        .await?;
    Ok(insert_delivery(session, row).await?)
}

async fn insert_delivery(session: &Session, row: &WebhookDelivery) -> Result<(), Error> {
    session
        .execute(
            &format!(
                "INSERT INTO webhook_deliveries ({DELIVERY_COLUMNS})
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
            ),
            &[
                &row.id,
                &row.customer_id,
                &row.webhook_id,
                &row.event,
                &row.payload,
                &row.created_at,
                &row.state,
                &Count(row.attempts),
                &row.next_at,
                &row.last_result,
            ],
        )
        .await?;
    Ok(())
}

async fn require_free_name(session: &Session, row: &Webhook) -> Result<(), ApplyError> {
    let taken = session
        .exists(
            "SELECT 1 FROM webhooks WHERE customer_id = $1 AND lower(name) = lower($2) AND id <> $3",
            &[&row.customer_id, &row.name, &row.id],
        )
        .await?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}

/// Consistent within the snapshot that the session has.
pub(super) async fn list_deliveries(
    session: &Session,
    customer: CustomerId,
    id: WebhookId,
    page: PageRequest,
) -> Result<Page<WebhookDelivery>, Error> {
    let (limit, offset) = page.bounds();
    let due_at = session
        .find("SELECT due_at FROM webhooks WHERE customer_id = $1 AND id = $2", &[&customer, &id], |row| {
            row.get::<Option<Timestamp>>(0)
        })
        .await?
        .flatten();
    let rows = session
        .list(
            &format!(
                "SELECT {DELIVERY_COLUMNS} FROM webhook_deliveries WHERE customer_id = $1 AND webhook_id = $2
                 ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4"
            ),
            &[&customer, &id, &Count(limit), &offset],
            |row| Ok(read_delivery(row)?.not_before(due_at)),
        )
        .await?;
    let total = session
        .row("SELECT count(*) FROM webhook_deliveries WHERE customer_id = $1 AND webhook_id = $2", &[&customer, &id])
        .await?
        .count(0)?;
    Ok(Page { rows, total })
}

pub(super) async fn list_marks(
    session: &Session,
    customer: CustomerId,
    id: WebhookId,
) -> Result<Vec<WebhookMark>, Error> {
    let mut marks = session
        .list(
            "SELECT event, object_id, value FROM webhook_marks
             WHERE customer_id = $1 AND webhook_id = $2 AND event <> $3",
            &[&customer, &id, &WebhookMark::OF_LEDGER],
            |row| Ok(WebhookMark { event: row.get(0)?, object: row.count(1)?, value: row.get(2)? }),
        )
        .await?;
    marks.sort_unstable();
    Ok(marks)
}

/// What was there before `since` is told of no ledger; where that ends is looked up until the first row is told.
pub(super) async fn list_untold(
    session: &Session,
    customer: CustomerId,
    id: WebhookId,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<UntoldLedger>, Error> {
    session
        .list(
            "SELECT id, kind, name, told FROM (
                 SELECT k.id, k.kind, k.name, n.last_sequence, coalesce(m.value, (
                     SELECT u.sequence FROM key_uses u
                     WHERE u.customer_id = $1 AND u.key_id = k.id AND u.at < $3
                     ORDER BY u.sequence DESC LIMIT 1), 0) AS told
                 FROM provisioning_keys k
                     JOIN key_counters n ON n.customer_id = k.customer_id AND n.key_id = k.id
                     LEFT JOIN webhook_marks m ON m.customer_id = $1 AND m.webhook_id = $2 AND m.event = $5
                         AND m.object_id = k.id
                 WHERE k.customer_id = $1 AND n.last_sequence > coalesce(m.value, 0)) AS ledgers
             WHERE last_sequence > told
             ORDER BY (SELECT u.at FROM key_uses u
                       WHERE u.customer_id = $1 AND u.key_id = ledgers.id AND u.sequence > told
                       ORDER BY u.sequence LIMIT 1), id
             LIMIT $4",
            &[&customer, &id, &since, &Count(limit), &WebhookMark::OF_LEDGER],
            |row| {
                let key = KeyName { id: row.get(0)?, kind: row.get(1)?, name: row.get(2)? };
                Ok(UntoldLedger { key, told: row.count(3)? })
            },
        )
        .await
}

/// Compare and set on the number of looks. `false`: nothing was written.
pub(super) async fn queue(connections: &Connections, news: &WebhookNews) -> Result<bool, StoreError> {
    let mut session = connections.get().await?;
    session.begin(Mode::Write).await?;
    if !write(&session, news).await? {
        session.roll_back().await?;
        return Ok(false);
    }
    session.commit().await?;
    Ok(true)
}

async fn write(session: &Session, news: &WebhookNews) -> Result<bool, Error> {
    let WebhookNews { customer, webhook, look, looks, deliveries, told, ceased } = news;
    let count = look_column(*look);
    // The row stays locked until the transaction ends: whoever comes second finds another number.
    let is_next = session
        .execute(
            &format!(
                "UPDATE webhooks SET {count} = {count} + 1
                 WHERE customer_id = $1 AND id = $2 AND {count} = $3 AND enabled"
            ),
            &[customer, webhook, &Count(*looks)],
        )
        .await?;
    if is_next == 0 || count_waiting(session, *customer, *webhook).await? + deliveries.len() > QUEUE_MAX as usize {
        return Ok(false);
    }
    for delivery in deliveries {
        insert_delivery(session, delivery).await?;
    }
    if let Some(due_at) = deliveries.iter().map(|delivery| delivery.next_at).min() {
        // One that fails, or has an attempt under way, keeps its time.
        session
            .execute(
                "UPDATE webhooks SET due_at = CASE
                     WHEN due_at IS NULL THEN $3 WHEN failures = 0 THEN least(due_at, $3) ELSE due_at END
                 WHERE customer_id = $1 AND id = $2",
                &[customer, webhook, &due_at],
            )
            .await?;
    }
    for mark in told {
        put_mark(session, *customer, *webhook, mark).await?;
    }
    for WebhookMark { event, object, .. } in ceased {
        session
            .execute(
                "DELETE FROM webhook_marks
                 WHERE customer_id = $1 AND webhook_id = $2 AND event = $3 AND object_id = $4",
                &[customer, webhook, event, &Count(*object)],
            )
            .await?;
    }
    Ok(true)
}

async fn count_waiting(session: &Session, customer: CustomerId, id: WebhookId) -> Result<usize, Error> {
    session
        .row(
            "SELECT count(*) FROM webhook_deliveries WHERE customer_id = $1 AND webhook_id = $2 AND state = 1",
            &[&customer, &id],
        )
        .await?
        .count(0)
}

/// Whoever deletes a key waits for the end of this, and then deletes its marks; or this finds no key any more.
async fn put_mark(
    session: &Session,
    customer: CustomerId,
    webhook: WebhookId,
    &WebhookMark { event, object, value }: &WebhookMark,
) -> Result<(), Error> {
    if event == WebhookMark::OF_LEDGER {
        let key = "SELECT 1 FROM provisioning_keys WHERE customer_id = $1 AND id = $2 FOR KEY SHARE";
        if !session.exists(key, &[&customer, &Count(object)]).await? {
            return Ok(());
        }
    }
    session
        .execute(
            "INSERT INTO webhook_marks (customer_id, webhook_id, event, object_id, value)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (customer_id, webhook_id, event, object_id) DO UPDATE SET value = excluded.value",
            &[&customer, &webhook, &event, &Count(object), &value],
        )
        .await?;
    Ok(())
}

/// Marks of ledgers of keys that were deleted.
pub(super) async fn forget_keys(
    session: &Session,
    customer: CustomerId,
    keys: &[ProvisioningKeyId],
) -> Result<(), Error> {
    session
        .execute(
            "DELETE FROM webhook_marks
             WHERE customer_id = $1 AND webhook_id IN (SELECT id FROM webhooks WHERE customer_id = $1) AND event = $2
                 AND object_id = ANY ($3)",
            &[&customer, &WebhookMark::OF_LEDGER, &keys],
        )
        .await?;
    Ok(())
}

pub(super) async fn list_due(
    session: &Session,
    now: Timestamp,
    are_failing: bool,
    limit: u32,
) -> Result<Vec<(CustomerId, WebhookId)>, Error> {
    session
        .list(
            "SELECT customer_id, id FROM webhooks
             WHERE enabled AND due_at <= $1 AND (failures > 0) = $2 ORDER BY due_at, id LIMIT $3",
            &[&now, &are_failing, &Count(limit)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .await
}

pub(super) async fn claim(
    connections: &Connections,
    customer: CustomerId,
    id: WebhookId,
    now: Timestamp,
    part: f64,
) -> Result<Option<ClaimedDelivery>, StoreError> {
    let mut session = connections.get().await?;
    session.begin(Mode::Write).await?;
    let claimed = take_turn(&session, customer, id, now, part).await?;
    session.commit().await?;
    Ok(claimed)
}

/// The webhook's row stays locked until the transaction ends: whoever comes second finds another time.
async fn take_turn(
    session: &Session,
    customer: CustomerId,
    id: WebhookId,
    now: Timestamp,
    part: f64,
) -> Result<Option<ClaimedDelivery>, Error> {
    let found = session
        .find(
            &format!(
                "SELECT {COLUMNS}, failures FROM webhooks
                 WHERE customer_id = $1 AND id = $2 AND enabled AND due_at <= $3 FOR UPDATE"
            ),
            &[&customer, &id, &now],
            |row| Ok((read(row)?, row.count::<u32>(16)?)),
        )
        .await?;
    let Some((webhook, failures)) = found else { return Ok(None) };
    let due = session
        .find(
            &format!(
                "SELECT {DELIVERY_COLUMNS} FROM webhook_deliveries
                 WHERE customer_id = $1 AND webhook_id = $2 AND state = 1 AND id = (
                     SELECT id FROM webhook_deliveries
                     WHERE customer_id = $1 AND webhook_id = $2 AND state = 1 AND next_at <= $3
                     ORDER BY event <> $4, next_at, id LIMIT 1)"
            ),
            &[&customer, &id, &now, &WebhookEvent::Test],
            read_delivery,
        )
        .await?;
    let Some(mut delivery) = due else {
        set_due(session, customer, id, None).await?;
        return Ok(None);
    };
    delivery.attempts += 1;
    delivery.next_at = now.saturating_add(retry_pause(delivery.attempts, part));
    let failures = failures.saturating_add(1);
    session
        .execute(
            "UPDATE webhook_deliveries SET attempts = $4, next_at = $5
             WHERE customer_id = $1 AND webhook_id = $2 AND id = $3",
            &[&customer, &id, &delivery.id, &Count(delivery.attempts), &delivery.next_at],
        )
        .await?;
    session
        .execute(
            "UPDATE webhooks SET failures = $3, due_at = $4 WHERE customer_id = $1 AND id = $2",
            &[&customer, &id, &Count(failures), &now.saturating_add(probe_pause(failures, part))],
        )
        .await?;
    Ok(Some(ClaimedDelivery { webhook, delivery, failures }))
}

/// Its turn is when the first that waits is due, not before `from` or, without that, the time that stands there.
async fn set_due(session: &Session, customer: CustomerId, id: WebhookId, from: Option<Timestamp>) -> Result<(), Error> {
    session
        .execute(
            "UPDATE webhooks SET due_at = (
                 SELECT greatest(d.next_at, coalesce($3, webhooks.due_at, 0)) FROM webhook_deliveries d
                 WHERE d.customer_id = $1 AND d.webhook_id = $2 AND d.state = 1 ORDER BY d.next_at LIMIT 1)
             WHERE customer_id = $1 AND id = $2",
            &[&customer, &id, &from],
        )
        .await?;
    Ok(())
}

pub(super) async fn finish_attempt(connections: &Connections, attempt: &DeliveryAttempt) -> Result<(), StoreError> {
    let mut session = connections.get().await?;
    session.begin(Mode::Write).await?;
    note_attempt(&session, attempt).await?;
    Ok(session.commit().await?)
}

/// The webhook's row first: what is queued meanwhile is seen when the next turn is set, or comes after it.
async fn note_attempt(session: &Session, attempt: &DeliveryAttempt) -> Result<(), Error> {
    let DeliveryAttempt { customer, webhook, delivery, failures, at, state, result } = attempt;
    let (is_over, is_delivered) = (*state != DeliveryState::Waiting, *state == DeliveryState::Delivered);
    let is_news = if is_delivered {
        session
            .execute(
                "UPDATE webhooks SET last_success_at = $3, failing_since = NULL, failures = 0
                 WHERE customer_id = $1 AND id = $2",
                &[customer, webhook, at],
            )
            .await?
    } else {
        session
            .execute(
                "UPDATE webhooks
                 SET last_failure_at = $3, last_failure = $4, failing_since = coalesce(failing_since, $3)
                 WHERE customer_id = $1 AND id = $2 AND failures = $5",
                &[customer, webhook, at, result, &Count(*failures)],
            )
            .await?
    };
    session
        .execute(
            "UPDATE webhook_deliveries
             SET state = $4, last_result = $5, next_at = CASE WHEN $6 THEN $7 ELSE next_at END
             WHERE customer_id = $1 AND webhook_id = $2 AND id = $3 AND state = 1",
            &[customer, webhook, delivery, state, result, &is_over, at],
        )
        .await?;
    if is_news > 0 {
        set_due(session, *customer, *webhook, is_delivered.then_some(*at)).await?;
    }
    if is_over {
        session
            .execute(
                "DELETE FROM webhook_deliveries WHERE customer_id = $1 AND webhook_id = $2 AND id IN (
                     SELECT id FROM webhook_deliveries WHERE customer_id = $1 AND webhook_id = $2 AND state <> 1
                     ORDER BY next_at DESC, id DESC OFFSET $3)",
                &[customer, webhook, &Count(DELIVERIES_SHOWN)],
            )
            .await?;
    }
    Ok(())
}
