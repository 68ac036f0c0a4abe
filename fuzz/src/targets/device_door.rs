//! The door that devices call: HTTP as it comes out of TLS.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::StatusCode;
use muster::domain::address::SourcePrefix;
use muster::domain::{Reference, Refusal, RefusalReason};
use muster::enrollment::EnrollmentService;
use muster::protocol::enroll::PemText;
use muster::server::enroll::{CustomerTrustAnchors, EnrollDoor, EnrollLimits, KeyIdentity, Parts, RefusalSink};
use muster::server::http::failures::FailureRate;
use muster::store::Store as _;

use super::chosen_by;
use crate::world::{KEY_MAXIMUM, KEY_STRING, World, block_on};
use crate::{authority, door};

/// Requests after which all begins anew.
const REQUESTS_MAX: u32 = 20_000;

struct Door {
    world: World,
    door: EnrollDoor<EnrollmentService>,
    requests: u32,
}

struct Unheard;

impl RefusalSink for Unheard {
    fn note(&self, _: KeyIdentity, _: (Refusal, RefusalReason), _: SourcePrefix, _: Reference) {}
}

thread_local! {
    static DOOR: RefCell<Option<Door>> = const { RefCell::new(None) };
}

/// Bytes of a connection, in which `{length}` stands for that of the first body. The first one, if odd: a component's
/// certificate was shown.
///
/// Holds: no answer is an error of ours; each use of the key is one answered enrollment, and there are never more than its
/// maximum; wrong keys are answered alike; nobody is told the key string.
pub fn run(bytes: &[u8]) {
    let (choice, sent) = chosen_by(bytes);
    DOOR.with_borrow_mut(|door| block_on(send(door, choice & 1 == 1, sent)));
}

async fn send(place: &mut Option<Door>, shows: bool, sent: &[u8]) {
    if place.as_ref().is_none_or(|door| door.requests > REQUESTS_MAX) {
        if let Some(old) = place.take() {
            old.world.assert_intact().await;
            old.world.store.close().await;
        }
        *place = Some(Door::new().await);
    }
    let Some(Door { world, door, requests }) = place else { return };
    *requests += 1;
    let before = world.uses().await.expect("the key");
    let certificate = shows.then_some(&*world.certificate);
    let answered = door::exchange(door, certificate, sent).await;
    let uses = world.uses().await.expect("the key") - before;
    let succeeded =
        |path: &str| answered.iter().filter(|one| one.status() == StatusCode::OK && one.path.contains(path)).count();
    let enrolled = answered.iter().filter(|one| one.text().contains(r#""outcome":"enrolled""#)).count();
    assert!((enrolled..=enrolled + succeeded("/simpleenroll")).contains(&(uses as usize)), "{uses} uses, {enrolled}");
    assert!(u64::from(before + uses) <= KEY_MAXIMUM);
    for one in &answered {
        assert!(!one.text().contains(KEY_STRING));
        if one.text().contains(r#""code":"invalid-key""#) {
            assert_eq!((one.status(), one.text().len()), (StatusCode::UNAUTHORIZED, invalid_key_bytes(&one.text())));
        }
    }
}

/// How long the first refusal of a key was: reference and time have one length.
fn invalid_key_bytes(text: &str) -> usize {
    static BYTES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *BYTES.get_or_init(|| text.len())
}

impl Door {
    async fn new() -> Self {
        let world = World::new().await;
        let failures = FailureRate { per_second: None, ..FailureRate::default() };
        let door = EnrollDoor::new(Parts {
            enroller: Arc::clone(&world.service),
            server_trust_anchors: Arc::new(ArcSwap::from_pointee(PemText::default())),
            customer_trust_anchors: Arc::<muster::enrollment::Directory>::clone(&world.directory)
                as Arc<dyn CustomerTrustAnchors>,
            crls: Arc::clone(&world.crls),
            refusals: Arc::new(Unheard),
            limits: Arc::new(ArcSwap::from_pointee(EnrollLimits { failures, ..EnrollLimits::default() })),
            clock: Arc::clone(&world.clock),
            metrics: Arc::clone(&world.metrics),
        });
        Self { world, door, requests: 0 }
    }
}

/// The texts of `seeds/device-door` with what follows from keys: CSRs in all that they come in.
pub fn seeds() -> Vec<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let der = authority::get().request_of(&[], None);
    let (base64, pem) = (STANDARD.encode(&der), muster::ca::request_pem(&der));
    let post = |choice: u8, path: &str, headers: &str, body: &[u8]| {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\ncontent-length: {{length}}\r\n\r\n");
        [&[choice], head.as_bytes(), body].concat()
    };
    let json = "content-type: application/json";
    let enroll = |csr: &str| {
        let body = serde_json::json!({"provisioningKey": KEY_STRING, "fingerprint": "0123456789abcdef", "csr": csr, "hostname": "edge-1"});
        post(0, "/v1/enroll", json, body.to_string().as_bytes())
    };
    let renew = serde_json::json!({"csr": base64, "fingerprint": "0123456789abcdef"}).to_string();
    let basic = STANDARD.encode(format!("0123456789abcdef:{KEY_STRING}"));
    let est = format!("content-type: application/pkcs10\r\nauthorization: Basic {basic}");
    vec![
        enroll(&base64),
        enroll(&pem),
        post(1, "/v1/renew", json, renew.as_bytes()),
        post(0, "/.well-known/est/simpleenroll", &est, base64.as_bytes()),
        post(0, "/.well-known/est/simpleenroll", &est, &der),
        post(1, "/.well-known/est/simplereenroll", "content-type: application/pkcs10", pem.as_bytes()),
    ]
}
