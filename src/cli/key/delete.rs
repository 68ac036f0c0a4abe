//! `muster key delete`

use clap::Args;

use super::Selector;
use crate::cli::Failure;
use crate::cli::management::{Connection, text};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    selector: Selector,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let wanted = arguments.selector.wanted()?;
    let management = arguments.connection.open().await?;
    let (kind, key) = wanted.find(&management).await?;
    management.delete_key(kind, &text(&key, "id")).await?;
    eprintln!("Key {} (id {}) was deleted; its components stay.", text(&key, "name"), text(&key, "id"));
    Ok(())
}
