//! Whoever has no key can make the service compute one digest, and nothing else.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

use crate::support::device::{connect, http_request, post, read_answer, send, tls_config};
use crate::support::{Answer, Device, Service};

/// Every way to be wrong about a good key string.
fn wrong_keys(good: &str) -> Vec<(&'static str, String)> {
    let secret_at = good.rfind('|').expect("a key string has three parts") + 1;
    let (head, secret) = good.split_at(secret_at);
    let other = |c: u8| if c == b'A' { 'B' } else { 'A' };
    let last = other(*secret.as_bytes().last().expect("a secret"));
    let first = other(secret.as_bytes()[0]);
    vec![
        ("empty", String::new()),
        ("cut", good[..good.len() - 1].to_owned()),
        ("only the head", head.to_owned()),
        ("only the key id", secret[..16].to_owned()),
        ("first byte differs", format!("{head}{first}{}", &secret[1..])),
        ("last byte differs", format!("{head}{}{last}", &secret[..secret.len() - 1])),
        ("extra =", format!("{good}=")),
        ("other case", good.to_ascii_uppercase()),
        ("other cloud", good.replace("localhost", "localhosu")),
        ("other version", format!("1{}", &good[1..])),
        ("white space inside", good.replacen('|', "| ", 1)),
        ("no-break space in front", format!("\u{a0}{good}")),
        ("NUL at the end", format!("{good}\0")),
        ("not ASCII", good.replacen("localhost", "löcalhost", 1)),
        ("too long", format!("{head}{}", "A".repeat(2_100))),
        ("unknown", format!("{head}{}", "A".repeat(secret.len()))),
    ]
}

/// The answer with what may differ cut out.
fn without_reference_and_time(answer: &Answer) -> String {
    let mut text = format!("{}\n{}\n{}", answer.status, answer.head, answer.body);
    for member in ["reference", "serverTime"] {
        let value = answer.text(member);
        let expected = if member == "reference" { 12 } else { 20 };
        assert_eq!(value.len(), expected, "{member} has a fixed length");
        text = text.replacen(&value, "…", 1);
    }
    text.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_401_is_the_same_for_every_way_to_be_wrong() {
    let service = Service::start_with("[enroll]\nfailures_per_second = 0\n");
    service.create_group("machine", "HQ");
    let good = service.create_key("machine", "HQ", "good", &[]);
    let deleted = service.create_key("machine", "HQ", "deleted", &[]);
    service.cli_ok(&["key", "delete", "--yes", "--kind", "machine", "deleted"]);

    let device = Device::new("device");
    let mut wrong = wrong_keys(&good);
    wrong.push(("deleted", deleted));
    let mut expected = None;
    for (what, key) in wrong {
        let answer = device.enroll(&service.endpoint(), &key).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid-key"), "{what}");
        assert_eq!(answer.header("www-authenticate"), Some("ProvisioningKey"), "{what}");
        let bytes = without_reference_and_time(&answer);
        assert_eq!(expected.get_or_insert_with(|| bytes.clone()), &bytes, "{what}");
    }
    // A bad CSR is not looked at, so it changes nothing.
    let mut request = device.request(&"A".repeat(40));
    request["csr"] = "no CSR".into();
    let answer = post(&service.endpoint(), &request).await;
    assert_eq!(expected, Some(without_reference_and_time(&answer)));
    // White space at the ends is a file's last newline.
    let answer = device.enroll(&service.endpoint(), &format!(" {good}\r\n")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// What a false key may leave behind, in bytes. An entry per key id in some map would be twice that;
/// what the allocator still takes after the warm-up is a small part of it.
const GROWTH_BYTES_MAX: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_false_keys_writes_nothing_and_grows_nothing() {
    let service = Service::start_with("[enroll]\nfailures_per_second = 0\n");
    service.create_group("machine", "HQ");
    let good = service.create_key("machine", "HQ", "good", &[]);
    let device = Device::new("device");
    assert_eq!(device.enroll(&service.endpoint(), &good).await.status, 200);

    // Warm: allocator arenas, connection buffers, page cache.
    flood(&service, &good, 3_200).await;
    let before = Footprint::of(&service);
    let keys = 8_000;
    flood(&service, &good, keys).await;
    let after = Footprint::of(&service);

    assert_eq!(after.files, before.files, "the store was written");
    let grown = after.resident_kib.saturating_sub(before.resident_kib);
    assert!(grown * 1_024 < keys as u64 * GROWTH_BYTES_MAX, "{keys} false keys grew the process by {grown} KiB");
    assert_eq!(service.uses("machine", "good"), 1);
}

/// So many well-formed keys with random secrets, from 16 devices at once. The service closes after
/// each 401, so each key comes on a connection of its own.
async fn flood(service: &Service, good: &str, keys: usize) {
    const SENDERS: usize = 16;
    let secret_at = good.rfind('|').expect("a key string has three parts") + 1;
    let endpoint = service.endpoint();
    let tls = TlsConnector::from(Arc::new(tls_config(&endpoint.anchor_pem)));
    let request = Device::new("flood").request("");
    let sending: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (tls, address, head) = (tls.clone(), endpoint.address, good[..secret_at].to_owned());
            let mut request = request.clone();
            tokio::spawn(async move {
                for _ in 0..keys / SENDERS {
                    request["provisioningKey"] = format!("{head}{}", random_secret()).into();
                    request["fingerprint"] = random_secret()[..44].into();
                    let request = http_request(request.to_string().as_bytes());
                    let answer = send(&tls, address, &request).await;
                    assert_eq!(answer.status, 401, "{}", answer.body);
                }
            })
        })
        .collect();
    for sender in sending {
        sender.await.expect("a sender ends well");
    }
}

/// 96 characters of base64, as in a key string; its key id is random too.
fn random_secret() -> String {
    let mut bytes = [0; 72];
    SystemRandom::new().fill(&mut bytes).expect("random bytes");
    STANDARD.encode(bytes)
}

/// What a flood could have grown.
#[derive(Debug)]
struct Footprint {
    /// Name, length and modification time of every file in the data directory.
    files: Vec<(String, u64, std::time::SystemTime)>,
    resident_kib: u64,
}

impl Footprint {
    fn of(service: &Service) -> Self {
        let mut files: Vec<_> = fs::read_dir(service.data_dir())
            .expect("the data directory")
            .map(|entry| {
                let entry = entry.expect("a file");
                let metadata = entry.metadata().expect("a file");
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, metadata.len(), metadata.modified().expect("a time"))
            })
            // The wal-index is shared memory: readers move its marks.
            .filter(|(name, ..)| !name.ends_with("-shm"))
            .collect();
        files.sort();
        let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
        let resident_kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        Self { files, resident_kib }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_limited_per_source_and_never_hurt_a_good_key() {
    let service = Service::start_with("[enroll]\nfailures_per_second = 1\nfailures_burst = 3\n");
    service.create_group("machine", "HQ");
    let good = service.create_key("machine", "HQ", "good", &[]);
    let device = Device::new("device");
    let mut statuses = Vec::new();
    for _ in 0..24 {
        let answer = device.enroll(&service.endpoint(), &"A".repeat(40)).await;
        if answer.status == 429 {
            assert_eq!(answer.code(), "rate-limited");
            let wait: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("whole seconds");
            assert!(wait >= 1);
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..3], [401; 3]);
    assert!(statuses[3..].contains(&429), "{statuses:?}");
    // Malformed requests without a verified key are limited alike; a good key is not.
    let mut stream = connect(&service.endpoint()).await.expect("a connection");
    stream.write_all(&http_request(b"{}")).await.expect("a request");
    let answer = read_answer(&mut stream).await.expect("an answer");
    assert!(matches!(answer.status, 400 | 429), "{}", answer.body);
    assert_eq!(device.enroll(&service.endpoint(), &good).await.status, 200);
    let _: Value = answer.json();
}
