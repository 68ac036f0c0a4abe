//! The renewal of a device's certificate, over mutual TLS with the certificate that it has: no provisioning key
//! is needed. With the same key pair, or, as a rekey, with a new one.
//!
//! A lost answer is repaired by asking again. The server has made the certificate then, and knows the one that is
//! presented as its direct predecessor: to a request with the key pair of the new one it answers with that
//! certificate. So whatever key pair was asked for is kept until there is an answer for it.

use std::time::Duration;

use hyper::body::Bytes;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::endpoint::{EndpointError, Event, Question, csr_of, target};
use super::http::{HostPort, Target};
use super::state::{Current, KeyPairFile, Record, StateDir, StateError};
use super::tls::{Identity, Trust, client_config_of};
use crate::clock::{Clock, Timestamp};
use crate::domain::{Cloud, Fingerprint, Refusal};
use crate::protocol::enroll::EnrollResponse;
use crate::protocol::renew::RenewRequest;

const PATH: &str = "/v1/renew";
/// Refusal of a certificate that has a successor, for another key pair than the successor's.
pub(super) const SUPERSEDED: &str = Refusal::ClientCertificateSuperseded.code();

/// What a renewal needs to know.
pub struct Order<'a> {
    /// Where to connect instead of the cloud that the device enrolled with; the certificate must still name it.
    pub connect: Option<HostPort>,
    /// Whom to trust instead of the anchors in the state directory.
    pub trust: Option<Trust>,
    /// Sent if given; refused when it is not that of the enrollment.
    pub fingerprint: Option<&'a Fingerprint>,
    /// Ask for a certificate for a new key pair. A rekey that was begun before is finished in any case.
    pub rekey: bool,
    /// How long to go on after the first attempt failed in a way that may pass. Zero: one attempt.
    pub timeout: Duration,
    /// What the server's clock is compared with.
    pub clock: &'a dyn Clock,
}

/// Renews the certificate in `state`, due or not, and returns what the server said, after it was written. If what comes is
/// the certificate of an answer that was lost, and has ended meanwhile, it is renewed in turn.
///
/// # Errors
/// The last attempt's; [`StateError::NoCertificate`] when there is none, [`StateError::NoRecord`] when nothing says whom to
/// call. Cancelling or losing power at any point is safe: there is a certificate with its key at every moment, and
/// the next call is answered with the same one.
pub async fn renew(
    state: &StateDir,
    order: &Order<'_>,
    observe: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<(EnrollResponse, Record), EndpointError> {
    let (answer, record) = Box::pin(renew_once(state, order, observe)).await?;
    if has_ended(&answer) { Box::pin(renew_once(state, order, observe)).await } else { Ok((answer, record)) }
}

async fn renew_once(
    state: &StateDir,
    order: &Order<'_>,
    observe: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<(EnrollResponse, Record), EndpointError> {
    if !order.rekey && !state.has_next_key_pair()? {
        return ask(state, order, KeyPairFile::Current, observe).await;
    }
    match ask(state, order, KeyPairFile::Next, observe).await {
        Err(error) if error.is_refusal(SUPERSEDED) => {
            // The successor is for another key pair: that of a renewal whose answer was lost before this rekey began.
            ask(state, order, KeyPairFile::Current, observe).await?;
            ask(state, order, KeyPairFile::Next, observe).await
        }
        result => result,
    }
}

/// By the server's clock.
fn has_ended(answer: &EnrollResponse) -> bool {
    let at = |text: &str| Timestamp::from_rfc3339(text).ok();
    at(&answer.not_after).zip(at(&answer.server_time)).is_some_and(|(not_after, now)| not_after < now)
}

/// One renewal with this key pair, which is made if it is not there.
async fn ask(
    state: &StateDir,
    order: &Order<'_>,
    file: KeyPairFile,
    observe: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<(EnrollResponse, Record), EndpointError> {
    let path = || state.path().to_owned();
    let current = state.certificate()?.ok_or_else(|| StateError::NoCertificate { path: path() })?;
    let old = current.record.clone().ok_or_else(|| StateError::no_record(state.path()))?;
    let own = state.key_pair()?;
    let next = match file {
        KeyPairFile::Current => None,
        KeyPairFile::Next => Some(state.next_key_pair()?),
    };
    let wanted = next.as_ref().unwrap_or(&own);
    let target = target_of(state, order, &current, &old, &own)?;
    let request = RenewRequest { csr: &csr_of(wanted), fingerprint: order.fingerprint.map(Fingerprint::as_str) };
    let question = Question {
        target: &target,
        path: PATH,
        body: Bytes::from(request.to_json()),
        public_key: &wanted.subject_public_key_info(),
        timeout: order.timeout,
    };
    let answer = question.ask(observe).await?;
    let record = Record::of(&answer, &old.cloud, &old.fingerprint, order.clock.now());
    state.save(&answer, &record, file)?;
    Ok((answer, record))
}

fn target_of(
    state: &StateDir,
    order: &Order<'_>,
    current: &Current,
    record: &Record,
    key_pair: &KeyPair,
) -> Result<Target, EndpointError> {
    let cloud: Cloud = record.cloud.parse().map_err(|_| StateError::no_record(state.path()))?;
    let trust = match &order.trust {
        Some(trust) => trust.clone(),
        None => state.server_trust()?,
    };
    let identity = Identity {
        certificate: current.certificate.clone(),
        private_key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pair.serialize_der())),
    };
    Ok(target(cloud, order.connect.clone(), client_config_of(&trust, identity)?))
}

#[cfg(test)]
mod tests;
