//! A device: a key pair, a fingerprint, and requests over real TLS. It trusts only the service's
//! own anchor.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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
        let key_pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair");
        Self { fingerprint, key_pair }
    }

    /// The same hardware with a new key pair, as after a reinstallation.
    pub fn reinstalled(&self) -> Self {
        Self { fingerprint: self.fingerprint.clone(), ..Self::new("") }
    }

    /// PKCS#10 as PEM.
    pub fn csr(&self) -> String {
        rcgen::CertificateParams::default().serialize_request(&self.key_pair).expect("a CSR").pem().expect("PEM")
    }

    pub fn request(&self, key: &str) -> Value {
        json!({ "provisioningKey": key, "fingerprint": self.fingerprint, "csr": self.csr(), "hostname": "test.example" })
    }

    pub async fn enroll(&self, endpoint: &Endpoint, key: &str) -> Answer {
        post(endpoint, &self.request(key)).await
    }
}

/// `POST /v1/enroll` with this JSON, on a connection of its own.
pub async fn post(endpoint: &Endpoint, request: &Value) -> Answer {
    try_post(endpoint, request).await.expect("an answer")
}

/// `None` when the connection broke before a whole answer was there.
pub async fn try_post(endpoint: &Endpoint, request: &Value) -> Option<Answer> {
    let mut stream = connect(endpoint).await?;
    stream.write_all(&http_request(request.to_string().as_bytes())).await.ok()?;
    read_answer(&mut stream).await
}

/// The bytes of a `POST /v1/enroll` with this body.
pub fn http_request(body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /v1/enroll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
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
    stream.set_nodelay(true).ok()?;
    let connector = TlsConnector::from(Arc::new(tls_config(anchor_pem)));
    connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await.ok()
}

pub fn tls_config(anchor_pem: &str) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for anchor in CertificateDer::pem_slice_iter(anchor_pem.as_bytes()) {
        roots.add(anchor.expect("PEM")).expect("an anchor");
    }
    rustls::ClientConfig::builder_with_provider(muster::tls_provider::provider())
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
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
