//! Customers: what a new one starts with.

use std::sync::Arc;

use super::signing_certificates::{Order, Parent, off_the_async_threads};
use super::{Error, Management, Object};
use crate::ca::{KeyAlgorithm, Profile};
use crate::clock::Timestamp;
use crate::domain::certificate::SigningPurpose;
use crate::domain::{Actor, Customer, Description, Name, Revision, Role, SigningCertificate};
use crate::id::{CustomerId, SigningCertificateId};
use crate::secret::master::MasterKeys;
use crate::store::IdAllocator;

/// The signing certificates of a new customer, the root first; the others stand below it.
const PRESET: [(&str, SigningPurpose); 6] = [
    ("Root", SigningPurpose::None),
    ("Client", SigningPurpose::ZappClient),
    ("Connector", SigningPurpose::None),
    ("Service Edge", SigningPurpose::None),
    ("Isolation Client", SigningPurpose::IsolationClient),
    ("Network Connector", SigningPurpose::None),
];

impl Management {
    /// # Errors
    /// [`Error::NotFound`], also for one that the actor does not reach; rights and outages.
    pub async fn find_customer(&self, actor: &Actor, id: CustomerId) -> Result<Customer, Error> {
        self.authorise(actor, id, Role::Auditor).await?;
        let customer = self.store().find_customer(id).await?;
        customer.ok_or_else(|| Error::not_found(Object::Customer, id))
    }
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
        name: Name,
        ids: &IdAllocator,
        master_keys: &Arc<MasterKeys>,
        profile: &Arc<Profile>,
        component_lifetime_seconds: u32,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let customer = Customer {
            id: ids.next().await?,
            name,
            enabled: true,
            created_at: now,
            modified_at: now,
            revision: Revision::FIRST,
        };
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
