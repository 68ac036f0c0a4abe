//! `build.rs`: what a build says of where it comes from, in a checkout, in an archive of one, and in neither.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::repository;

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// `build.rs` of `sources`, compiled as cargo would.
fn compile(sources: &Path) -> PathBuf {
    let program = sources.with_extension("build");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status =
        Command::new(compiler).args(["--edition=2024", "-o"]).arg(&program).arg(sources.join("build.rs")).status();
    assert!(status.expect("rustc runs").success());
    program
}

/// What it says of the commit.
fn built_from(program: &Path, sources: &Path, profile: &str, told: &str) -> String {
    let output = Command::new(program)
        .current_dir(sources)
        .env("CARGO_MANIFEST_DIR", sources)
        .env("PROFILE", profile)
        .env("TARGET", "t")
        .env("RUSTC", "rustc")
        .env("MUSTER_COMMIT", told)
        .output()
        .expect("it runs");
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("cargo::rustc-env=MUSTER_BUILT_FOR=t\n") && said.contains("MUSTER_BUILT_BY=rustc 1."),
        "{said}"
    );
    let line = said.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=MUSTER_BUILT_FROM="));
    line.expect("the commit's line").to_owned()
}

#[test]
fn a_build_knows_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    let sources = directory.path().join("checkout");
    fs::create_dir_all(sources.join("src")).unwrap();
    for file in [".gitattributes", "build.rs", "Cargo.toml", "Cargo.lock", "src/main.rs"] {
        fs::copy(repository(file), sources.join(file)).unwrap();
    }
    git(&sources, &["init", "--quiet"]);
    git(&sources, &["add", "."]);
    git(&sources, &["commit", "--quiet", "-m", "one"]);
    let commit = git(&sources, &["rev-parse", "HEAD"]);
    let program = compile(&sources);

    assert_eq!(built_from(&program, &sources, "release", ""), commit);
    assert_eq!(built_from(&program, &sources, "debug", ""), "", "a debug build is not made anew for each commit");
    assert_eq!(built_from(&program, &sources, "debug", "told"), "told");
    fs::write(sources.join("notes"), "not compiled").unwrap();
    assert_eq!(built_from(&program, &sources, "release", ""), commit);
    fs::write(sources.join("src/new.rs"), "").unwrap();
    assert_eq!(built_from(&program, &sources, "release", ""), format!("{commit}-dirty"));

    // Sources that lie in somebody else's checkout.
    let within = sources.join("vendor");
    fs::create_dir_all(within.join("src")).unwrap();
    assert_eq!(built_from(&program, &within, "release", ""), "");

    // A tarball has no git, and the commit in it.
    let archive = directory.path().join("archive");
    fs::create_dir(&archive).unwrap();
    let tarball = directory.path().join("archive.tar");
    git(&sources, &["archive", "-o", tarball.to_str().unwrap(), "HEAD"]);
    let status = Command::new("tar").args(["-xf", tarball.to_str().unwrap()]).current_dir(&archive).status();
    assert!(status.expect("tar runs").success());
    let program = compile(&archive);
    for profile in ["debug", "release"] {
        assert_eq!(built_from(&program, &archive, profile, ""), commit, "{profile}");
    }
}
