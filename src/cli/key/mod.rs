//! `muster key …`

mod check;
mod create;
mod delete;
mod edit;
mod export;
mod import;
mod list;
mod refusals;
mod rotate;
mod settings;
mod show;
mod switch;
mod uses;

use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use super::shown::text;

#[derive(Subcommand)]
pub enum Command {
    /// Say what a key string is and whether it would be accepted now; takes no use
    Check(check::Arguments),
    /// Make a provisioning key and print its key string, alone, on stdout
    Create(create::Arguments),
    /// Delete a key; its components stay unless asked otherwise
    Delete(delete::Arguments),
    /// Disable a key: devices that present it are refused
    Disable(switch::Arguments),
    /// Change settings of a key
    Edit(edit::Arguments),
    /// Enable a key
    Enable(switch::Arguments),
    /// Print the key string of a key that can be viewed
    Export(export::Arguments),
    /// Make a key of a key string from elsewhere, which devices hold already
    Import(import::Arguments),
    /// List the keys; never their key strings
    List(list::Arguments),
    /// List why devices with this key were refused
    Refusals(refusals::Arguments),
    /// Make a successor with the same settings and print its key string; the old key stays
    Rotate(rotate::Arguments),
    /// Show a key's settings and counters; never its key string
    Show(show::Arguments),
    /// List what a key was used for, newest first
    Uses(uses::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Check(arguments) => check::run(arguments).await,
        Command::Create(arguments) => create::run(arguments).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Disable(arguments) => switch::run(arguments, false).await,
        Command::Edit(arguments) => edit::run(arguments).await,
        Command::Enable(arguments) => switch::run(arguments, true).await,
        Command::Export(arguments) => export::run(arguments).await,
        Command::Import(arguments) => import::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Refusals(arguments) => refusals::run(arguments).await,
        Command::Rotate(arguments) => rotate::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
        Command::Uses(arguments) => uses::run(arguments).await,
    }
}

/// `3`, or `3 of 10`.
fn uses_of(key: &Value) -> String {
    match text(key, "maxUsage").as_str() {
        "" => text(key, "usageCount"),
        maximum => format!("{} of {maximum}", text(key, "usageCount")),
    }
}

/// Told beside every key string that is printed.
fn warn(name: &str, id: &str, what: &str) {
    eprintln!(
        "Key {name} (id {id}) {what}. It is a secret: whoever holds it can create a component here. Keep it in a \
         credential vault."
    );
}
