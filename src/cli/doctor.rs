//! `muster doctor`: looks for what must never be.

use clap::Args;

use super::service::ServiceFlags;
use super::{Failure, print, print_json};
use crate::app::{self, Diagnosis};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// Print the findings as a JSON array
    #[arg(long)]
    json: bool,
}

/// Exit 1 if there is any finding.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let Diagnosis { findings, notes, advice } = Box::pin(app::doctor(&settings)).await?;
    for note in notes {
        eprintln!("{note}");
    }
    if arguments.json {
        print_json(&findings)?;
    } else {
        print(findings.iter().map(|finding| format!("{finding}\n")).collect::<String>())?;
    }
    if findings.is_empty() {
        eprintln!("Nothing found: everything is as it should be.");
        return Ok(());
    }
    for text in advice {
        eprintln!("\n{text}\n");
    }
    eprintln!("{} found.", findings.len());
    Err(Failure::told(1))
}
