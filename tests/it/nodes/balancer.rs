//! Nodes behind a TCP balancer: whichever of them a device comes to, it is the device's address that counts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::support::{Nodes, retry_after};
use crate::support::device::{handshake, http_request, read_answer};
use crate::support::postgres::Cluster;
use crate::support::proxy_protocol::header;
use crate::support::{Answer, Device, Service, patiently};

const KIND: &str = "machine";

/// Gives each connection to the next node, and tells it by the PROXY protocol who calls.
struct Balancer {
    address: SocketAddr,
    work: JoinHandle<()>,
}

impl Balancer {
    async fn before(nodes: &Nodes) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let nodes: Vec<SocketAddr> = nodes.iter().map(|node| node.enroll).collect();
        let work = tokio::spawn(async move {
            for node in nodes.iter().cycle() {
                let (client, caller) = listener.accept().await.expect("a connection");
                tokio::spawn(forward(client, caller.ip(), *node));
            }
        });
        Self { address, work }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.work.abort();
    }
}

async fn forward(mut client: TcpStream, caller: IpAddr, node: SocketAddr) {
    let mut server = TcpStream::connect(node).await.expect("the node is there");
    server.write_all(&header(caller)).await.expect("the node reads");
    // An end may go as it likes.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// A device with an address of its own on the loopback network.
async fn enroll_from(last: u8, balancer: &Balancer, anchor_pem: &str, device: &Device, key: &str) -> Answer {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).expect("an address");
    let stream = socket.connect(balancer.address).await.expect("a connection");
    let asked = async {
        let mut stream = handshake(stream, anchor_pem).await.expect("a handshake");
        stream.write_all(&http_request(device.request(key).to_string().as_bytes())).await.expect("a request");
        read_answer(&mut stream).await.expect("a whole answer")
    };
    patiently("an answer", asked).await
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_balancer_every_node_sees_the_device() {
    let database = Cluster::shared().database();
    let config = "[enroll]\ntrusted_proxies = [\"127.0.0.1\"]\nfailures_per_second = 1\nfailures_burst = 2\n";
    let mut nodes = Nodes::start_with(&database.url(), 2, config);
    nodes[0].create_group(KIND, "HQ");
    let key = nodes[1].create_key(KIND, "HQ", "k", &["--allow-from", "127.0.0.7/32"]);
    let balancer = Balancer::before(&nodes).await;
    let anchor_pem = nodes[0].trust_anchor_pem();
    let enroll =
        async |last: u8, device: &Device, key: &str| enroll_from(last, &balancer, &anchor_pem, device, key).await;

    // Three requests each, so that every kind comes to either node.
    for n in 0..4 {
        let device = Device::new(&format!("device-{n}"));
        assert_eq!(enroll(8, &device, &key).await.code(), "address-not-allowed");
        assert_eq!(enroll(7, &device, &key).await.text("outcome"), "enrolled");
        assert_eq!(enroll(7, &device, &key).await.text("outcome"), "replayed");
    }
    let enrolled = |node: &Service| node.metric("muster_enroll_requests_total{outcome=\"enrolled\"}");
    assert_eq!(nodes.iter().map(enrolled).collect::<Vec<_>>(), [2.0, 2.0]);
    let ledger = nodes[0].cli_ok(&["key", "uses", "--json", "--kind", KIND, "k"]);
    let ledger: Vec<Value> = serde_json::from_str(&ledger).expect("JSON");
    assert_eq!(ledger.iter().map(|used| &used["remoteAddress"]).collect::<Vec<_>>(), ["127.0.0.7"; 4]);

    // Whoever guesses is slowed down, and nobody else behind the same balancer.
    let device = Device::new("device");
    let mut guesses = Vec::new();
    for _ in 0..12 {
        guesses.push(enroll(9, &device, "a guess").await);
    }
    assert_eq!(guesses[0].status, 401);
    let slowed_down = guesses.iter().find(|guess| guess.status == 429).expect("a limit");
    retry_after(slowed_down);
    for _ in 0..2 {
        assert_eq!(enroll(10, &device, "a guess").await.status, 401);
    }

    for node in nodes.iter_mut() {
        assert!(node.stop().success()); // and with it the tallies of refusals are written
    }
    assert_eq!(
        database.query("SELECT source, refusal, sum(count) FROM key_refusals GROUP BY 1, 2"),
        "127.0.0.8/32|address-not-allowed|4"
    );
}
