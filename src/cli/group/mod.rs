//! `muster group …`

mod create;
mod list;

use clap::Subcommand;

use super::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// Make a group
    Create(create::Arguments),
    /// List the groups
    List(list::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
    }
}
