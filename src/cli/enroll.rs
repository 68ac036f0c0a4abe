//! `muster enroll`: the device's side.
//!
//! | exit | |
//! |---|---|
//! | 0 | enrolled, or the certificate that is there is good |
//! | 1 | failed otherwise, e.g. the state directory cannot be written |
//! | 2 | wrong usage |
//! | 3 | the key is not accepted (401), or damaged: then no connection was made |
//! | 4 | refused (403) |
//! | 5 | unreachable, 429 or 503 when the time was over |
//! | 6 | the server is not trusted |

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::console::{self, Shown};
use super::device::{Device, exit_code, hostname};
use super::key_source::{self, FoundKey, KEY_FILE_DEFAULT};
use super::{Failure, print_json};
use crate::client::enroll::{Order, enroll};
use crate::client::fingerprint;
use crate::client::state::StateDir;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::key_string::{Inspection, inspect};

const EXIT_CODES: &str = "\
Exit codes:
  0  enrolled, or the certificate that is there is good
  1  failed otherwise
  2  wrong usage
  3  the key is not accepted, or damaged (then no connection was made)
  4  refused
  5  unreachable or busy until the timeout
  6  the server is not trusted";

#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct Arguments {
    /// File with the provisioning key, - for stdin [default: /etc/muster/provision_key, else
    /// MUSTER_PROVISIONING_KEY, the systemd credential muster-provisioning-key, or a prompt]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Remove the key file once there is a certificate
    #[arg(long)]
    remove_key_file: bool,
    #[command(flatten)]
    device: Device,
    /// Seconds to go on while the server is unreachable or busy; 0: one attempt
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u32,
    /// Print what enrollment.json says
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    eprintln!("{}", console::CHECKING);
    let device = arguments.device;
    let state = StateDir::open(&device.state_dir)?;
    if let Some(current) = state.current(SystemClock.now())? {
        eprintln!("{}", console::kept(&current));
        if arguments.remove_key_file {
            // A run that was cut short after the certificate had come left it.
            let path = arguments.key_file.as_deref().unwrap_or(Path::new(KEY_FILE_DEFAULT));
            remove_key_file(path)?;
        }
        return if arguments.json { print_json(&current.record) } else { Ok(()) };
    }
    eprintln!("{}", console::ATTEMPTING);
    let FoundKey { key, file } = key_source::find(arguments.key_file.as_deref())?;
    if inspect(key.expose()) == Inspection::Damaged {
        eprintln!("{}\n{}", console::DAMAGED, console::FAILED);
        return Err(Failure::told(3));
    }
    let trust = device.trust()?;
    let fingerprint = match device.fingerprint {
        Some(fingerprint) => fingerprint,
        None => fingerprint::of_machine().context("give one with --fingerprint")?,
    };
    let hostname = hostname();
    let order = Order {
        key: &key,
        fingerprint: &fingerprint,
        connect: device.connect,
        trust,
        hostname: hostname.as_deref(),
        timeout: Duration::from_secs(arguments.timeout.into()),
        clock: &SystemClock,
    };
    let shown = Shown::of(&key, &fingerprint);
    match enroll(&state, &order, &mut |event| eprintln!("{}", shown.event(&event))).await {
        Ok((_, record)) => {
            eprintln!("{}", console::enrolled(&record));
            match &file {
                Some(path) if arguments.remove_key_file => remove_key_file(path)?,
                None if arguments.remove_key_file => eprintln!("warning: the key came from no file; none was removed"),
                _ => {}
            }
            if arguments.json { print_json(&record) } else { Ok(()) }
        }
        Err(error) => {
            eprintln!("{}", shown.error(&error));
            eprintln!("{}", console::FAILED);
            Err(Failure::told(exit_code(&error)))
        }
    }
}

/// One that is gone is removed.
pub fn remove_key_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", path.display()))
        }
        _ => Ok(()),
    }
}
