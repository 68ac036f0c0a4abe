//! `muster admin show`

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
    left("id", |administrator| text(administrator, "id")),
    left("user name", |administrator| text(administrator, "username")),
    left("role", |administrator| text(administrator, "role")),
    left("enabled", |administrator| yes_no(administrator, "enabled")),
    left("description", |administrator| text(administrator, "description")),
    left("last sign-in", |administrator| instant_or_never(administrator, "lastSignInTime")),
    left("created", |administrator| instant(administrator, "creationTime")),
    left("modified", |administrator| instant(administrator, "modifiedTime")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let administrator = arguments.selector.find(&management, Resource::Administrator).await?.object;
    if arguments.json { print_json(&administrator) } else { print(details(&administrator, DETAILS)) }
}
