//! `administrators` and `api_clients`: who signs in.

use std::collections::HashMap;

use super::encoding::{Count, is_text};
use super::errors::{ApplyError, Error};
use super::session::{Row, Session};
use super::{customers, peppers, preferences, saved_filters};
use crate::clock::Timestamp;
use crate::domain::{Administrator, ApiClient, Name, Revision, Role};
use crate::id::{AdministratorId, ApiClientId, CustomerId};
use crate::secret::pepper::KeyDigest;
use crate::store::revisions::{next_revision, require_revision};
pub(super) use crate::store::rows::ADMINISTRATOR as COLUMNS;
pub(super) use crate::store::rows::API_CLIENT as CLIENT_COLUMNS;
use crate::store::{BrokenRule, ObjectRef};

pub(super) fn read(row: &Row) -> Result<Administrator, Error> {
    Ok(Administrator {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        username: row.get(2)?,
        description: row.get(3)?,
        password_hash: row.get(4)?,
        role: row.get(5)?,
        enabled: row.get(6)?,
        last_sign_in_at: row.get(7)?,
        created_at: row.get(8)?,
        modified_at: row.get(9)?,
        modified_by: row.count_or_none(10)?,
        revision: row.get(11)?,
    })
}

/// Over all customers, without regard to case. The name is as somebody typed it.
pub(super) async fn find(session: &Session, username: &str) -> Result<Option<Administrator>, Error> {
    if !is_text(username) {
        return Ok(None);
    }
    session
        .find(
            &format!("SELECT {COLUMNS} FROM administrators WHERE lower(username) = lower($1 COLLATE \"C\")"),
            &[&username],
            read,
        )
        .await
}

pub(super) async fn find_by_id(
    session: &Session,
    customer: CustomerId,
    id: AdministratorId,
) -> Result<Option<Administrator>, Error> {
    session
        .find(
            &format!("SELECT {COLUMNS} FROM administrators WHERE customer_id = $1 AND id = $2"),
            &[&customer, &id],
            read,
        )
        .await
}

pub(super) async fn insert(session: &Session, row: &Administrator) -> Result<ObjectRef, ApplyError> {
    customers::require(session, row.customer_id, true).await?;
    require_free_username(session, row).await?;
    session
        .execute(
            "INSERT INTO administrators (id, customer_id, revision, username, description, password_hash, role,
                 enabled, created_at, modified_at, modified_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                &row.id,
                &row.customer_id,
                &Revision::FIRST,
                &row.username,
                &row.description,
                &row.password_hash,
                &row.role,
                &row.enabled,
                &row.created_at,
                &row.modified_at,
                &row.modified_by.map(Count),
            ],
        )
        .await?;
    Ok(ObjectRef::Administrator(row.customer_id, row.id))
}

/// All but id, customer and creation, which are fixed, and the last sign-in, which sign-ins write.
pub(super) async fn update(session: &Session, row: &Administrator) -> Result<ObjectRef, ApplyError> {
    let found = find_by_id(session, row.customer_id, row.id).await?.ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(found.revision), row.revision)?;
    require_free_username(session, row).await?;
    session
        .execute(
            "UPDATE administrators SET revision = $3, username = $4, description = $5, password_hash = $6, role = $7,
                 enabled = $8, modified_at = $9, modified_by = $10
             WHERE customer_id = $1 AND id = $2",
            &[
                &row.customer_id,
                &row.id,
                &next,
                &row.username,
                &row.description,
                &row.password_hash,
                &row.role,
                &row.enabled,
                &row.modified_at,
                &row.modified_by.map(Count),
            ],
        )
        .await?;
    require_owner_left(session, &found).await?;
    Ok(ObjectRef::Administrator(row.customer_id, row.id))
}

pub(super) async fn delete(
    session: &Session,
    customer: CustomerId,
    id: AdministratorId,
    revision: Option<Revision>,
) -> Result<ObjectRef, ApplyError> {
    let found = find_by_id(session, customer, id).await?.ok_or(BrokenRule::NotFound)?;
    require_revision(found.revision, revision)?;
    session.execute("DELETE FROM administrators WHERE customer_id = $1 AND id = $2", &[&customer, &id]).await?;
    preferences::delete_of(session, customer, id).await?;
    saved_filters::delete_of(session, customer, id).await?;
    require_owner_left(session, &found).await?;
    Ok(ObjectRef::Administrator(customer, id))
}

/// Notes a sign-in of one who still has the revision that its password was checked with.
pub(super) async fn note_sign_in(
    session: &Session,
    customer: CustomerId,
    id: AdministratorId,
    revision: Revision,
    at: Timestamp,
) -> Result<(), ApplyError> {
    let found = find_by_id(session, customer, id).await?.ok_or(BrokenRule::NotFound)?;
    require_revision(found.revision, Some(revision))?;
    session
        .execute(
            "UPDATE administrators SET last_sign_in_at = $3 WHERE customer_id = $1 AND id = $2",
            &[&customer, &id, &at],
        )
        .await?;
    Ok(())
}

/// Whom something is kept for.
pub(super) async fn require(session: &Session, customer: CustomerId, id: AdministratorId) -> Result<(), ApplyError> {
    let exists =
        session.exists("SELECT 1 FROM administrators WHERE customer_id = $1 AND id = $2", &[&customer, &id]).await?;
    if exists { Ok(()) } else { Err(BrokenRule::UnknownReference { what: "administrator" }.into()) }
}

/// After `before` was changed or deleted. Changes are made one after the other, so of two owners who end each
/// other the second is refused.
async fn require_owner_left(session: &Session, before: &Administrator) -> Result<(), ApplyError> {
    if before.role != Role::Owner || !before.enabled {
        return Ok(());
    }
    let is_left = session
        .exists(
            "SELECT 1 FROM administrators WHERE customer_id = $1 AND role = $2 AND enabled LIMIT 1",
            &[&CustomerId::SERVICE, &Role::Owner],
        )
        .await?;
    if is_left { Ok(()) } else { Err(BrokenRule::LastOwner.into()) }
}

async fn require_free_username(session: &Session, row: &Administrator) -> Result<(), ApplyError> {
    let taken = session
        .exists(
            "SELECT 1 FROM administrators WHERE lower(username) = lower($1 COLLATE \"C\") AND id <> $2",
            &[&row.username, &row.id],
        )
        .await?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}

/// Of administrators and API clients, the customer's and the service's own.
pub(super) async fn find_names(
    session: &Session,
    customer: CustomerId,
    ids: &[u64],
) -> Result<HashMap<u64, Name>, Error> {
    let ids: Vec<_> = ids.iter().copied().map(Count).collect();
    let names = session
        .list(
            "SELECT id, username FROM administrators WHERE customer_id = ANY($1) AND id = ANY($2)
             UNION ALL SELECT id, name FROM api_clients WHERE customer_id = ANY($1) AND id = ANY($2)",
            &[&[customer, CustomerId::SERVICE].as_slice(), &ids],
            |row| Ok((row.count(0)?, row.get(1)?)),
        )
        .await?;
    Ok(names.into_iter().collect())
}

pub(super) fn read_client(row: &Row) -> Result<ApiClient, Error> {
    Ok(ApiClient {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        name: row.get(2)?,
        client_id: row.get(3)?,
        secret_digest: KeyDigest::from_bytes(row.bytes(4)?),
        pepper: row.get(5)?,
        secret_generation: row.count(6)?,
        role: row.get(7)?,
        enabled: row.get(8)?,
        managing: row.get(9)?,
        last_used_at: row.get(10)?,
        created_at: row.get(11)?,
        modified_at: row.get(12)?,
        modified_by: row.count_or_none(13)?,
        revision: row.get(14)?,
    })
}

/// Over all customers. The id is as somebody sent it.
pub(super) async fn find_client(session: &Session, client_id: &str) -> Result<Option<ApiClient>, Error> {
    if !is_text(client_id) {
        return Ok(None);
    }
    session
        .find(&format!("SELECT {CLIENT_COLUMNS} FROM api_clients WHERE client_id = $1"), &[&client_id], read_client)
        .await
}

pub(super) async fn find_client_by_id(
    session: &Session,
    customer: CustomerId,
    id: ApiClientId,
) -> Result<Option<ApiClient>, Error> {
    session
        .find(
            &format!("SELECT {CLIENT_COLUMNS} FROM api_clients WHERE customer_id = $1 AND id = $2"),
            &[&customer, &id],
            read_client,
        )
        .await
}

/// Neither the name within the customer nor the client id within the service may be taken.
pub(super) async fn insert_client(session: &Session, row: &ApiClient) -> Result<ObjectRef, ApplyError> {
    customers::require(session, row.customer_id, true).await?;
    if session.exists("SELECT 1 FROM api_clients WHERE client_id = $1", &[&row.client_id]).await? {
        return Err(BrokenRule::DuplicateName.into());
    }
    require_free_client_name(session, row).await?;
    peppers::require(session, row.pepper).await?;
    session
        .execute(
            "INSERT INTO api_clients (id, customer_id, revision, name, client_id, secret_digest, pepper,
                 secret_generation, role, enabled, managing, created_at, modified_at, modified_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            &[
                &row.id,
                &row.customer_id,
                &Revision::FIRST,
                &row.name,
                &row.client_id,
                &row.secret_digest.as_bytes().as_slice(),
                &row.pepper,
                &Count(row.secret_generation),
                &row.role,
                &row.enabled,
                &row.managing,
                &row.created_at,
                &row.modified_at,
                &row.modified_by.map(Count),
            ],
        )
        .await?;
    Ok(ObjectRef::ApiClient(row.customer_id, row.id))
}

/// All but id, customer, client id and creation, which are fixed, and the last use, which sign-ins write. So they do
/// with another digest of the same secret: only a new secret brings its own.
pub(super) async fn update_client(session: &Session, row: &ApiClient) -> Result<ObjectRef, ApplyError> {
    let found = find_client_by_id(session, row.customer_id, row.id).await?.ok_or(BrokenRule::NotFound)?;
    let next = next_revision(Some(found.revision), row.revision)?;
    require_free_client_name(session, row).await?;
    let (digest, pepper) = match row.secret_generation == found.secret_generation {
        true => (found.secret_digest, found.pepper),
        false => {
            peppers::require(session, row.pepper).await?;
            (row.secret_digest, row.pepper)
        }
    };
    session
        .execute(
            "UPDATE api_clients SET revision = $3, name = $4, secret_digest = $5, pepper = $6, secret_generation = $7,
                 role = $8, enabled = $9, managing = $10, modified_at = $11, modified_by = $12
             WHERE customer_id = $1 AND id = $2",
            &[
                &row.customer_id,
                &row.id,
                &next,
                &row.name,
                &digest.as_bytes().as_slice(),
                &pepper,
                &Count(row.secret_generation),
                &row.role,
                &row.enabled,
                &row.managing,
                &row.modified_at,
                &row.modified_by.map(Count),
            ],
        )
        .await?;
    Ok(ObjectRef::ApiClient(row.customer_id, row.id))
}

/// One that manages keys stays: nobody else could edit or delete them.
pub(super) async fn delete_client(
    session: &Session,
    customer: CustomerId,
    id: ApiClientId,
    revision: Option<Revision>,
) -> Result<ObjectRef, ApplyError> {
    let found = find_client_by_id(session, customer, id).await?.ok_or(BrokenRule::NotFound)?;
    require_revision(found.revision, revision)?;
    let manages = session
        .exists(
            "SELECT 1 FROM provisioning_keys WHERE customer_id = $1 AND managed_by_client_id = $2 LIMIT 1",
            &[&customer, &id],
        )
        .await?;
    if manages {
        return Err(BrokenRule::Referenced { by: "provisioning keys" }.into());
    }
    session.execute("DELETE FROM api_clients WHERE customer_id = $1 AND id = $2", &[&customer, &id]).await?;
    Ok(ObjectRef::ApiClient(customer, id))
}

/// Nothing when it is gone meanwhile: its token is refused by the next request.
pub(super) async fn note_client_use(
    session: &Session,
    customer: CustomerId,
    id: ApiClientId,
    at: Timestamp,
) -> Result<(), Error> {
    session
        .execute("UPDATE api_clients SET last_used_at = $3 WHERE customer_id = $1 AND id = $2", &[&customer, &id, &at])
        .await?;
    Ok(())
}

async fn require_free_client_name(session: &Session, row: &ApiClient) -> Result<(), ApplyError> {
    let taken = session
        .exists(
            "SELECT 1 FROM api_clients
             WHERE customer_id = $1 AND lower(name) = lower($2 COLLATE \"C\") AND id <> $3",
            &[&row.customer_id, &row.name, &row.id],
        )
        .await?;
    if taken { Err(BrokenRule::DuplicateName.into()) } else { Ok(()) }
}
