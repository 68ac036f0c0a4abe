//! `muster webhook list`

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
    left("ID", |webhook| text(webhook, "id")),
    left("NAME", |webhook| text(webhook, "name")),
    left("URL", |webhook| text(webhook, "url")),
    left("STATUS", status),
    left("LAST DELIVERED", |webhook| instant_or_never(webhook, "lastSuccessTime")),
    left("LAST FAILURE", |webhook| text(webhook, "lastFailure")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    arguments.selection.print(&management, &[Resource::Webhook], COLUMNS).await
}
