//! `provisioning_keys`, `key_counters` and `digests`.

use super::encoding::Count;
use super::errors::{ApplyError, Error};
use super::session::{Row, Session, Values};
use super::{customers, groups, peppers, signing_certificates, webhooks};
use crate::clock::Timestamp;
use crate::domain::key::{KeyUsage, LastUse, ManagedBy};
use crate::domain::{AddressList, IndexedKey, Kind, Networks, ProvisioningKey, Revision};
use crate::id::{ApiClientId, ComponentId, CustomerId, GroupId, ProvisioningKeyId};
use crate::secret::pepper::KeyDigest;
use crate::store::gone::DeletedKey;
use crate::store::revisions::{next_revision, require_revision};
use crate::store::rows::INDEXED_KEY as INDEXED_COLUMNS;
pub(super) use crate::store::rows::KEY as COLUMNS;
use crate::store::{BrokenRule, ObjectRef, SigningCertificateReplacement, encoding};

/// Settings and counters side by side. The counters' `key_id` is renamed away, as a key has one of
/// its own: the public key id.
pub(super) const TABLE: &str = "provisioning_keys LEFT JOIN (SELECT customer_id AS counted_customer_id, key_id AS counted_id, \
                     uses, re_enrollments, last_ordinal, last_used_at, last_used_by FROM key_counters) AS counters \
                     ON counted_customer_id = customer_id AND counted_id = id";

pub(super) fn read(row: &Row) -> Result<ProvisioningKey, Error> {
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
        maximum: encoding::maximum(row.count_or_none(7)?)?,
        enabled: row.get(8)?,
        allow_re_enrollment: row.get(9)?,
        expires_at: row.get(10)?,
        addresses: row.get(11)?,
        version: row.get(12)?,
        hint: row.get(13)?,
        key_id: row.get(14)?,
        digest: KeyDigest::from_bytes(row.bytes(15)?),
        pepper: row.get(16)?,
        sealed_string: row.get(17)?,
        managed_by: managed_by.0.zip(managed_by.1).map(|(client_id, label)| ManagedBy { client_id, label }),
        successor_id: row.get(20)?,
        ui_config: row.get(31)?,
        created_at: row.get(21)?,
        created_by: row.count_or_none(22)?,
        modified_at: row.get(23)?,
        modified_by: row.count_or_none(24)?,
        revision: row.get(25)?,
        usage: KeyUsage {
            uses: row.count(26)?,
            re_enrollments: row.count(27)?,
            last_ordinal: row.count(28)?,
            last_used: last_used.0.zip(last_used.1).map(|(at, by)| LastUse { at, by }),
        },
    })
}

fn read_indexed(row: &Row) -> Result<IndexedKey, Error> {
    Ok(IndexedKey {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        group_id: row.get(2)?,
        signing_certificate_id: row.get(3)?,
        maximum: encoding::maximum(row.count_or_none(4)?)?,
        enabled: row.get(5)?,
        allow_re_enrollment: row.get(6)?,
        expires_at: row.get(7)?,
        addresses: Networks::from(&row.get::<AddressList>(8)?),
        digest: KeyDigest::from_bytes(row.bytes(9)?),
        uses: row.count::<u32>(10)?.into(),
        revision: row.get(11)?,
    })
}

/// Waits for the locks of these keys, which are held until the transaction ends: what is read from here on, of
/// them, their components and their ledgers, no enrollment changes. One that is gone has no lock and needs none.
pub(super) async fn lock(session: &Session, customer: CustomerId, ids: &[ProvisioningKeyId]) -> Result<(), Error> {
    session
        .execute(
            "SELECT key_id FROM key_counters WHERE customer_id = $1 AND key_id = ANY ($2) ORDER BY key_id FOR UPDATE",
            &[&customer, &ids],
        )
        .await?;
    Ok(())
}

pub(super) async fn find(
    session: &Session,
    customer: CustomerId,
    id: ProvisioningKeyId,
) -> Result<Option<ProvisioningKey>, Error> {
    session
        .find(&format!("SELECT {COLUMNS} FROM {TABLE} WHERE customer_id = $1 AND id = $2"), &[&customer, &id], read)
        .await
}

/// In any order.
pub(super) async fn find_indexed_many(
    session: &Session,
    customer: CustomerId,
    ids: &[ProvisioningKeyId],
) -> Result<Vec<IndexedKey>, Error> {
    session
        .list(
            &format!("SELECT {INDEXED_COLUMNS} FROM {TABLE} WHERE customer_id = $1 AND id = ANY ($2)"),
            &[&customer, &ids],
            read_indexed,
        )
        .await
}

pub(super) async fn find_by_digest(
    session: &Session,
    digest: &KeyDigest,
) -> Result<Option<(CustomerId, ProvisioningKeyId)>, Error> {
    session
        .find("SELECT customer_id, key_id FROM digests WHERE digest = $1", &[&digest.as_bytes().as_slice()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .await
}

pub(super) async fn list_of_group(
    session: &Session,
    customer: CustomerId,
    group: GroupId,
    after: ProvisioningKeyId,
    limit: u32,
) -> Result<Vec<ProvisioningKey>, Error> {
    session
        .list(
            &format!(
                "SELECT {COLUMNS} FROM {TABLE} WHERE customer_id = $1 AND group_id = $2 AND id > 0 AND id > $3 ORDER BY id LIMIT $4"
            ),
            &[&customer, &group, &after, &Count(limit)],
            read,
        )
        .await
}

/// Goes through an index, as far as it has the kind: some hundredths of a second per 100,000.
pub(super) async fn count(session: &Session, customer: CustomerId, kind: Kind) -> Result<u64, Error> {
    session
        .row(
            "SELECT count(*) FROM provisioning_keys WHERE customer_id = $1 AND kind = $2 AND id > 0",
            &[&customer, &kind],
        )
        .await?
        .count(0)
}

pub(super) async fn scan(session: &Session, after: ProvisioningKeyId, limit: u32) -> Result<Vec<IndexedKey>, Error> {
    session
        .list(
            &format!("SELECT {INDEXED_COLUMNS} FROM {TABLE} WHERE id > $1 ORDER BY id LIMIT $2"),
            &[&after, &Count(limit)],
            read_indexed,
        )
        .await
}

/// The counters start at zero, whatever the row says.
pub(super) async fn insert(session: &Session, key: &ProvisioningKey) -> Result<ObjectRef, ApplyError> {
    customers::require(session, key.customer_id, false).await?;
    groups::require(session, key.customer_id, key.group_id, key.kind).await?;
    signing_certificates::require(session, key.customer_id, key.signing_certificate_id).await?;
    require_free_name(session, key, key.kind).await?;
    peppers::require(session, key.pepper).await?;
    insert_digest(session, key).await?;
    session
        .execute(
            "INSERT INTO provisioning_keys (id, customer_id, revision, group_id, signing_certificate_id, maximum,
                 expires_at, enabled, allow_re_enrollment, kind, name, digest, pepper, addresses, version, hint,
                 key_id, uses_when_set, managed_by_client_id, managed_by_label, successor_id, created_at, created_by,
                 modified_at, modified_by, description, sealed_string, ui_config)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 0, $18, $19, $20,
                 $21, $22, $23, $24, $25, $26, $27)",
            &[
                &key.id,
                &key.customer_id,
                &Revision::FIRST,
                &key.group_id,
                &key.signing_certificate_id,
                &key.maximum.map(|maximum| Count(maximum.get())),
                &key.expires_at,
                &key.enabled,
                &key.allow_re_enrollment,
                &key.kind,
                &key.name,
                &key.digest.as_bytes().as_slice(),
                &key.pepper,
                &key.addresses,
                &key.version,
                &key.hint,
                &key.key_id,
                &key.managed_by.as_ref().map(|managed| managed.client_id),
                &key.managed_by.as_ref().map(|managed| &managed.label),
                &key.successor_id,
                &key.created_at,
                &key.created_by.map(Count),
                &key.modified_at,
                &key.modified_by.map(Count),
                &key.description,
                &key.sealed_string,
                &key.ui_config,
            ],
        )
        .await?;
    session
        .execute(
            "INSERT INTO key_counters (customer_id, key_id, uses, re_enrollments, last_ordinal, last_sequence)
             VALUES ($1, $2, 0, 0, 0, 0)",
            &[&key.customer_id, &key.id],
        )
        .await?;
    Ok(ObjectRef::Key(key.customer_id, key.id))
}

/// All settings but the fixed ones: kind, group, version, hint, public key id and creation. The digest only
/// [`super::peppers`] replaces: whoever read the row before must not put the old one back.
pub(super) async fn update(session: &Session, key: &ProvisioningKey) -> Result<ObjectRef, ApplyError> {
    // Between the count that is noted and the new maximum no use is taken.
    lock(session, key.customer_id, &[key.id]).await?;
    let found = session
        .find(
            "SELECT revision, kind FROM provisioning_keys WHERE customer_id = $1 AND id = $2",
            &[&key.customer_id, &key.id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .await?;
    let (found, kind) = found.ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(found), key.revision)?;
    signing_certificates::require(session, key.customer_id, key.signing_certificate_id).await?;
    require_free_name(session, key, kind).await?;
    session
        .execute(
            "UPDATE provisioning_keys SET revision = $3, signing_certificate_id = $4, name = $5, description = $6,
                 maximum = $7, enabled = $8, allow_re_enrollment = $9, expires_at = $10, addresses = $11,
                 sealed_string = CASE WHEN $12 THEN sealed_string END, managed_by_client_id = $13, managed_by_label = $14,
                 successor_id = $15, modified_at = $16, modified_by = $17, ui_config = $18,
                 uses_when_set = (SELECT n.uses FROM key_counters n WHERE n.customer_id = $1 AND n.key_id = $2)
             WHERE customer_id = $1 AND id = $2",
            &[
                &key.customer_id,
                &key.id,
                &next,
                &key.signing_certificate_id,
                &key.name,
                &key.description,
                &key.maximum.map(|maximum| Count(maximum.get())),
                &key.enabled,
                &key.allow_re_enrollment,
                &key.expires_at,
                &key.addresses,
                &key.sealed_string.is_some(),
                &key.managed_by.as_ref().map(|managed| managed.client_id),
                &key.managed_by.as_ref().map(|managed| &managed.label),
                &key.successor_id,
                &key.modified_at,
                &key.modified_by.map(Count),
                &key.ui_config,
            ],
        )
        .await?;
    Ok(ObjectRef::Key(key.customer_id, key.id))
}

/// The key string is unknown from here on. Components and ledger stay.
pub(super) async fn delete(
    session: &Session,
    customer: CustomerId,
    id: ProvisioningKeyId,
    revision: Option<Revision>,
) -> Result<ObjectRef, ApplyError> {
    lock(session, customer, &[id]).await?;
    let deleted = session
        .find(
            "DELETE FROM provisioning_keys WHERE customer_id = $1 AND id = $2 RETURNING digest, revision",
            &[&customer, &id],
            |row| Ok((KeyDigest::from_bytes(row.bytes(0)?), row.get(1)?)),
        )
        .await?;
    let (digest, found) = deleted.ok_or(BrokenRule::NotFound)?;
    // A broken rule undoes the whole transaction, this deletion too.
    require_revision(found, revision)?;
    delete_digest(session, &digest).await?;
    delete_what_counts(session, customer, &[id]).await?;
    Ok(ObjectRef::Key(customer, id))
}

/// All keys of a group, however many, and answers which went; components and ledgers stay. Refused while
/// one is managed by another API client than `by`.
///
/// Locks the keys that components of the group were attached to elsewhere, too, for what comes of them next:
/// all at once, as two who lock in turns may wait for each other.
pub(super) async fn delete_of_group(
    session: &Session,
    customer: CustomerId,
    group: GroupId,
    by: Option<ApiClientId>,
) -> Result<Vec<DeletedKey>, ApplyError> {
    refuse_managed(session, "group_id", &[&customer, &group, &by]).await?;
    session
        .execute(
            "SELECT key_id FROM key_counters
             WHERE customer_id = $1 AND key_id IN (
                 SELECT id FROM provisioning_keys WHERE customer_id = $1 AND group_id = $2 AND id > 0
                 UNION
                 SELECT p.key_id FROM components p
                 WHERE p.customer_id = $1 AND p.group_id = $2 AND p.deleted_at IS NULL AND p.id > 0)
             ORDER BY key_id FOR UPDATE",
            &[&customer, &group],
        )
        .await?;
    // Those whose keys are gone have no lock but their own against a renewal.
    session
        .execute(
            "SELECT p.id FROM components p
             WHERE p.customer_id = $1 AND p.group_id = $2 AND p.deleted_at IS NULL AND p.id > 0
                 AND NOT EXISTS (SELECT 1 FROM key_counters n WHERE n.customer_id = $1 AND n.key_id = p.key_id)
             ORDER BY p.id FOR UPDATE",
            &[&customer, &group],
        )
        .await?;
    session
        .execute(
            "DELETE FROM digests WHERE digest IN (
                 SELECT digest FROM provisioning_keys WHERE customer_id = $1 AND group_id = $2 AND id > 0)",
            &[&customer, &group],
        )
        .await?;
    let mut deleted = session
        .list(
            "DELETE FROM provisioning_keys WHERE customer_id = $1 AND group_id = $2 AND id > 0 RETURNING id, name, key_id",
            &[&customer, &group],
            |row| Ok(DeletedKey { id: row.get(0)?, name: row.get(1)?, key_id: row.get(2)? }),
        )
        .await?;
    deleted.sort_unstable_by_key(|key| key.id);
    delete_what_counts(session, customer, &deleted.iter().map(|key| key.id).collect::<Vec<_>>()).await?;
    Ok(deleted)
}

/// All keys that have the one signing certificate get the other; answers which. Refused while one is managed by
/// another API client. What is being signed with the one is there before this answers.
pub(super) async fn replace_signing_certificate(
    session: &Session,
    replacement: &SigningCertificateReplacement,
) -> Result<Vec<ProvisioningKeyId>, ApplyError> {
    let SigningCertificateReplacement { customer, from, to, at, by, client } = replacement;
    refuse_managed(session, "signing_certificate_id", &[customer, from, client]).await?;
    session
        .execute(
            "SELECT key_id FROM key_counters
             WHERE customer_id = $1 AND key_id IN (
                 SELECT id FROM provisioning_keys WHERE customer_id = $1 AND signing_certificate_id = $2 AND id > 0)
             ORDER BY key_id FOR UPDATE",
            &[customer, from],
        )
        .await?;
    let replaced = session
        .list(
            "UPDATE provisioning_keys
             SET signing_certificate_id = $3, revision = revision + 1, modified_at = $4, modified_by = $5
             WHERE customer_id = $1 AND signing_certificate_id = $2 AND id > 0 RETURNING id",
            &[customer, from, to, at, &by.map(Count)],
            |row| row.get(0),
        )
        .await?;
    Ok(replaced)
}

/// `given`: the customer, the value of `column` that the keys in question have, and whose managed keys do not count.
async fn refuse_managed(session: &Session, column: &str, given: Values<'_>) -> Result<(), ApplyError> {
    let managed = session
        .find(
            &format!(
                "SELECT managed_by_label FROM provisioning_keys
                 WHERE customer_id = $1 AND {column} = $2 AND id > 0 AND managed_by_client_id IS NOT NULL
                     AND managed_by_client_id IS DISTINCT FROM $3
                 ORDER BY id LIMIT 1"
            ),
            given,
            |row| row.get(0),
        )
        .await?;
    managed.map_or(Ok(()), |label| Err(BrokenRule::Managed { label }.into()))
}

/// What a component of this group is attached to.
pub(super) async fn require(
    session: &Session,
    customer: CustomerId,
    id: ProvisioningKeyId,
    group: GroupId,
) -> Result<(), ApplyError> {
    let exists = session
        .exists(
            "SELECT 1 FROM provisioning_keys WHERE customer_id = $1 AND id = $2 AND group_id = $3",
            &[&customer, &id, &group],
        )
        .await?;
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "provisioning key" }.into()) }
}

async fn insert_digest(session: &Session, key: &ProvisioningKey) -> Result<(), ApplyError> {
    let inserted = session
        .execute(
            "INSERT INTO digests (digest, customer_id, key_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            &[&key.digest.as_bytes().as_slice(), &key.customer_id, &key.id],
        )
        .await?;
    if inserted == 1 { Ok(()) } else { Err(BrokenRule::DuplicateDigest.into()) }
}

/// Counters, refusals and webhooks' marks of keys that were deleted right before. Since then no refusal comes any
/// more, see [`ledger::add_refusals`](super::ledger::add_refusals), and no mark.
async fn delete_what_counts(session: &Session, customer: CustomerId, ids: &[ProvisioningKeyId]) -> Result<(), Error> {
    for table in ["key_counters", "key_refusals"] {
        let delete = format!("DELETE FROM {table} WHERE customer_id = $1 AND key_id = ANY ($2)");
        session.execute(&delete, &[&customer, &ids]).await?;
    }
    webhooks::forget_keys(session, customer, ids).await
}

async fn delete_digest(session: &Session, digest: &KeyDigest) -> Result<(), Error> {
    session.execute("DELETE FROM digests WHERE digest = $1", &[&digest.as_bytes().as_slice()]).await?;
    Ok(())
}

async fn require_free_name(session: &Session, key: &ProvisioningKey, kind: Kind) -> Result<(), ApplyError> {
    let taken = session
        .exists(
            "SELECT 1 FROM provisioning_keys
             WHERE customer_id = $1 AND kind = $2 AND lower(name) = lower($3 COLLATE \"C\") AND id <> $4",
            &[&key.customer_id, &kind, &key.name, &key.id],
        )
        .await?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}
