//! `muster group create`

use clap::Args;
use serde_json::json;

use crate::cli::connection::Connection;
use crate::cli::management::{Resource, members};
use crate::cli::selector::kind;
use crate::cli::shown::{text, with_kind};
use crate::cli::{Failure, print, print_json};
use crate::domain::Kind;

#[derive(Args)]
#[command(after_help = "\
Example:
  muster group create --kind app-connector --name HQ --allow-from 192.0.2.0/24")]
pub struct Arguments {
    /// What its components are
    #[arg(long, value_parser = kind())]
    kind: Kind,
    #[arg(long)]
    name: String,
    #[arg(long)]
    description: Option<String>,
    /// Signing certificate that keys of this group get, its id or name [default: the kind's]
    #[arg(long, value_name = "ID|NAME")]
    signing_cert: Option<String>,
    /// Network from which components may enroll, in CIDR form; may be repeated
    #[arg(long, value_name = "CIDR")]
    allow_from: Vec<String>,
    /// Make it disabled
    #[arg(long)]
    disabled: bool,
    /// Print the group as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let signing_certificate = match &arguments.signing_cert {
        Some(wanted) => Some(management.find(&[Resource::SigningCertificate], wanted).await?.id()),
        None => None,
    };
    let group = members([
        ("name", Some(json!(arguments.name))),
        ("enabled", Some(json!(!arguments.disabled))),
        ("description", arguments.description.map(|text| json!(text))),
        ("enrollmentCertId", signing_certificate.map(|id| json!(id))),
        ("ipAcl", (!arguments.allow_from.is_empty()).then(|| json!(arguments.allow_from))),
    ]);
    let made = management.create(Resource::Group(arguments.kind), &group).await?;
    if arguments.json {
        return print_json(&with_kind(arguments.kind, made));
    }
    print(text(&made, "id") + "\n")
}
