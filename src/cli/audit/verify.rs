//! `muster audit verify`: looks for audit rows that are not what was written.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::app;
use crate::cli::service::ServiceFlags;
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// Check this export (JSON lines) in place of the store, with the key from the data directory
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print what is whole and what is broken as JSON
    #[arg(long)]
    json: bool,
}

/// Exit 1 if anything is changed, missing or out of order.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let report = match &arguments.file {
        Some(file) => Box::pin(app::verify_export(&settings, file)).await?,
        None => Box::pin(app::verify_audit(&settings)).await?,
    };
    if arguments.json {
        print_json(&json!({ "whole": report.whole, "broken": report.broken }))?;
    } else {
        for whole in &report.whole {
            eprintln!("{whole}");
        }
        print(report.broken.iter().map(|broken| format!("{broken}\n")).collect::<String>())?;
    }
    if report.broken.is_empty() { Ok(()) } else { Err(Failure::told(1)) }
}
