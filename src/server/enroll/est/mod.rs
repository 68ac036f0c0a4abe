//! EST (RFC 7030): the same enrollment for clients that are there already.
//!
//! | route | answers |
//! |---|---|
//! | `GET …/cacerts` | the roots of a customer's component certificates, and the CAs below them |
//! | `GET …/csrattrs` | 204: whatever stands in a CSR, its public key is what counts |
//! | `POST …/simpleenroll` | a certificate for a key string, the password of HTTP Basic |
//! | `POST …/simplereenroll` | a certificate for the one that the connection was made with |
//!
//! `…` is `/.well-known/est`, `/.well-known/est/{label}` or, for clients that know a path but no labels,
//! `/{label}/.well-known/est` below whatever prefix.
//!
//! Checks, refusals and limits are those of the [`gate`](super::gate). As who asks is known by the head and the handshake
//! here, that is looked at before anything else, the path's label and the body's type among it: whoever is nobody is
//! told 401 and no more. What this room does not do: full CMC, keys made by the server, approval by hand (202).

mod answer;
mod credentials;
mod csr;
mod label;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

pub use self::answer::refusal;
use self::credentials::Credentials;
pub use self::label::Label;
use super::gate::{Format, Stop};
use super::refused::Refused;
use super::visit::Visit;
use super::{EnrollDoor, Enroller, tell_of_public};
use crate::domain::component::DeviceDescription;
use crate::enrollment::EnrollmentRequest;
use crate::enrollment::renewal::RenewalRequest;
use crate::server::http::Peer;
use crate::server::http::silence::Silence;

/// RFC 7030 §3.2.2.
const WELL_KNOWN: &str = "/.well-known/est/";

/// What can be asked. In the order of RFC 7030 §3.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    CaCerts,
    SimpleEnroll,
    SimpleReenroll,
    CsrAttrs,
}

/// Whether EST clients ask for the path, one that is there or not.
pub fn is_below(path: &str) -> bool {
    path.contains(WELL_KNOWN)
}

impl<E: Enroller> EnrollDoor<E> {
    pub(super) async fn est(
        &self,
        operation: Operation,
        label: Label,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Response<Full<Bytes>> {
        match operation {
            Operation::CaCerts => self.ca_certificates(label, peer),
            Operation::CsrAttrs => {
                tell_of_public("/.well-known/est/csrattrs", peer);
                answer::nothing()
            }
            Operation::SimpleEnroll => {
                let mut visit = self.gate.visit(peer);
                let answered = self.est_enroll(label, request, &mut visit, &peer.silence).await;
                self.gate.finish(answered, visit, refusal)
            }
            Operation::SimpleReenroll => {
                let mut visit = self.gate.visit(peer);
                let answered = self.est_renew(label, request, &mut visit, peer).await;
                self.gate.finish(answered, visit, refusal)
            }
        }
    }

    fn ca_certificates(&self, label: Label, peer: &Peer) -> Response<Full<Bytes>> {
        let anchors = &*self.customer_trust_anchors;
        match label.customer(anchors).and_then(|customer| anchors.authorities(customer)) {
            Some(message) => {
                tell_of_public("/.well-known/est/cacerts", peer);
                answer::certificates(&message)
            }
            None => self.gate.refuse(Refused::NotFound, self.gate.visit(peer), refusal),
        }
    }

    async fn est_enroll(
        &self,
        label: Label,
        request: Request<Incoming>,
        visit: &mut Visit<'_>,
        silence: &Silence,
    ) -> Result<Response<Full<Bytes>>, Stop> {
        let gate = &self.gate;
        let limits = gate.limits.load_full();
        let credentials = Credentials::of(request.headers());
        let present = || credentials.present_key(|text| gate.enroller.present(text));
        let known = gate.verify(present, visit).await?;
        label.admit(known.identity())?;
        let body = gate.read(request, Format::Pkcs10, &limits, silence).await?;
        let entered = gate.enter(known, &limits)?;
        let csr = csr::text(&body);
        let request = EnrollmentRequest {
            fingerprint: csr::fingerprint(&csr, credentials.user()).map_err(Refused::Malformed)?,
            device: DeviceDescription::default(),
            csr: &csr,
            remote_address: visit.address,
        };
        let enrollment = gate.enroll(entered, request, visit).await?;
        Ok(answer::enrolled(&enrollment.certificate_der, visit.reference))
    }

    async fn est_renew(
        &self,
        label: Label,
        request: Request<Incoming>,
        visit: &mut Visit<'_>,
        peer: &Peer,
    ) -> Result<Response<Full<Bytes>>, Stop> {
        let gate = &self.gate;
        let limits = gate.limits.load_full();
        let known = gate.authenticate(peer, &limits, visit).await?;
        label.admit(known.identity())?;
        let body = gate.read(request, Format::Pkcs10, &limits, &peer.silence).await?;
        let entered = gate.enter(known, &limits)?;
        let csr = csr::text(&body);
        let request = RenewalRequest { csr: &csr, fingerprint: None, remote_address: visit.address };
        let enrollment = gate.renew(entered, request, visit).await?;
        Ok(answer::enrolled(&enrollment.certificate_der, visit.reference))
    }
}
