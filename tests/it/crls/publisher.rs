//! Those who make CRLs, on one store and with a clock that is turned: when one is due, who makes it, and what becomes of
//! the others.

use std::sync::Arc;
use std::time::Duration;

use muster::clock::Clock as _;
use muster::domain::revocation::Crl;
use muster::domain::{Kind, RevocationReason, SerialNumber};
use muster::enrollment::{CrlParts, CrlPublisher, Crls, EnrollmentParts};
use muster::id::SigningCertificateId;
use muster::management::keys::KeyInput;
use muster::store::{Change, Store};

use super::support::read;
use crate::support::shared_store::{Mood, SharedStore};
use crate::support::world::{World, WorldDevice};

const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// A node beside the one that the world's administrators work on.
struct Node {
    store: Arc<SharedStore>,
    parts: EnrollmentParts,
    publisher: CrlPublisher,
    crls: Arc<Crls>,
}

impl Node {
    async fn beside(world: &World) -> Self {
        let inner: Arc<dyn Store> = Arc::<_>::clone(&world.store) as _;
        let store = SharedStore::well(inner);
        let parts = world.node(Arc::<SharedStore>::clone(&store)).await;
        let publisher = CrlPublisher::new(CrlParts {
            store: Arc::<SharedStore>::clone(&store),
            clock: Arc::clone(&parts.clock),
            store_clock: Arc::clone(&parts.store_clock),
            directory: Arc::clone(&parts.directory),
            metrics: Arc::clone(&parts.metrics),
            lifetime: WEEK,
        });
        let crls = publisher.crls();
        Self { store, parts, publisher, crls }
    }

    /// When no pause is left over from the look before.
    async fn look(&mut self) {
        end_pauses().await;
        self.look_at_once().await;
    }

    /// As the service does every second: reads the feed, then looks.
    async fn look_at_once(&mut self) {
        let _ = self.parts.directory.refresh().await;
        self.publisher.look().await;
    }

    fn crl(&self, signer: SigningCertificateId) -> Crl {
        self.crls.find(signer).expect("a CRL")
    }

    fn built(&self, outcome: &str) -> bool {
        let none = format!("muster_crl_builds_total{{outcome=\"{outcome}\"}} 0");
        self.parts.metrics.render().lines().all(|line| line != none)
    }
}

/// For publishers, which measure them, and not for the clock by which CRLs are dated.
async fn end_pauses() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
}

/// A component comes and is revoked: what signed its certificate, and its serial number.
async fn revoked_component(world: &World, name: &str) -> (SigningCertificateId, SerialNumber) {
    let group = world.group(Kind::Machine, name).await;
    let (_, key) = world.key(group, name, KeyInput::default()).await;
    let enrolled = world.enroll(&key, &WorldDevice::new(name)).await.expect("enrolled");
    let (customer, id) = (world.customer, enrolled.component_id);
    let record = world.store.find_certificate(customer, id, enrolled.serial).await.unwrap().expect("its certificate");
    let (at, reason) = (record.issued_at, RevocationReason::Unspecified);
    world.apply(Change::RevokeComponent { customer, id, revision: None, at, reason, by: None }).await;
    (record.signing_certificate_id, enrolled.serial)
}

fn serials(crl: &Crl) -> Vec<String> {
    read(&crl.der).entries.into_iter().map(|(serial, _)| serial).collect()
}

#[tokio::test]
async fn a_crl_is_made_at_the_start_upon_news_and_at_half_of_its_time() {
    let world = World::new().await;
    let mut node = Node::beside(&world).await;
    node.look().await;
    let (signer, serial) = revoked_component(&world, "d").await;
    let first = node.crl(signer);
    assert!(serials(&first).is_empty(), "nothing was revoked then");
    let expected = read(&first.der);
    assert_eq!(expected.number, first.head.number.0);
    assert_eq!((expected.this_update, expected.next_update), (first.head.this_update, first.head.next_update));

    node.look().await;
    let second = node.crl(signer);
    assert_eq!((serials(&second), second.head.entries), (vec![serial.to_string()], 1));
    assert!(second.head.number > first.head.number);
    node.look().await;
    assert_eq!(node.crl(signer), second, "nothing is due");

    let half = second.head.renewed_at().since(world.clock.now());
    world.clock.advance(half - Duration::from_secs(1));
    node.look().await;
    assert_eq!(node.crl(signer), second);
    world.clock.advance(Duration::from_secs(1));
    node.look().await;
    let third = node.crl(signer);
    assert!(third.head.number > second.head.number && third.head.next_update > second.head.next_update);
    assert_eq!(serials(&third), [serial.to_string()]);
}

#[tokio::test]
async fn of_several_nodes_one_makes_it_and_the_others_take_it_over() {
    let world = World::new().await;
    let (mut a, mut b) = (Node::beside(&world).await, Node::beside(&world).await);
    a.look().await;
    b.look().await;
    a.look().await;
    for name in ["one", "two", "three"] {
        let (signer, serial) = revoked_component(&world, name).await;
        // Both see that it is due.
        end_pauses().await;
        tokio::join!(a.look_at_once(), b.look_at_once());
        a.look().await;
        b.look().await;
        let crl = a.crl(signer);
        assert_eq!(crl, b.crl(signer), "{name}");
        assert!(serials(&crl).contains(&serial.to_string()), "{name}");
        let stored = world.store.find_crl(world.customer, signer).await.unwrap();
        assert_eq!(stored, Some(crl));
    }
    assert!(!a.built("failed") && !b.built("failed"));
}

#[tokio::test]
async fn what_the_store_could_not_take_is_made_when_it_is_back() {
    let world = World::new().await;
    let mut node = Node::beside(&world).await;
    node.look().await;
    let (signer, serial) = revoked_component(&world, "d").await;
    node.store.turn(Mood::Away);
    let before = node.crl(signer);
    node.look().await;
    node.look().await;
    assert_eq!(node.crl(signer), before, "what there is goes on being served");
    node.store.turn(Mood::Well);
    node.look().await;
    assert_eq!(serials(&node.crl(signer)), [serial.to_string()]);
}
