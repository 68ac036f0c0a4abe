//! `muster signing-cert delete`

use anyhow::anyhow;
use clap::Args;

use crate::cli::Failure;
use crate::cli::confirmation::Confirmation;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;
use crate::cli::shown::{flag, text};

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
    let certificate = arguments.selector.find(&management, Resource::SigningCertificate).await?;
    let preview = management.preview_deletion(&certificate).await?;
    if !flag(&preview, "wouldDelete") {
        return Err(anyhow!("{}", text(&preview, "reason")).into());
    }
    let what = format!("{} will be deleted with its private key; nothing refers to it.", certificate.title());
    arguments.confirmation.ask(&what)?;
    management.delete(&certificate, "").await?;
    eprintln!("{} was deleted.", certificate.title());
    Ok(())
}
