//! The log: where it goes is not the devices' business.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::task::block_in_place;

use super::{Process, eventually, patiently};
use crate::support::Service;
use crate::support::device::{connect_to, read_answer};

/// More lines than a pipe holds (64 KiB), and fewer requests than one connection may send.
const REQUESTS: usize = 800;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_no_request_and_no_end() {
    let service = Service::prepare("");
    let mut process = Process::spawn(service.command().stderr(Stdio::piped()));
    let ready = service.dir().join("ready.json");
    let text = block_in_place(|| eventually("the ready file", || std::fs::read(&ready).ok()));
    let addresses: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let admin: SocketAddr = addresses["admin"].as_str().unwrap().parse().unwrap();

    let mut stream = connect_to(admin, &service.trust_anchor_pem()).await.expect("a connection");
    for _ in 0..REQUESTS {
        stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        patiently("an answer", read_answer(&mut stream)).await.expect("an answer");
    }
    drop(stream);

    process.terminate();
    let status = block_in_place(|| eventually("the end", || process.0.try_wait().unwrap()));
    assert_eq!(status.code(), Some(0));

    let mut log = Vec::new();
    process.0.stderr.take().unwrap().read_to_end(&mut log).unwrap();
    let lines = log.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"duration_ms=0")).count();
    assert!((20..REQUESTS).contains(&lines), "the pipe was to be full, it holds {lines} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_lines_are_written_before_the_end() {
    let mut service = Service::start();
    assert!(block_in_place(|| service.stop()).success());
    assert!(service.log().trim_end().ends_with("Stopped."), "{}", service.log());
}
