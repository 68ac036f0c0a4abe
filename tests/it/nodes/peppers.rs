//! Nodes that share a store hear of a new pepper at different moments.

use std::sync::Arc;
use std::time::Duration;

use muster::domain::{Actor, Kind};
use muster::enrollment::{EnrollmentParts, EnrollmentService};
use muster::management::keys::KeyInput;
use muster::management::peppers::{PepperStep, move_digests};
use muster::management::{Input, Management};
use muster::secret::master::header;
use muster::secret::pepper::PepperNumber;
use muster::store::{Change, DigestCounts, SealedSecret, Store};

use crate::support::shared_store::SharedStore;
use crate::support::world::{World, WorldDevice, enroll};

const OLD: PepperNumber = PepperNumber(1);
const NEW: PepperNumber = PepperNumber(2);

/// A node beside the one that the world's administrators work on, with peppers of its own.
struct Node {
    parts: EnrollmentParts,
    service: EnrollmentService,
    management: Management,
}

impl Node {
    async fn beside(world: &World) -> Self {
        let inner: Arc<dyn Store> = Arc::<_>::clone(&world.store) as _;
        let store = SharedStore::well(inner);
        let parts = world.node(Arc::<SharedStore>::clone(&store)).await;
        let management = world.management_of(&parts, store);
        Self { service: EnrollmentService::new(parts.clone()), parts, management }
    }

    async fn refresh(&self) {
        self.parts.directory.refresh().await.expect("the store");
    }

    fn making(&self) -> PepperNumber {
        self.parts.index.peppers().making()
    }

    /// As the door does it.
    async fn knows(&self, text: &str) -> bool {
        loop {
            let presented = self.service.present(text);
            let found = self.service.verify_key(&presented).await.expect("the store").is_some();
            if found || !self.service.is_overtaken(&presented) {
                return found;
            }
        }
    }
}

/// The world's clock for waiting goes on at once; nobody else's.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn rotate(world: &World) {
    world.management.take_pepper_step(&Actor::system(), PepperStep::Rotate).await.expect("a pepper");
}

async fn under(world: &World) -> Vec<DigestCounts> {
    world.management.find_peppers(&Actor::system()).await.expect("a report").live
}

fn no_view() -> KeyInput {
    KeyInput { exportable: Input::Given(false), ..KeyInput::default() }
}

#[tokio::test]
async fn a_new_pepper_makes_digests_when_all_nodes_must_know_it() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let node = Node::beside(&world).await;
    let (id, key) = world.key(group, "k", no_view()).await;
    rotate(&world).await;
    node.refresh().await;
    assert_eq!((node.making(), node.parts.index.peppers().numbers()), (OLD, (NEW, Some(OLD))));
    enroll(&node.service, &key, &WorldDevice::new("first")).await.expect("enrolled");
    node.parts.directory.move_presented_keys().await.expect("the store");
    assert_eq!(world.store.find_key(world.customer, id).await.unwrap().unwrap().pepper, OLD, "nothing moves yet");

    // The clock goes on between these, too.
    pass(Duration::from_secs(5)).await;
    node.refresh().await;
    assert_eq!(node.making(), OLD);
    pass(Duration::from_secs(5)).await;
    node.refresh().await;
    assert_eq!(node.making(), NEW);
    enroll(&node.service, &key, &WorldDevice::new("second")).await.expect("enrolled");
    node.parts.directory.move_presented_keys().await.expect("the store");
    assert_eq!(world.store.find_key(world.customer, id).await.unwrap().unwrap().pepper, NEW);
    enroll(&node.service, &key, &WorldDevice::new("third")).await.expect("enrolled");
    assert_eq!(world.uses(id).await, 3);

    // A node that starts in the midst of it does not know since when it is there.
    let late = Node::beside(&world).await;
    assert_eq!(late.making(), OLD);
    assert!(late.knows(&key).await);
    pass(Duration::from_secs(10)).await;
    late.refresh().await;
    assert_eq!(late.making(), NEW);
    world.assert_healthy().await;
}

#[tokio::test]
async fn a_node_that_heard_nothing_asks_before_it_refuses() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let node = Node::beside(&world).await;
    let (_, kept) = world.key(group, "kept", KeyInput::default()).await;
    let (_, secret) = world.key(group, "secret", no_view()).await;
    node.refresh().await;
    // All of it on the other node: both keys move, one is changed after that.
    rotate(&world).await;
    world.move_kept_digests().await;
    enroll(&world.service, &secret, &WorldDevice::new("first")).await.expect("enrolled");
    world.move_presented_keys().await;
    assert_eq!(under(&world).await[0], DigestCounts { pepper: NEW, keys: 2, api_clients: 0 });
    assert_eq!(node.parts.index.peppers().numbers(), (OLD, None), "it has not heard of it");

    enroll(&node.service, &kept, &WorldDevice::new("second")).await.expect("by what it remembers");
    let (_, new) = world.key(group, "new", KeyInput::default()).await;
    for key in [&new, &kept, &secret] {
        assert!(node.knows(key).await);
    }
    assert_eq!(node.parts.index.peppers().numbers(), (NEW, Some(OLD)));
    assert!(!node.knows(&new.replace("3|", "2|")).await);
    world.assert_healthy().await;
}

#[tokio::test]
async fn an_enrollment_that_is_under_way_is_committed_while_its_key_moves() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let (id, key) = world.key(group, "k", KeyInput { maximum: Input::Given(3), ..KeyInput::default() }).await;
    let verified = |service: &EnrollmentService| service.present(&key);
    let before = verified(&world.service);
    rotate(&world).await;
    world.move_kept_digests().await;
    assert!(world.service.is_overtaken(&before));
    assert!(world.service.verify_key(&before).await.expect("the store").is_none(), "as it was presented");
    for n in 0..3 {
        enroll(&world.service, &key, &WorldDevice::new(&format!("device-{n}"))).await.expect("enrolled");
    }
    assert!(enroll(&world.service, &key, &WorldDevice::new("fourth")).await.is_err());
    assert_eq!(world.uses(id).await, 3);
    world.assert_healthy().await;
}

/// Whoever lacks a pepper cannot tell what is unknown.
#[tokio::test]
async fn a_node_that_cannot_open_a_pepper_takes_nothing_for_unknown() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let node = Node::beside(&world).await;
    let (_, key) = world.key(group, "k", KeyInput::default()).await;
    node.refresh().await;
    // Sealed, as far as the store can tell, by the master key that seals.
    let sealed = [header(&world.master_keys().sealing_id()), vec![0x5e; 60]].concat();
    let secret = SealedSecret { purpose: "pepper".into(), name: "2".into(), sealed };
    world.store.commit_changes(vec![Change::InsertSecret(secret)], vec![], &world.audit_key).await.expect("a change");
    pass(Duration::from_secs(5)).await;
    enroll(&node.service, &key, &WorldDevice::new("first")).await.expect("what it knows goes on");
    let told = node.service.verify_key(&node.service.present("1|localhost|unknown")).await.map(|_| ()).unwrap_err();
    assert!(told.to_string().contains("pepper \"2\" does not open"), "{told}");
}

#[tokio::test]
async fn a_key_that_was_given_up_is_gone_on_every_node() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let node = Node::beside(&world).await;
    let (id, key) = world.key(group, "k", no_view()).await;
    node.refresh().await;
    rotate(&world).await;
    world.management.take_pepper_step(&Actor::system(), PepperStep::Finish).await.expect("an end");
    // It was verified by what the node remembers; the commit knows better.
    let refused = enroll(&node.service, &key, &WorldDevice::new("first")).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "the key is disabled");
    assert!(!node.knows(&key).await);
    assert_eq!(world.uses(id).await, 0);
    assert_eq!(move_digests(&*world.store, &world.master_keys(), node.parts.index.peppers()).await.unwrap(), 0);
    // A sign-in or a key that this node makes is under the one that there is.
    let made = node.management.find_peppers(&Actor::system()).await.expect("a report");
    assert_eq!(made.live.len(), 1);
    world.assert_healthy().await;
}
