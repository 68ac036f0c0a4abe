//! `muster webhook edit`

use clap::Args;
use serde_json::json;

use super::event;
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
    /// Print the webhook as JSON afterwards
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
    /// New URL
    #[arg(long)]
    url: Option<String>,
    /// All that it is to be told of from now on; may be repeated
    #[arg(long = "event", value_name = "EVENT", value_parser = event())]
    events: Vec<String>,
    /// Send to it again, what happens from now on
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Send nothing to it
    #[arg(long)]
    disable: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Changes { name, url, events, enable, disable } = arguments.changes;
    let management = arguments.connection.open().await?;
    let webhook = arguments.selector.find(&management, Resource::Webhook).await?;
    let changes = members([
        ("name", name.map(|name| json!(name))),
        ("url", url.map(|url| json!(url))),
        ("events", (!events.is_empty()).then(|| json!(events))),
        ("enabled", (enable || disable).then(|| json!(enable))),
    ]);
    management.edit(webhook.of, &webhook.id(), &changes).await?;
    if arguments.json {
        return print_json(&management.get(webhook.of, &webhook.id()).await?);
    }
    eprintln!("{} was changed.", webhook.title());
    Ok(())
}
