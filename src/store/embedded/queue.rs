//! What waits for the writer: three lanes with bounds of their own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::jobs::Job;
use crate::store::{BatchSettings, StoreError};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Administrative transactions that may wait.
const CHANGES_MAX: usize = 1_024;

/// Background transactions that may wait; what comes on top is refused, as it may be lost anyway.
const BACKGROUND_MAX: usize = 64;

/// How long background work waits for a quiet moment before it takes its turn all the same.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(1);

/// An enrollment or a renewal in its place.
struct Waiting {
    job: Job,
    queued_at: Instant,
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
    /// Of enrollments and renewals: at least one, at most [`BatchSettings::size_max`], in order of arrival.
    Batch(Vec<Job>),
    Change(Box<dyn Change>),
    /// Nothing came in the time that the writer was willing to wait.
    None,
    /// Nothing is left and nothing will come.
    Closed,
}

/// Which lane a change waits in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    Administration,
    /// Runs when nothing else waits, and takes turns once it has waited for [`BACKGROUND_PATIENCE`].
    Background,
}

pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    arrived: Condvar,
    batch: BatchSettings,
}

#[derive(Default)]
struct Lanes {
    jobs: VecDeque<Waiting>,
    changes: VecDeque<Box<dyn Change>>,
    background: VecDeque<(Instant, Box<dyn Change>)>,
    /// Batches and changes take turns, so that neither waits for more than one of the other.
    is_turn_of_jobs: bool,
    /// The same of those two together and background work that has waited too long.
    is_turn_of_overdue: bool,
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

    pub(super) fn push_job(&self, job: Job) -> Result<(), StoreError> {
        let queued_at = Instant::now();
        let mut lanes = self.open_lanes()?;
        let waiting = lanes.jobs.len();
        if waiting >= self.batch.queue_max {
            return Err(StoreError::Overloaded { waiting });
        }
        lanes.jobs.push_back(Waiting { job, queued_at });
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
    /// were answered come again, is no quiet one. After [`BACKGROUND_PATIENCE`] it takes turns with the rest.
    pub(super) fn take(&self, is_company_likely: bool, quiet_at: Option<Instant>, patience: Option<Duration>) -> Task {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut lanes = self.lock();
        loop {
            if let Some(change) = lanes.take_overdue() {
                return Task::Change(change);
            }
            if !lanes.jobs.is_empty() && (lanes.is_turn_of_jobs || lanes.changes.is_empty()) {
                lanes = self.linger(lanes, is_company_likely);
                (lanes.is_turn_of_jobs, lanes.is_turn_of_overdue) = (false, true);
                let size = lanes.jobs.len().min(self.batch.size_max);
                return Task::Batch(lanes.jobs.drain(..size).map(|waiting| waiting.job).collect());
            }
            if let Some(change) = lanes.changes.pop_front() {
                (lanes.is_turn_of_jobs, lanes.is_turn_of_overdue) = (true, true);
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
        lanes.jobs.clear();
        lanes.changes.clear();
        lanes.background.clear();
    }

    fn linger<'a>(&self, mut lanes: MutexGuard<'a, Lanes>, is_company_likely: bool) -> MutexGuard<'a, Lanes> {
        let Some(first) = lanes.jobs.front() else { return lanes };
        let deadline = first.queued_at + self.batch.linger;
        let is_worth_it = lanes.jobs.len() > 1 || is_company_likely;
        while is_worth_it && lanes.jobs.len() < self.batch.size_max && !lanes.is_closed && Instant::now() < deadline {
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

impl Lanes {
    /// Background work that has waited too long for a quiet moment, if it has not just had a turn.
    fn take_overdue(&mut self) -> Option<Box<dyn Change>> {
        let (since, _) = self.background.front().filter(|_| self.is_turn_of_overdue)?;
        if since.elapsed() <= BACKGROUND_PATIENCE {
            return None;
        }
        self.is_turn_of_overdue = false;
        self.background.pop_front().map(|(_, change)| change)
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable { reason: "it was closed".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::samples::commit;

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
    /// What is taken: a batch, a change, or nothing.
    fn taken(queue: &Queue) -> &'static str {
        let later = Instant::now() + Duration::from_secs(3_600);
        match queue.take(false, Some(later), Some(Duration::ZERO)) {
            Task::Batch(_) => "batch",
            Task::Change(_) => "change",
            Task::None => "none",
            Task::Closed => "closed",
        }
    }

    #[test]
    fn background_work_that_has_waited_takes_turns_with_the_rest() {
        let queue = Queue::new(BatchSettings { size_max: 1, ..BatchSettings::default() });
        let push = |lane| queue.push_change(lane, Box::new(Nothing)).unwrap();
        let background = || queue.lock().background.len();
        for _ in 0..3 {
            push(Lane::Background);
            push(Lane::Administration);
        }
        (0..3).for_each(|_| push(Lane::Administration));
        assert_eq!(taken(&queue), "change");
        assert_eq!(background(), 3, "what somebody waits for is first");

        for (since, _) in &mut queue.lock().background {
            *since = since.checked_sub(2 * BACKGROUND_PATIENCE).unwrap();
        }
        let turns: Vec<_> = (0..6).map(|_| (taken(&queue), background())).collect();
        let expected = [2, 2, 1, 1, 0, 0].map(|left| ("change", left));
        assert_eq!(turns, expected, "changes alone do not keep it waiting, nor does it them");

        push(Lane::Background);
        queue.lock().background[0].0 = Instant::now().checked_sub(2 * BACKGROUND_PATIENCE).unwrap();
        for _ in 0..2 {
            queue.push_job(Job::enrollment(commit(1)).0).unwrap();
        }
        let turns = [(); 4].map(|()| (taken(&queue), background()));
        assert_eq!(turns, [("change", 0), ("batch", 0), ("change", 0), ("batch", 0)]);
    }
}
