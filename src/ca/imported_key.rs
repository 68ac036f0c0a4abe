//! Private keys that operators bring: the PEM forms that their tools write, to the one form that is kept.

use zeroize::Zeroizing;

use super::chain::AuthorityChain;
use super::der::{self, Reader, Writer};
use super::pem::{self, PemError};
use super::public_key::{self, EC_PUBLIC_KEY, ED25519, KeyType, P256, P384, PublicKey, PublicKeyError, RSA_ENCRYPTION};
use super::signer::PrivateKey;

/// More than the PKCS#8 of an RSA key of 4096 bits takes. A Vec that grows would leave key bytes behind.
const PKCS8_BYTES_MAX: usize = 4 * 1024;

/// A private key that parsed; whose it is, [`AuthorityChain::private_key`] finds out. Wiped when
/// dropped. No `Debug`.
pub struct ImportedKey {
    form: Form,
}

enum Form {
    /// The scalar, as long as the curve's field. A public half beside it is not looked at: the certificate has it.
    Ec { curve: KeyType, scalar: Zeroizing<Vec<u8>> },
    /// The seed, 32 bytes.
    Ed25519 { seed: Zeroizing<Vec<u8>> },
    /// DER of the RSAPrivateKey (RFC 8017 §A.1.2).
    Rsa { key: Zeroizing<Vec<u8>> },
}

/// Why a text is no private key that can sign here. Says it without a subject; may be shown to whoever
/// sent it, as it repeats nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportedKeyError {
    #[error("is encrypted; send it unencrypted over this connection, it is sealed before it is stored")]
    Encrypted,
    #[error("has a PEM block {found:?}; expected PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY")]
    Label { found: String },
    #[error("is not a private key in DER inside its PEM block")]
    Malformed,
    #[error("has {found} PEM blocks; one private key was expected")]
    NotOne { found: usize },
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("is of no use: {0}")]
    PublicKey(#[from] PublicKeyError),
    #[error("is an RSA key whose numbers do not belong together")]
    Rsa,
}

/// The private key is not that of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("does not belong to the certificate")]
pub struct PrivateKeyForeign;

impl ImportedKey {
    /// From one unencrypted PEM block: `PRIVATE KEY` (PKCS#8, RFC 5958), `EC PRIVATE KEY` (RFC 5915; an
    /// `EC PARAMETERS` block may stand in front, as `openssl ecparam` writes it) or `RSA PRIVATE KEY` (RFC 8017).
    /// P-256, P-384, Ed25519, RSA of 2048 to 4096 bits with exponent 65537.
    ///
    /// # Errors
    /// The first fault; all are the sender's to mend.
    pub fn from_pem(text: &str) -> Result<Self, ImportedKeyError> {
        let blocks = pem::blocks(text)?;
        let block = match blocks.as_slice() {
            [block] => block,
            [parameters, block] if parameters.label == "EC PARAMETERS" && block.label == "EC PRIVATE KEY" => block,
            _ => return Err(ImportedKeyError::NotOne { found: blocks.len() }),
        };
        let read = match block.label {
            "PRIVATE KEY" => Self::from_pkcs8,
            "EC PRIVATE KEY" => |der: &[u8]| Self::from_sec1(der, None),
            "RSA PRIVATE KEY" => Self::from_pkcs1,
            "ENCRYPTED PRIVATE KEY" => return Err(ImportedKeyError::Encrypted),
            label => return Err(ImportedKeyError::Label { found: label.chars().take(40).collect() }),
        };
        // RFC 1421 §4.6: how the older two forms say that they are encrypted.
        if block.body.contains("ENCRYPTED") && block.body.contains(':') {
            return Err(ImportedKeyError::Encrypted);
        }
        read(&pem::decode_secret_base64(block.body).ok_or(ImportedKeyError::Malformed)?)
    }

    /// OneAsymmetricKey: attributes and a public key behind the private one are stepped over.
    fn from_pkcs8(der: &[u8]) -> Result<Self, ImportedKeyError> {
        let skeleton = || {
            let mut outside = Reader::new(der);
            let mut info = outside.enter(der::SEQUENCE)?;
            outside.finish()?;
            info.element(der::INTEGER).filter(|version| matches!(version.contents, [0 | 1]))?;
            let mut algorithm = info.enter(der::SEQUENCE)?;
            let oid = algorithm.element(der::OBJECT_IDENTIFIER)?.contents;
            let key = info.element(der::OCTET_STRING)?.contents;
            Some((oid, algorithm, key))
        };
        let (oid, parameters, key) = skeleton().ok_or(ImportedKeyError::Malformed)?;
        match oid {
            EC_PUBLIC_KEY => Self::from_sec1(key, Some(public_key::curve_of(parameters)?)),
            ED25519 => {
                let mut outside = Reader::new(key);
                let seed = outside.element(der::OCTET_STRING).filter(|seed| seed.contents.len() == 32);
                let seed = seed.filter(|_| outside.is_at_end()).ok_or(ImportedKeyError::Malformed)?;
                Ok(Self { form: Form::Ed25519 { seed: Zeroizing::new(seed.contents.to_vec()) } })
            }
            RSA_ENCRYPTION => Self::from_pkcs1(key),
            found => Err(PublicKeyError::Algorithm { found: public_key::name_of(found) }.into()),
        }
    }

    /// ECPrivateKey. `curve`: what stands around it, if it says so itself too.
    fn from_sec1(der: &[u8], curve: Option<KeyType>) -> Result<Self, ImportedKeyError> {
        let skeleton = || {
            let mut outside = Reader::new(der);
            let mut key = outside.enter(der::SEQUENCE)?;
            outside.finish()?;
            key.element(der::INTEGER).filter(|version| version.contents == [1])?;
            let scalar = key.element(der::OCTET_STRING)?.contents;
            let has_parameters = key.rest().first() == Some(&der::context_constructed(0));
            let parameters = if has_parameters { Some(key.enter(der::context_constructed(0))?) } else { None };
            Some((scalar, parameters))
        };
        let (scalar, parameters) = skeleton().ok_or(ImportedKeyError::Malformed)?;
        let own = parameters.map(public_key::curve_of).transpose()?;
        let curve = match (own, curve) {
            (Some(own), Some(around)) if own != around => return Err(ImportedKeyError::Malformed),
            (own, around) => own.or(around).ok_or(ImportedKeyError::Malformed)?,
        };
        let expected = if curve == KeyType::EcdsaP256 { 32 } else { 48 };
        if scalar.len() != expected {
            return Err(ImportedKeyError::Malformed);
        }
        Ok(Self { form: Form::Ec { curve, scalar: Zeroizing::new(scalar.to_vec()) } })
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, ImportedKeyError> {
        let skeleton = || {
            let mut outside = Reader::new(der);
            let mut key = outside.enter(der::SEQUENCE)?;
            outside.finish()?;
            key.element(der::INTEGER).filter(|version| version.contents == [0])?;
            let (modulus, exponent) = (key.element(der::INTEGER)?, key.element(der::INTEGER)?);
            Some([modulus.raw, exponent.raw].concat())
        };
        let numbers = skeleton().ok_or(ImportedKeyError::Malformed)?;
        let public = Writer::collect(|writer| writer.nested(der::SEQUENCE, |both| both.raw(&numbers)));
        public_key::check_rsa(&public)?;
        let form = Form::Rsa { key: Zeroizing::new(der.to_vec()) };
        if PrivateKey::from_pkcs8(&form.pkcs8(&[])).is_err() {
            return Err(ImportedKeyError::Rsa);
        }
        Ok(Self { form })
    }
}

impl AuthorityChain {
    /// PKCS#8 DER of the CA's private key, as [`Issuer`](super::Issuer) takes it.
    ///
    /// # Errors
    /// `key` is another's.
    pub fn private_key(&self, key: &ImportedKey) -> Result<Zeroizing<Vec<u8>>, PrivateKeyForeign> {
        let public_key: &PublicKey = &self.authority().public_key;
        let pkcs8 = key.form.pkcs8(public_key.key_bits());
        // An EC key that is not that of the point put beside it is refused by the parser.
        match PrivateKey::from_pkcs8(&pkcs8) {
            Ok(parsed) if parsed.public_key_der() == public_key.der() => Ok(pkcs8),
            _ => Err(PrivateKeyForeign),
        }
    }
}

impl Form {
    /// PrivateKeyInfo of version 0. `public_key`: the point that stands beside an EC scalar.
    fn pkcs8(&self, public_key: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::with_capacity(PKCS8_BYTES_MAX);
        writer.nested(der::SEQUENCE, |info| {
            info.element(der::INTEGER, &[0]);
            info.nested(der::SEQUENCE, |algorithm| match self {
                Self::Ec { curve, .. } => {
                    algorithm.element(der::OBJECT_IDENTIFIER, EC_PUBLIC_KEY);
                    let curve = if *curve == KeyType::EcdsaP256 { P256 } else { P384 };
                    algorithm.element(der::OBJECT_IDENTIFIER, curve);
                }
                Self::Ed25519 { .. } => algorithm.element(der::OBJECT_IDENTIFIER, ED25519),
                Self::Rsa { .. } => {
                    algorithm.element(der::OBJECT_IDENTIFIER, RSA_ENCRYPTION);
                    algorithm.raw(der::NULL);
                }
            });
            info.nested(der::OCTET_STRING, |key| match self {
                Self::Ec { scalar, .. } => key.nested(der::SEQUENCE, |ec| {
                    ec.element(der::INTEGER, &[1]);
                    ec.element(der::OCTET_STRING, scalar);
                    ec.nested(der::context_constructed(1), |public| public.bit_string(public_key));
                }),
                Self::Ed25519 { seed } => key.element(der::OCTET_STRING, seed),
                Self::Rsa { key: rsa } => key.raw(rsa),
            });
        });
        Zeroizing::new(writer.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::ca::{AuthoritySubject, KeyAlgorithm, NewAuthority, make_root};
    use crate::clock::Timestamp;
    use crate::id::{CustomerId, Id as _};

    fn authority(algorithm: KeyAlgorithm) -> (AuthorityChain, NewAuthority) {
        let subject = AuthoritySubject { common_name: "CA", customer_id: CustomerId::from_raw(7), customer_name: "X" };
        let made = make_root(&subject, algorithm, 100, Timestamp::from_unix_seconds(1_800_000_000)).unwrap();
        (AuthorityChain::new(&made.certificate, &[]).unwrap(), made)
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn refused(text: &str) -> ImportedKeyError {
        ImportedKey::from_pem(text).err().unwrap()
    }

    /// ECPrivateKey (RFC 5915) of a curve and a scalar, each as given, without its public half.
    fn sec1(curve: Option<&[u8]>, scalar: &[u8]) -> Vec<u8> {
        Writer::collect(|writer| {
            writer.nested(der::SEQUENCE, |key| {
                key.element(der::INTEGER, &[1]);
                key.element(der::OCTET_STRING, scalar);
                if let Some(curve) = curve {
                    key.nested(der::context_constructed(0), |inside| inside.element(der::OBJECT_IDENTIFIER, curve));
                }
            });
        })
    }

    #[test]
    fn keys_made_here_come_back_and_belong_to_their_certificate_only() {
        let algorithms = [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519];
        let authorities: Vec<_> = algorithms.iter().chain(&algorithms).map(|&one| authority(one)).collect();
        for (number, (_, made)) in authorities.iter().enumerate() {
            let key = ImportedKey::from_pem(&pem("PRIVATE KEY", &made.private_key)).unwrap();
            for (other, (chain, _)) in authorities.iter().enumerate() {
                let private_key = chain.private_key(&key);
                assert_eq!(private_key.is_ok(), number == other, "{number} {other}");
                if let Ok(private_key) = private_key {
                    let parsed = PrivateKey::from_pkcs8(&private_key).ok().unwrap();
                    assert_eq!(parsed.public_key_der(), chain.authority().public_key.der());
                }
            }
        }
    }

    #[test]
    fn an_ec_key_needs_its_curve_once_and_its_public_half_never() {
        let (chain, made) = authority(KeyAlgorithm::EcdsaP256);
        let scalar = &made.private_key[36..68];
        let accepted = pem("EC PRIVATE KEY", &sec1(Some(P256), scalar));
        assert!(chain.private_key(&ImportedKey::from_pem(&accepted).unwrap()).is_ok());
        let behind_parameters = pem("EC PARAMETERS", P256) + &accepted;
        assert!(chain.private_key(&ImportedKey::from_pem(&behind_parameters).unwrap()).is_ok());

        assert_eq!(refused(&pem("EC PRIVATE KEY", &sec1(None, scalar))), ImportedKeyError::Malformed);
        assert_eq!(refused(&pem("EC PRIVATE KEY", &sec1(Some(P384), scalar))), ImportedKeyError::Malformed);
        for length in [31, 33] {
            let text = pem("EC PRIVATE KEY", &sec1(Some(P256), &vec![1; length]));
            assert_eq!(refused(&text), ImportedKeyError::Malformed, "{length}");
        }
        let curve = refused(&pem("EC PRIVATE KEY", &sec1(Some(&[0x2b, 0x81, 0x04, 0x00, 0x0a]), scalar)));
        assert_eq!(curve, PublicKeyError::Curve { found: "secp256k1".into() }.into());
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let (_, made) = authority(KeyAlgorithm::Ed25519);
        for length in 0..made.private_key.len() {
            assert_eq!(
                refused(&pem("PRIVATE KEY", &made.private_key[..length])),
                ImportedKeyError::Malformed,
                "{length}"
            );
        }
        let longer = [&made.private_key[..], &[0]].concat();
        assert_eq!(refused(&pem("PRIVATE KEY", &longer)), ImportedKeyError::Malformed);
        let text = pem("PRIVATE KEY", &made.private_key);
        assert_eq!(refused(&text.repeat(2)), ImportedKeyError::NotOne { found: 2 });
        assert_eq!(refused(" "), ImportedKeyError::NotOne { found: 0 });
        assert_eq!(refused(&pem("ENCRYPTED PRIVATE KEY", b"x")), ImportedKeyError::Encrypted);
        let headers = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAA==\n-----END RSA PRIVATE KEY-----";
        assert_eq!(refused(headers), ImportedKeyError::Encrypted);
        assert!(matches!(refused(&pem("CERTIFICATE", b"x")), ImportedKeyError::Label { .. }));
    }
}
