//! The TLS trust anchor is the service's: rolled on one node, shown by all.

use tokio::task::block_in_place;

use super::support::Nodes;
use crate::support::device::connect_to;
use crate::support::postgres::Cluster;
use crate::support::{Service, eventually};
use crate::tls_anchor::{enroll, enrolled, pems, pin, tls_anchor};

const KIND: &str = "machine";

/// Makes keys on this node until one carries another pin than `old`.
fn key_with_another_pin(node: &Service, old: &str) -> String {
    let mut number = 0;
    eventually("a key with the new pin", || {
        number += 1;
        let key = node.create_key(KIND, "HQ", &format!("new-{number}"), &[]);
        (pin(&key) != old).then_some(key)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_on_one_node_is_followed_by_the_other() {
    let database = Cluster::shared().database();
    let mut nodes = Nodes::start(&database.url(), 2);
    nodes[0].create_group(KIND, "HQ");
    let old_key = nodes[0].create_key(KIND, "HQ", "old", &[]);
    let old = nodes[0].trust_anchor_pem();
    assert_eq!(nodes[1].trust_anchor_pem(), old);

    // In the database, beside the nodes.
    let (new, previous) = pems(&tls_anchor(&nodes[0], &["roll"]));
    assert_eq!(previous.as_ref(), Some(&old));
    let both = format!("{new}{old}");
    for node in nodes.iter() {
        block_in_place(|| eventually("both anchors", || (node.trust_anchor_pem() == both).then_some(())));
        for address in [node.enroll, node.admin] {
            for anchor in [&old, &new] {
                assert!(connect_to(address, anchor).await.is_some());
            }
        }
    }
    let new_key = key_with_another_pin(&nodes[1], &pin(&old_key));
    for round in 0..2 {
        for (n, node) in nodes.iter().enumerate() {
            for (who, key) in [("old", &old_key), ("new", &new_key)] {
                assert_eq!(enrolled(node, node.enroll, key, &format!("{who}-{n}-{round}"), &[]), both);
            }
        }
        nodes[1].kill();
        nodes[1].launch();
    }

    tls_anchor(&nodes[1], &["finish", "--yes"]);
    for (n, node) in nodes.iter().enumerate() {
        block_in_place(|| eventually("one anchor", || (node.trust_anchor_pem() == new).then_some(())));
        assert!(connect_to(node.enroll, &old).await.is_none());
        assert_ne!(enroll(node, node.enroll, &old_key, &format!("late-{n}"), &[]).0, 0);
        assert_eq!(enrolled(node, node.enroll, &new_key, &format!("after-{n}"), &[]), new);
    }
    nodes[0].assert_healthy();
}
