//! A process with a clock of its own.

use std::process::Command;

/// The library that the program `faketime` puts in front of a process's clock. The program itself would stand between
/// the process and its signals.
pub fn library() -> String {
    let output = Command::new("faketime").args(["-f", "+0s", "printenv", "LD_PRELOAD"]).output();
    let library = output.expect("faketime runs; tests/run installs it").stdout;
    String::from_utf8(library).expect("UTF-8").trim().to_owned()
}
