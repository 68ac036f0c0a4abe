//! Peppers are rotated, and digests move.

use super::*;
use crate::management::keys::KeyView;
use crate::management::peppers::{PepperRefusal, PepperReport, PepperStep};
use crate::secret::pepper::PepperNumber;
use crate::store::DigestCounts;

const KIND: Kind = Kind::Machine;
const OLD: PepperNumber = PepperNumber(1);
const NEW: PepperNumber = PepperNumber(2);

fn counts(pepper: PepperNumber, keys: u64, api_clients: u64) -> DigestCounts {
    DigestCounts { pepper, keys, api_clients }
}

impl Fixture {
    async fn step(&self, step: PepperStep) -> Result<PepperReport, Error> {
        self.management.take_pepper_step(&Actor::system(), step).await
    }

    async fn under(&self) -> Vec<DigestCounts> {
        self.management.find_peppers(&Actor::system()).await.unwrap().live
    }

    async fn made(&self, group: GroupId, name: &str, exportable: bool) -> KeyView {
        let input = KeyInput { exportable: Input::Given(exportable), ..key_input(name, group) };
        self.management.create_key(&Actor::system(), self.customer(), KIND, input).await.unwrap()
    }

    async fn client_signs_in(&self) -> Result<(), Error> {
        let signed_in = self.management.sign_in_client(&self.first.client_id, &self.first.client_secret).await;
        signed_in.map(drop)
    }

    async fn service_events(&self) -> Vec<(String, Option<String>)> {
        let rows = self.audit(CustomerId::SERVICE).await;
        let of_peppers = rows.into_iter().filter(|row| row.event.action.contains("pepper"));
        of_peppers.map(|row| (row.event.action, row.event.after)).collect()
    }
}

#[tokio::test]
async fn digests_move_and_the_older_pepper_goes() {
    let fixture = Fixture::new().await;
    let group = fixture.group(KIND, "HQ").await;
    let (kept, secret) = (fixture.made(group, "kept", true).await, fixture.made(group, "secret", false).await);
    let report = fixture.step(PepperStep::Rotate).await.unwrap();
    assert_eq!(report.live, [counts(NEW, 0, 0), counts(OLD, 2, 1)]);
    let names: Vec<_> = report.left.keys.iter().map(|(_, key)| key.name.as_str()).collect();
    assert_eq!((names, report.left.api_clients.len()), (vec!["kept", "secret"], 1));

    // Nothing moves before all nodes must know the new one; it verifies already.
    fixture.follow_peppers(false).await;
    assert_eq!(fixture.move_digests().await, 0);
    assert!(!fixture.retire_if_unused().await);
    fixture.client_signs_in().await.unwrap();
    assert_eq!(fixture.made(group, "early", true).await.key.pepper, OLD);
    assert_eq!(fixture.under().await, [counts(NEW, 0, 0), counts(OLD, 3, 1)]);

    fixture.follow_peppers(true).await;
    assert_eq!(fixture.made(group, "new", true).await.key.pepper, NEW);
    assert_eq!(fixture.move_digests().await, 2, "of those that are kept");
    assert_eq!(fixture.move_digests().await, 0);
    fixture.client_signs_in().await.unwrap();
    fixture.client_signs_in().await.unwrap();
    assert_eq!(fixture.under().await, [counts(NEW, 3, 1), counts(OLD, 1, 0)]);
    assert!(!fixture.retire_if_unused().await);
    let refused = fixture.step(PepperStep::Rotate).await;
    let Err(Error::PepperRotation(refusal @ PepperRefusal::Unfinished(left))) = refused else {
        panic!("a third pepper")
    };
    assert_eq!(left, counts(OLD, 1, 0));
    let told = refusal.to_string();
    assert!(told.contains("1 provisioning keys and 0 API clients are left under number 1"), "{told}");

    let customer = fixture.customer();
    fixture.management.delete_key(&Actor::system(), customer, KIND, secret.key.id, None, false).await.unwrap();
    assert!(fixture.retire_if_unused().await);
    assert!(!fixture.retire_if_unused().await, "it went");
    assert_eq!(fixture.under().await, [counts(NEW, 3, 1)]);
    fixture.follow_peppers(true).await;
    let check = fixture.management.check_key(&Actor::system(), customer, Input::Given(kept.string.unwrap())).await;
    assert!(check.unwrap().would_enroll());
    fixture.client_signs_in().await.unwrap();
    let events = fixture.service_events().await;
    let actions: Vec<_> = events.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["rotate-pepper", "finish-pepper-rotation"]);
    assert_eq!(fixture.step(PepperStep::Rotate).await.unwrap().live[0], counts(PepperNumber(3), 0, 0));
}

#[tokio::test]
async fn a_node_that_has_not_heard_of_a_pepper_asks_before_it_refuses_a_client() {
    let fixture = Fixture::new().await;
    fixture.step(PepperStep::Rotate).await.unwrap();
    fixture.follow_peppers(true).await;
    fixture.client_signs_in().await.unwrap();
    assert_eq!(fixture.under().await, [counts(NEW, 0, 1), counts(OLD, 0, 0)]);
    fixture.forget_newest_pepper().await;
    let elsewhere = Change::PutSetting { name: "of another node".to_owned(), value: String::new() };
    fixture.apply(elsewhere).await;
    let newest = fixture.store.last_change().await.unwrap().0;
    assert!(fixture.announced.0.load(Ordering::SeqCst) < newest);
    let refused = fixture.client_signs_in().await;
    assert!(matches!(refused, Err(Error::StoreUnavailable { .. })), "what it asks does nothing in this test");
    assert_eq!(fixture.announced.0.load(Ordering::SeqCst), newest, "it asked for what is new");
    fixture.follow_peppers(true).await;
    fixture.client_signs_in().await.unwrap();
}

#[tokio::test]
async fn a_rotation_is_ended_without_those_that_never_came() {
    let fixture = Fixture::new().await;
    let group = fixture.group(KIND, "HQ").await;
    let (kept, secret) = (fixture.made(group, "kept", true).await, fixture.made(group, "secret", false).await);
    let refused = fixture.step(PepperStep::Finish).await;
    assert!(matches!(refused, Err(Error::PepperRotation(PepperRefusal::NoneUnderWay(OLD)))));
    fixture.step(PepperStep::Rotate).await.unwrap();
    fixture.follow_peppers(true).await;
    let report = fixture.step(PepperStep::Finish).await.unwrap();
    assert_eq!(report.live, [counts(NEW, 1, 0)], "what is kept moved first");
    let lost: Vec<_> = report.lost.keys.iter().map(|(_, key)| key.id).collect();
    assert_eq!((lost, report.lost.api_clients.len()), (vec![secret.key.id], 1));
    let events = fixture.service_events().await;
    let (action, after) = events.last().unwrap();
    assert_eq!(action, "finish-pepper-rotation");
    let after: serde_json::Value = serde_json::from_str(after.as_deref().unwrap()).unwrap();
    assert_eq!(after, serde_json::json!({ "pepper": 2, "keys": 1, "apiClients": 1 }));

    fixture.follow_peppers(true).await;
    let check =
        fixture.management.check_key(&Actor::system(), fixture.customer(), Input::Given(kept.string.unwrap())).await;
    assert!(check.unwrap().would_enroll());
    assert!(matches!(fixture.client_signs_in().await, Err(Error::InvalidCredentials)));
    let (actor, customer, id) = (Actor::system(), fixture.customer(), secret.key.id);
    let enable = KeyInput { enabled: Input::Given(true), ..KeyInput::default() };
    let enabled = fixture.management.edit_key(&actor, customer, KIND, id, None, &enable).await;
    let Err(Error::Invalid(faults)) = enabled else { panic!("enabled, and nobody could use it") };
    assert!(faults.to_string().contains("went with its pepper"), "{faults}");
    let renamed = KeyInput { name: Input::Given("renamed".to_owned()), ..KeyInput::default() };
    fixture.management.edit_key(&actor, customer, KIND, id, None, &renamed).await.unwrap();
    let successor = fixture.management.rotate_key(&actor, customer, KIND, id, None, &Input::Absent).await.unwrap();
    assert_eq!((successor.key.pepper, successor.key.enabled), (NEW, false), "with the settings that it has");
    let id = successor.key.id;
    fixture.management.edit_key(&actor, customer, KIND, id, None, &enable).await.unwrap();
}

#[tokio::test]
async fn only_owners_see_to_peppers() {
    let fixture = Fixture::new().await;
    let admin = fixture.actor(Role::Admin);
    assert!(matches!(fixture.management.find_peppers(&admin).await, Err(Error::Forbidden { .. })));
    for step in [PepperStep::Rotate, PepperStep::Finish] {
        assert!(matches!(fixture.management.take_pepper_step(&admin, step).await, Err(Error::Forbidden { .. })));
    }
}
