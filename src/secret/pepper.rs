//! Numbered peppers: HMAC keys without which a copy of the database verifies nothing.
//!
//! Key strings carry at least 192 random bits, so a fast keyed hash is the right one: a slow
//! password hash on the enrollment path would only be a denial of service on ourselves.

use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::random_bytes;

/// HMAC-SHA-256 of a key string (or of an API client's secret) under one pepper.
///
/// Not a secret to an attacker who lacks the pepper, yet it stays out of logs all the same.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; KeyDigest::BYTES]);

impl KeyDigest {
    pub const BYTES: usize = 32;
    /// Bytes that the index is looked up by; the rest only the comparison sees.
    pub const PREFIX_BYTES: usize = 16;

    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// What the index is keyed by.
    pub fn prefix(&self) -> &[u8; Self::PREFIX_BYTES] {
        self.0.first_chunk().expect("a digest is longer than its prefix")
    }

    /// Compares all 32 bytes in constant time.
    pub fn matches(&self, other: &Self) -> subtle::Choice {
        self.0.ct_eq(&other.0)
    }
}

/// The number under which a pepper is known; rows name it beside the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PepperNumber(pub u32);

/// The raw bytes of one pepper, 32 of them, wiped on drop.
pub type PepperBytes = Zeroizing<[u8; 32]>;

/// The live peppers, at most [`Peppers::LIVE_MAX`]: the newest makes digests, all verify.
pub struct Peppers {
    newest_first: Vec<(PepperNumber, hmac::Key)>,
}

impl Peppers {
    /// Two at a time: the current one, and while keys are being re-digested, its predecessor.
    pub const LIVE_MAX: usize = 2;

    /// # Panics
    /// When none or more than [`Self::LIVE_MAX`] are given: the store keeps one or two.
    pub fn new(peppers: &[(PepperNumber, PepperBytes)]) -> Self {
        assert!((1..=Self::LIVE_MAX).contains(&peppers.len()), "one or two live peppers");
        let mut newest_first: Vec<_> =
            peppers.iter().map(|(number, bytes)| (*number, hmac::Key::new(hmac::HMAC_SHA256, &**bytes))).collect();
        newest_first.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        Self { newest_first }
    }

    pub fn generate() -> PepperBytes {
        random_bytes()
    }

    /// The digest that a new row stores, with its pepper's number.
    pub fn digest(&self, text: &[u8]) -> (PepperNumber, KeyDigest) {
        let (number, key) = &self.newest_first[0];
        (*number, digest_under(key, text))
    }

    /// The digest under every live pepper, newest first. Costs the same for every text of a length.
    pub fn digests(&self, text: &[u8]) -> impl Iterator<Item = (PepperNumber, KeyDigest)> {
        self.newest_first.iter().map(move |(number, key)| (*number, digest_under(key, text)))
    }
}

fn digest_under(key: &hmac::Key, text: &[u8]) -> KeyDigest {
    let tag = hmac::sign(key, text);
    KeyDigest(tag.as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_pepper_makes_and_both_verify() {
        let (old, new) = (Peppers::generate(), Peppers::generate());
        let before = Peppers::new(&[(PepperNumber(1), old.clone())]);
        let during = Peppers::new(&[(PepperNumber(1), old), (PepperNumber(2), new)]);

        let (number, made_before) = before.digest(b"3|cloud|secret");
        assert_eq!(number, PepperNumber(1));
        assert_eq!(during.digest(b"3|cloud|secret").0, PepperNumber(2));
        let found = during.digests(b"3|cloud|secret").find(|(_, digest)| digest.matches(&made_before).into());
        assert_eq!(found.map(|(number, _)| number), Some(PepperNumber(1)));
    }
}
