//! The documents that stand with the program, and the commands in them, to be run as they stand there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::Service;

/// Where the guides say that the service is.
const EXAMPLE: &str = "enroll.example.com:8443";

/// What stands between two fences.
#[derive(Clone, Debug)]
pub struct Block {
    /// Of the line below the opening fence, from 1.
    pub line: usize,
    /// The heading that it stands below, with its `#`; empty above the first.
    pub heading: String,
    /// `sh`, `toml`, …; empty if the fence says none.
    pub language: String,
    /// What the opening fence says besides, which readers do not see: `no-run: needs root`.
    pub mark: String,
    pub text: String,
}

impl Block {
    /// Commands, with or without what they print.
    pub fn is_commands(&self) -> bool {
        matches!(self.language.as_str(), "console" | "sh")
    }

    /// Why it cannot be run on any machine, if it says so.
    pub fn no_run(&self) -> Option<&str> {
        self.mark.strip_prefix("no-run:").map(str::trim)
    }
}

/// All blocks of a document, in order.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut heading = String::new();
    for (at, line) in document.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(info)) => {
                let (language, mark) = info.split_once(' ').unwrap_or((info, ""));
                let (language, mark) = (language.to_owned(), mark.trim().to_owned());
                open = Some(Block { line: at + 2, heading: heading.clone(), language, mark, text: String::new() });
            }
            (None, None) if line.starts_with('#') => heading = line.to_owned(),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end: {open:?}");
    blocks
}

/// The `sh` blocks below a heading, in order; at least one.
pub fn recipes(guide: &str, heading: &str) -> Vec<String> {
    let found = blocks(guide).into_iter().filter(|block| block.language == "sh" && block.heading == heading);
    let found: Vec<_> = found.map(|block| block.text).collect();
    assert!(!found.is_empty(), "the guide has no commands below {heading}");
    found
}

/// The first `sh` block below a heading.
pub fn recipe(guide: &str, heading: &str) -> String {
    recipes(guide, heading).swap_remove(0)
}

/// Runs the commands against `service` in `dir`, with these programs and no others. The shell shows each command with its
/// arguments on stderr.
pub fn run_recipe(service: &Service, commands: &str, dir: &Path, programs: &[&str]) -> Output {
    assert!(commands.contains(EXAMPLE), "{commands}");
    let commands = commands.replace(EXAMPLE, &format!("localhost:{}", service.enroll.port()));
    Command::new("/bin/sh")
        .args(["-eux", "-c", &commands])
        .current_dir(dir)
        .env("PATH", only_programs(dir, programs))
        .output()
        .expect("a shell")
}

/// A directory with these programs and no others, to be a `PATH`.
fn only_programs(dir: &Path, names: &[&str]) -> PathBuf {
    let only = dir.join("bin");
    if only.exists() {
        fs::remove_dir_all(&only).expect("a directory of links");
    }
    fs::create_dir(&only).expect("a directory");
    let path = std::env::var_os("PATH").expect("a PATH");
    for name in names {
        let found = std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file());
        let found = found.unwrap_or_else(|| panic!("{name} is needed (tests/run installs it)"));
        std::os::unix::fs::symlink(found, only.join(name)).expect("a link");
    }
    only
}
