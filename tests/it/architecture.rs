//! Holds `ARCHITECTURE.md` to the source: imports go downward only, and what belongs to one room
//! (SQL, sockets, X.509, erased errors) is in no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms, floor by floor from the ground.
const FLOORS: [&[&str]; 6] = [
    &["clock", "id", "secret", "sync", "tls_provider"],
    &["domain", "protocol"],
    &["auth", "ca", "files", "index", "metrics", "store"],
    &["enrollment", "management"],
    &["client", "server", "webhooks"],
    &["app", "cli", "config", "main", "telemetry"],
];

/// Rooms that may import a neighbour on their own floor.
const NEIGHBOURS: [(&str, &str); 10] = [
    ("app", "config"),
    ("app", "telemetry"),
    ("cli", "app"),
    ("cli", "config"),
    ("cli", "telemetry"),
    ("config", "telemetry"),
    ("main", "cli"),
    ("protocol", "domain"),
    ("store", "files"),
    ("webhooks", "client"),
];

/// Crates and modules that only these places may use.
const CONFINED: [(&str, &[&str]); 19] = [
    ("anyhow", &["cli", "main"]),
    ("clap", &["cli", "main"]),
    ("deadpool_postgres", &["store/postgres"]),
    ("hdrhistogram", &["client/load"]),
    ("httpdate", &["server"]),
    ("hyper", &["client", "server", "webhooks/send"]),
    ("hyper_util", &["client", "server"]),
    ("indicatif", &["cli"]),
    ("listenfd", &["cli"]),
    ("machine_uid", &["client/fingerprint"]),
    ("prometheus", &["metrics"]),
    ("rcgen", &["ca", "client"]),
    ("rusqlite", &["store/embedded"]),
    ("rustix", &["app/descriptors", "cli", "client/agent", "client/load", "store/backup"]),
    ("std::env", &["cli", "client/enroll", "config"]), // the client: `consts`, its platform
    ("sd_notify", &["cli"]),
    ("tokio_postgres", &["store/postgres"]),
    ("tokio_postgres_rustls", &["store/postgres"]),
    ("toml", &["config"]),
];

/// What chooses a TLS provider by its name, of rustls or webpki, and what takes whichever is linked or installed.
/// Both belong in `tls_provider`.
const PROVIDERS: [&str; 3] = ["ALL_VERIFICATION_ALGS", "aws_lc_rs", "ring"];
const UNCHOSEN: [&str; 6] = [
    "ClientConfig::builder(",
    "CryptoProvider::get_default",
    "ServerConfig::builder(",
    "WebPkiClientVerifier::builder(",
    "WebPkiServerVerifier::builder(",
    "install_default(",
];

/// Crates and modules of the standard library that the ground floors do without: no I/O, no
/// processes, no async.
const CRATES_NOT_BELOW: [&str; 2] = ["async_trait", "tokio"];
const STD_NOT_BELOW: [&str; 5] = ["env", "fs", "net", "process", "thread"];

/// What `std::net` has for the ground floors nevertheless: an address is a value, no socket.
const ADDRESSES: [&str; 7] =
    ["AddrParseError", "IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6"];

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
        self.members("crate").into_iter().filter_map(leading_name).map(str::to_owned).collect()
    }

    /// What the file names directly below `module`, one by one or in a group, each up to the end of
    /// its path: `fs::File` of `std::fs::File`, `net::{IpAddr, TcpStream}` of `std::{fs, net::{…}}`.
    fn members(&self, module: &str) -> Vec<&str> {
        let start = format!("{module}::");
        let mut members = Vec::new();
        for (at, _) in self.text.match_indices(&start) {
            let before = self.text[..at].trim_end_matches("::");
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue; // another_crate::, other::std::
            }
            members.extend(paths(&self.text[at + start.len()..]));
        }
        members
    }

    /// What chooses a TLS provider in this file.
    fn tls_providers(&self) -> Vec<&str> {
        let of_rustls = self.members("rustls").into_iter().filter_map(|member| member.strip_prefix("crypto::"));
        let named = of_rustls.flat_map(paths).chain(self.members("webpki")).map(identifier);
        let unchosen = UNCHOSEN.into_iter().filter(|call| self.text.contains(call));
        named.filter(|name| PROVIDERS.contains(name)).chain(unchosen).collect()
    }

    /// Whether the file names `module` of the standard library, or more of `std::net` than addresses.
    fn uses_std(&self, module: &str) -> bool {
        self.members("std")
            .into_iter()
            .any(|member| leading_name(member) == Some(module) && !(module == "net" && names_only_addresses(member)))
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

/// The paths that `text` begins with: those of a group, or the only one.
/// `{a::b, c::{d, e}, f}; …` → `a::b`, `c::{d, e}`, `f`; `a::b; …` → `a::b; …`.
fn paths(text: &str) -> Vec<&str> {
    let Some(group) = text.strip_prefix('{') else { return vec![text] };
    let (mut depth, mut start, mut paths) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                paths.push(group[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

/// Of a path that begins with `net`.
fn names_only_addresses(path: &str) -> bool {
    path.strip_prefix("net::")
        .is_some_and(|rest| paths(rest).into_iter().all(|path| ADDRESSES.contains(&identifier(path))))
}

/// The name of a module or crate at the beginning of a path; a type is none.
fn leading_name(path: &str) -> Option<&str> {
    let name = identifier(path);
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_').then_some(name)
}

fn identifier(path: &str) -> &str {
    let end = path.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &path[..end.unwrap_or(path.len())]
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
    if room != "tls_provider" {
        for choice in file.tls_providers() {
            found.push(format!("src/{}: {choice} chooses a TLS provider; tls_provider does that", file.path));
        }
    }
    if own <= 1 {
        for name in CRATES_NOT_BELOW.into_iter().filter(|name| file.names(name)) {
            found.push(format!("src/{}: floor {own} uses {name}", file.path));
        }
        for module in STD_NOT_BELOW.into_iter().filter(|module| file.uses_std(module)) {
            found.push(format!("src/{}: floor {own} uses std::{module}", file.path));
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

/// `docs/contract.md, "Heading"` in a comment, an SQL file or a test.
#[test]
fn what_is_cited_of_the_contract_is_there() {
    const CITED: &str = "docs/contract.md, \"";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let contract = fs::read_to_string(root.join("docs/contract.md")).expect("the contract is there");
    let headings: BTreeSet<&str> = contract
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    let mut cited = 0;
    let mut folders = vec![root.join("src"), root.join("tests"), root.join("benches")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("tests/it/architecture.rs") {
                // Talks about citations and has none.
            } else if let Ok(text) = fs::read_to_string(&path) {
                for rest in text.split(CITED).skip(1) {
                    let heading = rest.split('"').next().expect("a split has a first part");
                    assert!(headings.contains(heading), "{} cites {heading:?}", path.display());
                    cited += 1;
                }
            }
        }
    }
    assert!(cited >= 8, "only {cited} citations were found");
}

#[test]
fn a_planted_violation_is_found() {
    for (path, text, fault) in [
        ("store/mod.rs", "use crate::enrollment::Directory;", "imports enrollment"),
        ("store/mod.rs", "use crate::ca::Issuer;", "imports ca"),
        ("enrollment/mod.rs", "use crate::{clock::Clock, management::keys::{a, b}};", "imports management"),
        ("server/api/keys.rs", "let x: rusqlite::Connection;", "uses rusqlite"),
        ("store/embedded/mod.rs", "use tokio_postgres::Config;", "uses tokio_postgres"),
        ("app/serve.rs", "let x = std::env::var_os(NAME);", "uses std::env"),
        ("domain/key.rs", "use tokio::sync::Mutex;", "uses tokio"),
        ("domain/key.rs", "use std::fs;", "uses std::fs"),
        ("domain/key.rs", "use std::{env, fmt};", "uses std::env"),
        ("domain/key.rs", "use std::{fmt::{self, Display}, fs::File};", "uses std::fs"),
        ("domain/key.rs", "use std::net;", "uses std::net"),
        ("domain/key.rs", "use std::net::*;", "uses std::net"),
        ("domain/key.rs", "use std::net::{IpAddr, TcpStream};", "uses std::net"),
        ("domain/key.rs", "use std::{fmt, net::{IpAddr, ToSocketAddrs}};", "uses std::net"),
        ("protocol/mod.rs", "fn f() { ::std::process::exit(1) }", "uses std::process"),
        ("protocol/mod.rs", "use std::thread::{self, JoinHandle};", "uses std::thread"),
        ("cellar/mod.rs", "", "stands on no floor"),
        ("client/tls.rs", "use rustls::crypto::{CryptoProvider, ring};", "ring chooses a TLS provider"),
        ("client/tls.rs", "use rustls::{ClientConfig, crypto::aws_lc_rs};", "aws_lc_rs chooses a TLS provider"),
        ("client/enroll.rs", "f(webpki::ALL_VERIFICATION_ALGS, 1);", "ALL_VERIFICATION_ALGS chooses a TLS provider"),
        ("client/tls.rs", "let x = ClientConfig::builder();", "builder( chooses a TLS provider"),
    ] {
        let file = Source { path: path.into(), text: text.into() };
        let found = violations(&file);
        assert!(found.iter().any(|line| line.contains(fault)), "{path}: {found:?}");
    }
    for (path, text) in [
        ("enrollment/mod.rs", "use crate::{clock::Clock, store::{Store, StoreError}};\nuse other_crate::management;"),
        (
            "client/tls.rs",
            "use ring::digest;\nuse rustls::crypto::CryptoProvider;\nClientConfig::builder_with_provider(x)",
        ),
        ("tls_provider.rs", "use rustls::crypto::ring as chosen;"),
        ("domain/key.rs", "use std::net::IpAddr;\nuse std::{fmt, net::{Ipv4Addr, SocketAddr}};"),
        ("domain/key.rs", "let x: std::net::IpAddr = y.parse::<std::net::IpAddr>()?;"),
    ] {
        let fine = Source { path: path.into(), text: text.into() };
        assert_eq!(violations(&fine), Vec::<String>::new());
    }
}
