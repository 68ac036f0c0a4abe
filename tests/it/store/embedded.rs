//! What only the embedded store can be asked: its files, its lock, damage, a full disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muster::clock::{Clock, ManualClock};
use muster::domain::address::SourcePrefix;
use muster::domain::ledger::RefusalTally;
use muster::domain::{Kind, ProvisioningKey, Reference, Refusal, RefusalReason};
use muster::store::embedded::{EmbeddedStore, OpenError};
use muster::store::{
    BatchSettings, Change, CommitObserver, EnrollmentOutcome, EnrollmentStore as _, IdAllocator, ListQuery, Store,
    StoreError,
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::world::{StoreUnderTest, World, is_unavailable};
use crate::support::rows::NOW;

/// The embedded store in a directory that goes when the test ends.
pub struct UnderTest {
    data_dir: TempDir,
    batch: BatchSettings,
}

impl UnderTest {
    pub fn new() -> Self {
        Self { data_dir: tempfile::tempdir().unwrap(), batch: BatchSettings::default() }
    }

    /// The data directory.
    pub fn path(&self) -> PathBuf {
        self.data_dir.path().to_owned()
    }
}

#[async_trait]
impl StoreUnderTest for UnderTest {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        EmbeddedStore::open(self.data_dir.path(), clock, self.batch, Arc::new(Batches::default())).unwrap()
    }

    fn count(&self, table: &str) -> u64 {
        count(self.data_dir.path(), table)
    }
}

/// Remembers how large the batches were.
#[derive(Default)]
struct Batches(Mutex<Vec<usize>>);

impl CommitObserver for Batches {
    fn observe_commit(&self, size: usize, _: Duration) {
        self.0.lock().unwrap().push(size);
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

fn open(data_dir: &Path) -> Result<Arc<EmbeddedStore>, OpenError> {
    EmbeddedStore::open(data_dir, clock(), BatchSettings::default(), Arc::new(Batches::default()))
}

fn database(data_dir: &Path) -> Connection {
    Connection::open(data_dir.join("muster.db")).unwrap()
}

fn count(data_dir: &Path, table: &str) -> u64 {
    database(data_dir).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// Enough for every check to have something to look at, left closed in its directory.
async fn some_state() -> (TempDir, World) {
    let under_test = UnderTest::new();
    let path = under_test.path();
    let world = World::open(under_test).await;
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(3)).await;
    let component = world.enrolled(&tenant, &key, "a").await;
    world.enrolled(&tenant, &key, "b").await;
    let again = world.re_enrollment(&tenant, &key, "a", &component);
    world.store.commit_enrollment(again).await.unwrap();
    let events = (0..3).map(|n| world.event(tenant.customer.id, &n.to_string())).collect();
    world.store.commit_changes(vec![], events, &world.audit_key).await.unwrap();
    world.assert_sound().await;
    world.store.close().await;
    let copy = tempfile::tempdir().unwrap();
    fs::copy(path.join("muster.db"), copy.path().join("muster.db")).unwrap();
    (copy, world)
}

#[tokio::test]
async fn a_second_process_is_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();

    let refused = open(dir.path()).err().unwrap();
    let message = refused.to_string();
    let OpenError::Locked { pid, since, .. } = refused else { panic!("{message}") };
    assert_eq!((pid, since), (Some(std::process::id()), Some(NOW)));
    assert!(message.contains(&format!("process {} since {NOW}", std::process::id())), "{message}");

    // To read it needs no lock.
    EmbeddedStore::open_read_only(dir.path(), clock()).unwrap();

    first.close().await;
    let second = open(dir.path()).expect("closed: the directory is free, though the first is not dropped");
    drop(first);
    assert!(matches!(open(dir.path()).err(), Some(OpenError::Locked { .. })));
    drop(second);
    open(dir.path()).expect("dropped: the directory is free");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (dir, _world) = some_state().await;
    database(dir.path()).pragma_update(None, "user_version", 99).unwrap();
    for refused in [open(dir.path()).err(), EmbeddedStore::open_read_only(dir.path(), clock()).err()] {
        let refused = refused.unwrap();
        let message = refused.to_string();
        assert!(matches!(refused, OpenError::NewerSchema { found: 99, supported: 1, .. }), "{message}");
    }
    let version: u32 = database(dir.path()).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 99, "nothing was touched");
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("muster.db"), b"certainly not a database, but long enough to be read as one").unwrap();
    assert!(matches!(open(dir.path()).err(), Some(OpenError::Damaged { .. })));

    let dir = tempfile::tempdir().unwrap();
    database(dir.path()).execute_batch("CREATE TABLE theirs (a)").unwrap();
    assert!(matches!(open(dir.path()).err(), Some(OpenError::Damaged { .. })));
    assert!(matches!(EmbeddedStore::open_read_only(dir.path(), clock()).err(), Some(OpenError::Damaged { .. })));

    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(EmbeddedStore::open_read_only(dir.path(), clock()).err(), Some(OpenError::Missing { .. })));
    assert!(!dir.path().join("muster.db").exists());
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(open(&nowhere).err(), Some(OpenError::Io { .. })));
}

#[tokio::test]
async fn what_is_refused_stays_as_it_was_to_the_byte() {
    let foreign = tempfile::tempdir().unwrap();
    database(foreign.path()).execute_batch("CREATE TABLE theirs (a)").unwrap();

    // As a newer version leaves it when it dies: the last changes stand in the log.
    let (newer, _world) = some_state().await;
    let running = database(newer.path());
    running.pragma_update(None, "user_version", 99).unwrap();
    let died = tempfile::tempdir().unwrap();
    for name in ["muster.db", "muster.db-wal"] {
        fs::copy(newer.path().join(name), died.path().join(name)).unwrap();
    }

    for dir in [foreign.path(), died.path()] {
        let read = || ["muster.db", "muster.db-wal"].map(|name| fs::read(dir.join(name)).unwrap_or_default());
        let before = read();
        let refused = open(dir).err().unwrap();
        assert!(matches!(refused, OpenError::Damaged { .. } | OpenError::NewerSchema { found: 99, .. }), "{refused}");
        assert!(read() == before, "{} was changed", dir.display());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.probe().await.unwrap();
    for name in ["muster.db", "muster.db-wal", "muster.db-shm"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn reading_beside_a_server_sees_one_snapshot() {
    let under_test = UnderTest::new();
    let path = under_test.path();
    let world = World::open(under_test).await;
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    world.enrolled(&tenant, &key, "before").await;

    let beside = EmbeddedStore::open_read_only(&path, clock()).unwrap();
    let uses = |store: Arc<EmbeddedStore>| {
        let (customer, id) = (key.customer_id, key.id);
        async move { store.find_key(customer, id).await.unwrap().unwrap().usage.uses }
    };
    assert_eq!(uses(beside.clone()).await, 1);
    world.enrolled(&tenant, &key, "after").await;
    assert_eq!(uses(beside.clone()).await, 1, "still as it was at the first read");
    assert_eq!(beside.check_integrity(&world.audit_key).await.unwrap(), []);
    assert_eq!(beside.list_secrets("pepper").await.unwrap(), []);
    assert_eq!(beside.find_setting("cloud").await.unwrap(), None);

    let refused = beside.commit_enrollment(world.commit(&tenant, &key, "no")).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    assert!(is_unavailable(&beside.probe().await));
    assert!(is_unavailable(&beside.reserve_ids(1).await));
    assert_eq!(uses(EmbeddedStore::open_read_only(&path, clock()).unwrap()).await, 2);
}

#[tokio::test]
async fn a_store_that_nobody_serves_can_be_read() {
    let (dir, world) = some_state().await;
    let store = EmbeddedStore::open_read_only(dir.path(), clock()).unwrap();
    assert_eq!(store.check_integrity(&world.audit_key).await.unwrap(), []);
    assert_eq!(store.scan_customers().await.unwrap().len(), 1);
}

#[tokio::test]
async fn each_deliberate_damage_is_found() {
    let (undamaged, world) = some_state().await;
    let damages = [
        ("I1", "UPDATE key_counters SET uses = uses - 1"),
        ("I1", "UPDATE key_counters SET re_enrollments = 0"),
        ("I1", "DELETE FROM key_uses WHERE sequence = 1"),
        ("I1", "DELETE FROM key_uses WHERE sequence = 3"),
        ("I1", "UPDATE key_uses SET entry = 3 WHERE sequence = 1"),
        ("I1", "DELETE FROM key_counters"),
        ("I2", "UPDATE provisioning_keys SET maximum = 1"),
        ("I3", "DROP INDEX components_by_fingerprint; UPDATE components SET fingerprint = 'the same for both of them'"),
        ("I4", "DELETE FROM certificates WHERE status = 1 AND rowid = (SELECT max(rowid) FROM certificates)"),
        ("I4", "DELETE FROM certificates WHERE status = 2"),
        ("I4", "UPDATE certificates SET status = 1, status_at = NULL WHERE status = 2"),
        ("I4", "UPDATE components SET previous_serial = x'07'"),
        ("I4", "UPDATE components SET previous_serial = current_serial"),
        ("I4", "UPDATE certificates SET status = 1, status_at = NULL; UPDATE components SET deleted_at = 5"),
        ("I5", "UPDATE audit_events SET actor_name = 'nobody' WHERE sequence = 2"),
        ("I5", "DELETE FROM audit_events WHERE sequence = 2"),
        ("I5", "DELETE FROM audit_events WHERE sequence = 3"),
        ("I5", "DELETE FROM audit_events"),
        ("I5", "DELETE FROM audit_heads"),
        (
            "I5",
            "UPDATE audit_events SET sequence = 9 WHERE sequence = 1; UPDATE audit_events SET sequence = 1 WHERE \
             sequence = 2; UPDATE audit_events SET sequence = 2 WHERE sequence = 9",
        ),
        ("digests", "DELETE FROM digests"),
        ("digests", "DELETE FROM provisioning_keys"),
        ("lists", "UPDATE key_totals SET keys = keys + 1"),
        ("lists", "UPDATE component_blocks SET components = 0"),
        ("lists", "DELETE FROM component_blocks WHERE list < 0"),
        ("lists", "INSERT INTO component_names SELECT customer_id, kind, 'another', id FROM components"),
        ("lists", "DELETE FROM component_names; UPDATE component_names_end SET certificate = 99"),
        ("lists", "INSERT OR REPLACE INTO component_name_buckets VALUES (1, 4, '', 0, 99)"),
    ];
    for (invariant, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(undamaged.path().join("muster.db"), dir.path().join("muster.db")).unwrap();
        database(dir.path()).execute_batch(damage).unwrap();
        let store = EmbeddedStore::open_read_only(dir.path(), clock()).unwrap();
        let findings = store.check_integrity(&world.audit_key).await.unwrap();
        assert!(findings.iter().any(|finding| finding.invariant == invariant), "{damage}: {findings:?}");
    }
}

#[tokio::test]
async fn another_audit_key_does_not_verify_the_log() {
    let (dir, _world) = some_state().await;
    let store = open(dir.path()).unwrap();
    let findings = store.check_integrity(&muster::domain::audit::AuditKey::new(&[1; 32])).await.unwrap();
    assert_eq!(findings.iter().map(|finding| finding.invariant).collect::<Vec<_>>(), ["I5"]);
}

#[tokio::test]
async fn a_damaged_page_is_found() {
    let (dir, world) = some_state().await;
    let path = dir.path().join("muster.db");
    let root: u64 = database(dir.path())
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'certificates'", [], |row| row.get(0))
        .unwrap();
    let page_bytes: u64 = database(dir.path()).query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let start = usize::try_from((root - 1) * page_bytes).unwrap();
    bytes[start..start + 100].fill(0xff);
    fs::write(&path, bytes).unwrap();

    let store = EmbeddedStore::open_read_only(dir.path(), clock()).unwrap();
    let findings = store.check_integrity(&world.audit_key).await.unwrap();
    assert!(findings.iter().any(|finding| finding.invariant == "store"), "{findings:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let world = World::open(Given(store.clone(), dir.path().to_owned())).await;
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;

    store.limit_size(Some(0)).await.unwrap();
    let mut enrolled = 0;
    let refused = loop {
        match world.store.commit_enrollment(world.commit(&tenant, &key, &format!("device-{enrolled}"))).await {
            Ok(outcome) => assert!(matches!(outcome, EnrollmentOutcome::Committed { .. })),
            Err(error) => break error,
        }
        enrolled += 1;
        assert!(enrolled < 1_000, "the cap never took hold");
    };
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
    assert_eq!(world.uses(&key).await, enrolled, "reads go on, and nothing was half written");
    world.assert_sound().await;

    store.limit_size(None).await.unwrap();
    let again = world.enroll(&tenant, &key, &format!("device-{enrolled}")).await;
    assert!(matches!(again, EnrollmentOutcome::Committed { uses, .. } if uses == enrolled + 1), "{again:?}");
    world.store.probe().await.unwrap();
    world.assert_sound().await;
}

#[tokio::test]
async fn a_store_whose_directory_was_replaced_is_not_ready_and_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, aside) = (parent.path().join("data"), parent.path().join("aside"));
    fs::create_dir(&dir).unwrap();
    let store = open(&dir).unwrap();
    store.probe().await.unwrap();

    fs::rename(&dir, &aside).unwrap();
    assert!(is_unavailable(&store.probe().await));
    fs::create_dir(&dir).unwrap();
    assert!(is_unavailable(&store.probe().await));
    let other = open(&dir).expect("the new directory is free");
    other.probe().await.unwrap();
    assert!(is_unavailable(&store.probe().await));
    assert!(is_unavailable(&store.reserve_ids(1).await));

    other.close().await;
    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&aside, &dir).unwrap();
    store.probe().await.expect("the very files are back");
}

/// Opens what is open already.
struct Given(Arc<EmbeddedStore>, PathBuf);

#[async_trait]
impl StoreUnderTest for Given {
    async fn open(&self, _: Arc<dyn Clock>) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn count(&self, table: &str) -> u64 {
        count(&self.1, table)
    }
}

#[tokio::test]
async fn somebody_elses_transaction_is_waited_out_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let other = database(dir.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(is_unavailable(&store.probe().await));
    other.execute_batch("ROLLBACK").unwrap();
    store.probe().await.unwrap();
}

const LONG_LINGER: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_enrollment_does_not_linger() {
    let batch = BatchSettings { linger: LONG_LINGER, ..BatchSettings::default() };
    let world = World::open(UnderTest { batch, ..UnderTest::new() }).await;
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let begun = Instant::now();
    for n in 0..5 {
        world.enrolled(&tenant, &key, &format!("device-{n}")).await;
    }
    assert!(begun.elapsed() < LONG_LINGER, "{:?}", begun.elapsed());
}

/// The writer is held up by somebody else's transaction until all are queued.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_together_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let batches = Arc::new(Batches::default());
    let settings = BatchSettings { size_max: 8, queue_max: 20, linger: Duration::ZERO };
    let store = EmbeddedStore::open(dir.path(), clock(), settings, batches.clone()).unwrap();
    let world = World::open(Given(store, dir.path().to_owned())).await;
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;

    let other = database(dir.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut pending: Vec<_> = (0..40)
        .map(|n| {
            let (store, commit) = (world.store.clone(), world.commit(&tenant, &key, &format!("device-{n}")));
            Box::pin(async move { store.commit_enrollment(commit).await })
        })
        .collect();
    // Polled once, each is queued or refused; the writer took some before it came to the lock.
    let mut refused = 0;
    let mut queued = Vec::new();
    for mut commit in pending.drain(..) {
        match futures_poll_once(&mut commit).await {
            None => queued.push(commit),
            Some(Err(StoreError::Overloaded { waiting: 20 })) => refused += 1,
            Some(other) => panic!("{other:?}"),
        }
    }
    assert!((12..=20).contains(&refused), "20 wait, at most 8 are with the writer: {refused} refused");
    other.execute_batch("ROLLBACK").unwrap();
    for commit in queued {
        assert!(matches!(commit.await, Ok(EnrollmentOutcome::Committed { .. })));
    }
    let batches = batches.0.lock().unwrap().clone();
    assert_eq!(batches.iter().sum::<usize>(), 40 - refused);
    assert!(batches.iter().all(|size| *size <= 8) && batches.contains(&8), "{batches:?}");
}

async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn an_abandoned_enrollment_is_done_all_the_same() {
    let world = World::open(UnderTest::new()).await;
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    {
        let mut commit = Box::pin(world.store.commit_enrollment(world.commit(&tenant, &key, "gone")));
        assert!(futures_poll_once(&mut commit).await.is_none_or(|result| result.is_ok()));
    }
    // The next waits behind it.
    world.store.probe().await.unwrap();
    assert_eq!(world.enroll(&tenant, &key, "gone").await, EnrollmentOutcome::Known);
}

/// A future that is not polled again asks for nothing more: what it wrote so far is one transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refusals_are_written_in_parts_between_which_others_get_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let world = World::open(Given(store.clone(), dir.path().to_owned())).await;
    let tenant = world.tenant().await;
    let (first, second) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let tally = |key: &ProvisioningKey, n: u64| RefusalTally {
        customer_id: key.customer_id,
        key_id: key.id,
        refusal: Refusal::KeyDisabled,
        source: SourcePrefix::of("192.0.2.1".parse().unwrap()),
        minute: NOW.saturating_add(Duration::from_secs(n * 60)),
        count: 1,
        last_reference: Reference::random(),
        last_reason: RefusalReason::new("the key is disabled"),
    };
    let tallies = (0..600).map(|n| tally(&first, n)).chain((0..600).map(|n| tally(&second, n))).collect();

    // Held up by somebody else's transaction, the first part is not answered in this one poll.
    let other = database(dir.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut adding = Box::pin(store.add_refusals(tallies));
    assert!(futures_poll_once(&mut adding).await.is_none());
    other.execute_batch("ROLLBACK").unwrap();
    let written = async || {
        let of = async |key: &ProvisioningKey| store.list_refusals(key.customer_id, key.id).await.unwrap().len();
        of(&first).await + of(&second).await
    };
    let in_one_transaction = loop {
        match written().await {
            0 => store.probe().await.unwrap(),
            some => break some,
        }
    };
    assert_eq!(in_one_transaction, 500);

    adding.await.unwrap();
    assert_eq!(written().await, 1_200);
}

#[tokio::test]
async fn the_feed_keeps_its_newest_rows_and_shows_the_gap() {
    let (dir, world) = some_state().await;
    database(dir.path())
        .execute_batch("UPDATE changes SET sequence = 70000 WHERE sequence = (SELECT max(sequence) FROM changes)")
        .unwrap();
    let store = open(dir.path()).unwrap();
    let put = Change::PutSetting { name: "a".into(), value: "b".into() };
    let last = store.commit_changes(vec![put], vec![], &world.audit_key).await.unwrap();
    assert_eq!(last.0, 70_001);
    let feed = store.list_changes(muster::store::ChangeSequence(0), 10).await.unwrap();
    assert_eq!(feed.iter().map(|row| row.sequence.0).collect::<Vec<_>>(), [70_000, 70_001]);
}

#[tokio::test]
async fn an_empty_store_is_sound() {
    let world = World::open(UnderTest::new()).await;
    world.assert_sound().await;
    let ids = IdAllocator::new(world.store.clone());
    let id: muster::id::CustomerId = ids.next().await.unwrap();
    let nothing = world.store.list_groups(id, Kind::Machine, &ListQuery::first(1)).await.unwrap();
    assert_eq!((nothing.rows, nothing.total), (vec![], 0));
    assert_eq!(world.store.list_secrets("any").await.unwrap(), []);
}
