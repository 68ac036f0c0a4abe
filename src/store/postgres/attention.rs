//! What needs attention: one statement for each way in which something does.

use std::time::Duration;

use tokio_postgres::types::ToSql;

use super::encoding::Count;
use super::errors::Error;
use super::session::{Row, Session};
use crate::clock::Timestamp;
use crate::domain::attention::{
    Attention, GroupName, KEY_END_NEAR, NEARLY_EXHAUSTED_PERCENT, SIGNING_CERTIFICATE_END_NEAR, SigningCertificateName,
};
use crate::domain::key::KeyName;
use crate::domain::{BucketStep, Buckets};
use crate::id::CustomerId;
use crate::store::Page;

/// One way to need attention: a statement that answers its things, the worst first, behind how many there
/// are in the first column. It binds the customer, the most rows, and what `given` says.
struct Watch {
    sql: &'static str,
    given: &'static [Given],
    read: fn(&Row) -> Result<Attention, Error>,
}

/// What a statement asks about.
#[derive(Clone, Copy)]
enum Given {
    /// So long after now.
    After(Duration),
    /// So long before now.
    Before(Duration),
    /// Where the last day begins.
    LastDay,
    Now,
    Percent(u32),
}

impl Given {
    fn value(self, now: Timestamp) -> i64 {
        let instant = match self {
            Self::After(duration) => now.saturating_add(duration),
            Self::Before(duration) => now.saturating_sub(duration),
            Self::LastDay => Buckets::until(now, BucketStep::Hour, 24).from(),
            Self::Now => now,
            Self::Percent(percent) => return percent.into(),
        };
        instant.unix_seconds()
    }
}

/// In the order of [`Attention`], at most `limit`. Costs one look at each key of the customer, mostly, and at the
/// day's refusals: some tenths of a second for 100,000 of either.
pub(super) async fn list(
    session: &Session,
    customer: CustomerId,
    now: Timestamp,
    limit: u32,
) -> Result<Page<Attention>, Error> {
    let mut page = Page { rows: Vec::new(), total: 0 };
    let rows_max = Count(limit.max(1));
    for watch in WATCHES {
        let given: Vec<_> = watch.given.iter().map(|given| given.value(now)).collect();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&customer, &rows_max];
        values.extend(given.iter().map(|value| value as &(dyn ToSql + Sync)));
        let rows = session.rows(watch.sql, &values).await?;
        if let Some(first) = rows.first() {
            page.total += first.count::<u64>(0)?;
        }
        for row in &rows {
            page.rows.push((watch.read)(row)?);
        }
    }
    page.rows.truncate(limit as usize);
    Ok(page)
}

const WATCHES: [Watch; 8] = [
    Watch {
        sql: "SELECT count(*) OVER (), s.id, s.name, s.not_after, k.keys
              FROM signing_certificates s CROSS JOIN LATERAL (
                  SELECT count(*) AS keys FROM provisioning_keys k
                  WHERE k.customer_id = $1 AND k.signing_certificate_id = s.id AND k.id > 0) AS k
              WHERE s.customer_id = $1 AND s.certificate IS NOT NULL AND s.not_after <= $3 AND (
                  k.keys > 0 OR EXISTS (
                      SELECT 1 FROM groups g WHERE g.customer_id = $1 AND g.signing_certificate_id = s.id))
              ORDER BY k.keys DESC, s.id LIMIT $2",
        given: &[Given::Now],
        read: |row| {
            let certificate = SigningCertificateName { id: row.get(1)?, name: row.get(2)? };
            Ok(Attention::SigningCertificateExpired { certificate, expired_at: row.get(3)?, keys: row.count(4)? })
        },
    },
    Watch {
        sql: "SELECT count(*) OVER (), k.id, k.kind, k.name, n.uses, k.maximum, r.count, r.since
              FROM (SELECT key_id, sum(count)::bigint AS count, min(first_minute) AS since FROM refusal_hours
                    WHERE customer_id = $1 AND hour >= $4 AND refusal = 'key-exhausted' GROUP BY key_id) AS r
                  JOIN provisioning_keys k ON k.customer_id = $1 AND k.id = r.key_id
                  JOIN key_counters n ON n.customer_id = $1 AND n.key_id = r.key_id
              WHERE k.enabled AND (k.expires_at IS NULL OR k.expires_at > $3) AND n.uses >= k.maximum
              ORDER BY r.count DESC, k.id LIMIT $2",
        given: &[Given::Now, Given::LastDay],
        read: |row| {
            let (uses, maximum) = (row.count(4)?, row.count(5)?);
            let (refusals, since) = (row.count(6)?, row.get(7)?);
            Ok(Attention::KeyExhausted { key: key(row)?, uses, maximum, refusals, since })
        },
    },
    Watch {
        sql: "SELECT count(*) OVER (), g.id, g.kind, g.name, r.refusals, r.since
              FROM (SELECT k.group_id, sum(r.count)::bigint AS refusals, min(r.first_minute) AS since
                    FROM refusal_hours r JOIN provisioning_keys k ON k.customer_id = $1 AND k.id = r.key_id
                    WHERE r.customer_id = $1 AND r.hour >= $3 AND r.refusal = 'group-disabled'
                    GROUP BY k.group_id) AS r
                  JOIN groups g ON g.customer_id = $1 AND g.id = r.group_id
              WHERE NOT g.enabled
              ORDER BY r.refusals DESC, g.id LIMIT $2",
        given: &[Given::LastDay],
        read: |row| {
            let group = GroupName { id: row.get(1)?, kind: row.get(2)?, name: row.get(3)? };
            Ok(Attention::GroupDisabled { group, refusals: row.count(4)?, since: row.get(5)? })
        },
    },
    Watch {
        sql: "SELECT count(*) OVER (), k.id, k.kind, k.name, r.refusals, r.since
              FROM (SELECT key_id, sum(count)::bigint AS refusals, min(first_minute) AS since FROM refusal_hours
                    WHERE customer_id = $1 AND hour >= $3 AND refusal = 'key-disabled' GROUP BY key_id) AS r
                  JOIN provisioning_keys k ON k.customer_id = $1 AND k.id = r.key_id
              WHERE NOT k.enabled
              ORDER BY r.refusals DESC, k.id LIMIT $2",
        given: &[Given::LastDay],
        read: |row| Ok(Attention::KeyDisabled { key: key(row)?, refusals: row.count(4)?, since: row.get(5)? }),
    },
    Watch {
        sql: "SELECT count(*) OVER (), k.id, k.kind, k.name, k.expires_at, n.uses, k.maximum
              FROM provisioning_keys k JOIN key_counters n ON n.customer_id = $1 AND n.key_id = k.id
              WHERE k.customer_id = $1 AND k.expires_at > $4 AND k.expires_at <= $3 AND k.enabled
              ORDER BY k.expires_at DESC, k.id LIMIT $2",
        given: &[Given::Now, Given::Before(KEY_END_NEAR)],
        read: |row| {
            let (expired_at, uses, maximum) = (row.get(4)?, row.count(5)?, row.count_or_none(6)?);
            Ok(Attention::KeyExpired { key: key(row)?, expired_at, uses, maximum })
        },
    },
    Watch {
        sql: "SELECT of_all, id, kind, name, uses, maximum, (
                  SELECT coalesce(sum(h.uses), 0)::bigint FROM key_hours h
                  WHERE h.customer_id = $1 AND h.key_id = k.id AND h.hour >= $4)
              FROM (SELECT count(*) OVER () AS of_all, k.id, k.kind, k.name, n.uses, k.maximum,
                        n.uses::float8 / k.maximum AS part
                    FROM provisioning_keys k JOIN key_counters n ON n.customer_id = $1 AND n.key_id = k.id
                    WHERE k.customer_id = $1 AND n.uses * 100 >= k.maximum * $5 AND n.uses < k.maximum
                        AND k.enabled AND (k.expires_at IS NULL OR k.expires_at > $3)
                    ORDER BY part DESC, k.id LIMIT $2) AS k
              ORDER BY part DESC, id",
        given: &[Given::Now, Given::LastDay, Given::Percent(NEARLY_EXHAUSTED_PERCENT)],
        read: |row| {
            let (uses, maximum, uses_last_day) = (row.count(4)?, row.count(5)?, row.count(6)?);
            Ok(Attention::KeyNearlyExhausted { key: key(row)?, uses, maximum, uses_last_day })
        },
    },
    Watch {
        sql: "SELECT count(*) OVER (), k.id, k.kind, k.name, k.expires_at, n.uses, k.maximum
              FROM provisioning_keys k JOIN key_counters n ON n.customer_id = $1 AND n.key_id = k.id
              WHERE k.customer_id = $1 AND k.expires_at > $3 AND k.expires_at <= $4 AND k.enabled
              ORDER BY k.expires_at, k.id LIMIT $2",
        given: &[Given::Now, Given::After(KEY_END_NEAR)],
        read: |row| {
            let (expires_at, uses, maximum) = (row.get(4)?, row.count(5)?, row.count_or_none(6)?);
            Ok(Attention::KeyExpiring { key: key(row)?, expires_at, uses, maximum })
        },
    },
    Watch {
        sql: "SELECT count(*) OVER (), s.id, s.name, s.not_after, k.keys
              FROM signing_certificates s CROSS JOIN LATERAL (
                  SELECT count(*) AS keys FROM provisioning_keys k
                  WHERE k.customer_id = $1 AND k.signing_certificate_id = s.id AND k.id > 0) AS k
              WHERE s.customer_id = $1 AND s.certificate IS NOT NULL AND s.not_after > $3 AND s.not_after <= $4 AND (
                  k.keys > 0 OR EXISTS (
                      SELECT 1 FROM groups g WHERE g.customer_id = $1 AND g.signing_certificate_id = s.id))
              ORDER BY s.not_after, s.id LIMIT $2",
        given: &[Given::Now, Given::After(SIGNING_CERTIFICATE_END_NEAR)],
        read: |row| {
            let certificate = SigningCertificateName { id: row.get(1)?, name: row.get(2)? };
            Ok(Attention::SigningCertificateExpiring { certificate, expires_at: row.get(3)?, keys: row.count(4)? })
        },
    },
];

/// In the columns after the first.
fn key(row: &Row) -> Result<KeyName, Error> {
    Ok(KeyName { id: row.get(1)?, kind: row.get(2)?, name: row.get(3)? })
}
