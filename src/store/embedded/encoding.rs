//! How the values of [`store::encoding`](crate::store::encoding) are handed to SQLite and taken from it.

use std::num::NonZeroU32;

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};

use crate::secret::pepper::KeyDigest;
use crate::store::encoding::{self, ColumnValue, Stored, Unreadable, with_stored_types};

macro_rules! columns {
    ($($type:ty),+ $(,)?) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                to_sql(self)
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                column_result(value)
            }
        }
    )+};
}

with_stored_types!(columns);
columns!(KeyDigest);

fn to_sql(value: &impl Stored) -> rusqlite::Result<ToSqlOutput<'_>> {
    use std::borrow::Cow::{Borrowed, Owned};
    let column = value.to_column().map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    Ok(match column {
        ColumnValue::Integer(number) => number.into(),
        ColumnValue::Text(Borrowed(text)) => text.into(),
        ColumnValue::Text(Owned(text)) => ToSqlOutput::Owned(Value::Text(text)),
        ColumnValue::Bytes(Borrowed(bytes)) => bytes.into(),
        ColumnValue::Bytes(Owned(bytes)) => ToSqlOutput::Owned(Value::Blob(bytes)),
    })
}

fn column_result<T: Stored>(value: ValueRef<'_>) -> FromSqlResult<T> {
    let column = match value {
        ValueRef::Integer(number) => ColumnValue::Integer(number),
        ValueRef::Text(_) => ColumnValue::from(value.as_str()?),
        ValueRef::Blob(bytes) => ColumnValue::from(bytes),
        ValueRef::Null | ValueRef::Real(_) => return Err(FromSqlError::InvalidType),
    };
    Ok(T::from_column(column)?)
}

impl From<Unreadable> for FromSqlError {
    fn from(unreadable: Unreadable) -> Self {
        Self::other(unreadable)
    }
}

/// A key's maximum as its column holds it.
pub(super) fn maximum(column: Option<u32>) -> FromSqlResult<Option<NonZeroU32>> {
    Ok(encoding::maximum(column)?)
}
