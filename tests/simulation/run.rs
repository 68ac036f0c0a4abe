//! One run: some seconds of trouble, then calm, in which everybody must get an answer.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use muster::domain::Kind;
use muster::management::Input;
use muster::management::keys::KeyInput;
use muster::store::Store as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::actors::{Key, Machine, Scene};
use crate::broken::Broken;
use crate::flag::Flag;
use crate::link::{NodeClock, Place};
use crate::support::world::{ClosedWorld, PackedWorld, World, WorldDevice};
use crate::truth::{Counts, Truth, at_once};

/// How long trouble lasts.
const TROUBLE: Duration = Duration::from_secs(25);

/// In calm everybody is answered within so long.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// Key pairs that the devices of all runs share.
const KEY_PAIRS: usize = 64;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    pub counts: Counts,
    /// What happened, in order; the same for every run of a seed.
    pub trace: Vec<String>,
}

/// A key that nobody edits, so that what must come of it is known.
struct Quiet {
    key: Key,
    uses: u64,
    devices: u64,
}

/// # Errors
/// What does not hold, in the order in which it was found.
pub fn run(seed: u64, broken: Option<Broken>) -> Result<Report, Vec<String>> {
    let closed = start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let world = closed.open().await;
        let group = at_once(world.group(Kind::Machine, "HQ"));
        let truth = Truth::new(world, group, seed);
        play(&truth, broken).await;
        let violations = truth.violations();
        let report = Report { counts: truth.counts(), trace: truth.take_trace() };
        truth.world.store.close().await;
        if violations.is_empty() { Ok(report) } else { Err(violations) }
    })
}

async fn play(truth: &Arc<Truth>, broken: Option<Broken>) {
    let nodes = truth.draw(|dice| dice.between(2, 4)) as usize;
    let machines: Vec<_> = (0..nodes)
        .map(|number| {
            let lost = AtomicU64::new(truth.draw(|dice| dice.between(0, 40)));
            let (clock, cut) = (NodeClock::new(Arc::clone(truth)), Flag::default());
            Machine::new(Arc::new(Place { truth: Arc::clone(truth), number, clock, cut, lost, broken }))
        })
        .collect();
    let mut quiet = Vec::new();
    for (name, uses) in [("few", truth.draw(|dice| dice.between(1, 5))), ("many", 20)] {
        let devices = truth.draw(|dice| dice.between(6, 10));
        quiet.push(Quiet { key: key(truth, name, uses, false), uses, devices });
    }
    let loud = key(truth, "loud", 3, true);
    truth.settings_changed();
    let scene =
        Scene { truth: Arc::clone(truth), machines, edited: Mutex::new(vec![loud.clone()]), calm: Mutex::default() };
    let scene = Arc::new(scene);
    for machine in &scene.machines {
        machine.start().await;
    }

    let mut devices = JoinSet::new();
    let of_quiet = quiet.iter().map(|quiet| (&quiet.key, quiet.devices));
    for (number, (key, count)) in of_quiet.chain([(&loud, 10)]).enumerate() {
        for device in 0..count {
            let (scene, key) = (Arc::clone(&scene), key.clone());
            let device = self::device(truth, &format!("device.{number}.{device}"));
            // Most at once, as after a power cut; some whenever they like.
            let from = truth.draw(|dice| if dice.comes(600) { dice.millis(0, 20) } else { dice.millis(0, 15_000) });
            devices.spawn(async move {
                sleep(from).await;
                scene.device(key, device).await;
            });
        }
    }
    let mut trouble = JoinSet::new();
    for who in ['a', 'b'] {
        trouble.spawn(Arc::clone(&scene).administrator(who));
    }
    trouble.spawn(Arc::clone(&scene).weather());
    sleep(TROUBLE).await;
    trouble.shutdown().await;

    calm(&scene).await;
    let all =
        timeout(ANSWERED_WITHIN, async { while devices.join_next().await.transpose().expect("no panic").is_some() {} });
    if all.await.is_err() {
        truth
            .violated(&format!("{} devices have no answer {ANSWERED_WITHIN:?} after the trouble ended", devices.len()));
    }
    // What was on its way to the store when its node gave up.
    sleep(Duration::from_secs(10)).await;
    truth.settings_changed();
    truth.check_integrity();
    for Quiet { key, uses, devices } in &quiet {
        let (expected, enrolled) = ((*uses).min(*devices), truth.count_devices(key.id));
        let counted = truth.facts(key.id).map_or(0, |facts| u64::from(facts.uses));
        if (enrolled, counted) != (expected, expected) {
            truth.violated(&format!(
                "{devices} devices with a key of {uses} uses came to {enrolled} enrollments, and {counted} are counted"
            ));
        }
    }
}

/// Everything is well again; only what was decided stays.
async fn calm(scene: &Arc<Scene>) {
    let truth = &scene.truth;
    for machine in &scene.machines {
        machine.place.cut.set(false);
        machine.place.lost.store(0, Ordering::Relaxed);
        machine.place.clock.set_ahead(0);
        if machine.node().is_none() {
            machine.start().await;
        }
    }
    let group = truth.transact(truth.world.store.find_group(truth.customer(), truth.group()));
    let mut group = group.expect("the store").expect("it stays");
    group.enabled = true;
    truth.transact(truth.world.apply(muster::store::Change::UpdateGroup(group)));
    truth.settings_changed();
    // What was under way when trouble ended may still tell of it.
    sleep(Duration::from_secs(5)).await;
    *scene.calm.lock().unwrap() = Some(truth.step());
}

fn key(truth: &Truth, name: &str, uses: u64, re_enrolls: bool) -> Key {
    let input =
        KeyInput { maximum: Input::Given(uses), allow_re_enrollment: Input::Given(re_enrolls), ..KeyInput::default() };
    let (id, string) = at_once(truth.world.key(truth.group(), name, input));
    Key { id, string, re_enrolls }
}

/// A service's first start, made once: it costs more than a run.
fn start() -> ClosedWorld {
    static FIRST: OnceLock<PackedWorld> = OnceLock::new();
    let first = FIRST.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { World::new().await.close().await.pack() })
    });
    // A disk would be asked to sync at each commit.
    let in_memory = Path::new("/dev/shm");
    let dir = match in_memory.is_dir() {
        true => tempfile::tempdir_in(in_memory),
        false => tempfile::tempdir(),
    };
    first.unpack(dir.expect("a temporary directory"))
}

/// A device of this name.
pub fn device(truth: &Truth, name: &str) -> WorldDevice {
    WorldDevice::with_csr(name, csr(truth))
}

/// The same with another key pair.
pub fn reinstalled(truth: &Truth, device: &WorldDevice) -> WorldDevice {
    WorldDevice { csr: csr(truth), ..device.clone() }
}

/// They are made once, as they cost more than the rest of an enrollment.
fn csr(truth: &Truth) -> String {
    static CSRS: OnceLock<Vec<String>> = OnceLock::new();
    let csrs = CSRS.get_or_init(|| (0..KEY_PAIRS).map(|_| WorldDevice::new("any").csr).collect());
    csrs[truth.next_key_pair() % KEY_PAIRS].clone()
}
