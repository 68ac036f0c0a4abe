//! `muster admin recover`: a way back in for whoever has the store and its master key.

use std::sync::Arc;

use super::AppError;
use super::opened_secrets::open_secrets;
use super::store::{Unobserved, open, open_read_only};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::management::recovery;

pub use crate::management::recovery::Recovered;

/// Gives an owner a new password, enables it, and ends its sessions. An embedded store belongs to one process,
/// so nobody may be serving from it; a shared one is changed beside its nodes, which look at each request
/// whether its session is still good.
///
/// # Errors
/// [`AppError`]; nothing was changed.
pub async fn recover_owner(settings: &Settings, username: Option<&str>) -> Result<Recovered, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Looked at first, so that a wrong directory or database is not made into a store.
    drop(open_read_only(settings).await?);
    let store = open(settings, Arc::clone(&clock), Arc::new(Unobserved)).await?;
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
