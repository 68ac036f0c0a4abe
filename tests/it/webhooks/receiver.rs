//! Who is told: an HTTPS server with a certificate of its own CA, which remembers what it got.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use muster::client::tls::Trust;
use muster::tls_provider::provider;
use ring::hmac;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::Pki;

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 with so many bytes.
    Long(usize),
    /// 302 to the same receiver.
    Redirect,
    Silence,
    Status(u16),
}

#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub body: String,
    pub payload: Value,
}

impl Received {
    /// As a receiver checks it, with the secret as it was shown.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let secret = STANDARD.decode(secret.strip_prefix("whsec_").expect("a prefix")).expect("base64");
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let signature = self.signature.strip_prefix("v1,").expect("a version");
        let signature = STANDARD.decode(signature).expect("base64");
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes(), &signature).is_ok()
    }
}

pub struct Receiver {
    pub port: u16,
    pub anchor_pem: String,
    state: Arc<State>,
    accepting: tokio::task::JoinHandle<()>,
}

struct State {
    port: u16,
    answer: Mutex<Answer>,
    received: Mutex<Vec<Received>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let (pki, dir) = (Pki::new(), tempfile::tempdir().expect("a directory"));
        pki.write(dir.path());
        let file = |name: &str| std::fs::read(dir.path().join(name)).expect("a file");
        let chain = CertificateDer::pem_slice_iter(&file("chain.pem")).collect::<Result<_, _>>().expect("a chain");
        let key = PrivateKeyDer::from_pem_slice(&file("key.pem")).expect("a key");
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("suites")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State { port, answer: Mutex::new(Answer::Status(200)), received: Mutex::default() });
        let of_server = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&of_server));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(state.answer(request).await) }
                    });
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { port, anchor_pem: pki.anchor_pem, state, accepting }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/hook?from=muster", self.port)
    }

    pub fn trust(&self) -> Trust {
        Trust::from_pem(&self.anchor_pem).expect("a CA")
    }

    pub fn answer(&self, answer: Answer) {
        *self.state.answer.lock().unwrap() = answer;
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let header = |name: &str| head.headers[name].to_str().expect("ASCII").to_owned();
        let body = String::from_utf8(body.to_vec()).expect("UTF-8");
        self.received.lock().unwrap().push(Received {
            path: head.uri.to_string(),
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            payload: serde_json::from_str(&body).expect("JSON"),
            body,
        });
        let answer = *self.answer.lock().unwrap();
        let (status, length) = match answer {
            Answer::Long(length) => (200, length),
            Answer::Redirect => (302, 0),
            Answer::Silence => std::future::pending().await,
            Answer::Status(status) => (status, 0),
        };
        Response::builder()
            .status(status)
            .header("location", format!("https://localhost:{}/elsewhere", self.port))
            .body(Full::new(Bytes::from(vec![b'x'; length])))
            .expect("an answer")
    }
}
