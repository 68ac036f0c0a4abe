//! `muster api-client list`

use clap::Args;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Selection;
use crate::cli::management::Resource;
use crate::cli::shown::{instant_or_never, status, text};
use crate::cli::table::{Column, left};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    left("ID", |client| text(client, "id")),
    left("NAME", |client| text(client, "name")),
    left("CLIENT ID", |client| text(client, "clientId")),
    left("ROLE", |client| text(client, "role")),
    left("STATUS", status),
    left("LAST USED", |client| instant_or_never(client, "lastUsedTime")),
    left("MANAGES AS", |client| text(client, "label")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    arguments.selection.print(&management, &[Resource::ApiClient], COLUMNS).await
}
