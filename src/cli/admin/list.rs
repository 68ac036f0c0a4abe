//! `muster admin list`

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
    left("ID", |administrator| text(administrator, "id")),
    left("USERNAME", |administrator| text(administrator, "username")),
    left("ROLE", |administrator| text(administrator, "role")),
    left("STATUS", status),
    left("LAST SIGN-IN", |administrator| instant_or_never(administrator, "lastSignInTime")),
    left("DESCRIPTION", |administrator| text(administrator, "description")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    arguments.selection.print(&management, &[Resource::Administrator], COLUMNS).await
}
