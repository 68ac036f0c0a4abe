//! `muster webhook deliveries`

use clap::Args;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::listing::Form;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;
use crate::cli::shown::{instant, text};
use crate::cli::table::{Column, left, right};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    connection: Connection,
}

static COLUMNS: &[Column] = &[
    left("ID", |delivery| text(delivery, "id")),
    left("TIME", |delivery| instant(delivery, "creationTime")),
    left("EVENT", |delivery| text(delivery, "event")),
    left("STATE", |delivery| text(delivery, "state")),
    right("ATTEMPTS", |delivery| text(delivery, "attempts")),
    left("NEXT", |delivery| instant(delivery, "nextAttemptTime")),
    left("RESULT", |delivery| text(delivery, "lastResult")),
];

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let webhook = arguments.selector.find(&management, Resource::Webhook).await?;
    arguments.form.print(management.pages_below(&webhook, "deliveries")?, COLUMNS).await
}
