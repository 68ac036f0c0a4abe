//! Private keys in memory: parsed once, signing without locks.

use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use zeroize::Zeroizing;

use super::KeyAlgorithm;
use super::der::{self, Writer};
use super::public_key::{EC_PUBLIC_KEY, ECDSA_SHA256, ECDSA_SHA384, ED25519, P256, P384, RSA_ENCRYPTION, RSA_SHA256};

/// A private key ready to sign. `Sync`: share it, sign from many threads at once.
///
/// It keeps what `ring` keeps and not the PKCS#8 bytes it came from.
pub(super) struct PrivateKey {
    pair: Pair,
    random: SystemRandom,
    /// DER of the AlgorithmIdentifier of its signatures.
    signature_algorithm: Vec<u8>,
}

enum Pair {
    EcdsaP256(EcdsaKeyPair),
    EcdsaP384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// The bytes are no private key of a type that can sign here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidPrivateKey;

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRandomness;

impl PrivateKey {
    /// From PKCS#8 DER, unencrypted. EC keys must carry their public key, as openssl and this service
    /// write them. The bytes are not kept.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, InvalidPrivateKey> {
        let random = SystemRandom::new();
        let p256 = || EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &random);
        let p384 = || EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8, &random);
        let (pair, oid, parameters) = if let Ok(pair) = p256() {
            (Pair::EcdsaP256(pair), ECDSA_SHA256, &[][..])
        } else if let Ok(pair) = p384() {
            (Pair::EcdsaP384(pair), ECDSA_SHA384, &[][..])
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            (Pair::Ed25519(pair), ED25519, &[][..]) // openssl leaves the public half out
        } else if let Ok(pair) = RsaKeyPair::from_pkcs8(pkcs8) {
            (Pair::Rsa(pair), RSA_SHA256, der::NULL)
        } else {
            return Err(InvalidPrivateKey);
        };
        Ok(Self { pair, random, signature_algorithm: algorithm_identifier(oid, parameters) })
    }

    /// PKCS#8 DER of a new key.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Zeroizing<Vec<u8>>, NoRandomness> {
        let random = SystemRandom::new();
        let document = match algorithm {
            KeyAlgorithm::EcdsaP256 => {
                EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            }
            KeyAlgorithm::EcdsaP384 => {
                EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, &random)
            }
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
        };
        document.map(|document| Zeroizing::new(document.as_ref().to_vec())).map_err(|_| NoRandomness)
    }

    /// DER of the SubjectPublicKeyInfo, canonical.
    pub fn public_key_der(&self) -> Vec<u8> {
        let named_curve = |curve| Writer::collect(|writer| writer.element(der::OBJECT_IDENTIFIER, curve));
        let (algorithm, key) = match &self.pair {
            Pair::EcdsaP256(pair) => {
                (algorithm_identifier(EC_PUBLIC_KEY, &named_curve(P256)), pair.public_key().as_ref())
            }
            Pair::EcdsaP384(pair) => {
                (algorithm_identifier(EC_PUBLIC_KEY, &named_curve(P384)), pair.public_key().as_ref())
            }
            Pair::Ed25519(pair) => (algorithm_identifier(ED25519, &[]), pair.public_key().as_ref()),
            Pair::Rsa(pair) => (algorithm_identifier(RSA_ENCRYPTION, der::NULL), pair.public_key().as_ref()),
        };
        Writer::collect(|writer| {
            writer.nested(der::SEQUENCE, |spki| {
                spki.raw(&algorithm);
                spki.bit_string(key);
            });
        })
    }

    /// DER of the AlgorithmIdentifier of what [`sign`](Self::sign) makes: SHA-384 for P-384, SHA-256 for P-256 and RSA.
    pub fn signature_algorithm(&self) -> &[u8] {
        &self.signature_algorithm
    }

    /// The contents of the signature's BIT STRING.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        match &self.pair {
            Pair::EcdsaP256(pair) | Pair::EcdsaP384(pair) => {
                pair.sign(&self.random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| NoRandomness)
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &self.random, message, &mut signature)
                    .map_err(|_| NoRandomness)?;
                Ok(signature)
            }
        }
    }

    /// `SEQUENCE { contents, signatureAlgorithm, signature }`: the frame of certificates and of CSRs.
    /// `contents` is one whole element.
    pub fn sign_in_frame(&self, contents: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let signature = self.sign(contents)?;
        let mut writer = Writer::with_capacity(contents.len() + signature.len() + 32);
        writer.nested(der::SEQUENCE, |frame| {
            frame.raw(contents);
            frame.raw(&self.signature_algorithm);
            frame.bit_string(&signature);
        });
        Ok(writer.into_bytes())
    }
}

fn algorithm_identifier(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
    Writer::collect(|writer| {
        writer.nested(der::SEQUENCE, |identifier| {
            identifier.element(der::OBJECT_IDENTIFIER, oid);
            identifier.raw(parameters);
        });
    })
}
