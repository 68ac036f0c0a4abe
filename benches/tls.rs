//! What each TLS provider costs: handshakes by key exchange and suite, and the P-256 operations of a CSR and a
//! certificate. `cargo bench --bench tls --features aws-lc-rs`; without the feature `ring` stands alone.
//!
//! Method. Client and server in memory, one thread, no sockets: a full TLS 1.3 handshake with a P-256 certificate,
//! no tickets, no resumption; the client does not check the certificate's path. What is timed is each half's own work,
//! by the clock; the other half waits meanwhile. The variants take turns, one handshake each, so that whatever
//! else the machine does meets all of them, and the median of each is printed, with its ratio to the first. The P-256
//! operations go through rustls's interface for both providers, also in turn.
//!
//! `BENCH_ROUNDS=4000` (the default) sets the turns; `--test` only shows that it runs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SignatureVerificationAlgorithm,
    UnixTime, alg_id,
};
use rustls::sign::Signer;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme,
};

/// About what is signed in a CSR.
const MESSAGE: [u8; 240] = [7; 240];

fn main() {
    let smoke = std::env::args().any(|arg| arg == "--test");
    let asked = std::env::var("BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000);
    let rounds = if smoke { 10 } else { asked };

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut variants = variants(made.cert.der(), &key);
    let mut operations = operations(&key);
    for _ in 0..rounds {
        variants.iter_mut().for_each(Variant::shake_hands);
        operations.iter_mut().for_each(Operation::run);
    }

    println!("{:<44} {:>16} {:>16} {:>14}", "handshake", "server µs", "client µs", "bytes in, out");
    let first = &variants[0];
    for variant in &variants {
        let (server, client) = (Part(&variant.server_us, &first.server_us), Part(&variant.client_us, &first.client_us));
        let bytes = format!("{}, {}", variant.bytes_in, variant.bytes_out);
        println!("{:<44} {server:>16} {client:>16} {bytes:>14}", variant.name);
    }
    println!("\n{:<44} {:>16} {:>16}", "P-256 with SHA-256", "verify µs", "sign µs");
    let first = &operations[0];
    for operation in &operations {
        let (verify, sign) = (Part(&operation.verify_us, &first.verify_us), Part(&operation.sign_us, &first.sign_us));
        println!("{:<44} {verify:>16} {sign:>16}", operation.name);
    }
}

/// The median of the first, and its ratio to the median of the second.
struct Part<'a>(&'a [f64], &'a [f64]);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (own, first) = (median(self.0), median(self.1));
        f.pad(&format!("{own:.1} ({:.2})", own / first))
    }
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Providers with their key exchanges; the first is what a default build does.
fn providers() -> Vec<(&'static str, CryptoProvider, Vec<&'static dyn SupportedKxGroup>)> {
    vec![
        ("ring", ring::default_provider(), vec![ring::kx_group::X25519, ring::kx_group::SECP256R1]),
        #[cfg(feature = "aws-lc-rs")]
        (
            "aws-lc-rs",
            aws_lc_rs::default_provider(),
            vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::X25519MLKEM768],
        ),
    ]
}

// --- handshakes -----------------------------------------------------------------------------

/// One provider, key exchange and suite, and the times so far.
struct Variant {
    name: String,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    client_us: Vec<f64>,
    server_us: Vec<f64>,
    /// As the server sees it.
    bytes_in: usize,
    bytes_out: usize,
}

fn variants(leaf: &CertificateDer<'static>, key: &PrivatePkcs8KeyDer<'static>) -> Vec<Variant> {
    let mut variants = Vec::new();
    for (name, provider, groups) in providers() {
        for group in groups {
            for suite in [CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS13_AES_256_GCM_SHA384] {
                let mut only = CryptoProvider { kx_groups: vec![group], ..provider.clone() };
                only.cipher_suites.retain(|found| found.suite() == suite);
                let suite = suite.as_str().unwrap_or_default().trim_start_matches("TLS13_");
                let name = format!("{name}, {:?}, {suite}", group.name());
                variants.push(Variant::new(name, Arc::new(only), leaf, key));
            }
        }
    }
    variants
}

impl Variant {
    fn new(
        name: String,
        provider: Arc<CryptoProvider>,
        leaf: &CertificateDer<'static>,
        key: &PrivatePkcs8KeyDer<'static>,
    ) -> Self {
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.clone()], PrivateKeyDer::Pkcs8(key.clone_key()))
            .expect("a server");
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyPath(provider)))
            .with_no_client_auth();
        client.resumption = rustls::client::Resumption::disabled();
        let (client, server) = (Arc::new(client), Arc::new(server));
        Self { name, client, server, client_us: Vec::new(), server_us: Vec::new(), bytes_in: 0, bytes_out: 0 }
    }

    fn shake_hands(&mut self) {
        let name = ServerName::try_from("localhost").expect("a name");
        let (mut client_time, mut server_time) = (Duration::ZERO, Duration::ZERO);
        let (mut hello, mut answer, mut finished) = (Vec::new(), Vec::new(), Vec::new());

        let started = Instant::now();
        let mut client = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        client.write_tls(&mut hello).expect("memory");
        client_time += started.elapsed();

        let started = Instant::now();
        let mut server = ServerConnection::new(Arc::clone(&self.server)).expect("a server");
        let mut unread = &hello[..];
        while !unread.is_empty() {
            server.read_tls(&mut unread).expect("memory");
            server.process_new_packets().expect("the server agrees");
        }
        while server.wants_write() {
            server.write_tls(&mut answer).expect("memory");
        }
        server_time += started.elapsed();

        let started = Instant::now();
        let mut unread = &answer[..];
        while !unread.is_empty() {
            client.read_tls(&mut unread).expect("memory");
            client.process_new_packets().expect("the client agrees");
        }
        while client.wants_write() {
            client.write_tls(&mut finished).expect("memory");
        }
        client_time += started.elapsed();

        let started = Instant::now();
        let mut unread = &finished[..];
        while !unread.is_empty() {
            server.read_tls(&mut unread).expect("memory");
            server.process_new_packets().expect("the server agrees");
        }
        server_time += started.elapsed();

        assert!(!server.is_handshaking() && !client.is_handshaking(), "{}", self.name);
        self.client_us.push(client_time.as_secs_f64() * 1e6);
        self.server_us.push(server_time.as_secs_f64() * 1e6);
        (self.bytes_in, self.bytes_out) = (hello.len() + finished.len(), answer.len());
    }
}

/// Takes any path, and checks that the server holds the certificate's key: what a client cannot do without.
#[derive(Debug)]
struct AnyPath(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyPath {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

// --- P-256 ----------------------------------------------------------------------------------

/// Verification and signature by one provider, and the times so far.
struct Operation {
    name: &'static str,
    verifier: &'static dyn SignatureVerificationAlgorithm,
    signer: Box<dyn Signer>,
    /// The uncompressed point.
    public_key: Vec<u8>,
    signature: Vec<u8>,
    verify_us: Vec<f64>,
    sign_us: Vec<f64>,
}

fn operations(key: &PrivatePkcs8KeyDer<'static>) -> Vec<Operation> {
    providers().into_iter().map(|(name, provider, _)| Operation::new(name, &provider, key)).collect()
}

impl Operation {
    fn new(name: &'static str, provider: &CryptoProvider, key: &PrivatePkcs8KeyDer<'static>) -> Self {
        let algorithms = provider.signature_verification_algorithms.all;
        let is = |algorithm: &dyn SignatureVerificationAlgorithm, key: AlgorithmIdentifier| {
            algorithm.public_key_alg_id() == key && algorithm.signature_alg_id() == alg_id::ECDSA_SHA256
        };
        let verifier = algorithms.iter().copied().find(|found| is(*found, alg_id::ECDSA_P256)).expect("P-256");
        let key = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(key.clone_key())).expect("a key");
        let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).expect("P-256");
        let public_key = key.public_key().expect("a key knows its public half");
        let public_key = public_key.as_ref()[public_key.as_ref().len() - 65..].to_vec();
        let signature = signer.sign(&MESSAGE).expect("a signature");
        Self { name, verifier, signer, public_key, signature, verify_us: Vec::new(), sign_us: Vec::new() }
    }

    fn run(&mut self) {
        let started = Instant::now();
        self.verifier.verify_signature(&self.public_key, &MESSAGE, &self.signature).expect("it verifies");
        self.verify_us.push(started.elapsed().as_secs_f64() * 1e6);
        let started = Instant::now();
        self.signature = self.signer.sign(&MESSAGE).expect("a signature");
        self.sign_us.push(started.elapsed().as_secs_f64() * 1e6);
    }
}
