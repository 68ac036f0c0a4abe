//! Signing certificates: list, get, edit, and making them here.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::audited;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::{Error, Management, Object};
use crate::ca::{
    self, AuthoritySubject, BELOW_LIFETIME_DAYS_DEFAULT, Issuer, KeyAlgorithm, NewAuthority, Profile,
    ROOT_LIFETIME_DAYS_DEFAULT,
};
use crate::clock::Timestamp;
use crate::domain::certificate::SigningPurpose;
use crate::domain::{Actor, Description, Name, Revision, Role, SigningCertificate, places};
use crate::id::{CustomerId, SigningCertificateId};
use crate::secret::master::MasterKeys;
use crate::store::{Change, ListQuery, Page, SigningCertificateField};

/// The longest lifetime that can be asked for.
const LIFETIME_DAYS_MAX: u64 = 18_250;

/// What a caller says when a signing certificate is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewSigningCertificate {
    pub name: Input<String>,
    pub description: Input<String>,
    /// P-256 when absent.
    pub algorithm: Input<KeyAlgorithm>,
    /// From now on, 1 to 18,250. Absent: [`ROOT_LIFETIME_DAYS_DEFAULT`] or [`BELOW_LIFETIME_DAYS_DEFAULT`].
    pub lifetime_days: Input<u64>,
    /// Absent: a root is made.
    pub parent: Input<SigningCertificateId>,
}

/// What a caller says when editing one.
#[derive(Clone, Debug, Default)]
pub struct SigningCertificateInput {
    pub name: Input<String>,
    pub description: Input<String>,
    pub allow_signing: Input<bool>,
}

/// A signing certificate as a caller may see it. The private key stays sealed and inside.
pub struct SigningCertificateView {
    pub certificate: SigningCertificate,
    pub parent_name: Option<Name>,
}

impl Management {
    /// Makes a root, or one below [`NewSigningCertificate::parent`]. Before it is stored it signs a
    /// trial certificate of each kind, which another verifier checks.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateName`]; rights and outages;
    /// [`Error::Internal`] when the trial fails.
    pub async fn create_signing_certificate(
        &self,
        actor: &Actor,
        customer: CustomerId,
        input: NewSigningCertificate,
    ) -> Result<SigningCertificateView, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        let now = self.now();
        let mut checker = Checker::default();
        let name = checker.required(Field::Name, input.name, |text| Name::new(&text));
        let description = checker.check(Field::Description, input.description, |text| Description::new(&text));
        let algorithm = checker.take(Field::KeyAlgorithm, input.algorithm).given().unwrap_or(KeyAlgorithm::EcdsaP256);
        let lifetime_days = checker.check(Field::LifetimeDays, input.lifetime_days, checked_lifetime).given();
        let parent = match checker.take(Field::Parent, input.parent).given() {
            Some(id) => {
                let parent = self.store().find_signing_certificate(customer, id).await?;
                check_parent(parent.as_ref(), now, &mut checker);
                parent
            }
            None => None,
        };
        let Some(name) = name else {
            return Err(checker.into_error());
        };
        checker.finish()?;
        let Some(owner) = self.store().find_customer(customer).await? else {
            return Err(Error::not_found(Object::Customer, customer));
        };

        let (master_keys, profile) = (Arc::clone(&self.parts.master_keys), Arc::clone(&self.parts.profile));
        let id = self.parts.ids.next().await?;
        let order = Order {
            id,
            customer_id: customer,
            customer_name: owner.name,
            name,
            description: description.given().unwrap_or_default(),
            purpose: SigningPurpose::None,
            algorithm,
            lifetime_days,
            component_lifetime_seconds: self.parts.component_lifetime_seconds,
            made_by: actor.row_id(),
        };
        // Key generation and trial signatures take milliseconds of CPU.
        let (made, parent_name) = off_the_async_threads(move || {
            let parent = parent.map(|parent| Parent::open(&parent, &master_keys)).transpose()?;
            let made = order.make(parent.as_ref(), &master_keys, &profile, now)?;
            Ok((made, parent.map(|parent| parent.name)))
        })
        .await?;

        let audit = vec![audited::created(actor, now, &made.row)];
        self.commit(vec![Change::InsertSigningCertificate(made.row.clone())], audit)
            .await
            .map_err(|error| error.about(Object::SigningCertificate, id, made.row.name.as_str()))?;
        Ok(SigningCertificateView { certificate: made.row, parent_name })
    }

    /// # Errors
    /// Rights and outages.
    pub async fn list_signing_certificates(
        &self,
        actor: &Actor,
        customer: CustomerId,
        query: &ListQuery<SigningCertificateField>,
    ) -> Result<Page<SigningCertificateView>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let page = self.store().list_signing_certificates(customer, query).await?;
        let mut rows: Vec<SigningCertificateView> = Vec::with_capacity(page.rows.len());
        for certificate in page.rows {
            // A root usually stands on the same page, before those below it.
            let on_page = rows.iter().find(|row| Some(row.certificate.id) == certificate.parent_id);
            let parent_name = match on_page {
                Some(row) => Some(row.certificate.name.clone()),
                None => self.parent_name(&certificate).await?,
            };
            rows.push(SigningCertificateView { certificate, parent_name });
        }
        Ok(Page { rows, total: page.total })
    }

    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn find_signing_certificate(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<SigningCertificateView, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let certificate = self.signing_certificate(customer, id).await?;
        Ok(SigningCertificateView { parent_name: self.parent_name(&certificate).await?, certificate })
    }

    /// Changes what is given and leaves the rest; `expected` as for keys.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::Outdated`]; [`Error::DuplicateName`]; [`Error::NotFound`];
    /// rights and outages.
    pub async fn edit_signing_certificate(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: SigningCertificateId,
        expected: Option<Revision>,
        input: &SigningCertificateInput,
    ) -> Result<SigningCertificateView, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::SigningCertificate, id, move || async move {
            let before = self.signing_certificate(customer, id).await?;
            Error::expect_revision(Object::SigningCertificate, expected, before.revision)?;
            let now = self.now();
            let mut after = edited(&before, input.clone())?;
            let unchanged = after.name == before.name
                && after.description == before.description
                && after.allow_signing == before.allow_signing;
            if !unchanged {
                after.modified_at = now;
                after.modified_by = actor.row_id();
                let event = audited::updated(actor, now, &before, &after);
                let about = (Object::SigningCertificate, id, after.name.as_str());
                let update = Change::UpdateSigningCertificate(after.clone());
                if let Attempt::Overtaken = self.commit_edit(update, event, about).await? {
                    return Ok(Attempt::Overtaken);
                }
                after.revision = before.revision.next();
            }
            let parent_name = self.parent_name(&after).await?;
            Ok(Attempt::Done(SigningCertificateView { parent_name, certificate: after }))
        })
        .await
    }

    async fn signing_certificate(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<SigningCertificate, Error> {
        let found = self.store().find_signing_certificate(customer, id).await?;
        found.ok_or_else(|| Error::not_found(Object::SigningCertificate, id))
    }

    /// The signing certificate, if it may be chosen now; else the fault is noted.
    pub(super) async fn usable_signer(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
        now: Timestamp,
        checker: &mut Checker,
    ) -> Result<Option<SigningCertificate>, Error> {
        let signer = self.store().find_signing_certificate(customer, id).await?;
        match &signer {
            None => checker.fault(Field::SigningCertificate, "is no signing certificate of this customer"),
            Some(signer) if !signer.is_usable(now) => checker.fault(
                Field::SigningCertificate,
                format_args!(
                    "{:?} cannot sign: it needs its private key, leave to sign, and validity",
                    signer.name.as_str()
                ),
            ),
            Some(_) => return Ok(signer),
        }
        Ok(None)
    }

    async fn parent_name(&self, certificate: &SigningCertificate) -> Result<Option<Name>, Error> {
        let Some(parent) = certificate.parent_id else { return Ok(None) };
        let parent = self.store().find_signing_certificate(certificate.customer_id, parent).await?;
        Ok(parent.map(|parent| parent.name))
    }
}

fn edited(before: &SigningCertificate, input: SigningCertificateInput) -> Result<SigningCertificate, Error> {
    let mut after = before.clone();
    let mut checker = Checker::default();
    if let Some(name) = checker.check(Field::Name, input.name, |text| Name::new(&text)).given() {
        after.name = name;
    }
    match checker.check(Field::Description, input.description, |text| Description::new(&text)) {
        Input::Given(description) => after.description = description,
        Input::Cleared => after.description = Description::default(),
        Input::Absent | Input::Malformed(_) => {}
    }
    if let Some(allow_signing) = checker.take(Field::AllowSigning, input.allow_signing).given() {
        after.allow_signing = allow_signing;
    }
    checker.finish()?;
    Ok(after)
}

fn checked_lifetime(days: u64) -> Result<u32, String> {
    let in_range = (1..=LIFETIME_DAYS_MAX).contains(&days);
    u32::try_from(days)
        .ok()
        .filter(|_| in_range)
        .ok_or_else(|| format!("is {days} days; 1 to {LIFETIME_DAYS_MAX} are accepted"))
}

/// Roots have pathLen 1 and those below them 0, so only a root can have others below it.
fn check_parent(parent: Option<&SigningCertificate>, now: Timestamp, checker: &mut Checker) {
    match parent {
        None => checker.fault(Field::Parent, "is no signing certificate of this customer"),
        Some(parent) if !parent.chain.is_empty() => {
            checker.fault(Field::Parent, "stands below another; only a root can have others below it");
        }
        Some(parent) if !parent.is_usable(now) => checker.fault(
            Field::Parent,
            format_args!(
                "{:?} cannot sign: it needs its private key, leave to sign, and validity",
                parent.name.as_str()
            ),
        ),
        Some(_) => {}
    }
}

/// Everything that decides how a signing certificate is made.
pub(super) struct Order {
    pub(super) id: SigningCertificateId,
    pub(super) customer_id: CustomerId,
    pub(super) customer_name: Name,
    pub(super) name: Name,
    pub(super) description: Description,
    pub(super) purpose: SigningPurpose,
    pub(super) algorithm: KeyAlgorithm,
    /// `None`: [`ROOT_LIFETIME_DAYS_DEFAULT`] or [`BELOW_LIFETIME_DAYS_DEFAULT`].
    pub(super) lifetime_days: Option<u32>,
    /// Of what it will sign.
    pub(super) component_lifetime_seconds: u32,
    pub(super) made_by: Option<u64>,
}

/// A signing certificate that was made and tried out, not stored yet.
pub(super) struct Made {
    pub(super) row: SigningCertificate,
    pub(super) issuer: Issuer,
}

/// One that others are made below, parsed and ready to sign.
pub(super) struct Parent {
    id: SigningCertificateId,
    name: Name,
    /// Its own certificate and those above it: the chain of what is made below.
    chain: Vec<Vec<u8>>,
    issuer: Issuer,
}

impl Parent {
    fn open(row: &SigningCertificate, master_keys: &MasterKeys) -> Result<Self, Error> {
        let broken = |what: &dyn fmt::Display| Error::Internal {
            detail: format!("the signing certificate {} cannot be used: {what}", row.id),
        };
        let certificate = row.certificate.as_ref().ok_or_else(|| broken(&"it has no certificate"))?;
        let sealed = row.sealed_private_key.as_ref().ok_or_else(|| broken(&"it has no private key"))?;
        let place = places::signing_key(row.customer_id, row.id);
        let private_key = master_keys.open(place.as_place(), sealed).map_err(|error| broken(&error))?;
        let issuer = Issuer::new(row.id, certificate, &row.chain, &private_key, row.lifetime_seconds)
            .map_err(|error| broken(&error))?;
        let mut chain = vec![certificate.clone()];
        chain.extend(row.chain.iter().cloned());
        Ok(Self { id: row.id, name: row.name.clone(), chain, issuer })
    }

    /// One that was made in the same breath.
    pub(super) fn of(made: Made) -> Self {
        let chain = made.row.certificate.iter().chain(&made.row.chain).cloned().collect();
        Self { id: made.row.id, name: made.row.name, chain, issuer: made.issuer }
    }
}

impl Order {
    /// Makes key pair and certificate, tries them out, seals the key. Blocking, milliseconds.
    pub(super) fn make(
        self,
        parent: Option<&Parent>,
        master_keys: &MasterKeys,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<Made, Error> {
        let failed = |what: &dyn fmt::Display| Error::Internal {
            detail: format!("the signing certificate {:?} could not be made: {what}", self.name.as_str()),
        };
        let subject = AuthoritySubject {
            common_name: self.name.as_str(),
            customer_id: self.customer_id,
            customer_name: self.customer_name.as_str(),
        };
        let made: Result<NewAuthority, _> = match parent {
            None => {
                let days = self.lifetime_days.unwrap_or(ROOT_LIFETIME_DAYS_DEFAULT);
                ca::make_root(&subject, self.algorithm, days, now)
            }
            Some(parent) => {
                let days = self.lifetime_days.unwrap_or(BELOW_LIFETIME_DAYS_DEFAULT);
                ca::make_below(&parent.issuer, &subject, self.algorithm, days, now)
            }
        };
        let made = made.map_err(|error| failed(&error))?;
        let chain = parent.map(|parent| parent.chain.clone()).unwrap_or_default();
        let lifetime_seconds = self.component_lifetime_seconds;
        let issuer = Issuer::new(self.id, &made.certificate, &chain, &made.private_key, lifetime_seconds)
            .map_err(|error| failed(&error))?;
        ca::try_out(&issuer, profile, now).map_err(|error| failed(&error))?;

        let place = places::signing_key(self.customer_id, self.id);
        let private_key: Zeroizing<Vec<u8>> = made.private_key;
        let row = SigningCertificate {
            id: self.id,
            customer_id: self.customer_id,
            name: self.name,
            description: self.description,
            certificate: Some(made.certificate),
            chain,
            sealed_private_key: Some(master_keys.seal(place.as_place(), &private_key)),
            csr: None,
            parent_id: parent.map(|parent| parent.id),
            allow_signing: true,
            lifetime_seconds,
            purpose: self.purpose,
            not_before: made.not_before,
            not_after: made.not_after,
            created_at: now,
            modified_at: now,
            modified_by: self.made_by,
            revision: Revision::FIRST,
        };
        Ok(Made { row, issuer })
    }
}

/// For work that holds a core for milliseconds.
pub(super) async fn off_the_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| Error::Internal { detail: format!("a task broke off: {error}") })?
}
