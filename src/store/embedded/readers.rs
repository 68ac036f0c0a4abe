//! Threads that read, each with a connection of its own, so that no worker of the runtime blocks.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::connection;
use super::files::DatabaseFile;
use super::queue::closed;
use crate::store::StoreError;

/// Reads that may wait; one more is refused at once.
const WAITING_MAX: usize = 4_096;

/// Walks that may wait.
const WALKS_WAITING_MAX: usize = 64;

/// How long a walk lets reads go first.
const WALK_PATIENCE: Duration = Duration::from_secs(1);

/// How long a walk may take; it is broken off then.
const WALK_TIME_MAX: Duration = Duration::from_secs(20);

/// How many of its steps SQLite takes before the time is looked at.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Something to be read. It answers by itself, or lets whoever asked hear that it broke off.
type Read = Box<dyn FnOnce(Result<&Connection, StoreError>) -> IsSuspect + Send>;

/// Whether the connection is to be opened anew.
type IsSuspect = bool;

/// A pool of readers.
pub(super) struct Readers {
    database: DatabaseFile,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    kind: ReaderKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReaderKind {
    /// Each read sees everything that was committed before it began.
    Latest,
    /// All reads see the state as it was at the first one.
    OneSnapshot,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    reads: VecDeque<Read>,
    /// Those that may take long, with since when they wait. One thread at least never runs them.
    walks: VecDeque<(Instant, Read)>,
    walking: usize,
    is_closed: bool,
}

impl Readers {
    pub(super) fn start(database: DatabaseFile, kind: ReaderKind) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let count = match kind {
            ReaderKind::Latest => thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4)),
            ReaderKind::OneSnapshot => 1,
        };
        // With one snapshot there is one thread, and nobody to be kept waiting.
        let walking_max = (count - 1).max(1);
        let mut readers = Self { database, shared, threads: Vec::with_capacity(count), kind };
        for number in 1..=count {
            let (database, shared) = (readers.database.clone(), Arc::clone(&readers.shared));
            let thread = thread::Builder::new().name(format!("store-reader-{number}"));
            // On an error the drop of `readers` ends those that run.
            readers.threads.push(thread.spawn(move || run(&database, &shared, kind, walking_max))?);
        }
        Ok(readers)
    }

    /// Runs `read` in one snapshot on one of the threads.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.queue(read, WAITING_MAX, |waiting| &mut waiting.reads, |read| read).await
    }

    /// Runs a `read` that goes through a whole list. Threads are left for those that do not.
    ///
    /// # Errors
    /// Beside those of `read`: [`StoreError::Unavailable`] when it takes longer than 20 s, or the store is closed meanwhile.
    pub(super) async fn walk<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.queue(read, WALKS_WAITING_MAX, |waiting| &mut waiting.walks, |walk| (Instant::now(), walk)).await
    }

    async fn queue<T, F, W>(
        &self,
        read: F,
        bound: usize,
        lane: impl FnOnce(&mut Waiting) -> &mut VecDeque<W>,
        waits: impl FnOnce(Read) -> W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let kind = self.kind;
        let read: Read = Box::new(move |connection| {
            if answer.is_closed() {
                return false; // whoever asked has given up
            }
            let result = connection.and_then(|connection| in_snapshot(connection, kind, read));
            let is_suspect = result.is_err();
            let _ = answer.send(result);
            is_suspect
        });
        {
            let mut waiting = self.shared.lock();
            if waiting.is_closed {
                return Err(closed());
            }
            let lane = lane(&mut waiting);
            if lane.len() >= bound {
                return Err(StoreError::Overloaded { waiting: lane.len() });
            }
            lane.push_back(waits(read));
        }
        self.shared.arrived.notify_one();
        answered.await.unwrap_or_else(|_| Err(broken_off()))
    }

    /// Runs a long `read` on a thread of its own, so that it is in nobody's way. In a
    /// [`ReaderKind::OneSnapshot`] it runs as any other, to see what the others saw.
    pub(super) async fn read_at_length<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        if self.kind == ReaderKind::OneSnapshot {
            return self.read(read).await;
        }
        let (answer, answered) = oneshot::channel();
        let database = self.database.clone();
        let spawned = thread::Builder::new().name("store-long-reader".into()).spawn(move || {
            let result = open_for(&database, ReaderKind::Latest)
                .and_then(|connection| in_snapshot(&connection, ReaderKind::Latest, read));
            let _ = answer.send(result);
        });
        spawned.map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
        answered.await.unwrap_or_else(|_| Err(broken_off()))
    }

    /// Lets the reads that wait be answered, and takes no more. Walks are broken off: nothing waits for one.
    pub(super) fn close(&self) {
        self.shared.close();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
        for thread in self.threads.drain(..) {
            // A panic was printed when it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// `walking_max`: how many threads may walk at a time. Says whether it is a walk.
    fn next(&self, walking_max: usize) -> Option<(Read, bool)> {
        let mut waiting = self.lock();
        loop {
            if waiting.is_walk_overdue()
                && let Some(walk) = waiting.begin_walk(walking_max)
            {
                return Some((walk, true));
            }
            if let Some(read) = waiting.reads.pop_front() {
                return Some((read, false));
            }
            if let Some(walk) = waiting.begin_walk(walking_max) {
                return Some((walk, true));
            }
            if waiting.is_closed && waiting.walks.is_empty() {
                return None;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the next walk begin.
    fn end_walk(&self) {
        self.lock().walking -= 1;
        self.arrived.notify_all();
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// No code of others runs under this lock, so a poisoned one still holds a whole queue.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Whether one has let reads go first for long enough. Behind it a thread is left for them.
    fn is_walk_overdue(&self) -> bool {
        self.walks.front().is_some_and(|(since, _)| since.elapsed() > WALK_PATIENCE)
    }

    /// The next walk, unless as many are under way as may be.
    fn begin_walk(&mut self, walking_max: usize) -> Option<Read> {
        if self.walking >= walking_max {
            return None;
        }
        let (_, walk) = self.walks.pop_front()?;
        self.walking += 1;
        Some(walk)
    }
}

fn run(database: &DatabaseFile, shared: &Arc<Shared>, kind: ReaderKind, walking_max: usize) {
    let mut open: Option<Connection> = None;
    while let Some((read, is_walk)) = shared.next(walking_max) {
        let connection = match open.take() {
            Some(connection) => Ok(connection),
            None => open_for(database, kind),
        };
        match connection {
            Ok(mut connection) => {
                let (end, of_walk) = (Instant::now() + WALK_TIME_MAX, Arc::clone(shared));
                let is_over = move || Instant::now() >= end || of_walk.lock().is_closed;
                let is_bounded = is_walk && bound(&mut connection, Some(is_over));
                // A panic was printed when it happened. It ends neither the thread nor, below, the count of walks.
                let failed = catch_unwind(AssertUnwindSafe(|| read(Ok(&connection)))).unwrap_or(true);
                let is_suspect = is_bounded && !bound(&mut connection, None::<fn() -> bool>) || failed;
                // A snapshot is kept whatever happens: another connection would see another one.
                if !is_suspect || kind == ReaderKind::OneSnapshot {
                    open = Some(connection);
                }
            }
            Err(error) => drop(read(Err(error))),
        }
        if is_walk {
            shared.end_walk();
        }
    }
}

/// For whoever waited for a read that panicked.
fn broken_off() -> StoreError {
    StoreError::Unavailable { reason: "a read broke off".into() }
}

/// Has SQLite ask now and then whether to break off. `false`: it does not.
fn bound(connection: &mut Connection, is_over: Option<impl FnMut() -> bool + Send + 'static>) -> bool {
    connection.progress_handler(STEPS_BETWEEN_LOOKS, is_over).is_ok()
}

fn open_for(database: &DatabaseFile, kind: ReaderKind) -> Result<Connection, StoreError> {
    database.check()?;
    let connection = connection::open_reader(database.path())?;
    if kind == ReaderKind::OneSnapshot {
        // The first read after BEGIN fixes what all see.
        connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
    }
    Ok(connection)
}

fn in_snapshot<T>(
    connection: &Connection,
    kind: ReaderKind,
    read: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    match kind {
        ReaderKind::Latest => {
            let transaction = connection.unchecked_transaction()?;
            read(&transaction)
        }
        ReaderKind::OneSnapshot => read(connection),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn readers(directory: &tempfile::TempDir, kind: ReaderKind) -> Readers {
        let path = directory.path().join("muster.db");
        std::fs::File::create_new(&path).unwrap();
        drop(connection::open_writer(&path).unwrap());
        Readers::start(DatabaseFile::at(path).unwrap(), kind).unwrap()
    }

    fn one(connection: &Connection) -> Result<i64, StoreError> {
        Ok(connection.query_row("SELECT 1", [], |row| row.get(0))?)
    }

    #[tokio::test]
    async fn a_read_that_panics_takes_neither_a_thread_nor_a_walk_from_others() {
        for kind in [ReaderKind::Latest, ReaderKind::OneSnapshot] {
            let directory = tempfile::tempdir().unwrap();
            let readers = readers(&directory, kind);
            for _ in 0..2 * readers.threads.len() {
                let asked = readers.read(|_| -> Result<(), StoreError> { panic!("as the test asked") });
                assert_eq!(asked.await.unwrap_err().to_string(), "the store is not available: a read broke off");
                let asked = readers.walk(|_| -> Result<(), StoreError> { panic!("as the test asked") });
                assert!(matches!(asked.await, Err(StoreError::Unavailable { .. })));
            }
            let answers = tokio::time::timeout(Duration::from_secs(20), async {
                (readers.read(one).await.unwrap(), readers.walk(one).await.unwrap())
            });
            assert_eq!(answers.await.expect("threads are left"), (1, 1));
        }
    }

    #[test]
    fn a_walk_that_has_waited_goes_before_reads_and_leaves_them_a_thread() {
        let shared = Shared::default();
        let (told, hears) = mpsc::channel();
        let tells = |what: &'static str| -> Read {
            let told = told.clone();
            Box::new(move |_| {
                told.send(what).unwrap();
                false
            })
        };
        let overdue = Instant::now().checked_sub(2 * WALK_PATIENCE).unwrap();
        {
            let mut waiting = shared.lock();
            waiting.reads.extend([tells("read"), tells("read")]);
            waiting.walks.extend([
                (overdue, tells("overdue")),
                (overdue, tells("overdue")),
                (Instant::now(), tells("walk")),
            ]);
        }
        let taken = || {
            let (read, is_walk) = shared.next(1).unwrap();
            read(Err(closed()));
            (hears.try_recv().unwrap(), is_walk)
        };
        assert_eq!([taken(), taken()], [("overdue", true), ("read", false)], "one walks");
        shared.end_walk();
        assert_eq!(taken(), ("overdue", true));
        shared.end_walk();
        assert_eq!([taken(), taken()], [("read", false), ("walk", true)], "that one has time");
    }

    #[tokio::test]
    async fn a_walk_is_broken_off_when_the_store_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let readers = readers(&directory, ReaderKind::Latest);
        let (began, begins) = oneshot::channel();
        let walk = readers.walk(|connection| {
            began.send(()).unwrap();
            let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
            Ok(connection.query_row(endless, [], |row| row.get::<_, i64>(0))?)
        });
        let since = Instant::now();
        let (broken_off, ()) = tokio::join!(walk, async {
            begins.await.unwrap();
            readers.close();
        });
        assert!(matches!(broken_off, Err(StoreError::Unavailable { .. })), "{broken_off:?}");
        assert!(since.elapsed() < WALK_TIME_MAX / 2, "it waited for its time to be over");
    }

    #[tokio::test]
    async fn nothing_is_read_for_whoever_gave_up() {
        let directory = tempfile::tempdir().unwrap();
        let readers = readers(&directory, ReaderKind::OneSnapshot);
        let (goes_on, holds) = mpsc::channel::<()>();
        let (began, begins) = oneshot::channel();
        let (read, reads) = mpsc::channel();
        tokio::join!(
            async {
                let held = readers.read(move |_| {
                    began.send(()).unwrap();
                    holds.recv().unwrap();
                    Ok(())
                });
                held.await.unwrap();
            },
            async {
                begins.await.unwrap();
                let given_up = readers.read(move |_| {
                    read.send(()).unwrap();
                    Ok(())
                });
                assert!(tokio::time::timeout(Duration::ZERO, given_up).await.is_err());
                goes_on.send(()).unwrap();
            }
        );
        assert_eq!(readers.read(one).await.unwrap(), 1);
        assert!(reads.recv().is_err(), "it was dropped unread");
    }
}
