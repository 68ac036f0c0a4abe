//! Commands that come to their end without a service.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use muster::domain::{KeySecret, KeyVersion, TrustPin};

use super::{FINGERPRINT, muster, stderr, stdout, with_stdin};

fn key_for(listener: &TcpListener) -> KeySecret {
    let cloud = format!("localhost:{}", listener.local_addr().unwrap().port());
    KeySecret::generate(KeyVersion::Bootstrap, &cloud.parse().unwrap(), TrustPin::from_bytes([7; 32]))
}

fn enroll(state_dir: &Path, more: &[&str]) -> Command {
    let mut command = muster(&["enroll", "--fingerprint", FINGERPRINT, "--state-dir", state_dir.to_str().unwrap()]);
    command.args(more);
    command
}

#[test]
fn a_damaged_key_ends_with_3_before_any_connection() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let key = key_for(&listener);
    let cut = &key.expose()[..key.expose().len() - 1];
    for damaged in [cut, "", "hello", &key.expose().replace("localhost", "lOcalhost")] {
        let output = with_stdin(enroll(directory.path(), &["--key-file", "-"]), damaged);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert_eq!(
            stderr(&output),
            "notice:Checking Enrollment\n\
             notice:No valid certificate. Attempting to enroll\n\
             error:Provisioning key is damaged, copy it again\n\
             notice:Certificate enrollment failed.\n",
        );
        assert_eq!(stdout(&output), "");
    }
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody called");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "no key pair was made");
}

#[test]
fn an_unreachable_server_ends_with_5_and_keeps_the_key_pair() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let key = key_for(&listener);
    drop(listener);
    let mut command = enroll(directory.path(), &["--timeout", "0"]);
    let output = command.env("MUSTER_PROVISIONING_KEY", key.expose()).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).contains("error:Login request failed - server(localhost) is unreachable: "));
    let key_file = directory.path().join("key.pem");
    assert_eq!(fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&key_file).unwrap();
    let mut command = enroll(directory.path(), &["--timeout", "0"]);
    command.env("MUSTER_PROVISIONING_KEY", key.expose()).output().unwrap();
    assert_eq!(fs::read(&key_file).unwrap(), before, "a retry shows the same public key");
}

#[test]
fn a_key_file_that_others_can_read_is_warned_about() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("provision_key");
    let state = directory.path().join("state");
    fs::write(&file, "damaged\n").unwrap();
    for (mode, warned) in [(0o644, true), (0o600, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let output = enroll(&state, &["--key-file", file.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(stderr(&output).contains("can be read by others"), warned, "{}", stderr(&output));
    }
    assert!(file.exists());
}

#[test]
fn the_systemd_credential_is_found() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("muster-provisioning-key"), "damaged").unwrap();
    let mut command = enroll(&directory.path().join("state"), &[]);
    let output = command.env("CREDENTIALS_DIRECTORY", directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn without_a_key_it_says_where_to_put_one() {
    let directory = tempfile::tempdir().unwrap();
    let output = enroll(directory.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("MUSTER_PROVISIONING_KEY"), "{}", stderr(&output));
}

#[test]
fn a_key_string_as_argument_is_refused_and_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let key = key_for(&TcpListener::bind("127.0.0.1:0").unwrap());
    let output = enroll(directory.path(), &["--key-file", key.expose()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let secret = key.expose().rsplit('|').next().unwrap();
    assert!(!stderr(&output).contains(&secret[..12]), "{}", stderr(&output));
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &["no-such-command"][..],
        &["enroll", "--fingerprint", "too short"],
        &["enroll", "--connect", "host"],
        &["key", "create", "--kind", "toaster", "--group", "g", "--name", "n"],
        &["key", "show"],
        &["key", "edit", "7"],
        &["group", "edit", "7"],
        &["group", "list", "--limit", "0"],
        &["component", "list", "--sort", "name:down"],
        &["component", "clean-up", "--kind", "machine", "--after", "8"],
        &["admin", "create", "--username", "ann", "--role", "king"],
        &["man", "key", "pick"],
        &["completions", "tcsh"],
    ] {
        let output = muster(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn config_check_prints_what_is_in_effect_and_whence() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("muster.toml");
    fs::write(&file, "[enroll]\nlisten = \"127.0.0.1:1\"\n[admin]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    let mut command = muster(&["config", "check", "--config", file.to_str().unwrap(), "--admin-listen", "127.0.0.1:3"]);
    let output = command.env("MUSTER_ENROLL_LISTEN", "127.0.0.1:2").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("listen = \"127.0.0.1:2\" # MUSTER_ENROLL_LISTEN\n"), "{}", stdout(&output));
    assert!(stdout(&output).contains("listen = \"127.0.0.1:3\" # --admin-listen\n"), "{}", stdout(&output));
}

#[test]
fn config_check_tells_all_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("muster.toml");
    fs::write(&file, "[enroll]\nlisten = \"here\"\nlisten_port = 1\n").unwrap();
    let output = muster(&["config", "check", "--config", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("enroll.listen_port"), "{}", stderr(&output));
    assert!(stderr(&output).contains("found \"here\""), "{}", stderr(&output));
}

#[test]
fn management_without_a_service_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let output = muster(&["key", "list", "--data-dir", directory.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("MUSTER_URL"), "{}", stderr(&output));
}

#[test]
fn the_version_is_printed() {
    let output = muster(&["version"]).output().unwrap();
    let (version, key_exchanges) = (env!("CARGO_PKG_VERSION"), ["X25519", "secp256r1", "secp384r1"]);
    let (provider, key_exchanges) = if cfg!(feature = "aws-lc-rs") {
        ("aws-lc-rs", [&["X25519MLKEM768"], &key_exchanges[..]].concat())
    } else {
        ("ring", key_exchanges.to_vec())
    };
    let features: &[&str] = if cfg!(feature = "aws-lc-rs") { &["aws-lc-rs"] } else { &[] };
    let said = stdout(&output);
    assert!(said.starts_with(&format!("muster {version}\nCommit: ")), "{said}");
    assert!(said.ends_with(&format!("\nTLS by {provider}: {}\n", key_exchanges.join(", "))), "{said}");

    let output = muster(&["version", "--json"]).output().unwrap();
    let printed: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let tls = serde_json::json!({ "provider": provider, "keyExchanges": key_exchanges });
    let target = printed["target"].as_str().expect("a target");
    assert!(target.starts_with(std::env::consts::ARCH) && said.contains(&format!(" for {target}, ")), "{said}");
    let compiler = printed["compiler"].as_str().expect("a compiler");
    assert!(compiler.starts_with("rustc 1.") && said.contains(&format!("\nBuilt by {compiler} for ")), "{said}");
    for (name, expected) in [("version", version.into()), ("tls", tls), ("features", features.into())] {
        assert_eq!(printed[name], expected, "{name}");
    }
}
