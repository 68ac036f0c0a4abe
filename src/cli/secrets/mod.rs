//! `muster secrets …`: the master keys.

mod rotate;
mod show;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Failure, print, print_json};
use crate::app::{MasterKeyUse, SecretsReport, Standing};
use crate::store::SealedCounts;

#[derive(Subcommand)]
pub enum Command {
    /// Make a new master key and have everything sealed by it, while the service goes on
    Rotate(rotate::Arguments),
    /// Show which master key sealed how much
    Show(show::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Rotate(arguments) => rotate::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
    }
}

fn print_report(report: &SecretsReport, is_json: bool) -> Result<(), Failure> {
    if is_json {
        return print_json(&in_json(report));
    }
    let told = |name: &str, counts: &SealedCounts| {
        let SealedCounts { secrets, key_strings, signing_keys, webhook_secrets, answers } = counts;
        format!(
            "{name}: {secrets} secrets of the service, {key_strings} key strings, {signing_keys} signing keys, \
             {webhook_secrets} secrets of webhooks, {answers} remembered answers\n"
        )
    };
    let mut lines: String =
        report.master_keys.iter().map(|key| told(&format!("master key {}", key.id), &key.sealed)).collect();
    if report.by_others != SealedCounts::default() {
        lines += &told("master keys that are not here", &report.by_others);
    }
    print(lines)
}

fn in_json(report: &SecretsReport) -> Value {
    let counts = |counts: &SealedCounts| {
        json!({
            "secrets": counts.secrets,
            "keyStrings": counts.key_strings,
            "signingKeys": counts.signing_keys,
            "webhookSecrets": counts.webhook_secrets,
            "answers": counts.answers,
        })
    };
    let keys: Vec<_> = report
        .master_keys
        .iter()
        .map(|MasterKeyUse { id, standing, sealed }| {
            let standing = match standing {
                Standing::Former => "former",
                Standing::Sealing => "sealing",
                Standing::Waiting => "waiting",
            };
            json!({ "id": id, "standing": standing, "sealed": counts(sealed) })
        })
        .collect();
    json!({ "masterKeys": keys, "sealedByOthers": counts(&report.by_others) })
}

/// What becomes of the lines that do not seal.
fn tell_old_keys(report: &SecretsReport) {
    for MasterKeyUse { id, standing, sealed } in &report.master_keys {
        if *standing == Standing::Sealing {
            continue;
        }
        if sealed.lasting() > 0 {
            eprintln!("Master key {id} is still needed: muster secrets rotate goes on.");
        } else if sealed.answers > 0 {
            eprintln!("Master key {id} is needed for {} remembered answers, at most a day.", sealed.answers);
        } else if *standing == Standing::Waiting {
            eprintln!("Master key {id} has not sealed yet.");
        } else {
            eprintln!("Master key {id} seals nothing in this store, and nothing will be sealed by it again.");
            eprintln!(
                "  Keep its line with the backups that were made under it, then remove it from master.key, on every node."
            );
        }
    }
    if let Some(sealing) = report.master_keys.iter().find(|key| key.standing == Standing::Sealing)
        && report.master_keys.iter().any(|key| key.standing == Standing::Former && key.id == report.first_line)
    {
        eprintln!("master.key is an older one here: master key {} seals, whatever its first line is.", sealing.id);
    }
}
