//! What identifies a device's hardware.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

/// 16 to 64 characters of an X.509 PrintableString without the space:
/// `A–Z a–z 0–9 ' ( ) + , - . / : = ?` (X.680 §41.4).
///
/// It stands in the certificate's subject as serialNumber. Not a credential: knowing one gives
/// nothing without a key string.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 16 to 64 characters of A-Z a-z 0-9 ' ( ) + , - . / : = ?")]
pub struct InvalidFingerprint;

impl Fingerprint {
    pub const BYTES_MIN: usize = 16;
    pub const BYTES_MAX: usize = 64;

    /// # Errors
    /// When the length or a character is outside of what is allowed.
    pub fn new(text: &str) -> Result<Self, InvalidFingerprint> {
        if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(InvalidFingerprint) }
    }

    /// Base64 of SHA-256 over `name`: for what identifies a device and cannot be a fingerprint itself.
    pub fn hashed(name: &[u8]) -> Self {
        Self(STANDARD.encode(digest(&SHA256, name)).into())
    }

    /// Whether [`new`](Self::new) would accept the text. Allocates nothing.
    pub fn is_valid(text: &str) -> bool {
        (Self::BYTES_MIN..=Self::BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"'()+,-./:=?".contains(&byte))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_is_one() {
        for byte in 0..=255 {
            assert!(Fingerprint::is_valid(Fingerprint::hashed(&[byte]).as_str()));
        }
        assert_eq!(Fingerprint::hashed(b"").as_str(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn length_at_its_bounds_and_alphabet() {
        for (length, valid) in [(15, false), (16, true), (64, true), (65, false)] {
            assert_eq!(Fingerprint::is_valid(&"a".repeat(length)), valid, "{length}");
        }
        let alphabet = "ABCXYZabcxyz0189'()+,-./:=?";
        assert!(Fingerprint::is_valid(alphabet));
        for c in [' ', '*', '@', '&', '_', '<', '\n', '\0', 'ä'] {
            assert!(!Fingerprint::is_valid(&format!("{alphabet}{c}")), "{c:?}");
        }
    }
}
