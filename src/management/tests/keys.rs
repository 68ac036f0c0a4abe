//! What else can be done with a provisioning key.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::{KeySecret, KeyVersion, ProvisioningKey, Refusal};
use crate::id::ProvisioningKeyId;
use crate::management::keys::KeyView;
use crate::management::keys::bulk::{BULK_IDS_MAX, BulkInput};
use crate::management::keys::check::KeyCheck;
use crate::management::peppers::PepperStep;
use crate::secret::pepper::{KeyDigest, PepperNumber};

const KIND: Kind = Kind::AppConnector;
const FOREIGN: &str = "2|api.private.example.com|Zm9yZWlnbi1mb3JlaWduLWZvcmVpZ24tZm9yZWlnbg-1234567890123456789";

/// A fixture with a group of App Connectors, and an operator who works on it.
struct Desk {
    fixture: Fixture,
    group: GroupId,
    actor: Actor,
}

impl Desk {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let group = fixture.group(KIND, "HQ").await;
        let actor = fixture.actor(Role::Operator);
        Self { fixture, group, actor }
    }

    fn management(&self) -> &Management {
        &self.fixture.management
    }

    async fn make(&self, name: &str, more: KeyInput) -> KeyView {
        let key = key_input(name, self.group);
        let maximum = if more.maximum == Input::Absent { key.maximum } else { more.maximum };
        let input = KeyInput { name: key.name, group: key.group, maximum, ..more };
        self.management().create_key(&self.actor, self.fixture.customer(), KIND, input).await.unwrap()
    }

    async fn import(&self, string: &str, input: KeyInput) -> Result<KeyView, Error> {
        let customer = self.fixture.customer();
        self.management().import_key(&self.actor, customer, KIND, Input::Given(secret(string)), input).await
    }

    async fn rotate_as(&self, actor: &Actor, id: ProvisioningKeyId, name: Input<String>) -> Result<KeyView, Error> {
        self.management().rotate_key(actor, self.fixture.customer(), KIND, id, None, &name).await
    }

    async fn rotate(&self, id: ProvisioningKeyId) -> Result<KeyView, Error> {
        self.rotate_as(&self.actor, id, Input::Absent).await
    }

    async fn edit(&self, id: ProvisioningKeyId, input: KeyInput) {
        self.management().edit_key(&self.actor, self.fixture.customer(), KIND, id, None, &input).await.unwrap();
    }

    async fn check(&self, string: &str) -> KeyCheck {
        let string = Input::Given(secret(string));
        self.management().check_key(&self.actor, self.fixture.customer(), string).await.unwrap()
    }

    async fn bulk(&self, input: BulkInput) -> Result<Vec<(ProvisioningKeyId, Result<(), Error>)>, Error> {
        let results = self.management().bulk_keys(&self.actor, self.fixture.customer(), KIND, input).await?;
        Ok(results.into_iter().map(|result| (result.id, result.outcome)).collect())
    }

    async fn stored(&self, id: ProvisioningKeyId) -> ProvisioningKey {
        self.fixture.store.find_key(self.fixture.customer(), id).await.unwrap().unwrap()
    }

    /// Actions and what came of them, of the last `count` events.
    async fn last_events(&self, count: usize) -> Vec<(String, Value)> {
        let rows = self.fixture.audit(self.fixture.customer()).await;
        let after = |text: Option<String>| text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        rows[rows.len() - count..]
            .iter()
            .map(|row| (row.event.action.clone(), after(row.event.after.clone())))
            .collect()
    }

    async fn assert_unspoken(&self, string: &str) {
        let written = format!("{:?}", self.fixture.audit(self.fixture.customer()).await);
        let secret = string.rsplit('|').next().unwrap();
        assert!(!written.contains(&secret[17..]), "the audit log holds the secret");
    }

    fn manager(&self) -> Actor {
        let identity = ActorIdentity::ApiClient {
            id: ApiClientId::from_raw(78),
            client_id: "deception".into(),
            managing: Some(Name::new("Deception").unwrap()),
        };
        Actor { identity, ..self.actor.clone() }
    }
}

fn secret(text: &str) -> KeySecret {
    KeySecret::from_text(zeroize::Zeroizing::new(text.to_owned()))
}

fn string_of(view: &KeyView) -> String {
    view.string.as_ref().expect("shown").expose().to_owned()
}

#[tokio::test]
async fn an_imported_key_keeps_its_digest_only() {
    let desk = Desk::new().await;
    let made = desk.import(&format!(" {FOREIGN}\r\n"), key_input("old", desk.group)).await.unwrap();
    assert!(made.string.is_none() && !made.key.is_exportable());
    assert_eq!(made.key.version, KeyVersion::Imported);
    assert_eq!(made.key.hint, "2|api.private.example.com|Zm9yZWl...");
    let key_id = &made.key.key_id;
    assert!(key_id.len() == 16 && key_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{key_id}");
    assert!(!FOREIGN.contains(&**key_id), "half of a secret that may have 32 characters");
    assert_eq!(desk.last_events(1).await[0].0, "import");
    desk.assert_unspoken(FOREIGN).await;
    let KeyCheck::Known(known) = desk.check(FOREIGN).await else { panic!("unknown") };
    assert_eq!((known.id, known.refusal), (made.key.id, None));

    let again = desk.import(FOREIGN, key_input("another", desk.group)).await;
    assert!(matches!(again, Err(Error::DuplicateKeyString)));
    let name_taken = desk.import(&FOREIGN.replace("Zm9", "Zm8"), key_input("OLD", desk.group)).await;
    assert!(matches!(name_taken, Err(Error::DuplicateName { .. })));
}

#[tokio::test]
async fn a_key_of_ours_comes_back_in_its_own_version() {
    let desk = Desk::new().await;
    for version in [KeyVersion::Bare, KeyVersion::Bootstrap] {
        let made = desk.make("k", KeyInput { version: Input::Given(version), ..KeyInput::default() }).await;
        let string = string_of(&made);
        assert!(matches!(desk.import(&string, key_input("twin", desk.group)).await, Err(Error::DuplicateKeyString)));
        let customer = desk.fixture.customer();
        desk.management().delete_key(&desk.actor, customer, KIND, made.key.id, None, false).await.unwrap();
        let back = desk.import(&string, key_input("back", desk.group)).await.unwrap().key;
        assert_eq!((back.version, &back.key_id, &back.hint), (version, &made.key.key_id, &made.key.hint));
        desk.management().delete_key(&desk.actor, customer, KIND, back.id, None, false).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_imported_is_told_with_all_other_faults() {
    let desk = Desk::new().await;
    let import = async |string: &str, input| desk.import(string, input).await;
    let ours = string_of(&desk.make("k", KeyInput::default()).await);
    let mistyped = ours.replace("|example.com:8443|", "|example.com:8444|");
    for wrong in ["", "hello", "3|example.com|short", "4|example.com|YWJjZGVmYWJjZGVmYWJjZGVmYWJjZGVm", &mistyped] {
        assert_eq!(faults(import(wrong, key_input("n", desk.group)).await), [Field::KeyString], "{wrong:.12}");
    }
    for (characters, accepted) in [(31, false), (32, true), (33, true)] {
        let string = format!("1|example.com|{}", "A".repeat(characters));
        assert_eq!(import(&string, key_input(&format!("n{characters}"), desk.group)).await.is_ok(), accepted);
    }
    let input = KeyInput { name: Input::Given("a/b".into()), ..KeyInput::default() };
    assert_eq!(faults(import("x", input).await), [Field::KeyString, Field::Name, Field::Maximum, Field::Group]);
    let input = KeyInput {
        exportable: Input::Given(true),
        version: Input::Given(KeyVersion::Bootstrap),
        ..key_input("n", desk.group)
    };
    assert_eq!(faults(import(FOREIGN, input).await), [Field::Exportable, Field::Version]);
    let missing = desk.management().import_key(
        &desk.actor,
        desk.fixture.customer(),
        KIND,
        Input::Absent,
        key_input("n", desk.group),
    );
    assert_eq!(faults(missing.await), [Field::KeyString]);
    let auditor = desk.fixture.actor(Role::Auditor);
    let string = Input::Given(secret(FOREIGN));
    let refused = desk.management().import_key(&auditor, desk.fixture.customer(), KIND, string, KeyInput::default());
    assert!(matches!(refused.await, Err(Error::Forbidden { needed: Role::Operator, .. })));
}

#[tokio::test]
async fn a_string_that_is_known_under_the_older_pepper_is_known() {
    let desk = Desk::new().await;
    let made = desk.make("k", KeyInput::default()).await;
    let string = string_of(&made);
    // As in the middle of a rotation of peppers: the row has the older one's digest.
    let management = desk.management();
    management.take_pepper_step(&Actor::system(), PepperStep::Rotate).await.unwrap();
    desk.fixture.follow_peppers(true).await;
    assert_eq!(desk.stored(made.key.id).await.pepper, PepperNumber::FIRST);
    let customer = made.key.customer_id;

    let check = management.check_key(&desk.actor, customer, Input::Given(secret(&string))).await.unwrap();
    assert!(matches!(check, KeyCheck::Known(known) if known.id == made.key.id));
    let twin = management.import_key(
        &desk.actor,
        customer,
        KIND,
        Input::Given(secret(&string)),
        key_input("twin", desk.group),
    );
    assert!(matches!(twin.await, Err(Error::DuplicateKeyString)));

    // So is one that has moved, to a node that makes digests by the older one yet; one that knows only that cannot tell.
    assert_eq!(desk.fixture.move_digests().await, 1);
    for (is_behind, expected) in [(false, Error::DuplicateKeyString.to_string()), (true, "the service pepper".into())] {
        if is_behind {
            desk.fixture.forget_newest_pepper().await;
        } else {
            desk.fixture.follow_peppers(false).await;
        }
        let string = Input::Given(secret(&string));
        let twin = management.import_key(&desk.actor, customer, KIND, string, key_input("twin", desk.group)).await;
        let Err(refused) = twin else { panic!("a second key with the string") };
        assert!(refused.to_string().contains(&expected), "{refused}");
    }
}

#[tokio::test]
async fn a_rotation_copies_the_settings_and_marks_the_old_key() {
    let desk = Desk::new().await;
    let end = NOW.saturating_add(Duration::from_secs(3_600));
    let made = desk
        .make(
            "k",
            KeyInput {
                description: Input::Given("first".into()),
                enabled: Input::Given(false),
                allow_re_enrollment: Input::Given(true),
                expires_at: Input::Given(end),
                addresses: Input::Given(vec!["192.0.2.0/24".into()]),
                version: Input::Given(KeyVersion::Bare),
                ui_config: Input::Given("blue".into()),
                ..KeyInput::default()
            },
        )
        .await;
    let successor = desk.rotate(made.key.id).await.unwrap();
    let string = string_of(&successor);
    assert_ne!(string, string_of(&made));
    let (old, new) = (desk.stored(made.key.id).await, desk.stored(successor.key.id).await);
    assert_eq!((old.successor_id, new.successor_id), (Some(new.id), None));
    assert_eq!((old.revision, new.revision), (made.key.revision.next(), crate::domain::Revision::FIRST));
    assert_eq!((new.name.as_str(), new.description.as_str()), ("k-2", "first"));
    assert_eq!((new.group_id, new.signing_certificate_id), (old.group_id, old.signing_certificate_id));
    assert_eq!((new.enabled, new.allow_re_enrollment, new.expires_at), (false, true, Some(end)));
    assert_eq!((new.maximum, &new.addresses, new.version), (old.maximum, &old.addresses, KeyVersion::Bare));
    assert_eq!((new.is_exportable(), new.ui_config.as_deref(), new.usage.uses), (true, Some("blue"), 0));
    let events = desk.last_events(2).await;
    assert_eq!((&*events[0].0, &*events[1].0), ("create", "rotate"));
    assert_eq!(events[1].1["successorId"], new.id.to_string());
    desk.assert_unspoken(&string).await;

    assert!(
        matches!(desk.rotate(old.id).await, Err(Error::AlreadyRotated { successor }) if successor == new.id),
        "two successors would be in circulation"
    );
    let third = desk.rotate(new.id).await.unwrap();
    assert_eq!(third.key.name.as_str(), "k-3");
    let customer = desk.fixture.customer();
    desk.management().delete_key(&desk.actor, customer, KIND, new.id, None, false).await.unwrap();
    assert_eq!(desk.rotate(old.id).await.unwrap().key.name.as_str(), "k-2", "the successor is gone");
}

#[tokio::test]
async fn a_successor_takes_the_first_free_name_or_the_given_one() {
    let desk = Desk::new().await;
    let made = desk.make("site", KeyInput::default()).await;
    for taken in ["SITE-2", "site-3"] {
        desk.make(taken, KeyInput::default()).await;
    }
    let taken = desk.rotate_as(&desk.actor, made.key.id, Input::Given("Site-2".into())).await;
    assert!(matches!(taken, Err(Error::DuplicateName { name, .. }) if name == "Site-2"));
    let wrong = desk.rotate_as(&desk.actor, made.key.id, Input::Given("a/b".into())).await;
    assert_eq!(faults(wrong), [Field::Name]);
    assert_eq!(desk.stored(made.key.id).await.successor_id, None, "nothing was marked");
    let second = desk.rotate(made.key.id).await.unwrap();
    assert_eq!(second.key.name.as_str(), "site-4");
    let named = desk.rotate_as(&desk.actor, second.key.id, Input::Given("Berlin".into())).await.unwrap();
    assert_eq!(named.key.name.as_str(), "Berlin");
}

#[tokio::test]
async fn ten_names_are_tried_for_a_successor() {
    let desk = Desk::new().await;
    for (name, taken, successor) in [("nine", 9, Some("nine-11")), ("ten", 10, None)] {
        let made = desk.make(name, KeyInput::default()).await;
        for n in 0..taken {
            desk.make(&format!("{name}-{}", n + 2), KeyInput::default()).await;
        }
        match (desk.rotate(made.key.id).await, successor) {
            (Ok(view), Some(successor)) => assert_eq!(view.key.name.as_str(), successor),
            (Err(Error::DuplicateName { name, .. }), None) => assert_eq!(name, "ten-11"),
            (outcome, _) => panic!("{name}: {:?}", outcome.err()),
        }
    }
}

#[tokio::test]
async fn a_list_that_knows_no_pages_is_whole_or_refused() {
    let desk = Desk::new().await;
    let row = desk.make("k-0", KeyInput { exportable: Input::Given(false), ..KeyInput::default() }).await.key;
    let insert = |n: u64| {
        let mut digest = [0; KeyDigest::BYTES];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        let (id, digest) = (ProvisioningKeyId::from_raw(n), KeyDigest::from_bytes(digest));
        Change::InsertKey(ProvisioningKey { id, digest, name: Name::new(&format!("k-{n}")).unwrap(), ..row.clone() })
    };
    for start in (1..10_000).step_by(1_000) {
        let through = (start + 1_000).min(10_000);
        let (fixture, rows) = (&desk.fixture, (start..through).map(insert).collect());
        fixture.store.commit_changes(rows, vec![], &fixture.management.parts.audit_key).await.unwrap();
    }
    let list = || desk.management().list_keys_of_group(&desk.actor, row.customer_id, KIND, desk.group);
    assert_eq!(list().await.unwrap().len(), 10_000);
    desk.fixture.apply(insert(10_000)).await;
    assert_eq!(faults(list().await), [Field::Group]);
}

#[tokio::test]
async fn a_successor_of_a_foreign_or_hidden_or_expired_key() {
    let desk = Desk::new().await;
    let imported = desk.import(FOREIGN, key_input("old", desk.group)).await.unwrap();
    let successor = desk.rotate(imported.key.id).await.unwrap();
    assert!(matches!(inspect(&string_of(&successor)), Inspection::Usable { pin: PIN, .. }));
    assert_eq!((successor.key.version, successor.key.is_exportable()), (KeyVersion::Bootstrap, false));

    let end = NOW.saturating_add(Duration::from_secs(100));
    let made = desk.make("k", KeyInput { expires_at: Input::Given(end), ..KeyInput::default() }).await;
    desk.fixture.clock.advance(Duration::from_secs(1_000));
    let successor = desk.rotate(made.key.id).await.unwrap().key;
    assert_eq!(successor.expires_at, Some(NOW.saturating_add(Duration::from_secs(1_100))));
}

#[tokio::test]
async fn a_key_whose_signing_certificate_signs_no_more_is_not_rotated() {
    let desk = Desk::new().await;
    let made = desk.make("k", KeyInput::default()).await;
    let admin = desk.fixture.actor(Role::Admin);
    let off = SigningCertificateInput { allow_signing: Input::Given(false), ..SigningCertificateInput::default() };
    let (customer, signer) = (desk.fixture.customer(), made.key.signing_certificate_id);
    desk.management().edit_signing_certificate(&admin, customer, signer, None, &off).await.unwrap();
    assert_eq!(faults(desk.rotate(made.key.id).await), [Field::SigningCertificate]);
}

#[tokio::test]
async fn racing_rotations_make_one_successor() {
    let desk = Desk::new().await;
    for n in 0..10 {
        let made = desk.make(&format!("race{n}"), KeyInput::default()).await;
        let (one, other) = tokio::join!(desk.rotate(made.key.id), desk.rotate(made.key.id));
        let (successor, refused) = match (one, other) {
            (Ok(view), Err(refused)) | (Err(refused), Ok(view)) => (view.key.id, refused),
            _ => panic!("one of two is made"),
        };
        assert!(matches!(refused, Error::AlreadyRotated { successor: told } if told == successor));
        assert_eq!(desk.stored(made.key.id).await.successor_id, Some(successor));
    }
    // Different keys that want the same name.
    let (one, other) = (desk.make("same", KeyInput::default()).await, desk.make("same-1", KeyInput::default()).await);
    desk.edit(other.key.id, KeyInput { name: Input::Given("SAME-2".into()), ..KeyInput::default() }).await;
    let (first, second) = tokio::join!(desk.rotate(one.key.id), desk.rotate(other.key.id));
    let mut names = [first.unwrap().key.name.as_str().to_lowercase(), second.unwrap().key.name.as_str().to_lowercase()];
    names.sort();
    assert_eq!(names, ["same-3", "same-4"]);
}

#[tokio::test]
async fn a_managed_key_is_exported_and_checked_but_not_rotated_by_others() {
    let desk = Desk::new().await;
    let manager = desk.manager();
    let customer = desk.fixture.customer();
    let made = desk.management().create_key(&manager, customer, KIND, key_input("k", desk.group)).await.unwrap();
    let string = string_of(&made);
    for actor in [&desk.actor, &desk.fixture.actor(Role::Admin)] {
        assert!(matches!(desk.rotate_as(actor, made.key.id, Input::Absent).await, Err(Error::ReadOnly { .. })));
        let exported = desk.management().export_key(actor, customer, KIND, made.key.id).await.unwrap();
        assert_eq!(exported.string.expose(), string);
    }
    assert!(desk.check(&string).await.would_enroll());
    let ids = Input::Given(vec![made.key.id]);
    for operation in ["delete", "disable", "enable", "extend"] {
        let input = BulkInput {
            operation: Input::Given(operation.into()),
            ids: ids.clone(),
            expires_at: Input::Given(NOW.saturating_add(Duration::from_secs(60))),
            ..BulkInput::default()
        };
        let results = desk.bulk(input).await.unwrap();
        assert!(matches!(&results[..], [(_, Err(Error::ReadOnly { .. }))]), "{operation}");
    }
    let successor = desk.rotate_as(&manager, made.key.id, Input::Absent).await.unwrap().key;
    assert_eq!(successor.managed_by, made.key.managed_by);
    let imported = Input::Given(secret(FOREIGN));
    let imported = desk.management().import_key(&manager, customer, KIND, imported, key_input("i", desk.group)).await;
    assert_eq!(imported.unwrap().key.managed_by, made.key.managed_by);
}

#[tokio::test]
async fn an_export_is_written_down_and_refused_where_it_is_of_no_use() {
    let desk = Desk::new().await;
    let customer = desk.fixture.customer();
    let made = desk.make("k", KeyInput::default()).await;
    let export = |actor| desk.management().export_key(actor, customer, KIND, made.key.id);
    let exported = export(&desk.actor).await.unwrap();
    assert_eq!((exported.name.as_str(), exported.string.expose()), ("k", &*string_of(&made)));
    assert_eq!(desk.last_events(1).await, [("export".to_owned(), Value::Null)]);
    let auditor = desk.fixture.actor(Role::Auditor);
    assert!(matches!(export(&auditor).await, Err(Error::Forbidden { needed: Role::Operator, .. })));

    // An expired and disabled one may be prepared for later.
    desk.edit(made.key.id, KeyInput { enabled: Input::Given(false), ..KeyInput::default() }).await;
    assert!(export(&desk.actor).await.is_ok());
    let written = desk.fixture.audit(customer).await.len();
    desk.edit(made.key.id, KeyInput { exportable: Input::Given(false), ..KeyInput::default() }).await;
    assert!(matches!(export(&desk.actor).await, Err(Error::NotExportable)));
    assert_eq!(desk.fixture.audit(customer).await.len(), written + 1, "a refused one is no export");
    let missing = desk.management().export_key(&desk.actor, customer, Kind::Machine, made.key.id).await;
    assert!(matches!(missing, Err(Error::NotFound { object: Object::ProvisioningKey, .. })));
}

#[tokio::test]
async fn a_check_says_what_a_device_would_be_told() {
    let desk = Desk::new().await;
    let (fixture, customer) = (&desk.fixture, desk.fixture.customer());
    let made = desk.make("k", KeyInput::default()).await;
    let (id, string) = (made.key.id, string_of(&made));
    let refusal = async || {
        let check = desk.check(&string).await;
        let KeyCheck::Known(known) = &check else { panic!("{check:?}") };
        assert_eq!((known.id, known.kind, &*known.key_id), (id, KIND, &*made.key.key_id));
        assert_eq!(check.would_enroll(), known.refusal.is_none());
        known.refusal
    };
    assert_eq!(refusal().await, None);
    let told = json!({ "result": "known", "wouldEnroll": true, "code": null });
    assert_eq!(desk.last_events(1).await, [("check".to_owned(), told)]);

    // From the last check to the first, so that each is told in front of those that hold already.
    let end = NOW.saturating_add(Duration::from_secs(60));
    desk.edit(id, KeyInput { expires_at: Input::Given(end), ..KeyInput::default() }).await;
    assert_eq!(refusal().await, None);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(refusal().await, Some(Refusal::KeyExpired));
    desk.edit(id, KeyInput { enabled: Input::Given(false), ..KeyInput::default() }).await;
    assert_eq!(refusal().await, Some(Refusal::KeyDisabled));
    let (admin, signer) = (fixture.actor(Role::Admin), made.key.signing_certificate_id);
    let off = SigningCertificateInput { allow_signing: Input::Given(false), ..SigningCertificateInput::default() };
    desk.management().edit_signing_certificate(&admin, customer, signer, None, &off).await.unwrap();
    assert_eq!(refusal().await, Some(Refusal::SigningCertificateUnavailable));
    let off = GroupInput { enabled: Input::Given(false), ..GroupInput::default() };
    desk.management().edit_group(&admin, customer, KIND, desk.group, None, &off).await.unwrap();
    assert_eq!(refusal().await, Some(Refusal::GroupDisabled));
    let mut row = fixture.stored_customer().await;
    row.enabled = false;
    fixture.apply(Change::UpdateCustomer(row)).await;
    assert_eq!(refusal().await, Some(Refusal::CustomerDisabled));
    desk.assert_unspoken(&string).await;
}

#[tokio::test]
async fn a_signing_certificate_that_ends_too_soon_is_told_by_a_check() {
    let desk = Desk::new().await;
    let string = string_of(&desk.make("k", KeyInput::default()).await);
    let listed = desk.fixture.store.list_signing_certificates(desk.fixture.customer(), &ListQuery::first(500)).await;
    let signer = listed.unwrap().rows.into_iter().find(|row| row.name.as_str() == "Connector").unwrap();
    // It signs for a day: less than a tenth of that left is too little, though it is still valid.
    let tenth = Duration::from_secs(u64::from(DAY_SECONDS) / 10);
    for (left, would_enroll) in [(tenth, true), (tenth - Duration::from_secs(1), false)] {
        let at = signer.not_after.saturating_sub(left);
        desk.fixture.clock.set(at);
        assert!(signer.is_usable(at));
        assert_eq!(desk.check(&string).await.would_enroll(), would_enroll, "{left:?}");
    }
}

#[tokio::test]
async fn a_check_tells_damaged_from_unknown_and_nothing_of_other_customers() {
    let desk = Desk::new().await;
    let customer = desk.fixture.customer();
    let string = string_of(&desk.make("k", KeyInput::default()).await);
    for damaged in [&string[..string.len() - 1], &string.replace("3|e", "3|f"), "", "hello", "3|example.com|short"] {
        assert_eq!(desk.check(damaged).await, KeyCheck::Damaged, "{damaged:.20}");
    }
    for unknown in [FOREIGN, &string.replace("3|", "2|"), &format!("3|example.com|{}", "A".repeat(97))] {
        assert_eq!(desk.check(unknown).await, KeyCheck::Unknown, "{unknown:.20}");
    }
    let told = json!({ "result": "unknown", "wouldEnroll": false, "code": null });
    assert_eq!(desk.last_events(1).await, [("check".to_owned(), told)]);

    let other = Customer {
        id: CustomerId::from_raw(4_711),
        name: Name::new("Other").unwrap(),
        ..desk.fixture.stored_customer().await
    };
    desk.fixture.apply(Change::InsertCustomer(other.clone())).await;
    let owner = Actor { customer_id: CustomerId::SERVICE, ..desk.fixture.actor(Role::Owner) };
    let check = |customer| desk.management().check_key(&owner, customer, Input::Given(secret(&string)));
    assert!(matches!(check(customer).await, Ok(KeyCheck::Known(_))));
    assert_eq!(check(other.id).await.unwrap(), KeyCheck::Unknown);

    let auditor = desk.fixture.actor(Role::Auditor);
    let refused = desk.management().check_key(&auditor, customer, Input::Given(secret(&string))).await;
    assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Operator, .. })));
    assert_eq!(faults(desk.management().check_key(&desk.actor, customer, Input::Cleared).await), [Field::KeyString]);
    desk.assert_unspoken(&string).await;
}

#[tokio::test]
async fn an_address_list_is_told_beside_the_outcome() {
    let desk = Desk::new().await;
    let made = desk.make("k", KeyInput::default()).await;
    let string = string_of(&made);
    let restricted = async || match desk.check(&string).await {
        KeyCheck::Known(known) => known.addresses_restricted,
        other => panic!("{other:?}"),
    };
    let list = || Input::Given(vec!["192.0.2.0/24".to_owned()]);
    assert!(!restricted().await);
    desk.edit(made.key.id, KeyInput { addresses: list(), ..KeyInput::default() }).await;
    assert!(restricted().await);
    desk.edit(made.key.id, KeyInput { addresses: Input::Cleared, ..KeyInput::default() }).await;
    let (admin, customer) = (desk.fixture.actor(Role::Admin), desk.fixture.customer());
    let input = GroupInput { addresses: list(), ..GroupInput::default() };
    desk.management().edit_group(&admin, customer, KIND, desk.group, None, &input).await.unwrap();
    assert!(restricted().await);
}

#[tokio::test]
async fn raising_the_maximum_has_an_action_of_its_own() {
    let desk = Desk::new().await;
    let machines = desk.fixture.group(Kind::Machine, "Laptops").await;
    let customer = desk.fixture.customer();
    let made = desk.management().create_key(&desk.actor, customer, Kind::Machine, key_input("m", machines)).await;
    let id = made.unwrap().key.id;
    for (maximum, action) in [
        (Input::Given(11), "raise-maximum"),
        (Input::Given(1), "update"),
        (Input::Cleared, "raise-maximum"),
        (Input::Given(5), "update"),
    ] {
        let input = KeyInput { maximum, ..KeyInput::default() };
        desk.management().edit_key(&desk.actor, customer, Kind::Machine, id, None, &input).await.unwrap();
        assert_eq!(desk.last_events(1).await[0].0, action);
    }
}

#[tokio::test]
async fn what_a_client_keeps_with_a_key_comes_back_or_is_not_there() {
    let desk = Desk::new().await;
    let made = desk.make("k", KeyInput { ui_config: Input::Given(String::new()), ..KeyInput::default() }).await;
    assert_eq!(made.key.ui_config, None);
    let edit = async |ui_config| desk.edit(made.key.id, KeyInput { ui_config, ..KeyInput::default() }).await;
    edit(Input::Given("x".repeat(4_096))).await;
    assert_eq!(desk.stored(made.key.id).await.ui_config.map(|text| text.len()), Some(4_096));
    edit(Input::Absent).await;
    assert!(desk.stored(made.key.id).await.ui_config.is_some());
    edit(Input::Given(String::new())).await;
    assert_eq!(desk.stored(made.key.id).await.ui_config, None);
    let long = KeyInput { ui_config: Input::Given("x".repeat(4_097)), ..KeyInput::default() };
    let customer = desk.fixture.customer();
    let refused = desk.management().edit_key(&desk.actor, customer, KIND, made.key.id, None, &long).await;
    assert_eq!(faults(refused), [Field::UiConfig]);
}

#[tokio::test]
async fn a_bulk_does_each_for_itself_in_the_order_given() {
    let desk = Desk::new().await;
    let end = NOW.saturating_add(Duration::from_secs(100));
    let expiring = desk.make("a", KeyInput { expires_at: Input::Given(end), ..KeyInput::default() }).await.key.id;
    let lasting = desk.make("b", KeyInput::default()).await.key.id;
    let missing = ProvisioningKeyId::from_raw(4_711);
    let machines = desk.fixture.group(Kind::Machine, "Laptops").await;
    let customer = desk.fixture.customer();
    let other_kind = desk.management().create_key(&desk.actor, customer, Kind::Machine, key_input("m", machines)).await;
    let other_kind = other_kind.unwrap().key.id;
    let all = Input::Given(vec![lasting, missing, expiring, other_kind, lasting]);
    let order = [lasting, missing, expiring, other_kind];
    let bulk = async |operation: &str, more: BulkInput| {
        let input = BulkInput { operation: Input::Given(operation.into()), ids: all.clone(), ..more };
        let results = desk.bulk(input).await.unwrap();
        assert!(results.iter().map(|(id, _)| *id).eq(order), "one for each, in the order given");
        for refused in [&results[1].1, &results[3].1] {
            assert!(matches!(refused, Err(Error::NotFound { .. })), "{operation}");
        }
        let [first, _, third, _] = <[_; 4]>::try_from(results).unwrap();
        (first.1, third.1)
    };

    let (first, third) = bulk("disable", BulkInput::default()).await;
    assert!(first.is_ok() && third.is_ok());
    assert!(!desk.stored(lasting).await.enabled && !desk.stored(expiring).await.enabled);
    let (first, third) = bulk("enable", BulkInput::default()).await;
    assert!(first.is_ok() && third.is_ok());
    assert!(desk.stored(lasting).await.enabled && desk.stored(expiring).await.enabled);

    let until = end.saturating_add(Duration::from_secs(1));
    let extended = async || (desk.stored(lasting).await, desk.stored(expiring).await);
    let mut before = None;
    for _ in 0..2 {
        let (first, third) =
            bulk("extend", BulkInput { expires_at: Input::Given(until), ..BulkInput::default() }).await;
        assert!(first.is_ok() && third.is_ok());
        let after = extended().await;
        assert_eq!((after.0.expires_at, after.1.expires_at), (Some(until), Some(until)));
        let revisions = (after.0.revision, after.1.revision);
        assert!(before.replace(revisions).is_none_or(|before| before == revisions), "a repetition changes nothing");
    }

    let (first, third) = bulk("delete", BulkInput { revoke: Input::Given(true), ..BulkInput::default() }).await;
    assert!(first.is_ok() && third.is_ok());
    let revoked = json!({ "revokedComponents": 0 });
    assert_eq!(desk.last_events(2).await, [("delete".to_owned(), revoked.clone()), ("delete".to_owned(), revoked)]);
    assert!(desk.fixture.store.find_key(customer, other_kind).await.unwrap().is_some());
}

#[tokio::test]
async fn a_bulk_that_cannot_be_meant_does_nothing() {
    let desk = Desk::new().await;
    let id = desk.make("k", KeyInput::default()).await.key.id;
    let bulk = |operation: &str, ids: Vec<ProvisioningKeyId>, more: BulkInput| {
        let operation = if operation.is_empty() { Input::Absent } else { Input::Given(operation.to_owned()) };
        desk.bulk(BulkInput { operation, ids: Input::Given(ids), ..more })
    };
    let none = BulkInput::default;
    let at = |at| BulkInput { expires_at: Input::Given(at), ..none() };
    let malformed = BulkInput { revoke: Input::Malformed("must be true or false"), ..none() };
    for (operation, more, expected) in [
        ("", none(), Field::Operation),
        ("destroy", none(), Field::Operation),
        ("extend", none(), Field::ExpiresAt),
        ("extend", at(NOW), Field::ExpiresAt),
        ("delete", malformed, Field::Revoke),
    ] {
        assert_eq!(faults(bulk(operation, vec![id], more).await), [expected], "{operation}");
    }
    let many = |count: u64| (1..=count).map(ProvisioningKeyId::from_raw).collect::<Vec<_>>();
    for (count, accepted) in [(0, false), (1, true), (BULK_IDS_MAX as u64, true), (BULK_IDS_MAX as u64 + 1, false)] {
        assert_eq!(bulk("enable", many(count), none()).await.is_ok(), accepted, "{count}");
    }
    let auditor = desk.fixture.actor(Role::Auditor);
    let refused = desk.management().bulk_keys(&auditor, desk.fixture.customer(), KIND, none()).await;
    assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Operator, .. })));
    assert!(desk.stored(id).await.enabled);
}

#[tokio::test]
async fn the_keys_of_a_group_are_listed_by_their_kind_only() {
    let desk = Desk::new().await;
    let other = desk.fixture.group(KIND, "Branch").await;
    let ids = [desk.make("a", KeyInput::default()).await.key.id, desk.make("b", KeyInput::default()).await.key.id];
    let customer = desk.fixture.customer();
    let list = |actor, kind, group| desk.management().list_keys_of_group(actor, customer, kind, group);
    let listed = list(&desk.actor, KIND, desk.group).await.unwrap();
    assert!(listed.iter().map(|view| view.key.id).eq(ids) && listed.iter().all(|view| view.string.is_some()));
    let auditor = desk.fixture.actor(Role::Auditor);
    assert!(list(&auditor, KIND, desk.group).await.unwrap().iter().all(|view| view.string.is_none()));
    assert!(list(&desk.actor, KIND, other).await.unwrap().is_empty());
    for (kind, group) in [(Kind::Machine, desk.group), (KIND, GroupId::from_raw(4_711))] {
        assert!(matches!(list(&desk.actor, kind, group).await, Err(Error::NotFound { object: Object::Group, .. })));
    }
}
