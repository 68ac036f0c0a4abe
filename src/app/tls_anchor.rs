//! `muster tls-anchor`: the service's TLS trust anchor, for whoever has the store and its master key.

use std::sync::Arc;

use super::opened_secrets::{open_master_keys, open_secrets};
use super::store::{Unobserved, open, open_read_only};
use super::{AppError, master_key};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::domain::Actor;
use crate::management::tls_anchor::{self, RollStep, TlsAnchor};

/// The anchor as the store has it. Works beside a running service, as the doctor does (docs/decisions/0006).
///
/// # Errors
/// [`AppError`].
pub async fn show_tls_anchor(settings: &Settings) -> Result<TlsAnchor, AppError> {
    let store = open_read_only(settings).await?;
    let master_keys = master_key::load(settings)?;
    tls_anchor::show(&*store, &master_keys).await.map_err(AppError::TlsAnchor)
}

/// Takes a step of a roll in the store itself. An embedded store belongs to one process; a shared one is changed
/// beside its nodes, which learn of it as of any change.
///
/// # Errors
/// [`AppError`]; nothing was changed. [`AppError::Open`] with
/// [`OpenError::Locked`](crate::store::embedded::OpenError::Locked): the service runs, ask it.
pub async fn roll_tls_anchor(settings: &Settings, step: RollStep) -> Result<TlsAnchor, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Looked at first, so that a wrong directory or database is not made into a store.
    drop(open_read_only(settings).await?);
    let store = open(settings, Arc::clone(&clock), Arc::new(Unobserved)).await?;
    let (secrets, master_keys) = (open_secrets(&*store, settings).await?, open_master_keys(&*store, settings).await?);
    let by = (&Actor::system(), clock.now());
    let stepped = tls_anchor::take_step(&*store, &master_keys, &secrets.audit_key, by, step).await;
    store.close().await;
    stepped.map_err(AppError::TlsAnchor)
}
