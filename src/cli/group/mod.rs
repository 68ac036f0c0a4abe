//! `muster group …`

mod create;
mod delete;
mod edit;
mod list;
mod show;

use clap::Subcommand;

use super::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// Make a group and print its id
    Create(create::Arguments),
    /// Delete a group; one in use only by force
    Delete(delete::Arguments),
    /// Change settings of a group
    Edit(edit::Arguments),
    /// List the groups
    List(list::Arguments),
    /// Show a group's settings
    Show(show::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(arguments).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Edit(arguments) => edit::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
    }
}
