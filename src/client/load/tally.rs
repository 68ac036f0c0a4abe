//! What is counted while devices come.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use super::latency::Latencies;
use super::timeline::Timeline;
use crate::client::endpoint::Refused;
use crate::protocol::enroll::Outcome;

/// One attempt of a device.
pub(super) struct Trial {
    /// When it was to begin.
    pub due: Instant,
    pub answered: Instant,
    /// When the device's first attempt was to begin.
    pub begun: Instant,
    /// Whether the device will try again.
    pub goes_on: bool,
}

/// How many attempts ended so, and for how many devices that was the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub attempts: u64,
    pub devices: u64,
}

/// Grows with the kinds of answers only, not with the number of devices.
pub(super) struct Tally {
    pub start: Instant,
    pub started: u64,
    /// By [`Outcome`].
    outcomes: [u64; Outcome::ALL.len()],
    /// By status and code.
    pub refusals: BTreeMap<(u16, Option<String>), Count>,
    pub failures: BTreeMap<Failure, Count>,
    /// Attempts that another one followed.
    pub repeated: u64,
    /// From the device's beginning until it was in.
    pub devices: Latencies,
    pub accepted: Latencies,
    pub refused: Latencies,
    pub timeline: Timeline,
    pub last_in: Option<Instant>,
    /// Attempts that found all connections in use.
    pub connection_waits: u64,
    /// Devices whose key pair was not ready.
    pub preparation_waits: u64,
}

impl Tally {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            started: 0,
            outcomes: [0; Outcome::ALL.len()],
            refusals: BTreeMap::new(),
            failures: BTreeMap::new(),
            repeated: 0,
            devices: Latencies::new(),
            accepted: Latencies::new(),
            refused: Latencies::new(),
            timeline: Timeline::new(),
            last_in: None,
            connection_waits: 0,
            preparation_waits: 0,
        }
    }

    /// A device begins.
    pub(super) fn begun(&mut self, due: Instant) {
        self.started += 1;
        self.timeline.at(due - self.start).started += 1;
    }

    pub(super) fn accepted(&mut self, trial: &Trial, outcome: Outcome) {
        self.outcomes[outcome as usize] += 1;
        self.accepted.record(trial.latency());
        self.devices.record(trial.answered - trial.begun);
        self.timeline.at(trial.answered - self.start).enrolled += 1;
        self.last_in = self.last_in.max(Some(trial.answered));
    }

    pub(super) fn refused(&mut self, trial: &Trial, refused: &Refused) {
        self.refusals.entry((refused.status, refused.code.clone())).or_default().count(trial);
        self.refused.record(trial.latency());
        self.timeline.at(trial.answered - self.start).refused += 1;
        self.repeated += u64::from(trial.goes_on);
    }

    pub(super) fn failed(&mut self, trial: &Trial, failure: Failure) {
        self.failures.entry(failure).or_default().count(trial);
        self.timeline.at(trial.answered - self.start).failed += 1;
        self.repeated += u64::from(trial.goes_on);
    }

    pub(super) fn waited_for_connection(&mut self) {
        self.connection_waits += 1;
    }

    pub(super) fn waited_for_preparation(&mut self) {
        self.preparation_waits += 1;
    }

    /// Devices whose request came to this.
    pub(super) fn came_to(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// Devices that are in.
    pub(super) fn enrolled(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Devices whose last attempt was refused.
    pub(super) fn refused_devices(&self) -> u64 {
        self.refusals.values().map(|count| count.devices).sum()
    }

    /// Devices whose last attempt failed.
    pub(super) fn failed_devices(&self) -> u64 {
        self.failures.values().map(|count| count.devices).sum()
    }
}

impl Count {
    fn count(&mut self, trial: &Trial) {
        self.attempts += 1;
        self.devices += u64::from(!trial.goes_on);
    }
}

impl Trial {
    fn latency(&self) -> Duration {
        self.answered - self.due
    }
}

/// One tally for all devices: each holds it for less than a microsecond per attempt.
pub(super) struct SharedTally(Mutex<Tally>);

impl SharedTally {
    pub(super) fn new(start: Instant) -> Self {
        Self(Mutex::new(Tally::new(start)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(start: Instant, begun_ms: u64, due_ms: u64, answered_ms: u64, goes_on: bool) -> Trial {
        let at = |ms| start + Duration::from_millis(ms);
        Trial { due: at(due_ms), answered: at(answered_ms), begun: at(begun_ms), goes_on }
    }

    #[test]
    fn a_device_counts_once_and_each_of_its_attempts() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let busy = Refused {
            status: 503,
            code: Some("overloaded".to_owned()),
            reference: None,
            detail: None,
            retry_after: None,
            server_time: None,
        };
        tally.begun(start);
        tally.failed(&trial(start, 0, 0, 10, true), Failure::ConnectionReset);
        tally.refused(&trial(start, 0, 1_000, 1_020, true), &busy);
        tally.accepted(&trial(start, 0, 3_000, 3_050, false), Outcome::Enrolled);
        tally.begun(start + Duration::from_secs(1));
        tally.refused(&trial(start, 1_000, 1_000, 1_030, false), &busy);

        assert_eq!((tally.started, tally.enrolled(), tally.repeated), (2, 1, 2));
        assert_eq!((tally.refused_devices(), tally.failed_devices()), (1, 0));
        assert_eq!(tally.refusals[&(503, busy.code)], Count { attempts: 2, devices: 1 });
        assert_eq!(tally.failures[&Failure::ConnectionReset], Count { attempts: 1, devices: 0 });
        let hundredths = |latencies: &Latencies| latencies.at(1.0).map(|found| found.as_millis() / 10);
        let found = (hundredths(&tally.accepted), hundredths(&tally.devices), hundredths(&tally.refused));
        assert_eq!(found, (Some(5), Some(305), Some(3)));
        assert_eq!(tally.last_in, Some(start + Duration::from_millis(3_050)));
    }
}
