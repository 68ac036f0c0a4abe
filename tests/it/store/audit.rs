//! The audit chains.

use std::time::Duration;

use muster::domain::audit::{AuditEvent, AuditRow, ChainVerifier};
use muster::id::CustomerId;
use muster::store::{AuditField, AuditQuery, Change, Comparison, Condition, ListQuery, PageRequest, Value};

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
    let sequences = |rows: Vec<AuditRow>| rows.iter().map(|row| row.sequence).collect::<Vec<_>>();
    assert_eq!(sequences(world.store.list_audit(customer, 0, 2).await.unwrap()), [1, 2]);
    assert_eq!(sequences(world.store.list_audit(customer, 2, 2).await.unwrap()), [3, 4]);
    assert_eq!(sequences(world.store.list_audit(customer, 4, 2).await.unwrap()), [5]);
    assert_eq!(sequences(world.store.list_audit(customer, 5, 2).await.unwrap()), [0; 0]);
    assert_eq!(sequences(world.store.list_audit(customer, u64::MAX, 2).await.unwrap()), [0; 0]);
}

pub async fn a_search_is_answered_newest_first(world: World) {
    let customer = world.tenant().await.customer.id;
    for n in 0..6_u32 {
        let event = AuditEvent {
            action: if n % 2 == 0 { "update".into() } else { "delete".into() },
            actor_id: (n / 2).to_string(),
            actor_name: format!("Ada {}", n / 3),
            actor_type: if n == 0 { "system".into() } else { "administrator".into() },
            object_name: format!("HQ {n}"),
            object_type: if n < 5 { "group".into() } else { "session".into() },
            ..world.event(customer, &n.to_string())
        };
        let elsewhere = world.event(CustomerId::SERVICE, "99");
        world.store.commit_changes(vec![], vec![event, elsewhere], &world.audit_key).await.unwrap();
        world.clock.advance(Duration::from_secs(10));
    }
    let search = async |customer, conditions, page| {
        world.store.search_audit(customer, &AuditQuery { conditions, page }).await.unwrap()
    };
    let mut rows = world.store.list_audit(customer, 0, 10).await.unwrap();
    rows.reverse();
    let value_of = |row: &AuditRow, field| -> Option<Value> {
        let text = |text: &str| Some(text.into());
        match field {
            AuditField::Action => text(&row.event.action),
            AuditField::ActorId => text(&row.event.actor_id),
            AuditField::ActorName => text(&row.event.actor_name),
            AuditField::ActorType => text(&row.event.actor_type),
            AuditField::At => Some(row.event.at.unix_seconds().into()),
            AuditField::ObjectId => text(&row.event.object_id),
            AuditField::ObjectName => text(&row.event.object_name),
            AuditField::ObjectType => text(&row.event.object_type),
            AuditField::Sequence => Some(i64::try_from(row.sequence).unwrap().into()),
        }
    };
    let mut asked: Vec<Vec<Condition<AuditField>>> = vec![vec![]];
    for &field in AuditField::ALL {
        let values = rows.iter().filter_map(|row| value_of(row, field)).chain(["H".into(), 0.into(), true.into()]);
        let values: Vec<_> = values.collect();
        for comparison in Comparison::ALL {
            asked.extend(values.iter().map(|value| vec![Condition { field, comparison, value: value.clone() }]));
        }
    }
    let between = |field, first: &AuditRow, end: &AuditRow| {
        [(Comparison::GreaterOrEquals, first), (Comparison::Less, end)].map(|(comparison, row)| Condition {
            field,
            comparison,
            value: value_of(row, field).unwrap(),
        })
    };
    asked.push(between(AuditField::At, &rows[4], &rows[2]).to_vec());
    for conditions in asked {
        for (offset, limit) in [(0, 10), (1, 2), (6, 2), (u64::MAX, 1)] {
            let found = search(customer, conditions.clone(), PageRequest { offset, limit }).await;
            let model = ListQuery { conditions: conditions.clone(), sort: None, offset, limit };
            assert_eq!(found, model.select(rows.clone(), value_of), "{conditions:?} {offset} {limit}");
        }
    }
    let nowhere = search(CustomerId::SERVICE, vec![], PageRequest::first(10)).await;
    assert_eq!((nowhere.total, nowhere.rows[0].event.object_id.as_str()), (6, "99"), "each customer has its own");
}
