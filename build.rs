//! What `muster version` tells of a build. Asks nobody but the compiler and, for a release build of a checkout, git.

use std::env;
use std::path::Path;
use std::process::Command;

/// `git archive` writes the commit here (.gitattributes); in a checkout it stays as it is.
const ARCHIVED: &str = "$Format:%H$";

/// What is compiled, and what decides how.
const SOURCES: [&str; 4] = ["Cargo.lock", "Cargo.toml", "build.rs", "src"];

fn main() {
    for path in ["build.rs", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-env-changed=MUSTER_COMMIT");
    println!("cargo::rustc-env=MUSTER_BUILT_FROM={}", commit().unwrap_or_default());
    println!("cargo::rustc-env=MUSTER_BUILT_BY={}", output(&variable("RUSTC"), &["--version"]).unwrap_or_default());
    println!("cargo::rustc-env=MUSTER_BUILT_FOR={}", variable("TARGET"));
    println!("cargo::rustc-env=MUSTER_BUILT_AS={}", variable("PROFILE"));
    println!("cargo::rustc-env=MUSTER_BUILT_WITH={}", features());
}

/// The commit's full name, with `-dirty` behind it when the sources differ from it: as whoever builds says it, as the
/// archive does, or as git does. A debug build does not ask git: it would be made anew after each commit.
fn commit() -> Option<String> {
    let told = variable("MUSTER_COMMIT");
    if !told.is_empty() {
        return Some(told);
    }
    if !ARCHIVED.starts_with('$') {
        return Some(ARCHIVED.to_owned());
    }
    if variable("PROFILE") == "debug" {
        return None;
    }
    // A source tree that lies in somebody else's checkout is not that checkout.
    let root = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&root).canonicalize().ok()? != Path::new(&variable("CARGO_MANIFEST_DIR")).canonicalize().ok()? {
        return None;
    }
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        // One that is not there would have every build made anew.
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=src");
    let commit = git(&["rev-parse", "HEAD"])?;
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// Separated by commas, in alphabetical order.
fn features() -> String {
    let features = env::vars().filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase()));
    let mut features: Vec<_> = features.map(|name| name.replace('_', "-")).collect();
    features.sort_unstable();
    features.join(",")
}

fn git(arguments: &[&str]) -> Option<String> {
    output("git", arguments)
}

/// What a program prints; `None` when it is not there or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
