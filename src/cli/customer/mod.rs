//! `muster customer …`: for owners, but for looking at one's own.

mod create;
mod edit;
mod list;
mod show;
mod switch;

use clap::Subcommand;

use super::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// Make a customer with its signing certificates and print its id
    Create(create::Arguments),
    /// Disable a customer: its devices are refused, nobody of it signs in
    Disable(switch::Arguments),
    /// Rename a customer
    Edit(edit::Arguments),
    /// Enable a customer
    Enable(switch::Arguments),
    /// List the customers
    List(list::Arguments),
    /// Show a customer; without a name, one's own
    Show(show::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(arguments).await,
        Command::Disable(arguments) => switch::run(arguments, false).await,
        Command::Edit(arguments) => edit::run(arguments).await,
        Command::Enable(arguments) => switch::run(arguments, true).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
    }
}
