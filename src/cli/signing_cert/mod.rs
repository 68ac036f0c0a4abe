//! `muster signing-cert …`

mod certificate;
mod create;
mod csr;
mod delete;
mod edit;
mod import;
mod list;
mod new;
mod replace;
mod show;
mod upload;

use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use super::shown::{flag, text};

#[derive(Subcommand)]
pub enum Command {
    /// Print the certificate and those above it as PEM
    Certificate(certificate::Arguments),
    /// Make a signing certificate, a root or one below another, and print its id
    Create(create::Arguments),
    /// Make a key pair and print the CSR for a CA of your own; see upload
    Csr(csr::Arguments),
    /// Delete a signing certificate that nothing refers to
    Delete(delete::Arguments),
    /// Change settings of a signing certificate
    Edit(edit::Arguments),
    /// Bring a signing certificate with its private key and print its id
    Import(import::Arguments),
    /// List the signing certificates
    List(list::Arguments),
    /// Give all keys and groups that have it another one
    Replace(replace::Arguments),
    /// Show a signing certificate
    Show(show::Arguments),
    /// Bring the certificate that your CA made of a CSR, or one that renews it
    Upload(upload::Arguments),
}

pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Certificate(arguments) => certificate::run(arguments).await,
        Command::Create(arguments) => create::run(arguments).await,
        Command::Csr(arguments) => csr::run(arguments).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Edit(arguments) => edit::run(arguments).await,
        Command::Import(arguments) => import::run(arguments).await,
        Command::List(arguments) => list::run(arguments).await,
        Command::Replace(arguments) => replace::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
        Command::Upload(arguments) => upload::run(arguments).await,
    }
}

/// Whether it can sign, and if not why.
fn state(certificate: &Value) -> String {
    let state = if text(certificate, "certificate").is_empty() {
        "awaits its certificate"
    } else if !flag(certificate, "privateKeyPresent") {
        "has no private key"
    } else if flag(certificate, "allowSigning") {
        "signs"
    } else {
        "does not sign"
    };
    state.to_owned()
}
