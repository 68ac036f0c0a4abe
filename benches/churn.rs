//! What is left of devices that come and go. `cargo bench --bench churn`
//!
//! The real binary on the embedded store, driven over TLS from this process at full rate: a device
//! enrolls, comes back with another key pair and is re-enrolled, and when `CHURN_LIVE` components
//! (default 10,000) are there, the oldest 500 are deleted in one request of the management API, by as
//! many administrators as it takes. Each enrollment and re-enrollment is a connection and a full
//! handshake of its own.
//!
//! For `CHURN_SECONDS` (default 20) a line every 10 s, or 20 lines in all if that is more often: what was done since
//! the last, the service's resident size and open files, the entries of its CRL, and the bytes of its database and
//! write-ahead log. A CRL is in memory and names what was revoked until it would have ended anyway: `CHURN_LIFETIME`
//! makes that so many seconds, for the service to come to rest within the run; else it is days. Then the service is killed (`SIGKILL`) and started anew, which is timed, and `muster doctor`
//! looks through the store.
//!
//! By design something stays of each: the record of the component and of its certificates, the ledger's
//! row of each use, and the audit event of each deletion. The last line tells how many bytes that is.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

#[path = "../tests/it/support/device.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod device;
#[path = "../tests/it/support/service.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod service;

use device::{Device, http_request, send, tls_config};
use service::Service;

/// Devices at a time.
const DEVICES: u64 = 64;
/// Components in one request to delete, the most that the service takes.
const AT_ONCE: usize = 500;

fn main() {
    let is_short = std::env::args().any(|argument| argument == "--test");
    let or = |full, short| if is_short { short } else { full };
    let span = Duration::from_secs(setting("CHURN_SECONDS", or(20, 2)));
    let live = setting("CHURN_LIVE", or(10_000, 500)) as usize;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let begun = Instant::now();
    let mut service = Service::start();
    println!("first start: {:.0?}, with its keys and certificates to be made", begun.elapsed());
    service.create_group("machine", "churn");
    let key = service.create_key("machine", "churn", "churn", &["--allow-re-enrollment"]);
    if let seconds @ 1.. = setting("CHURN_LIFETIME", 0) {
        service.shorten_certificates(u32::try_from(seconds).expect("no more than a century"));
    }
    let (first, last) = runtime.block_on(Churn::of(&service, key, live).run(&service, span));

    service.kill();
    let log_bytes = bytes_of(&service, "muster.db-wal");
    let begun = Instant::now();
    service.launch();
    println!("start after a kill, with {:.1} MiB of log: {:.0?}", mib(log_bytes), begun.elapsed());
    service.assert_healthy();
    let (enrolled, renewed) = (last.enrolled - first.enrolled, last.re_enrolled - first.re_enrolled);
    let grown = (last.database_bytes - first.database_bytes) as f64;
    println!(
        "the database grew by {:.0} bytes for each of {enrolled} enrollments, with {renewed} re-enrollments and {} \
         deletions beside them",
        grown / enrolled as f64,
        last.deleted - first.deleted
    );
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

struct Churn {
    connector: TlsConnector,
    enroll: SocketAddr,
    admin: SocketAddr,
    bulk_delete: String,
    /// Of the API client that the first start made.
    credentials: String,
    key: String,
    /// Of two key pairs.
    csrs: [String; 2],
    live_max: usize,
    /// The oldest first.
    live: Mutex<VecDeque<String>>,
    is_over: AtomicBool,
    enrolled: AtomicU64,
    re_enrolled: AtomicU64,
    deleted: AtomicU64,
}

/// How it stands at one moment.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    enrolled: u64,
    re_enrolled: u64,
    deleted: u64,
    database_bytes: u64,
}

impl Churn {
    fn of(service: &Service, key: String, live_max: usize) -> Arc<Self> {
        let client = service.api_client();
        let member = |name: &str| client[name].as_str().expect("a string").to_owned();
        let customer = member("customerId");
        let anchor = service.trust_anchor_pem();
        Arc::new(Self {
            connector: TlsConnector::from(Arc::new(tls_config(&anchor))),
            enroll: service.enroll,
            admin: service.admin,
            bulk_delete: format!("/mgmtconfig/v1/admin/customers/{customer}/machine/bulkDelete"),
            credentials: format!("client_id={}&client_secret={}", member("clientId"), member("clientSecret")),
            key,
            csrs: [Device::new("first").csr(), Device::new("second").csr()],
            live_max,
            live: Mutex::default(),
            is_over: AtomicBool::new(false),
            enrolled: AtomicU64::new(0),
            re_enrolled: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
        })
    }

    /// The first and the last sample.
    async fn run(self: Arc<Self>, service: &Service, span: Duration) -> (Sample, Sample) {
        let devices: Vec<_> = (0..DEVICES).map(|n| tokio::spawn(Arc::clone(&self).devices(n))).collect();
        println!(
            "{:>6} {:>9} {:>12} {:>9} {:>6} {:>9} {:>9} {:>6} {:>9} {:>8}",
            "s", "enrolled", "re-enrolled", "deleted", "live", "on CRL", "RSS MiB", "files", "database", "log MiB"
        );
        let (begun, every) = (Instant::now(), (span / 20).min(Duration::from_secs(10)));
        let first = self.sample(service);
        let mut last = first;
        while begun.elapsed() < span {
            tokio::time::sleep(every).await;
            let now = self.sample(service);
            let per_second =
                |count: fn(&Sample) -> u64| (count(&now) - count(&last)) as f64 / (now.at - last.at).as_secs_f64();
            println!(
                "{:>6.0} {:>7.0}/s {:>10.0}/s {:>7.0}/s {:>6} {:>9} {:>9.1} {:>6} {:>5.0} MiB {:>8.1}",
                (now.at - begun).as_secs_f64(),
                per_second(|sample| sample.enrolled),
                per_second(|sample| sample.re_enrolled),
                per_second(|sample| sample.deleted),
                self.live().len(),
                service.metric("muster_crl_entries"),
                resident_kib(service.pid()) as f64 / 1_024.0,
                open_files(service.pid()),
                mib(now.database_bytes),
                mib(bytes_of(service, "muster.db-wal")),
            );
            last = now;
        }
        self.is_over.store(true, Ordering::Relaxed);
        for device in devices {
            device.await.expect("each device is served");
        }
        (first, self.sample(service))
    }

    fn sample(&self, service: &Service) -> Sample {
        Sample {
            at: Instant::now(),
            enrolled: self.enrolled.load(Ordering::Relaxed),
            re_enrolled: self.re_enrolled.load(Ordering::Relaxed),
            deleted: self.deleted.load(Ordering::Relaxed),
            database_bytes: bytes_of(service, "muster.db"),
        }
    }

    /// One device after the other, and the deletions that become due.
    async fn devices(self: Arc<Self>, number: u64) {
        let sign_in = send(&self.connector, self.admin, &form("/signin", &self.credentials)).await;
        assert_eq!(sign_in.status, 200, "{}", sign_in.body);
        let token = sign_in.text("access_token");
        for turn in 0_u64.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let fingerprint = format!("churn-{number:04}-{turn:012}");
            let component = self.enroll(&fingerprint, 0, "enrolled").await;
            self.enrolled.fetch_add(1, Ordering::Relaxed);
            assert_eq!(self.enroll(&fingerprint, 1, "re-enrolled").await, component);
            self.re_enrolled.fetch_add(1, Ordering::Relaxed);
            let due: Vec<String> = {
                let mut live = self.live();
                live.push_back(component);
                let due = if live.len() >= self.live_max + AT_ONCE { AT_ONCE } else { 0 };
                live.drain(..due).collect()
            };
            if !due.is_empty() {
                let body = json!({ "ids": due }).to_string();
                let path = &self.bulk_delete;
                let head = format!("POST {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\n");
                let answer = send(&self.connector, self.admin, &with_body(&head, "application/json", &body)).await;
                assert_eq!(answer.status, 204, "{}", answer.body);
                self.deleted.fetch_add(AT_ONCE as u64, Ordering::Relaxed);
            }
        }
    }

    /// The component's id.
    async fn enroll(&self, fingerprint: &str, key_pair: usize, outcome: &str) -> String {
        let body = json!({
            "provisioningKey": self.key, "fingerprint": fingerprint, "csr": self.csrs[key_pair], "hostname": "churn",
        });
        let answer = send(&self.connector, self.enroll, &http_request(body.to_string().as_bytes())).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer: Value = answer.json();
        assert_eq!(answer["outcome"], outcome);
        answer["componentId"].as_str().expect("an id is a string").to_owned()
    }

    fn live(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn form(path: &str, body: &str) -> Vec<u8> {
    with_body(&format!("POST {path} HTTP/1.1\r\n"), "application/x-www-form-urlencoded", body)
}

fn with_body(head: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{head}host: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n\
         {body}"
    )
    .into_bytes()
}

fn bytes_of(service: &Service, file: &str) -> u64 {
    fs::metadata(service.data_dir().join(file)).map_or(0, |metadata| metadata.len())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the service runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the field is there");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the service runs").count()
}
