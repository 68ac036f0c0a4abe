//! What must stay true (docs/contract.md, "Invariants", I1 to I5), checked from one snapshot.

use rusqlite::{Connection, Row};

use super::audit;
use crate::domain::audit::{AuditKey, ChainVerifier};
use crate::id::CustomerId;
use crate::store::findings::{self, AUDIT_PAGE, FINDINGS_MAX, FoundRow};
use crate::store::{Finding, StoreError};

/// Reads every table once or twice: seconds per million enrollments.
pub(super) fn check(connection: &Connection, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for check in CHECKS {
        let found = check.run(connection);
        keep(&mut findings, check.invariant, found)?;
    }
    findings.extend(check_audit(connection, audit_key)?);
    Ok(findings)
}

/// I5 alone.
pub(super) fn check_audit(connection: &Connection, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
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
    match found {
        Ok(details) => findings.extend(details.into_iter().map(|detail| Finding { invariant, detail })),
        Err(error) => findings.push(damage(error)?),
    }
    Ok(())
}

/// What keeps a database from being read, if that is not an outage: the next attempt would meet it again.
pub(super) fn damage(error: rusqlite::Error) -> Result<Finding, StoreError> {
    let is_of_disk = error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure);
    match StoreError::from(error) {
        StoreError::Corrupt { detail } => Ok(Finding { invariant: "store", detail }),
        StoreError::Unavailable { reason } if is_of_disk => Ok(Finding { invariant: "store", detail: reason }),
        error => Err(error),
    }
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

impl FoundRow for Row<'_> {
    type Error = rusqlite::Error;

    fn number(&self, column: usize) -> rusqlite::Result<i64> {
        self.get::<_, Option<i64>>(column).map(Option::unwrap_or_default)
    }

    fn text(&self, column: usize) -> rusqlite::Result<String> {
        self.get(column)
    }
}

const CHECKS: [Check; 17] = [
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
        tell: |row| findings::counters_and_ledger(row).map(Some),
    },
    Check {
        invariant: "I2",
        sql: "SELECT k.id, n.uses, k.maximum, k.uses_when_set
              FROM provisioning_keys k JOIN key_counters n ON n.key_id = k.id
              WHERE n.uses > max(k.maximum, k.uses_when_set)",
        tell: |row| findings::above_the_maximum(row).map(Some),
    },
    Check {
        invariant: "I3",
        sql: "SELECT key_id, fingerprint, count(*) FROM components WHERE deleted_at IS NULL
              GROUP BY customer_id, key_id, fingerprint HAVING count(*) > 1",
        tell: |row| findings::shared_fingerprint(row).map(Some),
    },
    Check {
        invariant: "I4",
        sql: "SELECT id, lower(hex(current_serial)) FROM components p
              WHERE NOT EXISTS (
                  SELECT 1 FROM certificates t
                  WHERE t.customer_id = p.customer_id AND t.component_id = p.id AND t.serial = p.current_serial
                      AND t.status = iif(p.revoked_at IS NULL AND p.deleted_at IS NULL, 1, 3))",
        tell: |row| findings::component_without_certificate(row).map(Some),
    },
    Check {
        invariant: "I4",
        sql: "SELECT component_id, lower(hex(serial)) FROM certificates t
              WHERE status = 1 AND NOT EXISTS (
                  SELECT 1 FROM components p
                  WHERE p.customer_id = t.customer_id AND p.id = t.component_id AND p.current_serial = t.serial)",
        tell: |row| findings::certificate_without_component(row).map(Some),
    },
    Check {
        invariant: "I4",
        sql: "SELECT id, lower(hex(previous_serial)) FROM components p
              WHERE previous_serial IS NOT NULL AND NOT EXISTS (
                  SELECT 1 FROM certificates t
                  WHERE t.customer_id = p.customer_id AND t.component_id = p.id AND t.serial = p.previous_serial
                      AND t.status <> 1)",
        tell: |row| findings::component_without_predecessor(row).map(Some),
    },
    Check {
        invariant: "I4",
        sql: "SELECT key_id, sequence, lower(hex(serial)) FROM key_uses u
              WHERE entry IN (1, 2) AND NOT EXISTS (
                  SELECT 1 FROM certificates t
                  WHERE t.customer_id = u.customer_id AND t.component_id = u.component_id AND t.serial = u.serial)",
        tell: |row| findings::use_without_certificate(row).map(Some),
    },
    Check {
        invariant: "digests",
        sql: "SELECT id FROM provisioning_keys k
              WHERE NOT EXISTS (
                  SELECT 1 FROM digests d WHERE d.digest = k.digest AND d.customer_id = k.customer_id AND d.key_id = k.id)",
        tell: |row| findings::key_without_digest(row).map(Some),
    },
    Check {
        invariant: "digests",
        sql: "SELECT key_id FROM digests d
              WHERE NOT EXISTS (SELECT 1 FROM provisioning_keys k WHERE k.id = d.key_id AND k.digest = d.digest)",
        tell: |row| findings::digest_without_key(row).map(Some),
    },
    Check {
        invariant: "lists",
        sql: "SELECT coalesce(t.kind, c.kind), t.keys, c.counted
              FROM key_totals t FULL JOIN (
                  SELECT customer_id, kind, count(*) AS counted FROM provisioning_keys GROUP BY 1, 2
              ) c ON c.customer_id = t.customer_id AND c.kind = t.kind
              WHERE coalesce(t.keys, 0) <> coalesce(c.counted, 0)",
        tell: |row| {
            let (kind, told, counted) = (row.number(0)?, row.number(1)?, row.number(2)?);
            Ok(Some(format!("kind {kind} is said to have {told} keys and has {counted}")))
        },
    },
    Check {
        invariant: "lists",
        sql: "SELECT coalesce(b.list, c.list), coalesce(b.block, c.block), b.components, c.counted
              FROM component_blocks b FULL JOIN (
                  SELECT customer_id, group_id AS list, id >> 12 AS block, count(*) AS counted
                  FROM components WHERE deleted_at IS NULL GROUP BY 1, 2, 3
                  UNION ALL
                  SELECT customer_id, -kind, id >> 12, count(*) FROM components WHERE deleted_at IS NULL GROUP BY 1, 2, 3
              ) c ON c.customer_id = b.customer_id AND c.list = b.list AND c.block = b.block
              WHERE b.components IS NOT c.counted",
        tell: |row| {
            let list = match row.number(0)? {
                kind @ ..0 => format!("kind {}", -kind),
                group => format!("group {group}"),
            };
            let (block, told, counted) = (row.number(1)?, row.number(2)?, row.number(3)?);
            Ok(Some(format!("block {block} of {list} counts {told} components and has {counted}")))
        },
    },
    Check {
        invariant: "lists",
        sql: "SELECT n.id FROM component_names n
                  LEFT JOIN components p ON p.id = n.id AND p.customer_id = n.customer_id AND p.kind = n.kind
              WHERE p.name IS NOT n.name OR p.deleted_at IS NOT NULL",
        tell: |row| Ok(Some(format!("component {} is in the order by name and not as it is listed", row.number(0)?))),
    },
    Check {
        invariant: "lists",
        sql: "SELECT p.id FROM components p
                  JOIN certificates t ON t.customer_id = p.customer_id AND t.component_id = p.id
                      AND t.serial = p.current_serial
              WHERE p.deleted_at IS NULL AND t.rowid <= (SELECT certificate FROM component_names_end)
                  AND NOT EXISTS (
                      SELECT 1 FROM component_names n WHERE n.customer_id = p.customer_id AND n.kind = p.kind
                          AND n.name = p.name AND n.id = p.id)",
        tell: |row| Ok(Some(format!("component {} is missing in the order by name", row.number(0)?))),
    },
    Check {
        invariant: "lists",
        sql: "WITH buckets AS (
                  SELECT customer_id, kind, first_name, first_id, names,
                      lead(first_name) OVER places AS next_name, lead(first_id) OVER places AS next_id
                  FROM component_name_buckets
                  WINDOW places AS (PARTITION BY customer_id, kind ORDER BY first_name, first_id)),
              counted AS (
                  SELECT b.*, (
                      SELECT count(*) FROM component_names n WHERE n.customer_id = b.customer_id AND n.kind = b.kind
                          AND (n.name, n.id) >= (b.first_name, b.first_id)
                          AND (b.next_id IS NULL OR (n.name, n.id) < (b.next_name, b.next_id))) AS counted
                  FROM buckets b)
              SELECT customer_id, first_name, names, counted FROM counted WHERE names <> counted",
        tell: |row| {
            let name: String = row.get(1)?;
            let (customer, told, counted) = (row.number(0)?, row.number(2)?, row.number(3)?);
            Ok(Some(format!("the names of customer {customer} from {name:?} on count {told} and are {counted}")))
        },
    },
    Check {
        invariant: "lists",
        sql: "SELECT coalesce(h.key_id, u.key_id), h.uses, h.re_enrollments, u.uses, u.re_enrollments
              FROM (SELECT customer_id, list AS key_id, sum(uses) - sum(releases) AS uses,
                        sum(re_enrollments) AS re_enrollments
                    FROM key_hours WHERE list > 0 GROUP BY 1, 2) h
                  FULL JOIN (
                      SELECT u.customer_id, u.key_id,
                          sum(CASE u.entry WHEN 1 THEN 1 WHEN 3 THEN -1 WHEN 4 THEN u.uses ELSE 0 END) AS uses,
                          sum(CASE u.entry WHEN 2 THEN 1 WHEN 4 THEN u.re_enrollments ELSE 0 END) AS re_enrollments
                      FROM key_uses u LEFT JOIN key_hours_end e ON e.key_id = u.key_id
                      WHERE u.entry = 3 OR u.sequence <= e.sequence GROUP BY 1, 2) u
                  ON u.customer_id = h.customer_id AND u.key_id = h.key_id
              WHERE (coalesce(h.uses, 0), coalesce(h.re_enrollments, 0))
                  <> (coalesce(u.uses, 0), coalesce(u.re_enrollments, 0))",
        tell: |row| findings::hours_and_ledger(row).map(Some),
    },
    Check {
        invariant: "lists",
        sql: "SELECT customer_id, hour FROM key_hours GROUP BY 1, 2
              HAVING sum(iif(list = 0, 1, -1) * uses) <> 0 OR sum(iif(list = 0, 1, -1) * releases) <> 0
                  OR sum(iif(list = 0, 1, -1) * re_enrollments) <> 0 OR sum(iif(list = 0, 1, -1) * refusals) <> 0",
        tell: |row| {
            Ok(Some(format!("hour {} of customer {} is not the sum of its keys'", row.number(1)?, row.number(0)?)))
        },
    },
];

/// Says where a customer's audit chain breaks, if it does.
fn follow_chain(
    connection: &Connection,
    customer: CustomerId,
    audit_key: &AuditKey,
) -> rusqlite::Result<Option<String>> {
    let tell = |broken: &dyn std::fmt::Display| Some(findings::broken_chain(customer, broken));
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
