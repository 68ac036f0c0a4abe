//! `muster key list`

use clap::Args;

use super::uses_of;
use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Selection;
use crate::cli::management::Resource;
use crate::cli::selector::kind;
use crate::cli::shown::text;
use crate::cli::table::{Column, left, right};
use crate::domain::Kind;

#[derive(Args)]
#[command(after_help = "\
Examples:
  muster key list --kind machine --sort usageCount:desc --limit 10
  muster key list --search \"state EQ exhausted\"")]
pub struct Arguments {
    /// Only keys of this kind
    #[arg(long, value_parser = kind())]
    kind: Option<Kind>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    left("ID", |key| text(key, "id")),
    left("KIND", |key| text(key, "kind")),
    left("NAME", |key| text(key, "name")),
    left("GROUP", |key| text(key, "zcomponentName")),
    right("USES", uses_of),
    left("STATE", |key| text(key, "state")),
    left("KEY", |key| text(key, "keyHint")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let keys = Resource::of_kinds(Resource::Key, arguments.kind);
    arguments.selection.print(&management, &keys, COLUMNS).await
}
