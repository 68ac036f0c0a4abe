//! `muster webhook show`

use clap::Args;
use serde_json::Value;

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
    left("id", |webhook| text(webhook, "id")),
    left("name", |webhook| text(webhook, "name")),
    left("url", |webhook| text(webhook, "url")),
    left("events", events),
    left("enabled", |webhook| yes_no(webhook, "enabled")),
    left("last delivered", |webhook| instant_or_never(webhook, "lastSuccessTime")),
    left("last failure", |webhook| instant_or_never(webhook, "lastFailureTime")),
    left("which was", |webhook| text(webhook, "lastFailure")),
    left("failing since", |webhook| instant(webhook, "failingSinceTime")),
    left("created", |webhook| instant(webhook, "creationTime")),
    left("modified", |webhook| instant(webhook, "modifiedTime")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let webhook = arguments.selector.find(&management, Resource::Webhook).await?.object;
    if arguments.json { print_json(&webhook) } else { print(details(&webhook, DETAILS)) }
}

fn events(webhook: &Value) -> String {
    let events = webhook["events"].as_array().into_iter().flatten().filter_map(Value::as_str);
    events.collect::<Vec<_>>().join(", ")
}
