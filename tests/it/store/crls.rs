//! What was revoked, and the CRLs that tell it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster::clock::Timestamp;
use muster::domain::revocation::{Crl, CrlHead, CrlNumber};
use muster::domain::{Component, RevocationReason, SerialNumber};
use muster::id::{CustomerId, Id as _, SigningCertificateId};
use muster::store::{Change, EnrollmentIntent, ObjectRef, RenewalCommit, Revocations};
use tokio::task::JoinSet;

use super::world::{Tenant, World, committed};
use crate::support::rows::NOW;

pub fn crl(tenant: &Tenant, number: u64, this_update: Timestamp) -> Crl {
    let head = CrlHead {
        customer_id: tenant.customer.id,
        signing_certificate_id: tenant.signer.id,
        number: CrlNumber(number),
        this_update,
        next_update: this_update.saturating_add(Duration::from_secs(604_800)),
        entries: 0,
    };
    Crl { head, der: Bytes::from(format!("crl {number}")) }
}

async fn revocations(world: &World, tenant: &Tenant) -> Revocations {
    world.store.find_revocations(tenant.customer.id, tenant.signer.id, world.now()).await.unwrap()
}

async fn publish(world: &World, crl: Crl, after: Option<u64>, news: Vec<SerialNumber>) -> bool {
    world.store.publish_crl(crl, after.map(CrlNumber), news).await.unwrap()
}

async fn news(world: &World) -> Vec<(CustomerId, SigningCertificateId)> {
    world.store.list_unpublished_revocations().await.unwrap()
}

fn revoke(component: &Component, at: Timestamp, reason: RevocationReason) -> Change {
    let (customer, id) = (component.customer_id, component.id);
    Change::RevokeComponent { customer, id, revision: None, at, reason, by: None }
}

fn delete(component: &Component, at: Timestamp) -> Change {
    let (customer, id) = (component.customer_id, component.id);
    Change::DeleteComponent { customer, id, revision: None, at, release_use: false }
}

pub async fn a_crl_tells_what_was_revoked_and_why(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let key = world.key(&tenant, None).await;
    let revoked = world.enrolled(&tenant, &key, "revoked").await;
    let deleted = world.enrolled(&tenant, &key, "deleted").await;
    let known = world.enrolled(&tenant, &key, "re-enrolled").await;
    world.enrolled(&tenant, &key, "live").await;
    assert_eq!(news(&world).await, [], "enrollments are none");
    let at = NOW.saturating_add(Duration::from_secs(5));
    world.apply(vec![revoke(&revoked, at, RevocationReason::PrivilegeWithdrawn), delete(&deleted, NOW)]).await;
    world.apply(vec![delete(&revoked, at)]).await;
    world.store.commit_enrollment(world.re_enrollment(&tenant, &key, "re-enrolled", &known)).await.unwrap();

    assert_eq!(news(&world).await, [(tenant.customer.id, tenant.signer.id)]);
    let found = revocations(&world, &tenant).await;
    assert_eq!(found.previous, None);
    let mut told: Vec<_> = found.certificates.iter().map(|entry| (entry.serial, entry.at, entry.reason)).collect();
    told.sort_by_key(|(serial, ..)| *serial);
    let mut expected = vec![
        (revoked.current_serial, at, RevocationReason::PrivilegeWithdrawn),
        (deleted.current_serial, NOW, RevocationReason::CessationOfOperation),
        (known.current_serial, NOW, RevocationReason::Superseded),
    ];
    expected.sort_by_key(|(serial, ..)| *serial);
    assert_eq!(told, expected);
    assert_eq!(revocations(&world, &other).await.certificates, []);
    world.assert_sound().await;
}

pub async fn a_crl_replaces_the_one_that_it_follows_and_no_other(world: World) {
    let tenant = world.tenant().await;
    let (customer, signer) = (tenant.customer.id, tenant.signer.id);
    let before = world.store.last_change().await.unwrap();
    assert_eq!(world.store.find_crl(customer, signer).await.unwrap(), None);
    assert!(!publish(&world, crl(&tenant, 7, NOW), Some(6), vec![]).await, "there is none to follow");
    assert!(publish(&world, crl(&tenant, 7, NOW), None, vec![]).await);
    assert!(!publish(&world, crl(&tenant, 8, NOW), None, vec![]).await, "another was quicker");
    assert!(publish(&world, crl(&tenant, 9, NOW), Some(7), vec![]).await);
    assert!(!publish(&world, crl(&tenant, 10, NOW), Some(7), vec![]).await);

    let newest = crl(&tenant, 9, NOW);
    assert_eq!(world.store.find_crl(customer, signer).await.unwrap(), Some(newest.clone()));
    assert_eq!(world.store.find_crl_head(customer, signer).await.unwrap(), Some(newest.head));
    let stranger = CustomerId::from_raw(world.id());
    assert_eq!(world.store.find_crl_head(stranger, signer).await.unwrap(), None);
    let changes = world.store.list_changes(before, 10).await.unwrap();
    let told: Vec<_> = changes.into_iter().map(|change| change.object).collect();
    assert_eq!(told, [ObjectRef::Crl(customer, signer), ObjectRef::Crl(customer, signer)]);

    // It goes with its signing certificate, and none comes after.
    let delete_group = Change::DeleteGroup { customer, id: tenant.group.id, revision: None };
    let delete = Change::DeleteSigningCertificate { customer, id: signer, revision: None, at: NOW };
    world.apply(vec![delete_group, delete]).await;
    assert_eq!(world.store.find_crl(customer, signer).await.unwrap(), None);
    assert!(!publish(&world, crl(&tenant, 11, NOW), None, vec![]).await);
}

pub async fn what_is_revoked_while_a_crl_is_made_stays_news(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let (first, second) = (world.enrolled(&tenant, &key, "1").await, world.enrolled(&tenant, &key, "2").await);
    world.apply(vec![revoke(&first, NOW, RevocationReason::Unspecified)]).await;
    let seen = revocations(&world, &tenant).await;
    assert_eq!(seen.certificates.len(), 1);

    world.apply(vec![revoke(&second, NOW, RevocationReason::Unspecified)]).await;
    assert!(publish(&world, crl(&tenant, 1, NOW), None, seen.news).await);
    assert_eq!(news(&world).await, [(tenant.customer.id, tenant.signer.id)], "the second is on no CRL");

    let seen = revocations(&world, &tenant).await;
    assert_eq!(seen.certificates.len(), 2);
    assert!(!publish(&world, crl(&tenant, 2, NOW), None, seen.news.clone()).await);
    assert_eq!(news(&world).await.len(), 1, "what was not published told nothing");
    assert!(publish(&world, crl(&tenant, 2, NOW), Some(1), seen.news).await);
    assert_eq!(news(&world).await, []);

    // A deletion of what was revoked before is none.
    world.apply(vec![delete(&first, NOW)]).await;
    assert_eq!(news(&world).await, []);
    let reopened = world.reopen().await;
    assert_eq!(revocations(&reopened, &tenant).await.previous.map(|head| head.number), Some(CrlNumber(2)));
}

/// RFC 5280 §3.3: an entry stays until it was on a CRL that was made after its end.
pub async fn a_certificate_that_ends_is_on_one_more_crl(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let mut commit = world.commit(&tenant, &key, "d");
    let end = NOW.saturating_add(Duration::from_secs(100));
    commit.certificate.not_after = end;
    let (serial, EnrollmentIntent::Enroll { component }) = (commit.certificate.serial, commit.intent) else {
        unreachable!()
    };
    let outcome = world.store.commit_enrollment(commit).await.unwrap();
    assert_eq!(outcome, committed(format!("{}-1", key.name), 1));
    let component = world.component(tenant.customer.id, component).await;
    world.apply(vec![revoke(&component, NOW, RevocationReason::Unspecified)]).await;
    let serials = async || -> Vec<_> {
        revocations(&world, &tenant).await.certificates.into_iter().map(|entry| entry.serial).collect()
    };
    assert_eq!(serials().await, [serial]);

    let second = Duration::from_secs(1);
    assert!(publish(&world, crl(&tenant, 1, end.saturating_sub(second)), None, vec![]).await);
    world.clock.advance(Duration::from_secs(1_000));
    assert_eq!(serials().await, [serial], "the last one was made before its end");
    assert!(publish(&world, crl(&tenant, 2, end), Some(1), vec![]).await);
    assert_eq!(serials().await, [serial], "and this one at the very moment");
    assert!(publish(&world, crl(&tenant, 3, end.saturating_add(second)), Some(2), vec![]).await);
    assert_eq!(serials().await, []);
}

pub async fn of_many_entries_each_is_read_once(world: World) {
    const ENTRIES: usize = 5_001;
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let mut enrollments = JoinSet::new();
    for n in 0..ENTRIES {
        let mut commit = world.commit(&tenant, &key, &format!("d-{n}"));
        // Many end at the same moment.
        commit.certificate.not_after = NOW.saturating_add(Duration::from_secs(1_000 + n as u64 % 7));
        let store = Arc::clone(&world.store);
        enrollments.spawn(async move { store.commit_enrollment(commit).await.unwrap() });
        if enrollments.len() == 512 {
            enrollments.join_next().await;
        }
    }
    enrollments.join_all().await;
    let (customer, id) = (tenant.customer.id, tenant.group.id);
    world.apply(vec![Change::DeleteGroupWithContents { customer, id, revision: None, at: NOW, by: None }]).await;
    let found = revocations(&world, &tenant).await;
    assert_eq!(found.certificates.len(), ENTRIES);
    assert!(found.news.len() < 10, "what is revoked together is news together: {}", found.news.len());
    let distinct: HashSet<_> = found.certificates.iter().map(|entry| entry.serial).collect();
    assert_eq!(distinct.len(), ENTRIES);
    assert!(publish(&world, crl(&tenant, 1, NOW), None, found.news).await);
    assert_eq!(news(&world).await, []);
}

/// The certificates before the current one have its key pair as long as they were renewed.
pub async fn what_was_renewed_goes_with_its_component(world: World) {
    let tenant = world.tenant().await;
    let (key, gone) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let reason = RevocationReason::KeyCompromise;
    let mut expected = Vec::new();
    let mut components = Vec::new();
    for (name, key) in [("revoked", &key), ("deleted", &key), ("rekeyed", &key), ("with key", &gone), ("left", &key)] {
        let first = world.enrolled(&tenant, key, name).await;
        let second = world.renewed(&tenant, key, &first).await;
        if name != "left" {
            expected.extend([first.current_serial, second.current_serial]);
        }
        components.push(second);
    }
    assert_eq!(news(&world).await, [], "renewals are none");
    let rekey = world.renewal(&tenant, Some(&key), &components[2]);
    world.store.commit_renewal(RenewalCommit { is_rekey: true, ..rekey }).await.unwrap();
    assert_eq!(news(&world).await.len(), 1);
    world
        .apply(vec![
            revoke(&components[0], NOW, reason),
            delete(&components[1], NOW),
            Change::DeleteKey { customer: gone.customer_id, id: gone.id, revision: None, revoke: Some((NOW, None)) },
        ])
        .await;
    let mut told: Vec<_> =
        revocations(&world, &tenant).await.certificates.into_iter().map(|entry| entry.serial).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    world.assert_sound().await;
}
