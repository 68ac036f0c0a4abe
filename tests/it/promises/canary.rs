//! No secret in clear: a key string goes through everything that can be done with it, and is then
//! looked for in everything that remains.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Device, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_string_appears_nowhere_in_clear() {
    let mut service = Service::start_with("[log]\nlevel = \"trace\"\n");
    service.create_group("app-connector", "HQ");
    let viewable = service.create_key("app-connector", "HQ", "viewable", &["--max-uses", "1"]);
    let once = service.create_key("app-connector", "HQ", "once", &["--max-uses", "1", "--no-view"]);
    let bare = service.create_key("app-connector", "HQ", "bare", &["--max-uses", "1", "--key-version", "1"]);
    let client: serde_json::Value =
        serde_json::from_slice(&fs::read(service.data_dir().join("api-client.json")).expect("a file")).expect("JSON");
    let client_secret = client["clientSecret"].as_str().expect("a secret").to_owned();
    let keys = [viewable, once, bare];

    let endpoint = service.endpoint();
    for (n, key) in keys.iter().enumerate() {
        let device = Device::new(&format!("canary-{n}"));
        assert_eq!(device.enroll(&endpoint, key).await.status, 200);
        assert_eq!(device.enroll(&endpoint, key).await.text("outcome"), "replayed");
        assert_eq!(device.reinstalled().enroll(&endpoint, key).await.code(), "reenrollment-not-allowed");
        assert_eq!(Device::new("another").enroll(&endpoint, key).await.code(), "key-exhausted");
        assert_eq!(device.enroll(&endpoint, &format!("2{}", &key[1..])).await.status, 401);
        let mut malformed = device.request(key);
        malformed["fingerprint"] = "short".into();
        assert_eq!(crate::support::device::post(&endpoint, &malformed).await.status, 400);
    }
    service.cli_ok(&["key", "list", "--kind", "app-connector"]);
    let metrics = service.ops("/metrics").1;
    let command_lines = command_lines();
    let running = copies_of(&service.data_dir());
    service.stop();
    let stopped = copies_of(&service.data_dir());

    let mut places = vec![
        ("log".to_owned(), fs::read(service.log_file()).expect("a log")),
        ("metrics".to_owned(), metrics.into_bytes()),
        ("command lines".to_owned(), command_lines),
    ];
    places.extend(running);
    places.extend(stopped);
    assert!(
        places.iter().any(|(name, bytes)| name.ends_with("muster.db") && bytes.len() > 4_096),
        "the store was looked at"
    );
    assert!(places[0].1.len() > 1_000, "the log says something");

    let mut needles: Vec<(String, Vec<u8>)> = Vec::new();
    for key in &keys {
        let secret = key.rsplit('|').next().expect("three parts");
        // Beyond the public key id: the random part, as text and as the bytes it stands for.
        let random = &secret[16..48];
        needles.push((format!("text of {}", &secret[..16]), random.as_bytes().to_vec()));
        needles.push((format!("bytes of {}", &secret[..16]), STANDARD.decode(random).expect("base64")));
    }
    for (place, bytes) in &places {
        for (what, needle) in &needles {
            assert!(!contains(bytes, needle), "{place} holds the {what}");
        }
        // The client's secret is in the file that is there to hold it, and nowhere else.
        if !place.ends_with("api-client.json") && !place.ends_with("first-start.json") {
            assert!(!contains(bytes, client_secret.as_bytes()), "{place} holds the API client's secret");
        }
    }
}

fn copies_of(dir: &Path) -> Vec<(String, Vec<u8>)> {
    fs::read_dir(dir)
        .expect("the data directory")
        .map(|entry| {
            let path = entry.expect("a file").path();
            (path.display().to_string(), fs::read(&path).expect("a file"))
        })
        .collect()
}

/// What every process on the machine was started with.
fn command_lines() -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        all.extend(fs::read(entry.path().join("cmdline")).unwrap_or_default());
    }
    all
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
