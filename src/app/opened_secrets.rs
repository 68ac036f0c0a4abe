//! What a first start sealed, opened for a command that works on the data directory itself.

use super::{AppError, master_key};
use crate::config::Settings;
use crate::management::first_start::{SETTING_INITIALIZED_AT, ServiceSecrets, load_secrets};
use crate::management::sealing;
use crate::secret::master::MasterKeys;
use crate::store::Store;

/// The service's secrets out of `store`, opened with the master key of `settings`.
///
/// # Errors
/// [`AppError::Uninitialized`] when no first start was finished there; otherwise what is wrong with the
/// master key, the store or what was sealed.
pub async fn open_secrets(store: &dyn Store, settings: &Settings) -> Result<ServiceSecrets, AppError> {
    if store.find_setting(SETTING_INITIALIZED_AT).await?.is_none() {
        return Err(AppError::Uninitialized);
    }
    let master_keys = master_key::load(settings)?;
    Ok(load_secrets(store, &master_keys).await?)
}

/// The master keys of `settings` for a command that seals something for `store`: by the one that the store says.
///
/// # Errors
/// [`AppError`]: what is wrong with the file, or that it lacks that master key.
pub async fn open_master_keys(store: &dyn Store, settings: &Settings) -> Result<MasterKeys, AppError> {
    let master_keys = master_key::load(settings)?;
    sealing::follow(store, &master_keys).await?;
    Ok(master_keys)
}
