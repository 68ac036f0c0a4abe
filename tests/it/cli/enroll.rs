//! `muster enroll` against a real service.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use muster::domain::key_string::{Inspection, inspect};
use muster::domain::{KeySecret, KeyVersion};
use serde_json::Value;

use super::{FINGERPRINT, muster, stderr, stdout, with_stdin};
use crate::support::Service;
use crate::support::wire::Wire;

const KIND: &str = "app-connector";

/// A service with one group.
fn service() -> Service {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    service
}

/// `muster enroll` into a state directory of this name, calling the service where it is.
fn enroll(service: &Service, state: &str, more: &[&str]) -> Command {
    let state = service.dir().join(state);
    let connect = service.enroll.to_string();
    let mut command = muster(&["enroll", "--fingerprint", FINGERPRINT, "--state-dir", state.to_str().unwrap()]);
    if !more.contains(&"--connect") {
        command.args(["--connect", &connect]);
    }
    command.args(more);
    command
}

fn key_file(service: &Service, key: &str) -> PathBuf {
    let path = service.dir().join("provision_key");
    fs::write(&path, format!("{key}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn record(service: &Service, state: &str) -> Value {
    serde_json::from_slice(&fs::read(service.dir().join(state).join("enrollment.json")).unwrap()).unwrap()
}

fn member<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(directory).unwrap().map(read).collect()
}

fn openssl(directory: &Path, words: &str) -> String {
    let output = Command::new("openssl").args(words.split(' ')).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "openssl {words}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

#[test]
fn success_writes_six_files_that_openssl_accepts() {
    let service = service();
    let file = key_file(&service, &service.create_key(KIND, "HQ", "k", &["--max-uses", "1"]));
    let output = enroll(&service, "state", &["--key-file", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    let record = record(&service, "state");
    let expected = format!(
        "notice:Checking Enrollment\n\
         notice:No valid certificate. Attempting to enroll\n\
         notice:Enroll: Connecting to localhost via {}.\n\
         notice:Certificate enrolled. component({}) group(HQ) valid until({})\n",
        service.enroll,
        member(&record, "componentId"),
        member(&record, "notAfter"),
    );
    assert_eq!(stderr(&output), expected);
    for (name, value) in
        [("outcome", "enrolled"), ("kind", KIND), ("componentName", "k-1"), ("fingerprint", FINGERPRINT)]
    {
        assert_eq!(member(&record, name), value);
    }

    let state = service.dir().join("state");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join("key.pem"))), (0o700, 0o600));
    let files = files(&state);
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["cert.pem", "chain.pem", "enrollment.json", "key.pem", "server-trust-anchors.pem", "trust-anchors.pem"]
    );
    assert_eq!(files["server-trust-anchors.pem"], service.trust_anchor_pem().into_bytes());

    openssl(&state, "verify -x509_strict -purpose sslclient -CAfile trust-anchors.pem -untrusted chain.pem cert.pem");
    assert_eq!(openssl(&state, "x509 -in cert.pem -noout -pubkey"), openssl(&state, "pkey -in key.pem -pubout"));
    let serial = openssl(&state, "x509 -in cert.pem -noout -serial");
    assert_eq!(serial.trim().to_ascii_lowercase(), format!("serial={}", member(&record, "serialNumber")));
    assert!(file.exists(), "the key file stays unless asked");
}

#[test]
fn a_good_certificate_is_kept_without_a_connection() {
    let service = service();
    let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
    let first = with_stdin(enroll(&service, "state", &["--key-file", "-"]), &key);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let before = files(&service.dir().join("state"));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let elsewhere = listener.local_addr().unwrap().to_string();
    // No key is given either: a device that has its certificate needs none.
    let again = enroll(&service, "state", &["--connect", &elsewhere, "--json"]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let record = record(&service, "state");
    assert_eq!(serde_json::from_str::<Value>(&stdout(&again)).unwrap(), record);
    let expected = format!(
        "notice:Checking Enrollment\n\
         notice:Certificate is valid, nothing to do. component({}) group(HQ) valid until({})\n",
        member(&record, "componentId"),
        member(&record, "notAfter"),
    );
    assert_eq!(stderr(&again), expected);
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody called");
    assert_eq!(files(&service.dir().join("state")), before);
}

#[test]
fn the_key_file_is_removed_after_success_only() {
    let service = service();
    let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
    let file = key_file(&service, &unknown_key_like(&key));
    let arguments = ["--key-file", file.to_str().unwrap(), "--remove-key-file"];
    let refused = enroll(&service, "state", &arguments).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(file.exists(), "a refused key may be looked at");

    key_file(&service, &key);
    let enrolled = enroll(&service, "state", &arguments).output().unwrap();
    assert_eq!(enrolled.status.code(), Some(0), "{}", stderr(&enrolled));
    assert!(!file.exists());

    // As after a run that was cut short between the certificate and the removal.
    key_file(&service, &key);
    let kept = enroll(&service, "state", &arguments).output().unwrap();
    assert_eq!(kept.status.code(), Some(0), "{}", stderr(&kept));
    assert!(!file.exists());
}

/// Well-formed, for the same cloud and pin, and known to nobody.
fn unknown_key_like(key: &str) -> String {
    let Inspection::Usable { cloud, pin } = inspect(key) else { panic!("the service makes good keys") };
    KeySecret::generate(KeyVersion::Bootstrap, &cloud, pin).expose().to_owned()
}

#[test]
fn an_unknown_key_ends_with_3_and_the_field_engineers_line() {
    let service = service();
    let known = service.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
    let unknown = unknown_key_like(&known);
    let output = with_stdin(enroll(&service, "state", &["--key-file", "-"]), &unknown);
    assert_eq!(output.status.code(), Some(3));
    let secret = unknown.rsplit('|').next().unwrap();
    let expected = format!(
        "notice:Checking Enrollment\n\
         notice:No valid certificate. Attempting to enroll\n\
         notice:Enroll: Connecting to localhost via {}.\n\
         error:Login request failed - http status(401) nonce(<3|localhost:8443|{}...>) fingerprint(<{}...>)\n\
         notice:Certificate enrollment failed.\n",
        service.enroll,
        &secret[..7],
        &FINGERPRINT[..10],
    );
    assert_eq!(stderr(&output), expected);
}

#[test]
fn a_refusal_ends_with_4_and_says_code_and_reference() {
    let service = service();
    let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
    service.cli_ok(&["key", "edit", "--kind", KIND, "k", "--disable"]);
    let refused = with_stdin(enroll(&service, "state", &["--key-file", "-"]), &key);
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
    let text = stderr(&refused);
    let line = text.lines().nth(3).unwrap();
    let reference = line
        .strip_prefix("error:Login request failed - http status(403) code(key-disabled) reference(")
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or_else(|| panic!("{text}"));
    assert_eq!(reference.len(), 12, "{reference}");
    assert!(text.ends_with(")\nnotice:Certificate enrollment failed.\n"), "{text}");
    assert!(service.log().contains(reference), "whoever is called finds it in the log");

    service.cli_ok(&["key", "edit", "--kind", KIND, "k", "--enable"]);
    let enrolled = with_stdin(enroll(&service, "state", &["--key-file", "-"]), &key);
    assert_eq!(enrolled.status.code(), Some(0), "{}", stderr(&enrolled));
}

#[test]
fn another_service_of_the_same_name_is_not_trusted() {
    let (ours, other) = (service(), Service::start());
    let key = ours.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
    let connect = other.enroll.to_string();
    let output = with_stdin(enroll(&ours, "state", &["--connect", &connect, "--key-file", "-"]), &key);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("error:Login request failed - server(localhost) is not trusted: "),
        "{}",
        stderr(&output)
    );
    assert_eq!(other.metric("muster_enroll_requests_total{outcome=\"invalid-key\"}"), 0.0, "the key was not shown");

    // Nor by a CA file that does not belong to it, and by one that does, the pin is not asked.
    for (anchor, service, code) in [(&ours, &other, 6), (&ours, &ours, 0)] {
        let file = anchor.data_dir().join("tls-trust-anchor.pem");
        let connect = service.enroll.to_string();
        let more = ["--connect", &connect, "--key-file", "-", "--ca-file", file.to_str().unwrap()];
        let output = with_stdin(enroll(&ours, "state", &more), &key);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    }
}

#[test]
fn the_key_comes_from_stdin_the_environment_or_a_credential() {
    let service = service();
    let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
    let credentials = service.dir().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("muster-provisioning-key"), &key).unwrap();
    let check = |state: &str, output: Output| {
        assert_eq!(output.status.code(), Some(0), "{state}: {}", stderr(&output));
        let printed: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(printed, record(&service, state));
        // One hardware, one key pair: all of them get the one certificate.
        let from = service.dir().join(state).join("key.pem");
        for next in ["environment", "credential"] {
            fs::create_dir_all(service.dir().join(next)).unwrap();
            let to = service.dir().join(next).join("key.pem");
            if !to.exists() {
                fs::copy(&from, to).unwrap();
            }
        }
        member(&printed, "outcome").to_owned()
    };
    let outcome = check("stdin", with_stdin(enroll(&service, "stdin", &["--key-file", "-", "--json"]), &key));
    assert_eq!(outcome, "enrolled");
    let mut command = enroll(&service, "environment", &["--json"]);
    assert_eq!(check("environment", command.env("MUSTER_PROVISIONING_KEY", &key).output().unwrap()), "replayed");
    let mut command = enroll(&service, "credential", &["--json"]);
    assert_eq!(check("credential", command.env("CREDENTIALS_DIRECTORY", &credentials).output().unwrap()), "replayed");
}

#[test]
fn a_retry_after_a_lost_answer_gets_the_same_certificate_with_the_same_key() {
    let service = service();
    // One use and no re-enrollment: another public key would be refused.
    let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
    let wire = Wire::that_loses_the_first_answer(service.enroll);
    let connect = wire.address.to_string();
    let arguments = ["--connect", &connect, "--key-file", "-", "--timeout", "0"];

    let lost = with_stdin(enroll(&service, "state", &arguments), &key);
    assert_eq!(lost.status.code(), Some(5), "{}", stderr(&lost));
    let state = service.dir().join("state");
    assert_eq!(files(&state).into_keys().collect::<Vec<_>>(), ["key.pem"]);
    let key_pair = fs::read(state.join("key.pem")).unwrap();
    assert_eq!(service.uses(KIND, "k"), 1, "the answer was lost after the commit");

    let retried = with_stdin(enroll(&service, "state", &arguments), &key);
    assert_eq!(retried.status.code(), Some(0), "{}", stderr(&retried));
    assert_eq!(fs::read(state.join("key.pem")).unwrap(), key_pair);
    assert_eq!(member(&record(&service, "state"), "outcome"), "replayed");
    assert_eq!(service.uses(KIND, "k"), 1);
}

#[test]
fn one_run_repairs_a_lost_answer_by_itself() {
    let service = service();
    let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "1"]);
    let wire = Wire::that_loses_the_first_answer(service.enroll);
    let connect = wire.address.to_string();
    let output = with_stdin(enroll(&service, "state", &["--connect", &connect, "--key-file", "-"]), &key);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("is unreachable: "), "{}", stderr(&output));
    assert!(stderr(&output).contains("\nnotice:Trying again in 1 s.\n"), "{}", stderr(&output));
    assert_eq!(member(&record(&service, "state"), "outcome"), "replayed");
    assert_eq!(service.uses(KIND, "k"), 1);
}
