//! Signing certificates: list, get, edit, delete, and making them here. Those that are brought from
//! elsewhere are in `certificate_uploads`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::json;
use zeroize::Zeroizing;

use super::audited;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::{Error, Management, Object, Request};
use crate::ca::{
    self, AuthoritySubject, BELOW_LIFETIME_DAYS_DEFAULT, Issuer, KeyAlgorithm, NewAuthority, Profile,
    ROOT_LIFETIME_DAYS_DEFAULT,
};
use crate::clock::{DAY_SECONDS, Timestamp};
use crate::domain::audit::AuditEvent;
use crate::domain::certificate::SigningPurpose;
use crate::domain::{Actor, Customer, Description, Name, Revision, Role, SigningCertificate, places};
use crate::id::{CustomerId, SigningCertificateId};
use crate::secret::master::MasterKeys;
use crate::store::{
    Change, ListQuery, Page, SigningCertificateField, SigningCertificateReferences, SigningCertificateReplacement,
};

/// The longest lifetime that can be asked for.
const LIFETIME_DAYS_MAX: u32 = 18_250;

/// The longest lifetime of what it signs that can be asked for; as in the configuration.
const COMPONENT_LIFETIME_DAYS_MAX: u32 = 3_650;

/// What a caller says when a signing certificate is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewSigningCertificate {
    pub name: Input<String>,
    pub description: Input<String>,
    /// Of what it signs, 1 to 3,650. Absent: what the service is configured for.
    pub component_lifetime_days: Input<u64>,
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
    /// Of what it signs from now on, 1 to 3,650.
    pub component_lifetime_days: Input<u64>,
    /// PEM of the certificate that completes it or takes the place of the present one, and of the issuers
    /// above it. The present one alone is no change.
    pub certificate: Input<String>,
    /// PEM of the issuers, where they do not stand in `certificate`.
    pub chain: Input<String>,
}

/// A signing certificate as a caller may see it. The private key stays sealed and inside.
pub struct SigningCertificateView {
    pub certificate: SigningCertificate,
    pub parent_name: Option<Name>,
    /// The signing certificate at the upper end of its chain, where that is one of this service too.
    pub root_id: Option<SigningCertificateId>,
}

/// What deleting a signing certificate would come to.
pub struct DeletionPreview {
    pub references: SigningCertificateReferences,
    /// The first that is in the way; `None`: it would be deleted.
    pub in_the_way: Option<&'static str>,
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
        request: impl Into<Request<'_, SigningCertificateView>>,
        customer: CustomerId,
        input: NewSigningCertificate,
    ) -> Result<SigningCertificateView, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Admin).await?;
        let now = self.now();
        let mut checker = Checker::default();
        let settings = (input.name, input.description, input.component_lifetime_days);
        let (name, description, component_lifetime_seconds) = self.checked_settings(settings, &mut checker);
        let algorithm = checker.take(Field::KeyAlgorithm, input.algorithm).given().unwrap_or_default();
        let lifetime_days = checker
            .check(Field::LifetimeDays, input.lifetime_days, |days| checked_days(days, LIFETIME_DAYS_MAX))
            .given();
        let parent = match checker.take(Field::Parent, input.parent).given() {
            Some(id) => self.usable_parent(customer, id, now, &mut checker).await?,
            None => None,
        };
        let Some(name) = name else {
            return Err(checker.into_error());
        };
        checker.finish()?;
        let owner = self.owner(customer).await?;

        let (master_keys, profile) = (Arc::clone(&self.parts.master_keys), Arc::clone(&self.parts.profile));
        let id = self.parts.ids.next().await?;
        let order = Order {
            id,
            customer_id: customer,
            customer_name: owner.name,
            name,
            description,
            purpose: SigningPurpose::None,
            algorithm,
            lifetime_days,
            component_lifetime_seconds,
            made_by: actor.row_id(),
        };
        // Key generation and trial signatures take milliseconds of CPU.
        let made = off_the_async_threads(move || order.make(parent.as_ref(), &master_keys, &profile, now)).await?;
        self.insert_signing_certificate(Request { actor, once }, made.row, now).await
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
        // A root usually stands on the same page as those below it.
        let mut known = page.rows.iter().map(|row| (row.id, Some(Relative::of(row)))).collect();
        let mut rows = Vec::with_capacity(page.rows.len());
        for certificate in page.rows {
            rows.push(self.view_among(certificate, &mut known).await?);
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
        self.view_signing_certificate(certificate).await
    }

    /// Changes what is given and leaves the rest; `expected` as for keys. A certificate that is given
    /// completes one that awaits it, or takes the place of the present one.
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
    ) -> Result<Revision, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::SigningCertificate, id, move || async move {
            let before = self.signing_certificate(customer, id).await?;
            Error::expect_revision(Object::SigningCertificate, expected, before.revision)?;
            let now = self.now();
            let mut after = self.edited_signing_certificate(&before, input.clone(), now).await?;
            if has_same_settings(&before, &after) {
                return Ok(Attempt::Done(before.revision));
            }
            after.modified_at = now;
            after.modified_by = actor.row_id();
            let event = audited::updated(actor, now, &before, &after);
            let about = (Object::SigningCertificate, id, after.name.as_str());
            let update = Change::UpdateSigningCertificate(after.clone());
            Ok(self.commit_edit(update, event, about).await?.map(|()| before.revision.next()))
        })
        .await
    }

    /// Gives all keys and groups of the customer that have `id` another signing certificate, in one transaction, however
    /// many. What they signed stays as it is; components get the other with their next renewal.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the successor cannot sign; [`Error::ReadOnly`] when another API client manages one
    /// of the keys; [`Error::NotFound`]; [`Error::Vanished`]; rights and outages.
    pub async fn replace_signing_certificate(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: SigningCertificateId,
        successor: Input<SigningCertificateId>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        let (before, at) = (self.signing_certificate(customer, id).await?, self.now());
        let mut checker = Checker::default();
        let successor = checker.required(Field::SigningCertificate, successor, |successor| match successor == id {
            true => Err("is the one that is to be replaced"),
            false => Ok(successor),
        });
        let successor = match successor {
            Some(successor) => self.usable_signer(customer, successor, at, &mut checker).await?,
            None => None,
        };
        let Some(successor) = successor else { return Err(checker.into_error()) };
        let replaced_by = json!({ "replacedBy": successor.id, "replacedByName": successor.name });
        let event = AuditEvent { after: Some(replaced_by.to_string()), ..audited::done("replace", actor, at, &before) };
        let replacement = SigningCertificateReplacement {
            customer,
            from: id,
            to: successor.id,
            at,
            by: actor.row_id(),
            client: actor.api_client_id(),
        };
        let committed = self.commit(vec![Change::ReplaceSigningCertificate(replacement)], vec![event]).await;
        committed.map_err(|error| error.about(Object::SigningCertificate, id, before.name.as_str()))
    }

    /// Deletes one that nothing refers to, with its private key.
    ///
    /// # Errors
    /// [`Error::Referenced`] while keys, groups or signing certificates below it refer to it, or a component
    /// certificate that it signed has not ended; [`Error::NotFound`]; [`Error::Outdated`]; rights and outages.
    pub async fn delete_signing_certificate(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: SigningCertificateId,
        expected: Option<Revision>,
    ) -> Result<(), Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        until_not_overtaken(Object::SigningCertificate, id, move || async move {
            let certificate = self.signing_certificate(customer, id).await?;
            Error::expect_revision(Object::SigningCertificate, expected, certificate.revision)?;
            let at = self.now();
            let event = audited::deleted(actor, at, &certificate);
            let revision = Some(certificate.revision);
            let delete = Change::DeleteSigningCertificate { customer, id, revision, at };
            self.commit_edit(delete, event, (Object::SigningCertificate, id, certificate.name.as_str())).await
        })
        .await
    }

    /// What refers to a signing certificate, in numbers.
    ///
    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn find_signing_certificate_references(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<SigningCertificateReferences, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let found = self.store().find_signing_certificate_references(customer, id).await?;
        found.ok_or_else(|| Error::not_found(Object::SigningCertificate, id))
    }

    /// What refers to a signing certificate, and whether it could be deleted now. Deletes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; rights (those of a deletion) and outages.
    pub async fn preview_signing_certificate_deletion(
        &self,
        actor: &Actor,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<DeletionPreview, Error> {
        self.authorise(actor, customer, Role::Admin).await?;
        let references = self.find_signing_certificate_references(actor, customer, id).await?;
        Ok(DeletionPreview { in_the_way: references.in_the_way(self.now()), references })
    }

    /// Stores a new one, with its audit event.
    pub(super) async fn insert_signing_certificate(
        &self,
        Request { actor, once }: Request<'_, SigningCertificateView>,
        row: SigningCertificate,
        now: Timestamp,
    ) -> Result<SigningCertificateView, Error> {
        let audit = vec![audited::created(actor, now, &row)];
        let changes = vec![Change::InsertSigningCertificate(row.clone())];
        let made = self.view_signing_certificate(row).await?;
        self.commit_made(once, changes, audit, &made).await.map_err(|error| {
            error.about(Object::SigningCertificate, made.certificate.id, made.certificate.name.as_str())
        })?;
        Ok(made)
    }

    /// Name, description and lifetime in seconds of what it signs: what every new one has.
    pub(super) fn checked_settings(
        &self,
        (name, description, component_lifetime_days): (Input<String>, Input<String>, Input<u64>),
        checker: &mut Checker,
    ) -> (Option<Name>, Description, u32) {
        let name = checker.required(Field::Name, name, |text| Name::new(&text));
        let description = checker.check(Field::Description, description, |text| Description::new(&text));
        let lifetime = checker.check(Field::ComponentLifetimeDays, component_lifetime_days, checked_component_lifetime);
        let lifetime = lifetime.given().unwrap_or(self.parts.component_lifetime_seconds);
        (name, description.given().unwrap_or_default(), lifetime)
    }

    pub(super) async fn owner(&self, customer: CustomerId) -> Result<Customer, Error> {
        let found = self.store().find_customer(customer).await?;
        found.ok_or_else(|| Error::not_found(Object::Customer, customer))
    }

    async fn edited_signing_certificate(
        &self,
        before: &SigningCertificate,
        input: SigningCertificateInput,
        now: Timestamp,
    ) -> Result<SigningCertificate, Error> {
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
        let days = input.component_lifetime_days;
        if let Some(lifetime) = checker.check(Field::ComponentLifetimeDays, days, checked_component_lifetime).given() {
            after.lifetime_seconds = lifetime;
        }
        self.take_upload(&mut after, input.certificate, input.chain, now, &mut checker).await?;
        checker.finish()?;
        Ok(after)
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
            Some(signer) if !signer.is_usable(now) => checker.fault(Field::SigningCertificate, cannot_sign(signer)),
            Some(_) => return Ok(signer),
        }
        Ok(None)
    }

    /// Whether a component would be signed for at `now`, as the enrollment path judges: leave to sign, a
    /// private key that opens, and a chain that is valid long enough. Parses and verifies the chain.
    pub(super) async fn can_sign(&self, signer: SigningCertificate, now: Timestamp) -> Result<bool, Error> {
        let master_keys = Arc::clone(&self.parts.master_keys);
        off_the_async_threads(move || {
            let is_available = |parent: Parent| parent.issuer.is_available(now);
            Ok(signer.allow_signing && Parent::open(&signer, &master_keys).is_ok_and(is_available))
        })
        .await
    }

    /// One that others can be made below now, parsed; else the fault is noted.
    async fn usable_parent(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
        now: Timestamp,
        checker: &mut Checker,
    ) -> Result<Option<Parent>, Error> {
        let Some(row) = self.store().find_signing_certificate(customer, id).await? else {
            checker.fault(Field::Parent, "is no signing certificate of this customer");
            return Ok(None);
        };
        if !row.is_usable(now) {
            checker.fault(Field::Parent, cannot_sign(&row));
            return Ok(None);
        }
        let master_keys = Arc::clone(&self.parts.master_keys);
        let parent = off_the_async_threads(move || Parent::open(&row, &master_keys)).await?;
        if !parent.issuer.permits_authority_below() {
            checker
                .fault(Field::Parent, "may not have others below it: the path length of its chain does not allow it");
            return Ok(None);
        }
        Ok(Some(parent))
    }

    async fn view_signing_certificate(&self, certificate: SigningCertificate) -> Result<SigningCertificateView, Error> {
        self.view_among(certificate, &mut HashMap::new()).await
    }

    /// `known`: what was looked up for others; `None` for what is not there.
    async fn view_among(
        &self,
        certificate: SigningCertificate,
        known: &mut HashMap<SigningCertificateId, Option<Relative>>,
    ) -> Result<SigningCertificateView, Error> {
        let (mut parent_name, mut root_id) = (None, None);
        let mut next = certificate.parent_id;
        // One step for each certificate above it; CAs that sign each other would have no end.
        for _ in &certificate.chain {
            let Some(id) = next else { break };
            if let std::collections::hash_map::Entry::Vacant(vacant) = known.entry(id) {
                let found = self.store().find_signing_certificate(certificate.customer_id, id).await?;
                vacant.insert(found.as_ref().map(Relative::of));
            }
            let Some(Some(relative)) = known.get(&id) else { break };
            parent_name.get_or_insert_with(|| relative.name.clone());
            if relative.is_root {
                root_id = Some(id);
                break;
            }
            next = relative.parent_id;
        }
        Ok(SigningCertificateView { certificate, parent_name, root_id })
    }
}

/// What a certificate's view needs of those above it.
struct Relative {
    name: Name,
    parent_id: Option<SigningCertificateId>,
    is_root: bool,
}

impl Relative {
    fn of(row: &SigningCertificate) -> Self {
        Self { name: row.name.clone(), parent_id: row.parent_id, is_root: row.chain.is_empty() }
    }
}

fn cannot_sign(row: &SigningCertificate) -> String {
    format!("{:?} cannot sign: it needs its private key, leave to sign, and validity", row.name.as_str())
}

fn has_same_settings(one: &SigningCertificate, other: &SigningCertificate) -> bool {
    one.name == other.name
        && one.description == other.description
        && one.allow_signing == other.allow_signing
        && one.lifetime_seconds == other.lifetime_seconds
        && one.certificate == other.certificate
        && one.chain == other.chain
}

fn checked_days(days: u64, days_max: u32) -> Result<u32, String> {
    u32::try_from(days)
        .ok()
        .filter(|days| (1..=days_max).contains(days))
        .ok_or_else(|| format!("is {days} days; 1 to {days_max} are accepted"))
}

/// Seconds.
fn checked_component_lifetime(days: u64) -> Result<u32, String> {
    checked_days(days, COMPONENT_LIFETIME_DAYS_MAX).map(|days| days * DAY_SECONDS)
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
        let private_key = open_private_key(row, master_keys)?;
        let issuer = Issuer::new(row.id, certificate, &row.chain, &private_key, row.lifetime_seconds)
            .map_err(|error| broken(&error))?;
        let mut chain = vec![certificate.clone()];
        chain.extend(row.chain.iter().cloned());
        Ok(Self { id: row.id, chain, issuer })
    }

    /// One that was made in the same breath.
    pub(super) fn of(made: Made) -> Self {
        let chain = made.row.certificate.iter().chain(&made.row.chain).cloned().collect();
        Self { id: made.row.id, chain, issuer: made.issuer }
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
            public_key_hash: *issuer.public_key_hash(),
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

/// PKCS#8 DER.
pub(super) fn open_private_key(
    row: &SigningCertificate,
    master_keys: &MasterKeys,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let broken = |what: &dyn fmt::Display| Error::Internal {
        detail: format!("the private key of signing certificate {} does not open: {what}", row.id),
    };
    let sealed = row.sealed_private_key.as_ref().ok_or_else(|| broken(&"there is none"))?;
    let place = places::signing_key(row.customer_id, row.id);
    master_keys.open(place.as_place(), sealed).map_err(|error| broken(&error))
}

/// For work that holds a core for milliseconds.
pub(super) async fn off_the_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| Error::Internal { detail: format!("a task broke off: {error}") })?
}
