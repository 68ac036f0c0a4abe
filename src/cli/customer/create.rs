//! `muster customer create`

use clap::Args;
use serde_json::json;

use crate::cli::connection::Connection;
use crate::cli::management::{Resource, members};
use crate::cli::shown::text;
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
#[command(after_help = "\
Its first administrator:
  muster admin create --customer ID --username ann --role admin")]
pub struct Arguments {
    #[arg(long)]
    name: String,
    /// Make it disabled
    #[arg(long)]
    disabled: bool,
    /// Print the customer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open_as_administrator().await?;
    let customer = members([("name", Some(json!(arguments.name))), ("enabled", Some(json!(!arguments.disabled)))]);
    let made = management.create(Resource::Customer, &customer).await?;
    if arguments.json { print_json(&made) } else { print(text(&made, "id") + "\n") }
}
