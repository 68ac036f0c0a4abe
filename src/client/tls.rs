//! Whom a client trusts, as a TLS configuration.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::domain::TrustPin;
use crate::tls_provider;

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// These anchors and nothing else; not empty.
    Anchors(Vec<CertificateDer<'static>>),
    /// The CA in the presented chain whose public key has this hash. Not [`TrustPin::NONE`].
    Pin(TrustPin),
    /// The roots of the operating system.
    System,
}

impl Trust {
    /// What a key string says: its pin, else the system's roots.
    pub fn of_pin(pin: TrustPin) -> Self {
        if pin.is_none() { Self::System } else { Self::Pin(pin) }
    }

    /// Anchors from a text of PEM certificates.
    ///
    /// # Errors
    /// When a block is broken, or none is a certificate.
    pub fn from_pem(pem: &str) -> Result<Self, TrustError> {
        let anchors: Vec<_> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| TrustError::NotPem)?;
        if anchors.is_empty() { Err(TrustError::NotPem) } else { Ok(Self::Anchors(anchors)) }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("is no PEM file with certificates")]
    NotPem,
    #[error("holds a certificate that cannot be an anchor: {0}")]
    Anchor(#[source] rustls::Error),
    #[error("the certificate cannot be shown: {0}")]
    Identity(#[source] rustls::Error),
    #[error("this system has no root certificates; name a file with the CA instead")]
    NoSystemRoots,
}

/// Whom a client shows itself to be: a certificate and its private key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub private_key: PrivateKeyDer<'static>,
}

/// TLS 1.3 and 1.2, no client certificate, no resumption: each connection proves itself.
///
/// # Errors
/// When the anchors cannot be used, or the system has none. Blocking: reads the system's roots.
pub fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, TrustError> {
    configure(trust, None)
}

/// The same with a client certificate for the server that asks for one. Issuers are not sent: who asks knows them.
///
/// # Errors
/// As [`client_config`]; [`TrustError::Identity`] when the key is not the certificate's or of no use to TLS.
pub fn client_config_of(trust: &Trust, identity: Identity) -> Result<Arc<ClientConfig>, TrustError> {
    configure(trust, Some(identity))
}

fn configure(trust: &Trust, identity: Option<Identity>) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = tls_provider::provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3");
    let builder = match trust {
        Trust::Anchors(anchors) => {
            let mut roots = RootCertStore::empty();
            for anchor in anchors {
                roots.add(anchor.clone()).map_err(TrustError::Anchor)?;
            }
            builder.with_root_certificates(roots)
        }
        Trust::Pin(pin) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(PinVerifier { pin: *pin, provider }))
        }
        Trust::System => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TrustError::NoSystemRoots);
            }
            builder.with_root_certificates(roots)
        }
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, private_key }) => {
            builder.with_client_auth_cert(vec![certificate], private_key).map_err(TrustError::Identity)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// No CA certificate in the chain has the pinned public key.
#[derive(Debug, thiserror::Error)]
#[error("the server shows no CA with the public key that the provisioning key names")]
pub struct PinNotShown;

/// Trusts what a pinned CA vouches for.
///
/// The pin only chooses the anchor. Everything else is the ordinary path validation of rustls-webpki
/// (RFC 5280 §6): signatures, validity, name constraints, serverAuth, and the server's name. A pinned
/// leaf is therefore no anchor, and a CA that is expired itself is refused, which RFC 5280 leaves
/// open for anchors.
#[derive(Debug)]
struct PinVerifier {
    pin: TrustPin,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    /// The pinned CA, as the only root. Several certificates can hold its key while the anchor rolls.
    fn anchors(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let mut refused = CertificateError::Other(OtherError(Arc::new(PinNotShown)));
        for der in chain {
            let Ok((_, certificate)) = X509Certificate::from_der(der) else { continue };
            if !is_ca(&certificate) || TrustPin::of_public_key(certificate.public_key().raw) != self.pin {
                continue;
            }
            match check_validity(&certificate, now) {
                Ok(()) => roots.add(der.clone().into_owned())?,
                Err(error) => refused = error,
            }
        }
        if roots.is_empty() { Err(refused.into()) } else { Ok(roots) }
    }
}

/// RFC 5280 §4.2.1.9, and §4.2.1.3 where a key usage is given.
fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    let says_ca = matches!(certificate.basic_constraints(), Ok(Some(constraints)) if constraints.value.ca);
    let may_sign = match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    says_ca && may_sign
}

fn check_validity(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < certificate.validity().not_before.timestamp() {
        Err(CertificateError::NotValidYet)
    } else if now > certificate.validity().not_after.timestamp() {
        Err(CertificateError::Expired)
    } else {
        Ok(())
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots = self.anchors(intermediates, now)?;
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, intermediates, now, algorithms)?;
        verify_server_name(&leaf, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
        PublicKeyData as _,
    };
    use rustls::crypto::ring;
    use rustls::{ClientConnection, HandshakeKind, NamedGroup, ServerConfig, ServerConnection};
    use time::{Duration, OffsetDateTime};

    use super::*;

    struct Chain {
        leaf: CertificateDer<'static>,
        ca: CertificateDer<'static>,
        leaf_pin: TrustPin,
        ca_pin: TrustPin,
    }

    /// A CA and below it a leaf for `enroll.example.com`; `change` bends the two before signing.
    fn chain(change: impl FnOnce(&mut CertificateParams, &mut CertificateParams)) -> Chain {
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut leaf = CertificateParams::new(["enroll.example.com".to_owned()]).unwrap();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut ca, &mut leaf);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = leaf.signed_by(&leaf_key, &ca).unwrap();
        Chain {
            leaf: leaf.der().clone(),
            ca: ca.der().clone(),
            leaf_pin: TrustPin::of_public_key(&leaf_key.subject_public_key_info()),
            ca_pin: TrustPin::of_public_key(&ca.key().subject_public_key_info()),
        }
    }

    fn verify(
        pin: TrustPin,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        host: &str,
    ) -> Result<(), CertificateError> {
        let verifier = PinVerifier { pin, provider: tls_provider::provider() };
        let name = ServerName::try_from(host).unwrap();
        match verifier.verify_server_cert(leaf, above, &name, &[], UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }

    fn is_pin_not_shown(result: &Result<(), CertificateError>) -> bool {
        matches!(result, Err(CertificateError::Other(OtherError(error))) if error.is::<PinNotShown>())
    }

    const HOST: &str = "enroll.example.com";

    #[test]
    fn a_chain_below_the_pinned_ca_is_trusted() {
        let chain = chain(|_, _| {});
        assert_eq!(verify(chain.ca_pin, &chain.leaf, &[chain.ca], HOST), Ok(()));
    }

    #[test]
    fn another_cas_pin_is_refused_also_when_the_chain_is_whole() {
        let (chain, other) = (chain(|_, _| {}), chain(|_, _| {}));
        assert!(is_pin_not_shown(&verify(other.ca_pin, &chain.leaf, std::slice::from_ref(&chain.ca), HOST)));
        // The pinned CA is shown and has the issuer's name, but it did not sign the leaf; the CA that
        // did stands beside it and is no anchor.
        let refused = verify(other.ca_pin, &chain.leaf, &[chain.ca, other.ca], HOST);
        assert_eq!(refused, Err(CertificateError::BadSignature));
    }

    #[test]
    fn a_chain_that_leaves_the_pinned_ca_out_is_refused() {
        let chain = chain(|_, _| {});
        assert!(is_pin_not_shown(&verify(chain.ca_pin, &chain.leaf, &[], HOST)));
    }

    #[test]
    fn a_pinned_leaf_is_no_anchor() {
        let chain = chain(|_, _| {});
        let again = [chain.leaf.clone(), chain.ca];
        assert!(is_pin_not_shown(&verify(chain.leaf_pin, &chain.leaf, &again, HOST)));
    }

    #[test]
    fn a_certificate_without_the_ca_flag_is_no_anchor() {
        for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
            let chain = chain(|ca, _| ca.is_ca = is_ca);
            assert!(is_pin_not_shown(&verify(chain.ca_pin, &chain.leaf, &[chain.ca], HOST)));
        }
        let chain = chain(|ca, _| ca.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
        assert!(is_pin_not_shown(&verify(chain.ca_pin, &chain.leaf, &[chain.ca], HOST)));
    }

    #[test]
    fn another_name_is_refused() {
        let chain = chain(|_, _| {});
        for host in ["example.com", "x.enroll.example.com", "192.0.2.7"] {
            let refused = verify(chain.ca_pin, &chain.leaf, std::slice::from_ref(&chain.ca), host);
            assert!(matches!(refused, Err(CertificateError::NotValidForNameContext { .. })), "{host}: {refused:?}");
        }
    }

    #[test]
    fn validity_counts_for_the_leaf_and_for_the_pinned_ca() {
        let now = OffsetDateTime::now_utc();
        let past = (now - Duration::days(9), now - Duration::days(1));
        let future = (now + Duration::days(1), now + Duration::days(9));
        let set = |params: &mut CertificateParams, (from, to)| (params.not_before, params.not_after) = (from, to);

        let expired = chain(|_, leaf| set(leaf, past));
        let refused = verify(expired.ca_pin, &expired.leaf, &[expired.ca], HOST);
        assert!(matches!(refused, Err(CertificateError::ExpiredContext { .. })), "{refused:?}");
        let early = chain(|_, leaf| set(leaf, future));
        let refused = verify(early.ca_pin, &early.leaf, &[early.ca], HOST);
        assert!(matches!(refused, Err(CertificateError::NotValidYetContext { .. })), "{refused:?}");
        let expired = chain(|ca, _| set(ca, past));
        assert_eq!(verify(expired.ca_pin, &expired.leaf, &[expired.ca], HOST), Err(CertificateError::Expired));
        let early = chain(|ca, _| set(ca, future));
        assert_eq!(verify(early.ca_pin, &early.leaf, &[early.ca], HOST), Err(CertificateError::NotValidYet));
    }

    #[test]
    fn a_certificate_for_clients_is_no_server() {
        let chain = chain(|_, leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        let refused = verify(chain.ca_pin, &chain.leaf, &[chain.ca], HOST);
        assert!(matches!(refused, Err(CertificateError::InvalidPurposeContext { .. })), "{refused:?}");
    }

    #[test]
    fn a_server_without_the_hybrid_key_exchange_asks_for_no_second_hello() {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let client = client_config(&Trust::Anchors(vec![leaf.der().clone()])).unwrap();
        let mut client = ClientConnection::new(client, ServerName::try_from("localhost").unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        server.read_tls(&mut &hello[..]).unwrap();
        server.process_new_packets().unwrap();
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(server.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519);
    }

    #[test]
    fn a_pem_file_without_certificates_is_refused() {
        let key = KeyPair::generate().unwrap().serialize_pem();
        for pem in ["", "hello", &key] {
            assert!(matches!(Trust::from_pem(pem), Err(TrustError::NotPem)), "{pem:?}");
        }
        assert_eq!(Trust::of_pin(TrustPin::NONE), Trust::System);
    }
}
