//! How values stand in columns, in both stores. What cannot be read back is an error of the row, never a panic.

use std::borrow::Cow;
use std::net::IpAddr;
use std::num::NonZeroU32;

use crate::clock::Timestamp;
use crate::domain::address::SourcePrefix;
use crate::domain::certificate::SigningPurpose;
use crate::domain::revocation::CrlNumber;
use crate::domain::webhook::DeliveryState;
use crate::domain::{
    AddressList, CleanUpDays, Description, FilterName, Fingerprint, KeyVersion, Kind, Name, PageName, QueryText,
    Reference, Refusal, RefusalReason, Revision, RevocationReason, Role, SerialNumber, WebhookEvent, WebhookEvents,
    WebhookUrl,
};
use crate::id::{
    AdministratorId, ApiClientId, CleanUpScheduleId, ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId,
    SigningCertificateId, WebhookDeliveryId, WebhookId,
};
use crate::secret::pepper::{KeyDigest, PepperNumber};

/// A value as its column holds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ColumnValue<'a> {
    Integer(i64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

/// What a column holds, and how it is read back.
pub(super) trait Stored: Sized {
    fn to_column(&self) -> Result<ColumnValue<'_>, NotStorable>;

    fn from_column(column: ColumnValue<'_>) -> Result<Self, Unreadable>;
}

/// A column that holds something else than was ever written there.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is no {expected}")]
pub(super) struct Unreadable {
    expected: &'static str,
    found: String,
}

/// A value that no column of its type holds.
#[derive(Debug, thiserror::Error)]
#[error("{0} does not fit into its column")]
pub(super) struct NotStorable(pub &'static str);

/// Calls a macro with the types that both stores keep in columns, but for those that nobody prints.
macro_rules! with_stored_types {
    ($per_types:ident) => {
        $per_types! {
            $crate::clock::Timestamp,
            $crate::domain::AddressList,
            $crate::domain::CleanUpDays,
            $crate::domain::Description,
            $crate::domain::FilterName,
            $crate::domain::Fingerprint,
            $crate::domain::KeyVersion,
            $crate::domain::Kind,
            $crate::domain::Name,
            $crate::domain::PageName,
            $crate::domain::QueryText,
            $crate::domain::Reference,
            $crate::domain::Refusal,
            $crate::domain::RefusalReason,
            $crate::domain::Revision,
            $crate::domain::RevocationReason,
            $crate::domain::Role,
            $crate::domain::SerialNumber,
            $crate::domain::WebhookEvent,
            $crate::domain::WebhookEvents,
            $crate::domain::WebhookUrl,
            $crate::domain::address::SourcePrefix,
            $crate::domain::certificate::SigningPurpose,
            $crate::domain::revocation::CrlNumber,
            $crate::domain::webhook::DeliveryState,
            $crate::id::AdministratorId,
            $crate::id::ApiClientId,
            $crate::id::CleanUpScheduleId,
            $crate::id::ComponentId,
            $crate::id::CustomerId,
            $crate::id::GroupId,
            $crate::id::ProvisioningKeyId,
            $crate::id::SigningCertificateId,
            $crate::id::WebhookDeliveryId,
            $crate::id::WebhookId,
            $crate::secret::pepper::PepperNumber,
            $crate::store::encoding::Address,
            $crate::store::encoding::Attributes,
            $crate::store::encoding::Chain,
        }
    };
}
pub(super) use with_stored_types;

/// An address in its 4 or 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub IpAddr);

/// A group's attributes as a JSON object.
#[derive(Debug)]
pub(super) struct Attributes(pub serde_json::Map<String, serde_json::Value>);

/// Certificates in DER, each behind its length.
#[derive(Debug)]
pub(super) struct Chain(pub Vec<Vec<u8>>);

pub(super) fn unreadable(expected: &'static str, found: &dyn std::fmt::Display) -> Unreadable {
    Unreadable { expected, found: found.to_string().chars().take(80).collect() }
}

/// A key's maximum as its column holds it; zero is nothing that was written.
pub(super) fn maximum(column: Option<u32>) -> Result<Option<NonZeroU32>, Unreadable> {
    column.map(|maximum| NonZeroU32::new(maximum).ok_or_else(|| unreadable("maximum", &maximum))).transpose()
}

impl<'a> ColumnValue<'a> {
    fn integer(self) -> Result<i64, Unreadable> {
        match self {
            Self::Integer(number) => Ok(number),
            other => Err(unreadable("number", &other.kind())),
        }
    }

    fn text(self) -> Result<Cow<'a, str>, Unreadable> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(unreadable("text", &other.kind())),
        }
    }

    fn bytes(self) -> Result<Cow<'a, [u8]>, Unreadable> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(unreadable("bytes", &other.kind())),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl From<i64> for ColumnValue<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl<'a> From<&'a str> for ColumnValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for ColumnValue<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a [u8]> for ColumnValue<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Vec<u8>> for ColumnValue<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// Values that are an integer in their column.
macro_rules! integers {
    ($($type:ty { to: $to:expr, from: $from:expr $(,)? })+) => {$(
        impl Stored for $type {
            fn to_column(&self) -> Result<ColumnValue<'_>, NotStorable> {
                let to: fn(&Self) -> Result<i64, NotStorable> = $to;
                to(self).map(Into::into)
            }

            fn from_column(column: ColumnValue<'_>) -> Result<Self, Unreadable> {
                let from: fn(i64) -> Result<Self, Unreadable> = $from;
                from(column.integer()?)
            }
        }
    )+};
}

/// Values that are text in their column.
macro_rules! texts {
    ($($type:ty { to: $to:expr, from: $from:expr $(,)? })+) => {$(
        impl Stored for $type {
            fn to_column(&self) -> Result<ColumnValue<'_>, NotStorable> {
                let to: fn(&Self) -> Cow<'_, str> = $to;
                Ok(ColumnValue::Text(to(self)))
            }

            fn from_column(column: ColumnValue<'_>) -> Result<Self, Unreadable> {
                let from: fn(&str) -> Result<Self, Unreadable> = $from;
                from(&column.text()?)
            }
        }
    )+};
}

/// Values that are bytes in their column.
macro_rules! byte_strings {
    ($($type:ty { to: $to:expr, from: $from:expr $(,)? })+) => {$(
        impl Stored for $type {
            fn to_column(&self) -> Result<ColumnValue<'_>, NotStorable> {
                let to: fn(&Self) -> Result<Cow<'_, [u8]>, NotStorable> = $to;
                to(self).map(ColumnValue::Bytes)
            }

            fn from_column(column: ColumnValue<'_>) -> Result<Self, Unreadable> {
                let from: fn(&[u8]) -> Result<Self, Unreadable> = $from;
                from(&column.bytes()?)
            }
        }
    )+};
}

macro_rules! ids {
    ($($type:ty),+ $(,)?) => {
        integers! {$(
            $type {
                to: |id| i64::try_from(id.raw()).map_err(|_| NotStorable("an id")),
                from: |raw| u64::try_from(raw).map(Self::from_raw).map_err(|_| unreadable("id", &raw)),
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
    SigningCertificateId,
    WebhookDeliveryId,
    WebhookId,
);

integers! {
    CleanUpDays {
        to: |days| Ok(days.get().into()),
        from: |days| {
            u64::try_from(days).ok().and_then(Self::new).ok_or_else(|| unreadable("number of days", &days))
        },
    }
    CrlNumber {
        to: |number| i64::try_from(number.0).map_err(|_| NotStorable("a CRL number")),
        from: |raw| u64::try_from(raw).map(Self).map_err(|_| unreadable("CRL number", &raw)),
    }
    KeyVersion {
        to: |version| Ok(version.number().unwrap_or(0).into()),
        from: |version| match version {
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
        }),
        from: |kind| match kind {
            1 => Ok(Self::AppConnector),
            2 => Ok(Self::ServiceEdge),
            3 => Ok(Self::NetworkConnector),
            4 => Ok(Self::Machine),
            other => Err(unreadable("kind", &other)),
        },
    }
    PepperNumber {
        to: |pepper| Ok(pepper.0.into()),
        from: |number| u32::try_from(number).map(Self).map_err(|_| unreadable("pepper", &number)),
    }
    Revision {
        to: |revision| i64::try_from(revision.0).map_err(|_| NotStorable("a revision")),
        from: |number| u64::try_from(number).map(Self).map_err(|_| unreadable("revision", &number)),
    }
    RevocationReason {
        to: |reason| Ok(reason.code().into()),
        from: |code| {
            u8::try_from(code).ok().and_then(Self::from_code).ok_or_else(|| unreadable("revocation reason", &code))
        },
    }
    SigningPurpose {
        to: |purpose| Ok(match purpose {
            Self::IsolationClient => 1,
            Self::None => 2,
            Self::ZappClient => 3,
        }),
        from: |purpose| match purpose {
            1 => Ok(Self::IsolationClient),
            2 => Ok(Self::None),
            3 => Ok(Self::ZappClient),
            other => Err(unreadable("signing purpose", &other)),
        },
    }
    DeliveryState {
        to: |state| Ok(match state {
            Self::Waiting => 1,
            Self::Delivered => 2,
            Self::GivenUp => 3,
        }),
        from: |state| match state {
            1 => Ok(Self::Waiting),
            2 => Ok(Self::Delivered),
            3 => Ok(Self::GivenUp),
            other => Err(unreadable("state of a delivery", &other)),
        },
    }
    Timestamp {
        to: |instant| Ok(instant.unix_seconds()),
        from: |seconds| Ok(Self::from_unix_seconds(seconds)),
    }
}

texts! {
    AddressList {
        to: |list| list.entries().collect::<Vec<_>>().join(",").into(),
        from: |text| {
            let entries: Vec<_> = text.split(',').filter(|entry| !entry.is_empty()).collect();
            Self::parse(&entries).map_err(|_| unreadable("address list", &text))
        },
    }
    Attributes {
        to: |attributes| serde_json::Value::Object(attributes.0.clone()).to_string().into(),
        from: |text| serde_json::from_str(text).map(Self).map_err(|_| unreadable("JSON object", &text)),
    }
    Description {
        to: |description| description.as_str().into(),
        from: |text| Self::new(text).map_err(|_| unreadable("description", &text)),
    }
    FilterName {
        to: |name| name.as_str().into(),
        from: |text| Self::new(text).map_err(|_| unreadable("name of a filter", &text)),
    }
    Fingerprint {
        to: |fingerprint| fingerprint.as_str().into(),
        from: |text| Self::new(text).map_err(|_| unreadable("fingerprint", &text)),
    }
    Name {
        to: |name| name.as_str().into(),
        from: |text| Self::new(text).map_err(|_| unreadable("name", &text)),
    }
    PageName {
        to: |page| page.as_str().into(),
        from: |text| Self::new(text).map_err(|_| unreadable("name of a page", &text)),
    }
    QueryText {
        to: |query| query.as_str().into(),
        from: |text| Self::new(text).map_err(|_| unreadable("query", &text)),
    }
    Reference {
        to: |reference| reference.as_str().into(),
        from: |text| Self::parse(text).ok_or_else(|| unreadable("reference", &text)),
    }
    Refusal {
        to: |refusal| refusal.code().into(),
        from: |text| {
            Self::ALL.into_iter().find(|refusal| refusal.code() == text).ok_or_else(|| unreadable("refusal", &text))
        },
    }
    RefusalReason {
        to: |reason| reason.as_str().into(),
        from: |text| Ok(Self::new(text)),
    }
    Role {
        to: |role| role.as_str().into(),
        from: |text| text.parse().map_err(|_| unreadable("role", &text)),
    }
    SourcePrefix {
        to: |prefix| prefix.to_string().into(),
        from: |text| {
            let address = text.split('/').next().and_then(|address| address.parse().ok());
            address.map(Self::of).ok_or_else(|| unreadable("source prefix", &text))
        },
    }
    WebhookEvent {
        to: |event| event.as_str().into(),
        from: |text| Self::from_name(text).ok_or_else(|| unreadable("event", &text)),
    }
    WebhookEvents {
        to: |events| events.names().join(",").into(),
        from: |text| {
            Self::parse(&text.split(',').collect::<Vec<_>>()).map_err(|_| unreadable("list of events", &text))
        },
    }
    WebhookUrl {
        to: |url| url.as_str().into(),
        from: |text| text.parse().map_err(|_| unreadable("URL", &text)),
    }
}

byte_strings! {
    Address {
        to: |address| Ok(match address.0 {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        }.into()),
        from: |bytes| {
            let v4 = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
            v4().or_else(|_| v6()).map(Self).map_err(|_| unreadable("address", &bytes.len()))
        },
    }
    Chain {
        to: |chain| {
            let mut bytes = Vec::new();
            for der in &chain.0 {
                let length = u32::try_from(der.len()).map_err(|_| NotStorable("a certificate"))?;
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(der);
            }
            Ok(bytes.into())
        },
        from: |mut rest| {
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
    KeyDigest {
        to: |digest| Ok(digest.as_bytes().as_slice().into()),
        from: |bytes| {
            bytes.try_into().map(Self::from_bytes).map_err(|_| unreadable("digest", &bytes.len()))
        },
    }
    SerialNumber {
        to: |serial| Ok(serial.as_bytes().as_slice().into()),
        from: |bytes| {
            bytes.try_into().map(Self::from_bytes).map_err(|_| unreadable("serial number", &bytes.len()))
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(value: &impl Stored) -> ColumnValue<'_> {
        value.to_column().unwrap()
    }

    #[test]
    fn lists_and_addresses_come_back_as_they_were() {
        for entries in
            [&[][..], &["192.0.2.0/24"], &["2001:db8::/32", "192.0.2.7", "192.0.2.7/32", "::FFFF:192.0.2.0/120"]]
        {
            let list = AddressList::parse(entries).unwrap();
            assert_eq!(AddressList::from_column(stored(&list)).unwrap(), list);
        }
        for text in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Address::from_column(stored(&Address(address))).unwrap().0, address);
            let prefix = SourcePrefix::of(address);
            assert_eq!(SourcePrefix::from_column(stored(&prefix)).unwrap(), prefix);
        }
        for chain in [vec![], vec![vec![1, 2, 3]], vec![vec![], vec![9; 300]]] {
            assert_eq!(Chain::from_column(stored(&Chain(chain.clone()))).unwrap().0, chain);
        }
        let reference = Reference::random();
        assert_eq!(Reference::from_column(stored(&reference)).unwrap(), reference);
    }

    #[test]
    fn damaged_columns_are_errors() {
        assert!(Address::from_column(vec![1; 5].into()).is_err());
        assert!(Chain::from_column(vec![0, 0, 0, 9, 1].into()).is_err());
        assert!(Chain::from_column(vec![0, 0].into()).is_err());
        assert!(Kind::from_column(5.into()).is_err());
        assert!(Kind::from_column("1".into()).is_err());
        assert!(CustomerId::from_column((-1).into()).is_err());
        assert!(SerialNumber::from_column(vec![1; 15].into()).is_err());
        assert!(Name::from_column("<b>".into()).is_err());
        assert!(Reference::from_column("short".into()).is_err());
        assert!(maximum(Some(0)).is_err());
    }
}
