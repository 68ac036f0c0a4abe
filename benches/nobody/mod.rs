//! A TLS client that leaves the work to the server: it believes whatever certificate it is shown, and its private key for
//! the exchange is the number one, so that the server's share is the secret. A flood needs no more, and its handshakes
//! cost the server several times what they cost it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, NamedGroup, SignatureScheme};

pub fn tls_config() -> ClientConfig {
    let provider = CryptoProvider { kx_groups: vec![&One], ..CryptoProvider::clone(&muster::tls_provider::provider()) };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// ECDH over P-256 with the private key one.
#[derive(Debug)]
struct One;

/// One times the generator, uncompressed (SEC 1 §2.3.3, SEC 2 §2.4.2).
const GENERATOR: [u8; 65] = hex_literal(
    b"046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
);

const fn hex_literal(text: &[u8; 130]) -> [u8; 65] {
    let mut bytes = [0; 65];
    let mut place = 0;
    while place < 65 {
        bytes[place] = 16 * digit(text[2 * place]) + digit(text[2 * place + 1]);
        place += 1;
    }
    bytes
}

const fn digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit - b'a' + 10,
    }
}

impl SupportedKxGroup for One {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(One))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

impl ActiveKeyExchange for One {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        // Its first coordinate, between the form's byte and the other coordinate.
        Ok(SharedSecret::from(&share[1..33]))
    }

    fn pub_key(&self) -> &[u8] {
        &GENERATOR
    }

    fn group(&self) -> NamedGroup {
        self.name()
    }
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256]
    }
}
