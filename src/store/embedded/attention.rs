//! What needs attention: one statement for each way in which something does.

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use super::hours;
use crate::clock::Timestamp;
use crate::domain::attention::{
    Attention, GroupName, KEY_END_NEAR, NEARLY_EXHAUSTED_PERCENT, SIGNING_CERTIFICATE_END_NEAR, SigningCertificateName,
};
use crate::domain::key::KeyName;
use crate::domain::{BucketStep, Buckets};
use crate::id::CustomerId;
use crate::store::Page;

/// One way to need attention: a statement that answers its things, the worst first, with how many there
/// are in the last column. It binds the customer, now, the start of the last day, its `bound` and the most rows.
struct Watch {
    sql: &'static str,
    bound: i64,
    read: fn(&Row<'_>) -> rusqlite::Result<Attention>,
}

/// In the order of [`Attention`], at most `limit`. Costs one look at each key of the customer, mostly:
/// a tenth of a second for 100,000.
pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<Page<Attention>> {
    let since = Buckets::until(now, BucketStep::Hour, 24).from();
    let mut page = Page { rows: Vec::new(), total: 0 };
    for watch in WATCHES {
        let values: [&dyn ToSql; 5] = [&customer, &now, &since, &watch.bound, &limit.max(1)];
        let mut of_all = 0;
        let mut statement = connection.prepare_cached(watch.sql)?;
        let total = statement.column_count() - 1;
        let found = statement.query_map(values, |row| {
            of_all = row.get(total)?;
            (watch.read)(row)
        })?;
        let found: Vec<_> = found.collect::<rusqlite::Result<_>>()?;
        page.rows.extend(found);
        page.total += of_all;
    }
    page.rows.truncate(limit as usize);
    for row in &mut page.rows {
        if let Attention::KeyNearlyExhausted { key, uses_last_day, .. } = row {
            let hours = hours::of_key(connection, customer, key.id, since)?;
            *uses_last_day = hours.iter().map(|hour| hour.uses).sum();
        }
    }
    Ok(page)
}

const WATCHES: [Watch; 8] = [
    Watch {
        sql: "SELECT s.id, s.name, s.not_after, (
                  SELECT count(*) FROM provisioning_keys k
                  WHERE k.customer_id = ?1 AND k.signing_certificate_id = s.id) AS keys, count(*) OVER ()
              FROM signing_certificates s
              WHERE s.customer_id = ?1 AND s.certificate IS NOT NULL AND s.not_after <= ?2 AND (
                  keys > 0 OR EXISTS (
                      SELECT 1 FROM groups g WHERE g.customer_id = ?1 AND g.signing_certificate_id = s.id))
              ORDER BY keys DESC, s.id LIMIT ?5",
        bound: 0,
        read: |row| {
            let certificate = SigningCertificateName { id: row.get(0)?, name: row.get(1)? };
            Ok(Attention::SigningCertificateExpired { certificate, expired_at: row.get(2)?, keys: row.get(3)? })
        },
    },
    Watch {
        sql: "SELECT k.id, k.kind, k.name, n.uses, k.maximum, r.count, r.since, count(*) OVER ()
              FROM (SELECT key_id, sum(count) AS count, min(first_minute) AS since FROM refusal_hours
                    WHERE customer_id = ?1 AND hour >= ?3 AND refusal = 'key-exhausted' GROUP BY key_id) r
                  CROSS JOIN provisioning_keys k ON k.id = r.key_id AND k.customer_id = ?1
                  CROSS JOIN key_counters n ON n.key_id = k.id
              WHERE k.enabled AND (k.expires_at IS NULL OR k.expires_at > ?2) AND n.uses >= k.maximum
              ORDER BY r.count DESC, k.id LIMIT ?5",
        bound: 0,
        read: |row| {
            let (uses, maximum) = (row.get(3)?, row.get(4)?);
            let (refusals, since) = (row.get(5)?, row.get(6)?);
            Ok(Attention::KeyExhausted { key: key(row)?, uses, maximum, refusals, since })
        },
    },
    Watch {
        sql: "SELECT g.id, g.kind, g.name, sum(r.count) AS refusals, min(r.first_minute), count(*) OVER ()
              FROM refusal_hours r
                  CROSS JOIN provisioning_keys k ON k.id = r.key_id AND k.customer_id = ?1
                  CROSS JOIN groups g ON g.id = k.group_id
              WHERE r.customer_id = ?1 AND r.hour >= ?3 AND r.refusal = 'group-disabled' AND NOT g.enabled
              GROUP BY g.id ORDER BY refusals DESC, g.id LIMIT ?5",
        bound: 0,
        read: |row| {
            let group = GroupName { id: row.get(0)?, kind: row.get(1)?, name: row.get(2)? };
            Ok(Attention::GroupDisabled { group, refusals: row.get(3)?, since: row.get(4)? })
        },
    },
    Watch {
        sql: "SELECT k.id, k.kind, k.name, sum(r.count) AS refusals, min(r.first_minute), count(*) OVER ()
              FROM refusal_hours r CROSS JOIN provisioning_keys k ON k.id = r.key_id AND k.customer_id = ?1
              WHERE r.customer_id = ?1 AND r.hour >= ?3 AND r.refusal = 'key-disabled' AND NOT k.enabled
              GROUP BY k.id ORDER BY refusals DESC, k.id LIMIT ?5",
        bound: 0,
        read: |row| Ok(Attention::KeyDisabled { key: key(row)?, refusals: row.get(3)?, since: row.get(4)? }),
    },
    Watch {
        sql: "SELECT k.id, k.kind, k.name, k.expires_at, n.uses, k.maximum, count(*) OVER ()
              FROM provisioning_keys k INDEXED BY provisioning_keys_by_expiry
                  CROSS JOIN key_counters n ON n.key_id = k.id
              WHERE k.customer_id = ?1 AND k.expires_at > ?2 - ?4 AND k.expires_at <= ?2 AND k.enabled
              ORDER BY k.expires_at DESC, k.id LIMIT ?5",
        bound: KEY_END_NEAR.as_secs().cast_signed(),
        read: |row| {
            let (expired_at, uses, maximum) = (row.get(3)?, row.get(4)?, row.get(5)?);
            Ok(Attention::KeyExpired { key: key(row)?, expired_at, uses, maximum })
        },
    },
    Watch {
        sql: "SELECT k.id, k.kind, k.name, n.uses, k.maximum, count(*) OVER ()
              FROM provisioning_keys k INDEXED BY provisioning_keys_by_kind
                  CROSS JOIN key_counters n ON n.key_id = k.id
              WHERE k.customer_id = ?1 AND n.uses * 100 >= k.maximum * ?4 AND n.uses < k.maximum
                  AND k.enabled AND (k.expires_at IS NULL OR k.expires_at > ?2)
              ORDER BY CAST(n.uses AS REAL) / k.maximum DESC, k.id LIMIT ?5",
        bound: NEARLY_EXHAUSTED_PERCENT as i64,
        read: |row| {
            let (uses, maximum) = (row.get(3)?, row.get(4)?);
            Ok(Attention::KeyNearlyExhausted { key: key(row)?, uses, maximum, uses_last_day: 0 })
        },
    },
    Watch {
        sql: "SELECT k.id, k.kind, k.name, k.expires_at, n.uses, k.maximum, count(*) OVER ()
              FROM provisioning_keys k INDEXED BY provisioning_keys_by_expiry
                  CROSS JOIN key_counters n ON n.key_id = k.id
              WHERE k.customer_id = ?1 AND k.expires_at > ?2 AND k.expires_at <= ?2 + ?4 AND k.enabled
              ORDER BY k.expires_at, k.id LIMIT ?5",
        bound: KEY_END_NEAR.as_secs().cast_signed(),
        read: |row| {
            let (expires_at, uses, maximum) = (row.get(3)?, row.get(4)?, row.get(5)?);
            Ok(Attention::KeyExpiring { key: key(row)?, expires_at, uses, maximum })
        },
    },
    Watch {
        sql: "SELECT s.id, s.name, s.not_after, (
                  SELECT count(*) FROM provisioning_keys k
                  WHERE k.customer_id = ?1 AND k.signing_certificate_id = s.id) AS keys, count(*) OVER ()
              FROM signing_certificates s
              WHERE s.customer_id = ?1 AND s.certificate IS NOT NULL AND s.not_after > ?2 AND s.not_after <= ?2 + ?4
                  AND (keys > 0 OR EXISTS (
                      SELECT 1 FROM groups g WHERE g.customer_id = ?1 AND g.signing_certificate_id = s.id))
              ORDER BY s.not_after, s.id LIMIT ?5",
        bound: SIGNING_CERTIFICATE_END_NEAR.as_secs().cast_signed(),
        read: |row| {
            let certificate = SigningCertificateName { id: row.get(0)?, name: row.get(1)? };
            Ok(Attention::SigningCertificateExpiring { certificate, expires_at: row.get(2)?, keys: row.get(3)? })
        },
    },
];

/// In the first three columns.
fn key(row: &Row<'_>) -> rusqlite::Result<KeyName> {
    Ok(KeyName { id: row.get(0)?, kind: row.get(1)?, name: row.get(2)? })
}
