//! A boot storm: many devices, each with a fingerprint, a key pair and a TLS connection of its own, who
//! try as `muster enroll` does. `muster loadtest` drives it, and so can tests and benches; several loads
//! run beside each other, e.g. good keys and false ones.
//!
//! Nothing is kept per device once it is in or has given up, and what is counted has a fixed size. A
//! device that waits for its next attempt takes about a kilobyte.
//!
//! The enrollments are real: uses are taken, components made. No verification is left out, neither of
//! the server nor of the certificate that it answers with.

mod arrivals;
mod device;
mod failure;
mod latency;
mod own;
mod preparation;
mod report;
mod sources;
mod tally;
mod timeline;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::arrivals::Schedule;
pub use self::arrivals::{Arrivals, Spacing};
use self::device::{Device, Shared};
pub use self::failure::Failure;
pub use self::latency::{Bucket, Latency};
pub use self::own::Client;
use self::own::{Cpu, Lag};
use self::preparation::{Prepared, prepare};
pub use self::report::{Attempts, Devices, Ended, Failures, Plan, Refusals, Report, SCHEMA_VERSION, Warning};
pub use self::sources::{InvalidSource, Source, Sources};
use self::tally::{SharedTally, Tally};
pub use self::timeline::{Interval, Timeline};
use super::endpoint::{EndpointError, target};
use super::http::{HostPort, Target, call};
use super::tls::{Trust, client_config};
use crate::clock::{Clock, Timestamp};
use crate::domain::key_string::{Inspection, inspect};
use crate::domain::{Cloud, Fingerprint, KeySecret};
use crate::secret::random_bytes;

/// Between two looks of the observer.
const OBSERVED_EVERY: Duration = Duration::from_millis(100);
/// Devices that are due and not yet on their way; beyond it those who send them wait, and are late.
const STARTS_MAX: usize = 1_024;
/// Longest sleep of the thread that keeps the schedule, so that it notices the end.
const NAP_MAX: Duration = Duration::from_millis(50);

/// A key string with whom it calls and trusts.
pub struct LoadKey {
    /// Presented as it is, also if it is damaged or false.
    pub secret: KeySecret,
    pub cloud: Cloud,
    pub trust: Trust,
}

impl LoadKey {
    /// # Errors
    /// [`EndpointError::DamagedKey`].
    pub fn of(secret: KeySecret) -> Result<Self, EndpointError> {
        let Inspection::Usable { cloud, pin } = inspect(secret.expose()) else { return Err(EndpointError::DamagedKey) };
        Ok(Self { secret, cloud, trust: Trust::of_pin(pin) })
    }
}

/// What is to be done.
pub struct Load {
    pub name: LoadName,
    /// Devices take them in turn; not empty.
    pub keys: Vec<LoadKey>,
    /// Where to connect instead of the keys' clouds, in turn; the certificates must still name the clouds.
    pub connect: Vec<HostPort>,
    pub sources: Sources,
    pub arrivals: Arrivals,
    /// The rate rises from nothing, or devices at a time from none, for so long.
    pub ramp: Duration,
    /// `None`: as many as begin in the duration.
    pub devices: Option<u64>,
    /// After it no device begins; those on their way go on.
    pub duration: Option<Duration>,
    /// How long each device goes on after a failure that may pass. Zero: one attempt.
    pub timeout: Duration,
    /// Connections that may be open at once; an attempt beyond them waits, and its latency with it.
    pub connections_max: usize,
}

/// What a load's devices are called: lower-case letters, digits and hyphens, at most 24.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadName(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1 to 24 lower-case letters, digits and hyphens were expected")]
pub struct InvalidLoadName;

impl LoadName {
    const BYTES_MAX: usize = 24;

    /// 8 hex digits.
    pub fn random() -> Self {
        Self(format!("{:08x}", u32::from_le_bytes(*random_bytes::<4>())))
    }

    /// What fingerprints and hostnames begin with.
    pub fn prefix(&self) -> String {
        format!("loadtest-{self}-")
    }

    /// Of the device with this number: `loadtest-3f9c02ab-00000042`.
    fn fingerprint(&self, number: u64) -> Fingerprint {
        Fingerprint::new(&format!("{}{number:08}", self.prefix())).expect("19 to 54 characters of a fingerprint")
    }
}

impl FromStr for LoadName {
    type Err = InvalidLoadName;

    fn from_str(text: &str) -> Result<Self, InvalidLoadName> {
        let fits = (1..=Self::BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidLoadName) }
    }
}

impl fmt::Display for LoadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub elapsed: Duration,
    pub planned: Option<u64>,
    pub started: u64,
    /// Devices that are in.
    pub enrolled: u64,
    /// Devices that gave up.
    pub lost: u64,
    /// Attempts, also those that were repeated.
    pub refused: u64,
    /// Attempts, also those that were repeated.
    pub failed: u64,
    /// Of devices until they were in.
    pub p99: Option<Duration>,
}

/// A load whose servers were called, and were those that the keys trust.
pub struct CheckedLoad {
    load: Load,
    callers: Vec<Caller>,
    addresses: Vec<SocketAddr>,
}

/// A key, and where its devices call.
struct Caller {
    key: Arc<KeySecret>,
    /// One for each of [`Load::connect`], or the key's own cloud.
    targets: Vec<Arc<Target>>,
}

impl Load {
    /// Finds out where to call, once for all devices, and shakes hands there without a word.
    ///
    /// # Errors
    /// The first server that is not reachable or not trusted; an anchor that cannot be used.
    pub async fn check(mut self) -> Result<CheckedLoad, EndpointError> {
        let from = self.sources.nth(0);
        let places: Vec<_> = match &self.connect[..] {
            [] => vec![None],
            places => places.iter().cloned().map(Some).collect(),
        };
        // Many keys, few clouds: each is called once.
        let mut known: Vec<(Cloud, Trust, Option<HostPort>, Arc<Target>)> = Vec::new();
        let (mut callers, mut addresses) = (Vec::with_capacity(self.keys.len()), Vec::new());
        for LoadKey { secret, cloud, trust } in self.keys.drain(..) {
            let mut targets = Vec::with_capacity(places.len());
            for place in &places {
                let same = known.iter().find(|known| (&known.0, &known.1, &known.2) == (&cloud, &trust, place));
                if let Some((.., target)) = same {
                    targets.push(Arc::clone(target));
                    continue;
                }
                let mut target = target(cloud.clone(), place.clone(), client_config(&trust)?);
                target.from = from;
                let address = call(&target).await.map_err(|error| EndpointError::of_exchange(&cloud, error))?;
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
                target.connect = Some(HostPort::from(address));
                let target = Arc::new(target);
                known.push((cloud.clone(), trust.clone(), place.clone(), Arc::clone(&target)));
                targets.push(target);
            }
            callers.push(Caller { key: Arc::new(secret), targets });
        }
        Ok(CheckedLoad { load: self, callers, addresses })
    }
}

/// A device that is due.
struct Start {
    prepared: Prepared,
    due: Instant,
    /// In a closed loop: its place.
    slot: Option<OwnedSemaphorePermit>,
}

impl CheckedLoad {
    /// Runs until every device is in or has given up, or until `stop`: then devices on their way are
    /// cut off. The clock starts when key pairs are made ahead.
    pub async fn run(
        self,
        clock: &dyn Clock,
        stop: impl Future<Output = ()>,
        observe: &mut dyn FnMut(&Progress),
    ) -> Report {
        let mut stop = pin!(stop);
        let prepared = tokio::select! {
            prepared = prepare(self.load.devices) => Some(prepared),
            () = &mut stop => None,
        };
        let Some(prepared) = prepared else {
            let (tally, client) = (Tally::new(Instant::now()), Cpu::new().report(&Lag::new()));
            return self.report(clock.now(), &tally, Ended::Interrupted, client);
        };
        let (started_at, start) = (clock.now(), Instant::now());
        let shared = Arc::new(Shared {
            timeout: self.load.timeout,
            connections: Semaphore::new(self.load.connections_max),
            tally: SharedTally::new(start),
        });
        let (mut cpu, lag) = (Cpu::new(), Arc::new(Lag::new()));
        let (mut devices, mut probe) = (JoinSet::new(), JoinSet::new()); // which end when they are dropped
        probe.spawn({
            let lag = Arc::clone(&lag);
            async move { lag.watch().await }
        });
        let mut starts = self.starts(prepared, start, Arc::clone(&shared));
        let mut tick = interval(OBSERVED_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut number, mut all_began) = (0, false);
        let ended = loop {
            tokio::select! {
                biased;
                () = &mut stop => break Ended::Interrupted,
                _ = tick.tick() => {
                    cpu.look();
                    observe(&self.progress(&shared.tally.lock()));
                }
                Some(joined) = devices.join_next() => resume_panic(joined),
                start = starts.recv(), if !all_began => match start {
                    Some(start) => {
                        shared.tally.lock().begun(start.due);
                        devices.spawn(self.send(number, start, Arc::clone(&shared)));
                        number += 1;
                    }
                    None => all_began = true,
                },
            }
            if all_began && devices.is_empty() {
                break Ended::Done;
            }
        };
        drop(starts);
        devices.shutdown().await;
        drop(probe);
        let tally = shared.tally.lock();
        observe(&self.progress(&tally));
        self.report(started_at, &tally, ended, cpu.report(&lag))
    }

    /// The devices that are due, until all were or the duration is over.
    fn starts(&self, prepared: mpsc::Receiver<Prepared>, start: Instant, shared: Arc<Shared>) -> mpsc::Receiver<Start> {
        let (sender, receiver) = mpsc::channel(STARTS_MAX);
        let Load { ramp, duration, .. } = self.load;
        let end = duration.and_then(|duration| start.checked_add(duration));
        match self.load.arrivals {
            Arrivals::Closed { concurrency } => {
                tokio::spawn(keep_busy(concurrency, ramp, start, end, prepared, sender, shared));
            }
            Arrivals::Open { rate_per_second, spacing } => {
                let schedule = Schedule::new(rate_per_second, spacing, ramp);
                // A thread that sleeps is on time to a tenth of a millisecond; tokio's timers are not.
                tokio::task::spawn_blocking(move || keep_schedule(schedule, start, end, prepared, &sender, &shared));
            }
        }
        receiver
    }

    fn send(&self, number: u64, start: Start, shared: Arc<Shared>) -> impl Future<Output = ()> + Send + use<> {
        let (key, turn) = turns(number, self.callers.len() as u64);
        let caller = &self.callers[key as usize];
        let device = Device {
            fingerprint: self.load.name.fingerprint(number),
            key: Arc::clone(&caller.key),
            target: Arc::clone(&caller.targets[(turn % caller.targets.len() as u64) as usize]),
            from: self.load.sources.nth(turn),
            prepared: start.prepared,
        };
        async move {
            device.live(&shared, start.due).await;
            drop(start.slot);
        }
    }

    fn progress(&self, tally: &Tally) -> Progress {
        Progress {
            elapsed: tally.start.elapsed(),
            planned: self.load.devices,
            started: tally.started,
            enrolled: tally.enrolled(),
            lost: tally.refused_devices() + tally.failed_devices(),
            refused: tally.refusals.values().map(|count| count.attempts).sum(),
            failed: tally.failures.values().map(|count| count.attempts).sum(),
            p99: tally.devices.at(0.99),
        }
    }

    fn report(&self, started_at: Timestamp, tally: &Tally, ended: Ended, client: Client) -> Report {
        let load = &self.load;
        let mut plan = Plan {
            devices: load.devices,
            concurrency: None,
            rate_per_second: None,
            spacing: None,
            ramp_seconds: load.ramp.as_secs_f64(),
            duration_seconds: load.duration.map(|duration| duration.as_secs_f64()),
            timeout_seconds: load.timeout.as_secs_f64(),
            keys: self.callers.len(),
            sources: load.sources.count(),
            addresses: self.addresses.clone(),
            connections_max: load.connections_max,
        };
        plan.arrivals(load.arrivals);
        Report::of(tally, load.name.to_string(), started_at.to_string(), ended, plan, client)
    }
}

/// Whose turn it is: which of so many keys, and the turn of everything else, one further with each
/// round of the keys, so that each key is used from and to everywhere.
fn turns(number: u64, keys: u64) -> (u64, u64) {
    let (key, round) = (number % keys, number / keys);
    (key, key + round)
}

/// Sends the next device whenever one of the places is free.
async fn keep_busy(
    concurrency: usize,
    ramp: Duration,
    start: Instant,
    end: Option<Instant>,
    mut prepared: mpsc::Receiver<Prepared>,
    starts: mpsc::Sender<Start>,
    shared: Arc<Shared>,
) {
    let slots = Arc::new(Semaphore::new(concurrency));
    let mut opened = 0;
    loop {
        let is_late = prepared.is_empty() && !prepared.is_closed();
        let Some(prepared) = prepared.recv().await else { return };
        if is_late {
            shared.tally.lock().waited_for_preparation();
        }
        if opened < concurrency {
            sleep_until(start + ramp.mul_f64(opened as f64 / concurrency as f64)).await;
            opened += 1;
        }
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let due = Instant::now();
        if end.is_some_and(|end| due >= end) || starts.send(Start { prepared, due, slot: Some(slot) }).await.is_err() {
            return;
        }
    }
}

/// Sends each device when it is due. Blocking.
fn keep_schedule(
    schedule: Schedule,
    start: Instant,
    end: Option<Instant>,
    mut prepared: mpsc::Receiver<Prepared>,
    starts: &mpsc::Sender<Start>,
    shared: &Shared,
) {
    for after in schedule {
        let Some(due) = start.checked_add(after).filter(|due| end.is_none_or(|end| *due < end)) else { return };
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            if starts.is_closed() {
                return;
            }
            std::thread::sleep(wait.min(NAP_MAX));
        }
        let next = prepared.try_recv().ok().or_else(|| {
            let late = prepared.blocking_recv()?;
            shared.tally.lock().waited_for_preparation();
            Some(late)
        });
        let Some(prepared) = next else { return };
        if starts.blocking_send(Start { prepared, due, slot: None }).is_err() {
            return;
        }
    }
}

/// A device never ends by a panic, unless this code is wrong; a cancelled one was cut off.
fn resume_panic(joined: Result<(), JoinError>) {
    if let Err(error) = joined
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests;
