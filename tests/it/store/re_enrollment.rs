//! A new certificate for a known device, by compare and set on the current serial.

use std::net::IpAddr;
use std::time::Duration;

use muster::domain::component::DeviceDescription;
use muster::domain::ledger::LedgerEntry;
use muster::domain::{CertificateStatus, Revision, RevocationReason, SerialNumber};
use muster::id::{ComponentId, Id};
use muster::store::{Change, EnrollmentIntent, EnrollmentOutcome};

use super::world::{World, committed, presence_of};
use crate::support::rows::{self, NOW};

pub async fn a_new_certificate_supersedes_the_old_one(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(1)).await;
    let first = world.commit(&tenant, &key, "d");
    world.store.commit_enrollment(first.clone()).await.unwrap();
    let EnrollmentIntent::Enroll { component: id } = first.intent else { unreachable!() };
    let before = world.component(key.customer_id, id).await;
    world.clock.advance(Duration::from_secs(5));

    let mut again = world.re_enrollment(&tenant, &key, "d", &before);
    again.remote_address = "2001:db8::7".parse().unwrap();
    again.device = DeviceDescription { hostname: Some("renamed".into()), ..DeviceDescription::default() };
    let outcome = world.store.commit_enrollment(again.clone()).await.unwrap();

    assert_eq!(outcome, committed(before.name.clone(), 1));
    let after = world.component(key.customer_id, id).await;
    assert_eq!(after.current_serial, again.certificate.serial);
    assert_eq!((after.remote_address, after.hostname.as_deref()), (again.remote_address, Some("renamed")));
    assert_eq!((after.platform.as_ref(), after.revision), (None, Revision::FIRST));
    assert_eq!((&after.name, after.ordinal, after.enrolled_at), (&before.name, 1, NOW));

    let at = world.now();
    let old = world.certificate(key.customer_id, first.intent.component(), first.certificate.serial).await;
    assert_eq!(old.status, CertificateStatus::Superseded { at });
    let new = world.certificate(key.customer_id, again.intent.component(), again.certificate.serial).await;
    assert_eq!((new.status, new.component_id, new.key_id), (CertificateStatus::Current, id, key.id));

    let usage = world.stored(&key).await.usage;
    assert_eq!((usage.uses, usage.re_enrollments, usage.last_ordinal), (1, 1, 1));
    let ledger = world.ledger(&key).await;
    let (old, new) = (
        presence_of(&first.certificate, IpAddr::from([192, 0, 2, 1])),
        presence_of(&again.certificate, again.remote_address),
    );
    assert_eq!(ledger[0].entry, LedgerEntry::ReEnrollment { component_id: id, old, new });
    assert_eq!((ledger[0].sequence, ledger[0].at), (2, at));
    world.assert_sound().await;
}

pub async fn only_the_current_serial_can_be_superseded(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let stale = world.re_enrollment(&tenant, &key, "d", &component);
    world.store.commit_enrollment(stale.clone()).await.unwrap();

    let late = world.re_enrollment(&tenant, &key, "d", &component);
    assert_eq!(world.store.commit_enrollment(late).await.unwrap(), EnrollmentOutcome::Known);

    let component = world.component(key.customer_id, component.id).await;
    let other_device = world.re_enrollment(&tenant, &key, "other", &component);
    assert_eq!(world.store.commit_enrollment(other_device).await.unwrap(), EnrollmentOutcome::Known);

    let other_key = world.key(&tenant, None).await;
    let other_key = world.re_enrollment(&tenant, &other_key, "d", &component);
    assert_eq!(world.store.commit_enrollment(other_key).await.unwrap(), EnrollmentOutcome::Known);

    let mut invented = world.re_enrollment(&tenant, &key, "d", &component);
    let superseded = SerialNumber::random();
    invented.intent = EnrollmentIntent::ReEnroll { component: component.id, superseded };
    assert_eq!(world.store.commit_enrollment(invented).await.unwrap(), EnrollmentOutcome::Known);

    assert_eq!(world.stored(&key).await.usage.re_enrollments, 1);
    world.assert_sound().await;
}

pub async fn racing_re_enrollments_have_one_winner(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let tasks: Vec<_> = (0..30)
        .map(|_| {
            let (store, commit) = (world.store.clone(), world.re_enrollment(&tenant, &key, "d", &component));
            tokio::spawn(async move { (commit.certificate.serial, store.commit_enrollment(commit).await.unwrap()) })
        })
        .collect();

    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (serial, EnrollmentOutcome::Committed { .. }) => winners.push(serial),
            (_, outcome) => assert_eq!(outcome, EnrollmentOutcome::Known),
        }
    }
    let after = world.component(key.customer_id, component.id).await;
    assert_eq!(winners, [after.current_serial]);
    world.assert_sound().await;
}

pub async fn a_disabled_or_ended_component_is_known(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let customer = key.customer_id;
    for device in ["disabled", "revoked", "deleted"] {
        let mut component = world.enrolled(&tenant, &key, device).await;
        let id = component.id;
        world
            .apply(vec![match device {
                "disabled" => {
                    component.enabled = false;
                    Change::UpdateComponent(component.clone())
                }
                "revoked" => Change::RevokeComponent {
                    customer,
                    id,
                    revision: None,
                    at: NOW,
                    reason: RevocationReason::Unspecified,
                    by: None,
                },
                _ => Change::DeleteComponent { customer, id, revision: None, at: NOW, release_use: false },
            }])
            .await;
        let again = world.re_enrollment(&tenant, &key, device, &component);
        assert_eq!(world.store.commit_enrollment(again).await.unwrap(), EnrollmentOutcome::Known, "{device}");
    }
    assert_eq!(world.enroll(&tenant, &key, "revoked").await, EnrollmentOutcome::Known);
    assert!(matches!(world.enroll(&tenant, &key, "deleted").await, EnrollmentOutcome::Committed { .. }));
    world.assert_sound().await;
}

pub async fn recent_re_enrollments_are_counted(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    world.enrolled(&tenant, &key, "other").await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(10));
        let current = world.component(key.customer_id, component.id).await;
        let again = world.re_enrollment(&tenant, &key, "d", &current);
        world.store.commit_enrollment(again).await.unwrap();
    }
    for (since, expected) in [(0, 3), (10, 2), (29, 1), (30, 0)] {
        let since = NOW.saturating_add(Duration::from_secs(since));
        let fingerprint = rows::fingerprint("d");
        let known = world.store.find_known_component(key.customer_id, key.id, &fingerprint, since).await;
        assert_eq!(known.unwrap().unwrap().recent_re_enrollments, expected, "since {since}");
    }
}

pub async fn a_components_re_enrollments_are_listed_newest_first(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let (first, second) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let customer = tenant.customer.id;
    let mut component = world.enrolled(&tenant, &first, "d").await;
    let other = world.enrolled(&tenant, &first, "other").await;
    world.store.commit_enrollment(world.re_enrollment(&tenant, &first, "other", &other)).await.unwrap();
    let mut serials = vec![component.current_serial];
    let mut expected = Vec::new();
    for (round, key) in [&first, &first, &second].into_iter().enumerate() {
        world.clock.advance(Duration::from_secs(10));
        if round == 2 {
            component.key_id = second.id;
            world.apply(vec![Change::UpdateComponent(component.clone())]).await;
            component = world.component(customer, component.id).await;
        }
        let again = world.re_enrollment(&tenant, key, "d", &component);
        world.store.commit_enrollment(again.clone()).await.unwrap();
        expected.insert(0, world.ledger(key).await.remove(0));
        serials.insert(0, again.certificate.serial);
        component = world.component(customer, component.id).await;
    }
    let list = async |customer, id, limit| world.store.list_re_enrollments(customer, id, limit).await.unwrap();
    assert_eq!(list(customer, component.id, 10).await, expected);
    assert_eq!(list(customer, component.id, 2).await, expected[..2]);
    assert_eq!(list(customer, other.id, 10).await.len(), 1);
    assert_eq!(list(customer, ComponentId::from_raw(1), 10).await, []);
    assert_eq!(list(stranger.customer.id, component.id, 10).await, []);

    let certificates = async |customer, id, limit| world.store.list_certificates(customer, id, limit).await.unwrap();
    let found = certificates(customer, component.id, 10).await;
    assert_eq!(found.iter().map(|found| found.serial).collect::<Vec<_>>(), serials);
    assert_eq!(found.iter().map(|found| found.key_id).collect::<Vec<_>>(), [second.id, first.id, first.id, first.id]);
    assert_eq!(found[1], world.certificate(customer, component.id, serials[1]).await);
    assert_eq!(certificates(customer, component.id, 2).await, found[..2]);
    assert_eq!(certificates(stranger.customer.id, component.id, 10).await, []);
}
