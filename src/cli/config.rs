//! `muster config check`: what is in effect and where it came from, or all that is wrong.

use clap::Subcommand;

use super::service::ServiceFlags;
use super::{Failure, print};

#[derive(Subcommand)]
pub enum Command {
    /// Print the effective settings, each with its origin, or everything that is wrong
    Check {
        #[command(flatten)]
        service: ServiceFlags,
    },
}

pub fn run(command: Command) -> Result<(), Failure> {
    let Command::Check { service } = command;
    print(service.load()?.to_toml())
}
