//! What an administrator should know of without having looked for it.

use std::time::Duration;

use super::key::KeyName;
use super::{Kind, Name};
use crate::clock::{DAY, Timestamp};
use crate::id::{GroupId, SigningCertificateId};

/// A key of which so many uses of a hundred are taken is nearly exhausted.
pub const NEARLY_EXHAUSTED_PERCENT: u32 = 90;

/// How long before and after its end a key is spoken of.
pub const KEY_END_NEAR: Duration = DAY.saturating_mul(7);

/// How many days before its end a signing certificate is spoken of, wherever it is: a successor takes a while to reach
/// all components.
pub const SIGNING_CERTIFICATE_END_NEAR_DAYS: u32 = 60;
pub const SIGNING_CERTIFICATE_END_NEAR: Duration = DAY.saturating_mul(SIGNING_CERTIFICATE_END_NEAR_DAYS);

/// How many days before its end the TLS trust anchor is spoken of: key strings and devices know it for years.
pub const TLS_ANCHOR_END_NEAR_DAYS: u32 = 365;
pub const TLS_ANCHOR_END_NEAR: Duration = DAY.saturating_mul(TLS_ANCHOR_END_NEAR_DAYS);

/// A forecast that is further away is none: the rate of one day says nothing of the next season.
const FORECAST_MAX: Duration = DAY.saturating_mul(60);

/// One thing that somebody should look at. Gravest first: what keeps devices out now, then what soon will.
///
/// What is so by intent is no news: a key that is disabled, or was exhausted long ago, and that no device asks
/// for, is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Keys or groups still have it.
    SigningCertificateExpired { certificate: SigningCertificateName, expired_at: Timestamp, keys: u64 },
    /// Devices were refused for it within the last day, first at `since`.
    KeyExhausted { key: KeyName, uses: u32, maximum: u32, refusals: u64, since: Timestamp },
    /// As above.
    GroupDisabled { group: GroupName, refusals: u64, since: Timestamp },
    /// As above.
    KeyDisabled { key: KeyName, refusals: u64, since: Timestamp },
    /// Within [`KEY_END_NEAR`].
    KeyExpired { key: KeyName, expired_at: Timestamp, uses: u32, maximum: Option<u32> },
    /// From [`NEARLY_EXHAUSTED_PERCENT`] on. When it will be full: [`full_in`].
    KeyNearlyExhausted { key: KeyName, uses: u32, maximum: u32, uses_last_day: u64 },
    /// Within [`KEY_END_NEAR`].
    KeyExpiring { key: KeyName, expires_at: Timestamp, uses: u32, maximum: Option<u32> },
    /// Within [`SIGNING_CERTIFICATE_END_NEAR`]; keys or groups have it.
    SigningCertificateExpiring { certificate: SigningCertificateName, expires_at: Timestamp, keys: u64 },
}

/// A group as others refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    pub id: GroupId,
    pub kind: Kind,
    pub name: Name,
}

/// A signing certificate as others refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningCertificateName {
    pub id: SigningCertificateId,
    pub name: Name,
}

/// When a key has no use left if they go on being taken as over the last day. `None`: none was taken, or so few that it
/// is more than 60 days ahead.
pub fn full_in(uses: u32, maximum: u32, uses_last_day: u64) -> Option<Duration> {
    let left = u64::from(maximum.saturating_sub(uses));
    let full = (uses_last_day > 0).then(|| Duration::from_secs(left * DAY.as_secs() / uses_last_day));
    full.filter(|full| *full <= FORECAST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_full_when_what_is_left_was_taken_at_the_same_rate() {
        assert_eq!(full_in(4_812, 5_000, 644), Some(Duration::from_secs(25_222)), "about seven hours");
        assert_eq!(full_in(5, 5, 1), Some(Duration::ZERO));
        assert_eq!(full_in(4, 5, 0), None);
        assert_eq!(full_in(40, 100, 1), Some(DAY * 60));
        assert_eq!(full_in(39, 100, 1), None, "too far ahead");
        assert_eq!(full_in(0, u32::MAX, 1), None);
    }
}
