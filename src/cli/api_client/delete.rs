//! `muster api-client delete`

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
    let client = arguments.selector.find(&management, Resource::ApiClient).await?;
    let what = format!("{} will be deleted; whoever uses it is refused at once.", client.title());
    arguments.confirmation.ask(&what)?;
    management.delete(&client, "").await?;
    eprintln!("{} was deleted.", client.title());
    Ok(())
}
