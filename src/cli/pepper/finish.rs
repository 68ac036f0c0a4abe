//! `muster pepper finish`

use clap::Args;

use super::Common;
use crate::cli::Failure;
use crate::cli::confirmation::Confirmation;
use crate::management::peppers::PepperStep;

#[derive(Args)]
#[command(after_help = "\
Not needed as a rule: the old pepper goes by itself when nothing is under it. This is for one that leaked, or for keys that nobody
will use again. Devices that hold a certificate keep it and renew it.")]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub async fn run(Arguments { common, confirmation }: Arguments) -> Result<(), Failure> {
    confirmation.ask(
        "Provisioning keys and API clients that are left under the old pepper (muster pepper show) are never accepted again: \
         those keys are disabled for good and need a successor, those API clients a new secret.",
    )?;
    let report = common.step(PepperStep::Finish).await?;
    eprintln!("The old pepper is gone.");
    common.print(&report)
}
