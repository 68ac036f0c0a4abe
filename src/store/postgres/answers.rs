//! `answers`: what requests came to that must not happen twice.

use super::encoding::Exactly;
use super::errors::{ApplyError, Error};
use super::session::Session;
use crate::clock::Timestamp;
use crate::store::{ANSWER_BRIEF, ANSWER_LASTING, AnswerId, BrokenRule, StoredAnswer};

pub(super) async fn find(session: &Session, id: AnswerId) -> Result<Option<StoredAnswer>, Error> {
    session
        .find("SELECT at, sealed_brief, sealed_lasting FROM answers WHERE id = $1", &[&Exactly(id.0)], |row| {
            Ok(StoredAnswer { id, at: row.get(0)?, sealed_brief: row.get(1)?, sealed_lasting: row.get(2)? })
        })
        .await
}

/// Takes the place of one that has had its time.
pub(super) async fn insert(session: &Session, answer: &StoredAnswer, now: Timestamp) -> Result<(), ApplyError> {
    let inserted = session
        .execute(
            "INSERT INTO answers (id, at, sealed_brief, sealed_lasting) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET at = excluded.at, sealed_brief = excluded.sealed_brief,
                 sealed_lasting = excluded.sealed_lasting
             WHERE answers.at <= $5",
            &[
                &Exactly(answer.id.0),
                &answer.at,
                &answer.sealed_brief,
                &answer.sealed_lasting,
                &now.saturating_sub(ANSWER_LASTING),
            ],
        )
        .await?;
    if inserted == 1 { Ok(()) } else { Err(BrokenRule::AnsweredBefore.into()) }
}

pub(super) async fn sweep(session: &Session, now: Timestamp) -> Result<(), Error> {
    session.execute("DELETE FROM answers WHERE at <= $1", &[&now.saturating_sub(ANSWER_LASTING)]).await?;
    session
        .execute(
            "UPDATE answers SET sealed_brief = NULL WHERE at <= $1 AND sealed_brief IS NOT NULL",
            &[&now.saturating_sub(ANSWER_BRIEF)],
        )
        .await?;
    Ok(())
}
