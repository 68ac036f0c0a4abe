//! How the values of [`store::encoding`](crate::store::encoding) are handed to PostgreSQL and taken from it.

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::store::encoding::{ColumnValue, NotStorable, Stored, unreadable, with_stored_types};

type Failure = Box<dyn std::error::Error + Sync + Send>;

macro_rules! columns {
    ($($type:ty),+ $(,)?) => {$(
        impl ToSql for $type {
            fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
                to_sql(self, out)
            }

            fn accepts(ty: &Type) -> bool {
                is_column(ty)
            }

            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $type {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
                from_sql(ty, raw)
            }

            fn accepts(ty: &Type) -> bool {
                is_column(ty)
            }
        }
    )+};
}

with_stored_types!(columns);

/// The types that our columns have, but for flags.
fn is_column(ty: &Type) -> bool {
    matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
}

fn to_sql(value: &impl Stored, out: &mut BytesMut) -> Result<IsNull, Failure> {
    match value.to_column()? {
        ColumnValue::Integer(number) => out.put_i64(number),
        ColumnValue::Text(text) => out.put_slice(text.as_bytes()),
        ColumnValue::Bytes(bytes) => out.put_slice(&bytes),
    }
    Ok(IsNull::No)
}

fn from_sql<T: Stored>(ty: &Type, raw: &[u8]) -> Result<T, Failure> {
    let column = match *ty {
        Type::INT8 => ColumnValue::Integer(i64::from_sql(ty, raw)?),
        Type::TEXT => ColumnValue::from(<&str>::from_sql(ty, raw)?),
        _ => ColumnValue::from(raw),
    };
    Ok(T::from_column(column)?)
}

/// Whether a column of text can hold it: PostgreSQL keeps no NUL.
pub(super) fn is_text(text: &str) -> bool {
    !text.contains('\0')
}

/// A count in its column. PostgreSQL knows no unsigned numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count<T>(pub T);

impl<T> ToSql for Count<T>
where
    T: Copy + std::fmt::Debug,
    i64: TryFrom<T>,
{
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        out.put_i64(i64::try_from(self.0).map_err(|_| NotStorable("a count"))?);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INT8
    }

    to_sql_checked!();
}

impl<'a, T: TryFrom<i64>> FromSql<'a> for Count<T> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let number = i64::from_sql(ty, raw)?;
        T::try_from(number).map(Self).map_err(|_| unreadable("count", &number).into())
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INT8
    }
}

/// Bytes of which there is one number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exactly<const N: usize>(pub [u8; N]);

impl<const N: usize> ToSql for Exactly<N> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::BYTEA
    }

    to_sql_checked!();
}

impl<'a, const N: usize> FromSql<'a> for Exactly<N> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        raw.try_into().map(Self).map_err(|_| unreadable("value of so many bytes", &raw.len()).into())
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::BYTEA
    }
}
