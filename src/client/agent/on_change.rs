//! The command that hears of a new certificate.
//!
//! It is run by `/bin/sh -c` in the state directory, with nothing on stdin and the agent's own stdout and stderr. What it may
//! want to know is in its environment:
//!
//! | variable | |
//! |---|---|
//! | `MUSTER_OUTCOME` | `enrolled`, `re-enrolled`, `renewed`, `rekeyed`, `replayed` |
//! | `MUSTER_COMPONENT_ID`, `MUSTER_SERIAL_NUMBER`, `MUSTER_NOT_AFTER` | as in `enrollment.json` |
//! | `MUSTER_STATE_DIR` | the directory |
//! | `MUSTER_CERT_FILE`, `MUSTER_KEY_FILE`, `MUSTER_CHAIN_FILE`, `MUSTER_TRUST_ANCHORS_FILE` | files in it |
//!
//! The provisioning key is not: what the agent got of it in its own environment is taken out.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::timeout;

use crate::client::state::{Current, StateDir};

/// What leads to the provisioning key, or lets others speak for the agent.
const WITHHELD: [&str; 3] = ["CREDENTIALS_DIRECTORY", "MUSTER_PROVISIONING_KEY", "NOTIFY_SOCKET"];

pub struct OnChange {
    /// For `/bin/sh -c`.
    pub command: String,
    /// After it the command is killed, with all that it started.
    pub timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("it could not be started: {0}")]
    NotStarted(#[source] io::Error),
    #[error("it ended with {0}")]
    Failed(ExitStatus),
    #[error("it took longer than {} s and was killed", .0.as_secs())]
    TookTooLong(Duration),
}

impl OnChange {
    /// Runs it to its end. Dropped before, it kills it.
    ///
    /// # Errors
    /// Everything but exit code 0.
    pub async fn run(&self, state: &StateDir, current: &Current) -> Result<(), CommandError> {
        let mut child = self.command(state.path(), current).spawn().map_err(CommandError::NotStarted)?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let status = timeout(self.timeout, child.wait()).await.map_err(|_| CommandError::TookTooLong(self.timeout))?;
        let status = status.map_err(CommandError::NotStarted)?;
        // What it left running in the background is meant to.
        group.0 = None;
        if status.success() { Ok(()) } else { Err(CommandError::Failed(status)) }
    }

    fn command(&self, directory: &Path, current: &Current) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.command).current_dir(directory).stdin(Stdio::null()).process_group(0);
        for name in WITHHELD {
            command.env_remove(name);
        }
        let record = current.record.as_ref();
        command
            .env("MUSTER_STATE_DIR", directory)
            .env("MUSTER_CERT_FILE", directory.join("cert.pem"))
            .env("MUSTER_KEY_FILE", directory.join("key.pem"))
            .env("MUSTER_CHAIN_FILE", directory.join("chain.pem"))
            .env("MUSTER_TRUST_ANCHORS_FILE", directory.join("trust-anchors.pem"))
            .env("MUSTER_SERIAL_NUMBER", &current.serial_number)
            .env("MUSTER_NOT_AFTER", current.not_after.to_string())
            .env("MUSTER_OUTCOME", record.map_or("", |record| &record.outcome))
            .env("MUSTER_COMPONENT_ID", record.map_or("", |record| &record.component_id));
        command
    }
}

/// The command and all that it started, killed on drop.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // Fails only when nobody is left.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}
