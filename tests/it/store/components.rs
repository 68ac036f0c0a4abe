//! What administrators do to components, and to groups with all that is in them.

use std::sync::Arc;
use std::time::Duration;

use muster::domain::key::ManagedBy;
use muster::domain::{CertificateStatus, ComponentState, Kind, Revision, RevocationReason};
use muster::id::{ApiClientId, ComponentId, GroupId, Id};
use muster::store::{
    BrokenRule, Change, ChangeError, EnrollmentOutcome, GroupContents, KindCounts, ListQuery, ObjectRef,
};

use super::world::{Tenant, World};
use crate::support::rows::{self, NOW, name};

fn forced(tenant: &Tenant, by: Option<ApiClientId>) -> Change {
    let (customer, id) = (tenant.customer.id, tenant.group.id);
    Change::DeleteGroupWithContents { customer, id, revision: None, at: NOW, by }
}

pub async fn a_group_goes_with_all_it_has(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let other_group = rows::group(world.id(), &tenant.signer, Kind::Machine, "Branch");
    let other_key = rows::key(world.id(), &other_group, "branch key", None);
    world.apply(vec![Change::InsertGroup(other_group.clone()), Change::InsertKey(other_key.clone())]).await;
    let other = Tenant { group: other_group, ..tenant.clone() };
    let stays = world.enrolled(&other, &other_key, "d-0").await;

    let (key, second, gone) =
        (world.key(&tenant, None).await, world.key(&tenant, None).await, world.key(&tenant, None).await);
    let mut components = Vec::new();
    for (n, key) in [&key, &key, &second, &gone].into_iter().enumerate() {
        components.push(world.enrolled(&tenant, key, &format!("d-{n}")).await);
    }
    let (revoked, deleted) = (components[1].id, components[2].id);
    // One whose key is gone, one that is revoked, and one that had ended before.
    let later = NOW.saturating_add(Duration::from_secs(60));
    world
        .apply(vec![
            Change::DeleteKey { customer, id: gone.id, revision: None, revoke: None },
            Change::RevokeComponent {
                customer,
                id: revoked,
                revision: None,
                at: later,
                reason: RevocationReason::KeyCompromise,
                by: None,
            },
            Change::DeleteComponent { customer, id: deleted, revision: None, at: later, release_use: false },
        ])
        .await;
    let before = world.store.last_change().await.unwrap();

    let event = world.event(customer, &tenant.group.id.to_string());
    world.store.commit_changes(vec![forced(&tenant, None)], vec![event], &world.audit_key).await.unwrap();

    assert_eq!(world.store.find_group(customer, tenant.group.id).await.unwrap(), None);
    for key in [&key, &second] {
        assert!(world.store.find_key(customer, key.id).await.unwrap().is_none());
    }
    for component in &components {
        let at = if component.id == deleted { later } else { NOW };
        assert_eq!(world.component(customer, component.id).await.state, ComponentState::Deleted { at });
        let ended = if component.id == revoked || component.id == deleted { later } else { NOW };
        let certificate = world.certificate(customer, component.id, component.current_serial).await;
        let reason = match component.id == revoked {
            true => RevocationReason::KeyCompromise,
            false => RevocationReason::CessationOfOperation,
        };
        let expected = CertificateStatus::Revoked { at: ended, reason };
        assert_eq!(certificate.status, expected, "each keeps the end it had");
    }
    let event = world.store.list_audit(customer, 0, 10).await.unwrap().pop().unwrap().event;
    assert_eq!(event.after.as_deref(), Some(r#"{"deletedComponents":3,"deletedKeys":2}"#));
    let mut announced: Vec<_> =
        world.store.list_changes(before, 10).await.unwrap().into_iter().map(|change| change.object).collect();
    assert_eq!(announced.pop(), Some(ObjectRef::Group(customer, tenant.group.id)));
    assert_eq!(announced, [ObjectRef::Key(customer, key.id), ObjectRef::Key(customer, second.id)]);

    assert_eq!(world.component(customer, stays.id).await, stays);
    assert_eq!(world.store.list_components(customer, Kind::Machine, &ListQuery::first(10)).await.unwrap().total, 1);
    assert_eq!(world.enroll(&tenant, &key, "d-9").await, EnrollmentOutcome::Outdated);
    assert_eq!(world.broken_rule(forced(&tenant, None)).await, BrokenRule::NotFound);
    // Name and digest are free again.
    let again = rows::group(world.id(), &tenant.signer, Kind::Machine, tenant.group.name.as_str());
    let mut same = rows::key(world.id(), &again, key.name.as_str(), None);
    same.digest = key.digest;
    world.apply(vec![Change::InsertGroup(again), Change::InsertKey(same)]).await;
    world.assert_sound().await;
}

pub async fn a_group_with_a_key_managed_by_others_stays(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let manager = ApiClientId::from_raw(7);
    world
        .change_key(&key, |key| key.managed_by = Some(ManagedBy { client_id: manager, label: name("Terraform") }))
        .await;
    for by in [None, Some(ApiClientId::from_raw(8))] {
        let rule = world.broken_rule(forced(&tenant, by)).await;
        assert_eq!(rule, BrokenRule::Managed { label: name("Terraform") });
    }
    assert_eq!(world.component(tenant.customer.id, component.id).await, component);
    assert_eq!(world.store.list_audit(tenant.customer.id, 0, 10).await.unwrap(), []);
    world.apply(vec![forced(&tenant, Some(manager))]).await;
    world.assert_sound().await;
}

pub async fn endings_based_on_an_old_revision_are_refused(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(1)).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let (customer, id, at) = (tenant.customer.id, component.id, NOW);
    world.apply(vec![Change::UpdateComponent(component.clone())]).await;
    let delete = |revision| Change::DeleteComponent { customer, id, revision, at, release_use: true };
    let revoke = |revision| Change::RevokeComponent {
        customer,
        id,
        revision,
        at,
        reason: RevocationReason::Unspecified,
        by: Some(5),
    };
    for stale in [delete(Some(Revision(1))), revoke(Some(Revision(1))), delete(Some(Revision(3)))] {
        assert_eq!(world.broken_rule(stale).await, BrokenRule::Outdated { found: Revision(2) });
    }
    world.apply(vec![revoke(Some(Revision(2)))]).await;
    let revoked = world.component(customer, id).await;
    assert_eq!((revoked.state, revoked.modified_by), (ComponentState::Revoked { at }, Some(5)));
    world.apply(vec![delete(Some(Revision(3)))]).await;
    assert_eq!(world.uses(&key).await, 0);

    let mut stale = forced(&tenant, None);
    if let Change::DeleteGroupWithContents { revision, .. } = &mut stale {
        *revision = Some(Revision(2));
    }
    assert_eq!(world.broken_rule(stale).await, BrokenRule::Outdated { found: Revision(1) });
    world.assert_sound().await;
}

pub async fn a_component_is_attached_within_its_group_only(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let key = world.key(&tenant, None).await;
    let branch = rows::group(world.id(), &tenant.signer, Kind::Machine, "Branch");
    let branch_key = rows::key(world.id(), &branch, "branch key", None);
    world.apply(vec![Change::InsertGroup(branch), Change::InsertKey(branch_key.clone())]).await;
    let foreign = world.key(&stranger, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    for refused in [branch_key.id, foreign.id] {
        let mut row = component.clone();
        row.key_id = refused;
        let rule = world.broken_rule(Change::UpdateComponent(row)).await;
        assert_eq!(rule, BrokenRule::UnknownReference { what: "provisioning key" });
    }
    assert_eq!(world.component(tenant.customer.id, component.id).await, component);
}

pub async fn an_attached_component_is_where_its_new_key_looks(world: World) {
    let tenant = world.tenant().await;
    let (from, to) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let mut component = world.enrolled(&tenant, &from, "d").await;
    component.key_id = to.id;
    component.modified_by = Some(9);
    world.apply(vec![Change::UpdateComponent(component.clone())]).await;
    let find = async |key: &muster::domain::ProvisioningKey| {
        let known =
            world.store.find_known_component(key.customer_id, key.id, &component.fingerprint, NOW).await.unwrap();
        known.map(|known| (known.component.id, known.component.modified_by))
    };
    assert_eq!((find(&from).await, find(&to).await), (None, Some((component.id, Some(9)))));
    // Its certificate is superseded under the new key as under the old one.
    let stored = world.component(component.customer_id, component.id).await;
    let outcome = world.store.commit_enrollment(world.re_enrollment(&tenant, &to, "d", &stored)).await.unwrap();
    assert!(matches!(outcome, EnrollmentOutcome::Committed { .. }), "{outcome:?}");
    world.assert_sound().await;
}

pub async fn racing_attachments_of_one_fingerprint_have_one_winner(world: World) {
    let tenant = world.tenant().await;
    let to = world.key(&tenant, Some(1)).await;
    let mut components = Vec::new();
    for _ in 0..8 {
        let from = world.key(&tenant, None).await;
        components.push(world.enrolled(&tenant, &from, "twin").await);
    }
    let enrolling = world.commit(&tenant, &to, "twin");
    let world = Arc::new(world);
    let attaching = components.into_iter().map(|mut component| {
        component.key_id = to.id;
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.try_apply(vec![Change::UpdateComponent(component)]).await })
    });
    let attaching: Vec<_> = attaching.collect();
    let enrolled = world.store.commit_enrollment(enrolling).await.unwrap();
    let mut won = usize::from(matches!(enrolled, EnrollmentOutcome::Committed { .. }));
    assert!(won == 1 || enrolled == EnrollmentOutcome::Known, "{enrolled:?}");
    for attached in attaching {
        match attached.await.unwrap() {
            Ok(_) => won += 1,
            Err(ChangeError::Rule { rule: BrokenRule::DuplicateFingerprint, .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(won, 1);
    world.assert_sound().await;
}

pub async fn groups_are_counted_and_their_components_listed(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let (key, _) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let mut components = Vec::new();
    for n in 0..4 {
        components.push(world.enrolled(&tenant, &key, &format!("d-{n}")).await);
    }
    let (customer, group) = (tenant.customer.id, tenant.group.id);
    let gone = components.remove(1);
    world
        .apply(vec![Change::DeleteComponent { customer, id: gone.id, revision: None, at: NOW, release_use: false }])
        .await;

    let ids = [stranger.group.id, group, GroupId::from_raw(1)];
    let counted = world.store.count_group_contents(customer, &ids).await.unwrap();
    let nothing = GroupContents::default();
    assert_eq!(counted, [nothing, GroupContents { keys: 2, components: 3 }, nothing]);
    assert_eq!(world.store.list_group_components(customer, group, 10).await.unwrap(), components);
    assert_eq!(world.store.list_group_components(customer, group, 2).await.unwrap(), components[..2]);
    assert_eq!(world.store.list_group_components(stranger.customer.id, group, 10).await.unwrap(), []);
}

pub async fn components_come_in_the_order_asked(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let key = world.key(&tenant, None).await;
    let (first, gone) = (world.enrolled(&tenant, &key, "a").await, world.enrolled(&tenant, &key, "b").await);
    let customer = tenant.customer.id;
    world
        .apply(vec![Change::DeleteComponent { customer, id: gone.id, revision: None, at: NOW, release_use: false }])
        .await;
    let gone = world.component(customer, gone.id).await;

    let asked = [gone.id, ComponentId::from_raw(1), first.id];
    assert_eq!(world.store.find_components(customer, &asked).await.unwrap(), [gone, first]);
    assert_eq!(world.store.find_components(stranger.customer.id, &asked).await.unwrap(), []);
    assert_eq!(world.store.find_components(customer, &[]).await.unwrap(), []);
}

pub async fn relations_come_in_the_order_asked(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let (key, gone) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let first = world.enrolled(&tenant, &key, "a").await;
    let second = world.enrolled(&tenant, &gone, "b").await;
    let customer = tenant.customer.id;
    world.apply(vec![Change::DeleteKey { customer, id: gone.id, revision: None, revoke: None }]).await;

    let asked = [second.id, ComponentId::from_raw(1), first.id];
    let found = world.store.find_component_relations(customer, &asked).await.unwrap();
    assert_eq!(found.iter().map(|found| found.component).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!((&found[0].key_name, &found[1].key_name), (&None, &Some(key.name.clone())));
    for (found, component) in found.iter().zip([&second, &first]) {
        let certificate = world.certificate(customer, component.id, component.current_serial).await;
        assert_eq!((found.serial, found.issued_at), (certificate.serial, certificate.issued_at));
        assert_eq!(found.not_after, certificate.not_after);
        assert_eq!(found.group_name.as_ref(), Some(&tenant.group.name));
        assert_eq!(found.signing_certificate_id, tenant.signer.id);
        assert_eq!(found.signing_certificate_name.as_ref(), Some(&tenant.signer.name));
    }
    assert_eq!(world.store.find_component_relations(stranger.customer.id, &asked).await.unwrap(), []);
    assert_eq!(world.store.find_component_relations(customer, &[]).await.unwrap(), []);
}

pub async fn a_kind_is_counted(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let counts = async |kind| world.store.count_kind(tenant.customer.id, kind).await.unwrap();
    assert_eq!(counts(Kind::Machine).await, KindCounts { components: 0, groups: 1, keys: 0 });
    let (key, of_other) = (world.key(&tenant, None).await, world.key(&other, None).await);
    world.key(&tenant, None).await;
    let gone = world.enrolled(&tenant, &key, "first").await;
    world.enrolled(&tenant, &key, "second").await;
    world.enrolled(&other, &of_other, "first").await;
    let customer = tenant.customer.id;
    let delete = Change::DeleteComponent { customer, id: gone.id, revision: None, at: NOW, release_use: false };
    world.apply(vec![delete]).await;
    assert_eq!(counts(Kind::Machine).await, KindCounts { components: 1, groups: 1, keys: 2 });
    assert_eq!(counts(Kind::AppConnector).await, KindCounts::default());
}

pub async fn certificates_end_in_the_order_of_their_ends(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let (key, of_other) = (world.key(&tenant, None).await, world.key(&other, None).await);
    let customer = tenant.customer.id;
    let end = |days: u64| NOW.saturating_add(Duration::from_secs(days * 86_400));
    let mut ids = Vec::new();
    for days in [3, 1, 2, 1] {
        let mut commit = world.commit(&tenant, &key, &format!("device-{}", ids.len()));
        commit.certificate.not_after = end(days);
        ids.push(commit.intent.component());
        world.store.commit_enrollment(commit).await.unwrap();
    }
    let mut elsewhere = world.commit(&other, &of_other, "device");
    elsewhere.certificate.not_after = end(1);
    world.store.commit_enrollment(elsewhere).await.unwrap();

    let ending = async |after, until, limit| {
        let found = world.store.list_ending_components(customer, after, until, limit).await.unwrap();
        found.into_iter().map(|component| (component.id, component.not_after)).collect::<Vec<_>>()
    };
    let [third, first, second, also_first] = ids[..] else { unreachable!() };
    let all = [(first, end(1)), (also_first, end(1)), (second, end(2)), (third, end(3))];
    assert_eq!(ending(NOW, end(3), 10).await, all);
    assert_eq!(ending(NOW, end(3), 2).await, all[..2]);
    assert_eq!(ending(end(1), end(2), 10).await, all[2..3], "what has ended is not about to");

    world
        .apply(vec![Change::RevokeComponent {
            customer,
            id: first,
            revision: None,
            at: NOW,
            reason: RevocationReason::Unspecified,
            by: None,
        }])
        .await;
    assert_eq!(ending(NOW, end(1), 10).await, all[1..2]);
    let found = world.store.list_ending_components(customer, NOW, end(1), 1).await.unwrap().remove(0);
    let component = world.component(customer, also_first).await;
    assert_eq!((found.name, found.kind), (component.name, component.kind));
}
