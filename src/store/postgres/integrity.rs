//! What must stay true (docs/contract.md, "Invariants", I1 to I5), checked from one snapshot.

use super::audit;
use super::errors::Error;
use super::session::{Row, Session};
use crate::domain::audit::{AuditKey, ChainVerifier};
use crate::id::CustomerId;
use crate::store::Finding;
use crate::store::findings::{self, AUDIT_PAGE, FINDINGS_MAX, FoundRow};

/// Reads every table once or twice: seconds per million enrollments. The session is in the transaction whose
/// snapshot that is.
pub(super) async fn check(session: &Session, audit_key: &AuditKey) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for check in CHECKS {
        keep(session, &mut findings, check.invariant, check.run(session)).await?;
    }
    findings.extend(check_audit(session, audit_key).await?);
    Ok(findings)
}

/// I5 alone. As for [`check`].
pub(super) async fn check_audit(session: &Session, audit_key: &AuditKey) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    keep(session, &mut findings, "I5", follow_chains(session, audit_key)).await?;
    Ok(findings)
}

/// Damage is a finding and no reason to look no further, though a statement that met it ended what followed
/// the savepoint.
async fn keep(
    session: &Session,
    findings: &mut Vec<Finding>,
    invariant: &'static str,
    look: impl Future<Output = Result<Vec<String>, Error>>,
) -> Result<(), Error> {
    session.batch("SAVEPOINT before_look").await?;
    match look.await {
        Ok(details) => findings.extend(details.into_iter().map(|detail| Finding { invariant, detail })),
        Err(error) => {
            let detail = error.damage().ok_or(error)?;
            session.batch("ROLLBACK TO SAVEPOINT before_look").await?;
            findings.push(Finding { invariant: "store", detail });
        }
    }
    session.batch("RELEASE SAVEPOINT before_look").await?;
    Ok(())
}

/// A statement that answers one row per thing that is wrong, and how that is told.
struct Check {
    invariant: &'static str,
    sql: &'static str,
    tell: fn(&Row) -> Result<String, Error>,
}

impl Check {
    async fn run(&self, session: &Session) -> Result<Vec<String>, Error> {
        session.list(&format!("{} LIMIT {FINDINGS_MAX}", self.sql), &[], self.tell).await
    }
}

impl FoundRow for Row {
    type Error = Error;

    fn number(&self, column: usize) -> Result<i64, Error> {
        self.get::<Option<i64>>(column).map(Option::unwrap_or_default)
    }

    fn text(&self, column: usize) -> Result<String, Error> {
        self.get(column)
    }
}

const CHECKS: [Check; 11] = [
    Check {
        invariant: "I1",
        sql: "SELECT k.id, n.uses, n.re_enrollments, n.last_sequence, u.uses, u.re_enrollments, u.last, u.missing
              FROM provisioning_keys k
                  LEFT JOIN key_counters n ON n.customer_id = k.customer_id AND n.key_id = k.id
                  LEFT JOIN (
                      SELECT customer_id, key_id,
                          sum(CASE entry WHEN 1 THEN 1 WHEN 3 THEN -1 WHEN 4 THEN uses ELSE 0 END)::bigint AS uses,
                          sum(CASE entry WHEN 2 THEN 1 WHEN 4 THEN re_enrollments ELSE 0 END)::bigint AS re_enrollments,
                          max(sequence) AS last, max(sequence) - min(sequence) + 1 - count(*) AS missing
                      FROM key_uses GROUP BY customer_id, key_id
                  ) u ON u.customer_id = k.customer_id AND u.key_id = k.id
              WHERE (n.uses, n.re_enrollments, n.last_sequence, 0) IS DISTINCT FROM
                  (coalesce(u.uses, 0), coalesce(u.re_enrollments, 0), coalesce(u.last, 0), coalesce(u.missing, 0))",
        tell: findings::counters_and_ledger,
    },
    Check {
        invariant: "I2",
        sql: "SELECT k.id, n.uses, k.maximum, k.uses_when_set
              FROM provisioning_keys k JOIN key_counters n ON n.customer_id = k.customer_id AND n.key_id = k.id
              WHERE n.uses > k.maximum AND n.uses > k.uses_when_set",
        tell: findings::above_the_maximum,
    },
    Check {
        invariant: "I3",
        sql: "SELECT key_id, fingerprint, count(*) FROM components WHERE deleted_at IS NULL
              GROUP BY customer_id, key_id, fingerprint HAVING count(*) > 1",
        tell: findings::shared_fingerprint,
    },
    Check {
        invariant: "I4",
        sql: "SELECT id, encode(current_serial, 'hex') FROM components p
              WHERE NOT EXISTS (
                  SELECT 1 FROM certificates t WHERE t.customer_id = p.customer_id AND t.serial = p.current_serial
                      AND t.status = CASE WHEN p.revoked_at IS NULL AND p.deleted_at IS NULL THEN 1 ELSE 3 END)",
        tell: findings::component_without_certificate,
    },
    Check {
        invariant: "I4",
        sql: "SELECT component_id, encode(serial, 'hex') FROM certificates t
              WHERE status = 1 AND NOT EXISTS (
                  SELECT 1 FROM components p
                  WHERE p.customer_id = t.customer_id AND p.id = t.component_id AND p.current_serial = t.serial)",
        tell: findings::certificate_without_component,
    },
    Check {
        invariant: "I4",
        sql: "SELECT id, encode(previous_serial, 'hex') FROM components p
              WHERE previous_serial IS NOT NULL AND NOT EXISTS (
                  SELECT 1 FROM certificates t
                  WHERE t.customer_id = p.customer_id AND t.component_id = p.id AND t.serial = p.previous_serial
                      AND t.status <> 1)",
        tell: findings::component_without_predecessor,
    },
    Check {
        invariant: "I4",
        sql: "SELECT key_id, sequence, encode(serial, 'hex') FROM key_uses u
              WHERE entry IN (1, 2) AND NOT EXISTS (
                  SELECT 1 FROM certificates t WHERE t.customer_id = u.customer_id AND t.serial = u.serial)",
        tell: findings::use_without_certificate,
    },
    Check {
        invariant: "digests",
        sql: "SELECT id FROM provisioning_keys k
              WHERE NOT EXISTS (
                  SELECT 1 FROM digests d WHERE d.digest = k.digest AND d.customer_id = k.customer_id AND d.key_id = k.id)",
        tell: findings::key_without_digest,
    },
    Check {
        invariant: "digests",
        sql: "SELECT key_id FROM digests d
              WHERE NOT EXISTS (
                  SELECT 1 FROM provisioning_keys k
                  WHERE k.customer_id = d.customer_id AND k.id = d.key_id AND k.digest = d.digest)",
        tell: findings::digest_without_key,
    },
    Check {
        invariant: "lists",
        sql: "SELECT coalesce(c.group_id, p.group_id), c.components, coalesce(c.kind, p.kind), p.counted
              FROM (SELECT customer_id, group_id, kind, sum(components)::bigint AS components
                    FROM component_counts GROUP BY customer_id, group_id, kind) c
                  FULL JOIN (
                      SELECT customer_id, group_id, kind, count(*) AS counted
                      FROM components WHERE deleted_at IS NULL GROUP BY customer_id, group_id, kind
                  ) p ON p.customer_id = c.customer_id AND p.group_id = c.group_id AND p.kind = c.kind
              WHERE coalesce(c.components, 0) <> coalesce(p.counted, 0)",
        tell: |row| {
            let (group, told, kind, counted) = (row.number(0)?, row.number(1)?, row.number(2)?, row.number(3)?);
            Ok(format!("group {group} counts {told} components of kind {kind} and has {counted}"))
        },
    },
    Check {
        invariant: "lists",
        sql: "SELECT coalesce(h.key_id, u.key_id), h.uses, h.re_enrollments, u.uses, u.re_enrollments
              FROM (SELECT customer_id, key_id, (sum(uses) - sum(releases))::bigint AS uses,
                        sum(re_enrollments)::bigint AS re_enrollments
                    FROM key_hours GROUP BY customer_id, key_id) h
                  FULL JOIN (
                      SELECT customer_id, key_id,
                          sum(CASE entry WHEN 1 THEN 1 WHEN 3 THEN -1 WHEN 4 THEN uses ELSE 0 END)::bigint AS uses,
                          sum(CASE entry WHEN 2 THEN 1 WHEN 4 THEN re_enrollments ELSE 0 END)::bigint AS re_enrollments
                      FROM key_uses GROUP BY customer_id, key_id
                  ) u ON u.customer_id = h.customer_id AND u.key_id = h.key_id
              WHERE (coalesce(h.uses, 0), coalesce(h.re_enrollments, 0))
                  <> (coalesce(u.uses, 0), coalesce(u.re_enrollments, 0))",
        tell: findings::hours_and_ledger,
    },
];

/// Says where audit chains break that do.
async fn follow_chains(session: &Session, audit_key: &AuditKey) -> Result<Vec<String>, Error> {
    let mut broken = Vec::new();
    for customer in audit::list_chains(session).await? {
        broken.extend(follow_chain(session, customer, audit_key).await?);
    }
    Ok(broken)
}

/// Says where a customer's audit chain breaks, if it does.
async fn follow_chain(session: &Session, customer: CustomerId, audit_key: &AuditKey) -> Result<Option<String>, Error> {
    let tell = |broken: &dyn std::fmt::Display| Some(findings::broken_chain(customer, broken));
    let mut verifier = ChainVerifier::new(audit_key);
    let mut after = 0;
    loop {
        let rows = audit::list(session, customer, after, AUDIT_PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        for row in &rows {
            if let Err(broken) = verifier.follow(row) {
                return Ok(tell(&broken));
            }
        }
    }
    Ok(match audit::find_head(session, customer).await? {
        Some((sequence, mac)) => verifier.finish(sequence, &mac).err().and_then(|broken| tell(&broken)),
        None => tell(&"its head is missing"),
    })
}
