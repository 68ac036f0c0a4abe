//! `muster api-client …`

mod create;
mod delete;
mod edit;
mod list;
mod new_secret;
mod show;

use clap::Subcommand;

use super::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// Make an API client and print its secret, alone, on stdout
    Create(create::Arguments),
    /// Delete an API client; its tokens are refused at once
    Delete(delete::Arguments),
    /// Change an API client's name, role or status
    Edit(edit::Arguments),
    /// List the API clients; never their secrets
    List(list::Arguments),
    /// Replace an API client's secret and print the new one, alone, on stdout
    NewSecret(new_secret::Arguments),
    /// Show an API client; never its secret
    Show(show::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(arguments).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Edit(arguments) => edit::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::NewSecret(arguments) => new_secret::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
    }
}
