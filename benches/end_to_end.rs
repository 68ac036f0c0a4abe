//! What one durable enrollment costs the server, against the floor that its cryptography, the kernel
//! and the disk set. `cargo bench --bench end_to_end`
//!
//! Method. The real binary serves on loopback, pinned to core 0; this process drives it from core 1:
//! each enrollment is a new TCP connection, a full TLS 1.3 handshake (X25519, AES-128-GCM, P-256
//! certificate, no ticket), one `POST /v1/enroll` with a P-256 CSR and a fingerprint never seen
//! before. Server CPU is the growth of utime + stime in `/proc/<pid>/stat` over the enrollments
//! answered in the same span, after a warm-up. A round counts only when the server's core was at
//! least 70 % busy. The floor's parts are measured in the same run on core 1:
//!
//! - the server's half of the same handshake, in memory,
//! - one P-256 verification and one P-256 signature (ring),
//! - the CPU of a bare hyper server per plain HTTP connection with bodies of the same size, its own
//!   process on core 0,
//! - one append of a record's size per enrollment and one fdatasync per batch, at the batch size
//!   that the server's metrics report.
//!
//! `BENCH_SECONDS=10 cargo bench --bench end_to_end` measures longer; `--test` only shows that it runs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Concurrent devices.
const DEVICES: usize = 64;
/// Bytes that the floor appends per enrollment: about what a certificate and the rows beside it come to.
const RECORD_BYTES: usize = 700;
const LOAD_MIN: f64 = 0.7;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|arg| arg == "--plain-server") {
        return plain_server();
    }
    let smoke = args.iter().any(|arg| arg == "--test");
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4.0);
    let (warm_up, span, rounds) = if smoke { (0.1, 0.3, 1) } else { (1.0, seconds, 3) };
    let plan = Plan { warm_up: Duration::from_secs_f64(warm_up), span: Duration::from_secs_f64(span), rounds, smoke };

    pin(std::process::id(), 1);
    let floor = Floor::measure(&plan);
    for (scenario, keys) in [("one hot key", 1), ("1,000 keys", if smoke { 10 } else { 1_000 })] {
        let mut service = Service::start();
        let strings = service.make_keys(keys);
        let measured = service.measure(&plan, &strings);
        report(scenario, &floor, &measured, &plan);
    }
}

struct Plan {
    warm_up: Duration,
    span: Duration,
    rounds: usize,
    smoke: bool,
}

struct Measured {
    cpu_us: f64,
    per_second: f64,
    load: f64,
    batch: f64,
}

fn report(scenario: &str, floor: &Floor, measured: &Measured, plan: &Plan) {
    let append = append_us(measured.batch, plan);
    let total = floor.handshake + floor.verify + floor.sign + floor.connection + append;
    println!("\n{scenario}");
    println!("  server CPU per durable enrollment   {:8.1} µs", measured.cpu_us);
    println!("  enrollments per second              {:8.0}", measured.per_second);
    println!("  load of the server's core           {:8.0} %", measured.load * 100.0);
    println!("  mean batch                          {:8.1}", measured.batch);
    println!(
        "  floor: handshake {:.1} + verify {:.1} + sign {:.1} + connection {:.1} + append {:.1} = {:.1} µs",
        floor.handshake, floor.verify, floor.sign, floor.connection, append, total
    );
    println!("  ratio to the floor                  {:8.2}", measured.cpu_us / total);
    if measured.load < LOAD_MIN && !plan.smoke {
        println!("  NOT VALID: the server's core was less than {:.0} % busy", LOAD_MIN * 100.0);
    }
}

// --- the service under test -----------------------------------------------------------------

struct Service {
    child: Child,
    dir: tempfile::TempDir,
    enroll: SocketAddr,
    metrics: SocketAddr,
}

impl Service {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ready = dir.path().join("ready.json");
        let child = Command::new(env!("CARGO_BIN_EXE_muster"))
            .args(["serve", "--cloud", "localhost:8443", "--enroll-listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log")).expect("a log file"))
            .spawn()
            .expect("the service starts");
        let started = Instant::now();
        let addresses: serde_json::Value = loop {
            if let Ok(text) = fs::read(&ready) {
                break serde_json::from_slice(&text).expect("the ready file is JSON");
            }
            assert!(started.elapsed() < Duration::from_secs(60), "the service did not become ready");
            std::thread::sleep(Duration::from_millis(20));
        };
        let address = |name: &str| addresses[name].as_str().expect("an address").parse().expect("an address");
        let service = Self { enroll: address("enroll"), metrics: address("metrics"), child, dir };
        pin(service.child.id(), 0);
        service
    }

    fn make_keys(&self, count: usize) -> Vec<String> {
        let muster = |args: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_muster"))
                .args(args)
                .arg("--data-dir")
                .arg(self.dir.path().join("data"))
                .output()
                .expect("the command line runs");
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
        };
        muster(&["group", "create", "--kind", "machine", "--name", "bench"]);
        (0..count)
            .map(|n| muster(&["key", "create", "--kind", "machine", "--group", "bench", "--name", &format!("k{n}")]))
            .collect()
    }

    fn measure(&mut self, plan: &Plan, keys: &[String]) -> Measured {
        let bodies = Arc::new(requests(keys));
        let done = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let pid = self.child.id();
        let (metrics, address) = (self.metrics, self.enroll);
        let mut rounds = runtime.block_on(async {
            let config = Arc::new(client_config());
            let devices: Vec<_> = (0..DEVICES)
                .map(|n| {
                    let (bodies, done, stop) = (Arc::clone(&bodies), Arc::clone(&done), Arc::clone(&stop));
                    tokio::spawn(device(n, address, Arc::clone(&config), bodies, done, stop))
                })
                .collect();
            tokio::time::sleep(plan.warm_up).await;
            let mut rounds = Vec::new();
            for _ in 0..plan.rounds {
                let (cpu, count, batches) = (cpu_seconds(pid), done.load(Ordering::Relaxed), batches(metrics).await);
                let started = Instant::now();
                tokio::time::sleep(plan.span).await;
                let (spent, wall) = (cpu_seconds(pid) - cpu, started.elapsed().as_secs_f64());
                let count = done.load(Ordering::Relaxed) - count;
                let after = crate::batches(metrics).await;
                assert!(count > 0, "nothing was enrolled");
                rounds.push(Measured {
                    cpu_us: spent * 1e6 / count as f64,
                    per_second: count as f64 / wall,
                    load: spent / wall,
                    batch: (after.0 - batches.0) / (after.1 - batches.1).max(1.0),
                });
            }
            stop.store(true, Ordering::Relaxed);
            for device in devices {
                device.await.expect("a device ends well");
            }
            rounds
        });
        rounds.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
        let spread: Vec<_> = rounds.iter().map(|round| format!("{:.1}", round.cpu_us)).collect();
        println!("\nrounds: {} µs", spread.join(", "));
        rounds.swap_remove(rounds.len() / 2)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sum and count of the commit batch sizes so far.
async fn batches(metrics: SocketAddr) -> (f64, f64) {
    let mut stream = TcpStream::connect(metrics).await.expect("the metrics listener");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n").await.expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    (value("muster_store_commit_batch_size_sum"), value("muster_store_commit_batch_size_count"))
}

// --- the devices ----------------------------------------------------------------------------

/// Request texts with a hole for the fingerprint: (before, after), one per key.
fn requests(keys: &[String]) -> Vec<(String, String)> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair");
    let csr = rcgen::CertificateParams::default().serialize_request(&pair).expect("a CSR").pem().expect("PEM");
    keys.iter()
        .map(|key| {
            let text =
                serde_json::json!({ "provisioningKey": key, "fingerprint": "@", "csr": csr, "hostname": "bench" });
            let text = text.to_string();
            let (before, after) = text.split_once('@').expect("the hole");
            (before.to_owned(), after.to_owned())
        })
        .collect()
}

async fn device(
    number: usize,
    address: SocketAddr,
    config: Arc<ClientConfig>,
    bodies: Arc<Vec<(String, String)>>,
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    let connector = tokio_rustls::TlsConnector::from(config);
    let name = ServerName::try_from("localhost").expect("a name");
    let mut buffer = vec![0; 16 * 1024];
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (before, after) = &bodies[(number + turn * DEVICES) % bodies.len()];
        let fingerprint = format!("bench-{number:04}-{turn:012}");
        let length = before.len() + fingerprint.len() + after.len();
        let request = format!(
            "POST /v1/enroll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{before}{fingerprint}{after}"
        );
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let mut stream = connector.connect(name.clone(), stream).await.expect("a handshake");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut filled = 0;
        loop {
            match stream.read(&mut buffer[filled..]).await.expect("an answer") {
                0 => break,
                read => filled += read,
            }
        }
        let answer = &buffer[..filled];
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
        done.fetch_add(1, Ordering::Relaxed);
    }
}

fn client_config() -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// Takes any certificate: checking it would cost the client more than the server's whole part.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

// --- the floor ------------------------------------------------------------------------------

/// CPU of each unavoidable part, µs.
struct Floor {
    handshake: f64,
    verify: f64,
    sign: f64,
    connection: f64,
}

impl Floor {
    fn measure(plan: &Plan) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        let message = [7; 240];
        let signature = pair.sign(&random, &message).expect("a signature");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref().to_vec());
        Self {
            handshake: handshake_us(plan),
            verify: median_us(plan, || public.verify(&message, signature.as_ref()).expect("it verifies")),
            sign: median_us(plan, || {
                let _ = std::hint::black_box(pair.sign(&random, &message));
            }),
            connection: connection_us(plan),
        }
    }
}

fn median_us(plan: &Plan, mut operation: impl FnMut()) -> f64 {
    let (rounds, per_round) = if plan.smoke { (3, 10) } else { (21, 500) };
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let started = Instant::now();
            (0..per_round).for_each(|_| operation());
            started.elapsed().as_secs_f64() * 1e6 / f64::from(per_round)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The server's half of a full handshake, without sockets.
fn handshake_us(plan: &Plan) -> f64 {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    server.send_tls13_tickets = 0;
    server.ignore_client_order = true;
    let (server, client) = (Arc::new(server), Arc::new(client_config()));
    let rounds = if plan.smoke { 20 } else { 4_000 };
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let mut spent = Duration::ZERO;
        let mut there = ClientConnection::new(Arc::clone(&client), ServerName::try_from("localhost").expect("a name"))
            .expect("a client");
        let mut wire = Vec::new();
        there.write_tls(&mut wire).expect("memory");
        let started = Instant::now();
        let mut here = ServerConnection::new(Arc::clone(&server)).expect("a server");
        feed(&mut here, &wire);
        let mut back = Vec::new();
        while here.wants_write() {
            here.write_tls(&mut back).expect("memory");
        }
        spent += started.elapsed();
        let mut rest = &back[..];
        while !rest.is_empty() {
            there.read_tls(&mut rest).expect("memory");
            there.process_new_packets().expect("the client agrees");
        }
        wire.clear();
        while there.wants_write() {
            there.write_tls(&mut wire).expect("memory");
        }
        let started = Instant::now();
        feed(&mut here, &wire);
        spent += started.elapsed();
        assert!(!here.is_handshaking());
        times.push(spent.as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn feed(connection: &mut ServerConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        connection.read_tls(&mut bytes).expect("memory");
        connection.process_new_packets().expect("the server agrees");
    }
}

/// CPU of a plain HTTP connection, hyper on one thread, bodies as an enrollment's.
fn connection_us(plan: &Plan) -> f64 {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .arg("--plain-server")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the plain server starts");
    let mut port = [0; 2];
    child.stdout.as_mut().expect("piped").read_exact(&mut port).expect("a port");
    let address = SocketAddr::from(([127, 0, 0, 1], u16::from_be_bytes(port)));
    pin(child.id(), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cost = runtime.block_on(async {
        let done = Arc::new(AtomicU64::new(0));
        for _ in 0..DEVICES {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let request = format!(
                    "POST / HTTP/1.1\r\nhost: l\r\ncontent-length: 900\r\nconnection: close\r\n\r\n{}",
                    "x".repeat(900)
                );
                let mut buffer = Vec::new();
                loop {
                    let mut stream = TcpStream::connect(address).await.expect("a connection");
                    stream.write_all(request.as_bytes()).await.expect("a request");
                    buffer.clear();
                    stream.read_to_end(&mut buffer).await.expect("an answer");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        tokio::time::sleep(plan.warm_up).await;
        let (cpu, count) = (cpu_seconds(child.id()), done.load(Ordering::Relaxed));
        tokio::time::sleep(plan.span).await;
        (cpu_seconds(child.id()) - cpu) * 1e6 / (done.load(Ordering::Relaxed) - count).max(1) as f64
    });
    let _ = child.kill();
    let _ = child.wait();
    cost
}

fn plain_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::io::stdout().write_all(&port.to_be_bytes()).and_then(|()| std::io::stdout().flush()).expect("a pipe");
        let body = Bytes::from(vec![b'x'; 3_000]);
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let body = body.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let body = body.clone();
                    async move {
                        request.into_body().collect().await?;
                        Ok::<_, hyper::Error>(hyper::Response::new(Full::new(body)))
                    }
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
            });
        }
    });
}

/// CPU of appending one record, with one fdatasync per `batch` of them.
fn append_us(batch: f64, plan: &Plan) -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut file =
        fs::OpenOptions::new().append(true).create(true).mode(0o600).open(dir.path().join("log")).expect("a file");
    let batch = batch.round().max(1.0) as usize;
    let records = vec![7; RECORD_BYTES * batch];
    let batches = if plan.smoke { 5 } else { 2_000 };
    let cpu = cpu_seconds(std::process::id());
    for _ in 0..batches {
        file.write_all(&records).expect("space on the disk");
        file.sync_data().expect("a disk");
    }
    (cpu_seconds(std::process::id()) - cpu) * 1e6 / (batches * batch) as f64
}

// --- the machine ----------------------------------------------------------------------------

/// utime + stime of a process, all its threads, in seconds. Resolution 10 ms.
fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).expect("the process runs");
    let after_name = text.rsplit(')').next().expect("the name ends");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

/// Best effort: without `taskset` the figures are only less steady.
fn pin(pid: u32, core: usize) {
    let pinned = Command::new("taskset")
        .args(["-a", "-c", "-p", &core.to_string(), &pid.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !pinned.is_ok_and(|status| status.success()) {
        eprintln!("could not pin process {pid} to core {core}");
    }
}
