//! The documents: every command in them is run, or at least one that the program takes; every example has its form; every
//! test, file, heading and message that they name is there.
//!
//! A block of commands that cannot be run on any machine says so behind the language, where readers do not see it:
//! ```` ```sh no-run: needs systemd ````. A `console` block has what is typed behind `$ ` or `# `, and below it what is
//! printed: digits stand for digits, `…` for anything, a line of `…` for any lines.

mod commands;
mod forms;
mod links;
mod messages;
mod names;
mod session;

use std::fs;
use std::path::{Path, PathBuf};

/// One of the files that people read.
struct Document {
    /// From the root of the project: `docs/api.md`.
    name: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Those at the root and those in `docs/`, but for the decision records, which nobody follows step by step.
fn documents() -> Vec<Document> {
    let mut files: Vec<PathBuf> = [root(), &root().join("docs")]
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files.sort();
    assert!(files.len() > 12, "{files:?}");
    let read = |path: PathBuf| Document {
        name: path.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8").to_owned(),
        text: fs::read_to_string(&path).expect("a document"),
    };
    files.into_iter().map(read).collect()
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The cells of each row of the tables below a heading, their titles and rules left out.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = document.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let level = heading.chars().take_while(|c| *c == '#').count();
    let ends = |line: &&str| {
        let hashes = line.chars().take_while(|c| *c == '#').count();
        hashes > 0 && hashes <= level
    };
    let mut rows = Vec::new();
    let mut is_row = false;
    for line in section.lines().take_while(|line| !ends(line)) {
        match line.strip_prefix('|') {
            None => is_row = false,
            Some(rule) if rule.starts_with("---") => is_row = true,
            Some(cells) if is_row => {
                let cells = cells.trim_end().trim_end_matches('|').replace("\\|", "\u{1}");
                rows.push(cells.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect());
            }
            Some(_) => {}
        }
    }
    rows
}

/// What stands in backticks.
fn code_spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
