//! The log: where it goes is not the devices' business.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::block_in_place;
use tokio_rustls::client::TlsStream;

use super::{Process, eventually, patiently};
use crate::support::device::{connect_to, read_answer};
use crate::support::{Answer, Service};

/// Stands in the line of every management request.
const ANSWERED: &str = "a management request was answered";

/// More lines than a pipe holds (64 KiB), and fewer requests than one connection may send.
const REQUESTS: usize = 800;

async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.unwrap();
    patiently("an answer", read_answer(stream)).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_no_request_and_no_end() {
    let service = Service::prepare("");
    let mut process = Process::spawn(service.command().stderr(Stdio::piped()));
    let ready = service.dir().join("ready.json");
    let text = block_in_place(|| eventually("the ready file", || std::fs::read(&ready).ok()));
    let addresses: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let admin: SocketAddr = addresses["admin"].as_str().unwrap().parse().unwrap();

    let mut stream = connect_to(admin, &service.trust_anchor_pem()).await.expect("a connection");
    let client = std::fs::read(service.data_dir().join("api-client.json")).unwrap();
    let client: serde_json::Value = serde_json::from_slice(&client).unwrap();
    let member = |name: &str| client[name].as_str().unwrap().to_owned();
    let form = format!("client_id={}&client_secret={}", member("clientId"), member("clientSecret"));
    let head = format!("POST /signin HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", form.len());
    let token = ask(&mut stream, &(head + &form)).await.text("access_token");
    let path = format!("/mgmtconfig/v1/admin/customers/{}/visible/versionProfiles", member("customerId"));
    // Those without a session would have no line each.
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    for _ in 0..REQUESTS {
        assert_eq!(ask(&mut stream, &request).await.status, 200);
    }
    drop(stream);

    process.terminate();
    let status = block_in_place(|| eventually("the end", || process.0.try_wait().unwrap()));
    assert_eq!(status.code(), Some(0));

    let mut log = Vec::new();
    process.0.stderr.take().unwrap().read_to_end(&mut log).unwrap();
    let lines = String::from_utf8_lossy(&log).lines().filter(|line| line.contains(ANSWERED)).count();
    assert!((20..REQUESTS).contains(&lines), "the pipe was to be full, it holds {lines} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_without_a_session_is_summed_up() {
    let service = Service::start();
    let mut stream = connect_to(service.admin, &service.trust_anchor_pem()).await.expect("a connection");
    for _ in 0..REQUESTS {
        assert_eq!(ask(&mut stream, "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").await.status, 404);
    }
    let left_out: usize = block_in_place(|| {
        eventually("the last summary", || {
            let log = service.log();
            let told = log.lines().filter(|line| line.contains(ANSWERED)).count();
            let summaries =
                log.lines().filter_map(|line| line.split_once("refusals=")?.1.split(' ').next()?.parse::<usize>().ok());
            let left_out = summaries.sum::<usize>();
            (told + left_out == REQUESTS).then_some(left_out)
        })
    });
    assert!(left_out > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_lines_are_written_before_the_end() {
    let mut service = Service::start();
    assert!(block_in_place(|| service.stop()).success());
    assert!(service.log().trim_end().ends_with("Stopped."), "{}", service.log());
}
