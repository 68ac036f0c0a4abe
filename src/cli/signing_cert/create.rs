//! `muster signing-cert create`

use clap::Args;
use serde_json::json;

use super::new::{KeyPair, New};
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::shown::text;
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
#[command(after_help = "\
Example:
  muster signing-cert create --name \"Connector 2027\" --parent Root --valid-for 1825")]
pub struct Arguments {
    #[command(flatten)]
    new: New,
    /// Signing certificate above it, its id or name [default: none, it is a root]
    #[arg(long, value_name = "ID|NAME")]
    parent: Option<String>,
    #[command(flatten)]
    key_pair: KeyPair,
    /// How long it counts, at most as long as the one above it [default: the service's]
    #[arg(long, value_name = "DAYS")]
    valid_for: Option<u32>,
    /// Print the signing certificate as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let mut order = arguments.new.to_json();
    arguments.key_pair.add_to(&mut order);
    if let Some(days) = arguments.valid_for {
        order["validityInDays"] = json!(days.to_string());
    }
    let operation = match &arguments.parent {
        Some(wanted) => {
            let parent = management.find(&[Resource::SigningCertificate], wanted).await?;
            order["parentCertId"] = json!(parent.id());
            "generate"
        }
        None => "selfsigned/generate",
    };
    let made = management.create_by(Resource::SigningCertificate, operation, &order).await?;
    if arguments.json { print_json(&made) } else { print(text(&made, "id") + "\n") }
}
