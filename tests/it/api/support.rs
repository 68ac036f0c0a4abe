//! A management listener over real TLS on a store in a directory of its own, and a client for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use muster::ca::{EndpointAnchor, Profile};
use muster::clock::{Clock, SystemClock};
use muster::domain::audit::AuditKey;
use muster::id::CustomerId;
use muster::management::first_start::{FirstCredentials, FirstStart, PreparedFirstStart, load_secrets};
use muster::management::{Announce, AnnounceError, Management, Parts};
use muster::metrics::{Door, Metrics};
use muster::secret::master::MasterKeys;
use muster::server::api::Api;
use muster::server::listener::{Limits, Listener, Service as Listening, Transport};
use muster::server::tls::{CertificateSlot, ClientCertificates, ServerCertificate, server_config};
use muster::store::embedded::EmbeddedStore;
use muster::store::{BatchSettings, ChangeSequence, CommitObserver, IdAllocator, Store};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

/// Nothing keeps settings in memory here, so there is nobody to tell.
struct NobodyListens;

#[async_trait]
impl Announce for NobodyListens {
    async fn announce(&self, _through: ChangeSequence) -> Result<(), AnnounceError> {
        Ok(())
    }
}

impl CommitObserver for NobodyListens {
    fn observe_commit(&self, _size: usize, _took: Duration) {}
}

/// The management side of a service after its first start. Dropping it ends the accept loop.
pub struct Service {
    pub address: SocketAddr,
    pub first: FirstCredentials,
    pub store: Arc<EmbeddedStore>,
    pub audit_key: Arc<AuditKey>,
    pub directory: TempDir,
    _stop: oneshot::Sender<()>,
}

impl Service {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let observer = Arc::new(NobodyListens);
        let embedded =
            EmbeddedStore::open(directory.path(), Arc::clone(&clock), BatchSettings::default(), observer).unwrap();
        let store: Arc<dyn Store> = embedded.clone();
        let ids = Arc::new(IdAllocator::new(Arc::clone(&store)));
        let master_keys = Arc::new(MasterKeys::parse(&MasterKeys::generate_text("test")).unwrap());
        let profile = Arc::new(Profile {
            trust_domain: "localhost".to_owned(),
            dns_suffix: Some("localhost".to_owned()),
            svid_eku: false,
            public_url: None,
        });
        let start = FirstStart { cloud: "localhost:8443".parse().unwrap(), profile: Arc::clone(&profile) };
        let prepared = PreparedFirstStart::make(&*store, &ids, &master_keys, &*clock, start).await.unwrap();
        let first = prepared.expect("the store is empty").commit(&*store).await.unwrap();
        let secrets = load_secrets(&*store, &master_keys).await.unwrap();
        let anchor = EndpointAnchor::new(&secrets.endpoint_anchor.certificate, &secrets.endpoint_anchor.private_key);
        let anchor = anchor.unwrap();
        let leaf = anchor.issue_leaf(&["localhost".to_owned()], &[], clock.now()).unwrap();
        let audit_key = Arc::new(secrets.audit_key);

        let management = Management::new(Parts {
            store,
            ids,
            clock,
            announce: Arc::new(NobodyListens),
            master_keys,
            audit_key: Arc::clone(&audit_key),
            peppers: Arc::new(secrets.peppers),
            token_key: Arc::new(secrets.token_key),
            cloud: Arc::new(ArcSwap::from_pointee("localhost:8443".parse().unwrap())),
            trust_pin: Arc::new(ArcSwap::from_pointee(anchor.pin())),
            profile,
        });
        let certificate = ServerCertificate::from_der(leaf.chain, &leaf.private_key).unwrap();
        let slot = Arc::new(CertificateSlot::new(certificate));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr();
        let listening = Listening {
            door: Door::Admin,
            transport: Transport::Tls(server_config(slot, ClientCertificates::NotAsked).unwrap()),
            handler: Arc::new(Api::new(Arc::new(management))),
            limits: Arc::new(ArcSwap::from_pointee(Limits::default())),
            metrics: Arc::new(Metrics::default()),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        tokio::spawn(listener.serve(listening, shutdown, Duration::from_secs(5)));
        Self { address, first, store: embedded, audit_key, directory, _stop: stop }
    }

    pub fn customer(&self) -> CustomerId {
        self.first.customer_id
    }

    /// A client of the first API client, signed in.
    pub async fn sign_in(&self) -> Client {
        let mut client = Client { address: self.address, anchor: self.first.endpoint_anchor.clone(), token: None };
        let form = format!("client_id={}&client_secret={}", self.first.client_id, *self.first.client_secret);
        let answer = client.send(Method::POST, "/signin", form).await;
        assert_eq!(answer.status, StatusCode::OK);
        client.token = Some(answer.json()["access_token"].as_str().unwrap().to_owned());
        client
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/mgmtconfig/v1/admin/customers/{}/{rest}", self.customer())
    }
}

pub struct Client {
    address: SocketAddr,
    /// PEM of the one CA it trusts.
    anchor: String,
    pub token: Option<String>,
}

pub struct Answer {
    pub status: StatusCode,
    head: Response<()>,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    /// One request on a connection of its own.
    pub async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send_with(method, path, body, &[]).await
    }

    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.anchor.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);

        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, head: Response::from_parts(head, ()), body }
    }
}
