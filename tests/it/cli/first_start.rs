//! `muster init`, and what the first start of `muster serve` leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::{muster, stderr, stdout};
use crate::support::{Device, Service};

/// `muster init` with these further arguments; it must succeed. What it printed on stdout and stderr.
fn init(data_dir: &Path, more: &[&str]) -> (String, String) {
    let mut command = muster(&["init", "--cloud", "localhost:8443", "--data-dir", data_dir.to_str().unwrap()]);
    let output = command.args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    (stdout(&output), stderr(&output))
}

fn init_json(data_dir: &Path) -> Value {
    serde_json::from_str(&init(data_dir, &["--json"]).0).unwrap()
}

/// Everything beside the store, which a look at it may touch.
fn files(data_dir: &Path) -> Vec<Vec<u8>> {
    let names = ["api-client.json", "first-start.json", "master.key", "tls-trust-anchor.pem"];
    names.iter().map(|name| fs::read(data_dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

#[test]
fn init_prints_what_it_made_and_serve_goes_on_with_it() {
    let mut service = Service::prepare("");
    let made = init_json(&service.data_dir());
    let mut members: Vec<_> = made.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["administrator", "apiClient", "customerId", "tlsTrustAnchor"]);
    assert_eq!(text(&made, "/administrator/username"), "admin");
    assert!(text(&made, "/administrator/password").len() >= 16);
    assert_eq!(text(&made, "/tlsTrustAnchor"), service.data_dir().join("tls-trust-anchor.pem").to_str().unwrap());

    service.launch();
    assert!(!service.log().contains("First start"), "{}", service.log());
    let mut command = muster(&["group", "create", "--kind", "machine", "--name", "HQ"]);
    command
        .current_dir(service.dir())
        .env("MUSTER_URL", format!("https://localhost:{}", service.admin.port()))
        .env("MUSTER_CA_FILE", text(&made, "/tlsTrustAnchor"))
        .env("MUSTER_CLIENT_ID", text(&made, "/apiClient/clientId"))
        .env("MUSTER_CLIENT_SECRET", text(&made, "/apiClient/clientSecret"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let secret = service.dir().join("secret");
    fs::write(&secret, format!("{}\n", text(&made, "/apiClient/clientSecret"))).unwrap();
    command.env_remove("MUSTER_CLIENT_SECRET").env("MUSTER_CLIENT_SECRET_FILE", &secret);
    command.env("MUSTER_CUSTOMER_ID", text(&made, "/customerId"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "the name is taken");
    assert!(stderr(&output).contains("HQ") || stderr(&output).contains("name"), "{}", stderr(&output));

    command.env("MUSTER_CLIENT_SECRET", "wrong");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not accepted"), "{}", stderr(&output));
}

#[test]
fn secrets_are_for_the_owners_eyes() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let (printed, told) = init(&data_dir, &[]);
    assert_eq!(printed, "");
    let first: Value = serde_json::from_slice(&fs::read(data_dir.join("first-start.json")).unwrap()).unwrap();
    assert!(!told.contains(text(&first, "/administrator/password")), "nobody watches a terminal");
    assert!(told.contains("first-start.json") && told.contains("Next: muster group create"), "{told}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data_dir), 0o700);
    for name in ["api-client.json", "first-start.json", "master.key"] {
        assert_eq!(mode(&data_dir.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_second_init_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let made = init_json(&data_dir);
    let before = files(&data_dir);
    let (printed, told) = init(&data_dir, &["--json"]);
    assert!(told.contains("was initialized before; nothing was changed."), "{told}");
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), made);
    assert_eq!(files(&data_dir), before);

    // The password was moved to a vault, as it should be: the rest is still told.
    fs::remove_file(data_dir.join("first-start.json")).unwrap();
    let mut expected = made;
    expected.as_object_mut().unwrap().remove("administrator");
    assert_eq!(init_json(&data_dir), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broken_off_first_start_left_is_overwritten() {
    // Killed between writing the files and the commit: credentials that were never valid, one of
    // them readable by all, and temporary files of the write that was under way.
    let mut service = Service::prepare("");
    let data_dir = service.data_dir();
    fs::create_dir(&data_dir).unwrap();
    for name in
        ["api-client.json", "first-start.json", "tls-trust-anchor.pem", ".first-start.json.new", ".master.key.new"]
    {
        fs::write(data_dir.join(name), "left by a crash").unwrap();
    }
    service.launch();
    let mode = |name: &str| fs::metadata(data_dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("api-client.json"), mode("first-start.json")), (0o600, 0o600));
    let names = fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let temporary: Vec<_> = names.filter(|name| name.ends_with(".new")).collect();
    assert!(temporary.is_empty(), "{temporary:?}");

    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "k", &[]);
    assert_eq!(Device::new("device").enroll(&service.endpoint(), &key).await.status, 200);
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_that_was_made_before_the_crash_is_used() {
    let mut service = Service::prepare("");
    let data_dir = service.data_dir();
    fs::create_dir(&data_dir).unwrap();
    let master_key = format!("1 {}\n", "5a".repeat(32));
    fs::write(data_dir.join("master.key"), &master_key).unwrap();
    fs::set_permissions(data_dir.join("master.key"), fs::Permissions::from_mode(0o600)).unwrap();
    service.launch();
    service.kill();
    assert_eq!(fs::read_to_string(data_dir.join("master.key")).unwrap(), master_key);
    let before = files(&data_dir);
    service.launch();
    assert_eq!(files(&data_dir), before, "one first start is enough");
    service.create_group("machine", "HQ");
}

#[test]
fn the_master_key_is_taken_from_the_named_file_or_the_credential() {
    let directory = tempfile::tempdir().unwrap();
    let outside = directory.path().join("muster-master-key");
    fs::write(&outside, format!("1 {}\n", "5a".repeat(32))).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).unwrap();
    let missing = directory.path().join("missing");
    let init = |data_dir: &Path, variables: &[(&str, &Path)]| {
        let mut command = muster(&["init", "--cloud", "localhost:8443", "--data-dir", data_dir.to_str().unwrap()]);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let named = ("MUSTER_MASTER_KEY_FILE", outside.as_path());
    let credential = ("CREDENTIALS_DIRECTORY", directory.path());
    for (name, variable) in [("named", named), ("credential", credential)] {
        let data_dir = directory.path().join(name);
        let output = init(&data_dir, &[variable]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        assert!(!data_dir.join("master.key").exists(), "{name}: another one was made");
        // What was sealed needs it again.
        let output = init(&data_dir, &[]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", stdout(&output));
        assert!(stderr(&output).contains("MUSTER_MASTER_KEY_FILE"), "{name}: {}", stderr(&output));
        assert!(!data_dir.join("master.key").exists(), "{name}: another one was made");
    }
    // A unit without the file hands over an empty credential: that is none.
    fs::write(&outside, "\n").unwrap();
    let data_dir = directory.path().join("empty");
    let output = init(&data_dir, &[credential]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(data_dir.join("master.key").exists());
    // A named file that is not there is an error, whatever else there is.
    let output = init(&directory.path().join("refused"), &[("MUSTER_MASTER_KEY_FILE", &missing), credential]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("missing"), "{}", stderr(&output));
}
