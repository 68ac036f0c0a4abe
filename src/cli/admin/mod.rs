//! `muster admin …`

mod create;
mod delete;
mod edit;
mod list;
mod password;
mod recover;
mod sessions;
mod show;

use clap::Subcommand;
use clap::builder::PossibleValuesParser;

use super::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// Make an administrator; a password that is made for it is printed, alone, on stdout
    Create(create::Arguments),
    /// Delete an administrator
    Delete(delete::Arguments),
    /// Change an administrator's role, name or status
    Edit(edit::Arguments),
    /// List the administrators of a customer; with --customer 0 the owners
    List(list::Arguments),
    /// Change one's own password, or set another administrator's
    Password(password::Arguments),
    /// Give an owner a new password, with the service stopped
    Recover(recover::Arguments),
    /// List where an administrator is signed in, or end a session
    Sessions(sessions::Arguments),
    /// Show an administrator
    Show(show::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(arguments).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Edit(arguments) => edit::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Password(arguments) => password::run(arguments).await,
        Command::Recover(arguments) => recover::run(arguments).await,
        Command::Sessions(arguments) => sessions::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
    }
}

/// Reads a role.
pub fn role() -> PossibleValuesParser {
    PossibleValuesParser::new(["owner", "admin", "operator", "auditor"])
}
