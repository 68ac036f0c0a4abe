//! What a failure of PostgreSQL, or on the way to it, means to the callers of the store.

use std::error::Error as _;
use std::time::Duration;

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::encoding::Unreadable;
use crate::store::{BrokenRule, StoreError};

/// Why a statement has no result. Whatever it was part of did not commit.
#[derive(Debug)]
pub(super) enum Error {
    /// No connection to be had.
    Unreachable(String),
    Statement(tokio_postgres::Error),
    /// A stored value cannot be read as what it should be.
    Value(String),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Statement(error)
    }
}

impl From<Unreadable> for Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::Value(unreadable.to_string())
    }
}

/// Nothing was written.
impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        if let Some(detail) = error.damage() {
            return Self::Corrupt { detail };
        }
        match error {
            Error::Unreachable(reason) | Error::Value(reason) => Self::Unavailable { reason },
            Error::Statement(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                Self::Unavailable { reason: "the database took too long to answer".into() }
            }
            Error::Statement(error) => Self::Unavailable { reason: tell(&error) },
        }
    }
}

impl Error {
    pub(super) fn no_answer_within(time: Duration) -> Self {
        Self::Unreachable(format!("no answer of the database within {} s", time.as_secs()))
    }

    /// Whether another transaction held a lock for too long.
    pub(super) fn is_of_lock(&self) -> bool {
        matches!(self, Self::Statement(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }

    /// What is damaged, if that is what went wrong.
    pub(super) fn damage(&self) -> Option<String> {
        let damaged = [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED];
        match self {
            Self::Statement(error) if error.code().is_some_and(|code| damaged.contains(code)) => Some(tell(error)),
            Self::Value(detail) => Some(detail.clone()),
            Self::Statement(_) | Self::Unreachable(_) => None,
        }
    }

    /// Whether the database gave way to another transaction: the same may go through now.
    pub(super) fn is_conflict(&self) -> bool {
        let given_way = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
        matches!(self, Self::Statement(error) if error.code().is_some_and(|code| given_way.contains(code)))
    }

    /// Whether the database itself said so, and not the way to it.
    pub(super) fn was_answered(&self) -> bool {
        matches!(self, Self::Statement(error) if error.as_db_error().is_some())
    }

    /// Whether the connection broke: on another one the same may be answered.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Statement(error) if error.as_db_error().is_none_or(|error| error.code().code().starts_with("57P")))
    }

    /// Whether a row to be written is at fault and not the database: tried alone, the others would go through.
    pub(super) fn is_of_one_row(&self) -> bool {
        match self {
            // Class 22: data exception; 23: integrity constraint violation; XX001 and XX002: damage.
            Self::Statement(error) => error
                .code()
                .is_some_and(|code| ["22", "23", "XX001", "XX002"].iter().any(|class| code.code().starts_with(class))),
            Self::Value(_) | Self::Unreachable(_) => false,
        }
    }
}

/// Why a transaction is not known to have committed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was written.
    NotWritten(Error),
    /// COMMIT was on its way, and nobody knows.
    Unknown { reason: String },
}

impl Failure {
    pub(super) fn unanswered_within(time: Duration) -> Self {
        Self::Unknown { reason: format!("no answer to COMMIT within {} s", time.as_secs()) }
    }

    /// Of an answer to COMMIT, or the lack of one.
    pub(super) fn of_commit(error: tokio_postgres::Error) -> Self {
        // With its last breath a server may take back what it just confirmed.
        let is_dying = |error: &DbError| error.parsed_severity() != Some(Severity::Error);
        match error.as_db_error() {
            Some(said) if !is_dying(said) && *said.code() != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN => {
                Self::NotWritten(error.into())
            }
            _ => Self::Unknown { reason: tell(&error) },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::NotWritten(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotWritten(error) => error.into(),
            Failure::Unknown { reason } => Self::Unknown { reason },
        }
    }
}

/// What the database said, without the detail: that quotes values of rows.
pub(super) fn tell(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} (SQLSTATE {})", error.message(), error.code().code()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// Why one change of an administrative transaction was not applied.
#[derive(Debug)]
pub(super) enum ApplyError {
    Rule(BrokenRule),
    Sql(Error),
}

impl From<BrokenRule> for ApplyError {
    fn from(rule: BrokenRule) -> Self {
        Self::Rule(rule)
    }
}

impl From<Error> for ApplyError {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}
