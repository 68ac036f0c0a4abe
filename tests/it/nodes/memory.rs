//! A node that shares its store with others: what they change is in force here when it is asked for, what
//! it cannot know costs the store one look however many ask, and it says so when it cannot tell.

use std::sync::Arc;
use std::time::Duration;

use muster::clock::{Clock as _, Timestamp};
use muster::domain::component::DeviceDescription;
use muster::domain::{Kind, Refusal};
use muster::enrollment::{EnrollmentError, EnrollmentParts, EnrollmentRequest, EnrollmentService, VerifiedKey};
use muster::id::{Id as _, ProvisioningKeyId};
use muster::management::Input;
use muster::management::keys::KeyInput;
use muster::protocol::enroll::Outcome;
use muster::store::{Change, Store};

use crate::support::shared_store::{Mood, SharedStore};
use crate::support::world::{World, WorldDevice, enroll};

/// A node beside the one that the world's administrators work on.
struct Node {
    store: Arc<SharedStore>,
    parts: EnrollmentParts,
    service: Arc<EnrollmentService>,
}

impl Node {
    async fn beside(world: &World) -> Self {
        let inner: Arc<dyn Store> = Arc::<_>::clone(&world.store) as _;
        let store = SharedStore::well(inner);
        let parts = world.node(Arc::<SharedStore>::clone(&store)).await;
        let service = Arc::new(EnrollmentService::new(parts.clone()));
        Self { store, parts, service }
    }

    async fn verify(&self, text: &str) -> Result<Option<VerifiedKey>, EnrollmentError> {
        self.service.verify_key(&self.service.present(text)).await
    }

    async fn knows(&self, text: &str) -> bool {
        self.verify(text).await.expect("the store").is_some()
    }
}

fn delete(world: &World, id: ProvisioningKeyId) -> Change {
    Change::DeleteKey { customer: world.customer, id, revision: None, revoke: None }
}

fn enabled(enabled: bool) -> KeyInput {
    KeyInput { enabled: Input::Given(enabled), ..KeyInput::default() }
}

#[tokio::test]
async fn what_another_node_was_told_holds_here_at_once() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let node = Node::beside(&world).await;

    let (id, key) = world.key(group, "made elsewhere", KeyInput::default()).await;
    let first = WorldDevice::new("first");
    assert_eq!(enroll(&node.service, &key, &first).await.expect("enrolled").outcome, Outcome::Enrolled);
    let looks = node.store.looks();
    assert!(node.knows(&key).await);
    assert_eq!(node.store.looks(), looks, "what is known costs no look");

    world.edit_key(id, enabled(false)).await;
    let refused = enroll(&node.service, &key, &WorldDevice::new("second")).await;
    assert!(matches!(refused, Err(EnrollmentError::Refused { refusal: Refusal::KeyDisabled, .. })));
    world.edit_key(id, enabled(true)).await;
    enroll(&node.service, &key, &WorldDevice::new("second")).await.expect("enabled again, and nobody is refused");

    world.apply(delete(&world, id)).await;
    assert!(node.knows(&key).await, "it was not asked yet");
    let gone = enroll(&node.service, &key, &WorldDevice::new("third")).await;
    assert!(matches!(gone, Err(EnrollmentError::KeyGone)));
    assert!(!node.knows(&key).await);
    world.assert_healthy().await;
}

#[tokio::test]
async fn many_keys_of_many_groups_are_followed_by_the_page() {
    let world = World::new().await;
    let node = Node::beside(&world).await;
    let mut keys = Vec::new();
    for name in ["North", "South"] {
        let group = world.group(Kind::Machine, name).await;
        for n in 0..20 {
            keys.push(world.key(group, &format!("{name} {n}"), KeyInput::default()).await);
        }
    }
    let (gone, gone_string) = keys.pop().expect("forty keys");
    world.apply(delete(&world, gone)).await;

    node.parts.directory.refresh().await.expect("the store");
    assert_eq!(node.store.calls("find_indexed_keys"), 1);
    let looks = node.store.looks();
    for (n, (_, key)) in keys.iter().enumerate() {
        enroll(&node.service, key, &WorldDevice::new(&format!("device-{n}"))).await.expect("enrolled");
    }
    assert_eq!(node.store.looks(), looks, "all of it was there");
    assert!(!node.knows(&gone_string).await);
}

#[tokio::test]
async fn a_string_that_moved_to_another_key_is_that_ones() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let node = Node::beside(&world).await;
    let (mut id, key) = world.key(group, "k", KeyInput::default()).await;
    // In either order of the ids, which are all that a page of the feed has.
    for next in [ProvisioningKeyId::from_raw(1), ProvisioningKeyId::from_raw(u64::MAX >> 1)] {
        assert_eq!(node.verify(&key).await.expect("the store").map(|key| key.key_id()), Some(id));
        let mut row = world.store.find_key(world.customer, id).await.expect("the store").expect("the key");
        row.id = next;
        world.apply(delete(&world, id)).await;
        world.apply(Change::InsertKey(row)).await;
        node.parts.directory.refresh().await.expect("the store");
        id = next;
    }
    assert_eq!(node.verify(&key).await.expect("the store").map(|key| key.key_id()), Some(id));
}

#[tokio::test]
async fn a_thousand_unknown_keys_make_two_looks_at_most() {
    let world = World::new().await;
    let node = Arc::new(Node::beside(&world).await);
    // The looks of all are gathered behind one that does not end.
    node.store.turn(Mood::Silent);
    let looks = node.store.looks();
    let asking: Vec<_> = (0..1_000)
        .map(|n| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.knows(&format!("3|localhost|{n:096}")).await })
        })
        .collect();
    while node.store.looks() == looks {
        tokio::task::yield_now().await;
    }
    node.store.turn(Mood::Well);
    for asked in asking {
        assert!(!asked.await.expect("no panic"));
    }
    assert!(node.store.looks() - looks <= 2);
}

#[tokio::test]
async fn while_the_store_is_away_memory_is_believed_for_five_seconds() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let node = Node::beside(&world).await;
    let (_, key) = world.key(group, "made elsewhere", KeyInput::default()).await;
    let unknown = format!("3|localhost|{}", "A".repeat(96));
    // Nothing below reaches the real store, which has threads that no paused clock waits for.
    tokio::time::pause();
    for mood in [Mood::Away, Mood::Silent] {
        tokio::time::resume();
        node.store.turn(Mood::Well);
        assert!(!node.knows(&unknown).await);
        tokio::time::pause();
        node.store.turn(mood);
        assert!(!node.knows(&unknown).await, "{mood:?}: the index was confirmed just now");
        tokio::time::advance(Duration::from_secs(5)).await;
        let near_miss = format!("{key}=");
        for text in [&*unknown, &*near_miss, "", "no key string"] {
            let unsure = node.verify(text).await.err().expect("nobody can tell");
            assert!(matches!(unsure, EnrollmentError::StoreUnavailable { .. }), "{mood:?}: {unsure}");
        }
    }
    tokio::time::resume();
    node.store.turn(Mood::Well);
    assert!(!node.knows(&unknown).await);
    assert!(node.knows(&key).await, "it recovers by itself");
}

#[tokio::test]
async fn a_refusal_waits_no_longer_than_a_device_would() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let (_, key) = world.key(group, "off", enabled(false)).await;
    let node = Node::beside(&world).await;
    let verified = node.verify(&key).await.expect("the store").expect("a known key");
    tokio::time::pause();
    node.store.turn(Mood::Silent);
    let device = WorldDevice::new("device");
    let request = EnrollmentRequest {
        fingerprint: device.fingerprint.clone(),
        device: DeviceDescription::default(),
        csr: &device.csr,
        remote_address: device.address,
    };
    let began = tokio::time::Instant::now();
    let unsure = node.service.enroll(verified, request).await;
    assert!(matches!(unsure, Err(EnrollmentError::StoreUnavailable { .. })), "never on the word of memory alone");
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test]
async fn a_node_whose_clock_is_a_minute_off_signs_nothing() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let (id, key) = world.key(group, "k", KeyInput::default()).await;
    let node = Node::beside(&world).await;
    for seconds in [0, 5, -5, 6, -6, 60, -60, 61, -61_i64] {
        let store_now = Timestamp::from_unix_seconds(world.clock.now().unix_seconds() + seconds);
        node.parts.store_clock.measure(async { Ok(store_now) }).await.expect("an answer");
        let difference = node.parts.store_clock.difference();
        assert_eq!(difference.is_ready(), seconds.abs() <= 5, "{seconds} s");
        let gauge = format!("\nmuster_store_clock_difference_seconds {seconds}\n");
        assert!(node.parts.metrics.render().contains(&gauge), "{gauge}");

        let uses = world.uses(id).await;
        let device = WorldDevice::new(&format!("device{seconds}"));
        match enroll(&node.service, &key, &device).await {
            Ok(_) => assert_eq!((world.uses(id).await, seconds.abs() <= 60), (uses + 1, true), "{seconds} s"),
            Err(error @ EnrollmentError::ClockOff(found)) => {
                assert_eq!((found, seconds.abs()), (difference, 61));
                assert!(error.refusal().is_none(), "the key is not at fault");
                assert_eq!(world.uses(id).await, uses);
            }
            Err(error) => panic!("{error}"),
        }
    }
    node.parts.store_clock.measure(world.store.now()).await.expect("an answer");
    enroll(&node.service, &key, &WorldDevice::new("set-again")).await.expect("the clock was set");
}
