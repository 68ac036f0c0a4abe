//! The change feed.

use muster::store::{Change, ChangeSequence, ObjectRef, SealedSecret};

use super::world::World;
use crate::support::rows::{self, NOW};

pub async fn sequences_follow_each_other_without_gaps(world: World) {
    assert_eq!(world.store.last_change().await.unwrap(), ChangeSequence(0));
    let tenant = world.tenant().await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let key = rows::key(world.id(), &tenant.group, &format!("key-{n}"), None);
            let (store, audit_key) = (world.store.clone(), world.audit_key.share());
            tokio::spawn(async move {
                let sequence = store.commit_changes(vec![Change::InsertKey(key.clone())], vec![], &audit_key).await;
                (sequence.unwrap(), ObjectRef::Key(key.customer_id, key.id))
            })
        })
        .collect();
    let mut answered = Vec::new();
    for task in tasks {
        answered.push(task.await.unwrap());
    }
    answered.sort_by_key(|(sequence, _)| *sequence);

    let feed = world.store.list_changes(ChangeSequence(0), 1_000).await.unwrap();
    let sequences: Vec<_> = feed.iter().map(|row| row.sequence.0).collect();
    assert_eq!(sequences, (1..=23).collect::<Vec<_>>());
    let of_keys: Vec<_> = feed[3..].iter().map(|row| (row.sequence, row.object)).collect();
    assert_eq!(of_keys, answered);
    assert_eq!(world.store.last_change().await.unwrap(), ChangeSequence(23));

    let middle = world.store.list_changes(ChangeSequence(5), 2).await.unwrap();
    assert_eq!(middle, feed[5..7]);
    assert_eq!(world.store.list_changes(ChangeSequence(23), 10).await.unwrap(), []);
}

pub async fn each_changed_object_has_one_row_per_transaction(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let (owner, client) =
        (rows::administrator(world.id(), customer, "ada"), rows::api_client(world.id(), customer, "c", "c"));
    let after = world.store.last_change().await.unwrap();
    let secret = SealedSecret { purpose: "pepper".into(), name: "1".into(), sealed: vec![1] };

    let answered = world
        .apply(vec![
            Change::PutSetting { name: "cloud".into(), value: "a".into() },
            Change::PutSecret(secret),
            Change::UpdateCustomer(tenant.customer.clone()),
            Change::UpdateSigningCertificate(tenant.signer.clone()),
            Change::UpdateGroup(tenant.group.clone()),
            Change::UpdateKey(world.stored(&key).await),
            Change::InsertAdministrator(owner.clone()),
            Change::InsertApiClient(client.clone()),
            Change::DeleteComponent { customer, id: component.id, revision: None, at: NOW, release_use: true },
            Change::DeleteKey { customer, id: key.id, revision: None, revoke: None },
        ])
        .await;

    let feed = world.store.list_changes(after, 100).await.unwrap();
    let objects: Vec<_> = feed.iter().map(|row| row.object).collect();
    let expected = [
        ObjectRef::Service,
        ObjectRef::Customer(customer),
        ObjectRef::SigningCertificate(customer, tenant.signer.id),
        ObjectRef::Group(customer, tenant.group.id),
        ObjectRef::Key(customer, key.id),
        ObjectRef::Administrator(customer, owner.id),
        ObjectRef::ApiClient(customer, client.id),
    ];
    assert_eq!(objects, expected);
    assert_eq!(feed.last().unwrap().sequence, answered);
}

/// It moves the key's count down, which a copy in memory cannot learn from enrollments.
pub async fn a_released_use_announces_the_key(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let key = world.key(&tenant, None).await;
    for release_use in [false, true] {
        let component = world.enrolled(&tenant, &key, "d").await;
        let after = world.store.last_change().await.unwrap();
        world
            .apply(vec![Change::DeleteComponent { customer, id: component.id, revision: None, at: NOW, release_use }])
            .await;
        let feed = world.store.list_changes(after, 10).await.unwrap();
        let objects: Vec<_> = feed.iter().map(|row| row.object).collect();
        let expected = release_use.then_some(ObjectRef::Key(customer, key.id));
        assert_eq!(objects, expected.into_iter().collect::<Vec<_>>());
    }
}

pub async fn enrollments_are_not_announced(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let before = world.store.last_change().await.unwrap();
    world.enrolled(&tenant, &key, "d").await;
    assert_eq!(world.store.last_change().await.unwrap(), before);
}
