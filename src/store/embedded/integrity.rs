//! What must stay true (docs/contract.md, "Invariants", I1 to I5), checked from one snapshot.

use rusqlite::{Connection, Row};

use super::audit;
use crate::domain::audit::{AuditKey, ChainVerifier};
use crate::id::CustomerId;
use crate::store::{Finding, StoreError};

/// Findings of one check that are told; with more, something is wrong at large.
const FINDINGS_MAX: usize = 100;

/// Audit rows that are held at a time.
const AUDIT_PAGE: u32 = 1_000;

/// Reads every table once or twice: seconds per million enrollments.
pub(super) fn check(connection: &Connection, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for check in CHECKS {
        let found = check.run(connection);
        keep(&mut findings, check.invariant, found)?;
    }
    let chains = audit::list_chains(connection);
    let broken = chains.and_then(|customers| {
        customers.into_iter().filter_map(|customer| follow_chain(connection, customer, audit_key).transpose()).collect()
    });
    keep(&mut findings, "I5", broken)?;
    Ok(findings)
}

/// A damaged file is a finding and no reason to look no further.
fn keep(
    findings: &mut Vec<Finding>,
    invariant: &'static str,
    found: rusqlite::Result<Vec<String>>,
) -> Result<(), StoreError> {
    match found.map_err(StoreError::from) {
        Ok(details) => findings.extend(details.into_iter().map(|detail| Finding { invariant, detail })),
        Err(StoreError::Corrupt { detail }) => findings.push(Finding { invariant: "store", detail }),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A statement that answers one row per thing that is wrong, and how that is told.
struct Check {
    invariant: &'static str,
    sql: &'static str,
    tell: fn(&Row<'_>) -> rusqlite::Result<Option<String>>,
}

impl Check {
    fn run(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(self.sql)?;
        let told = statement.query_map([], self.tell)?;
        told.filter_map(Result::transpose).take(FINDINGS_MAX).collect()
    }
}

/// A whole number in a column, for people.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    row.get::<_, Option<i64>>(column).map(Option::unwrap_or_default)
}

const CHECKS: [Check; 9] = [
    Check {
        invariant: "store",
        sql: "PRAGMA quick_check(100)",
        tell: |row| row.get::<_, String>(0).map(|text| (text != "ok").then_some(text)),
    },
    Check {
        invariant: "I1",
        sql: "SELECT k.id, n.uses, n.re_enrollments, n.last_sequence,
                  coalesce(sum(CASE u.entry WHEN 1 THEN 1 WHEN 3 THEN -1 WHEN 4 THEN u.uses ELSE 0 END), 0) AS counted,
                  coalesce(sum(CASE u.entry WHEN 2 THEN 1 WHEN 4 THEN u.re_enrollments ELSE 0 END), 0) AS repeated,
                  coalesce(max(u.sequence), 0) AS last,
                  coalesce(max(u.sequence) - min(u.sequence) + 1, 0) - count(u.sequence) AS missing
              FROM provisioning_keys k
                  LEFT JOIN key_counters n ON n.key_id = k.id
                  LEFT JOIN key_uses u ON u.customer_id = k.customer_id AND u.key_id = k.id
              GROUP BY k.id
              HAVING n.uses IS NOT counted OR n.re_enrollments IS NOT repeated OR n.last_sequence IS NOT last
                  OR missing <> 0",
        tell: |row| {
            Ok(Some(format!(
                "key {} counts {} uses, {} re-enrollments and {} ledger rows; its ledger has {}, {} and ends at {} with {} missing",
                number(row, 0)?,
                number(row, 1)?,
                number(row, 2)?,
                number(row, 3)?,
                number(row, 4)?,
                number(row, 5)?,
                number(row, 6)?,
                number(row, 7)?,
            )))
        },
    },
    Check {
        invariant: "I2",
        sql: "SELECT k.id, n.uses, k.maximum, k.uses_when_set
              FROM provisioning_keys k JOIN key_counters n ON n.key_id = k.id
              WHERE n.uses > max(k.maximum, k.uses_when_set)",
        tell: |row| {
            Ok(Some(format!(
                "key {} has {} uses; its maximum is {}, and {} were taken when that was set",
                number(row, 0)?,
                number(row, 1)?,
                number(row, 2)?,
                number(row, 3)?,
            )))
        },
    },
    Check {
        invariant: "I3",
        sql: "SELECT key_id, fingerprint, count(*) FROM components WHERE deleted_at IS NULL
              GROUP BY customer_id, key_id, fingerprint HAVING count(*) > 1",
        tell: |row| {
            let fingerprint: String = row.get(1)?;
            Ok(Some(format!("key {} has {} components with fingerprint {fingerprint}", number(row, 0)?, number(row, 2)?)))
        },
    },
    Check {
        invariant: "I4",
        sql: "SELECT id, lower(hex(current_serial)) FROM components p
              WHERE NOT EXISTS (
                  SELECT 1 FROM certificates t WHERE t.customer_id = p.customer_id AND t.serial = p.current_serial
                      AND t.status = iif(p.revoked_at IS NULL AND p.deleted_at IS NULL, 1, 3))",
        tell: |row| {
            let serial: String = row.get(1)?;
            Ok(Some(format!("component {} has no certificate {serial} of the status it should have", number(row, 0)?)))
        },
    },
    Check {
        invariant: "I4",
        sql: "SELECT key_id, sequence, lower(hex(serial)) FROM key_uses u
              WHERE entry IN (1, 2) AND NOT EXISTS (
                  SELECT 1 FROM certificates t WHERE t.customer_id = u.customer_id AND t.serial = u.serial)",
        tell: |row| {
            let serial: String = row.get(2)?;
            Ok(Some(format!(
                "ledger row {} of key {} names certificate {serial}, which is not there",
                number(row, 1)?,
                number(row, 0)?
            )))
        },
    },
    Check {
        invariant: "store",
        sql: "SELECT id FROM provisioning_keys k
              WHERE NOT EXISTS (
                  SELECT 1 FROM digests d WHERE d.digest = k.digest AND d.customer_id = k.customer_id AND d.key_id = k.id)",
        tell: |row| Ok(Some(format!("key {} has no row among the digests", number(row, 0)?))),
    },
    Check {
        invariant: "store",
        sql: "SELECT key_id FROM digests d
              WHERE NOT EXISTS (SELECT 1 FROM provisioning_keys k WHERE k.id = d.key_id AND k.digest = d.digest)",
        tell: |row| Ok(Some(format!("a digest leads to key {}, which is not there or has another", number(row, 0)?))),
    },
    Check {
        invariant: "store",
        sql: "SELECT coalesce(n.group_id, c.group_id), n.components, c.counted
              FROM group_counters n FULL JOIN (
                  SELECT group_id, count(*) AS counted FROM components WHERE deleted_at IS NULL GROUP BY group_id) c
                  ON c.group_id = n.group_id
              WHERE coalesce(n.components, 0) <> coalesce(c.counted, 0)",
        tell: |row| {
            Ok(Some(format!(
                "group {} counts {} components and has {}",
                number(row, 0)?,
                number(row, 1)?,
                number(row, 2)?
            )))
        },
    },
];

/// Says where a customer's audit chain breaks, if it does.
fn follow_chain(
    connection: &Connection,
    customer: CustomerId,
    audit_key: &AuditKey,
) -> rusqlite::Result<Option<String>> {
    let tell = |broken: &dyn std::fmt::Display| Some(format!("audit log of customer {customer}: {broken}"));
    let mut verifier = ChainVerifier::new(audit_key);
    let mut after = 0;
    loop {
        let rows = audit::list(connection, customer, after, AUDIT_PAGE)?;
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        for row in &rows {
            if let Err(broken) = verifier.follow(row) {
                return Ok(tell(&broken));
            }
        }
    }
    Ok(match audit::find_head(connection, customer)? {
        Some((sequence, mac)) => verifier.finish(sequence, &mac).err().and_then(|broken| tell(&broken)),
        None => tell(&"its head is missing"),
    })
}
