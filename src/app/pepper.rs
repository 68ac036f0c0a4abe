//! `muster pepper`: the peppers, for whoever has the store and its master key.

use std::sync::Arc;

use super::AppError;
use super::opened_secrets::{open_master_keys, open_secrets};
use super::store::{Unobserved, open, open_read_only};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::domain::Actor;
use crate::management::peppers::{self, PepperReport, PepperStep};

/// What is under which pepper. Works beside a running service, as the doctor does (docs/decisions/0006).
///
/// # Errors
/// [`AppError`].
pub async fn show_peppers(settings: &Settings) -> Result<PepperReport, AppError> {
    let store = open_read_only(settings).await?;
    peppers::show(&*store).await.map_err(AppError::Pepper)
}

/// Takes a step in the store itself. An embedded store belongs to one process; a shared one is changed beside its nodes,
/// which learn of it as of any change. Digests are moved by those who serve.
///
/// # Errors
/// [`AppError`]; nothing was changed. [`AppError::Open`] with
/// [`OpenError::Locked`](crate::store::embedded::OpenError::Locked): the service runs, ask it.
pub async fn take_pepper_step(settings: &Settings, step: PepperStep) -> Result<PepperReport, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Looked at first, so that a wrong directory or database is not made into a store.
    drop(open_read_only(settings).await?);
    let store = open(settings, Arc::clone(&clock), Arc::new(Unobserved)).await?;
    let (secrets, master_keys) = (open_secrets(&*store, settings).await?, open_master_keys(&*store, settings).await?);
    let by = (&Actor::system(), clock.now());
    let taken = peppers::take_step(&*store, &master_keys, &secrets.audit_key, by, step).await;
    store.close().await;
    taken.map_err(AppError::Pepper)
}
