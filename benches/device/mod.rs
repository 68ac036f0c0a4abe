//! A device's side of the enrollment listener, for benches: blocking, one request per connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use muster::protocol::enroll::EnrollRequest;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// TLS 1.3, for servers below these anchors.
pub fn client_config(anchors: impl IntoIterator<Item = CertificateDer<'static>>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(anchors);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    Arc::new(config.expect("TLS 1.3").with_root_certificates(roots).with_no_client_auth())
}

/// For one request.
pub struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    /// With its handshake behind it.
    pub fn open(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(config), name).expect("a client");
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut stream).expect("a handshake");
        }
        Self(StreamOwned::new(tls, stream))
    }

    /// Sends a whole request and waits for the first bytes of its answer, which are in `answer` then.
    pub fn exchange(&mut self, request: &[u8], answer: &mut [u8]) -> usize {
        self.0.write_all(request).expect("a request");
        self.0.read(answer).expect("an answer")
    }

    /// Reads until the other end closes.
    pub fn finish(mut self) {
        std::io::copy(&mut self.0, &mut std::io::sink()).expect("the rest of the answer");
    }
}

/// `POST /v1/enroll`, head and body, the only request of its connection.
pub fn request(provisioning_key: &str, fingerprint: &str, csr: &str) -> Vec<u8> {
    let request = EnrollRequest {
        provisioning_key,
        fingerprint,
        csr,
        hostname: Some("edge-1.branch.example"),
        platform: Some("linux/x86_64"),
        software_version: Some("muster 0.1.0"),
    };
    let body = request.to_json();
    let length = body.len();
    let mut request = format!(
        "POST /v1/enroll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(&body);
    request
}
