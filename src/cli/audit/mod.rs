//! `muster audit …`

mod export;
mod list;
mod verify;

use clap::Subcommand;

use super::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// Print a customer's whole audit chain as JSON lines, oldest first
    Export(export::Arguments),
    /// List who did what, newest first
    List(list::Arguments),
    /// Find audit rows that were changed, taken away or put elsewhere
    Verify(verify::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Export(arguments) => export::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Verify(arguments) => verify::run(arguments).await,
    }
}
