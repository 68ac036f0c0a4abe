//! The device's enrollment: key pair first, then requests until there is an answer, then the state directory.

use std::time::Duration;

use hyper::body::Bytes;
use rcgen::PublicKeyData as _;

use super::endpoint::{EndpointError, Event, Question, csr_of, target};
use super::http::HostPort;
use super::state::{KeyPairFile, Record, StateDir};
use super::tls::{Trust, client_config};
use crate::clock::Clock;
use crate::domain::key_string::{Inspection, KeyString, inspect};
use crate::domain::{Fingerprint, KeySecret};
use crate::protocol::enroll::{EnrollRequest, EnrollResponse};

pub(super) const PATH: &str = "/v1/enroll";

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
    /// What the server's clock is compared with.
    pub clock: &'a dyn Clock,
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
    observe: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<(EnrollResponse, Record), EndpointError> {
    let Inspection::Usable { cloud, pin } = inspect(order.key.expose()) else { return Err(EndpointError::DamagedKey) };
    let tls = client_config(order.trust.as_ref().unwrap_or(&Trust::of_pin(pin)))?;
    let target = target(cloud, order.connect.clone(), tls);
    let key_pair = state.key_pair()?;
    let question = Question {
        target: &target,
        path: PATH,
        body: request_body(order.key, order.fingerprint, order.hostname, &csr_of(&key_pair)),
        public_key: &key_pair.subject_public_key_info(),
        timeout: order.timeout,
    };
    let answer = question.ask(observe).await?;
    let record = Record::of(&answer, target.cloud.as_str(), order.fingerprint.as_str(), order.clock.now());
    state.save(&answer, &record, KeyPairFile::Current)?;
    // Of a rekey that was begun before: what it may have led to is superseded now.
    state.drop_next_key_pair()?;
    Ok((answer, record))
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

#[cfg(test)]
mod tests;
