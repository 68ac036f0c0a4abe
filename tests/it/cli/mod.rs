//! The program as its users meet it: arguments, streams, exit codes.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::Service;

mod admin;
mod administrators;
mod certificates;
mod components;
mod credentials;
mod db;
mod doctor;
mod enroll;
mod first_start;
mod keys;
mod loadtest;
mod management;
mod offline;
mod quickstart;
mod shells;
mod signing_certs;

const FINGERPRINT: &str = "oXaN4RRiMcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The program without this process's `MUSTER_…` variables.
fn muster(arguments: &[&str]) -> Command {
    let mut command = crate::support::service::muster();
    command.args(arguments).stdin(Stdio::null()).env_remove("CREDENTIALS_DIRECTORY");
    command
}

fn with_stdin(mut command: Command, text: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a command printed for machines; it must succeed.
fn asked(service: &Service, arguments: &[&str]) -> Value {
    json(&service.cli_ok(&[arguments, &["--json"]].concat()))
}

/// The words of each line of a table, titles first.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// The sentence after `error: ` of a command that must fail with exit code 1.
fn error(service: &Service, arguments: &[&str]) -> String {
    let output = service.cli(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stdout(&output), "", "{arguments:?}");
    let text = stderr(&output);
    // Before it there may stand as whom it signed in.
    let error = text.lines().last().and_then(|line| line.strip_prefix("error: "));
    error.unwrap_or_else(|| panic!("{arguments:?}: {text}")).to_owned()
}

/// What is said on stderr by a command that needs `--yes`: it must refuse without, and nobody can be asked.
fn question(service: &Service, arguments: &[&str]) -> String {
    let output = service.cli(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("add --yes"), "{arguments:?}: {text}");
    text
}

/// Enrolls a device with this key string; it must succeed. The component's id.
fn enroll_device(service: &Service, key: &str, name: &str) -> String {
    let state = service.dir().join(name);
    let fingerprint = format!("{name:-<16}");
    let mut command = muster(&["enroll", "--fingerprint", &fingerprint, "--timeout", "0", "--key-file", "-"]);
    command.arg("--state-dir").arg(&state).arg("--connect").arg(service.enroll.to_string());
    let output = with_stdin(command, key);
    assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
    let record = json(&std::fs::read_to_string(state.join("enrollment.json")).unwrap());
    record["componentId"].as_str().unwrap().to_owned()
}
