//! A new certificate for the holder of the one before, by compare and set on the current serial.

use std::net::IpAddr;
use std::time::Duration;

use muster::clock::DAY;
use muster::domain::{CertificateStatus, Component, Kind, ProvisioningKey, Revision, RevocationReason, SerialNumber};
use muster::id::{ComponentId, CustomerId};
use muster::store::{Change, EnrollmentOutcome, RenewalCommit, RenewalOutcome};

use super::world::{Tenant, World};
use crate::support::rows::{self, NOW};

impl World {
    async fn renew(&self, commit: RenewalCommit) -> RenewalOutcome {
        self.store.commit_renewal(commit).await.unwrap()
    }

    /// Renews with the same key pair; the component afterwards.
    pub async fn renewed(&self, tenant: &Tenant, key: &ProvisioningKey, component: &Component) -> Component {
        let outcome = self.renew(self.renewal(tenant, Some(key), component)).await;
        assert_eq!(outcome, RenewalOutcome::Committed);
        self.component(component.customer_id, component.id).await
    }

    async fn status(&self, component: &Component, serial: SerialNumber) -> CertificateStatus {
        self.certificate(component.customer_id, component.id, serial).await.status
    }
}

fn after(seconds: u64) -> muster::clock::Timestamp {
    NOW.saturating_add(Duration::from_secs(seconds))
}

pub async fn a_renewal_replaces_the_current_certificate(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(1)).await;
    let before = world.enrolled(&tenant, &key, "d").await;
    assert_eq!(before.previous_serial, None);
    let ledger = world.ledger(&key).await;
    world.clock.advance(Duration::from_secs(5));

    let mut commit = world.renewal(&tenant, Some(&key), &before);
    commit.remote_address = IpAddr::from([192, 0, 2, 9]);
    let new = commit.certificate.clone();
    assert_eq!(world.renew(commit.clone()).await, RenewalOutcome::Committed);

    let component = world.component(before.customer_id, before.id).await;
    let expected = Component {
        current_serial: new.serial,
        previous_serial: Some(before.current_serial),
        remote_address: commit.remote_address,
        ..before.clone()
    };
    assert_eq!(component, expected, "nothing else changes");
    let record = world.certificate(before.customer_id, before.id, new.serial).await;
    assert_eq!((record.der, record.status, record.key_id), (new.der, CertificateStatus::Current, key.id));
    assert_eq!((record.issued_at, record.not_after), (new.issued_at, new.not_after));
    assert_eq!(record.signing_certificate_id, tenant.signer.id);
    assert_eq!(world.status(&before, before.current_serial).await, CertificateStatus::Renewed { at: world.now() });

    assert_eq!(world.ledger(&key).await, ledger, "no use, no row");
    let usage = world.stored(&key).await.usage;
    assert_eq!((usage.uses, usage.re_enrollments), (1, 0));
    assert_eq!(world.renew(commit).await, RenewalOutcome::Outdated, "a second time");
    world.assert_sound().await;
}

pub async fn a_rekey_supersedes_whatever_had_the_old_key_pair(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let first = world.enrolled(&tenant, &key, "d").await;
    let other = world.enrolled(&tenant, &key, "other").await;
    let other = world.renewed(&tenant, &key, &other).await;
    let mut short = world.renewal(&tenant, Some(&key), &first);
    short.certificate.not_after = after(60);
    assert_eq!(world.renew(short.clone()).await, RenewalOutcome::Committed);
    let second = world.component(first.customer_id, first.id).await;
    let third = world.renewed(&tenant, &key, &second).await;
    let renewed_at = world.now();
    world.clock.set(after(60));

    let rekey = RenewalCommit { is_rekey: true, ..world.renewal(&tenant, Some(&key), &third) };
    assert_eq!(world.renew(rekey.clone()).await, RenewalOutcome::Committed);

    let superseded = CertificateStatus::Superseded { at: world.now() };
    assert_eq!(world.status(&first, first.current_serial).await, superseded);
    assert_eq!(world.status(&first, third.current_serial).await, superseded);
    let ended = world.status(&first, short.certificate.serial).await;
    assert_eq!(ended, CertificateStatus::Renewed { at: renewed_at }, "what has ended is on no CRL");
    let of_other = world.status(&other, other.previous_serial.unwrap()).await;
    assert_eq!(of_other, CertificateStatus::Renewed { at: renewed_at }, "another component's stays");
    let after_rekey = world.component(first.customer_id, first.id).await;
    assert_eq!(after_rekey.previous_serial, Some(third.current_serial));
    world.assert_sound().await;

    let renewed = world.renewed(&tenant, &key, &after_rekey).await;
    let again = world.re_enrollment(&tenant, &key, "d", &renewed);
    world.store.commit_enrollment(again.clone()).await.unwrap();
    let superseded = CertificateStatus::Superseded { at: world.now() };
    for serial in [renewed.current_serial, rekey.certificate.serial] {
        assert_eq!(world.status(&first, serial).await, superseded, "by a re-enrollment");
    }
    let anew = world.component(first.customer_id, first.id).await;
    assert_eq!((anew.current_serial, anew.previous_serial), (again.certificate.serial, None));
    world.assert_sound().await;
}

pub async fn a_renewal_needs_no_key(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(1)).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let unseen = world.renewal(&tenant, None, &component);
    assert_eq!(world.renew(unseen).await, RenewalOutcome::Outdated, "it is there");
    world.apply(vec![Change::DeleteKey { customer: key.customer_id, id: key.id, revision: None, revoke: None }]).await;
    let seen = world.renewal(&tenant, Some(&key), &component);
    assert_eq!(world.renew(seen).await, RenewalOutcome::Outdated, "it is gone");
    let commit = world.renewal(&tenant, None, &component);
    assert_eq!(world.renew(commit).await, RenewalOutcome::Committed);
    world.assert_sound().await;
}

pub async fn what_a_renewal_was_checked_against_must_hold(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let customer = key.customer_id;
    let component = world.enrolled(&tenant, &key, "d").await;
    let commit = world.renewal(&tenant, Some(&key), &component);
    let changed = [
        Change::UpdateCustomer(tenant.customer.clone()),
        Change::UpdateGroup(tenant.group.clone()),
        Change::UpdateSigningCertificate(tenant.signer.clone()),
        Change::UpdateKey(key.clone()),
        Change::UpdateComponent(component.clone()),
    ];
    let mut commit = commit;
    for (place, change) in changed.into_iter().enumerate() {
        world.apply(vec![change]).await;
        assert_eq!(world.renew(commit.clone()).await, RenewalOutcome::Outdated, "{place}");
        let seen = &mut commit.seen;
        match place {
            0 => seen.customer.1 = seen.customer.1.next(),
            1 => seen.group.1 = seen.group.1.next(),
            2 => seen.signing_certificate.1 = seen.signing_certificate.1.next(),
            3 => seen.key.1 = seen.key.1.map(Revision::next),
            _ => seen.component.1 = seen.component.1.next(),
        }
    }
    let certificates = world.store.list_certificates(customer, component.id, 10).await.unwrap();
    assert_eq!(certificates.len(), 1, "what is refused writes nothing");
    assert_eq!(world.renew(commit.clone()).await, RenewalOutcome::Committed);

    // A component that is not in order has another revision, too; here it is told what it has.
    let elsewhere = rows::group(world.id(), &tenant.signer, Kind::Machine, "Elsewhere");
    world.apply(vec![Change::InsertGroup(elsewhere.clone())]).await;
    for state in ["disabled", "moved", "revoked", "deleted"] {
        let current = world.component(customer, component.id).await;
        let id = current.id;
        world
            .apply(vec![match state {
                "disabled" => Change::UpdateComponent(Component { enabled: false, ..current.clone() }),
                "moved" => {
                    Change::UpdateComponent(Component { enabled: true, group_id: elsewhere.id, ..current.clone() })
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
        let mut late = commit.clone();
        late.certificate = rows::certificate();
        late.replaced = current.current_serial;
        late.seen.component.1 = world.component(customer, id).await.revision;
        assert_eq!(world.renew(late).await, RenewalOutcome::Outdated, "{state}");
    }
    world.assert_sound().await;
}

pub async fn only_the_current_certificate_is_renewed(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let neighbour = world.enrolled(&tenant, &key, "neighbour").await;
    let commit = world.renewal(&tenant, Some(&key), &component);
    for replaced in [SerialNumber::random(), neighbour.current_serial] {
        let other = RenewalCommit { replaced, ..commit.clone() };
        assert_eq!(world.renew(other).await, RenewalOutcome::Outdated);
    }
    let mut foreign = commit.clone();
    foreign.seen.customer = (stranger.customer.id, stranger.customer.revision);
    assert_eq!(world.renew(foreign).await, RenewalOutcome::Outdated);
    assert_eq!(world.renew(commit).await, RenewalOutcome::Committed);
    world.assert_sound().await;
}

pub async fn a_certificates_time_is_judged_by_the_stores_clock(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let commit = RenewalCommit { good_until: after(60), ..world.renewal(&tenant, Some(&key), &component) };
    world.clock.set(after(60));
    assert_eq!(world.renew(commit.clone()).await, RenewalOutcome::Expired);
    let stale = RenewalCommit { replaced: SerialNumber::random(), ..commit.clone() };
    assert_eq!(world.renew(stale).await, RenewalOutcome::Outdated, "what is there comes first");
    world.clock.set(after(59));
    assert_eq!(world.renew(commit).await, RenewalOutcome::Committed);
    world.assert_sound().await;
}

pub async fn racing_renewals_have_one_winner(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let (store, mut renewal) = (world.store.clone(), world.renewal(&tenant, Some(&key), &component));
            let re_enrollment = world.re_enrollment(&tenant, &key, "d", &component);
            renewal.is_rekey = n % 4 == 0;
            tokio::spawn(async move {
                if n % 8 == 7 {
                    let outcome = store.commit_enrollment(re_enrollment.clone()).await.unwrap();
                    let won = matches!(outcome, EnrollmentOutcome::Committed { .. });
                    return won.then_some(re_enrollment.certificate.serial);
                }
                let serial = renewal.certificate.serial;
                (store.commit_renewal(renewal).await.unwrap() == RenewalOutcome::Committed).then_some(serial)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        winners.extend(task.await.unwrap());
    }
    let component = world.component(component.customer_id, component.id).await;
    assert_eq!(winners, [component.current_serial]);
    world.assert_sound().await;
}

/// With the key there, and without: then nothing but the component itself keeps them apart.
pub async fn a_renewal_beside_an_end_leaves_no_current_certificate(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    for (round, has_key) in [true, false, true, false, true, false].into_iter().enumerate() {
        let group = rows::group(world.id(), &tenant.signer, Kind::Machine, &format!("G{round}"));
        world.apply(vec![Change::InsertGroup(group.clone())]).await;
        let tenant = Tenant { group, ..tenant.clone() };
        let key = world.key(&tenant, None).await;
        let mut components = Vec::new();
        for n in 0..12 {
            components.push(world.enrolled(&tenant, &key, &format!("r{round} d{n}")).await);
        }
        if !has_key {
            world.apply(vec![Change::DeleteKey { customer, id: key.id, revision: None, revoke: None }]).await;
        }
        let key = has_key.then_some(&key);
        let renewals: Vec<_> = components
            .iter()
            .map(|component| {
                let (store, renewal) = (world.store.clone(), world.renewal(&tenant, key, component));
                tokio::spawn(async move { store.commit_renewal(renewal).await.unwrap() })
            })
            .collect();
        let (id, at, group) = (components[0].id, NOW, tenant.group.id);
        let ends = match round {
            0 | 1 => vec![Change::RevokeComponent {
                customer,
                id,
                revision: None,
                at,
                reason: RevocationReason::Unspecified,
                by: None,
            }],
            2 | 3 => vec![Change::DeleteComponent { customer, id, revision: None, at, release_use: false }],
            _ => vec![Change::DeleteGroupWithContents { customer, id: group, revision: None, at, by: None }],
        };
        world.apply(ends).await;
        for renewal in renewals {
            renewal.await.unwrap();
        }
        world.assert_sound().await;
    }
}

pub async fn a_certificate_is_known_with_its_component(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let key = world.key(&tenant, None).await;
    let customer = tenant.customer.id;
    let first = world.enrolled(&tenant, &key, "d").await;
    let neighbour = world.enrolled(&tenant, &key, "neighbour").await;
    let component = world.renewed(&tenant, &key, &first).await;
    let find = async |customer: CustomerId, id: ComponentId, serial| {
        world.store.find_known_certificate(customer, id, serial).await.unwrap()
    };
    for serial in [first.current_serial, component.current_serial] {
        let known = find(customer, component.id, serial).await.unwrap();
        assert_eq!(known.component, component);
        assert_eq!(known.presented, world.certificate(customer, component.id, serial).await);
        assert_eq!(known.current, world.certificate(customer, component.id, component.current_serial).await);
    }
    assert_eq!(find(customer, component.id, SerialNumber::random()).await, None);
    assert_eq!(find(customer, neighbour.id, component.current_serial).await, None);
    assert_eq!(find(stranger.customer.id, component.id, component.current_serial).await, None);

    world.clock.advance(DAY);
    let at = world.now();
    let id = component.id;
    world.apply(vec![Change::DeleteComponent { customer, id, revision: None, at, release_use: false }]).await;
    let known = find(customer, id, component.current_serial).await.expect("of deleted ones, too");
    let revoked = CertificateStatus::Revoked { at, reason: RevocationReason::CessationOfOperation };
    assert_eq!((known.presented.status, known.current.status), (revoked, revoked));
}
