//! `muster api-client show`

use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;
use crate::cli::shown::{instant, instant_or_never, text, yes_no};
use crate::cli::table::{Column, details, left};
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

static DETAILS: &[Column] = &[
    left("id", |client| text(client, "id")),
    left("name", |client| text(client, "name")),
    left("client id", |client| text(client, "clientId")),
    left("role", |client| text(client, "role")),
    left("enabled", |client| yes_no(client, "enabled")),
    left("manages as", |client| text(client, "label")),
    left("last used", |client| instant_or_never(client, "lastUsedTime")),
    left("created", |client| instant(client, "creationTime")),
    left("modified", |client| instant(client, "modifiedTime")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let client = arguments.selector.find(&management, Resource::ApiClient).await?.object;
    if arguments.json { print_json(&client) } else { print(details(&client, DETAILS)) }
}
