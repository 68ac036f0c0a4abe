//! `muster admin edit`

use clap::Args;
use serde_json::json;

use super::role;
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
    /// Print the administrator as JSON afterwards
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// New user name
    #[arg(long)]
    username: Option<String>,
    #[arg(long, value_parser = role())]
    role: Option<String>,
    #[arg(long)]
    description: Option<String>,
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Let it sign in no more; its sessions end
    #[arg(long)]
    disable: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Changes { username, role, description, enable, disable } = arguments.changes;
    let management = arguments.connection.open().await?;
    let administrator = arguments.selector.find(&management, Resource::Administrator).await?;
    let changes = members([
        ("username", username.map(|name| json!(name))),
        ("role", role.map(|role| json!(role))),
        ("description", description.map(|text| json!(text))),
        ("enabled", (enable || disable).then(|| json!(enable))),
    ]);
    management.edit(administrator.of, &administrator.id(), &changes).await?;
    if arguments.json {
        return print_json(&management.get(administrator.of, &administrator.id()).await?);
    }
    eprintln!("{} was changed.", administrator.title());
    Ok(())
}
