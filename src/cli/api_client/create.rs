//! `muster api-client create`

use clap::Args;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::admin::role;
use crate::cli::connection::Connection;
use crate::cli::management::{Resource, members};
use crate::cli::secret_output::SecretOutput;
use crate::cli::shown::text;

#[derive(Args)]
#[command(after_help = "\
Example:
  muster api-client create --name terraform --role operator --output terraform.secret
  export MUSTER_CLIENT_ID=… MUSTER_CLIENT_SECRET_FILE=terraform.secret")]
pub struct Arguments {
    #[arg(long)]
    name: String,
    #[arg(long, value_parser = role())]
    role: String,
    /// The keys it makes are read-only to all others, and shown as managed by this
    #[arg(long, value_name = "LABEL")]
    managing_as: Option<String>,
    /// Make it disabled
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    output: SecretOutput,
    /// Print the API client as JSON, secret included
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let order = members([
        ("name", Some(json!(arguments.name))),
        ("role", Some(json!(arguments.role))),
        ("enabled", Some(json!(!arguments.disabled))),
        ("managing", arguments.managing_as.is_some().then_some(json!(true))),
        ("label", arguments.managing_as.map(|label| json!(label))),
    ]);
    let output = arguments.output.open()?;
    let made = management.create(Resource::ApiClient, &order).await?;
    if arguments.json {
        return output.write(&format!("{made:#}"));
    }
    output.write(&text(&made, "clientSecret"))?;
    eprintln!(
        "API client {} was made, its client id is {}. The secret is shown this once.",
        arguments.name,
        text(&made, "clientId"),
    );
    Ok(())
}
