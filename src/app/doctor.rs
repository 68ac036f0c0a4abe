//! `muster doctor`: whether what must stay true is true.

use super::AppError;
use super::advice::advice;
use super::backup::LastBackup;
use super::opened_secrets::open_secrets;
use super::store::open_read_only;
use crate::ca::EndpointAnchor;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Settings, StoreEngine};
use crate::domain::attention::TLS_ANCHOR_END_NEAR;
use crate::management::first_start::LoadSecretsError;
use crate::management::peppers::{self, NamedDigests, PepperReport};
use crate::store::{DigestCounts, Finding, StoreError};

/// What came out, in sentences.
#[derive(Debug, Default)]
pub struct Diagnosis {
    /// What should not be.
    pub findings: Vec<String>,
    /// What is good to know.
    pub notes: Vec<String>,
    /// What findings mean and what to do, once for all of a kind.
    pub advice: Vec<&'static str>,
}

/// Checks I1 to I5 (docs/contract.md, "Invariants") from one snapshot, how a database keeps what it was given, the peppers,
/// and the TLS trust anchor's end.
/// Works beside a running service: the store is opened for reading only and its lock is not taken
/// (docs/decisions/0006).
///
/// # Errors
/// [`AppError`] when there is nothing that could be checked.
pub async fn doctor(settings: &Settings) -> Result<Diagnosis, AppError> {
    let store = open_read_only(settings).await?;
    let secrets = match open_secrets(&*store, settings).await {
        Ok(secrets) => secrets,
        // Without its key the audit log cannot be checked, and nothing else has to be: it is damaged.
        Err(
            AppError::Secrets(LoadSecretsError::Store(error @ StoreError::Corrupt { .. }))
            | AppError::Store(error @ StoreError::Corrupt { .. }),
        ) => {
            let findings = vec![Finding { invariant: "store", detail: error.to_string() }.to_string()];
            return Ok(Diagnosis {
                findings,
                notes: tell_backup(settings).into_iter().collect(),
                advice: vec![advice("store")],
            });
        }
        Err(error) => return Err(error),
    };
    let mut diagnosis = Diagnosis::default();
    for remark in store.list_remarks().await? {
        let told = if remark.is_grave { &mut diagnosis.findings } else { &mut diagnosis.notes };
        told.push(format!("database: {}", remark.text));
    }
    tell_anchor(&secrets.endpoint_anchor, &mut diagnosis);
    let peppers = peppers::show(&*store).await.map_err(AppError::Pepper)?;
    tell_peppers(&peppers, &mut diagnosis);
    diagnosis.notes.extend(tell_backup(settings));
    let mut findings = store.check_integrity(&secrets.audit_key).await?;
    findings.extend(peppers.under_none.iter().map(under_no_pepper));
    diagnosis.findings.extend(findings.iter().map(ToString::to_string));
    for finding in &findings {
        let advice = advice(finding.invariant);
        if !diagnosis.advice.contains(&advice) {
            diagnosis.advice.push(advice);
        }
    }
    Ok(diagnosis)
}

/// Of a database others may make backups that nobody here knows of.
fn tell_backup(settings: &Settings) -> Option<String> {
    match LastBackup::find(&settings.data_dir) {
        Some(LastBackup { made_at, file, .. }) => Some(format!("last backup: {made_at}, {}", file.display())),
        None if settings.store.engine == StoreEngine::Embedded => {
            Some("last backup: none was made of this data directory; muster backup makes one".to_owned())
        }
        None => None,
    }
}

fn tell_peppers(report: &PepperReport, diagnosis: &mut Diagnosis) {
    if let Some(DigestCounts { pepper, keys, api_clients }) = report.outgoing() {
        diagnosis.notes.push(format!(
            "pepper: it is being rotated; {keys} provisioning keys and {api_clients} API clients are left under number {}, \
             muster pepper show names them",
            pepper.0
        ));
    }
    if report.lost != NamedDigests::default() {
        diagnosis.notes.push(
            "pepper: a rotation was ended without some provisioning keys or API clients, which nobody can use any more; muster \
             pepper show names them"
                .to_owned(),
        );
    }
}

fn under_no_pepper(counts: &DigestCounts) -> Finding {
    let DigestCounts { pepper, keys, api_clients } = counts;
    let detail = format!(
        "{keys} provisioning keys and {api_clients} API clients are under pepper number {}, which is not there",
        pepper.0
    );
    Finding { invariant: "digests", detail }
}

fn tell_anchor(anchor: &EndpointAnchor, diagnosis: &mut Diagnosis) {
    let (now, not_after) = (SystemClock.now(), anchor.not_after());
    if not_after <= now {
        diagnosis.findings.push(format!("TLS trust anchor: it ended at {not_after}; muster tls-anchor roll"));
    } else if not_after <= now.saturating_add(TLS_ANCHOR_END_NEAR) {
        diagnosis
            .notes
            .push(format!("TLS trust anchor: it ends at {not_after}; muster tls-anchor roll makes the next"));
    }
    if let Some(previous) = anchor.previous_not_after(now) {
        diagnosis.notes.push(format!(
            "TLS trust anchor: it is being rolled; the one before ends at {previous}, muster tls-anchor finish lets go of it"
        ));
    }
}
