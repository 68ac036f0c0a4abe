//! `component_names`: components in order of name, kept off the path of an enrollment.
//!
//! The order is filled afterwards, in the order of commits: certificates have rowids that only grow,
//! and every enrollment adds one. `component_names_end` says how far that went. Whoever reads by name
//! has it brought up to date first; a writer that is idle does it unasked.
//!
//! Buckets count the names from their first one up to the next bucket's, and are split when they
//! hold more than [`BUCKET_MAX`]: so the place of a name and the name at a place are found by adding
//! counts and walking part of one bucket.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::Kind;
use crate::id::{ComponentId, CustomerId, GroupId, Id};

const BUCKET_MAX: u64 = if cfg!(test) { 4 } else { 4_096 };

/// Certificates that one step looks at: what an enrollment may have to wait for.
const STEP: u32 = 256;

/// How far the commits go: everything that was committed is at or before it.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT coalesce(max(rowid), 0) FROM certificates")?.query_row([], |row| row.get(0))
}

/// Up to which commit the order is complete.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT certificate FROM component_names_end")?.query_row([], |row| row.get(0))
}

/// Takes in what the next commits brought, and answers how far that went and whether more may follow.
pub(super) fn step(connection: &Connection) -> rusqlite::Result<(i64, bool)> {
    let before = end(connection)?;
    let mut next = connection.prepare_cached(
        "SELECT t.rowid, p.customer_id, p.kind, p.id, p.name
         FROM certificates t LEFT JOIN components p ON p.id = t.component_id AND p.deleted_at IS NULL
         WHERE t.rowid > ?1 ORDER BY t.rowid LIMIT ?2",
    )?;
    let mut rows = next.query(params![before, STEP])?;
    let (mut end, mut seen) = (before, 0);
    while let Some(row) = rows.next()? {
        (end, seen) = (row.get(0)?, seen + 1);
        if let Some(customer) = row.get(1)? {
            let name: String = row.get(4)?;
            insert(connection, customer, row.get(2)?, row.get(3)?, &name)?;
        }
    }
    if seen > 0 {
        connection.prepare_cached("UPDATE component_names_end SET certificate = ?1")?.execute([end])?;
    }
    Ok((end, seen == STEP))
}

/// A component that is in the order already stays where it is.
fn insert(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    id: ComponentId,
    name: &str,
) -> rusqlite::Result<()> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO component_names (customer_id, kind, name, id) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![customer, kind, name, id])?;
    if inserted == 0 {
        return Ok(());
    }
    let bucket = match Bucket::of(connection, customer, kind, name, id)? {
        Some(bucket) => bucket,
        None => Bucket::insert(connection, customer, kind, "", 0, 0)?,
    };
    bucket.count(connection, customer, kind, bucket.names + 1)?;
    if bucket.names + 1 > BUCKET_MAX {
        bucket.split(connection, customer, kind, bucket.names + 1)?;
    }
    Ok(())
}

/// `false`: it was not in the order yet; when it is its turn, it will not be there or be named anew.
pub(super) fn remove(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    id: ComponentId,
    name: &str,
) -> rusqlite::Result<bool> {
    let removed = connection
        .prepare_cached("DELETE FROM component_names WHERE customer_id = ?1 AND kind = ?2 AND name = ?3 AND id = ?4")?
        .execute(params![customer, kind, name, id])?;
    if removed == 0 {
        return Ok(false);
    }
    if let Some(bucket) = Bucket::of(connection, customer, kind, name, id)? {
        bucket.count(connection, customer, kind, bucket.names.saturating_sub(1))?;
    }
    Ok(true)
}

/// Takes out those of a group, before they are deleted there. `kind` is the group's.
pub(super) fn remove_of_group(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    group: GroupId,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE component_name_buckets AS b SET names = b.names - gone.names
             FROM (SELECT f.first_name, f.first_id, count(*) AS names
                   FROM components p INDEXED BY components_by_group
                       CROSS JOIN component_names n
                           ON n.customer_id = ?1 AND n.kind = ?2 AND n.name = p.name AND n.id = p.id
                       CROSS JOIN component_name_buckets f
                           ON f.customer_id = ?1 AND f.kind = ?2 AND (f.first_name, f.first_id) = (
                               SELECT o.first_name, o.first_id FROM component_name_buckets o
                               WHERE o.customer_id = ?1 AND o.kind = ?2 AND (o.first_name, o.first_id) <= (n.name, n.id)
                               ORDER BY o.first_name DESC, o.first_id DESC LIMIT 1)
                   WHERE p.customer_id = ?1 AND p.kind = ?2 AND p.group_id = ?3 AND p.deleted_at IS NULL
                   GROUP BY 1, 2) AS gone
             WHERE b.customer_id = ?1 AND b.kind = ?2 AND b.first_name = gone.first_name AND b.first_id = gone.first_id",
        )?
        .execute(params![customer, kind, group])?;
    connection
        .prepare_cached(
            "DELETE FROM component_names
             WHERE customer_id = ?1 AND kind = ?2 AND (name, id) IN (
                 SELECT p.name, p.id FROM components p
                 WHERE p.customer_id = ?1 AND p.kind = ?2 AND p.group_id = ?3 AND p.deleted_at IS NULL)",
        )?
        .execute(params![customer, kind, group])?;
    Ok(())
}

pub(super) fn rename(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    id: ComponentId,
    (old, new): (&str, &str),
) -> rusqlite::Result<()> {
    if old != new && remove(connection, customer, kind, id, old)? {
        insert(connection, customer, kind, id, new)?;
    }
    Ok(())
}

/// The ids at the places from `position` on, at most `limit`, in order of name.
pub(super) fn ids(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    position: u64,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let Some((bucket, before)) = Bucket::find(connection, customer, kind, |_, after| after > position)? else {
        return Ok(Vec::new());
    };
    connection
        .prepare_cached(
            "SELECT id FROM component_names WHERE customer_id = ?1 AND kind = ?2 AND (name, id) >= (?3, ?4)
             ORDER BY name, id LIMIT ?5 OFFSET ?6",
        )?
        .query_map(params![customer, kind, bucket.first_name, bucket.first_id, limit, position - before], |row| {
            row.get(0)
        })?
        .collect()
}

/// The places, end exclusive, of the names that start with `prefix`.
pub(super) fn places(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    prefix: &str,
) -> rusqlite::Result<std::ops::Range<u64>> {
    // No character stands behind the last one.
    let behind = format!("{prefix}{}", char::MAX);
    Ok(place(connection, customer, kind, prefix)?..place(connection, customer, kind, &behind)?)
}

pub(super) fn total(connection: &Connection, customer: CustomerId, kind: Kind) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT coalesce(sum(names), 0) FROM component_name_buckets WHERE customer_id = ?1 AND kind = ?2",
        )?
        .query_row(params![customer, kind], |row| row.get(0))
}

/// How many names come before `name`.
fn place(connection: &Connection, customer: CustomerId, kind: Kind, name: &str) -> rusqlite::Result<u64> {
    let Some(of_name) = Bucket::of(connection, customer, kind, name, ComponentId::from_raw(0))? else { return Ok(0) };
    let is_it = |bucket: &Bucket, _| bucket.first_id == of_name.first_id && bucket.first_name == of_name.first_name;
    let Some((bucket, before)) = Bucket::find(connection, customer, kind, is_it)? else { return Ok(0) };
    let within: u64 = connection
        .prepare_cached(
            "SELECT count(*) FROM component_names
             WHERE customer_id = ?1 AND kind = ?2 AND (name, id) >= (?3, ?4) AND name < ?5",
        )?
        .query_row(params![customer, kind, bucket.first_name, bucket.first_id, name], |row| row.get(0))?;
    Ok(before + within)
}

/// One bucket as it is stored; the first one of a list begins at the empty name.
struct Bucket {
    first_name: String,
    first_id: i64,
    names: u64,
}

impl Bucket {
    /// The one that a name falls into. `None`: the list has none yet.
    fn of(
        connection: &Connection,
        customer: CustomerId,
        kind: Kind,
        name: &str,
        id: ComponentId,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT first_name, first_id, names FROM component_name_buckets
                 WHERE customer_id = ?1 AND kind = ?2 AND (first_name, first_id) <= (?3, ?4)
                 ORDER BY first_name DESC, first_id DESC LIMIT 1",
            )?
            .query_row(params![customer, kind, name, id], Self::read)
            .optional()
    }

    /// The first one that `is_it`, and how many names come before it. `is_it` is told, too, how many
    /// names there are up to its end.
    fn find(
        connection: &Connection,
        customer: CustomerId,
        kind: Kind,
        is_it: impl Fn(&Self, u64) -> bool,
    ) -> rusqlite::Result<Option<(Self, u64)>> {
        let mut buckets = connection.prepare_cached(
            "SELECT first_name, first_id, names FROM component_name_buckets
             WHERE customer_id = ?1 AND kind = ?2 ORDER BY first_name, first_id",
        )?;
        let mut before = 0;
        for bucket in buckets.query_map(params![customer, kind], Self::read)? {
            let bucket = bucket?;
            let after = before + bucket.names;
            if is_it(&bucket, after) {
                return Ok(Some((bucket, before)));
            }
            before = after;
        }
        Ok(None)
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { first_name: row.get(0)?, first_id: row.get(1)?, names: row.get(2)? })
    }

    fn insert(
        connection: &Connection,
        customer: CustomerId,
        kind: Kind,
        first_name: &str,
        first_id: i64,
        names: u64,
    ) -> rusqlite::Result<Self> {
        connection
            .prepare_cached(
                "INSERT INTO component_name_buckets (customer_id, kind, first_name, first_id, names)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![customer, kind, first_name, first_id, names])?;
        Ok(Self { first_name: first_name.to_owned(), first_id, names })
    }

    fn count(&self, connection: &Connection, customer: CustomerId, kind: Kind, names: u64) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "UPDATE component_name_buckets SET names = ?5
                 WHERE customer_id = ?1 AND kind = ?2 AND first_name = ?3 AND first_id = ?4",
            )?
            .execute(params![customer, kind, self.first_name, self.first_id, names])?;
        Ok(())
    }

    /// Gives the upper half of its `names` to a bucket of their own.
    fn split(&self, connection: &Connection, customer: CustomerId, kind: Kind, names: u64) -> rusqlite::Result<()> {
        let kept = names / 2;
        let (first_name, first_id): (String, i64) = connection
            .prepare_cached(
                "SELECT name, id FROM component_names WHERE customer_id = ?1 AND kind = ?2 AND (name, id) >= (?3, ?4)
                 ORDER BY name, id LIMIT 1 OFFSET ?5",
            )?
            .query_row(params![customer, kind, self.first_name, self.first_id, kept], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        Self::insert(connection, customer, kind, &first_name, first_id, names - kept)?;
        self.count(connection, customer, kind, kept)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{connection, migrations};
    use super::*;
    use crate::domain::audit::AuditKey;

    const CUSTOMER: u64 = 1;
    const KIND: Kind = Kind::Machine;
    /// A component belongs to that of its id modulo this.
    const GROUPS: u64 = 3;

    /// Components by name, as they would be in the table.
    #[derive(Clone, Debug)]
    enum Operation {
        Enroll { name: u16 },
        Order,
        Remove { at: prop::sample::Index },
        RemoveGroup { group: u64 },
        Rename { at: prop::sample::Index, name: u16 },
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let operation = prop_oneof![
            6 => any::<u16>().prop_map(|name| Operation::Enroll { name }),
            1 => Just(Operation::Order),
            2 => any::<prop::sample::Index>().prop_map(|at| Operation::Remove { at }),
            1 => (0..GROUPS).prop_map(|group| Operation::RemoveGroup { group }),
            2 => (any::<prop::sample::Index>(), any::<u16>()).prop_map(|(at, name)| Operation::Rename { at, name }),
        ];
        prop::collection::vec(operation, 0..80)
    }

    /// Few enough that some are alike but for their case.
    fn name_of(number: u16) -> String {
        let name = format!("k{}-{}", number % 3, number % 40);
        if number.is_multiple_of(2) { name.to_ascii_uppercase() } else { name }
    }

    struct Place {
        connection: Connection,
        /// Of those that are not deleted.
        names: Vec<(String, i64)>,
        next: i64,
        _dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("names.db");
            std::fs::write(&path, []).unwrap();
            let mut connection = connection::open_writer(&path).unwrap();
            migrations::migrate(&mut connection, 0).unwrap();
            connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
            Self { connection, names: Vec::new(), next: 1, _dir: dir }
        }

        fn apply(&mut self, operation: &Operation) {
            let customer = CustomerId::from_raw(CUSTOMER);
            match operation {
                Operation::Enroll { name } => {
                    let (name, id) = (name_of(*name), self.next);
                    self.next += 1;
                    self.connection
                        .execute(
                            "INSERT INTO components (id, customer_id, key_id, fingerprint, enabled, current_serial,
                                 revision, kind, group_id, enrolled_key_id, ordinal, name, remote_address, enrolled_at,
                                 modified_at, description)
                             VALUES (?1, ?2, 4, 'device ' || ?1, 1, x'', 1, ?3, ?1 % ?5, 4, ?1, ?4, x'', 0, 0, '')",
                            params![id, CUSTOMER, KIND, name, GROUPS],
                        )
                        .unwrap();
                    self.connection
                        .execute(
                            "INSERT INTO certificates (customer_id, key_id, component_id, serial, status,
                                 signing_certificate_id, public_key_hash, issued_at, not_before, not_after, der)
                             VALUES (?2, 4, ?1, randomblob(16), 1, 2, x'', 0, 0, 0, x'')",
                            params![id, CUSTOMER],
                        )
                        .unwrap();
                    self.names.push((name, id));
                }
                Operation::Order => while step(&self.connection).unwrap().1 {},
                Operation::Remove { at } if !self.names.is_empty() => {
                    let (name, id) = self.names.remove(at.index(self.names.len()));
                    self.connection.execute("UPDATE components SET deleted_at = 1 WHERE id = ?1", [id]).unwrap();
                    remove(&self.connection, customer, KIND, ComponentId::from_raw(id.cast_unsigned()), &name).unwrap();
                }
                Operation::RemoveGroup { group } => {
                    remove_of_group(&self.connection, customer, KIND, GroupId::from_raw(*group)).unwrap();
                    self.connection
                        .execute("UPDATE components SET deleted_at = 1 WHERE group_id = ?1", [group])
                        .unwrap();
                    self.names.retain(|(_, id)| id.cast_unsigned() % GROUPS != *group);
                }
                Operation::Rename { at, name } if !self.names.is_empty() => {
                    let at = at.index(self.names.len());
                    let (old, id) = self.names[at].clone();
                    let new = name_of(*name);
                    self.connection.execute("UPDATE components SET name = ?2 WHERE id = ?1", params![id, new]).unwrap();
                    let component = ComponentId::from_raw(id.cast_unsigned());
                    rename(&self.connection, customer, KIND, component, (&old, &new)).unwrap();
                    self.names[at].0 = new;
                }
                Operation::Remove { .. } | Operation::Rename { .. } => {}
            }
        }

        fn assert_ordered(&mut self) {
            self.apply(&Operation::Order);
            let (connection, customer) = (&self.connection, CustomerId::from_raw(CUSTOMER));
            let mut expected: Vec<_> = self.names.iter().map(|(name, id)| (name.to_ascii_lowercase(), *id)).collect();
            expected.sort();
            assert_eq!(total(connection, customer, KIND).unwrap(), expected.len() as u64);
            for position in 0..=expected.len() {
                let found = ids(connection, customer, KIND, position as u64, 3).unwrap();
                let wanted: Vec<_> = expected[position..].iter().take(3).map(|(_, id)| *id).collect();
                assert_eq!(found, wanted, "from {position}");
            }
            for prefix in ["", "k", "K1", "k1-2", "k1-20", "k2-39", "l", "\u{10fffe}"] {
                let lower = prefix.to_ascii_lowercase();
                let start = expected.partition_point(|(name, _)| *name < lower);
                let count = expected.iter().filter(|(name, _)| name.starts_with(&lower)).count();
                let found = places(connection, customer, KIND, prefix).unwrap();
                assert_eq!(found, start as u64..(start + count) as u64, "{prefix}");
            }
            let largest: u64 = connection
                .query_row("SELECT coalesce(max(names), 0) FROM component_name_buckets", [], |row| row.get(0))
                .unwrap();
            assert!(largest <= BUCKET_MAX);
            let findings = super::super::integrity::check(connection, &AuditKey::new(&[1; 32])).unwrap();
            let of_names: Vec<_> = findings.iter().filter(|finding| finding.detail.contains("name")).collect();
            assert!(of_names.is_empty(), "{of_names:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_name_is_found_at_its_place(operations in operations()) {
            let mut place = Place::new();
            for operation in &operations {
                place.apply(operation);
            }
            place.assert_ordered();
        }
    }

    #[test]
    fn a_step_is_bounded_and_says_that_there_is_more() {
        for (commits, more) in [(STEP - 1, false), (STEP, true), (STEP + 1, true)] {
            let mut place = Place::new();
            for name in 0..commits {
                place.apply(&Operation::Enroll { name: u16::try_from(name).unwrap() });
            }
            assert_eq!(step(&place.connection).unwrap(), (i64::from(commits.min(STEP)), more), "{commits}");
            place.assert_ordered();
        }
    }
}
