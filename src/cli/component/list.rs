//! `muster component list`

use clap::Args;

use super::show::group_name;
use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Selection;
use crate::cli::management::Resource;
use crate::cli::selector::kind;
use crate::cli::shown::{instant, text};
use crate::cli::table::{Column, left};
use crate::domain::Kind;

#[derive(Args)]
#[command(after_help = "\
Examples:
  muster component list --kind machine --search \"provisioningKeyName EQ kiosk\"
  muster component list --search \"state EQ expired\"")]
pub struct Arguments {
    /// Only components of this kind
    #[arg(long, value_parser = kind())]
    kind: Option<Kind>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    left("ID", |component| text(component, "id")),
    left("KIND", |component| text(component, "kind")),
    left("NAME", |component| text(component, "name")),
    left("GROUP", group_name),
    left("KEY", |component| text(component, "provisioningKeyName")),
    left("HOSTNAME", |component| text(component, "hostname")),
    left("STATE", |component| text(component, "state")),
    left("CERTIFICATE UNTIL", |component| instant(component, "certificateNotAfter")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let components = Resource::of_kinds(Resource::Component, arguments.kind);
    arguments.selection.print(&management, &components, COLUMNS).await
}
