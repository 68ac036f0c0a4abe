//! Balancers in front: whose word is taken, and what is asked of them.

use std::sync::Arc;

use muster::server::listener::Limits;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

use super::support::{Mirror, SHORT, Server, ask, get, patiently, read_to_close};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn proxied(source: [u8; 4], port: u16) -> Vec<u8> {
    let addresses = [&source[..], &[192, 0, 2, 1], &port.to_be_bytes(), &[0x20, 0xfb]].concat();
    [SIGNATURE, &[0x21, 0x11, 0, 12], &addresses].concat()
}

fn behind_a_balancer() -> Server {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    Server::tls(Arc::new(Mirror), Limits { trusted_proxies, ..Limits::default() })
}

/// What the handler sees of a client that begins with `header`.
async fn seen(server: &Server, header: &[u8]) -> (String, String) {
    let mut tcp = server.tcp().await;
    let own = tcp.local_addr().unwrap().to_string();
    tcp.write_all(header).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(server.pki.client()));
    let mut stream = patiently("a handshake", connector.connect(name, tcp)).await.unwrap();
    (ask(&mut stream, get("/")).await.body, own)
}

#[tokio::test]
async fn a_trusted_balancer_names_the_client() {
    let server = behind_a_balancer();
    let (address, _) = seen(&server, &proxied([203, 0, 113, 9], 50_000)).await;
    assert_eq!(address, "203.0.113.9:50000 0");

    let mut mapped = [0; 36];
    mapped[..16].copy_from_slice(&"::ffff:203.0.113.9".parse::<std::net::Ipv6Addr>().unwrap().octets());
    let header = [SIGNATURE, &[0x21, 0x21, 0, 36], &mapped].concat();
    assert_eq!(seen(&server, &header).await.0, "203.0.113.9:0 0", "mapped addresses count as IPv4");
}

#[tokio::test]
async fn behind_a_balancer_the_share_is_the_clients() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::tls(Arc::new(Mirror), Limits { trusted_proxies, connections_max: 50, ..Limits::default() });
    let mut silent = Vec::new();
    for port in 1..=50 {
        let mut tcp = server.tcp().await;
        tcp.write_all(&proxied([203, 0, 113, 9], port)).await.unwrap();
        silent.push(tcp);
    }
    server.expect_metric("muster_connections_open{listener=\"enroll\"} 38").await;
    assert_eq!(seen(&server, &proxied([203, 0, 113, 10], 7)).await.0, "203.0.113.10:7 0");
}

#[tokio::test]
async fn a_balancers_own_check_has_its_own_address() {
    let server = behind_a_balancer();
    let (address, own) = seen(&server, &[SIGNATURE, &[0x20, 0x00, 0, 0]].concat()).await;
    assert_eq!(address, format!("{own} 0"));
}

#[tokio::test]
async fn a_trusted_balancer_must_send_the_header() {
    let server = behind_a_balancer();
    assert!(server.connect_with(server.pki.client(), "localhost").await.is_err());
    let unusable = [SIGNATURE, &[0x31, 0x11, 0, 12], &[0; 12]].concat();
    let mut tcp = server.tcp().await;
    tcp.write_all(&unusable).await.unwrap();
    assert_eq!(read_to_close(&mut tcp).await, b"");
    server.expect_metric("muster_tls_handshakes_total{outcome=\"bad-proxy-header\"} 2").await;
}

#[tokio::test]
async fn a_header_from_anyone_else_is_not_tls() {
    let trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
    let server = Server::tls(Arc::new(Mirror), Limits { trusted_proxies, ..Limits::default() });
    let mut tcp = server.tcp().await;
    tcp.write_all(&proxied([203, 0, 113, 9], 50_000)).await.unwrap();
    read_to_close(&mut tcp).await;
    server.expect_metric("muster_tls_handshakes_total{outcome=\"not-tls\"} 1").await;
    let seen = ask(&mut server.connect().await, get("/")).await.body;
    assert!(seen.starts_with("127.0.0.1:"), "{seen}");
}

#[tokio::test]
async fn a_slow_header_is_closed_at_the_handshakes_deadline() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server =
        Server::tls(Arc::new(Mirror), Limits { trusted_proxies, handshake_timeout: SHORT, ..Limits::default() });
    let header = proxied([203, 0, 113, 9], 50_000);
    for sent in [0, 5, 12, 15, 20] {
        let mut tcp = server.tcp().await;
        tcp.write_all(&header[..sent]).await.unwrap();
        assert_eq!(read_to_close(&mut tcp).await, b"");
    }
    server.expect_metric("muster_tls_handshakes_total{outcome=\"timed-out\"} 5").await;
}
