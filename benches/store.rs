//! What one durable transaction costs: enrollments per commit 1, 8, 32 and 128, on one hot key
//! and spread over 1,000.
//!
//! `cargo bench --bench store` measures wall-clock time per batch; the figure per enrollment is in
//! the throughput line. `cargo bench --bench store -- --cpu` prints CPU time of the whole process
//! per enrollment (utime + stime from /proc/self/stat), which is what a decision about an engine
//! is about, and how long a node with a million keys takes to read them.

mod tenant;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use muster::clock::{Clock, ManualClock};
use muster::id::{Id, ProvisioningKeyId};
use muster::store::embedded::EmbeddedStore;
use muster::store::{
    BatchSettings, CommitObserver, EnrollmentCommit, EnrollmentOutcome, EnrollmentStore, Store, StoreError,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use tenant::NOW;

const BATCHES: [usize; 4] = [1, 8, 32, 128];

fn main() {
    if std::env::args().any(|argument| argument == "--cpu") {
        return report_cpu();
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(30);
    bench_commits(&mut criterion);
    criterion.final_summary();
}

fn bench_commits(criterion: &mut Criterion) {
    for (keys, name) in [(1, "one-hot-key"), (1_000, "1000-keys")] {
        let mut group = criterion.benchmark_group(format!("store-commit/embedded/{name}"));
        for size in BATCHES {
            let place = Place::new(keys, size);
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter_batched(
                    || place.commits(size),
                    |commits| place.enroll(commits),
                    criterion::BatchSize::SmallInput,
                );
            });
        }
    }
}

/// CPU per enrollment with a store that holds some already, as a service that runs does.
fn report_cpu() {
    const ALREADY_THERE: usize = 200_000;
    println!("per enrollment, {ALREADY_THERE} there already:");
    println!("keys  batch  CPU µs  wall µs  KiB written  writes");
    for keys in [1, 1_000] {
        let filling = Place::new(keys, 512);
        for _ in 0..ALREADY_THERE.div_ceil(512) {
            filling.enroll(filling.commits(512));
        }
        for size in BATCHES {
            let place = filling.with_batches_of(size);
            let rounds = (20_000 / size).clamp(200, 4_000);
            let prepared: Vec<_> = (0..rounds).map(|_| place.commits(size)).collect();
            let (cpu, io, begun) = (cpu_time(), written(), Instant::now());
            for commits in prepared {
                place.enroll(commits);
            }
            let (cpu, wall) = (cpu_time() - cpu, begun.elapsed());
            let (bytes, calls) = (written().0 - io.0, written().1 - io.1);
            let each = |total: f64| total / (rounds * size) as f64;
            println!(
                "{keys:>4}  {size:>5}  {:>6.1}  {:>7.1}  {:>11.1}  {:>6.1}",
                each(cpu.as_secs_f64() * 1e6),
                each(wall.as_secs_f64() * 1e6),
                each(bytes as f64 / 1024.0),
                each(calls as f64),
            );
        }
    }
    if std::env::args().any(|argument| argument == "--scan") {
        report_scan();
    }
}

fn report_scan() {
    const KEYS: u64 = 1_000_000;
    let place = Place::new(KEYS, 1);
    let (begun, mut after, mut read) = (Instant::now(), ProvisioningKeyId::from_raw(0), 0);
    loop {
        let keys = place.runtime.block_on(place.store.scan_keys(after, 10_000)).expect("the scan");
        let Some(last) = keys.last() else { break };
        after = last.id;
        read += keys.len();
    }
    println!("scan of {read} keys: {:.2?}", begun.elapsed());
}

/// utime + stime of this process, in the kernel's ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc/self/stat");
    let after_name = stat.rsplit(')').next().expect("the name is in parentheses");
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// Bytes that this process gave to write calls, and how many calls.
fn written() -> (u64, u64) {
    let io = std::fs::read_to_string("/proc/self/io").expect("Linux has /proc/self/io");
    let field = |name: &str| {
        let line = io.lines().find_map(|line| line.strip_prefix(name)).expect("the field is there");
        line.trim_start_matches(':').trim().parse().expect("a number")
    };
    (field("wchar"), field("syscw"))
}

struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: Duration) {}
}

/// A store in a directory of its own, whose batches are as large as what is sent at once.
struct Place {
    store: Arc<EmbeddedStore>,
    runtime: Arc<Runtime>,
    keys: u64,
    next: Arc<AtomicU64>,
    dir: Arc<TempDir>,
}

impl Place {
    fn new(keys: u64, batch: usize) -> Self {
        let dir = Arc::new(tempfile::tempdir_in(".").expect("a directory on the disk that is measured"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
        let place =
            Self { store: open(&dir, batch), runtime: Arc::new(runtime), keys, next: Arc::new(AtomicU64::new(0)), dir };
        place.fill();
        place
    }

    /// The same data, opened with another batch size.
    fn with_batches_of(&self, size: usize) -> Self {
        self.runtime.block_on(self.store.close());
        Self {
            store: open(&self.dir, size),
            runtime: self.runtime.clone(),
            keys: self.keys,
            next: self.next.clone(),
            dir: self.dir.clone(),
        }
    }

    fn fill(&self) {
        self.runtime.block_on(tenant::fill(&*self.store, self.keys));
    }

    fn commits(&self, size: usize) -> Vec<EnrollmentCommit> {
        (0..size).map(|_| self.commit()).collect()
    }

    fn commit(&self) -> EnrollmentCommit {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        tenant::commit(number, self.keys)
    }

    /// All at once, until the last is answered.
    fn enroll(&self, commits: Vec<EnrollmentCommit>) {
        self.runtime.block_on(async {
            let mut pending = Vec::with_capacity(commits.len());
            for commit in commits {
                let mut commit = Box::pin(self.store.commit_enrollment(commit));
                // Polled once it is queued; so they meet in one batch.
                let polled =
                    std::future::poll_fn(|context| std::task::Poll::Ready(commit.as_mut().poll(context))).await;
                match polled {
                    std::task::Poll::Ready(outcome) => assert_committed(&outcome),
                    std::task::Poll::Pending => pending.push(commit),
                }
            }
            for commit in pending {
                assert_committed(&commit.await);
            }
        });
    }
}

fn assert_committed(outcome: &Result<EnrollmentOutcome, StoreError>) {
    assert!(matches!(outcome, Ok(EnrollmentOutcome::Committed { .. })), "{outcome:?}");
}

fn open(dir: &TempDir, batch: usize) -> Arc<EmbeddedStore> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
    // Long enough that a batch is always full: what is measured is the batch, not the arrivals.
    let batch = BatchSettings { size_max: batch, linger: Duration::from_millis(50), queue_max: 4_096 };
    EmbeddedStore::open(dir.path(), clock, batch, Arc::new(Unobserved)).expect("the store opens")
}
