//! Programs that `tests/run` puts below the target directory.

use std::path::{Path, PathBuf};

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory")
}

/// The interpreter of the environment that `tests/python-env` made.
pub fn python(environment: &str) -> PathBuf {
    needed(target().join("python").join(environment).join("bin/python"))
}

/// A file of a package that `tests/deb-tools` unpacked.
pub fn deb_tool(package: &str, path: &str) -> PathBuf {
    needed(target().join("deb-tools").join(package).join(path))
}

fn needed(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is needed (tests/run installs it)", path.display());
    path
}
