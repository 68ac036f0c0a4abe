//! Against a door of its own: real TLS and HTTP, answers by script.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::*;
use crate::client::endpoint::{DELAY_MAX, delay_before_retry};
use crate::client::test_door::{Act, Door, Seen, authority};
use crate::clock::SystemClock;
use crate::domain::{KeyVersion, TrustPin};

struct Device {
    directory: tempfile::TempDir,
    state: StateDir,
    fingerprint: Fingerprint,
}

impl Device {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        Self { directory, state, fingerprint: Fingerprint::new("device-00000000001").unwrap() }
    }

    async fn enroll(&self, key: &KeySecret) -> Result<(EnrollResponse, Record), EndpointError> {
        self.enroll_with(key, |_| {}).await
    }

    async fn enroll_with(
        &self,
        key: &KeySecret,
        change: impl FnOnce(&mut Order<'_>),
    ) -> Result<(EnrollResponse, Record), EndpointError> {
        let fingerprint = &self.fingerprint;
        let mut order = Order {
            key,
            fingerprint,
            connect: None,
            trust: None,
            hostname: Some("dev"),
            timeout: Duration::ZERO,
            clock: &SystemClock,
        };
        change(&mut order);
        enroll(&self.state, &order, &mut |_| {}).await
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn an_answer_is_verified_and_kept() {
    let door = Door::open("localhost", [Act::Answer]).await;
    let device = Device::new();
    let (answer, record) = device.enroll(&door.key()).await.unwrap();
    assert_eq!(
        device.files(),
        ["cert.pem", "chain.pem", "enrollment.json", "key.pem", "server-trust-anchors.pem", "trust-anchors.pem"],
    );
    let read = |name: &str| fs::read_to_string(device.directory.path().join(name)).unwrap();
    assert_eq!(read("cert.pem"), answer.certificate);
    assert_eq!(read("trust-anchors.pem"), answer.trust_anchors);
    let mode = fs::metadata(device.directory.path().join("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let current = device.state.current(SystemClock.now()).unwrap().unwrap();
    assert_eq!(current.record, Some(record));
}

#[tokio::test]
async fn the_request_is_the_protocols_with_the_key_trimmed() {
    let door = Door::open("localhost", [Act::Answer]).await;
    let key = door.key();
    let from_a_file = KeySecret::from_text(Zeroizing::new(format!("{}\n", key.expose())));
    Device::new().enroll(&from_a_file).await.unwrap();
    let seen = door.seen();
    let Seen { content_type, host, body, .. } = &seen[0];
    assert_eq!(content_type.as_deref(), Some("application/json"));
    assert_eq!(host.as_deref(), Some(format!("localhost:{}", door.address.port()).as_str()));
    assert_eq!(body["provisioningKey"], key.expose());
    assert_eq!(body["fingerprint"], "device-00000000001");
    assert_eq!(body["hostname"], "dev");
}

#[tokio::test]
async fn after_a_lost_answer_the_same_public_key_is_shown() {
    let door = Door::open("localhost", [Act::Cut, Act::Answer]).await;
    let (device, key) = (Device::new(), door.key());
    let lost = device.enroll(&key).await.unwrap_err();
    assert!(matches!(lost, EndpointError::Unreachable { .. }), "{lost}");
    assert_eq!(device.files(), ["key.pem"]);
    device.enroll(&key).await.unwrap();
    let seen = door.seen();
    assert_eq!(seen[0].public_key(), seen[1].public_key());
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let busy = || Act::Refuse(503, "overloaded", Some("0"));
    let door = Door::open("localhost", [busy(), Act::Refuse(429, "rate-limited", Some("0")), Act::Answer]).await;
    let (device, key) = (Device::new(), door.key());
    device.enroll_with(&key, |order| order.timeout = Duration::from_secs(60)).await.unwrap();
    assert_eq!(door.calls(), 3);
}

#[tokio::test]
async fn one_attempt_is_one_attempt() {
    let door = Door::open("localhost", [Act::Refuse(503, "overloaded", Some("0")), Act::Answer]).await;
    let refused = Device::new().enroll(&door.key()).await.unwrap_err();
    assert!(matches!(&refused, EndpointError::Refused(refused) if refused.status == 503), "{refused}");
    assert_eq!(door.calls(), 1);
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let door = Door::open("localhost", [Act::Refuse(503, "overloaded", Some("3000")), Act::Answer]).await;
    let key = door.key();
    let device = Device::new();
    let refused = device.enroll_with(&key, |order| order.timeout = Duration::from_secs(300)).await.unwrap_err();
    assert!(refused.may_pass(), "{refused}");
    assert_eq!(door.calls(), 1);
}

#[tokio::test]
async fn a_final_refusal_is_not_repeated() {
    for (status, code) in [(400, "malformed-request"), (401, "invalid-key"), (403, "key-exhausted")] {
        let door = Door::open("localhost", [Act::Refuse(status, code, None), Act::Answer]).await;
        let (device, key) = (Device::new(), door.key());
        let error = device.enroll_with(&key, |order| order.timeout = Duration::from_secs(60)).await.unwrap_err();
        let EndpointError::Refused(refused) = error else { panic!("{error}") };
        assert_eq!((refused.status, refused.code.as_deref()), (status, Some(code)));
        assert_eq!(refused.reference.as_deref(), Some("abcdefghijkl"));
        assert_eq!((door.calls(), device.files()), (1, vec!["key.pem".to_owned()]));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_ours_is_not_kept() {
    for act in [Act::AnswerOther, Act::AnswerBelowOther] {
        let door = Door::open("localhost", [act]).await;
        let device = Device::new();
        let error = device.enroll(&door.key()).await.unwrap_err();
        assert!(matches!(error, EndpointError::Answer(_)), "{error}");
        assert_eq!(device.files(), ["key.pem"]);
    }
}

#[tokio::test]
async fn a_server_below_another_ca_gets_no_key() {
    let door = Door::open("localhost", [Act::Answer]).await;
    let other = Door::open("localhost", []).await;
    let error = Device::new().enroll(&door.key_for("localhost", other.pin)).await.unwrap_err();
    assert!(matches!(error, EndpointError::NotTrusted { .. }), "{error}");
    assert_eq!(door.calls(), 0);
}

#[tokio::test]
async fn the_server_must_be_the_keys_cloud_wherever_it_is_reached() {
    let door = Door::open("enroll.example.com", [Act::Answer, Act::Answer]).await;
    let connect = HostPort::from(door.address);
    let there = |order: &mut Order<'_>| order.connect = Some(connect.clone());
    let device = Device::new();
    device.enroll_with(&door.key_for("enroll.example.com", door.pin), there).await.unwrap();
    let error = device.enroll_with(&door.key_for("enroll.example.org", door.pin), there).await.unwrap_err();
    assert!(matches!(error, EndpointError::NotTrusted { .. }), "{error}");
    assert_eq!(door.calls(), 1);
}

#[tokio::test]
async fn a_ca_file_counts_instead_of_the_pin() {
    let door = Door::open("localhost", [Act::Answer]).await;
    let key = door.key();
    let other = Trust::Anchors(vec![authority("another").der().clone()]);
    let error = Device::new().enroll_with(&key, |order| order.trust = Some(other)).await.unwrap_err();
    assert!(matches!(error, EndpointError::NotTrusted { .. }), "{error}");
    assert_eq!(door.calls(), 0);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let cloud = format!("localhost:{}", address.port()).parse().unwrap();
    let key = KeySecret::generate(KeyVersion::Bootstrap, &cloud, TrustPin::from_bytes([7; 32]));
    let error = Device::new().enroll(&key).await.unwrap_err();
    assert!(matches!(error, EndpointError::Unreachable { .. }), "{error}");
}

#[test]
fn waits_grow_spread_and_stay_bounded() {
    for attempt in 0..100 {
        let delay = delay_before_retry(attempt, None);
        assert!(delay >= Duration::from_millis(500) && delay <= DELAY_MAX, "{attempt}: {delay:?}");
    }
    assert!(delay_before_retry(10, None) >= DELAY_MAX / 2);
    let asked = Duration::from_secs(10);
    for _ in 0..100 {
        let delay = delay_before_retry(0, Some(asked));
        assert!(delay >= asked && delay <= asked * 3 / 2, "{delay:?}");
    }
    assert_ne!(delay_before_retry(5, None), delay_before_retry(5, None));
}
