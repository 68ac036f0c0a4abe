//! `groups`.

use super::encoding::Count;
use super::errors::{ApplyError, Error};
use super::session::{Row, Session};
use super::{components, customers, keys, signing_certificates};
use crate::clock::Timestamp;
use crate::domain::{Group, Kind, Revision};
use crate::id::{ApiClientId, CustomerId, GroupId};
use crate::store::encoding::Attributes;
use crate::store::gone::DeletedKey;
use crate::store::revisions::require_revision;
pub(super) use crate::store::rows::GROUP as COLUMNS;
use crate::store::{BrokenRule, GroupContents, ObjectRef, SigningCertificateReplacement};

pub(super) fn read(row: &Row) -> Result<Group, Error> {
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
        modified_by: row.count_or_none(11)?,
        revision: row.get(12)?,
    })
}

pub(super) async fn find(session: &Session, customer: CustomerId, id: GroupId) -> Result<Option<Group>, Error> {
    session
        .find(&format!("SELECT {COLUMNS} FROM groups WHERE customer_id = $1 AND id = $2"), &[&customer, &id], read)
        .await
}

pub(super) async fn count(session: &Session, customer: CustomerId, kind: Kind) -> Result<u64, Error> {
    session.row("SELECT count(*) FROM groups WHERE customer_id = $1 AND kind = $2", &[&customer, &kind]).await?.count(0)
}

pub(super) async fn scan(session: &Session, after: GroupId, limit: u32) -> Result<Vec<Group>, Error> {
    session
        .list(
            &format!("SELECT {COLUMNS} FROM groups WHERE id > $1 ORDER BY id LIMIT $2"),
            &[&after, &Count(limit)],
            read,
        )
        .await
}

pub(super) async fn insert(session: &Session, group: &Group) -> Result<ObjectRef, ApplyError> {
    customers::require(session, group.customer_id, false).await?;
    signing_certificates::require(session, group.customer_id, group.signing_certificate_id).await?;
    require_free_name(session, group, group.kind).await?;
    session
        .execute(
            "INSERT INTO groups (id, customer_id, revision, kind, name, description, enabled,
                 signing_certificate_id, addresses, attributes, created_at, modified_at, modified_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            &[
                &group.id,
                &group.customer_id,
                &Revision::FIRST,
                &group.kind,
                &group.name,
                &group.description,
                &group.enabled,
                &group.signing_certificate_id,
                &group.addresses,
                &Attributes(group.attributes.clone()),
                &group.created_at,
                &group.modified_at,
                &group.modified_by.map(Count),
            ],
        )
        .await?;
    Ok(ObjectRef::Group(group.customer_id, group.id))
}

/// All but id, customer and kind, which are fixed.
pub(super) async fn update(session: &Session, group: &Group) -> Result<ObjectRef, ApplyError> {
    let kind = require_unchanged(session, group.customer_id, group.id, Some(group.revision)).await?;
    let next = group.revision.next();
    signing_certificates::require(session, group.customer_id, group.signing_certificate_id).await?;
    require_free_name(session, group, kind).await?;
    session
        .execute(
            "UPDATE groups SET revision = $3, name = $4, description = $5, enabled = $6, signing_certificate_id = $7,
                 addresses = $8, attributes = $9, modified_at = $10, modified_by = $11
             WHERE customer_id = $1 AND id = $2",
            &[
                &group.customer_id,
                &group.id,
                &next,
                &group.name,
                &group.description,
                &group.enabled,
                &group.signing_certificate_id,
                &group.addresses,
                &Attributes(group.attributes.clone()),
                &group.modified_at,
                &group.modified_by.map(Count),
            ],
        )
        .await?;
    Ok(ObjectRef::Group(group.customer_id, group.id))
}

/// A group that keys or components belong to stays.
pub(super) async fn delete(
    session: &Session,
    customer: CustomerId,
    id: GroupId,
    revision: Option<Revision>,
) -> Result<ObjectRef, ApplyError> {
    require_unchanged(session, customer, id, revision).await?;
    for GroupContents { keys, components } in contents(session, customer, &[id]).await? {
        if keys > 0 {
            return Err(BrokenRule::Referenced { by: "provisioning keys" }.into());
        }
        if components > 0 {
            return Err(BrokenRule::Referenced { by: "components" }.into());
        }
    }
    remove(session, customer, id).await
}

/// A group with all that belongs to it: the keys that went, and how many components, of which there may be
/// a million.
pub(super) async fn delete_with_contents(
    session: &Session,
    customer: CustomerId,
    id: GroupId,
    revision: Option<Revision>,
    at: Timestamp,
    by: Option<ApiClientId>,
) -> Result<(Vec<DeletedKey>, u64), ApplyError> {
    require_unchanged(session, customer, id, revision).await?;
    let keys = keys::delete_of_group(session, customer, id, by).await?;
    let components = components::delete_of_group(session, customer, id, at).await?;
    remove(session, customer, id).await?;
    Ok((keys, components))
}

/// All groups that have the one signing certificate get the other; answers which.
pub(super) async fn replace_signing_certificate(
    session: &Session,
    replacement: &SigningCertificateReplacement,
) -> Result<Vec<GroupId>, Error> {
    let SigningCertificateReplacement { customer, from, to, at, by, .. } = replacement;
    session
        .list(
            "UPDATE groups SET signing_certificate_id = $3, revision = revision + 1, modified_at = $4, modified_by = $5
             WHERE customer_id = $1 AND signing_certificate_id = $2 RETURNING id",
            &[customer, from, to, at, &by.map(Count)],
            |row| row.get(0),
        )
        .await
}

/// What belongs to each of these groups, in the order asked, by its counts and one entry of an index for each key.
pub(super) async fn contents(
    session: &Session,
    customer: CustomerId,
    ids: &[GroupId],
) -> Result<Vec<GroupContents>, Error> {
    session
        .list(
            "SELECT (SELECT count(*) FROM provisioning_keys WHERE customer_id = $1 AND group_id = asked.id AND id > 0),
                 (SELECT coalesce(sum(components), 0)::bigint FROM component_counts
                  WHERE customer_id = $1 AND group_id = asked.id AND id > 0)
             FROM unnest($2::bigint[]) WITH ORDINALITY AS asked (id, place) ORDER BY place",
            &[&customer, &ids],
            |row| Ok(GroupContents { keys: row.count(0)?, components: row.count(1)? }),
        )
        .await
}

/// Answers the kind of the group.
async fn require_unchanged(
    session: &Session,
    customer: CustomerId,
    id: GroupId,
    revision: Option<Revision>,
) -> Result<Kind, ApplyError> {
    let found = session
        .find("SELECT revision, kind FROM groups WHERE customer_id = $1 AND id = $2", &[&customer, &id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .await?;
    let (found, kind) = found.ok_or(BrokenRule::NotFound)?;
    require_revision(found, revision)?;
    Ok(kind)
}

async fn remove(session: &Session, customer: CustomerId, id: GroupId) -> Result<ObjectRef, ApplyError> {
    session.execute("DELETE FROM groups WHERE customer_id = $1 AND id = $2", &[&customer, &id]).await?;
    Ok(ObjectRef::Group(customer, id))
}

/// What keys and components of a kind refer to.
pub(super) async fn require(
    session: &Session,
    customer: CustomerId,
    id: GroupId,
    kind: Kind,
) -> Result<(), ApplyError> {
    let exists = session
        .exists("SELECT 1 FROM groups WHERE customer_id = $1 AND id = $2 AND kind = $3", &[&customer, &id, &kind])
        .await?;
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "group" }.into()) }
}

async fn require_free_name(session: &Session, group: &Group, kind: Kind) -> Result<(), ApplyError> {
    let taken = session
        .exists(
            "SELECT 1 FROM groups
             WHERE customer_id = $1 AND kind = $2 AND lower(name) = lower($3 COLLATE \"C\") AND id <> $4",
            &[&group.customer_id, &kind, &group.name, &group.id],
        )
        .await?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}
