//! A document's commands in one session of a shell, as somebody types them who follows it, in a directory of their own.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::document;
use crate::support::Service;
use crate::support::guide::{Block, blocks};

/// Directories of the system that the documents write to; here they are below the session's own.
const SYSTEM: [&str; 4] = ["/etc/bash_completion.d", "/etc/muster", "/usr/local/share/man/man1", "/var/lib/muster"];

pub struct Session {
    dir: tempfile::TempDir,
    service: Option<Service>,
    /// What is written in the documents, and what it is here. The first that fits counts.
    replaced: Vec<(String, String)>,
    environment: Vec<(&'static str, String)>,
}

impl Session {
    /// Nothing is there but the program.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("bin")).expect("a directory");
        symlink(env!("CARGO_BIN_EXE_muster"), dir.path().join("bin/muster")).expect("a link");
        let mut replaced = Vec::new();
        for path in SYSTEM {
            let here = dir.path().join(&path[1..]);
            fs::create_dir_all(&here).expect("a directory");
            replaced.push((path.to_owned(), here.display().to_string()));
        }
        Self { dir, service: None, replaced, environment: Vec::new() }
    }

    /// A service runs, at the addresses that the documents name, and its data directory is the one that commands look into.
    pub fn beside(service: Service) -> Self {
        let mut session = Self::new()
            .with("enroll.example.com:8443", &format!("localhost:{}", service.enroll.port()))
            .with("muster.example.com:8444", &format!("localhost:{}", service.admin.port()))
            .with("127.0.0.1:9090", &service.metrics.to_string())
            .variable("MUSTER_DATA_DIR", &service.data_dir().display().to_string());
        session.write("tls-trust-anchor.pem", &service.trust_anchor_pem());
        session.service = Some(service);
        session
    }

    /// From now on the documents' `written` is `here`.
    pub fn with(mut self, written: &str, here: &str) -> Self {
        self.replaced.push((written.to_owned(), here.to_owned()));
        self
    }

    pub fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file that others cannot read.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    pub fn service(&self) -> &Service {
        self.service.as_ref().expect("one that the test started")
    }

    /// Runs the document's blocks of commands that pass, in their order.
    pub fn run(&self, name: &str, passes: impl Fn(&Block) -> bool) {
        let blocks: Vec<_> = blocks(&document(name))
            .into_iter()
            .filter(|block| block.is_commands() && block.no_run().is_none() && passes(block))
            .collect();
        assert!(!blocks.is_empty(), "{name} has no commands to run");
        let mut script = String::from("set -eu\n");
        let mut shown = Vec::new();
        for block in &blocks {
            let place = format!("{name}:{}", block.line);
            writeln!(script, "echo '--- {place}' >&2").expect("a string takes it");
            let text = self.here(&block.text);
            if block.language == "console" {
                for Typed { command, output } in typed(&text) {
                    let file = format!("shown.{}", shown.len());
                    writeln!(script, "{{ {command}\n}} > {file} 2>&1 || :").expect("a string takes it");
                    shown.push((place.clone(), command, output));
                }
            } else if text.contains("muster serve") {
                writeln!(script, "(\n{text}) > serve.log 2>&1 &\n{AWAIT_SERVICE}").expect("a string takes it");
            } else {
                script += &text;
            }
        }
        self.write("script", &script);
        let log = fs::File::create(self.path("log")).expect("a file");
        let ended = self.shell().stdout(log.try_clone().expect("a file")).stderr(log).status().expect("a shell");
        let log = || fs::read_to_string(self.path("log")).expect("a log");
        assert!(ended.success(), "{name} ended with {ended}:\n{}\n--- of\n{script}", log());
        for (n, (place, command, expected)) in shown.iter().enumerate() {
            let printed = fs::read_to_string(self.path(&format!("shown.{n}"))).expect("what it printed");
            if let Err(fault) = compare(expected, &printed) {
                panic!("{place}: {command}\n{fault}\nall of it:\n{printed}\n{}", log());
            }
        }
    }

    fn shell(&self) -> Command {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").expect("a PATH"));
        let mut shell = Command::new("timeout");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MUSTER_")) {
            shell.env_remove(name);
        }
        shell
            .args(["300", "/bin/sh", "script"])
            .current_dir(self.dir.path())
            .env("PATH", path)
            .env("HOME", self.dir.path())
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null());
        shell
    }

    fn here(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (written, here)| text.replace(written, here))
    }
}

/// The file that a running service keeps in its data directory.
const SERVE_FILE: &str = "muster-data/serve.json";

/// Half a minute is long for a start.
const AWAIT_SERVICE: &str = "n=0; until [ -e muster-data/serve.json ]; do\n\
    n=$((n + 1)); [ $n -lt 300 ] || { cat serve.log >&2; exit 1; }; sleep 0.1\ndone\n";

impl Drop for Session {
    /// Ends the service that the document started.
    fn drop(&mut self) {
        let Ok(text) = fs::read(self.path(SERVE_FILE)) else { return };
        let serving: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let _ = Command::new("kill").arg(serving["pid"].to_string()).status();
        for _ in 0..300 {
            if !self.path(SERVE_FILE).exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

/// A command and what is shown below it.
#[derive(Debug, PartialEq, Eq)]
struct Typed {
    command: String,
    output: Vec<String>,
}

fn typed(block: &str) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    for line in block.lines() {
        let prompted = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
        match (prompted, all.last_mut()) {
            (Some(command), _) => all.push(Typed { command: command.to_owned(), output: Vec::new() }),
            (None, Some(last)) if last.output.is_empty() && last.command.ends_with('\\') => {
                last.command.push('\n');
                last.command.push_str(line);
            }
            (None, Some(last)) => last.output.push(line.to_owned()),
            (None, None) => panic!("a console block begins with $ or #: {line}"),
        }
    }
    all
}

/// What is typed in a block of commands of either language.
pub fn commands_of(block: &Block) -> String {
    if block.language != "console" {
        return block.text.clone();
    }
    typed(&block.text).into_iter().map(|typed| typed.command + "\n").collect()
}

/// # Errors
/// The first line that is not as shown.
fn compare(shown: &[String], printed: &str) -> Result<(), String> {
    let mut printed = printed.lines();
    let mut may_skip = false;
    for line in shown {
        if line == "…" {
            may_skip = true;
            continue;
        }
        let found = if may_skip { printed.find(|printed| fits(line, printed)) } else { printed.next() };
        match found {
            Some(found) if fits(line, found) => {}
            found => return Err(format!("shown:   {line}\nprinted: {}", found.unwrap_or("nothing more"))),
        }
        may_skip = false;
    }
    match printed.next() {
        Some(more) if !may_skip => Err(format!("printed, and not shown: {more}")),
        _ => Ok(()),
    }
}

/// Digits stand for digits, however many; `…` for anything.
fn fits(shown: &str, printed: &str) -> bool {
    let printed = without_digits(printed);
    let parts: Vec<String> = shown.split('…').map(without_digits).collect();
    let [first, middle @ .., last] = &parts[..] else { return without_digits(shown) == printed };
    let Some(mut rest) = printed.strip_prefix(first.as_str()) else { return false };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part.as_str()) else { return false };
        rest = behind;
    }
    rest.ends_with(last.as_str())
}

fn without_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }) {
        if c != '0' || !out.ends_with('0') {
            out.push(c);
        }
    }
    out
}

#[test]
fn what_is_printed_is_compared_with_what_is_shown() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (expected, printed) in [
        ("", ""),
        ("a 12 b", "a 7 b"),
        ("at 2026-11-20T16:06:00Z", "at 2027-01-02T03:04:05Z"),
        ("reference(…) end", "reference(aB3-_678) end"),
        ("a\n…\nz", "a\nb\nc\nz"),
        ("a\n…", "a\nb"),
        ("…", ""),
    ] {
        assert_eq!(compare(&shown(expected), printed), Ok(()), "{expected:?} {printed:?}");
    }
    for (expected, printed) in [
        ("", "a"),
        ("a", ""),
        ("a", "b"),
        ("a 1", "a"),
        ("a", "a\nb"),
        ("reference(…) end", "reference(x) and"),
        ("a\n…\nz", "a\nb"),
    ] {
        assert!(compare(&shown(expected), printed).is_err(), "{expected:?} {printed:?}");
    }
    let block = "$ one \\\n    more\nprinted\n# two\n";
    let parts: Vec<_> = typed(block).into_iter().map(|typed| (typed.command, typed.output)).collect();
    let expected = [("one \\\n    more", vec!["printed".to_owned()]), ("two", vec![])];
    assert_eq!(parts, expected.map(|(command, output)| (command.to_owned(), output)));
}
