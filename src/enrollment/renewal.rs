//! The use case that keeps a component in service: the holder of its certificate gets the next one.
//!
//! [`EnrollmentService::authenticate`] answers who shows a certificate, and everything else needs the
//! [`AuthenticatedDevice`] that it makes. [`EnrollmentService::renew`] then walks the rest of the checks
//! (docs/contract.md, "Renewal") and ends in one commit of the store, which decides for good. No key is needed and no
//! use is taken.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::directory::Signer;
use super::freshness::{PATIENCE, in_time};
use super::{ANSWER_TIME_MAX, ATTEMPTS_MAX, Enrollment, EnrollmentError, EnrollmentService, Lineage};
use crate::ca::{PresentedCertificate, PresentedError};
use crate::clock::Timestamp;
use crate::domain::renewal::{KnownCertificate, RenewalDecision, Standing};
use crate::domain::{CertificateStatus, Component, ComponentState, Fingerprint, Refusal, Revision};
use crate::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::protocol::enroll::Outcome;
use crate::store::{RenewalCommit, RenewalOutcome, SeenForRenewal, StoreError};

/// A component whose certificate was shown by whoever holds its private key. Only
/// [`EnrollmentService::authenticate`] makes one.
pub struct AuthenticatedDevice {
    known: KnownCertificate,
    /// From then on the certificate is no longer taken.
    good_until: Timestamp,
}

/// What a component asks for. All of it is well-formed, none of it is believed.
pub struct RenewalRequest<'a> {
    /// PKCS#10, PEM or base64 of DER; not looked at before the component's state is in order.
    pub csr: &'a str,
    pub fingerprint: Option<Fingerprint>,
    /// The device's, after PROXY protocol.
    pub remote_address: IpAddr,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// To whoever asks it is one and the same.
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
    #[error(transparent)]
    Enrollment(#[from] EnrollmentError),
}

/// What is the matter with a client certificate, for the log.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    #[error("component {component} {why}")]
    Ended { component: ComponentId, why: &'static str },
    #[error("the certificate of component {component} ended at {at}")]
    Expired { component: ComponentId, at: Timestamp },
    #[error("no signing certificate of this service made it")]
    Foreign,
    #[error("the certificate of component {component} begins at {at}")]
    NotYetValid { component: ComponentId, at: Timestamp },
    #[error(transparent)]
    Unlike(#[from] PresentedError),
    /// Its private key was used elsewhere, or the record is gone.
    #[error("the key of signing certificate {signer} made it, and no record has it")]
    Unrecorded { signer: SigningCertificateId },
}

impl From<StoreError> for RenewalError {
    fn from(error: StoreError) -> Self {
        Self::Enrollment(error.into())
    }
}

impl AuthenticatedDevice {
    pub fn component_id(&self) -> ComponentId {
        self.known.component.id
    }

    pub fn customer_id(&self) -> CustomerId {
        self.known.component.customer_id
    }

    pub fn group_id(&self) -> GroupId {
        self.known.component.group_id
    }

    /// The component's key, which may be gone.
    pub fn key_id(&self) -> ProvisioningKeyId {
        self.known.component.key_id
    }
}

/// A component in a customer and a group that are in order, with what its renewal leads to.
struct CheckedComponent {
    lineage: Lineage,
    /// Of its key; `None`: that is gone.
    key_revision: Option<Revision>,
}

impl EnrollmentService {
    /// Whose certificate it is: a component's of this service, by its record, in its time. Costs a verification for
    /// each signing certificate that it could be of (one, unless somebody imported a namesake), and one read of the
    /// store if one of them made it.
    ///
    /// `presented`: possession of its private key was proved. `grace`: how long after its end it is still taken.
    ///
    /// # Errors
    /// [`RenewalError::Certificate`]: it is refused. Else nobody can tell for the moment.
    pub async fn authenticate(
        &self,
        presented: &CertificateDer<'_>,
        grace: Duration,
    ) -> Result<AuthenticatedDevice, RenewalError> {
        let presented = PresentedCertificate::parse(presented.as_ref()).map_err(CertificateFault::Unlike)?;
        let signer = self.signer_of(&presented).await?;
        let (customer, component) = (signer.customer_id, presented.component_id());
        let found = self.store.find_known_certificate(customer, component, presented.serial());
        let known = in_time(PATIENCE, found).await?;
        // Trust begins here: whatever the certificate says, these are the bytes that were given to this component.
        let known = known.filter(|known| known.presented.der == presented.der());
        let known = known.ok_or(CertificateFault::Unrecorded { signer: signer.id })?;
        check_standing(&known)?;

        let difference = self.store_clock.difference();
        if !difference.may_sign() {
            return Err(EnrollmentError::ClockOff(difference).into());
        }
        let (now, record) = (self.clock.now(), &known.presented);
        let good_until = record.not_after.saturating_add(grace);
        if now < record.not_before {
            return Err(CertificateFault::NotYetValid { component, at: record.not_before }.into());
        }
        if now >= good_until {
            return Err(CertificateFault::Expired { component, at: record.not_after }.into());
        }
        Ok(AuthenticatedDevice { known, good_until })
    }

    /// Checks, decides, signs, commits. What comes back is durable. In time as [`Self::enroll`].
    ///
    /// # Errors
    /// [`RenewalError`]; of [`RenewalError::Certificate`] only what came to pass since it was authenticated.
    pub async fn renew(
        &self,
        device: AuthenticatedDevice,
        request: RenewalRequest<'_>,
    ) -> Result<Enrollment, RenewalError> {
        in_time(ANSWER_TIME_MAX, self.renew_by_record(device, request)).await
    }

    async fn renew_by_record(
        &self,
        device: AuthenticatedDevice,
        request: RenewalRequest<'_>,
    ) -> Result<Enrollment, RenewalError> {
        let AuthenticatedDevice { mut known, good_until } = device;
        let fingerprint = request.fingerprint.as_ref();
        let mut checked = match self.check_component(&known, fingerprint) {
            Ok(checked) => checked,
            Err(_) => self.check_component_anew(&known, fingerprint).await?,
        };
        let csr = self.verify_csr(request.csr)?;

        for _ in 0..ATTEMPTS_MAX {
            let (is_rekey, outcome) = match known.decide(csr.public_key_hash()) {
                RenewalDecision::Refuse(refusal) => return Err(refused(refusal, &known.component).into()),
                RenewalDecision::Rekey => (true, Outcome::Rekeyed),
                RenewalDecision::Renew => (false, Outcome::Renewed),
                RenewalDecision::Replay => {
                    return Ok(self.stored(&known.component, &known.current, &checked.lineage.group.name)?);
                }
            };
            let component = &known.component;
            let Lineage { customer, group, signer } = &checked.lineage;
            let issued = self.sign(&checked.lineage, (component.id, &component.fingerprint), &csr)?;
            let commit = RenewalCommit {
                seen: SeenForRenewal {
                    customer: (customer.id, customer.revision),
                    group: (group.id, group.revision),
                    signing_certificate: (signer.id, signer.revision),
                    key: (component.key_id, checked.key_revision),
                    component: (component.id, component.revision),
                },
                remote_address: request.remote_address,
                replaced: component.current_serial,
                is_rekey,
                good_until,
                certificate: issued.clone(),
            };
            match self.store.commit_renewal(commit).await? {
                RenewalOutcome::Committed => {
                    let Component { id, name, .. } = known.component;
                    return Ok(self.enrollment(&checked.lineage, outcome, (id, name), issued));
                }
                RenewalOutcome::Expired => {
                    let at = known.presented.not_after;
                    return Err(CertificateFault::Expired { component: known.component.id, at }.into());
                }
                RenewalOutcome::Outdated => {
                    known = self.look_again(&known).await?;
                    checked = self.check_component_anew(&known, fingerprint).await?;
                }
            }
        }
        Err(EnrollmentError::StoreUnavailable { reason: "settings or the component kept changing".to_owned() }.into())
    }

    /// The signing certificate that made it. One that is not known here may have been made on another node.
    async fn signer_of(&self, presented: &PresentedCertificate<'_>) -> Result<Arc<Signer>, RenewalError> {
        if let Some(signer) = self.directory.signer_of(presented) {
            return Ok(signer);
        }
        let ruled_out = self.directory.rule_out_news().await;
        match self.directory.signer_of(presented) {
            Some(signer) => Ok(signer),
            None => Err(ruled_out.map_or_else(RenewalError::from, |()| CertificateFault::Foreign.into())),
        }
    }

    async fn look_again(&self, known: &KnownCertificate) -> Result<KnownCertificate, RenewalError> {
        let (component, serial) = (known.component.id, known.presented.serial);
        let found = self.store.find_known_certificate(known.component.customer_id, component, serial).await?;
        let found = found.ok_or(CertificateFault::Ended { component, why: "is gone" })?;
        check_standing(&found)?;
        Ok(found)
    }

    /// As [`Self::check_component`], after memory has followed the store's change feed: nothing is refused on the word
    /// of memory alone.
    async fn check_component_anew(
        &self,
        known: &KnownCertificate,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<CheckedComponent, RenewalError> {
        self.directory.refresh_in_time().await?;
        Ok(self.check_component(known, fingerprint)?)
    }

    fn check_component(
        &self,
        known: &KnownCertificate,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<CheckedComponent, EnrollmentError> {
        let component = &known.component;
        let customer = self.directory.customer(component.customer_id).filter(|it| it.enabled);
        let customer = customer.ok_or_else(|| refused(Refusal::CustomerDisabled, component))?;
        let group = self.directory.group(component.group_id).filter(|it| it.enabled);
        let group = group.ok_or_else(|| refused(Refusal::GroupDisabled, component))?;
        if !component.enabled {
            return Err(refused(Refusal::ComponentDisabled, component));
        }
        if known.standing() == Standing::Renewed {
            return Err(refused(Refusal::ClientCertificateSuperseded, component));
        }
        // The key's, so that components move to another as their keys do; the group's, where there is no key.
        let key = self.index.find_by_id(component.key_id);
        let signer_id = key.as_ref().map_or(group.signing_certificate_id, |key| key.key().signing_certificate_id);
        let signer = self.directory.signer(signer_id).filter(|signer| signer.is_usable(self.clock.now()));
        let signer = signer.ok_or_else(|| self.unavailable(signer_id))?;
        if fingerprint.is_some_and(|fingerprint| *fingerprint != component.fingerprint) {
            return Err(refused(Refusal::FingerprintMismatch, component));
        }
        let key_revision = key.map(|key| key.key().revision);
        Ok(CheckedComponent { lineage: Lineage { customer, group, signer }, key_revision })
    }
}

/// Whether the certificate still says something.
fn check_standing(known: &KnownCertificate) -> Result<(), CertificateFault> {
    if known.standing() != Standing::Ended {
        return Ok(());
    }
    let why = match (known.component.state, known.presented.status) {
        (ComponentState::Deleted { .. }, _) => "is deleted",
        (ComponentState::Revoked { .. }, _) => "is revoked",
        (ComponentState::Live, CertificateStatus::Revoked { .. }) => "has another certificate; this one was revoked",
        (ComponentState::Live, _) => "has a certificate for another key pair; this one was superseded",
    };
    Err(CertificateFault::Ended { component: known.component.id, why })
}

/// A refusal with its facts.
fn refused(refusal: Refusal, component: &Component) -> EnrollmentError {
    let name = &component.name;
    let reason = match refusal {
        Refusal::ClientCertificateSuperseded => format!("{name} has a newer certificate than the one shown"),
        Refusal::ComponentDisabled => format!("{name} is disabled"),
        Refusal::CustomerDisabled => format!("the customer of {name} is disabled"),
        Refusal::FingerprintMismatch => {
            format!("{name} has fingerprint {}, the request another", component.fingerprint)
        }
        Refusal::GroupDisabled => format!("the group of {name} is disabled"),
        other => format!("{name}: {}", other.code()),
    };
    EnrollmentError::Refused { refusal, reason: reason.into() }
}
