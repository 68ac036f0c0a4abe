//! What a node keeps in memory to check enrollments: keys (in the index), groups, customers and
//! parsed signing certificates, fed by the store's change feed.
//!
//! Changes are applied one after the other in the order of the feed, under one lock, each by
//! reading the object's row as it is now. So an older state can never overwrite a newer one, on one
//! node or on many.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use tokio::sync::Mutex;

use super::freshness::{Freshness, Memory};
use super::peppers::PepperWatch;
use crate::ca::{Issuer, PresentedCertificate, SigningAuthority, certs_only};
use crate::clock::Timestamp;
use crate::domain::certificate::PublicKeyHash;
use crate::domain::places;
use crate::domain::{Customer, Group, Kind, Networks, Revision, SigningCertificate};
use crate::id::{CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use crate::index::{KeyEntry, KeyIndex, PresentedKey};
use crate::metrics::Metrics;
use crate::protocol::enroll::PemText;
use crate::secret::master::MasterKeys;
use crate::store::{ChangeSequence, ChangedObject, ObjectRef, Store, StoreError};

/// Rows per read while a node starts.
const SCAN_LIMIT: u32 = 10_000;

/// Changes per read while following the feed.
const FEED_LIMIT: u32 = 1_000;

/// Signing certificates of one key identifier that are asked whether they made a certificate.
const NAMESAKES_MAX: usize = 8;

/// The node's copy of everything that an enrollment is checked against.
pub struct Directory {
    store: Arc<dyn Store>,
    master_keys: Arc<MasterKeys>,
    index: Arc<KeyIndex>,
    metrics: Arc<Metrics>,
    customers: DashMap<CustomerId, Arc<CustomerView>>,
    groups: DashMap<GroupId, Arc<GroupView>>,
    signers: DashMap<SigningCertificateId, Arc<Signer>>,
    /// By subject key identifier, which leads from a certificate to what may have made it. Whoever brings a CA may give it
    /// another's.
    authorities: DashMap<Vec<u8>, BTreeSet<SigningCertificateId>>,
    /// Per customer, ready to be sent.
    hierarchies: DashMap<CustomerId, Hierarchy>,
    /// Public keys of all signing certificates: no CSR may bring one of them.
    signing_keys: DashMap<PublicKeyHash, ()>,
    /// For whoever publishes CRLs.
    crl_news: StdMutex<CrlNews>,
    applied: Mutex<ChangeSequence>,
    service_changes: AtomicU64,
    peppers: PepperWatch,
    freshness: Freshness,
}

/// Why a node cannot start to enroll.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the private key of signing certificate {id} does not open ({reason}); start with the master key that \
         sealed it, beside the present one"
    )]
    Unusable { id: SigningCertificateId, reason: String },
}

pub(super) struct CustomerView {
    pub(super) id: CustomerId,
    pub(super) name: Arc<str>,
    pub(super) enabled: bool,
    pub(super) revision: Revision,
}

/// The CAs that a customer's component certificates hang from.
#[derive(Clone)]
struct Hierarchy {
    /// PEM of the roots.
    trust_anchors: PemText,
    /// The roots and the CAs below them, see [`certs_only`].
    all: Arc<[u8]>,
}

pub(super) struct GroupView {
    pub(super) id: GroupId,
    customer_id: CustomerId,
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    pub(super) enabled: bool,
    /// The default: what signs for components whose key is gone.
    pub(super) signing_certificate_id: SigningCertificateId,
    pub(super) addresses: Networks,
    pub(super) revision: Revision,
}

/// What the feed told that is about CRLs.
#[derive(Default)]
pub(super) struct CrlNews {
    /// Signing certificates that were read: at the start, after a change, or because they are gone.
    pub(super) opened: HashSet<SigningCertificateId>,
    /// Signing certificates that have a new CRL in the store.
    pub(super) published: HashSet<SigningCertificateId>,
}

/// A signing certificate with its key parsed once.
pub(super) struct Signer {
    pub(super) id: SigningCertificateId,
    pub(super) revision: Revision,
    pub(super) customer_id: CustomerId,
    settings_allow: bool,
    validity: Range<Timestamp>,
    /// `Ok(None)`: there is nothing to sign with, by intent. `Err`: why it does not open.
    issuer: Result<Option<Issuer>, String>,
    /// `None`: there is no certificate yet, so it made none either.
    authority: Option<SigningAuthority>,
    chain_pem: PemText,
}

impl Signer {
    pub(super) fn is_usable(&self, now: Timestamp) -> bool {
        self.settings_allow && self.issuer().is_some_and(|issuer| issuer.is_available(now))
    }

    /// Why it is not usable, behind its name.
    pub(super) fn obstacle(&self, now: Timestamp) -> &'static str {
        match &self.issuer {
            Err(_) => "has a private key that does not open",
            Ok(None) => "has no certificate, or no private key",
            Ok(Some(_)) if !self.settings_allow => "is not allowed to sign",
            Ok(Some(_)) if now < self.validity.start => "is not valid yet",
            Ok(Some(_)) if now >= self.validity.end => "has expired",
            Ok(Some(_)) => "ends too soon, or one above it does",
        }
    }

    pub(super) fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref().ok().and_then(Option::as_ref)
    }

    /// Whether there are to be CRLs of it: also when it is not allowed to sign certificates any more, as long as
    /// those that it signed count.
    pub(super) fn publishes_crls(&self, now: Timestamp) -> bool {
        now < self.validity.end && self.issuer().is_some_and(Issuer::signs_crls)
    }

    pub(super) fn chain_pem(&self) -> PemText {
        self.chain_pem.clone()
    }
}

impl Directory {
    /// Reads everything that the store has. A million keys take seconds, see `benches/start.rs`.
    ///
    /// # Errors
    /// The store's, or [`DirectoryError::Unusable`]: a store without its master key is not served.
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
            authorities: DashMap::new(),
            hierarchies: DashMap::new(),
            signing_keys: DashMap::new(),
            crl_news: StdMutex::default(),
            applied: Mutex::new(ChangeSequence::default()),
            service_changes: AtomicU64::new(0),
            peppers: PepperWatch::new(),
            freshness: Freshness::new(),
        };
        let mut applied = directory.applied.lock().await;
        *applied = directory.load_all().await?;
        drop(applied);
        for signer in &directory.signers {
            if let Err(reason) = &signer.issuer {
                return Err(DirectoryError::Unusable { id: signer.id, reason: reason.clone() });
            }
        }
        let directory = Arc::new(directory);
        directory.refresh().await?;
        Ok(directory)
    }

    /// Applies everything that was committed before this call; one look at the store for all who ask meanwhile.
    ///
    /// # Errors
    /// The store's; what was applied until then stays applied.
    pub async fn refresh(self: &Arc<Self>) -> Result<(), StoreError> {
        self.freshness.confirm(self).await
    }

    /// As [`Self::refresh`], for whoever waits in the name of a device: two seconds at most.
    ///
    /// # Errors
    /// The store's. It is unavailable when there was no answer in time.
    pub(super) async fn refresh_in_time(self: &Arc<Self>) -> Result<(), StoreError> {
        self.freshness.confirm_in_time(self).await
    }

    /// Waits until what is not in memory then is nowhere. A store of this process alone is not asked: what
    /// it has was announced here.
    ///
    /// # Errors
    /// The store's: it is away, and memory was not current within the last five seconds.
    pub(super) async fn rule_out_news(self: &Arc<Self>) -> Result<(), StoreError> {
        match self.store.is_shared() {
            true => self.freshness.confirm_or_believe(self).await,
            false => Ok(()),
        }
    }

    /// Applies the feed at least up to `through`.
    ///
    /// # Errors
    /// The store's; what was applied until then stays applied.
    pub async fn follow(&self, through: ChangeSequence) -> Result<(), StoreError> {
        let mut applied = self.applied.lock().await;
        // Behind what was applied already: others were quicker, or the store went back, as in a fail-over that lost
        // commits.
        if through < *applied && self.store.last_change().await? < *applied {
            tracing::error!("The store has less than this node saw of it; everything is read anew.");
            *applied = self.load_all().await?;
        }
        while *applied < through {
            let changes = self.store.list_changes(*applied, FEED_LIMIT).await?;
            let (Some(first), Some(last)) = (changes.first(), changes.last()) else { break };
            if first.sequence.0 != applied.0 + 1 {
                tracing::warn!(
                    behind = first.sequence.0 - applied.0,
                    "This node fell behind the change feed and reads everything anew."
                );
                *applied = self.load_all().await?;
                continue;
            }
            let through_these = last.sequence;
            self.apply(&changes).await?;
            *applied = through_these;
        }
        self.metrics.set_index_keys(self.index.len());
        self.peppers.settle(&self.index);
        Ok(())
    }

    /// Notes that a key was presented, should it have to move to a newer pepper.
    pub(super) fn note_presented(&self, presented: &PresentedKey, entry: &Arc<KeyEntry>) {
        self.peppers.note(&self.index, presented, entry);
    }

    /// Has those keys moved to the newest pepper that were presented since the last time. Nothing while there is one.
    ///
    /// # Errors
    /// The store's. Whatever did not move does when it is presented again.
    pub async fn move_presented_keys(self: &Arc<Self>) -> Result<(), StoreError> {
        match self.peppers.hand_over(&*self.store).await? {
            0 => Ok(()),
            _ => self.refresh().await,
        }
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

    /// The signing certificate whose key made this one, whether or not it may sign now. The oldest namesakes are asked,
    /// so that nobody hides an older one behind those that he brings.
    pub(super) fn signer_of(&self, presented: &PresentedCertificate<'_>) -> Option<Arc<Signer>> {
        let namesakes: Vec<_> = {
            let namesakes = self.authorities.get(presented.authority_key_identifier())?;
            namesakes.iter().copied().take(NAMESAKES_MAX).collect()
        };
        namesakes
            .into_iter()
            .filter_map(|id| self.signer(id))
            .find(|signer| signer.authority.as_ref().is_some_and(|authority| authority.has_signed(presented)))
    }

    pub(super) fn is_signing_key(&self, public_key: &PublicKeyHash) -> bool {
        self.signing_keys.contains_key(public_key)
    }

    /// What the feed told of CRLs since this was asked last.
    pub(super) fn take_crl_news(&self) -> CrlNews {
        std::mem::take(&mut *self.crl_news())
    }

    fn crl_news(&self) -> MutexGuard<'_, CrlNews> {
        self.crl_news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// PEM of the roots of a customer's component certificates; `None` when there is no such customer.
    pub fn trust_anchors_pem(&self, customer: CustomerId) -> Option<PemText> {
        self.hierarchies.get(&customer).map(|entry| entry.trust_anchors.clone())
    }

    /// The same roots with the CAs below them, as DER of one [`certs_only`] message.
    pub fn authorities(&self, customer: CustomerId) -> Option<Arc<[u8]>> {
        self.hierarchies.get(&customer).map(|entry| Arc::clone(&entry.all))
    }

    /// The customer, if there is one and no other.
    pub fn only_customer(&self) -> Option<CustomerId> {
        let mut customers = self.customers.iter();
        let only = customers.next().map(|customer| *customer.key());
        only.filter(|_| customers.next().is_none())
    }

    /// Whose group it is; `None` when there is no such group.
    pub fn customer_of_group(&self, group: GroupId) -> Option<CustomerId> {
        self.groups.get(&group).map(|entry| entry.customer_id)
    }

    /// Of the signing certificates that are in validity and meant to sign: how many there are, and how many can.
    pub fn count_signers(&self, now: Timestamp) -> (usize, usize) {
        let meant = |signer: &Signer| signer.settings_allow && signer.validity.contains(&now);
        let mut counts = (0, 0);
        for signer in self.signers.iter().filter(|signer| meant(signer)) {
            match &signer.issuer {
                Ok(Some(_)) => counts = (counts.0 + 1, counts.1 + 1),
                Ok(None) => {}
                Err(_) => counts.0 += 1,
            }
        }
        counts
    }

    /// Keys in the index.
    pub fn count_keys(&self) -> usize {
        self.index.len()
    }

    /// How many changes in the store were not applied here yet; `None` while some are being applied.
    ///
    /// # Errors
    /// The store's.
    pub async fn changes_behind(&self) -> Result<Option<u64>, StoreError> {
        let newest = self.store.last_change().await?;
        Ok(self.applied.try_lock().ok().map(|applied| newest.0.saturating_sub(applied.0)))
    }

    /// Counts up whenever settings or secrets of the service were changed, or may have been. They are not kept
    /// here: whoever keeps a copy reads it anew when this is another than at the last time.
    pub fn service_changes(&self) -> u64 {
        self.service_changes.load(Ordering::Acquire)
    }

    /// Before keys are read, so that none is under a pepper that is not known here.
    async fn add_new_peppers(&self) -> Result<bool, StoreError> {
        self.peppers.add_new(&*self.store, &self.master_keys, &self.index).await
    }

    /// After keys were read, when none is known here under a pepper that is gone.
    async fn follow_peppers(&self) -> Result<(), StoreError> {
        self.peppers.follow(&*self.store, &self.master_keys, &self.index).await
    }

    fn note_service_change(&self) {
        self.service_changes.fetch_add(1, Ordering::Release);
    }

    /// Reads every row, takes out what is gone, and answers the change up to which this holds. What
    /// changes meanwhile is read once more by whoever follows the feed from there.
    ///
    /// What was known before is crossed off as it is read; at a start that is nothing, and costs nothing.
    async fn load_all(&self) -> Result<ChangeSequence, StoreError> {
        let start = self.store.last_change().await?;
        let have_peppers_changed = self.add_new_peppers().await?;
        let mut gone: HashSet<CustomerId> = self.customers.iter().map(|known| *known.key()).collect();
        for customer in self.store.scan_customers().await? {
            gone.remove(&customer.id);
            self.put_customer(&customer);
        }
        for id in gone {
            self.customers.remove(&id);
        }
        let mut gone: HashSet<GroupId> = self.groups.iter().map(|known| *known.key()).collect();
        let mut after = GroupId::from_raw(0);
        loop {
            let rows = self.store.scan_groups(after, SCAN_LIMIT).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            for group in &rows {
                gone.remove(&group.id);
                self.put_group(group);
            }
        }
        for id in gone {
            self.groups.remove(&id);
        }
        let mut gone: HashSet<SigningCertificateId> = self.signers.iter().map(|known| *known.key()).collect();
        let mut after = SigningCertificateId::from_raw(0);
        loop {
            let rows = self.store.scan_signing_certificates(after, SCAN_LIMIT).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            for certificate in &rows {
                gone.remove(&certificate.id);
                self.put_signer(certificate);
            }
        }
        for id in gone {
            self.remove_signer(id);
        }
        let mut known = self.index.ids().into_iter().peekable();
        let mut rows = self.store.scan_keys(ProvisioningKeyId::from_raw(0), SCAN_LIMIT).await?;
        while let Some(last) = rows.last().map(|key| key.id) {
            // The store reads the next ones while these are taken over.
            let (next, ()) = tokio::join!(self.store.scan_keys(last, SCAN_LIMIT), async {
                for key in rows {
                    while let Some(gone) = known.next_if(|known| *known < key.id) {
                        self.index.remove(gone);
                    }
                    known.next_if_eq(&key.id);
                    self.index.put(key);
                }
            });
            rows = next?;
        }
        known.for_each(|gone| self.index.remove(gone));
        self.collect_hierarchies(&self.customers.iter().map(|known| *known.key()).collect());
        if have_peppers_changed {
            self.follow_peppers().await?;
        }
        // What the feed would have said of it was not read.
        self.note_service_change();
        Ok(start)
    }

    /// Brings what a page of the feed names up to date: each object once, the keys of a customer in one read.
    ///
    /// Every read begins after the page was read, so it shows an object as of its last change in the page or
    /// later, and the order within a page changes nothing. Keys come last, when what they lead to is there. The order
    /// is one that comes again: the simulation repeats a run by its seed.
    async fn apply(&self, page: &[ChangedObject]) -> Result<(), StoreError> {
        let mut keys: BTreeMap<CustomerId, Vec<ProvisioningKeyId>> = BTreeMap::new();
        let mut with_signers = HashSet::new();
        let mut have_peppers_changed = false;
        for object in page.iter().map(|change| change.object).collect::<BTreeSet<_>>() {
            match object {
                ObjectRef::Customer(id) => match self.store.find_customer(id).await? {
                    Some(customer) => self.put_customer(&customer),
                    None => drop(self.customers.remove(&id)),
                },
                ObjectRef::Group(customer, id) => match self.store.find_group(customer, id).await? {
                    Some(group) => self.put_group(&group),
                    None => drop(self.groups.remove(&id)),
                },
                ObjectRef::Crl(_, id) => {
                    self.crl_news().published.insert(id);
                }
                ObjectRef::Key(customer, id) => keys.entry(customer).or_default().push(id),
                ObjectRef::SigningCertificate(customer, id) => {
                    match self.store.find_signing_certificate(customer, id).await? {
                        Some(certificate) => self.put_signer(&certificate),
                        None => self.remove_signer(id),
                    }
                    with_signers.insert(customer);
                }
                ObjectRef::Administrator(..) | ObjectRef::ApiClient(..) | ObjectRef::CleanUpSchedule(..) => {}
                ObjectRef::Service => {
                    self.note_service_change();
                    have_peppers_changed = self.add_new_peppers().await?;
                }
            }
        }
        if !with_signers.is_empty() {
            self.collect_hierarchies(&with_signers);
        }
        for (customer, ids) in keys {
            let found = self.store.find_indexed_keys(customer, &ids).await?;
            let there: HashSet<_> = found.iter().map(|key| key.id).collect();
            found.into_iter().for_each(|key| self.index.put(key));
            ids.into_iter().filter(|id| !there.contains(id)).for_each(|id| self.index.remove(id));
        }
        if have_peppers_changed {
            self.follow_peppers().await?;
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
            customer_id: group.customer_id,
            kind: group.kind,
            name: group.name.as_str().into(),
            enabled: group.enabled,
            signing_certificate_id: group.signing_certificate_id,
            addresses: Networks::from(&group.addresses),
            revision: group.revision,
        };
        self.groups.insert(group.id, Arc::new(view));
    }

    /// One that does not open is kept as one that cannot sign: `/readyz` and the log tell, and the
    /// keys of other signing certificates go on enrolling.
    fn put_signer(&self, certificate: &SigningCertificate) {
        let issuer = self.open_issuer(certificate);
        if let Err(reason) = &issuer {
            tracing::error!(signing_certificate.id = %certificate.id, reason, "A signing certificate cannot be used.");
        }
        let usable = issuer.as_ref().ok().and_then(Option::as_ref);
        for hash in usable.into_iter().flat_map(Issuer::key_hashes) {
            self.signing_keys.insert(*hash, ());
        }
        if certificate.certificate.is_some() {
            self.metrics.set_certificate_expiry(&certificate.id.to_string(), certificate.not_after);
        }
        let authority = certificate.certificate.as_deref().and_then(|der| SigningAuthority::parse(der).ok());
        if let Some(authority) = &authority {
            self.authorities.entry(authority.key_identifier().to_vec()).or_default().insert(certificate.id);
        }
        let signer = Signer {
            id: certificate.id,
            revision: certificate.revision,
            customer_id: certificate.customer_id,
            settings_allow: certificate.allow_signing,
            validity: certificate.not_before..certificate.not_after,
            chain_pem: PemText::from(usable.map_or("", Issuer::chain_pem)),
            issuer,
            authority,
        };
        self.signers.insert(certificate.id, Arc::new(signer));
        self.crl_news().opened.insert(certificate.id);
    }

    fn remove_signer(&self, id: SigningCertificateId) {
        let authority =
            self.signers.remove(&id).and_then(|(_, signer)| Some(signer.authority.as_ref()?.key_identifier().to_vec()));
        if let Some(key_identifier) = authority {
            self.authorities.remove_if_mut(&key_identifier, |_, namesakes| {
                namesakes.remove(&id);
                namesakes.is_empty()
            });
        }
        self.crl_news().opened.insert(id);
        self.metrics.forget_certificate(&id.to_string());
    }

    /// `None` when there is no certificate or no private key to sign with; else why it does not open.
    fn open_issuer(&self, certificate: &SigningCertificate) -> Result<Option<Issuer>, String> {
        let id = certificate.id;
        let (Some(der), Some(sealed)) = (&certificate.certificate, &certificate.sealed_private_key) else {
            return Ok(None);
        };
        let place = places::signing_key(certificate.customer_id, id);
        let private_key = self.master_keys.open(place.as_place(), sealed).map_err(|error| error.to_string())?;
        Issuer::new(id, der, &certificate.chain, &private_key, certificate.lifetime_seconds)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    /// Writes the hierarchies of these customers anew, in one walk over all signing certificates.
    fn collect_hierarchies(&self, customers: &HashSet<CustomerId>) {
        let signers: Vec<_> = self.signers.iter().map(|signer| Arc::clone(&signer)).collect();
        let mut issuers: HashMap<CustomerId, Vec<&Issuer>> = HashMap::new();
        for signer in signers.iter().filter(|signer| customers.contains(&signer.customer_id)) {
            issuers.entry(signer.customer_id).or_default().extend(signer.issuer());
        }
        self.hierarchies.retain(|customer, _| self.customers.contains_key(customer));
        for customer in customers {
            let issuers = issuers.remove(customer).unwrap_or_default();
            let roots: BTreeSet<&str> = issuers.iter().map(|issuer| issuer.root_pem()).collect();
            let hierarchy = Hierarchy {
                trust_anchors: roots.into_iter().collect::<String>().as_str().into(),
                all: certs_only(issuers.iter().flat_map(|issuer| issuer.certificates())).into(),
            };
            self.hierarchies.insert(*customer, hierarchy);
        }
    }
}

impl Memory for Directory {
    async fn catch_up(&self) -> Result<(), StoreError> {
        let newest = self.store.last_change().await?;
        self.follow(newest).await
    }
}
