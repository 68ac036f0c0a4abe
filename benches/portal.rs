//! What the first page of the key list costs with ten keys and with many. `cargo bench --bench portal`
//!
//! Method. Two real services serve on loopback, one with 10 keys and one with `PORTAL_KEYS` (default 100,000) in
//! one group. An administrator signs in to each as a browser does and asks over one TLS connection for the list of
//! keys: from the request to the last byte of the page, so with the session, the counts of the tabs, the page of
//! rows, the template and the network. The two are asked in turn, so that what else the machine does strikes both
//! alike; told is the middle of `PORTAL_ROUNDS` (default 300, at most 999) and the ratio. `--test` only shows that it runs.
//!
//! Keys go through the store's contract while the service is stopped: no key string was ever made for them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use muster::clock::SystemClock;
use muster::domain::audit::AuditKey;
use muster::domain::{Group, Kind, ProvisioningKey};
use muster::id::CustomerId;
use muster::store::embedded::EmbeddedStore;
use muster::store::{BatchSettings, Change, CommitObserver, ListQuery, Store as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

#[path = "../tests/it/support/rows.rs"]
#[expect(dead_code, reason = "the tests' rows; not all of them are used here")]
mod rows;

/// Far from the ids that the service gives.
const FIRST_KEY: u64 = 1 << 40;
const FEW: u64 = 10;
const KIND: Kind = Kind::AppConnector;

/// What is asked for, and what stands in the address.
const VIEWS: [(&str, &str); 4] = [
    ("first page, 10 rows", "?rows=10"),
    ("first page, 25 rows", ""),
    ("first page by uses", "?rows=10&sort=-uses"),
    ("filtered by name", "?rows=10&name=key+7"),
];

fn main() {
    let is_short = std::env::args().any(|argument| argument == "--test");
    let or = |full, short| if is_short { short } else { full };
    let many = setting("PORTAL_KEYS", or(100_000, 500));
    let rounds = setting("PORTAL_ROUNDS", or(300, 3));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (mut few, mut many) = (Browser::with_keys(FEW).await, Browser::with_keys(many).await);
        println!("{:<24} {:>12} {:>12} {:>8} {:>10}", "", few.name(), many.name(), "ratio", "page");
        for (name, query) in VIEWS {
            let mut took = [Vec::new(), Vec::new()];
            let mut bytes = 0;
            few.connect().await;
            many.connect().await;
            for _ in 0..rounds {
                for (browser, took) in [&mut few, &mut many].into_iter().zip(&mut took) {
                    let begun = Instant::now();
                    bytes = browser.list_keys(query).await;
                    took.push(begun.elapsed());
                }
            }
            let [few, many] = took.map(middle);
            let ratio = many.as_secs_f64() / few.as_secs_f64();
            let [few, many] = [few, many].map(|took| format!("{:.2} ms", took.as_secs_f64() * 1e3));
            println!("{name:<24} {few:>12} {many:>12} {ratio:>8.2} {:>7} kB", bytes / 1_000);
        }
    });
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn middle(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() / 2]
}

// --- the service ----------------------------------------------------------------------------

/// The real binary. Killed when it is dropped, which its store survives.
struct Process {
    child: Child,
    admin: SocketAddr,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let ready = dir.join("ready.json");
        let _ = fs::remove_file(&ready);
        let mut child = muster(dir)
            .args(["serve", "--enroll-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--metrics-listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("log")).expect("a log file"))
            .spawn()
            .expect("the service starts");
        let started = Instant::now();
        while !ready.exists() {
            assert!(started.elapsed() < Duration::from_secs(60), "the service did not become ready");
            assert!(child.try_wait().expect("a state").is_none(), "{}", fs::read_to_string(dir.join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        let admin = json(&ready)["admin"].as_str().expect("an address").parse().expect("an address");
        Self { child, admin }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn muster(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.env("MUSTER_DATA_DIR", dir.join("data"));
    command
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).expect("the file is there")).expect("the file is JSON")
}

struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: Duration) {}
}

async fn fill(data_dir: &Path, customer: CustomerId, keys: u64) {
    let store = EmbeddedStore::open(data_dir, Arc::new(SystemClock), BatchSettings::default(), Arc::new(Unobserved));
    let store = store.expect("the store opens");
    let groups = store.list_groups(customer, KIND, &ListQuery::first(1)).await.expect("the group");
    let group: &Group = &groups.rows[0];
    let audit_key = AuditKey::new(&[1; 32]);
    let all: Vec<_> = (0..keys)
        .map(|number| rows::key(FIRST_KEY + number, group, &format!("key {number}"), Some(10)))
        .map(|key| Change::InsertKey(ProvisioningKey { sealed_string: None, ..key }))
        .collect();
    for some in all.chunks(10_000) {
        store.commit_changes(some.to_vec(), vec![], &audit_key).await.expect("the keys");
    }
    store.close().await;
}

// --- the administrator ----------------------------------------------------------------------

/// Signed in, on a connection that is kept.
struct Browser {
    service: Process,
    dir: tempfile::TempDir,
    keys: u64,
    sender: SendRequest<Full<Bytes>>,
    cookie: String,
    list: String,
}

impl Browser {
    /// Of a service of its own that was started once to become one, and again with its keys.
    async fn with_keys(keys: u64) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = Process::start(dir.path());
        let made = muster(dir.path()).args(["group", "create", "--kind", KIND.as_str(), "--name", "bench"]).output();
        let made = made.expect("the command line runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        drop(first);
        let start = json(&dir.path().join("data/first-start.json"));
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let customer = text(&start["customerId"]);
        fill(&dir.path().join("data"), customer.parse().expect("an id"), keys).await;

        let service = Process::start(dir.path());
        let sender = connect(service.admin, &dir.path().join("data/tls-trust-anchor.pem")).await;
        let list = format!("/c/{customer}/{KIND}/keys");
        let mut browser = Self { service, dir, keys, sender, cookie: String::new(), list };
        browser.sign_in(&text(&start["administrator"]["username"]), &text(&start["administrator"]["password"])).await;
        browser
    }

    fn name(&self) -> String {
        format!("{} keys", self.keys)
    }

    /// Anew: a connection is closed after 1,000 requests, or 10 seconds without one.
    async fn connect(&mut self) {
        self.sender = connect(self.service.admin, &self.dir.path().join("data/tls-trust-anchor.pem")).await;
    }

    async fn sign_in(&mut self, username: &str, password: &str) {
        let (headers, page) = self.ask(self.request("GET", "/sign-in", None), StatusCode::OK).await;
        self.cookie = cookies(&headers);
        let page = String::from_utf8(page.to_vec()).expect("UTF-8");
        let token = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let token = token.expect("a form with a token");
        let form = format!("csrf={token}&next=%2F&username={username}&password={password}");
        let request = self.request("POST", "/sign-in", Some(form));
        let (headers, _) = self.ask(request, StatusCode::SEE_OTHER).await;
        self.cookie = cookies(&headers);
    }

    /// How many bytes the page has.
    async fn list_keys(&mut self, query: &str) -> usize {
        let request = self.request("GET", &format!("{}{query}", self.list), None);
        let (_, page) = self.ask(request, StatusCode::OK).await;
        page.len()
    }

    fn request(&self, method: &str, path: &str, form: Option<String>) -> Request<Full<Bytes>> {
        let host = format!("localhost:{}", self.service.admin.port());
        Request::builder()
            .method(method)
            .uri(path)
            .header(ORIGIN, format!("https://{host}"))
            .header(HOST, host)
            .header(COOKIE, &self.cookie)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form.unwrap_or_default()))
            .expect("a request")
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>, expected: StatusCode) -> (HeaderMap, Bytes) {
        self.sender.ready().await.expect("the connection is kept");
        let (head, body) = self.sender.send_request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("the whole page").to_bytes();
        assert_eq!(head.status, expected, "{}", String::from_utf8_lossy(&body));
        (head.headers, body)
    }
}

async fn connect(admin: SocketAddr, anchor: &Path) -> SendRequest<Full<Bytes>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(anchor).expect("a certificate")).expect("an anchor");
    let config = rustls::ClientConfig::builder_with_provider(muster::tls_provider::provider())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(admin).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    sender
}

/// Those that an answer sets, as a browser sends them.
fn cookies(headers: &HeaderMap) -> String {
    let set = headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    set.collect::<Vec<_>>().join("; ")
}
