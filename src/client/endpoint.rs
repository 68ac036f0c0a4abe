//! What an enrollment and a renewal have in common: a request goes to the enrollment endpoint, again until there
//! is an answer, and the answer is proven to be a certificate for the key pair of the request.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::{CertificateError, ClientConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::time::{Instant, sleep, timeout_at};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::http::{Answer, ExchangeError, HostPort, Target, exchange};
use super::state::StateError;
use super::tls::TrustError;
use crate::clock::Timestamp;
use crate::domain::Cloud;
use crate::protocol::enroll::{EnrollResponse, Outcome};
use crate::protocol::problem::Problem;
use crate::secret::random_bytes;
use crate::tls_provider;

/// Two chains and the anchors of a roll fit many times over.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Longest pause of a device that waits for its certificate.
pub const DELAY_MAX: Duration = Duration::from_secs(30);

/// What is worth telling while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    Connecting {
        host: &'a str,
        address: SocketAddr,
    },
    /// An attempt failed; the next starts after `delay`.
    Retrying {
        error: &'a EndpointError,
        delay: Duration,
    },
}

/// A refusal by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    /// Absent if the answer was no problem of ours, e.g. a proxy's.
    pub code: Option<String>,
    pub reference: Option<String>,
    pub detail: Option<String>,
    pub retry_after: Option<Duration>,
    /// What the server's clock said.
    pub server_time: Option<Timestamp>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// No connection was made.
    #[error("the provisioning key is damaged, copy it again")]
    DamagedKey,
    #[error("refused: {0}")]
    Refused(Refused),
    /// Another server answers there, or someone is in between.
    #[error("{host} is not trusted: {reason}")]
    NotTrusted { host: String, reason: rustls::Error },
    /// Whom to trust could not be set up.
    #[error("whom to trust: {0}")]
    Trust(#[from] TrustError),
    #[error("{host} is unreachable: {reason}")]
    Unreachable { host: String, reason: ExchangeError },
    /// It was not written anywhere.
    #[error("the answer is not acceptable: {0}")]
    Answer(&'static str),
    #[error(transparent)]
    State(#[from] StateError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http status {}", self.status)?;
        self.code.iter().try_for_each(|code| write!(f, ", {code}"))
    }
}

impl EndpointError {
    /// Whether the same request may be answered otherwise in a while.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refused) => matches!(refused.status, 429 | 500..),
            Self::Answer(_) | Self::DamagedKey | Self::NotTrusted { .. } | Self::State(_) | Self::Trust(_) => false,
        }
    }

    /// Whether the server's certificate is refused for its dates, which a wrong clock of this machine explains as well.
    pub fn blames_the_clock(&self) -> bool {
        use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
        let Self::NotTrusted { reason: rustls::Error::InvalidCertificate(reason), .. } = self else { return false };
        matches!(reason, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
    }

    /// Whether it is this refusal.
    pub fn is_refusal(&self, code: &str) -> bool {
        matches!(self, Self::Refused(refused) if refused.code.as_deref() == Some(code))
    }

    pub(super) fn of_exchange(cloud: &Cloud, error: ExchangeError) -> Self {
        let host = cloud.host().to_owned();
        match error {
            ExchangeError::NotTrusted(reason) => Self::NotTrusted { host, reason },
            reason => Self::Unreachable { host, reason },
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            _ => None,
        }
    }
}

/// Where a device of this cloud calls.
pub(super) fn target(cloud: Cloud, connect: Option<HostPort>, tls: Arc<ClientConfig>) -> Target {
    Target { cloud, connect, from: None, tls, answer_bytes_max: ANSWER_BYTES_MAX }
}

/// PKCS#10 as PEM, with an empty subject: the server takes the public key and nothing else.
pub(super) fn csr_of(key_pair: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key_pair).and_then(|csr| csr.pem()).expect("an empty subject and a working key make a CSR")
}

/// What is asked of the endpoint.
pub(super) struct Question<'a> {
    pub target: &'a Target,
    pub path: &'static str,
    pub body: Bytes,
    /// Of the key pair that the certificate is to be for: SubjectPublicKeyInfo, DER.
    pub public_key: &'a [u8],
    /// How long to go on after the first attempt failed in a way that may pass. Zero: one attempt.
    pub timeout: Duration,
}

impl Question<'_> {
    /// Asks until there is an answer, and proves it.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn ask(&self, observe: &mut (dyn FnMut(Event<'_>) + Send)) -> Result<EnrollResponse, EndpointError> {
        let mut patience = Patience::since(Instant::now(), self.timeout);
        let answer = loop {
            let connecting = |address| observe(Event::Connecting { host: self.target.cloud.host(), address });
            let attempt = try_once(self.target, self.path, self.body.clone(), patience.cut_at(), connecting);
            let error = match attempt.await {
                Ok(answer) => break answer,
                Err(error) => error,
            };
            let Some(delay) = patience.delay_after(&error) else { return Err(error) };
            observe(Event::Retrying { error: &error, delay });
            sleep(delay).await;
        };
        verify(&answer, self.public_key).map_err(EndpointError::Answer)?;
        Ok(answer)
    }
}

/// One connection, one request, cut off at the deadline; without one the exchange's own limits hold.
pub(super) async fn try_once(
    target: &Target,
    path: &'static str,
    body: Bytes,
    deadline: Option<Instant>,
    connected: impl FnOnce(SocketAddr),
) -> Result<EnrollResponse, EndpointError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(Full::new(body))
        .expect("the parts are constants");
    let exchange = exchange(target, request, connected);
    let answer = match deadline {
        None => exchange.await,
        Some(deadline) => timeout_at(deadline, exchange).await.unwrap_or(Err(ExchangeError::CutOff)),
    };
    let answer = answer.map_err(|error| EndpointError::of_exchange(&target.cloud, error))?;
    if answer.status.as_u16() == 200 {
        return serde_json::from_slice(&answer.body).map_err(|_| EndpointError::Answer("it is no enrollment"));
    }
    Err(EndpointError::Refused(refused_of(&answer)))
}

fn refused_of(answer: &Answer) -> Refused {
    let problem = serde_json::from_slice::<Problem>(&answer.body).ok();
    let word = |text: &str| {
        let plain = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        plain.then(|| text.to_owned())
    };
    Refused {
        status: answer.status.as_u16(),
        code: problem.as_ref().and_then(|problem| word(&problem.code)),
        reference: problem.as_ref().and_then(|problem| word(&problem.reference)),
        server_time: problem.as_ref().and_then(|problem| Timestamp::from_rfc3339(&problem.server_time).ok()),
        detail: problem.map(|problem| problem.detail.chars().filter(|c| !c.is_control()).take(300).collect()),
        retry_after: answer.retry_after,
    }
}

/// How long a device goes on asking, and how long it waits in between.
pub(super) struct Patience {
    deadline: Instant,
    is_one_attempt: bool,
    attempt: u32,
}

impl Patience {
    /// No attempt begins at or after `since + timeout`. Zero: one attempt.
    pub(super) fn since(since: Instant, timeout: Duration) -> Self {
        Self { deadline: since + timeout, is_one_attempt: timeout.is_zero(), attempt: 0 }
    }

    /// When an attempt is cut off; the only one is not.
    pub(super) fn cut_at(&self) -> Option<Instant> {
        (!self.is_one_attempt).then_some(self.deadline)
    }

    /// How long to wait for the next attempt; `None` if there will be none.
    pub(super) fn delay_after(&mut self, error: &EndpointError) -> Option<Duration> {
        let delay = delay_before_retry(self.attempt, error.retry_after());
        self.attempt += 1;
        (error.may_pass() && Instant::now() + delay < self.deadline).then_some(delay)
    }
}

/// What the server asks for, at least a second, and up to half of it on top; else doubling from a second to half a
/// minute, of which a random half is waited, so that a fleet that lost its server does not come
/// back as one.
pub(super) fn delay_before_retry(attempt: u32, retry_after: Option<Duration>) -> Duration {
    spread_delay(attempt, retry_after, DELAY_MAX, random_fraction())
}

/// The same with its bound and its chance, 0 to 1, as parameters.
pub(super) fn spread_delay(attempt: u32, retry_after: Option<Duration>, max: Duration, random: f64) -> Duration {
    match retry_after {
        Some(asked) => asked.max(FIRST_DELAY).mul_f64(1.0 + random / 2.0),
        None => (FIRST_DELAY * 2u32.saturating_pow(attempt.min(16))).min(max).mul_f64(0.5 + random / 2.0),
    }
}

/// Uniform from 0 to 1.
pub(super) fn random_fraction() -> f64 {
    f64::from(u32::from_le_bytes(*random_bytes::<4>())) / f64::from(u32::MAX)
}

/// The certificate is for our key (its SubjectPublicKeyInfo, DER) and leads to an anchor that came with it (RFC 5280 §6, by
/// rustls-webpki), judged at the server's time: the clock of a device at first boot may be off. A replayed certificate may
/// have ended since it was made, as its answer was lost for long; it is judged at its end, as it leads to the next one.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify(answer: &EnrollResponse, public_key: &[u8]) -> Result<(), &'static str> {
    let leaf = CertificateDer::from_pem_slice(answer.certificate.as_bytes()).map_err(|_| "no certificate")?;
    let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| "the certificate does not parse")?;
    if parsed.public_key().raw != public_key {
        return Err("the certificate is for another key pair");
    }
    let read = |pem: &str| -> Result<Vec<CertificateDer<'static>>, &'static str> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| "a PEM block is broken")
    };
    let (chain, roots) = (read(&answer.chain)?, read(&answer.trust_anchors)?);
    read(&answer.server_trust_anchors)?;
    let anchors = roots.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>();
    let anchors = anchors.map_err(|_| "a trust anchor is broken")?;
    let server_time = Timestamp::from_rfc3339(&answer.server_time).map_err(|_| "serverTime is no time")?;
    let not_after = Timestamp::from_unix_seconds(parsed.validity().not_after.timestamp());
    let judged_at = if answer.outcome == Outcome::Replayed { server_time.min(not_after) } else { server_time };
    let seconds = u64::try_from(judged_at.unix_seconds()).map_err(|_| "serverTime is no time")?;
    EndEntityCert::try_from(&leaf)
        .and_then(|leaf| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            let usage = KeyUsage::client_auth();
            let algorithms = tls_provider::provider().signature_verification_algorithms.all;
            leaf.verify_for_usage(algorithms, &anchors, &chain, time, usage, None, None)?;
            Ok(())
        })
        .map_err(|_| "the certificate does not lead to its trust anchors")
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData as _;

    use super::*;
    use crate::client::test_door::{authority, enrollment, sign_until};
    use crate::clock::{Clock as _, SystemClock};

    #[test]
    fn only_a_replayed_certificate_may_have_ended() {
        let (root, key_pair) = (authority("component root"), KeyPair::generate().unwrap());
        let ended = sign_until(&csr_of(&key_pair), &root, SystemClock.now().saturating_sub(Duration::from_secs(60)));
        let mut answer = enrollment(ended, &root);
        for outcome in Outcome::ALL {
            answer.outcome = outcome;
            let verified = verify(&answer, &key_pair.subject_public_key_info());
            assert_eq!(verified.is_ok(), outcome == Outcome::Replayed, "{outcome:?}: {verified:?}");
        }
        answer.trust_anchors = authority("another root").pem();
        answer.outcome = Outcome::Replayed;
        assert!(verify(&answer, &key_pair.subject_public_key_info()).is_err(), "it leads nowhere");
    }
}
