//! The CA above the enrollment endpoint's TLS certificate, rolled while devices come: those that know the old one by
//! a key string or a file, those that know the new one, and programs that are not ours.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use muster::domain::TrustPin;
use muster::domain::key_string::{Inspection, inspect};
use serde_json::Value;

use crate::support::device::connect_to;
use crate::support::{Pki, Service};

const KIND: &str = "machine";

/// Exit code of a device that does not trust the server.
const NOT_TRUSTED: i32 = 6;

/// `muster tls-anchor …` on this service, its answer as JSON.
pub fn tls_anchor(service: &Service, words: &[&str]) -> Value {
    let config = service.dir().join("config.toml");
    let config = ["--json", "--config", config.to_str().expect("UTF-8")];
    serde_json::from_str(&service.cli_ok(&[&["tls-anchor"], words, &config].concat())).expect("JSON")
}

/// PEM of the current anchor and of the one before.
pub fn pems(anchor: &Value) -> (String, Option<String>) {
    let pem = |which: &str| anchor[which]["certificate"].as_str().map(str::to_owned);
    (pem("current").expect("a certificate"), pem("previous"))
}

/// What a key string tells a device to trust, 64 hex digits.
pub fn pin(key: &str) -> String {
    match inspect(key) {
        Inspection::Usable { pin, .. } => TrustPin::as_bytes(&pin).iter().map(|byte| format!("{byte:02x}")).collect(),
        other => panic!("{other:?}"),
    }
}

/// `muster enroll` into a state directory of this name: its exit code, and what it said.
pub fn enroll(service: &Service, at: SocketAddr, key: &str, state: &str, more: &[&str]) -> (i32, String) {
    let mut command = crate::support::service::muster();
    command.args(["enroll", "--timeout", "0", "--key-file", "-", "--fingerprint", &format!("{state:-<16}")]);
    command.arg("--state-dir").arg(service.dir().join(state)).args(["--connect", &at.to_string()]).args(more);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(key.as_bytes()).expect("it reads the key");
    let output = child.wait_with_output().expect("it ends");
    (output.status.code().expect("a code"), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Enrolls a device that must get its certificate, and answers what it trusts the endpoint by from then on.
pub fn enrolled(service: &Service, at: SocketAddr, key: &str, state: &str, more: &[&str]) -> String {
    let (code, told) = enroll(service, at, key, state, more);
    assert_eq!(code, 0, "{state}: {told}");
    fs::read_to_string(service.dir().join(state).join("server-trust-anchors.pem")).expect("anchors")
}

fn curl(service: &Service, anchor: &str, path: &str) -> Output {
    let url = format!("https://localhost:{}{path}", service.enroll.port());
    let args = ["-sS", "--fail", "--cacert", anchor, &url];
    let output = Command::new("curl").args(args).current_dir(service.dir()).output();
    output.expect("curl is needed (tests/run installs it)")
}

/// What openssl says of the enrollment listener, trusting this file alone.
fn s_client(service: &Service, anchor: &str, version: &str) -> String {
    let address = service.enroll.to_string();
    let args = ["s_client", "-connect", &address, "-servername", "localhost", "-verify_hostname", "localhost"];
    let output = Command::new("openssl")
        .args([&args[..], &["-x509_strict", "-showcerts", "-CAfile", anchor, version]].concat())
        .current_dir(service.dir())
        .stdin(Stdio::null())
        .output()
        .expect("openssl is needed (tests/run installs it)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Devices of all sorts in the middle of a roll. `round` tells their state directories apart.
fn all_are_served(service: &Service, (old_key, new_key): (&str, &str), (old, new): (&str, &str), round: &str) {
    fs::write(service.dir().join("old.pem"), old).expect("a file");
    fs::write(service.dir().join("new.pem"), new).expect("a file");
    let both = format!("{new}{old}");
    for anchor in ["old.pem", "new.pem"] {
        for version in ["-tls1_3", "-tls1_2"] {
            let told = s_client(service, anchor, version);
            assert!(told.contains("Verify return code: 0 (ok)"), "{anchor} {version}: {told}");
            assert_eq!(told.matches("BEGIN CERTIFICATE").count(), 3, "leaf, cross certificate, old anchor: {told}");
        }
        let output = curl(service, anchor, "/v1/trust-anchors");
        assert!(output.status.success(), "{anchor}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), both);
    }
    for (who, key, more) in [
        ("old-key", old_key, &[][..]),
        ("new-key", new_key, &[]),
        ("old-agent", old_key, &["--ca-file", "old.pem"]),
        ("new-agent", new_key, &["--ca-file", "new.pem"]),
    ] {
        let file = more.last().map(|file| service.dir().join(file));
        let more: Vec<_> = file.iter().flat_map(|file| ["--ca-file", file.to_str().expect("UTF-8")]).collect();
        let state = format!("{who}-{round}");
        assert_eq!(enrolled(service, service.enroll, key, &state, &more), both, "{state}");
    }
    assert_eq!(service.trust_anchor_pem(), both, "for callers on this machine");
}

#[test]
fn old_and_new_devices_are_served_while_it_is_rolled() {
    let mut service = Service::start();
    service.create_group(KIND, "HQ");
    let old_key = service.create_key(KIND, "HQ", "old", &[]);
    let old = service.trust_anchor_pem();
    assert_eq!(enrolled(&service, service.enroll, &old_key, "agent", &[]), old);
    let before = tls_anchor(&service, &["show"]);
    assert_eq!(pems(&before), (old.clone(), None));
    assert_eq!(before["current"]["publicKeySha256"], pin(&old_key).as_str());

    let rolled = tls_anchor(&service, &["roll"]);
    let (new, previous) = pems(&rolled);
    assert_eq!(previous.as_ref(), Some(&old));
    assert_eq!(tls_anchor(&service, &["show"]), rolled);
    let again = service.cli(&["tls-anchor", "roll"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("being rolled already"), "{again:?}");
    let new_key = service.create_key(KIND, "HQ", "new", &[]);
    assert_eq!(rolled["current"]["publicKeySha256"], pin(&new_key).as_str());
    assert_ne!(pin(&old_key), pin(&new_key));
    all_are_served(&service, (&old_key, &new_key), (&old, &new), "at-once");
    assert!(service.metric("muster_certificate_expiry_seconds{certificate=\"endpoint-anchor-previous\"}") > 0.0);

    service.kill();
    service.launch();
    all_are_served(&service, (&old_key, &new_key), (&old, &new), "restarted");

    let asked = service.cli(&["tls-anchor", "finish"]);
    assert_eq!(asked.status.code(), Some(2), "it asks first: {asked:?}");
    let finished = tls_anchor(&service, &["finish", "--yes"]);
    assert_eq!(pems(&finished), (new.clone(), None));
    for round in ["finished", "restarted-then"] {
        assert_eq!(enroll(&service, service.enroll, &old_key, &format!("old-{round}"), &[]).0, NOT_TRUSTED);
        let old_anchors = service.dir().join("agent").join("server-trust-anchors.pem");
        let file = ["--ca-file", old_anchors.to_str().expect("UTF-8")];
        assert_eq!(enroll(&service, service.enroll, &new_key, &format!("agent-{round}"), &file).0, NOT_TRUSTED);
        assert_eq!(enrolled(&service, service.enroll, &new_key, &format!("new-{round}"), &[]), new);
        // An agent that was there during the roll knows both.
        let both = service.dir().join("old-key-at-once").join("server-trust-anchors.pem");
        let both = ["--ca-file", both.to_str().expect("UTF-8")];
        assert_eq!(enrolled(&service, service.enroll, &new_key, &format!("both-{round}"), &both), new);
        assert_eq!(curl(&service, "new.pem", "/v1/trust-anchors").stdout, new.as_bytes());
        assert!(!curl(&service, "old.pem", "/v1/trust-anchors").status.success());
        assert_eq!(service.trust_anchor_pem(), new);
        assert!(service.stop().success());
        service.launch();
    }
    let again = service.cli(&["tls-anchor", "finish", "--yes"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("not being rolled"), "{again:?}");
    let audit = service.cli_ok(&["audit", "list", "--customer", "0", "--json"]);
    for action in ["roll", "finish-roll"] {
        assert!(audit.contains(&format!("\"{action}\"")), "{audit}");
    }
    service.assert_healthy();
}

#[test]
fn it_is_rolled_in_the_store_while_nobody_serves() {
    let mut service = Service::start();
    service.create_group(KIND, "HQ");
    let (old_key, old) = (service.create_key(KIND, "HQ", "old", &[]), service.trust_anchor_pem());
    assert!(service.stop().success());
    let (new, previous) = pems(&tls_anchor(&service, &["roll"]));
    assert_eq!(previous.as_ref(), Some(&old));
    service.launch();
    let new_key = service.create_key(KIND, "HQ", "new", &[]);
    all_are_served(&service, (&old_key, &new_key), (&old, &new), "offline");
    assert!(service.stop().success());
    tls_anchor(&service, &["finish", "--yes"]);
    // And once more, for whoever does it in twenty years.
    let (third, previous) = pems(&tls_anchor(&service, &["roll"]));
    assert_eq!(previous.as_ref(), Some(&new));
    service.launch();
    let third_key = service.create_key(KIND, "HQ", "third", &[]);
    all_are_served(&service, (&new_key, &third_key), (&new, &third), "again");
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_files_from_elsewhere_stay_as_they_are() {
    let mut service = Service::prepare("");
    let (directory, pki) = (service.dir().to_owned(), Pki::new());
    pki.write(&directory);
    let directory = directory.to_str().expect("UTF-8");
    service.configure(&format!(
        "[enroll]\ntls_certificate = \"{directory}/chain.pem\"\ntls_key = \"{directory}/key.pem\"\n"
    ));
    service.launch();
    let old = service.trust_anchor_pem();
    tokio::task::block_in_place(|| {
        service.create_group(KIND, "HQ");
        let before = service.create_key(KIND, "HQ", "before", &[]);
        let (new, _) = pems(&tls_anchor(&service, &["roll"]));
        let after = service.create_key(KIND, "HQ", "after", &[]);
        assert_eq!(pin(&before), pin(&after));
        assert_eq!(enrolled(&service, service.enroll, &after, "device", &[]), pki.anchor_pem);
        assert_eq!(service.trust_anchor_pem(), format!("{new}{old}"), "the management listener has our own");
    });
    for anchor in [&old, &pki.anchor_pem] {
        let expected = (anchor == &pki.anchor_pem, anchor == &old);
        let trusted = async |address| connect_to(address, anchor).await.is_some();
        assert_eq!((trusted(service.enroll).await, trusted(service.admin).await), expected);
    }
}
