//! Random sequences of operations against a model simple enough to be read.

use std::collections::HashMap;

use muster::domain::{Kind, ProvisioningKey, RevocationReason};
use muster::id::ComponentId;
use muster::store::{BrokenRule, Change, ChangeError, EnrollmentOutcome, ListQuery};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::world::{Tenant, World};
use crate::support::rows::NOW;

const KEYS: usize = 2;
const DEVICES: usize = 4;

/// Key and device are places in the model's lists.
#[derive(Clone, Debug)]
enum Operation {
    Delete { key: usize, device: usize, release_use: bool },
    Enroll { key: usize, device: usize },
    ReEnroll { key: usize, device: usize },
    Revoke { key: usize, device: usize },
    SetMaximum { key: usize, maximum: Option<u32> },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let place = (0..KEYS, 0..DEVICES);
    let operation = prop_oneof![
        4 => place.clone().prop_map(|(key, device)| Operation::Enroll { key, device }),
        2 => place.clone().prop_map(|(key, device)| Operation::ReEnroll { key, device }),
        2 => (place.clone(), any::<bool>())
            .prop_map(|((key, device), release_use)| Operation::Delete { key, device, release_use }),
        1 => place.prop_map(|(key, device)| Operation::Revoke { key, device }),
        1 => (0..KEYS, prop::option::of(1..4_u32)).prop_map(|(key, maximum)| Operation::SetMaximum { key, maximum }),
    ];
    prop::collection::vec(operation, 1..40)
}

#[derive(Default)]
struct KeyModel {
    maximum: Option<u32>,
    uses: u32,
    enrolled: u64,
    re_enrolled: u64,
    released: u64,
    /// By device: the component that is not deleted, and whether it is revoked.
    present: HashMap<usize, (ComponentId, bool)>,
}

pub async fn random_sequences_agree_with_the_model(world: World) {
    let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let outcome = TestRunner::new(config).run(&operations(), |operations| {
            runtime.block_on(follow(&world, operations));
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("{failure}");
        }
    });
    world.assert_sound().await;
}

async fn follow(world: &World, operations: Vec<Operation>) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        let key = world.key(&tenant, Some(2)).await;
        keys.push((key, KeyModel { maximum: Some(2), ..KeyModel::default() }));
    }
    for operation in operations {
        match operation {
            Operation::Enroll { key, device } => {
                let (key, model) = &mut keys[key];
                enroll(world, &tenant, key, model, device).await;
            }
            Operation::ReEnroll { key, device } => {
                let (key, model) = &mut keys[key];
                let Some((id, is_revoked)) = model.present.get(&device) else { continue };
                let component = world.component(customer, *id).await;
                let commit = world.re_enrollment(&tenant, key, &format!("device-{device}"), &component);
                let outcome = world.store.commit_enrollment(commit).await.unwrap();
                if *is_revoked {
                    assert_eq!(outcome, EnrollmentOutcome::Known);
                } else {
                    assert!(matches!(outcome, EnrollmentOutcome::Committed { uses, .. } if uses == model.uses));
                    model.re_enrolled += 1;
                }
            }
            Operation::Delete { key, device, release_use } => {
                let (_, model) = &mut keys[key];
                let Some((id, _)) = model.present.remove(&device) else { continue };
                world.apply(vec![Change::DeleteComponent { customer, id, revision: None, at: NOW, release_use }]).await;
                model.uses -= u32::from(release_use);
                model.released += u64::from(release_use);
                let again = world
                    .try_apply(vec![Change::DeleteComponent { customer, id, revision: None, at: NOW, release_use }])
                    .await;
                assert!(matches!(again, Err(ChangeError::Rule { position: 0, rule: BrokenRule::NotFound })));
            }
            Operation::Revoke { key, device } => {
                let (_, model) = &mut keys[key];
                let Some((id, is_revoked)) = model.present.get_mut(&device) else { continue };
                world
                    .apply(vec![Change::RevokeComponent {
                        customer,
                        id: *id,
                        revision: None,
                        at: NOW,
                        reason: RevocationReason::Unspecified,
                        by: None,
                    }])
                    .await;
                *is_revoked = true;
            }
            Operation::SetMaximum { key, maximum } => {
                let (key, model) = &mut keys[key];
                *key = world.change_key(key, |key| key.maximum = maximum.and_then(std::num::NonZeroU32::new)).await;
                model.maximum = maximum;
            }
        }
    }
    let mut present = 0;
    for (key, model) in &keys {
        let usage = world.stored(key).await.usage;
        assert_eq!((usage.uses, usage.re_enrollments), (model.uses, model.re_enrolled));
        assert_eq!(usage.last_ordinal, model.enrolled);
        let ledger = world.ledger(key).await;
        assert_eq!(ledger.len() as u64, model.enrolled + model.re_enrolled + model.released);
        assert_eq!(ledger.iter().map(|row| row.entry.uses_delta()).sum::<i64>(), i64::from(model.uses));
        present += model.present.len() as u64;
    }
    let listed = world.store.list_components(customer, Kind::Machine, &ListQuery::first(500)).await.unwrap();
    assert_eq!((listed.rows.len() as u64, listed.total), (present, present));
}

async fn enroll(world: &World, tenant: &Tenant, key: &ProvisioningKey, model: &mut KeyModel, device: usize) {
    let commit = world.commit(tenant, key, &format!("device-{device}"));
    let muster::store::EnrollmentIntent::Enroll { component } = commit.intent else { unreachable!() };
    let outcome = world.store.commit_enrollment(commit).await.unwrap();
    if model.present.contains_key(&device) {
        assert_eq!(outcome, EnrollmentOutcome::Known);
    } else if model.maximum.is_some_and(|maximum| model.uses >= maximum) {
        assert_eq!(outcome, EnrollmentOutcome::Exhausted { uses: model.uses });
    } else {
        model.uses += 1;
        model.enrolled += 1;
        model.present.insert(device, (component, false));
        let component_name = format!("{}-{}", key.name, model.enrolled);
        assert_eq!(outcome, EnrollmentOutcome::Committed { component_name, uses: model.uses });
    }
}
