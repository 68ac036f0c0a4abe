//! `components`. Enrollments insert them, see `enroll.rs`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::blocks::{self, ComponentList, Counts};
use super::errors::ApplyError;
use super::names::{self, Names};
use super::{certificates, clean_up_schedules, groups, keys, ledger, lists};
use crate::clock::Timestamp;
use crate::domain::redemption::KnownComponent;
use crate::domain::renewal::KnownCertificate;
use crate::domain::{
    CertificateRecord, Component, ComponentState, Fingerprint, Kind, Revision, RevocationReason, SerialNumber,
};
use crate::id::{CleanUpScheduleId, ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId};
use crate::store::encoding::Address;
use crate::store::lists::{self as shared, Bound, Dialect, List};
use crate::store::revisions::{next_revision, require_revision};
use crate::store::rows::COMPONENT as COLUMNS;
use crate::store::{
    BrokenRule, Comparison, ComponentField, ComponentRelations, Condition, EndedComponent, EndingComponent, ListQuery,
    ObjectRef, Page, StoreError, Value,
};

fn read(row: &Row<'_>) -> rusqlite::Result<Component> {
    let Address(remote_address) = row.get(12)?;
    let state = match (row.get(14)?, row.get(15)?) {
        (_, Some(at)) => ComponentState::Deleted { at },
        (Some(at), None) => ComponentState::Revoked { at },
        (None, None) => ComponentState::Live,
    };
    Ok(Component {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        key_id: row.get(2)?,
        group_id: row.get(3)?,
        kind: row.get(4)?,
        name: row.get(5)?,
        description: row.get(6)?,
        ordinal: row.get(7)?,
        fingerprint: row.get(8)?,
        hostname: row.get(9)?,
        platform: row.get(10)?,
        software_version: row.get(11)?,
        remote_address,
        enabled: row.get(13)?,
        state,
        enrolled_at: row.get(16)?,
        current_serial: row.get(17)?,
        modified_at: row.get(18)?,
        revision: row.get(19)?,
        modified_by: row.get(20)?,
        previous_serial: row.get(21)?,
    })
}

/// Deleted ones too: they are kept for their history.
pub(super) fn find(
    connection: &Connection,
    customer: CustomerId,
    id: ComponentId,
) -> rusqlite::Result<Option<Component>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM components WHERE id = ?1 AND customer_id = ?2"))?
        .query_row(params![id, customer], read)
        .optional()
}

pub(super) fn find_known(
    connection: &Connection,
    customer: CustomerId,
    key: ProvisioningKeyId,
    fingerprint: &Fingerprint,
    re_enrollments_since: Timestamp,
) -> Result<Option<KnownComponent>, StoreError> {
    let component = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM components
             WHERE customer_id = ?1 AND key_id = ?2 AND fingerprint = ?3 AND deleted_at IS NULL"
        ))?
        .query_row(params![customer, key, fingerprint], read)
        .optional()?;
    let Some(component) = component else { return Ok(None) };
    let certificate = current_certificate(connection, &component)?;
    let recent_re_enrollments = ledger::count_re_enrollments(connection, customer, component.id, re_enrollments_since)?;
    Ok(Some(KnownComponent { component, certificate, recent_re_enrollments }))
}

pub(super) fn find_known_certificate(
    connection: &Connection,
    customer: CustomerId,
    id: ComponentId,
    serial: SerialNumber,
) -> Result<Option<KnownCertificate>, StoreError> {
    let Some(presented) = certificates::find(connection, customer, id, serial)? else { return Ok(None) };
    let Some(component) = find(connection, customer, id)? else { return Ok(None) };
    let current = current_certificate(connection, &component)?;
    Ok(Some(KnownCertificate { component, current, presented }))
}

fn current_certificate(connection: &Connection, component: &Component) -> Result<CertificateRecord, StoreError> {
    let found = certificates::find(connection, component.customer_id, component.id, component.current_serial)?;
    found.ok_or_else(|| StoreError::Corrupt {
        detail: format!("component {} has no row for its certificate", component.id),
    })
}

/// Those that are not deleted. In order of id, of all or of one group, and in order of name, of all
/// or of those with a prefix, a page costs the same whatever its number; other lists are walked once.
///
/// `has_order`: the order by name is not too far behind to be used.
pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    query: &ListQuery<ComponentField>,
    now: Timestamp,
    has_order: bool,
) -> rusqlite::Result<Page<Component>> {
    let mut list = List::of_kind(COLUMNS, "components", customer, kind, Dialect::Sqlite { now });
    list.restrict("deleted_at IS NULL");
    let (total, ids): (u64, IdsAt<'_>) = match Order::of(query) {
        Some(Order::ById { group }) => {
            let list = match group {
                None => ComponentList::OfKind(kind),
                Some(group) => match groups::require(connection, customer, group, kind) {
                    Ok(()) => ComponentList::OfGroup(group),
                    Err(ApplyError::Rule(_)) => return Ok(Page { rows: Vec::new(), total: 0 }),
                    Err(ApplyError::Sql(error)) => return Err(error),
                },
            };
            let ids = move |position, limit| blocks::ids(connection, customer, kind, list, position, limit);
            (blocks::total(connection, customer, list)?, Box::new(ids))
        }
        Some(Order::ByName { prefix }) if has_order => {
            let names = Names::find(connection, customer, kind, prefix)?;
            (names.total(), Box::new(move |position, limit| names.ids(position, limit)))
        }
        _ => {
            let equals = |condition: &&Condition<_>, field| {
                condition.field == field && condition.comparison == Comparison::Equals
            };
            let name = query.conditions.iter().find(|condition| equals(condition, ComponentField::Name));
            let is_of_key = |condition: &Condition<_>| {
                equals(&condition, ComponentField::KeyId) || equals(&condition, ComponentField::KeyName)
            };
            // The few that bear a name, or came of a key, are found by that and held against the rest.
            if let Some(Value::Text(name)) = name.map(|condition| &condition.value) {
                lists::avoid_indexes_on(&mut list, &["customer_id", "kind"]);
                let name = list.values.bind(Bound::Value(name.as_str().into()));
                list.restrict(&format!(
                    "id IN (SELECT n.id FROM component_names n
                            WHERE n.customer_id = ?1 AND n.kind = ?2 AND n.name = {name}
                            UNION ALL
                            SELECT p.id FROM certificates t CROSS JOIN components p ON p.id = t.component_id
                            WHERE t.rowid > (SELECT certificate FROM component_names_end)
                                AND p.customer_id = ?1 AND p.kind = ?2 AND p.name = {name})"
                ));
            } else if query.conditions.iter().any(is_of_key) {
                lists::avoid_indexes_on(&mut list, &["kind"]);
            }
            return lists::page(connection, list, query, read);
        }
    };
    let is_descending = query.sort.is_some_and(|sort| sort.descending);
    lists::page_of(connection, &list, query, is_descending, total, ids, read)
}

/// The ids from a place on, at most so many, ascending.
type IdsAt<'c> = Box<dyn Fn(u64, usize) -> rusqlite::Result<Vec<i64>> + 'c>;

/// What a list wants of the order by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NamesUse {
    /// Whoever bears a name.
    Lookup,
    None,
    /// Places in it.
    Pages,
}

pub(super) fn names_use(query: &ListQuery<ComponentField>) -> NamesUse {
    let is_by_name = |condition: &Condition<_>| {
        condition.field == ComponentField::Name && condition.comparison == Comparison::Equals
    };
    match Order::of(query) {
        Some(Order::ByName { .. }) => NamesUse::Pages,
        None if query.conditions.iter().any(is_by_name) => NamesUse::Lookup,
        Some(Order::ById { .. }) | None => NamesUse::None,
    }
}

/// Whether many components are gone through.
pub(super) fn is_walk(query: &ListQuery<ComponentField>) -> bool {
    Order::of(query).is_none() && shared::is_walk(query)
}

/// A list whose rows are found by their place in it.
enum Order<'a> {
    ById { group: Option<GroupId> },
    ByName { prefix: &'a str },
}

impl<'a> Order<'a> {
    fn of(query: &'a ListQuery<ComponentField>) -> Option<Self> {
        let sorted_by = query.sort.map_or(ComponentField::Id, |sort| sort.field);
        let condition = match query.conditions.as_slice() {
            [] => None,
            [Condition { field, comparison, value }] => Some((*field, *comparison, value)),
            _ => return None,
        };
        match (sorted_by, condition) {
            (ComponentField::Id, None) => Some(Self::ById { group: None }),
            (ComponentField::Id, Some((ComponentField::GroupId, Comparison::Equals, Value::Number(id)))) => {
                Some(Self::ById { group: Some(GroupId::from_raw(u64::try_from(*id).ok()?)) })
            }
            (ComponentField::Name, None) => Some(Self::ByName { prefix: "" }),
            (ComponentField::Name, Some((ComponentField::Name, Comparison::StartsWith, Value::Text(prefix)))) => {
                Some(Self::ByName { prefix })
            }
            _ => None,
        }
    }
}

/// The first of a group, in order of id.
pub(super) fn list_of_group(
    connection: &Connection,
    customer: CustomerId,
    group: GroupId,
    limit: u32,
) -> rusqlite::Result<Vec<Component>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM components
             WHERE customer_id = ?1 AND kind = (SELECT g.kind FROM groups g WHERE g.id = ?2) AND group_id = ?2
                 AND deleted_at IS NULL
             ORDER BY id LIMIT ?3"
        ))?
        .query_map(params![customer, group, limit], read)?
        .collect()
}

/// In the order of `ids`.
pub(super) fn find_relations(
    connection: &Connection,
    customer: CustomerId,
    ids: &[ComponentId],
) -> rusqlite::Result<Vec<ComponentRelations>> {
    let mut find = connection.prepare_cached(
        "SELECT g.name, k.name, t.signing_certificate_id, s.name, t.serial, t.issued_at, t.not_after
         FROM components p
             JOIN certificates t ON t.customer_id = p.customer_id AND t.component_id = p.id
                 AND t.serial = p.current_serial
             LEFT JOIN groups g ON g.id = p.group_id
             LEFT JOIN provisioning_keys k ON k.id = p.key_id
             LEFT JOIN signing_certificates s ON s.id = t.signing_certificate_id
         WHERE p.id = ?1 AND p.customer_id = ?2",
    )?;
    let read = |component, row: &Row<'_>| {
        Ok(ComponentRelations {
            component,
            group_name: row.get(0)?,
            key_name: row.get(1)?,
            signing_certificate_id: row.get(2)?,
            signing_certificate_name: row.get(3)?,
            serial: row.get(4)?,
            issued_at: row.get(5)?,
            not_after: row.get(6)?,
        })
    };
    ids.iter()
        .filter_map(|id| find.query_row(params![id, customer], |row| read(*id, row)).optional().transpose())
        .collect()
}

/// The index of certificates leads the walk, so what has not ended is never looked at.
pub(super) fn scan_ended(
    connection: &Connection,
    customer: CustomerId,
    ended_by: Timestamp,
    after: (Timestamp, ComponentId),
    limit: u32,
) -> rusqlite::Result<Vec<EndedComponent>> {
    let columns: Vec<_> = COLUMNS.split(", ").map(|column| format!("p.{column}")).collect();
    connection
        .prepare_cached(&format!(
            "SELECT {}, t.not_after
             FROM certificates t INDEXED BY certificates_by_end
                 CROSS JOIN components p ON p.id = t.component_id
                 CROSS JOIN groups g ON g.id = p.group_id AND g.enabled
             WHERE t.customer_id = ?1 AND t.status = 1 AND t.not_after <= ?2 AND (t.not_after, t.component_id) > (?3, ?4)
             ORDER BY t.not_after, t.component_id LIMIT ?5",
            columns.join(", ")
        ))?
        .query_map(params![customer, ended_by, after.0, after.1, limit], |row| {
            Ok(EndedComponent { component: read(row)?, ended_at: row.get(columns.len())? })
        })?
        .collect()
}

/// In order of the end of their current certificates, which says that they are live.
pub(super) fn list_ending(
    connection: &Connection,
    customer: CustomerId,
    (after, until): (Timestamp, Timestamp),
    limit: u32,
) -> rusqlite::Result<Vec<EndingComponent>> {
    connection
        .prepare_cached(
            "SELECT p.id, p.kind, p.name, t.not_after
             FROM certificates t INDEXED BY certificates_by_end CROSS JOIN components p ON p.id = t.component_id
             WHERE t.customer_id = ?1 AND t.status = 1 AND t.not_after > ?2 AND t.not_after <= ?3
             ORDER BY t.not_after, t.component_id LIMIT ?4",
        )?
        .query_map(params![customer, after, until, limit], |row| {
            Ok(EndingComponent { id: row.get(0)?, kind: row.get(1)?, name: row.get(2)?, not_after: row.get(3)? })
        })?
        .collect()
}

/// Name, description, enabled flag, group and key; the rest is what enrollments and revocations made.
pub(super) fn update(connection: &Connection, component: &Component) -> Result<(), ApplyError> {
    let (customer, id) = (component.customer_id, component.id);
    let row = standing(connection, customer, id)?.filter(|row| !row.is_deleted).ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(row.revision), component.revision)?;
    if component.name != row.name && names::is_taken(connection, customer, row.kind, id, &component.name)? {
        return Err(BrokenRule::DuplicateName.into());
    }
    if component.group_id != row.group_id {
        groups::require(connection, customer, component.group_id, row.kind)?;
        let mut counts = Counts::default();
        counts.add(customer, row.kind, row.group_id, id, -1);
        counts.add(customer, row.kind, component.group_id, id, 1);
        counts.write(connection)?;
    }
    if component.key_id != row.key_id {
        keys::require(connection, customer, component.key_id, component.group_id)?;
        let taken = connection
            .prepare_cached(
                "SELECT 1 FROM components
                 WHERE customer_id = ?1 AND key_id = ?2 AND deleted_at IS NULL
                     AND fingerprint = (SELECT fingerprint FROM components WHERE id = ?3)",
            )?
            .exists(params![customer, component.key_id, id])?;
        if taken {
            return Err(BrokenRule::DuplicateFingerprint.into());
        }
    }
    connection
        .prepare_cached(
            "UPDATE components SET revision = ?2, name = ?3, description = ?4, enabled = ?5, group_id = ?6,
                 key_id = ?7, modified_at = ?8, modified_by = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            next,
            component.name,
            component.description,
            component.enabled,
            component.group_id,
            component.key_id,
            component.modified_at,
            component.modified_by,
        ])?;
    names::rename(connection, customer, row.kind, id, (&row.name, &component.name))?;
    Ok(())
}

/// Nothing happens to one that had ended already.
pub(super) fn revoke(
    connection: &Connection,
    customer: CustomerId,
    id: ComponentId,
    revision: Option<Revision>,
    (at, reason): (Timestamp, RevocationReason),
    by: Option<u64>,
) -> Result<(), ApplyError> {
    let row = standing(connection, customer, id)?.ok_or(BrokenRule::NotFound)?;
    require_revision(row.revision, revision)?;
    if row.is_deleted || row.is_revoked {
        return Ok(());
    }
    connection
        .prepare_cached(
            "UPDATE components SET revoked_at = ?2, modified_at = ?2, modified_by = ?3, revision = ?4 WHERE id = ?1",
        )?
        .execute(params![id, at, by, row.revision.next()])?;
    certificates::revoke(connection, customer, "p.id = ?4", &[&id], (at, reason))?;
    Ok(())
}

/// Revokes a key's live components, with their certificates. Answers how many there were.
pub(super) fn revoke_of_key(
    connection: &Connection,
    customer: CustomerId,
    key: ProvisioningKeyId,
    (at, by): (Timestamp, Option<u64>),
) -> rusqlite::Result<usize> {
    let live = "p.key_id = ?4 AND p.deleted_at IS NULL AND p.revoked_at IS NULL";
    certificates::revoke(connection, customer, live, &[&key], (at, RevocationReason::Unspecified))?;
    connection
        .prepare_cached(
            "UPDATE components SET revoked_at = ?3, modified_at = ?3, modified_by = ?4, revision = revision + 1
             WHERE customer_id = ?1 AND key_id = ?2 AND deleted_at IS NULL AND revoked_at IS NULL",
        )?
        .execute(params![customer, key, at, by])
}

/// Frees the fingerprint. Answers the key that a use went back to: the one that it was taken from, if
/// that still exists.
pub(super) fn delete(
    connection: &Connection,
    customer: CustomerId,
    id: ComponentId,
    revision: Option<Revision>,
    at: Timestamp,
    release_use: bool,
) -> Result<Option<ObjectRef>, ApplyError> {
    let row = standing(connection, customer, id)?.filter(|row| !row.is_deleted).ok_or(BrokenRule::NotFound)?;
    require_revision(row.revision, revision)?;
    connection
        .prepare_cached("UPDATE components SET deleted_at = ?2, modified_at = ?2, revision = ?3 WHERE id = ?1")?
        .execute(params![id, at, row.revision.next()])?;
    certificates::revoke(connection, customer, "p.id = ?4", &[&id], (at, RevocationReason::CessationOfOperation))?;
    let mut counts = Counts::default();
    counts.add(customer, row.kind, row.group_id, id, -1);
    counts.write(connection)?;
    names::remove(connection, customer, row.kind, id, &row.name)?;
    let released = release_use && ledger::release(connection, customer, row.enrolled_key_id, id, at)?;
    Ok(released.then_some(ObjectRef::Key(customer, row.enrolled_key_id)))
}

/// Deletes a component that a clean-up schedule takes, unless one of both changed since that was seen.
/// A re-enrollment moves the serial and not the revision, so both are compared.
pub(super) fn clean_up(
    connection: &Connection,
    customer: CustomerId,
    id: ComponentId,
    (revision, serial): (Revision, SerialNumber),
    schedule: (CleanUpScheduleId, Revision),
    at: Timestamp,
) -> Result<(), ApplyError> {
    clean_up_schedules::require(connection, customer, schedule)?;
    let row = standing(connection, customer, id)?.ok_or(BrokenRule::NotFound)?;
    if row.current_serial != serial {
        return Err(BrokenRule::Outdated { found: row.revision }.into());
    }
    delete(connection, customer, id, Some(revision), at, false).map(drop)
}

/// Deletes all of a group's components, of which there may be a million, with a statement or two for
/// each table. Answers how many there were. `kind` is the group's.
pub(super) fn delete_of_group(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    group: GroupId,
    at: Timestamp,
) -> rusqlite::Result<usize> {
    names::remove_of_group(connection, customer, kind, group)?;
    blocks::clear_group(connection, customer, kind, group)?;
    let there = "p.kind = ?4 AND p.group_id = ?5 AND p.deleted_at IS NULL";
    let reason = RevocationReason::CessationOfOperation;
    certificates::revoke(connection, customer, there, &[&kind, &group], (at, reason))?;
    connection
        .prepare_cached(
            "UPDATE components SET deleted_at = ?4, modified_at = ?4, revision = revision + 1
             WHERE customer_id = ?1 AND kind = ?2 AND group_id = ?3 AND deleted_at IS NULL",
        )?
        .execute(params![customer, kind, group, at])
}

/// What changes of a component depend on.
struct Standing {
    revision: Revision,
    kind: Kind,
    name: String,
    group_id: GroupId,
    key_id: ProvisioningKeyId,
    enrolled_key_id: ProvisioningKeyId,
    current_serial: SerialNumber,
    is_revoked: bool,
    is_deleted: bool,
}

fn standing(connection: &Connection, customer: CustomerId, id: ComponentId) -> rusqlite::Result<Option<Standing>> {
    connection
        .prepare_cached(
            "SELECT revision, kind, group_id, key_id, enrolled_key_id, current_serial, revoked_at IS NOT NULL,
                 deleted_at IS NOT NULL, name
             FROM components WHERE id = ?1 AND customer_id = ?2",
        )?
        .query_row(params![id, customer], |row| {
            Ok(Standing {
                revision: row.get(0)?,
                kind: row.get(1)?,
                group_id: row.get(2)?,
                key_id: row.get(3)?,
                enrolled_key_id: row.get(4)?,
                current_serial: row.get(5)?,
                is_revoked: row.get(6)?,
                is_deleted: row.get(7)?,
                name: row.get(8)?,
            })
        })
        .optional()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::{connection, migrations};
    use super::*;

    #[test]
    fn the_components_of_a_key_are_found_without_passing_by_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("components.db");
        std::fs::write(&path, []).unwrap();
        let mut connection = connection::open_writer(&path).unwrap();
        migrations::migrate(&mut connection, 0).unwrap();
        connection
            .execute_batch(
                "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
                 INSERT INTO components (id, customer_id, key_id, fingerprint, enabled, current_serial, revision, kind,
                     group_id, enrolled_key_id, ordinal, name, remote_address, enrolled_at, modified_at, description)
                 SELECT n, 0, 1 + (n > 4998), 'f' || n, 1, x'', 1, 4, 5, 1, n, 'c' || n, x'', 0, 0, '' FROM n",
            )
            .unwrap();
        let query = ListQuery::first_where(1, ComponentField::KeyId, Comparison::Equals, 3);
        let steps = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&steps);
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        connection.progress_handler(1, Some(count)).unwrap();
        let now = Timestamp::from_unix_seconds(0);
        let page = list(&connection, CustomerId::SERVICE, Kind::Machine, &query, now, true).unwrap();
        let steps = steps.load(Ordering::Relaxed);
        assert_eq!(page.total, 0);
        assert!(steps < 1_000, "{steps} steps");
    }
}
