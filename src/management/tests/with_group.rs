//! A key and its group in one transaction, and what is said before anything is made.

use zeroize::Zeroizing;

use super::*;
use crate::management::Request;
use crate::management::fields::FieldErrors;
use crate::management::once::{Outcome, Repeatable};

fn group_input(name: &str) -> GroupInput {
    GroupInput { name: Input::Given(name.into()), ..GroupInput::default() }
}

/// Of a key that names no group.
fn new_key(name: &str) -> KeyInput {
    KeyInput { group: Input::Absent, ..key_input(name, GroupId::from_raw(1)) }
}

fn fields(errors: Option<&FieldErrors>) -> Vec<Field> {
    errors.into_iter().flat_map(FieldErrors::iter).map(|error| error.field).collect()
}

/// Of the group, of the key.
fn parts(outcome: Result<impl Sized, Error>) -> (Vec<Field>, Vec<Field>) {
    match outcome {
        Err(Error::InvalidWithGroup { group, key }) => (fields(group.as_ref()), fields(key.as_ref())),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}

impl Fixture {
    /// How many groups and keys of the kind there are.
    async fn counts(&self, kind: Kind) -> (u64, u64) {
        let groups = self.store.list_groups(self.customer(), kind, &ListQuery::first(1)).await.unwrap();
        let keys = self.store.list_keys(self.customer(), kind, &ListQuery::first(1)).await.unwrap();
        (groups.total, keys.total)
    }
}

#[tokio::test]
async fn a_group_and_its_first_key_are_made_together() {
    let fixture = Fixture::new().await;
    let (management, customer, kind) = (&fixture.management, fixture.customer(), Kind::AppConnector);
    let admin = fixture.actor(Role::Admin);
    management.check_key_in_new_group(&admin, customer, kind, group_input("HQ"), new_key("first")).await.unwrap();
    assert_eq!(fixture.counts(kind).await, (0, 0), "a look stores nothing");
    let made =
        management.create_key_in_new_group(&admin, customer, kind, group_input("HQ"), new_key("first")).await.unwrap();
    let (group, key) = (&made.group.group, &made.key.key);
    assert_eq!((key.group_id, key.signing_certificate_id), (group.id, group.signing_certificate_id));
    assert_eq!(made.key.group_name.as_ref(), Some(&group.name));
    assert_ne!(inspect(made.key.string.as_ref().unwrap().expose()), Inspection::Damaged);
    assert_eq!(fixture.announced.0.load(Ordering::SeqCst), fixture.store.last_change().await.unwrap().0);
    let stored = management.find_key(&admin, customer, kind, key.id).await.unwrap();
    assert_eq!(stored.string.unwrap().expose(), made.key.string.as_ref().unwrap().expose());
    assert_eq!(management.find_group(&admin, customer, kind, group.id).await.unwrap().contents.keys, 1);

    let mut events = fixture.audit(customer).await.split_off(8);
    assert_eq!(events.len(), 2);
    let event = events.pop().unwrap().event;
    assert_eq!((event.action.as_str(), event.object_id), ("create", key.id.to_string()));
    let event = events.pop().unwrap().event;
    assert_eq!((event.action.as_str(), event.object_id), ("create", group.id.to_string()));
}

#[tokio::test]
async fn faults_of_group_and_key_are_told_apart_and_at_once() {
    let fixture = Fixture::new().await;
    let (management, customer, kind) = (&fixture.management, fixture.customer(), Kind::AppConnector);
    let admin = fixture.actor(Role::Admin);
    let there = fixture.group(kind, "HQ").await;
    management.create_key(&admin, customer, kind, key_input("first", there)).await.unwrap();
    let unknown = Input::Given(crate::id::SigningCertificateId::from_raw(1));
    let bad_group = GroupInput {
        description: Input::Given("\0".into()),
        enabled: Input::Malformed("must be true or false"),
        signing_certificate: unknown.clone(),
        ..group_input("hq")
    };
    let bad_key = KeyInput {
        description: Input::Given("\0".into()),
        maximum: Input::Given(0),
        expires_at: Input::Given(NOW),
        group: Input::Given(there),
        signing_certificate: unknown,
        ..key_input("FIRST", there)
    };
    let of_group = [Field::Name, Field::Description, Field::Enabled, Field::SigningCertificate].to_vec();
    let of_key =
        [Field::Name, Field::Group, Field::SigningCertificate, Field::Description, Field::Maximum, Field::ExpiresAt]
            .to_vec();
    let good = || (group_input("Branch"), new_key("second"));
    for (group, key, expected) in [
        (bad_group.clone(), bad_key.clone(), (of_group.clone(), of_key.clone())),
        (bad_group, good().1, (of_group, vec![])),
        (good().0, bad_key, (vec![], of_key)),
        (GroupInput::default(), KeyInput::default(), (vec![Field::Name], vec![Field::Name, Field::Maximum])),
        (group_input("hq"), new_key("First"), (vec![Field::Name], vec![Field::Name])),
    ] {
        let looked = management.check_key_in_new_group(&admin, customer, kind, group.clone(), key.clone()).await;
        assert_eq!(parts(looked), expected);
        let refused = management.create_key_in_new_group(&admin, customer, kind, group, key).await;
        assert_eq!(parts(refused), expected);
    }
    assert_eq!(fixture.counts(kind).await, (1, 1));
    for role in [Role::Auditor, Role::Operator] {
        let (group, key) = good();
        let refused = management.create_key_in_new_group(&fixture.actor(role), customer, kind, group, key).await;
        assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Admin, .. })), "{role}");
        let (group, key) = good();
        let refused = management.check_key_in_new_group(&fixture.actor(role), customer, kind, group, key).await;
        assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Admin, .. })), "{role}");
    }
    // Names are of their kind.
    let (group, key) = (group_input("HQ"), new_key("first"));
    management.create_key_in_new_group(&admin, customer, Kind::ServiceEdge, group, key).await.unwrap();
}

/// The looks before find both names free; the transaction does not.
#[tokio::test]
async fn of_two_who_race_for_a_name_one_is_told_which_it_was() {
    let fixture = Fixture::new().await;
    let (management, customer, kind) = (&fixture.management, fixture.customer(), Kind::Machine);
    let admin = fixture.actor(Role::Admin);
    for round in 0..4 {
        let make = |group: &str, key: &str| {
            let (group, key) = (group_input(&format!("{group} {round}")), new_key(&format!("{key} {round}")));
            management.create_key_in_new_group(&admin, customer, kind, group, key)
        };
        let (one, two) = tokio::join!(make("same", "a"), make("same", "b"));
        assert!(one.is_ok() != two.is_ok());
        match one.and(two).err() {
            Some(Error::DuplicateName { object: Object::Group, name }) => assert_eq!(name, format!("same {round}")),
            Some(Error::InvalidWithGroup { group: Some(_), key: None }) => {}
            other => panic!("{other:?}"),
        }
        let (one, two) = tokio::join!(make("c", "same"), make("d", "same"));
        assert!(one.is_ok() != two.is_ok());
        match one.and(two).err() {
            Some(Error::DuplicateName { object: Object::ProvisioningKey, name }) => {
                assert_eq!(name, format!("same {round}"));
            }
            Some(Error::InvalidWithGroup { group: None, key: Some(_) }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(fixture.counts(kind).await, ((round + 1) * 2, (round + 1) * 2), "both or neither");
    }
}

#[tokio::test]
async fn sent_twice_it_is_made_once() {
    let fixture = Fixture::new().await;
    let (management, customer, kind) = (&fixture.management, fixture.customer(), Kind::Machine);
    let admin = fixture.actor(Role::Admin);
    let repeatable = Repeatable::new(&admin, "a form's own", &[b"body"]);
    let encode = |made: &crate::management::keys::with_group::KeyWithGroup| Outcome {
        lasting: Zeroizing::new(made.key.key.id.to_string().into_bytes()),
        brief: None,
    };
    let request = Request::new(&admin, Some(&repeatable), &encode);
    let made =
        management.create_key_in_new_group(request, customer, kind, group_input("HQ"), new_key("first")).await.unwrap();
    let answer = management.find_repeated(&repeatable).await.unwrap().unwrap();
    assert_eq!(answer.0.as_slice(), made.key.key.id.to_string().as_bytes());
}

#[tokio::test]
async fn a_look_at_one_input_says_what_making_it_would() {
    let fixture = Fixture::new().await;
    let (management, customer, kind) = (&fixture.management, fixture.customer(), Kind::ServiceEdge);
    let (admin, operator) = (fixture.actor(Role::Admin), fixture.actor(Role::Operator));
    management.check_group_input(&admin, customer, kind, group_input("HQ")).await.unwrap();
    let group = fixture.group(kind, "HQ").await;
    assert_eq!(faults(management.check_group_input(&admin, customer, kind, group_input("hq")).await), [Field::Name]);
    let empty = management.check_group_input(&admin, customer, kind, GroupInput::default()).await;
    assert_eq!(faults(empty), [Field::Name]);
    let refused = management.check_group_input(&operator, customer, kind, group_input("x")).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));

    let look = |input| management.check_key_input(&operator, customer, kind, input);
    look(key_input("k", group)).await.unwrap();
    management.create_key(&operator, customer, kind, key_input("k", group)).await.unwrap();
    let taken = KeyInput { maximum: Input::Cleared, ..key_input("K", group) };
    assert_eq!(faults(look(taken).await), [Field::Name, Field::Maximum]);
    assert_eq!(faults(look(KeyInput::default()).await), [Field::Name, Field::Maximum, Field::Group]);
    let refused =
        management.check_key_input(&fixture.actor(Role::Auditor), customer, kind, key_input("x", group)).await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
    assert_eq!(fixture.counts(kind).await, (1, 1));
}
