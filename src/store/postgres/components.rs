//! `components`. Enrollments insert them, see `enroll.rs`.

use super::encoding::Count;
use super::errors::{ApplyError, Error};
use super::session::{Row, Session, columns_of};
use super::{certificates, clean_up_schedules, counts, groups, keys, ledger};
use crate::clock::Timestamp;
use crate::domain::redemption::KnownComponent;
use crate::domain::renewal::KnownCertificate;
use crate::domain::{Component, ComponentState, Fingerprint, Kind, Revision, RevocationReason, SerialNumber};
use crate::id::{CleanUpScheduleId, ComponentId, CustomerId, GroupId, ProvisioningKeyId};
use crate::store::encoding::Address;
use crate::store::revisions::{next_revision, require_revision};
pub(super) use crate::store::rows::COMPONENT as COLUMNS;
use crate::store::{BrokenRule, ComponentRelations, EndedComponent, EndingComponent, ObjectRef};

/// The columns after those of [`COLUMNS`] begin here.
const COLUMNS_END: usize = 22;

pub(super) fn read(row: &Row) -> Result<Component, Error> {
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
        ordinal: row.count(7)?,
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
        modified_by: row.count_or_none(20)?,
        previous_serial: row.get(21)?,
    })
}

/// Deleted ones too: they are kept for their history.
pub(super) async fn find(session: &Session, customer: CustomerId, id: ComponentId) -> Result<Option<Component>, Error> {
    session
        .find(&format!("SELECT {COLUMNS} FROM components WHERE customer_id = $1 AND id = $2"), &[&customer, &id], read)
        .await
}

/// In the order of `ids`.
pub(super) async fn find_many(
    session: &Session,
    customer: CustomerId,
    ids: &[ComponentId],
) -> Result<Vec<Component>, Error> {
    session
        .list(
            &format!(
                "SELECT {} FROM unnest($2::bigint[]) WITH ORDINALITY AS asked (id, place)
                     JOIN components p ON p.customer_id = $1 AND p.id = asked.id
                 ORDER BY asked.place",
                columns_of("p", COLUMNS)
            ),
            &[&customer, &ids],
            read,
        )
        .await
}

pub(super) async fn find_known(
    session: &Session,
    customer: CustomerId,
    key: ProvisioningKeyId,
    fingerprint: &Fingerprint,
    re_enrollments_since: Timestamp,
) -> Result<Option<KnownComponent>, Error> {
    let (own, of_certificate) = (columns_of("p", COLUMNS), columns_of("t", certificates::COLUMNS));
    session
        .find(
            &format!(
                "SELECT {own}, (
                     SELECT count(*) FROM key_uses u
                     WHERE u.customer_id = $1 AND u.component_id = p.id AND u.at > $4 AND u.entry = 2),
                     t.serial IS NOT NULL, {of_certificate}
                 FROM components p
                     LEFT JOIN certificates t ON t.customer_id = p.customer_id AND t.serial = p.current_serial
                 WHERE p.customer_id = $1 AND p.key_id = $2 AND p.fingerprint = $3 AND p.deleted_at IS NULL"
            ),
            &[&customer, &key, fingerprint, &re_enrollments_since],
            |row| {
                let (component, recent_re_enrollments) = (read(row)?, row.count(COLUMNS_END)?);
                if !row.get::<bool>(COLUMNS_END + 1)? {
                    return Err(without_certificate(component.id));
                }
                let certificate = certificates::read(row, COLUMNS_END + 2)?;
                Ok(KnownComponent { component, certificate, recent_re_enrollments })
            },
        )
        .await
}

pub(super) async fn find_known_certificate(
    session: &Session,
    customer: CustomerId,
    id: ComponentId,
    serial: SerialNumber,
) -> Result<Option<KnownCertificate>, Error> {
    let (own, of_current, of_presented) =
        (columns_of("p", COLUMNS), columns_of("c", certificates::COLUMNS), columns_of("t", certificates::COLUMNS));
    session
        .find(
            &format!(
                "SELECT {own}, c.serial IS NOT NULL, {of_presented}, {of_current}
                 FROM certificates t
                     JOIN components p ON p.customer_id = t.customer_id AND p.id = t.component_id
                     LEFT JOIN certificates c ON c.customer_id = p.customer_id AND c.serial = p.current_serial
                 WHERE t.customer_id = $1 AND t.component_id = $2 AND t.serial = $3"
            ),
            &[&customer, &id, &serial],
            |row| {
                let component = read(row)?;
                if !row.get::<bool>(COLUMNS_END)? {
                    return Err(without_certificate(component.id));
                }
                let presented = certificates::read(row, COLUMNS_END + 1)?;
                let current = certificates::read(row, COLUMNS_END + 1 + certificates::COLUMNS_END)?;
                Ok(KnownCertificate { component, current, presented })
            },
        )
        .await
}

fn without_certificate(component: ComponentId) -> Error {
    Error::Value(format!("component {component} has no row for its certificate"))
}

/// The first of a group, in order of id.
pub(super) async fn list_of_group(
    session: &Session,
    customer: CustomerId,
    group: GroupId,
    limit: u32,
) -> Result<Vec<Component>, Error> {
    session
        .list(
            &format!(
                "SELECT {COLUMNS} FROM components
                 WHERE customer_id = $1 AND group_id = $2 AND deleted_at IS NULL AND id > 0 ORDER BY id LIMIT $3"
            ),
            &[&customer, &group, &Count(limit)],
            read,
        )
        .await
}

/// In the order of `ids`.
pub(super) async fn find_relations(
    session: &Session,
    customer: CustomerId,
    ids: &[ComponentId],
) -> Result<Vec<ComponentRelations>, Error> {
    session
        .list(
            "SELECT p.id, g.name, k.name, t.signing_certificate_id, s.name, t.serial, t.issued_at, t.not_after
             FROM unnest($2::bigint[]) WITH ORDINALITY AS asked (id, place)
                 JOIN components p ON p.customer_id = $1 AND p.id = asked.id
                 JOIN certificates t ON t.customer_id = $1 AND t.serial = p.current_serial
                 LEFT JOIN groups g ON g.customer_id = $1 AND g.id = p.group_id
                 LEFT JOIN provisioning_keys k ON k.customer_id = $1 AND k.id = p.key_id
                 LEFT JOIN signing_certificates s ON s.customer_id = $1 AND s.id = t.signing_certificate_id
             ORDER BY asked.place",
            &[&customer, &ids],
            |row| {
                Ok(ComponentRelations {
                    component: row.get(0)?,
                    group_name: row.get(1)?,
                    key_name: row.get(2)?,
                    signing_certificate_id: row.get(3)?,
                    signing_certificate_name: row.get(4)?,
                    serial: row.get(5)?,
                    issued_at: row.get(6)?,
                    not_after: row.get(7)?,
                })
            },
        )
        .await
}

/// The index of certificates leads the walk, so what has not ended is never looked at.
pub(super) async fn scan_ended(
    session: &Session,
    customer: CustomerId,
    ended_by: Timestamp,
    after: (Timestamp, ComponentId),
    limit: u32,
) -> Result<Vec<EndedComponent>, Error> {
    session
        .list(
            &format!(
                "SELECT {}, t.not_after
                 FROM certificates t
                     JOIN components p ON p.customer_id = $1 AND p.id = t.component_id
                     JOIN groups g ON g.customer_id = $1 AND g.id = p.group_id AND g.enabled
                 WHERE t.customer_id = $1 AND t.status = 1 AND t.not_after <= $2
                     AND (t.not_after, t.component_id) > ($3, $4)
                 ORDER BY t.not_after, t.component_id LIMIT $5",
                columns_of("p", COLUMNS)
            ),
            &[&customer, &ended_by, &after.0, &after.1, &Count(limit)],
            |row| Ok(EndedComponent { component: read(row)?, ended_at: row.get(COLUMNS_END)? }),
        )
        .await
}

/// In order of the end of their current certificates, which says that they are live.
pub(super) async fn list_ending(
    session: &Session,
    customer: CustomerId,
    (after, until): (Timestamp, Timestamp),
    limit: u32,
) -> Result<Vec<EndingComponent>, Error> {
    session
        .list(
            "SELECT p.id, p.kind, p.name, t.not_after
             FROM certificates t JOIN components p ON p.customer_id = $1 AND p.id = t.component_id
             WHERE t.customer_id = $1 AND t.status = 1 AND t.not_after > $2 AND t.not_after <= $3
             ORDER BY t.not_after, t.component_id LIMIT $4",
            &[&customer, &after, &until, &Count(limit)],
            |row| Ok(EndingComponent { id: row.get(0)?, kind: row.get(1)?, name: row.get(2)?, not_after: row.get(3)? }),
        )
        .await
}

/// Name, description, enabled flag, group and key; the rest is what enrollments and revocations made.
pub(super) async fn update(session: &Session, component: &Component) -> Result<(), ApplyError> {
    let (customer, id) = (component.customer_id, component.id);
    let row = lock(session, customer, id, Some(component.key_id)).await?;
    let row = row.filter(|row| !row.is_deleted).ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(row.revision), component.revision)?;
    if component.name != row.name && is_taken(session, component, row.kind).await? {
        return Err(BrokenRule::DuplicateName.into());
    }
    if component.group_id != row.group_id {
        groups::require(session, customer, component.group_id, row.kind).await?;
        counts::add(session, customer, row.group_id, row.kind, -1).await?;
        counts::add(session, customer, component.group_id, row.kind, 1).await?;
    }
    if component.key_id != row.key_id {
        keys::require(session, customer, component.key_id, component.group_id).await?;
        let taken = session
            .exists(
                "SELECT 1 FROM components
                 WHERE customer_id = $1 AND key_id = $2 AND deleted_at IS NULL
                     AND fingerprint = (SELECT p.fingerprint FROM components p WHERE p.customer_id = $1 AND p.id = $3)",
                &[&customer, &component.key_id, &id],
            )
            .await?;
        if taken {
            return Err(BrokenRule::DuplicateFingerprint.into());
        }
    }
    session
        .execute(
            "UPDATE components SET revision = $3, name = $4, description = $5, enabled = $6, group_id = $7,
                 key_id = $8, modified_at = $9, modified_by = $10
             WHERE customer_id = $1 AND id = $2",
            &[
                &customer,
                &id,
                &next,
                &component.name,
                &component.description,
                &component.enabled,
                &component.group_id,
                &component.key_id,
                &component.modified_at,
                &component.modified_by.map(Count),
            ],
        )
        .await?;
    Ok(())
}

/// Nothing happens to one that had ended already.
pub(super) async fn revoke(
    session: &Session,
    customer: CustomerId,
    id: ComponentId,
    revision: Option<Revision>,
    (at, reason): (Timestamp, RevocationReason),
    by: Option<u64>,
) -> Result<(), ApplyError> {
    let row = lock(session, customer, id, None).await?.ok_or(BrokenRule::NotFound)?;
    require_revision(row.revision, revision)?;
    if row.is_deleted || row.is_revoked {
        return Ok(());
    }
    session
        .execute(
            "UPDATE components SET revoked_at = $3, modified_at = $3, modified_by = $4, revision = $5
             WHERE customer_id = $1 AND id = $2",
            &[&customer, &id, &at, &by.map(Count), &row.revision.next()],
        )
        .await?;
    certificates::revoke(session, customer, "p.id = $2", &id, (at, reason)).await?;
    Ok(())
}

/// Revokes a key's live components, with their certificates. Answers how many there were. The key's lock
/// is held: it was deleted right before.
pub(super) async fn revoke_of_key(
    session: &Session,
    customer: CustomerId,
    key: ProvisioningKeyId,
    (at, by): (Timestamp, Option<u64>),
) -> Result<u64, Error> {
    let live = "p.key_id = $2 AND p.deleted_at IS NULL AND p.revoked_at IS NULL";
    certificates::revoke(session, customer, live, &key, (at, RevocationReason::Unspecified)).await?;
    session
        .execute(
            "UPDATE components SET revoked_at = $3, modified_at = $3, modified_by = $4, revision = revision + 1
             WHERE customer_id = $1 AND key_id = $2 AND deleted_at IS NULL AND revoked_at IS NULL",
            &[&customer, &key, &at, &by.map(Count)],
        )
        .await
}

/// Frees the fingerprint. Answers the key that a use went back to: the one that it was taken from, if
/// that still exists.
pub(super) async fn delete(
    session: &Session,
    customer: CustomerId,
    id: ComponentId,
    revision: Option<Revision>,
    at: Timestamp,
    release_use: bool,
) -> Result<Option<ObjectRef>, ApplyError> {
    let row = lock(session, customer, id, None).await?.ok_or(BrokenRule::NotFound)?;
    row.delete(session, revision, at).await?;
    let released = release_use && ledger::release(session, customer, row.enrolled_key_id, id, at).await?;
    Ok(released.then_some(ObjectRef::Key(customer, row.enrolled_key_id)))
}

/// Deletes a component that a clean-up schedule takes, unless one of both changed since that was seen.
/// A re-enrollment moves the serial and not the revision, so both are compared.
pub(super) async fn clean_up(
    session: &Session,
    customer: CustomerId,
    id: ComponentId,
    (revision, serial): (Revision, SerialNumber),
    schedule: (CleanUpScheduleId, Revision),
    at: Timestamp,
) -> Result<(), ApplyError> {
    clean_up_schedules::require(session, customer, schedule).await?;
    let row = lock(session, customer, id, None).await?.ok_or(BrokenRule::NotFound)?;
    if row.current_serial != serial {
        return Err(BrokenRule::Outdated { found: row.revision }.into());
    }
    row.delete(session, Some(revision), at).await
}

/// Deletes all of a group's components, of which there may be a million, with a statement for each table. Answers
/// how many there were. Their keys' locks are held, see [`keys::delete_of_group`].
pub(super) async fn delete_of_group(
    session: &Session,
    customer: CustomerId,
    group: GroupId,
    at: Timestamp,
) -> Result<u64, Error> {
    counts::clear_group(session, customer, group).await?;
    let there = "p.group_id = $2 AND p.deleted_at IS NULL AND p.id > 0";
    certificates::revoke(session, customer, there, &group, (at, RevocationReason::CessationOfOperation)).await?;
    session
        .execute(
            "UPDATE components SET deleted_at = $3, modified_at = $3, revision = revision + 1
             WHERE customer_id = $1 AND group_id = $2 AND deleted_at IS NULL AND id > 0",
            &[&customer, &group, &at],
        )
        .await
}

/// A component with the locks of its keys held: what changes of it depend on.
struct Standing {
    customer_id: CustomerId,
    id: ComponentId,
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

/// Locks the keys that a component has, and the one that it is to have, and reads it then. Its row is locked, too: a
/// renewal needs no key.
async fn lock(
    session: &Session,
    customer: CustomerId,
    id: ComponentId,
    new_key: Option<ProvisioningKeyId>,
) -> Result<Option<Standing>, Error> {
    // Only administrators change these, one at a time.
    let keys = session
        .find(
            "SELECT key_id, enrolled_key_id FROM components WHERE customer_id = $1 AND id = $2",
            &[&customer, &id],
            |row| Ok([row.get(0)?, row.get(1)?]),
        )
        .await?;
    let Some(keys) = keys else { return Ok(None) };
    keys::lock(session, customer, &keys.into_iter().chain(new_key).collect::<Vec<_>>()).await?;
    session
        .find(
            "SELECT revision, kind, name, group_id, key_id, enrolled_key_id, current_serial, revoked_at IS NOT NULL,
                 deleted_at IS NOT NULL
             FROM components WHERE customer_id = $1 AND id = $2 FOR UPDATE",
            &[&customer, &id],
            |row| {
                Ok(Standing {
                    customer_id: customer,
                    id,
                    revision: row.get(0)?,
                    kind: row.get(1)?,
                    name: row.get(2)?,
                    group_id: row.get(3)?,
                    key_id: row.get(4)?,
                    enrolled_key_id: row.get(5)?,
                    current_serial: row.get(6)?,
                    is_revoked: row.get(7)?,
                    is_deleted: row.get(8)?,
                })
            },
        )
        .await
}

impl Standing {
    /// With its certificate. [`BrokenRule::NotFound`] when it is deleted already.
    async fn delete(&self, session: &Session, revision: Option<Revision>, at: Timestamp) -> Result<(), ApplyError> {
        if self.is_deleted {
            return Err(BrokenRule::NotFound.into());
        }
        require_revision(self.revision, revision)?;
        session
            .execute(
                "UPDATE components SET deleted_at = $3, modified_at = $3, revision = $4
                 WHERE customer_id = $1 AND id = $2",
                &[&self.customer_id, &self.id, &at, &self.revision.next()],
            )
            .await?;
        let reason = RevocationReason::CessationOfOperation;
        certificates::revoke(session, self.customer_id, "p.id = $2", &self.id, (at, reason)).await?;
        counts::add(session, self.customer_id, self.group_id, self.kind, -1).await?;
        Ok(())
    }
}

/// Whether another of its kind bears the new name.
async fn is_taken(session: &Session, component: &Component, kind: Kind) -> Result<bool, Error> {
    session
        .exists(
            "SELECT 1 FROM components
             WHERE customer_id = $1 AND kind = $2 AND lower(name) = lower($3 COLLATE \"C\") AND id <> $4 AND deleted_at IS NULL
                 AND id > 0",
            &[&component.customer_id, &kind, &component.name, &component.id],
        )
        .await
}
