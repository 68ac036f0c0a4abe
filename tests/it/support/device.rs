//! A device: a key pair, a fingerprint, and requests over real TLS. It trusts only the service's
//! own anchor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Times that a device tries when it is turned away, and the pause between two.
const HANDSHAKES_MAX: u32 = 60;
const TURNED_AWAY: Duration = Duration::from_secs(1);

/// Where a device enrolls, and whom it trusts there.
#[derive(Clone)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub anchor_pem: String,
}

/// What a device is made of; requests can be varied before they are sent.
pub struct Device {
    pub fingerprint: String,
    pub key_pair: rcgen::KeyPair,
}

/// An HTTP answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Header lines as they came, without the status line.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The `code` of a refusal.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A member that is a string.
    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.body)).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (status_line, head) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = status_line.split(' ').nth(1)?.parse().ok()?;
        let answer = Self { status, head: head.to_owned(), body: body.to_owned() };
        let length: usize = match answer.header("content-length") {
            None if status == 204 => 0,
            length => length?.parse().ok()?,
        };
        (answer.body.len() == length).then_some(answer)
    }
}

impl Device {
    /// With a fingerprint made from `name`, and a new P-256 key pair.
    pub fn new(name: &str) -> Self {
        let fingerprint = format!("{name:-<16}");
        Self { fingerprint, key_pair: key_pair() }
    }

    /// The same hardware with a new key pair, as after a reinstallation.
    pub fn reinstalled(&self) -> Self {
        Self { fingerprint: self.fingerprint.clone(), ..Self::new("") }
    }

    /// PKCS#10 as PEM.
    pub fn csr(&self) -> String {
        csr(&self.key_pair)
    }

    pub fn request(&self, key: &str) -> Value {
        json!({ "provisioningKey": key, "fingerprint": self.fingerprint, "csr": self.csr(), "hostname": "test.example" })
    }

    pub async fn enroll(&self, endpoint: &Endpoint, key: &str) -> Answer {
        post(endpoint, &self.request(key)).await
    }
}

/// `POST /v1/enroll` with this JSON.
pub async fn post(endpoint: &Endpoint, request: &Value) -> Answer {
    let connector = TlsConnector::from(Arc::new(tls_config(&endpoint.anchor_pem)));
    send(&connector, endpoint.address, &http_request(request.to_string().as_bytes())).await
}

/// Sends a request on a connection of its own. As every device it comes back when the service has no time for its
/// handshake.
pub async fn send(connector: &TlsConnector, address: SocketAddr, request: &[u8]) -> Answer {
    for _ in 0..HANDSHAKES_MAX {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        match connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await {
            Ok(mut stream) => {
                stream.write_all(request).await.expect("a request");
                return read_answer(&mut stream).await.expect("an answer");
            }
            Err(error) => eprintln!("turned away: {error}"),
        }
        tokio::time::sleep(TURNED_AWAY).await;
    }
    panic!("the service had no time for a handshake {HANDSHAKES_MAX} times in a row")
}

/// `None` when the connection broke before a whole answer was there.
pub async fn try_post(endpoint: &Endpoint, request: &Value) -> Option<Answer> {
    let mut stream = connect(endpoint).await?;
    stream.write_all(&http_request(request.to_string().as_bytes())).await.ok()?;
    read_answer(&mut stream).await
}

/// The bytes of a `POST /v1/enroll` with this body.
pub fn http_request(body: &[u8]) -> Vec<u8> {
    request("/v1/enroll", body)
}

fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A TLS connection to the enrollment listener; `None` when it is refused.
pub async fn connect(endpoint: &Endpoint) -> Option<TlsStream<TcpStream>> {
    connect_to(endpoint.address, &endpoint.anchor_pem).await
}

/// A TLS connection that trusts only this anchor and expects `localhost`.
pub async fn connect_to(address: SocketAddr, anchor_pem: &str) -> Option<TlsStream<TcpStream>> {
    handshake(TcpStream::connect(address).await.ok()?, anchor_pem).await
}

/// The same on a connection that is there already.
pub async fn handshake(stream: TcpStream, anchor_pem: &str) -> Option<TlsStream<TcpStream>> {
    handshake_with(stream, tls_config(anchor_pem)).await
}

async fn handshake_with(stream: TcpStream, config: ClientConfig) -> Option<TlsStream<TcpStream>> {
    stream.set_nodelay(true).ok()?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await.ok()
}

/// A certificate with its private key, and what else is shown with it.
#[derive(Clone)]
pub struct Identity {
    /// DER, the device's own first.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 DER.
    key: Vec<u8>,
}

impl Identity {
    pub fn new(certificate: &[u8], key_pair: &rcgen::KeyPair) -> Self {
        Self { chain: vec![certificate.to_vec()], key: key_pair.serialize_der() }
    }

    /// The certificate of an answer, which is for this key pair.
    pub fn of(answer: &Answer, key_pair: &rcgen::KeyPair) -> Self {
        Self::new(&certificate_der(&answer.text("certificate")), key_pair)
    }

    pub fn certificate(&self) -> &[u8] {
        &self.chain[0]
    }

    pub fn key_pair(&self) -> rcgen::KeyPair {
        rcgen::KeyPair::try_from(self.key.clone()).expect("a key pair")
    }

    pub fn show(&self, client: ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::try_from(self.key.clone()).expect("a private key");
        client.with_client_auth_cert(chain, key).expect("a certificate and its private key")
    }
}

pub fn key_pair() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair")
}

/// PKCS#10 as PEM.
pub fn csr(key_pair: &rcgen::KeyPair) -> String {
    rcgen::CertificateParams::default().serialize_request(key_pair).expect("a CSR").pem().expect("PEM")
}

/// DER of a certificate in PEM.
pub fn certificate_der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM").to_vec()
}

/// `POST /v1/renew` on a connection of its own; `None` when that broke before a whole answer was there.
pub async fn renew(endpoint: &Endpoint, shown: &Identity, csr: &str) -> Option<Answer> {
    let mut stream = connect_showing(endpoint, shown).await?;
    stream.write_all(&renew_request(&json!({ "csr": csr }))).await.ok()?;
    read_answer(&mut stream).await
}

/// The bytes of a `POST /v1/renew` with this JSON.
pub fn renew_request(body: &Value) -> Vec<u8> {
    request("/v1/renew", body.to_string().as_bytes())
}

/// A TLS connection to the enrollment listener that shows this certificate; `None` when it is refused.
pub async fn connect_showing(endpoint: &Endpoint, shown: &Identity) -> Option<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(endpoint.address).await.ok()?;
    handshake_with(stream, shown.show(trusting(&endpoint.anchor_pem))).await
}

pub fn tls_config(anchor_pem: &str) -> ClientConfig {
    trusting(anchor_pem).with_no_client_auth()
}

fn trusting(anchor_pem: &str) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = rustls::RootCertStore::empty();
    for anchor in CertificateDer::pem_slice_iter(anchor_pem.as_bytes()) {
        roots.add(anchor.expect("PEM")).expect("an anchor");
    }
    ClientConfig::builder_with_provider(muster::tls_provider::provider())
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_root_certificates(roots)
}

/// Reads until a whole answer is there; `None` when the connection ends before.
pub async fn read_answer(stream: &mut TlsStream<TcpStream>) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 8 * 1024];
    loop {
        if let Some(answer) = Answer::parse(&bytes) {
            return Some(answer);
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}
