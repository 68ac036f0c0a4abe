//! Against a door of its own: real TLS and HTTP, one connection after the other, answers by the test.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::sync::Mutex;
use std::thread;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::*;
use crate::client::test_door::{Server, authority, enrollment, serve, sign};
use crate::clock::SystemClock;
use crate::domain::KeyVersion;

/// What the door does with a request; `None` cuts the connection.
type Answer = Option<(u16, Vec<u8>)>;

struct Door {
    server: Server,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Door {
    /// Signs every CSR below an authority of its own, but for the requests that `bend` answers, by number.
    async fn open(mut bend: impl FnMut(usize) -> Option<Answer> + Send + 'static) -> Self {
        let requests: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (seen, root) = (Arc::clone(&requests), authority("component root"));
        let answer = move |request: Request<Bytes>| {
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            let mut seen = seen.lock().unwrap();
            let enroll = || {
                let certificate = sign(body["csr"].as_str().unwrap(), &root);
                Some((200, serde_json::to_vec(&enrollment(certificate, &root)).unwrap()))
            };
            let answer = bend(seen.len()).unwrap_or_else(enroll);
            seen.push(body);
            let (status, text) = answer.ok_or(io::ErrorKind::ConnectionAborted)?;
            let mut response = Response::new(Full::from(text));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("retry-after", "0".parse().unwrap());
            Ok(response)
        };
        Self { server: serve("localhost", answer).await, requests }
    }

    fn key(&self) -> LoadKey {
        let cloud = format!("localhost:{}", self.server.address.port()).parse().unwrap();
        LoadKey::of(KeySecret::generate(KeyVersion::Bootstrap, &cloud, self.server.pin)).unwrap()
    }

    /// Devices one after the other, each with one attempt.
    fn load(&self, devices: u64) -> Load {
        Load {
            name: "test".parse().unwrap(),
            keys: vec![self.key()],
            connect: vec![self.server.address.into()],
            sources: Sources::default(),
            arrivals: Arrivals::Closed { concurrency: 1 },
            ramp: Duration::ZERO,
            devices: Some(devices),
            duration: None,
            timeout: Duration::ZERO,
            connections_max: 100,
        }
    }

    /// Of all requests so far.
    fn members(&self, name: &str) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|request| request[name].as_str().unwrap().to_owned()).collect()
    }
}

fn problem(status: u16, code: &str) -> Answer {
    let problem = json!({
        "type": format!("urn:muster:problem:{code}"), "title": "", "status": status, "code": code, "detail": "",
        "reference": "abcdefghijkl", "serverTime": SystemClock.now(),
    });
    Some((status, problem.to_string().into_bytes()))
}

async fn run(load: Load) -> Report {
    load.check().await.unwrap().run(&SystemClock, pending(), &mut |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_device_has_a_fingerprint_and_a_key_pair_of_its_own() {
    let door = Door::open(|_| None).await;
    let report = run(Load { keys: vec![door.key(), door.key()], ..door.load(4) }).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.devices.started, report.devices.enrolled), (4, 4));
    assert_eq!(report.device_latency_ms.unwrap().count, 4);
    let expected: Vec<_> = (0..4).map(|number| format!("loadtest-test-{number:08}")).collect();
    assert_eq!((door.members("fingerprint"), door.members("hostname")), (expected.clone(), expected));
    assert_eq!(door.members("csr").into_iter().collect::<BTreeSet<_>>().len(), 4);
    let keys = door.members("provisioningKey");
    assert!(keys[0] == keys[2] && keys[1] == keys[3] && keys[0] != keys[1], "keys take turns");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_is_the_same_devices_with_new_key_pairs() {
    let door = Door::open(|_| None).await;
    for _ in 0..2 {
        run(door.load(1)).await;
    }
    let (fingerprints, csrs) = (door.members("fingerprint"), door.members("csr"));
    assert_eq!(fingerprints[0], fingerprints[1]);
    assert_ne!(csrs[0], csrs[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_tries_again_and_shows_the_same() {
    let door = Door::open(|number| match number {
        0 => Some(problem(503, "overloaded")),
        1 => Some(None),
        _ => None,
    });
    let door = door.await;
    let report = run(Load { timeout: Duration::from_secs(60), ..door.load(1) }).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.attempts, Attempts { total: 3, accepted: 1, refused: 1, failed: 1, retried: 2 });
    let refusal = Refusals { status: 503, code: Some("overloaded".to_owned()), attempts: 1, devices: 0 };
    assert_eq!(report.refusals, [refusal]);
    assert_eq!(report.failures, [Failures { kind: Failure::ConnectionReset, attempts: 1, devices: 0 }]);
    let csrs = door.members("csr");
    assert!(csrs[0] == csrs[1] && csrs[1] == csrs[2]);
    // What the attempts took is not what the device waited: between them were a second and half a second.
    let (device, attempt) = (report.device_latency_ms.unwrap().max, report.attempt_latency_ms.unwrap().max);
    assert!(device >= attempt + 1_490.0, "{device} {attempt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_is_counted_by_why() {
    let door = Door::open(|number| match number {
        0 => None,
        1 => Some(problem(401, "invalid-key")),
        2 => Some(Some((502, b"<html>".to_vec()))),
        3 => Some(None),
        _ => Some(Some((200, b"{}".to_vec()))),
    });
    let door = door.await;
    let report = run(door.load(5)).await;
    assert!(!report.is_complete());
    let Devices { started, enrolled, refused, failed, unfinished, .. } = report.devices;
    assert_eq!((started, enrolled, refused, failed, unfinished), (5, 1, 2, 2, 0));
    let refused: Vec<_> = report.refusals.iter().map(|refusal| (refusal.status, refusal.code.as_deref())).collect();
    assert_eq!(refused, [(401, Some("invalid-key")), (502, None)]);
    let failed: Vec<_> = report.failures.iter().map(|failure| failure.kind).collect();
    assert_eq!(failed, [Failure::BadAnswer, Failure::ConnectionReset]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_key_pair_is_none() {
    let other = authority("other root");
    let csr = crate::client::endpoint::csr_of(&rcgen::KeyPair::generate().unwrap());
    let answer = serde_json::to_vec(&enrollment(sign(&csr, &other), &other)).unwrap();
    let door = Door::open(move |_| Some(Some((200, answer.clone())))).await;
    let report = run(door.load(1)).await;
    assert_eq!(report.failures, [Failures { kind: Failure::BadAnswer, attempts: 1, devices: 1 }]);
}

/// Half a second in which nobody is answered, and who was due meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn at_a_rate_a_stall_is_felt_by_everyone_who_was_due() {
    let door = Door::open(|number| {
        if number == 0 {
            thread::sleep(Duration::from_millis(500));
        }
        None
    });
    let door = door.await;
    let arrivals = Arrivals::Open { rate_per_second: 100.0, spacing: Spacing::Even };
    let report = run(Load { arrivals, ..door.load(20) }).await;
    assert!(report.is_complete(), "{report:?}");
    // The last one was due 190 ms after the first.
    let latency = report.device_latency_ms.unwrap();
    assert!(latency.min >= 300.0, "{latency:?}");
    assert_eq!(report.timeline.intervals[0].started, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_duration_nobody_begins() {
    for arrivals in
        [Arrivals::Closed { concurrency: 2 }, Arrivals::Open { rate_per_second: 50.0, spacing: Spacing::Poisson }]
    {
        let door = Door::open(|_| None).await;
        let duration = Some(Duration::from_millis(200));
        let report = run(Load { arrivals, devices: None, duration, ..door.load(0) }).await;
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.devices.started, report.devices.enrolled);
        assert_eq!(report.plan.devices, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_cuts_off_who_is_under_way() {
    let door = Door::open(|_| Some(problem(503, "overloaded"))).await;
    let load =
        Load { arrivals: Arrivals::Closed { concurrency: 3 }, timeout: Duration::from_secs(600), ..door.load(9) };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let mut stop = Some(stop);
    let mut observe = |progress: &Progress| {
        if progress.refused >= 3 {
            stop.take().map(|stop| stop.send(()));
        }
    };
    let stopped = async { stopped.await.unwrap() };
    let report = load.check().await.unwrap().run(&SystemClock, stopped, &mut observe).await;
    assert_eq!(report.ended, Ended::Interrupted);
    assert!(!report.is_complete());
    assert_eq!((report.devices.started, report.devices.unfinished, report.devices.refused), (3, 3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_have_to_wait_are_told() {
    let door = Door::open(|_| None).await;
    let load = Load { arrivals: Arrivals::Closed { concurrency: 8 }, connections_max: 1, ..door.load(16) };
    let report = run(load).await;
    assert!(report.is_complete(), "{report:?}");
    let codes: Vec<_> = report.warnings.iter().map(|warning| warning.code()).collect();
    assert!(codes.contains(&"connections-used-up") && codes.contains(&"same-machine"), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_key_is_presented_as_it_is() {
    let door = Door::open(|_| None).await;
    let good = door.key();
    let mut text = good.secret.expose().to_owned();
    let last = if text.pop() == Some('A') { 'B' } else { 'A' };
    text.push(last);
    assert!(matches!(LoadKey::of(KeySecret::from_text(Zeroizing::new(text.clone()))), Err(EndpointError::DamagedKey)));
    let secret = KeySecret::from_text(Zeroizing::new(text.clone()));
    run(Load { keys: vec![LoadKey { secret, ..good }], ..door.load(1) }).await;
    assert_eq!(door.members("provisioningKey"), [text]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_the_keys_gets_no_device() {
    let (door, other) = (Door::open(|_| None).await, Door::open(|_| None).await);
    let load = Load { connect: vec![other.server.address.into()], ..door.load(1) };
    assert!(matches!(load.check().await, Err(EndpointError::NotTrusted { .. })));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let load = Load { connect: vec![closed.into()], ..door.load(1) };
    assert!(matches!(load.check().await, Err(EndpointError::Unreachable { .. })));
    assert!(door.members("csr").is_empty() && other.members("csr").is_empty());
}

#[test]
fn every_key_is_used_from_everywhere() {
    for (keys, places) in [(1, 6), (2, 4), (3, 4), (4, 4), (5, 2)] {
        let all = (0..keys * places).map(|number| turns(number, keys));
        let pairs: BTreeSet<_> = all.map(|(key, turn)| (key, turn % places)).collect();
        assert_eq!(pairs.len() as u64, keys * places, "{keys} {places}");
    }
}

#[test]
fn names_are_short_and_plain() {
    assert_eq!(LoadName::random().prefix().len(), "loadtest-3f9c02ab-".len());
    let longest = "a".repeat(24);
    for name in ["a", "3-x", &longest] {
        let name: LoadName = name.parse().unwrap();
        assert!(name.fingerprint(u64::MAX).as_str().starts_with(&name.prefix()));
    }
    for name in ["", "A", "a b", "ä", "a_b", &"a".repeat(25)] {
        assert!(name.parse::<LoadName>().is_err(), "{name:?}");
    }
}
