//! `muster completions`, `muster man`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::{muster, stderr, stdout, with_stdin};

/// A noun, verbs and flags of several.
const WORDS: [&str; 5] = ["signing-cert", "new-secret", "clean-up", "--release-use", "--key-file"];

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = muster(&["completions", shell]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{shell}: {}", stderr(&output));
        let script = stdout(&output);
        for word in WORDS {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
}

#[test]
fn bash_reads_its_completions_and_completes() {
    let script = stdout(&muster(&["completions", "bash"]).output().unwrap());
    let checked = with_stdin(bash(&["-n"]), &script);
    assert!(checked.status.success(), "{}", stderr(&checked));
    for (words, completion) in [("key rot", "rotate"), ("key list --kind net", "network-connector")] {
        let (before, last) = words.rsplit_once(' ').unwrap();
        let previous = before.rsplit(' ').next().unwrap();
        let at = words.split(' ').count();
        let ask = format!(
            "\nCOMP_WORDS=(muster {words}) COMP_CWORD={at}\n_muster muster {last} {previous}\necho \"${{COMPREPLY[@]}}\"\n"
        );
        let completed = with_stdin(bash(&[]), &(script.clone() + &ask));
        assert_eq!(stdout(&completed).trim(), completion, "{}", stderr(&completed));
    }
}

fn bash(arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["--norc", "--noprofile"]).args(arguments);
    command
}

/// `key create` and so on: every command of every help text.
fn commands(above: &[&str], all: &mut BTreeSet<String>) {
    let help = stdout(&muster(&[above, &["--help"]].concat()).output().unwrap());
    all.insert(above.join(" "));
    let Some((_, listed)) = help.split_once("Commands:\n") else { return };
    for line in listed.lines().take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        commands(&[above, &[name]].concat(), all);
    }
}

#[test]
fn every_command_has_its_page() {
    let directory = tempfile::tempdir().unwrap();
    let output = muster(&["man", "--dir", directory.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut all = BTreeSet::new();
    commands(&[], &mut all);
    assert!(all.len() > 60, "{all:?}");
    let pages: BTreeSet<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected: BTreeSet<_> =
        all.iter().map(|command| format!("muster {command}").trim_end().replace(' ', "-") + ".1").collect();
    assert_eq!(pages, expected);
    for page in &pages {
        let text = fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}");
    }
    let create = fs::read_to_string(directory.path().join("muster-key-create.1")).unwrap();
    assert!(create.contains("max\\-uses") && create.contains("muster key create"), "{create}");

    let alone = stdout(&muster(&["man", "key", "create"]).output().unwrap());
    assert_eq!(alone, create);
}
