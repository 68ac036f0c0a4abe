//! `muster group list`

use clap::Args;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Selection;
use crate::cli::management::Resource;
use crate::cli::selector::kind;
use crate::cli::shown::{status, text};
use crate::cli::table::{Column, left};
use crate::domain::Kind;

#[derive(Args)]
pub struct Arguments {
    /// Only groups of this kind
    #[arg(long, value_parser = kind())]
    kind: Option<Kind>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    left("ID", |group| text(group, "id")),
    left("KIND", |group| text(group, "kind")),
    left("NAME", |group| text(group, "name")),
    left("STATUS", status),
    left("DESCRIPTION", |group| text(group, "description")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let groups = Resource::of_kinds(Resource::Group, arguments.kind);
    arguments.selection.print(&management, &groups, COLUMNS).await
}
