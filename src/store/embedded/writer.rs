//! The one thread that writes. It owns the connection, gathers enrollments into batches, gives
//! every other change a transaction of its own, and answers after `COMMIT` returned, which with
//! `synchronous = FULL` is after the fsync of the write-ahead log.
//!
//! What can go wrong, and what is said then:
//! - A statement fails: the transaction is rolled back. If the row was at fault, each enrollment
//!   of the batch is tried alone; else all hear `Unavailable`, nothing was written.
//! - A stored row cannot be read: those that hang on it hear `Corrupt`, the rest of the batch goes on.
//! - `COMMIT` fails: nobody knows. All hear `Unknown`. After a failed fsync the kernel may have
//!   dropped what it could not write, so nothing in memory can be trusted: the connection is
//!   closed, opened anew, the log written into the database and synced, and a probe committed,
//!   before the next transaction begins. While that fails everything is `Unavailable`; it is tried
//!   again with the next job and by the clock, without a restart.
//! - The disk says nothing: whoever has waited for too long hears `Unknown`. What was queued is still done when it
//!   speaks again.
//! - The files are no longer at their path ([`files`](super::files)): nothing is begun and all hear
//!   `Unavailable`; what was committed just then is `Unknown`. When the very files are back they
//!   are opened anew. Other files in their place are never written to: that takes a restart.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::files::OpenFiles;
use super::lock::DirectoryLock;
use super::queue::{Change, Lane, Queue, Task, closed};
use super::{connection, enroll, errors, names, renew, settings};
use crate::clock::{Clock, Timestamp};
use crate::store::jobs::{Answered, Commits, Decided, Job};
use crate::store::{
    BatchSettings, CommitObserver, EnrollmentCommit, EnrollmentOutcome, RenewalCommit, RenewalOutcome, StoreError,
};

/// With nothing to do for so long the writer turns to what can wait.
const IDLE: Duration = Duration::from_millis(20);

/// Between two attempts to get the store back: at first, and at most.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long an enrollment, a renewal, or what one of them needs, waits for its commit: a device that waits longer has
/// given up.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(8);

/// The same for what an administrator changes, of which the largest take some ten seconds.
pub(super) const CHANGE_TIME_MAX: Duration = Duration::from_secs(60);

/// What becomes of a transaction, by the one who ran in it.
#[derive(Debug)]
pub(super) enum Verdict<T> {
    Commit(T),
    RollBack(T),
}

/// The callers' side of the writer.
pub(super) struct WriterHandle {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    /// After a panic of the thread the directory stays taken until this is dropped.
    _lock: HeldLock,
    /// Turns true when the thread has ended.
    has_ended: watch::Receiver<bool>,
}

impl WriterHandle {
    pub(super) fn start(
        connection: Connection,
        files: OpenFiles,
        lock: DirectoryLock,
        clock: Arc<dyn Clock>,
        batch: BatchSettings,
        observer: Arc<dyn CommitObserver>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(batch));
        let (ended, has_ended) = watch::channel(false);
        let mut writer = Writer {
            connection: Some(connection),
            files,
            displaced: None,
            clock,
            queue: Arc::clone(&queue),
            observer,
            linger: batch.linger,
            last_batch: None,
            order_names_at: Some(Instant::now()),
            retry_at: Instant::now(),
            retry_after: RETRY_FIRST,
            #[cfg(test)]
            fault: None,
        };
        let lock: HeldLock = Arc::new(Mutex::new(Some(lock)));
        let held = Arc::clone(&lock);
        let thread = thread::Builder::new().name("store-writer".into()).spawn(move || {
            let _ended = Ended { queue: Arc::clone(&writer.queue), lock: held, ended };
            writer.run();
            writer.finish();
        })?;
        Ok(Self { queue, thread: Some(thread), _lock: lock, has_ended })
    }

    pub(super) async fn enroll(&self, commit: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        self.push(Job::enrollment(commit)).await
    }

    pub(super) async fn renew(&self, commit: RenewalCommit) -> Result<RenewalOutcome, StoreError> {
        self.push(Job::renewal(commit)).await
    }

    async fn push<O>(&self, (job, answered): (Job, Answered<O>)) -> Result<O, StoreError> {
        self.queue.push_job(job)?;
        within(ANSWER_TIME_MAX, answered).await
    }

    /// Runs `work` in a transaction of its own and answers what it answered, after `time_max` at the latest.
    pub(super) async fn change<T, F>(&self, lane: Lane, time_max: Duration, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<Verdict<T>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.queue.push_change(lane, Box::new(ChangeJob { work: Some(work), result: None, answer }))?;
        within(time_max, answered).await
    }

    /// Finishes what is queued and waits for the end.
    pub(super) async fn close(&self) {
        self.queue.close();
        // The sender lives as long as the thread; an error means that it has ended, too.
        let _ = self.has_ended.clone().wait_for(|ended| *ended).await;
    }
}

/// Blocks until what is queued is done.
impl Drop for WriterHandle {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// `None`: the writer finished, and the directory is free.
type HeldLock = Arc<Mutex<Option<DirectoryLock>>>;

/// However the thread ends: nobody waits for it any more. The directory is free if it finished; a
/// panic says nothing of what this process still does, so then nobody else may come in beside it.
struct Ended {
    queue: Arc<Queue>,
    lock: HeldLock,
    ended: watch::Sender<bool>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.queue.abandon();
        if !thread::panicking() {
            *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.ended.send_replace(true);
    }
}

struct ChangeJob<T, F> {
    work: Option<F>,
    result: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Change for ChangeJob<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<Verdict<T>> + Send,
{
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        let Some(work) = self.work.take() else { return Ok(false) };
        let (result, commits) = match work(connection)? {
            Verdict::Commit(result) => (result, true),
            Verdict::RollBack(result) => (result, false),
        };
        self.result = Some(result);
        Ok(commits)
    }

    fn answer(self: Box<Self>, ended: Result<(), StoreError>) {
        let Self { result, answer, .. } = *self;
        // Nobody may be waiting any more; what was done stays done.
        let _ = answer.send(ended.and_then(|()| result.ok_or_else(closed)));
    }
}

/// Why a transaction has no result.
enum Failure {
    /// It was rolled back or never begun.
    NotWritten {
        error: StoreError,
        is_of_one_row: bool,
    },
    Unknown {
        reason: String,
    },
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotWritten { error, .. } => error,
            Failure::Unknown { reason } => Self::Unknown { reason },
        }
    }
}

struct Writer {
    /// `None`: suspect, to be opened anew before anything else.
    connection: Option<Connection>,
    files: OpenFiles,
    /// Why nothing is written, as it was logged; `None` while the files are in their place.
    displaced: Option<String>,
    clock: Arc<dyn Clock>,
    queue: Arc<Queue>,
    observer: Arc<dyn CommitObserver>,
    linger: Duration,
    /// When the last batch ended, and how many it held.
    last_batch: Option<(Instant, usize)>,
    /// When the order by name is brought on if nothing else is to do; `None`: it is complete.
    order_names_at: Option<Instant>,
    /// Not before this is it tried again to open the store.
    retry_at: Instant,
    retry_after: Duration,
    #[cfg(test)]
    fault: Option<tests::Fault>,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let is_out_of_order = self.connection.is_none() || self.displaced.is_some();
            let patience = if is_out_of_order {
                Some(self.retry_at.saturating_duration_since(Instant::now()))
            } else {
                self.order_names_at.map(|at| at.saturating_duration_since(Instant::now()))
            };
            let quiet_at = self.last_batch.map(|(ended, _)| ended + IDLE);
            match self.queue.take(self.is_company_likely(), quiet_at, patience) {
                Task::Change(change) => self.commit_change(change),
                Task::Batch(batch) => {
                    let size = batch.len();
                    self.commit_batch(batch);
                    self.last_batch = Some((Instant::now(), size));
                    self.order_names_at = Some(Instant::now() + IDLE);
                }
                // What failed was logged, and is tried again.
                Task::None if is_out_of_order => drop(self.usable()),
                Task::None => self.order_names(),
                Task::Closed => return,
            }
        }
    }

    /// A step of what can wait, in a moment when nobody does.
    fn order_names(&mut self) {
        let stepped = self.in_transaction(|connection, _| names::step(connection).map(Verdict::Commit));
        self.order_names_at = match stepped {
            Ok(has_more) => has_more.then(Instant::now),
            // Whoever reads by name tries it again, and is told.
            Err(_) => None,
        };
    }

    /// More came together last time, and that was just now.
    fn is_company_likely(&self) -> bool {
        self.last_batch.is_some_and(|(ended, size)| size > 1 && ended.elapsed() < self.linger * 4)
    }

    fn commit_change(&mut self, mut change: Box<dyn Change>) {
        let ended = self.in_transaction(|connection, _| {
            let commits = change.run(connection)?;
            Ok(if commits { Verdict::Commit(()) } else { Verdict::RollBack(()) })
        });
        change.answer(ended.map_err(Into::into));
    }

    fn commit_batch(&mut self, jobs: Vec<Job>) {
        let begun = Instant::now();
        let commits = Commits::of(&jobs);
        let decided = self.in_transaction(|connection, now| {
            let enrollments = enroll::record(connection, now, &commits.enrollments)?;
            let renewals = renew::record(connection, now, &commits.renewals)?;
            Ok(Verdict::Commit(Decided { enrollments, renewals }))
        });
        match decided {
            Ok(decided) => {
                let size = decided.committed();
                if size > 0 {
                    self.observer.observe_commit(size, begun.elapsed());
                }
                decided.answer(jobs);
            }
            Err(Failure::NotWritten { is_of_one_row: true, .. }) if jobs.len() > 1 => {
                for job in jobs {
                    self.commit_batch(vec![job]);
                }
            }
            Err(Failure::NotWritten { error, .. }) => {
                // Each hears the same; the error itself cannot be copied.
                let reason = error.to_string();
                tracing::warn!(size = jobs.len(), error = %reason, "a batch of enrollments was rolled back");
                for job in jobs {
                    job.refuse(StoreError::Unavailable { reason: reason.clone() });
                }
            }
            Err(Failure::Unknown { reason }) => {
                for job in jobs {
                    job.refuse(StoreError::Unknown { reason: reason.clone() });
                }
            }
        }
    }

    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&Connection, Timestamp) -> rusqlite::Result<Verdict<T>>,
    ) -> Result<T, Failure> {
        let now = self.clock.now();
        #[cfg(test)]
        let fault = self.fault.take();
        let connection = self.usable().map_err(|error| Failure::NotWritten { error, is_of_one_row: false })?;
        let worked = connection
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]))
            .and_then(|_| work(connection, now));
        match worked {
            Ok(Verdict::Commit(value)) => {
                let commit = || connection.prepare_cached("COMMIT")?.execute([]);
                #[cfg(test)]
                let commit = || tests::commit_with(fault, connection, commit);
                match commit() {
                    // Durable in a file that can be found: the answer says so.
                    Ok(_) => match self.check_files() {
                        Ok(()) => Ok(value),
                        Err(error) => Err(Failure::Unknown { reason: error.to_string() }),
                    },
                    Err(error) => {
                        self.suspect(&error);
                        Err(Failure::Unknown { reason: error.to_string() })
                    }
                }
            }
            Ok(Verdict::RollBack(value)) => match roll_back(connection) {
                Ok(()) => Ok(value),
                Err(error) => {
                    self.suspect(&error);
                    Err(Failure::NotWritten { error: error.into(), is_of_one_row: false })
                }
            },
            Err(error) => {
                let rolled_back = roll_back(connection);
                if rolled_back.is_err() || errors::makes_suspect(&error) {
                    self.suspect(&error);
                }
                let is_of_one_row = errors::is_of_one_row(&error);
                Err(Failure::NotWritten { error: error.into(), is_of_one_row })
            }
        }
    }

    fn suspect(&mut self, error: &rusqlite::Error) {
        tracing::error!(%error, "the store is opened anew before it serves again");
        self.disconnect();
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.files.note_closed();
        self.retry_at = Instant::now();
        self.retry_after = RETRY_FIRST;
    }

    /// While the files are away the connection is kept: it alone still has what the lost log holds.
    fn check_files(&mut self) -> Result<(), StoreError> {
        let Err(error) = self.files.check() else {
            if self.displaced.take().is_some() {
                tracing::info!("the store's files are back; they are opened anew");
                self.disconnect();
            }
            return Ok(());
        };
        let reason = error.to_string();
        if self.displaced.as_ref() != Some(&reason) {
            tracing::error!(%error, "the store's files are not in their place: nothing is written");
            self.rescue_log();
        }
        self.displaced = Some(reason);
        self.retry_at = Instant::now() + RETRY_MAX;
        Err(error.into())
    }

    /// Writes what a lost log holds into the database, so that the next start finds all that was answered.
    fn rescue_log(&self) {
        let Some(connection) = self.connection.as_ref().filter(|_| self.files.is_only_log_lost()) else { return };
        match connection::checkpoint(connection) {
            Ok(()) => tracing::warn!("the lost write-ahead log was written into the database; restart muster"),
            Err(error) => tracing::error!(%error, "the lost write-ahead log could not be written into the database"),
        }
    }

    /// The connection, opened anew if it is suspect and the time has come.
    fn usable(&mut self) -> Result<&Connection, StoreError> {
        self.check_files()?;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None if Instant::now() < self.retry_at => {
                return Err(StoreError::Unavailable { reason: "it is being opened anew after a failure".into() });
            }
            None => match reopen(&mut self.files, self.clock.now()) {
                Ok(connection) => {
                    tracing::info!("the store serves again");
                    connection
                }
                Err(error) => {
                    tracing::error!(%error, retry_in_ms = self.retry_after.as_millis(), "the store cannot be opened");
                    self.retry_at = Instant::now() + self.retry_after;
                    self.retry_after = (self.retry_after * 2).min(RETRY_MAX);
                    return Err(error);
                }
            },
        };
        Ok(self.connection.insert(connection))
    }

    /// Leaves one whole file behind, if no reader stands in the way.
    fn finish(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if let Err(error) = connection::checkpoint(&connection) {
            tracing::warn!(%error, "the write-ahead log stays beside the database; the next start reads it");
        }
    }
}

fn roll_back(connection: &Connection) -> rusqlite::Result<()> {
    // Some failures have rolled back already.
    if connection.is_autocommit() { Ok(()) } else { connection.execute_batch("ROLLBACK") }
}

/// Writes the log into the database, syncs both, and proves that a commit goes through.
fn reopen(files: &mut OpenFiles, now: Timestamp) -> Result<Connection, StoreError> {
    let connection = connection::open_writer(files.database())?;
    connection::checkpoint(&connection)?;
    let transaction = connection.unchecked_transaction()?;
    settings::probe(&transaction, now)?;
    transaction.commit()?;
    files.note_log().map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
    Ok(connection)
}

async fn within<T>(time_max: Duration, answered: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    let unknown = |reason: String| Err(StoreError::Unknown { reason });
    match tokio::time::timeout(time_max, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => unknown("the writer ended before it answered".into()),
        Err(_) => unknown(format!("the disk did not answer within {} s", time_max.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;
    use std::sync::Mutex;

    use rusqlite::ffi;
    use tempfile::TempDir;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Revision;
    use crate::id::{ComponentId, Id, ProvisioningKeyId};
    use crate::store::embedded::files::DatabaseFile;
    use crate::store::embedded::migrations;
    use crate::store::samples::commit;
    use crate::store::{EnrollmentIntent, SeenForRenewal};

    /// What a failing fsync looks like from here: `COMMIT` reports an I/O error, and the
    /// transaction is on the disk or is not.
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Fault {
        CommittedAllTheSame,
        NeverCommitted,
    }

    pub(super) fn commit_with(
        fault: Option<Fault>,
        connection: &Connection,
        commit: impl FnOnce() -> rusqlite::Result<usize>,
    ) -> rusqlite::Result<usize> {
        match fault {
            None => return commit(),
            Some(Fault::CommittedAllTheSame) => drop(commit()?),
            Some(Fault::NeverCommitted) => roll_back(connection)?,
        }
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None))
    }

    #[derive(Default)]
    struct Sizes(Mutex<Vec<usize>>);

    impl CommitObserver for Sizes {
        fn observe_commit(&self, size: usize, _: Duration) {
            self.0.lock().unwrap().push(size);
        }
    }

    /// A writer without its thread, on a store with one key (without a limit) and what it needs.
    struct Bench {
        writer: Writer,
        sizes: Arc<Sizes>,
        dir: TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("muster.db");
            std::fs::File::create_new(&path).unwrap();
            let database = DatabaseFile::at(path.clone()).unwrap();
            let mut connection = connection::open_writer(&path).unwrap();
            migrations::migrate(&mut connection, 0).unwrap();
            connection
                .execute_batch(
                    "INSERT INTO customers VALUES (1, 1, 'Acme', 1, 0, 0);
                     INSERT INTO signing_certificates
                         VALUES (2, 1, 1, NULL, x'', 'Client', '', NULL, x'', NULL, NULL, NULL, 1, 60, 2, 0, 0, 0, 0, NULL);
                     INSERT INTO groups VALUES (3, 1, 1, 4, 'HQ', '', 1, 2, '', '{}', 0, 0, NULL);
                     INSERT INTO provisioning_keys (id, customer_id, revision, group_id, signing_certificate_id,
                         enabled, allow_re_enrollment, kind, name, digest, pepper, addresses, version, hint, key_id,
                         uses_when_set, created_at, modified_at, description)
                         VALUES (4, 1, 1, 3, 2, 1, 0, 4, 'key', zeroblob(32), 1, '', 3, '', '', 0, 0, 0, '');
                     INSERT INTO key_counters VALUES (4, 0, 0, 0, 0, NULL, NULL);",
                )
                .unwrap();
            let sizes = Arc::new(Sizes::default());
            let writer = Writer {
                connection: Some(connection),
                files: OpenFiles::of(database).unwrap(),
                displaced: None,
                clock: Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000))),
                queue: Arc::new(Queue::new(BatchSettings::default())),
                observer: sizes.clone(),
                linger: Duration::ZERO,
                last_batch: None,
                order_names_at: None,
                retry_at: Instant::now(),
                retry_after: RETRY_FIRST,
                fault: None,
            };
            Self { writer, sizes, dir }
        }

        fn enroll(&mut self, commits: Vec<EnrollmentCommit>) -> Vec<Result<EnrollmentOutcome, StoreError>> {
            self.commit(commits, Job::enrollment)
        }

        fn renew(&mut self, commits: Vec<RenewalCommit>) -> Vec<Result<RenewalOutcome, StoreError>> {
            self.commit(commits, Job::renewal)
        }

        /// In one batch.
        fn commit<C, O>(&mut self, commits: Vec<C>, job: fn(C) -> (Job, Answered<O>)) -> Vec<Result<O, StoreError>> {
            let (jobs, answers): (Vec<_>, Vec<_>) = commits.into_iter().map(job).unzip();
            self.writer.commit_batch(jobs);
            answers.into_iter().map(|answer| answer.blocking_recv().unwrap()).collect()
        }

        fn execute(&self, sql: &str) {
            self.writer.connection.as_ref().unwrap().execute_batch(sql).unwrap();
        }

        /// Uses as counted, and as the ledger has them.
        fn uses(&self) -> (u32, u32) {
            let connection = connection::open_reader(&self.dir.path().join("muster.db")).unwrap();
            let number = |sql| connection.query_row(sql, [], |row| row.get(0)).unwrap();
            (number("SELECT uses FROM key_counters"), number("SELECT count(*) FROM key_uses"))
        }
    }

    fn named(number: u32) -> EnrollmentOutcome {
        EnrollmentOutcome::Committed { component_name: format!("key-{number}"), uses: number }
    }

    #[test]
    fn a_failed_commit_is_unknown_and_the_retry_finds_out() {
        for (fault, on_retry) in
            [(Fault::CommittedAllTheSame, EnrollmentOutcome::Known), (Fault::NeverCommitted, named(1))]
        {
            let mut bench = Bench::new();
            bench.writer.fault = Some(fault);
            let (first, second) = (commit(1), commit(2));

            let results = bench.enroll(vec![first.clone(), second]);
            assert!(results.iter().all(|result| matches!(result, Err(StoreError::Unknown { .. }))), "{results:?}");
            assert!(bench.writer.connection.is_none(), "it is not used again as it is");

            // Opened anew with the next job, without waiting.
            let results = bench.enroll(vec![first]);
            assert_eq!(results[0].as_ref().unwrap(), &on_retry, "{fault:?}");
            let (counted, in_ledger) = bench.uses();
            assert_eq!(counted, in_ledger, "{fault:?}");
        }
    }

    #[test]
    fn while_it_cannot_be_opened_it_is_unavailable_and_then_it_recovers() {
        let mut bench = Bench::new();
        assert!(bench.enroll(vec![commit(1)])[0].is_ok());
        bench.writer.fault = Some(Fault::NeverCommitted);
        bench.enroll(vec![commit(2)]);
        // Damage that goes away again: the header page is not SQLite's.
        let path = bench.writer.files.database().to_owned();
        let whole = std::fs::read(&path).unwrap();
        let overwrite = |bytes: &[u8]| std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(bytes);
        overwrite(&[0xff; 100]).unwrap();

        for attempt in 0..3 {
            let results = bench.enroll(vec![commit(2)]);
            assert!(matches!(results[0], Err(StoreError::Unavailable { .. })), "{attempt}: {results:?}");
        }
        assert!(bench.writer.retry_after > RETRY_FIRST, "it waits longer each time");

        overwrite(&whole[..100]).unwrap();
        bench.writer.retry_at = Instant::now();
        assert_eq!(bench.enroll(vec![commit(2)])[0].as_ref().unwrap(), &named(2));
        assert_eq!(bench.uses(), (2, 2));
    }

    #[test]
    fn a_store_that_is_gone_is_not_begun_anew() {
        let mut bench = Bench::new();
        bench.writer.fault = Some(Fault::NeverCommitted);
        bench.enroll(vec![commit(1)]);
        let path = bench.writer.files.database().to_owned();
        let kept = path.with_extension("kept");
        std::fs::rename(&path, &kept).unwrap();

        let results = bench.enroll(vec![commit(1)]);
        assert!(matches!(results[0], Err(StoreError::Unavailable { .. })), "{results:?}");
        assert!(!path.exists(), "an empty store stands where the full one was");

        std::fs::rename(&kept, &path).unwrap();
        bench.writer.retry_at = Instant::now();
        assert_eq!(bench.enroll(vec![commit(1)])[0].as_ref().unwrap(), &named(1));
    }

    /// Database and log together, as when the data directory is moved.
    fn move_files(from: &Path, to: &Path) {
        for name in ["muster.db", "muster.db-wal"] {
            std::fs::rename(from.join(name), to.join(name)).unwrap();
        }
    }

    #[test]
    fn nothing_is_answered_while_the_files_are_away_and_it_recovers_when_they_are_back() {
        let mut bench = Bench::new();
        assert_eq!(bench.enroll(vec![commit(1)])[0].as_ref().unwrap(), &named(1));
        let elsewhere = tempfile::tempdir().unwrap();
        move_files(bench.dir.path(), elsewhere.path());

        for attempt in 0..2 {
            let results = bench.enroll(vec![commit(2)]);
            assert!(matches!(results[0], Err(StoreError::Unavailable { .. })), "{attempt}: {results:?}");
        }
        assert!(!bench.dir.path().join("muster.db").exists(), "an empty store stands where the full one was");

        move_files(elsewhere.path(), bench.dir.path());
        assert_eq!(bench.enroll(vec![commit(2)])[0].as_ref().unwrap(), &named(2));
        assert_eq!(bench.uses(), (2, 2));
    }

    #[test]
    fn a_file_in_the_place_of_the_database_is_not_touched() {
        let mut bench = Bench::new();
        bench.enroll(vec![commit(1)]);
        let elsewhere = tempfile::tempdir().unwrap();
        move_files(bench.dir.path(), elsewhere.path());
        let path = bench.dir.path().join("muster.db");
        std::fs::copy(elsewhere.path().join("muster.db"), &path).unwrap();
        let before = std::fs::read(&path).unwrap();

        for attempt in 0..2 {
            let results = bench.enroll(vec![commit(2)]);
            let Err(StoreError::Unavailable { reason }) = &results[0] else { panic!("{attempt}: {results:?}") };
            assert!(reason.contains("restart"), "{reason}");
        }
        bench.writer.finish();
        assert!(std::fs::read(&path).unwrap() == before, "another's file was written to");
        assert!(!bench.dir.path().join("muster.db-wal").exists());
    }

    #[test]
    fn what_was_answered_is_there_at_the_next_start_though_the_log_was_removed() {
        let mut bench = Bench::new();
        assert!(bench.enroll(vec![commit(1)])[0].is_ok());
        std::fs::remove_file(bench.dir.path().join("muster.db-wal")).unwrap();

        let results = bench.enroll(vec![commit(2)]);
        assert!(matches!(results[0], Err(StoreError::Unavailable { .. })), "{results:?}");

        // What a start after the death of the process would read.
        let left = tempfile::tempdir().unwrap();
        std::fs::copy(bench.dir.path().join("muster.db"), left.path().join("muster.db")).unwrap();
        let connection = Connection::open(left.path().join("muster.db")).unwrap();
        let uses: u32 = connection.query_row("SELECT uses FROM key_counters", [], |row| row.get(0)).unwrap();
        assert_eq!(uses, 1);
    }

    #[test]
    fn what_is_committed_while_the_files_go_away_is_unknown() {
        let mut bench = Bench::new();
        let elsewhere = tempfile::tempdir().unwrap();
        let (here, there) = (bench.dir.path().to_owned(), elsewhere.path().to_owned());
        let result = bench.writer.in_transaction(|connection, now| {
            settings::probe(connection, now)?;
            move_files(&here, &there);
            Ok(Verdict::Commit(()))
        });
        assert!(matches!(result, Err(Failure::Unknown { .. })));
    }

    #[test]
    fn what_is_destroyed_leaves_no_trace_in_the_file() {
        let bench = Bench::new();
        let sealed = b"sealed string that is to be destroyed".to_vec();
        let connection = bench.writer.connection.as_ref().unwrap();
        let holds = || {
            connection::checkpoint(connection).unwrap();
            std::fs::read(bench.writer.files.database()).unwrap().windows(sealed.len()).any(|window| window == sealed)
        };
        connection
            .execute(
                "INSERT INTO provisioning_keys SELECT id + 1, customer_id, revision, group_id, signing_certificate_id,
                     maximum, expires_at, enabled, allow_re_enrollment, kind, 'other', digest, pepper, addresses,
                     version, hint, key_id, uses_when_set, managed_by_client_id, managed_by_label, successor_id,
                     created_at, created_by, modified_at, modified_by, description, NULL, ?1 FROM provisioning_keys",
                [&sealed],
            )
            .unwrap();
        assert!(holds());
        connection.execute("DELETE FROM provisioning_keys WHERE id = 5", []).unwrap();
        assert!(!holds());
    }

    #[test]
    fn one_bad_row_in_a_batch_fails_alone() {
        let mut bench = Bench::new();
        let mut commits: Vec<_> = (1..=5).map(commit).collect();
        commits[2].intent = commits[0].intent;

        let results = bench.enroll(commits);

        assert!(matches!(results[2], Err(StoreError::Unavailable { .. })), "{results:?}");
        let names: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).cloned().collect();
        assert_eq!(names, [named(1), named(2), named(3), named(4)]);
        assert_eq!(*bench.sizes.0.lock().unwrap(), [1, 1, 1, 1], "each was tried alone");
        assert_eq!(bench.uses(), (4, 4));
    }

    #[test]
    fn an_unreadable_key_row_fails_its_own_enrollments_and_the_batch_stays_whole() {
        let mut bench = Bench::new();
        bench.execute(
            "INSERT INTO provisioning_keys SELECT id + 1, customer_id, revision, group_id, signing_certificate_id,
                 -1, expires_at, enabled, allow_re_enrollment, kind, 'damaged', digest, pepper, addresses,
                 version, hint, key_id, uses_when_set, managed_by_client_id, managed_by_label, successor_id,
                 created_at, created_by, modified_at, modified_by, description, NULL, NULL FROM provisioning_keys;
             INSERT INTO key_counters VALUES (5, 0, 0, 0, 0, NULL, NULL);",
        );
        let mut commits: Vec<_> = (1..=5).map(commit).collect();
        for of_damaged in [1, 3] {
            commits[of_damaged].seen.key.0 = ProvisioningKeyId::from_raw(5);
        }

        let results = bench.enroll(commits);

        for of_damaged in [1, 3] {
            assert!(matches!(results[of_damaged], Err(StoreError::Corrupt { .. })), "{results:?}");
        }
        let outcomes: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).cloned().collect();
        assert_eq!(outcomes, [named(1), named(2), named(3)]);
        assert_eq!(*bench.sizes.0.lock().unwrap(), [3], "one transaction for all the others");
    }

    #[test]
    fn an_unreadable_component_row_fails_its_own_device_and_the_batch_stays_whole() {
        let mut bench = Bench::new();
        let first = commit(1);
        let mut again = commit(1);
        again.intent =
            EnrollmentIntent::ReEnroll { component: ComponentId::from_raw(101), superseded: first.certificate.serial };
        assert!(bench.enroll(vec![first])[0].is_ok());
        bench.execute("UPDATE components SET remote_address = x'01' WHERE id = 101");

        let results = bench.enroll(vec![commit(2), again, commit(3)]);

        assert!(matches!(results[1], Err(StoreError::Corrupt { .. })), "{results:?}");
        let outcomes: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).cloned().collect();
        assert_eq!(outcomes, [named(2), named(3)]);
        assert_eq!(*bench.sizes.0.lock().unwrap(), [1, 2], "one transaction for the others");
    }

    fn renewal(enrolled: &EnrollmentCommit) -> RenewalCommit {
        let EnrollmentIntent::Enroll { component } = enrolled.intent else { panic!("a first enrollment") };
        let seen = &enrolled.seen;
        RenewalCommit {
            seen: SeenForRenewal {
                customer: seen.customer,
                group: seen.group,
                signing_certificate: seen.signing_certificate,
                key: (seen.key.0, Some(seen.key.1)),
                component: (component, Revision::FIRST),
            },
            remote_address: enrolled.remote_address,
            replaced: enrolled.certificate.serial,
            is_rekey: false,
            good_until: Timestamp::from_unix_seconds(1_900_000_000),
            certificate: commit(0).certificate,
        }
    }

    #[test]
    fn what_fails_one_renewal_fails_no_other() {
        let mut bench = Bench::new();
        let enrolled: Vec<_> = (1..=4).map(commit).collect();
        let renewals: Vec<_> = enrolled.iter().map(renewal).collect();
        assert!(bench.enroll(enrolled).iter().all(Result::is_ok));
        bench.execute("UPDATE components SET revision = -1 WHERE id = 101");

        let results = bench.renew(renewals[..3].to_vec());

        assert!(matches!(results[0], Err(StoreError::Corrupt { .. })), "{results:?}");
        assert!(results[1..].iter().all(|result| matches!(result, Ok(RenewalOutcome::Committed))), "{results:?}");
        assert_eq!(*bench.sizes.0.lock().unwrap(), [4, 2], "one transaction for the others");

        // That it brings the serial number which it replaces is found out when that certificate has been ended already.
        let mut taken = renewals[3].clone();
        taken.certificate.serial = taken.replaced;
        let results = bench.renew(vec![taken]);
        assert!(matches!(results[0], Err(StoreError::Unavailable { .. })), "{results:?}");
        let ended = "SELECT count(*) FROM certificates WHERE status <> 1";
        let ended: u32 = bench.writer.connection.as_ref().unwrap().query_row(ended, [], |row| row.get(0)).unwrap();
        assert_eq!(ended, 2, "nothing of it stays");
    }

    #[test]
    fn the_same_device_twice_in_a_batch_takes_one_use() {
        let mut bench = Bench::new();
        let mut again = commit(1);
        again.intent = EnrollmentIntent::Enroll { component: ComponentId::from_raw(999) };
        let results = bench.enroll(vec![commit(1), again, commit(2)]);
        let outcomes: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes, [named(1), EnrollmentOutcome::Known, named(2)]);
        assert_eq!(*bench.sizes.0.lock().unwrap(), [2]);
        assert_eq!(bench.uses(), (2, 2));
    }

    #[test]
    fn a_device_and_its_re_enrollment_fit_in_one_batch() {
        let mut bench = Bench::new();
        let first = commit(1);
        let mut again = commit(1);
        again.intent =
            EnrollmentIntent::ReEnroll { component: ComponentId::from_raw(101), superseded: first.certificate.serial };
        let stale = EnrollmentCommit { certificate: commit(1).certificate, ..again.clone() };
        let outcomes: Vec<_> = bench.enroll(vec![first, again, stale]).into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes, [named(1), named(1), EnrollmentOutcome::Known]);
        assert_eq!(bench.uses(), (1, 2), "a re-enrollment is in the ledger and takes no use");
    }
}
