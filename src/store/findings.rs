//! How a row that a check of the store's integrity found is told, in both stores.

use crate::id::CustomerId;

/// Findings of one check that are told; with more, something is wrong at large.
pub(super) const FINDINGS_MAX: usize = 100;

/// Audit rows that are held at a time.
pub(super) const AUDIT_PAGE: u32 = 1_000;

/// A row that a check found. Columns are asked for by their numbers from 0.
pub(super) trait FoundRow {
    type Error;

    /// A whole number; 0 where there is none.
    fn number(&self, column: usize) -> Result<i64, Self::Error>;

    fn text(&self, column: usize) -> Result<String, Self::Error>;
}

/// Whatever can be told of a row.
pub(super) type Told<R> = Result<String, <R as FoundRow>::Error>;

/// Key; its uses, re-enrollments and last sequence by its counters; the same by its ledger; rows missing there.
pub(super) fn counters_and_ledger<R: FoundRow>(row: &R) -> Told<R> {
    Ok(format!(
        "key {} counts {} uses, {} re-enrollments and {} ledger rows; its ledger has {}, {} and ends at {} with {} missing",
        row.number(0)?,
        row.number(1)?,
        row.number(2)?,
        row.number(3)?,
        row.number(4)?,
        row.number(5)?,
        row.number(6)?,
        row.number(7)?,
    ))
}

/// Key, uses, maximum, uses when that was set.
pub(super) fn above_the_maximum<R: FoundRow>(row: &R) -> Told<R> {
    Ok(format!(
        "key {} has {} uses; its maximum is {}, and {} were taken when that was set",
        row.number(0)?,
        row.number(1)?,
        row.number(2)?,
        row.number(3)?,
    ))
}

/// Key, fingerprint, components.
pub(super) fn shared_fingerprint<R: FoundRow>(row: &R) -> Told<R> {
    let (key, fingerprint, components) = (row.number(0)?, row.text(1)?, row.number(2)?);
    Ok(format!("key {key} has {components} components with fingerprint {fingerprint}"))
}

/// Component, serial number of its current certificate.
pub(super) fn component_without_certificate<R: FoundRow>(row: &R) -> Told<R> {
    let (component, serial) = (row.number(0)?, row.text(1)?);
    Ok(format!("component {component} has no certificate {serial} of the status it should have"))
}

/// Component, serial number of a current certificate.
pub(super) fn certificate_without_component<R: FoundRow>(row: &R) -> Told<R> {
    let (component, serial) = (row.number(0)?, row.text(1)?);
    Ok(format!("certificate {serial} of component {component} passes for current and is not"))
}

/// Component, serial number of the certificate before its current one.
pub(super) fn component_without_predecessor<R: FoundRow>(row: &R) -> Told<R> {
    let (component, serial) = (row.number(0)?, row.text(1)?);
    Ok(format!("component {component} has no replaced certificate {serial}, which the current one is to have replaced"))
}

/// Key, sequence, serial number.
pub(super) fn use_without_certificate<R: FoundRow>(row: &R) -> Told<R> {
    let (key, sequence, serial) = (row.number(0)?, row.number(1)?, row.text(2)?);
    Ok(format!("ledger row {sequence} of key {key} names certificate {serial}, which is not there"))
}

/// Key.
pub(super) fn key_without_digest<R: FoundRow>(row: &R) -> Told<R> {
    Ok(format!("key {} has no row among the digests", row.number(0)?))
}

/// Key.
pub(super) fn digest_without_key<R: FoundRow>(row: &R) -> Told<R> {
    Ok(format!("a digest leads to key {}, which is not there or has another", row.number(0)?))
}

/// Key; its uses, less those given back, and re-enrollments by its hours; the same by its ledger.
pub(super) fn hours_and_ledger<R: FoundRow>(row: &R) -> Told<R> {
    Ok(format!(
        "the hours of key {} count {} uses and {} re-enrollments; its ledger has {} and {}",
        row.number(0)?,
        row.number(1)?,
        row.number(2)?,
        row.number(3)?,
        row.number(4)?,
    ))
}

/// What is wrong with a customer's audit chain.
pub(super) fn broken_chain(customer: CustomerId, broken: &dyn std::fmt::Display) -> String {
    format!("audit log of customer {customer}: {broken}")
}
