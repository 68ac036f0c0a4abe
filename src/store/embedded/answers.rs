//! `answers`: what requests came to that must not happen twice.

use rusqlite::{Connection, OptionalExtension, params};

use super::errors::ApplyError;
use crate::clock::Timestamp;
use crate::store::{ANSWER_BRIEF, ANSWER_LASTING, AnswerId, BrokenRule, StoredAnswer};

pub(super) fn find(connection: &Connection, id: AnswerId) -> rusqlite::Result<Option<StoredAnswer>> {
    connection
        .prepare_cached("SELECT at, sealed_brief, sealed_lasting FROM answers WHERE id = ?1")?
        .query_row([id.0], |row| {
            Ok(StoredAnswer { id, at: row.get(0)?, sealed_brief: row.get(1)?, sealed_lasting: row.get(2)? })
        })
        .optional()
}

/// Takes the place of one that has had its time.
pub(super) fn insert(connection: &Connection, answer: &StoredAnswer, now: Timestamp) -> Result<(), ApplyError> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO answers (id, at, sealed_brief, sealed_lasting) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET at = excluded.at, sealed_brief = excluded.sealed_brief,
                 sealed_lasting = excluded.sealed_lasting
             WHERE at <= ?5",
        )?
        .execute(params![
            answer.id.0,
            answer.at,
            answer.sealed_brief,
            answer.sealed_lasting,
            now.saturating_sub(ANSWER_LASTING)
        ])?;
    if inserted == 1 { Ok(()) } else { Err(BrokenRule::AnsweredBefore.into()) }
}

pub(super) fn sweep(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM answers WHERE at <= ?1")?.execute([now.saturating_sub(ANSWER_LASTING)])?;
    connection
        .prepare_cached(
            "UPDATE answers INDEXED BY answers_with_secret SET sealed_brief = NULL
             WHERE at <= ?1 AND sealed_brief IS NOT NULL",
        )?
        .execute([now.saturating_sub(ANSWER_BRIEF)])?;
    Ok(())
}
