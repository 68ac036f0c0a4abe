//! Clean-up schedules, and the components that they take.

use std::time::Duration;

use muster::clock::Timestamp;
use muster::domain::{
    CleanUpDays, CleanUpSchedule, Component, ComponentState, Group, Kind, Revision, RevocationReason,
};
use muster::id::{CleanUpScheduleId, ComponentId, CustomerId, Id};
use muster::store::{BrokenRule, Change, EndedComponent, EnrollmentIntent, GroupContents};

use super::lists::assert_pages;
use super::world::{Tenant, World};
use crate::support::rows::NOW;

/// Before everything that ends.
fn start() -> (Timestamp, ComponentId) {
    (Timestamp::from_unix_seconds(i64::MIN), ComponentId::from_raw(0))
}

fn schedule(world: &World, customer: CustomerId, kind: Kind) -> CleanUpSchedule {
    CleanUpSchedule {
        id: CleanUpScheduleId::from_raw(world.id()),
        customer_id: customer,
        kind,
        enabled: true,
        delete_disabled: false,
        days: CleanUpDays::ALL[0],
        created_at: NOW,
        modified_at: NOW,
        modified_by: Some(5),
        revision: Revision::FIRST,
    }
}

/// A component whose certificate ends so many seconds after [`NOW`].
async fn ending(
    world: &World,
    tenant: &Tenant,
    key: &muster::domain::ProvisioningKey,
    device: &str,
    after: u64,
) -> Component {
    let mut commit = world.commit(tenant, key, device);
    commit.certificate.not_after = NOW.saturating_add(Duration::from_secs(after));
    let EnrollmentIntent::Enroll { component } = commit.intent else { unreachable!() };
    world.store.commit_enrollment(commit).await.unwrap();
    world.component(key.customer_id, component).await
}

pub async fn a_customer_has_one_schedule_per_kind(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let customer = tenant.customer.id;
    assert_eq!(world.store.find_clean_up_schedule(customer, Kind::Machine).await.unwrap(), None);
    let mut machines = schedule(&world, customer, Kind::Machine);
    let edges = schedule(&world, customer, Kind::ServiceEdge);
    let others = schedule(&world, other.customer.id, Kind::Machine);
    for schedule in [&machines, &edges, &others] {
        world.apply(vec![Change::InsertCleanUpSchedule(schedule.clone())]).await;
    }
    let second = schedule(&world, customer, Kind::Machine);
    assert_eq!(world.broken_rule(Change::InsertCleanUpSchedule(second)).await, BrokenRule::DuplicateName);
    let nowhere = schedule(&world, CustomerId::from_raw(1), Kind::Machine);
    let rule = world.broken_rule(Change::InsertCleanUpSchedule(nowhere)).await;
    assert_eq!(rule, BrokenRule::UnknownReference { what: "customer" });

    machines.enabled = false;
    machines.delete_disabled = true;
    machines.days = CleanUpDays::new(90).unwrap();
    machines.modified_at = NOW.saturating_add(Duration::from_secs(1));
    machines.modified_by = None;
    let update = Change::UpdateCleanUpSchedule(machines.clone());
    world.apply(vec![update.clone()]).await;
    assert_eq!(world.broken_rule(update.clone()).await, BrokenRule::Outdated { found: Revision(2) });
    machines.revision = Revision(2);
    assert_eq!(world.store.find_clean_up_schedule(customer, Kind::Machine).await.unwrap(), Some(machines.clone()));
    assert_eq!(world.store.list_clean_up_schedules().await.unwrap(), [edges, machines.clone(), others]);
    let stolen = CleanUpSchedule { customer_id: other.customer.id, ..machines };
    assert_eq!(world.broken_rule(Change::UpdateCleanUpSchedule(stolen)).await, BrokenRule::NotFound);
}

pub async fn only_what_ended_and_is_current_is_scanned(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let (key, foreign) = (world.key(&tenant, None).await, world.key(&other, None).await);
    let customer = tenant.customer.id;
    let (late, early) =
        (ending(&world, &tenant, &key, "late", 20).await, ending(&world, &tenant, &key, "early", 10).await);
    let twin = ending(&world, &tenant, &key, "twin", 10).await;
    ending(&world, &tenant, &key, "not yet", 21).await;
    ending(&world, &other, &foreign, "foreign", 1).await;
    let revoked = ending(&world, &tenant, &key, "revoked", 1).await;
    let deleted = ending(&world, &tenant, &key, "deleted", 1).await;
    let renewed = ending(&world, &tenant, &key, "renewed", 1).await;
    let mut again = world.re_enrollment(&tenant, &key, "renewed", &renewed);
    again.certificate.not_after = NOW.saturating_add(Duration::from_secs(1_000));
    world.store.commit_enrollment(again).await.unwrap();
    world
        .apply(vec![
            Change::RevokeComponent {
                customer,
                id: revoked.id,
                revision: None,
                at: NOW,
                reason: RevocationReason::Unspecified,
                by: None,
            },
            Change::DeleteComponent { customer, id: deleted.id, revision: None, at: NOW, release_use: false },
        ])
        .await;

    let by = NOW.saturating_add(Duration::from_secs(20));
    let ended = |component: &Component, after| EndedComponent {
        component: component.clone(),
        ended_at: NOW.saturating_add(Duration::from_secs(after)),
    };
    let expected = [ended(&early, 10), ended(&twin, 10), ended(&late, 20)];
    let mut found = Vec::new();
    let mut after = start();
    loop {
        let page = world.store.scan_ended_components(customer, by, after, 1).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.ended_at, last.component.id);
        found.extend(page);
    }
    assert_eq!(found, expected);
    assert_eq!(world.store.scan_ended_components(customer, by, start(), 10).await.unwrap(), expected);

    // Its devices cannot renew.
    let disabled = Group { enabled: false, ..tenant.group.clone() };
    world.apply(vec![Change::UpdateGroup(disabled)]).await;
    assert_eq!(world.store.scan_ended_components(customer, by, start(), 10).await.unwrap(), []);
}

pub async fn a_changed_component_or_schedule_is_not_cleaned_up(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let key = world.key(&tenant, Some(1)).await;
    let seen = ending(&world, &tenant, &key, "d", 1).await;
    let schedule = schedule(&world, customer, Kind::Machine);
    world.apply(vec![Change::InsertCleanUpSchedule(schedule.clone())]).await;
    let clean_up = |component: &Component, schedule_revision| Change::CleanUpComponent {
        customer,
        id: component.id,
        seen: (component.revision, component.current_serial),
        schedule: (schedule.id, schedule_revision),
        at: NOW,
    };

    // Re-enrolled meanwhile: its revision is the same, its certificate is not.
    let re_enrollment = world.re_enrollment(&tenant, &key, "d", &seen);
    world.store.commit_enrollment(re_enrollment).await.unwrap();
    let rule = world.broken_rule(clean_up(&seen, Revision(1))).await;
    assert_eq!(rule, BrokenRule::Outdated { found: Revision(1) });
    let renewed = world.component(customer, seen.id).await;
    // Edited meanwhile.
    world.apply(vec![Change::UpdateComponent(renewed.clone())]).await;
    let rule = world.broken_rule(clean_up(&renewed, Revision(1))).await;
    assert_eq!(rule, BrokenRule::Outdated { found: Revision(2) });
    // The schedule was changed, or is not there.
    let edited = world.component(customer, seen.id).await;
    world.apply(vec![Change::UpdateCleanUpSchedule(schedule.clone())]).await;
    let rule = world.broken_rule(clean_up(&edited, Revision(1))).await;
    assert_eq!(rule, BrokenRule::UnknownReference { what: "clean-up schedule" });
    assert_eq!(world.component(customer, seen.id).await, edited);

    let event = world.event(customer, "1");
    let changes = vec![clean_up(&edited, Revision(2))];
    world.store.commit_changes_in_background(changes, vec![event], &world.audit_key).await.unwrap();
    assert_eq!(world.component(customer, seen.id).await.state, ComponentState::Deleted { at: NOW });
    assert_eq!(world.store.list_audit(customer, 0, 10).await.unwrap().len(), 1);
    assert_eq!(world.uses(&key).await, 1, "no use is given back");
    assert_eq!(world.broken_rule(clean_up(&edited, Revision(2))).await, BrokenRule::NotFound);
    world.assert_sound().await;
}

pub async fn what_was_cleaned_up_is_on_no_page(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let key = world.key(&tenant, None).await;
    let schedule = schedule(&world, customer, Kind::Machine);
    world.apply(vec![Change::InsertCleanUpSchedule(schedule.clone())]).await;
    let mut components = Vec::new();
    for n in 0..5 {
        components.push(ending(&world, &tenant, &key, &format!("d-{n}"), n).await);
    }
    assert_pages(&world, &tenant, &components, &[""]).await;
    // The order by name may have those by now, and not yet this one.
    components.push(ending(&world, &tenant, &key, "d-5", 5).await);
    let mut clean_up = Vec::new();
    for at in [5, 2, 0] {
        let gone = components.remove(at);
        clean_up.push(Change::CleanUpComponent {
            customer,
            id: gone.id,
            seen: (gone.revision, gone.current_serial),
            schedule: (schedule.id, schedule.revision),
            at: NOW,
        });
    }
    world.store.commit_changes_in_background(clean_up, vec![], &world.audit_key).await.unwrap();
    assert_pages(&world, &tenant, &components, &["", key.name.as_str()]).await;
    let counted = world.store.count_group_contents(customer, &[tenant.group.id]).await.unwrap();
    assert_eq!(counted, [GroupContents { keys: 1, components: 3 }]);
    world.assert_sound().await;
}
