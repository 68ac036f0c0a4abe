//! What the commands that open the service themselves share: their flags, and how a first start is
//! told.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::connection::TRUST_ANCHOR_FILE;
use crate::app::{Beginning, FirstStart};
use crate::config::{Inputs, Loaded, Settings};

/// Written by the first start when nobody watches; see [`tell_first_start`].
pub const FIRST_START_FILE: &str = "first-start.json";

/// Written by `admin recover` when nobody watches.
pub const RECOVERED_FILE: &str = "recovered.json";

/// Flags over the environment over the file.
#[derive(Args)]
pub struct ServiceFlags {
    /// Configuration file; config.example.toml names every key
    #[arg(long, value_name = "FILE", env = "MUSTER_CONFIG")]
    config: Option<PathBuf>,
    /// Holds the store and its keys [default: ./muster-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Host, and port unless 443, that new keys name; for a first start [default: localhost:8443]
    #[arg(long, value_name = "HOST[:PORT]")]
    cloud: Option<String>,
    /// Enrollment listener [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    enroll_listen: Option<String>,
    /// Management listener [default: 127.0.0.1:8444]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// Metrics listener; empty: none [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
}

impl ServiceFlags {
    /// The configuration with its origins.
    pub fn read(&self) -> Result<Loaded, Failure> {
        let mut inputs = Inputs::from_process(self.config.as_deref())?;
        for (flag, key, value) in [
            ("--data-dir", "data_dir", &self.data_dir),
            ("--cloud", "cloud", &self.cloud),
            ("--enroll-listen", "enroll.listen", &self.enroll_listen),
            ("--admin-listen", "admin.listen", &self.admin_listen),
            ("--metrics-listen", "metrics.listen", &self.metrics_listen),
        ] {
            if let Some(text) = value {
                inputs.flags.push((flag, key, text.clone()));
            }
        }
        Ok(inputs.load()?)
    }

    /// The same, with what looks like a mistake told on stderr.
    pub fn load(&self) -> Result<Loaded, Failure> {
        let loaded = self.read()?;
        for name in &loaded.unknown_variables {
            eprintln!("warning: the environment variable {name} names no configuration key; it is ignored");
        }
        if let Some(listen) = loaded.settings.metrics.listen.filter(|listen| !listen.ip().is_loopback()) {
            eprintln!("warning: metrics are served in plain HTTP on {listen}, which is no loopback address");
        }
        Ok(loaded)
    }

    pub fn settings(&self) -> Result<Settings, Failure> {
        Ok(self.load()?.settings)
    }
}

/// What a first start made, as `init --json` prints it.
pub fn first_start_json(first: &FirstStart) -> Value {
    json!({
        "customerId": first.customer_id,
        "administrator": {
            "username": first.administrator_username,
            "password": *first.administrator_password,
        },
        "apiClient": { "clientId": first.client_id, "clientSecret": *first.client_secret },
        "tlsTrustAnchor": first.trust_anchor_file,
    })
}

/// Tells a person what to know when a service or a node begins.
pub fn tell_beginning(beginning: &Beginning, data_dir: &Path) {
    match beginning {
        Beginning::First(first) => tell_first_start(first, data_dir),
        Beginning::Joined => {
            eprintln!("This node joined the service that the database holds; another one set it up.");
            eprintln!(
                "  Commands on this machine need MUSTER_CLIENT_ID and MUSTER_CLIENT_SECRET_FILE, or MUSTER_USERNAME."
            );
            let anchor = data_dir.join(TRUST_ANCHOR_FILE);
            eprintln!("  Clients of the management API trust {}.", anchor.display());
        }
        Beginning::Resumed => {}
    }
}

/// Tells a person what a first start made and what to type next. The password is shown once, on a
/// terminal; else it stays in a file that only the owner can read.
fn tell_first_start(first: &FirstStart, data_dir: &Path) {
    eprintln!("First start: customer {} was made.", first.customer_id);
    if std::io::stderr().is_terminal() {
        eprintln!("  Administrator: {}", first.administrator_username);
        eprintln!("  Password:      {}   (shown this once)", *first.administrator_password);
        if let Err(error) = first.forget() {
            eprintln!("  The password is also in {}: {error}", first.credentials_file.display());
        }
    } else {
        let file = first.credentials_file.display();
        eprintln!("  The administrator's password is in {file}; move it to your vault.");
    }
    eprintln!("  Clients of the management API trust {}.", first.trust_anchor_file.display());
    eprintln!("Next: muster group create{} --kind app-connector --name \"HQ\"", data_dir_flag(data_dir));
}

/// ` --data-dir D`, or nothing for the default one.
pub fn data_dir_flag(data_dir: &Path) -> String {
    if data_dir == Path::new(super::connection::DATA_DIR_DEFAULT) {
        String::new()
    } else {
        format!(" --data-dir {}", data_dir.display())
    }
}
