//! `muster component edit`

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
    /// Print the component as JSON afterwards
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
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Changes { name, description } = arguments.changes;
    let management = arguments.connection.open().await?;
    let component = arguments.selector.find(&management, Resource::Component).await?;
    let changes =
        members([("name", name.map(|name| json!(name))), ("description", description.map(|text| json!(text)))]);
    management.edit(component.of, &component.id(), &changes).await?;
    if arguments.json {
        return print_json(&component.of.shown(management.get(component.of, &component.id()).await?));
    }
    eprintln!("{} was changed.", component.title());
    Ok(())
}
