//! `muster pepper rotate`

use clap::Args;

use super::Common;
use crate::cli::Failure;
use crate::management::peppers::PepperStep;

#[derive(Args)]
#[command(after_help = "\
All keys and secrets go on working. Whoever serves moves the keys whose string it keeps at once, the others, and API clients, when
they are used next; then the old pepper goes by itself. muster pepper show tells how far it is.")]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub async fn run(Arguments { common }: Arguments) -> Result<(), Failure> {
    let report = common.step(PepperStep::Rotate).await?;
    eprintln!("A new pepper was made. Keys and API clients move to it by themselves: muster pepper show");
    common.print(&report)
}
