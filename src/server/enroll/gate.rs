//! The one way to a certificate. Every protocol at this door asks here, step by step, and no path to the signer goes
//! around it:
//!
//! ```text
//! verify, authenticate    whose key string, whose certificate?     else a 401; nothing else was done for its bearer
//! read                    the body, of a known type, bounded
//! enter                   a place among those in flight            else 503
//! enroll, renew           the use case                             else a refusal, counted for the key
//! finish                  what is told, limited, counted, logged
//! ```
//!
//! A step takes what the one before it made, so that none is left out. What requests and answers look like, and when
//! the body is read, is the protocol's business ([`super`], [`super::est`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderValue};
use hyper::{Request, Response};

use super::refused::Refused;
use super::visit::Visit;
use super::{EnrollLimits, Enroller, KeyIdentity, RefusalSink};
use crate::clock::{Clock, Timestamp};
use crate::domain::Reference;
use crate::domain::address::SourcePrefix;
use crate::enrollment::renewal::RenewalRequest;
use crate::enrollment::{Enrollment, EnrollmentRequest};
use crate::id::ProvisioningKeyId;
use crate::metrics::Metrics;
use crate::protocol::enroll::BODY_BYTES_MAX;
use crate::server::http::failures::FailureLimiter;
use crate::server::http::problem::ProblemKind;
use crate::server::http::quiet::Quiet;
use crate::server::http::silence::Silence;
use crate::server::http::{self, BodyError, Peer, Unanswered, has_type, is_json, read_body_within};
use crate::server::shares::Shares;

/// What all protocols share.
pub struct Gate<E> {
    pub enroller: Arc<E>,
    pub refusals: Arc<dyn RefusalSink>,
    pub limits: Arc<ArcSwap<EnrollLimits>>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub failures: FailureLimiter,
    pub quiet: Arc<Quiet>,
    pub in_flight: Mutex<InFlight>,
}

/// Enrollments of verified keys, in all and by key: a storm with one key leaves places to the others.
#[derive(Default)]
pub struct InFlight {
    total: usize,
    keys: Shares<ProvisioningKeyId>,
}

/// A key string that verified, or a component that showed its certificate. Only [`Gate::verify`] and
/// [`Gate::authenticate`] make one.
pub struct Known<T> {
    who: T,
    identity: KeyIdentity,
}

/// The same with a place among those in flight, until it is dropped. Only [`Gate::enter`] makes one.
pub struct Entered<'a, T> {
    known: Known<T>,
    permit: Permit<'a>,
}

/// What a body is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Pkcs10,
}

/// Why a request was not enrolled: refused, or nobody is there to answer.
pub enum Stop {
    Refused(Refused),
    Unanswered(Unanswered),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// How a protocol writes a refusal.
pub type Write = fn(&ProblemKind, Reference, Timestamp) -> Response<Full<Bytes>>;

impl Format {
    fn is_of(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Json => is_json(headers),
            Self::Pkcs10 => has_type(headers, "application/pkcs10"), // RFC 5967
        }
    }
}

impl<T> Known<T> {
    pub fn identity(&self) -> KeyIdentity {
        self.identity
    }
}

impl<E: Enroller> Gate<E> {
    /// A request that has come; it is told of when the visit is dropped.
    pub fn visit(&self, peer: &Peer) -> Visit<'_> {
        Visit::begin(&self.metrics, &self.quiet, peer.address.ip())
    }

    /// Check 2: the key string is known. `present` hands the text to [`Enroller::present`]: once, and once more when it was
    /// not known by what has been overtaken since.
    ///
    /// # Errors
    /// The one 401, or that nobody can tell for the moment.
    pub async fn verify(
        &self,
        present: impl Fn() -> E::Presented,
        visit: &mut Visit<'_>,
    ) -> Result<Known<E::Key>, Refused> {
        loop {
            let presented = present();
            match self.enroller.verify_key(&presented).await {
                Ok(Some(key)) => {
                    let identity = self.enroller.identify(&key);
                    visit.key = Some(identity);
                    return Ok(Known { who: key, identity });
                }
                Ok(None) if self.enroller.is_overtaken(&presented) => {}
                Ok(None) => return Err(Refused::InvalidKey),
                Err(error) => return Err(visit.fails(error)),
            }
        }
    }

    /// The same for a renewal: the connection was made with a component's certificate.
    ///
    /// # Errors
    /// There is none, or it is refused, or nobody can tell for the moment.
    pub async fn authenticate(
        &self,
        peer: &Peer,
        limits: &EnrollLimits,
        visit: &mut Visit<'_>,
    ) -> Result<Known<E::Device>, Refused> {
        let presented = peer.client_certificate.as_ref().ok_or(Refused::MissingCertificate)?;
        match self.enroller.authenticate(presented, limits.renew_grace).await {
            Ok(device) => {
                let (component, identity) = self.enroller.identify_device(&device);
                (visit.component, visit.key) = (Some(component), Some(identity));
                Ok(Known { who: device, identity })
            }
            Err(error) => Err(visit.fails(error)),
        }
    }

    /// The whole body, of at most [`BODY_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// It is of another type or larger, or nobody waits for an answer.
    pub async fn read(
        &self,
        request: Request<Incoming>,
        format: Format,
        limits: &EnrollLimits,
        silence: &Silence,
    ) -> Result<Bytes, Stop> {
        if !format.is_of(request.headers()) {
            return Err(Refused::UnsupportedMediaType(format).into());
        }
        silence.begin();
        let body = read_body_within(request.into_body(), BODY_BYTES_MAX, limits.body_timeout).await;
        silence.end().await;
        body.map_err(|error| match error {
            BodyError::TooLarge { .. } => Refused::BodyTooLarge.into(),
            BodyError::Broken => Stop::Unanswered(Unanswered::Broken),
            BodyError::TimedOut => Stop::Unanswered(Unanswered::TimedOut),
        })
    }

    /// # Errors
    /// No place is free, or the key has its share of them.
    pub fn enter<T>(&self, known: Known<T>, limits: &EnrollLimits) -> Result<Entered<'_, T>, Refused> {
        let key = known.identity.key_id;
        let mut in_flight = lock(&self.in_flight);
        let free = limits.in_flight_max.saturating_sub(in_flight.total);
        if !in_flight.keys.take(key, free) {
            return Err(Refused::Overloaded);
        }
        in_flight.total += 1;
        Ok(Entered { known, permit: Permit { in_flight: &self.in_flight, key } })
    }

    /// Checks 3 to 6. What comes back is durable.
    ///
    /// # Errors
    /// What the use case says; where it is the key or the device that is refused, that was counted.
    pub async fn enroll(
        &self,
        entered: Entered<'_, E::Key>,
        request: EnrollmentRequest<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<Enrollment, Refused> {
        let Entered { known: Known { who, identity }, permit: _permit } = entered;
        match self.enroller.enroll(who, request).await {
            Ok(enrollment) => {
                visit.enrolled(&enrollment);
                Ok(enrollment)
            }
            Err(error) => {
                if let Some(refusal) = error.refusal() {
                    let source = SourcePrefix::of(visit.address);
                    self.refusals.note(identity, refusal, source, visit.reference);
                }
                Err(visit.fails(error))
            }
        }
    }

    /// The next certificate of a component. What comes back is durable.
    ///
    /// # Errors
    /// What the use case says.
    pub async fn renew(
        &self,
        entered: Entered<'_, E::Device>,
        request: RenewalRequest<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<Enrollment, Refused> {
        let Entered { known, permit: _permit } = entered;
        match self.enroller.renew(known.who, request).await {
            Ok(enrollment) => {
                visit.enrolled(&enrollment);
                Ok(enrollment)
            }
            Err(error) => Err(visit.fails(error)),
        }
    }

    /// What is answered when a protocol is done with a request.
    pub fn finish(
        &self,
        answered: Result<Response<Full<Bytes>>, Stop>,
        visit: Visit<'_>,
        write: Write,
    ) -> Response<Full<Bytes>> {
        match answered {
            Ok(response) => response,
            Err(Stop::Refused(refused)) => self.refuse(refused, visit, write),
            Err(Stop::Unanswered(reason)) => http::unanswered(reason),
        }
    }

    /// What is answered to one that is refused. Of failures that are too many it says so instead.
    pub fn refuse(&self, refused: Refused, mut visit: Visit<'_>, write: Write) -> Response<Full<Bytes>> {
        let is_anonymous = visit.key.is_none();
        let is_failure = refused.is_failure(is_anonymous);
        let refused = if is_failure && !self.may_fail(&visit) { Refused::RateLimited } else { refused };
        let problem = refused.problem();
        visit.refused(&problem);
        let mut response = write(&problem, visit.reference, self.clock.now());
        let headers = response.headers_mut();
        headers.extend(refused.allow());
        if is_anonymous || is_failure {
            // Whoever showed no key that verified, and no certificate of a component, gets no place to wait on either;
            // nor does one whose key went away meanwhile, as every 401 is the same.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn may_fail(&self, visit: &Visit<'_>) -> bool {
        let rate = self.limits.load().failures;
        self.failures.admit(SourcePrefix::of(visit.address), rate, Instant::now()).is_ok()
    }
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
