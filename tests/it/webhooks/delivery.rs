//! How deliveries fare: signed, tried again, given up, and never to where they may not go.

use std::time::Duration;

use muster::client::tls::Trust;
use muster::clock::{Clock as _, DAY};
use muster::domain::webhook::{DeliveryState, Destinations, QUEUE_MAX};
use muster::domain::{Actor, Kind, WebhookDelivery, WebhookEvent};
use muster::id::{CustomerId, Id as _, WebhookDeliveryId, WebhookId};
use muster::management::Input;
use muster::management::customers::CustomerInput;
use muster::management::keys::KeyInput;
use muster::management::webhooks::WebhookInput;
use muster::store::{DeliveryAttempt, Look, Store as _, WebhookNews};
use tokio::task::JoinSet;

use super::receiver::{Answer, Receiver};
use super::{Scene, loopback, make, no_trust};
use crate::support::patiently;
use crate::support::world::{World, WorldDevice};

/// More than the first pause, whatever the spread.
const PAUSE: Duration = Duration::from_secs(40);

async fn test(scene: &Scene) -> WebhookDelivery {
    let queued = scene.world.management.test_webhook(&Actor::system(), scene.world.customer, scene.id()).await;
    queued.expect("a test")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_signed_and_says_what_it_is() {
    let scene = Scene::new(&["key.expiring"]).await;
    let queued = test(&scene).await;
    scene.deliver().await;
    let received = scene.receiver.received();
    let [received] = &received[..] else { panic!("{received:?}") };
    assert_eq!(received.path, "/hook?from=muster");
    assert!(received.is_signed_with(&scene.made.secret));
    assert_eq!(received.id, format!("msg_{}", queued.id));
    assert_eq!(received.timestamp, scene.world.clock.now().unix_seconds().to_string());
    let payload = &received.payload;
    assert_eq!((&payload["type"], &payload["id"]), (&"webhook.test".into(), &received.id.clone().into()));
    assert_eq!(payload["timestamp"], scene.world.clock.now().to_string());
    assert_eq!(payload["customer"]["id"], scene.world.customer.to_string());
    assert_eq!(payload["data"]["webhook"]["name"], "hook");
    let mut other = received.clone();
    other.body.push(' ');
    assert!(!other.is_signed_with(&scene.made.secret), "the body is signed");

    let deliveries = scene.deliveries().await;
    assert_eq!((deliveries[0].state, deliveries[0].attempts), (DeliveryState::Delivered, 1));
    assert_eq!(deliveries[0].last_result, "answered 200");
    let webhook = scene.world.store.find_webhook(scene.world.customer, scene.id()).await.unwrap().unwrap();
    assert_eq!((webhook.last_success_at, webhook.failing_since), (Some(scene.world.clock.now()), None));
    scene.deliver().await;
    assert_eq!(scene.receiver.received().len(), 1, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_tried_again_under_its_id_until_it_arrives() {
    let scene = Scene::new(&["key.expiring"]).await;
    scene.receiver.answer(Answer::Status(503));
    test(&scene).await;
    scene.deliver().await;
    scene.deliver().await;
    assert_eq!(scene.receiver.received().len(), 1, "not before its time");
    let webhook = scene.world.store.find_webhook(scene.world.customer, scene.id()).await.unwrap().unwrap();
    assert_eq!((webhook.last_failure.as_str(), webhook.failing_since), ("answered 503", Some(scene.world.clock.now())));
    scene.world.clock.advance(PAUSE);
    scene.receiver.answer(Answer::Status(204));
    scene.deliver().await;
    let received = scene.receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!((&received[0].id, &received[0].body), (&received[1].id, &received[1].body));
    assert_ne!(received[0].timestamp, received[1].timestamp, "each attempt has its own time");
    assert!(received[1].is_signed_with(&scene.made.secret));
    let deliveries = scene.deliveries().await;
    assert_eq!((deliveries[0].state, deliveries[0].attempts), (DeliveryState::Delivered, 2));
    let webhook = scene.world.store.find_webhook(scene.world.customer, scene.id()).await.unwrap().unwrap();
    assert_eq!(webhook.failing_since, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_nobody_finished_is_made_again_under_its_id() {
    let scene = Scene::new(&["key.expiring"]).await;
    scene.receiver.answer(Answer::Silence);
    test(&scene).await;
    let mut under_way = JoinSet::new();
    scene.node.deliver_due(&mut under_way).await.unwrap();
    while scene.receiver.received().is_empty() {
        tokio::task::yield_now().await;
    }
    // It arrived, and the node dies before it can say so.
    under_way.shutdown().await;
    let scene = Scene { node: scene.world.webhooks(loopback(), scene.receiver.trust()), ..scene };
    scene.receiver.answer(Answer::Status(200));
    scene.deliver().await;
    assert_eq!(scene.receiver.received().len(), 1, "it is the dead node's for a while");
    scene.world.clock.advance(PAUSE);
    scene.deliver().await;
    let received = scene.receiver.received();
    assert_eq!((received.len(), &received[0].id), (2, &received[1].id));
    assert_eq!(scene.deliveries().await[0].state, DeliveryState::Delivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_given_up_after_a_day_and_a_webhook_switched_off_after_five() {
    let scene = Scene::new(&["key.expiring"]).await;
    scene.receiver.answer(Answer::Status(500));
    let begun = scene.world.clock.now();
    test(&scene).await;
    while scene.world.clock.now().since(begun) < DAY * 2 {
        scene.deliver().await;
        scene.world.clock.advance(Duration::from_secs(1_800));
    }
    let deliveries = scene.deliveries().await;
    // Ten when it is looked every second; here it is every half an hour.
    assert_eq!(deliveries[0].state, DeliveryState::GivenUp);
    assert!((8..=12).contains(&deliveries[0].attempts), "{:?}", deliveries[0]);
    assert_eq!(scene.receiver.received().len(), deliveries[0].attempts as usize);
    assert!(deliveries[0].next_at.since(begun) <= DAY + Duration::from_secs(1_800), "it ended with its day");

    scene.world.clock.advance(DAY * 4);
    test(&scene).await;
    scene.deliver().await;
    let webhook = scene.world.store.find_webhook(scene.world.customer, scene.id()).await.unwrap().unwrap();
    assert!(!webhook.enabled);
    let audit = scene.world.store.list_audit(scene.world.customer, 0, 100).await.unwrap();
    let last = &audit.last().unwrap().event;
    assert_eq!((&*last.actor_type, &*last.action, &*last.object_type), ("system", "update", "webhook"));
    scene.world.clock.advance(DAY);
    let before = scene.receiver.received().len();
    scene.deliver().await;
    assert_eq!(scene.receiver.received().len(), before, "nothing is sent to one that is off");
    scene.world.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_short_answer_of_success_from_the_url_itself_counts() {
    let scene = Scene::new(&["key.expiring"]).await;
    for (answer, result) in [
        (Answer::Redirect, "answered 302; redirects are not followed"),
        (Answer::Status(400), "answered 400"),
        (Answer::Long(1 << 20), "the answer is broken or longer than 65536 bytes"),
    ] {
        scene.receiver.answer(answer);
        let before = scene.receiver.received().len();
        test(&scene).await;
        scene.deliver().await;
        assert_eq!(scene.deliveries().await[0].last_result, result);
        assert_eq!(scene.receiver.received().len(), before + 1, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_an_internal_address_or_to_whom_nobody_vouches_for() {
    let scene = Scene::new(&["key.expiring"]).await;
    // `localhost` is looked up for each attempt, whatever was allowed when the webhook was made.
    let strict = scene.world.webhooks(Destinations::default(), scene.receiver.trust());
    let scene = Scene { node: strict, ..scene };
    test(&scene).await;
    scene.deliver().await;
    let deliveries = scene.deliveries().await;
    assert_eq!(
        deliveries[0].last_result,
        "the host leads to an internal address, which webhooks.allow_networks does not name"
    );
    let scene = Scene { node: scene.world.webhooks(loopback(), no_trust()), ..scene };
    test(&scene).await;
    scene.deliver().await;
    assert!(
        scene.deliveries().await[0].last_result.contains("invalid peer certificate"),
        "{:?}",
        scene.deliveries().await[0]
    );
    assert_eq!(scene.receiver.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_holds_back_and_loses_nothing() {
    let scene = Scene::new(&["component.enrolled"]).await;
    let group = scene.world.group(Kind::Machine, "HQ").await;
    let (_, key) = scene.world.key(group, "k", KeyInput::default()).await;
    let sample = test(&scene).await;
    scene.deliver().await;
    // They wait for long.
    let next_at = scene.world.clock.now().saturating_add(DAY);
    let waiting = |n: u32| {
        let id = WebhookDeliveryId::from_raw(900_000 + u64::from(n));
        WebhookDelivery { id, event: WebhookEvent::ComponentEnrolled, next_at, ..sample.clone() }
    };
    let queued: Vec<_> = (0..QUEUE_MAX).map(waiting).collect();
    let (customer, webhook) = (scene.world.customer, scene.id());
    let (look, deliveries) = (Look::Components, queued.clone());
    let news = WebhookNews { customer, webhook, look, looks: 0, deliveries, told: Vec::new(), ceased: Vec::new() };
    assert!(scene.world.store.queue_webhook_news(news).await.unwrap());
    scene.world.enroll(&key, &WorldDevice::new("a")).await.unwrap();
    scene.look().await;
    scene.deliver().await;
    assert_eq!(scene.world.store.list_served_webhooks().await.unwrap()[0].waiting, QUEUE_MAX);
    assert_eq!(scene.received_types(), ["webhook.test"]);

    scene.world.enroll(&key, &WorldDevice::new("b")).await.unwrap();
    // Components leave a hundred places to what needs attention.
    for delivery in &queued[..102] {
        let (at, result) = (scene.world.clock.now(), String::new());
        let state = DeliveryState::GivenUp;
        let over = DeliveryAttempt { customer, webhook, delivery: delivery.id, failures: 0, at, state, result };
        scene.world.store.finish_delivery_attempt(over).await.unwrap();
    }
    scene.look().await;
    scene.deliver().await;
    assert_eq!(scene.received_types(), ["webhook.test", "component.enrolled"]);
    let told = &scene.receiver.received()[1].payload["data"]["components"];
    assert_eq!(told.as_array().unwrap().len(), 2, "both in one");
}

async fn customer(world: &World, name: &str) -> CustomerId {
    let input = CustomerInput { name: Input::Given(name.to_owned()), ..CustomerInput::default() };
    world.management.create_customer(&Actor::system(), input, None).await.expect("a customer").customer.id
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_are_away_hold_up_nobody_else() {
    let (world, away, works) = (World::new().await, Receiver::start().await, Receiver::start().await);
    let trust = Trust::from_pem(&format!("{}{}", away.anchor_pem, works.anchor_pem)).expect("CAs");
    let node = world.webhooks(loopback(), trust);
    let test = async |customer: CustomerId, id: WebhookId| {
        world.management.test_webhook(&Actor::system(), customer, id).await.expect("a test");
    };
    for name in ["One", "Other", "Third"] {
        let customer = customer(&world, name).await;
        for n in 0..20 {
            let made = make(&world, customer, &format!("away {n}"), &away.url(), &["key.expiring"]).await;
            test(customer, made.webhook.id).await;
        }
    }
    let made = make(&world, world.customer, "works", &works.url(), &["key.expiring"]).await;
    away.answer(Answer::Status(500));
    while away.received().len() < 60 {
        let mut under_way = JoinSet::new();
        node.deliver_due(&mut under_way).await.unwrap();
        patiently("the refusals", under_way.join_all()).await;
    }

    // All of them are due again before the one that works has anything, and now they take what time they are given.
    away.answer(Answer::Silence);
    world.clock.advance(PAUSE);
    test(world.customer, made.webhook.id).await;
    let mut under_way = JoinSet::new();
    node.deliver_due(&mut under_way).await.unwrap();
    assert!(under_way.len() < 60, "not all at once: {}", under_way.len());
    let arrives = async {
        while works.received().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(9), arrives).await.expect("before any of the others has ended");
    under_way.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_costs_one_attempt_in_each_pause_and_misses_nothing() {
    let scene = Scene::new(&["component.enrolled"]).await;
    let group = scene.world.group(Kind::Machine, "HQ").await;
    scene.receiver.answer(Answer::Status(503));
    for n in 0..3 {
        let (_, key) = scene.world.key(group, &format!("k{n}"), KeyInput::default()).await;
        scene.world.enroll(&key, &WorldDevice::new(&format!("d{n}"))).await.unwrap();
        scene.look().await;
        scene.deliver().await;
        scene.deliver().await;
    }
    assert_eq!(scene.receiver.received().len(), 1, "three wait, one is tried");
    scene.world.clock.advance(PAUSE);
    scene.deliver().await;
    scene.deliver().await;
    assert_eq!(scene.receiver.received().len(), 2);

    // Another URL is tried at once.
    let elsewhere = Receiver::start().await;
    let input = WebhookInput { url: Input::Given(elsewhere.url()), ..WebhookInput::default() };
    scene
        .world
        .management
        .edit_webhook(&Actor::system(), scene.world.customer, scene.id(), None, &input)
        .await
        .unwrap();
    let scene = Scene { node: scene.world.webhooks(loopback(), elsewhere.trust()), ..scene };
    scene.deliver().await;
    assert_eq!(elsewhere.received().len(), 2, "all but the one that was tried last");
    scene.world.clock.advance(PAUSE);
    scene.deliver().await;
    let told: std::collections::BTreeSet<_> = elsewhere.received().iter().map(|received| received.id.clone()).collect();
    assert_eq!(told.len(), 3);
}
