//! `muster serve`: runs the service until SIGTERM or SIGINT.

use std::path::{Path, PathBuf};

use clap::Args;
use sd_notify::NotifyState;
use serde_json::{Value, json};

use super::Failure;
use super::connection::SERVE_FILE;
use super::service::{ServiceFlags, tell_beginning};
use super::systemd::{notify, reloading};
use crate::app::{self, Addresses, PassedSockets, Running};
use crate::files::write_durably;
use crate::telemetry::Telemetry;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    service: ServiceFlags,
    /// Appears with the addresses as JSON once every listener accepts; gone after the end
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub async fn run(arguments: Arguments, sockets: PassedSockets) -> Result<(), Failure> {
    let settings = arguments.service.settings()?;
    let telemetry = Telemetry::init(settings.log.format, &settings.log.level.to_string())?;
    let data_dir = settings.data_dir.clone();
    if let Some(path) = &arguments.ready_file {
        remove(path)?; // of a run that was killed
    }
    let signals = app::Signals::listen()?;
    let (running, beginning) = Box::pin(app::start(settings, sockets)).await?;
    let addresses = running.addresses().clone();
    tell_beginning(&beginning, &data_dir);
    let announced = match Announced::write(&addresses, &data_dir, arguments.ready_file) {
        Ok(announced) => announced,
        Err(failure) => {
            running.stop().await;
            return Err(failure);
        }
    };
    let metrics = addresses.metrics.map(|address| format!(", metrics {address}")).unwrap_or_default();
    let up = format!("Muster is up: enrollment {}, management {}{metrics}", addresses.enroll, addresses.admin);
    eprintln!("{up}");
    notify(&[NotifyState::Ready, NotifyState::Status(&up)]);
    let reload = |running: &Running| reloading(|| reload(&arguments.service, running, &telemetry));
    app::run_until_signal(running, signals, reload, || notify(&[NotifyState::Stopping])).await;
    drop(announced);
    Ok(())
}

/// SIGHUP: reads the configuration anew. What cannot be used leaves the old in force.
fn reload(flags: &ServiceFlags, running: &Running, telemetry: &Telemetry) {
    let settings = match flags.read() {
        Ok(loaded) => loaded.settings,
        Err(failure) => return tracing::error!(error = %failure, "The configuration was not reloaded."),
    };
    if let Err(error) = telemetry.set_level(&settings.log.level.to_string()) {
        tracing::error!(%error, "The log level stays as it was.");
    }
    let errors = running.reload(&settings);
    for error in &errors {
        tracing::error!(listener = error.listener, error = %error.source, "A TLS certificate stays as it was.");
    }
    if errors.is_empty() {
        tracing::info!("The configuration was reloaded: TLS files, log level, limits.");
    }
}

/// What `--ready-file` and the commands that look for a running service read.
fn ready_json(addresses: &Addresses) -> Value {
    let mut ready = json!({ "enroll": addresses.enroll, "admin": addresses.admin });
    if let Some(metrics) = addresses.metrics {
        ready["metrics"] = json!(metrics);
    }
    ready["pid"] = json!(std::process::id());
    ready
}

/// The files that say where the service is; removed on drop.
struct Announced(Vec<PathBuf>);

impl Announced {
    fn write(addresses: &Addresses, data_dir: &Path, ready_file: Option<PathBuf>) -> Result<Self, Failure> {
        let text = format!("{}\n", ready_json(addresses));
        let mut written = Self(Vec::with_capacity(2));
        for path in std::iter::once(data_dir.join(SERVE_FILE)).chain(ready_file) {
            write_durably(&path, text.as_bytes(), 0o644)
                .map_err(|error| anyhow::Error::new(error).context(path.display().to_string()))?;
            written.0.push(path);
        }
        Ok(written)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path); // a file that is gone already is as good
        }
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(anyhow::Error::new(error).context(path.display().to_string()).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_file_says_where_and_is_gone_afterwards() {
        let addresses = Addresses {
            enroll: "127.0.0.1:8443".parse().unwrap(),
            admin: "127.0.0.1:8444".parse().unwrap(),
            metrics: Some("127.0.0.1:9090".parse().unwrap()),
        };
        let directory = tempfile::tempdir().unwrap();
        let ready = directory.path().join("ready");
        let announced = Announced::write(&addresses, directory.path(), Some(ready.clone())).unwrap();
        let text = std::fs::read_to_string(&ready).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "enroll": "127.0.0.1:8443", "admin": "127.0.0.1:8444", "metrics": "127.0.0.1:9090",
            "pid": std::process::id(),
        });
        assert_eq!(value, expected);
        assert_eq!(std::fs::read_to_string(directory.path().join(SERVE_FILE)).unwrap(), text);
        drop(announced);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
