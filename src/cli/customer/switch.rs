//! `muster customer enable`, `muster customer disable`

use clap::Args;
use serde_json::json;

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

pub async fn run(arguments: Arguments, enabled: bool) -> Result<(), Failure> {
    let management = arguments.connection.open_as_administrator().await?;
    let customer = arguments.selector.find(&management, Resource::Customer).await?;
    if !enabled {
        let affected = "all its devices will be refused and nobody of it signs in";
        arguments.confirmation.ask(&format!("{}: {affected}.", customer.title()))?;
    }
    management.edit(customer.of, &customer.id(), &json!({ "enabled": enabled })).await?;
    eprintln!("{} was {}.", customer.title(), if enabled { "enabled" } else { "disabled" });
    Ok(())
}
