//! No secret in clear: secrets go through everything that can be done with them, and are then looked
//! for in everything that remains.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt as _;

use crate::support::device::{connect_to, post, read_answer};
use crate::support::service::muster;
use crate::support::{Device, Service};

/// How the PKCS#8 of every P-256 private key begins (RFC 5208, RFC 5480): 27 bytes, so that base64 of
/// what follows begins afresh.
const P256_PRIVATE_KEY: &[u8] = b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

#[tokio::test(flavor = "multi_thread")]
async fn secrets_appear_nowhere_in_clear() {
    let mut service = Service::start_with("[log]\nlevel = \"trace\"\n");
    service.create_group("app-connector", "HQ");
    let viewable = service.create_key("app-connector", "HQ", "viewable", &["--max-uses", "1"]);
    let once = service.create_key("app-connector", "HQ", "once", &["--max-uses", "1", "--no-view"]);
    let bare = service.create_key("app-connector", "HQ", "bare", &["--max-uses", "1", "--key-version", "1"]);
    let (made_here, created) = watch(
        muster()
            .args(["key", "create", "--kind", "app-connector", "--group", "HQ", "--name", "watched", "--max-uses", "2"])
            .arg("--data-dir")
            .arg(service.data_dir()),
        "",
    );
    let watched = created.trim_end().to_owned();
    let state = service.dir().join("device");
    let (enrolled_here, _) = watch(
        muster()
            .args(["enroll", "--fingerprint", "fingerprint-of-a-canary", "--key-file", "-", "--connect"])
            .args([&service.enroll.to_string(), "--state-dir"])
            .arg(&state),
        &watched,
    );
    assert!(contains(&enrolled_here, b"fingerprint-of-a-canary"), "the command was seen running");

    let webhook =
        ["webhook", "create", "--name", "hook", "--url", "https://hooks.example.com/", "--event", "key.expired"];
    let webhook_secret = service.cli_ok(&webhook).trim_end().strip_prefix("whsec_").expect("a prefix").to_owned();
    service.cli_ok(&["webhook", "show", "--json", "hook"]);

    let first_start = json_of(&service.data_dir().join("first-start.json"));
    let password = member(&first_start["administrator"], "password");
    let client_secret = member(&first_start["apiClient"], "clientSecret");
    let token = sign_in(&service, &member(&first_start["apiClient"], "clientId"), &client_secret).await;
    let keys = [viewable, once, bare, watched];

    let endpoint = service.endpoint();
    // The watched one has had its device.
    for (n, key) in keys[..3].iter().enumerate() {
        let device = Device::new(&format!("canary-{n}"));
        assert_eq!(device.enroll(&endpoint, key).await.status, 200);
        assert_eq!(device.enroll(&endpoint, key).await.text("outcome"), "replayed");
        assert_eq!(device.reinstalled().enroll(&endpoint, key).await.code(), "reenrollment-not-allowed");
        assert_eq!(Device::new("another").enroll(&endpoint, key).await.code(), "key-exhausted");
        assert_eq!(device.enroll(&endpoint, &format!("2{}", &key[1..])).await.status, 401);
        let mut malformed = device.request(key);
        malformed["fingerprint"] = "short".into();
        assert_eq!(post(&endpoint, &malformed).await.status, 400);
    }
    service.cli_ok(&["key", "list", "--kind", "app-connector"]);
    let metrics = service.ops("/metrics").1;
    let command_lines = command_lines().into_iter().flatten().collect();
    let running = copies_of(&service.data_dir());
    let backup = service.dir().join("backup");
    service.cli_ok(&["backup", "--output", backup.to_str().expect("UTF-8")]);
    service.stop();
    let stopped = copies_of(&service.data_dir());

    let mut places = vec![
        ("log".to_owned(), fs::read(service.log_file()).expect("a log")),
        ("metrics".to_owned(), metrics.into_bytes()),
        ("backup".to_owned(), fs::read(&backup).expect("a backup")),
        ("command lines".to_owned(), command_lines),
        ("what others see of key create".to_owned(), made_here),
        ("what others see of enroll".to_owned(), enrolled_here),
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
    needles.push(("access token".to_owned(), token.into_bytes()));
    needles.push(("bytes of the webhook's secret".to_owned(), STANDARD.decode(&webhook_secret).expect("base64")));
    needles.push(("text of the webhook's secret".to_owned(), webhook_secret.into_bytes()));
    needles.push(("P-256 private key".to_owned(), P256_PRIVATE_KEY.to_vec()));
    needles.push(("P-256 private key in PEM".to_owned(), STANDARD.encode(P256_PRIVATE_KEY).into_bytes()));
    needles.push(("private key in PEM".to_owned(), b"PRIVATE KEY-----".to_vec()));
    for (place, bytes) in &places {
        for (what, needle) in &needles {
            assert!(!contains(bytes, needle), "{place} holds the {what}");
        }
        // These are in the files that are there to hold them, and nowhere else.
        if !place.ends_with("first-start.json") {
            assert!(!contains(bytes, password.as_bytes()), "{place} holds the administrator's password");
            if !place.ends_with("api-client.json") {
                assert!(!contains(bytes, client_secret.as_bytes()), "{place} holds the API client's secret");
            }
        }
    }
    // What was looked for is what there is to find: a device keeps its own private key.
    assert!(contains(&Device::new("").key_pair.serialize_der(), P256_PRIVATE_KEY));
    let kept = copies_of(&state);
    assert!(kept.iter().any(|(_, bytes)| contains(bytes, STANDARD.encode(P256_PRIVATE_KEY).as_bytes())));
}

/// A bearer token for the management API.
async fn sign_in(service: &Service, client_id: &str, client_secret: &str) -> String {
    let form = format!("client_id={client_id}&client_secret={client_secret}");
    let head = format!("POST /signin HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", form.len());
    let mut stream = connect_to(service.admin, &service.trust_anchor_pem()).await.expect("a connection");
    stream.write_all((head + &form).as_bytes()).await.expect("a request");
    let token = read_answer(&mut stream).await.expect("an answer").text("access_token");
    let head = format!("GET /nowhere HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("a request");
    read_answer(&mut stream).await.expect("an answer");
    token
}

/// Runs a command that must succeed. What others may see of it: every command line on the machine
/// meanwhile, and its messages. And what it printed. Its standard input comes after it was seen once.
fn watch(command: &mut Command, stdin: &str) -> (Vec<u8>, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut seen = command_lines();
    // A command that does not read may be gone.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    while child.try_wait().expect("the process can be asked").is_none() {
        seen.extend(command_lines());
    }
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    seen.insert(output.stderr);
    (seen.into_iter().flatten().collect(), String::from_utf8(output.stdout).expect("UTF-8"))
}

fn json_of(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

fn member(value: &serde_json::Value, name: &str) -> String {
    value[name].as_str().expect("a string").to_owned()
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
fn command_lines() -> BTreeSet<Vec<u8>> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok()).collect()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
