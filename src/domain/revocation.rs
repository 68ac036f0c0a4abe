//! Revocation: why a certificate counts no more, and the lists that tell relying services (CRLs).

use bytes::Bytes;

use super::SerialNumber;
use crate::clock::Timestamp;
use crate::id::{CustomerId, SigningCertificateId};

/// Why a certificate was revoked, with the numbers of RFC 5280 §5.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationReason {
    /// Nobody said why. Left out of a CRL's entry, as the RFC asks.
    #[default]
    Unspecified = 0,
    /// The device's private key is, or may be, in other hands.
    KeyCompromise = 1,
    /// Replaced by a certificate for another key pair. Nobody chooses it: re-enrollment and rekey give it.
    Superseded = 4,
    /// Out of service; what deletion and clean-up give.
    CessationOfOperation = 5,
    /// It is no longer to have what the certificate let it have.
    PrivilegeWithdrawn = 9,
}

impl RevocationReason {
    /// What an administrator may say.
    pub const CHOICES: [Self; 4] =
        [Self::Unspecified, Self::KeyCompromise, Self::CessationOfOperation, Self::PrivilegeWithdrawn];

    /// The RFC's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }

    /// One of [`Self::CHOICES`] by its name.
    pub fn chosen(name: &str) -> Option<Self> {
        Self::CHOICES.into_iter().find(|reason| reason.as_str() == name)
    }

    /// The RFC's number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Option<Self> {
        let all = Self::CHOICES.into_iter().chain([Self::Superseded]);
        all.into_iter().find(|reason| reason.code() == code)
    }
}

/// An entry of a CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    pub serial: SerialNumber,
    pub at: Timestamp,
    pub reason: RevocationReason,
}

/// The number of a CRL: each one of a signing certificate has a higher one than those before (RFC 5280 §5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrlNumber(pub u64);

impl CrlNumber {
    /// Of the CRL made at `now` after `previous`. The milliseconds since 1970, unless that is not above `previous`: so
    /// it is also above the numbers of CRLs that a restored backup knows nothing of.
    pub fn following(previous: Option<Self>, now: Timestamp) -> Self {
        let by_time = u64::try_from(now.unix_seconds()).unwrap_or(0) * 1_000;
        Self(previous.map_or(1, |previous| previous.0 + 1).max(by_time))
    }
}

/// All of a CRL but its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlHead {
    pub customer_id: CustomerId,
    pub signing_certificate_id: SigningCertificateId,
    pub number: CrlNumber,
    pub this_update: Timestamp,
    /// Nobody has to believe it from then on.
    pub next_update: Timestamp,
    pub entries: u64,
}

impl CrlHead {
    /// When the next one is made, if nothing is revoked before: half of the way to its end.
    pub fn renewed_at(&self) -> Timestamp {
        self.this_update.saturating_add(self.next_update.since(self.this_update) / 2)
    }
}

/// A CRL of a signing certificate. A copy shares its bytes, which may be megabytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    pub head: CrlHead,
    pub der: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id as _;

    #[test]
    fn numbers_grow_whatever_the_clock_and_the_backup_say() {
        let at = |seconds: i64| Timestamp::from_unix_seconds(1_800_000_000 + seconds);
        let first = CrlNumber::following(None, at(0));
        assert_eq!(first, CrlNumber(1_800_000_000_000));
        assert_eq!(CrlNumber::following(Some(first), at(0)), CrlNumber(1_800_000_000_001));
        assert_eq!(CrlNumber::following(Some(first), at(-60)), CrlNumber(1_800_000_000_001), "a clock that went back");
        let restored = Some(CrlNumber(7));
        assert!(CrlNumber::following(restored, at(1)) > CrlNumber::following(Some(first), at(0)));
        assert_eq!(CrlNumber::following(None, Timestamp::from_unix_seconds(-1)), CrlNumber(1));
    }

    #[test]
    fn reasons_are_told_apart_by_name_and_number() {
        for reason in RevocationReason::CHOICES {
            assert_eq!(RevocationReason::chosen(reason.as_str()), Some(reason));
            assert_eq!(RevocationReason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(RevocationReason::from_code(4), Some(RevocationReason::Superseded));
        assert_eq!(RevocationReason::chosen("superseded"), None, "nobody chooses it");
        assert_eq!((RevocationReason::from_code(2), RevocationReason::chosen("KeyCompromise")), (None, None));
    }

    #[test]
    fn a_crl_is_made_anew_at_half_of_its_time() {
        let at = Timestamp::from_unix_seconds;
        let head = CrlHead {
            customer_id: CustomerId::from_raw(1),
            signing_certificate_id: SigningCertificateId::from_raw(2),
            number: CrlNumber(1),
            this_update: at(100),
            next_update: at(301),
            entries: 0,
        };
        assert_eq!(head.renewed_at(), at(200));
    }
}
