//! What nothing can be cheaper than: the bare operations of one enrollment.
//!
//! A process of its own does them on the servers' core. Meanwhile this one does handshakes on the clients' core,
//! as under load: two cores that share caches, or are one in truth, do not run as fast together as alone.

use std::fs;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::server::tls::ClientCertificates;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use crate::{Plan, clients, machine, middle, peers};

/// What is appended per enrollment: about what a certificate and the rows beside it come to.
const RECORD_BYTES: usize = 700;
/// What is signed: about the signed part of a CSR.
const SIGNED_BYTES: usize = 240;
/// Short enough that few are interrupted.
const OPERATIONS_AT_ONCE: u32 = 10;
/// A slow disk ends the appends early.
const APPEND_MAX: Duration = Duration::from_secs(2);

/// CPU of each operation, µs.
#[derive(Clone, Copy)]
pub struct Floor {
    /// The server's half of a full handshake without sockets, nothing asked of the client.
    pub handshake: f64,
    /// The same as the enrollment listener does it.
    pub handshake_asking: f64,
    pub verify: f64,
    pub sign: f64,
}

impl Floor {
    pub fn measure(plan: &Plan) -> Self {
        let text = beside_clients(&["--floor", if plan.is_smoke { "short" } else { "full" }]);
        let [handshake, handshake_asking, verify, sign] = numbers(&text);
        Self { handshake, handshake_asking, verify, sign }
    }

    pub fn middle(of: &[Self]) -> Self {
        let part = |part: fn(&Self) -> f64| middle(of.iter().map(part));
        Self {
            handshake: part(|floor| floor.handshake),
            handshake_asking: part(|floor| floor.handshake_asking),
            verify: part(|floor| floor.verify),
            sign: part(|floor| floor.sign),
        }
    }
}

/// One append of a record's size per enrollment, one `fdatasync` per batch.
#[derive(Clone, Copy)]
pub struct Append {
    /// CPU per record, µs.
    pub cpu_us: f64,
    /// From the write to the disk's word, per batch.
    pub sync_us: f64,
}

impl Append {
    pub fn measure(batch: f64, plan: &Plan) -> Self {
        let length = if plan.is_smoke { "short" } else { "full" };
        let text = beside_clients(&["--append", length, &batch.round().max(1.0).to_string()]);
        let [cpu_us, sync_us] = numbers(&text);
        Self { cpu_us, sync_us }
    }

    pub fn middle(of: &[Self]) -> Self {
        let part = |part: fn(&Self) -> f64| middle(of.iter().map(part));
        Self { cpu_us: part(|append| append.cpu_us), sync_us: part(|append| append.sync_us) }
    }
}

/// What this program says when it is started with these arguments on the servers' core.
fn beside_clients(arguments: &[&str]) -> String {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = machine::on_core(machine::SERVER_CORE, &program);
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("it starts");
    let neighbour = Handshakes::new(bare_config());
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            break status;
        }
        for _ in 0..OPERATIONS_AT_ONCE {
            black_box(neighbour.server_half());
        }
    };
    assert!(status.success(), "{arguments:?} ended with {status}");
    let mut text = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut text).expect("UTF-8");
    text
}

fn numbers<const COUNT: usize>(text: &str) -> [f64; COUNT] {
    let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("expected {COUNT} numbers, found {text:?}"))
}

/// The program of [`Floor::measure`].
pub fn run(length: &str) {
    let chunks = if length == "short" { 3 } else { 200 };
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).expect("a key");
    let message = [7; SIGNED_BYTES];
    let signature = pair.sign(&random, &message).expect("a signature");
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref().to_vec());
    let [bare, asking] = [bare_config(), peers::tls(ClientCertificates::Asked)].map(Handshakes::new);
    let many = |handshakes: &Handshakes| handshakes.server_half().as_secs_f64() * 1e6;
    // In turn, so that a slow moment strikes both alike.
    let (bare, asking): (Vec<_>, Vec<_>) =
        (0..chunks * OPERATIONS_AT_ONCE).map(|_| (many(&bare), many(&asking))).unzip();
    let verify = chunked_us(chunks, || public.verify(&message, signature.as_ref()).expect("it verifies"));
    let sign = chunked_us(chunks, || {
        black_box(pair.sign(&random, &message).expect("a signature"));
    });
    println!("{} {} {verify} {sign}", middle(bare), middle(asking));
}

/// Of one operation: the middle of so many chunks.
fn chunked_us(chunks: u32, mut operation: impl FnMut()) -> f64 {
    middle((0..chunks).map(|_| {
        let started = Instant::now();
        (0..OPERATIONS_AT_ONCE).for_each(|_| operation());
        started.elapsed().as_secs_f64() * 1e6 / f64::from(OPERATIONS_AT_ONCE)
    }))
}

/// The program of [`Append::measure`].
pub fn run_append(length: &str, batch: usize) {
    let most = if length == "short" { 5 } else { 1_000 };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut log = fs::OpenOptions::new();
    let mut log = log.append(true).create(true).mode(0o600).open(dir.path().join("log")).expect("a file");
    let records = vec![7; RECORD_BYTES * batch];
    let (cpu, started) = (machine::own_thread_cpu_seconds(), Instant::now());
    let mut batches = 0;
    while batches < most && started.elapsed() < APPEND_MAX {
        log.write_all(&records).expect("space on the disk");
        log.sync_data().expect("a disk");
        batches += 1;
    }
    let (cpu, took) = (machine::own_thread_cpu_seconds() - cpu, started.elapsed().as_secs_f64());
    let batches = f64::from(batches);
    println!("{} {}", cpu * 1e6 / batches / batch as f64, took * 1e6 / batches);
}

/// The least that a TLS 1.3 server with a P-256 certificate does: no client certificate, no tickets, the suite with
/// SHA-256.
fn bare_config() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(muster::tls_provider::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    config.send_tls13_tickets = 0;
    config.ignore_client_order = true;
    Arc::new(config)
}

/// Full handshakes in memory.
struct Handshakes {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Handshakes {
    fn new(server: Arc<ServerConfig>) -> Self {
        Self { server, client: Arc::new(clients::client_config()) }
    }

    /// Does one and tells what the server's half took.
    fn server_half(&self) -> Duration {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        let mut to_server = Vec::new();
        client.write_tls(&mut to_server).expect("memory");

        let started = Instant::now();
        let mut server = ServerConnection::new(Arc::clone(&self.server)).expect("a server");
        take(&mut server, &to_server);
        let mut to_client = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut to_client).expect("memory");
        }
        let first = started.elapsed();

        let mut rest = &to_client[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            client.process_new_packets().expect("the client agrees");
        }
        to_server.clear();
        while client.wants_write() {
            client.write_tls(&mut to_server).expect("memory");
        }

        let started = Instant::now();
        take(&mut server, &to_server);
        let second = started.elapsed();
        assert!(!server.is_handshaking());
        first + second
    }
}

fn take(server: &mut ServerConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        server.read_tls(&mut bytes).expect("memory");
        server.process_new_packets().expect("the server agrees");
    }
}
