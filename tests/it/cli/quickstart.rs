//! `muster quickstart`: shows everything and leaves nothing.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{muster, stderr, stdout};

fn quickstart(directory: &Path, more: &[&str]) -> Command {
    let mut command = muster(&["quickstart"]);
    command.args(more).env("TMPDIR", directory).current_dir(directory);
    command
}

fn assert_empty(directory: &Path) {
    let left: Vec<_> = directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn once_shows_every_step_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let output = quickstart(directory.path(), &["--once"]).output().unwrap();
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", stderr(&output));
    assert_eq!(stderr(&output), "");

    for kind in ["app-connector", "service-edge", "network-connector", "machine"] {
        assert!(shown.contains(&format!("✓ {kind}-1 has its certificate, serial number ")), "{kind}: {shown}");
    }
    let steps = [
        "✓ service up: enrollment 127.0.0.1:",
        "A group and a key of each kind\n",
        "Four devices enroll\n",
        "✓ the same certificate again, and no use taken\n",
        "http status(403) code(reenrollment-not-allowed) reference(",
        "✓ the same component with a new certificate; the old one is revoked, no use taken\n",
        "http status(403) code(key-exhausted) reference(",
        "error:Provisioning key is damaged, copy it again\n",
        "error:Login request failed - http status(401) nonce(<3|localhost:",
        "fingerprint(<quickstart...>)\n",
        "Done; the service was stopped",
    ];
    let mut rest = shown.as_str();
    for step in steps {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step:?} is not where it should be in {shown}"));
        rest = &rest[at + step.len()..];
    }

    assert_empty(directory.path());
    let enroll = shown.split("service up: enrollment ").nth(1).unwrap().split(',').next().unwrap();
    assert!(TcpStream::connect(enroll.parse::<SocketAddr>().unwrap()).is_err(), "{enroll} still accepts");
}

#[test]
fn the_master_key_of_the_host_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("muster-master-key"), "not a master key").unwrap();
    for (name, value) in
        [("MUSTER_MASTER_KEY_FILE", Path::new("/nonexistent")), ("CREDENTIALS_DIRECTORY", credentials.path())]
    {
        let output = quickstart(directory.path(), &["--once"]).env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}{}", stdout(&output), stderr(&output));
        assert_empty(directory.path());
    }
}

#[test]
fn it_stays_up_until_it_is_interrupted() {
    for signal in ["INT", "TERM"] {
        let directory = tempfile::tempdir().unwrap();
        let mut child = quickstart(directory.path(), &[]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("Ctrl-C to stop")), "it ended by itself");
        let kill = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status().unwrap();
        assert!(kill.success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        assert_empty(directory.path());
    }
}

#[test]
fn a_signal_in_the_middle_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut child =
        quickstart(directory.path(), &["--once"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("a throw-away service")), "it ended at once");
    let kill = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success());
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(1), "not everything was shown");
    assert_empty(directory.path());
}
