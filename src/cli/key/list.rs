//! `muster key list`

use clap::Args;

use super::{uses, without_key_string};
use crate::cli::management::{Connection, text, with_kind};
use crate::cli::table::Table;
use crate::cli::{Failure, print, print_json};
use crate::domain::Kind;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Only keys of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let mut keys = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| arguments.kind.is_none_or(|wanted| wanted == *kind)) {
        let found = management.keys(kind).await?;
        keys.extend(found.into_iter().map(|key| with_kind(kind, without_key_string(key))));
    }
    if arguments.json {
        return print_json(&keys);
    }
    let mut table = Table::new(["ID", "KIND", "NAME", "GROUP", "USES", "STATE", "KEY"]);
    for key in &keys {
        table.row([
            text(key, "id"),
            text(key, "kind"),
            text(key, "name"),
            text(key, "zcomponentName"),
            uses(key),
            text(key, "state"),
            text(key, "keyHint"),
        ]);
    }
    print(table)
}
