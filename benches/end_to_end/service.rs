//! The program that is measured.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::batches::Batches;
use crate::clients::{Tls, exchange, post};
use crate::machine;

const START_MAX: Duration = Duration::from_secs(60);
/// Of the log, shown when a measurement fails.
const LOG_LINES: usize = 5;

/// `muster serve` on the servers' core, with a store of its own, log lines at its default level into a file. Killed
/// when it is dropped.
pub struct Service {
    child: Child,
    dir: tempfile::TempDir,
    pub enroll: SocketAddr,
    admin: SocketAddr,
    metrics: SocketAddr,
}

impl Service {
    pub fn start(program: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (ready, log) = (dir.path().join("ready.json"), dir.path().join("log"));
        let mut child = machine::on_core(machine::SERVER_CORE, program)
            .args(["serve", "--cloud", "localhost:8443", "--enroll-listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log file"))
            .spawn()
            .expect("the service starts");
        let log = || fs::read_to_string(&log).unwrap_or_default();
        let started = Instant::now();
        while !ready.exists() {
            if let Some(status) = child.try_wait().expect("the process can be asked") {
                panic!("{} ended at its start with {status}:\n{}", program.display(), log());
            }
            assert!(started.elapsed() < START_MAX, "{} did not become ready:\n{}", program.display(), log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let addresses = json_file(&ready);
        let address = |name: &str| text(&addresses, name).parse().expect("an address");
        Self { enroll: address("enroll"), admin: address("admin"), metrics: address("metrics"), child, dir }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes a group with so many keys over the management API; their strings.
    pub async fn make_keys(&self, count: usize) -> Vec<String> {
        let management = Management::sign_in(self.admin, &self.dir.path().join("data")).await;
        let group = management.make("machineGroup", &json!({ "name": "bench" })).await;
        let mut keys = Vec::with_capacity(count);
        for number in 0..count {
            let key = json!({ "name": format!("key {number}"), "zcomponentId": text(&group, "id") });
            let key = management.make("associationType/MACHINE_GRP/provisioningKey", &key).await;
            keys.push(text(&key, "provisioningKey").to_owned());
        }
        keys
    }

    /// Those that its store has committed so far.
    pub async fn batches(&self) -> Batches {
        let stream = TcpStream::connect(self.metrics).await.expect("the metrics listener");
        let answer = exchange(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        Batches::from_metrics(&String::from_utf8(answer.expect("an answer")).expect("UTF-8"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let state = self.child.try_wait();
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let begin = log.lines().count().saturating_sub(LOG_LINES);
            let last: Vec<&str> = log.lines().skip(begin).collect();
            eprintln!("the service ({state:?}) said last:\n{}", last.join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The API client of the first start, signed in.
struct Management {
    address: SocketAddr,
    tls: Tls,
    customer: String,
    authorization: String,
}

impl Management {
    async fn sign_in(address: SocketAddr, data_dir: &Path) -> Self {
        let client = json_file(&data_dir.join("api-client.json"));
        let customer = text(&client, "customerId").to_owned();
        let mut management = Self { address, tls: Tls::new(), customer, authorization: String::new() };
        let credentials =
            format!("client_id={}&client_secret={}", text(&client, "clientId"), text(&client, "clientSecret"));
        let token = management.post("/signin", &credentials).await;
        management.authorization = format!("authorization: Bearer {}\r\n", text(&token, "access_token"));
        management
    }

    /// Makes one of what is below the customer.
    async fn make(&self, path: &str, members: &Value) -> Value {
        self.post(&format!("/mgmtconfig/v1/admin/customers/{}/{path}", self.customer), &members.to_string()).await
    }

    async fn post(&self, path: &str, body: &str) -> Value {
        let stream = TcpStream::connect(self.address).await.expect("the management listener");
        let stream = self.tls.connect(stream).await.expect("a handshake");
        let answer = exchange(stream, &post(path, &self.authorization, body)).await.expect("an answer");
        let answer = String::from_utf8(answer).expect("UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 20"), "{path}: {answer}");
        serde_json::from_str(body).expect("JSON")
    }
}

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the file is there")).expect("the file is JSON")
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no text {member:?} in {value}"))
}
