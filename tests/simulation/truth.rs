//! The one store that all nodes share, and what is true of it at every step.
//!
//! The store is the product's embedded one, which is held to the same contract as the one on PostgreSQL, case by case
//! (`tests/it/store`). Here each of its transactions happens at one instant of simulated time: [`at_once`] blocks the
//! only thread until the store has answered. Beside it stands a model, made from nothing but the rows before and
//! behind a transaction, that judges each outcome, and remembers what was true when, so that a refusal can be judged too.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use muster::clock::Timestamp;
use muster::domain::Revision;
use muster::domain::component::ComponentState;
use muster::enrollment::Enrollment;
use muster::id::{ComponentId, CustomerId, GroupId, Id as _, ProvisioningKeyId};
use muster::protocol::enroll::Outcome;
use muster::store::{
    Change, EnrollmentCommit, EnrollmentIntent, EnrollmentOutcome, EnrollmentStore as _, Store, StoreError,
};
use tokio::time::Instant;

use crate::broken::Broken;
use crate::dice::Dice;
use crate::support::world::{NOW, World};

/// Transactions between two looks at all invariants.
const INTEGRITY_EVERY: u64 = 16;

/// A point in the order of all that happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(pub u64);

pub struct Truth {
    pub world: World,
    group: GroupId,
    began: Instant,
    dice: Mutex<Dice>,
    model: Mutex<Model>,
    key_pairs: AtomicUsize,
}

/// What was done, for the figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub steps: u64,
    pub transactions: u64,
    pub enrolled: u64,
    pub re_enrolled: u64,
    pub replayed: u64,
    pub refused: u64,
    pub unknown_keys: u64,
    pub unanswered: u64,
    pub answers_lost: u64,
    pub messages_lost: u64,
    pub late_commits: u64,
    pub found_again: u64,
    pub hung_up: u64,
    pub cuts: u64,
    pub crashes: u64,
    pub clock_jumps: u64,
    pub edits: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        let all = [
            (&mut self.steps, more.steps),
            (&mut self.transactions, more.transactions),
            (&mut self.enrolled, more.enrolled),
            (&mut self.re_enrolled, more.re_enrolled),
            (&mut self.replayed, more.replayed),
            (&mut self.refused, more.refused),
            (&mut self.unknown_keys, more.unknown_keys),
            (&mut self.unanswered, more.unanswered),
            (&mut self.answers_lost, more.answers_lost),
            (&mut self.messages_lost, more.messages_lost),
            (&mut self.late_commits, more.late_commits),
            (&mut self.found_again, more.found_again),
            (&mut self.hung_up, more.hung_up),
            (&mut self.cuts, more.cuts),
            (&mut self.crashes, more.crashes),
            (&mut self.clock_jumps, more.clock_jumps),
            (&mut self.edits, more.edits),
        ];
        for (sum, more) in all {
            *sum += more;
        }
    }
}

#[derive(Default)]
struct Model {
    counts: Counts,
    keys: BTreeMap<ProvisioningKeyId, Vec<(Step, Instant, Option<Facts>)>>,
    devices: BTreeMap<(ProvisioningKeyId, String), Vec<Held>>,
    violations: Vec<String>,
    trace: Vec<String>,
}

/// A key and its group as they are in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub enabled: bool,
    pub group_enabled: bool,
    pub expires_at: Option<Timestamp>,
    pub maximum: Option<u32>,
    pub uses: u32,
    revision: Revision,
}

/// A certificate that was a device's current one under a key.
#[derive(Clone, Copy, Debug)]
struct Held {
    component: ComponentId,
    serial: muster::domain::SerialNumber,
    until: Option<Step>,
}

impl Facts {
    pub fn is_exhausted(&self) -> bool {
        self.maximum.is_some_and(|maximum| self.uses >= maximum)
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}

impl Truth {
    pub fn new(world: World, group: GroupId, seed: u64) -> Arc<Self> {
        let dice = Mutex::new(Dice::new(seed));
        let (model, key_pairs) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { world, group, began: Instant::now(), dice, model, key_pairs })
    }

    pub fn draw<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.dice.lock().unwrap())
    }

    pub fn now(&self) -> Timestamp {
        NOW.saturating_add(self.began.elapsed())
    }

    pub fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.model().counts);
    }

    pub fn counts(&self) -> Counts {
        self.model().counts
    }

    /// The next point in the order of things.
    pub fn step(&self) -> Step {
        let mut model = self.model();
        model.counts.steps += 1;
        Step(model.counts.steps)
    }

    /// What happened, in order. Two runs of a seed leave the same.
    pub fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.model().trace)
    }

    pub fn leave_trace(&self, of: &str) {
        let at = self.began.elapsed();
        self.model().trace.push(format!("{at:?} {of}"));
    }

    pub fn violated(&self, what: &str) {
        let at = self.began.elapsed();
        self.model().violations.push(format!("{at:?}: {what}"));
    }

    pub fn violations(&self) -> Vec<String> {
        self.model().violations.clone()
    }

    /// The number of a key pair that the last ones did not have.
    pub fn next_key_pair(&self) -> usize {
        self.key_pairs.fetch_add(1, Ordering::Relaxed)
    }

    pub fn customer(&self) -> CustomerId {
        self.world.customer
    }

    pub fn group(&self) -> GroupId {
        self.group
    }

    /// What the store answers, now.
    pub fn transact<T>(&self, answer: impl Future<Output = T>) -> T {
        self.world.clock.set(self.now());
        at_once(answer)
    }

    /// Reads anew what an administrator may have changed.
    pub fn settings_changed(&self) {
        let step = self.step();
        let facts = self.all_facts();
        let mut model = self.model();
        for key in facts.keys() {
            model.keys.entry(*key).or_default();
        }
        for (key, history) in &mut model.keys {
            note(history, step, facts.get(key).copied());
        }
        for held in model.devices.values_mut().flatten().filter(|held| held.until.is_none()) {
            let found = at_once(self.world.store.find_component(self.world.customer, held.component));
            let component = found.expect("the store").expect("a component's row stays");
            if matches!(component.state, ComponentState::Deleted { .. }) {
                held.until = Some(step);
            }
        }
    }

    /// One transaction of the store, judged.
    pub fn enroll(
        &self,
        commit: &EnrollmentCommit,
        way: Option<(Broken, Timestamp)>,
    ) -> Result<EnrollmentOutcome, StoreError> {
        let step = self.step();
        let key = commit.seen.key.0;
        let before = self.all_facts().get(&key).copied();
        self.world.clock.set(self.now());
        let outcome = match way {
            Some((broken, node_now)) => self.enroll_somehow(commit.clone(), broken, node_now),
            None => at_once(self.world.store.commit_enrollment(commit.clone())),
        }?;
        self.world.clock.set(self.now());
        let after = self.all_facts().get(&key).copied();
        self.judge(step, commit, (before, after), &outcome);
        self.leave_trace(&format!("{} {}", commit.fingerprint, kind_of(&outcome)));
        let transactions = {
            let mut model = self.model();
            note(model.keys.entry(key).or_default(), step, after);
            model.counts.transactions += 1;
            model.counts.transactions
        };
        if transactions % INTEGRITY_EVERY == 0 {
            self.check_integrity();
        }
        Ok(outcome)
    }

    /// A commit that may have happened before: as the store on PostgreSQL repeats one that had no answer.
    pub fn enroll_again(
        &self,
        commit: &EnrollmentCommit,
        way: Option<(Broken, Timestamp)>,
    ) -> Result<EnrollmentOutcome, StoreError> {
        let (customer, key) = (commit.seen.customer.0, commit.seen.key.0);
        let found = self.transact(self.world.store.find_known_component(customer, key, &commit.fingerprint, NOW))?;
        match found.filter(|found| found.component.current_serial == commit.certificate.serial) {
            Some(found) => {
                self.count(|counts| counts.found_again += 1);
                let uses = self.all_facts().get(&key).map_or(0, |facts| facts.uses);
                Ok(EnrollmentOutcome::Committed { component_name: found.component.name, uses })
            }
            None => self.enroll(commit, way),
        }
    }

    /// As a store that breaks a promise.
    fn enroll_somehow(
        &self,
        mut commit: EnrollmentCommit,
        broken: Broken,
        node_now: Timestamp,
    ) -> Result<EnrollmentOutcome, StoreError> {
        let store = &self.world.store;
        let (customer, key) = (commit.seen.customer.0, commit.seen.key.0);
        match broken {
            Broken::IgnoresRevisions => {
                if let Some(row) = at_once(store.find_key(customer, key))? {
                    commit.seen.key.1 = row.revision;
                }
                if let Some(row) = at_once(store.find_group(customer, commit.seen.group.0))? {
                    commit.seen.group.1 = row.revision;
                }
            }
            Broken::JudgesByTheNodesClock => self.world.clock.set(node_now),
            _ => {}
        }
        let outcome = at_once(store.commit_enrollment(commit.clone()))?;
        match (broken, &outcome) {
            (Broken::ForgetsDevices, EnrollmentOutcome::Known) => {
                let mut other = commit.fingerprint.as_str().to_owned();
                other.replace_range(..1, "z");
                commit.fingerprint = muster::domain::Fingerprint::new(&other).expect("of the same form");
                at_once(store.commit_enrollment(commit))
            }
            (Broken::IgnoresTheLimit, EnrollmentOutcome::Exhausted { .. }) => {
                let row = at_once(store.find_key(customer, key))?.expect("it is exhausted");
                let mut raised = row.clone();
                raised.maximum = None;
                at_once(self.world.apply(Change::UpdateKey(raised)));
                commit.seen.key.1 = row.revision.next();
                let outcome = at_once(store.commit_enrollment(commit));
                let mut lowered = at_once(store.find_key(customer, key))?.expect("it was there");
                lowered.maximum = row.maximum;
                at_once(self.world.apply(Change::UpdateKey(lowered)));
                outcome
            }
            _ => Ok(outcome),
        }
    }

    /// Whether the transaction did what the contract says, by the rows before and behind it.
    fn judge(
        &self,
        step: Step,
        commit: &EnrollmentCommit,
        (before, after): (Option<Facts>, Option<Facts>),
        outcome: &EnrollmentOutcome,
    ) {
        let now = self.now();
        let device = (commit.seen.key.0, commit.fingerprint.to_string());
        let holds = |model: &Model| {
            model.devices.get(&device).and_then(|held| held.last().copied()).filter(|held| held.until.is_none())
        };
        let held = holds(&self.model());
        let wrong = |why: &str| {
            self.violated(&format!("{outcome:?} for {} of key {}: {why} ({before:?} → {after:?})", device.1, device.0));
        };
        match outcome {
            EnrollmentOutcome::Committed { uses, .. } => {
                let (Some(before), Some(after)) = (before, after) else {
                    return wrong("the key is gone");
                };
                let takes = u32::from(matches!(commit.intent, EnrollmentIntent::Enroll { .. }));
                if !before.enabled || !before.group_enabled || before.is_expired(now) {
                    wrong("the key, or its group, is disabled or expired");
                }
                if before.revision != commit.seen.key.1 {
                    wrong("it was checked against another revision");
                }
                if takes == 1 && before.is_exhausted() {
                    wrong("no use was left");
                }
                if after.uses != before.uses + takes || *uses != after.uses {
                    wrong("the count is wrong");
                }
                let superseded = match commit.intent {
                    EnrollmentIntent::Enroll { .. } => None,
                    EnrollmentIntent::ReEnroll { superseded, .. } => Some(superseded),
                };
                if held.map(|held| held.serial) != superseded {
                    wrong("the device's component is another than was assumed");
                }
                let mut model = self.model();
                match superseded {
                    None => model.counts.enrolled += 1,
                    Some(_) => model.counts.re_enrolled += 1,
                }
                let history = model.devices.entry(device.clone()).or_default();
                if let Some(last) = history.last_mut() {
                    last.until.get_or_insert(step);
                }
                let (component, serial) = (commit.intent.component(), commit.certificate.serial);
                history.push(Held { component, serial, until: None });
            }
            EnrollmentOutcome::Exhausted { .. } if !before.is_some_and(|facts| facts.is_exhausted()) => {
                wrong("a use is left");
            }
            EnrollmentOutcome::Expired if !before.is_some_and(|facts| facts.is_expired(now)) => {
                wrong("it has not expired");
            }
            EnrollmentOutcome::Known if held.is_none() && matches!(commit.intent, EnrollmentIntent::Enroll { .. }) => {
                wrong("the device has no component");
            }
            EnrollmentOutcome::Exhausted { .. } | EnrollmentOutcome::Expired => {}
            EnrollmentOutcome::Known | EnrollmentOutcome::Outdated => {}
        }
    }

    /// Whether what a device was told is in the store, byte for byte, and was its current certificate at a moment
    /// between question and answer.
    pub fn check_answer(&self, key: ProvisioningKeyId, device: &str, asked: Step, answer: &Enrollment) {
        let record = at_once(self.world.store.find_certificate(answer.customer_id, answer.component_id, answer.serial));
        match record.expect("the store") {
            Some(record) if record.der == answer.certificate_der => {}
            Some(_) => self.violated(&format!("{device} was answered another certificate than is stored")),
            None => self.violated(&format!("{device} was answered a certificate that is not stored")),
        }
        if !self.held(key, device, asked, answer.serial) {
            self.violated(&format!("{device} was answered a certificate that was not its current one meanwhile"));
        }
        if answer.outcome == Outcome::Replayed {
            self.count(|counts| counts.replayed += 1);
        }
    }

    /// Whether this was the device's current certificate at some moment since.
    pub fn held(
        &self,
        key: ProvisioningKeyId,
        device: &str,
        since: Step,
        serial: muster::domain::SerialNumber,
    ) -> bool {
        let model = self.model();
        let history = model.devices.get(&(key, device.to_owned()));
        history.into_iter().flatten().any(|held| held.serial == serial && held.until.is_none_or(|until| until >= since))
    }

    /// Whether the device has had no other certificate than this since it got it.
    pub fn holds_still(&self, key: ProvisioningKeyId, device: &str, serial: muster::domain::SerialNumber) -> bool {
        let model = self.model();
        let last = model.devices.get(&(key, device.to_owned())).and_then(|history| history.last().copied());
        last.is_some_and(|held| held.serial == serial && held.until.is_none())
    }

    /// Whether the device had a component under the key at some moment since.
    pub fn had_component(&self, key: ProvisioningKeyId, device: &str, since: Step) -> bool {
        let model = self.model();
        let history = model.devices.get(&(key, device.to_owned()));
        history.into_iter().flatten().any(|held| held.until.is_none_or(|until| until >= since))
    }

    /// Whether `is_so` was true of the key at some moment since; `None`: it is gone.
    pub fn was(&self, key: ProvisioningKeyId, since: Step, is_so: impl Fn(Option<&Facts>) -> bool) -> bool {
        self.history_has(key, |step, _| step <= since, is_so)
    }

    /// As [`Self::was`], by the time.
    pub fn was_within(&self, key: ProvisioningKeyId, span: Duration, is_so: impl Fn(Option<&Facts>) -> bool) -> bool {
        let now = Instant::now();
        self.history_has(key, |_, at| now.saturating_duration_since(at) >= span, is_so)
    }

    /// Walks back to the first that `is_before` the span, which is what was true when it began.
    fn history_has(
        &self,
        key: ProvisioningKeyId,
        is_before: impl Fn(Step, Instant) -> bool,
        is_so: impl Fn(Option<&Facts>) -> bool,
    ) -> bool {
        let model = self.model();
        let Some(history) = model.keys.get(&key) else { return is_so(None) };
        for (step, at, facts) in history.iter().rev() {
            if is_so(facts.as_ref()) {
                return true;
            }
            if is_before(*step, *at) {
                return false;
            }
        }
        is_so(None)
    }

    pub fn facts(&self, key: ProvisioningKeyId) -> Option<Facts> {
        self.model().keys.get(&key).and_then(|history| history.last().copied()).and_then(|(_, _, facts)| facts)
    }

    /// Devices that have a component under the key.
    pub fn count_devices(&self, key: ProvisioningKeyId) -> u64 {
        let model = self.model();
        let of_key = model.devices.iter().filter(|((of, _), _)| *of == key);
        of_key.filter(|(_, history)| history.last().is_some_and(|held| held.until.is_none())).count() as u64
    }

    /// A component of the key's, by chance.
    pub fn some_component(&self, key: ProvisioningKeyId) -> Option<ComponentId> {
        let there: Vec<_> = {
            let model = self.model();
            let of_key = model.devices.iter().filter(|((of, _), _)| *of == key);
            of_key
                .filter_map(|(_, history)| history.last().filter(|held| held.until.is_none()))
                .map(|held| held.component)
                .collect()
        };
        (!there.is_empty()).then(|| there[self.draw(|dice| dice.below(there.len() as u64)) as usize])
    }

    /// I1 to I5, as `muster doctor` checks them.
    pub fn check_integrity(&self) {
        for finding in at_once(self.world.store.check_integrity(&self.world.audit_key)).expect("the store") {
            self.violated(&finding.to_string());
        }
    }

    fn all_facts(&self) -> BTreeMap<ProvisioningKeyId, Facts> {
        let store = &self.world.store;
        let group = at_once(store.find_group(self.world.customer, self.group)).expect("the store");
        let group_enabled = group.is_some_and(|group| group.enabled);
        let keys = at_once(store.scan_keys(ProvisioningKeyId::from_raw(0), 1_000)).expect("the store");
        let facts = keys.into_iter().map(|key| {
            let facts = Facts {
                enabled: key.enabled,
                group_enabled,
                expires_at: key.expires_at,
                maximum: key.maximum.map(std::num::NonZeroU32::get),
                uses: key.uses.load(Ordering::Relaxed),
                revision: key.revision,
            };
            (key.id, facts)
        });
        facts.collect()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }
}

fn note(history: &mut Vec<(Step, Instant, Option<Facts>)>, step: Step, facts: Option<Facts>) {
    if history.last().is_none_or(|(_, _, last)| *last != facts) {
        history.push((step, Instant::now(), facts));
    }
}

fn kind_of(outcome: &EnrollmentOutcome) -> &'static str {
    match outcome {
        EnrollmentOutcome::Committed { .. } => "committed",
        EnrollmentOutcome::Exhausted { .. } => "exhausted",
        EnrollmentOutcome::Expired => "expired",
        EnrollmentOutcome::Known => "known",
        EnrollmentOutcome::Outdated => "outdated",
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread, and so all of the simulation, until the store's threads have answered: no simulated time passes.
pub fn at_once<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(tokio::task::unconstrained(answer));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}
