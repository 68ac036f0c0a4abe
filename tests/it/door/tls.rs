//! What is spoken, with which certificate, and what a client's certificate is worth.

use std::sync::Arc;

use muster::server::listener::Limits;
use muster::server::tls::ClientCertificates;
use muster::tls_provider::{provider, signing_key};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, HandshakeKind, NamedGroup, ProtocolVersion, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::support::{Mirror, SHORT, Server, ask, get, private_key};

fn server() -> Server {
    Server::tls(Arc::new(Mirror), Limits::default())
}

#[tokio::test]
async fn tls_1_3_and_1_2_are_spoken_and_nothing_older() {
    let server = server();
    let mut prefers_another = CryptoProvider::clone(&provider());
    prefers_another.cipher_suites.reverse();
    let client = with_provider(&server, prefers_another, rustls::DEFAULT_VERSIONS);
    let stream = server.connect_with(client, "localhost").await.unwrap();
    let connection = stream.get_ref().1;
    assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let suite = connection.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256, "though the client prefers another");

    let mut client = with_versions(&server, &[&rustls::version::TLS12]);
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut stream = server.connect_with(client, "localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(ask(&mut stream, get("/")).await.status, 200);
}

/// By another implementation than the server's in a build with another provider than `ring`.
#[tokio::test]
async fn a_client_with_a_single_classical_key_exchange_is_served() {
    let server = server();
    for group in [ring::kx_group::X25519, ring::kx_group::SECP256R1, ring::kx_group::SECP384R1] {
        for version in rustls::ALL_VERSIONS {
            let only = CryptoProvider { kx_groups: vec![group], ..ring::default_provider() };
            let client = with_provider(&server, only, &[version]);
            let mut stream = server.connect_with(client, "localhost").await.unwrap();
            let (kind, found) = key_exchange(&stream);
            assert_eq!((kind, found), (HandshakeKind::Full, group.name()), "{version:?}");
            assert_eq!(ask(&mut stream, get("/")).await.status, 200);
        }
    }
}

#[cfg(feature = "aws-lc-rs")]
#[tokio::test]
async fn a_client_that_prefers_the_hybrid_key_exchange_gets_it() {
    use rustls::crypto::aws_lc_rs::{default_provider, kx_group};

    let server = server();
    let (hybrid, classical) = (kx_group::X25519MLKEM768, kx_group::X25519);
    for (offered, version, chosen) in [
        (vec![hybrid], &rustls::version::TLS13, hybrid),
        (vec![hybrid, classical], &rustls::version::TLS13, hybrid),
        (vec![classical, hybrid], &rustls::version::TLS13, classical),
        (vec![hybrid, classical], &rustls::version::TLS12, classical), // which knows no hybrid
    ] {
        let client = CryptoProvider { kx_groups: offered.clone(), ..default_provider() };
        let client = with_provider(&server, client, &[version]);
        let mut stream = server.connect_with(client, "localhost").await.unwrap();
        assert_eq!(key_exchange(&stream), (HandshakeKind::Full, chosen.name()), "{offered:?}, {version:?}");
        assert_eq!(ask(&mut stream, get("/")).await.status, 200);
    }
}

fn key_exchange(stream: &TlsStream<TcpStream>) -> (HandshakeKind, NamedGroup) {
    let connection = stream.get_ref().1;
    (connection.handshake_kind().unwrap(), connection.negotiated_key_exchange_group().unwrap().name())
}

#[tokio::test]
async fn only_http_1_1_is_offered() {
    let server = server();
    let mut client = server.pki.client();
    client.alpn_protocols = vec![b"h2".to_vec()];
    assert!(server.connect_with(client, "localhost").await.is_err());
    server.expect_metric("muster_tls_handshakes_total{outcome=\"failed\"} 1").await;
}

#[tokio::test]
async fn no_tickets_are_sent() {
    let server = server();
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, get("/")).await.status, 200);
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
}

#[tokio::test]
async fn whatever_name_is_asked_for_the_certificate_is_shown() {
    let server = server();
    let shown = server.slot.current().chain().to_vec();
    // An address is never sent as a name.
    let mut without = server.connect_with(server.pki.client(), "127.0.0.1").await.unwrap();
    assert_eq!(without.get_ref().1.peer_certificates(), Some(&shown[..]), "the CA is shown, too");
    assert_eq!(ask(&mut without, get("/")).await.status, 200);
    let mut unknown = server.connect_with(trusting_everyone(), "unknown.example").await.unwrap();
    assert_eq!(unknown.get_ref().1.peer_certificates(), Some(&shown[..]));
    assert_eq!(ask(&mut unknown, get("/")).await.status, 200);
}

#[tokio::test]
async fn a_replaced_certificate_is_shown_from_the_next_handshake_on() {
    let server = server();
    let mut before = server.connect().await;
    server.slot.replace(server.pki.server_certificate());
    let mut after = server.connect().await;
    assert_ne!(before.get_ref().1.peer_certificates(), after.get_ref().1.peer_certificates());
    assert_eq!(ask(&mut before, get("/")).await.status, 200, "who was connected stays so");
    assert_eq!(ask(&mut after, get("/")).await.status, 200);
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_without_hints_and_not_required() {
    let server = server();
    let (foreign, key) = super::support::Pki::new().leaf();
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let offered = Arc::new(Offered::new(foreign.clone(), &key));
        let mut client = with_versions(&server, versions);
        client.client_auth_cert_resolver = offered.clone();
        let mut stream = server.connect_with(client, "localhost").await.unwrap();
        let seen = ask(&mut stream, get("/")).await.body;
        assert!(seen.ends_with(&format!(" {}", foreign.len())), "any certificate is taken: {seen}");
        assert_eq!(*offered.hints.lock().unwrap(), Some(0));
    }
    let seen = ask(&mut server.connect().await, get("/")).await.body;
    assert!(seen.ends_with(" 0"), "{seen}");
}

#[tokio::test]
async fn a_huge_client_certificate_is_not_kept() {
    let server = server();
    for (names, is_kept) in [(1_u32, true), (400, false)] {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = (0..names).map(|n| format!("device-{n:03}.example.com")).collect();
        let leaf = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().der().clone();
        assert_eq!(leaf.len() <= 8 * 1024, is_kept);
        let mut client = server.pki.client();
        client.client_auth_cert_resolver = Arc::new(Offered::new(leaf.clone(), &key));
        let seen = ask(&mut server.connect_with(client, "localhost").await.unwrap(), get("/")).await.body;
        let expected = if is_kept { leaf.len() } else { 0 };
        assert!(seen.ends_with(&format!(" {expected}")), "the connection goes on: {seen}");
    }
}

#[tokio::test]
async fn a_client_certificate_without_its_private_key_is_no_proof() {
    let server = server();
    let (stolen, _) = server.pki.leaf();
    let (_, other_key) = server.pki.leaf();
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let mut client = with_versions(&server, versions);
        client.client_auth_cert_resolver = Arc::new(Offered::new(stolen.clone(), &other_key));
        // In TLS 1.3 the client is done before the server has looked.
        if let Ok(mut stream) = server.connect_with(client, "localhost").await {
            assert_eq!(super::support::read_to_close(&mut stream).await, b"");
        }
    }
    server.expect_metric("muster_tls_handshakes_total{outcome=\"failed\"} 2").await;
    server.expect_metric("muster_tls_handshakes_total{outcome=\"completed\"} 0").await;
}

#[tokio::test]
async fn a_listener_that_wants_no_client_certificate_does_not_ask() {
    let wanted = Some(ClientCertificates::NotAsked);
    let server = Server::start(Arc::new(Mirror), Limits::default(), wanted, SHORT, Arc::default());
    let (leaf, key) = server.pki.leaf();
    let offered = Arc::new(Offered::new(leaf, &key));
    let mut client = server.pki.client();
    client.client_auth_cert_resolver = offered.clone();
    let mut stream = server.connect_with(client, "localhost").await.unwrap();
    assert!(ask(&mut stream, get("/")).await.body.ends_with(" 0"));
    assert_eq!(*offered.hints.lock().unwrap(), None);
}

fn with_versions(server: &Server, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    with_provider(server, CryptoProvider::clone(&provider()), versions)
}

fn with_provider(
    server: &Server,
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.pki.anchor.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Shows one certificate whenever asked, and remembers how many hints at CAs came with the question.
#[derive(Debug)]
struct Offered {
    key: Arc<CertifiedKey>,
    hints: std::sync::Mutex<Option<usize>>,
}

impl Offered {
    fn new(leaf: CertificateDer<'static>, key: &KeyPair) -> Self {
        let key = signing_key(&private_key(key)).unwrap();
        Self { key: Arc::new(CertifiedKey::new(vec![leaf], key)), hints: std::sync::Mutex::default() }
    }
}

impl ResolvesClientCert for Offered {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.hints.lock().unwrap() = Some(hints.len());
        Some(self.key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn trusting_everyone() -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Everyone))
        .with_no_client_auth()
}

#[derive(Debug)]
struct Everyone;

impl ServerCertVerifier for Everyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
