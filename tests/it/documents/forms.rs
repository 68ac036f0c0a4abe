//! What is written in the documents has its form, also where it is not run: commands are such as the program takes,
//! configurations such as it reads, JSON is JSON.

use std::collections::BTreeMap;
use std::fs;

use super::session::commands_of;
use super::{code_spans, documents};
use crate::support::guide::blocks;
use crate::support::service::muster;

/// Languages of blocks. Those without a check of their own are for other programs, or are no language.
const LANGUAGES: [&str; 14] =
    ["", "console", "hcl", "http", "ini", "json", "promql", "python", "sh", "sql", "text", "toml", "xml", "yaml"];

/// A simple command as the shell would read it, up to whatever ends it. Substitutions stay as they are written.
fn simple_commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = script.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None) => match characters.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            ('#', None) if word.is_none() => while characters.next_if(|c| *c != '\n').is_some() {},
            (';' | '&' | '|' | '(' | ')' | '\n' | '<' | '>', None) => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(words);
    commands
}

/// The arguments of each call of the program.
fn calls(script: &str) -> Vec<Vec<String>> {
    let is_program = |word: &String| word == "muster" || word.ends_with("/muster");
    // In front may stand what runs it, or variables for it: sudo, exec, MUSTER_URL=…
    let is_before = |word: &&String| {
        word.contains('=') || ["!", "do", "exec", "if", "sudo", "then", "until", "while"].contains(&word.as_str())
    };
    simple_commands(script)
        .into_iter()
        .filter_map(|words| {
            let at = words.iter().take_while(is_before).count();
            words.get(at).is_some_and(is_program).then(|| words[at + 1..].to_vec())
        })
        .collect()
}

#[test]
fn a_script_is_taken_apart_like_a_shell_does() {
    let script = "(umask 077; muster key create --name \"a b\" \\\n  --max-uses 1 > f) # muster no\nA=b sudo muster doctor | muster";
    let expected: [&[&str]; 3] = [&["key", "create", "--name", "a b", "--max-uses", "1"], &["doctor"], &[]];
    assert_eq!(calls(script), expected);
}

/// With `--help` at the end the program looks at every word before, and does nothing.
#[test]
fn every_call_of_the_program_is_one_that_it_takes() {
    let mut found: BTreeMap<Vec<String>, String> = BTreeMap::new();
    for document in documents() {
        for block in blocks(&document.text).iter().filter(|block| block.is_commands()) {
            let place = format!("{}:{}", document.name, block.line);
            found.extend(calls(&commands_of(block)).into_iter().map(|call| (call, place.clone())));
        }
        // And what is said in passing, unless it stands for many.
        let prose: String = document.text.split("```").step_by(2).collect();
        for span in code_spans(&prose).into_iter().filter(|span| !span.contains(['…', '[', '\n'])) {
            found.extend(calls(span).into_iter().map(|call| (call, format!("{}: {span}", document.name))));
        }
    }
    assert!(found.len() > 50, "{found:?}");
    let mut refused = Vec::new();
    for (call, place) in found {
        let output = muster().args(&call).arg("--help").output().expect("the binary runs");
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            refused.push(format!("{place}: {}", stderr.lines().next().unwrap_or_default()));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn every_example_has_the_form_that_it_claims() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("database-url"), "postgres://muster:secret@db.example.com/muster\n").expect("a file");
    let mut faults = Vec::new();
    for document in documents() {
        for block in blocks(&document.text) {
            let fault = match block.language.as_str() {
                "json" => serde_json::from_str::<serde_json::Value>(&block.text).err().map(|error| error.to_string()),
                "toml" => config_fault(&block.text.replace("/etc/muster", &dir.path().display().to_string())),
                language if LANGUAGES.contains(&language) => None,
                language => Some(format!("{language:?} is no language that is known here")),
            };
            faults.extend(fault.map(|fault| format!("{}:{}: {fault}", document.name, block.line)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn config_fault(text: &str) -> Option<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("config.toml");
    fs::write(&file, text).expect("a file");
    let output = muster().args(["config", "check", "--config"]).arg(&file).output().expect("the binary runs");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
