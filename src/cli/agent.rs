//! `muster agent`: a daemon that gets this device a certificate and keeps it valid.
//!
//! It ends on SIGTERM and SIGINT, at any point and with exit code 0; SIGHUP renews at once. Exit code 1: it could not
//! begin. Whatever goes wrong afterwards is told, and tried again.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::Failure;
use super::console::{self, Shown};
use super::device::{Device, hostname};
use super::enroll::remove_key_file;
use super::key_source::{self, KEY_FILE_DEFAULT};
use super::systemd::notify;
use crate::client::agent::schedule::Task;
use crate::client::agent::{Agent, AgentError, Event, OnChange, Settings};
use crate::client::state::StateDir;
use crate::clock::{Clock as _, SystemClock};

const AFTER_HELP: &str = "\
Without a certificate it enrolls; from renewAfter on it renews, spread over half of what is left of the certificate's
life. What may pass is tried again within ten minutes, a refusal after an hour. A certificate that is not accepted any
more makes it enroll again with the provisioning key, if there still is one.

SIGHUP renews at once, SIGTERM ends. The command of --on-change finds paths and outcome in its environment
(MUSTER_CERT_FILE, MUSTER_KEY_FILE, MUSTER_OUTCOME, ...) and is run again until it ends with exit code 0.

Examples:
  muster agent --key-file /etc/muster/provision_key --remove-key-file
  muster agent --on-change 'systemctl reload nginx'";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// File with the provisioning key, read when it is needed [default: /etc/muster/provision_key, else
    /// MUSTER_PROVISIONING_KEY, or the systemd credential muster-provisioning-key]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Remove the key file once there is a certificate
    #[arg(long)]
    remove_key_file: bool,
    #[command(flatten)]
    device: Device,
    /// Renew with a new key pair each time; the certificate before is revoked then
    #[arg(long)]
    rekey: bool,
    /// Run this by /bin/sh when there is a new certificate
    #[arg(long, value_name = "COMMAND")]
    on_change: Option<String>,
    /// Seconds that the command may take before it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    on_change_timeout: u32,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.key_file.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage("--key-file: the agent reads the key when it is needed, so it must be a file"));
    }
    let signals = Signals::listen()?;
    say(console::CHECKING);
    let state = StateDir::open(&arguments.device.state_dir)?;
    let mut teller = Teller::new(&arguments);
    let agent = Agent::new(state, settings(arguments)?, Arc::new(SystemClock))?;
    let (wake, wakes) = mpsc::channel(1);
    tokio::spawn(signals.heed(wake));
    notify(&[NotifyState::Ready]);
    agent.run(wakes, &mut |event| teller.tell(&event)).await;
    notify(&[NotifyState::Stopping]);
    Ok(())
}

fn settings(arguments: Arguments) -> anyhow::Result<Settings> {
    let trust = arguments.device.trust()?;
    let Device { connect, fingerprint, .. } = arguments.device;
    let timeout = Duration::from_secs(arguments.on_change_timeout.into());
    let key_file = arguments.key_file;
    Ok(Settings {
        connect,
        trust,
        fingerprint,
        hostname: hostname(),
        rekey: arguments.rekey,
        on_change: arguments.on_change.map(|command| OnChange { command, timeout }),
        find_key: Box::new(move || {
            let found = key_source::find_unattended(key_file.as_deref());
            found.map(|found| found.key).map_err(|error| format!("{error:#}"))
        }),
    })
}

/// Listening from the start, so that none of them ends the process without a word.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be heard");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Wakes the agent on SIGHUP; ends it by dropping what wakes it.
    async fn heed(mut self, wake: mpsc::Sender<()>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    // One that waits already is as good as two.
                    let _ = wake.try_send(());
                }
            }
        }
    }
}

/// Makes events into console lines, and into the state that systemd shows.
struct Teller {
    /// The key that was presented last.
    shown: Option<Shown>,
    /// To be removed once there is a certificate.
    key_file: Option<PathBuf>,
}

impl Teller {
    fn new(arguments: &Arguments) -> Self {
        let key_file = || arguments.key_file.clone().unwrap_or_else(|| KEY_FILE_DEFAULT.into());
        Self { shown: None, key_file: arguments.remove_key_file.then(key_file) }
    }

    fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Holding { current, renewal } => {
                let line = console::holding(current, *renewal);
                status(&line);
                say(&line);
                // A run that was cut short after the certificate had come left it.
                if current.not_after > SystemClock.now() {
                    self.remove_key_file();
                }
            }
            Event::Enrolling { key, fingerprint } => {
                say(console::ATTEMPTING);
                self.shown = Some(Shown::of(key, fingerprint));
            }
            Event::Connecting { task, host, address } => {
                let request = match task {
                    Task::Enroll => "Enroll",
                    Task::Renew => "Renew",
                };
                say(&console::connecting(request, host, *address));
            }
            Event::Changed { task, record } => {
                let line = match task {
                    Task::Enroll => console::enrolled(record),
                    Task::Renew => console::renewed(record),
                };
                status(&line);
                say(&line);
                self.remove_key_file();
            }
            Event::NotRenewed { error } => {
                say(&format!("{}\n{}", self.error(Task::Renew, error), console::RENEWAL_FAILED));
            }
            Event::Failed { task, error, pause } => {
                let failed = match task {
                    Task::Enroll => console::FAILED,
                    Task::Renew => console::RENEWAL_FAILED,
                };
                let line = self.error(*task, error);
                status(&line);
                say(&format!("{line}\n{failed}\n{}", console::trying_again(*pause)));
            }
            Event::ClockDiffers { seconds } => say(&console::clock(*seconds)),
            Event::CommandFailed { error, pause } => {
                say(&format!("error:The command of --on-change failed: {error}\n{}", console::trying_again(*pause)));
            }
        }
    }

    fn error(&self, task: Task, error: &AgentError) -> String {
        match (task, error, &self.shown) {
            (Task::Enroll, AgentError::Endpoint(error), Some(shown)) => shown.error(error),
            (_, AgentError::Endpoint(error), _) => console::renewal_error(error),
            (_, AgentError::Identity(_) | AgentError::Key(_) | AgentError::NoProgress, _) => format!("error:{error}"),
        }
    }

    fn remove_key_file(&self) {
        if let Some(path) = &self.key_file
            && let Err(error) = remove_key_file(path)
        {
            say(&format!("error:{error:#}"));
        }
    }
}

/// A console line. Whoever read them may be gone: that is no reason to end.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What `systemctl status` shows: the text's first line without its class.
fn status(text: &str) {
    let line = text.lines().next().unwrap_or_default();
    let line = line.split_once(':').map_or(line, |(_, line)| line);
    notify(&[NotifyState::Status(line)]);
}
