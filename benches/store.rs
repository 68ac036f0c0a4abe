//! What one durable transaction costs: enrollments per commit 1, 8, 32 and 128, on one hot key
//! and spread over 1,000.
//!
//! `cargo bench --bench store` measures wall-clock time per batch; the figure per enrollment is in
//! the throughput line. `cargo bench --bench store -- --cpu` prints CPU time of the whole process
//! per enrollment (utime + stime from /proc/self/stat), which is what a decision about an engine
//! is about, and how long a node with a million keys takes to read them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use muster::clock::{Clock, ManualClock, Timestamp};
use muster::domain::audit::AuditKey;
use muster::domain::certificate::SigningPurpose;
use muster::domain::component::DeviceDescription;
use muster::domain::key::KeyUsage;
use muster::domain::{
    AddressList, Customer, Description, Fingerprint, Group, IssuedCertificate, KeyVersion, Kind, Name, ProvisioningKey,
    Revision, SerialNumber, SigningCertificate,
};
use muster::id::{ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::secret::pepper::{KeyDigest, PepperNumber};
use muster::store::embedded::EmbeddedStore;
use muster::store::{
    BatchSettings, Change, CommitObserver, EnrollmentCommit, EnrollmentIntent, EnrollmentOutcome, EnrollmentStore,
    SeenRevisions, Store, StoreError,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_190_760);
const BATCHES: [usize; 4] = [1, 8, 32, 128];
const CUSTOMER: u64 = 1;
const SIGNER: u64 = 2;
const GROUP: u64 = 3;
const FIRST_KEY: u64 = 1_000;
const FIRST_COMPONENT: u64 = 1 << 32;
/// Of a P-256 leaf with our extensions.
const CERTIFICATE_BYTES: usize = 620;

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
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
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
        let (customer, signer, group) = rows();
        let mut changes = vec![
            Change::InsertCustomer(customer),
            Change::InsertSigningCertificate(signer),
            Change::InsertGroup(group.clone()),
        ];
        let audit_key = AuditKey::new(&[1; 32]);
        for number in 0..self.keys {
            changes.push(Change::InsertKey(key(number, &group)));
            if changes.len() >= 50_000 || number + 1 == self.keys {
                let changes = std::mem::take(&mut changes);
                self.runtime.block_on(self.store.commit_changes(changes, vec![], &audit_key)).expect("the rows");
            }
        }
    }

    fn commits(&self, size: usize) -> Vec<EnrollmentCommit> {
        (0..size).map(|_| self.commit()).collect()
    }

    fn commit(&self) -> EnrollmentCommit {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let serial = SerialNumber::random();
        // As spread as a hash is, and never the same twice.
        let fingerprint = format!("{}{number:012}", SerialNumber::random());
        EnrollmentCommit {
            seen: SeenRevisions {
                customer: (CustomerId::from_raw(CUSTOMER), Revision::FIRST),
                group: (GroupId::from_raw(GROUP), Revision::FIRST),
                signing_certificate: (SigningCertificateId::from_raw(SIGNER), Revision::FIRST),
                key: (ProvisioningKeyId::from_raw(FIRST_KEY + number * 7_919 % self.keys), Revision::FIRST),
            },
            fingerprint: Fingerprint::new(&fingerprint).expect("44 hex digits"),
            device: DeviceDescription {
                hostname: Some("edge-1.branch.example".into()),
                platform: Some("linux/x86_64".into()),
                software_version: Some("muster 0.1.0".into()),
            },
            remote_address: IpAddr::from([192, 0, 2, 1]),
            certificate: IssuedCertificate {
                serial,
                der: serial.as_bytes().iter().copied().cycle().take(CERTIFICATE_BYTES).collect(),
                public_key_hash: [7; 32],
                issued_at: NOW,
                not_before: NOW,
                not_after: NOW.saturating_add(Duration::from_secs(90 * 86_400)),
            },
            intent: EnrollmentIntent::Enroll { component: ComponentId::from_raw(FIRST_COMPONENT + number) },
        }
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

fn rows() -> (Customer, SigningCertificate, Group) {
    let name = |text| Name::new(text).expect("a name");
    let customer = Customer {
        id: CustomerId::from_raw(CUSTOMER),
        name: name("Acme"),
        enabled: true,
        created_at: NOW,
        modified_at: NOW,
        revision: Revision::FIRST,
    };
    let signer = SigningCertificate {
        id: SigningCertificateId::from_raw(SIGNER),
        customer_id: customer.id,
        name: name("Client"),
        description: Description::default(),
        certificate: Some(vec![0x30; 500]),
        chain: vec![vec![0x30; 500]],
        public_key_hash: [0; 32],
        sealed_private_key: Some(vec![1; 200]),
        csr: None,
        parent_id: None,
        allow_signing: true,
        lifetime_seconds: SigningCertificate::LIFETIME_SECONDS_DEFAULT,
        purpose: SigningPurpose::None,
        not_before: NOW,
        not_after: NOW,
        created_at: NOW,
        modified_at: NOW,
        modified_by: None,
        revision: Revision::FIRST,
    };
    let group = Group {
        id: GroupId::from_raw(GROUP),
        customer_id: customer.id,
        kind: Kind::Machine,
        name: name("HQ"),
        description: Description::default(),
        enabled: true,
        signing_certificate_id: signer.id,
        addresses: AddressList::default(),
        attributes: serde_json::Map::new(),
        created_at: NOW,
        modified_at: NOW,
        modified_by: None,
        revision: Revision::FIRST,
    };
    (customer, signer, group)
}

fn key(number: u64, group: &Group) -> ProvisioningKey {
    let mut digest = [0xd1; KeyDigest::BYTES];
    // Spread over the tree, as digests are.
    digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    ProvisioningKey {
        id: ProvisioningKeyId::from_raw(FIRST_KEY + number),
        customer_id: group.customer_id,
        kind: group.kind,
        group_id: group.id,
        signing_certificate_id: group.signing_certificate_id,
        name: Name::new(&format!("key {number}")).expect("a name"),
        description: Description::default(),
        maximum: None,
        enabled: true,
        allow_re_enrollment: false,
        expires_at: None,
        addresses: AddressList::default(),
        version: KeyVersion::Bootstrap,
        hint: "3|localhost:8443|abcdefg...".into(),
        key_id: "abcdefghijklmnop".into(),
        digest: KeyDigest::from_bytes(digest),
        pepper: PepperNumber(1),
        sealed_string: Some(vec![9; 180]),
        managed_by: None,
        successor_id: None,
        ui_config: None,
        usage: KeyUsage::default(),
        created_at: NOW,
        created_by: None,
        modified_at: NOW,
        modified_by: None,
        revision: Revision::FIRST,
    }
}
