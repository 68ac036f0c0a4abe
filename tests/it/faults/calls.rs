//! A store that fails at the n-th call that a use case makes of it, for every n and in every way that a store can
//! fail: nobody is admitted who should not be, count and ledger agree, a change is there with its audit event or
//! neither is, and whoever tries again gets there.

use std::sync::Arc;
use std::time::Duration;

use muster::domain::component::DeviceDescription;
use muster::domain::{Actor, Kind};
use muster::enrollment::renewal::{RenewalError, RenewalRequest};
use muster::enrollment::{Enrollment, EnrollmentError, EnrollmentRequest, EnrollmentService};
use muster::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId};
use muster::management::api_clients::ApiClientInput;
use muster::management::customers::CustomerInput;
use muster::management::groups::GroupInput;
use muster::management::keys::KeyInput;
use muster::management::signing_certificates::NewSigningCertificate;
use muster::management::{Error, Input, Management};
use muster::protocol::enroll::Outcome;
use muster::store::{AuditQuery, PageRequest, Store};
use rustls::pki_types::CertificateDer;

use crate::support::shared_store::{Fault, Mood, SharedStore};
use crate::support::world::{World, WorldDevice};

const KIND: Kind = Kind::Machine;

/// No use case needs as many calls; a test that comes so far would never end.
const CALLS_MAX: usize = 100;

/// A node whose way to the store fails when it is told to.
struct Node {
    world: World,
    store: Arc<SharedStore>,
    service: EnrollmentService,
    management: Management,
    /// What tells one run's objects from another's.
    runs: usize,
}

/// A key with two uses, of which one is taken.
struct Stage {
    group: GroupId,
    key_id: ProvisioningKeyId,
    key: String,
    device: WorldDevice,
    held: Enrollment,
    /// For what is made.
    name: String,
}

impl Node {
    async fn new(is_shared: bool) -> Self {
        let world = World::new().await;
        let inner: Arc<dyn Store> = Arc::<_>::clone(&world.store) as _;
        let store = SharedStore::to(inner, is_shared);
        let parts = world.node(Arc::<SharedStore>::clone(&store)).await;
        let management = world.management_of(&parts, Arc::<SharedStore>::clone(&store));
        Self { store, service: EnrollmentService::new(parts), management, world, runs: 0 }
    }

    async fn stage(&mut self) -> Stage {
        self.runs += 1;
        let name = format!("run {}", self.runs);
        let (actor, customer) = (Actor::system(), self.world.customer);
        let input = GroupInput { name: Input::Given(name.clone()), ..GroupInput::default() };
        let group = self.management.create_group(&actor, customer, KIND, input).await.expect("a group").group.id;
        let input = KeyInput {
            name: Input::Given(name),
            group: Input::Given(group),
            maximum: Input::Given(2),
            allow_re_enrollment: Input::Given(true),
            ..KeyInput::default()
        };
        let made = self.management.create_key(&actor, customer, KIND, input).await.expect("a key");
        let key = made.string.expect("shown at creation").expose().to_owned();
        let device = WorldDevice::new(&format!("first-{}", self.runs));
        let held = self.enroll(&key, &device).await.expect("enrolled");
        Stage { group, key_id: made.key.id, key, device, held, name: format!("new {}", self.runs) }
    }

    async fn enroll(&self, key: &str, device: &WorldDevice) -> Result<Enrollment, EnrollmentError> {
        let verified = self.service.verify_key(&self.service.present(key)).await?.expect("a known key");
        let request = EnrollmentRequest {
            fingerprint: device.fingerprint.clone(),
            device: DeviceDescription::default(),
            csr: &device.csr,
            remote_address: device.address,
        };
        self.service.enroll(verified, request).await
    }

    async fn renew(&self, held: &Enrollment, csr: &str) -> Result<Enrollment, RenewalError> {
        let shown = CertificateDer::from(held.certificate_der.clone());
        let device = self.service.authenticate(&shown, Duration::ZERO).await?;
        let request = RenewalRequest { csr, fingerprint: None, remote_address: crate::support::world::SOMEWHERE };
        self.service.renew(device, request).await
    }
}

/// What a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    Enroll,
    ReEnroll,
    Rekey,
}

impl Visit {
    const ALL: [Self; 3] = [Self::Enroll, Self::ReEnroll, Self::Rekey];

    /// `as_whom`: with the same key pair each time that it is tried.
    async fn make(self, node: &Node, stage: &Stage, as_whom: &WorldDevice) -> Result<Enrollment, EnrollmentError> {
        match self {
            Self::Enroll | Self::ReEnroll => node.enroll(&stage.key, as_whom).await,
            Self::Rekey => match node.renew(&stage.held, &as_whom.csr).await {
                Ok(renewed) => Ok(renewed),
                Err(RenewalError::Enrollment(error)) => Err(error),
                Err(error @ RenewalError::Certificate(_)) => panic!("{error}"),
            },
        }
    }

    fn device(self, stage: &Stage) -> WorldDevice {
        match self {
            Self::Enroll => WorldDevice::new(&format!("second-{}", stage.name.replace(' ', "-"))),
            Self::ReEnroll | Self::Rekey => stage.device.reinstalled(),
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Self::Enroll => Outcome::Enrolled,
            Self::ReEnroll => Outcome::ReEnrolled,
            Self::Rekey => Outcome::Rekeyed,
        }
    }

    fn uses(self) -> u32 {
        if self == Self::Enroll { 2 } else { 1 }
    }
}

#[tokio::test]
async fn a_device_gets_what_is_its_own_whatever_call_fails() {
    for is_shared in [false, true] {
        let mut node = Node::new(is_shared).await;
        for visit in Visit::ALL {
            for fault in Fault::ALL {
                for calls in 0.. {
                    assert!(calls < CALLS_MAX, "{visit:?}");
                    if !survives(&mut node, visit, fault, calls).await {
                        assert!(calls > 0, "{visit:?} without a call");
                        break;
                    }
                }
            }
        }
    }
}

/// The call after so many fails. `false`: the visit makes fewer.
async fn survives(node: &mut Node, visit: Visit, fault: Fault, calls: usize) -> bool {
    let stage = node.stage().await;
    let device = visit.device(&stage);
    let what = format!("{visit:?}, {fault:?} after {calls} calls");
    node.store.fail_after(calls, fault);
    let first = visit.make(node, &stage, &device).await;
    let has_failed = node.store.has_failed();
    let again = visit.make(node, &stage, &device).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    match first {
        Ok(first) => {
            assert_eq!(first.outcome, visit.outcome(), "{what}");
            assert_eq!((again.outcome, again.serial), (Outcome::Replayed, first.serial), "{what}");
        }
        Err(EnrollmentError::Overloaded | EnrollmentError::StoreUnavailable { .. }) if has_failed => {
            assert!([visit.outcome(), Outcome::Replayed].contains(&again.outcome), "{what}: {:?}", again.outcome);
        }
        Err(error) => panic!("{what}: {error}"),
    }

    let key = node.world.store.find_key(node.world.customer, stage.key_id).await.expect("the store").expect("the key");
    let usage = (key.usage.uses, key.usage.re_enrollments);
    assert_eq!(usage, (visit.uses(), u64::from(visit == Visit::ReEnroll)), "{what}");
    // What is left is there for whoever comes, to the last use and no further.
    for taken in visit.uses()..2 {
        let other = node.enroll(&stage.key, &WorldDevice::new(&format!("other-{taken}-{}", node.runs))).await;
        assert!(other.is_ok(), "{what}: a use was lost");
    }
    let late = node.enroll(&stage.key, &WorldDevice::new(&format!("late-{}", node.runs))).await;
    assert!(matches!(late, Err(EnrollmentError::Refused { .. })), "{what}: one too many");
    node.world.assert_healthy().await;
    has_failed
}

/// Also those who stand in line behind others, here for the key's last use.
#[tokio::test]
async fn while_the_store_is_silent_everybody_is_told_in_time_to_come_back() {
    let mut node = Node::new(false).await;
    let stage = node.stage().await;
    let devices = ["one", "two", "three"].map(WorldDevice::new);
    let [one, two, three] = &devices;
    node.store.turn(Mood::Silent);
    tokio::time::pause();
    let came = tokio::time::Instant::now();
    let asked = async {
        tokio::join!(
            node.enroll(&stage.key, one),
            node.enroll(&stage.key, two),
            node.enroll(&stage.key, three),
            node.renew(&stage.held, &stage.device.csr),
        )
    };
    let answers = tokio::time::timeout(Duration::from_secs(15), asked).await.expect("answers in time");
    assert!(came.elapsed() >= Duration::from_secs(10), "a store that is slow is waited for");
    tokio::time::resume();
    let unavailable = |error: &EnrollmentError| matches!(error, EnrollmentError::StoreUnavailable { .. });
    let (first, second, third, renewed) = answers;
    for enrolled in [first, second, third] {
        assert!(enrolled.is_err_and(|error| unavailable(&error)));
    }
    assert!(matches!(&renewed, Err(RenewalError::Enrollment(error)) if unavailable(error)));

    node.store.turn(Mood::Well);
    assert_eq!(node.enroll(&stage.key, two).await.expect("enrolled").outcome, Outcome::Enrolled);
    let late = node.enroll(&stage.key, three).await;
    assert!(matches!(late, Err(EnrollmentError::Refused { .. })), "that was the last use");
    assert_eq!(node.renew(&stage.held, &stage.device.csr).await.expect("renewed").outcome, Outcome::Renewed);
    node.world.assert_healthy().await;
}

/// What an administrator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    CreateApiClient,
    CreateCustomer,
    CreateGroup,
    CreateKey,
    CreateKeyInNewGroup,
    CreateSigningCertificate,
    DeleteComponent,
    DeleteGroupWithContents,
    DeleteKey,
    EditGroup,
    RaiseMaximum,
    RevokeComponent,
    RotateKey,
}

impl Act {
    const ALL: [Self; 13] = [
        Self::CreateApiClient,
        Self::CreateCustomer,
        Self::CreateGroup,
        Self::CreateKey,
        Self::CreateKeyInNewGroup,
        Self::CreateSigningCertificate,
        Self::DeleteComponent,
        Self::DeleteGroupWithContents,
        Self::DeleteKey,
        Self::EditGroup,
        Self::RaiseMaximum,
        Self::RevokeComponent,
        Self::RotateKey,
    ];

    async fn perform(self, node: &Node, stage: &Stage) -> Result<(), Error> {
        let (management, customer, actor) = (&node.management, node.world.customer, &Actor::system());
        let Stage { group, key_id, .. } = *stage;
        let component: ComponentId = stage.held.component_id;
        let name = || Input::Given(stage.name.clone());
        let new_key = || KeyInput { name: name(), group: Input::Given(group), ..KeyInput::default() };
        match self {
            Self::CreateApiClient => {
                let input = ApiClientInput {
                    name: name(),
                    role: Input::Given("operator".to_owned()),
                    ..ApiClientInput::default()
                };
                management.create_api_client(actor, customer, input).await.map(drop)
            }
            Self::CreateCustomer => {
                let input = CustomerInput { name: name(), ..CustomerInput::default() };
                management.create_customer(actor, input, None).await.map(drop)
            }
            Self::CreateGroup => {
                let input = GroupInput { name: name(), ..GroupInput::default() };
                management.create_group(actor, customer, KIND, input).await.map(drop)
            }
            Self::CreateKey => management.create_key(actor, customer, KIND, new_key()).await.map(drop),
            Self::CreateKeyInNewGroup => {
                let input = GroupInput { name: name(), ..GroupInput::default() };
                let key = KeyInput { group: Input::Absent, ..new_key() };
                management.create_key_in_new_group(actor, customer, KIND, input, key).await.map(drop)
            }
            Self::CreateSigningCertificate => {
                let input = NewSigningCertificate { name: name(), ..NewSigningCertificate::default() };
                management.create_signing_certificate(actor, customer, input).await.map(drop)
            }
            Self::DeleteComponent => management.delete_component(actor, customer, KIND, component, None, true).await,
            Self::DeleteGroupWithContents => {
                management.delete_group_with_contents(actor, customer, KIND, group, None).await
            }
            Self::DeleteKey => management.delete_key(actor, customer, KIND, key_id, None, true).await,
            Self::EditGroup => {
                let input = GroupInput { description: name(), ..GroupInput::default() };
                management.edit_group(actor, customer, KIND, group, None, &input).await.map(drop)
            }
            Self::RaiseMaximum => {
                let input = KeyInput { maximum: Input::Given(3), ..KeyInput::default() };
                management.edit_key(actor, customer, KIND, key_id, None, &input).await.map(drop)
            }
            Self::RevokeComponent => {
                management.revoke_component(actor, customer, KIND, component, None, Input::Absent).await
            }
            Self::RotateKey => {
                management.rotate_key(actor, customer, KIND, key_id, None, &Input::Absent).await.map(drop)
            }
        }
    }
}

/// Whether it was the store's fault, and the same again is the way to go on.
fn is_outage(error: &Error) -> bool {
    matches!(error, Error::OutcomeUnknown { .. } | Error::StoreOverloaded { .. } | Error::StoreUnavailable { .. })
}

impl Node {
    /// How many audit events there are, and how far the change feed is.
    async fn told(&self) -> (u64, u64) {
        let mut events = 0;
        let customers = self.world.store.scan_customers().await.expect("the store");
        for customer in customers.into_iter().map(|customer| customer.id).chain([CustomerId::SERVICE]) {
            let last = self
                .world
                .store
                .search_audit(customer, &AuditQuery { conditions: Vec::new(), page: PageRequest::first(1) })
                .await
                .expect("the store");
            events += last.total;
        }
        (events, self.world.store.last_change().await.expect("the store").0)
    }
}

#[tokio::test]
async fn a_change_is_made_once_and_whole_whatever_call_fails() {
    let mut node = Node::new(false).await;
    for act in Act::ALL {
        // How it goes when nothing fails.
        let stage = node.stage().await;
        let before = node.told().await;
        Box::pin(act.perform(&node, &stage)).await.unwrap_or_else(|error| panic!("{act:?}: {error}"));
        let whole = since(node.told().await, before);
        assert!(whole.0 > 0, "{act:?} is not in the audit log");

        for fault in Fault::ALL {
            for calls in 0.. {
                assert!(calls < CALLS_MAX, "{act:?}");
                let stage = node.stage().await;
                let before = node.told().await;
                node.store.fail_after(calls, fault);
                let first = Box::pin(act.perform(&node, &stage)).await;
                let has_failed = node.store.has_failed();
                let what = format!("{act:?}, {fault:?} after {calls} calls");

                let done = since(node.told().await, before);
                match &first {
                    Ok(()) => assert_eq!(done, whole, "{what}"),
                    Err(error) => {
                        assert!(has_failed && is_outage(error), "{what}: {error}");
                        assert!(done == whole || done == (0, 0), "{what}: {done:?} of {whole:?}");
                        let is_unknown = matches!(error, Error::OutcomeUnknown { .. });
                        assert!(is_unknown || done == (0, 0), "{what}: it was done, and said not to be");
                    }
                }
                if first.is_err() {
                    // Whoever comes again does it, or is told that it is done.
                    match Box::pin(act.perform(&node, &stage)).await {
                        Ok(()) => {}
                        Err(error) => assert!(!is_outage(&error) && done == whole, "{what}: {error}"),
                    }
                }
                assert_eq!(since(node.told().await, before), whole, "{what}");
                node.world.assert_healthy().await;
                if !has_failed {
                    assert!(calls > 0, "{act:?} without a call");
                    break;
                }
            }
        }
    }
}

fn since(now: (u64, u64), before: (u64, u64)) -> (u64, u64) {
    (now.0 - before.0, now.1 - before.1)
}
