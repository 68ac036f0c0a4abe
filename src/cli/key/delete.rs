//! `muster key delete`

use clap::Args;

use crate::cli::Failure;
use crate::cli::confirmation::Confirmation;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::KindedSelector;
use crate::cli::shown::text;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: KindedSelector,
    /// Revoke its components too: their certificates are no longer accepted
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let key = arguments.selector.find(&management, Resource::Key).await?;
    let components = if arguments.revoke { "its components are revoked" } else { "its components stay" };
    let uses = text(&key.object, "usageCount");
    arguments.confirmation.ask(&format!("{} will be deleted (uses: {uses}); {components}.", key.title()))?;
    management.delete(&key, if arguments.revoke { "revoke=true" } else { "" }).await?;
    eprintln!("{} was deleted; {components}.", key.title());
    Ok(())
}
