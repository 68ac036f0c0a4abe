//! `muster group list`

use clap::Args;

use crate::cli::management::{Connection, flag, text, with_kind};
use crate::cli::table::Table;
use crate::cli::{Failure, print, print_json};
use crate::domain::Kind;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Only groups of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let mut groups = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| arguments.kind.is_none_or(|wanted| wanted == *kind)) {
        groups.extend(management.groups(kind).await?.into_iter().map(|group| with_kind(kind, group)));
    }
    if arguments.json {
        return print_json(&groups);
    }
    let mut table = Table::new(["ID", "KIND", "NAME", "STATUS", "DESCRIPTION"]);
    for group in &groups {
        let status = if flag(group, "enabled") { "enabled" } else { "disabled" };
        table.row([
            text(group, "id"),
            text(group, "kind"),
            text(group, "name"),
            status.to_owned(),
            text(group, "description"),
        ]);
    }
    print(table)
}
