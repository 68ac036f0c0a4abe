//! `muster tls-anchor finish`

use clap::Args;

use super::Common;
use crate::cli::Failure;
use crate::cli::confirmation::Confirmation;
use crate::management::tls_anchor::RollStep;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub async fn run(Arguments { common, confirmation }: Arguments) -> Result<(), Failure> {
    confirmation.ask(
        "Key strings made before the roll, and devices that did not enroll or renew since, will not trust the service \
         any more.",
    )?;
    let anchor = common.step(RollStep::Finish).await?;
    eprintln!("The old TLS trust anchor is shown no more.");
    common.print(&anchor)
}
