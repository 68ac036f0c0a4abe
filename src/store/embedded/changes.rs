//! Administrative transactions, and `changes`, the feed of what they touched.

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Row, params};

use super::errors::ApplyError;
use super::writer::Verdict;
use super::{
    administrators, answers, audit, clean_up_schedules, components, customers, groups, keys, peppers, preferences,
    saved_filters, sessions, settings, signing_certificates, webhooks,
};
use crate::clock::Timestamp;
use crate::domain::audit::{AuditEvent, AuditKey};
use crate::store::gone::{Gone, events_with};
use crate::store::sealing::Guard;
use crate::store::{BrokenRule, Change, ChangeSequence, ChangedObject, ObjectRef, SETTING_SEALED_BY, feed};

/// Applies everything, or says which change broke which rule.
pub(super) fn apply(
    connection: &Connection,
    changes: &[Change],
    events: &[AuditEvent],
    audit_key: &AuditKey,
    now: Timestamp,
) -> rusqlite::Result<Verdict<Result<ChangeSequence, (usize, BrokenRule)>>> {
    let (mut changed, mut gone) = (Vec::with_capacity(changes.len()), Vec::with_capacity(changes.len()));
    let is_guarded = Guard::is_needed(changes);
    let mut guard = Guard::new(if is_guarded { settings::find(connection, SETTING_SEALED_BY)? } else { None });
    for (position, change) in changes.iter().enumerate() {
        if let Err(rule) = guard.check(change) {
            return Ok(Verdict::RollBack(Err((position, rule))));
        }
        match apply_one(connection, change, now, &mut changed) {
            Ok(with_change) => gone.push(with_change),
            Err(ApplyError::Rule(rule)) => return Ok(Verdict::RollBack(Err((position, rule)))),
            Err(ApplyError::Sql(error)) => return Err(error),
        }
    }
    for event in events_with(events, &gone) {
        audit::append(connection, &event, audit_key)?;
    }
    Ok(Verdict::Commit(Ok(announce(connection, &changed)?)))
}

/// Adds to `changed` what the feed is to name.
fn apply_one(
    connection: &Connection,
    change: &Change,
    now: Timestamp,
    changed: &mut Vec<ObjectRef>,
) -> Result<Gone, ApplyError> {
    let object = match change {
        Change::DeleteAdministrator { customer, id, revision } => {
            administrators::delete(connection, *customer, *id, *revision)?
        }
        Change::DeleteApiClient { customer, id, revision } => {
            administrators::delete_client(connection, *customer, *id, *revision)?
        }
        Change::DeleteGroup { customer, id, revision } => groups::delete(connection, *customer, *id, *revision)?,
        Change::DeleteGroupWithContents { customer, id, revision, at, by } => {
            let (keys, components) = groups::delete_with_contents(connection, *customer, *id, *revision, *at, *by)?;
            changed.extend(keys.iter().map(|key| ObjectRef::Key(*customer, key.id)));
            changed.push(ObjectRef::Group(*customer, *id));
            let counts = vec![("deletedKeys", keys.len() as u64), ("deletedComponents", components)];
            return Ok(Gone { counts, keys });
        }
        Change::DeleteKey { customer, id, revision, revoke } => {
            changed.push(keys::delete(connection, *customer, *id, *revision)?);
            let Some(revoke) = revoke else { return Ok(Gone::default()) };
            let revoked = components::revoke_of_key(connection, *customer, *id, *revoke)?;
            return Ok(Gone::counted("revokedComponents", revoked as u64));
        }
        Change::DeletePreference { customer, administrator, page } => {
            preferences::delete(connection, *customer, *administrator, page)?;
            return Ok(Gone::default());
        }
        Change::DeleteSavedFilter { customer, administrator, page, name } => {
            saved_filters::delete(connection, *customer, *administrator, page, name)?;
            return Ok(Gone::default());
        }
        Change::DeleteSecret(secret) => settings::delete_secret(connection, secret)?,
        Change::DeleteSigningCertificate { customer, id, revision, at } => {
            signing_certificates::delete(connection, *customer, *id, *revision, *at)?
        }
        Change::DeleteWebhook { customer, id, revision } => {
            webhooks::delete(connection, *customer, *id, *revision)?;
            return Ok(Gone::default());
        }
        Change::EndSession { session, at } => {
            sessions::end(connection, session, *at)?;
            return Ok(Gone::default());
        }
        Change::EndSessionsOf { customer, administrator, at } => {
            sessions::end_of(connection, *customer, *administrator, *at)?;
            return Ok(Gone::default());
        }
        Change::EndSessionsOfAll { at } => {
            sessions::end_all(connection, *at)?;
            return Ok(Gone::default());
        }
        Change::ExpectNewString(digests) => {
            peppers::expect_new_string(connection, digests)?;
            return Ok(Gone::default());
        }
        Change::InsertAdministrator(row) => administrators::insert(connection, row)?,
        Change::InsertApiClient(row) => administrators::insert_client(connection, row)?,
        Change::InsertCleanUpSchedule(row) => clean_up_schedules::insert(connection, row)?,
        Change::InsertCustomer(row) => customers::insert(connection, row)?,
        Change::InsertGroup(row) => groups::insert(connection, row)?,
        Change::InsertKey(row) => keys::insert(connection, row)?,
        Change::InsertSecret(secret) => settings::insert_secret(connection, secret)?,
        Change::InsertSession { session, revision } => {
            sessions::insert(connection, session, *revision)?;
            return Ok(Gone::default());
        }
        Change::InsertSetting { name, value } => settings::insert(connection, name, value)?,
        Change::InsertSigningCertificate(row) => signing_certificates::insert(connection, row)?,
        Change::InsertWebhook(row) => {
            webhooks::insert(connection, row)?;
            return Ok(Gone::default());
        }
        Change::InsertWebhookTest(row) => {
            webhooks::insert_test(connection, row)?;
            return Ok(Gone::default());
        }
        Change::NoteApiClientUse { customer, id, at } => {
            administrators::note_client_use(connection, *customer, *id, *at)?;
            return Ok(Gone::default());
        }
        Change::PutPreference(row) => {
            preferences::put(connection, row)?;
            return Ok(Gone::default());
        }
        Change::PutSavedFilter(row) => {
            saved_filters::put(connection, row)?;
            return Ok(Gone::default());
        }
        Change::PutSecret(secret) => settings::put_secret(connection, secret)?,
        Change::PutSetting { name, value } => settings::put(connection, name, value)?,
        Change::RememberAnswer(answer) => {
            answers::insert(connection, answer, now)?;
            return Ok(Gone::default());
        }
        Change::RenameSavedFilter { customer, administrator, page, name, new } => {
            saved_filters::rename(connection, *customer, *administrator, page, name, new)?;
            return Ok(Gone::default());
        }
        Change::ReplaceApiClientDigest(new) => {
            peppers::replace_of_client(connection, new)?;
            return Ok(Gone::default());
        }
        Change::ReplaceSecret { secret, before } => settings::replace_secret(connection, secret, before)?,
        Change::ReplaceSetting { name, value, before } => {
            settings::replace(connection, name, value, before.as_deref())?
        }
        Change::ReplaceSigningCertificate(replacement) => {
            let (keys, groups) = signing_certificates::replace(connection, replacement)?;
            let counts = vec![("keys", keys.len() as u64), ("groups", groups.len() as u64)];
            changed.extend(groups.into_iter().map(|id| ObjectRef::Group(replacement.customer, id)));
            changed.extend(keys.into_iter().map(|id| ObjectRef::Key(replacement.customer, id)));
            return Ok(Gone { counts, keys: Vec::new() });
        }
        Change::RetirePepper { pepper, give_up } => {
            let left = peppers::retire(connection, *pepper, *give_up)?;
            let counts = vec![("keys", left.keys.len() as u64), ("apiClients", left.api_clients.len() as u64)];
            changed.extend(left.keys.into_iter().chain(left.api_clients));
            changed.push(ObjectRef::Service);
            return Ok(Gone { counts, keys: Vec::new() });
        }
        Change::RevokeComponent { customer, id, revision, at, reason, by } => {
            components::revoke(connection, *customer, *id, *revision, (*at, *reason), *by)?;
            return Ok(Gone::default());
        }
        Change::DeleteComponent { customer, id, revision, at, release_use } => {
            let released = components::delete(connection, *customer, *id, *revision, *at, *release_use)?;
            changed.extend(released);
            let counted = Gone::counted("releasedUses", released.is_some().into());
            return Ok(if *release_use { counted } else { Gone::default() });
        }
        Change::CleanUpComponent { customer, id, seen, schedule, at } => {
            components::clean_up(connection, *customer, *id, *seen, *schedule, *at)?;
            return Ok(Gone::default());
        }
        Change::UpdateAdministrator(row) => administrators::update(connection, row)?,
        Change::UpdateApiClient(row) => administrators::update_client(connection, row)?,
        Change::UpdateCleanUpSchedule(row) => clean_up_schedules::update(connection, row)?,
        Change::UpdateComponent(row) => {
            components::update(connection, row)?;
            return Ok(Gone::default());
        }
        Change::UpdateCustomer(row) => customers::update(connection, row)?,
        Change::UpdateGroup(row) => groups::update(connection, row)?,
        Change::UpdateKey(row) => keys::update(connection, row)?,
        Change::UpdateSigningCertificate(row) => signing_certificates::update(connection, row)?,
        Change::UpdateWebhook(row) => {
            webhooks::update(connection, row)?;
            return Ok(Gone::default());
        }
    };
    changed.push(object);
    Ok(Gone::default())
}

/// Gives each object one row, in order of its first change, and answers the newest sequence.
///
/// With one writer, order of sequence is order of commit. The newest row always stays, so numbers
/// are never given twice.
pub(super) fn announce(connection: &Connection, changed: &[ObjectRef]) -> rusqlite::Result<ChangeSequence> {
    let mut sequence = last(connection)?.0;
    let mut insert = connection
        .prepare_cached("INSERT INTO changes (sequence, object, customer_id, object_id) VALUES (?1, ?2, ?3, ?4)")?;
    let mut seen = std::collections::HashSet::with_capacity(changed.len());
    for object in changed.iter().filter(|object| seen.insert(**object)) {
        sequence += 1;
        let (table, customer, id) = feed::columns_of(object);
        insert.execute(params![sequence, table, customer, id])?;
    }
    connection
        .prepare_cached("DELETE FROM changes WHERE sequence <= ?1")?
        .execute([sequence.saturating_sub(feed::ROWS_MAX)])?;
    Ok(ChangeSequence(sequence))
}

pub(super) fn last(connection: &Connection) -> rusqlite::Result<ChangeSequence> {
    connection
        .prepare_cached("SELECT coalesce(max(sequence), 0) FROM changes")?
        .query_row([], |row| row.get(0).map(ChangeSequence))
}

pub(super) fn list(connection: &Connection, after: ChangeSequence, limit: u32) -> rusqlite::Result<Vec<ChangedObject>> {
    connection
        .prepare_cached(
            "SELECT sequence, object, customer_id, object_id FROM changes WHERE sequence > ?1
             ORDER BY sequence LIMIT ?2",
        )?
        .query_map(params![after.0, limit], read)?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<ChangedObject> {
    let object = feed::object_of((row.get(1)?, row.get(2)?, row.get(3)?)).map_err(FromSqlError::from)?;
    Ok(ChangedObject { sequence: ChangeSequence(row.get(0)?), object })
}
