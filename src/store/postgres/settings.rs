//! `settings` and `secrets`: rows of the service as a whole. The store's own counters stand among
//! the settings, under names that begin with `store.`.

use super::encoding::Count;
use super::errors::{ApplyError, Error};
use super::session::Session;
use super::{StoreClock, now};
use crate::clock::Timestamp;
use crate::id::SEQUENCE_BITS;
use crate::store::codes::{FIRST_ID, NEXT_ID};
use crate::store::{BrokenRule, ObjectRef, SealedSecret};

/// What [`probe`] writes, in unix seconds.
const PROBED_AT: &str = "store.probed_at";

pub(super) async fn find(session: &Session, name: &str) -> Result<Option<String>, Error> {
    session.find("SELECT value FROM settings WHERE name = $1", &[&name], |row| row.get(0)).await
}

pub(super) async fn insert(session: &Session, name: &str, value: &str) -> Result<ObjectRef, ApplyError> {
    let inserted = session
        .execute("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", &[&name, &value])
        .await?;
    if inserted == 1 { Ok(ObjectRef::Service) } else { Err(BrokenRule::DuplicateName.into()) }
}

pub(super) async fn put(session: &Session, name: &str, value: &str) -> Result<ObjectRef, Error> {
    session
        .execute(
            "INSERT INTO settings (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            &[&name, &value],
        )
        .await?;
    Ok(ObjectRef::Service)
}

/// Changes are one at a time, so what is found stays so.
pub(super) async fn replace(
    session: &Session,
    name: &str,
    value: &str,
    before: Option<&str>,
) -> Result<ObjectRef, ApplyError> {
    if find(session, name).await?.as_deref() != before {
        return Err(BrokenRule::NotFound.into());
    }
    Ok(put(session, name, value).await?)
}

pub(super) async fn list_secrets(session: &Session, purpose: &str) -> Result<Vec<SealedSecret>, Error> {
    session
        .list("SELECT purpose, name, sealed FROM secrets WHERE purpose = $1 ORDER BY name", &[&purpose], |row| {
            Ok(SealedSecret { purpose: row.get(0)?, name: row.get(1)?, sealed: row.get(2)? })
        })
        .await
}

pub(super) async fn insert_secret(session: &Session, secret: &SealedSecret) -> Result<ObjectRef, ApplyError> {
    let inserted = session
        .execute(
            "INSERT INTO secrets (purpose, name, sealed) VALUES ($1, $2, $3) ON CONFLICT (purpose, name) DO NOTHING",
            &[&secret.purpose, &secret.name, &secret.sealed],
        )
        .await?;
    if inserted == 1 { Ok(ObjectRef::Service) } else { Err(BrokenRule::DuplicateName.into()) }
}

pub(super) async fn put_secret(session: &Session, secret: &SealedSecret) -> Result<ObjectRef, Error> {
    session
        .execute(
            "INSERT INTO secrets (purpose, name, sealed) VALUES ($1, $2, $3)
             ON CONFLICT (purpose, name) DO UPDATE SET sealed = excluded.sealed",
            &[&secret.purpose, &secret.name, &secret.sealed],
        )
        .await?;
    Ok(ObjectRef::Service)
}

pub(super) async fn replace_secret(
    session: &Session,
    secret: &SealedSecret,
    before: &[u8],
) -> Result<ObjectRef, ApplyError> {
    let replaced = session
        .execute(
            "UPDATE secrets SET sealed = $3 WHERE purpose = $1 AND name = $2 AND sealed = $4",
            &[&secret.purpose, &secret.name, &secret.sealed, &before],
        )
        .await?;
    if replaced == 1 { Ok(ObjectRef::Service) } else { Err(BrokenRule::NotFound.into()) }
}

pub(super) async fn delete_secret(session: &Session, secret: &SealedSecret) -> Result<ObjectRef, ApplyError> {
    let deleted = session
        .execute(
            "DELETE FROM secrets WHERE purpose = $1 AND name = $2 AND sealed = $3",
            &[&secret.purpose, &secret.name, &secret.sealed],
        )
        .await?;
    if deleted == 1 { Ok(ObjectRef::Service) } else { Err(BrokenRule::NotFound.into()) }
}

/// The first of `count` ids that nobody else gets. `None`: there are not that many left.
pub(super) async fn reserve_ids(session: &Session, count: u64) -> Result<Option<u64>, Error> {
    let last_first = (1_u64 << SEQUENCE_BITS).checked_sub(count).filter(|first| *first >= FIRST_ID);
    let Some(last_first) = last_first else { return Ok(None) };
    session
        .find(
            "INSERT INTO settings (name, value) VALUES ($1, ($2::bigint + $3::bigint)::text)
             ON CONFLICT (name) DO UPDATE SET value = (settings.value::bigint + $3::bigint)::text
             WHERE settings.value::bigint <= $4::bigint
             RETURNING value::bigint - $3::bigint",
            &[&NEXT_ID, &Count(FIRST_ID), &Count(count), &Count(last_first)],
            |row| row.count(0),
        )
        .await
}

/// The time by the database's clock.
pub(super) async fn database_time(session: &Session) -> Result<Timestamp, Error> {
    session.row(&format!("SELECT {}", now("NULL")), &[]).await?.get(0)
}

/// A small write, to learn whether one goes through.
pub(super) async fn probe(session: &Session, clock: &StoreClock) -> Result<(), Error> {
    session
        .execute(
            &format!(
                "INSERT INTO settings (name, value) VALUES ($1, ({})::text)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                now("$2")
            ),
            &[&PROBED_AT, &clock.given()],
        )
        .await?;
    Ok(())
}
