//! `muster component delete`

use clap::Args;

use crate::cli::Failure;
use crate::cli::confirmation::Confirmation;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    /// Give its use back to the key that it was taken from
    #[arg(long)]
    release_use: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let component = arguments.selector.find(&management, Resource::Component).await?;
    let use_of_key = if arguments.release_use { "its use is given back" } else { "its use stays taken" };
    let what = format!("{} will be deleted and its certificate revoked; {use_of_key}.", component.title());
    arguments.confirmation.ask(&what)?;
    management.delete(&component, if arguments.release_use { "releaseUse=true" } else { "" }).await?;
    eprintln!("{} was deleted; {use_of_key}.", component.title());
    Ok(())
}
