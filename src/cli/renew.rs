//! `muster renew`: one renewal of this device's certificate.
//!
//! | exit | |
//! |---|---|
//! | 0 | renewed, or not due yet |
//! | 1 | failed otherwise, e.g. there is no certificate, or the state directory cannot be written |
//! | 2 | wrong usage |
//! | 3 | the certificate is not accepted (401): enroll again |
//! | 4 | refused (403) |
//! | 5 | unreachable, 429 or 503 when the time was over |
//! | 6 | the server is not trusted |

use std::time::Duration;

use clap::Args;

use super::console;
use super::device::{Device, exit_code};
use super::{Failure, print_json};
use crate::client::renew::{Order, renew};
use crate::client::state::{StateDir, StateError};
use crate::clock::{Clock as _, SystemClock};

const EXIT_CODES: &str = "\
Exit codes:
  0  renewed, or not due yet
  1  failed otherwise
  2  wrong usage
  3  the certificate is not accepted; enroll again
  4  refused
  5  unreachable or busy until the timeout
  6  the server is not trusted";

#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(flatten)]
    device: Device,
    /// Renew also when it is not due
    #[arg(long)]
    force: bool,
    /// Renew with a new key pair; the old certificate is revoked
    #[arg(long)]
    rekey: bool,
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
    let missing = || StateError::NoCertificate { path: device.state_dir.clone() };
    let current = state.certificate()?.ok_or_else(missing)?;
    if !arguments.force && SystemClock.now() < current.renew_after {
        eprintln!("{}", console::not_due(&current));
        return if arguments.json { print_json(&current.record) } else { Ok(()) };
    }
    let order = Order {
        trust: device.trust()?,
        connect: device.connect,
        fingerprint: device.fingerprint.as_ref(),
        rekey: arguments.rekey,
        timeout: Duration::from_secs(arguments.timeout.into()),
        clock: &SystemClock,
    };
    match renew(&state, &order, &mut |event| eprintln!("{}", console::renewal_event(&event))).await {
        Ok((_, record)) => {
            eprintln!("{}", console::renewed(&record));
            if arguments.json { print_json(&record) } else { Ok(()) }
        }
        Err(error) => {
            eprintln!("{}\n{}", console::renewal_error(&error), console::RENEWAL_FAILED);
            Err(Failure::told(exit_code(&error)))
        }
    }
}
