//! What waits for the writer: three lanes with bounds of their own.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::{BatchSettings, EnrollmentCommit, EnrollmentOutcome, StoreError};

/// Administrative transactions that may wait.
const CHANGES_MAX: usize = 1_024;

/// Background transactions that may wait; what comes on top is refused, as it may be lost anyway.
const BACKGROUND_MAX: usize = 64;

/// How long background work waits for a quiet moment before it takes its turn all the same.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(1);

/// An enrollment and where its answer goes.
pub(super) struct EnrollmentJob {
    pub commit: EnrollmentCommit,
    pub answer: oneshot::Sender<Result<EnrollmentOutcome, StoreError>>,
    pub queued_at: Instant,
}

/// A transaction of its own.
pub(super) trait Change: Send {
    /// Runs inside the transaction; `true`: to be committed.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<bool>;

    /// The transaction has ended as [`Self::run`] wished, or it has not.
    fn answer(self: Box<Self>, ended: Result<(), StoreError>);
}

/// The writer's next task.
pub(super) enum Task {
    Change(Box<dyn Change>),
    /// At least one, at most [`BatchSettings::size_max`], in order of arrival.
    Enrollments(Vec<EnrollmentJob>),
    /// Nothing came in the time that the writer was willing to wait.
    None,
    /// Nothing is left and nothing will come.
    Closed,
}

/// Which lane a change waits in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    Administration,
    /// Runs when nothing else waits.
    Background,
}

pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    arrived: Condvar,
    batch: BatchSettings,
}

#[derive(Default)]
struct Lanes {
    enrollments: VecDeque<EnrollmentJob>,
    changes: VecDeque<Box<dyn Change>>,
    background: VecDeque<(Instant, Box<dyn Change>)>,
    /// Enrollments and changes take turns, so that neither waits for more than one of the other.
    is_turn_of_enrollments: bool,
    waits_for: WaitsFor,
    is_closed: bool,
}

/// What would wake the writer. Waking costs a system call, so it is done only for this.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum WaitsFor {
    /// It is busy, and will look by itself.
    #[default]
    Nothing,
    Anything,
    /// It lingers until a batch is full.
    FullBatch,
}

impl Queue {
    pub(super) fn new(batch: BatchSettings) -> Self {
        let batch = BatchSettings { size_max: batch.size_max.max(1), ..batch };
        Self { lanes: Mutex::default(), arrived: Condvar::new(), batch }
    }

    pub(super) fn push_enrollment(&self, job: EnrollmentJob) -> Result<(), StoreError> {
        let mut lanes = self.open_lanes()?;
        let waiting = lanes.enrollments.len();
        if waiting >= self.batch.queue_max {
            return Err(StoreError::Overloaded { waiting });
        }
        lanes.enrollments.push_back(job);
        let wakes = match lanes.waits_for {
            WaitsFor::Nothing => false,
            WaitsFor::Anything => true,
            WaitsFor::FullBatch => waiting + 1 >= self.batch.size_max,
        };
        self.wake_if(wakes, lanes);
        Ok(())
    }

    pub(super) fn push_change(&self, lane: Lane, change: Box<dyn Change>) -> Result<(), StoreError> {
        let mut lanes = self.open_lanes()?;
        let (waiting, bound) = match lane {
            Lane::Administration => (lanes.changes.len(), CHANGES_MAX),
            Lane::Background => (lanes.background.len(), BACKGROUND_MAX),
        };
        if waiting >= bound {
            return Err(StoreError::Overloaded { waiting });
        }
        match lane {
            Lane::Administration => lanes.changes.push_back(change),
            Lane::Background => lanes.background.push_back((Instant::now(), change)),
        }
        let wakes = lanes.waits_for == WaitsFor::Anything;
        self.wake_if(wakes, lanes);
        Ok(())
    }

    /// Takes what is next. Blocks until something is, at most for `patience`.
    ///
    /// A batch that is not full waits for company, until its first has waited for the linger time,
    /// if more than one is there already or `is_company_likely`. A lone enrollment does not wait.
    ///
    /// Background work is not taken before `quiet_at`: the moment between two batches, in which those who
    /// were answered come again, is no quiet one.
    pub(super) fn take(&self, is_company_likely: bool, quiet_at: Option<Instant>, patience: Option<Duration>) -> Task {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut lanes = self.lock();
        loop {
            if !lanes.enrollments.is_empty() && (lanes.is_turn_of_enrollments || lanes.changes.is_empty()) {
                lanes = self.linger(lanes, is_company_likely);
                lanes.is_turn_of_enrollments = false;
                let size = lanes.enrollments.len().min(self.batch.size_max);
                return Task::Enrollments(lanes.enrollments.drain(..size).collect());
            }
            if let Some(change) = lanes.changes.pop_front() {
                lanes.is_turn_of_enrollments = true;
                return Task::Change(change);
            }
            let not_yet = quiet_at.filter(|at| !lanes.is_closed && Instant::now() < *at);
            if not_yet.is_none()
                && let Some((_, change)) = lanes.background.pop_front()
            {
                return Task::Change(change);
            }
            if lanes.is_closed {
                return Task::Closed;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Task::None;
            }
            let until = not_yet.filter(|_| !lanes.background.is_empty()).into_iter().chain(deadline).min();
            lanes = self.wait(lanes, WaitsFor::Anything, until);
        }
    }

    /// Background work that has waited too long for a quiet moment.
    pub(super) fn take_overdue(&self) -> Option<Box<dyn Change>> {
        let mut lanes = self.lock();
        let is_overdue = lanes.background.front().is_some_and(|(since, _)| since.elapsed() > BACKGROUND_PATIENCE);
        if is_overdue { lanes.background.pop_front().map(|(_, change)| change) } else { None }
    }

    /// Takes nothing new; what is queued is still done.
    pub(super) fn close(&self) {
        let mut lanes = self.lock();
        lanes.is_closed = true;
        self.wake_if(true, lanes);
    }

    /// Forgets what is queued; whoever waits learns that nobody will answer.
    pub(super) fn abandon(&self) {
        let mut lanes = self.lock();
        lanes.is_closed = true;
        lanes.enrollments.clear();
        lanes.changes.clear();
        lanes.background.clear();
    }

    fn linger<'a>(&self, mut lanes: MutexGuard<'a, Lanes>, is_company_likely: bool) -> MutexGuard<'a, Lanes> {
        let Some(first) = lanes.enrollments.front() else { return lanes };
        let deadline = first.queued_at + self.batch.linger;
        let is_worth_it = lanes.enrollments.len() > 1 || is_company_likely;
        while is_worth_it
            && lanes.enrollments.len() < self.batch.size_max
            && !lanes.is_closed
            && Instant::now() < deadline
        {
            lanes = self.wait(lanes, WaitsFor::FullBatch, Some(deadline));
        }
        lanes
    }

    /// Waits for a wake-up or the deadline. Wakes for nothing happen; callers look again.
    fn wait<'a>(
        &self,
        mut lanes: MutexGuard<'a, Lanes>,
        waits_for: WaitsFor,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, Lanes> {
        lanes.waits_for = waits_for;
        let mut lanes = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => self.arrived.wait(lanes).unwrap_or_else(PoisonError::into_inner),
            Some(left) => self.arrived.wait_timeout(lanes, left).unwrap_or_else(PoisonError::into_inner).0,
        };
        lanes.waits_for = WaitsFor::Nothing;
        lanes
    }

    fn wake_if(&self, wakes: bool, lanes: MutexGuard<'_, Lanes>) {
        drop(lanes);
        if wakes {
            self.arrived.notify_one();
        }
    }

    fn open_lanes(&self) -> Result<MutexGuard<'_, Lanes>, StoreError> {
        let lanes = self.lock();
        if lanes.is_closed { Err(closed()) } else { Ok(lanes) }
    }

    /// No code of others runs under this lock, so a poisoned one still holds whole lanes.
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable { reason: "it was closed".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Change for Nothing {
        fn run(&mut self, _: &Connection) -> rusqlite::Result<bool> {
            Ok(false)
        }

        fn answer(self: Box<Self>, _: Result<(), StoreError>) {}
    }

    #[test]
    fn background_work_waits_for_a_quiet_moment() {
        let queue = Queue::new(BatchSettings::default());
        let (at_once, later) = (Some(Duration::ZERO), Some(Instant::now() + Duration::from_secs(3_600)));
        queue.push_change(Lane::Background, Box::new(Nothing)).unwrap();
        assert!(matches!(queue.take(false, later, at_once), Task::None));
        queue.push_change(Lane::Administration, Box::new(Nothing)).unwrap();
        assert!(matches!(queue.take(false, later, at_once), Task::Change(_)), "what somebody waits for does not");
        assert!(matches!(queue.take(false, Some(Instant::now()), at_once), Task::Change(_)));
        assert!(matches!(queue.take(false, None, at_once), Task::None), "that was all");

        queue.push_change(Lane::Background, Box::new(Nothing)).unwrap();
        queue.close();
        assert!(matches!(queue.take(false, later, at_once), Task::Change(_)), "a closed one is emptied");
        assert!(matches!(queue.take(false, later, at_once), Task::Closed));
    }
}
