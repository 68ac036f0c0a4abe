//! `muster key create`

use clap::Args;
use serde_json::json;

use super::settings::Settings;
use super::warn;
use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::secret_output::SecretOutput;
use crate::cli::shown::{text, with_kind};

#[derive(Args)]
#[command(after_help = "\
Examples:
  muster key create --kind app-connector --group HQ --name hq --max-uses 10 --output provision_key
  (umask 077; muster key create --kind machine --group Kiosks --name kiosk --expires 30d > kiosk.key)")]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Keep no copy: the key string is shown now and never again
    #[arg(long)]
    no_view: bool,
    /// 3: tells devices whom to trust and whether it was copied whole; 1: short
    #[arg(long, value_name = "1|3", value_parser = ["1", "3"])]
    key_version: Option<String>,
    #[command(flatten)]
    output: SecretOutput,
    /// Print the key as JSON, key string included
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Settings { kind, ref name, .. } = arguments.settings;
    let management = arguments.connection.open().await?;
    let mut key = arguments.settings.to_json(&management).await?;
    key["exportable"] = json!(!arguments.no_view);
    if let Some(version) = arguments.key_version {
        key["keyVersion"] = json!(version);
    }
    let output = arguments.output.open()?;
    let made = management.create(Resource::Key(kind), &key).await?;
    if arguments.json {
        return output.write(&format!("{:#}", with_kind(kind, made)));
    }
    output.write(&text(&made, "provisioningKey"))?;
    warn(name, &text(&made, "id"), "was made");
    Ok(())
}
