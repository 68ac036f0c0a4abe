//! The other end of every server: what a client sends on a connection of its own, and what it waits for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::credulous;

/// Of a request that is only echoed: about an enrollment's.
const ECHO_REQUEST_BYTES: usize = 900;
/// More than any answer here.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What is done on a connection.
pub enum Errand {
    /// HTTP without TLS: 900 bytes there, [`super::peers::ANSWER_BYTES`] back.
    Plain,
    /// A TLS handshake; the server closes.
    Handshake,
    /// As `Plain`, over TLS.
    Echo,
    /// An enrollment of a device never seen before, with the keys in turn.
    Enroll(Vec<EnrollRequest>),
}

/// A request with a key, with a hole for the fingerprint.
pub struct EnrollRequest {
    before: String,
    after: String,
}

impl EnrollRequest {
    /// One for each key string, all with one P-256 CSR.
    pub fn with_keys(keys: &[String]) -> Vec<Self> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair");
        let csr = rcgen::CertificateParams::default().serialize_request(&pair).expect("a CSR").pem().expect("PEM");
        let with_key = |key: &String| {
            let body =
                serde_json::json!({ "provisioningKey": key, "fingerprint": "@", "csr": csr, "hostname": "bench" });
            let body = body.to_string();
            let (before, after) = body.split_once('@').expect("the hole");
            Self { before: before.to_owned(), after: after.to_owned() }
        };
        keys.iter().map(with_key).collect()
    }
}

/// All clients of one server.
pub struct Clients {
    address: SocketAddr,
    errand: Errand,
    tls: Tls,
    /// Connections so far; makes the fingerprints.
    begun: AtomicU64,
}

impl Clients {
    pub fn new(address: SocketAddr, errand: Errand) -> Arc<Self> {
        Arc::new(Self { address, errand, tls: Tls::new(), begun: AtomicU64::new(0) })
    }

    /// Does the errand once, until the server has closed.
    ///
    /// # Errors
    /// What went wrong, or the answer that was not 200.
    pub async fn visit(&self) -> Result<(), String> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(self.address).await.map_err(|error| format!("no connection: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("no connection: {error}"))?;
        let answer = match &self.errand {
            Errand::Plain => exchange(stream, &self.echo_request()).await?,
            Errand::Handshake => {
                return match exchange(self.tls.connect(stream).await?, "").await?.as_slice() {
                    [] => Ok(()),
                    more => Err(format!("{} bytes after the handshake, expected none", more.len())),
                };
            }
            Errand::Echo => exchange(self.tls.connect(stream).await?, &self.echo_request()).await?,
            Errand::Enroll(requests) => {
                let EnrollRequest { before, after } = &requests[number as usize % requests.len()];
                let request = post("/v1/enroll", "", &format!("{before}bench-{number:016}{after}"));
                exchange(self.tls.connect(stream).await?, &request).await?
            }
        };
        if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(String::from_utf8_lossy(&answer).into_owned()) }
    }

    fn echo_request(&self) -> String {
        post("/", "", &"x".repeat(ECHO_REQUEST_BYTES))
    }
}

/// A whole `POST` of JSON that asks for the connection's end. `headers` end with a line break each.
pub fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Sends the request and reads until the end.
pub async fn exchange<S>(mut stream: S, request: &str) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("the request was not sent: {error}"))?;
    let mut answer = Vec::with_capacity(ANSWER_BYTES_MAX);
    stream.read_to_end(&mut answer).await.map_err(|error| format!("the answer broke off: {error}"))?;
    Ok(answer)
}

/// TLS 1.3 without resumption, with any server.
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    pub fn new() -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        Self { connector: TlsConnector::from(Arc::new(client_config())), name }
    }

    pub async fn connect(&self, stream: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
        let handshake = self.connector.connect(self.name.clone(), stream);
        handshake.await.map_err(|error| format!("no handshake: {error}"))
    }
}

pub fn client_config() -> ClientConfig {
    credulous::tls_config(muster::tls_provider::provider())
}
