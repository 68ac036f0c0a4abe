//! EST at the enrollment door: what is answered to what, whoever stands behind it.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster::domain::Refusal;
use muster::protocol::enroll::BODY_BYTES_MAX;
use muster::server::enroll::EnrollLimits;
use muster::server::http::failures::FailureRate;
use tokio::io::AsyncWriteExt as _;

use super::enroll::{CUSTOMER, Door, GROUP, body, key, post};
use super::support::{Reply, ask, get, read_reply, read_to_close};

const USER: &str = "device-0123456789";
const PKCS10: &str = "Content-Type: application/pkcs10\r\n";
/// Nobody behind this door reads it.
const CSR: &str = "MIIB\nMIIB\n";

/// Below every one of them the same is asked.
fn roots() -> Vec<String> {
    let mut roots = vec!["/.well-known/est".to_owned()];
    for label in [CUSTOMER, GROUP] {
        roots.push(format!("/.well-known/est/{label}"));
        roots.push(format!("/{label}/.well-known/est"));
        roots.push(format!("/some/where/{label}/.well-known/est"));
    }
    roots
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn simple_enroll(key: &str) -> Vec<u8> {
    let headers = format!("{PKCS10}{}", basic(USER, key));
    request("POST", "/.well-known/est/simpleenroll", &headers, CSR.as_bytes())
}

/// The DER in an answer that every client can read.
fn message(reply: &Reply) -> Vec<u8> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.headers["content-type"], "application/pkcs7-mime; smime-type=certs-only");
    assert_eq!(reply.headers["content-transfer-encoding"], "base64");
    assert!(reply.head.len() <= 1_024, "strongSwan takes no more");
    STANDARD.decode(reply.body.strip_suffix('\n').expect("an end of the line")).expect("one line of base64")
}

#[tokio::test]
async fn a_key_is_redeemed_below_every_label_of_its_own() {
    let door = Door::open();
    for root in roots() {
        let headers = format!("{PKCS10}{}", basic(USER, &key("")));
        let reply = door.ask(request("POST", &format!("{root}/simpleenroll"), &headers, CSR.as_bytes())).await;
        let message = message(&reply);
        assert!(message.windows(400).any(|part| part == [0x30; 400]), "{root}: the certificate stands in it");
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.headers["muster-reference"].len(), 12);
        let seen = door.script.seen.lock().unwrap().pop().unwrap();
        assert_eq!((&*seen.fingerprint, &*seen.csr), (USER, CSR));
    }
    let other = door.ask(request("POST", "/.well-known/est/7/simpleenroll", &basic(USER, &key("")), b"")).await;
    assert_eq!((other.status, other.code()), (404, "not-found".to_owned()));
    assert_eq!(other.headers["muster-reference"], other.json()["reference"].as_str().unwrap());
    assert_eq!(other.headers.get("connection"), None, "its key verified");
    assert!(door.script.seen.lock().unwrap().is_empty());
    door.server.expect_metric("muster_enroll_requests_total{outcome=\"enrolled\"} 7").await;
}

#[tokio::test]
async fn without_a_key_every_request_that_could_enroll_is_the_one_401() {
    let door = Door::open();
    let right = key("");
    let credentials = [
        String::new(),
        basic(USER, ""),
        basic(USER, &right[..right.len() - 1]),
        basic(USER, &right.to_uppercase()),
        basic("", "x"),
        basic(USER, &"x".repeat(2_049)),
        basic(&"u".repeat(5_000), &right),
        basic(USER, &right).replace("Basic", "Bearer"),
        format!("{0}{0}", basic(USER, &right)),
        "Authorization: Basic *\r\n".to_owned(),
        format!("Authorization: {right}\r\n"),
    ];
    let masked = |reply: &Reply| {
        let (date, reference) = (reply.headers["date"].clone(), reply.headers["muster-reference"].clone());
        assert_eq!(reference.len(), 12);
        reply.head.replace(&date, "now").replace(&reference, "reference")
    };
    let mut first = None;
    for (number, credentials) in credentials.iter().enumerate() {
        let roots = roots();
        let root = &roots[number % roots.len()];
        for (content_type, body) in [(PKCS10, CSR.as_bytes()), ("Content-Type: application/json\r\n", b"{}"), ("", b"")]
        {
            let headers = format!("{content_type}{credentials}");
            let mut stream = door.server.connect().await;
            let reply = ask(&mut stream, request("POST", &format!("{root}/simpleenroll"), &headers, body)).await;
            assert_eq!((reply.status, &*reply.body), (401, ""), "{credentials}");
            assert_eq!(reply.headers["www-authenticate"], "Basic realm=\"muster\"");
            assert_eq!((&*reply.headers["connection"], &*reply.headers["cache-control"]), ("close", "no-store"));
            assert_eq!(&masked(&reply), first.get_or_insert_with(|| masked(&reply)), "{credentials}");
            assert_eq!(read_to_close(&mut stream).await, b"");
        }
    }
    let unknown = door.ask(request("POST", "/.well-known/est/7/simpleenroll", PKCS10, CSR.as_bytes())).await;
    assert_eq!(Some(masked(&unknown)), first, "not even that a label is none");
    let gone = door.ask(simple_enroll(&key("gone"))).await;
    assert_eq!(Some(masked(&gone)), first, "deleted since it was verified");
    let seen = door.script.seen.lock().unwrap().len();
    assert_eq!((seen, door.notes.0.lock().unwrap().len()), (1, 0), "only the one that was deleted came so far");
}

/// Whichever path, method and type: what has no key reaches nobody who could sign.
#[tokio::test]
async fn no_way_around_the_gate() {
    let failures = FailureRate { per_second: None, burst: 0 };
    let door = Door::open_with(EnrollLimits { failures, ..EnrollLimits::default() });
    let mut paths =
        vec!["/v1/enroll".to_owned(), "/v1/trust-anchors".to_owned(), "/.well-known/est/fullcmc".to_owned()];
    for operation in ["cacerts", "csrattrs", "fullcmc", "serverkeygen", "simpleenroll", "simplereenroll"] {
        paths.extend(roots().iter().map(|root| format!("{root}/{operation}")));
    }
    let json = body("3|localhost|wrong");
    let bodies: [(&str, &[u8]); 4] =
        [("", b""), (PKCS10, CSR.as_bytes()), ("Content-Type: application/json\r\n", &json), (PKCS10, &json)];
    for path in &paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            for (headers, body) in bodies {
                let reply = door.ask(request(method, path, headers, body)).await;
                let is_public = matches!(reply.status, 200 | 204) && method == "GET";
                assert!(
                    is_public || matches!(reply.status, 401 | 404 | 405 | 415),
                    "{method} {path}: {}",
                    reply.status
                );
                if method == "POST" && path.ends_with("/simpleenroll") {
                    assert_eq!(reply.status, 401, "{path}");
                }
            }
        }
    }
    assert!(door.script.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refusals_are_problems_that_are_told_and_noted_as_everywhere() {
    let door = Door::open();
    for refusal in Refusal::ALL {
        let reply = door.ask(simple_enroll(&key(refusal.code()))).await;
        let status = if refusal == Refusal::InvalidCsr { 400 } else { 403 };
        assert_eq!((reply.status, &*reply.code()), (status, refusal.code()));
        let (_, (noted, _), _, reference) = door.notes.0.lock().unwrap().pop().unwrap();
        assert_eq!(noted, refusal);
        assert_eq!(reply.headers["muster-reference"], reference.as_str());
        assert_eq!(reply.json()["reference"].as_str(), Some(reference.as_str()));
    }
    for (what, code) in [("busy", "overloaded"), ("away", "store-unavailable"), ("unsure", "store-unavailable")] {
        let reply = door.ask(simple_enroll(&key(what))).await;
        assert_eq!((reply.status, &*reply.code()), (503, code));
        assert!((1..=20).contains(&reply.headers["retry-after"].parse::<u32>().unwrap()));
    }
    for path in ["/.well-known/est/", "/.well-known/est/fullcmc", "/.well-known/est/7/8/cacerts"] {
        let reply = door.ask(get(path)).await;
        assert_eq!((reply.status, &*reply.code()), (404, "not-found"), "{path}");
        assert_eq!(reply.headers["muster-reference"], reply.json()["reference"].as_str().unwrap());
    }
    let reply = door.ask(get("/.well-known/est/simpleenroll")).await;
    assert_eq!((reply.status, &*reply.headers["allow"]), (405, "POST"));
    assert_eq!(reply.headers["muster-reference"].len(), 12);
}

#[tokio::test]
async fn a_request_of_a_verified_key_is_bounded_and_never_a_failure() {
    let failures = FailureRate { per_second: NonZeroU32::new(1), burst: 1 };
    let door = Door::open_with(EnrollLimits { failures, ..EnrollLimits::default() });
    let path = "/.well-known/est/simpleenroll";
    let ask = async |headers: String, body: &[u8]| {
        let reply = door.ask(request("POST", path, &headers, body)).await;
        let is_kept = !reply.headers.contains_key("connection");
        (reply.status, if reply.status == 200 { String::new() } else { reply.code() }, is_kept)
    };
    let good = basic(USER, &key(""));
    let malformed = |status, code: &str| (status, code.to_owned(), true);
    for _ in 0..3 {
        let nameless = format!("{PKCS10}{}", basic("", &key("")));
        assert_eq!(ask(nameless, CSR.as_bytes()).await, malformed(400, "malformed-request"));
        assert_eq!(ask(good.clone(), CSR.as_bytes()).await, malformed(415, "unsupported-media-type"));
    }
    let json = format!("Content-Type: application/json\r\n{good}");
    assert_eq!(ask(json, CSR.as_bytes()).await, malformed(415, "unsupported-media-type"));
    let typed = format!("{PKCS10}{good}");
    for length in [BODY_BYTES_MAX - 1, BODY_BYTES_MAX] {
        assert_eq!(ask(typed.clone(), &vec![b'M'; length]).await.0, 200);
    }
    assert_eq!(ask(typed.clone(), &vec![b'M'; BODY_BYTES_MAX + 1]).await.0, 413);
    let parameter = typed.replace("pkcs10\r\n", "PKCS10; charset=x\r\n");
    assert_eq!(ask(parameter, b"\x30\x82\xff\xff").await.0, 200);
    assert_eq!(door.script.seen.lock().unwrap().last().unwrap().csr, "MIL//w==", "DER goes on as base64");

    // Who has none is limited, together with who fails at the other door.
    assert_eq!(door.enroll("wrong").await.status, 401);
    let mut limited = None;
    for _ in 0..12 {
        let reply = door.ask(simple_enroll("wrong")).await;
        limited = limited.or((reply.status == 429).then_some(reply));
    }
    let limited = limited.unwrap();
    assert_eq!((limited.code(), limited.headers.contains_key("retry-after")), ("rate-limited".to_owned(), true));
    assert_eq!(ask(typed, CSR.as_bytes()).await.0, 200, "others' failures are not its own");
}

#[tokio::test]
async fn both_doors_share_the_places_in_flight() {
    let door = Door::open_with(EnrollLimits { in_flight_max: 1, ..EnrollLimits::default() });
    for (waiting, other) in
        [(post(&body(&key("wait"))), simple_enroll(&key(""))), (simple_enroll(&key("wait")), post(&body(&key(""))))]
    {
        let mut first = door.server.connect().await;
        first.write_all(&waiting).await.unwrap();
        door.script.gate.wait_for(1).await;
        let refused = door.ask(&other).await;
        assert_eq!((refused.status, refused.code()), (503, "overloaded".to_owned()));
        door.script.gate.open_for(1).await;
        assert_eq!(read_reply(&mut first).await.status, 200);
        assert_eq!(door.ask(&other).await.status, 200);
    }
}

#[tokio::test]
async fn authorities_are_for_everyone_below_a_label_that_names_a_customer() {
    let door = Door::open();
    for root in roots() {
        let reply = door.ask(get(&format!("{root}/csrattrs"))).await;
        assert_eq!((reply.status, reply.headers.get("content-length")), (204, None));
        let reply = door.ask(get(&format!("{root}/cacerts"))).await;
        if root == "/.well-known/est" {
            assert_eq!((reply.status, reply.code()), (404, "not-found".to_owned()), "there are several customers");
        } else {
            assert_eq!(message(&reply), b"roots and CAs below", "{root}");
        }
    }
    for label in ["7", "0", "x", "07"] {
        assert_eq!(door.ask(get(&format!("/.well-known/est/{label}/cacerts"))).await.code(), "not-found", "{label}");
    }
    door.customers.only.store(true, Ordering::Relaxed);
    assert_eq!(message(&door.ask(get("/.well-known/est/cacerts")).await), b"roots and CAs below");
}
