//! Administrative transactions: all or nothing, and the rules they keep.

use muster::domain::audit::AuditEvent;
use muster::domain::key::ManagedBy;
use muster::domain::{CertificateStatus, ComponentState, Kind, ProvisioningKey, Revision, RevocationReason};
use muster::id::{ApiClientId, ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::secret::pepper::PepperNumber;
use muster::store::{
    BrokenRule, Change, ChangeError, EnrollmentOutcome, ListQuery, ObjectRef, SigningCertificateReferences,
    SigningCertificateReplacement,
};

use super::world::{World, committed};
use crate::support::rows::{self, NOW, name};

pub async fn a_broken_rule_undoes_all_and_names_its_place(world: World) {
    let tenant = world.tenant().await;
    let group = rows::group(world.id(), &tenant.signer, Kind::Machine, "Branch");
    let key = rows::key(world.id(), &group, "branch key", None);
    let before = world.store.last_change().await.unwrap();
    let event = world.event(tenant.customer.id, "1");

    let broken = rows::key(world.id(), &tenant.group, "BRANCH key", None);
    let result = world
        .store
        .commit_changes(
            vec![
                Change::InsertGroup(group.clone()),
                Change::InsertKey(key.clone()),
                Change::InsertKey(broken),
                Change::DeleteKey {
                    customer: tenant.customer.id,
                    id: ProvisioningKeyId::from_raw(1),
                    revision: None,
                    revoke: None,
                },
            ],
            vec![event],
            &world.audit_key,
        )
        .await;

    let Err(ChangeError::Rule { position: 2, rule: BrokenRule::DuplicateName }) = result else {
        panic!("{result:?}");
    };
    assert_eq!(world.store.find_group(tenant.customer.id, group.id).await.unwrap(), None);
    assert!(world.store.find_key(tenant.customer.id, key.id).await.unwrap().is_none());
    assert_eq!(world.store.last_change().await.unwrap(), before);
    assert_eq!(world.store.list_audit(tenant.customer.id, 0, 10).await.unwrap(), []);
    world.apply(vec![Change::InsertGroup(group), Change::InsertKey(key)]).await;
    world.assert_sound().await;
}

pub async fn an_update_based_on_an_old_revision_is_refused(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let updates = [
        Change::UpdateCustomer(tenant.customer.clone()),
        Change::UpdateGroup(tenant.group.clone()),
        Change::UpdateSigningCertificate(tenant.signer.clone()),
        Change::UpdateKey(world.stored(&key).await),
        Change::UpdateComponent(component.clone()),
    ];
    for update in updates {
        world.apply(vec![update.clone()]).await;
        assert_eq!(world.broken_rule(update).await, BrokenRule::Outdated { found: Revision(2) });
    }
    assert_eq!(world.stored(&key).await.revision, Revision(2));
    assert_eq!(world.component(key.customer_id, component.id).await.revision, Revision(2));
}

pub async fn a_deletion_based_on_an_old_revision_is_refused(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let customer = tenant.customer.id;
    let delete_key = |revision| Change::DeleteKey { customer, id: key.id, revision, revoke: None };
    let delete_group = |revision| Change::DeleteGroup { customer, id: tenant.group.id, revision };
    world.apply(vec![Change::UpdateKey(world.stored(&key).await), Change::UpdateGroup(tenant.group.clone())]).await;

    let signer = rows::signing_certificate(world.id(), customer, "Unused");
    let delete_signer = |revision| Change::DeleteSigningCertificate { customer, id: signer.id, revision, at: NOW };
    world.apply(vec![Change::InsertSigningCertificate(signer.clone())]).await;
    world.apply(vec![Change::UpdateSigningCertificate(signer.clone())]).await;

    let outdated = BrokenRule::Outdated { found: Revision(2) };
    assert_eq!(world.broken_rule(delete_signer(Some(Revision::FIRST))).await, outdated);
    assert_eq!(world.broken_rule(delete_key(Some(Revision::FIRST))).await, outdated);
    assert_eq!(world.broken_rule(delete_group(Some(Revision::FIRST))).await, outdated, "told before what refers to it");
    assert_eq!(world.stored(&key).await.revision, Revision(2), "nothing was deleted");

    world.apply(vec![delete_key(Some(Revision(2)))]).await;
    world.apply(vec![delete_group(Some(Revision(2)))]).await;
    world.apply(vec![delete_signer(Some(Revision(2)))]).await;
    assert_eq!(world.broken_rule(delete_signer(None)).await, BrokenRule::NotFound);
    assert_eq!(world.broken_rule(delete_key(Some(Revision(2)))).await, BrokenRule::NotFound);
    assert_eq!(world.broken_rule(delete_group(None)).await, BrokenRule::NotFound);
}

pub async fn names_are_unique_without_regard_to_case(world: World) {
    let tenant = world.tenant().await;
    let other = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let shouted = key.name.as_str().to_ascii_uppercase();
    let customer_shouted = tenant.customer.name.as_str().to_ascii_uppercase();

    let taken = [
        Change::InsertCustomer(rows::customer(world.id(), &customer_shouted)),
        Change::InsertGroup(rows::group(world.id(), &tenant.signer, Kind::Machine, "hq")),
        Change::InsertSigningCertificate(rows::signing_certificate(world.id(), tenant.customer.id, "CLIENT")),
        Change::InsertKey(rows::key(world.id(), &tenant.group, &shouted, None)),
    ];
    for change in taken {
        assert_eq!(world.broken_rule(change).await, BrokenRule::DuplicateName);
    }

    // Another kind, another customer, and its own row are in nobody's way.
    let edges = rows::group(world.id(), &tenant.signer, Kind::ServiceEdge, "HQ");
    world.apply(vec![Change::InsertGroup(edges.clone())]).await;
    world.apply(vec![Change::InsertKey(rows::key(world.id(), &edges, key.name.as_str(), Some(1)))]).await;
    world.apply(vec![Change::InsertKey(rows::key(world.id(), &other.group, key.name.as_str(), None))]).await;
    let renamed = world.change_key(&key, |key| key.name = name(&shouted)).await;
    assert_eq!(renamed.name.as_str(), shouted);

    let mut second = world.key(&tenant, None).await;
    second.name = key.name.clone();
    assert_eq!(world.broken_rule(Change::UpdateKey(second)).await, BrokenRule::DuplicateName);

    let (owner, client) = (
        rows::administrator(world.id(), CustomerId::SERVICE, "root"),
        rows::api_client(world.id(), tenant.customer.id, "Terraform", "tf-1"),
    );
    world.apply(vec![Change::InsertAdministrator(owner), Change::InsertApiClient(client)]).await;
    let taken = [
        Change::InsertAdministrator(rows::administrator(world.id(), other.customer.id, "Root")),
        Change::InsertApiClient(rows::api_client(world.id(), tenant.customer.id, "TERRAFORM", "tf-2")),
        Change::InsertApiClient(rows::api_client(world.id(), other.customer.id, "Terraform", "tf-1")),
    ];
    for change in taken {
        assert_eq!(world.broken_rule(change).await, BrokenRule::DuplicateName);
    }
}

pub async fn two_keys_never_share_a_digest(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let key = world.key(&tenant, None).await;
    let mut same = rows::key(world.id(), &other.group, "another", None);
    same.digest = key.digest;
    assert_eq!(world.broken_rule(Change::InsertKey(same)).await, BrokenRule::DuplicateDigest);

    // No edit changes a digest, so none takes another's.
    let second = world.key(&other, None).await;
    let mut edited = second.clone();
    (edited.digest, edited.pepper) = (key.digest, PepperNumber(7));
    world.apply(vec![Change::UpdateKey(edited)]).await;
    let stored = world.stored(&second).await;
    assert_eq!((stored.digest.as_bytes(), stored.pepper), (second.digest.as_bytes(), second.pepper));
    world.assert_sound().await;
}

pub async fn two_signing_certificates_never_share_a_key_pair(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let mut same = rows::signing_certificate(world.id(), other.customer.id, "Copied");
    let own = std::mem::replace(&mut same.public_key_hash, tenant.signer.public_key_hash);
    assert_eq!(world.broken_rule(Change::InsertSigningCertificate(same.clone())).await, BrokenRule::DuplicateKeyPair);
    same.public_key_hash = own;
    world.apply(vec![Change::InsertSigningCertificate(same.clone())]).await;
    same.public_key_hash = tenant.signer.public_key_hash;
    assert_eq!(world.broken_rule(Change::UpdateSigningCertificate(same.clone())).await, BrokenRule::DuplicateKeyPair);

    // Its own is in nobody's way, and one that went leaves it free.
    world.apply(vec![Change::UpdateSigningCertificate(tenant.signer.clone())]).await;
    let unused = rows::signing_certificate(world.id(), tenant.customer.id, "Unused");
    let (customer, id) = (tenant.customer.id, unused.id);
    world.apply(vec![Change::InsertSigningCertificate(unused.clone())]).await;
    world.apply(vec![Change::DeleteSigningCertificate { customer, id, revision: None, at: NOW }]).await;
    same.public_key_hash = unused.public_key_hash;
    world.apply(vec![Change::UpdateSigningCertificate(same)]).await;
}

pub async fn a_signing_certificate_that_something_refers_to_is_not_deleted(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let signer = rows::signing_certificate(world.id(), customer, "Mine");
    let mut below = rows::signing_certificate(world.id(), customer, "Below");
    below.parent_id = Some(signer.id);
    let group = rows::group(world.id(), &signer, Kind::ServiceEdge, "Edges");
    let mut key = rows::key(world.id(), &tenant.group, "key", None);
    key.signing_certificate_id = signer.id;
    world
        .apply(vec![
            Change::InsertSigningCertificate(signer.clone()),
            Change::InsertSigningCertificate(below.clone()),
            Change::InsertGroup(group.clone()),
            Change::InsertKey(key.clone()),
        ])
        .await;
    let delete = |id| Change::DeleteSigningCertificate { customer, id, revision: None, at: NOW };
    let references = async || world.store.find_signing_certificate_references(customer, signer.id).await.unwrap();
    let all = SigningCertificateReferences { keys: 1, groups: 1, below: 1, signed_until: None };
    assert_eq!(references().await, Some(all));

    for (by, without) in [
        ("provisioning keys", Change::DeleteKey { customer, id: key.id, revision: None, revoke: None }),
        ("groups", Change::DeleteGroup { customer, id: group.id, revision: None }),
        ("signing certificates below it", delete(below.id)),
    ] {
        assert_eq!(world.broken_rule(delete(signer.id)).await, BrokenRule::Referenced { by });
        world.apply(vec![without]).await;
    }
    assert_eq!(references().await, Some(SigningCertificateReferences::default()));
    world.apply(vec![delete(signer.id)]).await;
    assert_eq!(references().await, None);
    assert!(world.store.find_signing_certificate(customer, signer.id).await.unwrap().is_none());
}

pub async fn a_replaced_signing_certificate_is_nobodys_any_more(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let customer = tenant.customer.id;
    let (one, successor) = (tenant.signer.clone(), rows::signing_certificate(world.id(), customer, "Successor"));
    let other = rows::signing_certificate(world.id(), customer, "Other");
    world
        .apply(vec![
            Change::InsertSigningCertificate(successor.clone()),
            Change::InsertSigningCertificate(other.clone()),
        ])
        .await;
    let (first, second) = (world.key(&tenant, Some(5)).await, world.key(&tenant, None).await);
    let mut unrelated = rows::key(world.id(), &tenant.group, "unrelated", None);
    unrelated.signing_certificate_id = other.id;
    world.apply(vec![Change::InsertKey(unrelated.clone())]).await;
    let foreign = world.key(&stranger, None).await;
    let component = world.enrolled(&tenant, &first, "d").await;
    let underway = world.commit(&tenant, &second, "underway");

    let replacement =
        SigningCertificateReplacement { customer, from: one.id, to: successor.id, at: NOW, by: Some(7), client: None };
    for to in [SigningCertificateId::from_raw(1), stranger.signer.id] {
        let unknown = Change::ReplaceSigningCertificate(SigningCertificateReplacement { to, ..replacement });
        assert_eq!(world.broken_rule(unknown).await, BrokenRule::UnknownReference { what: "signing certificate" });
    }
    let before = world.store.last_change().await.unwrap();
    let event = AuditEvent { after: Some("{\"replacedBy\":\"x\"}".to_owned()), ..world.event(customer, "1") };
    let change = Change::ReplaceSigningCertificate(replacement);
    world.store.commit_changes(vec![change.clone()], vec![event], &world.audit_key).await.unwrap();

    for key in [&first, &second] {
        let found = world.stored(key).await;
        assert_eq!((found.signing_certificate_id, found.revision), (successor.id, Revision(2)));
        assert_eq!((found.modified_at, found.modified_by), (NOW, Some(7)));
    }
    let group = world.store.find_group(customer, tenant.group.id).await.unwrap().unwrap();
    assert_eq!((group.signing_certificate_id, group.revision), (successor.id, Revision(2)));
    assert_eq!(world.stored(&unrelated).await.signing_certificate_id, other.id);
    assert_eq!(world.stored(&foreign).await.revision, Revision::FIRST);
    let certificate = world.certificate(customer, component.id, component.current_serial).await;
    assert_eq!(certificate.signing_certificate_id, one.id, "what it signed stays");
    let feed = world.store.list_changes(before, 10).await.unwrap();
    let mut announced: Vec<_> = feed.iter().map(|row| row.object).collect();
    announced.sort_by_key(|object| matches!(object, ObjectRef::Group(..)));
    let key = |key: &ProvisioningKey| ObjectRef::Key(customer, key.id);
    assert!(announced == [key(&first), key(&second), ObjectRef::Group(customer, tenant.group.id)], "{announced:?}");
    let audit = world.store.list_audit(customer, 0, 10).await.unwrap();
    let after: serde_json::Value = serde_json::from_str(audit[0].event.after.as_deref().unwrap()).unwrap();
    assert_eq!(after, serde_json::json!({ "replacedBy": "x", "keys": 2, "groups": 1 }));
    assert_eq!(world.store.commit_enrollment(underway).await.unwrap(), EnrollmentOutcome::Outdated);

    world.apply(vec![change]).await;
    assert_eq!(world.stored(&first).await.revision, Revision(2), "there is nothing left to be replaced");
    world.assert_sound().await;
}

pub async fn a_signing_certificate_of_a_key_managed_by_others_is_not_replaced(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let (free, managed) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let manager = ApiClientId::from_raw(7);
    world
        .change_key(&managed, |key| key.managed_by = Some(ManagedBy { client_id: manager, label: name("Terraform") }))
        .await;
    let successor = rows::signing_certificate(world.id(), customer, "Successor");
    world.apply(vec![Change::InsertSigningCertificate(successor.clone())]).await;
    let replace = |client| {
        let (from, to) = (tenant.signer.id, successor.id);
        let replacement = SigningCertificateReplacement { customer, from, to, at: NOW, by: None, client };
        Change::ReplaceSigningCertificate(replacement)
    };
    for client in [None, Some(ApiClientId::from_raw(8))] {
        assert_eq!(world.broken_rule(replace(client)).await, BrokenRule::Managed { label: name("Terraform") });
    }
    assert_eq!(world.stored(&free).await.signing_certificate_id, tenant.signer.id, "all or none");
    world.apply(vec![replace(Some(manager))]).await;
    assert_eq!(world.stored(&managed).await.signing_certificate_id, successor.id);
    world.assert_sound().await;
}

pub async fn a_signing_certificate_stays_until_what_it_signed_has_ended(world: World) {
    let tenant = world.tenant().await;
    let (customer, id) = (tenant.customer.id, tenant.signer.id);
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let not_after = world.certificate(customer, component.id, component.current_serial).await.not_after;
    // Also when everything that came of it is gone: the revoked certificate must stay on the CRL.
    world
        .apply(vec![
            Change::DeleteComponent { customer, id: component.id, revision: None, at: NOW, release_use: false },
            Change::DeleteKey { customer, id: key.id, revision: None, revoke: None },
            Change::DeleteGroup { customer, id: tenant.group.id, revision: None },
        ])
        .await;

    let day = std::time::Duration::from_secs(86_400);
    let until = not_after.saturating_add(day);
    let delete = |at| Change::DeleteSigningCertificate { customer, id, revision: None, at };
    let refused = BrokenRule::Referenced { by: "component certificates that have not ended" };
    for at in [NOW, not_after, until.saturating_sub(std::time::Duration::from_secs(1))] {
        assert_eq!(world.broken_rule(delete(at)).await, refused, "{at}");
    }
    let references = world.store.find_signing_certificate_references(customer, id).await.unwrap();
    assert_eq!(references, Some(SigningCertificateReferences { signed_until: Some(until), ..Default::default() }));
    world.apply(vec![delete(until)]).await;
}

pub async fn unknown_references_are_refused(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let key = rows::key(world.id(), &tenant.group, "key", None);
    let edges = rows::group(world.id(), &tenant.signer, Kind::ServiceEdge, "Edges");
    world.apply(vec![Change::InsertGroup(edges.clone())]).await;

    let mut group_of_another_customer = key.clone();
    group_of_another_customer.group_id = other.group.id;
    let mut group_of_another_kind = key.clone();
    group_of_another_kind.group_id = edges.id;
    let mut signer_of_another_customer = key.clone();
    signer_of_another_customer.signing_certificate_id = other.signer.id;
    let mut group_with_unknown_signer = rows::group(world.id(), &tenant.signer, Kind::Machine, "Lost");
    group_with_unknown_signer.signing_certificate_id = SigningCertificateId::from_raw(1);
    let mut orphan = rows::signing_certificate(world.id(), tenant.customer.id, "Orphan");
    orphan.parent_id = Some(other.signer.id);
    let nowhere = CustomerId::from_raw(1);
    let unknown = |what| BrokenRule::UnknownReference { what };

    let expected = [
        (Change::InsertKey(group_of_another_customer), unknown("group")),
        (Change::InsertKey(group_of_another_kind), unknown("group")),
        (Change::InsertKey(signer_of_another_customer), unknown("signing certificate")),
        (Change::InsertGroup(group_with_unknown_signer), unknown("signing certificate")),
        (Change::InsertSigningCertificate(orphan), unknown("signing certificate")),
        (Change::InsertSigningCertificate(rows::signing_certificate(world.id(), nowhere, "Root")), unknown("customer")),
        (Change::InsertAdministrator(rows::administrator(world.id(), nowhere, "eve")), unknown("customer")),
        (Change::InsertApiClient(rows::api_client(world.id(), nowhere, "eve", "eve")), unknown("customer")),
    ];
    for (change, rule) in expected {
        assert_eq!(world.broken_rule(change).await, rule);
    }
    let stored = {
        world.apply(vec![Change::InsertKey(key.clone())]).await;
        let mut stored = world.stored(&key).await;
        stored.signing_certificate_id = other.signer.id;
        stored
    };
    assert_eq!(world.broken_rule(Change::UpdateKey(stored)).await, unknown("signing certificate"));
}

pub async fn a_group_with_keys_is_not_deleted(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let customer = tenant.customer.id;
    let delete_group = Change::DeleteGroup { customer, id: tenant.group.id, revision: None };

    let rule = world.broken_rule(delete_group.clone()).await;
    assert_eq!(rule, BrokenRule::Referenced { by: "provisioning keys" });

    // Together in one transaction they may go.
    world
        .apply(vec![Change::DeleteKey { customer, id: key.id, revision: None, revoke: None }, delete_group.clone()])
        .await;
    assert_eq!(world.store.find_group(customer, tenant.group.id).await.unwrap(), None);
    assert_eq!(world.broken_rule(delete_group).await, BrokenRule::NotFound);
}

pub async fn a_component_in_a_group_keeps_the_group(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let customer = tenant.customer.id;
    let component = world.enrolled(&tenant, &key, "d").await;
    let delete_group = Change::DeleteGroup { customer, id: tenant.group.id, revision: None };
    world.apply(vec![Change::DeleteKey { customer, id: key.id, revision: None, revoke: None }]).await;

    assert_eq!(world.broken_rule(delete_group.clone()).await, BrokenRule::Referenced { by: "components" });
    world
        .apply(vec![Change::RevokeComponent {
            customer,
            id: component.id,
            revision: None,
            at: NOW,
            reason: RevocationReason::Unspecified,
            by: None,
        }])
        .await;
    assert_eq!(world.broken_rule(delete_group.clone()).await, BrokenRule::Referenced { by: "components" });

    // Its use cannot go back to a key that is gone; it is deleted all the same.
    world
        .apply(vec![Change::DeleteComponent { customer, id: component.id, revision: None, at: NOW, release_use: true }])
        .await;
    world.apply(vec![delete_group]).await;
    world.assert_sound().await;
}

pub async fn a_deleted_key_leaves_its_components_and_ledger(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    world.apply(vec![Change::DeleteKey { customer: key.customer_id, id: key.id, revision: None, revoke: None }]).await;

    assert!(world.store.find_key(key.customer_id, key.id).await.unwrap().is_none());
    assert!(world.store.find_indexed_keys(key.customer_id, &[key.id]).await.unwrap().is_empty());
    assert_eq!(world.component(key.customer_id, component.id).await, component);
    assert_eq!(world.ledger(&key).await.len(), 1);
    let delete = Change::DeleteKey { customer: key.customer_id, id: key.id, revision: None, revoke: None };
    assert_eq!(world.broken_rule(delete).await, BrokenRule::NotFound);
    world.assert_sound().await;
}

pub async fn a_deleted_key_revokes_its_components_when_asked(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let (key, neighbour) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let (customer, revision) = (key.customer_id, None);
    let live = [world.enrolled(&tenant, &key, "a").await, world.enrolled(&tenant, &key, "b").await];
    let attached = {
        let mut component = world.enrolled(&tenant, &neighbour, "c").await;
        component.key_id = key.id;
        world.apply(vec![Change::UpdateComponent(component.clone())]).await;
        component
    };
    let (revoked, deleted) = (world.enrolled(&tenant, &key, "d").await, world.enrolled(&tenant, &key, "e").await);
    let elsewhere = world.enrolled(&tenant, &neighbour, "a").await;
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
    let later = NOW.saturating_add(std::time::Duration::from_secs(60));
    let foreign =
        Change::DeleteKey { customer: other.customer.id, id: key.id, revision, revoke: Some((later, Some(5))) };
    assert_eq!(world.broken_rule(foreign).await, BrokenRule::NotFound);

    let before = world.store.last_change().await.unwrap();
    let changes = vec![Change::DeleteKey { customer, id: key.id, revision, revoke: Some((later, Some(5))) }];
    let events = vec![world.event(customer, "1"), world.event(customer, "2")];
    world.store.commit_changes(changes, events, &world.audit_key).await.unwrap();

    for component in live.iter().chain([&attached]) {
        let stored = world.component(customer, component.id).await;
        assert_eq!((stored.state, stored.modified_by), (ComponentState::Revoked { at: later }, Some(5)));
        assert!(stored.revision > component.revision);
        let certificate = world.certificate(customer, component.id, component.current_serial).await;
        assert_eq!(certificate.status, CertificateStatus::Revoked { at: later, reason: RevocationReason::Unspecified });
    }
    assert_eq!(world.component(customer, revoked.id).await.state, ComponentState::Revoked { at: NOW });
    assert_eq!(world.component(customer, deleted.id).await.state, ComponentState::Deleted { at: NOW });
    let (unspecified, deletion) = (RevocationReason::Unspecified, RevocationReason::CessationOfOperation);
    for (component, reason) in [(&revoked, unspecified), (&deleted, deletion)] {
        let certificate = world.certificate(customer, component.id, component.current_serial).await;
        assert_eq!(certificate.status, CertificateStatus::Revoked { at: NOW, reason }, "an end that was there stays");
    }
    assert_eq!(world.component(customer, elsewhere.id).await, elsewhere);

    let told: Vec<_> =
        world.store.list_audit(customer, 0, 10).await.unwrap().into_iter().map(|row| row.event.after).collect();
    assert_eq!(told, [Some(r#"{"revokedComponents":3}"#.to_owned()), None], "the event in the place of the change");
    let changed: Vec<_> =
        world.store.list_changes(before, 10).await.unwrap().into_iter().map(|row| row.object).collect();
    assert_eq!(changed, [ObjectRef::Key(customer, key.id)]);
    world.assert_sound().await;
}

pub async fn a_deleted_keys_name_and_digest_are_free_again(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let mut successor = rows::key(world.id(), &tenant.group, key.name.as_str(), None);
    successor.digest = key.digest;
    world
        .apply(vec![
            Change::DeleteKey { customer: key.customer_id, id: key.id, revision: None, revoke: None },
            Change::InsertKey(successor.clone()),
        ])
        .await;
    assert_eq!(world.enroll(&tenant, &successor, "d").await, committed(format!("{}-1", key.name), 1));
    world.assert_sound().await;
}

pub async fn counters_in_an_update_are_ignored(world: World) {
    let tenant = world.tenant().await;
    let mut key = rows::key(world.id(), &tenant.group, "key", Some(3));
    key.usage.uses = 2;
    key.usage.last_ordinal = 9;
    world.apply(vec![Change::InsertKey(key.clone())]).await;
    assert_eq!(world.stored(&key).await.usage, muster::domain::key::KeyUsage::default());

    world.enrolled(&tenant, &key, "a").await;
    let changed = world
        .change_key(&key, |key| {
            key.usage.uses = 0;
            key.usage.last_ordinal = 0;
            key.kind = Kind::ServiceEdge;
            key.group_id = GroupId::from_raw(1);
            key.enabled = false;
        })
        .await;
    assert_eq!((changed.usage.uses, changed.usage.last_ordinal), (1, 1));
    assert_eq!((changed.kind, changed.group_id, changed.enabled), (Kind::Machine, tenant.group.id, false));

    let component = world.enrolled(&tenant, &changed, "b").await;
    let mut row = component.clone();
    row.state = ComponentState::Deleted { at: NOW };
    row.ordinal = 77;
    row.name = "renamed".into();
    world.apply(vec![Change::UpdateComponent(row)]).await;
    let after = world.component(key.customer_id, component.id).await;
    assert_eq!((after.state, after.ordinal, after.name.as_str()), (ComponentState::Live, 2, "renamed"));
    world.assert_sound().await;
}

pub async fn deleting_a_component_revokes_its_certificate(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let (customer, id, at) = (key.customer_id, component.id, NOW);
    world.apply(vec![Change::DeleteComponent { customer, id, revision: None, at, release_use: false }]).await;

    let certificate = world.certificate(customer, component.id, component.current_serial).await;
    assert_eq!(certificate.status, CertificateStatus::Revoked { at, reason: RevocationReason::CessationOfOperation });
    assert_eq!(world.component(customer, id).await.state, ComponentState::Deleted { at });
    let known = world.store.find_known_component(customer, key.id, &rows::fingerprint("d"), NOW).await.unwrap();
    assert_eq!(known, None);
    let listed = world.store.list_components(customer, Kind::Machine, &ListQuery::first(10)).await.unwrap();
    assert_eq!((listed.rows, listed.total), (vec![], 0));
    assert_eq!(world.uses(&key).await, 1);
    world.assert_sound().await;
}

pub async fn deleting_twice_is_not_found(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let (customer, id, at) = (key.customer_id, component.id, NOW);
    let delete = Change::DeleteComponent { customer, id, revision: None, at, release_use: true };
    world.apply(vec![delete.clone()]).await;
    assert_eq!(world.broken_rule(delete).await, BrokenRule::NotFound);
    let mut row = component;
    row.revision = Revision(2);
    assert_eq!(world.broken_rule(Change::UpdateComponent(row)).await, BrokenRule::NotFound);
    assert_eq!(world.uses(&key).await, 0, "the use was given back once");
}

pub async fn revoking_is_done_once(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let (customer, id) = (key.customer_id, component.id);
    let later = NOW.saturating_add(std::time::Duration::from_secs(60));
    let first = world
        .apply(vec![Change::RevokeComponent {
            customer,
            id,
            revision: None,
            at: NOW,
            reason: RevocationReason::Unspecified,
            by: None,
        }])
        .await;
    let second = world
        .apply(vec![Change::RevokeComponent {
            customer,
            id,
            revision: None,
            at: later,
            reason: RevocationReason::Unspecified,
            by: None,
        }])
        .await;

    assert_eq!(first, second, "nothing was changed the second time");
    assert_eq!(world.component(customer, id).await.state, ComponentState::Revoked { at: NOW });
    let certificate = world.certificate(customer, component.id, component.current_serial).await;
    assert_eq!(certificate.status, CertificateStatus::Revoked { at: NOW, reason: RevocationReason::Unspecified });
    assert_eq!(world.enroll(&tenant, &key, "d").await, EnrollmentOutcome::Known);
    let unknown = Change::RevokeComponent {
        customer,
        id: ComponentId::from_raw(1),
        revision: None,
        at: NOW,
        reason: RevocationReason::Unspecified,
        by: None,
    };
    assert_eq!(world.broken_rule(unknown).await, BrokenRule::NotFound);
    world.assert_sound().await;
}

pub async fn a_component_is_attached_to_another_key(world: World) {
    let tenant = world.tenant().await;
    let (from, to) = (world.key(&tenant, Some(1)).await, world.key(&tenant, Some(1)).await);
    let mut component = world.enrolled(&tenant, &from, "d").await;
    component.key_id = to.id;
    world.apply(vec![Change::UpdateComponent(component.clone())]).await;

    // Its fingerprint went with it, and no use.
    assert_eq!((world.uses(&from).await, world.uses(&to).await), (1, 0));
    assert_eq!(world.enroll(&tenant, &to, "d").await, EnrollmentOutcome::Known);
    assert_eq!(world.enroll(&tenant, &from, "d").await, EnrollmentOutcome::Exhausted { uses: 1 });

    // Deleted, it gives its use back to the key that it was taken from.
    let (customer, id, at) = (from.customer_id, component.id, NOW);
    world.apply(vec![Change::DeleteComponent { customer, id, revision: None, at, release_use: true }]).await;
    assert_eq!((world.uses(&from).await, world.uses(&to).await), (0, 0));

    // Two of the same fingerprint do not fit under one key.
    let mut one = world.enrolled(&tenant, &from, "twin").await;
    world.enrolled(&tenant, &to, "twin").await;
    one.key_id = to.id;
    let rule = world.broken_rule(Change::UpdateComponent(one.clone())).await;
    assert_eq!(rule, BrokenRule::DuplicateFingerprint);
    one.key_id = ProvisioningKeyId::from_raw(1);
    let rule = world.broken_rule(Change::UpdateComponent(one)).await;
    assert_eq!(rule, BrokenRule::UnknownReference { what: "provisioning key" });
    world.assert_sound().await;
}

pub async fn no_change_reaches_another_customer(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let key = world.key(&tenant, None).await;
    let component = world.enrolled(&tenant, &key, "d").await;
    let customer = other.customer.id;
    let (mut stolen_key, mut stolen_group) = (world.stored(&key).await, tenant.group.clone());
    let (mut stolen_signer, mut stolen_component) = (tenant.signer.clone(), component.clone());
    stolen_key.customer_id = customer;
    stolen_group.customer_id = customer;
    stolen_signer.customer_id = customer;
    stolen_component.customer_id = customer;

    let changes = [
        Change::DeleteGroup { customer, id: tenant.group.id, revision: None },
        Change::DeleteKey { customer, id: key.id, revision: None, revoke: None },
        Change::DeleteSigningCertificate { customer, id: tenant.signer.id, revision: None, at: NOW },
        Change::DeleteComponent { customer, id: component.id, revision: None, at: NOW, release_use: true },
        Change::RevokeComponent {
            customer,
            id: component.id,
            revision: None,
            at: NOW,
            reason: RevocationReason::Unspecified,
            by: None,
        },
        Change::UpdateComponent(stolen_component),
        Change::UpdateGroup(stolen_group),
        Change::UpdateKey(stolen_key),
        Change::UpdateSigningCertificate(stolen_signer),
    ];
    for change in changes {
        assert_eq!(world.broken_rule(change).await, BrokenRule::NotFound);
    }
    assert_eq!(world.component(key.customer_id, component.id).await, component);
}
