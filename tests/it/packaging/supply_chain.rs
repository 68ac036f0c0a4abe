//! What a build takes from others, beside what `cargo deny` holds (deny.toml).

use std::process::Command;

use serde_json::Value;

use super::repository;

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--all-features", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(repository(""))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// `1.89`, `1.89.0` → (1, 89).
fn release(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().expect("a number"));
    (parts.next().expect("a major"), parts.next().unwrap_or(0))
}

/// Of what is compiled, tests and builds included. Clippy holds our own code to it (`incompatible_msrv`), and `tests/long`
/// compiles it with that very release.
#[test]
fn no_crate_wants_a_newer_rust_than_we_say() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let compiled: Vec<_> =
        metadata["resolve"]["nodes"].as_array().expect("nodes").iter().map(|node| &node["id"]).collect();
    let ours = packages.iter().find(|package| package["name"] == "muster").expect("this crate");
    let ours = release(ours["rust_version"].as_str().expect("rust-version is set"));
    let newer: Vec<_> = packages
        .iter()
        .filter(|package| compiled.contains(&&package["id"]))
        .filter(|package| package["rust_version"].as_str().is_some_and(|theirs| release(theirs) > ours))
        .map(|package| format!("{} {} wants {}", package["name"], package["version"], package["rust_version"]))
        .collect();
    assert!(newer.is_empty() && compiled.len() > 100, "{newer:#?}");
}

/// The README tells it to whoever builds.
#[test]
fn the_readme_states_the_rust_version() {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let manifest = std::fs::read_to_string(repository("Cargo.toml")).unwrap();
    let stated = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).expect("rust-version");
    let stated = stated.split('"').next().expect("an end");
    assert!(readme.contains(&format!("Rust ({stated} or newer)")), "{stated}");
}
