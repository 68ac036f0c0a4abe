//! A service behind its door, in this process, with the clock in hand; and devices that show certificates there.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster::ca::certs_only;
use muster::domain::address::SourcePrefix;
use muster::domain::{Reference, Refusal, RefusalReason};
use muster::id::{CustomerId, GroupId};
use muster::metrics::Metrics;
use muster::protocol::enroll::PemText;
use muster::server::enroll::{CustomerTrustAnchors, EnrollDoor, EnrollLimits, KeyIdentity, Parts, RefusalSink};
use muster::server::http::failures::FailureRate;
use muster::server::listener::Limits;
use muster::store::EnrollmentStore;
use serde_json::{Value, json};

use crate::door::support::{Reply, Server, ask};
use crate::support::device::{Identity, certificate_der};
use crate::support::world::World;

/// Where a certificate can be shown for the next one.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    /// `POST /.well-known/est/simplereenroll`
    Est,
    /// `POST /v1/renew`
    Json,
}

impl Door {
    pub const ALL: [Self; 2] = [Self::Est, Self::Json];

    fn request(self, csr: &str) -> Vec<u8> {
        match self {
            Self::Est => request("/.well-known/est/simplereenroll", "application/pkcs10", csr),
            Self::Json => json_request(&json!({ "csr": csr })),
        }
    }

    /// With a 401.
    pub fn challenge(self) -> &'static str {
        match self {
            Self::Est => "Basic realm=\"muster\"",
            Self::Json => "ClientCertificate",
        }
    }

    /// DER of the certificate in an answer.
    pub fn certificate_of(self, reply: &Reply) -> Vec<u8> {
        match self {
            Self::Est => {
                let message = STANDARD.decode(reply.body.trim_end()).expect("one line of base64");
                // What has no signer is a frame of constants, but for the lengths.
                let frame = certs_only([&[0; 0x100][..]]).len() - 0x100;
                let certificate = message[frame - 2..message.len() - 2].to_vec();
                assert_eq!(certs_only([&*certificate]), message, "one certificate and no more");
                certificate
            }
            Self::Json => certificate_of(reply),
        }
    }
}

fn json_request(body: &Value) -> Vec<u8> {
    request("/v1/renew", "application/json", &body.to_string())
}

fn request(path: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub struct Front {
    pub world: World,
    pub limits: Arc<ArcSwap<EnrollLimits>>,
    metrics: Arc<Metrics>,
    server: Server,
}

impl Front {
    pub fn open(world: World, renew_grace: Duration) -> Self {
        let store: Arc<dyn EnrollmentStore> = Arc::<_>::clone(&world.store) as _;
        let enroller = Arc::new(world.service_through(store));
        let failures = FailureRate { per_second: None, burst: 1 };
        let limits = EnrollLimits { failures, renew_grace, ..EnrollLimits::default() };
        let limits = Arc::new(ArcSwap::from_pointee(limits));
        let metrics = Arc::new(Metrics::new());
        let door = EnrollDoor::new(Parts {
            enroller,
            server_trust_anchors: Arc::new(ArcSwap::from_pointee("anchor\n".into())),
            customer_trust_anchors: Arc::new(Nobody),
            crls: Arc::default(),
            refusals: Arc::new(Nobody),
            limits: Arc::clone(&limits),
            clock: world.clock.clone(),
            metrics: Arc::clone(&metrics),
        });
        Self { world, limits, metrics, server: Server::tls(Arc::new(door), Limits::default()) }
    }

    /// Shows the certificate, if there is one, and asks for one that this CSR describes.
    pub async fn renew(&self, door: Door, shown: Option<&Identity>, csr: &str) -> Reply {
        self.send(shown, &door.request(csr)).await
    }

    /// The same, with what became of it as the metrics tell, which not every protocol does.
    pub async fn renew_told(&self, door: Door, shown: Option<&Identity>, csr: &str) -> (Reply, (u16, String)) {
        let before = self.outcomes();
        let reply = self.renew(door, shown, csr).await;
        let after = self.outcomes();
        let mut moved = after.into_iter().filter(|outcome| !before.contains(outcome));
        let (Some((outcome, _)), None) = (moved.next(), moved.next()) else { panic!("one outcome: {}", reply.body) };
        let status = reply.status;
        (reply, (status, outcome))
    }

    /// How often each was counted.
    fn outcomes(&self) -> Vec<(String, String)> {
        let text = self.metrics.render();
        let counters = text.lines().filter_map(|line| line.strip_prefix("muster_enroll_requests_total{outcome=\""));
        counters.filter_map(|line| line.split_once("\"} ")).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    }

    /// `POST /v1/renew` with this JSON.
    pub async fn post(&self, shown: Option<&Identity>, body: &Value) -> Reply {
        self.send(shown, &json_request(body)).await
    }

    async fn send(&self, shown: Option<&Identity>, request: &[u8]) -> Reply {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.server.pki.anchor.clone()).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(muster::tls_provider::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let client = match shown {
            None => client.with_no_client_auth(),
            Some(identity) => identity.show(client),
        };
        let mut stream = self.server.connect_with(client, "localhost").await.unwrap();
        ask(&mut stream, request).await
    }
}

/// What became of it: the outcome, or the code of a refusal.
pub fn told(reply: &Reply) -> (u16, String) {
    let what = if reply.status == 200 { reply.json()["outcome"].as_str().unwrap().to_owned() } else { reply.code() };
    (reply.status, what)
}

/// DER of the certificate in an answer.
pub fn certificate_of(reply: &Reply) -> Vec<u8> {
    let json = reply.json();
    certificate_der(json["certificate"].as_str().unwrap_or_else(|| panic!("no certificate in {}", reply.body)))
}

struct Nobody;

impl RefusalSink for Nobody {
    fn note(&self, _: KeyIdentity, _: (Refusal, RefusalReason), _: SourcePrefix, _: Reference) {
        panic!("a renewal is no use of a key");
    }
}

impl CustomerTrustAnchors for Nobody {
    fn trust_anchors_pem(&self, _: CustomerId) -> Option<PemText> {
        None
    }

    fn authorities(&self, _: CustomerId) -> Option<Arc<[u8]>> {
        None
    }

    fn only_customer(&self) -> Option<CustomerId> {
        None
    }

    fn customer_of_group(&self, _: GroupId) -> Option<CustomerId> {
        None
    }
}
