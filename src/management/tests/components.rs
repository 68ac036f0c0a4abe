//! Components, forced deletions of groups, clean-up.

use std::net::IpAddr;

use super::*;
use crate::clock::DAY;
use crate::domain::component::DeviceDescription;
use crate::domain::{
    CertificateStatus, CleanUpDays, ComponentBadge, ComponentState, Fingerprint, IssuedCertificate, ProvisioningKey,
    Revision, SerialNumber,
};
use crate::id::ComponentId;
use crate::management::clean_up::CleanUpInput;
use crate::management::components::history::{ComponentEvent, ComponentEventKind, ComponentHistory, EventKey};
use crate::management::components::{BULK_MAX, ComponentInput};
use crate::store::{
    EnrollmentCommit, EnrollmentIntent, EnrollmentOutcome, RenewalCommit, RenewalOutcome, SeenForRenewal, SeenRevisions,
};

/// One component: its certificate ends a day after it enrolled.
pub(super) async fn enroll(fixture: &Fixture, key: &ProvisioningKey, device: &str) -> ComponentId {
    enroll_all(fixture, key, &[device.to_owned()]).await[0]
}

/// All at the same time, so that they share transactions.
async fn enroll_all(fixture: &Fixture, key: &ProvisioningKey, devices: &[String]) -> Vec<ComponentId> {
    let (mut ids, mut enrolling) = (Vec::new(), tokio::task::JoinSet::new());
    for device in devices {
        let component = fixture.management.parts.ids.next().await.unwrap();
        let fingerprint = Fingerprint::new(&format!("{device:-<16}")).unwrap();
        let commit = commit(fixture, key, fingerprint, 1, EnrollmentIntent::Enroll { component }).await;
        let store = Arc::clone(&fixture.store);
        enrolling.spawn(async move { store.commit_enrollment(commit).await.unwrap() });
        ids.push(component);
    }
    for outcome in enrolling.join_all().await {
        assert!(matches!(outcome, EnrollmentOutcome::Committed { .. }), "{outcome:?}");
    }
    ids
}

/// A new certificate for a component under the key that it has, from another address.
async fn re_enroll(fixture: &Fixture, id: ComponentId, host: u8) -> SerialNumber {
    let component = fixture.store.find_component(fixture.customer(), id).await.unwrap().unwrap();
    let key = fixture.store.find_key(fixture.customer(), component.key_id).await.unwrap().unwrap();
    let intent = EnrollmentIntent::ReEnroll { component: id, superseded: component.current_serial };
    let commit = commit(fixture, &key, component.fingerprint, host, intent).await;
    let serial = commit.certificate.serial;
    let outcome = fixture.store.commit_enrollment(commit).await.unwrap();
    assert!(matches!(outcome, EnrollmentOutcome::Committed { .. }), "{outcome:?}");
    serial
}

/// Ten seconds later, from another address.
async fn renew(fixture: &Fixture, id: ComponentId, host: u8, is_rekey: bool) {
    fixture.advance(10);
    let component = fixture.store.find_component(fixture.customer(), id).await.unwrap().unwrap();
    let current = component.current_serial;
    let current = fixture.store.find_certificate(fixture.customer(), id, current).await.unwrap().unwrap();
    let key = fixture.store.find_key(fixture.customer(), component.key_id).await.unwrap().unwrap();
    let intent = EnrollmentIntent::ReEnroll { component: id, superseded: current.serial };
    let EnrollmentCommit { seen, remote_address, mut certificate, .. } =
        commit(fixture, &key, component.fingerprint, host, intent).await;
    certificate.public_key_hash = if is_rekey { [host; 32] } else { current.public_key_hash };
    let commit = RenewalCommit {
        seen: SeenForRenewal {
            customer: seen.customer,
            group: seen.group,
            signing_certificate: seen.signing_certificate,
            key: (seen.key.0, Some(seen.key.1)),
            component: (id, component.revision),
        },
        remote_address,
        replaced: current.serial,
        is_rekey,
        good_until: current.not_after,
        certificate,
    };
    assert_eq!(fixture.store.commit_renewal(commit).await.unwrap(), RenewalOutcome::Committed);
}

/// With a certificate that lasts a day, from 192.0.2.`host`.
async fn commit(
    fixture: &Fixture,
    key: &ProvisioningKey,
    fingerprint: Fingerprint,
    host: u8,
    intent: EnrollmentIntent,
) -> EnrollmentCommit {
    let customer = fixture.stored_customer().await;
    let group = fixture.store.find_group(customer.id, key.group_id).await.unwrap().unwrap();
    let signer =
        fixture.store.find_signing_certificate(customer.id, key.signing_certificate_id).await.unwrap().unwrap();
    let now = fixture.clock.now();
    EnrollmentCommit {
        seen: SeenRevisions {
            customer: (customer.id, customer.revision),
            group: (group.id, group.revision),
            signing_certificate: (signer.id, signer.revision),
            key: (key.id, key.revision),
        },
        fingerprint,
        device: DeviceDescription::default(),
        remote_address: IpAddr::from([192, 0, 2, host]),
        certificate: IssuedCertificate {
            serial: SerialNumber::random(),
            der: vec![0x30; 300],
            public_key_hash: [host; 32],
            issued_at: now,
            not_before: now,
            not_after: now.saturating_add(DAY),
        },
        intent,
    }
}

fn devices(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("d-{n}")).collect()
}

pub(super) async fn key(fixture: &Fixture, kind: Kind, group: GroupId, name: &str) -> ProvisioningKey {
    let input = KeyInput { maximum: Input::Given(10_000), ..key_input(name, group) };
    let (customer, operator) = (fixture.customer(), fixture.actor(Role::Operator));
    fixture.management.create_key(&operator, customer, kind, input).await.unwrap().key
}

async fn state(fixture: &Fixture, id: ComponentId) -> ComponentState {
    fixture.store.find_component(fixture.customer(), id).await.unwrap().unwrap().state
}

async fn events(fixture: &Fixture, action: &str, object_type: &str) -> Vec<AuditRow> {
    let mut rows = fixture.audit(fixture.customer()).await;
    rows.retain(|row| row.event.action == action && row.event.object_type == object_type);
    rows
}

#[tokio::test]
async fn a_component_is_edited_member_by_member_and_each_edit_is_written_down() {
    let fixture = Fixture::new().await;
    let (customer, kind, operator) = (fixture.customer(), Kind::AppConnector, fixture.actor(Role::Operator));
    let (group, branch) = (fixture.group(kind, "HQ").await, fixture.group(kind, "Branch").await);
    let (one, two) = (key(&fixture, kind, group, "one").await, key(&fixture, kind, group, "two").await);
    let elsewhere = key(&fixture, kind, branch, "elsewhere").await;
    let id = enroll(&fixture, &one, "d").await;
    let edit = |expected, input| {
        let (management, operator) = (&fixture.management, &operator);
        async move {
            let revision = management.edit_component(operator, customer, kind, id, expected, &input).await?;
            let view = management.find_component(operator, customer, kind, id).await?;
            assert_eq!(revision, view.component.revision);
            Ok::<_, Error>(view)
        }
    };

    let same = ComponentInput {
        name: Input::Given("one-1".into()),
        enabled: Input::Given(true),
        key: Input::Given(one.id),
        ..ComponentInput::default()
    };
    assert_eq!(edit(None, same).await.unwrap().component.revision, Revision(1), "nothing was changed");
    let input = ComponentInput { description: Input::Given("roof".into()), ..ComponentInput::default() };
    let view = edit(Some(Revision(1)), input).await.unwrap();
    assert_eq!((view.component.name.as_str(), view.component.description.as_str()), ("one-1", "roof"));
    assert_eq!((view.component.modified_by, view.badge), (Some(77), ComponentBadge::Live));
    let off = ComponentInput { enabled: Input::Given(false), ..ComponentInput::default() };
    let stale = edit(Some(Revision(1)), off.clone()).await;
    assert!(matches!(stale, Err(Error::Outdated { object: Object::Component, .. })));
    let view = edit(Some(Revision(2)), off).await.unwrap();
    assert_eq!((view.badge, view.component.description.as_str()), (ComponentBadge::Disabled, "roof"));
    let attach = |to| ComponentInput { key: Input::Given(to), ..ComponentInput::default() };
    assert_eq!(faults(edit(None, attach(two.id)).await), [Field::ProvisioningKey], "it is disabled");
    let off_and_attach = ComponentInput { enabled: Input::Given(false), ..attach(two.id) };
    assert_eq!(faults(edit(None, off_and_attach).await), [Field::ProvisioningKey]);
    let view = edit(None, ComponentInput { enabled: Input::Given(true), ..attach(two.id) }).await.unwrap();
    assert_eq!(view.relations.key_name.as_ref().map(Name::as_str), Some("two"));
    assert_eq!(fixture.store.find_key(customer, two.id).await.unwrap().unwrap().usage.uses, 0);

    let wrong = ComponentInput {
        name: Input::Given("a|b".into()),
        enabled: Input::Malformed("must be true or false"),
        description: Input::Given("\0".into()),
        key: Input::Given(elsewhere.id),
    };
    let expected = [Field::Name, Field::Description, Field::Enabled, Field::ProvisioningKey];
    assert_eq!(faults(edit(None, wrong).await), expected);
    let twin = enroll(&fixture, &one, "d").await;
    let back = edit(None, attach(one.id)).await;
    assert!(matches!(back, Err(Error::DuplicateFingerprint)));
    assert_ne!(twin, id);

    let told: Vec<_> = fixture.audit(customer).await.into_iter().map(|row| row.event).collect();
    let told: Vec<_> = told.iter().filter(|event| event.object_type == "component").collect();
    assert_eq!(told.iter().map(|event| &*event.action).collect::<Vec<_>>(), ["update", "update", "attach"]);
    assert!(told[1].before.as_ref().unwrap().contains(r#""enabled":true"#));
    assert!(told[1].after.as_ref().unwrap().contains(r#""enabled":false"#));
    assert!(told[2].after.as_ref().unwrap().contains(&format!(r#""provisioningKeyId":"{}""#, two.id)));
}

#[tokio::test]
async fn revoking_keeps_the_row_and_deleting_may_give_the_use_back() {
    let fixture = Fixture::new().await;
    let (customer, kind, operator) = (fixture.customer(), Kind::Machine, fixture.actor(Role::Operator));
    let group = fixture.group(kind, "Laptops").await;
    let (key, other) = (key(&fixture, kind, group, "k").await, key(&fixture, kind, group, "other").await);
    let (id, kept) = (enroll(&fixture, &key, "a").await, enroll(&fixture, &key, "b").await);
    let management = &fixture.management;
    let revoke = |expected| management.revoke_component(&operator, customer, kind, id, expected, Input::Absent);
    assert!(matches!(revoke(Some(Revision(2))).await, Err(Error::Outdated { .. })));
    revoke(Some(Revision(1))).await.unwrap();
    revoke(None).await.unwrap();
    let found = management.find_component(&operator, customer, kind, id).await.unwrap();
    assert_eq!((found.badge, found.component.modified_by), (ComponentBadge::Revoked, Some(77)));
    let attach = ComponentInput { key: Input::Given(other.id), ..ComponentInput::default() };
    let refused = management.edit_component(&operator, customer, kind, id, None, &attach).await;
    assert_eq!(faults(refused), [Field::ProvisioningKey], "the old key would let the device in again");
    assert_eq!(events(&fixture, "revoke", "component").await.len(), 1, "the second time nothing happened");

    let uses = async || fixture.store.find_key(customer, key.id).await.unwrap().unwrap().usage.uses;
    management.delete_component(&operator, customer, kind, kept, None, false).await.unwrap();
    assert_eq!(uses().await, 2);
    management.delete_component(&operator, customer, kind, id, Some(Revision(2)), true).await.unwrap();
    assert_eq!(uses().await, 1);
    for again in [
        management.delete_component(&operator, customer, kind, id, None, true).await,
        management.revoke_component(&operator, customer, kind, id, None, Input::Absent).await,
        management.find_component(&operator, customer, kind, id).await.map(drop),
        management.find_component_certificate(&operator, customer, kind, id).await.map(drop),
        management.edit_component(&operator, customer, kind, id, None, &ComponentInput::default()).await.map(drop),
    ] {
        assert!(matches!(again, Err(Error::NotFound { object: Object::Component, .. })));
    }
    let told: Vec<_> = events(&fixture, "delete", "component").await.into_iter().map(|row| row.event.after).collect();
    assert_eq!(told, [None, Some(r#"{"releasedUses":1}"#.to_owned())]);

    // A key that is gone is given nothing back.
    let orphan = enroll(&fixture, &key, "c").await;
    management.delete_key(&operator, customer, kind, key.id, None, false).await.unwrap();
    management.delete_component(&operator, customer, kind, orphan, None, true).await.unwrap();
    let told = events(&fixture, "delete", "component").await.pop().unwrap().event.after;
    assert_eq!(told.as_deref(), Some(r#"{"releasedUses":0}"#));
}

#[tokio::test]
async fn what_a_role_may_do_to_components() {
    let fixture = Fixture::new().await;
    let (customer, kind) = (fixture.customer(), Kind::Machine);
    let key = key(&fixture, kind, fixture.group(kind, "Laptops").await, "k").await;
    let id = enroll(&fixture, &key, "a").await;
    let (management, auditor, operator) =
        (&fixture.management, fixture.actor(Role::Auditor), fixture.actor(Role::Operator));
    assert!(management.find_component(&auditor, customer, kind, id).await.is_ok());
    assert_eq!(management.list_components(&auditor, customer, kind, &ListQuery::first(20)).await.unwrap().total, 1);
    let ids = || Input::Given(vec![id]);
    for refused in [
        management.edit_component(&auditor, customer, kind, id, None, &ComponentInput::default()).await.map(drop),
        management.revoke_component(&auditor, customer, kind, id, None, Input::Absent).await,
        management.delete_component(&auditor, customer, kind, id, None, false).await,
        management.delete_components(&auditor, customer, kind, ids()).await,
        management.create_clean_up_schedule(&operator, customer, kind, CleanUpInput::default()).await.map(drop),
        management.delete_group_with_contents(&operator, customer, kind, key.group_id, None).await,
    ] {
        assert!(matches!(refused, Err(Error::Forbidden { .. })));
    }
    // Another kind's and another customer's are not there.
    let other = management.find_component(&auditor, customer, Kind::ServiceEdge, id).await;
    assert!(matches!(other, Err(Error::NotFound { object: Object::Component, .. })));
    let foreign = management.find_component(&auditor, CustomerId::from_raw(99), kind, id).await;
    assert!(matches!(foreign, Err(Error::NotFound { object: Object::Customer, .. })));
    management.delete_components(&operator, customer, Kind::ServiceEdge, ids()).await.unwrap();
    assert_eq!(state(&fixture, id).await, ComponentState::Live, "of another kind, and so left alone");
}

#[tokio::test]
async fn many_are_deleted_at_once_and_what_is_not_there_is_skipped() {
    let fixture = Fixture::new().await;
    let (customer, kind, operator) = (fixture.customer(), Kind::Machine, fixture.actor(Role::Operator));
    let key = key(&fixture, kind, fixture.group(kind, "Laptops").await, "k").await;
    let ids = enroll_all(&fixture, &key, &devices(BULK_MAX)).await;
    let delete = |ids| fixture.management.delete_components(&operator, customer, kind, Input::Given(ids));
    for bad in [vec![], [&ids[..], &ids[..1]].concat()] {
        assert_eq!(faults(delete(bad).await), [Field::Components]);
    }
    let malformed = fixture.management.delete_components(&operator, customer, kind, Input::Malformed("x")).await;
    assert_eq!(faults(malformed), [Field::Components]);
    delete(vec![ids[0], ids[0], ComponentId::from_raw(1)]).await.unwrap();
    assert_eq!(events(&fixture, "delete", "component").await.len(), 1, "once, though it was named twice");
    delete(vec![ids[0]]).await.unwrap();
    delete(ids.clone()).await.unwrap();
    let left = fixture.management.list_components(&operator, customer, kind, &ListQuery::first(20)).await.unwrap();
    assert_eq!((left.rows.len(), left.total), (0, 0));
}

#[tokio::test]
async fn deletions_of_many_at_once_end_with_all_gone() {
    let fixture = Fixture::new().await;
    let (customer, kind, operator) = (fixture.customer(), Kind::Machine, fixture.actor(Role::Operator));
    let key = key(&fixture, kind, fixture.group(kind, "Laptops").await, "k").await;
    let ids = enroll_all(&fixture, &key, &devices(120)).await;
    let delete = || fixture.management.delete_components(&operator, customer, kind, Input::Given(ids.clone()));
    let edit = async {
        let input = ComponentInput { description: Input::Given("roof".into()), ..ComponentInput::default() };
        for id in ids.iter().rev() {
            match fixture.management.edit_component(&operator, customer, kind, *id, None, &input).await {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let (one, two, ()) = tokio::join!(delete(), delete(), edit);
    one.unwrap();
    two.unwrap();
    assert_eq!(events(&fixture, "delete", "component").await.len(), ids.len(), "each went once");
    let left = fixture.management.list_components(&operator, customer, kind, &ListQuery::first(20)).await.unwrap();
    assert_eq!(left.total, 0);
}

#[tokio::test]
async fn a_forced_deletion_says_what_went_and_stops_before_a_key_that_others_manage() {
    let fixture = Fixture::new().await;
    let (customer, kind, admin) = (fixture.customer(), Kind::AppConnector, fixture.actor(Role::Admin));
    let group = fixture.group(kind, "HQ").await;
    let key = key(&fixture, kind, group, "k").await;
    let id = enroll(&fixture, &key, "a").await;
    let identity = ActorIdentity::ApiClient {
        id: ApiClientId::from_raw(78),
        client_id: "terraform".into(),
        managing: Some(Name::new("Terraform").unwrap()),
    };
    let manager = Actor { identity, ..fixture.actor(Role::Admin) };
    let made = fixture.management.create_key(&manager, customer, kind, key_input("managed", group)).await.unwrap();
    assert_eq!(made.key.managed_by.as_ref().unwrap().label.as_str(), "Terraform");
    let view = fixture.management.find_group(&admin, customer, kind, group).await.unwrap();
    assert_eq!((view.contents.keys, view.contents.components), (2, 1));

    let refused = fixture.management.delete_group_with_contents(&admin, customer, kind, group, None).await;
    assert!(matches!(refused, Err(Error::ReadOnly { label }) if label.as_str() == "Terraform"));
    assert_eq!(state(&fixture, id).await, ComponentState::Live);
    let stale = fixture.management.delete_group_with_contents(&manager, customer, kind, group, Some(Revision(2))).await;
    assert!(matches!(stale, Err(Error::Outdated { object: Object::Group, .. })));
    fixture.management.delete_group_with_contents(&manager, customer, kind, group, Some(Revision(1))).await.unwrap();
    assert!(matches!(state(&fixture, id).await, ComponentState::Deleted { .. }));
    let event = events(&fixture, "delete", "group").await.pop().unwrap().event;
    let before: serde_json::Value = serde_json::from_str(&event.before.unwrap()).unwrap();
    assert_eq!(before["name"], "HQ");
    assert_eq!(event.after.as_deref(), Some(r#"{"deletedComponents":1,"deletedKeys":2}"#));
    assert_eq!(event.actor_name, "terraform");
    let told: Vec<_> = events(&fixture, "delete", "provisioning-key").await.into_iter().map(|row| row.event).collect();
    for (event, key) in told.iter().zip([&key, &made.key]) {
        assert_eq!((&event.object_id, &*event.object_name), (&key.id.to_string(), key.name.as_str()));
        let before: serde_json::Value = serde_json::from_str(event.before.as_ref().unwrap()).unwrap();
        assert_eq!(before, serde_json::json!({ "name": key.name, "keyId": key.key_id }));
        assert_eq!((&*event.actor_name, event.after.as_deref()), ("terraform", None));
    }
    assert_eq!(told.len(), 2);
}

/// A schedule of this kind that takes what ended five days ago.
/// One line for each event.
fn told(history: &ComponentHistory) -> Vec<String> {
    let name = |key: &EventKey| key.name.as_ref().map_or("gone".to_owned(), ToString::to_string);
    let event = |event: &ComponentEvent| match &event.what {
        ComponentEventKind::Administered(event) => event.action.clone(),
        ComponentEventKind::Enrolled { key, address } => {
            let from = address.map_or("unknown".to_owned(), |address| address.to_string());
            format!("enrolled {} {from}", name(key))
        }
        ComponentEventKind::ReEnrolled { key, old, new } => {
            format!("re-enrolled {} {} {}", name(key), old.address, new.address)
        }
        ComponentEventKind::Renewed { is_rekey } => (if *is_rekey { "rekeyed" } else { "renewed" }).to_owned(),
        ComponentEventKind::RevokedWithKey { by } => format!("revoked {by:?}"),
    };
    history.events.iter().map(event).collect()
}

#[tokio::test]
async fn a_history_has_all_that_happened_newest_first() {
    let fixture = Fixture::new().await;
    let (management, customer, kind) = (&fixture.management, fixture.customer(), Kind::Machine);
    let (operator, auditor) = (fixture.actor(Role::Operator), fixture.actor(Role::Auditor));
    let group = fixture.group(kind, "Laptops").await;
    let (one, two) = (key(&fixture, kind, group, "one").await, key(&fixture, kind, group, "two").await);
    let id = enroll(&fixture, &one, "d").await;
    let other = enroll(&fixture, &one, "other").await;
    re_enroll(&fixture, other, 9).await;
    let history = async || management.component_history(&auditor, customer, kind, id).await.unwrap();
    let new = history().await;
    assert_eq!(told(&new), ["enrolled one 192.0.2.1"]);
    assert_eq!((new.events[0].at, new.is_cut, new.certificates.len()), (NOW, false, 1));

    fixture.advance(10);
    let second = re_enroll(&fixture, id, 2).await;
    fixture.advance(10);
    let attach = ComponentInput { key: Input::Given(two.id), ..ComponentInput::default() };
    management.edit_component(&operator, customer, kind, id, None, &attach).await.unwrap();
    fixture.advance(10);
    let third = re_enroll(&fixture, id, 3).await;
    management.delete_key(&operator, customer, kind, one.id, None, false).await.unwrap();
    fixture.advance(10);
    management.delete_key(&operator, customer, kind, two.id, None, true).await.unwrap();
    let all = history().await;
    assert_eq!(
        told(&all),
        [
            "revoked Some(77)",
            "re-enrolled gone 192.0.2.2 192.0.2.3",
            "attach",
            "re-enrolled gone 192.0.2.1 192.0.2.2",
            "enrolled gone 192.0.2.1",
        ]
    );
    assert!(matches!(&all.events[4].what, ComponentEventKind::Enrolled { key, .. } if key.id == one.id));
    let certificates: Vec<_> = all.certificates.iter().map(|certificate| certificate.serial).collect();
    assert_eq!((certificates.len(), &certificates[..2]), (3, &[third, second][..]));

    // One that is revoked by itself is told with who did it.
    management.revoke_component(&operator, customer, kind, other, None, Input::Absent).await.unwrap();
    let of_other = management.component_history(&auditor, customer, kind, other).await.unwrap();
    assert_eq!(told(&of_other), ["revoke", "re-enrolled gone 192.0.2.1 192.0.2.9", "enrolled gone 192.0.2.1"]);

    let missing = management.component_history(&auditor, customer, Kind::AppConnector, id).await;
    assert!(matches!(missing, Err(Error::NotFound { object: Object::Component, .. })));
    let stranger = Actor { customer_id: CustomerId::from_raw(4_711), ..fixture.actor(Role::Admin) };
    let foreign = management.component_history(&stranger, customer, kind, id).await;
    assert!(matches!(foreign, Err(Error::NotFound { object: Object::Customer, .. })));
}

#[tokio::test]
async fn renewals_are_told_by_the_certificates_that_they_left() {
    let fixture = Fixture::new().await;
    let (management, customer, kind) = (&fixture.management, fixture.customer(), Kind::Machine);
    let auditor = fixture.actor(Role::Auditor);
    let group = fixture.group(kind, "Laptops").await;
    let one = key(&fixture, kind, group, "one").await;
    let id = enroll(&fixture, &one, "d").await;
    let history = async || management.component_history(&auditor, customer, kind, id).await.unwrap();
    renew(&fixture, id, 2, false).await;
    assert_eq!(told(&history().await), ["renewed", "enrolled one unknown"]);
    renew(&fixture, id, 3, true).await;
    fixture.advance(10);
    re_enroll(&fixture, id, 4).await;
    renew(&fixture, id, 5, false).await;
    let all = history().await;
    let expected = ["renewed", "re-enrolled one 192.0.2.3 192.0.2.4", "rekeyed", "renewed", "enrolled one unknown"];
    assert_eq!(told(&all), expected);
    let statuses: Vec<_> = all.certificates.iter().map(|certificate| certificate.status).collect();
    assert!(matches!(
        statuses[..],
        [
            CertificateStatus::Current,
            CertificateStatus::Renewed { .. },
            CertificateStatus::Superseded { .. },
            CertificateStatus::Superseded { .. },
            CertificateStatus::Superseded { .. },
        ]
    ));
}

#[tokio::test]
async fn a_long_history_is_cut_and_says_so() {
    let fixture = Fixture::new().await;
    let (management, customer, kind) = (&fixture.management, fixture.customer(), Kind::Machine);
    let operator = fixture.actor(Role::Operator);
    let group = fixture.group(kind, "Laptops").await;
    let one = key(&fixture, kind, group, "one").await;
    let id = enroll(&fixture, &one, "d").await;
    let history = async || management.component_history(&operator, customer, kind, id).await.unwrap();
    for n in 0..99_u8 {
        fixture.advance(1);
        re_enroll(&fixture, id, n + 2).await;
    }
    for n in 0..100 {
        let input = ComponentInput { description: Input::Given(n.to_string()), ..ComponentInput::default() };
        management.edit_component(&operator, customer, kind, id, None, &input).await.unwrap();
    }
    let whole = history().await;
    assert_eq!((whole.events.len(), whole.is_cut, whole.certificates.len()), (200, false, 100));
    assert_eq!(told(&whole)[199], "enrolled one 192.0.2.1");
    fixture.advance(1);
    re_enroll(&fixture, id, 200).await;
    let cut = history().await;
    assert_eq!((cut.events.len(), cut.is_cut), (200, true));
    assert_eq!(told(&cut)[0], "re-enrolled one 192.0.2.100 192.0.2.200");
    assert!(told(&cut)[199].starts_with("re-enrolled"), "the enrollment is older than what is told");
}

async fn schedule(fixture: &Fixture, kind: Kind, delete_disabled: bool) -> crate::domain::CleanUpSchedule {
    let input = CleanUpInput {
        days: Input::Given(5),
        delete_disabled: Input::Given(delete_disabled),
        ..CleanUpInput::default()
    };
    let admin = fixture.actor(Role::Admin);
    fixture.management.create_clean_up_schedule(&admin, fixture.customer(), kind, input).await.unwrap()
}

#[tokio::test]
async fn a_schedule_takes_what_ended_so_many_days_ago_and_not_a_second_sooner() {
    let fixture = Fixture::new().await;
    let kind = Kind::Machine;
    let machines = key(&fixture, kind, fixture.group(kind, "Laptops").await, "k").await;
    let edges = fixture.group(Kind::ServiceEdge, "Edges").await;
    let edges = key(&fixture, Kind::ServiceEdge, edges, "k").await;
    let (due, edge) = (enroll(&fixture, &machines, "due").await, enroll(&fixture, &edges, "edge").await);
    schedule(&fixture, kind, false).await;
    let due_at = NOW.saturating_add(DAY * 6);
    fixture.clock.set(due_at);
    let fresh = enroll(&fixture, &machines, "fresh").await;

    let clean_up = |now| fixture.management.clean_up(now);
    assert_eq!(clean_up(due_at.saturating_sub(Duration::from_secs(1))).await.unwrap(), 0);
    assert_eq!(state(&fixture, due).await, ComponentState::Live);
    assert_eq!(clean_up(due_at).await.unwrap(), 1);
    assert_eq!(state(&fixture, due).await, ComponentState::Deleted { at: due_at });
    for stays in [edge, fresh] {
        assert_eq!(state(&fixture, stays).await, ComponentState::Live);
    }
    assert_eq!(clean_up(due_at).await.unwrap(), 0);
    let event = events(&fixture, "delete", "component").await.pop().unwrap().event;
    assert_eq!((&*event.actor_type, event.object_id), ("system", due.to_string()));
    assert_eq!(fixture.store.find_key(fixture.customer(), machines.id).await.unwrap().unwrap().usage.uses, 2);
    // The device enrolls anew, for a use.
    enroll(&fixture, &machines, "due").await;
}

#[tokio::test]
async fn disabled_components_go_only_when_asked_for_and_revoked_ones_never() {
    let fixture = Fixture::new().await;
    let (customer, kind, admin) = (fixture.customer(), Kind::Machine, fixture.actor(Role::Admin));
    let key = key(&fixture, kind, fixture.group(kind, "Laptops").await, "k").await;
    let (disabled, revoked) = (enroll(&fixture, &key, "disabled").await, enroll(&fixture, &key, "revoked").await);
    let off = ComponentInput { enabled: Input::Given(false), ..ComponentInput::default() };
    fixture.management.edit_component(&admin, customer, kind, disabled, None, &off).await.unwrap();
    fixture.management.revoke_component(&admin, customer, kind, revoked, None, Input::Absent).await.unwrap();
    let made = schedule(&fixture, kind, false).await;
    let later = NOW.saturating_add(DAY * 400);
    assert_eq!(fixture.management.clean_up(later).await.unwrap(), 0);

    let edit = |expected, input: CleanUpInput| {
        let (management, admin) = (&fixture.management, &admin);
        async move { management.edit_clean_up_schedule(admin, customer, kind, made.id, expected, &input).await }
    };
    let with_disabled = CleanUpInput { delete_disabled: Input::Given(true), ..CleanUpInput::default() };
    let switched_off = CleanUpInput { enabled: Input::Given(false), ..with_disabled.clone() };
    assert_eq!(edit(Some(Revision(1)), switched_off).await.unwrap(), Revision(2));
    assert_eq!(fixture.management.clean_up(later).await.unwrap(), 0);
    let on = CleanUpInput { enabled: Input::Given(true), ..CleanUpInput::default() };
    assert!(matches!(edit(Some(Revision(1)), on.clone()).await, Err(Error::Outdated { .. })));
    edit(None, on).await.unwrap();

    let in_force = fixture.stored_customer().await;
    fixture.apply(Change::UpdateCustomer(Customer { enabled: false, ..in_force })).await;
    assert_eq!(fixture.management.clean_up(later).await.unwrap(), 0, "its devices cannot renew");
    let disabled_customer = fixture.stored_customer().await;
    fixture.apply(Change::UpdateCustomer(Customer { enabled: true, ..disabled_customer })).await;

    assert_eq!(fixture.management.clean_up(later).await.unwrap(), 1);
    assert!(matches!(state(&fixture, disabled).await, ComponentState::Deleted { .. }));
    assert!(matches!(state(&fixture, revoked).await, ComponentState::Revoked { .. }));
}

#[tokio::test]
async fn two_nodes_that_clean_up_at_once_delete_everything_once() {
    let fixture = Fixture::new().await;
    let kind = Kind::Machine;
    let key = key(&fixture, kind, fixture.group(kind, "Laptops").await, "k").await;
    enroll_all(&fixture, &key, &devices(201)).await;
    schedule(&fixture, kind, false).await;
    let clean_up = || fixture.management.clean_up(NOW.saturating_add(DAY * 6));
    let (one, other) = tokio::join!(clean_up(), clean_up());
    assert_eq!(one.unwrap() + other.unwrap(), 201);
    assert_eq!(events(&fixture, "delete", "component").await.len(), 201);
    assert_eq!(fixture.store.check_integrity(&fixture.management.parts.audit_key).await.unwrap(), []);
}

#[tokio::test]
async fn many_go_in_several_transactions() {
    let fixture = Fixture::new().await;
    let kind = Kind::Machine;
    let key = key(&fixture, kind, fixture.group(kind, "Laptops").await, "k").await;
    enroll_all(&fixture, &key, &devices(1_101)).await;
    schedule(&fixture, kind, false).await;
    let before = fixture.store.last_change().await.unwrap();
    assert_eq!(fixture.management.clean_up(NOW.saturating_add(DAY * 6)).await.unwrap(), 1_101);
    let page = fixture.store.list_components(fixture.customer(), kind, &ListQuery::first(1)).await.unwrap();
    assert_eq!(page.total, 0);
    assert_eq!(fixture.store.last_change().await.unwrap(), before, "components are not in the feed");
    assert_eq!(fixture.store.check_integrity(&fixture.management.parts.audit_key).await.unwrap(), []);
}

#[tokio::test]
async fn a_schedule_is_made_once_with_days_that_the_public_api_knows() {
    let fixture = Fixture::new().await;
    let (customer, kind, admin) = (fixture.customer(), Kind::AppConnector, fixture.actor(Role::Admin));
    let management = &fixture.management;
    let missing = management.find_clean_up_schedule(&admin, customer, kind).await;
    assert!(matches!(missing, Err(Error::NotFound { object: Object::CleanUpSchedule, .. })));
    let create = |days| {
        let input = CleanUpInput { days, ..CleanUpInput::default() };
        management.create_clean_up_schedule(&admin, customer, kind, input)
    };
    for days in [Input::Absent, Input::Given(4), Input::Given(6), Input::Given(91), Input::Malformed("x")] {
        assert_eq!(faults(create(days).await), [Field::CleanUpDays]);
    }
    let made = create(Input::Given(90)).await.unwrap();
    assert_eq!((made.enabled, made.delete_disabled, made.days), (true, false, CleanUpDays::new(90).unwrap()));
    let again = create(Input::Given(5)).await;
    assert!(matches!(again, Err(Error::AlreadyExists { object: Object::CleanUpSchedule })));
    assert_eq!(management.find_clean_up_schedule(&admin, customer, kind).await.unwrap(), made);
    let edit = CleanUpInput { days: Input::Given(8), ..CleanUpInput::default() };
    let refused = management.edit_clean_up_schedule(&admin, customer, kind, made.id, None, &edit).await;
    assert_eq!(faults(refused), [Field::CleanUpDays]);
    let other = management.edit_clean_up_schedule(&admin, customer, Kind::Machine, made.id, None, &edit).await;
    assert!(matches!(other, Err(Error::NotFound { object: Object::CleanUpSchedule, .. })));
}
