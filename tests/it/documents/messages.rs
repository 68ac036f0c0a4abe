//! `docs/troubleshooting.md` has every message that somebody may stand before, and none that nobody says any more.
//!
//! The messages are read from the source, from where they are worded; what is filled in is `…`.

use std::collections::BTreeSet;
use std::fs;

use muster::domain::Refusal;

use super::{code_spans, document, root, rows};

/// Sections of troubleshooting.md, and the files whose errors they list.
const ERRORS: [(&str, &[&str]); 4] = [
    (
        "### The service does not start",
        &[
            "src/app/master_key.rs",
            "src/app/mod.rs",
            "src/app/endpoint.rs",
            "src/config/check.rs",
            "src/domain/peppers.rs",
            "src/enrollment/directory.rs",
            "src/management/first_start.rs",
            "src/management/peppers.rs",
            "src/management/sealing.rs",
            "src/secret/master.rs",
            "src/server/tls.rs",
            "src/store/embedded/mod.rs",
            "src/store/postgres/mod.rs",
            "src/telemetry/mod.rs",
        ],
    ),
    ("### A store does not move to a database", &["src/store/transfer.rs"]),
    ("### A webhook's messages do not arrive", &["src/webhooks/send.rs"]),
    (
        "### What stands behind them",
        &[
            "src/cli/key_source.rs",
            "src/client/agent/mod.rs",
            "src/client/agent/on_change.rs",
            "src/client/endpoint.rs",
            "src/client/fingerprint/mod.rs",
            "src/client/http.rs",
            "src/client/state.rs",
            "src/client/tls.rs",
        ],
    ),
];

/// Of files that are listed above, and worded where they are not told as they stand, or by nobody to somebody.
const NOT_TOLD: [&str; 5] = [
    "refused: …",                                     // the console has a line for it
    "… is not trusted: …",                            // the same
    "… is unreachable: …",                            // the same
    "the provisioning key is damaged, copy it again", // the same
    "logging was set up already",                     // by a test only
];

fn source(path: &str) -> String {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.split("#[cfg(test)]\nmod tests {").next().expect("a part").to_owned()
}

/// The literal that `text` begins with, without its quotes, its line joints taken out.
fn literal(text: &str) -> Option<String> {
    let mut characters = text.trim_start().strip_prefix('"')?.chars().peekable();
    let mut out = String::new();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Some(out),
            '\\' => match characters.next()? {
                '\n' => while characters.next_if(|c| c.is_whitespace()).is_some() {},
                'n' => out.push('\n'),
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    None
}

/// What is filled in becomes `…`.
fn template(text: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '{' if depth == 0 => {
                out.push('…');
                depth = 1;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// The messages of the errors that a file declares, or makes on the spot.
fn errors(path: &str) -> Vec<String> {
    let source = source(path);
    let beginnings = ["#[error(", "bail!("].map(|beginning| source.split(beginning).skip(1));
    let declared = beginnings.into_iter().flatten().filter_map(literal).map(|text| template(&text));
    // One that is but another's is worded there.
    declared
        .filter(|text| text.chars().any(char::is_alphabetic))
        .filter(|text| !NOT_TOLD.contains(&text.as_str()))
        .collect()
}

/// What the first cell of each row below a heading has in backticks.
fn listed(heading: &str) -> Vec<String> {
    let rows = rows(&document("docs/troubleshooting.md"), heading);
    let first = |row: &Vec<String>| match row[0].strip_prefix("`` ") {
        Some(with_backticks) => with_backticks.strip_suffix(" ``").map(str::to_owned),
        None => code_spans(&row[0]).first().map(|text| (*text).to_owned()),
    };
    let listed: Vec<_> = rows.iter().filter_map(first).collect();
    assert_eq!(listed.len(), rows.len(), "{heading}: each row begins with a message");
    for row in &rows {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "message, meaning, remedy: {row:?}");
    }
    listed
}

fn assert_lists(heading: &str, said: impl IntoIterator<Item = String>) {
    let said: BTreeSet<String> = said.into_iter().collect();
    let listed: BTreeSet<String> = listed(heading).into_iter().collect();
    let missing: Vec<_> = said.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&said).collect();
    assert!(missing.is_empty() && stale.is_empty(), "{heading}\nmissing: {missing:#?}\nstale: {stale:#?}");
}

#[test]
fn every_error_that_keeps_a_command_from_working_is_listed() {
    for (heading, files) in ERRORS {
        assert_lists(heading, files.iter().flat_map(|file| errors(file)));
    }
}

#[test]
fn every_code_of_the_enrollment_door_is_listed() {
    // Those of the refusals of verified keys are a list; the others stand where the door words them.
    let worded = source("src/server/enroll/refused.rs");
    let is_code = |text: &&str| {
        text.split('-').count() < 4 && text.chars().all(|c| c.is_ascii_lowercase() || c == '-') && text.len() > 6
    };
    let mut codes: BTreeSet<String> = worded.split('"').skip(1).step_by(2).filter(is_code).map(str::to_owned).collect();
    codes.extend(Refusal::ALL.map(|refusal| refusal.code().to_owned()));
    codes.insert(muster::protocol::renew::CERTIFICATE_REFUSED.to_owned());
    assert_lists("### Codes of the enrollment endpoint", codes);
}

#[test]
fn every_id_of_the_management_api_is_listed() {
    let is_id = |text: &&str| {
        let mut parts = text.split('.');
        text.contains('.') && parts.all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase()))
    };
    let texts = ["src/server/api/refusal.rs", "src/server/api/wire/error.rs"].map(source).concat();
    let ids: Vec<_> = texts.split('"').skip(1).step_by(2).filter(is_id).map(str::to_owned).collect();
    assert!(ids.len() > 20, "{ids:?}");
    assert_lists("### Ids of the management API", ids);
}

#[test]
fn every_line_of_the_device_side_is_listed() {
    let mut lines = Vec::new();
    for path in ["src/cli/agent.rs", "src/cli/console.rs", "src/cli/enroll.rs", "src/cli/key_source.rs"] {
        let source = source(path);
        for (at, _) in source.match_indices('"') {
            let Some(text) = literal(&source[at..]) else { continue };
            lines.extend(text.lines().filter(|line| is_console_line(line)).map(template));
        }
    }
    // What only hands on an error is listed with the errors.
    lines.retain(|line| line != "error:…");
    assert_lists("### Lines of the device", lines);
}

fn is_console_line(line: &str) -> bool {
    ["notice:", "error:", "warning: "].iter().any(|class| line.strip_prefix(class).is_some_and(|rest| rest.len() > 2))
}
