//! `muster key rotate`

use clap::Args;
use serde_json::json;

use super::warn;
use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::management::{Resource, members};
use crate::cli::secret_output::SecretOutput;
use crate::cli::selector::KindedSelector;
use crate::cli::shown::{text, with_kind};

#[derive(Args)]
#[command(after_help = "\
Devices take the successor for another key. When all hold it, disable the old one: muster key disable")]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    /// Name of the successor [default: the old one's with -2, -3, …]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    output: SecretOutput,
    /// Print the successor as JSON, key string included
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let key = arguments.selector.find(&management, Resource::Key).await?;
    let output = arguments.output.open()?;
    let order = members([("name", arguments.name.map(|name| json!(name)))]);
    let made = management.create_by(key.of, &format!("{}/rotate", key.id()), &order).await?;
    if let (true, Some(kind)) = (arguments.json, key.of.kind()) {
        return output.write(&format!("{:#}", with_kind(kind, made)));
    }
    output.write(&text(&made, "provisioningKey"))?;
    warn(&text(&made, "name"), &text(&made, "id"), &format!("succeeds {}, which stays", key.name()));
    Ok(())
}
