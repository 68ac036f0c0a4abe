//! `signing_certificates`, and `signed_ends`, which enrollments write.

use super::encoding::{Count, Exactly};
use super::errors::{ApplyError, Error};
use super::session::{Row, Session};
use super::{crls, customers, groups, keys};
use crate::clock::Timestamp;
use crate::domain::{Revision, SigningCertificate};
use crate::id::{CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::store::encoding::Chain;
use crate::store::revisions::{next_revision, require_revision};
pub(super) use crate::store::rows::SIGNING_CERTIFICATE as COLUMNS;
use crate::store::{BrokenRule, ObjectRef, SigningCertificateReferences, SigningCertificateReplacement};

pub(super) fn read(row: &Row) -> Result<SigningCertificate, Error> {
    let Chain(chain) = row.get(5)?;
    Ok(SigningCertificate {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        certificate: row.get(4)?,
        chain,
        sealed_private_key: row.get(6)?,
        csr: row.get(7)?,
        parent_id: row.get(8)?,
        allow_signing: row.get(9)?,
        lifetime_seconds: row.count(10)?,
        purpose: row.get(11)?,
        not_before: row.get(12)?,
        not_after: row.get(13)?,
        created_at: row.get(14)?,
        modified_at: row.get(15)?,
        modified_by: row.count_or_none(16)?,
        revision: row.get(17)?,
        public_key_hash: row.bytes(18)?,
    })
}

pub(super) async fn find(
    session: &Session,
    customer: CustomerId,
    id: SigningCertificateId,
) -> Result<Option<SigningCertificate>, Error> {
    session
        .find(
            &format!("SELECT {COLUMNS} FROM signing_certificates WHERE customer_id = $1 AND id = $2"),
            &[&customer, &id],
            read,
        )
        .await
}

pub(super) async fn scan(
    session: &Session,
    after: SigningCertificateId,
    limit: u32,
) -> Result<Vec<SigningCertificate>, Error> {
    session
        .list(
            &format!("SELECT {COLUMNS} FROM signing_certificates WHERE id > $1 ORDER BY id LIMIT $2"),
            &[&after, &Count(limit)],
            read,
        )
        .await
}

pub(super) async fn insert(session: &Session, row: &SigningCertificate) -> Result<ObjectRef, ApplyError> {
    customers::require(session, row.customer_id, false).await?;
    require_parent(session, row).await?;
    require_free_name(session, row).await?;
    require_free_key_pair(session, row).await?;
    session
        .execute(
            "INSERT INTO signing_certificates (id, customer_id, revision, name, description, certificate, chain,
                 sealed_private_key, csr, parent_id, allow_signing, lifetime_seconds, purpose, not_before, not_after,
                 created_at, modified_at, modified_by, public_key_hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
            &[
                &row.id,
                &row.customer_id,
                &Revision::FIRST,
                &row.name,
                &row.description,
                &row.certificate,
                &Chain(row.chain.clone()),
                &row.sealed_private_key,
                &row.csr,
                &row.parent_id,
                &row.allow_signing,
                &Count(row.lifetime_seconds),
                &row.purpose,
                &row.not_before,
                &row.not_after,
                &row.created_at,
                &row.modified_at,
                &row.modified_by.map(Count),
                &Exactly(row.public_key_hash),
            ],
        )
        .await?;
    Ok(ObjectRef::SigningCertificate(row.customer_id, row.id))
}

pub(super) async fn update(session: &Session, row: &SigningCertificate) -> Result<ObjectRef, ApplyError> {
    let next = next_revision(revision(session, row.customer_id, row.id).await?, row.revision)?;
    require_parent(session, row).await?;
    require_free_name(session, row).await?;
    require_free_key_pair(session, row).await?;
    session
        .execute(
            "UPDATE signing_certificates SET revision = $3, name = $4, description = $5, certificate = $6, chain = $7,
                 sealed_private_key = CASE WHEN $8 THEN sealed_private_key END, csr = $9, parent_id = $10, allow_signing = $11, lifetime_seconds = $12,
                 purpose = $13, not_before = $14, not_after = $15, modified_at = $16, modified_by = $17,
                 public_key_hash = $18
             WHERE customer_id = $1 AND id = $2",
            &[
                &row.customer_id,
                &row.id,
                &next,
                &row.name,
                &row.description,
                &row.certificate,
                &Chain(row.chain.clone()),
                &row.sealed_private_key.is_some(),
                &row.csr,
                &row.parent_id,
                &row.allow_signing,
                &Count(row.lifetime_seconds),
                &row.purpose,
                &row.not_before,
                &row.not_after,
                &row.modified_at,
                &row.modified_by.map(Count),
                &Exactly(row.public_key_hash),
            ],
        )
        .await?;
    Ok(ObjectRef::SigningCertificate(row.customer_id, row.id))
}

/// One that something refers to stays. What enrollments that are under way sign with it is not missed: their
/// keys refer to it, and whoever took a key away from it waited for them.
pub(super) async fn delete(
    session: &Session,
    customer: CustomerId,
    id: SigningCertificateId,
    expected: Option<Revision>,
    at: Timestamp,
) -> Result<ObjectRef, ApplyError> {
    require_revision(revision(session, customer, id).await?.ok_or(BrokenRule::NotFound)?, expected)?;
    let references = find_references(session, customer, id).await?.ok_or(BrokenRule::NotFound)?;
    if let Some(by) = references.in_the_way(at) {
        return Err(BrokenRule::Referenced { by }.into());
    }
    session.execute("DELETE FROM signing_certificates WHERE customer_id = $1 AND id = $2", &[&customer, &id]).await?;
    session
        .execute("DELETE FROM signed_ends WHERE customer_id = $1 AND signing_certificate_id = $2", &[&customer, &id])
        .await?;
    crls::delete(session, customer, id).await?;
    Ok(ObjectRef::SigningCertificate(customer, id))
}

/// Puts one in the place of another; the keys and groups that have it now.
pub(super) async fn replace(
    session: &Session,
    replacement: &SigningCertificateReplacement,
) -> Result<(Vec<ProvisioningKeyId>, Vec<GroupId>), ApplyError> {
    require(session, replacement.customer, replacement.to).await?;
    let keys = keys::replace_signing_certificate(session, replacement).await?;
    Ok((keys, groups::replace_signing_certificate(session, replacement).await?))
}

pub(super) async fn find_references(
    session: &Session,
    customer: CustomerId,
    id: SigningCertificateId,
) -> Result<Option<SigningCertificateReferences>, Error> {
    session
        .find(
            "SELECT (SELECT count(*) FROM provisioning_keys WHERE customer_id = $1 AND signing_certificate_id = $2
                     AND id > 0),
                 (SELECT count(*) FROM groups WHERE customer_id = $1 AND signing_certificate_id = $2),
                 (SELECT count(*) FROM signing_certificates WHERE customer_id = $1 AND parent_id = $2),
                 (SELECT signed_until FROM signed_ends WHERE customer_id = $1 AND signing_certificate_id = $2)
             FROM signing_certificates WHERE customer_id = $1 AND id = $2",
            &[&customer, &id],
            |row| {
                Ok(SigningCertificateReferences {
                    keys: row.count(0)?,
                    groups: row.count(1)?,
                    below: row.count(2)?,
                    signed_until: row.get(3)?,
                })
            },
        )
        .await
}

/// What groups and keys refer to.
pub(super) async fn require(
    session: &Session,
    customer: CustomerId,
    id: SigningCertificateId,
) -> Result<(), ApplyError> {
    let exists = revision(session, customer, id).await?.is_some();
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "signing certificate" }.into()) }
}

async fn revision(
    session: &Session,
    customer: CustomerId,
    id: SigningCertificateId,
) -> Result<Option<Revision>, Error> {
    session
        .find(
            "SELECT revision FROM signing_certificates WHERE customer_id = $1 AND id = $2",
            &[&customer, &id],
            |row| row.get(0),
        )
        .await
}

async fn require_parent(session: &Session, row: &SigningCertificate) -> Result<(), ApplyError> {
    match row.parent_id {
        Some(parent) => require(session, row.customer_id, parent).await,
        None => Ok(()),
    }
}

async fn require_free_name(session: &Session, row: &SigningCertificate) -> Result<(), ApplyError> {
    let taken = session
        .exists(
            "SELECT 1 FROM signing_certificates
             WHERE customer_id = $1 AND lower(name) = lower($2 COLLATE \"C\") AND id <> $3",
            &[&row.customer_id, &row.name, &row.id],
        )
        .await?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}

/// Over all customers.
async fn require_free_key_pair(session: &Session, row: &SigningCertificate) -> Result<(), ApplyError> {
    let taken = session
        .exists(
            "SELECT 1 FROM signing_certificates WHERE public_key_hash = $1 AND id <> $2",
            &[&Exactly(row.public_key_hash), &row.id],
        )
        .await?;
    if taken { Err(BrokenRule::DuplicateKeyPair.into()) } else { Ok(()) }
}
