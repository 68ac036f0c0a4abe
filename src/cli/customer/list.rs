//! `muster customer list`

use clap::Args;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Selection;
use crate::cli::management::Resource;
use crate::cli::shown::{instant, status, text};
use crate::cli::table::{Column, left};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    left("ID", |customer| text(customer, "id")),
    left("NAME", |customer| text(customer, "name")),
    left("STATUS", status),
    left("CREATED", |customer| instant(customer, "creationTime")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open_as_administrator().await?;
    arguments.selection.print(&management, &[Resource::Customer], COLUMNS).await
}
