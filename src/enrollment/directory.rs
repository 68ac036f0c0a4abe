//! What a node keeps in memory to check enrollments: keys (in the index), groups, customers and
//! parsed signing certificates, fed by the store's change feed.
//!
//! Changes are applied one after the other in the order of the feed, under one lock, each by
//! reading the object's row as it is now. So an older state can never overwrite a newer one, on one
//! node or on many.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::Mutex;

use crate::ca::Issuer;
use crate::clock::Timestamp;
use crate::domain::certificate::PublicKeyHash;
use crate::domain::places;
use crate::domain::{AddressList, Customer, Group, Kind, Revision, SigningCertificate};
use crate::id::{CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use crate::index::KeyIndex;
use crate::metrics::Metrics;
use crate::secret::master::MasterKeys;
use crate::store::{ChangeSequence, ObjectRef, Store, StoreError};

/// Rows per read while a node starts.
const SCAN_LIMIT: u32 = 10_000;

/// Changes per read while following the feed.
const FEED_LIMIT: u32 = 1_000;

/// The node's copy of everything that an enrollment is checked against.
pub struct Directory {
    store: Arc<dyn Store>,
    master_keys: Arc<MasterKeys>,
    index: Arc<KeyIndex>,
    metrics: Arc<Metrics>,
    customers: DashMap<CustomerId, Arc<CustomerView>>,
    groups: DashMap<GroupId, Arc<GroupView>>,
    signers: DashMap<SigningCertificateId, Arc<Signer>>,
    /// Roots per customer, as PEM, ready to be sent.
    trust_anchors: DashMap<CustomerId, Arc<str>>,
    /// Public keys of all signing certificates: no CSR may bring one of them.
    signing_keys: DashMap<PublicKeyHash, ()>,
    applied: Mutex<ChangeSequence>,
}

/// Why a directory could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the private key of signing certificate {id} does not open: {reason}")]
    Unseal { id: SigningCertificateId, reason: String },
}

pub(super) struct CustomerView {
    pub(super) id: CustomerId,
    pub(super) name: Arc<str>,
    pub(super) enabled: bool,
    pub(super) revision: Revision,
}

pub(super) struct GroupView {
    pub(super) id: GroupId,
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    pub(super) enabled: bool,
    pub(super) addresses: AddressList,
    pub(super) revision: Revision,
}

/// A signing certificate with its key parsed once.
pub(super) struct Signer {
    pub(super) id: SigningCertificateId,
    pub(super) revision: Revision,
    customer_id: CustomerId,
    settings_allow: bool,
    not_before: Timestamp,
    not_after: Timestamp,
    issuer: Option<Issuer>,
    chain_pem: Arc<str>,
}

impl Signer {
    pub(super) fn is_usable(&self, now: Timestamp) -> bool {
        self.settings_allow && self.issuer.is_some() && (self.not_before..self.not_after).contains(&now)
    }

    pub(super) fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
    }

    pub(super) fn chain_pem(&self) -> Arc<str> {
        Arc::clone(&self.chain_pem)
    }
}

impl Directory {
    /// Reads everything that the store has. A million keys take seconds, see `benches/start.rs`.
    ///
    /// # Errors
    /// The store's, or [`DirectoryError::Unseal`] when the master keys are not those of this store.
    pub async fn load(
        store: Arc<dyn Store>,
        master_keys: Arc<MasterKeys>,
        index: Arc<KeyIndex>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, DirectoryError> {
        let directory = Self {
            store,
            master_keys,
            index,
            metrics,
            customers: DashMap::new(),
            groups: DashMap::new(),
            signers: DashMap::new(),
            trust_anchors: DashMap::new(),
            signing_keys: DashMap::new(),
            applied: Mutex::new(ChangeSequence::default()),
        };
        // Taken first: what changes while the rows are read is then read once more.
        let start = directory.store.last_change().await?;
        for customer in directory.store.list_customers().await? {
            directory.put_customer(&customer);
        }
        let mut after = GroupId::from_raw(0);
        while let Some(last) = directory.load_groups(after).await? {
            after = last;
        }
        let mut after = SigningCertificateId::from_raw(0);
        while let Some(last) = directory.load_signers(after).await? {
            after = last;
        }
        let mut after = ProvisioningKeyId::from_raw(0);
        while let Some(last) = directory.load_keys(after).await? {
            after = last;
        }
        directory.metrics.set_index_keys(directory.index.len());
        *directory.applied.lock().await = start;
        directory.refresh().await?;
        Ok(Arc::new(directory))
    }

    /// Applies everything that was committed before this call.
    ///
    /// # Errors
    /// The store's; what was applied until then stays applied.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let newest = self.store.last_change().await?;
        self.follow(newest).await
    }

    /// Applies the feed at least up to `through`.
    ///
    /// # Errors
    /// The store's; what was applied until then stays applied.
    pub async fn follow(&self, through: ChangeSequence) -> Result<(), StoreError> {
        let mut applied = self.applied.lock().await;
        while *applied < through {
            let changes = self.store.list_changes(*applied, FEED_LIMIT).await?;
            let Some(last) = changes.last().map(|change| change.sequence) else { break };
            for change in changes {
                self.apply(change.object).await?;
            }
            *applied = last;
        }
        self.metrics.set_index_keys(self.index.len());
        Ok(())
    }

    pub(super) fn customer(&self, id: CustomerId) -> Option<Arc<CustomerView>> {
        self.customers.get(&id).map(|entry| Arc::clone(&entry))
    }

    pub(super) fn group(&self, id: GroupId) -> Option<Arc<GroupView>> {
        self.groups.get(&id).map(|entry| Arc::clone(&entry))
    }

    pub(super) fn signer(&self, id: SigningCertificateId) -> Option<Arc<Signer>> {
        self.signers.get(&id).map(|entry| Arc::clone(&entry))
    }

    pub(super) fn is_signing_key(&self, public_key: &PublicKeyHash) -> bool {
        self.signing_keys.contains_key(public_key)
    }

    /// PEM of the roots of a customer's component certificates; `None` when there is no such customer.
    pub fn trust_anchors_pem(&self, customer: CustomerId) -> Option<Arc<str>> {
        self.trust_anchors.get(&customer).map(|entry| Arc::clone(&entry))
    }

    /// Whether every signing certificate that is in validity and meant to sign can sign. For
    /// `/readyz`.
    pub fn is_signing_ready(&self, now: Timestamp) -> bool {
        self.signers
            .iter()
            .filter(|signer| signer.settings_allow && (signer.not_before..signer.not_after).contains(&now))
            .all(|signer| signer.issuer.is_some())
    }

    async fn load_groups(&self, after: GroupId) -> Result<Option<GroupId>, StoreError> {
        let groups = self.store.scan_groups(after, SCAN_LIMIT).await?;
        groups.iter().for_each(|group| self.put_group(group));
        Ok(groups.last().map(|group| group.id))
    }

    async fn load_signers(&self, after: SigningCertificateId) -> Result<Option<SigningCertificateId>, DirectoryError> {
        let certificates = self.store.scan_signing_certificates(after, SCAN_LIMIT).await?;
        for certificate in &certificates {
            self.put_signer(certificate)?;
        }
        Ok(certificates.last().map(|certificate| certificate.id))
    }

    async fn load_keys(&self, after: ProvisioningKeyId) -> Result<Option<ProvisioningKeyId>, StoreError> {
        let keys = self.store.scan_keys(after, SCAN_LIMIT).await?;
        let last = keys.last().map(|key| key.id);
        keys.into_iter().for_each(|key| self.index.put(key));
        Ok(last)
    }

    async fn apply(&self, object: ObjectRef) -> Result<(), StoreError> {
        match object {
            ObjectRef::Customer(id) => match self.store.find_customer(id).await? {
                Some(customer) => self.put_customer(&customer),
                None => drop(self.customers.remove(&id)),
            },
            ObjectRef::Group(customer, id) => match self.store.find_group(customer, id).await? {
                Some(group) => self.put_group(&group),
                None => drop(self.groups.remove(&id)),
            },
            ObjectRef::Key(customer, id) => match self.store.find_indexed_key(customer, id).await? {
                Some(key) => self.index.put(key),
                None => self.index.remove(id),
            },
            ObjectRef::SigningCertificate(customer, id) => {
                match self.store.find_signing_certificate(customer, id).await? {
                    Some(certificate) => {
                        if let Err(error) = self.put_signer(&certificate) {
                            tracing::error!(signing_certificate.id = %id, %error, "a signing certificate cannot be used");
                        }
                    }
                    None => {
                        self.signers.remove(&id);
                        self.collect_trust_anchors(customer);
                    }
                }
            }
            ObjectRef::Administrator(..) | ObjectRef::ApiClient(..) | ObjectRef::Component(..) | ObjectRef::Service => {
            }
        }
        Ok(())
    }

    fn put_customer(&self, customer: &Customer) {
        let view = CustomerView {
            id: customer.id,
            name: customer.name.as_str().into(),
            enabled: customer.enabled,
            revision: customer.revision,
        };
        self.customers.insert(customer.id, Arc::new(view));
    }

    fn put_group(&self, group: &Group) {
        let view = GroupView {
            id: group.id,
            kind: group.kind,
            name: group.name.as_str().into(),
            enabled: group.enabled,
            addresses: group.addresses.clone(),
            revision: group.revision,
        };
        self.groups.insert(group.id, Arc::new(view));
    }

    fn put_signer(&self, certificate: &SigningCertificate) -> Result<(), DirectoryError> {
        let opened = self.open_issuer(certificate);
        let issuer = opened.as_ref().ok().and_then(Option::as_ref);
        for hash in issuer.into_iter().flat_map(Issuer::key_hashes) {
            self.signing_keys.insert(*hash, ());
        }
        let chain_pem = Arc::from(issuer.map_or("", Issuer::chain_pem));
        self.metrics.set_certificate_expiry(&certificate.id.to_string(), certificate.not_after);
        let (issuer, result) = match opened {
            Ok(issuer) => (issuer, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let signer = Signer {
            id: certificate.id,
            revision: certificate.revision,
            customer_id: certificate.customer_id,
            settings_allow: certificate.allow_signing,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            issuer,
            chain_pem,
        };
        self.signers.insert(certificate.id, Arc::new(signer));
        self.collect_trust_anchors(certificate.customer_id);
        result
    }

    /// `None` when there is no certificate or no private key to sign with.
    fn open_issuer(&self, certificate: &SigningCertificate) -> Result<Option<Issuer>, DirectoryError> {
        let id = certificate.id;
        let (Some(der), Some(sealed)) = (&certificate.certificate, &certificate.sealed_private_key) else {
            return Ok(None);
        };
        let place = places::signing_key(certificate.customer_id, id);
        let private_key = self
            .master_keys
            .open(place.as_place(), sealed)
            .map_err(|error| DirectoryError::Unseal { id, reason: error.to_string() })?;
        Issuer::new(id, der, &certificate.chain, &private_key, certificate.lifetime_seconds)
            .map(Some)
            .map_err(|error| DirectoryError::Unseal { id, reason: error.to_string() })
    }

    fn collect_trust_anchors(&self, customer: CustomerId) {
        let mut roots: Vec<String> = Vec::new();
        for signer in self.signers.iter().filter(|signer| signer.customer_id == customer) {
            if let Some(root) = signer.issuer.as_ref().map(Issuer::root_pem)
                && !roots.iter().any(|known| known == root)
            {
                roots.push(root.to_owned());
            }
        }
        roots.sort_unstable();
        self.trust_anchors.insert(customer, roots.concat().into());
    }
}
