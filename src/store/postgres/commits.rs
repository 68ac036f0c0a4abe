//! Where enrollments wait for each other: group commit over devices and keys, a customer at a time.
//!
//! A customer has one batch under way; what comes meanwhile is the next one. So a lone enrollment waits for nobody, and
//! the more come, the more share a commit. Several customers commit at once, each on a connection of its own.
//!
//! What can go wrong, and what is said then:
//! - A row is at fault: each enrollment of the batch is tried alone.
//! - A key is locked for long, as while it goes with a large group: each key's part of the batch is tried alone.
//! - The database gave way to another transaction: the batch is repeated.
//! - No answer came to COMMIT: the batch is repeated, on another connection, until it is known what became of it
//!   ([`enroll`] writes nothing twice) or [`ANSWER_TIME_MAX`] is over: `Unknown`.
//! - There is no connection, or the database refuses: all that wait for it hear `Unavailable` at once.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::connections::Connections;
use super::errors::{Error, Failure};
use super::session::Session;
use super::{StoreClock, closed, enroll};
use crate::domain::Fingerprint;
use crate::id::{ComponentId, CustomerId, ProvisioningKeyId};
use crate::secret::random_bytes;
use crate::store::jobs::{self, Answered, Decided, Job};
use crate::store::{
    BatchSettings, CommitObserver, EnrollmentCommit, EnrollmentOutcome, RenewalCommit, RenewalOutcome, StoreError,
};

/// How long an enrollment may wait for its batch, and how long it is tried to find out what became of that.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a batch may take once it was sent. The database breaks off its statements before.
const COMMIT_TIME_MAX: Duration = Duration::from_secs(8);

/// Why those hear nothing better that wait behind a batch that failed.
const AWAY: &str = "the database is away, or takes no commits";

/// Before a batch is repeated.
const PAUSE: Duration = Duration::from_millis(20);

/// How many enrollments a plan is good for, at first; twice as many each time.
const PLANNED_FOR_FIRST: usize = 64;

/// And for how long: other nodes enroll, too.
const PLANNED_FOR_TIME: Duration = Duration::from_secs(30);

/// Processes that enroll into the same group at once without waiting for each other's counts. Slot 0 is the
/// administrators'.
const SLOTS: u8 = 16;

/// The callers' side. Dropping it lets what waits be done.
pub(super) struct Commits {
    queue: Arc<Queue>,
    /// Closed when all workers have ended.
    working: watch::Receiver<()>,
}

struct Waiting {
    job: Job,
    queued_at: Instant,
}

/// Whom a job is for: a batch has no two of one.
#[derive(PartialEq, Eq, Hash)]
enum Device {
    Enrolls(ProvisioningKeyId, Fingerprint),
    Renews(ComponentId),
}

impl Device {
    fn of(job: &Job) -> Self {
        match job {
            Job::Enrollment(asked) => Self::Enrolls(asked.commit.seen.key.0, asked.commit.fingerprint.clone()),
            Job::Renewal(asked) => Self::Renews(asked.commit.seen.component.0),
        }
    }
}

impl Commits {
    pub(super) fn start(
        connections: &Arc<Connections>,
        clock: StoreClock,
        batch: BatchSettings,
        observer: Arc<dyn CommitObserver>,
    ) -> Self {
        let queue = Arc::new(Queue { lanes: Mutex::default(), arrived: Notify::new(), batch });
        let (works, working) = watch::channel(());
        let [random] = *random_bytes();
        let worker = Worker {
            connections: Arc::clone(connections),
            queue: Arc::clone(&queue),
            clock,
            observer,
            slot: (1 + random % SLOTS).into(),
            _works: works,
        };
        let worker = Arc::new(worker);
        for _ in 0..connections.commits_max() {
            tokio::spawn(Arc::clone(&worker).run());
        }
        Self { queue, working }
    }

    pub(super) async fn enroll(&self, commit: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        self.push(Job::enrollment(commit)).await
    }

    pub(super) async fn renew(&self, commit: RenewalCommit) -> Result<RenewalOutcome, StoreError> {
        self.push(Job::renewal(commit)).await
    }

    async fn push<O>(&self, (job, answered): (Job, Answered<O>)) -> Result<O, StoreError> {
        self.queue.push(job)?;
        // Whoever was to answer is gone, and with it what it knew.
        let unanswered = |_| Err(StoreError::Unknown { reason: "its batch broke off".into() });
        answered.await.unwrap_or_else(unanswered)
    }

    /// Finishes what waits.
    pub(super) async fn close(&self) {
        self.queue.close();
        // The sender is dropped with the last worker; that is the only thing it ever says.
        let _ = self.working.clone().changed().await;
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.queue.close();
    }
}

struct Queue {
    lanes: Mutex<Lanes>,
    arrived: Notify,
    batch: BatchSettings,
}

#[derive(Default)]
struct Lanes {
    waiting: HashMap<CustomerId, VecDeque<Waiting>>,
    /// Customers with something to commit and no batch under way, the longest waiting first.
    ready: VecDeque<CustomerId>,
    busy: HashSet<CustomerId>,
    count: usize,
    is_closed: bool,
}

impl Queue {
    fn push(&self, job: Job) -> Result<(), StoreError> {
        let mut lanes = self.lock();
        if lanes.is_closed {
            return Err(closed());
        }
        if lanes.count >= self.batch.queue_max {
            return Err(StoreError::Overloaded { waiting: lanes.count });
        }
        lanes.count += 1;
        let customer = job.customer();
        let lane = lanes.waiting.entry(customer).or_default();
        lane.push_back(Waiting { job, queued_at: Instant::now() });
        if lane.len() == 1 && !lanes.busy.contains(&customer) {
            lanes.ready.push_back(customer);
            drop(lanes);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits for the next batch: at least one job, at most [`BatchSettings::size_max`], all of one customer and no two
    /// of one device. `None`: nothing is left and nothing will come.
    async fn take(&self) -> Option<(CustomerId, Vec<Waiting>)> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut lanes = self.lock();
                if let Some(customer) = lanes.ready.pop_front() {
                    lanes.busy.insert(customer);
                    let batch = lanes.take_batch(customer, self.batch.size_max.max(1));
                    if !lanes.ready.is_empty() {
                        self.arrived.notify_one();
                    }
                    return Some((customer, batch));
                }
                if lanes.is_closed && lanes.busy.is_empty() {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// The customer's batch has ended; what came meanwhile is its next one.
    fn end(&self, customer: CustomerId) {
        let mut lanes = self.lock();
        lanes.busy.remove(&customer);
        if lanes.waiting.contains_key(&customer) {
            lanes.ready.push_back(customer);
        }
        let is_over = lanes.is_closed;
        drop(lanes);
        if is_over { self.arrived.notify_waiters() } else { self.arrived.notify_one() }
    }

    /// Everything of a customer that still waits.
    fn take_all(&self, customer: CustomerId) -> VecDeque<Waiting> {
        let mut lanes = self.lock();
        let jobs = lanes.waiting.remove(&customer).unwrap_or_default();
        lanes.count -= jobs.len();
        jobs
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_waiters();
    }

    /// No code of others runs under this lock, so a poisoned one still holds whole lanes.
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn take_batch(&mut self, customer: CustomerId, size_max: usize) -> Vec<Waiting> {
        let Some(lane) = self.waiting.get_mut(&customer) else { return Vec::new() };
        let (mut batch, mut later) = (Vec::with_capacity(lane.len().min(size_max)), VecDeque::new());
        let mut devices = HashSet::with_capacity(lane.len().min(size_max));
        while batch.len() < size_max
            && let Some(waiting) = lane.pop_front()
        {
            if devices.insert(Device::of(&waiting.job)) {
                batch.push(waiting);
            } else {
                later.push_back(waiting);
            }
        }
        later.append(lane);
        if later.is_empty() {
            self.waiting.remove(&customer);
        } else {
            *lane = later;
        }
        self.count -= batch.len();
        batch
    }
}

struct Worker {
    connections: Arc<Connections>,
    queue: Arc<Queue>,
    clock: StoreClock,
    observer: Arc<dyn CommitObserver>,
    slot: i64,
    _works: watch::Sender<()>,
}

/// How a batch left the database.
#[derive(PartialEq, Eq)]
enum Database {
    Answers,
    /// The next batch would fare no better.
    IsAway,
}

/// A worker's connection.
struct Line {
    session: Session,
    /// Enrollments that were committed here since its statements were planned.
    committed: usize,
    /// With so many they are planned anew.
    planned_for: usize,
    planned_at: Instant,
}

impl Line {
    fn new(session: Session) -> Self {
        Self { session, committed: 0, planned_for: PLANNED_FOR_FIRST, planned_at: Instant::now() }
    }

    /// Tables grow, and without statistics of them, as in a first hour, the database plans for what they hold at the
    /// time: which index leads to a row is plain to it only when there are some thousand.
    async fn plan_anew_if_due(&mut self) -> Result<(), Error> {
        if self.committed < self.planned_for && self.planned_at.elapsed() < PLANNED_FOR_TIME {
            return Ok(());
        }
        self.session.batch("DISCARD PLANS").await?;
        let planned_for = self.planned_for.saturating_mul(2);
        (self.committed, self.planned_for, self.planned_at) = (0, planned_for, Instant::now());
        Ok(())
    }
}

impl Worker {
    async fn run(self: Arc<Self>) {
        let mut line = None;
        while let Some((customer, batch)) = self.queue.take().await {
            let (late, batch): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|waiting| waiting.queued_at.elapsed() > ANSWER_TIME_MAX);
            let jobs = |waiting: Vec<Waiting>| waiting.into_iter().map(|waiting| waiting.job).collect::<Vec<_>>();
            refuse(jobs(late), || StoreError::Unavailable { reason: "the database is too slow".into() });
            if self.commit(&mut line, customer, jobs(batch), None).await == Database::IsAway {
                let waiting = self.queue.take_all(customer).into();
                refuse(jobs(waiting), || StoreError::Unavailable { reason: AWAY.into() });
            }
            self.queue.end(customer);
        }
    }

    /// `doubt`: why nobody knows whether it was committed before.
    async fn commit(
        &self,
        line: &mut Option<Line>,
        customer: CustomerId,
        batch: Vec<Job>,
        mut doubt: Option<String>,
    ) -> Database {
        let begun = Instant::now();
        loop {
            let failure = match self.record(line, customer, &batch, doubt.is_some()).await {
                Ok(decided) => {
                    let size = decided.committed();
                    if size > 0 {
                        self.observer.observe_commit(size, begun.elapsed());
                    }
                    decided.answer(batch);
                    return Database::Answers;
                }
                Err(failure) => failure,
            };
            let (database, may_go_through) = match &failure {
                Failure::NotWritten(error) if error.is_of_one_row() || error.is_of_lock() => {
                    if let Some(parts) = split(&batch, error.is_of_lock()) {
                        return self.commit_parts(line, customer, batch, &parts, doubt).await;
                    }
                    (Database::Answers, false)
                }
                Failure::NotWritten(error) if error.is_conflict() => (Database::Answers, true),
                Failure::NotWritten(_) => (Database::IsAway, doubt.is_some()),
                Failure::Unknown { .. } => (Database::IsAway, true),
            };
            let error = StoreError::from(failure);
            if doubt.is_none() {
                tracing::warn!(size = batch.len(), %error, "an enrollment batch got no answer, or was refused");
                if let StoreError::Unknown { reason } = &error {
                    doubt = Some(reason.clone());
                }
            }
            if !may_go_through || begun.elapsed() >= ANSWER_TIME_MAX {
                refuse(batch, || doubtful(&doubt, &error));
                return database;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Each part by itself: `parts` has the number of each job's.
    async fn commit_parts(
        &self,
        line: &mut Option<Line>,
        customer: CustomerId,
        batch: Vec<Job>,
        parts: &[usize],
        doubt: Option<String>,
    ) -> Database {
        let mut jobs: BTreeMap<usize, Vec<Job>> = BTreeMap::new();
        for (job, part) in batch.into_iter().zip(parts) {
            jobs.entry(*part).or_default().push(job);
        }
        let mut database = Database::Answers;
        for part in jobs.into_values() {
            database = match database {
                Database::Answers => Box::pin(self.commit(line, customer, part, doubt.clone())).await,
                Database::IsAway => {
                    let error = StoreError::Unavailable { reason: AWAY.into() };
                    refuse(part, || doubtful(&doubt, &error));
                    Database::IsAway
                }
            };
        }
        database
    }

    /// `line` is kept when it is still good.
    async fn record(
        &self,
        line: &mut Option<Line>,
        customer: CustomerId,
        batch: &[Job],
        is_repeated: bool,
    ) -> Result<Decided, Failure> {
        let mut open = match line.take().filter(|line| !line.session.client().is_closed()) {
            Some(line) => line,
            None => Line::new(self.connections.get_to_commit().await?),
        };
        let commits = jobs::Commits::of(batch);
        let recorded = tokio::time::timeout(COMMIT_TIME_MAX, async {
            open.plan_anew_if_due().await?;
            enroll::record(&mut open.session, &self.clock, self.slot, customer, &commits, is_repeated).await
        });
        let recorded = recorded.await.unwrap_or_else(|_| Err(Failure::unanswered_within(COMMIT_TIME_MAX)));
        if open.session.is_idle() {
            open.committed += batch.len();
            *line = Some(open);
        }
        recorded
    }
}

/// To which part each job of a batch goes, if there are several: its key's, or its own.
fn split(batch: &[Job], by_key: bool) -> Option<Vec<usize>> {
    let mut keys = HashMap::new();
    let parts: Vec<usize> = (0..batch.len())
        .map(|place| {
            let next = keys.len();
            if by_key { *keys.entry(batch[place].key()).or_insert(next) } else { place }
        })
        .collect();
    parts.iter().any(|part| *part > 0).then_some(parts)
}

/// What was in doubt before stays so.
fn doubtful(doubt: &Option<String>, error: &StoreError) -> StoreError {
    match doubt {
        Some(reason) => StoreError::Unknown { reason: reason.clone() },
        None => error.clone(),
    }
}

fn refuse(jobs: impl IntoIterator<Item = Job>, error: impl Fn() -> StoreError) {
    for job in jobs {
        job.refuse(error());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::store::samples::commit;

    fn queue(settings: BatchSettings) -> Queue {
        Queue { lanes: Mutex::default(), arrived: Notify::new(), batch: settings }
    }

    fn job(device: u64, customer: u64) -> Job {
        let mut commit = commit(device);
        commit.seen.customer.0 = CustomerId::from_raw(customer);
        Job::enrollment(commit).0
    }

    fn devices(batch: &[Waiting]) -> Vec<String> {
        let device = |waiting: &Waiting| match Device::of(&waiting.job) {
            Device::Enrolls(_, fingerprint) => fingerprint.as_str().trim_start_matches('0').to_owned(),
            Device::Renews(component) => panic!("component {component} renews"),
        };
        batch.iter().map(device).collect()
    }

    #[tokio::test]
    async fn what_comes_while_a_batch_is_under_way_is_the_next_one() {
        let queue = queue(BatchSettings { size_max: 3, ..BatchSettings::default() });
        queue.push(job(1, 1)).unwrap();
        let (first, batch) = queue.take().await.unwrap();
        assert_eq!(devices(&batch), ["1"], "a lone one waits for nobody");
        for device in 2..=6 {
            queue.push(job(device, 1)).unwrap();
        }
        queue.push(job(7, 2)).unwrap();
        let (second, batch) = queue.take().await.unwrap();
        assert_eq!(devices(&batch), ["7"], "the first customer's has not ended");
        queue.end(first);
        queue.end(second);
        let (_, batch) = queue.take().await.unwrap();
        assert_eq!(devices(&batch), ["2", "3", "4"]);
        queue.end(first);
        let (_, batch) = queue.take().await.unwrap();
        assert_eq!(devices(&batch), ["5", "6"]);
    }

    #[tokio::test]
    async fn a_device_is_in_a_batch_once() {
        let queue = queue(BatchSettings::default());
        for device in [1, 2, 1, 3, 1] {
            queue.push(job(device, 1)).unwrap();
        }
        for expected in [&["1", "2", "3"][..], &["1"], &["1"]] {
            let (customer, batch) = queue.take().await.unwrap();
            assert_eq!(devices(&batch), expected);
            queue.end(customer);
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_closed_one_is_emptied() {
        let queue = queue(BatchSettings { queue_max: 2, ..BatchSettings::default() });
        queue.push(job(1, 1)).unwrap();
        queue.push(job(2, 2)).unwrap();
        assert!(matches!(queue.push(job(3, 3)), Err(StoreError::Overloaded { waiting: 2 })));
        queue.close();
        assert!(matches!(queue.push(job(3, 3)), Err(StoreError::Unavailable { .. })));
        for _ in 0..2 {
            let (customer, batch) = queue.take().await.unwrap();
            assert_eq!(batch.len(), 1);
            queue.end(customer);
        }
        assert!(queue.take().await.is_none());
    }
}
