//! The program as its users meet it: arguments, streams, exit codes.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

mod doctor;
mod enroll;
mod first_start;
mod management;
mod offline;
mod quickstart;

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
