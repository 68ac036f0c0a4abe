//! What is sealed, by which master key: counted, listed and sealed anew.

use muster::id::Id;
use muster::secret::master::header;
use muster::store::{
    AnswerId, BrokenRule, Change, ChangeError, SETTING_SEALED_BY, SealedColumn, SealedCounts, SealedSecret,
    SealedValue, StoredAnswer,
};

use super::webhooks::webhook;
use super::world::World;
use crate::support::rows;

/// How the sealed values of `rows` begin.
const OF_SIGNER: &[u8] = &[7, 7, 7];
const OF_KEY: &[u8] = &[9, 9, 9];

pub async fn what_another_key_sealed_is_counted_listed_and_replaced(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let keys = [world.key(&tenant, None).await, world.key(&other, None).await, world.key(&tenant, None).await];
    let hidden = world.key(&tenant, None).await;
    world.change_key(&hidden, |key| key.sealed_string = None).await;
    let secret = SealedSecret { purpose: "pepper".into(), name: "1".into(), sealed: vec![7, 7, 7, 1] };
    world.apply(vec![Change::PutSecret(secret)]).await;
    let all = SealedCounts { secrets: 1, key_strings: 3, signing_keys: 2, webhook_secrets: 0, answers: 0 };
    assert_eq!(world.store.count_sealed(&[]).await.unwrap(), all);
    let of_signer = SealedCounts { key_strings: 0, ..all };
    assert_eq!(world.store.count_sealed(OF_SIGNER).await.unwrap(), of_signer);
    assert_eq!(world.store.count_sealed(&[7; 100]).await.unwrap(), SealedCounts::default());

    let column = SealedColumn::KeyStrings;
    let otherwise = async |header: &[u8], after, limit| {
        world.store.list_sealed_otherwise(column, header, after, limit).await.unwrap()
    };
    assert!(otherwise(OF_KEY, 0, 10).await.is_empty());
    let ids = |values: &[SealedValue]| values.iter().map(|value| value.id).collect::<Vec<_>>();
    let expected = keys.each_ref().map(|key| key.id.raw());
    let found = otherwise(OF_SIGNER, 0, 10).await;
    assert_eq!(ids(&found), expected, "over all customers, in order of id");
    assert_eq!(found[1].customer, other.customer.id);
    assert_eq!(ids(&otherwise(OF_SIGNER, expected[0], 1).await), expected[1..2]);

    let (feed, before) = (world.store.last_change().await.unwrap(), world.stored(&keys[0]).await);
    let mut values: Vec<_> = found.iter().map(|value| (value.clone(), vec![7, 7, 7, 42])).collect();
    // One was changed meanwhile, one is said to be another customer's.
    values[1].0.sealed = vec![1];
    values[2].0.customer = other.customer.id;
    world.store.replace_sealed(column, "1", values).await.unwrap();
    let after = world.stored(&keys[0]).await;
    assert_eq!(after.sealed_string, Some(vec![7, 7, 7, 42]));
    assert_eq!(after.revision, before.revision);
    assert_eq!(world.store.last_change().await.unwrap(), feed);
    assert_eq!(ids(&otherwise(OF_SIGNER, 0, 10).await), expected[1..]);
    assert_eq!(
        world.store.count_sealed(OF_KEY).await.unwrap(),
        SealedCounts { key_strings: 2, ..SealedCounts::default() }
    );
    let world = world.reopen().await;
    assert_eq!(world.stored(&keys[0]).await.sealed_string, Some(vec![7, 7, 7, 42]));
}

/// The store's word on who seals.
fn say(value: &str, before: Option<&str>) -> Change {
    let before = before.map(str::to_owned);
    Change::ReplaceSetting { name: SETTING_SEALED_BY.into(), value: value.into(), before }
}

fn sealed_by(id: &str) -> Vec<u8> {
    [header(id), vec![0; 40]].concat()
}

pub async fn what_another_key_sealed_is_refused(world: World) {
    let tenant = world.tenant().await;
    let secret = |id: &str| SealedSecret { purpose: "pepper".into(), name: "1".into(), sealed: sealed_by(id) };
    let answer = |id: &str, n: u8| StoredAnswer {
        id: AnswerId([n; 32]),
        at: world.now(),
        sealed_brief: (id == "1").then(|| sealed_by("1")),
        sealed_lasting: sealed_by("2"),
    };
    let bring = |id: &str, n: u8| {
        let mut key = rows::key(world.id(), &tenant.group, &format!("key {n}"), None);
        key.sealed_string = Some(sealed_by(id));
        let mut signer = rows::signing_certificate(world.id(), tenant.customer.id, &format!("signer {n}"));
        signer.sealed_private_key = Some(sealed_by(id));
        let mut hook = webhook(&world, tenant.customer.id, &format!("hook {n}"));
        hook.sealed_secret = sealed_by(id);
        let before = secret("2").sealed;
        [
            Change::InsertKey(key),
            Change::InsertSigningCertificate(signer),
            Change::InsertWebhook(hook),
            Change::PutSecret(secret(id)),
            Change::InsertSecret(SealedSecret { name: format!("new {n}"), ..secret(id) }),
            Change::ReplaceSecret { secret: secret(id), before },
            Change::RememberAnswer(answer(id, n)),
        ]
    };
    world.apply(vec![Change::PutSecret(secret("1"))]).await;
    assert_eq!(world.broken_rule(say("2 1", Some("1"))).await, BrokenRule::NotFound);
    world.apply(vec![say("1", None), Change::PutSecret(secret("1"))]).await;
    // What goes over says so first.
    world.apply(vec![say("2 1", Some("1")), Change::PutSecret(secret("2"))]).await;
    assert_eq!(world.broken_rule(say("3 1", Some("1"))).await, BrokenRule::NotFound, "another was quicker");
    for change in bring("1", 1) {
        assert_eq!(world.broken_rule(change).await, BrokenRule::SealedOtherwise);
    }
    world.apply(bring("2", 2).to_vec()).await;
    let late = world.try_apply(vec![Change::PutSecret(secret("2")), Change::PutSecret(secret("1"))]).await;
    assert!(matches!(late, Err(ChangeError::Rule { position: 1, .. })), "{late:?}");

    // Nor is anything sealed backwards.
    let column = SealedColumn::KeyStrings;
    let found = world.store.list_sealed_otherwise(column, &header("1"), 0, 10).await.unwrap();
    let values = |id: &str| found.iter().map(|value| (value.clone(), sealed_by(id))).collect::<Vec<_>>();
    assert_eq!(found.len(), 1);
    world.store.replace_sealed(column, "1", values("1")).await.unwrap();
    assert_eq!(world.store.count_sealed(&header("1")).await.unwrap(), SealedCounts::default());
    world.store.replace_sealed(column, "2", values("22")).await.unwrap();
    assert_eq!(world.store.count_sealed(&header("22")).await.unwrap().key_strings, 1);
}

pub async fn an_update_leaves_what_was_sealed_anew_meanwhile(world: World) {
    let tenant = world.tenant().await;
    let mut key = world.key(&tenant, None).await;
    let mut signer = tenant.signer.clone();
    let mut hook = webhook(&world, tenant.customer.id, "hook");
    world.apply(vec![Change::InsertWebhook(hook.clone())]).await;
    let anew = sealed_by("2");
    for column in SealedColumn::ALL {
        let found = world.store.list_sealed_otherwise(column, &header("2"), 0, 10).await.unwrap();
        let values = found.into_iter().map(|value| (value, anew.clone())).collect();
        world.store.replace_sealed(column, "2", values).await.unwrap();
    }
    // As read before.
    (key.name, signer.name, hook.name) = (rows::name("key two"), rows::name("signer two"), rows::name("hook two"));
    let updates = vec![
        Change::UpdateKey(key.clone()),
        Change::UpdateSigningCertificate(signer.clone()),
        Change::UpdateWebhook(hook.clone()),
    ];
    world.apply(updates).await;
    let customer = tenant.customer.id;
    let stored = world.stored(&key).await;
    assert_eq!((&stored.name, &stored.sealed_string), (&key.name, &Some(anew.clone())));
    let stored = world.store.find_signing_certificate(customer, signer.id).await.unwrap().unwrap();
    assert_eq!((&stored.name, &stored.sealed_private_key), (&signer.name, &Some(anew.clone())));
    let stored = world.store.find_webhook(customer, hook.id).await.unwrap().unwrap();
    assert_eq!((&stored.name, &stored.sealed_secret), (&hook.name, &anew));
}
