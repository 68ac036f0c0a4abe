//! The Debian packages, made of this build's binary. What installs them, brings them up to date, removes and purges them on a
//! system of its own is `packaging/debian/test`, which `tests/long` runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::repository;

/// The packages, built once for all tests, and a second time elsewhere.
static PACKAGES: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    ["debian-1", "debian-2"].map(|name| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&directory); // of a run before
        let output = Command::new(repository("packaging/debian/build"))
            .args(["--binary", env!("CARGO_BIN_EXE_muster")])
            .arg(&directory)
            // A debug binary is large, and what is judged is not its size.
            .env("COMPRESSION", "-Zgzip -z1")
            .output()
            .expect("the script runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        directory
    })
});

fn packages(directory: &Path) -> Vec<PathBuf> {
    let mut packages: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    packages.sort();
    packages
}

fn said(program: &str, arguments: &[&str], files: &[PathBuf]) -> String {
    let output = Command::new(program).args(arguments).args(files).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{program}: {said}");
    said
}

/// Path → mode and owner, as `ls -l` would say them.
fn contents(package: &Path) -> Vec<(String, String)> {
    let listing = said("dpkg-deb", &["--contents"], &[package.to_owned()]);
    let lines = listing.lines().map(|line| {
        let mut words = line.split_whitespace();
        let mode = words.by_ref().take(2).collect::<Vec<_>>().join(" ");
        (words.nth(3).expect("a path").trim_start_matches('.').to_owned(), mode)
    });
    lines.collect()
}

#[test]
fn lintian_finds_nothing() {
    let found = said(
        "lintian",
        &["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"],
        &packages(&PACKAGES[0]),
    );
    assert_eq!(found, "");
}

#[test]
fn the_packages_hold_what_they_should() {
    let [server, program] = &packages(&PACKAGES[0])[..] else { panic!("two packages") };
    assert!(server.to_str().unwrap().contains("/muster-server_") && program.to_str().unwrap().contains("/muster_"));
    let (server, program) = (contents(server), contents(program));
    for (package, path, mode) in [
        (&program, "/usr/bin/muster", "-rwxr-xr-x root/root"),
        (&program, "/lib/systemd/system/muster-agent.service", "-rw-r--r-- root/root"),
        (&program, "/usr/share/man/man1/muster.1.gz", "-rw-r--r-- root/root"),
        (&program, "/usr/share/man/man1/muster-key-create.1.gz", "-rw-r--r-- root/root"),
        (&program, "/usr/share/bash-completion/completions/muster", "-rw-r--r-- root/root"),
        (&program, "/usr/share/doc/muster/third-party-licenses.gz", "-rw-r--r-- root/root"),
        (&server, "/etc/muster/config.toml", "-rw-r--r-- root/root"),
        (&server, "/lib/systemd/system/muster.service", "-rw-r--r-- root/root"),
        (&server, "/lib/systemd/system/muster.socket", "-rw-r--r-- root/root"),
        (&server, "/usr/lib/sysusers.d/muster-server.conf", "-rw-r--r-- root/root"),
    ] {
        let found = package.iter().find(|(found, _)| found == path).map(|(_, mode)| mode.as_str());
        assert_eq!(found, Some(mode), "{path}");
    }
    // What is in one is not in the other.
    let files = |package: &[(String, String)]| {
        let files = package.iter().filter(|(path, _)| !path.ends_with('/')).map(|(path, _)| path.clone());
        files.collect::<std::collections::BTreeSet<_>>()
    };
    assert!(files(&server).is_disjoint(&files(&program)));
}

#[test]
fn the_same_binary_gives_the_same_packages() {
    let [first, second] = [&PACKAGES[0], &PACKAGES[1]].map(|directory| packages(directory));
    for (first, second) in first.iter().zip(&second) {
        assert!(fs::read(first).unwrap() == fs::read(second).unwrap(), "{} differs", first.display());
    }
}

#[test]
fn the_packages_scripts_have_no_fault() {
    let scripts = fs::read_dir(repository("packaging/debian")).unwrap().map(|entry| entry.unwrap().path());
    let scripts: Vec<_> = scripts
        .chain([
            repository("tests/run"),
            repository("tests/long"),
            repository("tests/deb-tools"),
            repository(".ci/run"),
        ])
        .filter(|path| fs::read(path).unwrap().starts_with(b"#!/bin/sh"))
        .collect();
    assert!(scripts.len() >= 12, "{scripts:?}");
    said("shellcheck", &["--external-sources"], &scripts);
}

/// The settings that a fresh installation has are refused for one reason: nobody has said what devices call.
#[test]
fn fresh_settings_lack_the_name_of_the_service_and_nothing_else() {
    let settings = fs::read_to_string(repository("packaging/debian/config.toml")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        crate::support::service::muster().args(["config", "check", "--config"]).arg(&file).output().unwrap()
    };
    let output = check(&settings);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cloud") && said.lines().count() <= 2, "{said}");
    let output = check(&settings.replace("cloud = \"\"", "cloud = \"enroll.example.com\""));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
