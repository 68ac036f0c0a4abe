//! `muster group edit`

use clap::Args;
use serde_json::json;

use crate::cli::connection::Connection;
use crate::cli::management::{Resource, members};
use crate::cli::selector::KindedSelector;
use crate::cli::{Failure, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    #[command(flatten)]
    changes: Changes,
    /// Print the group as JSON afterwards
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
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Refuse whoever comes with one of its keys, and renewals of its components
    #[arg(long)]
    disable: bool,
    /// Signing certificate that keys of this group get from now on, its id or name
    #[arg(long, value_name = "ID|NAME")]
    signing_cert: Option<String>,
    /// Replace the networks from which components may enroll; may be repeated
    #[arg(long, value_name = "CIDR", conflicts_with = "allow_from_everywhere")]
    allow_from: Vec<String>,
    /// Let any address enroll again
    #[arg(long)]
    allow_from_everywhere: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Changes { name, description, enable, disable, signing_cert, allow_from, allow_from_everywhere } =
        arguments.changes;
    let management = arguments.connection.open().await?;
    let group = arguments.selector.find(&management, Resource::Group).await?;
    let signing_certificate = match &signing_cert {
        Some(wanted) => Some(management.find(&[Resource::SigningCertificate], wanted).await?.id()),
        None => None,
    };
    let changes = members([
        ("name", name.map(|name| json!(name))),
        ("description", description.map(|text| json!(text))),
        ("enabled", (enable || disable).then(|| json!(enable))),
        ("enrollmentCertId", signing_certificate.map(|id| json!(id))),
        ("ipAcl", (allow_from_everywhere || !allow_from.is_empty()).then(|| json!(allow_from))),
    ]);
    management.edit(group.of, &group.id(), &changes).await?;
    if arguments.json {
        return print_json(&group.of.shown(management.get(group.of, &group.id()).await?));
    }
    eprintln!("{} was changed.", group.title());
    Ok(())
}
