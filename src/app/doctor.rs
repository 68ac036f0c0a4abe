//! `muster doctor`: whether what must stay true is true.

use std::sync::Arc;

use super::AppError;
use super::opened_secrets::open_secrets;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;

/// Checks I1 to I5 (docs/contract.md, "Invariants") from one snapshot; a sentence for each finding.
/// Works beside a running service: the store is opened for reading only and its lock is not taken
/// (docs/decisions/0006).
///
/// # Errors
/// [`AppError`] when there is nothing that could be checked.
pub async fn doctor(settings: &Settings) -> Result<Vec<String>, AppError> {
    let store = EmbeddedStore::open_read_only(&settings.data_dir, Arc::new(SystemClock))?;
    let secrets = open_secrets(&*store, settings).await?;
    let findings = store.check_integrity(&secrets.audit_key).await?;
    Ok(findings.iter().map(ToString::to_string).collect())
}
