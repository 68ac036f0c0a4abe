//! `muster component enable`, `muster component disable`

use clap::Args;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments, enabled: bool) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let component = arguments.selector.find(&management, Resource::Component).await?;
    management.edit(component.of, &component.id(), &json!({ "enabled": enabled })).await?;
    eprintln!("{} was {}.", component.title(), if enabled { "enabled" } else { "disabled" });
    Ok(())
}
