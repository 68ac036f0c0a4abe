//! The use case this service exists for: a device redeems a provisioning key for a certificate, and that for the
//! next one ([`renewal`]).
//!
//! [`EnrollmentService::verify_key`] answers the only question that an unknown caller gets
//! answered; everything else needs the [`VerifiedKey`] that it makes. [`EnrollmentService::enroll`]
//! then walks the checks (docs/contract.md, "Checks") in their order and ends in one commit of the
//! store, which decides for good. [`CrlPublisher`] is the other end of a certificate's life.
//!
//! What this room deliberately does not do: HTTP, JSON, status codes, rate limits (`server`), SQL
//! (`store`), X.509 (`ca`), or anything that administrators do (`management`).

mod crls;
mod directory;
mod freshness;
mod peppers;
mod refusals;
pub mod renewal;
mod store_clock;
pub mod turns;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ca::{CsrError, IssueError, Profile, Subject, VerifiedCsr};
use crate::clock::{Clock, Timestamp};
use crate::domain::component::DeviceDescription;
use crate::domain::redemption::{Decision, KnownComponent, RE_ENROLLMENT_WINDOW, check_standing, decide};
use crate::domain::{
    CertificateRecord, Component, Fingerprint, IndexedKey, IssuedCertificate, Kind, Refusal, RefusalReason,
    SerialNumber,
};
use crate::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::index::{KeyEntry, KeyIndex, PresentedKey};
use crate::metrics::Metrics;
use crate::protocol::enroll::{Outcome, PemText};
use crate::store::{
    EnrollmentCommit, EnrollmentIntent, EnrollmentOutcome, EnrollmentStore, IdAllocator, SeenRevisions, StoreError,
};

pub use crls::{CrlParts, CrlPublisher, Crls};
pub use directory::{Directory, DirectoryError};
pub use refusals::RefusalTallies;
pub use store_clock::{ClockDifference, StoreClock};

use directory::{CustomerView, GroupView, Signer};
use freshness::in_time;
use turns::{Seat, Seats, Turns};

/// How often one request may find that the ground moved under it before it is told to come back.
const ATTEMPTS_MAX: usize = 6;

/// How long a device that is known waits for what comes of its request. A store says sooner that it is silent. Those who stand
/// in line for it, behind the commits of a key's last uses or for new ids, would wait for as long again each.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Enrolls devices. One for the process, shared in an `Arc`.
pub struct EnrollmentService {
    store: Arc<dyn EnrollmentStore>,
    clock: Arc<dyn Clock>,
    store_clock: Arc<StoreClock>,
    index: Arc<KeyIndex>,
    directory: Arc<Directory>,
    ids: Arc<IdAllocator>,
    profile: Arc<Profile>,
    metrics: Arc<Metrics>,
    turns: Turns,
    seats: Seats,
}

/// What the service is made of; `app` fills it in.
#[derive(Clone)]
pub struct EnrollmentParts {
    pub store: Arc<dyn EnrollmentStore>,
    pub clock: Arc<dyn Clock>,
    pub store_clock: Arc<StoreClock>,
    pub index: Arc<KeyIndex>,
    pub directory: Arc<Directory>,
    pub ids: Arc<IdAllocator>,
    pub profile: Arc<Profile>,
    pub metrics: Arc<Metrics>,
}

/// A key whose string was presented and found in the index. Only
/// [`EnrollmentService::verify_key`] makes one.
pub struct VerifiedKey {
    entry: Arc<KeyEntry>,
}

/// What a device with a verified key asks for. All of it is well-formed, none of it is believed.
pub struct EnrollmentRequest<'a> {
    pub fingerprint: Fingerprint,
    pub device: DeviceDescription,
    /// PKCS#10, PEM or base64 of DER; not looked at before the key's state is in order.
    pub csr: &'a str,
    /// The device's, after PROXY protocol.
    pub remote_address: IpAddr,
}

/// A durable enrollment: what the device may be told.
pub struct Enrollment {
    pub outcome: Outcome,
    pub component_id: ComponentId,
    pub component_name: String,
    pub kind: Kind,
    pub customer_id: CustomerId,
    pub group_id: GroupId,
    pub group_name: Arc<str>,
    pub certificate_der: Vec<u8>,
    /// PEM of the issuers, the leaf's first, without the root; may be empty.
    pub chain_pem: PemText,
    /// PEM of the roots of this customer's component certificates.
    pub trust_anchors_pem: PemText,
    pub serial: SerialNumber,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub renew_after: Timestamp,
}

/// Why a device with a verified key got no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrollmentError {
    #[error(transparent)]
    InvalidCsr(#[from] CsrError),
    #[error("the CSR's public key is that of a signing certificate")]
    SigningCertificateKey,
    /// Deleted since it was verified: to the device, a key like any other that is not known.
    #[error("the key was deleted meanwhile")]
    KeyGone,
    #[error("{reason}")]
    Refused { refusal: Refusal, reason: Cow<'static, str> },
    #[error("this node's clock is {0}, too far to sign; set the clocks of this machine and the store's")]
    ClockOff(ClockDifference),
    #[error("more enrollments are waiting than can be served in time")]
    Overloaded,
    #[error("the store gave no answer: {reason}")]
    StoreUnavailable { reason: String },
    #[error("the signing certificate failed to sign")]
    Signing,
}

impl EnrollmentError {
    /// What counts as a refusal of the key, and why, for administrators; `None`: the service's fault, or the key is
    /// gone.
    pub fn refusal(&self) -> Option<(Refusal, RefusalReason)> {
        let refusal = match self {
            Self::InvalidCsr(_) | Self::SigningCertificateKey => Refusal::InvalidCsr,
            Self::Refused { refusal, .. } => *refusal,
            Self::KeyGone | Self::ClockOff(_) | Self::Overloaded | Self::StoreUnavailable { .. } | Self::Signing => {
                return None;
            }
        };
        Some((refusal, RefusalReason::new(&self.to_string())))
    }
}

impl From<StoreError> for EnrollmentError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded { .. } => Self::Overloaded,
            StoreError::Unavailable { .. } | StoreError::Unknown { .. } | StoreError::Corrupt { .. } => {
                Self::StoreUnavailable { reason: error.to_string() }
            }
        }
    }
}

impl VerifiedKey {
    pub fn key_id(&self) -> ProvisioningKeyId {
        self.entry.key().id
    }

    pub fn customer_id(&self) -> CustomerId {
        self.entry.key().customer_id
    }

    pub fn group_id(&self) -> GroupId {
        self.entry.key().group_id
    }
}

/// A key that may be used now, from where the device is, with all that it leads to: step 3 is
/// behind it. Only [`EnrollmentService::check_state`] makes one.
struct CheckedKey {
    entry: Arc<KeyEntry>,
    lineage: Lineage,
}

/// What a certificate comes of, by a key or by a renewal: all of it in order.
struct Lineage {
    customer: Arc<CustomerView>,
    group: Arc<GroupView>,
    signer: Arc<Signer>,
}

/// What this request knows of its device.
enum Sight {
    /// Nothing yet. Nearly every device is new, so the commit is the first to look.
    Assumed,
    Looked(Option<Box<KnownComponent>>),
}

impl EnrollmentService {
    pub fn new(parts: EnrollmentParts) -> Self {
        let EnrollmentParts { store, clock, store_clock, index, directory, ids, profile, metrics } = parts;
        let (turns, seats) = (Turns::default(), Seats::default());
        Self { store, clock, store_clock, index, directory, ids, profile, metrics, turns, seats }
    }

    /// Takes a presented key string for [`Self::verify_key`]. The same work for every text of a length;
    /// allocates nothing.
    pub fn present(&self, text: &str) -> PresentedKey {
        self.index.present(text)
    }

    /// Whether a presented text is a key string that is known: step 2. What this node does not know waits until
    /// another node's key would be known here, the same way whatever is wrong with it.
    ///
    /// # Errors
    /// The store's: it is away, and what is not known here may be known elsewhere.
    pub async fn verify_key(&self, presented: &PresentedKey) -> Result<Option<VerifiedKey>, EnrollmentError> {
        let find = || {
            let entry = self.index.find(presented)?;
            self.directory.note_presented(presented, &entry);
            Some(VerifiedKey { entry })
        };
        if let Some(key) = find() {
            return Ok(Some(key));
        }
        let ruled_out = self.directory.rule_out_news().await;
        match find() {
            Some(key) => Ok(Some(key)),
            None => ruled_out.map(|()| None).map_err(EnrollmentError::from),
        }
    }

    /// Whether a text that was not known as it was presented may be known when it is presented anew: peppers came or went
    /// meanwhile.
    pub fn is_overtaken(&self, presented: &PresentedKey) -> bool {
        self.index.is_overtaken(presented)
    }

    /// Steps 3 to 6: checks, decides, signs, commits. What comes back is durable. Comes back within ten seconds; a commit
    /// that is under way then may go through, and is replayed to whoever asks again.
    ///
    /// # Errors
    /// [`EnrollmentError`]; only [`EnrollmentError::Refused`] says something about the key or the device.
    pub async fn enroll(
        &self,
        key: VerifiedKey,
        request: EnrollmentRequest<'_>,
    ) -> Result<Enrollment, EnrollmentError> {
        in_time(ANSWER_TIME_MAX, self.enroll_in_turn(key, request)).await
    }

    async fn enroll_in_turn(
        &self,
        key: VerifiedKey,
        request: EnrollmentRequest<'_>,
    ) -> Result<Enrollment, EnrollmentError> {
        let difference = self.store_clock.difference();
        if !difference.may_sign() {
            return Err(EnrollmentError::ClockOff(difference));
        }
        let key_id = key.key_id();
        let mut confirmed = false;
        let mut checked = match self.check_state(key.entry, request.remote_address) {
            Ok(checked) => checked,
            Err(_) => {
                confirmed = true;
                self.check_state_anew(key_id, request.remote_address).await?
            }
        };
        let csr = self.verify_csr(request.csr)?;

        let _turn = self.turns.take(key_id, &request.fingerprint).await;
        let mut sight = Sight::Assumed;
        for _ in 0..ATTEMPTS_MAX {
            let (known, seat) = match &sight {
                Sight::Looked(Some(known)) => (Some(&**known), None),
                Sight::Looked(None) => (None, self.seats.take(&checked.entry).await),
                Sight::Assumed => match self.seats.take(&checked.entry).await {
                    Some(seat) => (None, Some(seat)),
                    None => {
                        sight = Sight::Looked(self.look(&checked, &request.fingerprint).await?);
                        continue;
                    }
                },
            };
            let allowed = checked.entry.key().allow_re_enrollment;
            let decision = decide(known, csr.public_key_hash(), allowed, seat.is_some(), self.clock.now());
            let (intent, outcome) = match (decision, known) {
                (Decision::Refuse(refusal), _) if confirmed => {
                    return Err(self.refused(refusal, checked.entry.key(), known, request.remote_address));
                }
                (Decision::Refuse(_), _) => {
                    checked = self.check_state_anew(key_id, request.remote_address).await?;
                    confirmed = true;
                    continue;
                }
                (Decision::Replay, Some(known)) => {
                    return self.stored(&known.component, &known.certificate, &checked.lineage.group.name);
                }
                (Decision::ReEnroll, Some(known)) => {
                    let (component, superseded) = (known.component.id, known.component.current_serial);
                    (EnrollmentIntent::ReEnroll { component, superseded }, Outcome::ReEnrolled)
                }
                (Decision::Enroll | Decision::Replay | Decision::ReEnroll, _) => {
                    (EnrollmentIntent::Enroll { component: self.ids.next().await? }, Outcome::Enrolled)
                }
            };
            let issued = self.sign(&checked.lineage, (intent.component(), &request.fingerprint), &csr)?;
            match self.commit(&checked, &request, &issued, intent, seat).await? {
                EnrollmentOutcome::Committed { component_name, .. } => {
                    return Ok(self.enrollment(
                        &checked.lineage,
                        outcome,
                        (intent.component(), component_name),
                        issued,
                    ));
                }
                EnrollmentOutcome::Exhausted { .. } => {
                    let key = checked.entry.key();
                    return Err(self.refused(Refusal::KeyExhausted, key, None, request.remote_address));
                }
                EnrollmentOutcome::Expired => {
                    let key = checked.entry.key();
                    return Err(self.refused(Refusal::KeyExpired, key, None, request.remote_address));
                }
                EnrollmentOutcome::Known => {
                    sight = Sight::Looked(self.look(&checked, &request.fingerprint).await?);
                }
                EnrollmentOutcome::Outdated => {
                    checked = self.check_state_anew(key_id, request.remote_address).await?;
                    sight = Sight::Assumed;
                }
            }
        }
        Err(EnrollmentError::StoreUnavailable { reason: "settings or the device's record kept changing".to_owned() })
    }

    /// Check 3 once more, after memory has followed the store's change feed. Nothing is refused on the
    /// word of memory alone: a setting that was just changed (on another node, too) refuses nobody.
    async fn check_state_anew(
        &self,
        key: ProvisioningKeyId,
        remote_address: IpAddr,
    ) -> Result<CheckedKey, EnrollmentError> {
        self.directory.refresh_in_time().await?;
        let entry = self.index.find_by_id(key).ok_or(EnrollmentError::KeyGone)?;
        let refused = |refusal| self.refused(refusal, entry.key(), None, remote_address);
        self.check_state(Arc::clone(&entry), remote_address).map_err(refused)
    }

    /// A refusal with its facts. `known`: the device's component, where that is what it is refused for.
    fn refused(
        &self,
        refusal: Refusal,
        key: &IndexedKey,
        known: Option<&KnownComponent>,
        remote_address: IpAddr,
    ) -> EnrollmentError {
        let component = || known.map_or("the component", |known| &*known.component.name);
        let reason = match refusal {
            Refusal::AddressNotAllowed => {
                let whose = if key.addresses.allow(remote_address) { "group" } else { "key" };
                format!("{remote_address} is not in the {whose}'s address list").into()
            }
            Refusal::ClientCertificateSuperseded => format!("{} has a newer certificate", component()).into(),
            Refusal::ComponentDisabled => format!("{} is disabled", component()).into(),
            Refusal::ComponentRevoked => format!("{} is revoked and not deleted yet", component()).into(),
            Refusal::CustomerDisabled => "the customer is disabled".into(),
            Refusal::FingerprintMismatch => format!("{} has another fingerprint", component()).into(),
            Refusal::GroupDisabled => "the key's group is disabled".into(),
            Refusal::InvalidCsr => "the CSR is not accepted".into(),
            Refusal::KeyDisabled => "the key is disabled".into(),
            Refusal::KeyExhausted => match key.maximum {
                Some(maximum) => format!("all {maximum} uses are taken").into(),
                None => "all uses are taken".into(),
            },
            Refusal::KeyExpired => match key.expires_at {
                Some(end) => format!("the key expired at {end}").into(),
                None => "the key expired".into(),
            },
            Refusal::ReEnrollmentLimit => {
                let times = known.map_or(0, |known| known.recent_re_enrollments);
                format!("{} re-enrolled {times} times within 24 hours", component()).into()
            }
            Refusal::ReEnrollmentNotAllowed => {
                let has_ended = known.is_some_and(|known| known.certificate.not_after <= self.clock.now());
                let what = if has_ended { "has a certificate that ended" } else { "has another key pair" };
                format!("same hardware as {}, which {what}; re-enrollment is off", component()).into()
            }
            Refusal::SigningCertificateUnavailable => return self.unavailable(key.signing_certificate_id),
        };
        EnrollmentError::Refused { refusal, reason }
    }

    /// [`Refusal::SigningCertificateUnavailable`] with its facts.
    fn unavailable(&self, signer: SigningCertificateId) -> EnrollmentError {
        let found = self.directory.signer(signer);
        let why = found.map_or("is gone", |found| found.obstacle(self.clock.now()));
        let reason = format!("signing certificate {signer} {why}").into();
        EnrollmentError::Refused { refusal: Refusal::SigningCertificateUnavailable, reason }
    }

    /// Check 4.
    fn verify_csr(&self, text: &str) -> Result<VerifiedCsr, EnrollmentError> {
        let csr = VerifiedCsr::verify(text)?;
        if self.directory.is_signing_key(csr.public_key_hash()) {
            return Err(EnrollmentError::SigningCertificateKey);
        }
        Ok(csr)
    }

    fn check_state(&self, entry: Arc<KeyEntry>, remote_address: IpAddr) -> Result<CheckedKey, Refusal> {
        let key = entry.key();
        let now = self.clock.now();
        let customer = self.directory.customer(key.customer_id).filter(|it| it.enabled);
        let group = self.directory.group(key.group_id).filter(|it| it.enabled);
        let signer = self.directory.signer(key.signing_certificate_id).filter(|signer| signer.is_usable(now));
        let (customer, group, signer) = check_standing((customer, group, signer), key.enabled, key.expires_at, now)?;
        if !(key.addresses.allow(remote_address) && group.addresses.allow(remote_address)) {
            return Err(Refusal::AddressNotAllowed);
        }
        Ok(CheckedKey { entry, lineage: Lineage { customer, group, signer } })
    }

    async fn look(
        &self,
        checked: &CheckedKey,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Box<KnownComponent>>, StoreError> {
        let key = checked.entry.key();
        let since = self.clock.now().saturating_sub(RE_ENROLLMENT_WINDOW);
        Ok(self.store.find_known_component(key.customer_id, key.id, fingerprint, since).await?.map(Box::new))
    }

    fn sign(
        &self,
        lineage: &Lineage,
        (component_id, fingerprint): (ComponentId, &Fingerprint),
        csr: &VerifiedCsr,
    ) -> Result<IssuedCertificate, EnrollmentError> {
        let Lineage { customer, group, signer } = lineage;
        let subject = Subject {
            customer_id: customer.id,
            customer_name: &customer.name,
            group_name: &group.name,
            kind: group.kind,
            component_id,
            fingerprint,
        };
        let issuer = signer.issuer().ok_or(EnrollmentError::Signing)?;
        let started = Instant::now();
        let issued = issuer.issue(csr, &subject, &self.profile, self.clock.now()).map_err(|error| match error {
            IssueError::Unavailable => self.unavailable(signer.id),
            IssueError::Signing => EnrollmentError::Signing,
        })?;
        self.metrics.observe_signature(issuer.algorithm(), started.elapsed());
        Ok(issued)
    }

    /// Check 6. Gives the seat back when the answer is there, with the count that it brought.
    async fn commit(
        &self,
        checked: &CheckedKey,
        request: &EnrollmentRequest<'_>,
        issued: &IssuedCertificate,
        intent: EnrollmentIntent,
        seat: Option<Seat<'_>>,
    ) -> Result<EnrollmentOutcome, StoreError> {
        let CheckedKey { entry, lineage: Lineage { customer, group, signer } } = checked;
        let key = entry.key();
        let commit = EnrollmentCommit {
            seen: SeenRevisions {
                customer: (customer.id, customer.revision),
                group: (group.id, group.revision),
                signing_certificate: (signer.id, signer.revision),
                key: (key.id, key.revision),
            },
            fingerprint: request.fingerprint.clone(),
            device: request.device.clone(),
            remote_address: request.remote_address,
            certificate: issued.clone(),
            intent,
        };
        let outcome = self.store.commit_enrollment(commit).await?;
        if let EnrollmentOutcome::Committed { uses, .. } | EnrollmentOutcome::Exhausted { uses } = &outcome {
            entry.observe_uses(*uses);
        }
        drop(seat);
        Ok(outcome)
    }

    /// A component's certificate once more; nothing is counted or written. `group_name`: for a group that is gone.
    fn stored(
        &self,
        component: &Component,
        certificate: &CertificateRecord,
        group_name: &Arc<str>,
    ) -> Result<Enrollment, EnrollmentError> {
        // The component may have been moved to another group than the key's, and be signed by another.
        let group = self.directory.group(component.group_id);
        let signer =
            self.directory.signer(certificate.signing_certificate_id).ok_or_else(|| EnrollmentError::Refused {
                refusal: Refusal::SigningCertificateUnavailable,
                reason: "the signing certificate of the stored certificate is gone".into(),
            })?;
        Ok(Enrollment {
            outcome: Outcome::Replayed,
            component_id: component.id,
            component_name: component.name.clone(),
            kind: component.kind,
            customer_id: component.customer_id,
            group_id: component.group_id,
            group_name: Arc::clone(group.as_ref().map_or(group_name, |group| &group.name)),
            certificate_der: certificate.der.clone(),
            chain_pem: signer.chain_pem(),
            trust_anchors_pem: self.directory.trust_anchors_pem(component.customer_id).unwrap_or_default(),
            serial: certificate.serial,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            renew_after: crate::domain::certificate::renew_after(certificate.issued_at, certificate.not_after),
        })
    }

    fn enrollment(
        &self,
        lineage: &Lineage,
        outcome: Outcome,
        (component_id, component_name): (ComponentId, String),
        issued: IssuedCertificate,
    ) -> Enrollment {
        let Lineage { customer, group, signer } = lineage;
        Enrollment {
            outcome,
            component_id,
            component_name,
            kind: group.kind,
            customer_id: customer.id,
            group_id: group.id,
            group_name: Arc::clone(&group.name),
            renew_after: issued.renew_after(),
            certificate_der: issued.der,
            chain_pem: signer.chain_pem(),
            trust_anchors_pem: self.directory.trust_anchors_pem(customer.id).unwrap_or_default(),
            serial: issued.serial,
            not_before: issued.not_before,
            not_after: issued.not_after,
        }
    }
}
