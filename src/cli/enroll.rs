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

use super::connection::trust_of_file;
use super::console::{self, Shown};
use super::key_source::{self, FoundKey, KEY_FILE_DEFAULT};
use super::{Failure, print_json};
use crate::client::enroll::{EnrollError, Order, enroll};
use crate::client::fingerprint;
use crate::client::http::HostPort;
use crate::client::state::StateDir;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::Fingerprint;
use crate::domain::key_string::{Inspection, inspect};
use crate::protocol::enroll::HOSTNAME_BYTES_MAX;

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
    /// Where key pair and certificate are kept
    #[arg(long, value_name = "DIR", env = "MUSTER_STATE_DIR", default_value = "/var/lib/muster")]
    state_dir: PathBuf,
    /// Connect there instead; the server must still prove to be the key's cloud
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<HostPort>,
    /// PEM file with the CA to trust instead of what the key says
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// What identifies this hardware [default: made of the machine id and the board's ids]
    #[arg(long, value_name = "TEXT", value_parser = Fingerprint::new)]
    fingerprint: Option<Fingerprint>,
    /// Seconds to go on while the server is unreachable or busy; 0: one attempt
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u32,
    /// Print what enrollment.json says
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    eprintln!("{}", console::CHECKING);
    let state = StateDir::open(&arguments.state_dir)?;
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
    let fingerprint = match arguments.fingerprint {
        Some(fingerprint) => fingerprint,
        None => fingerprint::of_machine(Path::new("/")).context("give one with --fingerprint")?,
    };
    let hostname = hostname();
    let order = Order {
        key: &key,
        fingerprint: &fingerprint,
        connect: arguments.connect,
        trust: arguments.ca_file.as_deref().map(trust_of_file).transpose()?,
        hostname: hostname.as_deref(),
        timeout: Duration::from_secs(arguments.timeout.into()),
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

pub fn exit_code(error: &EnrollError) -> u8 {
    match error {
        EnrollError::DamagedKey => 3,
        EnrollError::Refused(refused) => match refused.status {
            401 => 3,
            403 => 4,
            429 | 500.. => 5,
            _ => 1,
        },
        EnrollError::NotTrusted { .. } | EnrollError::Trust(_) => 6,
        EnrollError::Unreachable { .. } => 5,
        EnrollError::Answer(_) | EnrollError::State(_) => 1,
    }
}

fn remove_key_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// For people to recognise the device by; left out if it is not fit to send.
fn hostname() -> Option<String> {
    let name = gethostname::gethostname().into_string().ok()?;
    let fits = !name.is_empty() && name.len() <= HOSTNAME_BYTES_MAX && !name.chars().any(char::is_control);
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::enroll::Refused;
    use crate::client::http::ExchangeError;

    #[test]
    fn exit_codes_tell_what_to_do_next() {
        for (status, code) in [(400, 1), (401, 3), (403, 4), (404, 1), (429, 5), (500, 5), (503, 5)] {
            let refused = Refused { status, code: None, reference: None, detail: None, retry_after: None };
            assert_eq!(exit_code(&EnrollError::Refused(refused)), code, "{status}");
        }
        assert_eq!(exit_code(&EnrollError::DamagedKey), 3);
        assert_eq!(exit_code(&EnrollError::Unreachable { host: String::new(), reason: ExchangeError::CutOff }), 5);
        let reason = rustls::Error::NoCertificatesPresented;
        assert_eq!(exit_code(&EnrollError::NotTrusted { host: String::new(), reason }), 6);
    }
}
