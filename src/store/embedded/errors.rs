//! What a failure of SQLite means to the callers of the store.

use rusqlite::ErrorCode;

use crate::store::{BrokenRule, StoreError};

/// A read or a transaction that did not commit: nothing was written.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            _ if is_of_stored_value(&error) => Self::Corrupt { detail: error.to_string() },
            _ if matches!(code_of(&error), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
                Self::Corrupt { detail: error.to_string() }
            }
            _ if code_of(&error) == Some(ErrorCode::OperationInterrupted) => {
                Self::Unavailable { reason: "the list takes too long to go through".into() }
            }
            _ => Self::Unavailable { reason: error.to_string() },
        }
    }
}

/// Why one change of an administrative transaction was not applied.
#[derive(Debug)]
pub(super) enum ApplyError {
    Rule(BrokenRule),
    Sql(rusqlite::Error),
}

impl From<BrokenRule> for ApplyError {
    fn from(rule: BrokenRule) -> Self {
        Self::Rule(rule)
    }
}

impl From<rusqlite::Error> for ApplyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Whether a stored value cannot be read as what it should be. SQLite has no part in that, so the
/// transaction is whole and may go on.
pub(super) fn is_of_stored_value(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))
}

/// Whether a row to be written is at fault and not the machine: tried alone, the others would go
/// through.
pub(super) fn is_of_one_row(error: &rusqlite::Error) -> bool {
    match code_of(error) {
        Some(code) => matches!(code, ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch),
        None => matches!(error, rusqlite::Error::ToSqlConversionFailure(_)),
    }
}

/// Whether the connection must not be used again before it was opened anew: what it holds in
/// memory may differ from what is on the disk.
pub(super) fn makes_suspect(error: &rusqlite::Error) -> bool {
    matches!(
        code_of(error),
        Some(
            ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::InternalMalfunction
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
        )
    )
}

fn code_of(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// `value`: an expression.
    fn read<T: rusqlite::types::FromSql>(value: &str) -> Option<StoreError> {
        let connection = Connection::open_in_memory().unwrap();
        let read = connection.query_row(&format!("SELECT {value}"), [], |row| row.get::<_, T>(0));
        read.err().map(Into::into)
    }

    #[test]
    fn a_value_that_cannot_be_read_is_damage_and_no_outage() {
        let is_damage = |error| matches!(error, Some(StoreError::Corrupt { .. }));
        assert!(is_damage(read::<String>("CAST(x'80' AS TEXT)")), "a text that is no UTF-8");
        assert!(is_damage(read::<crate::domain::Name>("CAST(x'80' AS TEXT)")));
        assert!(is_damage(read::<crate::domain::Name>("'a/b'")));
        assert!(is_damage(read::<u32>("-1")));
        assert!(is_damage(read::<String>("7")));
        assert!(read::<String>("'text'").is_none());
    }
}
