//! What is digested, under which pepper: moved to a newer one, and the end of the older.

use muster::domain::{ApiClient, KeyState, ProvisioningKey};
use muster::id::{CustomerId, Id, ProvisioningKeyId};
use muster::secret::pepper::{KeyDigest, PepperBytes, PepperNumber, Peppers};
use muster::store::{
    BrokenRule, Change, ChangeError, DigestCounts, EnrollmentOutcome, NewDigest, ObjectRef, SealedSecret,
};

use super::world::World;
use crate::support::rows::{self, NOW};

const OLD: PepperNumber = PepperNumber(1);
const NEW: PepperNumber = PepperNumber(2);

fn pepper(number: PepperNumber) -> SealedSecret {
    SealedSecret { purpose: "pepper".into(), name: number.0.to_string(), sealed: vec![0x5e; 60] }
}

fn digest(byte: u8) -> KeyDigest {
    KeyDigest::from_bytes([byte; KeyDigest::BYTES])
}

fn moved(key: &ProvisioningKey, digest: KeyDigest) -> NewDigest<ProvisioningKeyId> {
    NewDigest { customer: key.customer_id, id: key.id, before: key.digest, pepper: NEW, digest }
}

fn counts(pepper: PepperNumber, keys: u64, api_clients: u64) -> DigestCounts {
    DigestCounts { pepper, keys, api_clients }
}

impl World {
    async fn add_pepper(&self, number: PepperNumber) {
        self.apply(vec![Change::InsertSecret(pepper(number))]).await;
    }

    async fn client(&self, customer: CustomerId, named: &str, under: PepperNumber) -> ApiClient {
        let mut client = rows::api_client(self.id(), customer, named, named);
        client.pepper = under;
        self.apply(vec![Change::InsertApiClient(client.clone())]).await;
        client
    }

    async fn stored_client(&self, client: &ApiClient) -> ApiClient {
        self.store.find_api_client_by_id(client.customer_id, client.id).await.unwrap().expect("the client is there")
    }

    async fn leads_to(&self, digest: KeyDigest) -> Option<ProvisioningKeyId> {
        self.store.find_key_by_digest(&digest).await.unwrap().map(|(_, id)| id)
    }
}

pub async fn a_digest_moves_only_as_it_was_read(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    world.add_pepper(OLD).await;
    let keys = [world.key(&tenant, Some(2)).await, world.key(&other, None).await, world.key(&tenant, None).await];
    let early = world.store.replace_digests(vec![moved(&keys[0], digest(0x31))]).await.unwrap();
    assert_eq!(early, 0, "the store has no such pepper");
    world.add_pepper(NEW).await;
    let [right, foreign, twin] = &keys;
    let feed = world.store.last_change().await.unwrap();
    let wrong = [
        NewDigest { before: digest(1), ..moved(right, digest(0xa1)) },
        NewDigest { customer: tenant.customer.id, ..moved(foreign, digest(0xa2)) },
        moved(twin, right.digest),
    ];
    assert_eq!(world.store.replace_digests(wrong.to_vec()).await.unwrap(), 0);
    let older = NewDigest { pepper: OLD, ..moved(right, digest(0xa1)) };
    assert_eq!(world.store.replace_digests(vec![older]).await.unwrap(), 0, "not to its own pepper");
    assert_eq!(world.store.last_change().await.unwrap(), feed);
    assert_eq!(world.store.count_digests().await.unwrap(), [counts(OLD, 3, 0)]);
    world.assert_sound().await;

    let good = vec![moved(twin, right.digest), moved(right, digest(0xa1)), moved(foreign, digest(0xa2))];
    assert_eq!(world.store.replace_digests(good).await.unwrap(), 2, "what another key has is left");
    let rows = world.store.list_changes(feed, 10).await.unwrap();
    let mut told: Vec<_> = rows.iter().map(|row| row.object).collect();
    told.sort_unstable();
    let mut expected = [right, foreign].map(|key| ObjectRef::Key(key.customer_id, key.id));
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(world.leads_to(digest(0xa1)).await, Some(right.id));
    assert_eq!(world.leads_to(right.digest).await, None, "a string that is free may be imported");
    let found = world.store.find_indexed_keys(tenant.customer.id, &[right.id]).await.unwrap();
    assert_eq!(found[0].digest.as_bytes(), digest(0xa1).as_bytes());
    assert_eq!(world.store.count_digests().await.unwrap(), [counts(OLD, 1, 0), counts(NEW, 2, 0)]);
    let left = world.store.list_keys_under(OLD, ProvisioningKeyId::from_raw(0), 10).await.unwrap();
    assert_eq!(left.iter().map(|found| found.key.id).collect::<Vec<_>>(), [twin.id]);
    assert_eq!((left[0].customer, &left[0].key.name), (twin.customer_id, &twin.name));
    assert_eq!(left[0].sealed_string, twin.sealed_string);
    assert!(world.store.list_keys_under(OLD, twin.id, 10).await.unwrap().is_empty());

    // No setting has changed: what was checked before is committed, and an edit begun before is none too late.
    assert!(matches!(world.enroll(&tenant, right, "device").await, EnrollmentOutcome::Committed { uses: 1, .. }));
    let mut edited = right.clone();
    edited.enabled = false;
    world.apply(vec![Change::UpdateKey(edited)]).await;
    let stored = world.stored(right).await;
    assert_eq!((stored.digest.as_bytes(), stored.pepper), (digest(0xa1).as_bytes(), NEW), "nor does it undo the move");
    assert!(!stored.enabled);
    world.assert_sound().await;
    let world = world.reopen().await;
    assert_eq!(world.stored(right).await.pepper, NEW);
}

pub async fn of_those_who_move_a_digest_at_once_one_does(world: World) {
    let tenant = world.tenant().await;
    world.add_pepper(OLD).await;
    world.add_pepper(NEW).await;
    let mut keys = Vec::new();
    for _ in 0..20 {
        keys.push(world.key(&tenant, None).await);
    }
    let mut tasks = Vec::new();
    for racer in 0..4_u8 {
        let store = std::sync::Arc::clone(&world.store);
        let digests: Vec<_> = (0..).zip(&keys).map(|(n, key)| moved(key, digest(n * 4 + racer + 1))).collect();
        tasks.push(tokio::spawn(async move { store.replace_digests(digests).await.unwrap() }));
    }
    let edited = world.change_key(&keys[0], |key| key.enabled = false).await;
    world
        .apply(vec![Change::DeleteKey { customer: edited.customer_id, id: keys[1].id, revision: None, revoke: None }])
        .await;
    let mut moved = 0;
    for task in tasks {
        moved += task.await.unwrap();
    }
    assert!((19..=20).contains(&moved), "{moved}: each once, the deleted one perhaps");
    assert!(!world.stored(&keys[0]).await.enabled);
    assert_eq!(world.store.count_digests().await.unwrap(), [counts(NEW, 19, 0)]);
    world.assert_sound().await;
}

pub async fn a_clients_digest_moves_with_its_sign_in_and_with_a_new_secret(world: World) {
    let tenant = world.tenant().await;
    world.add_pepper(OLD).await;
    world.add_pepper(NEW).await;
    let client = world.client(tenant.customer.id, "client", OLD).await;
    let to = |byte| NewDigest {
        customer: client.customer_id,
        id: client.id,
        before: client.secret_digest,
        pepper: NEW,
        digest: digest(byte),
    };
    let mut replaced = to(0xb1);
    replaced.before = digest(1);
    world.apply(vec![Change::ReplaceApiClientDigest(replaced)]).await;
    assert_eq!(world.stored_client(&client).await.pepper, OLD, "its secret was replaced meanwhile");
    world.apply(vec![Change::ReplaceApiClientDigest(to(0xb1)), Change::ReplaceApiClientDigest(to(0xb2))]).await;
    let stored = world.stored_client(&client).await;
    assert_eq!((stored.secret_digest.as_bytes(), stored.pepper), (digest(0xb1).as_bytes(), NEW));
    assert_eq!((stored.revision, stored.secret_generation), (client.revision, client.secret_generation));

    // An edit that was begun before does not put the old one back.
    world.apply(vec![Change::UpdateApiClient(ApiClient { enabled: false, ..client.clone() })]).await;
    let stored = world.stored_client(&client).await;
    assert_eq!((stored.secret_digest.as_bytes(), stored.pepper), (digest(0xb1).as_bytes(), NEW));
    let secret_digest = digest(0xb3);
    world.apply(vec![Change::UpdateApiClient(ApiClient { secret_digest, secret_generation: 1, ..stored })]).await;
    assert_eq!(world.stored_client(&client).await.secret_digest.as_bytes(), digest(0xb3).as_bytes());
}

pub async fn a_pepper_goes_when_nothing_is_under_it(world: World) {
    let tenant = world.tenant().await;
    world.add_pepper(OLD).await;
    assert_eq!(world.broken_rule(Change::InsertSecret(pepper(OLD))).await, BrokenRule::DuplicateName);
    let retire = || Change::RetirePepper { pepper: OLD, give_up: None };
    assert_eq!(world.broken_rule(retire()).await, BrokenRule::NotFound, "there is no newer one");
    world.add_pepper(NEW).await;
    let (key, client) = (world.key(&tenant, None).await, world.client(tenant.customer.id, "client", OLD).await);
    assert_eq!(world.broken_rule(retire()).await, BrokenRule::Referenced { by: "provisioning keys" });
    assert_eq!(world.store.replace_digests(vec![moved(&key, digest(0xc1))]).await.unwrap(), 1);
    assert_eq!(world.broken_rule(retire()).await, BrokenRule::Referenced { by: "API clients" });
    let under = world.store.list_api_clients_under(OLD, 10).await.unwrap();
    assert_eq!(under.iter().map(|found| found.id).collect::<Vec<_>>(), [client.id]);
    let (customer, id, before) = (client.customer_id, client.id, client.secret_digest);
    let to = NewDigest { customer, id, before, pepper: NEW, digest: digest(0xc2) };
    let feed = world.apply(vec![Change::ReplaceApiClientDigest(to)]).await;

    world.apply(vec![retire()]).await;
    assert_eq!(world.store.list_secrets("pepper").await.unwrap(), [pepper(NEW)]);
    let rows = world.store.list_changes(feed, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.object).collect::<Vec<_>>(), [ObjectRef::Service]);
    assert_eq!(world.broken_rule(retire()).await, BrokenRule::NotFound, "it went before");
    let newest = Change::RetirePepper { pepper: NEW, give_up: Some((NOW, None)) };
    assert_eq!(world.broken_rule(newest).await, BrokenRule::NotFound);

    // Nobody who has not heard of it makes a digest under it any more.
    let late = rows::key(world.id(), &tenant.group, "late", None);
    assert_eq!(world.broken_rule(Change::InsertKey(late)).await, BrokenRule::UnknownPepper);
    let mut late = rows::api_client(world.id(), tenant.customer.id, "late", "late");
    late.pepper = OLD;
    assert_eq!(world.broken_rule(Change::InsertApiClient(late)).await, BrokenRule::UnknownPepper);
    let secret = ApiClient { secret_generation: 1, pepper: OLD, ..world.stored_client(&client).await };
    assert_eq!(world.broken_rule(Change::UpdateApiClient(secret)).await, BrokenRule::UnknownPepper);
    assert_eq!(world.store.count_digests().await.unwrap(), [counts(NEW, 1, 1)]);
    world.assert_sound().await;
}

pub async fn what_is_given_up_with_a_pepper_is_refused_from_then_on(world: World) {
    let tenant = world.tenant().await;
    world.add_pepper(OLD).await;
    world.add_pepper(NEW).await;
    let [left, kept] = [world.key(&tenant, Some(5)).await, world.key(&tenant, None).await];
    let client = world.client(tenant.customer.id, "left", OLD).await;
    let stays = world.client(tenant.customer.id, "stays", NEW).await;
    world.store.replace_digests(vec![moved(&kept, digest(0xd1))]).await.unwrap();
    let component = world.enrolled(&tenant, &left, "before").await;

    let later = NOW.saturating_add(std::time::Duration::from_secs(60));
    let give_up = Change::RetirePepper { pepper: OLD, give_up: Some((later, Some(9))) };
    let feed = world.store.last_change().await.unwrap();
    let event = world.event(CustomerId::SERVICE, "");
    world.store.commit_changes(vec![give_up], vec![event], &world.audit_key).await.unwrap();
    let told = world.store.list_changes(feed, 10).await.unwrap();
    for object in [
        ObjectRef::Key(left.customer_id, left.id),
        ObjectRef::ApiClient(client.customer_id, client.id),
        ObjectRef::Service,
    ] {
        assert!(told.iter().any(|row| row.object == object), "{object:?} in {told:?}");
    }
    assert_eq!(told.len(), 3);
    let audit = world.store.list_audit(CustomerId::SERVICE, 0, 10).await.unwrap();
    let after: serde_json::Value = serde_json::from_str(audit[0].event.after.as_deref().unwrap()).unwrap();
    assert_eq!(after, serde_json::json!({ "keys": 1, "apiClients": 1 }));

    // A node that has not heard of it yet has checked the key against what it was.
    assert_eq!(world.enroll(&tenant, &left, "after").await, EnrollmentOutcome::Outdated);
    let stored = world.stored(&left).await;
    assert_eq!((stored.pepper, stored.state(NOW)), (PepperNumber::GONE, KeyState::Disabled));
    assert_eq!((stored.modified_at, stored.modified_by), (later, Some(9)));
    assert_eq!((stored.revision, stored.usage.uses), (left.revision.next(), 1));
    assert!(world.stored(&kept).await.enabled);
    let found = world.stored_client(&client).await;
    assert_eq!((found.pepper, found.secret_generation), (PepperNumber::GONE, client.secret_generation + 1));
    assert_eq!(world.stored_client(&stays).await.secret_generation, stays.secret_generation);
    // What was given up does not come back by who notes a use, and what came of it stays.
    assert_eq!(world.store.replace_digests(vec![moved(&left, digest(0xd2))]).await.unwrap(), 0);
    assert_eq!(world.component(left.customer_id, component.id).await.revision, component.revision);
    assert_eq!(world.store.count_digests().await.unwrap(), [counts(PepperNumber::GONE, 1, 1), counts(NEW, 1, 1)]);
    world.assert_sound().await;

    // A new secret is under a pepper that is there.
    let (secret_digest, pepper) = (digest(0xd3), NEW);
    world
        .apply(vec![Change::UpdateApiClient(ApiClient { secret_digest, pepper, secret_generation: 2, ..found })])
        .await;
    assert_eq!(world.stored_client(&client).await.pepper, NEW);
    let customer = left.customer_id;
    world.apply(vec![Change::DeleteKey { customer, id: left.id, revision: None, revoke: None }]).await;
    world.assert_sound().await;
}

pub async fn a_string_is_new_only_under_every_pepper(world: World) {
    let tenant = world.tenant().await;
    let (old, new) = ((OLD, PepperBytes::new([1; 32])), (NEW, PepperBytes::new([2; 32])));
    let (before, during) = (Peppers::new(std::slice::from_ref(&old)), Peppers::new(&[old, new]));
    world.add_pepper(OLD).await;
    let mut key = rows::key(world.id(), &tenant.group, "first", None);
    key.digest = before.digest(b"known").1;
    world.apply(vec![Change::InsertKey(key.clone())]).await;
    let expect = |peppers: &Peppers, text: &str| Change::ExpectNewString(peppers.digests(text.as_bytes()));
    let feed = world.apply(vec![expect(&before, "new")]).await;
    assert_eq!(world.store.last_change().await.unwrap(), feed, "nothing is written");
    for peppers in [&before, &during] {
        assert_eq!(world.broken_rule(expect(peppers, "known")).await, BrokenRule::DuplicateDigest);
    }
    world.add_pepper(NEW).await;
    assert_eq!(world.broken_rule(expect(&before, "new")).await, BrokenRule::UnknownPepper, "it may have moved");
    world.apply(vec![expect(&during, "new")]).await;
    world.store.replace_digests(vec![moved(&key, during.digest(b"known").1)]).await.unwrap();
    assert_eq!(world.broken_rule(expect(&during, "known")).await, BrokenRule::DuplicateDigest);

    // Whoever checked before it moved is refused when it comes to write.
    let twin = rows::key(world.id(), &tenant.group, "twin", None);
    let refused = world.try_apply(vec![expect(&during, "known"), Change::InsertKey(twin)]).await;
    assert!(matches!(refused, Err(ChangeError::Rule { position: 0, rule: BrokenRule::DuplicateDigest })));
}
