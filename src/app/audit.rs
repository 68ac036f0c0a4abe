//! `muster audit verify`: whether audit rows are all there, unchanged and in their order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

use super::AppError;
use super::opened_secrets::open_secrets;
use super::store::open_read_only;
use crate::config::Settings;
use crate::domain::audit::{AuditKey, AuditRow, ChainVerifier};
use crate::id::CustomerId;
use crate::server::api::wire::audit_event::decode_line;
use crate::store::Store;

/// Longest line that is looked at: far above what the service writes.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// What came out, in sentences.
#[derive(Debug, Default)]
pub struct AuditReport {
    /// What is whole.
    pub whole: Vec<String>,
    /// What is changed, missing or out of order; the first of each chain.
    pub broken: Vec<String>,
}

/// Checks the chains in the store. Works beside a running service, as the doctor does
/// (docs/decisions/0006).
///
/// # Errors
/// [`AppError`] when there is nothing that could be checked.
pub async fn verify_audit(settings: &Settings) -> Result<AuditReport, AppError> {
    let (store, audit_key) = open(settings).await?;
    let findings = store.check_audit(&audit_key).await?;
    let broken: Vec<_> = findings.iter().map(|finding| finding.detail.clone()).collect();
    let whole = if broken.is_empty() { vec!["the audit log is whole".to_owned()] } else { Vec::new() };
    Ok(AuditReport { whole, broken })
}

/// Checks a file that was exported from the service whose data directory this is. It may begin in the
/// middle of a chain if the row before is still in the store, and hold the chains of several customers.
/// That rows were cut off its end cannot be seen: the report says where it ends.
///
/// # Errors
/// [`AppError`], also when the file cannot be read.
pub async fn verify_export(settings: &Settings, file: &Path) -> Result<AuditReport, AppError> {
    let (store, audit_key) = open(settings).await?;
    let unreadable = |source| AppError::UnreadableFile { path: file.to_owned(), source };
    let mut lines = BufReader::new(File::open(file).map_err(unreadable)?);
    let mut line = Vec::new();
    let mut report = AuditReport::default();
    let mut chains: HashMap<CustomerId, Chain<'_>> = HashMap::new();
    for number in 1.. {
        line.clear();
        lines.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line).map_err(unreadable)?;
        if line.is_empty() {
            break;
        }
        let row = match row_of(&line) {
            Ok(row) => row,
            Err(error) => {
                // What a chain lacks because of it would only say the same again.
                report.broken.push(format!("line {number} is none of an export: {error}"));
                return Ok(report);
            }
        };
        let chain = match chains.entry(row.event.customer_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Chain::begin(&*store, &audit_key, &row).await?),
        };
        chain.follow(&row, number);
    }
    for (customer, chain) in chains {
        let (first, last) = (chain.first, chain.verifier.last());
        match chain.broken {
            Some(broken) => report.broken.push(format!("audit log of customer {customer}: {broken}")),
            None => report.whole.push(format!("audit log of customer {customer}: rows {first} to {last} are whole")),
        }
    }
    report.whole.sort();
    report.broken.sort();
    Ok(report)
}

/// `line` may end with a line break.
fn row_of(line: &[u8]) -> Result<AuditRow, String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err(format!("it is longer than {LINE_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    decode_line(text).map_err(|error| error.to_string())
}

/// One customer's rows in a file.
struct Chain<'a> {
    first: u64,
    verifier: ChainVerifier<'a>,
    broken: Option<String>,
}

impl<'a> Chain<'a> {
    async fn begin(store: &dyn Store, audit_key: &'a AuditKey, first: &AuditRow) -> Result<Self, AppError> {
        let before = match first.sequence.checked_sub(2) {
            Some(after) => store.list_audit(first.event.customer_id, after, 1).await?.pop(),
            None => None,
        };
        let before = before.filter(|before| before.sequence + 1 == first.sequence);
        let verifier = match before {
            Some(before) => ChainVerifier::after(audit_key, &before),
            None => ChainVerifier::new(audit_key),
        };
        Ok(Self { first: first.sequence, verifier, broken: None })
    }

    fn follow(&mut self, row: &AuditRow, line: u64) {
        if self.broken.is_none()
            && let Err(broken) = self.verifier.follow(row)
        {
            self.broken = Some(format!("line {line}: {broken}"));
        }
    }
}

async fn open(settings: &Settings) -> Result<(Arc<dyn Store>, AuditKey), AppError> {
    let store = open_read_only(settings).await?;
    let secrets = open_secrets(&*store, settings).await?;
    Ok((store, secrets.audit_key))
}
