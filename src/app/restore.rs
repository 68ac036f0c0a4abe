//! `muster restore`: a backup becomes the store of a data directory that has none, or of an empty database.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::AppError;
use super::backup::off_the_async_threads;
use super::opened_secrets::{open_master_keys, open_secrets};
use super::store::{Unobserved, hold};
use crate::clock::{Clock, SystemClock};
use crate::config::{Settings, StoreEngine};
use crate::files::{make_directory, rename_durably};
use crate::management::restored::{Origin, settle};
use crate::store::backup::{Digest, Manifest, unpack};
use crate::store::embedded::{EmbeddedStore, FILE_NAME, fold_log};
use crate::store::{BatchSettings, Store as _, transfer};

/// In the data directory: a store that is not in its place yet.
const STAGING: &str = "restore.partial";

/// A backup that was put in place.
#[derive(Debug)]
pub struct Restored {
    pub digest: Digest,
    pub manifest: Manifest,
    /// What is not as it should be, and was accepted.
    pub findings: Vec<String>,
}

/// Takes the store out of a backup, opens it with the master key, checks it as the doctor does, settles what must not go on
/// as it was ([`settle`]), and only then puts it in its place. Broken off before, it leaves no store; begun anew, it
/// begins from the start.
///
/// `accept_findings`: puts it in place whatever the check finds. Not possible for a database, which takes in what is
/// sound only.
///
/// # Errors
/// [`AppError`].
pub async fn restore(settings: &Settings, backup: &Path, accept_findings: bool) -> Result<Restored, AppError> {
    let data_dir = &settings.data_dir;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    make_directory(data_dir).map_err(|source| AppError::DataDirectory { path: data_dir.clone(), source })?;
    let lock = hold(settings, clock.now())?;
    let place = data_dir.join(FILE_NAME);
    if settings.store.engine == StoreEngine::Embedded {
        require_no_store(data_dir)?;
    }
    let staging = data_dir.join(STAGING);
    let (from, into) = (backup.to_owned(), staging.clone());
    let (manifest, digest) = off_the_async_threads(move || unpack(&from, &into, FILE_NAME)).await??;
    let staged = Staged(&staging);

    let store = EmbeddedStore::open(&staging, Arc::clone(&clock), BatchSettings::default(), Arc::new(Unobserved))?;
    let secrets = open_secrets(&*store, settings).await?;
    let findings = store.check_integrity(&secrets.audit_key).await?;
    if !findings.is_empty() && !accept_findings {
        let findings = findings.iter().map(ToString::to_string).collect();
        return Err(AppError::UnsoundBackup { findings });
    }
    let origin = Origin { made_at: manifest.made_at, digest: digest.to_string() };
    let master_keys = open_master_keys(&*store, settings).await?;
    let settled = settle(&*store, &master_keys, &secrets.audit_key, &*clock, &origin).await;
    store.close().await;
    drop(store);
    settled.map_err(AppError::Restore)?;
    match &settings.store.engine {
        StoreEngine::Embedded => {
            let staged = staging.join(FILE_NAME);
            fold_log(&staged)?;
            put_in_place(&staged, &place).map_err(|source| AppError::File { path: place, source })?;
        }
        StoreEngine::Postgres(database) => {
            transfer::import(&staging, database, &secrets.audit_key, clock.now(), |_| ()).await?;
        }
    }
    drop(staged);
    drop(lock);
    Ok(Restored { digest, manifest, findings: findings.iter().map(ToString::to_string).collect() })
}

/// A log that is left of another store would be taken for this one's.
fn require_no_store(data_dir: &Path) -> Result<(), AppError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = data_dir.join(format!("{FILE_NAME}{suffix}"));
        if path.try_exists().map_err(|source| AppError::UnreadableFile { path: path.clone(), source })? {
            return Err(AppError::NotEmpty { path });
        }
    }
    Ok(())
}

fn put_in_place(staged: &Path, place: &Path) -> io::Result<()> {
    File::open(staged)?.sync_all()?;
    rename_durably(staged, place)
}

/// Removed when nobody needs it any more, however that came.
struct Staged<'a>(&'a Path);

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(self.0) {
            tracing::warn!(path = %self.0.display(), %error, "What is left of a restoration could not be removed.");
        }
    }
}
