//! The audit chains.

use muster::domain::audit::ChainVerifier;
use muster::id::CustomerId;
use muster::store::Change;

use super::world::World;

pub async fn each_customer_has_a_chain_of_its_own(world: World) {
    let (one, two) = (world.tenant().await, world.tenant().await);
    let customers = [one.customer.id, CustomerId::SERVICE, two.customer.id];
    for round in 0..3 {
        let events = customers.iter().map(|id| world.event(*id, &round.to_string())).collect();
        world.store.commit_changes(vec![], events, &world.audit_key).await.unwrap();
    }

    for customer in customers {
        let rows = world.store.list_audit(customer, 0, 100).await.unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.sequence, row.event.object_id.as_str())).collect();
        assert_eq!(seen, [(1, "0"), (2, "1"), (3, "2")]);
        assert_eq!(rows[1].event, world.event(customer, "1"));
        let mut verifier = ChainVerifier::new(&world.audit_key);
        for row in &rows {
            verifier.follow(row).unwrap();
        }
        verifier.finish(3, &rows[2].mac).unwrap();
    }
    world.assert_sound().await;
}

pub async fn events_are_written_with_their_changes_or_not_at_all(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let mut event = world.event(customer, "7");
    event.before = Some(r#"{"name":"HQ"}"#.into());
    event.after = Some(r#"{"name":"Head office"}"#.into());
    let update = Change::UpdateGroup(tenant.group.clone());
    world.store.commit_changes(vec![update.clone()], vec![event.clone()], &world.audit_key).await.unwrap();
    world.store.commit_changes(vec![update], vec![event.clone()], &world.audit_key).await.unwrap_err();

    let rows = world.store.list_audit(customer, 0, 100).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].event, event);
    world.assert_sound().await;
}

pub async fn pages_of_a_chain_follow_each_other(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let events = (0..5).map(|n| world.event(customer, &n.to_string())).collect();
    world.store.commit_changes(vec![], events, &world.audit_key).await.unwrap();
    let sequences =
        |rows: Vec<muster::domain::audit::AuditRow>| rows.iter().map(|row| row.sequence).collect::<Vec<_>>();
    assert_eq!(sequences(world.store.list_audit(customer, 0, 2).await.unwrap()), [1, 2]);
    assert_eq!(sequences(world.store.list_audit(customer, 2, 2).await.unwrap()), [3, 4]);
    assert_eq!(sequences(world.store.list_audit(customer, 4, 2).await.unwrap()), [5]);
    assert_eq!(sequences(world.store.list_audit(customer, 5, 2).await.unwrap()), [0; 0]);
}
