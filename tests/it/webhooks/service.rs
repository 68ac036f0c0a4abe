//! The service as it runs: the command line, a restart, two nodes, and where the secret is not.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::receiver::{Answer, Receiver};
use crate::nodes::support::Nodes;
use crate::support::postgres::Cluster;
use crate::support::{Device, Service, eventually};

const KIND: &str = "machine";

/// What a configuration file says for a receiver on this machine.
fn config(receiver: &Receiver, dir: &std::path::Path) -> String {
    let file = dir.join("receivers.pem");
    fs::write(&file, &receiver.anchor_pem).expect("a file");
    format!("[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nca_file = {file:?}\n")
}

fn create(service: &Service, receiver: &Receiver, events: &[&str]) -> String {
    let url = receiver.url();
    let events = events.iter().flat_map(|event| ["--event", event]);
    let args: Vec<_> = ["webhook", "create", "--name", "hook", "--url", &url].into_iter().chain(events).collect();
    service.cli_ok(&args)
}

/// Of all deliveries of enrollments, in order; one may have come several times.
fn components(receiver: &Receiver) -> Vec<(String, String)> {
    let received = receiver.received();
    let enrolled = received.iter().filter(|received| received.payload["type"] == "component.enrolled");
    enrolled
        .flat_map(|received| {
            let components = received.payload["data"]["components"].as_array().expect("a list");
            components
                .iter()
                .map(|component| (received.id.clone(), component["id"].as_str().expect("an id").to_owned()))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_tested_told_and_deleted_and_its_secret_is_nowhere() {
    let (receiver, dir) = (Receiver::start().await, tempfile::tempdir().expect("a directory"));
    let mut service = Service::start_with(&format!("{}[log]\nlevel = \"trace\"\n", config(&receiver, dir.path())));
    let secret = create(&service, &receiver, &["component.enrolled"]);
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");

    let told = tokio::task::block_in_place(|| service.cli_ok(&["webhook", "test", "hook"]));
    assert!(told.contains("delivered, answered 200"), "{told}");
    receiver.answer(Answer::Status(500));
    let failed = tokio::task::block_in_place(|| service.cli(&["webhook", "test", "hook"]));
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("answered 500"));
    receiver.answer(Answer::Status(200));

    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "k", &[]);
    let enrolled = Device::new("device").enroll(&service.endpoint(), &key).await;
    // Killed before or after it was told: it is told by the next one, if not by this.
    service.kill();
    service.launch();
    let told = tokio::task::block_in_place(|| {
        eventually("the event", || Some(components(&receiver)).filter(|told| !told.is_empty()))
    });
    let ids: BTreeSet<_> = told.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 1, "however often it came");
    assert_eq!(told[0].1, enrolled.text("componentId"));
    assert!(receiver.received().iter().all(|received| received.is_signed_with(&secret)));

    let shown: Value = serde_json::from_str(&service.cli_ok(&["webhook", "show", "--json", "hook"])).expect("JSON");
    assert_eq!((&shown["secret"], &shown["lastFailure"]), (&Value::Null, &"answered 500".into()));
    assert!(service.cli_ok(&["webhook", "deliveries", "hook"]).contains("component.enrolled"));
    assert!(service.cli_ok(&["webhook", "list"]).contains("https://localhost:"));
    service.cli_ok(&["webhook", "edit", "hook", "--event", "key.expiring", "--name", "other"]);
    let (status, metrics) = service.ops("/metrics");
    assert!(status == 200 && metrics.contains("muster_webhook_attempts_total"), "{metrics}");
    service.assert_healthy();

    // Before the row is gone, look for the secret in all that there is.
    service.stop();
    let bytes = STANDARD.decode(secret.strip_prefix("whsec_").expect("a prefix")).expect("base64");
    let mut files: Vec<_> = fs::read_dir(service.data_dir()).expect("files").map(|file| file.unwrap().path()).collect();
    files.push(service.log_file());
    assert!(files.iter().any(|file| file.ends_with("muster.db")));
    for file in files.iter().filter(|file| file.is_file()) {
        let content = fs::read(file).expect("a file");
        let holds = |needle: &[u8]| content.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(&secret.as_bytes()[6..]) && !holds(&bytes), "{} holds the secret", file.display());
    }
    service.launch();
    service.cli_ok(&["webhook", "delete", "--yes", "other"]);
    assert_eq!(service.cli_ok(&["webhook", "list", "--json"]), "[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_addresses_are_refused_unless_the_operator_names_them() {
    let service = Service::start();
    let create =
        |url: &str| service.cli(&["webhook", "create", "--name", "hook", "--url", url, "--event", "key.expiring"]);
    for url in [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:7f00:1]/",
        "https://[fd00::1]/",
        "http://hooks.example.com/",
        "https://user@hooks.example.com/",
    ] {
        let refused = create(url);
        assert_eq!(refused.status.code(), Some(1), "{url}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("url"), "{url}: {refused:?}");
    }
    // A name is looked at when it is looked up.
    assert!(create("https://localhost:1/").status.success());
    let test = tokio::task::block_in_place(|| service.cli(&["webhook", "test", "hook"]));
    assert!(String::from_utf8_lossy(&test.stderr).contains("internal address"), "{test:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_tell_each_enrollment_once() {
    let (receiver, dir) = (Receiver::start().await, tempfile::tempdir().expect("a directory"));
    let database = Cluster::shared().database();
    let nodes = Nodes::start_with(&database.url(), 2, &config(&receiver, dir.path()));
    create(&nodes[0], &receiver, &["component.enrolled"]);
    nodes[0].create_group(KIND, "HQ");
    let key = nodes[0].create_key(KIND, "HQ", "k", &[]);
    let mut expected = BTreeSet::new();
    for n in 0..20 {
        let enrolled = Device::new(&format!("d{n}")).enroll(&nodes[n % 2].endpoint(), &key).await;
        expected.insert(enrolled.text("componentId"));
    }
    let told = tokio::task::block_in_place(|| {
        eventually("all events", || Some(components(&receiver)).filter(|told| told.len() >= expected.len()))
    });
    assert_eq!(told.iter().map(|(_, component)| component.clone()).collect::<BTreeSet<_>>(), expected);
    assert_eq!(told.len(), expected.len(), "each once: {told:?}");
    nodes[0].assert_healthy();
}
