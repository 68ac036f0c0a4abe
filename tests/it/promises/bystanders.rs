//! What others may see of a key, a device or a certificate opens nothing, and who records a request can do nothing with it
//! that was not done.

use std::fs;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::api::support::Client;
use crate::support::device::{Identity, connect, post, read_answer, renew, renew_request};
use crate::support::{Answer, Device, Service, eventually};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every digest and sealed text of a key string that the store keeps.
fn stored(service: &Service) -> Vec<Vec<u8>> {
    let store = rusqlite::Connection::open(service.data_dir().join("muster.db")).expect("the store");
    let mut blobs = Vec::new();
    for query in ["SELECT digest FROM digests", "SELECT sealed FROM secrets"] {
        let mut rows = store.prepare(query).expect("a table");
        let found = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("rows");
        blobs.extend(found.map(|blob| blob.expect("bytes")));
    }
    assert!(blobs.len() > 2, "there is something to try");
    blobs
}

async fn simple_enroll(service: &Service, user: &str, password: &str, csr: &str) -> Answer {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    let head = format!(
        "POST /.well-known/est/simpleenroll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/pkcs10\r\n\
         authorization: Basic {credentials}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        csr.len()
    );
    let mut stream = connect(&service.endpoint()).await.expect("a connection");
    stream.write_all((head + csr).as_bytes()).await.expect("a request");
    read_answer(&mut stream).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_may_know_opens_nothing() {
    let service = Service::start_with("[enroll]\nfailures_per_second = 0\n");
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &["--allow-re-enrollment"]);
    let device = Device::new("device");
    let enrolled = device.enroll(&service.endpoint(), &key).await;
    assert_eq!(enrolled.status, 200, "{}", enrolled.body);

    let record = service.key("machine", "k");
    let secret = key.rsplit('|').next().expect("three parts");
    let head = key.strip_suffix(secret).expect("its end");
    let sha256 = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let mut known = vec![
        device.fingerprint.clone(),
        enrolled.text("componentId"),
        enrolled.text("componentName"),
        enrolled.text("serialNumber"),
        record["id"].as_str().expect("an id").to_owned(),
        record["keyId"].as_str().expect("a key id").to_owned(),
        format!("{head}{}...", &secret[..7]),
        secret.to_owned(),
        hex(sha256.as_ref()),
        STANDARD.encode(sha256),
        service.api_client()["clientId"].as_str().expect("an id").to_owned(),
    ];
    for blob in stored(&service) {
        known.extend([hex(&blob), STANDARD.encode(&blob), STANDARD_NO_PAD.encode(&blob)]);
    }
    let thief = Device { fingerprint: device.fingerprint.clone(), ..Device::new("") };
    for text in known {
        for presented in [text.clone(), format!("{head}{text}")] {
            if presented == key {
                continue;
            }
            let answer = thief.enroll(&service.endpoint(), &presented).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "invalid-key"), "{presented}");
            let answer = simple_enroll(&service, &thief.fingerprint, &presented, &thief.csr()).await;
            assert_eq!(answer.status, 401, "{presented}");
        }
        // Nor is it a program's secret, or a person's password.
        let client = Client::without_token(&service);
        let id = service.api_client()["clientId"].as_str().expect("an id").to_owned();
        let form = format!("client_id={id}&client_secret={}", utf8_percent_encode(&text, NON_ALPHANUMERIC));
        let answer = client.send("POST", "/signin", form, &[]).await;
        assert!(matches!(answer.status, 401 | 429), "{text}: {}", answer.status);
    }
    let component = service.cli_ok(&["component", "show", "--json", &enrolled.text("componentId")]);
    assert!(component.contains(&enrolled.text("serialNumber")), "its certificate is the one that it was");
    assert_eq!(service.uses("machine", "k"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_request_brings_nothing_new() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &["--max-uses", "2", "--allow-re-enrollment"]);
    let device = Device::new("device");
    let recorded = device.request(&key);
    let first = post(&service.endpoint(), &recorded).await;
    assert_eq!(first.text("outcome"), "enrolled");
    // Over another TLS channel: what was issued already, for a private key that the thief has not.
    let again = post(&service.endpoint(), &recorded).await;
    assert_eq!((again.text("outcome"), again.text("certificate")), ("replayed".into(), first.text("certificate")));

    // A renewal is worth nothing without the handshake that it came in, or in somebody else's.
    let renewal = json!({ "csr": device.csr() });
    let mut stream = connect(&service.endpoint()).await.expect("a connection");
    stream.write_all(&renew_request(&renewal)).await.expect("a request");
    let answer = read_answer(&mut stream).await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (401, "client-certificate-required"));
    let other = Device::new("other");
    let enrolled = other.enroll(&service.endpoint(), &key).await;
    let others = Identity::of(&enrolled, &other.key_pair);
    let answer = renew(&service.endpoint(), &others, &device.csr()).await.expect("an answer");
    assert_eq!(answer.text("componentId"), enrolled.text("componentId"), "the certificate says who it is for");

    service.cli_ok(&["component", "revoke", "--yes", &first.text("componentId")]);
    assert_eq!(post(&service.endpoint(), &recorded).await.code(), "component-revoked");
    assert_eq!(service.uses("machine", "k"), 2);
    service.assert_healthy();
}

/// Also where whoever starts it allows dumps of any size.
#[test]
fn a_crash_leaves_no_dump() {
    let service = Service::prepare("");
    let serve = service.command();
    let mut child = Command::new("/bin/sh")
        .args(["-c", "ulimit -S -c $(ulimit -H -c) && exec \"$@\"", "sh"])
        .arg(serve.get_program())
        .args(serve.get_args())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    eventually("the service", || service.dir().join("ready.json").exists().then_some(()));
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("the process runs");
    child.kill().and_then(|()| child.wait()).expect("it ends");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(line.split_whitespace().nth(4), Some("0"), "{line}");
}
