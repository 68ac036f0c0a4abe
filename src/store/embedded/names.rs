//! `component_names`: components in order of name, kept off the path of an enrollment.
//!
//! The order is filled afterwards, by a writer that has nothing else to do, in the order of commits:
//! certificates have rowids that only grow, and every enrollment adds one. `component_names_end` says
//! how far that went. A read by name looks through what came after, too, and merges it in. The same walk
//! counts the hours of keys ([`hours`]), as it meets every commit once.
//!
//! Buckets count the names from their first one up to the next bucket's, and are split when they
//! hold more than [`BUCKET_MAX`]: so the place of a name and the name at a place are found by adding
//! counts and walking part of one bucket.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};

use super::hours::{self, Hours};
use crate::domain::Kind;
use crate::id::{ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId};

const BUCKET_MAX: u64 = if cfg!(test) { 4 } else { 4_096 };

/// Certificates that one step looks at: what an enrollment may have to wait for.
const STEP: u32 = 256;

/// How many certificates are still to be looked at.
pub(super) fn behind(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT max(0, coalesce((SELECT max(rowid) FROM certificates), 0) - certificate) FROM component_names_end",
        )?
        .query_row([], |row| row.get(0))
}

/// Takes in what the next commits brought. `true`: more may follow.
pub(super) fn step(connection: &Connection) -> rusqlite::Result<bool> {
    let before: i64 =
        connection.prepare_cached("SELECT certificate FROM component_names_end")?.query_row([], |row| row.get(0))?;
    let mut next = connection.prepare_cached(
        "SELECT t.rowid, p.customer_id, p.kind, p.id, p.name, t.customer_id, t.key_id
         FROM certificates t LEFT JOIN components p ON p.id = t.component_id AND p.deleted_at IS NULL
         WHERE t.rowid > ?1 ORDER BY t.rowid LIMIT ?2",
    )?;
    let mut rows = next.query(params![before, STEP])?;
    let (mut end, mut seen) = (before, 0);
    let mut commits: BTreeMap<(CustomerId, ProvisioningKeyId), usize> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        (end, seen) = (row.get(0)?, seen + 1);
        *commits.entry((row.get(5)?, row.get(6)?)).or_default() += 1;
        if let Some(customer) = row.get(1)? {
            let name: String = row.get(4)?;
            insert(connection, customer, row.get(2)?, row.get(3)?, &name)?;
        }
    }
    let mut hours = Hours::default();
    for (key, commits) in commits {
        hours::count(connection, &mut hours, key, commits)?;
    }
    hours.write(connection)?;
    if seen > 0 {
        connection.prepare_cached("UPDATE component_names_end SET certificate = ?1")?.execute([end])?;
    }
    Ok(seen == STEP)
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

/// Whether a component other than `id` bears a name. Costs the reading of all that the order is behind.
pub(super) fn is_taken(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    id: ComponentId,
    name: &str,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT n.id FROM component_names n
             WHERE n.customer_id = ?1 AND n.kind = ?2 AND n.name = ?4 AND n.id <> ?3
             UNION ALL
             SELECT p.id FROM certificates t CROSS JOIN components p ON p.id = t.component_id
             WHERE t.rowid > (SELECT certificate FROM component_names_end)
                 AND p.customer_id = ?1 AND p.kind = ?2 AND p.name = ?4 AND p.id <> ?3 AND p.deleted_at IS NULL",
        )?
        .exists(params![customer, kind, id, name])
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

/// A kind's components in order of name, those that start with a prefix, as one snapshot has them.
pub(super) struct Names<'c> {
    connection: &'c Connection,
    customer: CustomerId,
    kind: Kind,
    /// Their places in the order.
    ordered: Range<u64>,
    /// Those that are not in the order yet: name in lower case and id, in the order that they will have.
    tail: Vec<(String, ComponentId)>,
}

impl<'c> Names<'c> {
    /// Costs the reading of all that the order is behind.
    pub(super) fn find(
        connection: &'c Connection,
        customer: CustomerId,
        kind: Kind,
        prefix: &str,
    ) -> rusqlite::Result<Self> {
        let tail = connection
            .prepare_cached(
                "SELECT DISTINCT lower(p.name), p.id
                 FROM certificates t CROSS JOIN components p ON p.id = t.component_id
                 WHERE t.rowid > (SELECT certificate FROM component_names_end)
                     AND p.customer_id = ?1 AND p.kind = ?2 AND p.deleted_at IS NULL
                     AND substr(lower(p.name), 1, length(?3)) = ?3
                     AND NOT EXISTS (
                         SELECT 1 FROM component_names n
                         WHERE n.customer_id = ?1 AND n.kind = ?2 AND n.name = p.name AND n.id = p.id)
                 ORDER BY 1, 2",
            )?
            .query_map(params![customer, kind, prefix.to_ascii_lowercase()], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut names = Self { connection, customer, kind, ordered: 0..0, tail };
        // No character stands behind the last one.
        let behind = format!("{prefix}{}", char::MAX);
        let start = ComponentId::from_raw(0);
        names.ordered = names.place(prefix, start)?..names.place(&behind, start)?;
        Ok(names)
    }

    pub(super) fn total(&self) -> u64 {
        self.ordered.end - self.ordered.start + self.tail.len() as u64
    }

    /// The ids from `position` on, at most `limit`.
    pub(super) fn ids(&self, position: u64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        // Of the tail, those before the position; each stands behind those of the order that it follows.
        let (mut before, mut end) = (0, self.tail.len());
        while before < end {
            let middle = usize::midpoint(before, end);
            let (name, id) = &self.tail[middle];
            if self.place(name, *id)? - self.ordered.start + middle as u64 >= position {
                end = middle;
            } else {
                before = middle + 1;
            }
        }
        let mut tail = self.tail[before..].iter().peekable();
        let ordered = self.ordered_from(self.ordered.start + position - before as u64, limit)?;
        let mut ordered = ordered.into_iter().peekable();
        let mut ids = Vec::with_capacity(limit);
        while ids.len() < limit {
            let next = match (ordered.peek(), tail.peek()) {
                (Some(a), Some(b)) if a < b => ordered.next().map(|(_, id)| id),
                (Some(_), None) => ordered.next().map(|(_, id)| id),
                (_, Some(_)) => tail.next().map(|(_, id)| *id),
                (None, None) => break,
            };
            ids.extend(next.map(|id| id.raw().cast_signed()));
        }
        Ok(ids)
    }

    /// Names in lower case with their ids, from a place in the order on, within the prefix.
    fn ordered_from(&self, place: u64, limit: usize) -> rusqlite::Result<Vec<(String, ComponentId)>> {
        let limit = self.ordered.end.saturating_sub(place).min(limit as u64);
        let Some((bucket, before)) = self.find_bucket(|_, after| after > place)?.filter(|_| limit > 0) else {
            return Ok(Vec::new());
        };
        self.connection
            .prepare_cached(
                "SELECT lower(name), id FROM component_names
                 WHERE customer_id = ?1 AND kind = ?2 AND (name, id) >= (?3, ?4)
                 ORDER BY name, id LIMIT ?5 OFFSET ?6",
            )?
            .query_map(
                params![self.customer, self.kind, bucket.first_name, bucket.first_id, limit, place - before],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?
            .collect()
    }

    /// How many of the order come before a name and id.
    fn place(&self, name: &str, id: ComponentId) -> rusqlite::Result<u64> {
        let Some(last) = Bucket::of(self.connection, self.customer, self.kind, name, id)? else { return Ok(0) };
        let is_last = |bucket: &Bucket, _| bucket.first_id == last.first_id && bucket.first_name == last.first_name;
        let Some((bucket, before)) = self.find_bucket(is_last)? else { return Ok(0) };
        let within: u64 = self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM component_names
                 WHERE customer_id = ?1 AND kind = ?2 AND (name, id) >= (?3, ?4) AND (name, id) < (?5, ?6)",
            )?
            .query_row(params![self.customer, self.kind, bucket.first_name, bucket.first_id, name, id], |row| {
                row.get(0)
            })?;
        Ok(before + within)
    }

    /// The first bucket that `is_it`, and how many names come before it. `is_it` is told, too, how many
    /// names there are up to its end.
    fn find_bucket(&self, is_it: impl Fn(&Bucket, u64) -> bool) -> rusqlite::Result<Option<(Bucket, u64)>> {
        let mut buckets = self.connection.prepare_cached(
            "SELECT first_name, first_id, names FROM component_name_buckets
             WHERE customer_id = ?1 AND kind = ?2 ORDER BY first_name, first_id",
        )?;
        let mut before = 0;
        for bucket in buckets.query_map(params![self.customer, self.kind], Bucket::read)? {
            let bucket = bucket?;
            let after = before + bucket.names;
            if is_it(&bucket, after) {
                return Ok(Some((bucket, before)));
            }
            before = after;
        }
        Ok(None)
    }
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
                Operation::Order => while step(&self.connection).unwrap() {},
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

        fn assert_found(&self) {
            let names = |prefix| Names::find(&self.connection, CustomerId::from_raw(CUSTOMER), KIND, prefix).unwrap();
            let mut expected: Vec<_> = self.names.iter().map(|(name, id)| (name.to_ascii_lowercase(), *id)).collect();
            expected.sort();
            for prefix in ["", "k", "K1", "k1-2", "k1-20", "k2-39", "l", "\u{10fffe}"] {
                let lower = prefix.to_ascii_lowercase();
                let wanted: Vec<_> =
                    expected.iter().filter(|(name, _)| name.starts_with(&lower)).map(|(_, id)| *id).collect();
                let found = names(prefix);
                assert_eq!(found.total(), wanted.len() as u64, "{prefix}");
                for position in 0..=wanted.len() {
                    let page: Vec<_> = wanted[position..].iter().take(3).copied().collect();
                    assert_eq!(found.ids(position as u64, 3).unwrap(), page, "{prefix} from {position}");
                }
            }
        }

        fn assert_sound(&self) {
            let connection = &self.connection;
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
            place.assert_found();
            place.assert_sound();
            place.apply(&Operation::Order);
            prop_assert_eq!(behind(&place.connection).unwrap(), 0);
            place.assert_found();
            place.assert_sound();
        }
    }

    #[test]
    fn a_step_is_bounded_and_says_that_there_is_more() {
        for (commits, more) in [(STEP - 1, false), (STEP, true), (STEP + 1, true)] {
            let mut place = Place::new();
            for name in 0..commits {
                place.apply(&Operation::Enroll { name: u16::try_from(name).unwrap() });
            }
            assert_eq!(step(&place.connection).unwrap(), more, "{commits}");
            assert_eq!(behind(&place.connection).unwrap(), u64::from(commits.saturating_sub(STEP)));
            place.assert_found();
        }
    }
}
