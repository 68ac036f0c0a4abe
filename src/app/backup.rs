//! `muster backup`: all of a store in one file, made while it is served from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::AppError;
use super::opened_secrets::open_secrets;
use super::store::open_read_only;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::{Settings, StoreEngine};
use crate::files::write_durably;
use crate::store::backup::{BackupError, Digest, Manifest, Unfinished};
use crate::store::{StoreError, embedded, transfer};

/// Beside the store, whose last backup it tells of.
const LAST_BACKUP_FILE: &str = "last-backup.json";

/// A backup that was made.
#[derive(Debug)]
pub struct BackedUp {
    pub file: PathBuf,
    pub bytes: u64,
    pub digest: Digest,
    pub manifest: Manifest,
    /// Whether the data directory knows of it; the backup is good either way.
    pub remembered: io::Result<()>,
}

/// What the data directory remembers of its last backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastBackup {
    pub made_at: Timestamp,
    pub file: PathBuf,
    /// 64 lower-case hex digits.
    pub digest: String,
}

impl LastBackup {
    /// `None`: none was made by this version or a later one, or what is there cannot be read.
    pub fn find(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(data_dir)).ok()?).ok()
    }

    pub(super) fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(LAST_BACKUP_FILE)
    }
}

/// Copies the store as of one moment, checks the copy as the doctor does, and seals it. Works beside a running service, as
/// the doctor does (docs/decisions/0006). `output`: the file, or a directory, in which it is named after the moment.
/// A backup with findings is made all the same: it may be the best there will be.
///
/// # Errors
/// [`AppError`]; what stood at `output` is as it was.
pub async fn backup(settings: &Settings, output: &Path) -> Result<BackedUp, AppError> {
    let secrets = {
        let store = open_read_only(settings).await?;
        open_secrets(&*store, settings).await?
    };
    let made_at = SystemClock.now();
    let file = if output.is_dir() { output.join(name_of(made_at)) } else { output.to_owned() };
    let unfinished = Unfinished::begin(&file)?;
    match &settings.store.engine {
        StoreEngine::Embedded => {
            let (data_dir, target) = (settings.data_dir.clone(), unfinished.database().to_owned());
            off_the_async_threads(move || embedded::copy_database(&data_dir, &target)).await??;
        }
        StoreEngine::Postgres(database) => transfer::export(database, unfinished.database()).await?,
    }
    let engine = settings.store.engine.as_str().to_owned();
    let sealed = off_the_async_threads(move || -> Result<_, AppError> {
        let examined = embedded::examine(unfinished.database(), &secrets.audit_key)?;
        let manifest = Manifest {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            made_at,
            engine,
            schema: examined.schema,
            counts: examined.counts,
            findings: examined.findings.iter().map(ToString::to_string).collect(),
        };
        let (digest, bytes) = unfinished.finish(&manifest)?;
        Ok((manifest, digest, bytes))
    });
    let (manifest, digest, bytes) = sealed.await??;
    let file = fs::canonicalize(&file).map_err(|source| BackupError::Io { path: file, source })?;
    let last = LastBackup { made_at, file: file.clone(), digest: digest.to_string() };
    Ok(BackedUp { file, bytes, digest, manifest, remembered: remember(&settings.data_dir, &last) })
}

/// `muster-2026-11-20T16-06-00Z.backup`: no colons, which some file systems do not take.
fn name_of(made_at: Timestamp) -> String {
    format!("muster-{}.backup", made_at.to_string().replace(':', "-"))
}

fn remember(data_dir: &Path, last: &LastBackup) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(last)?;
    write_durably(&LastBackup::path(data_dir), &text, 0o600)
}

/// For what reads a whole store.
pub(super) async fn off_the_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AppError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| StoreError::Unavailable { reason: panic.to_string() }.into())
}
