//! Who does something: nodes, devices, administrators, and the weather.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster::clock::Clock;
use muster::domain::component::DeviceDescription;
use muster::domain::{Actor, Kind, Refusal, SerialNumber};
use muster::enrollment::{Enrollment, EnrollmentError, EnrollmentRequest, EnrollmentService};
use muster::id::ProvisioningKeyId;
use muster::management::groups::GroupInput;
use muster::management::keys::KeyInput;
use muster::management::{Input, Management};
use muster::store::Store;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::flag::Flag;
use crate::link::{Link, NodeClock, Place};
use crate::support::store_behind::StoreBehind;
use crate::support::world::WorldDevice;
use crate::truth::{Facts, Step, Truth};

/// As `app` looks at the feed and at the store's clock.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// How long a node waits for the store before it counts as away.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long memory is believed while the store is away.
const BELIEVED: Duration = Duration::from_secs(5);

/// A machine for a node: what it is connected to, and the process, if it runs.
pub struct Machine {
    pub place: Arc<Place>,
    node: Mutex<Option<Arc<Node>>>,
}

pub struct Node {
    service: EnrollmentService,
    management: Management,
    link: Arc<Link>,
    clock: Arc<NodeClock>,
    is_gone: Flag,
    looks: AbortHandle,
}

impl Machine {
    pub fn new(place: Arc<Place>) -> Self {
        Self { place, node: Mutex::default() }
    }

    pub fn node(&self) -> Option<Arc<Node>> {
        self.node.lock().unwrap().clone()
    }

    /// Starts a node, as often as it takes until it can fill its memory.
    pub async fn start(&self) {
        let truth = &self.place.truth;
        loop {
            let link = Link::new(Arc::clone(&self.place));
            let inner: Arc<dyn Store> = Arc::<_>::clone(&truth.world.store) as _;
            let store: Arc<dyn Store> = StoreBehind::new(inner, Arc::clone(&link));
            let clock: Arc<dyn Clock> = Arc::<NodeClock>::clone(&self.place.clock);
            if let Ok((parts, management)) = truth.world.node_with_clock(Arc::clone(&store), clock).await {
                let (directory, store_clock) = (Arc::clone(&parts.directory), Arc::clone(&parts.store_clock));
                let looks = tokio::spawn(async move {
                    loop {
                        if directory.refresh().await.is_ok() {
                            let _ = store_clock.measure(store.now()).await;
                        }
                        sleep(LOOKS_EVERY).await;
                    }
                });
                let node = Node {
                    service: EnrollmentService::new(parts),
                    management,
                    link,
                    clock: Arc::clone(&self.place.clock),
                    is_gone: Flag::default(),
                    looks: looks.abort_handle(),
                };
                *self.node.lock().unwrap() = Some(Arc::new(node));
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// As by SIGKILL.
    pub fn crash(&self) -> bool {
        let node = self.node.lock().unwrap().take();
        if let Some(node) = &node {
            node.link.die();
            node.looks.abort();
            node.is_gone.set(true);
        }
        node.is_some()
    }
}

/// A key as devices and administrators know it.
#[derive(Clone)]
pub struct Key {
    pub id: ProvisioningKeyId,
    pub string: String,
    /// Whether devices may come with a new key pair.
    pub re_enrolls: bool,
}

/// What all actors share.
pub struct Scene {
    pub truth: Arc<Truth>,
    pub machines: Vec<Machine>,
    /// Those that administrators edit.
    pub edited: Mutex<Vec<Key>>,
    /// From then on a refusal is for good.
    pub calm: Mutex<Option<Step>>,
}

/// What a device's request came to.
enum Came {
    Answered(Result<Enrollment, EnrollmentError>),
    Unknown,
    /// The device went away, or the node did.
    Broken,
}

impl Scene {
    fn some_node(&self) -> Option<Arc<Node>> {
        let machine = self.truth.draw(|dice| dice.below(self.machines.len() as u64)) as usize;
        self.machines[machine].node()
    }

    async fn pause(&self, from: u64, to: u64) {
        sleep(self.truth.draw(|dice| dice.millis(from, to))).await;
    }

    /// A device that asks until it has its certificate, or is refused for good.
    pub async fn device(self: Arc<Self>, key: Key, mut device: WorldDevice) {
        let truth = &self.truth;
        let name = device.fingerprint.to_string();
        let mut told: Option<SerialNumber> = None;
        loop {
            let (asked, asked_at) = (truth.step(), Instant::now());
            let Some(node) = self.some_node() else {
                self.pause(50, 500).await;
                continue;
            };
            let patience =
                truth.draw(|dice| if dice.comes(150) { dice.millis(0, 60) } else { dice.millis(3_000, 30_000) });
            let came = tokio::select! {
                biased;
                () = node.is_gone.until(true) => Came::Broken,
                came = ask(&node, &key, &device) => came,
                () = sleep(patience) => Came::Broken,
            };
            let is_calm = self.calm.lock().unwrap().is_some_and(|since| asked >= since);
            let is_over = match came {
                Came::Answered(Ok(answer)) => {
                    truth.leave_trace("answered");
                    truth.check_answer(key.id, &name, asked, &answer);
                    if let Some(told) = told
                        && told != answer.serial
                        && truth.holds_still(key.id, &name, told)
                    {
                        truth.violated(&format!(
                            "{name} asked again and got another certificate ({:?})",
                            answer.outcome
                        ));
                    }
                    told = Some(answer.serial);
                    // It may be lost on the last part of its way, and some ask again much later.
                    let (is_lost, is_reinstalled) = truth.draw(|dice| (dice.comes(250), dice.comes(150)));
                    truth.count(|counts| counts.answers_lost += u64::from(is_lost));
                    if !is_lost && is_reinstalled && key.re_enrolls {
                        (device, told) = (crate::run::reinstalled(truth, &device), None);
                        continue;
                    }
                    !is_lost
                }
                Came::Answered(Err(EnrollmentError::Refused { refusal, reason })) => {
                    truth.leave_trace(&reason);
                    truth.count(|counts| counts.refused += 1);
                    self.judge_refusal(&node, &key, &name, asked, refusal);
                    is_calm
                }
                Came::Answered(Err(EnrollmentError::KeyGone)) => {
                    truth.count(|counts| counts.refused += 1);
                    if !truth.was(key.id, asked, |facts| facts.is_none()) {
                        truth.violated(&format!("{name} was told that its key is gone, which it is not"));
                    }
                    is_calm
                }
                Came::Unknown => {
                    truth.leave_trace("unknown");
                    truth.count(|counts| counts.unknown_keys += 1);
                    self.judge_unknown(&node, &key, &name, (asked, asked_at));
                    is_calm
                }
                Came::Answered(Err(EnrollmentError::ClockOff(_))) => {
                    if !node.clock.was_far_off() {
                        truth.violated(&format!("{name} was turned away for a clock that is right"));
                    }
                    truth.count(|counts| counts.unanswered += 1);
                    false
                }
                Came::Answered(Err(EnrollmentError::StoreUnavailable { .. } | EnrollmentError::Overloaded)) => {
                    truth.count(|counts| counts.unanswered += 1);
                    false
                }
                Came::Answered(Err(error)) => {
                    truth.violated(&format!("{name}: {error}"));
                    true
                }
                Came::Broken => {
                    truth.count(|counts| counts.hung_up += 1);
                    false
                }
            };
            if is_over {
                return;
            }
            self.pause(20, 1_500).await;
        }
    }

    /// A refusal must have been true at some moment between question and answer, and the node must have heard from
    /// the store since the question.
    fn judge_refusal(&self, node: &Node, key: &Key, name: &str, asked: Step, refusal: Refusal) {
        let truth = &self.truth;
        let latest = node.clock.latest();
        let is_true = match refusal {
            Refusal::GroupDisabled => truth.was(key.id, asked, |facts| facts.is_some_and(|facts| !facts.group_enabled)),
            Refusal::KeyDisabled => truth.was(key.id, asked, |facts| facts.is_some_and(|facts| !facts.enabled)),
            Refusal::KeyExhausted => truth.was(key.id, asked, |facts| facts.is_some_and(Facts::is_exhausted)),
            Refusal::KeyExpired => truth
                .was(key.id, asked, |facts| facts.and_then(|facts| facts.expires_at).is_some_and(|end| end <= latest)),
            Refusal::ReEnrollmentNotAllowed => truth.had_component(key.id, name, asked),
            _ => false,
        };
        if !is_true {
            truth.violated(&format!("{name} was refused with {refusal:?}, which was never so since it asked"));
        }
        if !node.link.was_answered_since(asked) {
            truth.violated(&format!("{name} was refused with {refusal:?} from memory alone"));
        }
    }

    /// A string is unknown only if its key was not there at some moment since it was presented; where the store was
    /// away, or slow, at some moment within the time for which memory is believed.
    fn judge_unknown(&self, node: &Node, key: &Key, name: &str, (asked, asked_at): (Step, Instant)) {
        let was_well = !node.link.has_failed_since(asked) && asked_at.elapsed() < PATIENCE;
        let is_true = match was_well {
            true => self.truth.was(key.id, asked, |facts| facts.is_none()),
            false => self.truth.was_within(key.id, BELIEVED, |facts| facts.is_none()),
        };
        if !is_true {
            self.truth.violated(&format!("{name} was told that its key string is unknown, which it is not"));
        }
    }

    /// Somebody who cannot leave settings alone. `who`: a letter.
    pub async fn administrator(self: Arc<Self>, who: char) {
        let (truth, actor) = (&self.truth, Actor::system());
        let (customer, group, kind) = (truth.customer(), truth.group(), Kind::Machine);
        for number in 0_u32.. {
            self.pause(50, 1_500).await;
            let Some(node) = self.some_node() else { continue };
            let keys = self.edited.lock().unwrap().clone();
            let key = keys[truth.draw(|dice| dice.below(keys.len() as u64)) as usize].clone();
            let edit = |input: KeyInput| {
                let (node, actor) = (&node, &actor);
                async move { node.management.edit_key(actor, customer, kind, key.id, None, &input).await.map(drop) }
            };
            truth.count(|counts| counts.edits += 1);
            // What it came to is seen in the store: an error may hide a change.
            let _ = match truth.draw(|dice| dice.below(12)) {
                0..3 => {
                    let maximum = truth.draw(|dice| dice.between(1, 9));
                    edit(KeyInput { maximum: Input::Given(maximum), ..KeyInput::default() }).await
                }
                3 | 4 => edit(KeyInput { enabled: Input::Given(false), ..KeyInput::default() }).await,
                5 | 6 => edit(KeyInput { enabled: Input::Given(true), ..KeyInput::default() }).await,
                7 => {
                    let end = truth.now().saturating_add(truth.draw(|dice| dice.millis(1_000, 6_000)));
                    edit(KeyInput { expires_at: Input::Given(end), ..KeyInput::default() }).await
                }
                8 => edit(KeyInput { expires_at: Input::Cleared, ..KeyInput::default() }).await,
                9 => {
                    let Some(component) = truth.some_component(key.id) else { continue };
                    let releases = truth.draw(|dice| dice.comes(500));
                    node.management.delete_component(&actor, customer, kind, component, None, releases).await
                }
                10 => {
                    let enabled = truth.draw(|dice| dice.comes(600));
                    let input = GroupInput { enabled: Input::Given(enabled), ..GroupInput::default() };
                    node.management.edit_group(&actor, customer, kind, group, None, &input).await.map(drop)
                }
                _ if number % 2 == 0 && keys.len() > 1 => {
                    node.management.delete_key(&actor, customer, kind, key.id, None, false).await
                }
                _ => self.make_key(&node, &format!("made by {who} {number}")).await,
            };
        }
    }

    /// A key whose creation was answered, and devices that bring it to all nodes at once.
    async fn make_key(self: &Arc<Self>, node: &Node, name: &str) -> Result<(), muster::management::Error> {
        let truth = &self.truth;
        let input = KeyInput {
            name: Input::Given(name.to_owned()),
            group: Input::Given(truth.group()),
            maximum: Input::Given(truth.draw(|dice| dice.between(1, 4))),
            ..KeyInput::default()
        };
        let made = node.management.create_key(&Actor::system(), truth.customer(), Kind::Machine, input).await?;
        let string = made.string.expect("shown at creation").expose().to_owned();
        let key = Key { id: made.key.id, string, re_enrolls: false };
        for number in 0..2 {
            let device = crate::run::device(truth, &format!("{}.{number}", name.replace(' ', ".")));
            tokio::spawn(Arc::clone(self).device(key.clone(), device));
        }
        self.edited.lock().unwrap().push(key);
        Ok(())
    }

    /// Everything that goes wrong by itself.
    pub async fn weather(self: Arc<Self>) {
        let truth = &self.truth;
        loop {
            self.pause(100, 3_000).await;
            let machine = truth.draw(|dice| dice.below(self.machines.len() as u64)) as usize;
            let place = &self.machines[machine].place;
            match truth.draw(|dice| dice.below(10)) {
                0..4 => {
                    let all = truth.draw(|dice| dice.comes(200));
                    let cut: Vec<_> =
                        self.machines.iter().filter(|it| all || it.place.number == place.number).collect();
                    truth.count(|counts| counts.cuts += 1);
                    for machine in &cut {
                        machine.place.cut.set(true);
                    }
                    self.pause(50, 9_000).await;
                    for machine in cut {
                        machine.place.cut.set(false);
                    }
                }
                4..7 => {
                    if self.machines[machine].crash() {
                        truth.count(|counts| counts.crashes += 1);
                        self.pause(0, 3_000).await;
                        self.machines[machine].start().await;
                    }
                }
                7 | 8 => {
                    let ahead = truth.draw(|dice| match dice.below(3) {
                        0 => 0,
                        1 => dice.between(0, 10) as i64 - 5,
                        _ => dice.between(0, 180) as i64 - 90,
                    });
                    truth.count(|counts| counts.clock_jumps += 1);
                    place.clock.set_ahead(ahead);
                }
                _ => place.lost.store(truth.draw(|dice| dice.between(0, 60)), Ordering::Relaxed),
            }
        }
    }
}

async fn ask(node: &Node, key: &Key, device: &WorldDevice) -> Came {
    let service = &node.service;
    let verified = match service.verify_key(&service.present(&key.string)).await {
        Ok(Some(verified)) => verified,
        Ok(None) => return Came::Unknown,
        Err(error) => return Came::Answered(Err(error)),
    };
    let request = EnrollmentRequest {
        fingerprint: device.fingerprint.clone(),
        device: DeviceDescription::default(),
        csr: &device.csr,
        remote_address: device.address,
    };
    Came::Answered(service.enroll(verified, request).await)
}
