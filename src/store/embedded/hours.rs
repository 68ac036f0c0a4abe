//! `key_hours`: what happened to a customer's keys hour by hour, for charts that cost the same however many
//! enrollments they sum up.
//!
//! Uses and re-enrollments are counted from the ledgers by the walk that keeps the order by name, off the path
//! of an enrollment ([`names`]). It meets each certificate once, in the order of commits, and each
//! belongs to the next row of its key's ledger; `key_hours_end` says how far a ledger was counted. A read
//! counts what came after, too, so that it is never behind. Releases and refusals, which do not come in
//! batches, are added as they are written.
//!
//! An hour of a key with anything in it has one narrow row: less than one enrollment has, and it had one.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::names;
use crate::clock::Timestamp;
use crate::domain::buckets::{HOUR, start_of};
use crate::domain::ledger::HourTally;
use crate::id::{CustomerId, Id, ProvisioningKeyId};
use crate::store::codes;

/// The list of all keys of a customer; ids begin at 1.
const ALL: i64 = 0;

/// What a transaction adds to the hours; to be written before it ends.
#[derive(Default)]
#[must_use]
pub(super) struct Hours(BTreeMap<(CustomerId, i64, Timestamp), HourTally>);

impl Hours {
    /// One of each thing that `add` adds, to the key's hour and to the customer's.
    pub(super) fn add(
        &mut self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        at: Timestamp,
        add: impl Fn(&mut HourTally),
    ) {
        let hour = start_of(at, HOUR);
        for list in [key.raw().cast_signed(), ALL] {
            add(self.0.entry((customer, list, hour)).or_insert(HourTally::empty(hour)));
        }
    }

    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(
            "INSERT INTO key_hours (customer_id, list, hour, uses, releases, re_enrollments, refusals)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET uses = uses + excluded.uses, releases = releases + excluded.releases,
                 re_enrollments = re_enrollments + excluded.re_enrollments, refusals = refusals + excluded.refusals",
        )?;
        for ((customer, list, hour), tally) in self.0 {
            add.execute(params![
                customer,
                list,
                hour,
                tally.uses,
                tally.releases,
                tally.re_enrollments,
                tally.refusals
            ])?;
        }
        Ok(())
    }
}

/// Counts the next rows of a key's ledger, as many as it had `commits`. Costs the reading of those.
pub(super) fn count(
    connection: &Connection,
    hours: &mut Hours,
    (customer, key): (CustomerId, ProvisioningKeyId),
    commits: usize,
) -> rusqlite::Result<()> {
    let before = end(connection, key)?;
    let mut rows = connection.prepare_cached(
        "SELECT sequence, entry, at FROM key_uses
         WHERE customer_id = ?1 AND key_id = ?2 AND sequence > ?3 AND entry IN (1, 2) ORDER BY sequence LIMIT ?4",
    )?;
    let mut rows = rows.query(params![customer, key, before, commits])?;
    let mut end = None;
    while let Some(row) = rows.next()? {
        end = Some(row.get::<_, i64>(0)?);
        match row.get(1)? {
            codes::USE => hours.add(customer, key, row.get(2)?, |tally| tally.uses += 1),
            _ => hours.add(customer, key, row.get(2)?, |tally| tally.re_enrollments += 1),
        }
    }
    if let Some(end) = end {
        connection
            .prepare_cached(
                "INSERT INTO key_hours_end (key_id, sequence) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET sequence = excluded.sequence",
            )?
            .execute(params![key, end])?;
    }
    Ok(())
}

/// The last row of a key's ledger that was counted.
fn end(connection: &Connection, key: ProvisioningKeyId) -> rusqlite::Result<i64> {
    let end = connection
        .prepare_cached("SELECT sequence FROM key_hours_end WHERE key_id = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(end.unwrap_or(0))
}

/// A key's hours from the one on that `since` is in, in order, those in which something happened. Costs these rows and the ledger
/// rows that are not counted yet.
pub(super) fn of_key(
    connection: &Connection,
    customer: CustomerId,
    key: ProvisioningKeyId,
    since: Timestamp,
) -> rusqlite::Result<Vec<HourTally>> {
    let since = start_of(since, HOUR);
    let mut hours = stored(connection, customer, key.raw().cast_signed(), since)?;
    let mut uncounted = connection.prepare_cached(
        "SELECT at - at % 3600, sum(entry = 1), sum(entry = 2) FROM key_uses
         WHERE customer_id = ?1 AND key_id = ?2 AND sequence > ?3 AND entry IN (1, 2) AND at >= ?4 GROUP BY 1",
    )?;
    let uncounted = uncounted.query(params![customer, key, end(connection, key)?, since])?;
    merge(&mut hours, uncounted)?;
    Ok(hours.into_values().collect())
}

/// What happened to a customer's keys from the hour on that `since` is in, in order, hours in which something did.
///
/// Costs these rows, and while anything is not counted yet one look per key and the ledger rows that are
/// not: about a second per million. Of a key that was deleted, those appear once they are counted.
pub(super) fn of_customer(
    connection: &Connection,
    customer: CustomerId,
    since: Timestamp,
) -> rusqlite::Result<Vec<HourTally>> {
    let since = start_of(since, HOUR);
    let mut hours = stored(connection, customer, ALL, since)?;
    if names::behind(connection)? > 0 {
        let mut uncounted = connection.prepare_cached(
            "SELECT u.at - u.at % 3600, sum(u.entry = 1), sum(u.entry = 2)
             FROM provisioning_keys k INDEXED BY provisioning_keys_by_kind
                 CROSS JOIN key_counters n ON n.key_id = k.id
                 LEFT JOIN key_hours_end e ON e.key_id = k.id
                 CROSS JOIN key_uses u
                     ON u.customer_id = ?1 AND u.key_id = k.id AND u.sequence > coalesce(e.sequence, 0)
             WHERE k.customer_id = ?1 AND n.last_sequence > coalesce(e.sequence, 0)
                 AND u.entry IN (1, 2) AND u.at >= ?2
             GROUP BY 1",
        )?;
        let uncounted = uncounted.query(params![customer, since])?;
        merge(&mut hours, uncounted)?;
    }
    Ok(hours.into_values().collect())
}

fn stored(
    connection: &Connection,
    customer: CustomerId,
    list: i64,
    since: Timestamp,
) -> rusqlite::Result<BTreeMap<Timestamp, HourTally>> {
    connection
        .prepare_cached(
            "SELECT hour, uses, releases, re_enrollments, refusals FROM key_hours
             WHERE customer_id = ?1 AND list = ?2 AND hour >= ?3",
        )?
        .query_map(params![customer, list, since], |row| {
            let hour = row.get(0)?;
            let (uses, releases) = (row.get(1)?, row.get(2)?);
            Ok((hour, HourTally { hour, uses, releases, re_enrollments: row.get(3)?, refusals: row.get(4)? }))
        })?
        .collect()
}

/// Adds rows of hour, uses and re-enrollments.
fn merge(hours: &mut BTreeMap<Timestamp, HourTally>, mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        let hour = row.get(0)?;
        let tally = hours.entry(hour).or_insert(HourTally::empty(hour));
        tally.uses += row.get::<_, u64>(1)?;
        tally.re_enrollments += row.get::<_, u64>(2)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{connection, ledger, migrations};
    use super::*;
    use crate::domain::audit::AuditKey;

    const CUSTOMER: CustomerId = CustomerId::SERVICE;
    const EPOCH: Timestamp = Timestamp::from_unix_seconds(0);

    /// What happens to one of three keys, in an hour.
    #[derive(Clone, Debug)]
    enum Operation {
        Count,
        ReEnroll { key: u64, hour: i64 },
        Release { key: u64, hour: i64 },
        Use { key: u64, hour: i64 },
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let place = (1..4_u64, 0..5_i64);
        let operation = prop_oneof![
            1 => Just(Operation::Count),
            2 => place.clone().prop_map(|(key, hour)| Operation::ReEnroll { key, hour }),
            2 => place.clone().prop_map(|(key, hour)| Operation::Release { key, hour }),
            6 => place.prop_map(|(key, hour)| Operation::Use { key, hour }),
        ];
        prop::collection::vec(operation, 0..60)
    }

    struct Place {
        connection: Connection,
        /// By list and hour.
        expected: BTreeMap<(u64, Timestamp), HourTally>,
        _dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("hours.db");
            std::fs::write(&path, []).unwrap();
            let mut connection = connection::open_writer(&path).unwrap();
            migrations::migrate(&mut connection, 0).unwrap();
            connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
            for key in 1..4 {
                connection
                    .execute(
                        "INSERT INTO provisioning_keys (id, customer_id, revision, group_id, signing_certificate_id,
                             enabled, allow_re_enrollment, kind, name, digest, pepper, addresses, version, hint, key_id,
                             uses_when_set, created_at, modified_at, description)
                         VALUES (?1, ?2, 1, 5, 6, 1, 1, 4, 'k' || ?1, x'', 1, '', 3, '', '', 0, 0, 0, '')",
                        params![key, CUSTOMER],
                    )
                    .unwrap();
                connection.execute("INSERT INTO key_counters VALUES (?1, 0, 0, 0, 0, NULL, NULL)", [key]).unwrap();
            }
            Self { connection, expected: BTreeMap::new(), _dir: dir }
        }

        fn apply(&mut self, operation: &Operation) {
            match *operation {
                Operation::Count => while names::step(&self.connection).unwrap() {},
                Operation::ReEnroll { key, hour } => {
                    self.commit(key, hour, codes::RE_ENROLLMENT);
                    self.expect(key, hour, |tally| tally.re_enrollments += 1);
                }
                Operation::Release { key, hour } => {
                    let component = crate::id::ComponentId::from_raw(9);
                    let key_id = ProvisioningKeyId::from_raw(key);
                    if ledger::release(&self.connection, CUSTOMER, key_id, component, at(hour)).unwrap() {
                        self.expect(key, hour, |tally| tally.releases += 1);
                    }
                }
                Operation::Use { key, hour } => {
                    self.commit(key, hour, codes::USE);
                    self.expect(key, hour, |tally| tally.uses += 1);
                }
            }
        }

        /// As an enrollment writes it.
        fn commit(&self, key: u64, hour: i64, entry: i64) {
            self.connection
                .execute(
                    "UPDATE key_counters SET last_sequence = last_sequence + 1, uses = uses + (?2 = 1),
                         re_enrollments = re_enrollments + (?2 = 2) WHERE key_id = ?1",
                    params![key, entry],
                )
                .unwrap();
            self.connection
                .execute(
                    "INSERT INTO key_uses (customer_id, key_id, sequence, entry, at)
                     SELECT ?1, ?2, last_sequence, ?3, ?4 FROM key_counters WHERE key_id = ?2",
                    params![CUSTOMER, key, entry, at(hour)],
                )
                .unwrap();
            self.connection
                .execute(
                    "INSERT INTO certificates (customer_id, key_id, component_id, serial, status,
                         signing_certificate_id, public_key_hash, issued_at, not_before, not_after, der)
                     VALUES (?1, ?2, 9, randomblob(16), 1, 2, x'', 0, 0, 0, x'')",
                    params![CUSTOMER, key],
                )
                .unwrap();
        }

        fn expect(&mut self, key: u64, hour: i64, add: impl Fn(&mut HourTally)) {
            let hour = start_of(at(hour), HOUR);
            for list in [key, 0] {
                add(self.expected.entry((list, hour)).or_insert(HourTally::empty(hour)));
            }
        }

        fn assert_found(&self, since: Timestamp) {
            let expected = |list| {
                let of_list = self.expected.iter().filter(move |((of, hour), _)| *of == list && *hour >= since);
                of_list.map(|(_, tally)| *tally).collect::<Vec<_>>()
            };
            for key in 1..4 {
                let id = ProvisioningKeyId::from_raw(key);
                assert_eq!(of_key(&self.connection, CUSTOMER, id, since).unwrap(), expected(key));
            }
            assert_eq!(of_customer(&self.connection, CUSTOMER, since).unwrap(), expected(0));
        }

        fn assert_sound(&self) {
            let findings = super::super::integrity::check(&self.connection, &AuditKey::new(&[1; 32])).unwrap();
            let of_hours: Vec<_> = findings.iter().filter(|finding| finding.detail.contains("hour")).collect();
            assert!(of_hours.is_empty(), "{of_hours:?}");
        }
    }

    /// Within the hour of that number.
    fn at(hour: i64) -> Timestamp {
        Timestamp::from_unix_seconds(hour * 3_600 + 1_234)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_read_is_never_behind_what_was_committed(operations in operations()) {
            let mut place = Place::new();
            for operation in &operations {
                place.apply(operation);
                place.assert_found(EPOCH);
            }
            place.assert_sound();
            place.assert_found(Timestamp::from_unix_seconds(2 * 3_600));
            place.apply(&Operation::Count);
            prop_assert_eq!(names::behind(&place.connection).unwrap(), 0);
            place.assert_found(EPOCH);
            place.assert_sound();
            let stored = stored(&place.connection, CUSTOMER, ALL, EPOCH).unwrap();
            prop_assert_eq!(stored.into_values().collect::<Vec<_>>(), of_customer(&place.connection, CUSTOMER, EPOCH).unwrap());
        }
    }

    #[test]
    fn a_wrong_hour_is_found() {
        for wrong in ["UPDATE key_hours SET uses = 2 WHERE list = 1", "DELETE FROM key_hours WHERE list = 0"] {
            let mut place = Place::new();
            place.apply(&Operation::Use { key: 1, hour: 1 });
            place.apply(&Operation::Count);
            place.connection.execute_batch(wrong).unwrap();
            let findings = super::super::integrity::check(&place.connection, &AuditKey::new(&[1; 32])).unwrap();
            assert!(findings.iter().any(|finding| finding.detail.contains("hour")), "{wrong}: {findings:?}");
        }
    }
}
