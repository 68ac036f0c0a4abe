//! `muster api-client new-secret`

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::confirmation::Confirmation;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::secret_output::SecretOutput;
use crate::cli::selector::Selector;
use crate::cli::shown::text;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    output: SecretOutput,
    /// Print the API client as JSON, secret included
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let client = arguments.selector.find(&management, Resource::ApiClient).await?;
    let what = format!("The present secret of {} will be refused at once.", client.title());
    arguments.confirmation.ask(&what)?;
    let output = arguments.output.open()?;
    let answer = management.operate(&client, "secret", &json!({})).await?;
    let made: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    if arguments.json {
        return output.write(&format!("{made:#}"));
    }
    output.write(&text(&made, "clientSecret"))?;
    eprintln!("{} has a new secret, shown this once.", client.title());
    Ok(())
}
