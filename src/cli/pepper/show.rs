//! `muster pepper show`

use clap::Args;

use super::Common;
use crate::cli::Failure;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub async fn run(Arguments { common }: Arguments) -> Result<(), Failure> {
    let report = common.show().await?;
    common.print(&report)
}
