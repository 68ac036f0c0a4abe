//! `muster signing-cert import`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::new::New;
use super::upload::{Files, read};
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::shown::text;
use crate::cli::{Failure, print, print_json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    new: New,
    #[command(flatten)]
    files: Files,
    /// PEM of its private key, not encrypted: PKCS#8, SEC1 or PKCS#1; - for stdin
    #[arg(long, value_name = "FILE")]
    private_key_file: PathBuf,
    /// Print the signing certificate as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut order = arguments.new.to_json();
    arguments.files.add_to(&mut order)?;
    order["privateKey"] = json!(read(&arguments.private_key_file)?.as_str());
    let management = arguments.connection.open().await?;
    let made = management.create(Resource::SigningCertificate, &order).await?;
    if arguments.json { print_json(&made) } else { print(text(&made, "id") + "\n") }
}
