//! Numbered peppers: HMAC keys without which a copy of the database verifies nothing.
//!
//! Key strings carry at least 192 random bits, so a fast keyed hash is the right one: a slow
//! password hash on the enrollment path would only be a denial of service on ourselves.

use std::sync::Arc;

use arc_swap::ArcSwap;
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

impl PepperNumber {
    /// Of no pepper: what rows name whose digest is under one that was let go of. Nothing verifies by them.
    pub const GONE: Self = Self(0);

    /// The first of a service.
    pub const FIRST: Self = Self(1);

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The raw bytes of one pepper, 32 of them, wiped on drop.
pub type PepperBytes = Zeroizing<[u8; 32]>;

/// The live peppers of a node, at most [`Peppers::LIVE_MAX`]: one makes digests, all verify. A rotation changes them
/// under those who use them ([`Self::replace`]), so what was presented says which they were ([`Digests`]).
pub struct Peppers {
    live: ArcSwap<Live>,
}

struct Live {
    /// One or two.
    newest_first: Vec<(PepperNumber, hmac::Key)>,
    /// Where the one that makes digests stands.
    making: usize,
}

/// A text's digest under each pepper that was live when it was made.
#[derive(Clone, Copy)]
pub struct Digests {
    /// The rest is `None`.
    newest_first: [Option<(PepperNumber, KeyDigest)>; Peppers::LIVE_MAX],
}

impl Digests {
    /// Newest first: one or two.
    pub fn iter(&self) -> impl Iterator<Item = (PepperNumber, KeyDigest)> {
        self.newest_first.iter().flatten().copied()
    }

    /// The one under this pepper.
    pub fn under(&self, pepper: PepperNumber) -> Option<KeyDigest> {
        self.iter().find_map(|(number, digest)| (number == pepper).then_some(digest))
    }
}

impl Peppers {
    /// Two at a time: the current one, and while keys are being re-digested, its predecessor.
    pub const LIVE_MAX: usize = 2;

    /// The newest makes digests.
    ///
    /// # Panics
    /// When none or more than [`Self::LIVE_MAX`] are given: the store keeps one or two.
    pub fn new(peppers: &[(PepperNumber, PepperBytes)]) -> Self {
        Self { live: ArcSwap::from_pointee(Live::new(peppers, true)) }
    }

    pub fn generate() -> PepperBytes {
        random_bytes()
    }

    /// From now on these are live. Without `is_settled` the newest one verifies only, as others may not know it yet, and
    /// its predecessor, if it is given, goes on to make digests.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn replace(&self, peppers: &[(PepperNumber, PepperBytes)], is_settled: bool) {
        self.live.store(Arc::new(Live::new(peppers, is_settled)));
    }

    /// From now on these verify, too, beside those that do, and the same one makes digests. Of more than
    /// [`Self::LIVE_MAX`] the newest stay.
    pub fn add(&self, peppers: &[(PepperNumber, PepperBytes)]) {
        self.live.rcu(|live| {
            let making = live.newest_first[live.making].0;
            let mut newest_first = live.newest_first.clone();
            for (number, bytes) in peppers {
                if newest_first.iter().all(|(known, _)| known != number) {
                    newest_first.push((*number, hmac::Key::new(hmac::HMAC_SHA256, &**bytes)));
                }
            }
            newest_first.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
            newest_first.truncate(Self::LIVE_MAX);
            let making = newest_first.iter().position(|(number, _)| *number == making).unwrap_or_default();
            Live { newest_first, making }
        });
    }

    /// From now on the newest makes digests.
    pub fn settle(&self) {
        self.live.rcu(|live| Live { newest_first: live.newest_first.clone(), making: 0 });
    }

    /// The one that makes digests.
    pub fn making(&self) -> PepperNumber {
        let live = self.live.load();
        live.newest_first[live.making].0
    }

    /// The newest and, while keys are being re-digested, the one before it.
    pub fn numbers(&self) -> (PepperNumber, Option<PepperNumber>) {
        let live = self.live.load();
        let mut numbers = live.newest_first.iter().map(|(number, _)| *number);
        (numbers.next().expect("there is one at least"), numbers.next())
    }

    /// The pepper that digests are to leave, once another makes them.
    pub fn outgoing(&self) -> Option<PepperNumber> {
        let (newest, older) = self.numbers();
        older.filter(|_| self.making() == newest)
    }

    /// Whether digests under this one are told from others.
    pub fn is_live(&self, pepper: PepperNumber) -> bool {
        let (newest, older) = self.numbers();
        pepper == newest || Some(pepper) == older
    }

    /// Whether these digests are under the peppers that are live now.
    pub fn made(&self, digests: &Digests) -> bool {
        let live = self.live.load();
        digests.iter().map(|(number, _)| number).eq(live.newest_first.iter().map(|(number, _)| *number))
    }

    /// The digest that a new row stores, with its pepper's number.
    pub fn digest(&self, text: &[u8]) -> (PepperNumber, KeyDigest) {
        let live = self.live.load();
        let (number, key) = &live.newest_first[live.making];
        (*number, digest_under(key, text))
    }

    /// The digest under every live pepper. Costs the same for every text of a length.
    pub fn digests(&self, text: &[u8]) -> Digests {
        let live = self.live.load();
        let mut made = live.newest_first.iter().map(|(number, key)| (*number, digest_under(key, text)));
        Digests { newest_first: std::array::from_fn(|_| made.next()) }
    }
}

impl Live {
    fn new(peppers: &[(PepperNumber, PepperBytes)], is_settled: bool) -> Self {
        assert!((1..=Peppers::LIVE_MAX).contains(&peppers.len()), "one or two live peppers");
        let mut newest_first: Vec<_> =
            peppers.iter().map(|(number, bytes)| (*number, hmac::Key::new(hmac::HMAC_SHA256, &**bytes))).collect();
        newest_first.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        let making = if is_settled { 0 } else { newest_first.len() - 1 };
        Self { newest_first, making }
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
        let found = during.digests(b"3|cloud|secret");
        let found = found.iter().find(|(_, digest)| digest.matches(&made_before).into());
        assert_eq!(found.map(|(number, _)| number), Some(PepperNumber(1)));
    }

    #[test]
    fn a_new_pepper_verifies_before_it_makes() {
        let (old, new) = ((PepperNumber(1), Peppers::generate()), (PepperNumber(2), Peppers::generate()));
        let peppers = Peppers::new(std::slice::from_ref(&old));
        assert_eq!((peppers.making(), peppers.numbers(), peppers.outgoing()), (old.0, (old.0, None), None));
        let before = peppers.digests(b"text");
        assert!(peppers.made(&before));

        peppers.add(std::slice::from_ref(&new));
        assert_eq!((peppers.making(), peppers.numbers()), (old.0, (new.0, Some(old.0))), "none goes");
        peppers.replace(&[new.clone(), old.clone()], false);
        assert_eq!((peppers.making(), peppers.numbers(), peppers.outgoing()), (old.0, (new.0, Some(old.0)), None));
        assert!(!peppers.made(&before), "the text is to be presented anew");
        let during = peppers.digests(b"text");
        assert!(during.under(old.0).unwrap().matches(&before.under(old.0).unwrap()).unwrap_u8() == 1);
        assert!(peppers.is_live(old.0) && peppers.is_live(new.0) && !peppers.is_live(PepperNumber::GONE));

        peppers.settle();
        assert_eq!((peppers.making(), peppers.outgoing()), (new.0, Some(old.0)));
        assert!(peppers.made(&during));
        let (number, made) = peppers.digest(b"text");
        assert!(number == new.0 && bool::from(made.matches(&during.under(new.0).unwrap())));

        peppers.replace(std::slice::from_ref(&new), false);
        assert_eq!((peppers.making(), peppers.numbers(), peppers.outgoing()), (new.0, (new.0, None), None));
        assert!(!peppers.made(&during) && !peppers.is_live(old.0));
    }

    /// RFC 4231 §4.2; HMAC fills a shorter key up with zeros.
    #[test]
    fn a_digest_is_what_others_compute() {
        let mut key = Zeroizing::new([0; 32]);
        key[..20].fill(0x0b);
        let (_, digest) = Peppers::new(&[(PepperNumber(1), key)]).digest(b"Hi There");
        let expected: [u8; KeyDigest::BYTES] = [
            0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1, 0x2b, 0x88, 0x1d,
            0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7, 0x26, 0xe9, 0x37, 0x6c, 0x2e, 0x32, 0xcf, 0xf7,
        ];
        assert_eq!(digest.as_bytes(), &expected);
        assert_eq!(digest.prefix()[..], expected[..KeyDigest::PREFIX_BYTES]);
    }
}
