//! `muster group delete`

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
    /// Also if it is in use: its keys are deleted, its components revoked and deleted
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let group = arguments.selector.find(&management, Resource::Group).await?;
    let mut what = format!("{} will be deleted", group.title());
    if arguments.force {
        let (keys, components) = (text(&group.object, "keyCount"), text(&group.object, "componentCount"));
        what += &format!(" with its keys ({keys}); its components ({components}) are revoked and deleted");
    }
    arguments.confirmation.ask(&format!("{what}."))?;
    management.delete(&group, if arguments.force { "force=true" } else { "" }).await?;
    eprintln!("{} was deleted.", group.title());
    Ok(())
}
