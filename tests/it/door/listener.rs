//! Bounds, deadlines and the drain.

use std::sync::Arc;
use std::time::Duration;

use muster::server::listener::{Drained, Limits};
use muster::server::tls::ClientCertificates;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::support::{AtLength, Gate, Mirror, SHORT, Server, ask, get, patiently, read_reply, read_to_close};

/// The beginning of a TLS record that announces more than follows.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// A deadline that passes in the test too, but only after something that must fit inside: a handshake
/// and an answer on a busy machine.
const ROOMY: Duration = Duration::from_secs(2);

fn patient() -> Limits {
    let long = Duration::from_secs(60);
    Limits { handshake_timeout: long, head_timeout: long, lifetime: long, ..Limits::default() }
}

#[tokio::test]
async fn what_is_not_tls_is_closed_at_once() {
    let server = Server::tls(Arc::new(Mirror), patient());
    for bytes in [&get("/")[..], "\0\0\0\0\0\0\0\0", "SSH-2.0-OpenSSH_9.9\r\n"] {
        let mut stream = server.tcp().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let answer = read_to_close(&mut stream).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    server.expect_metric("muster_tls_handshakes_total{outcome=\"not-tls\"} 3").await;
}

#[tokio::test]
async fn half_a_handshake_and_silence_are_closed_at_the_deadline() {
    let server = Server::tls(Arc::new(Mirror), Limits { handshake_timeout: SHORT, ..patient() });
    for bytes in [HALF_A_HELLO, b"\x16", b""] {
        let mut stream = server.tcp().await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(read_to_close(&mut stream).await, b"");
    }
    server.expect_metric("muster_tls_handshakes_total{outcome=\"timed-out\"} 3").await;
    server.expect_metric("muster_connections_open{listener=\"enroll\"} 0").await;
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_closed_at_the_deadline() {
    let server = Server::tls(Arc::new(Mirror), Limits { head_timeout: ROOMY, ..patient() });
    let mut slow = Vec::new();
    for beginning in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        slow.push((beginning, stream));
    }
    let mut idle = server.connect().await;
    assert_eq!(ask(&mut idle, get("/")).await.status, 200);
    // All wait at once, so that the deadline passes once.
    for (beginning, mut stream) in slow {
        assert_eq!(read_to_close(&mut stream).await, b"", "{beginning:?}");
    }
    assert_eq!(read_to_close(&mut idle).await, b"");
    server.expect_metric("muster_connections_timed_out_total{deadline=\"head\",listener=\"enroll\"} 4").await;
}

#[tokio::test]
async fn a_connection_ends_with_its_lifetime_whatever_it_does() {
    let gate = Arc::new(Gate::default());
    let server = Server::tls(gate.clone(), Limits { lifetime: ROOMY, ..patient() });
    let mut stream = server.connect().await;
    stream.write_all(get("/wait").as_bytes()).await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, b"");
    server.expect_metric("muster_connections_timed_out_total{deadline=\"lifetime\",listener=\"enroll\"} 1").await;
}

#[tokio::test]
async fn a_connection_over_the_bound_is_closed_at_once() {
    let server = Server::tls(Arc::new(Mirror), Limits { connections_max: 2, ..patient() });
    let mut first = server.connect().await;
    let second = server.connect().await;
    let mut third = server.tcp().await;
    assert_eq!(read_to_close(&mut third).await, b"");
    server.expect_metric("muster_connections_refused_total{listener=\"enroll\",reason=\"full\"} 1").await;
    assert_eq!(ask(&mut first, get("/")).await.status, 200, "those within the bound are served");

    drop(second);
    server.expect_metric("muster_connections_open{listener=\"enroll\"} 1").await;
    let mut next = server.connect().await;
    assert_eq!(ask(&mut next, get("/")).await.status, 200);
}

#[tokio::test]
async fn silence_from_one_source_leaves_places_to_others() {
    let server = Server::tls(Arc::new(Mirror), Limits { connections_max: 50, ..patient() });
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(server.tcp().await);
    }
    server.expect_metric("muster_connections_open{listener=\"enroll\"} 38").await;
    server.expect_metric("muster_connections_refused_total{listener=\"enroll\",reason=\"share\"} 12").await;

    let mut other = server.connect_from([127, 0, 0, 2]).await;
    assert_eq!(ask(&mut other, get("/")).await.status, 200, "another source is served");
    assert_eq!(read_to_close(&mut server.tcp().await).await, b"", "and that one still is not");

    drop(silent);
    server.expect_metric("muster_connections_open{listener=\"enroll\"} 1").await;
    let mut again = server.connect().await;
    assert_eq!(ask(&mut again, get("/")).await.status, 200, "its places are free again");
}

#[tokio::test]
async fn who_connects_first_and_speaks_later_has_to_wait_for_a_turn() {
    let server = Server::tls(Arc::new(Mirror), patient());
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(server.pki.client()), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();

    let mut silent = Vec::new();
    for _ in 0..150 {
        silent.push(server.tcp().await);
    }
    server.expect_metric("muster_connections_open{listener=\"enroll\"} 150").await;
    // All at once: nothing else has a turn on this thread meanwhile.
    for stream in &silent {
        stream.writable().await.unwrap();
    }
    for stream in &silent {
        assert_eq!(stream.try_write(&hello).unwrap(), hello.len());
    }
    // A few are through before it shows that the node does not keep up; who comes too late for its queue was told so there.
    server.expect_count("muster_tls_handshake_wait_seconds_count", 75).await;
}

#[tokio::test]
async fn changed_limits_count_for_the_next_connection() {
    let server = Server::tls(Arc::new(Mirror), patient());
    let mut before = server.connect().await;
    server.limits.store(Arc::new(Limits { connections_max: 1, ..patient() }));
    assert_eq!(read_to_close(&mut server.tcp().await).await, b"");
    assert_eq!(ask(&mut before, get("/")).await.status, 200);
}

#[tokio::test]
async fn the_last_request_of_a_connection_closes_it() {
    let server = Server::tls(Arc::new(Mirror), Limits { requests_per_connection_max: 2, ..patient() });
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, get("/")).await.headers.get("connection"), None);
    assert_eq!(ask(&mut stream, get("/")).await.headers["connection"], "close");
    let mut rest = Vec::new();
    let end = patiently("the end", stream.read_to_end(&mut rest)).await;
    assert_eq!((end.unwrap(), rest), (0, vec![]), "close_notify, then the end");
}

/// What closes a connection is held back until it goes together with the end; more than a buffer's worth is not.
#[tokio::test]
async fn the_last_answer_comes_whole_whatever_its_length() {
    let server = Server::tls(Arc::new(AtLength), patient());
    for length in [0, 1, 3_000, 32 * 1024 - 100, 32 * 1024, 200_000] {
        let mut stream = server.connect().await;
        assert_eq!(ask(&mut stream, get("/5")).await.body.len(), 5, "one that is not the last is not held back");
        let last = format!("GET /{length} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(&mut stream, last).await.body.len(), length);
        let mut rest = Vec::new();
        let end = patiently("the end", stream.read_to_end(&mut rest)).await;
        assert_eq!((end.unwrap(), rest), (0, vec![]), "close_notify, then the end");
    }
}

#[tokio::test]
async fn a_head_over_the_bound_is_refused() {
    let server = Server::tls(Arc::new(Mirror), patient());
    let head = |length: usize| format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(length));
    assert_eq!(ask(&mut server.connect().await, head(8 * 1024)).await.status, 200);
    assert_eq!(ask(&mut server.connect().await, head(32 * 1024)).await.status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: x\r\n".repeat(101));
    assert_eq!(ask(&mut server.connect().await, many).await.status, 431);
}

#[tokio::test]
async fn a_client_that_closes_its_side_still_gets_the_answer() {
    let gate = Arc::new(Gate::default());
    let server = Server::tls(gate.clone(), patient());
    let mut stream = server.connect().await;
    stream.write_all(get("/wait").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    gate.open_for(1).await;
    assert_eq!(read_reply(&mut stream).await.body, "passed");
}

#[tokio::test]
async fn plain_http_is_served_where_it_is_meant_to_be() {
    let server = Server::start(Arc::new(Mirror), patient(), None, SHORT, Arc::default());
    let mut stream = server.tcp().await;
    let seen = ask(&mut stream, get("/")).await.body;
    assert_eq!(seen, format!("{} 0", stream.local_addr().unwrap()));
}

#[tokio::test]
async fn a_drain_finishes_what_was_accepted() {
    let gate = Arc::new(Gate::default());
    let server = Server::tls(gate.clone(), patient());
    let address = server.address;
    let metrics = server.metrics.clone();

    let mut busy = Vec::new();
    for _ in 0..20 {
        let mut stream = server.connect().await;
        stream.write_all(get("/wait").as_bytes()).await.unwrap();
        busy.push(stream);
    }
    let mut idle = server.connect().await;
    assert_eq!(ask(&mut idle, get("/")).await.status, 200);
    let mut fresh = server.connect().await;
    gate.wait_for(20).await;

    let drained = server.stop();
    assert_eq!(read_to_close(&mut idle).await, b"", "an idle connection is closed");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing more is accepted");
    assert!(!drained.is_finished());

    let first = ask(&mut fresh, get("/")).await;
    assert_eq!((first.status, &first.headers["connection"][..]), (200, "close"), "the first request is still answered");
    gate.open_for(20).await;
    for mut stream in busy {
        let reply = read_reply(&mut stream).await;
        assert_eq!((reply.status, &reply.headers["connection"][..]), (200, "close"));
    }
    drop((fresh, idle));
    assert_eq!(patiently("the drain", drained).await.unwrap(), Drained::Completely);
    assert!(metrics.render().contains("muster_connections_open{listener=\"enroll\"} 0"));
}

#[tokio::test]
async fn a_drain_serves_those_who_were_connected_and_not_yet_accepted() {
    let server = Server::tls(Arc::new(Mirror), patient());
    let connector = TlsConnector::from(Arc::new(server.pki.client()));
    // Blocks this test's only thread, so that nobody accepts until the listener is told to stop.
    let waiting = [(); 5].map(|()| std::net::TcpStream::connect(server.address).unwrap());
    let drained = server.stop();
    for stream in waiting {
        stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = patiently("a handshake", connector.connect(name, stream)).await.unwrap();
        assert_eq!(ask(&mut stream, get("/")).await.headers["connection"], "close");
    }
    assert_eq!(patiently("the drain", drained).await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_drops_the_rest() {
    let gate = Arc::new(Gate::default());
    let asked = Some(ClientCertificates::Asked);
    let server = Server::start(gate.clone(), patient(), asked, SHORT, Arc::default());
    let mut stream = server.connect().await;
    stream.write_all(get("/wait").as_bytes()).await.unwrap();
    gate.wait_for(1).await;
    assert_eq!(patiently("the drain", server.stop()).await.unwrap(), Drained::Dropped(1));
    assert_eq!(read_to_close(&mut stream).await, b"");
}
