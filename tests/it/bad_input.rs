//! Bad input (docs/contract.md, "Bad input") against the real service: a clear refusal, nothing lost,
//! service up. A store that is full, away or of a newer schema is in `store/embedded.rs`, kills are in
//! `promises/exact.rs`, the ways a key string can be wrong in `promises/flood.rs`, the door's bounds at
//! one below and one above in `door/`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::device::{connect, post, read_answer};
use crate::support::{Answer, Device, Service};

/// Deadlines short enough for a test to wait for.
const SHORT: &str = "[enroll]\nhandshake_timeout = 1\nheader_timeout = 1\nbody_timeout = 1\nfailures_per_second = 0\n";

/// For tests of answers, which no limit of failures may replace.
const UNLIMITED: &str = "[enroll]\nfailures_per_second = 0\n";

async fn send(service: &Service, head: &str, body: &[u8]) -> Answer {
    let mut stream = connect(&service.endpoint()).await.expect("a connection");
    stream.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).await.expect("a request");
    stream.write_all(body).await.expect("a request");
    read_answer(&mut stream).await.expect("an answer")
}

const POST: &str = "POST /v1/enroll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_tls_or_stays_silent_is_closed_and_counted() {
    let service = Service::start_with(SHORT);
    // Not TLS.
    let mut stream = TcpStream::connect(service.enroll).expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("bytes");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    // Silence, and half a handshake: closed at the deadline.
    for start in [&b""[..], &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]] {
        let mut stream = TcpStream::connect(service.enroll).expect("a connection");
        stream.write_all(start).expect("bytes");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let started = Instant::now();
        let ended = stream.read_to_end(&mut Vec::new());
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
        assert!(started.elapsed() < Duration::from_secs(15), "it was not closed at the deadline");
    }
    let handshakes = service.ops("/metrics").1;
    for outcome in ["not-tls", "timed-out"] {
        let sample = format!("muster_tls_handshakes_total{{outcome=\"{outcome}\"}}");
        assert!(service.metric(&sample) >= 1.0, "{sample} in\n{handshakes}");
    }
    // Slow headers and a slow body on an established connection.
    for part in ["POST /v1/enroll HTTP/1.1\r\nhost: lo".to_owned(), format!("{POST}\r\ncontent-length: 100\r\n\r\n{{")]
    {
        let mut stream = connect(&service.endpoint()).await.expect("a connection");
        stream.write_all(part.as_bytes()).await.expect("bytes");
        stream.flush().await.expect("bytes");
        let closed = tokio::time::timeout(Duration::from_secs(15), read_answer(&mut stream)).await;
        let answer = closed.expect("it was not closed at the deadline");
        assert!(answer.is_none_or(|answer| answer.status != 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_by_code() {
    let service = Service::start_with(UNLIMITED);
    let device = Device::new("device");
    let good = device.request("any string goes on to the key check");
    let with = |member: &str, value: Value| {
        let mut request = good.clone();
        request[member] = value;
        request.to_string()
    };
    let without = |member: &str| {
        let mut request = good.clone();
        request.as_object_mut().expect("an object").remove(member);
        request.to_string()
    };
    let duplicate = format!("{},\"fingerprint\":\"{}\"}}", good.to_string().trim_end_matches('}'), device.fingerprint);
    let deep = format!("{{\"csr\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let malformed = [
        ("nothing", String::new()),
        ("no JSON", "provisioningKey=x".to_owned()),
        ("an array", "[]".to_owned()),
        ("cut", good.to_string().trim_end_matches('}').to_owned()),
        ("text after the object", format!("{good} x")),
        ("unknown member", with("extra", json!(1))),
        ("duplicate member", duplicate),
        ("deep JSON", deep),
        ("no key", without("provisioningKey")),
        ("no fingerprint", without("fingerprint")),
        ("no CSR", without("csr")),
        ("key is a number", with("provisioningKey", json!(7))),
        ("key is null", with("provisioningKey", Value::Null)),
        ("CSR is an object", with("csr", json!({}))),
        ("fingerprint too short", with("fingerprint", json!("a".repeat(15)))),
        ("fingerprint too long", with("fingerprint", json!("a".repeat(65)))),
        ("fingerprint with a space", with("fingerprint", json!("0123456789 abcdef"))),
        ("hostname too long", with("hostname", json!("h".repeat(254)))),
        ("hostname with a control character", with("hostname", json!("a\u{1b}[2Jb"))),
        ("platform too long", with("platform", json!("p".repeat(65)))),
        ("softwareVersion too long", with("softwareVersion", json!("v".repeat(65)))),
    ];
    for (what, body) in malformed {
        let answer = send(&service, POST, body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "malformed-request"), "{what}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
        assert_eq!(answer.text("type"), "urn:muster:problem:malformed-request", "{what}");
        assert_eq!(answer.text("reference").len(), 12, "{what}");
    }
    let bad_utf8 = [good.to_string().as_bytes(), b"\xff"].concat();
    assert_eq!(send(&service, POST, &bad_utf8).await.code(), "malformed-request");
    // At the bounds it goes on to the key check.
    for (member, value) in
        [("fingerprint", "a".repeat(64)), ("hostname", "h".repeat(253)), ("platform", "p".repeat(64))]
    {
        assert_eq!(send(&service, POST, with(member, json!(value)).as_bytes()).await.code(), "invalid-key", "{member}");
    }

    for content_type in ["", "\r\ncontent-type: text/plain", "\r\ncontent-type: application/jsonp"] {
        let head = format!("POST /v1/enroll HTTP/1.1\r\nhost: localhost{content_type}");
        let answer = send(&service, &head, good.to_string().as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported-media-type"), "{content_type:?}");
    }
    let padded = |length: usize| {
        let text = good.to_string();
        let padding = " ".repeat(length - text.len());
        text + &padding
    };
    assert_eq!(send(&service, POST, padded(16_384).as_bytes()).await.code(), "invalid-key");
    let answer = send(&service, POST, padded(16_385).as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"));
    let answer = send(&service, "GET /v1/enroll HTTP/1.1\r\nhost: localhost", b"").await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.header("allow")),
        (405, "method-not-allowed", Some("POST"))
    );
    let answer = send(&service, "GET /v2/enroll HTTP/1.1\r\nhost: localhost", b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "not-found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_csrs_take_no_use() {
    let service = Service::start_with(UNLIMITED);
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &["--max-uses", "1"]);
    let device = Device::new("device");
    let good = device.csr();
    let body = good.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
    for (what, csr) in [
        ("empty", String::new()),
        ("no base64", "certificate please".to_owned()),
        ("cut", body[..body.len() / 2].to_owned()),
        ("two", format!("{good}{good}")),
        ("a certificate", service.trust_anchor_pem()),
    ] {
        let mut request = device.request(&key);
        request["csr"] = csr.into();
        let answer = post(&service.endpoint(), &request).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-csr"), "{what}: {}", answer.body);
    }
    assert_eq!(service.uses("machine", "k"), 0);
    let mut request = device.request(&key);
    request["csr"] = body.into();
    assert_eq!(post(&service.endpoint(), &request).await.status, 200, "base64 of DER will do");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_a_key_has_its_refusal() {
    let service = Service::start_with(UNLIMITED);
    service.create_group("machine", "HQ");
    let endpoint = service.endpoint();
    let refused = async |name: &str, more: &[&str], edit: &[&str]| {
        let key = service.create_key("machine", "HQ", name, more);
        if !edit.is_empty() {
            service.cli_ok(&[&["key", "edit", "--kind", "machine", name], edit].concat());
        }
        let answer = Device::new(name).enroll(&endpoint, &key).await;
        assert_eq!(answer.status, 403, "{}", answer.body);
        let uses = service.uses("machine", name);
        assert_eq!(uses, 0, "{name}");
        answer.code()
    };
    assert_eq!(refused("disabled", &[], &["--disable"]).await, "key-disabled");
    assert_eq!(refused("elsewhere", &["--allow-from", "192.0.2.0/24"], &[]).await, "address-not-allowed");

    let key = service.create_key("machine", "HQ", "again", &[]);
    let device = Device::new("again");
    assert_eq!(device.enroll(&endpoint, &key).await.status, 200);
    let new = device.reinstalled();
    assert_eq!(new.enroll(&endpoint, &key).await.code(), "reenrollment-not-allowed");
    service.cli_ok(&["key", "edit", "--kind", "machine", "again", "--allow-re-enrollment"]);
    for n in 1..=10 {
        let answer = device.reinstalled().enroll(&endpoint, &key).await;
        assert_eq!(answer.text("outcome"), "re-enrolled", "{n}");
    }
    assert_eq!(new.enroll(&endpoint, &key).await.code(), "reenrollment-limit");
    assert_eq!(service.uses("machine", "again"), 1);

    let key = service.create_key("machine", "HQ", "full", &["--max-uses", "1"]);
    assert_eq!(Device::new("full-1").enroll(&endpoint, &key).await.status, 200);
    assert_eq!(Device::new("full-2").enroll(&endpoint, &key).await.code(), "key-exhausted");
    service.cli_ok(&["key", "edit", "--kind", "machine", "full", "--max-uses", "2"]);
    assert_eq!(Device::new("full-2").enroll(&endpoint, &key).await.status, 200, "a raised maximum counts at once");
    service.assert_healthy();
}

#[test]
fn a_second_process_on_the_data_directory_is_told_who_holds_it() {
    let service = Service::start();
    let output = service.command().output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&service.pid().to_string()), "{text}");
}

#[test]
fn a_wrong_or_missing_master_key_is_refused_with_the_way_out() {
    let mut service = Service::start();
    service.stop();
    let file = service.data_dir().join("master.key");
    let original = fs::read(&file).expect("the master key");
    fs::write(&file, format!("1 {}\n", "0".repeat(64))).expect("a file");
    let output = service.command().output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("master key"), "{text}");

    fs::remove_file(&file).expect("a file");
    let output = service.command().output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("MUSTER_MASTER_KEY_FILE"), "{text}");
    assert!(!file.exists(), "no new master key for a store that is sealed");

    fs::write(&file, original).expect("a file");
    service.launch();
    service.assert_healthy();
}

#[test]
fn a_damaged_store_is_refused_with_the_reason() {
    let mut service = Service::start();
    service.stop();
    let file = service.data_dir().join("muster.db");
    let mut bytes = fs::read(&file).expect("the store");
    bytes[..100].fill(0xa5);
    fs::write(&file, bytes).expect("a file");
    let output = service.command().output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("muster.db"), "{text}");
}
