//! `muster signing-cert certificate`

use anyhow::ensure;
use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::selector::Selector;
use crate::cli::shown::text;
use crate::cli::{Failure, print};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    print(pem(&arguments).await?)
}

async fn pem(arguments: &Arguments) -> anyhow::Result<String> {
    let management = arguments.connection.open().await?;
    let certificate = arguments.selector.find(&management, Resource::SigningCertificate).await?;
    let pem = text(&certificate.object, "certificate");
    ensure!(!pem.is_empty(), "{} awaits its certificate", certificate.title());
    Ok(pem + &text(&certificate.object, "chain"))
}
