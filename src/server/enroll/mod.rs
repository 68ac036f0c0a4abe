//! The enrollment door: what devices call.
//!
//! | route | answers |
//! |---|---|
//! | `POST /v1/enroll` | a certificate, or a refusal with code and reference |
//! | `GET /v1/trust-anchors` | PEM of the anchors of this endpoint's TLS certificate |
//! | `GET /v1/trust-anchors/{customerId}` | PEM of the roots of a customer's component certificates |
//! | `GET /healthz` | `ok`, as long as the process answers |
//!
//! The door checks the form of a request ([`decode`]), asks whether the key verifies, and hands the
//! rest to the [`Enroller`]. For a caller whose key does not verify there is nothing else: no CSR
//! work, no place in the queue, no disk write. It gets the one 401, or a 429 in its place
//! ([`FailureLimiter`]), and its connection is closed.
//!
//! What it deliberately does not do: judge keys, groups or devices; know the store; see a key
//! string anywhere but on its way to [`Enroller::present`].

pub mod decode;
pub mod encode;
mod refused;
mod visit;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use self::decode::Decoded;
use self::refused::Refused;
use self::visit::Visit;
use super::http::failures::{FailureLimiter, FailureRate};
use super::http::quiet::Quiet;
use super::http::route::{self, Found, Route};
use super::http::silence::Silence;
use super::http::{self, BODY_TIMEOUT, BodyError, Handler, Peer, Unanswered, is_json, read_body_within};
use super::shares::Shares;
use crate::clock::Clock;
use crate::domain::address::SourcePrefix;
use crate::domain::{Reference, Refusal, RefusalReason};
use crate::enrollment::{Enrollment, EnrollmentError, EnrollmentRequest, EnrollmentService, VerifiedKey};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::index::PresentedKey;
use crate::metrics::Metrics;
use crate::protocol::enroll::{BODY_BYTES_MAX, PemText};

/// RFC 8555 §9.1: one or more certificates as PEM.
const PEM: &str = "application/pem-certificate-chain";

/// What the door needs of the use case. [`EnrollmentService`] is one.
pub trait Enroller: Send + Sync + 'static {
    /// What a key string is verified by, without the string.
    type Presented: Send;

    /// A key string that verified.
    type Key: Send;

    /// The only one that sees the text; the same work for each of a length.
    fn present(&self, text: &str) -> Self::Presented;

    /// `None` is the one 401; an error says that nobody can tell for the moment. Takes the same way whatever
    /// is wrong with the text.
    fn verify_key(
        &self,
        presented: Self::Presented,
    ) -> impl Future<Output = Result<Option<Self::Key>, EnrollmentError>> + Send;

    /// Whose key it is, for the log and the tally.
    fn identify(&self, key: &Self::Key) -> KeyIdentity;

    fn enroll(
        &self,
        key: Self::Key,
        request: EnrollmentRequest<'_>,
    ) -> impl Future<Output = Result<Enrollment, EnrollmentError>> + Send;
}

/// Which key a request came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyIdentity {
    pub customer_id: CustomerId,
    pub key_id: ProvisioningKeyId,
}

impl Enroller for EnrollmentService {
    type Presented = PresentedKey;
    type Key = VerifiedKey;

    fn present(&self, text: &str) -> PresentedKey {
        self.present(text)
    }

    async fn verify_key(&self, presented: PresentedKey) -> Result<Option<VerifiedKey>, EnrollmentError> {
        self.verify_key(presented).await
    }

    fn identify(&self, key: &VerifiedKey) -> KeyIdentity {
        KeyIdentity { customer_id: key.customer_id(), key_id: key.key_id() }
    }

    async fn enroll(&self, key: VerifiedKey, request: EnrollmentRequest<'_>) -> Result<Enrollment, EnrollmentError> {
        self.enroll(key, request).await
    }
}

/// Takes note of refusals of verified keys; counts them in memory and hands the counts to the store
/// now and then. Called on the request's way: must not block.
pub trait RefusalSink: Send + Sync + 'static {
    fn note(&self, key: KeyIdentity, refusal: (Refusal, RefusalReason), source: SourcePrefix, reference: Reference);
}

/// Where the roots of a customer's component certificates are found. In memory: must not block.
pub trait CustomerTrustAnchors: Send + Sync + 'static {
    /// PEM; `None` when there is no such customer.
    fn trust_anchors_pem(&self, customer: CustomerId) -> Option<PemText>;
}

/// Bounds of the door. Replaced while it is open; each request counts with those in force when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollLimits {
    /// From a request's head to its whole body.
    pub body_timeout: Duration,
    pub failures: FailureRate,
    /// Enrollments of verified keys at once, of one key three quarters at most; one more is `overloaded`.
    pub in_flight_max: usize,
}

impl Default for EnrollLimits {
    fn default() -> Self {
        Self { body_timeout: BODY_TIMEOUT, failures: FailureRate::default(), in_flight_max: 2_048 }
    }
}

/// What the door is made of.
pub struct Parts<E> {
    pub enroller: Arc<E>,
    /// PEM of the anchors of the endpoint's own certificate; replaced when that rolls.
    pub server_trust_anchors: Arc<ArcSwap<PemText>>,
    pub customer_trust_anchors: Arc<dyn CustomerTrustAnchors>,
    pub refusals: Arc<dyn RefusalSink>,
    pub limits: Arc<ArcSwap<EnrollLimits>>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

/// The [`Handler`] of the enrollment listener.
pub struct EnrollDoor<E> {
    parts: Parts<E>,
    failures: FailureLimiter,
    quiet: Arc<Quiet>,
    in_flight: Mutex<InFlight>,
}

/// Enrollments of verified keys, in all and by key: a storm with one key leaves places to the others.
#[derive(Default)]
struct InFlight {
    total: usize,
    keys: Shares<ProvisioningKeyId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    CustomerTrustAnchors,
    Enroll,
    Health,
    ServerTrustAnchors,
}

static ROUTES: [Route<Endpoint>; 4] = [
    Route { method: Method::POST, pattern: "/v1/enroll", endpoint: Endpoint::Enroll },
    Route { method: Method::GET, pattern: "/v1/trust-anchors", endpoint: Endpoint::ServerTrustAnchors },
    Route { method: Method::GET, pattern: "/v1/trust-anchors/{customerId}", endpoint: Endpoint::CustomerTrustAnchors },
    Route { method: Method::GET, pattern: "/healthz", endpoint: Endpoint::Health },
];

/// Why a request was not enrolled: refused, or nobody is there to answer.
enum Stop {
    Refused(Refused),
    Unanswered(Unanswered),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

#[async_trait]
impl<E: Enroller> Handler for EnrollDoor<E> {
    async fn handle(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        match route::find(&ROUTES, request.method(), request.uri().path()) {
            Found::Endpoint(Endpoint::Enroll, _) => {
                let mut visit = Visit::begin(&self.parts.metrics, &self.quiet, peer.address.ip());
                match self.enroll(request, &mut visit, &peer.silence).await {
                    Ok(response) => response,
                    Err(Stop::Refused(refused)) => self.refuse(refused, visit),
                    Err(Stop::Unanswered(reason)) => http::unanswered(reason),
                }
            }
            Found::Endpoint(Endpoint::ServerTrustAnchors, _) => {
                let pem = self.parts.server_trust_anchors.load();
                answer_all("/v1/trust-anchors", PEM, pem.as_str().to_owned(), peer)
            }
            Found::Endpoint(Endpoint::CustomerTrustAnchors, customer) => {
                let anchors = customer
                    .parse()
                    .ok()
                    .and_then(|customer| self.parts.customer_trust_anchors.trust_anchors_pem(customer));
                match anchors {
                    Some(pem) => answer_all("/v1/trust-anchors/{customerId}", PEM, pem.as_str().to_owned(), peer),
                    None => self.refuse_at_once(Refused::NotFound, peer),
                }
            }
            Found::Endpoint(Endpoint::Health, _) => answer_all("/healthz", "text/plain; charset=utf-8", "ok\n", peer),
            Found::MethodNotAllowed(methods) => self.refuse_at_once(Refused::MethodNotAllowed(methods), peer),
            Found::NotFound => self.refuse_at_once(Refused::NotFound, peer),
        }
    }
}

impl<E: Enroller> EnrollDoor<E> {
    pub fn new(parts: Parts<E>) -> Self {
        let now = Instant::now();
        Self {
            parts,
            failures: FailureLimiter::new(now),
            quiet: Arc::new(Quiet::new(now)),
            in_flight: Mutex::default(),
        }
    }

    /// `POST /v1/enroll`: the checks in the order of docs/contract.md, "Checks".
    async fn enroll(
        &self,
        request: Request<Incoming>,
        visit: &mut Visit<'_>,
        silence: &Silence,
    ) -> Result<Response<Full<Bytes>>, Stop> {
        let limits = self.parts.limits.load_full();
        if !is_json(request.headers()) {
            return Err(Refused::UnsupportedMediaType.into());
        }
        silence.begin();
        let body = read_body_within(request.into_body(), BODY_BYTES_MAX, limits.body_timeout).await;
        silence.end().await;
        let body = match body {
            Ok(body) => body,
            Err(BodyError::TooLarge { .. }) => return Err(Refused::BodyTooLarge.into()),
            Err(BodyError::Broken) => return Err(Stop::Unanswered(Unanswered::Broken)),
            Err(BodyError::TimedOut) => return Err(Stop::Unanswered(Unanswered::TimedOut)),
        };

        let decoded = Decoded::decode(&body).map_err(Refused::Malformed)?;
        let presented = decoded.present_key(|text| self.parts.enroller.present(text));
        let key = match self.parts.enroller.verify_key(presented).await {
            Ok(key) => key.ok_or(Refused::InvalidKey)?,
            Err(error) => return Err(visit.fails(error).into()),
        };
        let identity = self.parts.enroller.identify(&key);
        visit.key = Some(identity);
        let _permit = self.enter(identity.key_id, limits.in_flight_max).ok_or(Refused::Overloaded)?;

        let csr = decoded.csr();
        let request = EnrollmentRequest {
            fingerprint: decoded.fingerprint().clone(),
            device: decoded.device(),
            csr: &csr,
            remote_address: visit.address,
        };
        match self.parts.enroller.enroll(key, request).await {
            Ok(enrollment) => {
                visit.enrolled(&enrollment);
                let anchors = self.parts.server_trust_anchors.load();
                Ok(encode::enrolled(enrollment, &anchors, self.parts.clock.now()))
            }
            Err(error) => {
                if let Some(refusal) = error.refusal() {
                    let source = SourcePrefix::of(visit.address);
                    self.parts.refusals.note(identity, refusal, source, visit.reference);
                }
                Err(visit.fails(error).into())
            }
        }
    }

    /// A refusal of a request that reaches no endpoint.
    fn refuse_at_once(&self, refused: Refused, peer: &Peer) -> Response<Full<Bytes>> {
        self.refuse(refused, Visit::begin(&self.parts.metrics, &self.quiet, peer.address.ip()))
    }

    fn refuse(&self, refused: Refused, mut visit: Visit<'_>) -> Response<Full<Bytes>> {
        let is_failure = refused.is_failure();
        let refused = if is_failure && !self.may_fail(&visit) { Refused::RateLimited } else { refused };
        let problem = refused.problem();
        visit.refused(&problem);
        let mut response = problem.answer(visit.reference, self.parts.clock.now());
        let headers = response.headers_mut();
        headers.extend(refused.allow());
        if visit.key.is_none() || is_failure {
            // Whoever showed no key that verified gets no place to wait on either; nor does one whose key
            // went away meanwhile, as every 401 is the same.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn may_fail(&self, visit: &Visit<'_>) -> bool {
        let rate = self.parts.limits.load().failures;
        self.failures.admit(SourcePrefix::of(visit.address), rate, Instant::now()).is_ok()
    }

    /// A place among the enrollments in flight, until it is dropped.
    fn enter(&self, key: ProvisioningKeyId, in_flight_max: usize) -> Option<Permit<'_>> {
        let mut in_flight = lock(&self.in_flight);
        let free = in_flight_max.saturating_sub(in_flight.total);
        let is_taken = in_flight.keys.take(key, free);
        in_flight.total += usize::from(is_taken);
        is_taken.then(|| Permit { in_flight: &self.in_flight, key })
    }
}

/// What everyone may know. Its line in the log is for debugging: balancers ask every few seconds.
fn answer_all(
    route: &'static str,
    content_type: &'static str,
    body: impl Into<Bytes>,
    peer: &Peer,
) -> Response<Full<Bytes>> {
    let address = peer.address.ip();
    tracing::debug!(target: "muster::enroll", route, remote.address = %address, "A public answer was given.");
    http::answer(StatusCode::OK, content_type, body)
}

struct Permit<'a> {
    in_flight: &'a Mutex<InFlight>,
    key: ProvisioningKeyId,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut in_flight = lock(self.in_flight);
        in_flight.total -= 1;
        in_flight.keys.give_back(&self.key);
    }
}

fn lock(in_flight: &Mutex<InFlight>) -> MutexGuard<'_, InFlight> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}
