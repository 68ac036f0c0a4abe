//! `muster group show`

use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;
use crate::cli::shown::{allowed_from, instant, text, yes_no};
use crate::cli::table::{Column, details, left};
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

static DETAILS: &[Column] = &[
    left("id", |group| text(group, "id")),
    left("name", |group| text(group, "name")),
    left("kind", |group| text(group, "kind")),
    left("enabled", |group| yes_no(group, "enabled")),
    left("signing certificate", |group| text(group, "enrollmentCertName")),
    left("allow from", allowed_from),
    left("keys", |group| text(group, "keyCount")),
    left("components", |group| text(group, "componentCount")),
    left("description", |group| text(group, "description")),
    left("created", |group| instant(group, "creationTime")),
    left("modified", |group| instant(group, "modifiedTime")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let group = arguments.selector.find(&management, Resource::Group).await?.shown();
    if arguments.json { print_json(&group) } else { print(details(&group, DETAILS)) }
}
