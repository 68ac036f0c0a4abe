//! The store that the settings name, opened.

use std::sync::Arc;
use std::time::Duration;

use super::AppError;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::{Settings, StoreEngine, StoreSettings};
use crate::store::embedded::{DirectoryLock, EmbeddedStore};
use crate::store::postgres::{PostgresStore, StoreClock};
use crate::store::{BatchSettings, CommitObserver, Store};

/// To be served from, or to be changed; made if there is none.
pub(super) async fn open(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn CommitObserver>,
) -> Result<Arc<dyn Store>, AppError> {
    let batch = batch(&settings.store);
    Ok(match &settings.store.engine {
        StoreEngine::Embedded => EmbeddedStore::open(&settings.data_dir, clock, batch, observer)?,
        StoreEngine::Postgres(database) => PostgresStore::open(database, StoreClock::Database, batch, observer).await?,
    })
}

/// To be looked at in one snapshot, beside those that are serving from it. None is made.
pub(super) async fn open_read_only(settings: &Settings) -> Result<Arc<dyn Store>, AppError> {
    Ok(match &settings.store.engine {
        StoreEngine::Embedded => EmbeddedStore::open_read_only(&settings.data_dir, Arc::new(SystemClock))?,
        StoreEngine::Postgres(database) => PostgresStore::open_read_only(database, StoreClock::Database).await?,
    })
}

/// Keeps a second process off the data directory of a node whose store is elsewhere. An embedded store does that
/// by itself.
pub(super) fn hold_directory(settings: &Settings, now: Timestamp) -> Result<Option<DirectoryLock>, AppError> {
    Ok(match settings.store.engine {
        StoreEngine::Embedded => None,
        StoreEngine::Postgres(_) => Some(hold(settings, now)?),
    })
}

/// Keeps every other process off the data directory, wherever the store is.
pub(super) fn hold(settings: &Settings, now: Timestamp) -> Result<DirectoryLock, AppError> {
    Ok(DirectoryLock::take(&settings.data_dir, now)?)
}

/// For commands that nobody measures.
pub(super) struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: Duration) {}
}

fn batch(settings: &StoreSettings) -> BatchSettings {
    BatchSettings { size_max: settings.batch_size_max, linger: settings.batch_linger, queue_max: settings.queue_max }
}
