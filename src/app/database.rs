//! `muster db`: the schema of a shared store, and an embedded store on its way into one.

use std::path::Path;
use std::sync::Arc;

use super::AppError;
use super::opened_secrets::open_secrets;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Settings, StoreEngine};
use crate::store::embedded::EmbeddedStore;
use crate::store::postgres::PostgresStore;
use crate::store::transfer;

pub use crate::store::postgres::Migrated;
pub use crate::store::transfer::{Imported, Progress};

/// Brings a shared store's schema up to date; its nodes may go on meanwhile. `None`: the store is an embedded one,
/// which does that when it is opened.
///
/// # Errors
/// [`AppError`]; nothing was changed.
pub async fn migrate_database(settings: &Settings) -> Result<Option<Migrated>, AppError> {
    match &settings.store.engine {
        StoreEngine::Embedded => Ok(None),
        StoreEngine::Postgres(database) => Ok(Some(PostgresStore::migrate(database).await?)),
    }
}

/// Copies the embedded store in the data directory `from` into the empty database of `settings`, with whose master key
/// its secrets must open: the nodes to come have that one. The old store is put aside.
///
/// # Errors
/// [`AppError`]; [`AppError::Import`] says what is where.
pub async fn import(settings: &Settings, from: &Path, tell: impl FnMut(Progress)) -> Result<Imported, AppError> {
    let StoreEngine::Postgres(database) = &settings.store.engine else { return Err(AppError::NoDatabase) };
    let secrets = {
        let source = EmbeddedStore::open_read_only(from, Arc::new(SystemClock))?;
        open_secrets(&*source, settings).await?
    };
    Ok(transfer::import(from, database, &secrets.audit_key, SystemClock.now(), tell).await?)
}
