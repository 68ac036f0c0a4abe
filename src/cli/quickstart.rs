//! `muster quickstart`: everything once, in a throw-away service, through the same doors as always.
//!
//! Each step says what it does and the command one would type, does it over real TLS, and checks what
//! came of it. A step that does not behave as promised ends the command with exit code 1.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::Failure;
use super::console::{self, Shown};
use super::management::{Management, Resource};
use super::shown::text;
use crate::app::{self, Addresses, AppError, Beginning, FirstStart, PassedSockets, Running};
use crate::client::endpoint::EndpointError;
use crate::client::enroll::{Order, enroll};
use crate::client::state::{Record, StateDir};
use crate::clock::SystemClock;
use crate::config::{Inputs, Settings};
use crate::domain::key_string::{Inspection, KeyString, inspect};
use crate::domain::{Fingerprint, KeySecret, KeyVersion, Kind};
use crate::protocol::enroll::Outcome;
use crate::secret::random_bytes;

/// How many ports are tried. That one is taken in the moment between is rare; five in a row are a sign
/// of something else.
const START_ATTEMPTS_MAX: u32 = 5;

#[derive(Args)]
pub struct Arguments {
    /// End after the last step instead of staying up
    #[arg(long)]
    once: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    // Before there is anything to remove: from here on no signal ends the process where it stands.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let signals = app::Signals::listen()?;
    let directory = TemporaryDirectory::make()?;
    println!("Muster quickstart: a throw-away service in {}", directory.path.display());
    let Started { running, first_start, data_dir } = start(&directory.path, free_port).await?;
    let addresses = running.addresses().clone();
    let shown = tokio::select! {
        shown = Box::pin(show(&directory.path, first_start, &addresses)) => shown,
        _ = interrupt.recv() => Err(anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow!("terminated")),
    };
    if shown.is_err() || arguments.once {
        running.stop().await;
        shown?;
        println!("\nDone; the service was stopped and {} removed.", directory.path.display());
        return Ok(());
    }
    println!("\nThe service stays up:");
    println!("  enrollment  https://localhost:{}", addresses.enroll.port());
    println!("  management  https://localhost:{}", addresses.admin.port());
    if let Some(metrics) = addresses.metrics {
        println!("  metrics     http://{metrics}/metrics");
    }
    println!("Manage it with: muster key list --data-dir {}", data_dir.display());
    println!("Ctrl-C to stop; everything is removed then.");
    app::run_until_signal(running, signals, |_| (), || ()).await;
    Ok(())
}

/// The service of this command.
struct Started {
    running: Running,
    first_start: FirstStart,
    data_dir: PathBuf,
}

/// Starts the service below `directory`. Keys name the port, so it must be known before the listener
/// exists, and another process may take it in between: then all is made anew for another port.
async fn start(directory: &Path, mut port: impl FnMut() -> io::Result<u16>) -> anyhow::Result<Started> {
    let mut attempt = 1;
    loop {
        // A new one each time: the first start wrote the port into the one before.
        let data_dir = directory.join(format!("data-{attempt}"));
        match Box::pin(app::start(settings(&data_dir, port()?)?, PassedSockets::default())).await {
            Ok((running, Beginning::First(first_start))) => return Ok(Started { running, first_start, data_dir }),
            Ok(_) => bail!("an empty directory has no first start"),
            Err(AppError::Listen { source, .. })
                if source.kind() == io::ErrorKind::AddrInUse && attempt < START_ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Free at this moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Loopback, nothing of this process's environment, and the master key in the data directory.
fn settings(data_dir: &Path, port: u16) -> anyhow::Result<Settings> {
    let flags = vec![
        ("--data-dir", "data_dir", data_dir.display().to_string()),
        ("--cloud", "cloud", format!("localhost:{port}")),
        ("--enroll-listen", "enroll.listen", format!("127.0.0.1:{port}")),
        ("--admin-listen", "admin.listen", "127.0.0.1:0".to_owned()),
        ("--metrics-listen", "metrics.listen", "127.0.0.1:0".to_owned()),
        ("", "log.level", "error".to_owned()),
    ];
    Ok(Inputs { flags, ..Inputs::default() }.load()?.settings)
}

async fn show(directory: &Path, first_start: FirstStart, addresses: &Addresses) -> anyhow::Result<()> {
    check(&format!("service up: enrollment {}, management {}", addresses.enroll, addresses.admin));
    check(&format!("first start: customer {}, certificates, an administrator, an API client", first_start.customer_id));
    let management = Management::of_first_start(&first_start, addresses.admin).await.context("signing in")?;
    check("signed in to the management API");
    let stage = Stage { directory, management };

    title("A group and a key of each kind");
    let mut keys = Vec::with_capacity(Kind::ALL.len());
    for kind in Kind::ALL {
        keys.push(stage.make_key(kind).await.with_context(|| format!("group and key of kind {kind}"))?);
    }
    title("Four devices enroll");
    let mut records = Vec::with_capacity(keys.len());
    for key in &keys {
        records.push(stage.first_enrollment(key).await.with_context(|| format!("enrollment of a {}", key.kind))?);
    }
    let ([connector, .., machine], [.., machine_record]) = (&keys[..], &records[..]) else {
        bail!("there are four kinds")
    };
    title("The answer was lost: the device asks again");
    stage.replay(machine, machine_record).await.context("replay")?;
    title("The machine was installed anew: same hardware, new key pair");
    stage.re_enrollment(machine, machine_record).await.context("re-enrollment")?;
    title("A second device with a key for one");
    stage.exhausted(connector).await.context("exhausted key")?;
    title("A key that was not copied whole");
    stage.damaged(machine).await.context("damaged key")?;
    title("A key that nobody made");
    stage.unknown(machine).await.context("unknown key")?;
    Ok(())
}

/// A provisioning key as the steps need it.
struct Key {
    kind: Kind,
    id: String,
    secret: KeySecret,
}

struct Stage<'a> {
    directory: &'a Path,
    management: Management,
}

impl Stage<'_> {
    async fn make_key(&self, kind: Kind) -> anyhow::Result<Key> {
        let group_name = format!("Quickstart {kind}");
        command(&format!("muster group create --kind {kind} --name \"{group_name}\""));
        let group =
            self.management.create(Resource::Group(kind), &json!({ "name": group_name, "enabled": true })).await?;

        let maximum = if kind.requires_maximum() { " --max-uses 1" } else { "" };
        command(&format!(
            "muster key create --kind {kind} --group \"{group_name}\" --name {kind}{maximum} > {kind}.key"
        ));
        let mut order = json!({ "name": kind, "zcomponentId": group["id"], "enabled": true, "exportable": true });
        if kind.requires_maximum() {
            order["maxUsage"] = json!("1");
        }
        let made = self.management.create(Resource::Key(kind), &order).await?;
        let secret = KeySecret::from_text(Zeroizing::new(text(&made, "provisioningKey")));
        let hint = KeyString::parse(secret.expose()).context("what was made is no key string")?.hint();
        check(&format!("group {}, key {hint}", text(&group, "id")));
        Ok(Key { kind, id: text(&made, "id"), secret })
    }

    async fn first_enrollment(&self, key: &Key) -> anyhow::Result<Record> {
        let kind = key.kind;
        let (outcome, record) =
            self.device(&format!("{kind}-1"), &file_of(kind), &fingerprint_of(kind, 1), &key.secret).await??;
        ensure!(outcome == Outcome::Enrolled, "the outcome is {}", outcome.as_str());
        ensure!(record.kind == kind.as_str(), "the answer says {}", record.kind);
        ensure!(record.component_name == format!("{kind}-1"), "the component is called {}", record.component_name);
        self.expect_uses(key, 1).await?;
        check(&format!("{} has its certificate, serial number {}", record.component_name, record.serial_number));
        Ok(record)
    }

    async fn replay(&self, key: &Key, first: &Record) -> anyhow::Result<()> {
        let name = format!("{}-1", key.kind);
        std::fs::remove_file(self.directory.join(&name).join("cert.pem"))?;
        let (outcome, record) =
            self.device(&name, &file_of(key.kind), &fingerprint_of(key.kind, 1), &key.secret).await??;
        ensure!(outcome == Outcome::Replayed, "the outcome is {}", outcome.as_str());
        ensure!(record.serial_number == first.serial_number, "the serial number is {}", record.serial_number);
        self.expect_uses(key, 1).await?;
        check("the same certificate again, and no use taken");
        Ok(())
    }

    async fn re_enrollment(&self, key: &Key, first: &Record) -> anyhow::Result<()> {
        let (name, fingerprint) = (format!("{}-1-anew", key.kind), fingerprint_of(key.kind, 1));
        let file = file_of(key.kind);
        let refused = self.device(&name, &file, &fingerprint, &key.secret).await?;
        expect_refusal(&refused, 403, "reenrollment-not-allowed")?;
        check("refused, as the key does not allow it");

        command(&format!("muster key edit --kind {} {} --allow-re-enrollment", key.kind, key.kind));
        self.management.edit(Resource::Key(key.kind), &key.id, &json!({ "allowReEnrollment": true })).await?;
        let (outcome, record) = self.device(&name, &file, &fingerprint, &key.secret).await??;
        ensure!(outcome == Outcome::ReEnrolled, "the outcome is {}", outcome.as_str());
        ensure!(record.component_id == first.component_id, "the component is {}", record.component_id);
        ensure!(record.serial_number != first.serial_number, "the serial number stayed");
        self.expect_uses(key, 1).await?;
        check("the same component with a new certificate; the old one is revoked, no use taken");
        Ok(())
    }

    async fn exhausted(&self, key: &Key) -> anyhow::Result<()> {
        let refused = self
            .device(&format!("{}-2", key.kind), &file_of(key.kind), &fingerprint_of(key.kind, 2), &key.secret)
            .await?;
        expect_refusal(&refused, 403, "key-exhausted")?;
        self.expect_uses(key, 1).await?;
        check("refused: the key's one use is taken");
        Ok(())
    }

    async fn damaged(&self, key: &Key) -> anyhow::Result<()> {
        let whole = key.secret.expose();
        let cut = KeySecret::from_text(Zeroizing::new(whole[..whole.len() - 1].to_owned()));
        let refused = self.device("damaged", "damaged.key", &fingerprint_of(key.kind, 3), &cut).await?;
        ensure!(matches!(refused, Err(EndpointError::DamagedKey)), "the cut key was not noticed");
        check("noticed by the device, no connection made");
        Ok(())
    }

    async fn unknown(&self, key: &Key) -> anyhow::Result<()> {
        let Inspection::Usable { cloud, pin } = inspect(key.secret.expose()) else { bail!("the key is damaged") };
        let unknown = KeySecret::generate(KeyVersion::Bootstrap, &cloud, pin);
        let refused = self.device("unknown", "unknown.key", &fingerprint_of(key.kind, 4), &unknown).await?;
        expect_refusal(&refused, 401, "invalid-key")?;
        check("refused; the line above is what a field engineer sees");
        Ok(())
    }

    /// `muster enroll` without the process around it. The outer error is a failure of this machine, the
    /// inner one what the device would end with.
    async fn device(
        &self,
        name: &str,
        key_file: &str,
        fingerprint: &Fingerprint,
        key: &KeySecret,
    ) -> anyhow::Result<Result<(Outcome, Record), EndpointError>> {
        let directory = self.directory.join(name);
        command(&format!("muster enroll --key-file {key_file} --state-dir {name} --fingerprint {fingerprint}"));
        let state = StateDir::open(&directory)?;
        let order = Order {
            key,
            fingerprint,
            connect: None,
            trust: None,
            hostname: Some(name),
            timeout: Duration::from_secs(10),
            clock: &SystemClock,
        };
        let shown = Shown::of(key, fingerprint);
        let mut lines = vec![console::CHECKING.to_owned(), console::ATTEMPTING.to_owned()];
        let result = enroll(&state, &order, &mut |event| lines.push(shown.event(&event))).await;
        match &result {
            Ok((_, record)) => lines.push(console::enrolled(record)),
            Err(error) => lines.extend([shown.error(error), console::FAILED.to_owned()]),
        }
        lines.iter().for_each(|line| println!("     {line}"));
        Ok(result.map(|(answer, record)| (answer.outcome, record)))
    }

    async fn expect_uses(&self, key: &Key, expected: u32) -> anyhow::Result<()> {
        let found = self.management.get(Resource::Key(key.kind), &key.id).await?;
        let uses = text(&found, "usageCount");
        ensure!(uses == expected.to_string(), "the key counts {uses} uses, {expected} was expected");
        Ok(())
    }
}

fn expect_refusal<T>(result: &Result<T, EndpointError>, status: u16, code: &str) -> anyhow::Result<()> {
    match result {
        Err(EndpointError::Refused(refused)) if refused.status == status && refused.code.as_deref() == Some(code) => {
            Ok(())
        }
        Err(error) => Err(anyhow!("refused otherwise than with {status} {code}: {error}")),
        Ok(_) => Err(anyhow!("enrolled, where {status} {code} was expected")),
    }
}

fn fingerprint_of(kind: Kind, number: u32) -> Fingerprint {
    Fingerprint::new(&format!("quickstart-{kind}-{number}")).expect("letters, digits and hyphens, 20 or more")
}

/// Where the commands shown would put the key string.
fn file_of(kind: Kind) -> String {
    format!("{kind}.key")
}

fn title(text: &str) {
    println!("\n{text}");
}

fn command(text: &str) {
    println!("   $ {text}");
}

fn check(text: &str) {
    println!("   \u{2713} {text}");
}

/// Removed with all that is in it on drop.
struct TemporaryDirectory {
    path: PathBuf,
}

impl TemporaryDirectory {
    fn make() -> anyhow::Result<Self> {
        let suffix = u64::from_le_bytes(*random_bytes::<8>());
        let path = std::env::temp_dir().join(format!("muster-quickstart-{suffix:016x}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path })
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("warning: {} is left: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_port_that_was_taken_meanwhile_is_given_up_for_another() {
        let directory = TemporaryDirectory::make().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken_port = taken.local_addr().unwrap().port();
        let mut first = Some(taken_port);
        let port = || first.take().map_or_else(free_port, Ok);
        let Started { running, first_start, data_dir } = start(&directory.path, port).await.unwrap();
        let bound = running.addresses().enroll.port();
        assert_ne!(bound, taken_port);
        let management = Management::of_first_start(&first_start, running.addresses().admin).await.unwrap();
        let stage = Stage { directory: &directory.path, management };
        let key = stage.make_key(Kind::Machine).await.unwrap();
        assert!(key.secret.expose().contains(&format!("|localhost:{bound}|")), "the key names another port");
        assert!(data_dir.starts_with(&directory.path));
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_port_that_stays_taken_ends_the_command() {
        let directory = TemporaryDirectory::make().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut asked = 0;
        let port = || {
            asked += 1;
            Ok(taken.local_addr()?.port())
        };
        assert!(start(&directory.path, port).await.is_err());
        assert_eq!(asked, START_ATTEMPTS_MAX);
    }
}
