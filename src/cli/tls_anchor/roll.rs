//! `muster tls-anchor roll`

use clap::Args;

use super::Common;
use crate::cli::Failure;
use crate::management::tls_anchor::RollStep;

#[derive(Args)]
#[command(after_help = "\
Key strings and devices that know the old anchor go on working. New keys name the new one, and devices learn it
with every enrollment and renewal. When all have: muster tls-anchor finish")]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub async fn run(Arguments { common }: Arguments) -> Result<(), Failure> {
    let anchor = common.step(RollStep::Roll).await?;
    eprintln!("The TLS trust anchor is being rolled. New keys name the new one; the old one goes on working.");
    common.print(&anchor)
}
