//! `muster signing-cert replace`

use clap::Args;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::confirmation::Confirmation;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;
use crate::cli::shown::text;

#[derive(Args)]
#[command(after_help = "\
Example:
  muster signing-cert create --name \"Connector 2027\" --parent Root
  muster signing-cert replace Connector \"Connector 2027\"

Certificates that it signed stay good. Components get one of the other with their next renewal.")]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    /// What its keys and groups have from then on, its id or name
    #[arg(value_name = "SUCCESSOR")]
    successor: String,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let certificate = arguments.selector.find(&management, Resource::SigningCertificate).await?;
    let successor = management.find(&[Resource::SigningCertificate], &arguments.successor).await?;
    let references = management.preview_deletion(&certificate).await?;
    let (keys, groups) = (text(&references, "provisioningKeys"), text(&references, "groups"));
    let (one, other) = (certificate.name(), successor.title());
    arguments.confirmation.ask(&format!("{keys} keys and {groups} groups change from {one} to {other}."))?;
    let order = json!({ "enrollmentCertId": successor.id() });
    management.operate(&certificate, "replace", &order).await?;
    eprintln!("{} was replaced by {}: {keys} keys, {groups} groups.", certificate.title(), successor.name());
    Ok(())
}
