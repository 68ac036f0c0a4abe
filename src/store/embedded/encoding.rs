//! How values stand in columns. What cannot be read back is an error of the row, never a panic.

use std::net::IpAddr;
use std::num::NonZeroU32;

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

use crate::clock::Timestamp;
use crate::domain::address::SourcePrefix;
use crate::domain::certificate::SigningPurpose;
use crate::domain::{
    AddressList, CleanUpDays, Description, FilterName, Fingerprint, KeyVersion, Kind, Name, PageName, QueryText,
    Reference, Refusal, RefusalReason, Revision, Role, SerialNumber,
};
use crate::id::{
    AdministratorId, ApiClientId, CleanUpScheduleId, ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId,
    SigningCertificateId,
};
use crate::secret::pepper::{KeyDigest, PepperNumber};

/// A column that holds something else than was ever written there.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is no {expected}")]
struct Unreadable {
    expected: &'static str,
    found: String,
}

fn unreadable(expected: &'static str, found: &dyn std::fmt::Display) -> FromSqlError {
    FromSqlError::other(Unreadable { expected, found: found.to_string().chars().take(80).collect() })
}

macro_rules! columns {
    ($($type:ty { to: $to:expr, from: $from:expr $(,)? })+) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let to: fn(&Self) -> rusqlite::Result<ToSqlOutput<'_>> = $to;
                to(self)
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let from: fn(ValueRef<'_>) -> FromSqlResult<Self> = $from;
                from(value)
            }
        }
    )+};
}

macro_rules! ids {
    ($($type:ty),+) => {
        columns! {$(
            $type {
                to: |id| integer(id.raw()),
                from: |value| value.as_i64().and_then(|raw| {
                    u64::try_from(raw).map(Self::from_raw).map_err(|_| unreadable("id", &raw))
                }),
            }
        )+}
    };
}

ids!(
    AdministratorId,
    ApiClientId,
    CleanUpScheduleId,
    ComponentId,
    CustomerId,
    GroupId,
    ProvisioningKeyId,
    SigningCertificateId
);

columns! {
    AddressList {
        to: |list| Ok(list.entries().collect::<Vec<_>>().join(",").into()),
        from: |value| {
            let text = value.as_str()?;
            let entries: Vec<_> = text.split(',').filter(|entry| !entry.is_empty()).collect();
            Self::parse(&entries).map_err(|_| unreadable("address list", &text))
        },
    }
    Address {
        to: |address| Ok(match address.0 {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        }.into()),
        from: |value| {
            let bytes = value.as_blob()?;
            let v4 = bytes.first_chunk::<4>().filter(|_| bytes.len() == 4).map(|octets| IpAddr::from(*octets));
            let v6 = || bytes.first_chunk::<16>().filter(|_| bytes.len() == 16).map(|octets| IpAddr::from(*octets));
            v4.or_else(v6).map(Self).ok_or_else(|| unreadable("address", &bytes.len()))
        },
    }
    CleanUpDays {
        to: |days| Ok(i64::from(days.get()).into()),
        from: |value| {
            let days = value.as_i64()?;
            u64::try_from(days).ok().and_then(Self::new).ok_or_else(|| unreadable("number of days", &days))
        },
    }
    Description {
        to: |description| Ok(description.as_str().into()),
        from: |value| value.as_str().and_then(|text| Self::new(text).map_err(|_| unreadable("description", &text))),
    }
    FilterName {
        to: |name| Ok(name.as_str().into()),
        from: |value| value.as_str().and_then(|text| Self::new(text).map_err(|_| unreadable("name of a filter", &text))),
    }
    Fingerprint {
        to: |fingerprint| Ok(fingerprint.as_str().into()),
        from: |value| value.as_str().and_then(|text| Self::new(text).map_err(|_| unreadable("fingerprint", &text))),
    }
    KeyDigest {
        to: |digest| Ok(digest.as_bytes().as_slice().into()),
        from: |value| <[u8; Self::BYTES]>::column_result(value).map(Self::from_bytes),
    }
    KeyVersion {
        to: |version| Ok(i64::from(version.number().unwrap_or(0)).into()),
        from: |value| match value.as_i64()? {
            0 => Ok(Self::Imported),
            1 => Ok(Self::Bare),
            3 => Ok(Self::Bootstrap),
            other => Err(unreadable("key version", &other)),
        },
    }
    Kind {
        to: |kind| Ok(match kind {
            Self::AppConnector => 1,
            Self::ServiceEdge => 2,
            Self::NetworkConnector => 3,
            Self::Machine => 4,
        }.into()),
        from: |value| match value.as_i64()? {
            1 => Ok(Self::AppConnector),
            2 => Ok(Self::ServiceEdge),
            3 => Ok(Self::NetworkConnector),
            4 => Ok(Self::Machine),
            other => Err(unreadable("kind", &other)),
        },
    }
    Name {
        to: |name| Ok(name.as_str().into()),
        from: |value| value.as_str().and_then(|text| Self::new(text).map_err(|_| unreadable("name", &text))),
    }
    PageName {
        to: |page| Ok(page.as_str().into()),
        from: |value| value.as_str().and_then(|text| Self::new(text).map_err(|_| unreadable("name of a page", &text))),
    }
    PepperNumber {
        to: |pepper| Ok(pepper.0.into()),
        from: |value| u32::column_result(value).map(Self),
    }
    QueryText {
        to: |query| Ok(query.as_str().into()),
        from: |value| value.as_str().and_then(|text| Self::new(text).map_err(|_| unreadable("query", &text))),
    }
    Reference {
        to: |reference| Ok(reference.as_str().into()),
        from: |value| value.as_str().and_then(|text| Self::parse(text).ok_or_else(|| unreadable("reference", &text))),
    }
    Refusal {
        to: |refusal| Ok(refusal.code().into()),
        from: |value| {
            let text = value.as_str()?;
            Self::ALL.into_iter().find(|refusal| refusal.code() == text).ok_or_else(|| unreadable("refusal", &text))
        },
    }
    RefusalReason {
        to: |reason| Ok(reason.as_str().into()),
        from: |value| value.as_str().map(Self::new),
    }
    Revision {
        to: |revision| integer(revision.0),
        from: |value| u64::column_result(value).map(Self),
    }
    Role {
        to: |role| Ok(role.as_str().into()),
        from: |value| value.as_str().and_then(|text| text.parse().map_err(|_| unreadable("role", &text))),
    }
    SerialNumber {
        to: |serial| Ok(serial.as_bytes().as_slice().into()),
        from: |value| <[u8; 16]>::column_result(value).map(Self::from_bytes),
    }
    SigningPurpose {
        to: |purpose| Ok(match purpose {
            Self::IsolationClient => 1,
            Self::None => 2,
            Self::ZappClient => 3,
        }.into()),
        from: |value| match value.as_i64()? {
            1 => Ok(Self::IsolationClient),
            2 => Ok(Self::None),
            3 => Ok(Self::ZappClient),
            other => Err(unreadable("signing purpose", &other)),
        },
    }
    SourcePrefix {
        to: |prefix| Ok(prefix.to_string().into()),
        from: |value| {
            let text = value.as_str()?;
            let address = text.split('/').next().and_then(|address| address.parse().ok());
            address.map(Self::of).ok_or_else(|| unreadable("source prefix", &text))
        },
    }
    Timestamp {
        to: |instant| Ok(instant.unix_seconds().into()),
        from: |value| value.as_i64().map(Self::from_unix_seconds),
    }
    Chain {
        to: |chain| {
            let mut bytes = Vec::new();
            for der in &chain.0 {
                let length = u32::try_from(der.len()).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(der);
            }
            Ok(bytes.into())
        },
        from: |value| {
            let mut rest = value.as_blob()?;
            let mut chain = Vec::new();
            while !rest.is_empty() {
                let (der, after) = rest
                    .split_first_chunk::<4>()
                    .and_then(|(length, rest)| rest.split_at_checked(u32::from_be_bytes(*length) as usize))
                    .ok_or_else(|| unreadable("certificate chain", &rest.len()))?;
                chain.push(der.to_vec());
                rest = after;
            }
            Ok(Self(chain))
        },
    }
    Attributes {
        to: |attributes| serde_json::to_string(&attributes.0)
            .map(Into::into)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into())),
        from: |value| value.as_str().and_then(|text| {
            serde_json::from_str(text).map(Self).map_err(|_| unreadable("JSON object", &text))
        }),
    }
}

/// An address in its 4 or 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub IpAddr);

/// A group's attributes as a JSON object.
pub(super) struct Attributes(pub serde_json::Map<String, serde_json::Value>);

/// Certificates in DER, each behind its length.
pub(super) struct Chain(pub Vec<Vec<u8>>);

fn integer(raw: u64) -> rusqlite::Result<ToSqlOutput<'static>> {
    i64::try_from(raw).map(Into::into).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A key's maximum as its column holds it; zero is nothing that was written.
pub(super) fn maximum(column: Option<u32>) -> FromSqlResult<Option<NonZeroU32>> {
    column.map(|maximum| NonZeroU32::new(maximum).ok_or_else(|| unreadable("maximum", &maximum))).transpose()
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    fn stored(value: &dyn ToSql) -> Value {
        match value.to_sql().unwrap() {
            ToSqlOutput::Borrowed(value) => value.try_into().unwrap(),
            ToSqlOutput::Owned(value) => value,
            _ => panic!("neither borrowed nor owned"),
        }
    }

    fn read<T: FromSql>(value: &Value) -> FromSqlResult<T> {
        T::column_result(value.into())
    }

    #[test]
    fn lists_and_addresses_come_back_as_they_were() {
        for entries in
            [&[][..], &["192.0.2.0/24"], &["2001:db8::/32", "192.0.2.7", "192.0.2.7/32", "::FFFF:192.0.2.0/120"]]
        {
            let list = AddressList::parse(entries).unwrap();
            assert_eq!(read::<AddressList>(&stored(&list)).unwrap(), list);
        }
        for text in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(read::<Address>(&stored(&Address(address))).unwrap().0, address);
            let prefix = SourcePrefix::of(address);
            assert_eq!(read::<SourcePrefix>(&stored(&prefix)).unwrap(), prefix);
        }
        for chain in [vec![], vec![vec![1, 2, 3]], vec![vec![], vec![9; 300]]] {
            assert_eq!(read::<Chain>(&stored(&Chain(chain.clone()))).unwrap().0, chain);
        }
        let reference = Reference::random();
        assert_eq!(read::<Reference>(&stored(&reference)).unwrap(), reference);
    }

    #[test]
    fn damaged_columns_are_errors() {
        assert!(read::<Address>(&Value::Blob(vec![1; 5])).is_err());
        assert!(read::<Chain>(&Value::Blob(vec![0, 0, 0, 9, 1])).is_err());
        assert!(read::<Chain>(&Value::Blob(vec![0, 0])).is_err());
        assert!(read::<Kind>(&Value::Integer(5)).is_err());
        assert!(read::<CustomerId>(&Value::Integer(-1)).is_err());
        assert!(read::<SerialNumber>(&Value::Blob(vec![1; 15])).is_err());
        assert!(read::<Name>(&Value::Text("<b>".into())).is_err());
        assert!(read::<Reference>(&Value::Text("short".into())).is_err());
        assert!(maximum(Some(0)).is_err());
    }
}
