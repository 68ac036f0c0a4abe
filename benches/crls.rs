//! What a large CRL costs, and what enrollments notice of it. `cargo bench --bench crls`
//!
//! The real binary on the embedded store, with `CRLS_REVOKED` (default 100,000) revoked certificates below the signing
//! certificate that signs for everybody here. Devices enroll over TLS from this process, `CRLS_RATE` (default 200) a
//! second whatever becomes of those before, each on a connection and with a handshake of its own; its latency counts from
//! the moment at which it was due.
//!
//! Spans of `CRLS_SPAN_SECONDS` (default 20) follow each other in pairs, `CRLS_PAIRS` (default 3) times: in one nothing
//! is revoked; in the other an administrator revokes ten components a second, so that a CRL is always due and the
//! service makes one as often as it lets itself (the pause after each is ten times what it took, two seconds at
//! least). So both see the same machine. What a CRL takes, from the first read to the end of its commit, is the service's
//! own metric.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

#[path = "../tests/it/support/device.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod device;
#[path = "../tests/it/support/revoked.rs"]
mod revoked;
#[path = "../tests/it/support/service.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod service;

use device::{Answer, Device, http_request, send, tls_config};
use service::Service;

/// Between two revocations.
const REVOKED_EVERY: Duration = Duration::from_millis(100);

fn main() {
    let is_short = std::env::args().any(|argument| argument == "--test");
    let or = |full, short| if is_short { short } else { full };
    let entries = setting("CRLS_REVOKED", or(100_000, 10_000)) as u32;
    let rate = setting("CRLS_RATE", or(200, 20)) as u32;
    let span = Duration::from_secs(setting("CRLS_SPAN_SECONDS", or(20, 3)));
    let pairs = setting("CRLS_PAIRS", or(3, 1));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");

    let mut service = Service::start();
    service.create_group("machine", "crls");
    let key = service.create_key("machine", "crls", "crls", &[]);
    let first = runtime.block_on(Device::new("first").enroll(&service.endpoint(), &key));
    assert_eq!(first.status, 200, "{}", first.body);
    let signer = service.cli_ok(&["signing-cert", "show", "--json", "Client"]);
    let signer: Value = serde_json::from_str(&signer).expect("JSON");
    let signer = signer["id"].as_str().expect("an id").to_owned();
    assert!(service.stop().success());
    revoked::add_revoked(&service.data_dir(), &signer, entries);
    let begun = Instant::now();
    service.launch();
    let started = begun.elapsed();
    let crl = runtime.block_on(fetch(&service, &signer));
    println!("{entries} revoked: a start that makes the CRL takes {started:.0?}, the CRL has {} bytes", crl);

    let load = runtime.block_on(Load::of(&service, key));
    runtime.block_on(load.enroll(rate, Duration::from_secs(2)));
    println!("{rate} enrollments a second, spans of {span:?}");
    println!(
        "{:<20} {:>11} {:>8} {:>8} {:>8} {:>6} {:>12}",
        "", "enrollments", "p50", "p99", "max", "CRLs", "each took"
    );
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..pairs {
        for (is_busy, all) in [(false, &mut quiet), (true, &mut busy)] {
            let before = Builds::of(&service);
            let took = runtime.block_on(load.span(rate, span, is_busy));
            report(if is_busy { "revoking" } else { "not revoking" }, &took, Some(Builds::of(&service).since(&before)));
            all.extend(took);
        }
    }
    report("not revoking, all", &quiet, None);
    report("revoking, all", &busy, None);
    service.assert_healthy();
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn report(what: &str, took: &[Duration], builds: Option<Builds>) {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let (count, each) = builds.map_or((String::new(), String::new()), |builds| {
        let each =
            if builds.count > 0.0 { format!("{:.0} ms", builds.seconds / builds.count * 1e3) } else { "–".into() };
        (format!("{:.0}", builds.count), each)
    });
    println!(
        "{what:<20} {:>11} {:>5.1} ms {:>5.1} ms {:>5.1} ms {count:>6} {each:>12}",
        sorted.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// CRLs that the service made, and how long it was at them.
struct Builds {
    count: f64,
    seconds: f64,
}

impl Builds {
    fn of(service: &Service) -> Self {
        let metric = |part: &str| service.metric(&format!("muster_crl_build_duration_seconds_{part}"));
        Self { count: metric("count"), seconds: metric("sum") }
    }

    fn since(&self, before: &Self) -> Self {
        Self { count: self.count - before.count, seconds: self.seconds - before.seconds }
    }
}

/// Bytes of the CRL.
async fn fetch(service: &Service, signer: &str) -> usize {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = device::connect(&service.endpoint()).await.expect("a connection");
    let request = format!("GET /crl/{signer}.crl HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..200]));
    answer.len()
}

struct Load {
    connector: TlsConnector,
    enroll: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    /// Below it are the components.
    base: String,
    token: String,
    key: String,
    csr: String,
    /// To be revoked.
    components: Mutex<Vec<String>>,
}

impl Load {
    async fn of(service: &Service, key: String) -> Arc<Self> {
        let client = service.api_client();
        let member = |name: &str| client[name].as_str().expect("a string").to_owned();
        let mut load = Self {
            connector: TlsConnector::from(Arc::new(tls_config(&service.trust_anchor_pem()))),
            enroll: service.enroll,
            admin: service.admin,
            base: format!("/mgmtconfig/v1/admin/customers/{}/machine", member("customerId")),
            token: String::new(),
            key,
            csr: Device::new("").csr(),
            components: Mutex::default(),
        };
        let form = format!("client_id={}&client_secret={}", member("clientId"), member("clientSecret"));
        let signed_in = load.manage("/signin", "application/x-www-form-urlencoded", &form).await;
        load.token = signed_in.text("access_token");
        Arc::new(load)
    }

    /// Latencies of the enrollments that were due in the span.
    async fn span(self: &Arc<Self>, rate: u32, span: Duration, is_busy: bool) -> Vec<Duration> {
        let is_over = Arc::new(AtomicBool::new(!is_busy));
        let (load, over) = (Arc::clone(self), Arc::clone(&is_over));
        let revoking = tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let component = load.components.lock().await.pop();
                if let Some(component) = component {
                    let path = format!("{}/{component}/revoke", load.base);
                    let answer = load.manage(&path, "application/json", "{}").await;
                    assert_eq!(answer.status, 204, "{}", answer.body);
                }
                tokio::time::sleep(REVOKED_EVERY).await;
            }
        });
        let took = self.enroll(rate, span).await;
        is_over.store(true, Ordering::Relaxed);
        revoking.await.expect("revocations");
        took
    }

    async fn enroll(self: &Arc<Self>, rate: u32, span: Duration) -> Vec<Duration> {
        let mut enrollments = JoinSet::new();
        let begun = tokio::time::Instant::now();
        for number in 0..(span.as_secs_f64() * f64::from(rate)) as u32 {
            let due = begun + number * Duration::from_secs(1) / rate;
            tokio::time::sleep_until(due).await;
            let load = Arc::clone(self);
            enrollments.spawn(async move {
                load.enroll_one().await;
                due.elapsed()
            });
        }
        enrollments.join_all().await
    }

    async fn enroll_one(&self) {
        let request = json!({ "provisioningKey": self.key, "fingerprint": fingerprint(), "csr": self.csr });
        let answer = send(&self.connector, self.enroll, &http_request(request.to_string().as_bytes())).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.components.lock().await.push(answer.text("componentId"));
    }

    async fn manage(&self, path: &str, content_type: &str, body: &str) -> Answer {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: {content_type}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.token,
            body.len()
        );
        send(&self.connector, self.admin, request.as_bytes()).await
    }
}

/// One that no device had before.
fn fingerprint() -> String {
    muster::secret::random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}
