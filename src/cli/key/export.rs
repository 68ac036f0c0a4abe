//! `muster key export`

use clap::Args;
use serde_json::json;

use super::warn;
use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::secret_output::SecretOutput;
use crate::cli::selector::KindedSelector;

#[derive(Args)]
#[command(after_help = "\
Every export is in the audit log. A key that was made without a copy cannot be exported, and neither can an exhausted
one before its maximum is raised.

Example:
  muster key export --kind app-connector hq --output provision_key")]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    #[command(flatten)]
    output: SecretOutput,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let key = arguments.selector.find(&management, Resource::Key).await?;
    let output = arguments.output.open()?;
    let exported = management.operate(&key, "export", &json!({})).await?;
    output.write(exported.trim_end())?;
    warn(&key.name(), &key.id(), "was exported");
    Ok(())
}
