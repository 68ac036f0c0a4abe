//! The `muster` program. Everything is in [`muster::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    muster::cli::main()
}
