//! `muster webhook create`

use clap::Args;
use serde_json::json;

use super::event;
use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::management::{Resource, members};
use crate::cli::secret_output::SecretOutput;
use crate::cli::shown::text;

#[derive(Args)]
#[command(after_help = "\
Example:
  muster webhook create --name pager --url https://hooks.example.com/muster \\
    --event key.nearly_exhausted --event key.expiring --output pager.secret")]
pub struct Arguments {
    #[arg(long)]
    name: String,
    /// Where to: `https://HOST[:PORT][/PATH]`; everybody who may see webhooks sees it
    #[arg(long)]
    url: String,
    /// What it is told of; may be repeated
    #[arg(long = "event", value_name = "EVENT", required = true, value_parser = event())]
    events: Vec<String>,
    /// Make it disabled
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    output: SecretOutput,
    /// Print the webhook as JSON, secret included
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let order = members([
        ("name", Some(json!(arguments.name))),
        ("url", Some(json!(arguments.url))),
        ("events", Some(json!(arguments.events))),
        ("enabled", Some(json!(!arguments.disabled))),
    ]);
    let output = arguments.output.open()?;
    let made = management.create(Resource::Webhook, &order).await?;
    if arguments.json {
        return output.write(&format!("{made:#}"));
    }
    output.write(&text(&made, "secret"))?;
    eprintln!("Webhook {} was made. The secret is shown this once.", arguments.name);
    Ok(())
}
