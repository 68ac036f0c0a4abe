//! `groups`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::blocks::{self, ComponentList};
use super::errors::ApplyError;
use super::{components, customers, keys, lists, signing_certificates};
use crate::clock::Timestamp;
use crate::domain::{Group, Kind, Revision};
use crate::id::{ApiClientId, CustomerId, GroupId};
use crate::store::encoding::Attributes;
use crate::store::gone::DeletedKey;
use crate::store::lists::{Dialect, List};
use crate::store::revisions::{next_revision, require_revision};
use crate::store::rows::GROUP as COLUMNS;
use crate::store::{BrokenRule, GroupContents, GroupField, ListQuery, ObjectRef, Page, SigningCertificateReplacement};

fn read(row: &Row<'_>) -> rusqlite::Result<Group> {
    let Attributes(attributes) = row.get(8)?;
    Ok(Group {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        kind: row.get(2)?,
        name: row.get(3)?,
        description: row.get(4)?,
        enabled: row.get(5)?,
        signing_certificate_id: row.get(6)?,
        addresses: row.get(7)?,
        attributes,
        created_at: row.get(9)?,
        modified_at: row.get(10)?,
        modified_by: row.get(11)?,
        revision: row.get(12)?,
    })
}

pub(super) fn find(connection: &Connection, customer: CustomerId, id: GroupId) -> rusqlite::Result<Option<Group>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM groups WHERE id = ?1 AND customer_id = ?2"))?
        .query_row(params![id, customer], read)
        .optional()
}

pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    query: &ListQuery<GroupField>,
    now: Timestamp,
) -> rusqlite::Result<Page<Group>> {
    let list = List::of_kind(COLUMNS, "groups", customer, kind, Dialect::Sqlite { now });
    lists::page(connection, list, query, read)
}

pub(super) fn count(connection: &Connection, customer: CustomerId, kind: Kind) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM groups WHERE customer_id = ?1 AND kind = ?2")?
        .query_row(params![customer, kind], |row| row.get(0))
}

pub(super) fn scan(connection: &Connection, after: GroupId, limit: u32) -> rusqlite::Result<Vec<Group>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM groups WHERE id > ?1 ORDER BY id LIMIT ?2"))?
        .query_map(params![after, limit], read)?
        .collect()
}

pub(super) fn insert(connection: &Connection, group: &Group) -> Result<ObjectRef, ApplyError> {
    customers::require(connection, group.customer_id, false)?;
    signing_certificates::require(connection, group.customer_id, group.signing_certificate_id)?;
    require_free_name(connection, group, group.kind)?;
    connection
        .prepare_cached(
            "INSERT INTO groups (id, customer_id, revision, kind, name, description, enabled,
                 signing_certificate_id, addresses, attributes, created_at, modified_at, modified_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            group.id,
            group.customer_id,
            Revision::FIRST,
            group.kind,
            group.name,
            group.description,
            group.enabled,
            group.signing_certificate_id,
            group.addresses,
            Attributes(group.attributes.clone()),
            group.created_at,
            group.modified_at,
            group.modified_by,
        ])?;
    Ok(ObjectRef::Group(group.customer_id, group.id))
}

/// All but id, customer and kind, which are fixed.
pub(super) fn update(connection: &Connection, group: &Group) -> Result<ObjectRef, ApplyError> {
    let found: Option<(Revision, Kind)> = connection
        .prepare_cached("SELECT revision, kind FROM groups WHERE id = ?1 AND customer_id = ?2")?
        .query_row(params![group.id, group.customer_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (found, kind) = found.ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(found), group.revision)?;
    signing_certificates::require(connection, group.customer_id, group.signing_certificate_id)?;
    require_free_name(connection, group, kind)?;
    connection
        .prepare_cached(
            "UPDATE groups SET revision = ?2, name = ?3, description = ?4, enabled = ?5, signing_certificate_id = ?6,
                 addresses = ?7, attributes = ?8, modified_at = ?9, modified_by = ?10
             WHERE id = ?1",
        )?
        .execute(params![
            group.id,
            next,
            group.name,
            group.description,
            group.enabled,
            group.signing_certificate_id,
            group.addresses,
            Attributes(group.attributes.clone()),
            group.modified_at,
            group.modified_by,
        ])?;
    Ok(ObjectRef::Group(group.customer_id, group.id))
}

/// A group that keys or components belong to stays.
pub(super) fn delete(
    connection: &Connection,
    customer: CustomerId,
    id: GroupId,
    revision: Option<Revision>,
) -> Result<ObjectRef, ApplyError> {
    require_unchanged(connection, customer, id, revision)?;
    let GroupContents { keys, components } = contents(connection, customer, id)?;
    if keys > 0 {
        return Err(BrokenRule::Referenced { by: "provisioning keys" }.into());
    }
    if components > 0 {
        return Err(BrokenRule::Referenced { by: "components" }.into());
    }
    remove(connection, customer, id)
}

/// A group with all that belongs to it: the keys that went, and how many components, of which there may be
/// a million.
pub(super) fn delete_with_contents(
    connection: &Connection,
    customer: CustomerId,
    id: GroupId,
    revision: Option<Revision>,
    at: Timestamp,
    by: Option<ApiClientId>,
) -> Result<(Vec<DeletedKey>, u64), ApplyError> {
    let kind = require_unchanged(connection, customer, id, revision)?;
    let keys = keys::delete_of_group(connection, customer, id, by)?;
    let components = components::delete_of_group(connection, customer, kind, id, at)?;
    remove(connection, customer, id)?;
    Ok((keys, components as u64))
}

/// All groups that have the one signing certificate get the other; answers which.
pub(super) fn replace_signing_certificate(
    connection: &Connection,
    replacement: &SigningCertificateReplacement,
) -> rusqlite::Result<Vec<GroupId>> {
    let SigningCertificateReplacement { customer, from, to, at, by, .. } = replacement;
    connection
        .prepare_cached(
            "UPDATE groups SET signing_certificate_id = ?3, revision = revision + 1, modified_at = ?4, modified_by = ?5
             WHERE customer_id = ?1 AND signing_certificate_id = ?2 RETURNING id",
        )?
        .query_map(params![customer, from, to, at, by], |row| row.get(0))?
        .collect()
}

/// What belongs to a group, by its block counts and one entry of an index for each key.
pub(super) fn contents(connection: &Connection, customer: CustomerId, id: GroupId) -> rusqlite::Result<GroupContents> {
    let keys = connection
        .prepare_cached("SELECT count(*) FROM provisioning_keys WHERE customer_id = ?1 AND group_id = ?2")?
        .query_row(params![customer, id], |row| row.get(0))?;
    Ok(GroupContents { keys, components: blocks::total(connection, customer, ComponentList::OfGroup(id))? })
}

/// Answers the kind of the group.
fn require_unchanged(
    connection: &Connection,
    customer: CustomerId,
    id: GroupId,
    revision: Option<Revision>,
) -> Result<Kind, ApplyError> {
    let (found, kind) = connection
        .prepare_cached("SELECT revision, kind FROM groups WHERE id = ?1 AND customer_id = ?2")?
        .query_row(params![id, customer], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(BrokenRule::NotFound)?;
    require_revision(found, revision)?;
    Ok(kind)
}

fn remove(connection: &Connection, customer: CustomerId, id: GroupId) -> Result<ObjectRef, ApplyError> {
    connection.prepare_cached("DELETE FROM groups WHERE id = ?1")?.execute([id])?;
    Ok(ObjectRef::Group(customer, id))
}

/// What keys and components of a kind refer to.
pub(super) fn require(
    connection: &Connection,
    customer: CustomerId,
    id: GroupId,
    kind: Kind,
) -> Result<(), ApplyError> {
    let exists = connection
        .prepare_cached("SELECT 1 FROM groups WHERE id = ?1 AND customer_id = ?2 AND kind = ?3")?
        .exists(params![id, customer, kind])?;
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "group" }.into()) }
}

fn require_free_name(connection: &Connection, group: &Group, kind: Kind) -> Result<(), ApplyError> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM groups WHERE customer_id = ?1 AND kind = ?2 AND name = ?3 AND id <> ?4")?
        .exists(params![group.customer_id, kind, group.name, group.id])?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}
