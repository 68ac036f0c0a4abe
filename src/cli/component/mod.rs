//! `muster component …`

mod attach;
mod certificate;
mod clean_up;
mod delete;
mod edit;
mod list;
mod revoke;
mod show;
mod switch;

use clap::Subcommand;

use super::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// Attach a component to another key of its kind and group; takes no use
    Attach(attach::Arguments),
    /// Print a component's certificate as PEM
    Certificate(certificate::Arguments),
    /// Show or set after how long components are deleted whose certificate ended unrenewed
    CleanUp(clean_up::Arguments),
    /// Revoke and delete a component; its device may enroll again and then takes another use
    Delete(delete::Arguments),
    /// Disable a component: it neither renews nor enrolls again
    Disable(switch::Arguments),
    /// Change a component's name or description
    Edit(edit::Arguments),
    /// Enable a component
    Enable(switch::Arguments),
    /// List the components
    List(list::Arguments),
    /// Revoke a component and keep its device out until it is deleted
    Revoke(revoke::Arguments),
    /// Show a component
    Show(show::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Attach(arguments) => attach::run(arguments).await,
        Command::Certificate(arguments) => certificate::run(arguments).await,
        Command::CleanUp(arguments) => clean_up::run(arguments).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Disable(arguments) => switch::run(arguments, false).await,
        Command::Edit(arguments) => edit::run(arguments).await,
        Command::Enable(arguments) => switch::run(arguments, true).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Revoke(arguments) => revoke::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
    }
}
