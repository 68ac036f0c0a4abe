//! What there is to tell: rows of the ledgers that a webhook was not told of, and what needs attention that it was
//! not told of yet. Both are read from what stands in the store anyway.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Webhooks;
use crate::clock::{DAY, Timestamp};
use crate::domain::attention::{Attention, GroupName, SigningCertificateName};
use crate::domain::buckets::HOUR;
use crate::domain::key::KeyName;
use crate::domain::ledger::{LedgerEntry, Presence, RefusalSum};
use crate::domain::webhook::{QUEUE_MAX, WebhookMark, is_unusual};
use crate::domain::{Name, Webhook, WebhookDelivery, WebhookEvent};
use crate::id::{CustomerId, Id as _};
use crate::store::{KeyUse, Look, ServedWebhook, StoreError, WebhookNews};

/// Rows of a ledger that one delivery tells of at most.
const COMPONENTS_MAX: u32 = 100;

/// Ledgers that one look goes through.
const LEDGERS_MAX: u32 = 100;

/// Things that need attention that one look goes through: all of them, or it is said that there are more.
const ATTENTION_MAX: u32 = 100_000;

/// What components leave to the rest: they come in numbers, and wait in their ledgers, which what needs attention does not.
const ROOM_OF_ATTENTION: u32 = 100;

/// What two deliveries need, one of enrollments and one of take-overs.
const ROOM_OF_A_PART: u32 = 2;

impl Webhooks {
    /// Queues what happened to components. Costs a look at each key of the customers that have such a webhook.
    ///
    /// # Errors
    /// The store's, the last one; the webhooks that met none were told all the same, and the next look goes on.
    pub async fn look_at_components(&self) -> Result<(), StoreError> {
        let served = self.parts.store.list_served_webhooks().await?;
        self.parts.metrics.set_webhook_queue(served.iter().map(|served| u64::from(served.waiting)).sum());
        let mut looked = Ok(());
        for served in served.iter().filter(|served| served.webhook.events.have_components()) {
            looked = self.tell_of_ledgers(served).await.and(looked);
        }
        looked
    }

    /// Queues what has come to need attention. Costs what [`Store::list_attention`](crate::store::Store::list_attention)
    /// does for each customer that has such a webhook.
    ///
    /// # Errors
    /// As for [`Self::look_at_components`].
    pub async fn look_at_attention(&self) -> Result<(), StoreError> {
        let mut served = self.parts.store.list_served_webhooks().await?;
        served.sort_by_key(|served| served.webhook.customer_id);
        let mut looked = Ok(());
        for of_customer in served.chunk_by(|a, b| a.webhook.customer_id == b.webhook.customer_id) {
            looked = self.tell_customer_of_attention(of_customer).await.and(looked);
        }
        looked
    }

    /// The webhooks are of one customer.
    async fn tell_customer_of_attention(&self, served: &[ServedWebhook]) -> Result<(), StoreError> {
        let standing = self.standing(served).await?;
        for served in served {
            self.tell_of_attention(served, &standing).await?;
        }
        Ok(())
    }

    /// Each part is a transaction. While the queue is full the rows wait where they are.
    async fn tell_of_ledgers(&self, served: &ServedWebhook) -> Result<(), StoreError> {
        let (store, webhook) = (&self.parts.store, &served.webhook);
        let customer = webhook.customer_id;
        let ledgers = store.list_untold_ledgers(customer, webhook.id, webhook.since, LEDGERS_MAX).await?;
        let Some(owner) = self.owner(webhook, !ledgers.is_empty()).await? else { return Ok(()) };
        let room = (QUEUE_MAX - ROOM_OF_ATTENTION).saturating_sub(served.waiting);
        let (mut looks, mut room) = (served.component_looks, room);
        for ledger in &ledgers {
            let mut told = ledger.told;
            loop {
                if room < ROOM_OF_A_PART {
                    return Ok(());
                }
                let rows = store.list_ledger_after(customer, ledger.key.id, told, COMPONENTS_MAX).await?;
                let Some(last) = rows.last() else { break };
                told = last.row.sequence;
                let mut deliveries = Vec::new();
                for (event, of_event) in [
                    (WebhookEvent::ComponentEnrolled, enrolled as fn(&KeyUse) -> Option<Value>),
                    (WebhookEvent::ComponentTakenOver, taken_over),
                ] {
                    let components: Vec<_> = rows.iter().filter_map(of_event).collect();
                    if webhook.events.contains(event) && !components.is_empty() {
                        let data = json!({ "key": key(&ledger.key), "components": components });
                        deliveries.push(self.delivery(webhook, (&owner, event), &data).await?);
                    }
                }
                room -= u32::try_from(deliveries.len()).unwrap_or(ROOM_OF_A_PART);
                let mark = WebhookMark {
                    event: WebhookMark::OF_LEDGER,
                    object: ledger.key.id.raw(),
                    value: told.cast_signed(),
                };
                let news = WebhookNews {
                    customer,
                    webhook: webhook.id,
                    look: Look::Components,
                    looks,
                    deliveries,
                    told: vec![mark],
                    ceased: Vec::new(),
                };
                if !store.queue_webhook_news(news).await? {
                    return Ok(());
                }
                looks += 1;
                if rows.len() < COMPONENTS_MAX as usize {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What needs attention of the customer that has these webhooks, as far as one of them asks for it.
    async fn standing(&self, of_customer: &[ServedWebhook]) -> Result<Standing, StoreError> {
        let (customer, now) = (of_customer[0].webhook.customer_id, self.parts.clock.now());
        let asks = |of: fn(WebhookEvent) -> bool| of_customer.iter().any(|served| served.webhook.events.iter().any(of));
        let mut standing = Standing { things: Vec::new(), is_whole: true };
        if asks(|event| !event.is_of_components()) {
            let page = self.parts.store.list_attention(customer, now, ATTENTION_MAX).await?;
            standing.is_whole = page.total <= page.rows.len() as u64;
            if !standing.is_whole {
                tracing::warn!(
                    customer.id = %customer,
                    total = page.total,
                    "Webhooks are not told of all that needs attention: there is more than one look goes through."
                );
            }
            standing.things.extend(page.rows.into_iter().map(|thing| (mark(&thing), Thing::Attention(thing))));
        }
        if asks(|event| event == WebhookEvent::RefusalsUnusual) {
            standing.things.extend(self.unusual_refusals(customer, now).await?);
        }
        Ok(standing)
    }

    /// What stands and was not told is told; of what does not stand any more it is forgotten that it was.
    async fn tell_of_attention(&self, served: &ServedWebhook, standing: &Standing) -> Result<(), StoreError> {
        let (store, webhook) = (&self.parts.store, &served.webhook);
        let customer = webhook.customer_id;
        let marks = store.list_webhook_marks(customer, webhook.id).await?;
        let asked = || standing.things.iter().filter(|(mark, _)| webhook.events.contains(mark.event));
        let stands: HashSet<_> = asked().map(|(mark, _)| (mark.event, mark.object)).collect();
        let has_ceased = |told: &&WebhookMark| standing.is_whole && !stands.contains(&(told.event, told.object));
        let ceased: Vec<_> = marks.iter().filter(has_ceased).copied().collect();
        let room = QUEUE_MAX.saturating_sub(served.waiting) as usize;
        let fresh: Vec<_> = asked().filter(|(mark, _)| marks.binary_search(mark).is_err()).take(room).collect();
        let is_news = !fresh.is_empty() || !ceased.is_empty();
        let Some(owner) = self.owner(webhook, is_news).await? else { return Ok(()) };
        let (mut deliveries, mut told) = (Vec::new(), Vec::new());
        for (mark, thing) in fresh {
            deliveries.push(self.delivery(webhook, (&owner, mark.event), &thing.data()).await?);
            told.push(*mark);
        }
        let looks = served.attention_looks;
        let look = Look::Attention;
        let news = WebhookNews { customer, webhook: webhook.id, look, looks, deliveries, told, ceased };
        // If the look of another node was quicker, or the queue has filled since, the next one tells what is left.
        store.queue_webhook_news(news).await.map(drop)
    }

    async fn unusual_refusals(
        &self,
        customer: CustomerId,
        now: Timestamp,
    ) -> Result<Option<(WebhookMark, Thing)>, StoreError> {
        let sums = async |ago: Duration| self.parts.store.sum_refusals(customer, now.saturating_sub(ago)).await;
        let total = |sums: &[RefusalSum]| sums.iter().map(|sum| sum.count).sum::<u64>();
        let recent = sums(HOUR).await?;
        let before = total(&sums(HOUR + DAY).await?).saturating_sub(total(&recent));
        if !is_unusual(total(&recent), before) {
            return Ok(None);
        }
        let reasons = recent.iter().map(|sum| {
            let most = sum.most_refused.as_ref().map(|(name, _)| key(name));
            json!({ "code": sum.refusal.code(), "count": sum.count, "mostRefusedKey": most })
        });
        let data = json!({ "count": total(&recent), "dayBefore": before, "reasons": reasons.collect::<Vec<_>>() });
        let mark = WebhookMark { event: WebhookEvent::RefusalsUnusual, object: 0, value: 0 };
        Ok(Some((mark, Thing::Refusals(data))))
    }

    /// The customer's name where it is needed; `None`: it is not, or the customer is gone.
    async fn owner(&self, webhook: &Webhook, is_needed: bool) -> Result<Option<Name>, StoreError> {
        if !is_needed {
            return Ok(None);
        }
        Ok(self.parts.store.find_customer(webhook.customer_id).await?.map(|customer| customer.name))
    }

    async fn delivery(
        &self,
        webhook: &Webhook,
        of: (&Name, WebhookEvent),
        data: &Value,
    ) -> Result<WebhookDelivery, StoreError> {
        let id = self.parts.ids.next().await?;
        Ok(WebhookDelivery::new(id, webhook, of, data, self.parts.clock.now()))
    }
}

/// What needs attention of one customer.
struct Standing {
    /// With the mark that says of each that it was told.
    things: Vec<(WebhookMark, Thing)>,
    /// Whether there is nothing else.
    is_whole: bool,
}

enum Thing {
    Attention(Attention),
    /// The data.
    Refusals(Value),
}

impl Thing {
    /// What is told of it.
    fn data(&self) -> Value {
        match self {
            Self::Attention(thing) => data(thing),
            Self::Refusals(data) => data.clone(),
        }
    }
}

fn enrolled(entry: &KeyUse) -> Option<Value> {
    match &entry.row.entry {
        LedgerEntry::Use { device, .. } => Some(component(entry, device)),
        LedgerEntry::Checkpoint { .. } | LedgerEntry::ReEnrollment { .. } | LedgerEntry::Release { .. } => None,
    }
}

fn taken_over(entry: &KeyUse) -> Option<Value> {
    match &entry.row.entry {
        LedgerEntry::ReEnrollment { old, new, .. } => {
            let mut component = component(entry, new);
            component["previous"] = presence(old);
            Some(component)
        }
        LedgerEntry::Checkpoint { .. } | LedgerEntry::Release { .. } | LedgerEntry::Use { .. } => None,
    }
}

fn component(entry: &KeyUse, device: &Presence) -> Value {
    let mut component = presence(device);
    component["id"] = json!(entry.row.entry.component_id());
    component["name"] = json!(entry.component_name);
    component["time"] = json!(entry.row.at);
    component
}

fn presence(device: &Presence) -> Value {
    json!({ "remoteAddress": device.address, "certificateSerialNumber": device.serial.to_string() })
}

/// Another value, as another end or another maximum, is another thing to tell of.
fn mark(thing: &Attention) -> WebhookMark {
    let instant = |at: &Timestamp| at.unix_seconds();
    let (event, object, value) = match thing {
        Attention::SigningCertificateExpired { certificate, expired_at, .. } => {
            (WebhookEvent::SigningCertificateExpired, certificate.id.raw(), instant(expired_at))
        }
        Attention::KeyExhausted { key, maximum, .. } => (WebhookEvent::KeyExhausted, key.id.raw(), i64::from(*maximum)),
        Attention::GroupDisabled { group, .. } => (WebhookEvent::GroupDisabled, group.id.raw(), 0),
        Attention::KeyDisabled { key, .. } => (WebhookEvent::KeyDisabled, key.id.raw(), 0),
        Attention::KeyExpired { key, expired_at, .. } => (WebhookEvent::KeyExpired, key.id.raw(), instant(expired_at)),
        Attention::KeyNearlyExhausted { key, maximum, .. } => {
            (WebhookEvent::KeyNearlyExhausted, key.id.raw(), i64::from(*maximum))
        }
        Attention::KeyExpiring { key, expires_at, .. } => {
            (WebhookEvent::KeyExpiring, key.id.raw(), instant(expires_at))
        }
        Attention::SigningCertificateExpiring { certificate, expires_at, .. } => {
            (WebhookEvent::SigningCertificateExpiring, certificate.id.raw(), instant(expires_at))
        }
    };
    WebhookMark { event, object, value }
}

fn data(thing: &Attention) -> Value {
    match thing {
        Attention::SigningCertificateExpired { certificate: of, expired_at, keys } => {
            json!({ "signingCertificate": certificate(of), "expiredAt": expired_at, "keys": keys })
        }
        Attention::KeyExhausted { key: of, uses, maximum, refusals, since } => {
            json!({ "key": key(of), "uses": uses, "maximum": maximum, "refusals": refusals, "since": since })
        }
        Attention::GroupDisabled { group: of, refusals, since } => {
            json!({ "group": group(of), "refusals": refusals, "since": since })
        }
        Attention::KeyDisabled { key: of, refusals, since } => {
            json!({ "key": key(of), "refusals": refusals, "since": since })
        }
        Attention::KeyExpired { key: of, expired_at, uses, maximum } => {
            json!({ "key": key(of), "expiredAt": expired_at, "uses": uses, "maximum": maximum })
        }
        Attention::KeyNearlyExhausted { key: of, uses, maximum, uses_last_day } => {
            json!({ "key": key(of), "uses": uses, "maximum": maximum, "usesLastDay": uses_last_day })
        }
        Attention::KeyExpiring { key: of, expires_at, uses, maximum } => {
            json!({ "key": key(of), "expiresAt": expires_at, "uses": uses, "maximum": maximum })
        }
        Attention::SigningCertificateExpiring { certificate: of, expires_at, keys } => {
            json!({ "signingCertificate": certificate(of), "expiresAt": expires_at, "keys": keys })
        }
    }
}

fn key(key: &KeyName) -> Value {
    json!({ "id": key.id, "kind": key.kind, "name": key.name })
}

fn group(group: &GroupName) -> Value {
    json!({ "id": group.id, "kind": group.kind, "name": group.name })
}

fn certificate(certificate: &SigningCertificateName) -> Value {
    json!({ "id": certificate.id, "name": certificate.name })
}
