//! `muster key import`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::settings::Settings;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::shown::{text, with_kind};
use crate::cli::{Failure, key_source, print, print_json};

#[derive(Args)]
#[command(after_help = "\
Only a digest of the key string is kept: it cannot be shown or exported here.

Example:
  muster key import --kind app-connector --group HQ --name old --max-uses 10 --key-file provision_key")]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// File that holds the key string, - for stdin [default: MUSTER_PROVISIONING_KEY, a prompt, stdin]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print the key as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Prints the new key's id.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let kind = arguments.settings.kind;
    let string = key_source::hand_over(arguments.key_file.as_deref())?;
    let management = arguments.connection.open().await?;
    let mut key = arguments.settings.to_json(&management).await?;
    key["provisioningKey"] = json!(string.expose().trim_ascii());
    let made = Resource::Key(kind).shown(management.create_by(Resource::Key(kind), "import", &key).await?);
    if arguments.json {
        return print_json(&with_kind(kind, made));
    }
    print(text(&made, "id") + "\n")
}
