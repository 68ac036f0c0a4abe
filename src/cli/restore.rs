//! `muster restore`: a backup becomes a store.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::service::{ServiceFlags, data_dir_flag};
use super::{Failure, print_json};
use crate::app::{self, Restored};

#[derive(Args)]
#[command(after_help = "\
The data directory, or the database of the configuration, must hold no store; the master key must be in its place first. The
service that the backup is of must not run any more. What was answered after the backup is not in it:
docs/recovery.md says what becomes of such devices.")]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// A file that muster backup made
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    /// Put it in place whatever the check finds; muster doctor tells it again
    #[arg(long)]
    accept_findings: bool,
    /// Print what was restored as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let restored = Box::pin(app::restore(&settings, &arguments.backup, arguments.accept_findings)).await?;
    let Restored { digest, manifest, findings } = restored;
    if arguments.json {
        let digest = digest.to_string();
        print_json(&json!({ "digest": digest, "manifest": manifest, "findings": findings }))?;
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    let counts = &manifest.counts;
    eprintln!("The store is in place, as of {}.", manifest.made_at);
    eprintln!("  {} keys with {} uses, {} components.", counts.keys, counts.uses, counts.components);
    eprintln!("  Everybody has to sign in again. What was answered after that moment is unknown to it: devices that");
    eprintln!("  enrolled since enroll again, keys and settings that were changed since are as they were before,");
    eprintln!("  and what was revoked since counts again. Do that anew: docs/recovery.md has the list.");
    eprintln!("Next: muster serve{}", data_dir_flag(&settings.data_dir));
    Ok(())
}
