//! Holds `ARCHITECTURE.md` to the source: imports go downward only, and what belongs to one room
//! (SQL, sockets, X.509, erased errors) is in no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms, floor by floor from the ground.
const FLOORS: [&[&str]; 6] = [
    &["clock", "id", "secret"],
    &["domain", "protocol"],
    &["auth", "ca", "index", "metrics", "store"],
    &["enrollment", "management"],
    &["client", "server"],
    &["app", "cli", "config", "main", "telemetry"],
];

/// Rooms that may import a neighbour on their own floor.
const NEIGHBOURS: [(&str, &str); 8] = [
    ("app", "config"),
    ("app", "telemetry"),
    ("cli", "app"),
    ("cli", "config"),
    ("cli", "telemetry"),
    ("config", "telemetry"),
    ("main", "cli"),
    ("protocol", "domain"),
];

/// Crates that only these places may use.
const CONFINED: [(&str, &[&str]); 8] = [
    ("anyhow", &["cli", "main"]),
    ("clap", &["cli", "main"]),
    ("hyper", &["client", "server"]),
    ("hyper_util", &["client", "server"]),
    ("prometheus", &["metrics"]),
    ("rcgen", &["ca", "client"]),
    ("rusqlite", &["store/embedded"]),
    ("toml", &["config"]),
];

/// Crates and modules that the ground floors do without: no I/O, no async.
const NOT_BELOW: [&str; 4] = ["tokio", "std::fs", "std::env", "async_trait"];

struct Source {
    /// Relative to `src/`, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn room(&self) -> &str {
        let first = self.path.split('/').next().expect("a path has a first part");
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Whether the file is in `place`, a room or a folder of one.
    fn is_in(&self, place: &str) -> bool {
        self.path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest.starts_with('.'))
    }

    /// The rooms that the file names as `crate::room`, one by one or in a group.
    fn imports(&self) -> BTreeSet<String> {
        let mut rooms = BTreeSet::new();
        for (at, _) in self.text.match_indices("crate::") {
            if self.text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue; // another_crate::
            }
            let rest = &self.text[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => rooms.extend(top_level_names(group)),
                None => rooms.extend(leading_name(rest)),
            }
        }
        rooms
    }

    fn names(&self, path: &str) -> bool {
        self.text.match_indices(path).any(|(at, _)| {
            let before = self.text[..at].chars().next_back();
            let after = self.text[at + path.len()..].chars().next();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                && after.is_some_and(|c| c == ':' || c == ';')
        })
    }
}

/// `a::b, c::{d, e}, f}` → a, c, f.
fn top_level_names(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.extend(leading_name(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn leading_name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Every line of `file` that breaks the map, as a sentence.
fn violations(file: &Source) -> Vec<String> {
    let room = file.room();
    if room == "lib" {
        return Vec::new();
    }
    let Some(own) = floor(room) else {
        return vec![format!("src/{}: the room {room:?} stands on no floor", file.path)];
    };
    let mut found = Vec::new();
    for import in file.imports() {
        if import == room {
            continue;
        }
        let allowed = match floor(&import) {
            Some(other) => other < own || (other == own && NEIGHBOURS.contains(&(room, import.as_str()))),
            None => false,
        };
        if !allowed {
            found.push(format!("src/{}: {room} (floor {own}) imports {import}", file.path));
        }
    }
    for (name, places) in CONFINED {
        if file.names(name) && !places.iter().any(|place| file.is_in(place)) {
            found.push(format!("src/{}: uses {name}, which belongs in {places:?}", file.path));
        }
    }
    if own <= 1 {
        for name in NOT_BELOW.into_iter().filter(|name| file.names(name)) {
            found.push(format!("src/{}: floor {own} uses {name}", file.path));
        }
    }
    found
}

/// Product code only: no comments, so that a doc link is no import, and no tests, which may look anywhere.
fn product_code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().expect("a split has a first part");
    product
        .lines()
        .map(|line| match line.find("//") {
            Some(at) if !line[..at].contains('"') => &line[..at],
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src/ can be read") {
            let path: PathBuf = entry.expect("src/ can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test_file(&path) {
                let relative = path.strip_prefix(&root).expect("found below src/");
                files.push(Source {
                    path: relative.to_str().expect("our file names are UTF-8").replace('\\', "/"),
                    text: product_code(&fs::read_to_string(&path).expect("a source file can be read")),
                });
            }
        }
    }
    files
}

/// `tests.rs`, or a file in a folder `tests`.
fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

#[test]
fn imports_go_downward_only() {
    let files = sources();
    assert!(files.len() > 50, "only {} files were read", files.len());
    let found: Vec<String> = files.iter().flat_map(violations).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_room_on_a_floor_exists_and_is_on_the_map() {
    let files = sources();
    let map = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md")).expect("the map is there");
    for room in FLOORS.iter().copied().flatten() {
        assert!(files.iter().any(|file| file.room() == *room), "no source for room {room:?}");
        assert!(map.contains(&format!("`{room}")), "ARCHITECTURE.md does not name {room:?}");
    }
}

#[test]
fn a_planted_violation_is_found() {
    for (path, text, fault) in [
        ("store/mod.rs", "use crate::enrollment::Directory;", "imports enrollment"),
        ("store/mod.rs", "use crate::ca::Issuer;", "imports ca"),
        ("enrollment/mod.rs", "use crate::{clock::Clock, management::keys::{a, b}};", "imports management"),
        ("server/api/keys.rs", "let x: rusqlite::Connection;", "uses rusqlite"),
        ("domain/key.rs", "use tokio::sync::Mutex;", "uses tokio"),
        ("cellar/mod.rs", "", "stands on no floor"),
    ] {
        let file = Source { path: path.into(), text: text.into() };
        let found = violations(&file);
        assert!(found.iter().any(|line| line.contains(fault)), "{path}: {found:?}");
    }
    let fine = Source {
        path: "enrollment/mod.rs".into(),
        text: "use crate::{clock::Clock, store::{Store, StoreError}};\nuse other_crate::management;".into(),
    };
    assert_eq!(violations(&fine), Vec::<String>::new());
}
