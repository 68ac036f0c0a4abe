//! Master keys, and the sealing of everything secret that the store keeps.
//!
//! A sealed value is `format 1 byte · master-key id length 1 byte · master-key id · nonce 12
//! bytes · AES-256-GCM ciphertext and tag`. The associated data binds it to its place
//! ([`Place`]): a value moved to another row, table or customer does not open.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{Digest, SHA256, digest};
use zeroize::Zeroizing;

use super::random_bytes;

const FORMAT: u8 = 1;

/// Longest master-key id, in bytes.
const MASTER_KEY_ID_BYTES_MAX: usize = 64;

/// Where a sealed value stands. All of it is authenticated, none of it is secret.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// What the value is for, e.g. `key-string`.
    pub purpose: &'a str,
    /// The owning customer's id; 0 for service-wide rows.
    pub customer: u64,
    /// The logical table, e.g. `provisioning_keys`.
    pub table: &'a str,
    /// The row's id or name, as text.
    pub record: &'a str,
}

/// The keys that seal and open. One seals, all open: the first, until [`MasterKeys::seal_by`] names another.
///
/// Has no `Debug` and no `Clone`: share it in an `Arc`. Others may take their place while it is shared.
pub struct MasterKeys {
    keys: ArcSwap<Keys>,
}

#[derive(Clone)]
struct Keys {
    /// At least one, in the order of the file.
    all: Arc<Vec<MasterKey>>,
    /// The place among them of the one that seals.
    sealing: usize,
}

impl Keys {
    fn place_of(&self, id: &str) -> Option<usize> {
        self.all.iter().position(|key| key.id == id)
    }
}

struct MasterKey {
    id: String,
    key: LessSafeKey,
    /// SHA-256 of its bytes: tells two of one id apart.
    digest: Digest,
}

/// A `master.key` text that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    #[error("the master key file holds no key; each line is `<id> <64 hex digits>`")]
    Empty,
    #[error("line {line} of the master key file: expected `<id> <64 hex digits>`")]
    Line { line: usize },
    #[error("line {line} of the master key file: the id is there twice")]
    Duplicate { line: usize },
}

/// Why a sealed value did not open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    #[error("sealed by master key {id:?}, which is not among the master keys given")]
    UnknownMasterKey { id: String },
    #[error("the sealed value is damaged, stands in another place than it was made for, or the master key differs")]
    Refused,
}

impl MasterKeys {
    /// Reads the text of a `master.key` file: one key a line, `<id> <64 hex digits>`; empty lines
    /// and lines that start with `#` are skipped.
    ///
    /// # Errors
    /// [`MasterKeyError`], which names the line and never its content.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let malformed = MasterKeyError::Line { line: line_number };
            let Some((id, hex)) = line.split_once(char::is_whitespace) else {
                return Err(malformed);
            };
            let Some(bytes) = decode_hex_32(hex.trim()) else {
                return Err(malformed);
            };
            if id.len() > MASTER_KEY_ID_BYTES_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(malformed);
            }
            if keys.iter().any(|key| key.id == id) {
                return Err(MasterKeyError::Duplicate { line: line_number });
            }
            let key = UnboundKey::new(&AES_256_GCM, &*bytes).expect("32 bytes are an AES-256 key");
            let digest = digest(&SHA256, &*bytes);
            keys.push(MasterKey { id: id.to_owned(), key: LessSafeKey::new(key), digest });
        }
        if keys.is_empty() {
            return Err(MasterKeyError::Empty);
        }
        Ok(Self { keys: ArcSwap::from_pointee(Keys { all: Arc::new(keys), sealing: 0 }) })
    }

    /// From now on these open, for whoever shares this. What seals goes on to, if it is among them.
    pub fn replace_by(&self, others: Self) {
        let others = others.keys.into_inner();
        self.keys.rcu(|before| {
            let sealing = others.place_of(&before.all[before.sealing].id).unwrap_or(others.sealing);
            Keys { all: Arc::clone(&others.all), sealing }
        });
    }

    /// From now on the key with this id seals, for whoever shares this. `false`: there is none, and nothing changes.
    pub fn seal_by(&self, id: &str) -> bool {
        let mut is_here = true;
        self.keys.rcu(|before| {
            let place = before.place_of(id);
            is_here = place.is_some();
            Keys { sealing: place.unwrap_or(before.sealing), ..Keys::clone(before) }
        });
        is_here
    }

    /// The same keys for one piece of work, all of which the key with this id seals. `None`: there is none.
    pub fn sealing_by(&self, id: &str) -> Option<Self> {
        let keys = self.keys.load();
        let sealing = keys.place_of(id)?;
        Some(Self { keys: ArcSwap::from_pointee(Keys { all: Arc::clone(&keys.all), sealing }) })
    }

    /// The keys' ids in the order of the file; at least one.
    pub fn ids(&self) -> Vec<String> {
        self.keys.load().all.iter().map(|key| key.id.clone()).collect()
    }

    /// The id of the key that seals.
    pub fn sealing_id(&self) -> String {
        let keys = self.keys.load();
        keys.all[keys.sealing].id.clone()
    }

    /// Whether these are the same keys in the same order.
    pub fn are(&self, others: &Self) -> bool {
        self.ids() == others.ids() && self.missing_of(others).is_empty()
    }

    /// The ids of those among `others` that are not here by their bytes, whatever has their id.
    pub fn missing_of(&self, others: &Self) -> Vec<String> {
        let (keys, others) = (self.keys.load(), others.keys.load());
        let is_here = |other: &MasterKey| {
            keys.all.iter().any(|key| key.id == other.id && key.digest.as_ref() == other.digest.as_ref())
        };
        others.all.iter().filter(|other| !is_here(other)).map(|other| other.id.clone()).collect()
    }

    /// The text of a new `master.key` file with one random key.
    pub fn generate_text(id: &str) -> Zeroizing<String> {
        let bytes = random_bytes::<32>();
        let mut text = Zeroizing::new(String::with_capacity(id.len() + 1 + 64 + 1));
        text.push_str(id);
        text.push(' ');
        for byte in bytes.iter() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16"));
            }
        }
        text.push('\n');
        text
    }

    /// Encrypts `plain` for `place` under the key that seals, with a random nonce.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let keys = self.keys.load();
        let master = &keys.all[keys.sealing];
        let nonce = random_bytes::<NONCE_LEN>();
        let mut sealed = header(&master.id);
        sealed.reserve(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&*nonce);

        let mut body = Zeroizing::new(plain.to_vec());
        let tag = master
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(*nonce),
                associated_data(&master.id, place),
                &mut body,
            )
            .expect("AES-GCM seals any text this process can hold");
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Decrypts what [`seal`](Self::seal) made for the same place.
    ///
    /// # Errors
    /// [`UnsealError::UnknownMasterKey`] when its key is not here, [`UnsealError::Refused`] for
    /// everything else.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let (id, nonce, body) = split(sealed).ok_or(UnsealError::Refused)?;
        let keys = self.keys.load();
        let Some(master) = keys.all.iter().find(|key| key.id.as_bytes() == id) else {
            return Err(UnsealError::UnknownMasterKey { id: String::from_utf8_lossy(id).into_owned() });
        };
        let mut plain = Zeroizing::new(body.to_vec());
        let length = master
            .key
            .open_in_place(Nonce::assume_unique_for_key(nonce), associated_data(&master.id, place), &mut plain)
            .map_err(|_| UnsealError::Refused)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

/// How all values begin that the key with this id sealed: `format · id length · id`.
///
/// # Panics
/// For an id that no master key can have.
pub fn header(id: &str) -> Vec<u8> {
    let length = u8::try_from(id.len()).expect("ids are at most 64 bytes");
    [&[FORMAT, length], id.as_bytes()].concat()
}

fn split(sealed: &[u8]) -> Option<(&[u8], [u8; NONCE_LEN], &[u8])> {
    let (&[format, id_len], rest) = sealed.split_first_chunk::<2>()?;
    if format != FORMAT {
        return None;
    }
    let (id, rest) = rest.split_at_checked(usize::from(id_len))?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
    Some((id, *nonce, body))
}

/// Length-prefixed, so that no two places give the same bytes.
fn associated_data(master_key_id: &str, place: Place<'_>) -> Aad<Vec<u8>> {
    let customer = place.customer.to_be_bytes();
    let parts: [&[u8]; 5] = [
        master_key_id.as_bytes(),
        place.purpose.as_bytes(),
        &customer,
        place.table.as_bytes(),
        place.record.as_bytes(),
    ];
    let mut bytes = vec![FORMAT];
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Aad::from(bytes)
}

fn decode_hex_32(hex: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits: &[u8; 64] = hex.as_bytes().try_into().ok()?;
    let mut bytes = Zeroizing::new([0; 32]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).expect("two nibbles are a byte");
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { purpose: "key-string", customer: 7, table: "provisioning_keys", record: "42" };

    fn keys(ids: &[&str]) -> MasterKeys {
        let text: String = ids.iter().map(|id| MasterKeys::generate_text(id).to_string()).collect();
        MasterKeys::parse(&text).unwrap()
    }

    #[test]
    fn opens_only_in_the_place_it_was_sealed_for() {
        let keys = keys(&["a"]);
        let sealed = keys.seal(PLACE, b"secret");
        assert_eq!(&**keys.open(PLACE, &sealed).unwrap(), b"secret");
        let elsewhere = [
            Place { purpose: "signing-key", ..PLACE },
            Place { customer: 8, ..PLACE },
            Place { table: "secrets", ..PLACE },
            Place { record: "43", ..PLACE },
        ];
        for place in elsewhere {
            assert_eq!(keys.open(place, &sealed), Err(UnsealError::Refused), "{place:?}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let keys = keys(&["a"]);
        let sealed = keys.seal(PLACE, b"secret");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open(PLACE, &damaged).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(keys.open(PLACE, &sealed[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn the_first_key_seals_and_every_key_opens() {
        let old_text = MasterKeys::generate_text("old");
        let old = MasterKeys::parse(&old_text).unwrap();
        let sealed = old.seal(PLACE, b"secret");

        let both = MasterKeys::parse(&format!("{}{}", *MasterKeys::generate_text("new"), *old_text)).unwrap();
        assert_eq!(&**both.open(PLACE, &sealed).unwrap(), b"secret");
        let resealed = both.seal(PLACE, b"secret");
        assert_eq!(old.open(PLACE, &resealed), Err(UnsealError::UnknownMasterKey { id: "new".into() }));
    }

    #[test]
    fn keys_are_replaced_for_whoever_shares_them_and_what_seals_is_said() {
        let old_text = MasterKeys::generate_text("old");
        let shared = Arc::new(MasterKeys::parse(&old_text).unwrap());
        let sealed = shared.seal(PLACE, b"secret");
        let new_text = MasterKeys::generate_text("new");
        shared.replace_by(MasterKeys::parse(&format!("{}{}", *new_text, *old_text)).unwrap());
        assert_eq!((shared.ids(), shared.sealing_id()), (vec!["new".into(), "old".into()], "old".to_owned()));
        assert_eq!(&**shared.open(PLACE, &sealed).unwrap(), b"secret");
        assert!(sealed.starts_with(&header("old")) && shared.seal(PLACE, b"secret").starts_with(&header("old")));
        assert!(shared.seal_by("new") && !shared.seal_by("other"));
        assert!(shared.seal(PLACE, b"secret").starts_with(&header("new")));
        shared.replace_by(MasterKeys::parse(&new_text).unwrap());
        assert_eq!(shared.sealing_id(), "new");
    }

    #[test]
    fn keys_of_one_id_are_told_apart() {
        let (text, other) = (MasterKeys::generate_text("a"), MasterKeys::generate_text("a"));
        let parse = |text: &str| MasterKeys::parse(text).unwrap();
        assert!(parse(&text).are(&parse(&text)) && !parse(&text).are(&parse(&other)));
        let more = parse(&format!("{}{}", *text, *MasterKeys::generate_text("b")));
        assert_eq!(parse(&other).missing_of(&more), ["a", "b"]);
        assert_eq!(parse(&text).missing_of(&more), ["b"]);
        assert!(more.missing_of(&parse(&text)).is_empty());
    }

    #[test]
    fn a_bad_file_is_refused_by_line() {
        let good = MasterKeys::generate_text("a");
        for (text, error) in [
            (String::new(), MasterKeyError::Empty),
            ("# only a comment\n".into(), MasterKeyError::Empty),
            ("a 00".into(), MasterKeyError::Line { line: 1 }),
            (format!("{}b {}", *good, "g".repeat(64)), MasterKeyError::Line { line: 2 }),
            (format!("{}{}", *good, *good), MasterKeyError::Duplicate { line: 2 }),
        ] {
            assert_eq!(MasterKeys::parse(&text).err(), Some(error));
        }
    }
}
