//! Certificates: the CAs that sign, and every certificate that left the process.

use std::fmt;

use ring::digest::{SHA256, digest};

use super::{Description, Name, Revision, RevocationReason};
use crate::clock::{DAY_SECONDS, Timestamp};
use crate::id::{ComponentId, CustomerId, ProvisioningKeyId, SigningCertificateId};
use crate::secret::random_bytes;

/// A certificate serial number: 16 octets, the first 01–7f, the rest random.
///
/// RFC 5280 §4.1.2.2 wants a positive integer of at most 20 octets; the CA/Browser Forum's 64
/// random bits are exceeded. Printed as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber([u8; 16]);

impl SerialNumber {
    pub fn random() -> Self {
        loop {
            let mut bytes = *random_bytes::<16>();
            bytes[0] &= 0x7f;
            if bytes[0] != 0 {
                return Self(bytes);
            }
        }
    }

    /// Big-endian octets, as they stand in the certificate's INTEGER.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-256 of a DER SubjectPublicKeyInfo: how a key pair is recognised again.
pub type PublicKeyHash = [u8; 32];

/// An enrollment CA of a customer.
#[derive(Clone)]
pub struct SigningCertificate {
    pub id: SigningCertificateId,
    pub customer_id: CustomerId,
    pub name: Name,
    pub description: Description,
    /// DER. `None` while a CSR waits for the certificate that completes it.
    pub certificate: Option<Vec<u8>>,
    /// DER of the issuers above it, nearest first, the root last; empty for a root.
    pub chain: Vec<Vec<u8>>,
    /// Of its key pair, which no other signing certificate of the service has.
    pub public_key_hash: PublicKeyHash,
    /// PKCS#8 DER, sealed. `None`: this one cannot sign.
    pub sealed_private_key: Option<Vec<u8>>,
    /// DER of the CSR, for one whose key was made here and whose certificate comes from elsewhere. Stays when
    /// that has come: it is what the next one is asked for with.
    pub csr: Option<Vec<u8>>,
    /// The signing certificate of ours that signed it.
    pub parent_id: Option<SigningCertificateId>,
    /// Whether the operator lets it sign.
    pub allow_signing: bool,
    /// Lifetime of what it signs, in seconds.
    pub lifetime_seconds: u32,
    pub purpose: SigningPurpose,
    /// When it can sign: all of its chain counts then, which may be shorter than what its own certificate says.
    /// Both equal `created_at` while there is no certificate.
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    pub modified_by: Option<u64>,
    pub revision: Revision,
}

/// `clientCertType` of the management API; says what the public clients may offer it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningPurpose {
    IsolationClient,
    None,
    ZappClient,
}

/// Whether a signing certificate can sign; if not, the first reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningState {
    Active,
    /// A CSR waits for the certificate that completes it.
    AwaitsCertificate,
    Expired,
    NoPrivateKey,
    /// The operator does not let it sign.
    NotAllowed,
    NotYetValid,
}

impl SigningState {
    pub const ALL: [Self; 6] =
        [Self::Active, Self::AwaitsCertificate, Self::Expired, Self::NoPrivateKey, Self::NotAllowed, Self::NotYetValid];

    /// As lists are searched by it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::AwaitsCertificate => "awaits-certificate",
            Self::Expired => "expired",
            Self::NoPrivateKey => "no-private-key",
            Self::NotAllowed => "not-allowed",
            Self::NotYetValid => "not-yet-valid",
        }
    }
}

impl IssuedCertificate {
    /// From when on the device should renew: two thirds of the way from issue to end.
    pub fn renew_after(&self) -> Timestamp {
        renew_after(self.issued_at, self.not_after)
    }
}

/// Two thirds of the way from `issued_at` to `not_after`.
pub fn renew_after(issued_at: Timestamp, not_after: Timestamp) -> Timestamp {
    issued_at.saturating_add(not_after.since(issued_at) * 2 / 3)
}

impl SigningCertificate {
    pub const LIFETIME_SECONDS_DEFAULT: u32 = 90 * DAY_SECONDS;

    /// SHA-256 of its certificate, lower-case hex: what people compare certificates by.
    pub fn certificate_sha256(&self) -> Option<String> {
        let digest = digest(&SHA256, self.certificate.as_ref()?);
        Some(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether it can be offered and accepted for a key: it has certificate and private key, is
    /// allowed to sign and in validity.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.state(now) == SigningState::Active
    }

    pub fn state(&self, now: Timestamp) -> SigningState {
        if self.certificate.is_none() {
            SigningState::AwaitsCertificate
        } else if self.sealed_private_key.is_none() {
            SigningState::NoPrivateKey
        } else if self.not_after <= now {
            SigningState::Expired
        } else if now < self.not_before {
            SigningState::NotYetValid
        } else if !self.allow_signing {
            SigningState::NotAllowed
        } else {
            SigningState::Active
        }
    }
}

/// A component certificate that was signed and not yet sent: it leaves only after the commit that
/// records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    pub serial: SerialNumber,
    /// DER.
    pub der: Vec<u8>,
    pub public_key_hash: PublicKeyHash,
    pub issued_at: Timestamp,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// A component certificate that left the process; kept until a year after its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    pub serial: SerialNumber,
    pub customer_id: CustomerId,
    pub component_id: ComponentId,
    /// The key that it was issued under. It may have been deleted since.
    pub key_id: ProvisioningKeyId,
    pub signing_certificate_id: SigningCertificateId,
    pub der: Vec<u8>,
    pub public_key_hash: PublicKeyHash,
    pub issued_at: Timestamp,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub status: CertificateStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    Current,
    /// Replaced by a renewal with the same key pair; not on the CRL.
    Renewed {
        at: Timestamp,
    },
    /// Replaced by a re-enrollment or a rekey, or renewed before one; on the CRL.
    Superseded {
        at: Timestamp,
    },
    /// Its component was revoked or deleted; on the CRL.
    Revoked {
        at: Timestamp,
        reason: RevocationReason,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_positive_and_print_as_32_hex_digits() {
        for _ in 0..2_000 {
            let serial = SerialNumber::random();
            assert!((0x01..=0x7f).contains(&serial.as_bytes()[0]), "{serial}");
            assert_eq!(serial.to_string().len(), 32);
        }
        let bytes = std::array::from_fn(|i| i as u8);
        assert_eq!(SerialNumber::from_bytes(bytes).to_string(), "000102030405060708090a0b0c0d0e0f");
    }
}
