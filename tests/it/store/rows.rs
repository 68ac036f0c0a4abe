//! Every field of every row comes back as it was written, and to its own customer only.

use std::num::NonZeroU32;
use std::time::Duration;

use muster::domain::certificate::SigningPurpose;
use muster::domain::key::{LastUse, ManagedBy};
use muster::domain::{AddressList, Description, KeyVersion, Kind, ProvisioningKey, Revision, Role, SigningCertificate};
use muster::id::{ApiClientId, CustomerId, Id, ProvisioningKeyId};
use muster::store::{BrokenRule, Change, ChangeError, ObjectRef, SealedSecret};

use super::world::World;
use crate::support::rows::{self, NOW, name};

/// Rows without `PartialEq` hold digests or sealed secrets; tests may look at them all the same.
fn assert_same_key(left: &ProvisioningKey, right: &ProvisioningKey) {
    assert_eq!((left.id, left.customer_id, left.kind), (right.id, right.customer_id, right.kind));
    assert_eq!((left.group_id, left.signing_certificate_id), (right.group_id, right.signing_certificate_id));
    assert_eq!((&left.name, &left.description), (&right.name, &right.description));
    assert_eq!((left.maximum, left.enabled), (right.maximum, right.enabled));
    assert_eq!((left.allow_re_enrollment, left.expires_at), (right.allow_re_enrollment, right.expires_at));
    assert_eq!((&left.addresses, left.version), (&right.addresses, right.version));
    assert_eq!((&left.hint, &left.key_id), (&right.hint, &right.key_id));
    assert_eq!((left.digest.as_bytes(), left.pepper), (right.digest.as_bytes(), right.pepper));
    assert_eq!((&left.sealed_string, &left.managed_by), (&right.sealed_string, &right.managed_by));
    assert_eq!((left.successor_id, left.usage), (right.successor_id, right.usage));
    assert_eq!(left.ui_config, right.ui_config);
    assert_eq!((left.created_at, left.created_by), (right.created_at, right.created_by));
    assert_eq!((left.modified_at, left.modified_by), (right.modified_at, right.modified_by));
    assert_eq!(left.revision, right.revision);
}

fn assert_same_signer(left: &SigningCertificate, right: &SigningCertificate) {
    assert_eq!((left.id, left.customer_id), (right.id, right.customer_id));
    assert_eq!((&left.name, &left.description), (&right.name, &right.description));
    assert_eq!((&left.certificate, &left.chain), (&right.certificate, &right.chain));
    assert_eq!(left.public_key_hash, right.public_key_hash);
    assert_eq!((&left.sealed_private_key, &left.csr), (&right.sealed_private_key, &right.csr));
    assert_eq!((left.parent_id, left.allow_signing), (right.parent_id, right.allow_signing));
    assert_eq!((left.lifetime_seconds, left.purpose), (right.lifetime_seconds, right.purpose));
    assert_eq!((left.not_before, left.not_after), (right.not_before, right.not_after));
    assert_eq!((left.created_at, left.modified_at), (right.created_at, right.modified_at));
    assert_eq!((left.modified_by, left.revision), (right.modified_by, right.revision));
}

pub async fn every_row_comes_back_as_it_was_written(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let later = NOW.saturating_add(Duration::from_secs(90));

    assert_eq!(world.store.find_customer(customer).await.unwrap().unwrap(), tenant.customer);
    let mut changed = tenant.customer.clone();
    changed.name = name("Renamed");
    changed.enabled = false;
    changed.modified_at = later;
    world.apply(vec![Change::UpdateCustomer(changed.clone())]).await;
    changed.revision = Revision(2);
    assert_eq!(world.store.find_customer(customer).await.unwrap().unwrap(), changed);

    let signer = world.store.find_signing_certificate(customer, tenant.signer.id).await.unwrap().unwrap();
    assert_same_signer(&signer, &tenant.signer);
    let mut pending = rows::signing_certificate(world.id(), customer, "Pending");
    pending.certificate = None;
    pending.chain = vec![];
    pending.sealed_private_key = None;
    pending.csr = Some(vec![0x30; 300]);
    pending.allow_signing = false;
    pending.purpose = SigningPurpose::None;
    pending.modified_by = None;
    world.apply(vec![Change::InsertSigningCertificate(pending.clone())]).await;
    pending.certificate = Some(vec![0x30; 700]);
    pending.chain = vec![vec![0x30; 650]];
    pending.parent_id = Some(tenant.signer.id);
    pending.purpose = SigningPurpose::IsolationClient;
    pending.not_after = later;
    world.apply(vec![Change::UpdateSigningCertificate(pending.clone())]).await;
    pending.revision = Revision(2);
    let stored = world.store.find_signing_certificate(customer, pending.id).await.unwrap().unwrap();
    assert_same_signer(&stored, &pending);

    let mut group = tenant.group.clone();
    group.name = name("Head office");
    group.description = Description::default();
    group.enabled = false;
    group.addresses = AddressList::default();
    group.attributes.insert("upgradeDay".into(), serde_json::json!({ "day": ["MONDAY", null, 1.5] }));
    group.modified_by = Some(i64::MAX as u64);
    world.apply(vec![Change::UpdateGroup(group.clone())]).await;
    group.revision = Revision(2);
    assert_eq!(world.store.find_group(customer, group.id).await.unwrap().unwrap(), group);

    let mut key = rows::key(world.id(), &tenant.group, "key", Some(7));
    world.apply(vec![Change::InsertKey(key.clone())]).await;
    assert_same_key(&world.stored(&key).await, &key);
    key.name = name("Key two");
    key.description = Description::new("ümläut\ttab").unwrap();
    key.maximum = NonZeroU32::new(i32::MAX as u32);
    key.enabled = false;
    key.allow_re_enrollment = true;
    key.expires_at = Some(later);
    key.addresses = AddressList::parse(&["198.51.100.7"]).unwrap();
    key.sealed_string = None;
    key.managed_by = Some(ManagedBy { client_id: ApiClientId::from_raw(3), label: name("Terraform") });
    key.successor_id = Some(ProvisioningKeyId::from_raw(9));
    key.ui_config = Some(r#"{"colour":"blau"}"#.into());
    key.modified_at = later;
    key.modified_by = None;
    world.apply(vec![Change::UpdateKey(key.clone())]).await;
    key.revision = Revision(2);
    assert_same_key(&world.stored(&key).await, &key);

    for (version, created_by) in [(KeyVersion::Bare, None), (KeyVersion::Imported, Some(1))] {
        let id = world.id();
        let mut key = rows::key(id, &tenant.group, &format!("key {id}"), None);
        key.version = version;
        key.created_by = created_by;
        key.ui_config = created_by.map(|by| format!("made by {by}"));
        world.apply(vec![Change::InsertKey(key.clone())]).await;
        let mut seen = tenant.clone();
        seen.customer.revision = Revision(2);
        seen.group.revision = Revision(2);
        let component = world.enrolled(&seen, &key, "d").await;
        let stored = world.stored(&key).await;
        assert_eq!(stored.usage.last_used, Some(LastUse { at: NOW, by: component.id }));
        key.usage = stored.usage;
        assert_same_key(&stored, &key);
    }

    for kind in Kind::ALL {
        let group = rows::group(world.id(), &tenant.signer, kind, "One of each kind");
        world.apply(vec![Change::InsertGroup(group.clone())]).await;
        assert_eq!(world.store.find_group(customer, group.id).await.unwrap().unwrap(), group);
    }

    let mut owner = rows::administrator(world.id(), CustomerId::SERVICE, "Root");
    owner.role = Role::Owner;
    let client = rows::api_client(world.id(), customer, "Terraform", "tf-1");
    world.apply(vec![Change::InsertAdministrator(owner.clone()), Change::InsertApiClient(client.clone())]).await;
    let found = world.store.find_administrator("rOOT").await.unwrap().unwrap();
    assert_eq!((found.id, found.customer_id, found.username), (owner.id, owner.customer_id, owner.username));
    assert_eq!((found.password_hash, found.role), (owner.password_hash, owner.role));
    assert_eq!((found.enabled, found.created_at, found.revision), (true, NOW, Revision::FIRST));
    let found = world.store.find_api_client("tf-1").await.unwrap().unwrap();
    assert_eq!((found.id, found.customer_id, found.name), (client.id, client.customer_id, client.name));
    assert_eq!((found.secret_digest.as_bytes(), found.pepper), (client.secret_digest.as_bytes(), client.pepper));
    assert_eq!((found.role, found.enabled, found.managing), (client.role, true, client.managing));
    assert_eq!(world.store.find_administrator("nobody").await.unwrap().map(|row| row.id), None);
    assert_eq!(world.store.find_api_client("TF-1").await.unwrap().map(|row| row.id), None, "ids have a case");
}

pub async fn rows_of_other_customers_are_not_found(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let stranger = other.customer.id;

    assert!(world.store.find_group(stranger, tenant.group.id).await.unwrap().is_none());
    assert!(world.store.find_signing_certificate(stranger, tenant.signer.id).await.unwrap().is_none());
    assert!(world.store.find_key(stranger, key.id).await.unwrap().is_none());
    assert!(world.store.find_indexed_keys(stranger, &[key.id]).await.unwrap().is_empty());
    assert!(world.store.find_component(stranger, component.id).await.unwrap().is_none());
    assert!(world.store.find_certificate(stranger, component.id, component.current_serial).await.unwrap().is_none());
    let known = world.store.find_known_component(stranger, key.id, &component.fingerprint, NOW).await.unwrap();
    assert_eq!(known, None);
    let ledger = world.store.list_ledger(stranger, key.id, muster::store::PageRequest::first(5)).await.unwrap();
    assert_eq!(ledger.total, 0);
}

pub async fn a_setting_is_inserted_once(world: World) {
    let insert = |value: &str| Change::InsertSetting { name: "initialized_at".into(), value: value.into() };
    world.apply(vec![insert("once")]).await;
    let cloud = Change::PutSetting { name: "cloud".into(), value: "muster.example".into() };
    for value in ["once", "twice"] {
        let refused = world.try_apply(vec![cloud.clone(), insert(value)]).await;
        let is_refused = matches!(refused, Err(ChangeError::Rule { position: 1, rule: BrokenRule::DuplicateName }));
        assert!(is_refused, "{refused:?}");
    }
    assert_eq!(world.store.find_setting("initialized_at").await.unwrap().as_deref(), Some("once"));
    assert_eq!(world.store.find_setting("cloud").await.unwrap(), None, "nothing of it was done");
}

pub async fn settings_and_secrets_are_replaced(world: World) {
    assert_eq!(world.store.find_setting("cloud").await.unwrap(), None);
    let secret = |purpose: &str, name: &str, byte| SealedSecret {
        purpose: purpose.into(),
        name: name.into(),
        sealed: vec![byte; 40],
    };
    let put = |name: &str, value: &str| Change::PutSetting { name: name.into(), value: value.into() };
    world
        .apply(vec![
            put("cloud", "localhost:8443"),
            put("cloud", "muster.example"),
            Change::PutSecret(secret("pepper", "2", 1)),
            Change::PutSecret(secret("pepper", "1", 2)),
            Change::PutSecret(secret("audit-key", "1", 3)),
            Change::PutSecret(secret("pepper", "2", 4)),
        ])
        .await;
    assert_eq!(world.store.find_setting("cloud").await.unwrap().as_deref(), Some("muster.example"));
    assert_eq!(world.store.list_secrets("pepper").await.unwrap(), [secret("pepper", "1", 2), secret("pepper", "2", 4)]);
    assert_eq!(world.store.list_secrets("token-key").await.unwrap(), []);
}

pub async fn a_secret_is_replaced_or_deleted_only_as_it_was_read(world: World) {
    let secret =
        |name: &str, byte| SealedSecret { purpose: "anchor".into(), name: name.into(), sealed: vec![byte; 40] };
    let replace = |to, before| Change::ReplaceSecret { secret: secret("key", to), before: vec![before; 40] };
    world.apply(vec![Change::PutSecret(secret("key", 1)), Change::PutSecret(secret("cross", 1))]).await;
    for stale in [
        replace(3, 2),
        Change::ReplaceSecret { secret: secret("other", 3), before: vec![1; 40] },
        Change::DeleteSecret(secret("cross", 2)),
        Change::DeleteSecret(secret("other", 1)),
    ] {
        assert_eq!(world.broken_rule(stale).await, BrokenRule::NotFound);
    }
    let before = world.store.last_change().await.unwrap();
    world.apply(vec![replace(2, 1), Change::DeleteSecret(secret("cross", 1))]).await;
    assert_eq!(world.store.list_secrets("anchor").await.unwrap(), [secret("key", 2)]);
    let feed = world.store.list_changes(before, 10).await.unwrap();
    assert_eq!(feed.iter().map(|row| row.object).collect::<Vec<_>>(), [ObjectRef::Service]);
}
