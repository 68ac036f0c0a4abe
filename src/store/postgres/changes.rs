//! Administrative transactions, and `changes`, the feed of what they touched.
//!
//! There is one at a time over all nodes: each locks the one row of `changes_end` first. So what a change was
//! decided on still holds when it is written, among changes; what enrollments write beside them is guarded by
//! the keys' locks, see [`keys::lock`].

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, TryAcquireError};
use tokio::time::timeout;

use super::connections::Connections;
use super::encoding::Count;
use super::errors::{ApplyError, Error};
use super::session::{Mode, Row, Session};
use super::{
    StoreClock, administrators, answers, audit, clean_up_schedules, closed, components, customers, groups, keys, now,
    peppers, preferences, saved_filters, sessions, settings, signing_certificates, webhooks,
};
use crate::clock::Timestamp;
use crate::domain::audit::{AuditEvent, AuditKey};
use crate::store::gone::{Gone, events_with};
use crate::store::sealing::Guard;
use crate::store::{
    BrokenRule, Change, ChangeError, ChangeSequence, ChangedObject, ObjectRef, SETTING_SEALED_BY, StoreError, feed,
};

/// How often a transaction is tried to which the database prefers another.
const ATTEMPTS_MAX: u32 = 5;

/// Transactions of this node that may wait; one more is refused at once.
const WAITING_MAX: usize = 1_024;

/// How long they wait for those of this node.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Where this node's transactions wait for their turn. As they are one after the other in any case, they do not
/// take connections meanwhile that reads could use.
pub(super) struct Turns {
    places: Semaphore,
    turn: Mutex<()>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { places: Semaphore::new(WAITING_MAX), turn: Mutex::new(()) }
    }

    /// Does `work` when it is its turn.
    pub(super) async fn take<T, E: From<StoreError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let _place = self.places.try_acquire().map_err(|error| match error {
            TryAcquireError::Closed => closed(),
            TryAcquireError::NoPermits => StoreError::Overloaded { waiting: WAITING_MAX },
        })?;
        let _turn = timeout(WAIT_TIMEOUT, self.turn.lock()).await.map_err(|_| StoreError::Unavailable {
            reason: format!("no turn among the changes within {} s", WAIT_TIMEOUT.as_secs()),
        })?;
        work.await
    }

    /// Lets nobody in any more, and returns when those before are done.
    pub(super) async fn close(&self) {
        self.places.close();
        drop(self.turn.lock().await);
    }
}

/// Applies everything in one transaction, or says which change broke which rule.
pub(super) async fn commit(
    connections: &Connections,
    clock: &StoreClock,
    changes: &[Change],
    events: &[AuditEvent],
    audit_key: &AuditKey,
) -> Result<ChangeSequence, ChangeError> {
    let mut session = connections.get().await?;
    let mut attempt = 1;
    loop {
        session.begin(Mode::Write).await.map_err(StoreError::from)?;
        let applied = apply(&session, clock, changes, events, audit_key).await;
        match applied {
            Ok(Ok(sequence)) => {
                session.commit().await.map_err(StoreError::from)?;
                return Ok(sequence);
            }
            Ok(Err((position, rule))) => {
                // Where this fails the connection is closed, and that rolls back as well.
                let _ = session.roll_back().await;
                return Err(ChangeError::Rule { position, rule });
            }
            Err(error) if error.is_conflict() && attempt < ATTEMPTS_MAX => {
                session.roll_back().await.map_err(StoreError::from)?;
                attempt += 1;
            }
            Err(error) => return Err(StoreError::from(error).into()),
        }
    }
}

/// What [`commit`] does inside the transaction.
async fn apply(
    session: &Session,
    clock: &StoreClock,
    changes: &[Change],
    events: &[AuditEvent],
    audit_key: &AuditKey,
) -> Result<Result<ChangeSequence, (usize, BrokenRule)>, Error> {
    let (last, now) = lock(session, clock).await?;
    let (mut changed, mut gone) = (Vec::with_capacity(changes.len()), Vec::with_capacity(changes.len()));
    let is_guarded = Guard::is_needed(changes);
    let mut guard = Guard::new(if is_guarded { settings::find(session, SETTING_SEALED_BY).await? } else { None });
    for (position, change) in changes.iter().enumerate() {
        if let Err(rule) = guard.check(change) {
            return Ok(Err((position, rule)));
        }
        match apply_one(session, change, now, &mut changed).await {
            Ok(with_change) => gone.push(with_change),
            Err(ApplyError::Rule(rule)) => return Ok(Err((position, rule))),
            Err(ApplyError::Sql(error)) => return Err(error),
        }
    }
    for event in events_with(events, &gone) {
        audit::append(session, &event, audit_key).await?;
    }
    Ok(Ok(announce(session, last, &changed).await?))
}

/// Waits until no other transaction is under way. Answers the newest sequence and the store's time.
pub(super) async fn lock(session: &Session, clock: &StoreClock) -> Result<(ChangeSequence, Timestamp), Error> {
    let row =
        session.row(&format!("SELECT sequence, {} FROM changes_end FOR UPDATE", now("$1")), &[&clock.given()]).await?;
    Ok((ChangeSequence(row.count(0)?), row.get(1)?))
}

/// Adds to `changed` what the feed is to name.
async fn apply_one(
    session: &Session,
    change: &Change,
    now: Timestamp,
    changed: &mut Vec<ObjectRef>,
) -> Result<Gone, ApplyError> {
    let object = match change {
        Change::DeleteAdministrator { customer, id, revision } => {
            administrators::delete(session, *customer, *id, *revision).await?
        }
        Change::DeleteApiClient { customer, id, revision } => {
            administrators::delete_client(session, *customer, *id, *revision).await?
        }
        Change::DeleteGroup { customer, id, revision } => groups::delete(session, *customer, *id, *revision).await?,
        Change::DeleteGroupWithContents { customer, id, revision, at, by } => {
            session.take_time().await?;
            let (keys, components) = groups::delete_with_contents(session, *customer, *id, *revision, *at, *by).await?;
            changed.extend(keys.iter().map(|key| ObjectRef::Key(*customer, key.id)));
            changed.push(ObjectRef::Group(*customer, *id));
            let counts = vec![("deletedKeys", keys.len() as u64), ("deletedComponents", components)];
            return Ok(Gone { counts, keys });
        }
        Change::DeleteKey { customer, id, revision, revoke } => {
            changed.push(keys::delete(session, *customer, *id, *revision).await?);
            let Some(revoke) = revoke else { return Ok(Gone::default()) };
            session.take_time().await?;
            let revoked = components::revoke_of_key(session, *customer, *id, *revoke).await?;
            return Ok(Gone::counted("revokedComponents", revoked));
        }
        Change::DeletePreference { customer, administrator, page } => {
            preferences::delete(session, *customer, *administrator, page).await?;
            return Ok(Gone::default());
        }
        Change::DeleteSavedFilter { customer, administrator, page, name } => {
            saved_filters::delete(session, *customer, *administrator, page, name).await?;
            return Ok(Gone::default());
        }
        Change::DeleteSecret(secret) => settings::delete_secret(session, secret).await?,
        Change::DeleteSigningCertificate { customer, id, revision, at } => {
            signing_certificates::delete(session, *customer, *id, *revision, *at).await?
        }
        Change::DeleteWebhook { customer, id, revision } => {
            webhooks::delete(session, *customer, *id, *revision).await?;
            return Ok(Gone::default());
        }
        Change::EndSession { session: row, at } => {
            sessions::end(session, row, *at).await?;
            return Ok(Gone::default());
        }
        Change::EndSessionsOf { customer, administrator, at } => {
            sessions::end_of(session, *customer, *administrator, *at).await?;
            return Ok(Gone::default());
        }
        Change::EndSessionsOfAll { at } => {
            sessions::end_all(session, *at).await?;
            return Ok(Gone::default());
        }
        Change::ExpectNewString(digests) => {
            peppers::expect_new_string(session, digests).await?;
            return Ok(Gone::default());
        }
        Change::InsertAdministrator(row) => administrators::insert(session, row).await?,
        Change::InsertApiClient(row) => administrators::insert_client(session, row).await?,
        Change::InsertCleanUpSchedule(row) => clean_up_schedules::insert(session, row).await?,
        Change::InsertCustomer(row) => customers::insert(session, row).await?,
        Change::InsertGroup(row) => groups::insert(session, row).await?,
        Change::InsertKey(row) => keys::insert(session, row).await?,
        Change::InsertSecret(secret) => settings::insert_secret(session, secret).await?,
        Change::InsertSession { session: row, revision } => {
            sessions::insert(session, row, *revision).await?;
            return Ok(Gone::default());
        }
        Change::InsertSetting { name, value } => settings::insert(session, name, value).await?,
        Change::InsertSigningCertificate(row) => signing_certificates::insert(session, row).await?,
        Change::InsertWebhook(row) => {
            webhooks::insert(session, row).await?;
            return Ok(Gone::default());
        }
        Change::InsertWebhookTest(row) => {
            webhooks::insert_test(session, row).await?;
            return Ok(Gone::default());
        }
        Change::NoteApiClientUse { customer, id, at } => {
            administrators::note_client_use(session, *customer, *id, *at).await?;
            return Ok(Gone::default());
        }
        Change::PutPreference(row) => {
            preferences::put(session, row).await?;
            return Ok(Gone::default());
        }
        Change::PutSavedFilter(row) => {
            saved_filters::put(session, row).await?;
            return Ok(Gone::default());
        }
        Change::PutSecret(secret) => settings::put_secret(session, secret).await?,
        Change::PutSetting { name, value } => settings::put(session, name, value).await?,
        Change::RememberAnswer(answer) => {
            answers::insert(session, answer, now).await?;
            return Ok(Gone::default());
        }
        Change::RenameSavedFilter { customer, administrator, page, name, new } => {
            saved_filters::rename(session, *customer, *administrator, page, name, new).await?;
            return Ok(Gone::default());
        }
        Change::ReplaceApiClientDigest(new) => {
            peppers::replace_of_client(session, new).await?;
            return Ok(Gone::default());
        }
        Change::ReplaceSecret { secret, before } => settings::replace_secret(session, secret, before).await?,
        Change::ReplaceSetting { name, value, before } => {
            settings::replace(session, name, value, before.as_deref()).await?
        }
        Change::ReplaceSigningCertificate(replacement) => {
            session.take_time().await?;
            let (keys, groups) = signing_certificates::replace(session, replacement).await?;
            let counts = vec![("keys", keys.len() as u64), ("groups", groups.len() as u64)];
            changed.extend(groups.into_iter().map(|id| ObjectRef::Group(replacement.customer, id)));
            changed.extend(keys.into_iter().map(|id| ObjectRef::Key(replacement.customer, id)));
            return Ok(Gone { counts, keys: Vec::new() });
        }
        Change::RetirePepper { pepper, give_up } => {
            session.take_time().await?;
            let left = peppers::retire(session, *pepper, *give_up).await?;
            let counts = vec![("keys", left.keys.len() as u64), ("apiClients", left.api_clients.len() as u64)];
            changed.extend(left.keys.into_iter().chain(left.api_clients));
            changed.push(ObjectRef::Service);
            return Ok(Gone { counts, keys: Vec::new() });
        }
        Change::RevokeComponent { customer, id, revision, at, reason, by } => {
            components::revoke(session, *customer, *id, *revision, (*at, *reason), *by).await?;
            return Ok(Gone::default());
        }
        Change::DeleteComponent { customer, id, revision, at, release_use } => {
            let released = components::delete(session, *customer, *id, *revision, *at, *release_use).await?;
            changed.extend(released);
            let counted = Gone::counted("releasedUses", released.is_some().into());
            return Ok(if *release_use { counted } else { Gone::default() });
        }
        Change::CleanUpComponent { customer, id, seen, schedule, at } => {
            components::clean_up(session, *customer, *id, *seen, *schedule, *at).await?;
            return Ok(Gone::default());
        }
        Change::UpdateAdministrator(row) => administrators::update(session, row).await?,
        Change::UpdateApiClient(row) => administrators::update_client(session, row).await?,
        Change::UpdateCleanUpSchedule(row) => clean_up_schedules::update(session, row).await?,
        Change::UpdateComponent(row) => {
            components::update(session, row).await?;
            return Ok(Gone::default());
        }
        Change::UpdateCustomer(row) => customers::update(session, row).await?,
        Change::UpdateGroup(row) => groups::update(session, row).await?,
        Change::UpdateKey(row) => keys::update(session, row).await?,
        Change::UpdateSigningCertificate(row) => signing_certificates::update(session, row).await?,
        Change::UpdateWebhook(row) => {
            webhooks::update(session, row).await?;
            return Ok(Gone::default());
        }
    };
    changed.push(object);
    Ok(Gone::default())
}

/// Gives each object one row, in order of its first change, and answers the newest sequence.
pub(super) async fn announce(
    session: &Session,
    last: ChangeSequence,
    changed: &[ObjectRef],
) -> Result<ChangeSequence, Error> {
    let (mut objects, mut customers, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = HashSet::with_capacity(changed.len());
    for object in changed.iter().filter(|object| seen.insert(**object)) {
        let (object, customer, id) = feed::columns_of(object);
        objects.push(object);
        customers.push(customer);
        ids.push(id);
    }
    if ids.is_empty() {
        return Ok(last);
    }
    let sequence = last.0 + ids.len() as u64;
    session
        .execute(
            "INSERT INTO changes (sequence, object, customer_id, object_id)
             SELECT $1 + place, object, customer_id, object_id
             FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY
                 AS changed (object, customer_id, object_id, place)",
            &[&Count(last.0), &objects, &customers, &ids],
        )
        .await?;
    session
        .execute("DELETE FROM changes WHERE sequence <= $1", &[&Count(sequence.saturating_sub(feed::ROWS_MAX))])
        .await?;
    session.execute("UPDATE changes_end SET sequence = $1", &[&Count(sequence)]).await?;
    Ok(ChangeSequence(sequence))
}

pub(super) async fn last(session: &Session) -> Result<ChangeSequence, Error> {
    Ok(ChangeSequence(session.row("SELECT sequence FROM changes_end", &[]).await?.count(0)?))
}

pub(super) async fn list(session: &Session, after: ChangeSequence, limit: u32) -> Result<Vec<ChangedObject>, Error> {
    session
        .list(
            "SELECT sequence, object, customer_id, object_id FROM changes WHERE sequence > $1
             ORDER BY sequence LIMIT $2",
            &[&Count(after.0), &Count(limit)],
            read,
        )
        .await
}

fn read(row: &Row) -> Result<ChangedObject, Error> {
    let object = feed::object_of((row.get(1)?, row.get(2)?, row.get(3)?))?;
    Ok(ChangedObject { sequence: ChangeSequence(row.count(0)?), object })
}
