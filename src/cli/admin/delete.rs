//! `muster admin delete`

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
    let administrator = arguments.selector.find(&management, Resource::Administrator).await?;
    let what = format!("{} will be deleted and its sessions end.", administrator.title());
    arguments.confirmation.ask(&what)?;
    management.delete(&administrator, "").await?;
    eprintln!("{} was deleted.", administrator.title());
    Ok(())
}
