//! Nodes of one service, and how a device meets them.

use std::fs;
use std::ops::{Deref, DerefMut};

use tokio::io::AsyncWriteExt as _;

use crate::support::device::{connect, http_request, read_answer};
use crate::support::{Answer, Device, Endpoint, Service, patiently};

/// Nodes that share a database and the master key, each with a data directory of its own.
pub struct Nodes(Vec<Service>);

impl Nodes {
    /// So many on this database, which is empty: the first sets the service up.
    pub fn start(url: &str, count: usize) -> Self {
        Self::start_with(url, count, "")
    }

    /// With these lines in the configuration file of each.
    pub fn start_with(url: &str, count: usize, config: &str) -> Self {
        let mut first = prepare(url, config);
        first.launch();
        let mut nodes = Self(vec![first]);
        for _ in 1..count {
            nodes.join_with(url, config);
        }
        nodes
    }

    /// One more, which finds the database under this address.
    pub fn join(&mut self, url: &str) {
        self.join_with(url, "");
    }

    fn join_with(&mut self, url: &str, config: &str) {
        let mut node = prepare(url, config);
        // Of these the node itself needs the key only; with the other file commands work on each of them.
        for file in ["master.key", "api-client.json"] {
            fs::copy(self[0].data_dir().join(file), node.data_dir().join(file)).expect("the first start left it");
        }
        node.launch();
        self.0.push(node);
    }

    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.iter().map(Service::endpoint).collect()
    }
}

impl Deref for Nodes {
    type Target = [Service];

    fn deref(&self) -> &[Service] {
        &self.0
    }
}

impl DerefMut for Nodes {
    fn deref_mut(&mut self) -> &mut [Service] {
        &mut self.0
    }
}

/// A node with its data directory, not launched yet.
pub fn prepare(url: &str, config: &str) -> Service {
    let node = Service::prepare("");
    fs::create_dir(node.data_dir()).expect("a data directory");
    let url_file = node.dir().join("database");
    fs::write(&url_file, url).expect("a file with the address");
    // Many nodes of many tests share one server.
    let store = format!("[store]\nengine = \"postgres\"\nurl_file = {url_file:?}\nconnections_max = 8\n");
    node.configure(&format!("{config}{store}"));
    node
}

/// What becomes of a request.
pub enum Met {
    Answer(Answer),
    /// It was not sent: no connection came about.
    Nobody,
    /// The connection broke before a whole answer was there.
    Cut,
}

/// One attempt of a device.
pub async fn attempt(device: &Device, key: &str, endpoint: &Endpoint) -> Met {
    let request = http_request(device.request(key).to_string().as_bytes());
    let asked = async {
        let Some(mut stream) = connect(endpoint).await else { return Met::Nobody };
        match stream.write_all(&request).await {
            Ok(()) => read_answer(&mut stream).await.map_or(Met::Cut, Met::Answer),
            Err(_) => Met::Cut,
        }
    };
    patiently("an answer", asked).await
}

/// The seconds after which a device that was put off is to come back.
///
/// # Panics
///
/// If the answer is anything but that.
pub fn retry_after(answer: &Answer) -> u64 {
    assert!(matches!(answer.status, 429 | 503), "{}", answer.body);
    let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.unwrap_or_else(|| panic!("{} says not when to come back: {}", answer.status, answer.head));
    assert!((1..=20).contains(&seconds), "{}", answer.head);
    seconds
}
