//! What is told, and that it is told once.

use std::time::Duration;

use muster::clock::{Clock as _, DAY};
use muster::domain::address::SourcePrefix;
use muster::domain::ledger::RefusalTally;
use muster::domain::webhook::{DeliveryState, QUEUE_MAX};
use muster::domain::{Actor, Kind, ProvisioningKey, Reference, Refusal, RefusalReason};
use muster::id::{Id as _, ProvisioningKeyId};
use muster::management::Input;
use muster::management::keys::KeyInput;
use muster::management::webhooks::WebhookInput;
use muster::store::{Change, DeliveryAttempt, EnrollmentStore as _, Store as _};

use super::Scene;
use crate::support::rows;
use crate::support::world::WorldDevice;

/// Looks and delivers: a look that finds nothing new tells nothing.
async fn tell(scene: &Scene) -> Vec<String> {
    let before = scene.receiver.received().len();
    for _ in 0..2 {
        scene.look().await;
        scene.deliver().await;
    }
    scene.received_types().split_off(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn enrollments_and_take_overs_are_told_once_from_the_beginning_on() {
    let scene = Scene::new(&["key.expired"]).await;
    let group = scene.world.group(Kind::Machine, "HQ").await;
    let open = KeyInput { allow_re_enrollment: Input::Given(true), ..KeyInput::default() };
    let (key_id, key) = scene.world.key(group, "k", open).await;
    scene.world.enroll(&key, &WorldDevice::new("early")).await.unwrap();
    assert_eq!(tell(&scene).await, [""; 0], "it did not ask");
    scene.world.clock.advance(Duration::from_secs(10));
    let asks = WebhookInput {
        events: Input::Given(vec!["component.enrolled".to_owned(), "component.taken_over".to_owned()]),
        ..WebhookInput::default()
    };
    let (management, customer) = (&scene.world.management, scene.world.customer);
    management.edit_webhook(&Actor::system(), customer, scene.id(), None, &asks).await.unwrap();
    assert_eq!(tell(&scene).await, [""; 0], "what was before is not told");

    let device = WorldDevice::new("device");
    let made = scene.world.enroll(&key, &device).await.unwrap();
    scene.world.enroll(&key, &device).await.unwrap();
    assert_eq!(tell(&scene).await, ["component.enrolled"], "a replay is nothing new");
    let received = scene.receiver.received();
    let data = &received[0].payload["data"];
    assert_eq!((&data["key"]["id"], &data["key"]["name"]), (&key_id.to_string().into(), &"k".into()));
    let components = data["components"].as_array().unwrap();
    assert_eq!(components.len(), 1);
    assert_eq!(components[0]["id"], made.component_id.to_string());
    assert_eq!(components[0]["remoteAddress"], "192.0.2.7");
    assert!(components[0]["name"].as_str().unwrap().starts_with('k'));
    assert!(!received[0].body.contains(&key), "no key string");

    scene.world.enroll(&key, &device.reinstalled()).await.unwrap();
    assert_eq!(tell(&scene).await, ["component.taken_over"]);
    let received = scene.receiver.received();
    let component = &received[1].payload["data"]["components"][0];
    assert_eq!(component["id"], made.component_id.to_string());
    assert_eq!(component["previous"]["certificateSerialNumber"], components[0]["certificateSerialNumber"]);

    for n in 0..3 {
        scene.world.enroll(&key, &WorldDevice::new(&format!("many-{n}"))).await.unwrap();
    }
    assert_eq!(tell(&scene).await, ["component.enrolled"], "many in one");
    let received = scene.receiver.received();
    assert_eq!(received[2].payload["data"]["components"].as_array().unwrap().len(), 3);
    scene.world.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_look_at_once_one_tells() {
    let scene = Scene::new(&["component.enrolled"]).await;
    let group = scene.world.group(Kind::Machine, "HQ").await;
    let (_, key) = scene.world.key(group, "k", KeyInput::default()).await;
    let other = scene.world.webhooks(super::loopback(), scene.receiver.trust());
    for n in 0..10 {
        scene.world.enroll(&key, &WorldDevice::new(&format!("d{n}"))).await.unwrap();
        let (one, two) = tokio::join!(scene.node.look_at_components(), other.look_at_components());
        one.unwrap();
        two.unwrap();
        let (mut here, mut there) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
        let (one, two) = tokio::join!(scene.node.deliver_due(&mut here), other.deliver_due(&mut there));
        one.unwrap();
        two.unwrap();
        here.join_all().await;
        there.join_all().await;
        assert_eq!(scene.receiver.received().len(), n + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_attention_is_told_once_while_it_does() {
    let events = ["key.nearly_exhausted", "key.expiring", "key.expired", "key.exhausted", "refusals.unusual"];
    let scene = Scene::new(&events).await;
    let group = scene.world.group(Kind::Machine, "HQ").await;
    let maximum = |maximum| KeyInput { maximum: Input::Given(maximum), ..KeyInput::default() };
    let (filling, key) = scene.world.key(group, "filling", maximum(10)).await;
    let end = scene.world.clock.now().saturating_add(DAY * 8);
    let ending = KeyInput { expires_at: Input::Given(end), ..KeyInput::default() };
    scene.world.key(group, "ending", ending).await;
    for n in 0..8 {
        scene.world.enroll(&key, &WorldDevice::new(&format!("d{n}"))).await.unwrap();
    }
    assert_eq!(tell(&scene).await, [""; 0]);
    scene.world.enroll(&key, &WorldDevice::new("d8")).await.unwrap();
    assert_eq!(tell(&scene).await, ["key.nearly_exhausted"]);
    let data = &scene.receiver.received()[0].payload["data"];
    assert_eq!((&data["uses"], &data["maximum"]), (&9.into(), &10.into()));

    // Raised, so that it is no more, and full again.
    scene.world.edit_key(filling, maximum(20)).await;
    assert_eq!(tell(&scene).await, [""; 0]);
    scene.world.edit_key(filling, maximum(10)).await;
    assert_eq!(tell(&scene).await, ["key.nearly_exhausted"], "it is so again");

    scene.world.enroll(&key, &WorldDevice::new("d9")).await.unwrap();
    let refused = RefusalTally {
        customer_id: scene.world.customer,
        key_id: filling,
        refusal: Refusal::KeyExhausted,
        source: SourcePrefix::of("192.0.2.1".parse().unwrap()),
        minute: scene.world.clock.now(),
        count: 20,
        last_reference: Reference::random(),
        last_reason: RefusalReason::new("as the test asked"),
    };
    scene.world.store.add_refusals(vec![refused]).await.unwrap();
    let mut told = tell(&scene).await;
    told.sort_unstable();
    assert_eq!(told, ["key.exhausted", "refusals.unusual"]);

    scene.world.clock.advance(DAY * 2);
    assert_eq!(tell(&scene).await, ["key.expiring"]);
    scene.world.clock.advance(DAY * 6);
    assert_eq!(tell(&scene).await, ["key.expired"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_much_needs_attention_all_of_it_is_told() {
    const MORE: u32 = 5;
    let scene = Scene::new(&["key.expiring"]).await;
    let (world, customer) = (&scene.world, scene.world.customer);
    let group = world.group(Kind::Machine, "HQ").await;
    let group = world.store.find_group(customer, group).await.unwrap().unwrap();
    let expires_at = Some(world.clock.now().saturating_add(DAY));
    let keys = (0..QUEUE_MAX + MORE).map(|n| {
        let key = rows::key(900_000 + u64::from(n), &group, &format!("k{n}"), None);
        Change::InsertKey(ProvisioningKey { expires_at, sealed_string: None, ..key })
    });
    world.store.commit_changes(keys.collect(), Vec::new(), &world.audit_key).await.unwrap();
    let told = async || world.store.list_webhook_marks(customer, scene.id()).await.unwrap().len();
    scene.look().await;
    assert_eq!(told().await, QUEUE_MAX as usize, "as much as may wait");
    scene.look().await;
    assert_eq!(told().await, QUEUE_MAX as usize);
    for over in scene.deliveries().await.iter().take(MORE as usize + 1) {
        let attempt = DeliveryAttempt {
            customer,
            webhook: scene.id(),
            delivery: over.id,
            failures: 0,
            at: world.clock.now(),
            state: DeliveryState::Delivered,
            result: String::new(),
        };
        world.store.finish_delivery_attempt(attempt).await.unwrap();
    }
    scene.look().await;
    assert_eq!(told().await, (QUEUE_MAX + MORE) as usize);

    // What is no more is forgotten, however much else there is.
    let gone = ProvisioningKeyId::from_raw(900_000);
    let delete = Change::DeleteKey { customer, id: gone, revision: None, revoke: None };
    world.store.commit_changes(vec![delete], Vec::new(), &world.audit_key).await.unwrap();
    scene.look().await;
    assert_eq!(told().await, (QUEUE_MAX + MORE) as usize - 1);
}
