//! `muster group create`: prints the new group's id.

use clap::Args;
use serde_json::json;

use crate::cli::management::{Connection, text, with_kind};
use crate::cli::{Failure, print, print_json};
use crate::domain::Kind;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// app-connector, service-edge, network-connector or machine
    #[arg(long)]
    kind: Kind,
    #[arg(long)]
    name: String,
    #[arg(long)]
    description: Option<String>,
    /// Signing certificate that keys of this group get; its name or id [default: the kind's]
    #[arg(long, value_name = "NAME")]
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
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let mut group = json!({ "name": arguments.name, "enabled": !arguments.disabled });
    if let Some(description) = arguments.description {
        group["description"] = json!(description);
    }
    if let Some(wanted) = &arguments.signing_cert {
        group["enrollmentCertId"] = management.find_signing_certificate(wanted).await?["id"].clone();
    }
    if !arguments.allow_from.is_empty() {
        group["ipAcl"] = json!(arguments.allow_from);
    }
    let made = management.create_group(arguments.kind, &group).await?;
    if arguments.json {
        return print_json(&with_kind(arguments.kind, made));
    }
    print(text(&made, "id") + "\n")
}
