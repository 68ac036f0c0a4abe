//! `muster init`: the first-start part of `serve` alone.

use clap::Args;
use serde_json::{Value, json};

use super::connection::{API_CLIENT_FILE, TRUST_ANCHOR_FILE, read_json};
use super::service::{FIRST_START_FILE, ServiceFlags, first_start_json, tell_beginning};
use super::{Failure, print_json};
use crate::app::{self, Beginning};
use crate::config::Settings;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// Print what was made as JSON, secrets included
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let beginning = Box::pin(app::initialize(&settings)).await?;
    if let (Beginning::First(first_start), true) = (&beginning, arguments.json) {
        return print_json(&first_start_json(first_start));
    }
    tell_beginning(&beginning, &settings.data_dir);
    if let Beginning::Resumed = beginning {
        eprintln!("The store was initialized before; nothing was changed.");
    }
    if arguments.json { print_json(&what_is_left(&settings)) } else { Ok(()) }
}

/// What the first start left in the data directory: all of it, or without the administrator if the
/// file with the password was moved away, as it should be.
fn what_is_left(settings: &Settings) -> Value {
    let directory = &settings.data_dir;
    let first_start = read_json(&directory.join(FIRST_START_FILE));
    let api_client = read_json(&directory.join(API_CLIENT_FILE));
    first_start.unwrap_or_else(|_| {
        let member = |name: &str| api_client.as_ref().map_or(&Value::Null, |client| &client[name]).clone();
        json!({
            "customerId": member("customerId"),
            "apiClient": { "clientId": member("clientId"), "clientSecret": member("clientSecret") },
            "tlsTrustAnchor": directory.join(TRUST_ANCHOR_FILE),
        })
    })
}
