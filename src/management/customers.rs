//! Customers: make, list, get, edit; and what a new one starts with.
//!
//! None is ever deleted. Its certificates live on in the field, its audit chain is evidence, and its
//! user names and ids must not come back as somebody else's. Disabling ends what it can do: its
//! devices are refused with `customer-disabled`, and nobody of it signs in.

use std::sync::Arc;

use super::administrators::{self, AdministratorInput, NewAdministrator};
use super::audited;
use super::edits::{Attempt, until_not_overtaken};
use super::fields::{Checker, Field, Input};
use super::signing_certificates::{Order, Parent, off_the_async_threads};
use super::{Error, Management, Object, Request};
use crate::ca::{KeyAlgorithm, Profile};
use crate::clock::Timestamp;
use crate::domain::certificate::SigningPurpose;
use crate::domain::{Actor, Customer, Description, Name, Revision, Role, SigningCertificate};
use crate::id::{CustomerId, SigningCertificateId};
use crate::secret::master::MasterKeys;
use crate::store::{Change, CustomerField, IdAllocator, ListQuery, Page};

/// The signing certificates of a new customer, the root first; the others stand below it.
const PRESET: [(&str, SigningPurpose); 6] = [
    ("Root", SigningPurpose::None),
    ("Client", SigningPurpose::ZappClient),
    ("Connector", SigningPurpose::None),
    ("Service Edge", SigningPurpose::None),
    ("Isolation Client", SigningPurpose::IsolationClient),
    ("Network Connector", SigningPurpose::None),
];

/// What a caller says about a customer.
#[derive(Clone, Debug, Default)]
pub struct CustomerInput {
    pub name: Input<String>,
    /// True when absent.
    pub enabled: Input<bool>,
}

/// A customer that was just made.
pub struct MadeCustomer {
    pub customer: Customer,
    /// Its first administrator, if one was asked for.
    pub administrator: Option<NewAdministrator>,
}

impl Management {
    /// Makes a customer with its six signing certificates and, if asked for, its first administrator
    /// (whose role is admin when absent), in one transaction.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateName`]; [`Error::Forbidden`] for all but owners;
    /// outages.
    pub async fn create_customer(
        &self,
        request: impl Into<Request<'_, MadeCustomer>>,
        input: CustomerInput,
        administrator: Option<AdministratorInput>,
    ) -> Result<MadeCustomer, Error> {
        let Request { actor, once } = request.into();
        require_owner(actor)?;
        let mut checker = Checker::default();
        let name = checker.required(Field::Name, input.name, |text| Name::new(&text));
        let enabled = checker.take(Field::Enabled, input.enabled).given().unwrap_or(true);
        let id = self.parts.ids.next().await?;
        let checked = match administrator {
            Some(mut input) => {
                if let Input::Absent | Input::Cleared = input.role {
                    input.role = Input::Given(Role::Admin.as_str().to_owned());
                }
                administrators::check(actor, id, input, &mut checker)?
            }
            None => None,
        };
        let Some(name) = name else { return Err(checker.into_error()) };
        checker.finish()?;
        if let Some(checked) = &checked {
            let username = checked.username.as_str();
            if self.store().find_administrator(username).await?.is_some() {
                return Err(Error::DuplicateName { object: Object::Administrator, name: username.to_owned() });
            }
        }

        let now = self.now();
        let Self { parts, .. } = self;
        let lifetime = parts.component_lifetime_seconds;
        let mut made =
            NewCustomer::make(id, name, &parts.ids, &parts.master_keys, &parts.profile, lifetime, now).await?;
        made.customer.enabled = enabled;
        let customer = made.customer;
        let mut audit = vec![audited::created(actor, now, &customer)];
        let mut changes = vec![Change::InsertCustomer(customer.clone())];
        for certificate in made.signing_certificates {
            audit.push(audited::created(actor, now, &certificate));
            changes.push(Change::InsertSigningCertificate(certificate));
        }
        let administrator = match checked {
            Some(checked) => Some(self.make_administrator(actor, id, checked, now).await?),
            None => None,
        };
        if let Some(made) = &administrator {
            audit.push(audited::created(actor, now, &made.administrator));
            changes.push(Change::InsertAdministrator(made.administrator.clone()));
        }
        let made = MadeCustomer { customer, administrator };
        self.commit_made(once, changes, audit, &made)
            .await
            .map_err(|error| error.about(Object::Customer, id, made.customer.name.as_str()))?;
        Ok(made)
    }

    /// # Errors
    /// [`Error::Forbidden`] for all but owners; outages.
    pub async fn list_customers(
        &self,
        actor: &Actor,
        query: &ListQuery<CustomerField>,
    ) -> Result<Page<Customer>, Error> {
        require_owner(actor)?;
        Ok(self.store().list_customers(query).await?)
    }

    /// Changes what is given and leaves the rest; `expected` as for a group. A disabled customer's devices
    /// and people are refused from their next request on.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::Outdated`]; [`Error::DuplicateName`]; [`Error::NotFound`];
    /// [`Error::Forbidden`] for all but owners; outages.
    pub async fn edit_customer(
        &self,
        actor: &Actor,
        id: CustomerId,
        expected: Option<Revision>,
        input: &CustomerInput,
    ) -> Result<Revision, Error> {
        self.authorise(actor, id, Role::Owner).await?;
        until_not_overtaken(Object::Customer, id, move || async move {
            let before = self.store().find_customer(id).await?;
            let before = before.ok_or_else(|| Error::not_found(Object::Customer, id))?;
            Error::expect_revision(Object::Customer, expected, before.revision)?;
            let mut after = before.clone();
            let mut checker = Checker::default();
            if let Some(name) = checker.check(Field::Name, input.name.clone(), |text| Name::new(&text)).given() {
                after.name = name;
            }
            if let Some(enabled) = checker.take(Field::Enabled, input.enabled.clone()).given() {
                after.enabled = enabled;
            }
            checker.finish()?;
            if after == before {
                return Ok(Attempt::Done(before.revision));
            }
            let now = self.now();
            after.modified_at = now;
            let event = audited::updated(actor, now, &before, &after);
            let about = (Object::Customer, id, after.name.as_str());
            let edited = self.commit_edit(Change::UpdateCustomer(after.clone()), event, about).await?;
            Ok(edited.map(|()| before.revision.next()))
        })
        .await
    }

    /// # Errors
    /// [`Error::NotFound`], also for one that the actor does not reach; rights and outages.
    pub async fn find_customer(&self, actor: &Actor, id: CustomerId) -> Result<Customer, Error> {
        self.authorise(actor, id, Role::Auditor).await?;
        let customer = self.store().find_customer(id).await?;
        customer.ok_or_else(|| Error::not_found(Object::Customer, id))
    }
}

/// For what is above all customers.
pub(super) fn require_owner(actor: &Actor) -> Result<(), Error> {
    if actor.role < Role::Owner { Err(Error::Forbidden { role: actor.role, needed: Role::Owner }) } else { Ok(()) }
}

/// A customer that is not stored yet, with its signing certificates, the root first.
pub(super) struct NewCustomer {
    pub(super) customer: Customer,
    pub(super) signing_certificates: Vec<SigningCertificate>,
}

impl NewCustomer {
    /// Makes six key pairs and certificates and tries each out: tens of milliseconds of CPU, off the
    /// async threads.
    pub(super) async fn make(
        id: CustomerId,
        name: Name,
        ids: &IdAllocator,
        master_keys: &Arc<MasterKeys>,
        profile: &Arc<Profile>,
        component_lifetime_seconds: u32,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let customer =
            Customer { id, name, enabled: true, created_at: now, modified_at: now, revision: Revision::FIRST };
        let mut certificate_ids: Vec<SigningCertificateId> = Vec::with_capacity(PRESET.len());
        for _ in PRESET {
            certificate_ids.push(ids.next().await?);
        }
        let (master_keys, profile) = (Arc::clone(master_keys), Arc::clone(profile));
        off_the_async_threads(move || {
            let order = |index: usize| {
                let (name, purpose) = PRESET[index];
                Order {
                    id: certificate_ids[index],
                    customer_id: customer.id,
                    customer_name: customer.name.clone(),
                    name: Name::new(name).expect("preset names are names"),
                    description: Description::default(),
                    purpose,
                    algorithm: KeyAlgorithm::EcdsaP256,
                    lifetime_days: None,
                    component_lifetime_seconds,
                    made_by: None,
                }
            };
            let root = order(0).make(None, &master_keys, &profile, now)?;
            let mut signing_certificates = vec![root.row.clone()];
            let root = Parent::of(root);
            for index in 1..PRESET.len() {
                signing_certificates.push(order(index).make(Some(&root), &master_keys, &profile, now)?.row);
            }
            Ok(Self { customer, signing_certificates })
        })
        .await
    }
}
