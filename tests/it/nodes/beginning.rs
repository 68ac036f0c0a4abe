//! Nodes that begin at the same moment on an empty database.

use std::fs;
use std::thread;

use muster::secret::master::MasterKeys;

use super::support::prepare;
use crate::support::postgres::Cluster;
use crate::support::{Device, Service};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_begin_at_once_are_one_service() {
    let database = Cluster::shared().database();
    let mut nodes = [(); 3].map(|()| prepare(&database.url(), ""));
    let master_key = MasterKeys::generate_text("1");
    for node in &nodes {
        fs::write(node.data_dir().join("master.key"), master_key.as_bytes()).expect("a file");
    }
    thread::scope(|scope| {
        for node in &mut nodes {
            scope.spawn(|| node.launch());
        }
    });

    let has_credentials = |node: &&Service| {
        let left = ["api-client.json", "first-start.json"].map(|file| node.data_dir().join(file).exists());
        assert_eq!(left[0], left[1], "all of a first start, or nothing");
        left[0]
    };
    let first: Vec<_> = nodes.iter().filter(has_credentials).collect();
    assert_eq!(first.len(), 1, "one of them set the service up");
    first[0].create_group("machine", "HQ");
    let key = first[0].create_key("machine", "HQ", "k", &[]);
    for (n, node) in nodes.iter().enumerate() {
        let answer = Device::new(&format!("device-{n}")).enroll(&node.endpoint(), &key).await;
        assert_eq!(answer.text("outcome"), "enrolled");
        assert_eq!(node.trust_anchor_pem(), nodes[0].trust_anchor_pem());
        node.assert_healthy();
    }
    assert_eq!(database.query("SELECT count(*) FROM customers"), "1");
}
