//! `muster backup`: the whole store in one file.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::service::ServiceFlags;
use super::{Failure, print_json};
use crate::app::{self, BackedUp};

#[derive(Args)]
#[command(after_help = "\
Works beside the service, which goes on. The file holds everything but the master key, which seals the secrets in it: keep
master.key in another place. Exit 1 also when the check of the copy found something; the backup is there then.")]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// The file to write, or a directory: then it is named after the time. A backup that is there is replaced
    #[arg(long, value_name = "FILE|DIR")]
    output: PathBuf,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let BackedUp { file, bytes, digest, manifest, remembered } =
        Box::pin(app::backup(&settings, &arguments.output)).await?;
    if arguments.json {
        print_json(&json!({ "file": file, "bytes": bytes, "digest": digest.to_string(), "manifest": manifest }))?;
    }
    let counts = &manifest.counts;
    eprintln!("{}: {bytes} bytes, SHA-256 {digest}", file.display());
    eprintln!(
        "  As of {}: {} customers, {} keys with {} uses, {} components, {} certificates, {} audit events.",
        manifest.made_at,
        counts.customers,
        counts.keys,
        counts.uses,
        counts.components,
        counts.certificates,
        counts.audit_events
    );
    eprintln!("  The master key is not in it, and without that nobody restores it: keep master.key in another place.");
    if let Err(error) = remembered {
        eprintln!("warning: the data directory does not know of it, so doctor and metrics tell an older one: {error}");
    }
    if manifest.findings.is_empty() {
        return Ok(());
    }
    for finding in &manifest.findings {
        eprintln!("{finding}");
    }
    eprintln!("{} found: muster doctor says what to do. The backup was made all the same.", manifest.findings.len());
    Err(Failure::told(1))
}
