//! The enrollment service on a real store, with the clock in hand: what depends on time, and on settings
//! that change meanwhile. A store that fails: `faults/calls.rs`.

use std::sync::Arc;
use std::time::Duration;

use muster::clock::Clock as _;
use muster::domain::component::ComponentState;
use muster::domain::{Actor, Component, Kind, ProvisioningKey, Refusal, RevocationReason};
use muster::enrollment::{Enrollment, EnrollmentError};
use muster::id::{ComponentId, Id as _, ProvisioningKeyId};
use muster::management::Input;
use muster::management::groups::GroupInput;
use muster::management::keys::KeyInput;
use muster::protocol::enroll::Outcome;
use muster::store::{Change, Store as _};

use crate::support::rows;
use crate::support::world::{World, WorldDevice};

const DAY: Duration = Duration::from_secs(86_400);

fn limit(uses: u64) -> KeyInput {
    KeyInput { maximum: Input::Given(uses), ..KeyInput::default() }
}

fn refusal(result: Result<Enrollment, EnrollmentError>) -> Refusal {
    match result {
        Err(EnrollmentError::Refused { refusal, .. }) => refusal,
        Err(error) => panic!("{error}"),
        Ok(enrollment) => panic!("{:?}", enrollment.outcome),
    }
}

async fn component(world: &World, id: ComponentId) -> Component {
    world.store.find_component(world.customer, id).await.expect("the store").expect("the component")
}

async fn change(world: &World, change: Change) {
    world.store.commit_changes(vec![change], Vec::new(), &world.audit_key).await.expect("a change");
}

#[tokio::test]
async fn a_lost_answer_is_repaired_days_later_until_the_certificate_ends() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let (id, key) = world.key(group, "k", limit(1)).await;
    let device = WorldDevice::new("device");
    let first = world.enroll(&key, &device).await.expect("enrolled");

    world.clock.advance(89 * DAY);
    let again = world.enroll(&key, &device).await.expect("replayed");
    assert_eq!((again.outcome, again.serial), (Outcome::Replayed, first.serial));
    assert_eq!(again.certificate_der, first.certificate_der);
    assert_eq!((again.chain_pem, again.trust_anchors_pem), (first.chain_pem, first.trust_anchors_pem));
    assert_eq!((again.renew_after, again.component_name), (first.renew_after, first.component_name));
    assert_eq!(world.uses(id).await, 1);

    world.clock.set(first.not_after);
    assert_eq!(refusal(world.enroll(&key, &device).await), Refusal::ReEnrollmentNotAllowed);
    world.edit_key(id, KeyInput { allow_re_enrollment: Input::Given(true), ..KeyInput::default() }).await;
    assert_eq!(world.enroll(&key, &device).await.expect("anew").outcome, Outcome::ReEnrolled);
    assert_eq!(world.uses(id).await, 1);
    world.assert_healthy().await;
}

#[tokio::test]
async fn a_key_ends_to_the_second_and_comes_back_when_its_end_is_moved() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let end = world.clock.now().saturating_add(DAY);
    let input = KeyInput { expires_at: Input::Given(end), ..KeyInput::default() };
    let (id, key) = world.key(group, "k", input).await;
    world.clock.set(end.saturating_sub(Duration::from_secs(1)));
    assert!(world.enroll(&key, &WorldDevice::new("in-time")).await.is_ok());
    world.clock.set(end);
    assert_eq!(refusal(world.enroll(&key, &WorldDevice::new("late")).await), Refusal::KeyExpired);
    world.edit_key(id, KeyInput { expires_at: Input::Given(end.saturating_add(DAY)), ..KeyInput::default() }).await;
    assert!(world.enroll(&key, &WorldDevice::new("late")).await.is_ok());
}

#[tokio::test]
async fn re_enrollments_are_limited_within_a_day() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let input = KeyInput { allow_re_enrollment: Input::Given(true), ..limit(1) };
    let (id, key) = world.key(group, "k", input).await;
    let device = WorldDevice::new("device");
    let first = world.enroll(&key, &device).await.expect("enrolled");
    let mut serials = vec![first.serial];
    for _ in 0..10 {
        let again = world.enroll(&key, &device.reinstalled()).await.expect("re-enrolled");
        assert_eq!((again.outcome, again.component_id), (Outcome::ReEnrolled, first.component_id));
        assert!(!serials.contains(&again.serial));
        serials.push(again.serial);
    }
    assert_eq!(refusal(world.enroll(&key, &device.reinstalled()).await), Refusal::ReEnrollmentLimit);
    world.clock.advance(DAY + Duration::from_secs(1));
    assert!(world.enroll(&key, &device.reinstalled()).await.is_ok());
    assert_eq!(world.uses(id).await, 1);
    assert_eq!(component(&world, first.component_id).await.name, "k-1");
    world.assert_healthy().await;
}

#[tokio::test]
async fn ended_and_disabled_components() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let input = KeyInput { allow_re_enrollment: Input::Given(true), ..limit(2) };
    let (id, key) = world.key(group, "k", input).await;
    let device = WorldDevice::new("device");
    let first = world.enroll(&key, &device).await.expect("enrolled");

    let mut disabled = component(&world, first.component_id).await;
    disabled.enabled = false;
    change(&world, Change::UpdateComponent(disabled)).await;
    assert_eq!(refusal(world.enroll(&key, &device).await), Refusal::ComponentDisabled, "a replay too");
    assert_eq!(refusal(world.enroll(&key, &device.reinstalled()).await), Refusal::ComponentDisabled);

    let (customer, component_id, at) = (world.customer, first.component_id, world.clock.now());
    change(
        &world,
        Change::RevokeComponent {
            customer,
            id: component_id,
            revision: None,
            at,
            reason: RevocationReason::Unspecified,
            by: None,
        },
    )
    .await;
    assert_eq!(refusal(world.enroll(&key, &device).await), Refusal::ComponentRevoked);

    change(&world, Change::DeleteComponent { customer, id: component_id, revision: None, at, release_use: false })
        .await;
    let second = world.enroll(&key, &device).await.expect("a new component");
    assert_eq!((second.outcome, second.component_name.as_str()), (Outcome::Enrolled, "k-2"));
    assert_ne!(second.component_id, first.component_id);
    assert_eq!(component(&world, component_id).await.state, ComponentState::Deleted { at });
    assert_eq!(world.uses(id).await, 2, "deleting gives no use back");
    assert_eq!(refusal(world.enroll(&key, &WorldDevice::new("other")).await), Refusal::KeyExhausted);

    change(
        &world,
        Change::DeleteComponent { customer, id: second.component_id, revision: None, at, release_use: true },
    )
    .await;
    assert_eq!(
        world.enroll(&key, &WorldDevice::new("other")).await.expect("a use was given back").component_name,
        "k-3"
    );
    world.assert_healthy().await;
}

#[tokio::test]
async fn a_maximum_below_the_count_exhausts_but_still_replays() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let (id, key) = world.key(group, "k", limit(3)).await;
    let devices = ["one", "two", "three"].map(WorldDevice::new);
    for device in &devices[..2] {
        world.enroll(&key, device).await.expect("enrolled");
    }
    world.edit_key(id, limit(1)).await;
    assert_eq!(refusal(world.enroll(&key, &devices[2]).await), Refusal::KeyExhausted);
    assert_eq!(world.enroll(&key, &devices[1]).await.expect("known").outcome, Outcome::Replayed);
    world.edit_key(id, limit(3)).await;
    assert!(world.enroll(&key, &devices[2]).await.is_ok());
    world.assert_healthy().await;
}

#[tokio::test]
async fn state_is_checked_in_the_order_of_the_contract() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let end = world.clock.now().saturating_add(DAY);
    let everything_wrong = KeyInput {
        enabled: Input::Given(false),
        expires_at: Input::Given(end),
        addresses: Input::Given(vec!["198.51.100.0/24".to_owned()]),
        ..KeyInput::default()
    };
    let (id, key) = world.key(group, "k", everything_wrong).await;
    world.clock.set(end);
    let device = WorldDevice { csr: "no CSR".to_owned(), ..WorldDevice::new("device") };
    let now = async || refusal(world.enroll(&key, &device).await);

    let disable_group = |enabled| GroupInput { enabled: Input::Given(enabled), ..GroupInput::default() };
    let actor = Actor::system();
    let edit_group =
        async |input| world.management.edit_group(&actor, world.customer, Kind::Machine, group, None, &input).await;
    edit_group(disable_group(false)).await.expect("an edit");
    let mut customer = world.store.find_customer(world.customer).await.expect("the store").expect("the customer");
    customer.enabled = false;
    change(&world, Change::UpdateCustomer(customer.clone())).await;

    assert_eq!(now().await, Refusal::CustomerDisabled);
    let mut customer = world.store.find_customer(world.customer).await.expect("the store").expect("the customer");
    customer.enabled = true;
    change(&world, Change::UpdateCustomer(customer)).await;
    assert_eq!(now().await, Refusal::GroupDisabled);
    edit_group(disable_group(true)).await.expect("an edit");
    assert_eq!(now().await, Refusal::KeyDisabled);
    world.edit_key(id, KeyInput { enabled: Input::Given(true), ..KeyInput::default() }).await;
    assert_eq!(now().await, Refusal::KeyExpired);
    world.edit_key(id, KeyInput { expires_at: Input::Cleared, ..KeyInput::default() }).await;
    assert_eq!(now().await, Refusal::AddressNotAllowed);
    world.edit_key(id, KeyInput { addresses: Input::Cleared, ..KeyInput::default() }).await;
    let result = world.enroll(&key, &device).await;
    assert!(matches!(result, Err(EnrollmentError::InvalidCsr(_))), "only now the CSR is looked at");
    assert_eq!(world.uses(id).await, 0);
}

#[tokio::test]
async fn a_signing_certificate_about_to_end_signs_nothing() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let (_, key) = world.key(group, "k", KeyInput::default()).await;
    let query = muster::store::ListQuery::first(10);
    let certificates = world.store.list_signing_certificates(world.customer, &query).await.expect("the store").rows;
    let client = certificates.iter().find(|it| it.name.as_str() == "Client").expect("a first start makes it");
    world.clock.set(client.not_after.saturating_sub(Duration::from_secs(8_640)));
    let enrolled = world.enroll(&key, &WorldDevice::new("in-time")).await.expect("a tenth of a day is enough");
    assert_eq!(enrolled.not_after, client.not_after, "never past its issuer");
    world.clock.advance(Duration::from_secs(1));
    let result = world.enroll(&key, &WorldDevice::new("late")).await;
    assert_eq!(refusal(result), Refusal::SigningCertificateUnavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_change_under_racing_devices_never_admit_one_too_many() {
    let world = Arc::new(World::new().await);
    let group = world.group(Kind::Machine, "HQ").await;
    let (id, key) = world.key(group, "k", limit(10)).await;
    let racing: Vec<_> = (0..60)
        .map(|n| {
            let (world, key) = (Arc::clone(&world), key.clone());
            tokio::spawn(async move { world.enroll(&key, &WorldDevice::new(&format!("race-{n}"))).await })
        })
        .collect();
    // Up and down and off and on again, while they run.
    for round in 0..20 {
        let maximum = Input::Given(10 + round % 5);
        world.edit_key(id, KeyInput { maximum, enabled: Input::Given(round % 3 != 0), ..KeyInput::default() }).await;
    }
    world.edit_key(id, KeyInput { enabled: Input::Given(true), ..limit(20) }).await;
    let mut enrolled = 0;
    for device in racing {
        match device.await.expect("no panic") {
            Ok(enrollment) => {
                assert_eq!(enrollment.outcome, Outcome::Enrolled);
                enrolled += 1;
            }
            Err(EnrollmentError::Refused { refusal: Refusal::KeyDisabled | Refusal::KeyExhausted, .. }) => {}
            Err(EnrollmentError::StoreUnavailable { .. }) => {} // the settings kept changing
            Err(error) => panic!("{error}"),
        }
    }
    assert!(enrolled <= 20, "{enrolled}");
    assert_eq!(world.uses(id).await, enrolled);
    // What is left is given out to the last use.
    for n in enrolled..20 {
        world.enroll(&key, &WorldDevice::new(&format!("later-{n}"))).await.expect("a use is left");
    }
    assert_eq!(refusal(world.enroll(&key, &WorldDevice::new("too-late")).await), Refusal::KeyExhausted);
    world.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_hangs_up_in_the_middle_leaves_no_seat_taken() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let (id, key) = world.key(group, "k", limit(2)).await;
    for n in 0..50 {
        let device = WorldDevice::new(&format!("gone-{n}"));
        let attempt = world.enroll(&key, &device);
        // Polled once or twice and dropped, as when the connection goes away.
        let _ = tokio::time::timeout(Duration::from_micros(n * 20), attempt).await;
    }
    // Whatever was committed counts; what is left can be had, and not one more.
    let taken = {
        world.store.probe().await.expect("everything queued before is committed");
        world.uses(id).await
    };
    for n in taken..2 {
        world.enroll(&key, &WorldDevice::new(&format!("stays-{n}"))).await.expect("a use is left");
    }
    assert_eq!(refusal(world.enroll(&key, &WorldDevice::new("too-late")).await), Refusal::KeyExhausted);
    world.assert_healthy().await;
}

#[tokio::test]
async fn a_node_that_starts_knows_the_keys_of_all_pages() {
    let world = World::new().await;
    let id = world.group(Kind::Machine, "HQ").await;
    let group = world.store.find_group(world.customer, id).await.expect("the store").expect("the group");
    let (_, first) = world.key(id, "first", KeyInput::default()).await;
    let (moved, last) = world.key(id, "last", KeyInput::default()).await;
    let mut row = world.store.find_key(world.customer, moved).await.expect("the store").expect("the key");
    row.id = ProvisioningKeyId::from_raw(1 << 50);
    change(&world, Change::DeleteKey { customer: world.customer, id: moved, revision: None, revoke: None }).await;
    // Keys are read by 10,000, so the third page has the last one alone.
    let between = (1..20_000).map(|n| ProvisioningKey {
        sealed_string: None,
        ..rows::key((1 << 40) + n, &group, &format!("key {n}"), None)
    });
    let changes = between.chain([row]).map(Change::InsertKey).collect();
    world.store.commit_changes(changes, Vec::new(), &world.audit_key).await.expect("the keys");

    let world = world.close().await.open().await;
    assert_eq!(world.directory().count_keys(), 20_001);
    for (name, key) in [("one", first), ("two", last)] {
        assert!(world.enroll(&key, &WorldDevice::new(name)).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn a_node_that_fell_behind_the_feed_reads_everything_anew() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let (gone, gone_string) = world.key(group, "gone", KeyInput::default()).await;
    let (kept, kept_string) = world.key(group, "kept", limit(1)).await;
    // Written past this node's ears, more of it than the feed keeps.
    change(&world, Change::DeleteKey { customer: world.customer, id: gone, revision: None, revoke: None }).await;
    let mut key = world.store.find_key(world.customer, kept).await.expect("the store").expect("the key");
    key.maximum = std::num::NonZeroU32::new(2);
    change(&world, Change::UpdateKey(key)).await;
    for first in (0..66_000).step_by(2_000) {
        let customers = (first..first + 2_000)
            .map(|n| Change::InsertCustomer(rows::customer(1_000_000_000 + n, &format!("customer-{n}"))));
        world.store.commit_changes(customers.collect(), Vec::new(), &world.audit_key).await.expect("customers");
    }
    let feed = world.store.list_changes(muster::store::ChangeSequence(0), 1).await.expect("the store");
    assert!(feed[0].sequence.0 > 1, "the feed was cut");

    for name in ["one", "two"] {
        assert!(world.enroll(&kept_string, &WorldDevice::new(name)).await.is_ok(), "{name}");
    }
    let presented = world.service.present(&gone_string);
    assert!(world.service.verify_key(&presented).await.expect("the store").is_none());
}

#[tokio::test]
async fn a_refusal_has_its_facts_for_administrators() {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "HQ").await;
    let (id, key) = world.key(group, "k", limit(1)).await;
    let device = WorldDevice::new("device");
    world.enroll(&key, &device).await.expect("enrolled");
    let reason = async |device: &WorldDevice| {
        let Err(error) = world.enroll(&key, device).await else { panic!("refused") };
        let (refusal, reason) = error.refusal().expect("the key verified");
        format!("{}: {}", refusal.code(), reason.as_str())
    };
    let weak = WorldDevice { csr: include_str!("../../certs/csr/rsa-1024.pem").to_owned(), ..WorldDevice::new("weak") };
    assert_eq!(reason(&weak).await, "invalid-csr: the RSA key has 1024 bits; 2048 to 4096 are accepted");
    assert_eq!(reason(&WorldDevice::new("second")).await, "key-exhausted: all 1 uses are taken");
    assert_eq!(
        reason(&device.reinstalled()).await,
        "reenrollment-not-allowed: same hardware as k-1, which has another key pair; re-enrollment is off"
    );
    let elsewhere = Input::Given(vec!["198.51.100.0/24".to_owned()]);
    world.edit_key(id, KeyInput { addresses: elsewhere, ..KeyInput::default() }).await;
    let reason = reason(&device).await;
    assert!(reason.starts_with("address-not-allowed: ") && reason.ends_with("is not in the key's address list"));
}
