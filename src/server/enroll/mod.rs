//! The enrollment door: what devices call.
//!
//! | route | answers |
//! |---|---|
//! | `POST /v1/enroll` | a certificate, or a refusal with code and reference |
//! | `POST /v1/renew` | the next certificate, to whoever shows the present one |
//! | `GET /v1/trust-anchors` | PEM of the anchors of this endpoint's TLS certificate |
//! | `GET /v1/trust-anchors/{customerId}` | PEM of the roots of a customer's component certificates |
//! | `GET /crl/{signingCertId}.crl` | the newest CRL, in DER; `HEAD` its head |
//! | `GET /healthz` | `ok`, as long as the process answers |
//! | `/.well-known/est/…` | the same by EST, see [`est`] |
//!
//! The door checks the form of a request ([`decode`]), asks whether the key verifies, and hands the
//! rest to the [`Enroller`]. For a caller whose key does not verify there is nothing else: no CSR
//! work, no place in the queue, no disk write. It gets the one 401, or a 429 in its place
//! ([`FailureLimiter`]), and its connection is closed. A renewal walks the same way, with the client
//! certificate in place of the key. Whichever protocol a caller speaks, it passes the one [`gate`].
//!
//! What it deliberately does not do: judge keys, groups or devices; know the store; see a key
//! string anywhere but on its way to [`Enroller::present`].

mod crl;
pub mod decode;
pub mod encode;
mod est;
mod gate;
mod refused;
mod renew;
mod visit;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use rustls_pki_types::CertificateDer;

use self::decode::Decoded;
use self::gate::{Format, Gate, Stop};
use self::refused::Refused;
use self::visit::Visit;
use super::http::failures::{FailureLimiter, FailureRate};
use super::http::problem::ProblemKind;
use super::http::quiet::Quiet;
use super::http::route::{self, Found, Route};
use super::http::silence::Silence;
use super::http::{self, BODY_TIMEOUT, Handler, Peer};
use crate::clock::Clock;
use crate::domain::address::SourcePrefix;
use crate::domain::{Reference, Refusal, RefusalReason};
use crate::enrollment::renewal::{AuthenticatedDevice, RenewalError, RenewalRequest};
use crate::enrollment::{Crls, Enrollment, EnrollmentError, EnrollmentRequest, EnrollmentService, VerifiedKey};
use crate::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId};
use crate::index::PresentedKey;
use crate::metrics::Metrics;
use crate::protocol::enroll::PemText;

/// RFC 8555 §9.1: one or more certificates as PEM.
const PEM: &str = "application/pem-certificate-chain";

/// What the door needs of the use case. [`EnrollmentService`] is one.
pub trait Enroller: Send + Sync + 'static {
    /// What a key string is verified by, without the string.
    type Presented: Send + Sync;

    /// A key string that verified.
    type Key: Send;

    /// A component that showed its certificate.
    type Device: Send;

    /// The only one that sees the text; the same work for each of a length.
    fn present(&self, text: &str) -> Self::Presented;

    /// `None` is the one 401; an error says that nobody can tell for the moment. Takes the same way whatever
    /// is wrong with the text.
    fn verify_key(
        &self,
        presented: &Self::Presented,
    ) -> impl Future<Output = Result<Option<Self::Key>, EnrollmentError>> + Send;

    /// Whether a text that was not known by this may be known when it is presented anew. The same for every text.
    fn is_overtaken(&self, presented: &Self::Presented) -> bool;

    /// Whose key it is, for the log and the tally.
    fn identify(&self, key: &Self::Key) -> KeyIdentity;

    fn enroll(
        &self,
        key: Self::Key,
        request: EnrollmentRequest<'_>,
    ) -> impl Future<Output = Result<Enrollment, EnrollmentError>> + Send;

    /// Whose certificate it is; possession of its key was proved. `grace`: for how long after its end it is taken.
    fn authenticate(
        &self,
        presented: &CertificateDer<'_>,
        grace: Duration,
    ) -> impl Future<Output = Result<Self::Device, RenewalError>> + Send;

    /// Which component it is, for the log; its key is whose share of the door it takes.
    fn identify_device(&self, device: &Self::Device) -> (ComponentId, KeyIdentity);

    fn renew(
        &self,
        device: Self::Device,
        request: RenewalRequest<'_>,
    ) -> impl Future<Output = Result<Enrollment, RenewalError>> + Send;
}

/// Which key a request came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyIdentity {
    pub customer_id: CustomerId,
    pub group_id: GroupId,
    pub key_id: ProvisioningKeyId,
}

impl Enroller for EnrollmentService {
    type Presented = PresentedKey;
    type Key = VerifiedKey;
    type Device = AuthenticatedDevice;

    fn present(&self, text: &str) -> PresentedKey {
        self.present(text)
    }

    async fn verify_key(&self, presented: &PresentedKey) -> Result<Option<VerifiedKey>, EnrollmentError> {
        self.verify_key(presented).await
    }

    fn is_overtaken(&self, presented: &PresentedKey) -> bool {
        self.is_overtaken(presented)
    }

    fn identify(&self, key: &VerifiedKey) -> KeyIdentity {
        KeyIdentity { customer_id: key.customer_id(), group_id: key.group_id(), key_id: key.key_id() }
    }

    async fn enroll(&self, key: VerifiedKey, request: EnrollmentRequest<'_>) -> Result<Enrollment, EnrollmentError> {
        self.enroll(key, request).await
    }

    async fn authenticate(
        &self,
        presented: &CertificateDer<'_>,
        grace: Duration,
    ) -> Result<AuthenticatedDevice, RenewalError> {
        self.authenticate(presented, grace).await
    }

    fn identify_device(&self, device: &AuthenticatedDevice) -> (ComponentId, KeyIdentity) {
        (
            device.component_id(),
            KeyIdentity { customer_id: device.customer_id(), group_id: device.group_id(), key_id: device.key_id() },
        )
    }

    async fn renew(
        &self,
        device: AuthenticatedDevice,
        request: RenewalRequest<'_>,
    ) -> Result<Enrollment, RenewalError> {
        self.renew(device, request).await
    }
}

/// Takes note of refusals of verified keys; counts them in memory and hands the counts to the store
/// now and then. Called on the request's way: must not block.
pub trait RefusalSink: Send + Sync + 'static {
    fn note(&self, key: KeyIdentity, refusal: (Refusal, RefusalReason), source: SourcePrefix, reference: Reference);
}

/// Where the CAs of a customer's component certificates are found. In memory: must not block.
pub trait CustomerTrustAnchors: Send + Sync + 'static {
    /// PEM of the roots; `None` when there is no such customer.
    fn trust_anchors_pem(&self, customer: CustomerId) -> Option<PemText>;

    /// DER of one "certs-only" message: the roots and the CAs below them.
    fn authorities(&self, customer: CustomerId) -> Option<Arc<[u8]>>;

    /// The customer, if there is one and no other.
    fn only_customer(&self) -> Option<CustomerId>;

    fn customer_of_group(&self, group: GroupId) -> Option<CustomerId>;
}

/// Bounds of the door. Replaced while it is open; each request counts with those in force when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollLimits {
    /// From a request's head to its whole body.
    pub body_timeout: Duration,
    pub failures: FailureRate,
    /// Enrollments of verified keys, and renewals of components, at once, of one key three quarters at most; one more
    /// is `overloaded`.
    pub in_flight_max: usize,
    /// How long after its end a certificate still renews.
    pub renew_grace: Duration,
}

impl Default for EnrollLimits {
    fn default() -> Self {
        let (failures, renew_grace) = (FailureRate::default(), Duration::ZERO);
        Self { body_timeout: BODY_TIMEOUT, failures, in_flight_max: 2_048, renew_grace }
    }
}

/// What the door is made of.
pub struct Parts<E> {
    pub enroller: Arc<E>,
    /// PEM of the anchors of the endpoint's own certificate; replaced when that rolls.
    pub server_trust_anchors: Arc<ArcSwap<PemText>>,
    pub customer_trust_anchors: Arc<dyn CustomerTrustAnchors>,
    pub crls: Arc<Crls>,
    pub refusals: Arc<dyn RefusalSink>,
    pub limits: Arc<ArcSwap<EnrollLimits>>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

/// The [`Handler`] of the enrollment listener.
pub struct EnrollDoor<E> {
    gate: Gate<E>,
    server_trust_anchors: Arc<ArcSwap<PemText>>,
    customer_trust_anchors: Arc<dyn CustomerTrustAnchors>,
    crls: Arc<Crls>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Crl,
    CustomerTrustAnchors,
    Enroll,
    Est(est::Operation),
    Health,
    Renew,
    ServerTrustAnchors,
}

/// As [`crl_path`](crate::ca::crl_path) makes it.
const CRL: &str = "/crl/{signingCertId}.crl";

static ROUTES: [Route<Endpoint>; 19] = {
    use Endpoint::{Crl, CustomerTrustAnchors, Enroll, Est, Health, Renew, ServerTrustAnchors};
    use est::Operation::{CaCerts, CsrAttrs, SimpleEnroll, SimpleReenroll};

    const fn get(pattern: &'static str, endpoint: Endpoint) -> Route<Endpoint> {
        Route { method: Method::GET, pattern, endpoint }
    }
    const fn post(pattern: &'static str, endpoint: Endpoint) -> Route<Endpoint> {
        Route { method: Method::POST, pattern, endpoint }
    }
    [
        post("/v1/enroll", Enroll),
        post("/v1/renew", Renew),
        get("/v1/trust-anchors", ServerTrustAnchors),
        get("/v1/trust-anchors/{customerId}", CustomerTrustAnchors),
        get(CRL, Crl),
        Route { method: Method::HEAD, pattern: CRL, endpoint: Crl },
        get("/healthz", Health),
        get("/.well-known/est/cacerts", Est(CaCerts)),
        get("/.well-known/est/csrattrs", Est(CsrAttrs)),
        post("/.well-known/est/simpleenroll", Est(SimpleEnroll)),
        post("/.well-known/est/simplereenroll", Est(SimpleReenroll)),
        get("/.well-known/est/{label}/cacerts", Est(CaCerts)),
        get("/.well-known/est/{label}/csrattrs", Est(CsrAttrs)),
        post("/.well-known/est/{label}/simpleenroll", Est(SimpleEnroll)),
        post("/.well-known/est/{label}/simplereenroll", Est(SimpleReenroll)),
        get("*/{label}/.well-known/est/cacerts", Est(CaCerts)),
        get("*/{label}/.well-known/est/csrattrs", Est(CsrAttrs)),
        post("*/{label}/.well-known/est/simpleenroll", Est(SimpleEnroll)),
        post("*/{label}/.well-known/est/simplereenroll", Est(SimpleReenroll)),
    ]
};

#[async_trait]
impl<E: Enroller> Handler for EnrollDoor<E> {
    async fn handle(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        match route::find(&ROUTES, request.method(), path) {
            Found::Endpoint(Endpoint::Enroll, _) => {
                let mut visit = self.gate.visit(peer);
                let answered = self.enroll(request, &mut visit, &peer.silence).await;
                self.gate.finish(answered, visit, ProblemKind::answer)
            }
            Found::Endpoint(Endpoint::Renew, _) => {
                let mut visit = self.gate.visit(peer);
                let answered = self.renew(request, &mut visit, peer).await;
                self.gate.finish(answered, visit, ProblemKind::answer)
            }
            Found::Endpoint(Endpoint::ServerTrustAnchors, _) => {
                let pem = self.server_trust_anchors.load();
                answer_all("/v1/trust-anchors", PEM, pem.as_str().to_owned(), peer)
            }
            Found::Endpoint(Endpoint::CustomerTrustAnchors, customer) => {
                let anchors =
                    customer.parse().ok().and_then(|customer| self.customer_trust_anchors.trust_anchors_pem(customer));
                match anchors {
                    Some(pem) => answer_all("/v1/trust-anchors/{customerId}", PEM, pem.as_str().to_owned(), peer),
                    None => self.refuse_at_once(Refused::NotFound, path, peer),
                }
            }
            Found::Endpoint(Endpoint::Crl, id) => match id.parse().ok().and_then(|id| self.crls.find(id)) {
                Some(crl) => {
                    tell_of_public(CRL, peer);
                    crl::answer(crl, request.headers(), self.gate.clock.now())
                }
                None => self.refuse_at_once(Refused::NotFound, path, peer),
            },
            Found::Endpoint(Endpoint::Est(operation), label) => {
                let label = est::Label::parse(label);
                // Boxed: what it needs is not to be carried through every enrollment.
                Box::pin(self.est(operation, label, request, peer)).await
            }
            Found::Endpoint(Endpoint::Health, _) => answer_all("/healthz", "text/plain; charset=utf-8", "ok\n", peer),
            Found::MethodNotAllowed(methods) => self.refuse_at_once(Refused::MethodNotAllowed(methods), path, peer),
            Found::NotFound => self.refuse_at_once(Refused::NotFound, path, peer),
        }
    }
}

impl<E: Enroller> EnrollDoor<E> {
    pub fn new(parts: Parts<E>) -> Self {
        let Parts { enroller, server_trust_anchors, customer_trust_anchors, crls, refusals, limits, clock, metrics } =
            parts;
        let now = Instant::now();
        let gate = Gate {
            enroller,
            refusals,
            limits,
            clock,
            metrics,
            failures: FailureLimiter::new(now),
            quiet: Arc::new(Quiet::new(now)),
            in_flight: Mutex::default(),
        };
        Self { gate, server_trust_anchors, customer_trust_anchors, crls }
    }

    /// `POST /v1/enroll`: the checks in the order of docs/contract.md, "Checks".
    async fn enroll(
        &self,
        request: Request<Incoming>,
        visit: &mut Visit<'_>,
        silence: &Silence,
    ) -> Result<Response<Full<Bytes>>, Stop> {
        let gate = &self.gate;
        let limits = gate.limits.load_full();
        let body = gate.read(request, Format::Json, &limits, silence).await?;
        let decoded = Decoded::decode(&body).map_err(Refused::Malformed)?;
        let present = || decoded.present_key(|text| gate.enroller.present(text));
        let known = gate.verify(present, visit).await?;
        let entered = gate.enter(known, &limits)?;
        let csr = decoded.csr();
        let request = EnrollmentRequest {
            fingerprint: decoded.fingerprint().clone(),
            device: decoded.device(),
            csr: &csr,
            remote_address: visit.address,
        };
        let enrollment = gate.enroll(entered, request, visit).await?;
        Ok(self.enrolled(enrollment))
    }

    fn enrolled(&self, enrollment: Enrollment) -> Response<Full<Bytes>> {
        let anchors = self.server_trust_anchors.load();
        encode::enrolled(enrollment, &anchors, self.gate.clock.now())
    }

    /// A refusal of a request that reaches no endpoint.
    fn refuse_at_once(&self, refused: Refused, path: &str, peer: &Peer) -> Response<Full<Bytes>> {
        let write = if est::is_below(path) { est::refusal } else { ProblemKind::answer };
        self.gate.refuse(refused, self.gate.visit(peer), write)
    }
}

/// What everyone may know.
fn answer_all(
    route: &'static str,
    content_type: &'static str,
    body: impl Into<Bytes>,
    peer: &Peer,
) -> Response<Full<Bytes>> {
    tell_of_public(route, peer);
    http::answer(StatusCode::OK, content_type, body)
}

/// Its line in the log is for debugging: balancers ask every few seconds.
fn tell_of_public(route: &'static str, peer: &Peer) {
    let address = peer.address.ip();
    tracing::debug!(target: "muster::enroll", route, remote.address = %address, "A public answer was given.");
}
