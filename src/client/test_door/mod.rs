//! A server for the tests of this room: real TLS and HTTP on the loopback, answers by the test.

mod script;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PublicKeyData as _, SerialNumber,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub use self::script::{Act, Door, Seen};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::domain::TrustPin;
use crate::protocol::enroll::{EnrollResponse, Outcome};
use crate::secret::random_bytes;
use crate::tls_provider;

pub type Authority = CertifiedIssuer<'static, KeyPair>;

/// A CA that signed itself.
pub fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// PEM of a certificate for the CSR's key pair, with a serial number of its own.
pub fn sign(csr: &str, issuer: &Issuer<'_, KeyPair>) -> String {
    sign_until(csr, issuer, Timestamp::from_unix_seconds(i64::MAX))
}

/// One that ends then.
pub fn sign_until(csr: &str, issuer: &Issuer<'_, KeyPair>, not_after: Timestamp) -> String {
    let mut csr = CertificateSigningRequestParams::from_pem(csr).unwrap();
    csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    csr.params.not_after = not_after.to_offset_date_time();
    let mut serial_number = *random_bytes::<16>();
    serial_number[0] = 1;
    csr.params.serial_number = Some(SerialNumber::from_slice(&serial_number));
    csr.signed_by(issuer).unwrap().pem()
}

/// The answer with this certificate, which is to lead to `root`.
pub fn enrollment(certificate: String, root: &Authority) -> EnrollResponse {
    EnrollResponse {
        outcome: Outcome::Enrolled,
        component_id: "7".into(),
        component_name: "k-1".into(),
        kind: "machine".into(),
        customer_id: "1".into(),
        group_id: "2".into(),
        group_name: "HQ".into(),
        certificate,
        chain: String::new(),
        trust_anchors: root.pem(),
        server_trust_anchors: root.pem(),
        serial_number: "01".repeat(16),
        not_before: "2026-11-20T16:06:00Z".into(),
        not_after: "2027-02-18T16:06:00Z".into(),
        renew_after: "2027-01-19T16:06:00Z".into(),
        server_time: SystemClock.now().to_string(),
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub anchor: CertificateDer<'static>,
    pub pin: TrustPin,
}

/// Serves with a certificate for `host` below an anchor of its own, one connection after the other,
/// until the test ends. An `Err` cuts the connection without an answer.
pub async fn serve<F>(host: &str, answer: F) -> Server
where
    F: FnMut(Request<Bytes>) -> io::Result<Response<Full<Bytes>>> + Send + 'static,
{
    serve_below(&authority("endpoint anchor"), host, None, answer).await
}

/// The same below this anchor, asking for client certificates below `clients` and requiring none. What is shown is in the
/// request's extensions, as [`CertificateDer`].
pub async fn serve_below<F>(
    anchor: &Authority,
    host: &str,
    clients: Option<CertificateDer<'static>>,
    mut answer: F,
) -> Server
where
    F: FnMut(Request<Bytes>) -> io::Result<Response<Full<Bytes>>> + Send + 'static,
{
    let mut leaf = CertificateParams::new([host.to_owned()]).unwrap();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&leaf_key, anchor).unwrap();
    let builder = ServerConfig::builder_with_provider(tls_provider::provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(root) => {
            let mut roots = RootCertStore::empty();
            roots.add(root).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls_provider::provider());
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        }
    };
    let chain = vec![leaf.der().clone(), anchor.der().clone()];
    let tls = builder.with_single_cert(chain, PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let shown = tls.get_ref().1.peer_certificates().map(|chain| chain[0].clone().into_owned());
            let answer = std::sync::Mutex::new(&mut answer);
            let service = service_fn(async |request: Request<Incoming>| {
                let (mut parts, body) = request.into_parts();
                let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
                if let Some(shown) = &shown {
                    parts.extensions.insert(shown.clone());
                }
                let mut answer = answer.lock().unwrap();
                (*answer)(Request::from_parts(parts, body))
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
        }
    });
    let pin = TrustPin::of_public_key(&anchor.key().subject_public_key_info());
    Server { address, anchor: anchor.der().clone(), pin }
}
