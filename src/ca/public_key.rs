//! Which public keys and signatures count here: one policy for CSRs and for CA certificates.
//!
//! | key | signatures by it |
//! |---|---|
//! | P-256, P-384 (uncompressed point, named curve) | ECDSA with SHA-256, SHA-384 |
//! | Ed25519 | Ed25519 |
//! | RSA 2048–4096 bits, exponent 65537 | PKCS#1 v1.5 with SHA-256, SHA-384, SHA-512 |
//!
//! ECDSA with SHA-512 is missing because `ring` verifies none; RSA-PSS because no enrolling client
//! was seen to use it for a CSR. The SubjectPublicKeyInfo goes into certificates byte by byte, and its
//! SHA-256 is how a key pair is recognised again, so each key must come in the one canonical form.

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::der_parser::asn1_rs::Oid;

use super::der::{self, Reader};
use crate::domain::certificate::PublicKeyHash;

const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 4096;
const RSA_EXPONENT: &[u8] = &[0x01, 0x00, 0x01]; // 65537

pub(super) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
pub(super) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
pub(super) const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

pub(super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

pub(super) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
pub(super) const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
pub(super) const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];

/// Why a public key does not count. Every text may be shown to whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    #[error("the key is of type {found}; ECDSA on P-256 or P-384, Ed25519 and RSA are accepted")]
    Algorithm { found: String },
    #[error("the key is on the curve {found}; P-256 and P-384 are accepted")]
    Curve { found: String },
    #[error("the key's curve is given by explicit parameters; a named curve was expected")]
    CurveExplicit,
    #[error("the key is not a SubjectPublicKeyInfo in canonical DER")]
    Encoding,
    #[error(
        "the key's bytes are no uncompressed point: {expected} bytes that start with 04 were expected, found {found}"
    )]
    Point { expected: usize, found: usize },
    #[error("the RSA key has an exponent other than 65537")]
    RsaExponent,
    #[error("the RSA key has {found} bits; 2048 to 4096 are accepted")]
    RsaModulusBits { found: usize },
    #[error("the RSA key has an even modulus")]
    RsaModulusEven,
}

/// Why a signature does not count. Every text may be shown to whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error(
        "the signature algorithm is {found}; ECDSA with SHA-256 or SHA-384, Ed25519 and RSA PKCS#1 v1.5 with SHA-256, \
         SHA-384 or SHA-512 are accepted"
    )]
    Algorithm { found: String },
    #[error("the signature does not verify")]
    DoesNotVerify,
    #[error("the signature algorithm is {found}, which a key of type {key} cannot make")]
    ForeignKey { key: KeyType, found: &'static str },
    #[error("the signature algorithm {found} has parameters that do not belong to it")]
    Parameters { found: &'static str },
}

/// The types of keys that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    EcdsaP256,
    EcdsaP384,
    Ed25519,
    Rsa,
}

impl KeyType {
    /// `ecdsa-p256`, `ecdsa-p384`, `ed25519`, `rsa`: a metric label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa => "rsa",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A public key that the policy accepts, in canonical form.
#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    key_type: KeyType,
    /// SubjectPublicKeyInfo.
    der: Vec<u8>,
    /// How many bytes at the end of `der` are the key itself: the contents of the BIT STRING.
    key_bytes: usize,
    hash: PublicKeyHash,
}

impl PublicKey {
    /// From the DER of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), nothing behind it.
    pub fn from_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        let (key_type, key) = check(der)?;
        let hash = digest(&SHA256, der).as_ref().try_into().expect("SHA-256 gives 32 bytes");
        Ok(Self { key_type, der: der.to_vec(), key_bytes: key.len(), hash })
    }

    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// SubjectPublicKeyInfo, canonical.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key itself, without what says its type: the contents of the BIT STRING.
    pub fn key_bits(&self) -> &[u8] {
        &self.der[self.der.len() - self.key_bytes..]
    }

    pub fn hash(&self) -> &PublicKeyHash {
        &self.hash
    }

    /// First 20 bytes of [`hash`](Self::hash): what subject and authority key identifiers are here
    /// (RFC 7093 §2, method 4 cut to the usual length).
    pub fn key_identifier(&self) -> &[u8] {
        &self.hash[..20]
    }

    /// Whether `signature` over `message` was made by this key.
    ///
    /// The costly step, see `benches/ca.rs`. It also finds points that are not on the curve.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let verification = algorithm
            .verification(self.key_type)
            .ok_or(SignatureError::ForeignKey { key: self.key_type, found: algorithm.as_str() })?;
        UnparsedPublicKey::new(verification, self.key_bits())
            .verify(message, signature)
            .map_err(|_| SignatureError::DoesNotVerify)
    }
}

/// The key's type and its bits. What passes is canonical: the reader takes only shortest lengths and
/// integers, and nothing optional is accepted.
fn check(der: &[u8]) -> Result<(KeyType, &[u8]), PublicKeyError> {
    let skeleton = || {
        let mut reader = Reader::new(der);
        let mut spki = reader.enter(der::SEQUENCE)?;
        reader.finish()?;
        let mut algorithm = spki.enter(der::SEQUENCE)?;
        let oid = algorithm.element(der::OBJECT_IDENTIFIER)?.contents;
        let key = spki.bytes_of_bit_string()?;
        spki.finish()?;
        Some((oid, algorithm, key))
    };
    let (oid, parameters, key) = skeleton().ok_or(PublicKeyError::Encoding)?;
    match oid {
        EC_PUBLIC_KEY => {
            let key_type = curve_of(parameters)?;
            let expected = if key_type == KeyType::EcdsaP256 { 65 } else { 97 };
            if key.len() != expected || key[0] != 0x04 {
                return Err(PublicKeyError::Point { expected, found: key.len() });
            }
            Ok((key_type, key))
        }
        ED25519 if parameters.is_at_end() && key.len() == 32 => Ok((KeyType::Ed25519, key)),
        RSA_ENCRYPTION if parameters.rest() == der::NULL => check_rsa(key).map(|()| (KeyType::Rsa, key)),
        ED25519 | RSA_ENCRYPTION => Err(PublicKeyError::Encoding),
        found => Err(PublicKeyError::Algorithm { found: name_of(found) }),
    }
}

/// ECParameters (RFC 5480 §2.1.1): the curve by its name, and nothing else.
pub(super) fn curve_of(mut parameters: Reader<'_>) -> Result<KeyType, PublicKeyError> {
    if parameters.rest().first() == Some(&der::SEQUENCE) {
        return Err(PublicKeyError::CurveExplicit);
    }
    let curve = parameters.element(der::OBJECT_IDENTIFIER).ok_or(PublicKeyError::Encoding)?.contents;
    parameters.finish().ok_or(PublicKeyError::Encoding)?;
    match curve {
        P256 => Ok(KeyType::EcdsaP256),
        P384 => Ok(KeyType::EcdsaP384),
        found => Err(PublicKeyError::Curve { found: name_of(found) }),
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017 §A.1.1)
pub(super) fn check_rsa(key: &[u8]) -> Result<(), PublicKeyError> {
    let numbers = || {
        let mut reader = Reader::new(key);
        let mut numbers = reader.enter(der::SEQUENCE)?;
        reader.finish()?;
        let (modulus, exponent) = (numbers.positive_integer()?, numbers.positive_integer()?);
        numbers.finish()?;
        Some((modulus, exponent))
    };
    let (modulus, exponent) = numbers().ok_or(PublicKeyError::Encoding)?;
    let bits = modulus.len() * 8 - modulus[0].leading_zeros() as usize;
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(PublicKeyError::RsaModulusBits { found: bits });
    }
    if modulus[modulus.len() - 1] & 1 == 0 {
        return Err(PublicKeyError::RsaModulusEven);
    }
    if exponent != RSA_EXPONENT {
        return Err(PublicKeyError::RsaExponent);
    }
    Ok(())
}

/// The signature algorithms that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    EcdsaSha256,
    EcdsaSha384,
    Ed25519,
    RsaSha256,
    RsaSha384,
    RsaSha512,
}

impl SignatureAlgorithm {
    /// From the contents of an AlgorithmIdentifier: the OID's bytes and the DER of the parameters, empty
    /// if there are none. Absent for ECDSA (RFC 5758 §3.2) and Ed25519 (RFC 8410 §3); for RSA NULL or,
    /// as RFC 4055 §5 asks of readers, absent.
    pub fn from_parts(oid: &[u8], parameters: &[u8]) -> Result<Self, SignatureError> {
        let algorithm = match oid {
            ECDSA_SHA256 => Self::EcdsaSha256,
            ECDSA_SHA384 => Self::EcdsaSha384,
            ED25519 => Self::Ed25519,
            RSA_SHA256 => Self::RsaSha256,
            RSA_SHA384 => Self::RsaSha384,
            RSA_SHA512 => Self::RsaSha512,
            found => return Err(SignatureError::Algorithm { found: name_of(found) }),
        };
        let is_rsa = matches!(algorithm, Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512);
        if parameters.is_empty() || is_rsa && parameters == der::NULL {
            Ok(algorithm)
        } else {
            Err(SignatureError::Parameters { found: algorithm.as_str() })
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaSha256 => "ECDSA with SHA-256",
            Self::EcdsaSha384 => "ECDSA with SHA-384",
            Self::Ed25519 => "Ed25519",
            Self::RsaSha256 => "RSA with SHA-256",
            Self::RsaSha384 => "RSA with SHA-384",
            Self::RsaSha512 => "RSA with SHA-512",
        }
    }

    fn verification(self, key_type: KeyType) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (key_type, self) {
            (KeyType::EcdsaP256, Self::EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (KeyType::EcdsaP256, Self::EcdsaSha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (KeyType::EcdsaP384, Self::EcdsaSha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (KeyType::EcdsaP384, Self::EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (KeyType::Ed25519, Self::Ed25519) => &signature::ED25519,
            (KeyType::Rsa, Self::RsaSha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (KeyType::Rsa, Self::RsaSha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (KeyType::Rsa, Self::RsaSha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            _ => return None,
        })
    }
}

/// A name for a person: that of the algorithms which people do send, else the dotted form.
pub(super) fn name_of(oid: &[u8]) -> String {
    /// Longer ones are nobody's; their dotted form would only fill a log line.
    const OID_BYTES_MAX: usize = 32;
    let known = match *oid {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, arc] => match arc {
            0x02 => "RSA with MD2",
            0x04 => "RSA with MD5",
            0x05 => "RSA with SHA-1",
            0x0a => "RSA-PSS",
            0x0e => "RSA with SHA-224",
            _ => "",
        },
        [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01] => "DSA",
        [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03] => "DSA with SHA-1",
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x02] => "DSA with SHA-256",
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => "ECDSA with SHA-1",
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01] => "ECDSA with SHA-224",
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04] => "ECDSA with SHA-512",
        [0x2b, 0x65, 0x71] => "Ed448",
        [0x2b, 0x81, 0x04, 0x00, 0x0a] => "secp256k1",
        [0x2b, 0x81, 0x04, 0x00, 0x21] => "P-224",
        [0x2b, 0x81, 0x04, 0x00, 0x23] => "P-521",
        _ => "",
    };
    if !known.is_empty() {
        known.to_owned()
    } else if oid.is_empty() || oid.len() > OID_BYTES_MAX {
        "unknown".to_owned()
    } else {
        Oid::new(oid.into()).to_id_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_that_people_send_have_names_and_others_their_numbers() {
        for (arcs, name) in [
            (&[1, 2, 840, 113_549, 1, 1, 2][..], "RSA with MD2"),
            (&[1, 2, 840, 113_549, 1, 1, 4], "RSA with MD5"),
            (&[1, 2, 840, 113_549, 1, 1, 5], "RSA with SHA-1"),
            (&[1, 2, 840, 113_549, 1, 1, 10], "RSA-PSS"),
            (&[1, 2, 840, 113_549, 1, 1, 14], "RSA with SHA-224"),
            (&[1, 2, 840, 113_549, 1, 1, 99], "1.2.840.113549.1.1.99"),
            (&[1, 2, 840, 10_040, 4, 1], "DSA"),
            (&[1, 2, 840, 10_040, 4, 3], "DSA with SHA-1"),
            (&[2, 16, 840, 1, 101, 3, 4, 3, 2], "DSA with SHA-256"),
            (&[1, 2, 840, 10_045, 4, 1], "ECDSA with SHA-1"),
            (&[1, 2, 840, 10_045, 4, 3, 1], "ECDSA with SHA-224"),
            (&[1, 2, 840, 10_045, 4, 3, 4], "ECDSA with SHA-512"),
            (&[1, 3, 101, 113], "Ed448"),
            (&[1, 3, 132, 0, 10], "secp256k1"),
            (&[1, 3, 132, 0, 33], "P-224"),
            (&[1, 3, 132, 0, 35], "P-521"),
        ] {
            assert_eq!(name_of(Oid::from(arcs).unwrap().as_bytes()), name);
        }
    }

    #[test]
    fn a_number_that_fills_a_line_is_not_repeated() {
        assert!(name_of(&[0x2a; 32]).starts_with("1.2.42."));
        assert_eq!(name_of(&[0x2a; 33]), "unknown");
        assert_eq!(name_of(&[]), "unknown");
    }
}
