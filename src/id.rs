//! Identifiers: one type per kind of object, unique over the whole service.
//!
//! 63 bits, never zero but for [`CustomerId::SERVICE`]. The top 10 of the 63 bits are a shard
//! number (0 today), the other 53 are handed out in blocks by the store
//! ([`crate::store::IdAllocator`]), so a JavaScript number holds them exactly. On every wire an
//! id is a decimal string.

use std::fmt;
use std::str::FromStr;

/// Bits below the shard number.
pub const SEQUENCE_BITS: u32 = 53;

/// A text that is no id: not decimal, zero, signed, zero-padded or over 63 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: a decimal number from 1 to 9223372036854775807 was expected")]
pub struct InvalidId;

/// What all ids have in common, so that one allocator serves every kind.
pub trait Id: Copy {
    /// `raw` is below 2⁶³.
    fn from_raw(raw: u64) -> Self;
    fn raw(self) -> u64;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl Id for $name {
            fn from_raw(raw: u64) -> Self {
                debug_assert!(raw <= i64::MAX as u64);
                Self(raw)
            }

            fn raw(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// A person who signs in.
    AdministratorId,
    /// A program that signs in with an id and a secret.
    ApiClientId,
    /// When components go by themselves.
    CleanUpScheduleId,
    /// What an enrollment made; the common name of its certificates.
    ComponentId,
    /// A tenant.
    CustomerId,
    /// What a component joins.
    GroupId,
    /// A provisioning key's row; not the public key id inside the key string.
    ProvisioningKeyId,
    /// An enrollment CA.
    SigningCertificateId,
    /// One event on its way to one webhook.
    WebhookDeliveryId,
    /// A URL that is told of events.
    WebhookId,
}

impl CustomerId {
    /// Owns the service-wide rows. No tenant has it.
    pub const SERVICE: Self = Self(0);
}

fn parse(text: &str) -> Result<u64, InvalidId> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match text.parse::<u64>() {
        Ok(raw) if canonical && raw <= i64::MAX as u64 => Ok(raw),
        _ => Err(InvalidId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_decimal_form_is_an_id() {
        assert_eq!("9223372036854775807".parse(), Ok(GroupId(i64::MAX as u64)));
        for text in ["", "0", "01", "+1", "-1", " 1", "1 ", "9223372036854775808", "1e3", "١"] {
            assert_eq!(text.parse::<GroupId>(), Err(InvalidId), "{text:?}");
        }
    }
}
