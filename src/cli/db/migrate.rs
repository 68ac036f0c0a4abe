//! `muster db migrate`: the schema of a shared store is brought up to date by nobody else.

use clap::Args;
use serde_json::json;

use crate::app::{self, Migrated};
use crate::cli::service::ServiceFlags;
use crate::cli::{Failure, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// Print the versions before and after as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let migrated = app::migrate_database(&settings).await?;
    if arguments.json {
        print_json(&migrated.map(|Migrated { from, to }| json!({ "from": from, "to": to })))?;
    }
    match migrated {
        None => eprintln!("The store is an embedded one: `muster serve` brings it up to date when it starts."),
        Some(Migrated { from: 0, to }) => eprintln!("The database was empty and has schema {to} now."),
        Some(Migrated { from, to }) if from == to => eprintln!("The database has schema {to}; nothing was to be done."),
        Some(Migrated { from, to }) => eprintln!("The database had schema {from} and has schema {to} now."),
    }
    Ok(())
}
