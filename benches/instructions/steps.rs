//! The steps that are counted.
//!
//! - `recognise-hit`, `-miss`, `-no-key-string`: parse, digest, look up, compare, among 64 keys.
//! - `decode`: the body of a request to all that the door takes from it.
//! - `csr`: a P-256 CSR read and verified. `certificate`: one prepared and signed.
//! - `claim`: a device's turn and a key's seat taken, the decision, both given back.
//! - `encode`: an enrollment to the answer.
//! - `door`: a request on a connection in memory to its answer: HTTP, decoding, encoding, metrics and log, but
//!   nothing of the use case. `log-line`: what of it the log takes.
//! - `enroll`: the use case, without door and store: key, state, CSR, claim, certificate.
//! - `connection`: all of it, from accepting a device to closing its connection; TLS 1.3, HTTP, log; but for the store.
//! - `store-batch-32`: one of 32 enrollments that the embedded store writes in one transaction.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster::ca::{AuthoritySubject, Issuer, KeyAlgorithm, Profile, Subject, VerifiedCsr, make_root};
use muster::clock::ManualClock;
use muster::domain::address::SourcePrefix;
use muster::domain::redemption::{Decision, decide};
use muster::domain::{Fingerprint, Kind, Reference, Refusal, RefusalReason};
use muster::enrollment::renewal::{RenewalError, RenewalRequest};
use muster::enrollment::turns::{Seats, Turns};
use muster::enrollment::{Enrollment, EnrollmentError, EnrollmentRequest};
use muster::id::{ComponentId, CustomerId, GroupId, Id as _, ProvisioningKeyId, SigningCertificateId};
use muster::management::Input;
use muster::management::keys::KeyInput;
use muster::metrics::Metrics;
use muster::protocol::enroll::PemText;
use muster::server::enroll::decode::Decoded;
use muster::server::enroll::{self, EnrollDoor, EnrollLimits, Enroller, KeyIdentity, RefusalSink, encode};
use muster::server::http::{Handler as _, Peer};
use muster::store::embedded::EmbeddedStore;
use muster::store::{BatchSettings, CommitObserver, EnrollmentOutcome, EnrollmentStore as _, Store};
use muster::telemetry::{LogFormat, Telemetry};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;

use crate::callgrind::span;
use crate::connection::Devices;
use crate::device::request;
use crate::tenant;
use crate::world::{self, World, WorldDevice, enroll};

/// What the store's writer does for a batch.
pub const COMMIT: &str = "muster::store::embedded::writer::Writer::commit_batch";

pub const DOOR: &str = "door";
pub const DOOR_WITHOUT_LOG: &str = "door-without-log";

/// The same in every run: its length is part of what is counted.
const CSR: &str = include_str!("../../certs/csr/p256-sha256.pem");

/// In place of the endpoint's anchors: PEM, about as long.
const ANCHORS: &str = CSR;

const KEYS: usize = 64;
const BATCH: usize = 32;
const BATCHES: u32 = 24;

/// How far a step's figure may be from the recorded one, in percent: about twice what it was seen to differ by, from run to
/// run and between builds of one source in two folders (the compiler shares out the code between its units anew).
pub fn tolerance_percent(step: &str) -> u64 {
    match step {
        "certificate" => 4,
        "enroll" => 5,
        // How often a socket is looked at in vain depends on the other end.
        "connection" => 4,
        // A difference of two.
        "log-line" => 8,
        // Pages split where random fingerprints and serials fall.
        "store-batch-32" => 6,
        _ => 3,
    }
}

/// What becomes of a step.
#[derive(Clone, Copy)]
pub enum Counter {
    /// Warmed up, then counted under callgrind.
    Counted,
    Once,
}

impl Counter {
    /// A step that runs `times`, and does its work `per_run` times each.
    fn count(self, name: &str, times: u32, per_run: u32, mut operation: impl FnMut()) {
        match self {
            Self::Once => operation(),
            Self::Counted => {
                for _ in 0..warm_up(times) {
                    operation();
                }
                span(times, &mut operation);
            }
        }
        println!("{name} {}", times * per_run);
    }
}

const fn warm_up(times: u32) -> u32 {
    times / 4
}

pub fn run(counter: Counter) {
    // First, while the heap is the same in every run: the allocator's way depends on what was freed before.
    csr(counter);
    certificate(counter);
    let runtime = runtime();
    let world = runtime.block_on(World::new());
    let (keys, id) = runtime.block_on(make_keys(&world));
    recognise(counter, &world, &keys);
    decode(counter, &keys[0]);
    runtime.block_on(claim(counter, &world, id));
    answer(counter, &runtime, &world, &keys[0]);
    enroll_alone(counter, &runtime, &world, &keys[0]);
    connect(counter, &runtime, &world, &keys[0]);
}

/// On one thread, so that nothing depends on who takes up which task.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The strings of [`KEYS`] keys, and the id of the first.
async fn make_keys(world: &World) -> (Vec<String>, ProvisioningKeyId) {
    let group = world.group(Kind::Machine, "HQ east").await;
    let mut made = Vec::with_capacity(KEYS);
    for n in 0..KEYS {
        let input = KeyInput { maximum: Input::Given(1_000_000), ..KeyInput::default() };
        made.push(world.key(group, &format!("k{n}"), input).await);
    }
    let id = made[0].0;
    (made.into_iter().map(|(_, string)| string).collect(), id)
}

fn recognise(counter: Counter, world: &World, keys: &[String]) {
    let miss: Vec<String> = keys.iter().map(|key| format!("{}AAAA", &key[..key.len() - 4])).collect();
    let no_key_string: Vec<String> = keys.iter().map(|key| key.replacen('|', " ", 1)).collect();
    for (name, texts, is_known) in [
        ("recognise-hit", keys, true),
        ("recognise-miss", &miss, false),
        ("recognise-no-key-string", &no_key_string, false),
    ] {
        let mut round = texts.iter().cycle();
        counter.count(name, 4 * KEYS as u32, 1, || {
            let text = round.next().expect("a cycle has no end");
            let found = at_once(world.service.verify_key(&world.service.present(text)));
            assert_eq!(found.expect("the store is not asked").is_some(), is_known);
        });
    }
}

fn decode(counter: Counter, key: &str) {
    let request = request(key, &fingerprint(0), CSR);
    let head = request.windows(4).position(|end| end == b"\r\n\r\n").expect("the head ends");
    let body = &request[head + 4..];
    counter.count("decode", 64, 1, || {
        let decoded = Decoded::decode(body).expect("it is well-formed");
        assert_eq!(decoded.present_key(str::len), key.len());
        std::hint::black_box((decoded.csr(), decoded.fingerprint().clone(), decoded.device()));
    });
}

fn csr(counter: Counter) {
    counter.count("csr", 96, 1, || drop(VerifiedCsr::verify(CSR).expect("it verifies")));
}

async fn claim(counter: Counter, world: &World, id: ProvisioningKeyId) {
    let index = world.node(world.store.clone()).await.index;
    let entry = index.find_by_id(id).expect("it was made");
    let (turns, seats, device) = (Turns::default(), Seats::default(), WorldDevice::new("claim").fingerprint);
    counter.count("claim", 64, 1, || {
        let turn = at_once(turns.take(id, &device));
        let seat = at_once(seats.take(&entry));
        let decision = decide(None, &[7; 32], false, seat.is_some(), world::NOW);
        assert_eq!(decision, Decision::Enroll);
        drop((turn, seat));
    });
}

fn certificate(counter: Counter) {
    let customer_id = CustomerId::from_raw(7);
    let authority = AuthoritySubject { common_name: "Client", customer_id, customer_name: "Example Ltd" };
    let made = make_root(&authority, KeyAlgorithm::EcdsaP256, 3_650, world::NOW).expect("a root");
    let (id, lifetime_seconds) = (SigningCertificateId::from_raw(42), 90 * 86_400);
    let issuer = Issuer::new(id, &made.certificate, &[], &made.private_key, lifetime_seconds).expect("an issuer");
    let fingerprint = Fingerprint::new(&fingerprint(0)).expect("a fingerprint");
    let subject = Subject {
        customer_id,
        customer_name: "Example Ltd",
        group_name: "HQ east",
        kind: Kind::Machine,
        component_id: ComponentId::from_raw(9_007_199_254_740_991),
        fingerprint: &fingerprint,
    };
    let profile = Profile {
        trust_domain: "cloud.example.com".to_owned(),
        dns_suffix: Some("cloud.example.com".to_owned()),
        svid_eku: false,
        public_url: Some("https://cloud.example.com".to_owned()),
    };
    let csr = VerifiedCsr::verify(CSR).expect("it verifies");
    counter.count("certificate", 64, 1, || {
        drop(issuer.issue(&csr, &subject, &profile, world::NOW).expect("it signs"));
    });
}

/// What the door does, and the encoding alone, of enrollments that were made before.
fn answer(counter: Counter, runtime: &Runtime, world: &World, key: &str) {
    const TIMES: u32 = 96;
    let mut device = WorldDevice::new("bench");
    let mut enrollments = |first: u32| -> VecDeque<Enrollment> {
        let made = (first..first + TIMES + warm_up(TIMES)).map(|number| {
            device.fingerprint = Fingerprint::new(&fingerprint(number)).expect("a fingerprint");
            runtime.block_on(enroll(&world.service, key, &device)).expect("it enrolls")
        });
        made.collect()
    };
    let mut made = enrollments(1_000);
    let anchors = PemText::from(ANCHORS);
    counter.count("encode", TIMES, 1, || {
        let enrollment = made.pop_front().expect("enough were made");
        std::hint::black_box(encode::enrolled(enrollment, &anchors, world::NOW));
    });

    let request = request(key, &fingerprint(0), CSR);
    for (name, first, has_log) in [(DOOR_WITHOUT_LOG, 2_000, false), (DOOR, 3_000, true)] {
        let door = Arc::new(door(Ready(Mutex::new(enrollments(first)))));
        let _log = has_log.then(log);
        counter.count(name, TIMES, 1, || runtime.block_on(visit(&door, &request)));
    }
}

/// Has its answers already.
struct Ready(Mutex<VecDeque<Enrollment>>);

impl Enroller for Ready {
    type Presented = ();
    type Key = ();
    type Device = ();

    fn present(&self, _: &str) {}

    async fn verify_key(&self, (): &()) -> Result<Option<()>, EnrollmentError> {
        Ok(Some(()))
    }

    fn is_overtaken(&self, (): &()) -> bool {
        false
    }

    fn identify(&self, (): &()) -> KeyIdentity {
        KeyIdentity {
            customer_id: CustomerId::from_raw(1),
            group_id: GroupId::from_raw(3),
            key_id: ProvisioningKeyId::from_raw(2),
        }
    }

    async fn enroll(&self, (): (), _: EnrollmentRequest<'_>) -> Result<Enrollment, EnrollmentError> {
        self.0.lock().expect("nobody panics").pop_front().ok_or(EnrollmentError::Overloaded)
    }

    async fn authenticate(&self, _: &CertificateDer<'_>, _: Duration) -> Result<(), RenewalError> {
        Err(EnrollmentError::Overloaded.into())
    }

    fn identify_device(&self, (): &()) -> (ComponentId, KeyIdentity) {
        (ComponentId::from_raw(3), self.identify(&()))
    }

    async fn renew(&self, (): (), _: RenewalRequest<'_>) -> Result<Enrollment, RenewalError> {
        Err(EnrollmentError::Overloaded.into())
    }
}

struct Unnoted;

impl RefusalSink for Unnoted {
    fn note(&self, _: KeyIdentity, _: (Refusal, RefusalReason), _: SourcePrefix, _: Reference) {}
}

impl enroll::CustomerTrustAnchors for Unnoted {
    fn trust_anchors_pem(&self, _: CustomerId) -> Option<PemText> {
        None
    }

    fn authorities(&self, _: CustomerId) -> Option<Arc<[u8]>> {
        None
    }

    fn only_customer(&self) -> Option<CustomerId> {
        None
    }

    fn customer_of_group(&self, _: GroupId) -> Option<CustomerId> {
        None
    }
}

fn door<E: Enroller>(enroller: E) -> EnrollDoor<E> {
    EnrollDoor::new(enroll::Parts {
        enroller: Arc::new(enroller),
        server_trust_anchors: Arc::new(ArcSwap::from_pointee(ANCHORS.into())),
        customer_trust_anchors: Arc::new(Unnoted),
        crls: Arc::default(),
        refusals: Arc::new(Unnoted),
        limits: Arc::new(ArcSwap::from_pointee(EnrollLimits::default())),
        clock: Arc::new(ManualClock::new(world::NOW)),
        metrics: Arc::new(Metrics::new()),
    })
}

/// One request on a connection of its own, in memory.
async fn visit(door: &Arc<EnrollDoor<Ready>>, request: &[u8]) {
    let (mut here, there) = tokio::io::duplex(64 * 1_024);
    let door = Arc::clone(door);
    let connection = tokio::spawn(async move {
        let peer = Peer {
            address: SocketAddr::new(world::SOMEWHERE, 1_024),
            client_certificate: None,
            silence: Arc::default(),
        };
        let service =
            service_fn(|request| async { Ok::<_, std::convert::Infallible>(door.handle(request, &peer).await) });
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(there), service).await
    });
    here.write_all(request).await.expect("room for the request");
    let mut answer = Vec::with_capacity(8 * 1_024);
    here.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    connection.await.expect("it ends").expect("HTTP");
}

struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: Duration) {}
}

pub fn run_batches(counter: Counter) {
    let runtime = runtime();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = Arc::new(ManualClock::new(tenant::NOW));
    // Long enough that a batch is always full.
    let batch = BatchSettings { size_max: BATCH, linger: Duration::from_secs(1), queue_max: BATCH };
    let store = EmbeddedStore::open(dir.path(), clock, batch, Arc::new(Unobserved)).expect("a store");
    runtime.block_on(tenant::fill(&*store, 1));
    let mut numbers = 0..;
    // Made before: what a commit is made of is another step's.
    let mut batches: VecDeque<Vec<_>> = (0..BATCHES + warm_up(BATCHES))
        .map(|_| numbers.by_ref().take(BATCH).map(|number| tenant::commit(number, 1)).collect())
        .collect();
    counter.count("store-batch-32", BATCHES, BATCH as u32, || {
        let commits = batches.pop_front().expect("enough were made");
        runtime.block_on(async {
            let waiting: Vec<_> = commits
                .into_iter()
                .map(|commit| {
                    let store = Arc::clone(&store);
                    tokio::spawn(async move { store.commit_enrollment(commit).await })
                })
                .collect();
            for outcome in waiting {
                let outcome = outcome.await.expect("it ends").expect("the store");
                assert!(matches!(outcome, EnrollmentOutcome::Committed { .. }));
            }
        });
    });
    runtime.block_on(store.close());
}

fn enroll_alone(counter: Counter, runtime: &Runtime, world: &World, key: &str) {
    let mut device = WorldDevice::new("bench");
    let mut numbers = 10_000..;
    counter.count("enroll", 64, 1, || {
        device.fingerprint = Fingerprint::new(&fingerprint(numbers.next().expect("no end"))).expect("a fingerprint");
        runtime.block_on(enroll(&world.service, key, &device)).expect("it enrolls");
    });
}

fn connect(counter: Counter, runtime: &Runtime, world: &World, key: &str) {
    let door = door(world.service_through(world.store.clone()));
    let devices = Devices::new(runtime, Arc::new(door));
    let _log = log();
    let mut numbers = 20_000..;
    counter.count("connection", 96, 1, || {
        let request = request(key, &fingerprint(numbers.next().expect("no end")), CSR);
        runtime.block_on(devices.send(request));
    });
}

/// Lines go to nowhere: what is counted is the making of one.
fn log() -> impl Sized {
    let (telemetry, subscriber) = Telemetry::build(LogFormat::Text, "info", io::sink).expect("a level");
    (telemetry, tracing::subscriber::set_default(subscriber))
}

/// As long as our client's: base64 of SHA-256.
fn fingerprint(number: u32) -> String {
    format!("oXaN4RRiMcMd0kWfMf2cXl0q1Jm8n3m3Lz8y{number:07}=")
}

/// What a future gives that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
