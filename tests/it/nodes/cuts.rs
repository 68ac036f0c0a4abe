//! A connection to the database that breaks at any message: no use is lost, and none is taken twice.

use std::time::Duration;

use super::support::{Met, Nodes, attempt, retry_after};
use crate::support::postgres::{Cluster, Cut, Database, Proxy};
use crate::support::{Answer, Device, Endpoint};

const KIND: &str = "machine";

/// Devices that come at once and share a commit or two.
const BATCH: usize = 3;

const PAUSE: Duration = Duration::from_millis(20);

/// Asks one endpoint after the other until there is a certificate.
async fn until_enrolled(device: &Device, key: &str, endpoints: &[&Endpoint]) -> Answer {
    for endpoint in endpoints.iter().cycle() {
        match attempt(device, key, endpoint).await {
            Met::Answer(answer) if answer.status == 200 => return answer,
            Met::Answer(answer) => _ = retry_after(&answer),
            Met::Nobody | Met::Cut => panic!("the node itself is never away"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    unreachable!("there are endpoints")
}

/// How many there are of uses, rows of the ledger, components, certificates.
fn counts(database: &Database) -> String {
    database.query(
        "SELECT (SELECT sum(uses) FROM key_counters), (SELECT count(*) FROM key_uses),
                (SELECT count(*) FROM components), (SELECT count(*) FROM certificates)",
    )
}

/// Before each batch, what the node that is cut off has to the database.
#[derive(PartialEq, Eq)]
enum Connections {
    /// None: the beginning of new ones can be cut, too.
    Broken,
    /// Those of an enrollment that went well.
    Warm,
}

/// One node reaches the database by way of a proxy that cuts. Devices ask it first and then the same again, or
/// the other one, which may find the first one's commit under way.
async fn cut_at_each_message(connections: Connections) {
    let database = Cluster::shared().database();
    let proxy = Proxy::start(database.address());
    let mut nodes = Nodes::start(&database.url(), 1);
    nodes.join(&database.url_at(proxy.address()));
    nodes[0].create_group(KIND, "HQ");
    let key = nodes[0].create_key(KIND, "HQ", "k", &[]);
    let (direct, cut_off) = (nodes[0].endpoint(), nodes[1].endpoint());
    // From here on the key is known there: cut off, a node has nobody to ask what it does not know.
    until_enrolled(&Device::new("first"), &key, &[&cut_off]).await;

    let (mut enrolled, mut cuts) = (1, 0);
    for cut in [Cut::Before, Cut::Behind, Cut::Answer] {
        // Query, Parse, Bind, Execute, Sync.
        for tag in *b"QPBES" {
            for n in 1.. {
                let what = format!("{cut:?}-{}-{n}", char::from(tag));
                match connections {
                    Connections::Broken => proxy.sever(),
                    Connections::Warm => {
                        until_enrolled(&Device::new(&format!("{what}-before")), &key, &[&cut_off]).await;
                        enrolled += 1;
                    }
                }
                proxy.cut(cut, tag, n);
                let next = if n % 2 == 0 { &cut_off } else { &direct };
                for (device, serial) in enroll_at_once(&what, &key, [&cut_off, next]).await {
                    let again = until_enrolled(&device, &key, &[&direct]).await;
                    let expected = ("replayed".to_owned(), serial);
                    assert_eq!((again.text("outcome"), again.text("serialNumber")), expected, "{what}");
                    enrolled += 1;
                }
                assert_eq!(counts(&database), [enrolled; 4].map(|count: u64| count.to_string()).join("|"), "{what}");
                if !proxy.has_cut() {
                    break; // there are no more of these messages
                }
                cuts += 1;
            }
        }
    }
    // BEGIN, COMMIT, and two statements of three messages between them.
    assert!(cuts >= 3 * 8, "{cuts} cuts");
    assert_eq!(nodes[0].uses(KIND, "k"), enrolled);
    nodes[0].assert_healthy();
}

/// The devices of a batch, each with the serial number that it got.
async fn enroll_at_once(what: &str, key: &str, endpoints: [&Endpoint; 2]) -> Vec<(Device, String)> {
    let asking: Vec<_> = (0..BATCH)
        .map(|n| {
            let (device, key) = (Device::new(&format!("{what}-{n}")), key.to_owned());
            let endpoints = endpoints.map(Endpoint::clone);
            tokio::spawn(async move {
                let answer = until_enrolled(&device, &key, &endpoints.each_ref()).await;
                (device, answer.text("serialNumber"))
            })
        })
        .collect();
    let mut enrolled = Vec::new();
    for device in asking {
        enrolled.push(device.await.expect("a device ends well"));
    }
    enrolled
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_message_of_a_batch_is_repaired() {
    cut_at_each_message(Connections::Warm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_message_of_a_new_connection_is_repaired() {
    cut_at_each_message(Connections::Broken).await;
}
