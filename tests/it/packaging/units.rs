//! The systemd units.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use super::repository;

const UNITS: [&str; 3] = ["muster-agent.service", "muster.service", "muster.socket"];

/// Tenths of systemd's exposure level, of at most 100; what is left is the network, which they need.
const EXPOSURE_MAX: &str = "15";

/// The units as they would be installed, but for where this build's binary is.
fn installed_units() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in UNITS {
        let unit = fs::read_to_string(repository("packaging/systemd").join(name)).expect("the unit is there");
        assert_eq!(unit.contains("\nExecStart=/usr/bin/muster "), name.ends_with(".service"), "{unit}");
        let unit = unit.replace("/usr/bin/muster", env!("CARGO_BIN_EXE_muster"));
        fs::write(directory.path().join(name), unit).unwrap();
    }
    directory
}

fn services(units: &tempfile::TempDir) -> impl Iterator<Item = PathBuf> {
    UNITS.into_iter().filter(|name| name.ends_with(".service")).map(|name| units.path().join(name))
}

fn systemd_analyze(arguments: &[&str]) -> Output {
    Command::new("systemd-analyze").args(arguments).output().expect("systemd-analyze runs; tests/run installs it")
}

#[test]
fn the_units_have_no_fault() {
    let units = installed_units();
    let paths: Vec<_> = UNITS.into_iter().map(|name| units.path().join(name)).collect();
    let paths = paths.iter().map(|path| path.to_str().unwrap());
    let output = systemd_analyze(&["verify", "--man=no"].into_iter().chain(paths).collect::<Vec<_>>());
    // What it does not understand it only says.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_sandboxes_are_tight() {
    let units = installed_units();
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    for unit in services(&units) {
        let output = systemd_analyze(&["security", "--offline=true", "--no-pager", &threshold, unit.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Every option that a unit passes is one of the command's.
#[test]
fn the_units_call_the_commands_as_they_are() {
    let units = installed_units();
    for unit in services(&units) {
        let unit = fs::read_to_string(unit).unwrap();
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
        let mut words = line.split_whitespace();
        let (program, command) = (words.next().expect("a program"), words.next().expect("a command"));
        let help = Command::new(program).args([command, "--help"]).output().expect("the binary runs");
        let help = String::from_utf8(help.stdout).unwrap();
        for option in words.filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{option} is none of\n{help}");
        }
    }
}
