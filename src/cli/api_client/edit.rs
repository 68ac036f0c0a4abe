//! `muster api-client edit`

use clap::Args;
use serde_json::json;

use crate::cli::admin::role;
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
    /// Print the API client as JSON afterwards
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
    #[arg(long, value_parser = role())]
    role: Option<String>,
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Refuse it; its tokens are refused at once
    #[arg(long)]
    disable: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Changes { name, role, enable, disable } = arguments.changes;
    let management = arguments.connection.open().await?;
    let client = arguments.selector.find(&management, Resource::ApiClient).await?;
    let changes = members([
        ("name", name.map(|name| json!(name))),
        ("role", role.map(|role| json!(role))),
        ("enabled", (enable || disable).then(|| json!(enable))),
    ]);
    management.edit(client.of, &client.id(), &changes).await?;
    if arguments.json {
        return print_json(&management.get(client.of, &client.id()).await?);
    }
    eprintln!("{} was changed.", client.title());
    Ok(())
}
