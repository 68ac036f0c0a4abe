//! `muster audit export`

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::secret_output::SecretOutput;
use crate::cli::shown::text;

/// Lines that are asked for at a time.
const PART: u32 = 1_000;

#[derive(Args)]
pub struct Arguments {
    /// Only what comes after the row of this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    #[command(flatten)]
    output: SecretOutput,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let mut output = arguments.output.open()?;
    let mut after = arguments.after;
    loop {
        let below = format!("export?after={after}&limit={PART}");
        let part = management.get_text(Resource::AuditEvent, &below).await?;
        let Some(last) = part.lines().last() else { return output.finish() };
        let last: Value = serde_json::from_str(last).context("a line of the export is not JSON")?;
        after = text(&last, "sequence").parse().context("a line of the export has no sequence")?;
        output.append(&part)?;
    }
}
