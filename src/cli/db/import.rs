//! `muster db import`: an embedded store moves into a database.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::app::{self, Progress};
use crate::cli::service::ServiceFlags;
use crate::cli::{Failure, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// Data directory of the embedded store; no service may run on it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let imported = Box::pin(app::import(&settings, &arguments.from, tell)).await?;
    if arguments.json {
        print_json(&json!({ "rows": imported.rows, "putAside": imported.put_aside }))?;
    }
    eprintln!("{} rows are in the database, counted and checked.", imported.rows);
    eprintln!("  The old store is now {}; remove it when there is a backup.", imported.put_aside.display());
    eprintln!("Next: muster serve");
    Ok(())
}

fn tell(Progress { table, rows, is_complete }: Progress) {
    match (rows, is_complete) {
        (0, _) => {}
        (rows, true) => eprintln!("{table}: {rows}"),
        (rows, false) => eprintln!("{table}: {rows} so far"),
    }
}
