//! `muster signing-cert csr`

use clap::Args;
use serde_json::json;

use super::new::{KeyPair, New};
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::shown::text;
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
#[command(after_help = "\
Example:
  muster signing-cert csr --name \"Ours\" --organization Example > ours.csr
  (your CA signs it: CA certificate, keyCertSign and cRLSign)
  muster signing-cert upload \"Ours\" --certificate-file ours.pem --chain-file chain.pem")]
pub struct Arguments {
    #[command(flatten)]
    new: New,
    #[command(flatten)]
    key_pair: KeyPair,
    /// Of the subject [default: the name]
    #[arg(long)]
    common_name: Option<String>,
    /// Of the subject
    #[arg(long)]
    organization: Option<String>,
    /// Of the subject
    #[arg(long)]
    organizational_unit: Option<String>,
    /// Of the subject, two letters
    #[arg(long)]
    country: Option<String>,
    /// Print the signing certificate as JSON, the CSR in it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let management = arguments.connection.open().await?;
    let mut order = arguments.new.to_json();
    arguments.key_pair.add_to(&mut order);
    for (member, value) in [
        ("commonName", &arguments.common_name),
        ("organization", &arguments.organization),
        ("organizationalUnit", &arguments.organizational_unit),
        ("country", &arguments.country),
    ] {
        if let Some(value) = value {
            order[member] = json!(value);
        }
    }
    let made = management.create_by(Resource::SigningCertificate, "csr/generate", &order).await?;
    if arguments.json {
        return print_json(&made);
    }
    print(text(&made, "csr"))?;
    eprintln!("Signing certificate {} (id {}) awaits its certificate.", arguments.new.name, text(&made, "id"));
    Ok(())
}
