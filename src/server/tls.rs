//! TLS on the listeners: what is spoken, and with which certificate.
//!
//! TLS 1.3 and 1.2, with the suites and key exchanges of [`crate::tls_provider`]; of suites the server's
//! order counts. No tickets and no session storage: a device comes once, and resumption
//! would save its server next to nothing. ALPN offers `http/1.1` and nothing else.
//!
//! On the enrollment listener a client certificate is asked for and never required, without hints
//! at CAs. The handshake proves that the client holds its private key and *nothing else*: whether
//! the certificate means anything is for the handler to find out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, InconsistentKeys, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::Timestamp;
use crate::domain::TrustPin;
use crate::tls_provider;

/// Whether a listener wants to see a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Asked for, never required, any accepted whose private key the client holds.
    Asked,
    NotAsked,
}

/// What a listener speaks, with the certificate that stands in `slot` at the time of a handshake.
///
/// # Errors
/// When the provider lacks what is asked of it: a defect of the build.
pub fn server_config(
    slot: Arc<CertificateSlot>,
    client_certificates: ClientCertificates,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = tls_provider::provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match client_certificates {
        ClientCertificates::Asked => builder.with_client_cert_verifier(Arc::new(ProofOfPossession { algorithms })),
        ClientCertificates::NotAsked => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(slot);
    config.ignore_client_order = true;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificate that a listener shows, whatever name the client asks for. Can be replaced while
/// the listener runs: handshakes that begin afterwards get the new one.
pub struct CertificateSlot(ArcSwap<ServerCertificate>);

impl CertificateSlot {
    pub fn new(certificate: ServerCertificate) -> Self {
        Self(ArcSwap::from_pointee(certificate))
    }

    pub fn replace(&self, certificate: ServerCertificate) {
        self.0.store(Arc::new(certificate));
    }

    pub fn current(&self) -> Arc<ServerCertificate> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for CertificateSlot {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}

impl fmt::Debug for CertificateSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CertificateSlot").field(&self.0.load().not_after).finish()
    }
}

/// A chain with the private key of its first certificate, checked to belong together.
pub struct ServerCertificate {
    key: Arc<CertifiedKey>,
    pin: TrustPin,
    not_after: Timestamp,
    chain_not_after: Timestamp,
}

/// Why a chain and a private key cannot be served. Alphabetical.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{what}: certificate {place} of the chain cannot be read (1 is the first): {reason}")]
    BadCertificate { what: String, place: usize, reason: String },
    #[error("{what}: not PEM: {reason}")]
    BadPem { what: String, reason: String },
    #[error(
        "{what}: the private key is encrypted; give it without a passphrase, in a file that only the service reads"
    )]
    EncryptedKey { what: String },
    #[error("the private key does not belong to the chain's first certificate{}", .belongs_to.map_or_else(String::new, |place| format!("; it belongs to number {place}, and the leaf must come first")))]
    KeyMismatch { belongs_to: Option<usize> },
    #[error("{what}: no certificate in it (-----BEGIN CERTIFICATE----- was expected)")]
    NoCertificate { what: String },
    #[error("{what}: no private key in it (-----BEGIN PRIVATE KEY----- was expected)")]
    NoKey { what: String },
    #[error("{path}: {source}", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{what}: the private key is of a kind that cannot be served with; P-256, P-384, Ed25519 and RSA can")]
    UnsupportedKey { what: String },
}

impl ServerCertificate {
    /// Reads a chain (PEM, leaf first, other blocks ignored) and a private key (PEM: PKCS#8, PKCS#1
    /// or SEC1). Both may be one file. Blocks on the file system.
    ///
    /// # Errors
    /// Any [`CertificateError`]; each names the file it is about.
    pub fn from_pem_files(chain: &Path, private_key: &Path) -> Result<Self, CertificateError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
        };
        let key_pem = zeroize::Zeroizing::new(read(private_key)?);
        Self::from_named_pem(
            (&chain.display().to_string(), &read(chain)?),
            (&private_key.display().to_string(), &key_pem),
        )
    }

    /// The same from texts in memory.
    ///
    /// # Errors
    /// As [`Self::from_pem_files`], but for reading.
    pub fn from_pem(chain: &[u8], private_key: &[u8]) -> Result<Self, CertificateError> {
        Self::from_named_pem(("the chain", chain), ("the private key", private_key))
    }

    /// From DER: the chain, leaf first, and the leaf's private key as PKCS#8.
    ///
    /// # Errors
    /// As [`Self::from_pem_files`], but for reading and PEM.
    pub fn from_der(chain: Vec<Vec<u8>>, private_key: &[u8]) -> Result<Self, CertificateError> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::try_from(private_key)
            .map_err(|_| CertificateError::UnsupportedKey { what: "the private key".to_owned() })?;
        Self::new("the chain", chain, "the private key", &key)
    }

    fn from_named_pem(chain: (&str, &[u8]), private_key: (&str, &[u8])) -> Result<Self, CertificateError> {
        let (chain_name, chain_pem) = chain;
        let (key_name, key_pem) = private_key;
        let bad_pem = |what: &str, error: &pem::Error| CertificateError::BadPem {
            what: what.to_owned(),
            reason: error.to_string(),
        };
        let certificates = CertificateDer::pem_slice_iter(chain_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad_pem(chain_name, &error))?;
        let key = match PrivateKeyDer::from_pem_slice(key_pem) {
            Ok(_) if is_legacy_encrypted(key_pem) => {
                return Err(CertificateError::EncryptedKey { what: key_name.to_owned() });
            }
            Ok(key) => key,
            Err(_) if is_encrypted(key_pem) => {
                return Err(CertificateError::EncryptedKey { what: key_name.to_owned() });
            }
            Err(pem::Error::NoItemsFound) => return Err(CertificateError::NoKey { what: key_name.to_owned() }),
            Err(error) => return Err(bad_pem(key_name, &error)),
        };
        Self::new(chain_name, certificates, key_name, &key)
    }

    fn new(
        chain_name: &str,
        chain: Vec<CertificateDer<'static>>,
        key_name: &str,
        private_key: &PrivateKeyDer<'_>,
    ) -> Result<Self, CertificateError> {
        let parsed = chain.iter().enumerate().map(|(index, der)| {
            parse(der).map_err(|reason| CertificateError::BadCertificate {
                what: chain_name.to_owned(),
                place: index + 1,
                reason,
            })
        });
        let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
        let (Some(leaf), Some(last)) = (parsed.first(), parsed.last()) else {
            return Err(CertificateError::NoCertificate { what: chain_name.to_owned() });
        };
        let pin = if last.is_ca() { TrustPin::of_public_key(last.public_key().raw) } else { TrustPin::NONE };
        let end = |certificate: &X509Certificate<'_>| {
            Timestamp::from_unix_seconds(certificate.validity().not_after.timestamp())
        };
        let not_after = end(leaf);
        let chain_not_after = parsed.iter().map(end).fold(not_after, Ord::min);

        let signing_key = tls_provider::signing_key(private_key)
            .map_err(|_| CertificateError::UnsupportedKey { what: key_name.to_owned() })?;
        let spki = signing_key.public_key();
        let belongs_to =
            spki.and_then(|spki| parsed.iter().position(|certificate| certificate.public_key().raw == spki.as_ref()));
        drop(parsed);
        let key = CertifiedKey::new(chain, signing_key);
        match key.keys_match() {
            // A key that cannot tell its public half is taken at its word; no provider of ours has one.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(_) => {
                return Err(CertificateError::KeyMismatch { belongs_to: belongs_to.map(|index| index + 1) });
            }
        }
        Ok(Self { key: Arc::new(key), pin, not_after, chain_not_after })
    }

    /// What new key strings tell a device to trust: the public key of the chain's last certificate
    /// if that is a CA, else [`TrustPin::NONE`].
    pub fn pin(&self) -> TrustPin {
        self.pin
    }

    /// End of the leaf.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// When the first of the chain ends.
    pub fn chain_not_after(&self) -> Timestamp {
        self.chain_not_after
    }

    /// DER, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(format!("{} bytes after its end", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

/// PKCS#8 with a passphrase, RFC 5958 §3.
fn is_encrypted(pem: &[u8]) -> bool {
    contains(pem, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || is_legacy_encrypted(pem)
}

/// OpenSSL's older form: a header inside the block, RFC 1421 §4.6.1.1.
fn is_legacy_encrypted(pem: &[u8]) -> bool {
    contains(pem, b"Proc-Type: 4,ENCRYPTED")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Takes any client certificate whose private key signed the handshake.
#[derive(Debug)]
struct ProofOfPossession {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for ProofOfPossession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    struct Chain {
        leaf_pem: String,
        ca_pem: String,
        leaf_key: KeyPair,
        ca_key: KeyPair,
    }

    fn chain() -> Chain {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::from_params(&ca, &ca_key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf_pem = leaf.signed_by(&leaf_key, &issuer).unwrap().pem();
        Chain { leaf_pem, ca_pem, leaf_key, ca_key }
    }

    #[test]
    fn the_pin_is_that_of_the_last_certificate_if_it_is_a_ca() {
        let Chain { leaf_pem, ca_pem, leaf_key, ca_key } = chain();
        let key = leaf_key.serialize_pem();
        let whole = ServerCertificate::from_pem(format!("{leaf_pem}{ca_pem}").as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(whole.pin(), TrustPin::of_public_key(&rcgen::PublicKeyData::subject_public_key_info(&ca_key)));
        assert_eq!(whole.chain().len(), 2);
        let alone = ServerCertificate::from_pem(leaf_pem.as_bytes(), key.as_bytes()).unwrap();
        assert!(alone.pin().is_none());
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let Chain { leaf_pem, ca_pem, leaf_key, ca_key } = chain();
        let key = leaf_key.serialize_pem();
        let load =
            |chain: &str, key: &str| ServerCertificate::from_pem(chain.as_bytes(), key.as_bytes()).err().unwrap();

        assert!(matches!(load("", &key), CertificateError::NoCertificate { .. }));
        assert!(matches!(load(&key, &key), CertificateError::NoCertificate { .. }));
        assert!(matches!(load(&leaf_pem, &leaf_pem), CertificateError::NoKey { .. }));
        assert!(matches!(load(&leaf_pem, ""), CertificateError::NoKey { .. }));
        let foreign = KeyPair::generate().unwrap().serialize_pem();
        assert!(matches!(load(&leaf_pem, &foreign), CertificateError::KeyMismatch { belongs_to: None }));
        let swapped = format!("{ca_pem}{leaf_pem}");
        assert!(matches!(load(&swapped, &key), CertificateError::KeyMismatch { belongs_to: Some(2) }));
        let of_the_ca = load(&format!("{leaf_pem}{ca_pem}"), &ca_key.serialize_pem()).to_string();
        assert!(of_the_ca.ends_with("it belongs to number 2, and the leaf must come first"), "{of_the_ca}");

        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert!(matches!(load(&leaf_pem, &encrypted), CertificateError::EncryptedKey { .. }));
        let legacy = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
                      -----END EC PRIVATE KEY-----\n";
        assert!(matches!(load(&leaf_pem, legacy), CertificateError::EncryptedKey { .. }));

        let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            load(&format!("{leaf_pem}{not_der}"), &key),
            CertificateError::BadCertificate { place: 2, .. }
        ));
        let cut = &leaf_pem[..leaf_pem.len() / 2];
        assert!(matches!(load(cut, &key), CertificateError::BadPem { .. }));
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chain.pem");
        let error = ServerCertificate::from_pem_files(&path, &path).err().unwrap().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    }
}
