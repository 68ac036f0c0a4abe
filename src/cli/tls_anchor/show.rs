//! `muster tls-anchor show`

use clap::Args;

use super::Common;
use crate::cli::Failure;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub async fn run(Arguments { common }: Arguments) -> Result<(), Failure> {
    let anchor = common.show().await?;
    common.print(&anchor)
}
