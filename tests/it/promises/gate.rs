//! No path leads around the gate: whatever is asked, and in whose name, nothing is signed for who shows neither key nor
//! certificate.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::support::device::{connect, read_answer};
use crate::support::{Answer, Device, Service};

const KINDS: [&str; 4] = ["app-connector", "service-edge", "network-connector", "machine"];
const SIGNATURES: &str = "muster_ca_sign_duration_seconds_count{algorithm=\"ecdsa-p256\"}";

async fn ask(service: &Service, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let mut stream = connect(&service.endpoint()).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("the request is taken");
    read_answer(&mut stream).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_without_a_key_or_a_certificate() {
    let service = Service::start_with("[enroll]\nfailures_per_second = 0\n");
    let customer = service.api_client()["customerId"].as_str().expect("an id").to_owned();
    let device = Device::new("outsider");
    let csr = device.csr();
    let mut keys = Vec::new();
    for kind in KINDS {
        service.create_group(kind, "HQ");
        keys.push(service.create_key(kind, "HQ", "k", &["--max-uses", "9"]));
        let group: Value =
            serde_json::from_str(&service.cli_ok(&["group", "show", "--json", "--kind", kind, "HQ"])).expect("JSON");
        let group = group["id"].as_str().expect("an id");

        let key = keys.last().expect("it was just made");
        let wrong = format!("{}{}", &key[..key.len() - 1], if key.ends_with('A') { "B" } else { "A" });
        let json = device.request(&wrong).to_string();
        let basic = format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{}:{wrong}", device.fingerprint)));
        let mut paths = vec!["/v1/enroll".to_owned(), "/v1/renew".to_owned()];
        for root in
            ["/.well-known/est".to_owned(), format!("/.well-known/est/{customer}"), format!("/{group}/.well-known/est")]
        {
            paths.extend(["simpleenroll", "simplereenroll", "fullcmc"].map(|operation| format!("{root}/{operation}")));
        }
        for path in &paths {
            for method in ["GET", "POST", "PUT", "DELETE"] {
                for (content_type, body) in [("application/json", &json), ("application/pkcs10", &csr)] {
                    for credentials in ["", &basic] {
                        let headers = format!("content-type: {content_type}\r\n{credentials}");
                        let answer = ask(&service, method, path, &headers, body).await;
                        let of_est = path.ends_with("enroll") && path.contains("est");
                        let expected: &[u16] = match method {
                            "POST" if of_est => &[401],
                            "POST" => &[400, 401, 404, 415],
                            _ => &[404, 405],
                        };
                        assert!(expected.contains(&answer.status), "{method} {path} {headers}: {}", answer.status);
                    }
                }
            }
        }
    }
    assert_eq!(service.metric(SIGNATURES), 0.0);
    for (kind, key) in KINDS.iter().zip(keys) {
        assert_eq!(device.enroll(&service.endpoint(), &key).await.text("kind"), *kind);
        assert_eq!(service.uses(kind, "k"), 1);
    }
    assert_eq!(service.metric(SIGNATURES), 4.0, "this is where they are counted");
    service.assert_healthy();
}

/// As the source stands: at all doors the gate alone asks for certificates, and beside it only what tries a new signing
/// certificate out has any signed.
#[test]
fn one_place_asks_for_certificates_and_one_has_them_signed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let (mut asking, mut signing) = (BTreeSet::new(), BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_test = path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")));
            let text = fs::read_to_string(&path).unwrap_or_default();
            let product = text.split("#[cfg(test)]").next().expect("a part");
            let name = path.strip_prefix(&root).expect("below it").display().to_string();
            if !is_test && ["enroller.enroll(", "enroller.renew("].iter().any(|call| product.contains(call)) {
                asking.insert(name.clone());
            }
            if !is_test && product.contains(".issue(") {
                signing.insert(name);
            }
        }
    }
    assert_eq!(asking, BTreeSet::from(["server/enroll/gate.rs".to_owned()]));
    let places = ["ca/authority.rs", "enrollment/mod.rs"];
    assert_eq!(signing, places.map(str::to_owned).into());
}
