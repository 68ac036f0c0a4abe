//! The TLS certificates of our own listeners: made here and renewed in time, or read from files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ca::{EndpointAnchor, certificate_pem};
use crate::clock::Timestamp;
use crate::config::TlsFiles;
use crate::domain::certificate::renew_after;
use crate::domain::{Cloud, TrustPin};
use crate::server::tls::{CertificateError, CertificateSlot, ServerCertificate};

/// What one listener shows, and how it is renewed.
pub struct Endpoint {
    slot: Arc<CertificateSlot>,
    names: Names,
    state: Mutex<State>,
}

struct State {
    /// Signs what is made here.
    anchor: Arc<EndpointAnchor>,
    /// Of a certificate made here; those from files are somebody else's to renew.
    renew_after: Option<Timestamp>,
}

/// What a certificate made here is good for.
#[derive(Clone)]
pub struct Names {
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
}

/// Why a listener has no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error(transparent)]
    Files(#[from] CertificateError),
    #[error("the TLS certificate could not be made: {reason}")]
    Making { reason: String },
}

impl Names {
    /// `localhost`, the loopback addresses, the host's name, the cloud's host, and the address that
    /// is listened on unless that is all of them.
    pub fn new(cloud: &Cloud, listen: IpAddr) -> Self {
        let mut dns = vec!["localhost".to_owned()];
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        dns.extend(gethostname::gethostname().to_str().map(str::to_ascii_lowercase));
        match cloud.host().parse() {
            Ok(address) => addresses.push(address),
            Err(_) => dns.push(cloud.host().to_owned()),
        }
        if !listen.is_unspecified() {
            addresses.push(listen);
        }
        Self { dns, addresses }
    }
}

impl Endpoint {
    /// # Errors
    /// [`EndpointError`]: the files are unusable, or no certificate could be made.
    pub fn new(
        files: Option<&TlsFiles>,
        anchor: Arc<EndpointAnchor>,
        names: Names,
        now: Timestamp,
    ) -> Result<Self, EndpointError> {
        let (certificate, renew_after) = make(files, &anchor, &names, now)?;
        let slot = Arc::new(CertificateSlot::new(certificate));
        Ok(Self { slot, names, state: Mutex::new(State { anchor, renew_after }) })
    }

    /// Where the listener finds its certificate.
    pub fn slot(&self) -> Arc<CertificateSlot> {
        Arc::clone(&self.slot)
    }

    /// What new key strings pin.
    pub fn pin(&self) -> TrustPin {
        let state = self.state();
        if state.is_own() { state.anchor.pin() } else { self.slot.current().pin() }
    }

    /// PEM of what a device may trust this listener by at `now`; empty when its chain ends in no CA.
    pub fn trust_anchors_pem(&self, now: Timestamp) -> String {
        let state = self.state();
        if state.is_own() {
            return state.anchor.trust_anchors_pem(now);
        }
        let certificate = self.slot.current();
        match certificate.chain().last() {
            Some(last) if !certificate.pin().is_none() => certificate_pem(last),
            _ => String::new(),
        }
    }

    /// Whether it shows a certificate below the service's own anchor.
    pub fn is_own(&self) -> bool {
        self.state().is_own()
    }

    /// When the leaf ends, which is made anew before anything above it ends; of files the first of the chain.
    pub fn not_after(&self) -> Timestamp {
        let (state, certificate) = (self.state(), self.slot.current());
        if state.is_own() { certificate.not_after() } else { certificate.chain_not_after() }
    }

    /// Reads the files anew, or other ones. Without files makes a new certificate, also when the old
    /// one has long to live: it costs a key pair and a signature, no device notices since the anchor stays, and
    /// it is the way to a good certificate after the machine's clock was set right. On an error the
    /// old certificate stays.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn reload(&self, files: Option<&TlsFiles>, now: Timestamp) -> Result<(), EndpointError> {
        self.show_another(files, &mut self.state(), now)
    }

    /// Makes certificates below `anchor` from now on, beginning with the one that is shown. Files stay.
    ///
    /// # Errors
    /// As [`Self::new`]; the old certificate stays, the next one is made below the new anchor.
    pub fn take_anchor(&self, anchor: Arc<EndpointAnchor>, now: Timestamp) -> Result<(), EndpointError> {
        let mut state = self.state();
        state.anchor = anchor;
        if state.is_own() { self.show_another(None, &mut state, now) } else { Ok(()) }
    }

    /// Replaces a certificate made here once two thirds of its life are over, or the chain above it has become
    /// another. Whether it did.
    ///
    /// # Errors
    /// As [`Self::new`]; the old certificate stays.
    pub fn renew_if_due(&self, now: Timestamp) -> Result<bool, EndpointError> {
        let mut state = self.state();
        let due = state.renew_after.is_some_and(|due| now >= due);
        if due {
            self.show_another(None, &mut state, now)?;
        }
        Ok(due)
    }

    fn show_another(&self, files: Option<&TlsFiles>, state: &mut State, now: Timestamp) -> Result<(), EndpointError> {
        let (certificate, renew_after) = make(files, &state.anchor, &self.names, now)?;
        state.renew_after = renew_after;
        self.slot.replace(certificate);
        Ok(())
    }

    /// Held while a certificate is made, so that of two who make one the later one's is shown.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_own(&self) -> bool {
        self.renew_after.is_some()
    }
}

fn make(
    files: Option<&TlsFiles>,
    anchor: &EndpointAnchor,
    names: &Names,
    now: Timestamp,
) -> Result<(ServerCertificate, Option<Timestamp>), EndpointError> {
    if let Some(files) = files {
        return Ok((ServerCertificate::from_pem_files(&files.certificate, &files.key)?, None));
    }
    let leaf = anchor
        .issue_leaf(&names.dns, &names.addresses, now)
        .map_err(|error| EndpointError::Making { reason: error.to_string() })?;
    let certificate = ServerCertificate::from_der(leaf.chain, &leaf.private_key)?;
    Ok((certificate, Some(renew_after(now, leaf.not_after).min(leaf.shown_until))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ca::EndpointAnchorParts;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn endpoint() -> Endpoint {
        let cloud: Cloud = "enroll.example.com".parse().unwrap();
        Endpoint::new(None, anchor(), Names::new(&cloud, IpAddr::V4(Ipv4Addr::UNSPECIFIED)), NOW).unwrap()
    }

    fn anchor() -> Arc<EndpointAnchor> {
        let made = EndpointAnchor::make(NOW).unwrap();
        let (certificate, private_key) = (&made.certificate, &made.private_key);
        Arc::new(EndpointAnchor::new(&EndpointAnchorParts { certificate, private_key, previous: None }).unwrap())
    }

    #[test]
    fn a_certificate_made_here_is_renewed_at_two_thirds_of_its_life() {
        let endpoint = endpoint();
        let first = endpoint.not_after();
        let two_thirds = Duration::from_secs(60 * 86_400);
        assert!(!endpoint.renew_if_due(NOW.saturating_add(two_thirds - Duration::from_secs(1))).unwrap());
        assert_eq!(endpoint.not_after(), first);
        let pin = endpoint.pin();
        assert!(endpoint.renew_if_due(NOW.saturating_add(two_thirds)).unwrap());
        assert_eq!(endpoint.not_after(), first.saturating_add(two_thirds));
        assert_eq!(endpoint.pin(), pin, "the anchor stays");
        assert!(!pin.is_none());
    }

    #[test]
    fn another_anchor_signs_at_once_and_from_then_on() {
        let (endpoint, other) = (endpoint(), anchor());
        let before = endpoint.slot().current().chain()[0].clone();
        endpoint.take_anchor(Arc::clone(&other), NOW).unwrap();
        assert_eq!(endpoint.pin(), other.pin());
        assert_eq!(endpoint.trust_anchors_pem(NOW), other.trust_anchors_pem(NOW));
        assert_ne!(endpoint.slot().current().chain()[0], before);
        endpoint.reload(None, NOW).unwrap();
        assert_eq!(endpoint.pin(), other.pin());
    }

    #[test]
    fn files_that_cannot_be_used_leave_the_old_certificate() {
        let endpoint = endpoint();
        let before = endpoint.slot().current().chain().to_vec();
        let files = TlsFiles { certificate: "/nowhere/chain.pem".into(), key: "/nowhere/key.pem".into() };
        assert!(endpoint.reload(Some(&files), NOW).is_err());
        assert_eq!(endpoint.slot().current().chain(), before);
    }
}
