//! `muster admin recover`: a way back in for whoever has the data directory and its master key.

use std::sync::Arc;

use super::AppError;
use super::opened_secrets::open_secrets;
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::management::recovery;
use crate::store::embedded::EmbeddedStore;
use crate::store::{BatchSettings, CommitObserver, Store};

pub use crate::management::recovery::Recovered;

/// Gives an owner a new password, enables it, and ends its sessions. Takes the store's lock: nobody may
/// be serving, for what is changed here is announced to no running node.
///
/// # Errors
/// [`AppError`]; nothing was changed.
pub async fn recover_owner(settings: &Settings, username: Option<&str>) -> Result<Recovered, AppError> {
    struct Unobserved;
    impl CommitObserver for Unobserved {
        fn observe_commit(&self, _: usize, _: std::time::Duration) {}
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Looked at first, so that a wrong directory is not made into a store.
    drop(EmbeddedStore::open_read_only(&settings.data_dir, Arc::clone(&clock))?);
    let batch = BatchSettings::default();
    let store = EmbeddedStore::open(&settings.data_dir, Arc::clone(&clock), batch, Arc::new(Unobserved))?;
    let secrets = open_secrets(&*store, settings).await?;
    let recovered = recovery::recover_owner(&*store, &secrets.audit_key, &*clock, username).await;
    store.close().await;
    match recovered.map_err(AppError::Recover)? {
        recovery::Outcome::Recovered(recovered) => Ok(recovered),
        recovery::Outcome::NoSuchOwner { owners } => {
            let username = username.unwrap_or_default().to_owned();
            Err(AppError::NoOwner { username, owners: owners.join(", ") })
        }
    }
}
