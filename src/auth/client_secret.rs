//! API clients' credentials: an id that names, a secret that proves.
//!
//! The secret carries 256 random bits, so a keyed digest is enough to keep it by: guessing is
//! hopeless and a slow hash would only make sign-in bursts expensive. The digest covers the id as
//! well, so no digest serves another client, and begins with a label, so none is a key string's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use zeroize::Zeroizing;

use crate::secret::pepper::{KeyDigest, PepperNumber, Peppers};
use crate::secret::{random_bytes, random_name};

const CLIENT_ID_BYTES: usize = 12;
const SECRET_BYTES: usize = 32;

/// What stands in front of everything that is digested here.
const LABEL: &str = "api-client";

/// A new API client's id and secret. The secret is shown once, then only its digest is kept.
pub struct ClientCredentials {
    /// 24 lower-case hex digits.
    pub client_id: String,
    /// 43 characters of base64url.
    pub client_secret: Zeroizing<String>,
}

impl ClientCredentials {
    pub fn generate() -> Self {
        let mut client_secret = Zeroizing::new(String::with_capacity(SECRET_BYTES.div_ceil(3) * 4));
        URL_SAFE_NO_PAD.encode_string(random_bytes::<SECRET_BYTES>(), &mut client_secret);
        Self { client_id: random_name::<CLIENT_ID_BYTES>(), client_secret }
    }

    /// What the store keeps.
    pub fn digest(&self, peppers: &Peppers) -> (PepperNumber, KeyDigest) {
        peppers.digest(text(&self.client_id, &self.client_secret).as_bytes())
    }
}

/// Whether `client_secret` is the one that `stored` is the digest of. For an unknown client pass
/// `None`: the work is the same and the answer is no.
pub fn verify(
    peppers: &Peppers,
    client_id: &str,
    client_secret: &str,
    stored: Option<(PepperNumber, &KeyDigest)>,
) -> bool {
    let dummy = (PepperNumber(0), &KeyDigest::from_bytes([0; KeyDigest::BYTES]));
    let is_known = Choice::from(u8::from(stored.is_some()));
    let (stored_under, stored_digest) = stored.unwrap_or(dummy);
    let mut found = 0;
    for (number, digest) in peppers.digests(text(client_id, client_secret).as_bytes()).iter() {
        let matches = digest.matches(stored_digest) & number.0.ct_eq(&stored_under.0) & is_known;
        found = u8::conditional_select(&found, &1, matches);
    }
    found == 1
}

/// What the digest of this secret, which was right, is to be replaced by; `None`: it is under the newest pepper, or no
/// other makes digests yet.
pub fn newer_digest(
    peppers: &Peppers,
    client_id: &str,
    client_secret: &str,
    stored_under: PepperNumber,
) -> Option<(PepperNumber, KeyDigest)> {
    peppers.outgoing().filter(|outgoing| *outgoing == stored_under)?;
    Some(peppers.digest(text(client_id, client_secret).as_bytes()))
}

/// The length of the id stands before it, so that no two pairs give the same text.
fn text(client_id: &str, client_secret: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("{LABEL}|{}|{client_id}|{client_secret}", client_id.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peppers(number: u32) -> Peppers {
        Peppers::new(&[(PepperNumber(number), Peppers::generate())])
    }

    #[test]
    fn a_secret_fits_only_its_own_client_and_pepper() {
        let peppers_1 = peppers(1);
        let credentials = ClientCredentials::generate();
        let (number, digest) = credentials.digest(&peppers_1);
        let (id, secret) = (&*credentials.client_id, &*credentials.client_secret);

        assert!(verify(&peppers_1, id, secret, Some((number, &digest))));
        assert!(!verify(&peppers_1, id, &secret[1..], Some((number, &digest))));
        assert!(!verify(&peppers_1, "another", secret, Some((number, &digest))));
        assert!(!verify(&peppers_1, id, secret, Some((PepperNumber(2), &digest))));
        assert!(!verify(&peppers(1), id, secret, Some((number, &digest))));
    }

    #[test]
    fn a_secret_moves_to_a_newer_pepper_once_that_makes_digests() {
        let (old, new) = ((PepperNumber(1), Peppers::generate()), (PepperNumber(2), Peppers::generate()));
        let peppers = Peppers::new(std::slice::from_ref(&old));
        let credentials = ClientCredentials::generate();
        let (id, secret) = (&*credentials.client_id, &*credentials.client_secret);
        let (under, digest) = credentials.digest(&peppers);
        assert!(newer_digest(&peppers, id, secret, under).is_none());
        peppers.replace(&[old, new.clone()], false);
        assert!(newer_digest(&peppers, id, secret, under).is_none());
        peppers.settle();
        assert!(verify(&peppers, id, secret, Some((under, &digest))));
        let (under, digest) = newer_digest(&peppers, id, secret, under).unwrap();
        assert_eq!(under, new.0);
        peppers.replace(&[new], true);
        assert!(verify(&peppers, id, secret, Some((under, &digest))));
        assert!(newer_digest(&peppers, id, secret, under).is_none());
        assert!(!verify(&peppers, id, secret, Some((PepperNumber::GONE, &digest))));
    }

    #[test]
    fn an_unknown_client_is_refused_whatever_it_sends() {
        assert!(!verify(&peppers(1), "", "", None));
        assert!(!verify(&peppers(0), "id", "secret", None));
    }

    #[test]
    fn moving_characters_from_id_to_secret_changes_the_digest() {
        assert_ne!(*text("ab", "c"), *text("a", "bc"));
        assert_ne!(*text("a|b", "c"), *text("a", "b|c"));
    }

    #[test]
    fn credentials_are_random_and_survive_a_form() {
        let (one, other) = (ClientCredentials::generate(), ClientCredentials::generate());
        assert_ne!(one.client_id, other.client_id);
        assert_ne!(*one.client_secret, *other.client_secret);
        assert_eq!((one.client_id.len(), one.client_secret.len()), (24, 43));
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        assert!(plain(&one.client_id) && plain(&one.client_secret));
    }
}
