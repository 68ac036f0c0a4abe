//! What ships around the binary, judged by the programs that will read it.

mod debian;
mod examples;
mod supply_chain;
mod units;
mod version;
mod watching;

use std::path::{Path, PathBuf};

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
