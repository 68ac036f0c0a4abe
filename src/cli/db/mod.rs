//! `muster db`: the database that nodes share.

mod import;
mod migrate;

use clap::Subcommand;

use super::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// Copy an embedded store into the empty database that the settings name, check it, and put the old one aside
    Import(import::Arguments),
    /// Bring the database's schema up to date, while its nodes go on
    Migrate(migrate::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Import(arguments) => import::run(arguments).await,
        Command::Migrate(arguments) => migrate::run(arguments).await,
    }
}
