//! Why a device is not enrolled: the closed list, the words for administrators, and the reference that leads
//! to the log.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::random_bytes;

/// Why a request with a *verified* key, or with a certificate that is known to be a component's, is refused. What is
/// wrong with a key string, or with another certificate, is never told apart, so it is not in this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    AddressNotAllowed,
    ClientCertificateSuperseded,
    ComponentDisabled,
    ComponentRevoked,
    CustomerDisabled,
    FingerprintMismatch,
    GroupDisabled,
    InvalidCsr,
    KeyDisabled,
    KeyExhausted,
    KeyExpired,
    ReEnrollmentLimit,
    ReEnrollmentNotAllowed,
    SigningCertificateUnavailable,
}

impl Refusal {
    pub const ALL: [Self; 14] = [
        Self::AddressNotAllowed,
        Self::ClientCertificateSuperseded,
        Self::ComponentDisabled,
        Self::ComponentRevoked,
        Self::CustomerDisabled,
        Self::FingerprintMismatch,
        Self::GroupDisabled,
        Self::InvalidCsr,
        Self::KeyDisabled,
        Self::KeyExhausted,
        Self::KeyExpired,
        Self::ReEnrollmentLimit,
        Self::ReEnrollmentNotAllowed,
        Self::SigningCertificateUnavailable,
    ];

    /// The code on the wire, in metrics and in the ledger.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AddressNotAllowed => "address-not-allowed",
            Self::ClientCertificateSuperseded => "client-certificate-superseded",
            Self::ComponentDisabled => "component-disabled",
            Self::ComponentRevoked => "component-revoked",
            Self::CustomerDisabled => "customer-disabled",
            Self::FingerprintMismatch => "fingerprint-mismatch",
            Self::GroupDisabled => "group-disabled",
            Self::InvalidCsr => "invalid-csr",
            Self::KeyDisabled => "key-disabled",
            Self::KeyExhausted => "key-exhausted",
            Self::KeyExpired => "key-expired",
            Self::ReEnrollmentLimit => "reenrollment-limit",
            Self::ReEnrollmentNotAllowed => "reenrollment-not-allowed",
            Self::SigningCertificateUnavailable => "signing-certificate-unavailable",
        }
    }
}

/// What the matter was, for administrators: the facts behind a code, as `the RSA key has 1024 bits; 2048 to 4096
/// are accepted`. One line of at most [`Self::CHARS_MAX`] characters; what a device sent stands in it as a
/// label, a number or a name at most. Never a secret, and never shown to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalReason(String);

impl RefusalReason {
    pub const CHARS_MAX: usize = 200;

    /// Leaves out control characters and what is too long.
    pub fn new(text: &str) -> Self {
        Self(text.chars().filter(|c| !c.is_control()).take(Self::CHARS_MAX).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 12 characters of base64url that stand in a refusal, in the log and in the ledger, so that a
/// field engineer's report leads to the line. 72 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reference([u8; 12]);

impl Reference {
    pub fn random() -> Self {
        let mut text = [0; 12];
        let written = URL_SAFE_NO_PAD.encode_slice(*random_bytes::<9>(), &mut text);
        debug_assert_eq!(written, Ok(12));
        Self(text)
    }

    /// Reads back what [`as_str`](Self::as_str) gave; `None` for anything that is no reference.
    pub fn parse(text: &str) -> Option<Self> {
        let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        text.as_bytes().try_into().ok().filter(|bytes: &[u8; 12]| bytes.iter().all(is_base64url)).map(Self)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(RefusalReason::new("a\nb\u{7f}c\u{85}d \t e").as_str(), "abcd  e");
        assert_eq!(RefusalReason::new(&"ü".repeat(200)).as_str().chars().count(), 200);
        assert_eq!(RefusalReason::new(&"ü".repeat(201)).as_str().chars().count(), 200);
    }
}
