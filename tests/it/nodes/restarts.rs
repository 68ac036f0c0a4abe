//! Nodes that are restarted one after the other while devices enroll: each device is enrolled in the end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::support::{Met, Nodes, attempt, retry_after};
use crate::support::postgres::Cluster;
use crate::support::{Device, Endpoint};

const KIND: &str = "machine";

/// Devices that enroll at once.
const LOAD: usize = 8;

/// Enrollments between two restarts.
const BETWEEN: usize = 40;

/// Between one device of a place and the next, and before the next node is tried.
const PAUSE: Duration = Duration::from_millis(50);

/// What devices know of the nodes, and what is known of the devices.
struct Round {
    key: String,
    doors: RwLock<Vec<Door>>,
    enrolled: AtomicUsize,
    is_over: AtomicBool,
}

#[derive(Clone)]
struct Door {
    endpoint: Endpoint,
    /// The node was told to end, or has not begun again.
    is_closing: bool,
}

/// A device, the node that enrolled it, and the certificate's serial number.
type Enrolled = (Device, usize, String);

impl Round {
    fn door(&self, node: usize) -> Door {
        self.doors.read().expect("no writer panicked")[node].clone()
    }

    fn set(&self, node: usize, endpoint: Endpoint, is_closing: bool) {
        self.doors.write().expect("no writer panicked")[node] = Door { endpoint, is_closing };
    }

    /// Waits for so many more enrollments.
    async fn goes_on(&self, more: usize) {
        let until = self.enrolled.load(Ordering::SeqCst) + more;
        while self.enrolled.load(Ordering::SeqCst) < until {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One device after the other until the round is over.
    async fn enroll(self: Arc<Self>, place: usize) -> Vec<Enrolled> {
        let mut enrolled = Vec::new();
        let mut node = place;
        while !self.is_over.load(Ordering::SeqCst) {
            let device = Device::new(&format!("place-{place}-{}", enrolled.len()));
            let serial = self.until_enrolled(&device, &mut node).await;
            enrolled.push((device, node, serial));
            self.enrolled.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(PAUSE).await;
        }
        enrolled
    }

    async fn until_enrolled(&self, device: &Device, node: &mut usize) -> String {
        loop {
            *node = (*node + 1) % self.doors.read().expect("no writer panicked").len();
            let door = self.door(*node);
            match attempt(device, &self.key, &door.endpoint).await {
                Met::Answer(answer) if answer.status == 200 => return answer.text("serialNumber"),
                Met::Answer(answer) => tokio::time::sleep(Duration::from_secs(retry_after(&answer))).await,
                Met::Nobody => {
                    let now = self.door(*node);
                    let is_away = now.is_closing || now.endpoint.address != door.endpoint.address;
                    assert!(is_away, "node {node} accepts nobody, and nobody told it to end");
                    tokio::time::sleep(PAUSE).await;
                }
                Met::Cut => panic!("node {node} accepted a request and gave no answer"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_no_device() {
    let database = Cluster::shared().database();
    let mut nodes = Nodes::start(&database.url(), 3);
    nodes[0].create_group(KIND, "HQ");
    let key = nodes[0].create_key(KIND, "HQ", "k", &[]);
    let doors = nodes.endpoints().into_iter().map(|endpoint| Door { endpoint, is_closing: false }).collect();
    let round =
        Round { key, doors: RwLock::new(doors), enrolled: AtomicUsize::new(0), is_over: AtomicBool::new(false) };
    let round = Arc::new(round);
    let places: Vec<_> = (0..LOAD).map(|place| tokio::spawn(Arc::clone(&round).enroll(place))).collect();
    for (n, node) in nodes.iter_mut().enumerate() {
        round.goes_on(BETWEEN).await;
        round.set(n, node.endpoint(), true);
        assert_eq!(node.stop().code(), Some(0));
        round.goes_on(BETWEEN).await;
        node.launch();
        round.set(n, node.endpoint(), false);
    }
    round.goes_on(BETWEEN).await;
    round.is_over.store(true, Ordering::SeqCst);

    let mut enrolled = 0;
    for place in places {
        for (device, node, serial) in place.await.expect("no device was lost or refused") {
            let again = device.enroll(&nodes[(node + 1) % 3].endpoint(), &round.key).await;
            assert_eq!((again.text("outcome"), again.text("serialNumber")), ("replayed".to_owned(), serial));
            enrolled += 1;
        }
    }
    assert_eq!(nodes[0].uses(KIND, "k"), enrolled);
    nodes[0].assert_healthy();
}
