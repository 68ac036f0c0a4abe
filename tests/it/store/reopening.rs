//! What is there after a restart, and what is said after the end.

use muster::domain::Kind;
use muster::id::{ComponentId, GroupId, Id};
use muster::store::{Change, ChangeError, EnrollmentOutcome, IdAllocator, ListQuery};

use super::world::{World, is_unavailable};

pub async fn everything_answered_is_there_again(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(30)).await;
    let tasks: Vec<_> = (0..25)
        .map(|n| {
            let (store, commit) = (world.store.clone(), world.commit(&tenant, &key, &format!("device-{n}")));
            tokio::spawn(async move { (commit.clone(), store.commit_enrollment(commit).await.unwrap()) })
        })
        .collect();
    let mut answered = Vec::new();
    for task in tasks {
        answered.push(task.await.unwrap());
    }
    let event = world.event(tenant.customer.id, "1");
    world.store.commit_changes(vec![], vec![event.clone()], &world.audit_key).await.unwrap();
    let last = world.store.last_change().await.unwrap();

    let world = world.reopen().await;

    for (commit, outcome) in answered {
        let EnrollmentOutcome::Committed { component_name, .. } = outcome else { panic!("{outcome:?}") };
        let certificate =
            world.certificate(key.customer_id, commit.intent.component(), commit.certificate.serial).await;
        assert_eq!(certificate.der, commit.certificate.der);
        let component = world.component(key.customer_id, certificate.component_id).await;
        assert_eq!((component.name, component.fingerprint), (component_name, commit.fingerprint.clone()));
        let again = world.store.commit_enrollment(commit).await.unwrap();
        assert_eq!(again, EnrollmentOutcome::Known, "the retry after a lost answer takes no use");
    }
    assert_eq!(world.uses(&key).await, 25);
    assert_eq!(world.store.last_change().await.unwrap(), last);
    assert_eq!(world.store.list_audit(tenant.customer.id, 0, 9).await.unwrap()[0].event, event);
    let groups = world.store.list_groups(tenant.customer.id, Kind::Machine, &ListQuery::first(9)).await.unwrap();
    assert_eq!(groups.rows, std::slice::from_ref(&tenant.group));
    world.assert_sound().await;
}

pub async fn ids_are_never_given_twice(world: World) {
    let first = world.store.reserve_ids(10).await.unwrap();
    assert!(first >= 1 << 16, "{first}");
    let second = world.store.reserve_ids(1).await.unwrap();
    assert_eq!(second, first + 10);
    let world = world.reopen().await;
    assert_eq!(world.store.reserve_ids(5).await.unwrap(), second + 1);

    let ids = IdAllocator::new(world.store.clone());
    let (one, two): (GroupId, ComponentId) = (ids.next().await.unwrap(), ids.next().await.unwrap());
    assert_eq!((one.raw(), two.raw()), (second + 6, second + 7));

    // Ids stay within what a JavaScript number holds exactly.
    let left = (1 << 53) - world.store.reserve_ids(0).await.unwrap();
    assert!(is_unavailable(&world.store.reserve_ids(left + 1).await));
    assert!(is_unavailable(&world.store.reserve_ids(u64::MAX).await));
    world.store.reserve_ids(left).await.unwrap();
    assert!(is_unavailable(&world.store.reserve_ids(1).await));
}

pub async fn a_closed_store_is_unavailable(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    world.store.probe().await.unwrap();
    let pending: Vec<_> = (0..20)
        .map(|n| {
            let (store, commit) = (world.store.clone(), world.commit(&tenant, &key, &format!("device-{n}")));
            tokio::spawn(async move { store.commit_enrollment(commit).await })
        })
        .collect();

    world.store.close().await;
    world.store.close().await;

    let mut done = 0;
    for task in pending {
        match task.await.unwrap() {
            Ok(outcome) => {
                assert!(matches!(outcome, EnrollmentOutcome::Committed { .. }), "{outcome:?}");
                done += 1;
            }
            result => assert!(is_unavailable(&result), "{result:?}"),
        }
    }
    let late = world.store.commit_enrollment(world.commit(&tenant, &key, "late")).await;
    assert!(is_unavailable(&late), "{late:?}");
    assert!(is_unavailable(&world.store.probe().await));
    assert!(is_unavailable(&world.store.find_customer(tenant.customer.id).await));
    let change = Change::PutSetting { name: "a".into(), value: "b".into() };
    assert!(matches!(world.try_apply(vec![change]).await, Err(ChangeError::Store(_))));

    let world = world.reopen().await;
    assert_eq!(world.uses(&key).await, done, "what was answered before the end is there");
    world.assert_sound().await;
}
