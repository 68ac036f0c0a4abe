//! After the worst: a service is lost, and goes on elsewhere from a backup and its master key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::Service;
use crate::support::service::muster;

mod backup;
mod drill;
mod kills;
mod peppers;
mod postgres;
mod secrets;

/// The program with a data directory.
fn with_data_dir(arguments: &[&str], data_dir: &Path) -> Command {
    let mut command = muster();
    command.args(arguments).arg("--data-dir").arg(data_dir).stdin(Stdio::null()).env_remove("CREDENTIALS_DIRECTORY");
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn done(mut command: Command) -> Output {
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{command:?}: {}", stderr(&output));
    output
}

/// What it said when it failed.
fn refused(mut command: Command) -> String {
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{command:?}: {}", stderr(&output));
    stderr(&output)
}

/// Makes a backup and answers what the command printed.
fn back_up(service: &Service, output: &Path) -> Value {
    let made =
        done(with_data_dir(&["backup", "--json", "--output", output.to_str().expect("UTF-8")], &service.data_dir()));
    serde_json::from_slice(&made.stdout).expect("JSON")
}

fn restore(backup: &Path, data_dir: &Path) -> Command {
    with_data_dir(&["restore", backup.to_str().expect("UTF-8")], data_dir)
}

/// Another machine, on which there is the master key of this service and nothing else.
fn elsewhere(service: &Service, config: &str) -> Service {
    let other = Service::prepare(config);
    fs::create_dir(other.data_dir()).expect("a data directory");
    copy_master_key(&service.data_dir(), &other.data_dir());
    other
}

fn copy_master_key(from: &Path, to: &Path) {
    fs::copy(from.join("master.key"), to.join("master.key")).expect("a master key");
}

/// The names in a directory, in order.
fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

fn file_of(backed_up: &Value) -> PathBuf {
    backed_up["file"].as_str().expect("a path").into()
}
