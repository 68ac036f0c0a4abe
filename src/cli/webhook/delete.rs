//! `muster webhook delete`

use clap::Args;

use crate::cli::Failure;
use crate::cli::confirmation::Confirmation;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let webhook = arguments.selector.find(&management, Resource::Webhook).await?;
    arguments.confirmation.ask(&format!("{} will be deleted with what waits for it.", webhook.title()))?;
    management.delete(&webhook, "").await?;
    eprintln!("{} was deleted.", webhook.title());
    Ok(())
}
