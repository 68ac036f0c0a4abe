//! `muster signing-cert edit`

use clap::Args;
use serde_json::json;

use crate::cli::connection::Connection;
use crate::cli::management::{Resource, members};
use crate::cli::selector::Selector;
use crate::cli::{Failure, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    changes: Changes,
    /// Print the signing certificate as JSON afterwards
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// New name
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// Sign again
    #[arg(long, conflicts_with = "refuse_signing")]
    allow_signing: bool,
    /// Sign nothing more: enrollments and renewals that need it are refused
    #[arg(long)]
    refuse_signing: bool,
    /// How long the component certificates count that it signs from now on
    #[arg(long, value_name = "DAYS")]
    component_lifetime: Option<u32>,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Changes { name, description, allow_signing, refuse_signing, component_lifetime } = arguments.changes;
    let management = arguments.connection.open().await?;
    let certificate = arguments.selector.find(&management, Resource::SigningCertificate).await?;
    let changes = members([
        ("name", name.map(|name| json!(name))),
        ("description", description.map(|text| json!(text))),
        ("allowSigning", (allow_signing || refuse_signing).then(|| json!(allow_signing))),
        ("componentLifetimeInDays", component_lifetime.map(|days| json!(days.to_string()))),
    ]);
    management.edit(certificate.of, &certificate.id(), &changes).await?;
    if arguments.json {
        return print_json(&management.get(certificate.of, &certificate.id()).await?);
    }
    eprintln!("{} was changed.", certificate.title());
    Ok(())
}
