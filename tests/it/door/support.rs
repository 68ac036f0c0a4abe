//! A listener with a handler of the test's choosing, and a client that can misbehave.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use muster::metrics::{Door, Metrics};
use muster::server::http::{self, Handler, Peer};
use muster::server::listener::{Drained, Limits, Listener, Service, Transport};
use muster::server::tls::{CertificateSlot, ClientCertificates, ServerCertificate, server_config};
use muster::tls_provider::provider;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No test waits longer for anything; nothing but a failing test waits as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A deadline that a test is there to see pass.
pub const SHORT: Duration = Duration::from_millis(150);

pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A CA and what it signed for 127.0.0.1 and localhost.
pub struct Pki {
    pub anchor: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let anchor = ca.self_signed(&key).unwrap().der().clone();
        Self { anchor, issuer: Issuer::new(ca, key) }
    }

    pub fn server_certificate(&self) -> ServerCertificate {
        let (leaf, key) = self.leaf();
        ServerCertificate::from_der(vec![leaf.to_vec(), self.anchor.to_vec()], &key.serialize_der()).unwrap()
    }

    pub fn leaf(&self) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (leaf.der().clone(), key)
    }

    /// A client that trusts this CA and speaks both versions.
    pub fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.anchor.clone()).unwrap();
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

pub fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).unwrap()
}

/// A running listener. Dropping it ends the accept loop.
pub struct Server {
    pub address: SocketAddr,
    pub pki: Pki,
    pub slot: Arc<CertificateSlot>,
    pub limits: Arc<ArcSwap<Limits>>,
    pub metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
}

impl Server {
    pub fn tls(handler: Arc<dyn Handler>, limits: Limits) -> Self {
        Self::start(handler, limits, Some(ClientCertificates::Asked), PATIENCE, Arc::default())
    }

    pub fn start(
        handler: Arc<dyn Handler>,
        limits: Limits,
        tls: Option<ClientCertificates>,
        drain_timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let pki = Pki::new();
        let slot = Arc::new(CertificateSlot::new(pki.server_certificate()));
        let transport = match tls {
            Some(asked) => Transport::Tls(server_config(Arc::clone(&slot), asked).unwrap()),
            None => Transport::Plain,
        };
        let limits = Arc::new(ArcSwap::from_pointee(limits));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr();
        let (stop, stopped) = oneshot::channel();
        let service = Service {
            door: Door::Enroll,
            transport,
            handler,
            limits: Arc::clone(&limits),
            metrics: Arc::clone(&metrics),
        };
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(listener.serve(service, shutdown, drain_timeout));
        Self { address, pki, slot, limits, metrics, stop, task }
    }

    pub async fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        // The server says nothing after the handshake, so a client that batches small writes would
        // hold its request back until the kernel acknowledges the handshake: 40 ms.
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_with(self.pki.client(), "localhost").await.unwrap()
    }

    pub async fn connect_with(&self, client: ClientConfig, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        patiently("a handshake", TlsConnector::from(Arc::new(client)).connect(name, self.tcp().await)).await
    }

    /// The same from a loopback address of one's choice.
    pub async fn connect_from(&self, source: [u8; 4]) -> TlsStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let tcp = patiently("a connection", socket.connect(self.address)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(self.pki.client()));
        patiently("a handshake", connector.connect(name, tcp)).await.unwrap()
    }

    /// Tells the listener to stop; the result comes when it has drained.
    pub fn stop(self) -> JoinHandle<Drained> {
        drop(self.stop);
        self.task
    }

    /// Whether a line stands in the metrics; waits for it, as they are counted beside the answer.
    pub async fn expect_metric(&self, line: &str) {
        patiently(line, async {
            while !self.metrics.render().lines().any(|found| found == line) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Whether a metric without labels comes to so much at least; waits for it.
    pub async fn expect_count(&self, metric: &str, at_least: u64) {
        patiently(metric, async {
            loop {
                let text = self.metrics.render();
                let mut lines = text.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
                let count: u64 = lines.next().expect("it is there").parse().expect("a number");
                if count >= at_least {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// Everything in front of the body.
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_else(|| panic!("no code in {}", self.body)).to_owned()
    }
}

/// Writes `request` and reads one answer, which must have a Content-Length.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: impl AsRef<[u8]>) -> Reply {
    // A server that refuses early may be gone before everything is written.
    let _ = stream.write_all(request.as_ref()).await;
    let _ = stream.flush().await;
    read_reply(stream).await
}

pub async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Reply {
    patiently("an answer", async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap_or_else(|error| panic!("{error} after {head:?}")));
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = if status == 204 { 0 } else { headers["content-length"].parse().unwrap() };
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        Reply { status, headers, head, body: String::from_utf8(body).unwrap() }
    })
    .await
}

/// Waits until the other end closes; what came before that.
pub async fn read_to_close<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = patiently("the connection's end", stream.read_to_end(&mut bytes)).await;
    bytes
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Answers with what it sees of the other end: address, and the length of its certificate.
pub struct Mirror;

#[async_trait]
impl Handler for Mirror {
    async fn handle(&self, _: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        let certificate_bytes = peer.client_certificate.as_ref().map_or(0, |der| der.len());
        http::answer(StatusCode::OK, "text/plain", format!("{} {certificate_bytes}", peer.address))
    }
}

/// Answers with as many bytes as the path says.
pub struct AtLength;

#[async_trait]
impl Handler for AtLength {
    async fn handle(&self, request: Request<Incoming>, _: &Peer) -> Response<Full<Bytes>> {
        let length = request.uri().path()[1..].parse().unwrap();
        http::answer(StatusCode::OK, "text/plain", "x".repeat(length))
    }
}

/// Answers when told to.
#[derive(Default)]
pub struct Gate {
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

impl Gate {
    /// Waits until `count` requests wait, then lets them pass.
    pub async fn open_for(&self, count: usize) {
        self.wait_for(count).await;
        self.waiting.lock().unwrap().clear();
    }

    pub async fn wait_for(&self, count: usize) {
        patiently("requests at the gate", async {
            while self.waiting.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub async fn pass(&self) {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().push(sender);
        let _ = receiver.await;
    }
}

#[async_trait]
impl Handler for Gate {
    async fn handle(&self, request: Request<Incoming>, _: &Peer) -> Response<Full<Bytes>> {
        if request.uri().path() == "/wait" {
            self.pass().await;
        }
        http::answer(StatusCode::OK, "text/plain", "passed")
    }
}
