//! Provisioning keys: the settings, the counters and the state that follows from both.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;

use super::{AddressList, Description, KeyVersion, Kind, Name, Networks, Revision};
use crate::clock::Timestamp;
use crate::id::{ApiClientId, ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::secret::pepper::{KeyDigest, PepperNumber};

/// The most uses a key can be given, inclusive: 2³¹ − 1.
pub const MAXIMUM_USES_MAX: u32 = i32::MAX as u32;

/// Longest [`ProvisioningKey::ui_config`], in bytes, inclusive.
pub const UI_CONFIG_BYTES_MAX: usize = 4_096;

/// A provisioning key as the store keeps it. Never the key string itself.
#[derive(Clone)]
pub struct ProvisioningKey {
    pub id: ProvisioningKeyId,
    pub customer_id: CustomerId,
    pub kind: Kind,
    pub group_id: GroupId,
    pub signing_certificate_id: SigningCertificateId,
    pub name: Name,
    pub description: Description,
    /// Lifetime deployments, at most [`MAXIMUM_USES_MAX`]; `None`: no limit.
    pub maximum: Option<NonZeroU32>,
    pub enabled: bool,
    pub allow_re_enrollment: bool,
    /// From this instant on the key is refused.
    pub expires_at: Option<Timestamp>,
    pub addresses: AddressList,
    pub version: KeyVersion,
    /// The short form for logs and listings: `3|cloud|` + 7 characters of the secret + `...`.
    pub hint: String,
    /// The public key id: the first 16 characters of the secret; of an imported one, whose secret may be no longer
    /// than twice that, 16 hexadecimal digits of a hash of the digest.
    pub key_id: String,
    pub digest: KeyDigest,
    pub pepper: PepperNumber,
    /// The key string, sealed, while it may be viewed or exported. `None`: never again.
    pub sealed_string: Option<Vec<u8>>,
    /// Set on keys that an API client manages; read-only to all others.
    pub managed_by: Option<ManagedBy>,
    /// Set by a rotation. The successor may have been deleted since.
    pub successor_id: Option<ProvisioningKeyId>,
    /// What a client keeps with the key for its own use: at most [`UI_CONFIG_BYTES_MAX`] bytes, never
    /// looked into, never empty.
    pub ui_config: Option<String>,
    pub usage: KeyUsage,
    pub created_at: Timestamp,
    pub created_by: Option<u64>,
    pub modified_at: Timestamp,
    pub modified_by: Option<u64>,
    pub revision: Revision,
}

/// A key as others refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    pub id: ProvisioningKeyId,
    pub kind: Kind,
    pub name: Name,
}

/// Who manages a key from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedBy {
    pub client_id: ApiClientId,
    /// What people see: "Managed by `label`".
    pub label: Name,
}

/// What enrollments did to a key. Only the store moves these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Use rows minus release rows of the ledger.
    pub uses: u32,
    pub re_enrollments: u64,
    /// The `n` of the last component's name; never goes back.
    pub last_ordinal: u64,
    pub last_used: Option<LastUse>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    pub at: Timestamp,
    pub by: ComponentId,
}

/// One badge for a key. When several hold, the first in this order is shown, as it is the one
/// that a device would be refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    Disabled,
    Expired,
    Exhausted,
    Active,
}

impl ProvisioningKey {
    pub fn state(&self, now: Timestamp) -> KeyState {
        if !self.enabled {
            KeyState::Disabled
        } else if self.is_expired(now) {
            KeyState::Expired
        } else if self.is_exhausted() {
            KeyState::Exhausted
        } else {
            KeyState::Active
        }
    }

    /// Uses ≥ maximum. The maximum may have been lowered below the count.
    pub fn is_exhausted(&self) -> bool {
        self.maximum.is_some_and(|maximum| self.usage.uses >= maximum.get())
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    /// Whether the key string can still be shown.
    pub fn is_exportable(&self) -> bool {
        self.sealed_string.is_some()
    }
}

impl KeyState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Exhausted => "exhausted",
            Self::Active => "active",
        }
    }
}

/// The part of a key that a node keeps in memory to check enrollments against. There may be ten million: it takes
/// as few bytes as that needs.
pub struct IndexedKey {
    pub id: ProvisioningKeyId,
    pub customer_id: CustomerId,
    pub group_id: GroupId,
    pub signing_certificate_id: SigningCertificateId,
    pub maximum: Option<NonZeroU32>,
    pub enabled: bool,
    pub allow_re_enrollment: bool,
    pub expires_at: Option<Timestamp>,
    pub addresses: Networks,
    pub digest: KeyDigest,
    /// As of when the row was read; enrollments move it on.
    pub uses: AtomicU32,
    pub revision: Revision,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id as _;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn key(enabled: bool, expires_at: Option<i64>, maximum: Option<u32>, uses: u32) -> ProvisioningKey {
        ProvisioningKey {
            id: ProvisioningKeyId::from_raw(3),
            customer_id: CustomerId::from_raw(1),
            kind: Kind::Machine,
            group_id: GroupId::from_raw(2),
            signing_certificate_id: SigningCertificateId::from_raw(4),
            name: Name::new("k").unwrap(),
            description: Description::default(),
            maximum: maximum.and_then(NonZeroU32::new),
            enabled,
            allow_re_enrollment: false,
            expires_at: expires_at.map(Timestamp::from_unix_seconds),
            addresses: AddressList::default(),
            version: KeyVersion::Bootstrap,
            hint: String::new(),
            key_id: String::new(),
            digest: KeyDigest::from_bytes([0; KeyDigest::BYTES]),
            pepper: PepperNumber(1),
            sealed_string: None,
            managed_by: None,
            successor_id: None,
            ui_config: None,
            usage: KeyUsage { uses, ..KeyUsage::default() },
            created_at: NOW,
            created_by: None,
            modified_at: NOW,
            modified_by: None,
            revision: Revision::FIRST,
        }
    }

    #[test]
    fn the_badge_is_what_a_device_would_be_refused_for() {
        let (past, now, future) = (NOW.unix_seconds() - 1, NOW.unix_seconds(), NOW.unix_seconds() + 1);
        // enabled, expires at, maximum, uses, badge
        for (enabled, expires_at, maximum, uses, badge) in [
            (true, None, None, u32::MAX, KeyState::Active),
            (true, Some(future), Some(2), 1, KeyState::Active),
            (true, None, Some(2), 2, KeyState::Exhausted),
            (true, None, Some(2), 3, KeyState::Exhausted),
            (true, Some(now), Some(2), 1, KeyState::Expired),
            (true, Some(past), Some(2), 2, KeyState::Expired),
            (false, Some(past), Some(2), 2, KeyState::Disabled),
            (false, None, None, 0, KeyState::Disabled),
        ] {
            let state = key(enabled, expires_at, maximum, uses).state(NOW);
            assert_eq!(state, badge, "{enabled} {expires_at:?} {maximum:?} {uses}");
        }
        let names =
            [KeyState::Disabled, KeyState::Expired, KeyState::Exhausted, KeyState::Active].map(KeyState::as_str);
        assert_eq!(names, ["disabled", "expired", "exhausted", "active"]);
    }

    #[test]
    fn a_key_is_exported_while_its_string_is_kept() {
        let hidden = key(true, None, None, 0);
        assert!(!hidden.is_exportable());
        assert!(ProvisioningKey { sealed_string: Some(vec![1]), ..hidden }.is_exportable());
    }
}
