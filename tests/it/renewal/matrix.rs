//! Every certificate that somebody may show, in every state of what it belongs to, at every door.
//!
//! After each refusal, and each replay: no certificate more, no use more, nothing of the component moved. A refusal that
//! does not depend on the CSR is the same for a CSR that is none: it was not looked at.

use std::time::Duration;

use muster::clock::Clock as _;
use muster::domain::{Actor, CertificateRecord, Component, Fingerprint, Kind};
use muster::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use muster::management::Input;
use muster::management::components::ComponentInput;
use muster::management::customers::CustomerInput;
use muster::management::groups::GroupInput;
use muster::management::keys::KeyInput;
use rcgen::KeyPair;

use super::authority::Authority;
use super::front::{Door, Front, certificate_of};
use crate::support::device::{Identity, csr, key_pair};
use crate::support::world::{World, WorldDevice};

/// A component, its certificates, the uses of its key while there is one.
type Record = (Component, Vec<CertificateRecord>, Option<u32>);

const GRACE: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presented {
    Current,
    CurrentWithAnotherKeyPair,
    CurrentOfAFormerSigningCertificate,
    ExpiredInsideItsGrace,
    ExpiredPastItsGrace,
    NotYetValid,
    Predecessor,
    PredecessorWithAnotherKeyPair,
    /// Its own key pair is not the current one's, which the CSR has.
    PredecessorOfARekey,
    /// The CSR has the abandoned key pair.
    PredecessorOfARekeyWithItsOwnKeyPair,
    RenewedBefore,
    RenewedBeforeARekey,
    SupersededByAReEnrollment,
    RenewedBeforeAReEnrollment,
    /// The device's own certificate in front, a victim's behind.
    OwnBeforeAVictims,
    /// Somebody else's, self-signed, in front of the victim's.
    SelfSignedBeforeAVictims,
    SelfSigned,
    /// The same names and serial number, by the key of the CA that signed the real one.
    TwinByTheSameAuthority,
    /// By a CA below that one.
    TwinByAnAuthorityBelow,
    /// By another imported CA of the same customer.
    TwinByAnotherAuthority,
    /// By a CA of another customer.
    TwinByAnotherCustomersAuthority,
    None,
}

impl Presented {
    const ALL: [Self; 22] = [
        Self::Current,
        Self::CurrentWithAnotherKeyPair,
        Self::CurrentOfAFormerSigningCertificate,
        Self::ExpiredInsideItsGrace,
        Self::ExpiredPastItsGrace,
        Self::NotYetValid,
        Self::Predecessor,
        Self::PredecessorWithAnotherKeyPair,
        Self::PredecessorOfARekey,
        Self::PredecessorOfARekeyWithItsOwnKeyPair,
        Self::RenewedBefore,
        Self::RenewedBeforeARekey,
        Self::SupersededByAReEnrollment,
        Self::RenewedBeforeAReEnrollment,
        Self::OwnBeforeAVictims,
        Self::SelfSignedBeforeAVictims,
        Self::SelfSigned,
        Self::TwinByTheSameAuthority,
        Self::TwinByAnAuthorityBelow,
        Self::TwinByAnotherAuthority,
        Self::TwinByAnotherCustomersAuthority,
        Self::None,
    ];

    /// When everything else is in order.
    fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Current
            | Self::CurrentOfAFormerSigningCertificate
            | Self::ExpiredInsideItsGrace
            | Self::OwnBeforeAVictims => (200, "renewed"),
            Self::CurrentWithAnotherKeyPair => (200, "rekeyed"),
            Self::Predecessor | Self::PredecessorOfARekey => (200, "replayed"),
            Self::PredecessorWithAnotherKeyPair | Self::PredecessorOfARekeyWithItsOwnKeyPair | Self::RenewedBefore => {
                (403, "client-certificate-superseded")
            }
            Self::ExpiredPastItsGrace
            | Self::NotYetValid
            | Self::RenewedBeforeARekey
            | Self::SupersededByAReEnrollment
            | Self::RenewedBeforeAReEnrollment
            | Self::SelfSignedBeforeAVictims
            | Self::SelfSigned
            | Self::TwinByTheSameAuthority
            | Self::TwinByAnAuthorityBelow
            | Self::TwinByAnotherAuthority
            | Self::TwinByAnotherCustomersAuthority => (401, "client-certificate-refused"),
            Self::None => (401, "client-certificate-required"),
        }
    }

    /// Whether that follows from the CSR, too.
    fn is_decided_by_the_csr(self) -> bool {
        self.answer().0 == 200
            || matches!(self, Self::PredecessorWithAnotherKeyPair | Self::PredecessorOfARekeyWithItsOwnKeyPair)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InOrder,
    KeyDisabled,
    KeyExpired,
    KeyDeleted,
    GroupDisabled,
    CustomerDisabled,
    ComponentDisabled,
    ComponentRevoked,
    ComponentDeleted,
    /// Several at once: the first in the order of the contract is told.
    AllDisabled,
}

impl State {
    const ALL: [Self; 10] = [
        Self::InOrder,
        Self::KeyDisabled,
        Self::KeyExpired,
        Self::KeyDeleted,
        Self::GroupDisabled,
        Self::CustomerDisabled,
        Self::ComponentDisabled,
        Self::ComponentRevoked,
        Self::ComponentDeleted,
        Self::AllDisabled,
    ];

    /// What it makes of a certificate that is good, or was.
    fn answer(self) -> Option<(u16, &'static str)> {
        match self {
            Self::InOrder | Self::KeyDisabled | Self::KeyExpired | Self::KeyDeleted => None,
            Self::GroupDisabled => Some((403, "group-disabled")),
            Self::CustomerDisabled | Self::AllDisabled => Some((403, "customer-disabled")),
            Self::ComponentDisabled => Some((403, "component-disabled")),
            Self::ComponentRevoked | Self::ComponentDeleted => Some((401, "client-certificate-refused")),
        }
    }
}

/// A customer with its CAs, of which tests hold the keys; and another customer's.
struct Scene {
    front: Front,
    authority: Authority,
    signer: SigningCertificateId,
    another: Authority,
    another_signer: SigningCertificateId,
    foreign: Authority,
    victim: Identity,
    next: u32,
}

/// A device of a key and group of its own, and what it holds.
struct Subject {
    group: GroupId,
    key: ProvisioningKeyId,
    /// Of its key.
    string: String,
    fingerprint: Fingerprint,
    component: ComponentId,
    key_pair: KeyPair,
    held: Identity,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let [authority, another, foreign] = ["Imported", "Another", "Foreign"].map(Authority::root);
        let signer = authority.import(&world, world.customer, "Imported").await;
        let another_signer = another.import(&world, world.customer, "Another").await;
        let stranger = CustomerInput { name: Input::Given("Stranger".to_owned()), ..CustomerInput::default() };
        let stranger = world.management.create_customer(&Actor::system(), stranger, None).await;
        let stranger = stranger.unwrap_or_else(|error| panic!("{error}")).customer.id;
        foreign.import(&world, stranger, "Imported").await;
        let front = Front::open(world, GRACE);
        let nobody = Identity::new(&[], &key_pair());
        let mut scene = Self { front, authority, signer, another, another_signer, foreign, victim: nobody, next: 0 };
        scene.victim = scene.subject().await.held;
        scene
    }

    /// A device that has enrolled just now.
    async fn subject(&mut self) -> Subject {
        let world = &self.front.world;
        world.clock.advance(Duration::from_secs(3_600));
        self.next += 1;
        let name = format!("s{}", self.next);
        let group = world.group(Kind::Machine, &name).await;
        let input = KeyInput {
            signing_certificate: Input::Given(self.signer),
            allow_re_enrollment: Input::Given(true),
            expires_at: Input::Given(world.clock.now().saturating_add(Duration::from_secs(1_800))),
            ..KeyInput::default()
        };
        let (key, string) = world.key(group, &name, input).await;
        let key_pair = key_pair();
        let device = WorldDevice { csr: csr(&key_pair), ..WorldDevice::new(&name) };
        let enrolled = world.enroll(&string, &device).await.expect("enrolled");
        let held = Identity::new(&enrolled.certificate_der, &key_pair);
        let (fingerprint, component) = (device.fingerprint, enrolled.component_id);
        Subject { group, key, string, fingerprint, component, key_pair, held }
    }

    /// Renews as it should go, with this key pair.
    async fn next(&self, held: &Identity, key_pair: &KeyPair) -> Identity {
        let reply = self.front.renew(Door::Json, Some(held), &csr(key_pair)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        Identity::new(&certificate_of(&reply), key_pair)
    }

    /// What is shown, and the key pair of the CSR. Leaves the clock where it is.
    async fn arrange(&self, presented: Presented, subject: &Subject) -> (Option<Identity>, KeyPair) {
        let (held, same) = (&subject.held, copy(&subject.key_pair));
        let world = &self.front.world;
        let own = |identity: Identity| (Some(identity), copy(&subject.key_pair));
        match presented {
            Presented::Current
            | Presented::ExpiredInsideItsGrace
            | Presented::ExpiredPastItsGrace
            | Presented::NotYetValid => own(held.clone()),
            Presented::CurrentWithAnotherKeyPair => (Some(held.clone()), key_pair()),
            Presented::CurrentOfAFormerSigningCertificate => {
                let signing_certificate = Input::Given(self.another_signer);
                world.edit_key(subject.key, KeyInput { signing_certificate, ..KeyInput::default() }).await;
                own(held.clone())
            }
            Presented::Predecessor => {
                self.next(held, &same).await;
                own(held.clone())
            }
            Presented::PredecessorWithAnotherKeyPair => {
                self.next(held, &same).await;
                (Some(held.clone()), key_pair())
            }
            Presented::PredecessorOfARekey => {
                let new = key_pair();
                self.next(held, &new).await;
                (Some(held.clone()), new)
            }
            Presented::PredecessorOfARekeyWithItsOwnKeyPair => {
                self.next(held, &key_pair()).await;
                own(held.clone())
            }
            Presented::RenewedBefore => {
                let second = self.next(held, &same).await;
                self.next(&second, &same).await;
                own(held.clone())
            }
            Presented::RenewedBeforeARekey => {
                let second = self.next(held, &same).await;
                self.next(&second, &key_pair()).await;
                own(held.clone())
            }
            Presented::SupersededByAReEnrollment => {
                self.re_enroll(subject).await;
                own(held.clone())
            }
            Presented::RenewedBeforeAReEnrollment => {
                self.next(held, &same).await;
                self.re_enroll(subject).await;
                own(held.clone())
            }
            Presented::OwnBeforeAVictims => {
                let mut shown = held.clone();
                shown.chain.push(self.victim.certificate().to_vec());
                own(shown)
            }
            Presented::SelfSignedBeforeAVictims => {
                let mut shown = self_signed(subject.component);
                shown.chain.push(held.certificate().to_vec());
                own(shown)
            }
            Presented::SelfSigned => own(self_signed(subject.component)),
            Presented::TwinByTheSameAuthority => own(self.authority.twin(held.certificate())),
            Presented::TwinByAnAuthorityBelow => own(self.authority.below("Below").twin(held.certificate())),
            Presented::TwinByAnotherAuthority => own(self.another.twin(held.certificate())),
            Presented::TwinByAnotherCustomersAuthority => own(self.foreign.twin(held.certificate())),
            Presented::None => (None, same),
        }
    }

    async fn re_enroll(&self, subject: &Subject) {
        let device = WorldDevice { fingerprint: subject.fingerprint.clone(), ..WorldDevice::new("again") };
        self.front.world.enroll(&subject.string, &device).await.expect("re-enrolled");
    }

    async fn enter(&self, state: State, subject: &Subject) {
        let (world, actor) = (&self.front.world, Actor::system());
        let (customer, component) = (world.customer, subject.component);
        match state {
            State::InOrder => {}
            State::KeyDisabled => {
                let enabled = Input::Given(false);
                world.edit_key(subject.key, KeyInput { enabled, ..KeyInput::default() }).await;
            }
            State::KeyExpired => world.clock.advance(Duration::from_secs(1_800)),
            State::KeyDeleted => {
                let deleted = world.management.delete_key(&actor, customer, Kind::Machine, subject.key, None, false);
                deleted.await.unwrap_or_else(|error| panic!("{error}"));
            }
            State::GroupDisabled => self.enable_group(subject.group, false).await,
            State::CustomerDisabled => self.enable_customer(customer, false).await,
            State::ComponentDisabled => {
                let input = ComponentInput { enabled: Input::Given(false), ..ComponentInput::default() };
                let edited =
                    world.management.edit_component(&actor, customer, Kind::Machine, component, None, &input).await;
                edited.unwrap_or_else(|error| panic!("{error}"));
            }
            State::ComponentRevoked => {
                let revoked =
                    world.management.revoke_component(&actor, customer, Kind::Machine, component, None, Input::Absent);
                revoked.await.unwrap_or_else(|error| panic!("{error}"));
            }
            State::ComponentDeleted => {
                let deleted =
                    world.management.delete_component(&actor, customer, Kind::Machine, component, None, false);
                deleted.await.unwrap_or_else(|error| panic!("{error}"));
            }
            State::AllDisabled => {
                for state in
                    [State::ComponentDisabled, State::KeyDisabled, State::GroupDisabled, State::CustomerDisabled]
                {
                    Box::pin(self.enter(state, subject)).await;
                }
            }
        }
    }

    async fn enable_group(&self, group: GroupId, enabled: bool) {
        let world = &self.front.world;
        let input = GroupInput { enabled: Input::Given(enabled), ..GroupInput::default() };
        let edited =
            world.management.edit_group(&Actor::system(), world.customer, Kind::Machine, group, None, &input).await;
        edited.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn enable_customer(&self, customer: CustomerId, enabled: bool) {
        let input = CustomerInput { enabled: Input::Given(enabled), ..CustomerInput::default() };
        let edited = self.front.world.management.edit_customer(&Actor::system(), customer, None, &input).await;
        edited.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn component(&self, subject: &Subject) -> Component {
        let world = &self.front.world;
        let found = muster::store::Store::find_component(&*world.store, world.customer, subject.component).await;
        found.expect("the store").expect("the component")
    }

    /// All that a request could have changed.
    async fn record(&self, subject: &Subject) -> Record {
        let world = &self.front.world;
        let store: &dyn muster::store::Store = &*world.store;
        let certificates = store.list_certificates(world.customer, subject.component, 100).await;
        let key = store.find_key(world.customer, subject.key).await.expect("the store");
        let uses = key.map(|key| key.usage.uses);
        (self.component(subject).await, certificates.expect("the store"), uses)
    }

    async fn visit(&mut self, door: Door, presented: Presented, state: State) {
        let cell = format!("{door:?}: {presented:?}, {state:?}");
        let subject = self.subject().await;
        let enrolled_at = self.front.world.clock.now();
        let (shown, csr_key) = self.arrange(presented, &subject).await;
        self.enter(state, &subject).await;
        let world = &self.front.world;
        let before = self.record(&subject).await;
        let resume = world.clock.now();
        let ends = before.1.iter().find(|record| Some(&*record.der) == shown.as_ref().map(Identity::certificate));
        match presented {
            Presented::ExpiredInsideItsGrace => {
                world.clock.set(ends.expect("its record").not_after.saturating_add(GRACE).saturating_sub(SECOND));
            }
            Presented::ExpiredPastItsGrace => {
                world.clock.set(ends.expect("its record").not_after.saturating_add(GRACE));
            }
            Presented::NotYetValid => {
                world.clock.set(enrolled_at.saturating_sub(Duration::from_secs(301)));
            }
            _ => {}
        }

        // A refusal that comes before what the state says, or the state's, or the certificate's own.
        let own = presented.answer();
        let expected = if own.0 == 401 { own } else { state.answer().unwrap_or(own) };
        let is_decided_by_the_csr = presented.is_decided_by_the_csr() && expected == own;
        if !is_decided_by_the_csr {
            let (_, told) = self.front.renew_told(door, shown.as_ref(), "no CSR").await;
            assert_eq!(told, (expected.0, expected.1.to_owned()), "{cell}, with a CSR that is none");
        }
        let (reply, told) = self.front.renew_told(door, shown.as_ref(), &csr(&csr_key)).await;
        assert_eq!(told, (expected.0, expected.1.to_owned()), "{cell}: {}", reply.body);
        if expected.0 == 401 {
            assert_eq!(reply.headers["connection"], "close", "{cell}");
            assert_eq!(reply.headers["www-authenticate"], door.challenge(), "{cell}");
        }

        let after = self.record(&subject).await;
        if matches!(expected.1, "renewed" | "rekeyed") {
            self.assert_renewed(&cell, &door.certificate_of(&reply), (&before, &after), presented);
        } else {
            assert_eq!(after, before, "{cell}: nothing is written");
        }
        if expected.1 == "replayed" {
            assert_eq!(door.certificate_of(&reply), before.1[0].der, "{cell}");
        }
        world.clock.set(world.clock.now().max(resume));
        if matches!(state, State::CustomerDisabled | State::AllDisabled) {
            self.enable_customer(world.customer, true).await;
        }
    }

    fn assert_renewed(
        &self,
        cell: &str,
        certificate: &[u8],
        ((before, old, uses), (after, new, uses_after)): (&Record, &Record),
        presented: Presented,
    ) {
        assert_eq!(uses, uses_after, "{cell}: no use is taken");
        assert_eq!(new.len(), old.len() + 1, "{cell}: one certificate");
        assert_eq!((new[0].serial, &*new[0].der), (after.current_serial, certificate), "{cell}");
        assert_eq!(after.previous_serial, Some(before.current_serial), "{cell}");
        let expected = Component {
            current_serial: after.current_serial,
            previous_serial: after.previous_serial,
            remote_address: after.remote_address,
            ..before.clone()
        };
        assert_eq!(*after, expected, "{cell}: nothing else of it changes");
        let signer = match presented {
            Presented::CurrentOfAFormerSigningCertificate => Some(self.another_signer),
            _ => None,
        };
        if let Some(signer) = signer {
            // The key's, as long as there is one.
            let is_keys = new[0].signing_certificate_id == signer;
            assert_eq!(is_keys, uses.is_some(), "{cell}");
        }
    }
}

fn copy(key_pair: &KeyPair) -> KeyPair {
    KeyPair::try_from(key_pair.serialize_der()).unwrap()
}

fn self_signed(component: ComponentId) -> Identity {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, component.to_string());
    params.serial_number = Some(rcgen::SerialNumber::from(vec![1; 16]));
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = key_pair();
    Identity::new(params.self_signed(&key).unwrap().der(), &key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_certificate_in_every_state_is_answered_as_the_contract_says() {
    for door in Door::ALL {
        let mut scene = Scene::new().await;
        for state in State::ALL {
            for presented in Presented::ALL {
                scene.visit(door, presented, state).await;
            }
        }
        scene.front.world.assert_healthy().await;
    }
}
