//! `muster signing-cert upload`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::Failure;
use crate::cli::connection::Connection;
use crate::cli::management::Resource;
use crate::cli::secret_input::read_secret_file;
use crate::cli::selector::Selector;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    selector: Selector,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    connection: Connection,
}

/// A certificate that comes from elsewhere.
#[derive(Args)]
pub struct Files {
    /// PEM of the certificate; those above it may follow in the same file
    #[arg(long, value_name = "FILE")]
    certificate_file: PathBuf,
    /// PEM of those above it, nearest first, up to the root
    #[arg(long, value_name = "FILE")]
    chain_file: Option<PathBuf>,
}

impl Files {
    pub fn add_to(&self, order: &mut Value) -> anyhow::Result<()> {
        order["certificate"] = json!(read(&self.certificate_file)?.as_str());
        if let Some(path) = &self.chain_file {
            order["chain"] = json!(read(path)?.as_str());
        }
        Ok(())
    }
}

/// PEM, with the line end that [`read_secret_file`] takes away.
pub fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut pem = read_secret_file(path)?;
    pem.push('\n');
    Ok(pem)
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut changes = json!({});
    arguments.files.add_to(&mut changes)?;
    let management = arguments.connection.open().await?;
    let certificate = arguments.selector.find(&management, Resource::SigningCertificate).await?;
    management.edit(certificate.of, &certificate.id(), &changes).await?;
    eprintln!("{} has its certificate.", certificate.title());
    Ok(())
}
