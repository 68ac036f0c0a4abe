//! What administrators do on one node holds on the others with the next request.

use super::support::Nodes;
use crate::support::postgres::Cluster;
use crate::support::{Device, Service};

const KIND: &str = "machine";

/// What this node answers: `enrolled`, `replayed`, or the code of a refusal.
async fn told(node: &Service, device: &Device, key: &str) -> String {
    let answer = device.enroll(&node.endpoint(), key).await;
    if answer.status == 200 { answer.text("outcome") } else { answer.code() }
}

/// `muster OBJECT ACTION … --kind machine NAME` on this node.
fn command(node: &Service, words: &[&str], name: &str) {
    node.cli_ok(&[words, &["--kind", KIND, name]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_one_node_made_enrolls_on_the_other() {
    let database = Cluster::shared().database();
    let nodes = Nodes::start(&database.url(), 2);
    let (a, b) = (&nodes[0], &nodes[1]);
    a.create_group(KIND, "HQ");
    for n in 0..10 {
        let name = format!("k{n}");
        let key = a.create_key(KIND, "HQ", &name, &[]);
        assert_eq!(told(b, &Device::new(&name), &key).await, "enrolled");
        command(a, &["key", "delete", "--yes"], &name);
        assert_eq!(told(b, &Device::new("late"), &key).await, "invalid-key");
    }
    a.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_disabled_the_other_refuses() {
    let database = Cluster::shared().database();
    let nodes = Nodes::start(&database.url(), 2);
    let (a, b) = (&nodes[0], &nodes[1]);
    a.create_group(KIND, "HQ");
    let key = a.create_key(KIND, "HQ", "k", &[]);
    let known = Device::new("known");
    assert_eq!(told(b, &known, &key).await, "enrolled");
    for n in 0..5 {
        let new = Device::new(&format!("new-{n}"));
        for (object, name, refusal) in [("key", "k", "key-disabled"), ("group", "HQ", "group-disabled")] {
            command(a, &[object, "edit", "--disable"], name);
            assert_eq!(told(b, &new, &key).await, refusal);
            command(a, &[object, "edit", "--enable"], name);
            command(a, &[object, "edit", "--disable"], name);
            assert_eq!(told(b, &known, &key).await, refusal, "a certificate that it has is not given again");
            command(a, &[object, "edit", "--enable"], name);
            assert_eq!(told(b, &known, &key).await, "replayed");
        }
        assert_eq!(told(b, &new, &key).await, "enrolled");
    }
    assert_eq!(a.uses(KIND, "k"), 6);
    a.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maximum_that_one_node_raised_is_the_others() {
    let database = Cluster::shared().database();
    let nodes = Nodes::start(&database.url(), 2);
    let (a, b) = (&nodes[0], &nodes[1]);
    a.create_group(KIND, "HQ");
    let key = a.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
    for maximum in 1..=5 {
        let device = |what: &str| Device::new(&format!("{what}-{maximum}"));
        command(a, &["key", "edit", "--max-uses", &maximum.to_string()], "k");
        // The last use is taken here and there in turn, and each knows of the other's.
        let (taking, refusing) = if maximum % 2 == 0 { (a, b) } else { (b, a) };
        assert_eq!(told(taking, &device("in-time"), &key).await, "enrolled");
        assert_eq!(told(refusing, &device("late"), &key).await, "key-exhausted");
        assert_eq!(told(taking, &device("late"), &key).await, "key-exhausted");
    }
    command(a, &["key", "edit", "--max-uses", "2"], "k");
    command(a, &["key", "edit", "--max-uses", "6"], "k");
    assert_eq!(told(b, &Device::new("last"), &key).await, "enrolled");
    assert_eq!(a.uses(KIND, "k"), 6);
    a.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_component_on_one_node_the_other_knows() {
    let database = Cluster::shared().database();
    let nodes = Nodes::start(&database.url(), 2);
    let (a, b) = (&nodes[0], &nodes[1]);
    a.create_group(KIND, "HQ");
    let key = a.create_key(KIND, "HQ", "k", &["--allow-re-enrollment"]);
    let device = Device::new("device");
    assert_eq!(told(a, &device, &key).await, "enrolled");
    let reinstalled = device.reinstalled();
    assert_eq!(told(b, &reinstalled, &key).await, "re-enrolled");
    assert_eq!(told(a, &reinstalled, &key).await, "replayed");
    command(a, &["component", "revoke", "--yes"], "k-1");
    assert_eq!(told(b, &reinstalled, &key).await, "component-revoked");
    command(a, &["component", "delete", "--yes"], "k-1");
    assert_eq!(told(b, &reinstalled, &key).await, "enrolled");
    assert_eq!(a.uses(KIND, "k"), 2);
    a.assert_healthy();
}
