//! `POST /v1/enroll` and its neighbours: what is answered to what, whoever stands behind the door.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use muster::clock::{ManualClock, Timestamp};
use muster::domain::address::SourcePrefix;
use muster::domain::{Kind, Reference, Refusal, RefusalReason, SerialNumber};
use muster::enrollment::renewal::{CertificateFault, RenewalError, RenewalRequest};
use muster::enrollment::{ClockDifference, Enrollment, EnrollmentError, EnrollmentRequest};
use muster::id::{ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId};
use muster::metrics::Metrics;
use muster::protocol::enroll::{BODY_BYTES_MAX, EnrollRequest, EnrollResponse, Outcome, PemText};
use muster::server::enroll::{
    CustomerTrustAnchors, EnrollDoor, EnrollLimits, Enroller, KeyIdentity, Parts, RefusalSink,
};
use muster::server::http::failures::FailureRate;
use muster::server::listener::Limits;
use muster::telemetry::{LogFormat, Telemetry};
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt as _;

use super::support::{Gate, Reply, SHORT, Server, ask, get, patiently, read_reply, read_to_close};

pub(super) const CUSTOMER: u64 = 72_057_594_037_927_936;
pub(super) const GROUP: u64 = 72_057_594_037_927_937;
pub(super) const KEY: u64 = 42;
pub(super) const FINGERPRINT: &str = "oXaN4RRiMc0123456789abcdefABCDEF+/0123456789=";
const CSR: &str = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n";
pub(super) const NOW: &str = "2026-11-20T16:06:00Z";

/// A key string that verifies; what follows the prefix says what becomes of the request.
pub(super) fn key(what: &str) -> String {
    format!("3|localhost|{SECRET}{what}")
}

const SECRET: &str = "0dZ6lDTCanaryCanaryCanaryCanaryCanary";

/// Stands behind the door and does as the key string says.
#[derive(Default)]
pub(super) struct Script {
    pub(super) gate: Gate,
    pub(super) seen: Mutex<Vec<Seen>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) fingerprint: String,
    pub(super) csr: String,
    hostname: Option<String>,
    address: IpAddr,
}

impl Enroller for Script {
    type Presented = String;
    type Key = String;
    type Device = Infallible;

    fn present(&self, text: &str) -> String {
        text.to_owned()
    }

    async fn verify_key(&self, presented: &String) -> Result<Option<String>, EnrollmentError> {
        match presented.strip_prefix(&key("")) {
            Some("unsure") => Err(EnrollmentError::StoreUnavailable { reason: "no answer: /inside".to_owned() }),
            what => Ok(what.map(str::to_owned)),
        }
    }

    fn is_overtaken(&self, _: &String) -> bool {
        false
    }

    fn identify(&self, key: &String) -> KeyIdentity {
        let key_id = if key == "another" { KEY + 1 } else { KEY };
        KeyIdentity {
            customer_id: CustomerId::from_raw(CUSTOMER),
            group_id: GroupId::from_raw(GROUP),
            key_id: ProvisioningKeyId::from_raw(key_id),
        }
    }

    async fn enroll(&self, key: String, request: EnrollmentRequest<'_>) -> Result<Enrollment, EnrollmentError> {
        self.seen.lock().unwrap().push(Seen {
            fingerprint: request.fingerprint.to_string(),
            csr: request.csr.to_owned(),
            hostname: request.device.hostname.clone(),
            address: request.remote_address,
        });
        match &*key {
            "wait" => self.gate.pass().await,
            "busy" => return Err(EnrollmentError::Overloaded),
            "away" => return Err(EnrollmentError::StoreUnavailable { reason: "disk full: /inside".to_owned() }),
            "clock" => return Err(EnrollmentError::ClockOff(ClockDifference { store_ahead_seconds: 61 })),
            "sign" => return Err(EnrollmentError::Signing),
            "gone" => return Err(EnrollmentError::KeyGone),
            "panic" => panic!("as the test asked"),
            code => {
                if let Some(refusal) = Refusal::ALL.into_iter().find(|refusal| refusal.code() == code) {
                    return Err(EnrollmentError::Refused { refusal, reason: "inside".into() });
                }
            }
        }
        Ok(enrollment())
    }

    /// Certificates are shown to the service itself, see `renewal`.
    async fn authenticate(&self, _: &CertificateDer<'_>, _: Duration) -> Result<Infallible, RenewalError> {
        Err(CertificateFault::Foreign.into())
    }

    fn identify_device(&self, device: &Infallible) -> (ComponentId, KeyIdentity) {
        match *device {}
    }

    async fn renew(&self, device: Infallible, _: RenewalRequest<'_>) -> Result<Enrollment, RenewalError> {
        match device {}
    }
}

fn enrollment() -> Enrollment {
    let at = |text| Timestamp::from_rfc3339(text).unwrap();
    Enrollment {
        outcome: Outcome::Enrolled,
        component_id: ComponentId::from_raw(7),
        component_name: "k1-1".to_owned(),
        kind: Kind::AppConnector,
        customer_id: CustomerId::from_raw(CUSTOMER),
        group_id: GroupId::from_raw(5),
        group_name: "HQ \"north\"".into(),
        certificate_der: vec![0x30; 400],
        chain_pem: "-----BEGIN CERTIFICATE-----\nchain\n-----END CERTIFICATE-----\n".into(),
        trust_anchors_pem: "root\n".into(),
        serial: SerialNumber::from_bytes([1; 16]),
        not_before: at("2026-11-20T16:01:00Z"),
        not_after: at("2027-02-18T16:06:00Z"),
        renew_after: at("2027-01-19T16:06:00Z"),
    }
}

pub(super) type Note = (KeyIdentity, (Refusal, RefusalReason), SourcePrefix, Reference);

#[derive(Default)]
pub(super) struct Notes(pub(super) Mutex<Vec<Note>>);

impl RefusalSink for Notes {
    fn note(&self, key: KeyIdentity, refusal: (Refusal, RefusalReason), source: SourcePrefix, reference: Reference) {
        self.0.lock().unwrap().push((key, refusal, source, reference));
    }
}

/// Of the one customer, or of one among others.
#[derive(Default)]
pub(super) struct Customers {
    pub(super) only: AtomicBool,
}

impl CustomerTrustAnchors for Customers {
    fn trust_anchors_pem(&self, customer: CustomerId) -> Option<PemText> {
        (customer.raw() == CUSTOMER).then(|| "roots of the customer\n".into())
    }

    fn authorities(&self, customer: CustomerId) -> Option<Arc<[u8]>> {
        (customer.raw() == CUSTOMER).then(|| b"roots and CAs below".as_slice().into())
    }

    fn only_customer(&self) -> Option<CustomerId> {
        self.only.load(Ordering::Relaxed).then_some(CustomerId::from_raw(CUSTOMER))
    }

    fn customer_of_group(&self, group: GroupId) -> Option<CustomerId> {
        (group.raw() == GROUP).then_some(CustomerId::from_raw(CUSTOMER))
    }
}

pub(super) struct Door {
    pub(super) server: Server,
    pub(super) script: Arc<Script>,
    pub(super) notes: Arc<Notes>,
    pub(super) customers: Arc<Customers>,
    anchors: Arc<ArcSwap<PemText>>,
    limits: Arc<ArcSwap<EnrollLimits>>,
}

impl Door {
    pub(super) fn open() -> Self {
        Self::open_with(EnrollLimits::default())
    }

    pub(super) fn open_with(limits: EnrollLimits) -> Self {
        let script = Arc::new(Script::default());
        let notes = Arc::new(Notes::default());
        let anchors = Arc::new(ArcSwap::from_pointee("anchor\n".into()));
        let customers = Arc::new(Customers::default());
        let limits = Arc::new(ArcSwap::from_pointee(limits));
        let metrics = Arc::new(Metrics::new());
        let door = EnrollDoor::new(Parts {
            enroller: script.clone(),
            server_trust_anchors: anchors.clone(),
            customer_trust_anchors: customers.clone(),
            crls: Arc::default(),
            refusals: notes.clone(),
            limits: limits.clone(),
            clock: Arc::new(ManualClock::new(Timestamp::from_rfc3339(NOW).unwrap())),
            metrics: metrics.clone(),
        });
        let asked = Some(muster::server::tls::ClientCertificates::Asked);
        let server = Server::start(Arc::new(door), Limits::default(), asked, SHORT, metrics);
        Self { server, script, notes, customers, anchors, limits }
    }

    /// One request on a connection of its own.
    pub(super) async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        ask(&mut self.server.connect().await, request).await
    }

    pub(super) async fn enroll(&self, key: &str) -> Reply {
        self.ask(post(&body(key))).await
    }
}

pub(super) fn body(key: &str) -> Vec<u8> {
    let request = EnrollRequest {
        provisioning_key: key,
        fingerprint: FINGERPRINT,
        csr: CSR,
        hostname: Some("edge-7.example"),
        platform: None,
        software_version: None,
    };
    request.to_json().to_vec()
}

pub(super) fn post(body: &[u8]) -> Vec<u8> {
    post_as("Content-Type: application/json\r\n", body)
}

fn post_as(headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("POST /v1/enroll HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn chunked(chunks: &[&[u8]]) -> Vec<u8> {
    let head = "POST /v1/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let mut request = head.as_bytes().to_vec();
    for chunk in chunks {
        request.extend(format!("{:x}\r\n", chunk.len()).bytes());
        request.extend(*chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[tokio::test]
async fn an_enrollment_is_answered_with_what_the_device_needs() {
    let door = Door::open();
    let reply = door.enroll(&key("")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.headers["cache-control"], "no-store");
    let answer: EnrollResponse = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((answer.outcome, &*answer.kind, &*answer.component_id), (Outcome::Enrolled, "app-connector", "7"));
    assert_eq!((&*answer.customer_id, &*answer.group_name), ("72057594037927936", "HQ \"north\""));
    assert_eq!((&*answer.server_trust_anchors, &*answer.trust_anchors), ("anchor\n", "root\n"));
    assert_eq!((&*answer.server_time, &*answer.not_after), (NOW, "2027-02-18T16:06:00Z"));
    assert_eq!(answer.serial_number, "01010101010101010101010101010101");
    let lines: Vec<_> = answer.certificate.lines().collect();
    assert_eq!((lines[0], lines[1].len()), ("-----BEGIN CERTIFICATE-----", 64));

    let seen = door.script.seen.lock().unwrap().clone();
    let expected = Seen {
        fingerprint: FINGERPRINT.to_owned(),
        csr: CSR.to_owned(),
        hostname: Some("edge-7.example".to_owned()),
        address: [127, 0, 0, 1].into(),
    };
    assert_eq!(seen, [expected]);
    door.server.expect_metric("muster_enroll_requests_total{outcome=\"enrolled\"} 1").await;
}

#[tokio::test]
async fn one_connection_serves_many_requests_whole_or_in_pieces() {
    let door = Door::open();
    let mut stream = door.server.connect().await;
    let whole = body(&key(""));
    for request in
        [post(&whole), chunked(&[&whole]), chunked(&[&whole[..10], &whole[10..11], &whole[11..]]), post(&whole)]
    {
        assert_eq!(ask(&mut stream, request).await.status, 200);
    }
}

#[tokio::test]
async fn the_401_is_the_same_bytes_whatever_is_wrong_with_the_key() {
    let door = Door::open();
    let right = key("");
    let wrong = [
        String::new(),
        right[..right.len() - 1].to_owned(),
        right.replace("3|", "2|"),
        right.replace("localhost", "elsewhere"),
        right.to_uppercase(),
        right.replace("Canary", " Canary"),
        right.replace("Canary", "\0"),
        right.replace("Canary", "Kanär"),
        "3|localhost|".to_owned() + &"A".repeat(10_000),
        "x".repeat(2_049),
        "\u{1f511}".repeat(1_000),
    ];
    let mut answers = Vec::new();
    for key in wrong {
        answers.push(door.enroll(&key).await);
    }
    // Written with escapes: fitting, too long, and no text at all.
    for written in ["3|localhost\\/".to_owned(), "\\u0041".repeat(2_100), "\\ud800".to_owned()] {
        let body = String::from_utf8(body("@")).unwrap().replace('@', &written);
        answers.push(door.ask(post(body.as_bytes())).await);
    }
    let masked = |reply: &Reply| {
        let json = reply.json();
        let (reference, time) = (json["reference"].as_str().unwrap(), json["serverTime"].as_str().unwrap());
        assert_eq!((reference.len(), time), (12, NOW));
        let date = reply.headers["date"].clone();
        (reply.head.replace(&date, "now"), reply.body.replace(reference, "reference"))
    };
    let first = masked(&answers[0]);
    for answer in &answers {
        assert_eq!(masked(answer), first);
        assert_eq!((answer.status, answer.code()), (401, "invalid-key".to_owned()));
        assert_eq!(answer.headers["www-authenticate"], "ProvisioningKey");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let expected = "{\"type\":\"urn:muster:problem:invalid-key\",\"title\":\"Invalid provisioning key\",\"status\":401,\
                    \"code\":\"invalid-key\",\"detail\":\"The provisioning key was not accepted.\",\
                    \"reference\":\"reference\",\"serverTime\":\"2026-11-20T16:06:00Z\"}";
    assert_eq!(first.1, expected);
    assert!(door.script.seen.lock().unwrap().is_empty(), "no CSR is looked at");
    assert!(door.notes.0.lock().unwrap().is_empty(), "nothing is noted");
    // Verified, and deleted on another node before it was enrolled.
    assert_eq!(masked(&door.enroll(&key("gone")).await), first);
}

#[tokio::test]
async fn a_malformed_request_is_refused_before_its_key_is_looked_at() {
    let door = Door::open();
    let good = String::from_utf8(body(&key(""))).unwrap();
    let with = |member: &str| good.replacen('{', &format!("{{{member},"), 1).into_bytes();
    let deep = format!("\"hostname\":{}{}", "[".repeat(7_000), "]".repeat(7_000));
    let mut bad_utf8 = good.clone().into_bytes();
    bad_utf8[good.find("edge").unwrap()] = 0xff;
    let malformed = [
        b"".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        good.clone().into_bytes()[..good.len() - 1].to_vec(),
        format!("{good}x").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        bad_utf8,
        with("\"unknown\":\"x\""),
        with(&format!("\"csr\":\"{FINGERPRINT}\"")),
        with("\"platform\":null"),
        with("\"platform\":7"),
        with(&deep),
        with(&format!("\"platform\":\"{}\"", "p".repeat(65))),
        with(&format!("\"softwareVersion\":\"{}\"", "v".repeat(65))),
        good.replace("edge-7.example", &"h".repeat(254)).into_bytes(),
        good.replace("edge-7.example", "a\\u0000b").into_bytes(),
        good.replace("edge-7.example", "a\nb").into_bytes(),
        good.replace(FINGERPRINT, "short").into_bytes(),
        good.replace("\"csr\"", "\"cSr\"").into_bytes(),
        good.replace(&format!("\"{}\"", key("")), "17").into_bytes(),
    ];
    for body in malformed {
        let reply = door.ask(post(&body)).await;
        let text = String::from_utf8_lossy(&body);
        assert_eq!((reply.status, reply.code()), (400, "malformed-request".to_owned()), "{text:.200}");
        assert!(!reply.body.contains(SECRET));
    }
    assert!(door.script.seen.lock().unwrap().is_empty());
    door.server.expect_metric("muster_enroll_requests_total{outcome=\"malformed-request\"} 20").await;
}

#[tokio::test]
async fn a_body_is_taken_up_to_16_kib_and_not_beyond() {
    let door = Door::open();
    let padded = |length: usize| {
        let mut body = body(&key(""));
        body.resize(length, b' ');
        body
    };
    for length in [BODY_BYTES_MAX - 1, BODY_BYTES_MAX] {
        assert_eq!(door.ask(post(&padded(length))).await.status, 200);
        assert_eq!(door.ask(chunked(&[&padded(length)])).await.status, 200);
    }
    for length in [BODY_BYTES_MAX + 1, 200_000] {
        for request in [post(&padded(length)), chunked(&[&padded(length)])] {
            let reply = door.ask(request).await;
            assert_eq!((reply.status, reply.code()), (413, "body-too-large".to_owned()));
        }
    }
    let announced = format!(
        "POST /v1/enroll HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        u64::MAX / 2
    );
    assert_eq!(door.ask(announced).await.code(), "body-too-large", "before a byte of it came");
}

#[tokio::test]
async fn only_json_is_taken() {
    let door = Door::open();
    for headers in ["", "Content-Type: text/json\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        let reply = door.ask(post_as(headers, &body(&key("")))).await;
        assert_eq!((reply.status, reply.code()), (415, "unsupported-media-type".to_owned()), "{headers}");
    }
    let reply = door.ask(post_as("content-type: Application/JSON; Charset=UTF-8\r\n", &body(&key("")))).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn other_paths_and_methods_are_problems_too() {
    let door = Door::open();
    for path in ["/", "/v1/enroll/", "/v1/Enroll", "/v2/enroll", "/v1/trust-anchors/7/8", "/metrics"] {
        let reply = door.ask(get(path)).await;
        assert_eq!((reply.status, reply.code()), (404, "not-found".to_owned()), "{path}");
        assert_eq!(reply.headers["content-type"], "application/problem+json");
    }
    let reply = door.ask(get("/v1/enroll")).await;
    assert_eq!((reply.status, &reply.headers["allow"][..]), (405, "POST"));
    assert_eq!(reply.code(), "method-not-allowed");
    let reply = door.ask("DELETE /v1/trust-anchors HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((reply.status, &reply.headers["allow"][..]), (405, "GET"));
}

#[tokio::test]
async fn trust_anchors_and_health_are_for_everyone() {
    let door = Door::open();
    assert_eq!(door.ask(get("/healthz")).await.body, "ok\n");
    let reply = door.ask(get("/v1/trust-anchors")).await;
    assert_eq!((&*reply.body, &*reply.headers["content-type"]), ("anchor\n", "application/pem-certificate-chain"));
    door.anchors.store(Arc::new("anchor\nits successor\n".into()));
    assert_eq!(door.ask(get("/v1/trust-anchors")).await.body, "anchor\nits successor\n");

    let of = |customer: &str| get(&format!("/v1/trust-anchors/{customer}"));
    assert_eq!(door.ask(of(&CUSTOMER.to_string())).await.body, "roots of the customer\n");
    for customer in ["1", "0", "-1", "x", "072057594037927936", "%37"] {
        assert_eq!(door.ask(of(customer)).await.code(), "not-found", "{customer}");
    }
}

#[tokio::test]
async fn a_refusal_of_a_verified_key_is_told_and_noted() {
    let door = Door::open();
    for refusal in Refusal::ALL {
        let reply = door.enroll(&key(refusal.code())).await;
        let status = if refusal == Refusal::InvalidCsr { 400 } else { 403 };
        assert_eq!((reply.status, &*reply.code()), (status, refusal.code()));
        assert!(!reply.body.contains("inside"));
        let (key, noted, source, reference) = door.notes.0.lock().unwrap().pop().unwrap();
        assert_eq!((key.customer_id.raw(), key.key_id.raw()), (CUSTOMER, KEY));
        assert_eq!(noted, (refusal, RefusalReason::new("inside")));
        assert_eq!(source.to_string(), "127.0.0.1/32");
        assert_eq!(reply.json()["reference"].as_str(), Some(reference.as_str()));
    }
}

#[tokio::test]
async fn trouble_behind_the_door_says_when_to_come_back_and_nothing_else() {
    let door = Door::open();
    let trouble = [
        ("busy", "overloaded", 20),
        ("away", "store-unavailable", 5),
        ("unsure", "store-unavailable", 5),
        ("clock", "store-unavailable", 5),
    ];
    for (what, code, latest) in trouble {
        let reply = door.enroll(&key(what)).await;
        assert_eq!((reply.status, &*reply.code()), (503, code));
        let seconds: u32 = reply.headers["retry-after"].parse().unwrap();
        assert!((1..=latest).contains(&seconds), "{seconds}");
        assert!(!reply.body.contains("inside"));
    }
    assert_eq!(door.enroll(&key("sign")).await.code(), "internal");
    assert!(door.notes.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn failures_are_limited_and_a_good_key_is_not() {
    let failures = FailureRate { per_second: NonZeroU32::new(1), burst: 3 };
    let door = Door::open_with(EnrollLimits { failures, ..EnrollLimits::default() });
    assert_eq!(door.enroll("wrong").await.status, 401);
    assert_eq!(door.ask(post(b"{}")).await.status, 400);
    assert_eq!(door.enroll("wrong").await.status, 401);
    // A second may pass on a slow machine and bring one more; not a dozen.
    let mut limited = None;
    for _ in 0..12 {
        let reply = door.enroll("wrong").await;
        limited = limited.or((reply.status == 429).then_some(reply));
    }
    let limited = limited.unwrap();
    assert_eq!(limited.code(), "rate-limited");
    assert!((1..=5).contains(&limited.headers["retry-after"].parse::<u32>().unwrap()));
    assert_eq!(door.enroll(&key("")).await.status, 200, "others' failures are not its own");
    assert_eq!(door.enroll(&key("key-exhausted")).await.status, 403);

    let off = FailureRate { per_second: None, burst: 0 };
    door.limits.store(Arc::new(EnrollLimits { failures: off, ..EnrollLimits::default() }));
    for _ in 0..20 {
        assert_eq!(door.enroll("wrong").await.status, 401);
    }
}

#[tokio::test]
async fn an_anonymous_refusal_ends_the_connection_and_a_verified_keys_does_not() {
    let door = Door::open();
    let not_json = String::from_utf8(post(b"{}")).unwrap().replace("application/json", "text/plain");
    let requests = [
        (post(&body("wrong")), 401),
        (post(&body(&key("gone"))), 401),
        (post(&body(&key("unsure"))), 503),
        (post(b"{}"), 400),
        (not_json.into_bytes(), 415),
        (get("/nowhere").into_bytes(), 404),
        (get("/v1/enroll").into_bytes(), 405),
    ];
    for (request, status) in requests {
        let mut stream = door.server.connect().await;
        let reply = ask(&mut stream, request).await;
        assert_eq!((reply.status, &reply.headers["connection"][..]), (status, "close"));
        assert_eq!(read_to_close(&mut stream).await, b"");
    }
    let mut stream = door.server.connect().await;
    let denied = ask(&mut stream, post(&body(&key("key-exhausted")))).await;
    assert_eq!((denied.status, denied.headers.get("connection")), (403, None));
    assert_eq!(ask(&mut stream, post(&body(&key("")))).await.status, 200);
}

#[tokio::test]
async fn enrollments_in_flight_are_bounded_for_those_whose_key_verified() {
    let door = Door::open_with(EnrollLimits { in_flight_max: 1, ..EnrollLimits::default() });
    let mut first = door.server.connect().await;
    first.write_all(&post(&body(&key("wait")))).await.unwrap();
    door.script.gate.wait_for(1).await;
    assert_eq!(door.enroll(&key("")).await.code(), "overloaded");
    assert_eq!(door.enroll("wrong").await.code(), "invalid-key", "takes no place");
    door.script.gate.open_for(1).await;
    assert_eq!(read_reply(&mut first).await.status, 200);
    assert_eq!(door.enroll(&key("")).await.status, 200, "the place is free again");
}

#[tokio::test]
async fn one_keys_storm_leaves_places_to_the_others() {
    let door = Door::open_with(EnrollLimits { in_flight_max: 8, ..EnrollLimits::default() });
    let mut storm = Vec::new();
    for _ in 0..6 {
        let mut stream = door.server.connect().await;
        stream.write_all(&post(&body(&key("wait")))).await.unwrap();
        storm.push(stream);
    }
    door.script.gate.wait_for(6).await;
    let refused = door.enroll(&key("wait")).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"), "three quarters are its share");
    assert!((2..=20).contains(&refused.headers["retry-after"].parse::<u32>().unwrap()));
    assert_eq!(door.enroll(&key("another")).await.status, 200, "from the same address, too");
    door.script.gate.open_for(6).await;
    for mut stream in storm {
        assert_eq!(read_reply(&mut stream).await.status, 200);
    }
    assert_eq!(door.enroll(&key("")).await.status, 200);
}

#[tokio::test]
async fn a_slow_body_is_closed_at_the_deadline() {
    let door = Door::open_with(EnrollLimits { body_timeout: SHORT, ..EnrollLimits::default() });
    let request = post(&body(&key("")));
    for missing in [1, 100] {
        let mut stream = door.server.connect().await;
        stream.write_all(&request[..request.len() - missing]).await.unwrap();
        assert_eq!(read_to_close(&mut stream).await, b"");
    }
    door.server.expect_metric("muster_connections_timed_out_total{deadline=\"body\",listener=\"enroll\"} 2").await;
    door.server.expect_metric("muster_enroll_requests_total{outcome=\"abandoned\"} 2").await;
    assert!(door.script.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let door = Door::open();
    let mut stream = door.server.connect().await;
    stream.write_all(&post(&body(&key("panic")))).await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, b"");
    assert_eq!(door.enroll(&key("")).await.status, 200);
    door.server.expect_metric("muster_enroll_requests_total{outcome=\"internal\"} 1").await;
    door.server.expect_metric("muster_connections_open{listener=\"enroll\"} 0").await;
}

/// What the process logs from the first call on, whichever test it comes from.
///
/// A subscriber of one thread's own would miss lines: `tracing` remembers for each place in the code
/// whether *anyone* listens, and asks the thread that comes by first.
fn log() -> &'static Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    LINES.get_or_init(|| {
        let lines = Lines::default();
        let writer = lines.clone();
        let (_, subscriber) = Telemetry::build(LogFormat::Json, "trace", move || writer.clone()).unwrap();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        lines
    })
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_request_is_one_line_and_no_line_has_a_key_string() {
    let lines = log();
    let door = Door::open();
    let cut = key("")[..40].to_owned();
    let mut refused = Vec::new();
    for key in [key("key-exhausted"), key("away"), cut] {
        refused.push(door.enroll(&key).await);
    }
    refused.push(door.ask(post(format!("{{\"provisioningKey\":\"{}\"}}", key("")).as_bytes())).await);
    refused.push(door.ask(get(&format!("/{SECRET}"))).await);
    assert_eq!(door.enroll(&key("")).await.status, 200);
    let public = ["/healthz", "/v1/trust-anchors", &format!("/v1/trust-anchors/{CUSTOMER}")];
    for path in public {
        assert_eq!(door.ask(get(path)).await.status, 200, "{path}");
    }

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("Canary"), "{text}");
    let told: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["target"] == "muster::enroll")
        .collect();
    let of = |reply: &Reply| {
        let mut lines = told.iter().filter(|line| line["reference"] == reply.json()["reference"]);
        let line = lines.next().unwrap_or_else(|| panic!("no line for {}", reply.body));
        assert!(lines.next().is_none(), "two lines for {}", reply.body);
        line
    };
    for reply in &refused {
        let line = of(reply);
        assert_eq!((&line["outcome"], &line["remote.address"]), (&reply.json()["code"], &"127.0.0.1".into()));
        assert!(line["duration_ms"].as_f64().unwrap() >= 0.0);
    }
    assert_eq!(of(&refused[0])["key.id"], KEY.to_string());
    assert_eq!(of(&refused[0])["customer.id"], CUSTOMER.to_string());
    assert!(of(&refused[1])["cause"].as_str().unwrap().contains("disk full"));
    assert!(of(&refused[2]).get("key.id").is_none(), "whose key it might have been is not known");
    for route in ["/healthz", "/v1/trust-anchors", "/v1/trust-anchors/{customerId}"] {
        let line = told.iter().find(|line| line["route"] == route).unwrap_or_else(|| panic!("no line for {route}"));
        assert_eq!((&line["level"], &line["remote.address"]), (&"DEBUG".into(), &"127.0.0.1".into()));
    }
    let enrolled = told.iter().find(|line| line["outcome"] == "enrolled").unwrap();
    assert_eq!((&enrolled["component.id"], &enrolled["key.id"]), (&"7".into(), &"42".into()));
}

#[tokio::test]
async fn a_flood_of_refusals_is_summed_up() {
    const FLOOD: u64 = 400;
    let lines = log();
    let door = Door::open();
    // All handshakes first, so that the refusals come at once.
    let mut streams = Vec::new();
    for _ in 0..FLOOD {
        streams.push(door.server.connect().await);
    }
    for mut stream in streams {
        assert_eq!(ask(&mut stream, get("/v1/enroll")).await.status, 405);
    }
    patiently("the summary", async {
        loop {
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            let told = text.lines().filter(|line| line.contains("\"outcome\":\"method-not-allowed\"")).count() as u64;
            let summed_up: u64 = text
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["refusals"].as_u64())
                .sum();
            if summed_up > 0 && told + summed_up >= FLOOD {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}
