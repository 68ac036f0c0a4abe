//! The device's enrollment: key pair first, then requests until there is an answer, then proof that
//! the answer is a certificate for this key pair, then the state directory.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::time::{Instant, sleep, timeout_at};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::http::{Answer, ExchangeError, HostPort, Target, exchange};
use super::state::{Record, StateDir, StateError};
use super::tls::{Trust, TrustError, client_config};
use crate::clock::Timestamp;
use crate::domain::key_string::{Inspection, KeyString, inspect};
use crate::domain::{Cloud, Fingerprint, KeySecret};
use crate::protocol::enroll::{EnrollRequest, EnrollResponse};
use crate::protocol::problem::Problem;
use crate::secret::random_bytes;
use crate::tls_provider;

const PATH: &str = "/v1/enroll";
/// Two chains and the anchors of a roll fit many times over.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(30);

/// What an enrollment needs to know.
pub struct Order<'a> {
    pub key: &'a KeySecret,
    pub fingerprint: &'a Fingerprint,
    /// Where to connect instead of the key's cloud; the certificate must still name the cloud.
    pub connect: Option<HostPort>,
    /// Whom to trust instead of what the key says.
    pub trust: Option<Trust>,
    /// For people only; at most 253 bytes.
    pub hostname: Option<&'a str>,
    /// How long to go on after the first attempt failed in a way that may pass. Zero: one attempt.
    pub timeout: Duration,
}

/// What is worth telling while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    Connecting {
        host: &'a str,
        address: SocketAddr,
    },
    /// An attempt failed; the next starts after `delay`.
    Retrying {
        error: &'a EnrollError,
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
}

#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
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

impl EnrollError {
    /// Whether the same request may be answered otherwise in a while.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refused) => matches!(refused.status, 429 | 500..),
            Self::Answer(_) | Self::DamagedKey | Self::NotTrusted { .. } | Self::State(_) | Self::Trust(_) => false,
        }
    }

    pub(super) fn of_exchange(cloud: &Cloud, error: ExchangeError) -> Self {
        let host = cloud.host().to_owned();
        match error {
            ExchangeError::NotTrusted(reason) => Self::NotTrusted { host, reason },
            reason => Self::Unreachable { host, reason },
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            _ => None,
        }
    }
}

/// Enrolls into `state` and returns what the server said, after it was written. Does so also when
/// there is a good certificate; ask [`StateDir::current`] first.
///
/// # Errors
/// The last attempt's error. Cancelling or losing power at any point is safe: the next call shows
/// the same public key and gets the same certificate.
pub async fn enroll(
    state: &StateDir,
    order: &Order<'_>,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<(EnrollResponse, Record), EnrollError> {
    let Inspection::Usable { cloud, pin } = inspect(order.key.expose()) else { return Err(EnrollError::DamagedKey) };
    let tls = client_config(order.trust.as_ref().unwrap_or(&Trust::of_pin(pin)))?;
    let target = target(cloud, order.connect.clone(), tls);
    let key_pair = state.key_pair()?;
    let body = request_body(order.key, order.fingerprint, order.hostname, &csr_of(&key_pair));

    let mut patience = Patience::since(Instant::now(), order.timeout);
    let answer = loop {
        let connecting = |address| observe(Event::Connecting { host: target.cloud.host(), address });
        let error = match try_once(&target, body.clone(), patience.cut_at(), connecting).await {
            Ok(answer) => break answer,
            Err(error) => error,
        };
        let Some(delay) = patience.delay_after(&error) else { return Err(error) };
        observe(Event::Retrying { error: &error, delay });
        sleep(delay).await;
    };
    verify(&answer, &key_pair.subject_public_key_info()).map_err(EnrollError::Answer)?;
    let record = record_of(&answer, &target.cloud, order.fingerprint);
    state.save(&answer, &record)?;
    Ok((answer, record))
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

/// The request, wiped when the last copy is dropped: it holds the key string.
pub(super) fn request_body(key: &KeySecret, fingerprint: &Fingerprint, hostname: Option<&str>, csr: &str) -> Bytes {
    let text = key.expose();
    let platform = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let request = EnrollRequest {
        provisioning_key: KeyString::parse(text).map_or(text, |parts| parts.as_str()),
        fingerprint: fingerprint.as_str(),
        csr,
        hostname,
        platform: Some(&platform),
        software_version: Some(concat!("muster ", env!("CARGO_PKG_VERSION"))),
    };
    Bytes::from_owner(request.to_json())
}

/// One connection, one request, cut off at the deadline; without one the exchange's own limits hold.
pub(super) async fn try_once(
    target: &Target,
    body: Bytes,
    deadline: Option<Instant>,
    connected: impl FnOnce(SocketAddr),
) -> Result<EnrollResponse, EnrollError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(PATH)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(Full::new(body))
        .expect("the parts are constants");
    let exchange = exchange(target, request, connected);
    let answer = match deadline {
        None => exchange.await,
        Some(deadline) => timeout_at(deadline, exchange).await.unwrap_or(Err(ExchangeError::CutOff)),
    };
    let answer = answer.map_err(|error| EnrollError::of_exchange(&target.cloud, error))?;
    if answer.status.as_u16() == 200 {
        return serde_json::from_slice(&answer.body).map_err(|_| EnrollError::Answer("it is no enrollment"));
    }
    Err(EnrollError::Refused(refused_of(&answer)))
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
    pub(super) fn delay_after(&mut self, error: &EnrollError) -> Option<Duration> {
        let delay = delay_before_retry(self.attempt, error.retry_after());
        self.attempt += 1;
        (error.may_pass() && Instant::now() + delay < self.deadline).then_some(delay)
    }
}

/// What the server asks for, at least a second, and up to half of it on top; else doubling from a second to half a
/// minute, of which a random half is waited, so that a fleet that lost its server does not come
/// back as one.
pub(super) fn delay_before_retry(attempt: u32, retry_after: Option<Duration>) -> Duration {
    let random = f64::from(u32::from_le_bytes(*random_bytes::<4>())) / f64::from(u32::MAX);
    match retry_after {
        Some(asked) => asked.max(FIRST_DELAY).mul_f64(1.0 + random / 2.0),
        None => (FIRST_DELAY * 2u32.saturating_pow(attempt.min(16))).min(DELAY_MAX).mul_f64(0.5 + random / 2.0),
    }
}

/// The certificate is for our key (its SubjectPublicKeyInfo, DER) and leads to an anchor that came with it (RFC 5280 §6, by
/// rustls-webpki), judged at the server's time: the clock of a device at first boot may be off.
pub(super) fn verify(answer: &EnrollResponse, public_key: &[u8]) -> Result<(), &'static str> {
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
    let seconds = u64::try_from(server_time.unix_seconds()).map_err(|_| "serverTime is no time")?;
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

fn record_of(answer: &EnrollResponse, cloud: &Cloud, fingerprint: &Fingerprint) -> Record {
    Record {
        cloud: cloud.to_string(),
        outcome: answer.outcome.as_str().to_owned(),
        component_id: answer.component_id.clone(),
        component_name: answer.component_name.clone(),
        kind: answer.kind.clone(),
        customer_id: answer.customer_id.clone(),
        group_id: answer.group_id.clone(),
        group_name: answer.group_name.clone(),
        fingerprint: fingerprint.to_string(),
        serial_number: answer.serial_number.clone(),
        not_before: answer.not_before.clone(),
        not_after: answer.not_after.clone(),
        renew_after: answer.renew_after.clone(),
    }
}

#[cfg(test)]
mod tests;
