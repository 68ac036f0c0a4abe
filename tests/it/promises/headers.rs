//! What a request says about itself beside its credentials changes nothing: neither who asks, nor from where, nor what for.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::api::support::Client;
use crate::support::device::{connect, read_answer};
use crate::support::{Answer, Device, Random, Service};

/// Headers that other servers let decide something.
const HEADERS: [(&str, &str); 34] = [
    ("accept", "application/pkcs7-mime"),
    ("accept-language", "x"),
    ("cookie", "__Host-muster-session=1; session=1; admin=true"),
    ("dnt", "1"),
    ("forwarded", "for=192.0.2.1;proto=https;host=localhost"),
    ("from", "admin@example.com"),
    ("if-match", "\"1\""),
    ("if-none-match", "*"),
    ("origin", "https://localhost:8444"),
    ("pragma", "no-cache"),
    ("prefer", "respond-async"),
    ("proxy-authorization", "Basic YWRtaW46YWRtaW4="),
    ("range", "bytes=0-0"),
    ("referer", "https://localhost:8444/"),
    ("sec-fetch-site", "same-origin"),
    ("ssl-client-verify", "SUCCESS"),
    ("true-client-ip", "192.0.2.1"),
    ("user-agent", "kube-probe/1.30"),
    ("via", "1.1 localhost"),
    ("x-amz-date", "20260101T000000Z"),
    ("x-client-cert", "SELF"),
    ("x-client-ip", "192.0.2.1"),
    ("x-debug", "true"),
    ("x-forwarded-client-cert", "By=spiffe://localhost;Subject=\"CN=1\""),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-host", "localhost"),
    ("x-forwarded-user", "admin"),
    ("x-http-method-override", "DELETE"),
    ("x-internal", "1"),
    ("x-muster-role", "owner"),
    ("x-original-url", "/v1/trust-anchors"),
    ("x-real-ip", "192.0.2.1"),
    ("x-remote-user", "admin"),
    ("x-rewrite-url", "/healthz"),
];

/// No header, each alone, then all of them in several orders.
fn combinations() -> Vec<String> {
    let mut random = Random::seeded();
    let line = |(name, value): &(&str, &str)| format!("{name}: {value}\r\n");
    let mut all = vec![String::new()];
    all.extend(HEADERS.iter().map(line));
    for _ in 0..6 {
        let mut headers = HEADERS.to_vec();
        for at in (1..headers.len()).rev() {
            let with = usize::try_from(random.below(at as u64 + 1)).expect("it is below a usize");
            headers.swap(at, with);
        }
        all.push(headers.iter().map(line).collect());
    }
    all
}

async fn ask(service: &Service, path: &str, headers: &str, body: &str) -> Answer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(&service.endpoint()).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("a request");
    read_answer(&mut stream).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_changes_what_a_device_is_answered() {
    let service = Service::start_with("[enroll]\nfailures_per_second = 0\n");
    service.create_group("machine", "HQ");
    let good = service.create_key("machine", "HQ", "good", &["--max-uses", "1"]);
    // The network that the headers claim to come from.
    let elsewhere = service.create_key("machine", "HQ", "elsewhere", &["--allow-from", "192.0.2.0/24"]);
    let device = Device::new("device");
    assert_eq!(device.enroll(&service.endpoint(), &good).await.text("outcome"), "enrolled");
    let requests = [
        ("/v1/enroll", device.request(&good), 200, "replayed"),
        ("/v1/enroll", Device::new("another").request(&good), 403, "key-exhausted"),
        ("/v1/enroll", device.request(&elsewhere), 403, "address-not-allowed"),
        ("/v1/enroll", device.request(&good[..good.len() - 1]), 401, "invalid-key"),
        ("/v1/renew", json!({ "csr": device.csr() }), 401, "client-certificate-required"),
    ];
    for headers in combinations() {
        for (path, body, status, what) in &requests {
            let answer = ask(&service, path, &headers, &body.to_string()).await;
            let member = if *status == 200 { "outcome" } else { "code" };
            assert_eq!((answer.status, answer.text(member).as_str()), (*status, *what), "{path} with\n{headers}");
        }
    }
    assert_eq!((service.uses("machine", "good"), service.uses("machine", "elsewhere")), (1, 0));
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_gives_an_administrator_more_than_the_role() {
    const PASSWORD: &str = "correct horse battery";
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let auditor = json!({ "username": "ada", "role": "auditor", "password": PASSWORD });
    client.make("administrators", &auditor).await;
    let nobody = Client::of(&service, client.customer());
    let auditor = nobody.signed_in("ada", PASSWORD).await;
    let lists = [("machineGroup", 200), ("/mgmtconfig/v1/admin/customers/0/administrators", 404)];
    // An `If-Match` is for what is changed; a list has no revision.
    for (name, value) in HEADERS.into_iter().filter(|(name, _)| !name.starts_with("if-")) {
        for (path, status) in lists {
            assert_eq!(nobody.send("GET", path, "", &[(name, value)]).await.status, 401, "{name}: {path}");
            assert_eq!(auditor.send("GET", path, "", &[(name, value)]).await.status, status, "{name}: {path}");
        }
        let refused = auditor.send("POST", "machineGroup", r#"{"name":"made"}"#, &[(name, value)]).await;
        assert_eq!((refused.status, refused.text("id").as_str()), (403, "authorization.failed"), "{name}");
    }
    assert_eq!(auditor.get("machineGroup").await.json()["totalCount"], "0");
}
