//! `provisioning_keys`, `key_counters`, `key_totals` and `digests`.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::errors::ApplyError;
use super::{customers, encoding, groups, lists, peppers, signing_certificates, webhooks};
use crate::clock::Timestamp;
use crate::domain::key::{KeyUsage, LastUse, ManagedBy};
use crate::domain::{AddressList, IndexedKey, Kind, Networks, ProvisioningKey, Revision};
use crate::id::{ApiClientId, ComponentId, CustomerId, GroupId, ProvisioningKeyId};
use crate::secret::pepper::KeyDigest;
use crate::store::gone::DeletedKey;
use crate::store::lists::{Dialect, List};
use crate::store::revisions::{next_revision, require_revision};
use crate::store::rows::INDEXED_KEY as INDEXED_COLUMNS;
use crate::store::rows::KEY as COLUMNS;
use crate::store::{BrokenRule, KeyField, ListQuery, ObjectRef, Page, SigningCertificateReplacement};

/// Settings and counters side by side. The counters' `key_id` is renamed away, as a key has one of
/// its own: the public key id.
const TABLE: &str = "provisioning_keys LEFT JOIN (SELECT key_id AS counted_id, uses, re_enrollments, last_ordinal, \
                     last_used_at, last_used_by FROM key_counters) ON counted_id = id";

fn read(row: &Row<'_>) -> rusqlite::Result<ProvisioningKey> {
    let managed_by: (Option<ApiClientId>, _) = (row.get(18)?, row.get(19)?);
    let last_used: (Option<Timestamp>, Option<ComponentId>) = (row.get(29)?, row.get(30)?);
    Ok(ProvisioningKey {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        kind: row.get(2)?,
        group_id: row.get(3)?,
        signing_certificate_id: row.get(4)?,
        name: row.get(5)?,
        description: row.get(6)?,
        maximum: encoding::maximum(row.get(7)?)?,
        enabled: row.get(8)?,
        allow_re_enrollment: row.get(9)?,
        expires_at: row.get(10)?,
        addresses: row.get(11)?,
        version: row.get(12)?,
        hint: row.get(13)?,
        key_id: row.get(14)?,
        digest: row.get(15)?,
        pepper: row.get(16)?,
        sealed_string: row.get(17)?,
        managed_by: managed_by.0.zip(managed_by.1).map(|(client_id, label)| ManagedBy { client_id, label }),
        successor_id: row.get(20)?,
        ui_config: row.get(31)?,
        created_at: row.get(21)?,
        created_by: row.get(22)?,
        modified_at: row.get(23)?,
        modified_by: row.get(24)?,
        revision: row.get(25)?,
        usage: KeyUsage {
            uses: row.get(26)?,
            re_enrollments: row.get(27)?,
            last_ordinal: row.get(28)?,
            last_used: last_used.0.zip(last_used.1).map(|(at, by)| LastUse { at, by }),
        },
    })
}

fn read_indexed(row: &Row<'_>) -> rusqlite::Result<IndexedKey> {
    Ok(IndexedKey {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        group_id: row.get(2)?,
        signing_certificate_id: row.get(3)?,
        maximum: encoding::maximum(row.get(4)?)?,
        enabled: row.get(5)?,
        allow_re_enrollment: row.get(6)?,
        expires_at: row.get(7)?,
        addresses: Networks::from(&row.get::<_, AddressList>(8)?),
        digest: row.get(9)?,
        uses: row.get::<_, u32>(10)?.into(),
        revision: row.get(11)?,
    })
}

pub(super) fn find(
    connection: &Connection,
    customer: CustomerId,
    id: ProvisioningKeyId,
) -> rusqlite::Result<Option<ProvisioningKey>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM {TABLE} WHERE id = ?1 AND customer_id = ?2"))?
        .query_row(params![id, customer], read)
        .optional()
}

pub(super) fn find_indexed(
    connection: &Connection,
    customer: CustomerId,
    id: ProvisioningKeyId,
) -> rusqlite::Result<Option<IndexedKey>> {
    connection
        .prepare_cached(&format!("SELECT {INDEXED_COLUMNS} FROM {TABLE} WHERE id = ?1 AND customer_id = ?2"))?
        .query_row(params![id, customer], read_indexed)
        .optional()
}

pub(super) fn list(
    connection: &Connection,
    customer: CustomerId,
    kind: Kind,
    query: &ListQuery<KeyField>,
    now: Timestamp,
) -> rusqlite::Result<Page<ProvisioningKey>> {
    let mut list = List::of_kind(COLUMNS, TABLE, customer, kind, Dialect::Sqlite { now });
    if query.conditions.is_empty() {
        list = list.of_length(count(connection, customer, kind)?);
    }
    lists::page(connection, list, query, read)
}

pub(super) fn find_by_digest(
    connection: &Connection,
    digest: &KeyDigest,
) -> rusqlite::Result<Option<(CustomerId, ProvisioningKeyId)>> {
    connection
        .prepare_cached("SELECT customer_id, key_id FROM digests WHERE digest = ?1")?
        .query_row([digest], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(super) fn list_of_group(
    connection: &Connection,
    customer: CustomerId,
    group: GroupId,
    after: ProvisioningKeyId,
    limit: u32,
) -> rusqlite::Result<Vec<ProvisioningKey>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {TABLE} WHERE customer_id = ?1 AND group_id = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
        ))?
        .query_map(params![customer, group, after, limit], read)?
        .collect()
}

pub(super) fn count(connection: &Connection, customer: CustomerId, kind: Kind) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(sum(keys), 0) FROM key_totals WHERE customer_id = ?1 AND kind = ?2")?
        .query_row(params![customer, kind], |row| row.get(0))
}

pub(super) fn scan(connection: &Connection, after: ProvisioningKeyId, limit: u32) -> rusqlite::Result<Vec<IndexedKey>> {
    connection
        .prepare_cached(&format!("SELECT {INDEXED_COLUMNS} FROM {TABLE} WHERE id > ?1 ORDER BY id LIMIT ?2"))?
        .query_map(params![after, limit], read_indexed)?
        .collect()
}

/// The counters start at zero, whatever the row says.
pub(super) fn insert(connection: &Connection, key: &ProvisioningKey) -> Result<ObjectRef, ApplyError> {
    customers::require(connection, key.customer_id, false)?;
    groups::require(connection, key.customer_id, key.group_id, key.kind)?;
    signing_certificates::require(connection, key.customer_id, key.signing_certificate_id)?;
    require_free_name(connection, key, key.kind)?;
    peppers::require(connection, key.pepper)?;
    insert_digest(connection, key)?;
    connection
        .prepare_cached(
            "INSERT INTO provisioning_keys (id, customer_id, revision, group_id, signing_certificate_id, maximum,
                 expires_at, enabled, allow_re_enrollment, kind, name, digest, pepper, addresses, version, hint,
                 key_id, uses_when_set, managed_by_client_id, managed_by_label, successor_id, created_at, created_by,
                 modified_at, modified_by, description, sealed_string, ui_config)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, 0, ?18, ?19, ?20,
                 ?21, ?22, ?23, ?24, ?25, ?26, ?27)",
        )?
        .execute(params![
            key.id,
            key.customer_id,
            Revision::FIRST,
            key.group_id,
            key.signing_certificate_id,
            key.maximum,
            key.expires_at,
            key.enabled,
            key.allow_re_enrollment,
            key.kind,
            key.name,
            key.digest,
            key.pepper,
            key.addresses,
            key.version,
            key.hint,
            key.key_id,
            key.managed_by.as_ref().map(|managed| managed.client_id),
            key.managed_by.as_ref().map(|managed| &managed.label),
            key.successor_id,
            key.created_at,
            key.created_by,
            key.modified_at,
            key.modified_by,
            key.description,
            key.sealed_string,
            key.ui_config,
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO key_counters (key_id, uses, re_enrollments, last_ordinal, last_sequence)
             VALUES (?1, 0, 0, 0, 0)",
        )?
        .execute([key.id])?;
    Ok(ObjectRef::Key(key.customer_id, key.id))
}

/// All settings but the fixed ones: kind, group, version, hint, public key id and creation. The digest only
/// [`super::peppers`] replaces: whoever read the row before must not put the old one back.
pub(super) fn update(connection: &Connection, key: &ProvisioningKey) -> Result<ObjectRef, ApplyError> {
    let found: Option<(Revision, Kind)> = connection
        .prepare_cached("SELECT revision, kind FROM provisioning_keys WHERE id = ?1 AND customer_id = ?2")?
        .query_row(params![key.id, key.customer_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (found, kind) = found.ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(found), key.revision)?;
    signing_certificates::require(connection, key.customer_id, key.signing_certificate_id)?;
    require_free_name(connection, key, kind)?;
    connection
        .prepare_cached(
            "UPDATE provisioning_keys SET revision = ?2, signing_certificate_id = ?3, name = ?4, description = ?5,
                 maximum = ?6, enabled = ?7, allow_re_enrollment = ?8, expires_at = ?9, addresses = ?10,
                 sealed_string = iif(?11, sealed_string, NULL), managed_by_client_id = ?12, managed_by_label = ?13,
                 successor_id = ?14, modified_at = ?15, modified_by = ?16, ui_config = ?17,
                 uses_when_set = (SELECT uses FROM key_counters WHERE key_counters.key_id = ?1)
             WHERE id = ?1",
        )?
        .execute(params![
            key.id,
            next,
            key.signing_certificate_id,
            key.name,
            key.description,
            key.maximum,
            key.enabled,
            key.allow_re_enrollment,
            key.expires_at,
            key.addresses,
            key.sealed_string.is_some(),
            key.managed_by.as_ref().map(|managed| managed.client_id),
            key.managed_by.as_ref().map(|managed| &managed.label),
            key.successor_id,
            key.modified_at,
            key.modified_by,
            key.ui_config,
        ])?;
    Ok(ObjectRef::Key(key.customer_id, key.id))
}

/// The key string is unknown from here on. Components and ledger stay.
pub(super) fn delete(
    connection: &Connection,
    customer: CustomerId,
    id: ProvisioningKeyId,
    revision: Option<Revision>,
) -> Result<ObjectRef, ApplyError> {
    let deleted = connection
        .prepare_cached("DELETE FROM provisioning_keys WHERE id = ?1 AND customer_id = ?2 RETURNING digest, revision")?
        .query_row(params![id, customer], |row| Ok((row.get::<_, KeyDigest>(0)?, row.get(1)?)))
        .optional()?;
    let (digest, found) = deleted.ok_or(BrokenRule::NotFound)?;
    // A broken rule undoes the whole transaction, this deletion too.
    require_revision(found, revision)?;
    connection.prepare_cached("DELETE FROM digests WHERE digest = ?1")?.execute([digest])?;
    connection.prepare_cached("DELETE FROM key_counters WHERE key_id = ?1")?.execute([id])?;
    connection
        .prepare_cached("DELETE FROM key_refusals WHERE customer_id = ?1 AND key_id = ?2")?
        .execute(params![customer, id])?;
    webhooks::forget_keys(connection, customer, &[id])?;
    Ok(ObjectRef::Key(customer, id))
}

/// All keys of a group, however many, and answers which went; components and ledgers stay. Refused while
/// one is managed by another API client than `by`.
pub(super) fn delete_of_group(
    connection: &Connection,
    customer: CustomerId,
    group: GroupId,
    by: Option<ApiClientId>,
) -> Result<Vec<DeletedKey>, ApplyError> {
    refuse_managed(connection, "group_id", params![customer, group, by])?;
    for (table, column, of_keys) in [
        ("digests", "digest", "digest"),
        ("key_counters", "key_id", "id"),
        ("key_refusals", "(customer_id, key_id)", "customer_id, id"),
    ] {
        connection
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE {column} IN (
                     SELECT {of_keys} FROM provisioning_keys WHERE customer_id = ?1 AND group_id = ?2)"
            ))?
            .execute(params![customer, group])?;
    }
    let deleted: Vec<_> = connection
        .prepare_cached(
            "DELETE FROM provisioning_keys WHERE customer_id = ?1 AND group_id = ?2 RETURNING id, name, key_id",
        )?
        .query_map(params![customer, group], |row| {
            Ok(DeletedKey { id: row.get(0)?, name: row.get(1)?, key_id: row.get(2)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    webhooks::forget_keys(connection, customer, &deleted.iter().map(|key| key.id).collect::<Vec<_>>())?;
    Ok(deleted)
}

/// All keys that have the one signing certificate get the other; answers which. Refused while one is managed by
/// another API client.
pub(super) fn replace_signing_certificate(
    connection: &Connection,
    replacement: &SigningCertificateReplacement,
) -> Result<Vec<ProvisioningKeyId>, ApplyError> {
    let SigningCertificateReplacement { customer, from, to, at, by, client } = replacement;
    refuse_managed(connection, "signing_certificate_id", params![customer, from, client])?;
    let replaced = connection
        .prepare_cached(
            "UPDATE provisioning_keys
             SET signing_certificate_id = ?3, revision = revision + 1, modified_at = ?4, modified_by = ?5
             WHERE customer_id = ?1 AND signing_certificate_id = ?2 RETURNING id",
        )?
        .query_map(params![customer, from, to, at, by], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(replaced)
}

/// `given`: the customer, the value of `column` that the keys in question have, and whose managed keys do not count.
fn refuse_managed(connection: &Connection, column: &str, given: &[&dyn ToSql]) -> Result<(), ApplyError> {
    let managed = connection
        .prepare_cached(&format!(
            "SELECT managed_by_label FROM provisioning_keys
             WHERE customer_id = ?1 AND {column} = ?2 AND managed_by_client_id IS NOT NULL
                 AND managed_by_client_id IS NOT ?3
             ORDER BY id LIMIT 1"
        ))?
        .query_row(given, |row| row.get(0))
        .optional()?;
    managed.map_or(Ok(()), |label| Err(BrokenRule::Managed { label }.into()))
}

/// What a component of this group is attached to.
pub(super) fn require(
    connection: &Connection,
    customer: CustomerId,
    id: ProvisioningKeyId,
    group: GroupId,
) -> Result<(), ApplyError> {
    let exists = connection
        .prepare_cached("SELECT 1 FROM provisioning_keys WHERE id = ?1 AND customer_id = ?2 AND group_id = ?3")?
        .exists(params![id, customer, group])?;
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "provisioning key" }.into()) }
}

fn insert_digest(connection: &Connection, key: &ProvisioningKey) -> Result<(), ApplyError> {
    let inserted = connection
        .prepare_cached("INSERT INTO digests (digest, customer_id, key_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![key.digest, key.customer_id, key.id])?;
    if inserted == 1 { Ok(()) } else { Err(BrokenRule::DuplicateDigest.into()) }
}

fn require_free_name(connection: &Connection, key: &ProvisioningKey, kind: Kind) -> Result<(), ApplyError> {
    let taken = connection
        .prepare_cached(
            "SELECT 1 FROM provisioning_keys WHERE customer_id = ?1 AND kind = ?2 AND name = ?3 AND id <> ?4",
        )?
        .exists(params![key.customer_id, kind, key.name, key.id])?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}
