//! SIGHUP: TLS files, log level and limits change while the service runs.

use std::fs;
use std::process::Command;

use rcgen::KeyPair;
use tokio::task::block_in_place;

use super::eventually;
use crate::support::device::connect_to;
use crate::support::{Answer, Device, Endpoint, Pki, Service};

/// The first certificate that the listener shows; `None` when it is not trusted.
async fn shown(address: std::net::SocketAddr, anchor_pem: &str) -> Option<Vec<u8>> {
    let stream = connect_to(address, anchor_pem).await?;
    Some(stream.get_ref().1.peer_certificates().expect("a server shows certificates")[0].to_vec())
}

/// `SIGHUP`, and waits until the log says this once more.
fn reload_until(service: &Service, sentence: &str) {
    let count = || service.log().matches(sentence).count();
    let before = count();
    service.signal("HUP");
    block_in_place(|| eventually(sentence, || (count() > before).then_some(())));
}

const RELOADED: &str = "The configuration was reloaded: TLS files, log level, limits.";
const KEPT: &str = "A TLS certificate stays as it was.";

fn enroll(service: &Service, state: &str, key: &str) -> std::process::Output {
    let mut command: Command = crate::support::service::muster();
    let state = service.dir().join(state);
    command
        .args(["enroll", "--timeout", "0", "--connect", &service.enroll.to_string(), "--state-dir"])
        .arg(&state)
        .args(["--fingerprint", &format!("fingerprint-of-{}", state.file_name().unwrap().to_str().unwrap())])
        .env("MUSTER_PROVISIONING_KEY", key);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_files_are_read_anew_and_broken_ones_leave_the_old() {
    let service = Service::prepare("");
    let (directory, pki) = (service.dir().to_owned(), Pki::new());
    let first = pki.write(&directory);
    let files =
        format!("tls_certificate = \"{0}/chain.pem\"\ntls_key = \"{0}/key.pem\"\n", directory.to_str().unwrap());
    service.configure(&format!("[enroll]\n{files}[admin]\n{files}"));
    let mut service = service;
    service.launch();
    for address in [service.enroll, service.admin] {
        assert_eq!(shown(address, &pki.anchor_pem).await.as_ref(), Some(&first));
    }
    let open = connect_to(service.enroll, &pki.anchor_pem).await.expect("a connection");

    let second = pki.write(&directory);
    assert_eq!(shown(service.enroll, &pki.anchor_pem).await.as_ref(), Some(&first), "not before it is told to");
    reload_until(&service, RELOADED);
    for address in [service.enroll, service.admin] {
        assert_eq!(shown(address, &pki.anchor_pem).await.as_ref(), Some(&second));
    }
    drop(open);

    fs::write(directory.join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    reload_until(&service, KEPT);
    fs::write(directory.join("chain.pem"), "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    reload_until(&service, KEPT);
    fs::remove_file(directory.join("chain.pem")).unwrap();
    reload_until(&service, KEPT);
    for address in [service.enroll, service.admin] {
        assert_eq!(shown(address, &pki.anchor_pem).await.as_ref(), Some(&second));
    }
    let errors: Vec<_> = service.log().lines().filter(|line| line.contains(KEPT)).map(str::to_owned).collect();
    assert!(errors.iter().all(|line| line.contains("ERROR")), "{errors:?}");
    for listener in ["enroll", "admin"] {
        let about = errors.iter().filter(|line| line.contains(&format!("listener=\"{listener}\""))).count();
        assert_eq!(about, 3, "each listener is tried by itself: {errors:?}");
    }

    let third = pki.write(&directory);
    reload_until(&service, RELOADED);
    assert_eq!(shown(service.enroll, &pki.anchor_pem).await, Some(third));

    // Commands trust what the first start made, unless they are told otherwise.
    assert_eq!(service.cli(&["group", "list"]).status.code(), Some(1));
    fs::write(directory.join("anchor.pem"), &pki.anchor_pem).unwrap();
    let mut command = crate::support::service::muster();
    command.args(["group", "list", "--data-dir"]).arg(service.data_dir());
    command.env("MUSTER_URL", format!("https://localhost:{}", service.admin.port()));
    let output = command.env("MUSTER_CA_FILE", directory.join("anchor.pem")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_made_after_a_reload_pin_the_new_anchor() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let old = service.create_key("machine", "HQ", "old", &[]);
    let pki = Pki::new();
    let leaf = pki.write(service.dir());
    let directory = service.dir().to_str().unwrap();
    service.configure(&format!(
        "[enroll]\ntls_certificate = \"{directory}/chain.pem\"\ntls_key = \"{directory}/key.pem\"\n"
    ));
    reload_until(&service, RELOADED);
    assert_eq!(shown(service.enroll, &pki.anchor_pem).await, Some(leaf));
    assert!(shown(service.admin, &service.trust_anchor_pem()).await.is_some(), "the other listener keeps its own");

    let new = service.create_key("machine", "HQ", "new", &[]);
    let (with_old, with_new) = (enroll(&service, "old", &old), enroll(&service, "new", &new));
    assert_eq!(with_old.status.code(), Some(6), "its pin is another CA's");
    assert_eq!(with_new.status.code(), Some(0), "{}", String::from_utf8_lossy(&with_new.stderr));
    let anchors = fs::read_to_string(service.dir().join("new/server-trust-anchors.pem")).unwrap();
    assert_eq!(anchors.trim(), pki.anchor_pem.replace("\r\n", "\n").trim());

    // And back to a certificate made here.
    service.configure("");
    reload_until(&service, RELOADED);
    let with_old = enroll(&service, "old", &old);
    assert_eq!(with_old.status.code(), Some(0), "{}", String::from_utf8_lossy(&with_old.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_made_here_is_made_anew_below_the_same_anchor() {
    let service = Service::start();
    let anchor = service.trust_anchor_pem();
    let before = shown(service.enroll, &anchor).await.expect("trusted");
    reload_until(&service, RELOADED);
    let after = shown(service.enroll, &anchor).await.expect("trusted still");
    assert_ne!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_level_and_limits_change_and_a_broken_file_changes_nothing() {
    async fn wrong_key(endpoint: &Endpoint) -> Answer {
        Device::new("device").enroll(endpoint, "3|localhost:8443|unknown").await
    }
    // One a second is looked at, so it takes two within one.
    async fn is_limited(endpoint: &Endpoint) -> bool {
        for _ in 0..20 {
            if wrong_key(endpoint).await.status == 429 {
                return true;
            }
        }
        false
    }
    let strict = "[enroll]\nfailures_per_second = 1\nfailures_burst = 1\n";
    let service = Service::start_with(strict);
    let endpoint = service.endpoint();
    assert_eq!(wrong_key(&endpoint).await.status, 401);
    assert!(is_limited(&endpoint).await);

    service.configure("[enroll]\nfailures_per_second = 0\n[log]\nlevel = \"warn\"\n");
    service.signal("HUP");
    // At the new level the reload itself says nothing; what it changed is seen instead.
    let mut found = wrong_key(&endpoint).await;
    while found.status == 429 {
        found = wrong_key(&endpoint).await;
    }
    for _ in 0..5 {
        assert_eq!(wrong_key(&endpoint).await.status, 401);
    }
    let lines = service.log().lines().count();
    assert_eq!(wrong_key(&endpoint).await.status, 401);
    service.configure("[enroll]\nfailures_per_second = \"many\"\n");
    reload_until(&service, "The configuration was not reloaded.");
    assert_eq!(service.log().lines().skip(lines).filter(|line| line.contains(" INFO ")).count(), 0);
    assert!(service.log().contains("enroll.failures_per_second"), "{}", service.log());
    for _ in 0..5 {
        assert_eq!(wrong_key(&endpoint).await.status, 401, "the old limits stay");
    }
    service.configure(strict);
    reload_until(&service, RELOADED);
    assert!(is_limited(&endpoint).await);
}
