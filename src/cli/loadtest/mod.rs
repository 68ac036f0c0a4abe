//! `muster loadtest`: a boot storm against a real service.
//!
//! | exit | |
//! |---|---|
//! | 0 | every device is in |
//! | 1 | some are not, or failed otherwise |
//! | 2 | wrong usage, or nobody could be asked |
//! | 3 | a key is damaged; no connection was made |
//! | 5, 6 | the service is unreachable or not trusted; no device was sent |

mod bar;
mod report;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::HumanCount;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use self::bar::Bar;
use super::confirmation::Confirmation;
use super::connection::trust_of_file;
use super::device::exit_code;
use super::key_source;
use super::{Failure, print, print_json};
use crate::client::http::HostPort;
use crate::client::load::{Arrivals, Load, LoadKey, LoadName, Report, Source, Spacing};
use crate::clock::SystemClock;

/// Of the limit of open files, what is left for everything but connections.
const FILES_RESERVED: u64 = 64;

const AFTER_HELP: &str = "\
Either so many devices at a time (--concurrency), which finds the highest throughput, or so many per second
(--rate), whatever becomes of those before, which finds how long devices wait at that rate.

Key pairs and CSRs are made ahead, up to 16,384 of them before the clock starts, and are no part of a latency.

Examples:
  muster loadtest --key-file key --devices 1000
  muster loadtest --key-file key --rate 200 --duration 60 --ramp 10 --report report.json
  muster loadtest --key-file keys --devices 5000 --concurrency 5000 --from 127.1.0.0/24 --yes

Exit codes:
  0  every device is in
  1  some are not, or failed otherwise
  2  wrong usage, or nobody could be asked
  3  a key is damaged (no connection was made)
  5  the service is unreachable (no device was sent)
  6  the service is not trusted (no device was sent)";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// File with provisioning keys, one per line, - for stdin; may be repeated, devices take the keys
    /// in turn [default: where `muster enroll` finds its key]
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// Connect there instead, in turn if repeated; the server must still prove to be the key's cloud
    #[arg(long, value_name = "HOST:PORT")]
    connect: Vec<HostPort>,
    /// PEM file with the CA to trust instead of what the keys say
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How many devices [default: as many as begin in the duration]
    #[arg(long, value_name = "N", required_unless_present = "duration",
          value_parser = clap::value_parser!(u64).range(1..))]
    devices: Option<u64>,
    /// So many devices at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_concurrency)]
    concurrency: usize,
    /// So many devices per second, whatever becomes of those before
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "concurrency", value_parser = parse_rate)]
    rate: Option<f64>,
    /// How the devices of a rate are spread
    #[arg(long, default_value = "poisson", requires = "rate")]
    spacing: SpacingArgument,
    /// Seconds in which the rate, or the number at a time, rises from nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    ramp: u32,
    /// Seconds after which no further device begins
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    duration: Option<u32>,
    /// Seconds each device goes on while the service is unreachable or busy; 0: one attempt
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u32,
    /// One attempt per device
    #[arg(long, conflicts_with = "timeout")]
    no_retry: bool,
    /// Addresses or networks of this machine to call from, in turn, e.g. 127.1.0.0/24: as many sites
    #[arg(long, value_name = "ADDR|CIDR", value_delimiter = ',')]
    from: Vec<Source>,
    /// What fingerprints and hostnames carry; the same name again means the same devices with new key
    /// pairs, which re-enroll if the key allows it [default: random]
    #[arg(long)]
    name: Option<LoadName>,
    /// Write the report to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

#[derive(Clone, Copy, ValueEnum)]
enum SpacingArgument {
    /// Each independent of the others
    Poisson,
    /// At the same distance
    Even,
}

impl Arguments {
    fn arrivals(&self) -> Arrivals {
        let spacing = match self.spacing {
            SpacingArgument::Even => Spacing::Even,
            SpacingArgument::Poisson => Spacing::Poisson,
        };
        match self.rate {
            Some(rate_per_second) => Arrivals::Open { rate_per_second, spacing },
            None => Arrivals::Closed { concurrency: self.concurrency },
        }
    }
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let keys = keys(&arguments)?;
    let name = arguments.name.clone().unwrap_or_else(LoadName::random);
    arguments.confirmation.ask(&question(&arguments, &name, &keys))?;
    let load = Load {
        name: name.clone(),
        keys,
        connect: arguments.connect.clone(),
        sources: arguments.from.iter().copied().collect(),
        arrivals: arguments.arrivals(),
        ramp: seconds(arguments.ramp),
        devices: arguments.devices,
        duration: arguments.duration.map(seconds),
        timeout: if arguments.no_retry { Duration::ZERO } else { seconds(arguments.timeout) },
        connections_max: connections_max(),
    };
    if let Arrivals::Closed { concurrency } = load.arrivals
        && concurrency > load.connections_max
    {
        eprintln!(
            "warning: only {} of {concurrency} devices can be connected at once: raise the limit of open files (ulimit -n)",
            load.connections_max
        );
    }
    let (planned, duration) = (load.devices, load.duration);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let load = load.check().await.map_err(|error| Failure {
        code: exit_code(&error),
        error: Some(anyhow::Error::new(error).context("no device was sent")),
    })?;
    if let Some(path) = &arguments.report {
        require_writable(path)?;
    }
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let mut bar = Bar::new(planned, duration);
    let report = load.run(&SystemClock, stop, &mut |progress| bar.show(progress)).await;
    bar.clear();
    if let Some(path) = &arguments.report {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    if arguments.json { print_json(&report) } else { print(report::text(&report)) }?;
    epilogue(&report, &name);
    if report.is_complete() { Ok(()) } else { Err(Failure::told(1)) }
}

fn keys(arguments: &Arguments) -> Result<Vec<LoadKey>, Failure> {
    let trust = arguments.ca_file.as_deref().map(trust_of_file).transpose()?;
    let secrets = key_source::find_all(&arguments.key_file)?;
    let count = secrets.len();
    let mut keys = Vec::with_capacity(count);
    for (at, secret) in secrets.into_iter().enumerate() {
        let mut key = LoadKey::of(secret).map_err(|error| {
            let error = anyhow::Error::new(error).context(format!("key {} of {count}", at + 1));
            Failure { code: 3, error: Some(error) }
        })?;
        if let Some(trust) = &trust {
            key.trust = trust.clone();
        }
        keys.push(key);
    }
    Ok(keys)
}

/// What it will do to the service.
fn question(arguments: &Arguments, name: &LoadName, keys: &[LoadKey]) -> String {
    let how_many = match (arguments.devices, arguments.duration, arguments.rate) {
        (Some(devices), ..) => format!("up to {}", HumanCount(devices)),
        (None, Some(duration), Some(rate)) => {
            format!("about {}", HumanCount((f64::from(duration) * rate).ceil() as u64))
        }
        _ => "as many as it can".to_owned(),
    };
    let mut clouds: Vec<_> = keys.iter().map(|key| key.cloud.as_str()).collect();
    clouds.sort_unstable();
    clouds.dedup();
    let (clouds, prefix) = (clouds.join(", "), name.prefix());
    let keys = if keys.len() == 1 { "the key".to_owned() } else { format!("{} keys", keys.len()) };
    format!(
        "WARNING: this makes real components on {clouds}, {how_many}, and takes a use of {keys} for each. Their fingerprints \
         and hostnames begin with {prefix}."
    )
}

/// How to find what was made, and why the figures may mislead.
fn epilogue(report: &Report, name: &LoadName) {
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    if report.devices.enrolled > 0 {
        eprintln!(
            "The components that were made: muster component list --search \"fingerprint STARTSWITH {}\"\n\
             If they have a group of their own, they go with it: muster group delete --force GROUP",
            name.prefix()
        );
    }
}

/// Before the storm, so that a report that cannot be written is noticed in time. What is there stays until there is
/// another.
fn require_writable(path: &Path) -> anyhow::Result<()> {
    File::options().create(true).append(true).open(path).with_context(|| path.display().to_string())?;
    Ok(())
}

/// Raises the limit of open files as far as this process may; how many connections that leaves.
fn connections_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let connections = files.unwrap_or(u64::MAX).saturating_sub(FILES_RESERVED).max(1);
    usize::try_from(connections).map_or(Semaphore::MAX_PERMITS, |connections| connections.min(Semaphore::MAX_PERMITS))
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

fn parse_concurrency(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=Semaphore::MAX_PERMITS).contains(number));
    number.ok_or_else(|| "a number of devices, at least 1, was expected".to_owned())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number of devices per second above 0 was expected, e.g. 200 or 0.5".to_owned())
}
