//! `muster admin recover`: a new password for an owner, for whoever has the data directory.

use std::io::IsTerminal as _;

use clap::Args;
use serde_json::json;

use crate::app;
use crate::cli::Failure;
use crate::cli::service::{RECOVERED_FILE, ServiceFlags};
use crate::files::write_durably;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// Which owner; the first one there is if not given
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
}

/// The password is shown on a terminal, else written to a file that only its owner can read.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let recovered = Box::pin(app::recover_owner(&settings, arguments.username.as_deref())).await?;
    eprintln!("The owner {} has a new password; its sessions have ended.", recovered.username);
    if std::io::stderr().is_terminal() {
        eprintln!("  Password: {}   (shown this once)", *recovered.password);
        return Ok(());
    }
    let file = settings.data_dir.join(RECOVERED_FILE);
    let body = json!({ "username": recovered.username, "password": *recovered.password });
    write_durably(&file, format!("{body:#}\n").as_bytes(), 0o600)?;
    eprintln!("  The password is in {}; move it to your vault.", file.display());
    Ok(())
}
