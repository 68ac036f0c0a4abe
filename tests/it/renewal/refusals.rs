//! What is asked of a renewal beside the certificate, in which order, and what the log and the metrics say of it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use muster::clock::Clock as _;
use muster::domain::{Actor, Kind};
use muster::management::Input;
use muster::management::keys::KeyInput;
use muster::management::signing_certificates::SigningCertificateInput;
use muster::protocol::enroll::BODY_BYTES_MAX;
use muster::server::enroll::EnrollLimits;
use muster::server::http::failures::FailureRate;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::authority::Authority;
use super::front::{Door, Front, certificate_of, told};
use crate::support::device::{Identity, connect_showing, csr, key_pair, read_answer, renew};
use crate::support::world::{World, WorldDevice};
use crate::support::{Device, Service, eventually};

const REFUSED: (u16, &str) = (401, "client-certificate-refused");

struct Subject {
    held: Identity,
    device: WorldDevice,
    key: muster::id::ProvisioningKeyId,
}

/// A machine of a group and key of its own, whose certificate the imported CA signed.
async fn enrolled(world: &World, authority: &Authority, name: &str) -> Subject {
    let signer = authority.import(world, world.customer, name).await;
    let group = world.group(Kind::Machine, name).await;
    let input = KeyInput { signing_certificate: Input::Given(signer), ..KeyInput::default() };
    let (key, string) = world.key(group, name, input).await;
    let key_pair = key_pair();
    let device = WorldDevice { csr: csr(&key_pair), ..WorldDevice::new(name) };
    let enrolled = world.enroll(&string, &device).await.expect("enrolled");
    Subject { held: Identity::new(&enrolled.certificate_der, &key_pair), device, key }
}

fn assert_told(reply: &crate::door::support::Reply, (status, what): (u16, &str), about: &str) {
    assert_eq!(told(reply), (status, what.to_owned()), "{about}: {}", reply.body);
}

#[tokio::test]
async fn a_request_has_one_form() {
    let world = World::new().await;
    let subject = enrolled(&world, &Authority::root("CA"), "d").await;
    let front = Front::open(world, Duration::ZERO);
    let csr = csr(&subject.held.key_pair());
    for body in [
        json!({}),
        json!({ "csr": null }),
        json!({ "csr": [csr] }),
        json!({ "csr": csr, "hostname": "h" }),
        json!({ "csr": csr, "provisioningKey": "3|c|s" }),
        json!({ "csr": csr, "fingerprint": null }),
        json!({ "csr": csr, "fingerprint": "short" }),
        json!([csr]),
        Value::Null,
    ] {
        for shown in [Some(&subject.held), None] {
            assert_told(&front.post(shown, &body).await, (400, "malformed-request"), &body.to_string());
        }
    }
    let large = json!({ "csr": "x".repeat(BODY_BYTES_MAX) });
    assert_told(&front.post(Some(&subject.held), &large).await, (413, "body-too-large"), "large");
    for (text, about) in [("", "empty"), ("no CSR", "none"), (&csr[..200], "cut")] {
        let reply = front.post(Some(&subject.held), &json!({ "csr": text })).await;
        assert_told(&reply, (400, "invalid-csr"), about);
    }
    let der = x509_parser::pem::parse_x509_pem(csr.as_bytes()).unwrap().1.contents;
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    assert_told(&front.post(Some(&subject.held), &json!({ "csr": base64 })).await, (200, "renewed"), "base64 of DER");
}

#[tokio::test]
async fn a_fingerprint_is_compared_if_it_is_sent() {
    let world = World::new().await;
    let subject = enrolled(&world, &Authority::root("CA"), "d").await;
    let front = Front::open(world, Duration::ZERO);
    let of = |csr: &str, fingerprint: &str| json!({ "csr": csr, "fingerprint": fingerprint });
    let good = csr(&subject.held.key_pair());
    for csr in [good.as_str(), "no CSR"] {
        let reply = front.post(Some(&subject.held), &of(csr, "another-machine-0")).await;
        assert_told(&reply, (403, "fingerprint-mismatch"), csr);
    }
    let reply = front.post(Some(&subject.held), &of(&good, subject.device.fingerprint.as_str())).await;
    assert_told(&reply, (200, "renewed"), "its own");
}

#[tokio::test]
async fn what_signs_must_be_able_to() {
    let world = World::new().await;
    let authority = Authority::root("CA");
    let subject = enrolled(&world, &authority, "d").await;
    let front = Front::open(world, Duration::ZERO);
    let world = &front.world;
    let signer = muster::store::Store::find_key(&*world.store, world.customer, subject.key).await.unwrap().unwrap();
    let signer = signer.signing_certificate_id;
    let allow = async |allowed| {
        let input = SigningCertificateInput { allow_signing: Input::Given(allowed), ..Default::default() };
        let edited =
            world.management.edit_signing_certificate(&Actor::system(), world.customer, signer, None, &input).await;
        edited.unwrap_or_else(|error| panic!("{error}"));
    };
    let csr = csr(&subject.held.key_pair());
    allow(false).await;
    for csr in [csr.as_str(), "no CSR"] {
        let reply = front.renew(Door::Json, Some(&subject.held), csr).await;
        assert_told(&reply, (403, "signing-certificate-unavailable"), csr);
    }
    // One that may not sign any more says still what it signed; the group's signs, as there is no key.
    let (actor, kind) = (Actor::system(), Kind::Machine);
    let deleted = world.management.delete_key(&actor, world.customer, kind, subject.key, None, false).await;
    deleted.unwrap_or_else(|error| panic!("{error}"));
    let reply = front.renew(Door::Json, Some(&subject.held), &csr).await;
    assert_told(&reply, (200, "renewed"), "by the group's");
    let next = Identity::new(&certificate_of(&reply), &subject.held.key_pair());
    allow(true).await;
    let reply = front.renew(Door::Json, Some(&next), &csr).await;
    assert_told(&reply, (200, "renewed"), "by the group's still");
    world.assert_healthy().await;
}

#[tokio::test]
async fn no_csr_brings_the_key_of_a_signing_certificate() {
    let world = World::new().await;
    let authority = Authority::root("CA");
    let subject = enrolled(&world, &authority, "d").await;
    let front = Front::open(world, Duration::ZERO);
    let reply = front.renew(Door::Json, Some(&subject.held), &csr(authority.key_pair())).await;
    assert_told(&reply, (400, "invalid-csr"), "the CA's own key");
}

#[tokio::test]
async fn namesakes_hide_no_older_signing_certificate() {
    let world = World::new().await;
    let subject = enrolled(&world, &Authority::root("CA"), "d").await;
    // Twenty of the same subject and subject key identifier, whose keys are others.
    let identifier = Authority::key_identifier_of(subject.held.certificate());
    for n in 0..20 {
        let namesake = Authority::namesake("CA", &identifier);
        namesake.import(&world, world.customer, &format!("namesake {n}")).await;
    }
    let front = Front::open(world, Duration::ZERO);
    let reply = front.renew(Door::Json, Some(&subject.held), &csr(&subject.held.key_pair())).await;
    assert_told(&reply, (200, "renewed"), "among its namesakes");
}

#[tokio::test]
async fn failures_are_limited_and_good_certificates_are_not() {
    let world = World::new().await;
    let subject = enrolled(&world, &Authority::root("CA"), "d").await;
    let front = Front::open(world, Duration::ZERO);
    let failures = FailureRate { per_second: NonZeroU32::new(1), burst: 3 };
    front.limits.store(Arc::new(EnrollLimits { failures, ..EnrollLimits::default() }));
    let csr = csr(&subject.held.key_pair());
    let mut codes = Vec::new();
    for _ in 0..24 {
        codes.push(told(&front.renew(Door::Json, None, &csr).await).1);
    }
    assert_eq!(codes[..3], ["client-certificate-required"; 3]);
    assert!(codes[3..].iter().any(|code| code == "rate-limited"), "{codes:?}");
    let reply = front.renew(Door::Json, Some(&subject.held), &csr).await;
    assert_told(&reply, (200, "renewed"), "behind the same address");
}

#[tokio::test]
async fn the_grace_is_what_it_is_when_the_request_comes() {
    let world = World::new().await;
    let subject = enrolled(&world, &Authority::root("CA"), "d").await;
    let front = Front::open(world, Duration::ZERO);
    let csr = csr(&subject.held.key_pair());
    front.world.clock.advance(Duration::from_secs(super::authority::LIFETIME_DAYS * 86_400));
    assert_told(&front.renew(Door::Json, Some(&subject.held), &csr).await, REFUSED, "at its end");
    let renew_grace = Duration::from_secs(1);
    front.limits.store(Arc::new(EnrollLimits { renew_grace, ..EnrollLimits::default() }));
    let reply = front.renew(Door::Json, Some(&subject.held), &csr).await;
    assert_told(&reply, (200, "renewed"), "in its grace");
    let at_its_end = front.world.clock.now();
    assert!(reply.json()["notAfter"].as_str().unwrap() > at_its_end.to_string().as_str());
    front.world.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_who_and_why_and_the_metrics_count() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    let device = Device::new("d");
    let answer = device.enroll(&service.endpoint(), &key).await;
    let (component, held) = (answer.text("componentId"), Identity::of(&answer, &device.key_pair));
    let own = csr(&held.key_pair());
    let renewed = renew(&service.endpoint(), &held, &own).await.expect("an answer");
    assert_eq!(renewed.text("outcome"), "renewed");
    assert_eq!(renewed.text("componentId"), component);
    assert_eq!(renewed.text("componentName"), "k-1");
    assert_eq!(renewed.text("serverTrustAnchors"), service.trust_anchor_pem());
    for member in ["chain", "trustAnchors", "groupId", "groupName", "kind", "customerId"] {
        assert_eq!(renewed.text(member), answer.text(member), "{member}");
    }
    let superseded = renew(&service.endpoint(), &held, &csr(&key_pair())).await.expect("an answer");
    assert_eq!(superseded.code(), "client-certificate-superseded");
    service.cli_ok(&["component", "revoke", "--yes", "--kind", "machine", "k-1"]);
    let current = Identity::of(&renewed, &held.key_pair());
    let refused = renew(&service.endpoint(), &current, &own).await.expect("an answer");
    assert_eq!((refused.status, refused.code().as_str()), REFUSED);
    assert!(!refused.body.contains("revoked"), "{}", refused.body);

    let log = service.log();
    let line = |reference: &str| log.lines().find(|line| line.contains(reference)).expect("its line").to_owned();
    let told = line(&superseded.text("reference"));
    assert!(told.contains(&component) && told.contains("newer certificate"), "{told}");
    let told = line(&refused.text("reference"));
    assert!(told.contains(&format!("component {component} is revoked")), "{told}");
    assert!(log.contains("A device renewed its certificate."), "{log}");
    for (outcome, count) in
        [("renewed", 1.0), ("client-certificate-superseded", 1.0), ("client-certificate-refused", 1.0)]
    {
        let sample = format!("muster_enroll_requests_total{{outcome=\"{outcome}\"}}");
        eventually(&sample, || (service.metric(&sample) == count).then_some(()));
    }
    assert_eq!(service.uses("machine", "k"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_shows_the_certificate_that_it_began_with() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    let device = Device::new("d");
    let answer = device.enroll(&service.endpoint(), &key).await;
    let held = Identity::of(&answer, &device.key_pair);
    let mut stream = connect_showing(&service.endpoint(), &held).await.expect("a connection");
    for expected in ["renewed", "replayed", "replayed"] {
        let body = json!({ "csr": csr(&held.key_pair()) }).to_string();
        let head = "POST /v1/renew HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.expect("a request");
        assert_eq!(read_answer(&mut stream).await.expect("an answer").text("outcome"), expected);
    }
}
