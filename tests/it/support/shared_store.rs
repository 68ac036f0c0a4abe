//! A store that says of itself that other nodes share it, and that is away or silent when a test wants it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use muster::clock::Timestamp;
use muster::domain::audit::{AuditEvent, AuditKey, AuditRow};
use muster::domain::key::IndexedKey;
use muster::domain::ledger::{HourTally, LedgerRow, RefusalSum, RefusalTally};
use muster::domain::redemption::KnownComponent;
use muster::domain::{
    Administrator, ApiClient, Attention, CertificateRecord, CleanUpSchedule, Component, Customer, Fingerprint, Group,
    Kind, Name, PageName, Preference, ProvisioningKey, SavedFilter, SerialNumber, SessionRecord, SigningCertificate,
};
use muster::id::{
    AdministratorId, ApiClientId, ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId,
};
use muster::secret::pepper::KeyDigest;
use muster::store::{
    AdministratorField, AnswerId, ApiClientField, AuditQuery, Change, ChangeError, ChangeSequence, ChangedObject,
    ComponentField, ComponentRelations, CustomerField, EndedComponent, EndingComponent, EnrollmentCommit,
    EnrollmentOutcome, EnrollmentStore, Finding, GroupContents, GroupField, KeyField, KeyHours, KeyUse, KindCounts,
    ListQuery, Page, PageRequest, Remark, SealedSecret, SigningCertificateField, SigningCertificateReferences, Store,
    StoreError, StoredAnswer,
};
use tokio::sync::watch;

/// How the store is, to one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Away,
    Silent,
    Well,
}

/// One node's way to the store that `inner` stands for.
pub struct SharedStore {
    inner: Arc<dyn Store>,
    mood: watch::Sender<Mood>,
    calls: Mutex<HashMap<&'static str, usize>>,
}

impl SharedStore {
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, mood: watch::Sender::new(Mood::Well), calls: Mutex::default() })
    }

    pub fn turn(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// How often the node looked how far the change feed is.
    pub fn looks(&self) -> usize {
        self.calls("last_change")
    }

    /// How often the node called this method.
    pub fn calls(&self, call: &str) -> usize {
        self.calls.lock().unwrap().get(call).copied().unwrap_or_default()
    }

    async fn pass(&self, call: &'static str) -> Result<(), StoreError> {
        *self.calls.lock().unwrap().entry(call).or_default() += 1;
        let mut mood = self.mood.subscribe();
        let mood = *mood.wait_for(|mood| *mood != Mood::Silent).await.expect("its sender is this one's");
        match mood {
            Mood::Away => Err(StoreError::Unavailable { reason: "on purpose".to_owned() }),
            Mood::Silent | Mood::Well => Ok(()),
        }
    }
}

#[async_trait]
impl EnrollmentStore for SharedStore {
    async fn commit_enrollment(&self, commit: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        self.pass("commit_enrollment").await?;
        self.inner.commit_enrollment(commit).await
    }

    async fn find_known_component(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        fingerprint: &Fingerprint,
        since: Timestamp,
    ) -> Result<Option<KnownComponent>, StoreError> {
        self.pass("find_known_component").await?;
        self.inner.find_known_component(customer, key, fingerprint, since).await
    }

    async fn add_refusals(&self, tallies: Vec<RefusalTally>) -> Result<(), StoreError> {
        self.pass("add_refusals").await?;
        self.inner.add_refusals(tallies).await
    }
}

/// Each call goes through to the store when it is well.
macro_rules! pass_on {
    ($($call:ident($($given:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Store for SharedStore {
            fn is_shared(&self) -> bool {
                true
            }

            $(async fn $call(&self, $($given: $kind),*) -> $answer {
                self.pass(stringify!($call)).await?;
                self.inner.$call($($given),*).await
            })+

            async fn close(&self) {
                self.inner.close().await;
            }
        }
    };
}

pass_on! {
    now() -> Result<Timestamp, StoreError>;
    commit_changes(changes: Vec<Change>, audit: Vec<AuditEvent>, audit_key: &AuditKey) -> Result<ChangeSequence, ChangeError>;
    commit_changes_in_background(changes: Vec<Change>, audit: Vec<AuditEvent>, audit_key: &AuditKey) -> Result<ChangeSequence, ChangeError>;
    list_changes(after: ChangeSequence, limit: u32) -> Result<Vec<ChangedObject>, StoreError>;
    last_change() -> Result<ChangeSequence, StoreError>;
    reserve_ids(count: u64) -> Result<u64, StoreError>;
    find_answer(id: AnswerId) -> Result<Option<StoredAnswer>, StoreError>;
    find_setting(name: &str) -> Result<Option<String>, StoreError>;
    list_secrets(purpose: &str) -> Result<Vec<SealedSecret>, StoreError>;
    find_customer(id: CustomerId) -> Result<Option<Customer>, StoreError>;
    find_group(customer: CustomerId, id: GroupId) -> Result<Option<Group>, StoreError>;
    find_signing_certificate(customer: CustomerId, id: SigningCertificateId) -> Result<Option<SigningCertificate>, StoreError>;
    find_signing_certificate_references(customer: CustomerId, id: SigningCertificateId) -> Result<Option<SigningCertificateReferences>, StoreError>;
    find_key(customer: CustomerId, id: ProvisioningKeyId) -> Result<Option<ProvisioningKey>, StoreError>;
    find_component(customer: CustomerId, id: ComponentId) -> Result<Option<Component>, StoreError>;
    find_components(customer: CustomerId, ids: &[ComponentId]) -> Result<Vec<Component>, StoreError>;
    find_component_relations(customer: CustomerId, ids: &[ComponentId]) -> Result<Vec<ComponentRelations>, StoreError>;
    find_certificate(customer: CustomerId, component: ComponentId, serial: SerialNumber) -> Result<Option<CertificateRecord>, StoreError>;
    find_certificates(customer: CustomerId, component: ComponentId, serials: &[SerialNumber]) -> Result<Vec<CertificateRecord>, StoreError>;
    find_clean_up_schedule(customer: CustomerId, kind: Kind) -> Result<Option<CleanUpSchedule>, StoreError>;
    find_api_client(client_id: &str) -> Result<Option<ApiClient>, StoreError>;
    find_administrator(username: &str) -> Result<Option<Administrator>, StoreError>;
    find_administrator_by_id(customer: CustomerId, id: AdministratorId) -> Result<Option<Administrator>, StoreError>;
    find_api_client_by_id(customer: CustomerId, id: ApiClientId) -> Result<Option<ApiClient>, StoreError>;
    find_actor_names(customer: CustomerId, ids: &[u64]) -> Result<HashMap<u64, Name>, StoreError>;
    find_session(id: &str) -> Result<Option<SessionRecord>, StoreError>;
    find_key_by_digest(digest: &KeyDigest) -> Result<Option<(CustomerId, ProvisioningKeyId)>, StoreError>;
    list_administrators(customer: CustomerId, query: &ListQuery<AdministratorField>) -> Result<Page<Administrator>, StoreError>;
    list_api_clients(customer: CustomerId, query: &ListQuery<ApiClientField>) -> Result<Page<ApiClient>, StoreError>;
    list_customers(query: &ListQuery<CustomerField>) -> Result<Page<Customer>, StoreError>;
    list_groups(customer: CustomerId, kind: Kind, query: &ListQuery<GroupField>) -> Result<Page<Group>, StoreError>;
    count_group_contents(customer: CustomerId, ids: &[GroupId]) -> Result<Vec<GroupContents>, StoreError>;
    list_signing_certificates(customer: CustomerId, query: &ListQuery<SigningCertificateField>) -> Result<Page<SigningCertificate>, StoreError>;
    list_keys(customer: CustomerId, kind: Kind, query: &ListQuery<KeyField>) -> Result<Page<ProvisioningKey>, StoreError>;
    list_keys_of_group(customer: CustomerId, group: GroupId, after: ProvisioningKeyId, limit: u32) -> Result<Vec<ProvisioningKey>, StoreError>;
    list_components(customer: CustomerId, kind: Kind, query: &ListQuery<ComponentField>) -> Result<Page<Component>, StoreError>;
    list_group_components(customer: CustomerId, group: GroupId, limit: u32) -> Result<Vec<Component>, StoreError>;
    list_ending_components(customer: CustomerId, after: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<EndingComponent>, StoreError>;
    count_kind(customer: CustomerId, kind: Kind) -> Result<KindCounts, StoreError>;
    list_clean_up_schedules() -> Result<Vec<CleanUpSchedule>, StoreError>;
    list_ledger(customer: CustomerId, key: ProvisioningKeyId, page: PageRequest) -> Result<Page<KeyUse>, StoreError>;
    list_re_enrollments(customer: CustomerId, component: ComponentId, limit: u32) -> Result<Vec<LedgerRow>, StoreError>;
    list_refusals(customer: CustomerId, key: ProvisioningKeyId) -> Result<Vec<RefusalTally>, StoreError>;
    sum_refusals(customer: CustomerId, since: Timestamp) -> Result<Vec<RefusalSum>, StoreError>;
    list_attention(customer: CustomerId, now: Timestamp, limit: u32) -> Result<Page<Attention>, StoreError>;
    find_key_hours(customer: CustomerId, key: ProvisioningKeyId, since: Timestamp) -> Result<Option<KeyHours>, StoreError>;
    list_customer_hours(customer: CustomerId, since: Timestamp) -> Result<Vec<HourTally>, StoreError>;
    list_sessions(customer: CustomerId, administrator: AdministratorId, now: Timestamp, page: PageRequest) -> Result<Page<SessionRecord>, StoreError>;
    list_preferences(customer: CustomerId, administrator: AdministratorId) -> Result<Vec<Preference>, StoreError>;
    list_saved_filters(customer: CustomerId, administrator: AdministratorId, page: &PageName) -> Result<Vec<SavedFilter>, StoreError>;
    search_audit(customer: CustomerId, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError>;
    list_audit(customer: CustomerId, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;
    scan_customers() -> Result<Vec<Customer>, StoreError>;
    scan_groups(after: GroupId, limit: u32) -> Result<Vec<Group>, StoreError>;
    scan_signing_certificates(after: SigningCertificateId, limit: u32) -> Result<Vec<SigningCertificate>, StoreError>;
    scan_keys(after: ProvisioningKeyId, limit: u32) -> Result<Vec<IndexedKey>, StoreError>;
    find_indexed_keys(customer: CustomerId, ids: &[ProvisioningKeyId]) -> Result<Vec<IndexedKey>, StoreError>;
    scan_ended_components(customer: CustomerId, ended_by: Timestamp, after: (Timestamp, ComponentId), limit: u32) -> Result<Vec<EndedComponent>, StoreError>;
    sweep() -> Result<(), StoreError>;
    check_integrity(audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError>;
    check_audit(audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError>;
    list_remarks() -> Result<Vec<Remark>, StoreError>;
    probe() -> Result<(), StoreError>;
}
