//! `muster webhook …`

mod create;
mod delete;
mod deliveries;
mod edit;
mod list;
mod show;
mod test;

use clap::Subcommand;
use clap::builder::PossibleValuesParser;

use super::Failure;
use crate::domain::WebhookEvent;

#[derive(Subcommand)]
pub enum Command {
    /// Make a webhook and print its secret, alone, on stdout
    Create(create::Arguments),
    /// Delete a webhook with what waits for it
    Delete(delete::Arguments),
    /// List a webhook's deliveries, newest first
    Deliveries(deliveries::Arguments),
    /// Change a webhook's name, URL, events or status
    Edit(edit::Arguments),
    /// List the webhooks; never their secrets
    List(list::Arguments),
    /// Show a webhook; never its secret
    Show(show::Arguments),
    /// Send a test and say how it went
    Test(test::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(arguments).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Deliveries(arguments) => deliveries::run(arguments).await,
        Command::Edit(arguments) => edit::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
        Command::Test(arguments) => test::run(arguments).await,
    }
}

/// Completions know all events.
fn event() -> PossibleValuesParser {
    PossibleValuesParser::new(WebhookEvent::ALL.map(WebhookEvent::as_str))
}
