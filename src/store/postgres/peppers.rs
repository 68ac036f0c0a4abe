//! Which pepper digests are under, and what takes their place when there is a newer one.

use super::administrators::{CLIENT_COLUMNS, read_client};
use super::connections::Connections;
use super::encoding::Count;
use super::errors::{ApplyError, Error};
use super::session::{Mode, Session};
use super::{StoreClock, changes};
use crate::clock::Timestamp;
use crate::domain::key::KeyName;
use crate::domain::{ApiClient, places};
use crate::id::{ApiClientId, CustomerId, ProvisioningKeyId};
use crate::secret::pepper::{Digests, KeyDigest, PepperNumber};
use crate::store::{BrokenRule, DigestCounts, KeyUnderPepper, NewDigest, ObjectRef, StoreError};

/// The oldest pepper that is there and the newest; `None`: the store has none.
async fn range(session: &Session) -> Result<Option<(PepperNumber, PepperNumber)>, Error> {
    let row = session
        .row("SELECT min(name::bigint), max(name::bigint) FROM secrets WHERE purpose = $1", &[&places::PEPPER])
        .await?;
    let (oldest, newest): (Option<u32>, Option<u32>) = (row.count_or_none(0)?, row.count_or_none(1)?);
    Ok(oldest.zip(newest).map(|(oldest, newest)| (PepperNumber(oldest), PepperNumber(newest))))
}

/// Whose digest is under a pepper that was let go of could never be verified.
pub(super) async fn require(session: &Session, pepper: PepperNumber) -> Result<(), ApplyError> {
    match range(session).await? {
        Some((oldest, _)) if pepper < oldest => Err(BrokenRule::UnknownPepper.into()),
        _ => Ok(()),
    }
}

/// That no key has one of these digests of a text, under whatever pepper.
pub(super) async fn expect_new_string(session: &Session, digests: &Digests) -> Result<(), ApplyError> {
    if range(session).await?.is_some_and(|(_, newest)| digests.under(newest).is_none()) {
        return Err(BrokenRule::UnknownPepper.into());
    }
    let digests: Vec<_> = digests.iter().map(|(_, digest)| digest).collect();
    let digests: Vec<_> = digests.iter().map(|digest| digest.as_bytes().as_slice()).collect();
    match session.exists("SELECT 1 FROM digests WHERE digest = ANY ($1)", &[&digests]).await? {
        true => Err(BrokenRule::DuplicateDigest.into()),
        false => Ok(()),
    }
}

pub(super) async fn count(session: &Session) -> Result<Vec<DigestCounts>, Error> {
    session
        .list(
            "SELECT pepper, sum(keys)::bigint, sum(clients)::bigint FROM (
                 SELECT pepper, count(*) AS keys, 0 AS clients FROM provisioning_keys GROUP BY pepper
                 UNION ALL
                 SELECT pepper, 0, count(*) FROM api_clients GROUP BY pepper) AS counted
             GROUP BY pepper ORDER BY pepper",
            &[],
            |row| Ok(DigestCounts { pepper: row.get(0)?, keys: row.count(1)?, api_clients: row.count(2)? }),
        )
        .await
}

pub(super) async fn list_keys(
    session: &Session,
    pepper: PepperNumber,
    after: ProvisioningKeyId,
    limit: u32,
) -> Result<Vec<KeyUnderPepper>, Error> {
    session
        .list(
            "SELECT customer_id, id, kind, name, digest, sealed_string FROM provisioning_keys
             WHERE pepper = $1 AND id > $2 ORDER BY id LIMIT $3",
            &[&pepper, &after, &Count(limit)],
            |row| {
                Ok(KeyUnderPepper {
                    customer: row.get(0)?,
                    key: KeyName { id: row.get(1)?, kind: row.get(2)?, name: row.get(3)? },
                    digest: KeyDigest::from_bytes(row.bytes(4)?),
                    sealed_string: row.get(5)?,
                })
            },
        )
        .await
}

pub(super) async fn list_clients(session: &Session, pepper: PepperNumber, limit: u32) -> Result<Vec<ApiClient>, Error> {
    session
        .list(
            &format!("SELECT {CLIENT_COLUMNS} FROM api_clients WHERE pepper = $1 ORDER BY id LIMIT $2"),
            &[&pepper, &Count(limit)],
            read_client,
        )
        .await
}

/// One transaction, in its turn among those of administrators. Answers how many were replaced.
pub(super) async fn replace_of_keys(
    connections: &Connections,
    clock: &StoreClock,
    digests: &[NewDigest<ProvisioningKeyId>],
) -> Result<u64, StoreError> {
    let mut session = connections.get().await?;
    session.begin(Mode::Write).await?;
    let (last, _) = changes::lock(&session, clock).await?;
    let replaced = replace(&session, digests).await?;
    changes::announce(&session, last, &replaced).await?;
    session.commit().await?;
    Ok(replaced.len() as u64)
}

async fn replace(session: &Session, digests: &[NewDigest<ProvisioningKeyId>]) -> Result<Vec<ObjectRef>, Error> {
    let customers: Vec<_> = digests.iter().map(|new| new.customer).collect();
    let ids: Vec<_> = digests.iter().map(|new| new.id).collect();
    let before: Vec<_> = digests.iter().map(|new| new.before.as_bytes().as_slice()).collect();
    let peppers: Vec<_> = digests.iter().map(|new| i64::from(new.pepper.0)).collect();
    let after: Vec<_> = digests.iter().map(|new| new.digest.as_bytes().as_slice()).collect();
    let replaced: Vec<(CustomerId, ProvisioningKeyId, [u8; KeyDigest::BYTES], [u8; KeyDigest::BYTES])> = session
        .list(
            "UPDATE provisioning_keys AS k SET digest = v.digest, pepper = v.pepper
             FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[])
                 AS v (customer_id, id, before, pepper, digest)
             WHERE k.customer_id = v.customer_id AND k.id = v.id AND k.digest = v.before AND k.pepper > $6
                 AND k.pepper < v.pepper AND NOT EXISTS (SELECT 1 FROM digests d WHERE d.digest = v.digest)
                 AND v.pepper <= (SELECT max(name::bigint) FROM secrets WHERE purpose = $7)
             RETURNING k.customer_id, k.id, v.before, v.digest",
            &[&customers, &ids, &before, &peppers, &after, &PepperNumber::GONE, &places::PEPPER],
            |row| Ok((row.get(0)?, row.get(1)?, row.bytes(2)?, row.bytes(3)?)),
        )
        .await?;
    let gone: Vec<_> = replaced.iter().map(|(.., before, _)| before.as_slice()).collect();
    session.execute("DELETE FROM digests WHERE digest = ANY ($1)", &[&gone]).await?;
    let digests: Vec<_> = replaced.iter().map(|(.., digest)| digest.as_slice()).collect();
    let customers: Vec<_> = replaced.iter().map(|(customer, ..)| *customer).collect();
    let ids: Vec<_> = replaced.iter().map(|(_, id, ..)| *id).collect();
    session
        .execute(
            "INSERT INTO digests (digest, customer_id, key_id)
             SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[])",
            &[&digests, &customers, &ids],
        )
        .await?;
    Ok(replaced.into_iter().map(|(customer, id, ..)| ObjectRef::Key(customer, id)).collect())
}

pub(super) async fn replace_of_client(session: &Session, new: &NewDigest<ApiClientId>) -> Result<(), Error> {
    session
        .execute(
            "UPDATE api_clients SET secret_digest = $4, pepper = $5
             WHERE customer_id = $1 AND id = $2 AND secret_digest = $3 AND pepper > $6 AND pepper < $5
                 AND $5 <= (SELECT max(name::bigint) FROM secrets WHERE purpose = $7)",
            &[
                &new.customer,
                &new.id,
                &new.before.as_bytes().as_slice(),
                &new.digest.as_bytes().as_slice(),
                &new.pepper,
                &PepperNumber::GONE,
                &places::PEPPER,
            ],
        )
        .await?;
    Ok(())
}

/// What lost its digest with the pepper.
pub(super) struct Left {
    pub(super) keys: Vec<ObjectRef>,
    pub(super) api_clients: Vec<ObjectRef>,
}

pub(super) async fn retire(
    session: &Session,
    pepper: PepperNumber,
    give_up: Option<(Timestamp, Option<u64>)>,
) -> Result<Left, ApplyError> {
    if range(session).await?.is_none_or(|(_, newest)| newest <= pepper) {
        return Err(BrokenRule::NotFound.into());
    }
    let deleted = session
        .execute("DELETE FROM secrets WHERE purpose = $1 AND name = $2", &[&places::PEPPER, &pepper.0.to_string()])
        .await?;
    if deleted == 0 {
        return Err(BrokenRule::NotFound.into());
    }
    let Some((at, by)) = give_up else {
        for (table, by) in [("provisioning_keys", "provisioning keys"), ("api_clients", "API clients")] {
            if session.exists(&format!("SELECT 1 FROM {table} WHERE pepper = $1 LIMIT 1"), &[&pepper]).await? {
                return Err(BrokenRule::Referenced { by }.into());
            }
        }
        return Ok(Left { keys: Vec::new(), api_clients: Vec::new() });
    };
    // What is being enrolled with one of them is there before this answers.
    session
        .execute(
            "SELECT n.key_id FROM key_counters n
             JOIN provisioning_keys k ON k.customer_id = n.customer_id AND k.id = n.key_id
             WHERE k.pepper = $1 ORDER BY n.customer_id, n.key_id FOR UPDATE OF n",
            &[&pepper],
        )
        .await?;
    let by = by.map(Count);
    let keys = session
        .list(
            "UPDATE provisioning_keys
             SET pepper = $2, enabled = FALSE, revision = revision + 1, modified_at = $3, modified_by = $4
             WHERE pepper = $1 RETURNING customer_id, id",
            &[&pepper, &PepperNumber::GONE, &at, &by],
            |row| Ok(ObjectRef::Key(row.get(0)?, row.get(1)?)),
        )
        .await?;
    let api_clients = session
        .list(
            "UPDATE api_clients
             SET pepper = $2, secret_generation = secret_generation + 1, revision = revision + 1, modified_at = $3,
                 modified_by = $4
             WHERE pepper = $1 RETURNING customer_id, id",
            &[&pepper, &PepperNumber::GONE, &at, &by],
            |row| Ok(ObjectRef::ApiClient(row.get(0)?, row.get(1)?)),
        )
        .await?;
    Ok(Left { keys, api_clients })
}
