//! `POST /v1/renew`: the checks in the order of docs/contract.md, "Renewal".

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

use super::decode::DecodedRenewal;
use super::gate::{Format, Stop};
use super::refused::Refused;
use super::visit::Visit;
use super::{EnrollDoor, Enroller};
use crate::enrollment::renewal::RenewalRequest;
use crate::server::http::Peer;

impl<E: Enroller> EnrollDoor<E> {
    pub(super) async fn renew(
        &self,
        request: Request<Incoming>,
        visit: &mut Visit<'_>,
        peer: &Peer,
    ) -> Result<Response<Full<Bytes>>, Stop> {
        let gate = &self.gate;
        let limits = gate.limits.load_full();
        let body = gate.read(request, Format::Json, &limits, &peer.silence).await?;
        let decoded = DecodedRenewal::decode(&body).map_err(Refused::Malformed)?;
        let known = gate.authenticate(peer, &limits, visit).await?;
        let entered = gate.enter(known, &limits)?;
        let csr = decoded.csr();
        let request =
            RenewalRequest { csr: &csr, fingerprint: decoded.fingerprint.clone(), remote_address: visit.address };
        let enrollment = gate.renew(entered, request, visit).await?;
        Ok(self.enrolled(enrollment))
    }
}
