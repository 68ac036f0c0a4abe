//! One CRL for all nodes: what is revoked on one is on the CRL of every other, under one row of numbers.

use super::support::Nodes;
use crate::crls::support::{KIND, Read, enrolled, fetch, fetch_with, read, signer};
use crate::support::postgres::Cluster;
use crate::support::{Device, eventually, patiently};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_revokes_is_on_the_crl_of_the_others() {
    let database = Cluster::shared().database();
    let mut nodes = Nodes::start(&database.url(), 3);
    nodes[0].create_group(KIND, "HQ");
    let key = nodes[0].create_key(KIND, "HQ", "k", &["--max-uses", "50", "--allow-re-enrollment"]);
    let connector = signer(&nodes[0], "Connector");
    let mut gone = Vec::new();
    for place in 0..3 {
        let device = Device::new(&format!("d{place}"));
        let first = enrolled(&nodes[place], &key, &device).await;
        gone.push(first.text("serialNumber"));
        // One on this node, one by the device itself on the next.
        if place == 1 {
            enrolled(&nodes[(place + 1) % 3], &key, &device.reinstalled()).await;
        } else {
            nodes[place].cli_ok(&["component", "delete", &first.text("componentId"), "--yes"]);
        }
        let serials: Vec<_> = gone.iter().map(String::as_str).collect();
        let mut numbers = Vec::new();
        for endpoint in nodes.endpoints() {
            numbers.push(fetch_with(&endpoint, &connector, &serials).await.number);
        }
        // None made one of its own: all serve what the store has.
        let all_alike = async {
            loop {
                let mut crls = Vec::new();
                for endpoint in nodes.endpoints() {
                    crls.push(fetch(&endpoint, &connector).await);
                }
                if crls.windows(2).all(|pair| pair[0] == pair[1]) {
                    return read(&crls[0]);
                }
            }
        };
        let Read { number, .. } = patiently("the same CRL on all nodes", all_alike).await;
        assert!(numbers.iter().all(|earlier| *earlier <= number), "{numbers:?}, {number}");
    }

    // A node that was away shows what was revoked meanwhile from its first answer on.
    nodes[2].kill();
    let last = enrolled(&nodes[0], &key, &Device::new("last")).await;
    nodes[1].cli_ok(&["component", "revoke", &last.text("componentId"), "--yes"]);
    gone.push(last.text("serialNumber"));
    let serials: Vec<_> = gone.iter().map(String::as_str).collect();
    let there = fetch_with(&nodes[1].endpoint(), &connector, &serials).await;
    nodes[2].launch();
    let here = read(&fetch(&nodes[2].endpoint(), &connector).await);
    assert_eq!(here.entries, there.entries);
    assert!(here.number >= there.number);
    for node in nodes.iter() {
        let failed = || node.metric("muster_crl_builds_total{outcome=\"failed\"}");
        assert_eq!(failed().to_bits(), 0_f64.to_bits(), "{}", node.log());
    }
    let published = |node: &crate::support::Service| node.metric("muster_crl_builds_total{outcome=\"published\"}");
    eventually("CRLs of every node", || nodes.iter().all(|node| published(node) > 0.0).then_some(()));
    nodes[0].assert_healthy();
}
