//! Taking a use: each outcome, the order of the checks, and that the count is exact.

use std::time::Duration;

use muster::domain::ledger::LedgerEntry;
use muster::domain::{CertificateStatus, ComponentState, Revision};
use muster::id::{ComponentId, Id};
use muster::store::{Change, EnrollmentIntent, EnrollmentOutcome, StoreError};

use super::world::{World, committed, presence_of};
use crate::support::rows::{self, NOW};

pub async fn a_component_is_named_after_its_key_and_number(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(5)).await;
    let commit = world.commit(&tenant, &key, "first");

    let outcome = world.store.commit_enrollment(commit.clone()).await.unwrap();

    assert_eq!(outcome, committed(format!("{}-1", key.name), 1));
    let EnrollmentIntent::Enroll { component: id } = commit.intent else { unreachable!() };
    let component = world.component(key.customer_id, id).await;
    assert_eq!(component.name, format!("{}-1", key.name));
    assert_eq!((component.key_id, component.group_id, component.kind), (key.id, key.group_id, key.kind));
    assert_eq!((component.ordinal, component.revision), (1, Revision::FIRST));
    assert_eq!((component.enabled, component.state), (true, ComponentState::Live));
    assert_eq!((component.fingerprint, component.remote_address), (commit.fingerprint, commit.remote_address));
    assert_eq!((component.hostname, component.platform), (commit.device.hostname, commit.device.platform));
    assert_eq!((component.enrolled_at, component.current_serial), (NOW, commit.certificate.serial));

    let certificate = world.certificate(key.customer_id, commit.intent.component(), commit.certificate.serial).await;
    assert_eq!((certificate.component_id, certificate.signing_certificate_id), (id, tenant.signer.id));
    assert_eq!((certificate.der, certificate.status), (commit.certificate.der.clone(), CertificateStatus::Current));
    assert_eq!(certificate.public_key_hash, commit.certificate.public_key_hash);
    assert_eq!(certificate.not_after, commit.certificate.not_after);

    let ledger = world.ledger(&key).await;
    let device = presence_of(&commit.certificate, commit.remote_address);
    assert_eq!(ledger[0].entry, LedgerEntry::Use { component_id: id, device });
    assert_eq!((ledger.len(), ledger[0].sequence, ledger[0].at), (1, 1, NOW));

    let usage = world.stored(&key).await.usage;
    assert_eq!((usage.uses, usage.last_ordinal), (1, 1));
    let last = usage.last_used.unwrap();
    assert_eq!((last.at, last.by), (NOW, id));
}

pub async fn racing_devices_get_exactly_what_is_left(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(40)).await;
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let (store, commit) = (world.store.clone(), world.commit(&tenant, &key, &format!("device-{n}")));
            tokio::spawn(async move { store.commit_enrollment(commit).await.unwrap() })
        })
        .collect();

    let mut names = Vec::new();
    let mut refused = 0;
    for task in tasks {
        match task.await.unwrap() {
            EnrollmentOutcome::Committed { component_name, uses } => names.push((uses, component_name)),
            EnrollmentOutcome::Exhausted { uses: 40 } => refused += 1,
            other => panic!("{other:?}"),
        }
    }

    names.sort();
    let expected: Vec<_> = (1..=40).map(|n| (n, format!("{}-{n}", key.name))).collect();
    assert_eq!((names, refused), (expected, 160));
    assert_eq!(world.uses(&key).await, 40);
    assert_eq!(world.ledger(&key).await.len(), 40);
    world.assert_sound().await;
}

/// They are gathered, so those of one key are decided next to those of another.
pub async fn racing_devices_of_several_keys_take_uses_of_their_own(world: World) {
    let tenant = world.tenant().await;
    let keys = [world.key(&tenant, Some(3)).await, world.key(&tenant, Some(7)).await, world.key(&tenant, None).await];
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let key = &keys[n % keys.len()];
            let (store, commit) = (world.store.clone(), world.commit(&tenant, key, &format!("device-{n}")));
            let of_key = format!("{}-", key.name);
            tokio::spawn(async move { (of_key, store.commit_enrollment(commit).await.unwrap()) })
        })
        .collect();
    for task in tasks {
        match task.await.unwrap() {
            (of_key, EnrollmentOutcome::Committed { component_name, .. }) => {
                assert!(component_name.starts_with(&of_key), "{component_name}: {of_key}");
            }
            (_, outcome) => assert!(matches!(outcome, EnrollmentOutcome::Exhausted { uses: 3 | 7 }), "{outcome:?}"),
        }
    }
    for (key, uses) in keys.iter().zip([3, 7, 20]) {
        assert_eq!((world.uses(key).await, world.ledger(key).await.len()), (uses, uses as usize));
    }
    world.assert_sound().await;
}

pub async fn racing_requests_of_one_device_take_one_use(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (store, commit) = (world.store.clone(), world.commit(&tenant, &key, "the same"));
            tokio::spawn(async move { store.commit_enrollment(commit).await.unwrap() })
        })
        .collect();

    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }

    let known = outcomes.iter().filter(|outcome| **outcome == EnrollmentOutcome::Known).count();
    assert_eq!(known, 49, "{outcomes:?}");
    assert!(outcomes.contains(&committed(format!("{}-1", key.name), 1)));
    assert_eq!(world.uses(&key).await, 1);
    world.assert_sound().await;
}

/// Every check fails for the last one; then they are put right from the first on.
pub async fn checks_are_made_in_order(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(1)).await;
    world.enrolled(&tenant, &key, "one").await;
    let key = world.change_key(&key, |key| key.expires_at = Some(NOW.saturating_add(Duration::from_secs(60)))).await;
    world.clock.advance(Duration::from_secs(60));

    let mut outdated = world.commit(&tenant, &key, "one");
    outdated.seen.key.1 = Revision::FIRST;
    assert_eq!(world.store.commit_enrollment(outdated).await.unwrap(), EnrollmentOutcome::Outdated);

    assert_eq!(world.enroll(&tenant, &key, "one").await, EnrollmentOutcome::Expired);

    let key = world.change_key(&key, |key| key.expires_at = None).await;
    assert_eq!(world.enroll(&tenant, &key, "one").await, EnrollmentOutcome::Known);
    assert_eq!(world.enroll(&tenant, &key, "two").await, EnrollmentOutcome::Exhausted { uses: 1 });

    let key = world.change_key(&key, |key| key.maximum = None).await;
    assert_eq!(world.enroll(&tenant, &key, "two").await, committed(format!("{}-2", key.name), 2));
}

pub async fn a_changed_setting_makes_the_enrollment_outdated(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let as_seen = world.commit(&tenant, &key, "a");

    let mut customer = as_seen.clone();
    customer.seen.customer.1 = Revision(2);
    let mut group = as_seen.clone();
    group.seen.group.1 = Revision(2);
    let mut signer = as_seen.clone();
    signer.seen.signing_certificate.1 = Revision(2);
    let mut unknown_key = as_seen.clone();
    unknown_key.seen.key.0 = muster::id::ProvisioningKeyId::from_raw(7);
    let other = world.tenant().await;
    let mut other_customer = as_seen.clone();
    other_customer.seen.customer.0 = other.customer.id;
    let mut other_group = as_seen.clone();
    other_group.seen.group.0 = other.group.id;
    for commit in [customer, group, signer, unknown_key, other_customer, other_group] {
        let outcome = world.store.commit_enrollment(commit).await.unwrap();
        assert_eq!(outcome, EnrollmentOutcome::Outdated);
    }

    // The same by really changing each.
    let rows = [
        Change::UpdateCustomer(tenant.customer.clone()),
        Change::UpdateGroup(tenant.group.clone()),
        Change::UpdateSigningCertificate(tenant.signer.clone()),
        Change::UpdateKey(key.clone()),
    ];
    let mut seen = as_seen.seen;
    for change in rows {
        world.apply(vec![change.clone()]).await;
        let mut commit = world.commit(&tenant, &key, "a");
        commit.seen = seen;
        assert_eq!(world.store.commit_enrollment(commit).await.unwrap(), EnrollmentOutcome::Outdated);
        match change {
            Change::UpdateCustomer(_) => seen.customer.1 = Revision(2),
            Change::UpdateGroup(_) => seen.group.1 = Revision(2),
            Change::UpdateSigningCertificate(_) => seen.signing_certificate.1 = Revision(2),
            _ => seen.key.1 = Revision(2),
        }
    }
    let mut commit = world.commit(&tenant, &key, "a");
    commit.seen = seen;
    assert_eq!(world.store.commit_enrollment(commit).await.unwrap(), committed(format!("{}-1", key.name), 1));

    world.apply(vec![Change::DeleteKey { customer: key.customer_id, id: key.id, revision: None, revoke: None }]).await;
    let mut commit = world.commit(&tenant, &key, "b");
    commit.seen = seen;
    assert_eq!(world.store.commit_enrollment(commit).await.unwrap(), EnrollmentOutcome::Outdated);
}

pub async fn expiry_is_judged_by_the_stores_clock(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let end = NOW.saturating_add(Duration::from_secs(10));
    let key = world.change_key(&key, |key| key.expires_at = Some(end)).await;

    world.clock.advance(Duration::from_secs(9));
    assert_eq!(world.store.now().await.unwrap(), world.now());
    assert_eq!(world.enroll(&tenant, &key, "in time").await, committed(format!("{}-1", key.name), 1));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.store.now().await.unwrap(), end, "it tells the time that it judges by");
    assert_eq!(world.enroll(&tenant, &key, "at the end").await, EnrollmentOutcome::Expired);
}

pub async fn a_taken_fingerprint_is_known_even_when_the_key_is_exhausted(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(1)).await;
    let first = world.commit(&tenant, &key, "first");
    world.store.commit_enrollment(first.clone()).await.unwrap();

    assert_eq!(world.enroll(&tenant, &key, "first").await, EnrollmentOutcome::Known);
    assert_eq!(world.enroll(&tenant, &key, "second").await, EnrollmentOutcome::Exhausted { uses: 1 });

    let known = world
        .store
        .find_known_component(key.customer_id, key.id, &rows::fingerprint("first"), NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(known.certificate.der, first.certificate.der);
    assert_eq!(known.component.current_serial, first.certificate.serial);
    assert_eq!(known.recent_re_enrollments, 0);
    let unknown = world.store.find_known_component(key.customer_id, key.id, &rows::fingerprint("second"), NOW).await;
    assert_eq!(unknown.unwrap(), None);
}

pub async fn devices_of_different_keys_may_share_a_fingerprint(world: World) {
    let tenant = world.tenant().await;
    let (one, two) = (world.key(&tenant, Some(1)).await, world.key(&tenant, Some(1)).await);
    assert_eq!(world.enroll(&tenant, &one, "d").await, committed(format!("{}-1", one.name), 1));
    assert_eq!(world.enroll(&tenant, &two, "d").await, committed(format!("{}-1", two.name), 1));
    world.assert_sound().await;
}

pub async fn what_is_refused_writes_nothing(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(1)).await;
    world.enrolled(&tenant, &key, "first").await;
    let before = world.stored(&key).await.usage;

    for device in ["first", "second"] {
        let commit = world.commit(&tenant, &key, device);
        world.store.commit_enrollment(commit.clone()).await.unwrap();
        let EnrollmentIntent::Enroll { component } = commit.intent else { unreachable!() };
        assert_eq!(world.store.find_component(key.customer_id, component).await.unwrap(), None);
        assert_eq!(
            world.store.find_certificate(key.customer_id, component, commit.certificate.serial).await.unwrap(),
            None
        );
    }
    assert_eq!(world.stored(&key).await.usage, before);
    assert_eq!(world.ledger(&key).await.len(), 1);
}

pub async fn a_lowered_maximum_exhausts_the_key(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(5)).await;
    for n in 0..3 {
        world.enrolled(&tenant, &key, &format!("device-{n}")).await;
    }
    let key = world.change_key(&key, |key| key.maximum = std::num::NonZeroU32::new(2)).await;
    assert_eq!(world.enroll(&tenant, &key, "another").await, EnrollmentOutcome::Exhausted { uses: 3 });
    world.assert_sound().await;
}

pub async fn ordinals_never_go_back(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    for n in 1..=3 {
        let component = world.enrolled(&tenant, &key, "again and again").await;
        assert_eq!((component.ordinal, component.name.as_str()), (n, format!("{}-{n}", key.name).as_str()));
        let (customer, id, at) = (key.customer_id, component.id, world.now());
        world.apply(vec![Change::DeleteComponent { customer, id, revision: None, at, release_use: true }]).await;
    }
    let usage = world.stored(&key).await.usage;
    assert_eq!((usage.uses, usage.last_ordinal), (0, 3));
}

pub async fn a_released_use_can_be_taken_again(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(2)).await;
    let (kept, released) = (world.enrolled(&tenant, &key, "a").await, world.enrolled(&tenant, &key, "b").await);
    let delete = |id: ComponentId, release_use| Change::DeleteComponent {
        customer: key.customer_id,
        id,
        revision: None,
        at: NOW,
        release_use,
    };

    world.apply(vec![delete(kept.id, false)]).await;
    assert_eq!(world.enroll(&tenant, &key, "c").await, EnrollmentOutcome::Exhausted { uses: 2 });
    world.apply(vec![delete(released.id, true)]).await;
    assert_eq!(world.enroll(&tenant, &key, "c").await, committed(format!("{}-3", key.name), 2));
    assert_eq!(world.enroll(&tenant, &key, "d").await, EnrollmentOutcome::Exhausted { uses: 2 });

    let ledger = world.ledger(&key).await;
    assert_eq!(ledger[1].entry, LedgerEntry::Release { component_id: released.id });
    assert_eq!(ledger.iter().map(|row| row.entry.uses_delta()).sum::<i64>(), 2);
    assert_eq!(ledger.iter().map(|row| row.sequence).collect::<Vec<_>>(), [4, 3, 2, 1]);
    world.assert_sound().await;
}

/// What no caller does on purpose, so the row cannot be written: it must not take others with it.
pub async fn a_reused_id_fails_alone(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let taken = world.commit(&tenant, &key, "device-0");
    world.store.commit_enrollment(taken.clone()).await.unwrap();

    let tasks: Vec<_> = (1..=20)
        .map(|n| {
            let mut commit = world.commit(&tenant, &key, &format!("device-{n}"));
            if n == 10 {
                commit.intent = taken.intent;
            }
            let store = world.store.clone();
            tokio::spawn(async move { (n, store.commit_enrollment(commit).await) })
        })
        .collect();
    for task in tasks {
        match task.await.unwrap() {
            (10, result) => assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}"),
            (_, result) => assert!(matches!(result, Ok(EnrollmentOutcome::Committed { .. })), "{result:?}"),
        }
    }

    assert_eq!(world.uses(&key).await, 20);
    world.assert_sound().await;
}
