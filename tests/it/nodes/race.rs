//! Devices that race for the uses of one key, over all nodes, each until it has a final answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::support::{Met, Nodes, attempt, retry_after};
use crate::support::postgres::connect;
use crate::support::{Device, Endpoint, Service};

pub const KIND: &str = "app-connector";
pub const KEY: &str = "race";

/// Before the next node is tried by who met nobody, or was cut off.
const PAUSE: Duration = Duration::from_millis(20);

/// Devices that are connected at once: a process may have but so many files open.
const CONNECTED_MAX: usize = 128;

/// A race that is under way.
pub struct Race {
    uses: usize,
    course: Arc<Course>,
    racing: Vec<JoinHandle<Racer>>,
}

/// What racers share.
struct Course {
    key: String,
    endpoints: Vec<Endpoint>,
    connections: Semaphore,
    /// Devices with a final answer.
    answered: AtomicUsize,
    /// Requests that had begun and got no whole answer.
    cut: AtomicUsize,
    /// Requests that were told to come back.
    put_off: AtomicUsize,
}

/// What became of a race.
pub struct Finish {
    course: Arc<Course>,
    racers: Vec<Racer>,
}

/// A device with its final answer.
struct Racer {
    device: Device,
    /// The node that gave it.
    node: usize,
    /// Of its certificate; `None`: the key was exhausted.
    serial: Option<String>,
}

/// How many race, and for how many uses. `DEVICES=…` for another number than that of an everyday run.
pub fn field() -> (usize, usize) {
    let devices = std::env::var("DEVICES").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    (devices, devices * 35 / 100)
}

impl Race {
    /// So many devices set out for a key with so many uses, each to a node of its own choice first.
    pub fn begin(nodes: &Nodes, (devices, uses): (usize, usize)) -> Self {
        nodes[0].create_group(KIND, "HQ");
        let key = nodes[0].create_key(KIND, "HQ", KEY, &["--max-uses", &uses.to_string()]);
        let course = Arc::new(Course {
            key,
            endpoints: nodes.endpoints(),
            connections: Semaphore::new(CONNECTED_MAX),
            answered: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
            put_off: AtomicUsize::new(0),
        });
        let racing = (0..devices).map(|n| tokio::spawn(Arc::clone(&course).run(n))).collect();
        Self { uses, course, racing }
    }

    /// Waits until a third of the uses is taken: requests are open then, and as many devices are still to be enrolled.
    pub async fn is_under_way(&self) {
        while self.course.answered.load(Ordering::SeqCst) < self.uses / 3 {
            tokio::task::yield_now().await;
        }
        let answered = self.course.answered.load(Ordering::SeqCst);
        assert!(answered < self.uses, "{answered} devices were answered at once");
    }

    /// Waits for all.
    pub async fn finish(self) -> Finish {
        let mut racers = Vec::new();
        for racer in self.racing {
            racers.push(racer.await.expect("a device ends well"));
        }
        Finish { course: self.course, racers }
    }
}

impl Course {
    async fn run(self: Arc<Self>, n: usize) -> Racer {
        let device = Device::new(&format!("{KEY}-{n}"));
        let mut node = n % self.endpoints.len();
        let serial = loop {
            match self.attempt(&device, node).await {
                Met::Answer(answer) if answer.status == 200 => break Some(answer.text("serialNumber")),
                Met::Answer(answer) if answer.status == 403 => {
                    assert_eq!(answer.code(), "key-exhausted", "{}", answer.body);
                    break None;
                }
                Met::Answer(answer) => {
                    self.put_off.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_secs(retry_after(&answer))).await;
                }
                Met::Cut => _ = self.cut.fetch_add(1, Ordering::SeqCst),
                Met::Nobody => tokio::time::sleep(PAUSE).await,
            }
            node = (node + 1) % self.endpoints.len();
        };
        self.answered.fetch_add(1, Ordering::SeqCst);
        Racer { device, node, serial }
    }

    async fn attempt(&self, device: &Device, node: usize) -> Met {
        let _connection = self.connections.acquire().await.expect("it is never closed");
        attempt(device, &self.key, &self.endpoints[node]).await
    }
}

impl Finish {
    /// Requests that had begun and got no whole answer.
    pub fn cut(&self) -> usize {
        self.course.cut.load(Ordering::SeqCst)
    }

    /// Requests that were told to come back.
    pub fn put_off(&self) -> usize {
        self.course.put_off.load(Ordering::SeqCst)
    }

    /// Exactly `uses` devices were enrolled: by what they were answered, by the key's count, its ledger, the
    /// components and the certificates; and another node gives each of them its certificate again.
    pub async fn assert_exact(self, nodes: &Nodes, url: &str, uses: usize) {
        let devices = self.racers.len();
        let (mut answered, mut again) = (BTreeSet::new(), Vec::new());
        for Racer { device, node, serial } in self.racers {
            let Some(serial) = serial else { continue };
            assert!(answered.insert(serial.clone()), "two devices have one certificate");
            let course = Arc::clone(&self.course);
            let elsewhere = (node + 1) % nodes.len();
            let endpoint = nodes[elsewhere].endpoint();
            again.push(tokio::spawn(async move {
                let _connection = course.connections.acquire().await.expect("it is never closed");
                let answer = device.enroll(&endpoint, &course.key).await;
                assert_eq!(answer.status, 200, "node {elsewhere}: {}", answer.body);
                let expected = ("replayed".to_owned(), serial);
                assert_eq!((answer.text("outcome"), answer.text("serialNumber")), expected, "node {elsewhere}");
            }));
        }
        assert_eq!((answered.len(), devices - answered.len()), (uses, devices - uses));
        for replayed in again {
            replayed.await.expect("an answered enrollment is there");
        }

        for node in nodes.iter() {
            assert_eq!(node.uses(KIND, KEY), uses as u64);
        }
        let node = nodes.last().expect("there are some");
        let ledger = list(node, &["key", "uses", "--kind", KIND, KEY]);
        assert_eq!(members(&ledger, "certificateSerialNumber"), answered, "the ledger");
        assert_eq!(ledger.len(), uses, "the ledger");
        let components = list(node, &["component", "list", "--kind", KIND]);
        assert_eq!(members(&components, "issuedCertId"), answered, "the components");
        assert_eq!(members(&components, "name"), (1..=uses).map(|n| format!("{KEY}-{n}")).collect());
        assert_eq!(certificates(url).await, answered);
        node.assert_healthy();
    }
}

/// What a command lists.
fn list(node: &Service, command: &[&str]) -> Vec<Value> {
    let text = node.cli_ok(&[command, &["--json"]].concat());
    serde_json::from_str(&text).expect("a JSON array")
}

fn members(listed: &[Value], name: &str) -> BTreeSet<String> {
    listed.iter().map(|row| row[name].as_str().expect("a string").to_owned()).collect()
}

/// The serial numbers of all certificates that there are, those that nobody was answered included.
async fn certificates(url: &str) -> BTreeSet<String> {
    let client = connect(url).await.expect("a connection");
    let rows = client.query("SELECT encode(serial, 'hex') FROM certificates", &[]).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}
