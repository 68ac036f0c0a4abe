//! What enrollments cost on the shared store: rate, batches, and CPU of database and node per enrollment, for one hot
//! key and for 1,000, with one node and with two. `cargo bench --bench shared_store`
//!
//! Method. A private PostgreSQL with `fsync` on, in a directory on this disk, and this process as the node: a store with its
//! own connections and queue for each node. Devices in a fixed number ask one after the other, each for an enrollment never seen
//! before, with a certificate of the usual size. CPU of the database is the growth of utime + stime of all its processes over
//! the span, that of the node this process's, driver included. The embedded store is driven in the same way in the same run: the
//! difference of the nodes' CPU is the price of the network in place of SQLite.
//!
//! `BENCH_SECONDS=10` measures longer; `--test` only shows that it runs.

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests' support, of which this needs the database only")]
mod support;
mod tenant;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use muster::clock::{Clock, ManualClock};
use muster::store::embedded::EmbeddedStore;
use muster::store::postgres::{PostgresSettings, PostgresStore, StoreClock};
use muster::store::{BatchSettings, CommitObserver, EnrollmentOutcome, Store};

use support::postgres::{Cluster, Durability};

/// Devices that ask at once, over all nodes.
const DEVICES: usize = 256;

fn main() {
    let smoke = std::env::args().any(|argument| argument == "--test");
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok());
    let span = Duration::from_secs_f64(if smoke { 0.3 } else { seconds.unwrap_or(5.0) });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let cluster = Cluster::start(Durability::Disk);
    println!("{DEVICES} devices, {:.1} s each", span.as_secs_f64());
    println!("store     nodes  keys  enrollments/s  per batch  node CPU µs  database CPU µs");
    for keys in [1, 1_000] {
        runtime.block_on(async {
            let dir = tempfile::tempdir_in(".").expect("a directory on the disk that is measured");
            let sizes = Arc::new(Sizes::default());
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(tenant::NOW));
            let store = EmbeddedStore::open(dir.path(), clock, BatchSettings::default(), sizes.clone());
            let store: Arc<dyn Store> = store.expect("the store opens");
            tenant::fill(&*store, keys).await;
            report("embedded", vec![store.clone()], keys, span, &sizes, None).await;
            store.close().await;
        });
        for nodes in [1, 2] {
            runtime.block_on(async {
                let database = cluster.database();
                let sizes = Arc::new(Sizes::default());
                let mut stores: Vec<Arc<dyn Store>> = Vec::new();
                for _ in 0..nodes {
                    let settings = PostgresSettings { url: database.url().into(), ca_file: None, connections_max: 16 };
                    let clock = StoreClock::Database;
                    let store = PostgresStore::open(&settings, clock, BatchSettings::default(), sizes.clone()).await;
                    stores.push(store.expect("the store opens"));
                }
                tenant::fill(&*stores[0], keys).await;
                report("postgres", stores.clone(), keys, span, &sizes, Some(&cluster)).await;
                for store in stores {
                    store.close().await;
                }
            });
        }
    }
}

/// Drives the nodes for a fifth of the span to warm up, then measures one.
async fn report(
    name: &str,
    nodes: Vec<Arc<dyn Store>>,
    keys: u64,
    span: Duration,
    sizes: &Sizes,
    cluster: Option<&Cluster>,
) {
    let (stop, next, done) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let devices: Vec<_> = (0..DEVICES)
        .map(|device| {
            let (store, stop) = (Arc::clone(&nodes[device % nodes.len()]), Arc::clone(&stop));
            let (next, done) = (Arc::clone(&next), Arc::clone(&done));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let commit = tenant::commit(next.fetch_add(1, Ordering::Relaxed), keys);
                    let outcome = store.commit_enrollment(commit).await;
                    assert!(matches!(outcome, Ok(EnrollmentOutcome::Committed { .. })), "{outcome:?}");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(span / 5).await;
    let database_cpu = || cluster.map_or(Duration::ZERO, |cluster| cpu_time(&processes(cluster)));
    let own = [std::process::id()];
    sizes.take();
    let (node, database, before, begun) =
        (cpu_time(&own), database_cpu(), done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(span).await;
    let (took, count) = (begun.elapsed(), (done.load(Ordering::Relaxed) - before) as f64);
    let (node, database) = (cpu_time(&own) - node, database_cpu() - database);
    let per_batch = sizes.take();
    stop.store(true, Ordering::Relaxed);
    for device in devices {
        device.await.expect("a device ends well");
    }
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count;
    println!(
        "{name:<8}  {:>5}  {keys:>4}  {:>13.0}  {per_batch:>9.1}  {:>11.1}  {:>15.1}",
        nodes.len(),
        count / took.as_secs_f64(),
        each(node),
        each(database),
    );
}

/// The server's own, and those that it started.
fn processes(cluster: &Cluster) -> Vec<u32> {
    let file = fs::read_to_string(cluster.folder().join("data/postmaster.pid")).expect("the server runs");
    let server = file.lines().next().expect("its first line is a process id");
    let started = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).expect("Linux tells");
    [server].into_iter().chain(started.split_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
}

/// utime + stime of these processes, in the kernel's ticks of 10 ms.
fn cpu_time(pids: &[u32]) -> Duration {
    let ticks = pids.iter().filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let after_name = stat.rsplit(')').next()?;
        Some(after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
    });
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// How large the batches were.
#[derive(Default)]
struct Sizes {
    batches: AtomicUsize,
    enrollments: AtomicUsize,
}

impl Sizes {
    /// The mean since it was asked last.
    fn take(&self) -> f64 {
        let (enrollments, batches) =
            (self.enrollments.swap(0, Ordering::Relaxed), self.batches.swap(0, Ordering::Relaxed));
        enrollments as f64 / batches.max(1) as f64
    }
}

impl CommitObserver for Sizes {
    fn observe_commit(&self, size: usize, _: Duration) {
        self.enrollments.fetch_add(size, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
    }
}
