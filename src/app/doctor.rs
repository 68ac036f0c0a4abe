//! `muster doctor`: whether what must stay true is true.

use super::AppError;
use super::opened_secrets::open_secrets;
use super::store::open_read_only;
use crate::config::Settings;

/// What came out, in sentences.
#[derive(Debug, Default)]
pub struct Diagnosis {
    /// What should not be.
    pub findings: Vec<String>,
    /// What is good to know.
    pub notes: Vec<String>,
}

/// Checks I1 to I5 (docs/contract.md, "Invariants") from one snapshot, and how a database keeps what it was given.
/// Works beside a running service: the store is opened for reading only and its lock is not taken
/// (docs/decisions/0006).
///
/// # Errors
/// [`AppError`] when there is nothing that could be checked.
pub async fn doctor(settings: &Settings) -> Result<Diagnosis, AppError> {
    let store = open_read_only(settings).await?;
    let secrets = open_secrets(&*store, settings).await?;
    let mut diagnosis = Diagnosis::default();
    for remark in store.list_remarks().await? {
        let told = if remark.is_grave { &mut diagnosis.findings } else { &mut diagnosis.notes };
        told.push(format!("database: {}", remark.text));
    }
    let findings = store.check_integrity(&secrets.audit_key).await?;
    diagnosis.findings.extend(findings.iter().map(ToString::to_string));
    Ok(diagnosis)
}
