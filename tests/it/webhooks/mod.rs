//! Webhooks: what is told, how it is signed, where it may go, and that it arrives.

mod delivery;
mod documents;
mod news;
mod receiver;
mod service;

use std::sync::Arc;

use muster::client::tls::Trust;
use muster::domain::webhook::Destinations;
use muster::domain::{Actor, WebhookDelivery};
use muster::id::{CustomerId, WebhookId};
use muster::management::Input;
use muster::management::webhooks::{NewWebhook, WebhookInput};
use muster::store::{PageRequest, Store as _};
use muster::webhooks::Webhooks;
use tokio::task::JoinSet;

use self::receiver::Receiver;
use crate::support::world::World;
use crate::support::{Pki, patiently};

/// A world with a webhook that leads to a receiver, and a node that serves it.
struct Scene {
    world: World,
    receiver: Receiver,
    node: Arc<Webhooks>,
    made: NewWebhook,
}

fn loopback() -> Destinations {
    Destinations { allowed: vec!["127.0.0.0/8".parse().expect("a network")] }
}

impl Scene {
    async fn new(events: &[&str]) -> Self {
        let (world, receiver) = (World::new().await, Receiver::start().await);
        let made = make(&world, world.customer, "hook", &receiver.url(), events).await;
        let node = world.webhooks(loopback(), receiver.trust());
        Self { world, receiver, node, made }
    }

    /// All that is due is tried, and over.
    async fn deliver(&self) {
        let mut under_way = JoinSet::new();
        self.node.deliver_due(&mut under_way).await.expect("the store");
        patiently("the deliveries", under_way.join_all()).await;
    }

    async fn look(&self) {
        self.node.look_at_components().await.expect("the store");
        self.node.look_at_attention().await.expect("the store");
    }

    fn id(&self) -> WebhookId {
        self.made.webhook.id
    }

    /// Newest first.
    async fn deliveries(&self) -> Vec<WebhookDelivery> {
        let page = PageRequest::first(500);
        let (store, customer) = (&self.world.store, self.world.customer);
        store.list_webhook_deliveries(customer, self.id(), page).await.expect("the store").rows
    }

    /// Of what was received, in order.
    fn received_types(&self) -> Vec<String> {
        self.receiver.received().iter().map(|received| received.payload["type"].as_str().unwrap().to_owned()).collect()
    }
}

async fn make(world: &World, customer: CustomerId, name: &str, url: &str, events: &[&str]) -> NewWebhook {
    let input = WebhookInput {
        name: Input::Given(name.to_owned()),
        url: Input::Given(url.to_owned()),
        events: Input::Given(events.iter().map(|event| (*event).to_owned()).collect()),
        enabled: Input::Absent,
    };
    world.management.create_webhook(&Actor::system(), customer, input).await.expect("a webhook")
}

/// For receivers with a certificate that nobody vouches for.
fn no_trust() -> Trust {
    Trust::from_pem(&Pki::new().anchor_pem).expect("a CA")
}
