//! `muster webhook test`

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;
use crate::cli::shown::text;
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    /// Print the delivery as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// An attempt takes ten seconds at most, and begins within one or two.
const LOOKS_MAX: u32 = 60;
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let webhook = arguments.selector.find(&management, Resource::Webhook).await?;
    let answer = management.operate(&webhook, "test", &json!({})).await?;
    let queued: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
        let newest = management.pages_below(&webhook, "deliveries")?.next(500).await?.unwrap_or_default();
        let Some(delivery) = newest.into_iter().find(|delivery| delivery["id"] == queued["id"]) else {
            return Err(anyhow!("another test took the place of this one").into());
        };
        let result = text(&delivery, "lastResult");
        if result.is_empty() {
            continue;
        }
        let is_delivered = text(&delivery, "state") == "delivered";
        if arguments.json {
            print_json(&delivery)?;
        } else if is_delivered {
            print(format_args!("{}: delivered, {result}\n", webhook.title()))?;
        }
        return if is_delivered { Ok(()) } else { Err(anyhow!("{}: {result}", webhook.title()).into()) };
    }
    Err(anyhow!("the test still waits: `muster webhook deliveries {}` shows how it goes on", webhook.id()).into())
}
