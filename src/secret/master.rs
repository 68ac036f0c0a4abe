//! Master keys, and the sealing of everything secret that the store keeps.
//!
//! A sealed value is `format 1 byte · master-key id length 1 byte · master-key id · nonce 12
//! bytes · AES-256-GCM ciphertext and tag`. The associated data binds it to its place
//! ([`Place`]): a value moved to another row, table or customer does not open.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
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

/// The keys that seal and open. The first seals, all open.
///
/// Has no `Debug` and no `Clone`: share it in an `Arc`.
pub struct MasterKeys {
    keys: Vec<MasterKey>,
}

struct MasterKey {
    id: String,
    key: LessSafeKey,
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
            keys.push(MasterKey { id: id.to_owned(), key: LessSafeKey::new(key) });
        }
        if keys.is_empty() { Err(MasterKeyError::Empty) } else { Ok(Self { keys }) }
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

    /// Encrypts `plain` for `place` under the first key, with a random nonce.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let master = &self.keys[0];
        let nonce = random_bytes::<NONCE_LEN>();
        let header_len = 2 + master.id.len() + NONCE_LEN;
        let mut sealed = Vec::with_capacity(header_len + plain.len() + AES_256_GCM.tag_len());
        sealed.push(FORMAT);
        sealed.push(u8::try_from(master.id.len()).expect("ids are at most 64 bytes"));
        sealed.extend_from_slice(master.id.as_bytes());
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
        let Some(master) = self.keys.iter().find(|key| key.id.as_bytes() == id) else {
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
