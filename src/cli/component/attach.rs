//! `muster component attach`

use anyhow::Context as _;
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
    /// The other key, its id or name
    #[arg(long, value_name = "ID|NAME")]
    key: String,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let component = arguments.selector.find(&management, Resource::Component).await?;
    let kind = component.of.kind().context("every component has a kind")?;
    let key = management.find(&[Resource::Key(kind)], &arguments.key).await?;
    management.edit(component.of, &component.id(), &json!({ "provisioningKeyId": key.id() })).await?;
    eprintln!("{} is attached to key {}.", component.title(), key.name());
    Ok(())
}
