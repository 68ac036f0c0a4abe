//! Whoever has no key costs the shared database next to nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::race::field;
use super::support::Nodes;
use crate::support::device::{connect, http_request, read_answer};
use crate::support::postgres::{Cluster, Cut, Proxy};
use crate::support::{Device, patiently};

/// Of so many false keys a node makes fewer statements than one: a look for those that come at once, one for those that
/// come meanwhile, and its own, some every second.
const KEYS_PER_STATEMENT: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn false_keys_at_once_share_a_look_or_two() {
    let database = Cluster::shared().database();
    let proxy = Proxy::start(database.address());
    let config = "[enroll]\nfailures_per_second = 0\nheader_timeout = 60\n";
    let nodes = Nodes::start_with(&database.url_at(proxy.address()), 1, config);
    let endpoint = nodes[0].endpoint();
    let request = Device::new("false").request("");
    let (false_keys, _) = field();
    let statements_max = false_keys / KEYS_PER_STATEMENT;

    // Connected first: keys come faster than handshakes.
    let mut connections = Vec::new();
    for _ in 0..false_keys {
        connections.push(patiently("a handshake", connect(&endpoint)).await.expect("a connection"));
    }
    // What they ask the database is held up until all are there, and counted when it goes on.
    proxy.stall();
    proxy.cut(Cut::Before, b'E', statements_max);
    let mut asking = Vec::new();
    for (n, mut connection) in connections.into_iter().enumerate() {
        let mut request = request.clone();
        request["provisioningKey"] = format!("3|localhost:8443|{n:0>96}").into();
        connection.write_all(&http_request(request.to_string().as_bytes())).await.expect("a request");
        connection.flush().await.expect("it is sent");
        asking.push(tokio::spawn(async move { patiently("an answer", read_answer(&mut connection)).await }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.pass();
    for asked in asking {
        let answer = asked.await.expect("it ends well").expect("a whole answer");
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid-key"));
    }
    assert!(!proxy.has_cut(), "{false_keys} false keys made {statements_max} statements or more");
}
