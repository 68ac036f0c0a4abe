//! Tells webhooks of what administrators wait for: looks for it in what the store has anyway, queues it there, and
//! delivers what is queued.
//!
//! Any number of nodes do so side by side. What a look found is queued in one transaction with the marks that say
//! that it was told, by whoever is first; an attempt is counted before it is made, so that one node makes it, and it is
//! made again when nobody said how it ended. So an event arrives at least once, each time with the same id.
//!
//! A webhook has one attempt under way at a time, and they take turns: a receiver that is away holds up nobody but
//! itself, and a slow one takes no more than one of the places.
//!
//! What it deliberately does not do: anything on the path of an enrollment, which knows nothing of webhooks; follow
//! redirects; keep what is answered.

mod look;
mod send;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::client::tls::Trust;
use crate::clock::Clock;
use crate::domain::webhook::{DeliveryState, Destinations, FAILING_MAX, TRIED_MAX};
use crate::id::{CustomerId, WebhookId};
use crate::management::Management;
use crate::metrics::{Metrics, WebhookAttempt};
use crate::secret::master::MasterKeys;
use crate::secret::random_bytes;
use crate::store::{ClaimedDelivery, DeliveryAttempt, IdAllocator, Store, StoreError};

/// Webhooks that one node delivers to at the same time.
const DELIVERING_MAX: usize = 32;

/// Of those that failed last, besides: however many do, they take no place of those that work.
const PROBING_MAX: usize = 16;

/// Deliveries of one turn.
const TURN_DELIVERIES_MAX: u32 = 10;

/// After so long a turn takes no further delivery, so that a slow receiver stands in line like all others.
const TURN_TIME_MAX: Duration = Duration::from_secs(1);

/// Longest result of an attempt that is kept, in characters.
const RESULT_CHARS_MAX: usize = 300;

/// What it is made of. All of it is shared with other rooms, so `app` makes it.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub ids: Arc<IdAllocator>,
    pub clock: Arc<dyn Clock>,
    pub master_keys: Arc<MasterKeys>,
    pub metrics: Arc<Metrics>,
    /// Switches off what fails for days.
    pub management: Arc<Management>,
    pub destinations: Destinations,
    /// Who may vouch for receivers.
    pub trust: Trust,
}

/// The looks and the deliveries. Share in an `Arc`.
pub struct Webhooks {
    parts: Parts,
    /// Made for the first delivery: the system's roots are some megabytes.
    tls: OnceCell<Arc<ClientConfig>>,
    /// Those that this node delivers to now, and whether they failed last.
    busy: Mutex<HashMap<WebhookId, bool>>,
}

impl Webhooks {
    pub fn new(parts: Parts) -> Self {
        Self { parts, tls: OnceCell::new(), busy: Mutex::default() }
    }

    /// Begins to deliver to those whose turn it is, each in a task of its own. To be called every second or so; what is
    /// dropped with `under_way` is tried again by whoever comes first.
    ///
    /// # Errors
    /// The store's: nothing was begun, or only for those that work.
    pub async fn deliver_due(self: &Arc<Self>, under_way: &mut JoinSet<()>) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        for (are_failing, places) in [(false, DELIVERING_MAX), (true, PROBING_MAX)] {
            // Twice as many: those between two deliveries of their turn are due, too.
            let limit = u32::try_from(2 * places).unwrap_or(u32::MAX);
            for due in self.parts.store.list_due_webhooks(now, are_failing, limit).await? {
                if let Some(turn) = Turn::take(self, due, are_failing, places) {
                    under_way.spawn(turn.deliver());
                }
            }
        }
        Ok(())
    }

    /// Whether the next one may follow: one was delivered.
    async fn attempt(&self, customer: CustomerId, id: WebhookId) -> Result<bool, StoreError> {
        let Parts { store, clock, metrics, .. } = &self.parts;
        let now = clock.now();
        let part = f64::from(u16::from_le_bytes(*random_bytes())) / f64::from(u16::MAX);
        let Some(claimed) = store.claim_delivery(customer, id, now, part).await? else { return Ok(false) };
        let ClaimedDelivery { webhook, delivery, failures } = claimed;
        let sent = self.send(&webhook, &delivery, now).await;
        let at = clock.now();
        let is_last = delivery.next_at > delivery.created_at.saturating_add(TRIED_MAX);
        let (state, outcome, result) = match &sent {
            Ok(status) => (DeliveryState::Delivered, WebhookAttempt::Delivered, format!("answered {status}")),
            Err(error) if is_last => (DeliveryState::GivenUp, WebhookAttempt::GivenUp, error.to_string()),
            Err(error) => (DeliveryState::Waiting, WebhookAttempt::Failed, error.to_string()),
        };
        metrics.count_webhook_attempt(outcome);
        let result: String = result.chars().take(RESULT_CHARS_MAX).collect();
        if let Err(error) = &sent {
            tracing::warn!(
                webhook.id = %id,
                webhook.name = webhook.name.as_str(),
                customer.id = %customer,
                event = delivery.event.as_str(),
                attempt = delivery.attempts,
                %error,
                "A delivery to a webhook failed."
            );
        }
        let delivery = delivery.id;
        store
            .finish_delivery_attempt(DeliveryAttempt { customer, webhook: id, delivery, failures, at, state, result })
            .await?;
        let is_failing_long = webhook.failing_since.is_some_and(|since| at.since(since) >= FAILING_MAX);
        if sent.is_err() && is_failing_long {
            match self.parts.management.switch_off_failing_webhook(customer, id).await {
                Ok(true) => tracing::warn!(
                    webhook.id = %id,
                    webhook.name = webhook.name.as_str(),
                    customer.id = %customer,
                    "A webhook was switched off: nothing could be delivered to it for days."
                ),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(webhook.id = %id, %error, "A webhook that fails could not be switched off.");
                }
            }
        }
        Ok(sent.is_ok())
    }
}

/// A webhook's turn on this node; its place is given back when it is dropped.
struct Turn {
    webhooks: Arc<Webhooks>,
    customer: CustomerId,
    id: WebhookId,
}

impl Turn {
    /// `None`: it has one, or all `places` of its kind are taken.
    fn take(
        webhooks: &Arc<Webhooks>,
        (customer, id): (CustomerId, WebhookId),
        is_failing: bool,
        places: usize,
    ) -> Option<Self> {
        let mut busy = webhooks.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = busy.values().filter(|&&failing| failing == is_failing).count();
        if taken >= places || busy.contains_key(&id) {
            return None;
        }
        busy.insert(id, is_failing);
        drop(busy);
        Some(Self { webhooks: Arc::clone(webhooks), customer, id })
    }

    async fn deliver(self) {
        let begun = Instant::now();
        for _ in 0..TURN_DELIVERIES_MAX {
            match self.webhooks.attempt(self.customer, self.id).await {
                Ok(true) if begun.elapsed() < TURN_TIME_MAX => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(webhook.id = %self.id, %error, "A delivery to a webhook could not be noted.");
                    return;
                }
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.webhooks.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
