//! `muster secrets show`

use clap::Args;

use super::{print_report, tell_old_keys};
use crate::app::{show_peppers, show_secrets};
use crate::cli::Failure;
use crate::cli::service::ServiceFlags;
use crate::store::DigestCounts;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let report = Box::pin(show_secrets(&settings)).await?;
    print_report(&report, arguments.json)?;
    tell_old_keys(&report);
    for DigestCounts { pepper, keys, api_clients } in Box::pin(show_peppers(&settings)).await?.live {
        eprintln!("Pepper {}: {keys} provisioning keys and {api_clients} API clients are digested under it.", pepper.0);
    }
    Ok(())
}
