//! CRLs as administrators see them. They are made elsewhere: nobody asks for one.

use super::{Error, Management, Object};
use crate::ca::CertificateFacts;
use crate::domain::revocation::{Crl, CrlHead};
use crate::domain::{Actor, Role, SigningCertificate};
use crate::id::{CustomerId, SigningCertificateId};

/// What there is of a signing certificate's CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlState {
    /// Its key usage has no cRLSign: there is none, and what it signs names none.
    NotAllowed,
    /// It has no certificate, or no private key here, and so signs nothing that could be on one.
    NotNeeded,
    /// It is to come within seconds.
    NotYet,
    Published(CrlHead),
}

impl Management {
    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn find_crl_state(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<CrlState, Error> {
        let view = self.find_signing_certificate(actor, customer, id).await?;
        let SigningCertificate { certificate, sealed_private_key, .. } = &view.certificate;
        let (Some(der), Some(_)) = (certificate, sealed_private_key) else { return Ok(CrlState::NotNeeded) };
        if CertificateFacts::read(der).is_some_and(|facts| !facts.signs_crls) {
            return Ok(CrlState::NotAllowed);
        }
        Ok(self.store().find_crl_head(customer, id).await?.map_or(CrlState::NotYet, CrlState::Published))
    }

    /// The newest one, up to megabytes.
    ///
    /// # Errors
    /// [`Error::NotFound`], also when there is none; rights and outages.
    pub async fn find_crl(&self, actor: &Actor, customer: CustomerId, id: SigningCertificateId) -> Result<Crl, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let found = self.store().find_crl(customer, id).await?;
        found.ok_or_else(|| Error::not_found(Object::SigningCertificate, id))
    }

    /// Where relying services fetch it; `None`: the service does not know its own address, and certificates name none.
    pub fn crl_uri(&self, id: SigningCertificateId) -> Option<String> {
        self.parts.profile.crl_uri(id)
    }
}
