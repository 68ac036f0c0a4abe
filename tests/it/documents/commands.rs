//! Every block of commands in the documents is run, here or by the test of what it is about, or says why not.

use std::fs;

use super::session::Session;
use super::{documents, root};
use crate::support::guide::{Block, blocks};
use crate::support::{Device, Service};

/// Run here, each by its test below.
const HERE: [&str; 9] = [
    "README.md",
    "docs/agent.md",
    "docs/api.md",
    "docs/capacity.md",
    "docs/configure.md",
    "docs/enrolling-a-device.md",
    "docs/migrating.md",
    "docs/troubleshooting.md",
    "docs/upgrading.md",
];

/// Document and heading that have a test of their own, and its file.
const ELSEWHERE: [(&str, &str, &str); 10] = [
    ("docs/certificates.md", "## Replacing a signing certificate", "tests/it/cli/certificates.rs"),
    ("docs/certificates.md", "## Rolling the TLS trust anchor", "tests/it/cli/certificates.rs"),
    ("docs/enrolling-a-device.md", "## Renewing with openssl and curl", "tests/it/openssl_device.rs"),
    ("docs/enrolling-a-device.md", "## With openssl and curl", "tests/it/openssl_device.rs"),
    ("docs/est.md", "## Enroll with curl and openssl", "tests/it/clients/est.rs"),
    ("docs/est.md", "## Enroll with strongSwan", "tests/it/clients/est.rs"),
    ("docs/est.md", "## Renew with curl and openssl", "tests/it/clients/est.rs"),
    ("docs/est.md", "## Renew with strongSwan", "tests/it/clients/est.rs"),
    ("docs/relying-services.md", "## With openssl", "tests/it/crls/openssl.rs"),
    ("docs/webhooks.md", "## Verify a message", "tests/it/webhooks/documents.rs"),
];

fn is_elsewhere(document: &str, block: &Block) -> bool {
    ELSEWHERE.iter().any(|(of, heading, _)| *of == document && *heading == block.heading)
}

#[test]
fn every_block_of_commands_is_run_or_says_why_not() {
    let mut idle = Vec::new();
    for document in documents() {
        for block in blocks(&document.text).into_iter().filter(Block::is_commands) {
            let place = format!("{}:{}", document.name, block.line);
            match block.no_run() {
                Some("") => idle.push(format!("{place} does not say why it is not run")),
                Some(_) => {}
                None if !block.mark.is_empty() => idle.push(format!("{place} has the unknown mark {:?}", block.mark)),
                None if HERE.contains(&document.name.as_str()) || is_elsewhere(&document.name, &block) => {}
                None => idle.push(format!("{place} is run by nobody")),
            }
        }
    }
    assert!(idle.is_empty(), "{}", idle.join("\n"));
    for (document, heading, test) in ELSEWHERE {
        let text = fs::read_to_string(root().join(test)).expect("a test");
        let file = document.rsplit('/').next().expect("a name");
        assert!(text.contains(file), "{test} does not read {document}");
        assert!(text.contains(heading), "{test} does not run {heading} of {document}");
    }
}

/// An address of the loopback for this process alone, so that the documents' ports are free there.
fn own_loopback() -> String {
    let id = std::process::id();
    format!("127.{}.{}.{}", 64 + ((id >> 16) & 63), (id >> 8) & 255, id & 255)
}

/// Containers have no board and often no machine id.
const DEVICE: &str = "muster enroll --fingerprint fingerprint-of-the-guides";

#[test]
fn the_readme_leads_from_nothing_to_an_enrolled_device() {
    let here = own_loopback();
    let session = Session::new()
        .with("enroll.example.com", &here)
        .with("0.0.0.0", &here)
        .with("127.0.0.1:9090", &format!("{here}:9090"))
        .with("muster enroll", DEVICE)
        .variable("MUSTER_ADMIN_LISTEN", &format!("{here}:8444"))
        .variable("MUSTER_METRICS_LISTEN", &format!("{here}:9090"));
    session.run("README.md", |_| true);
    assert!(session.path("var/lib/muster/cert.pem").exists());
}

/// A service with the group and the key that the documents begin with.
fn with_a_key() -> Session {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let key = service.create_key("app-connector", "HQ", "hq-connectors", &["--max-uses", "10"]);
    let session = Session::beside(service);
    session.write("provision_key", &format!("{key}\n"));
    session
}

/// The same as seen by a device that may reach it.
fn device() -> Session {
    let session = with_a_key();
    let address = session.service().enroll.to_string();
    let key = session.path("etc/muster/provision_key").display().to_string();
    session
        .with("muster enroll", &format!("{DEVICE} --connect {address} --key-file {key}"))
        .with("muster renew", &format!("muster renew --connect {address}"))
        .with("muster loadtest", &format!("muster loadtest --yes --connect {address}"))
        .variable("MUSTER_STATE_DIR", "var/lib/muster")
}

#[test]
fn the_devices_guide_enrolls() {
    let session = device();
    session.run("docs/enrolling-a-device.md", |block| !is_elsewhere("docs/enrolling-a-device.md", block));
    assert!(session.path("var/lib/muster/cert.pem").exists());
    assert!(!session.path("etc/muster/provision_key").exists(), "it was to be removed");
}

#[test]
fn the_agents_guide_renews() {
    let session = device();
    session.run("docs/enrolling-a-device.md", |block| block.heading == "## With muster");
    session.run("docs/agent.md", |_| true);
}

#[test]
fn the_capacity_guide_sends_a_storm_and_clears_up() {
    // Seconds and devices enough for a report; machines of tests are slow.
    let session = device()
        .with("--rate 100 --duration 30 --ramp 5", "--rate 10 --duration 1")
        .with("--force \"Load test\"", "--force --yes \"Load test\"");
    session.run("docs/capacity.md", |_| true);
    assert!(session.path("report.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_guide_manages_with_curl() {
    let session = with_a_key();
    session.write("api-client.json", &session.service().api_client().to_string());
    session.run("docs/api.md", |_| true);
    // The key that the guide made is one.
    let made = fs::read_to_string(session.path("kiosk.key")).expect("the guide's key");
    let answer = Device::new("kiosk").enroll(&session.service().endpoint(), made.trim()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_migration_guide_takes_over_keys_that_devices_hold() {
    let session = with_a_key();
    let held = format!("2|api.private.example.com|{}", "old/".repeat(12));
    session.write("old_key", &format!("{held}\n"));
    const END: &str = "## Let go of the old key";
    session.run("docs/migrating.md", |block| block.heading != END);
    let endpoint = session.service().endpoint();
    let answer = Device::new("moved").enroll(&endpoint, &held).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    session.run("docs/migrating.md", |block| block.heading == END);
    assert_eq!(Device::new("late").enroll(&endpoint, &held).await.code(), "key-disabled");
    let successor = fs::read_to_string(session.path("new_key")).expect("the guide's successor");
    let answer = Device::new("next").enroll(&endpoint, successor.trim()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn the_configuration_guide_is_what_config_check_takes() {
    with_a_key().run("docs/configure.md", |_| true);
}

#[test]
fn the_upgrade_guide_checks_before_and_after() {
    with_a_key().run("docs/upgrading.md", |_| true);
}

#[test]
fn what_troubleshooting_tells_to_look_at_is_there() {
    let session = device();
    session.run("docs/troubleshooting.md", |_| true);
}
