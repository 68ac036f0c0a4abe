//! `muster signing-cert show`

use clap::Args;

use super::state;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;
use crate::cli::shown::{instant, text};
use crate::cli::table::{Column, details, left};
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

static DETAILS: &[Column] = &[
    left("id", |certificate| text(certificate, "id")),
    left("name", |certificate| text(certificate, "name")),
    left("description", |certificate| text(certificate, "description")),
    left("state", state),
    left("subject", |certificate| text(certificate, "issuedTo")),
    left("issuer", |certificate| text(certificate, "issuedBy")),
    left("serial number", |certificate| text(certificate, "serialNo")),
    left("from", |certificate| instant(certificate, "validFromInEpochSec")),
    left("until", |certificate| instant(certificate, "validToInEpochSec")),
    left("parent", |certificate| text(certificate, "parentCertName")),
    left("days of what it signs", |certificate| text(certificate, "componentLifetimeInDays")),
    left("created", |certificate| instant(certificate, "creationTime")),
    left("modified", |certificate| instant(certificate, "modifiedTime")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let certificate = arguments.selector.find(&management, Resource::SigningCertificate).await?.object;
    if arguments.json { print_json(&certificate) } else { print(details(&certificate, DETAILS)) }
}
