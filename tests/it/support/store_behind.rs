//! A store at the end of a way, one node's to the store that it shares with others: on it calls and answers are held up,
//! lost, or let through, as a test wants.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use muster::clock::Timestamp;
use muster::domain::audit::{AuditEvent, AuditKey, AuditRow};
use muster::domain::key::IndexedKey;
use muster::domain::ledger::{HourTally, LedgerRow, RefusalSum, RefusalTally};
use muster::domain::redemption::KnownComponent;
use muster::domain::renewal::KnownCertificate;
use muster::domain::revocation::{Crl, CrlHead, CrlNumber};
use muster::domain::webhook::WebhookMark;
use muster::domain::{
    Administrator, ApiClient, Attention, CertificateRecord, CleanUpSchedule, Component, Customer, Fingerprint, Group,
    Kind, Name, PageName, Preference, ProvisioningKey, SavedFilter, SerialNumber, SessionRecord, SigningCertificate,
    Webhook, WebhookDelivery,
};
use muster::id::{
    AdministratorId, ApiClientId, ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId, WebhookId,
};
use muster::secret::pepper::{KeyDigest, PepperNumber};
use muster::store::{
    AdministratorField, AnswerId, ApiClientField, AuditQuery, Change, ChangeError, ChangeSequence, ChangedObject,
    ClaimedDelivery, ComponentField, ComponentRelations, CustomerField, DeliveryAttempt, DigestCounts, EndedComponent,
    EndingComponent, EnrollmentCommit, EnrollmentOutcome, EnrollmentStore, Finding, GroupContents, GroupField,
    KeyField, KeyHours, KeyUnderPepper, KeyUse, KindCounts, ListQuery, NewDigest, Page, PageRequest, Remark,
    RenewalCommit, RenewalOutcome, Revocations, SealedColumn, SealedCounts, SealedSecret, SealedValue, ServedWebhook,
    SigningCertificateField, SigningCertificateReferences, Store, StoreError, StoredAnswer, UntoldLedger, WebhookField,
    WebhookNews,
};

/// How calls get to the store, and answers back.
pub trait Way: Send + Sync + 'static {
    /// `answer` asks the store when it is polled. `call`: the name of the store's method.
    fn carry<T: Send, E: From<StoreError> + Send>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, E>> + Send,
    ) -> impl Future<Output = Result<T, E>> + Send;

    /// Whether other nodes may write to the store, as it says of itself.
    fn is_shared(&self) -> bool {
        true
    }

    fn enroll(
        &self,
        store: &Arc<dyn Store>,
        commit: EnrollmentCommit,
    ) -> impl Future<Output = Result<EnrollmentOutcome, StoreError>> + Send {
        self.carry("commit_enrollment", store.commit_enrollment(commit))
    }

    fn last_change(&self, store: &Arc<dyn Store>) -> impl Future<Output = Result<ChangeSequence, StoreError>> + Send {
        self.carry("last_change", store.last_change())
    }
}

/// One node's way to the store that `inner` stands for.
pub struct StoreBehind<W> {
    inner: Arc<dyn Store>,
    way: W,
}

impl<W: Way> StoreBehind<W> {
    pub fn new(inner: Arc<dyn Store>, way: W) -> Arc<Self> {
        Arc::new(Self { inner, way })
    }

    pub fn way(&self) -> &W {
        &self.way
    }
}

#[async_trait]
impl<W: Way> EnrollmentStore for StoreBehind<W> {
    async fn commit_enrollment(&self, commit: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        self.way.enroll(&self.inner, commit).await
    }

    async fn commit_renewal(&self, commit: RenewalCommit) -> Result<RenewalOutcome, StoreError> {
        self.way.carry("commit_renewal", self.inner.commit_renewal(commit)).await
    }

    async fn find_known_certificate(
        &self,
        customer: CustomerId,
        component: ComponentId,
        serial: SerialNumber,
    ) -> Result<Option<KnownCertificate>, StoreError> {
        let found = self.inner.find_known_certificate(customer, component, serial);
        self.way.carry("find_known_certificate", found).await
    }

    async fn find_known_component(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        fingerprint: &Fingerprint,
        since: Timestamp,
    ) -> Result<Option<KnownComponent>, StoreError> {
        let found = self.inner.find_known_component(customer, key, fingerprint, since);
        self.way.carry("find_known_component", found).await
    }

    async fn add_refusals(&self, tallies: Vec<RefusalTally>) -> Result<(), StoreError> {
        self.way.carry("add_refusals", self.inner.add_refusals(tallies)).await
    }
}

macro_rules! pass_on {
    ($($call:ident($($given:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl<W: Way> Store for StoreBehind<W> {
            fn is_shared(&self) -> bool {
                self.way.is_shared()
            }

            async fn last_change(&self) -> Result<ChangeSequence, StoreError> {
                self.way.last_change(&self.inner).await
            }

            $(async fn $call(&self, $($given: $kind),*) -> $answer {
                self.way.carry(stringify!($call), self.inner.$call($($given),*)).await
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
    list_certificates(customer: CustomerId, component: ComponentId, limit: u32) -> Result<Vec<CertificateRecord>, StoreError>;
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
    list_unpublished_revocations() -> Result<Vec<(CustomerId, SigningCertificateId)>, StoreError>;
    find_revocations(customer: CustomerId, id: SigningCertificateId, now: Timestamp) -> Result<Revocations, StoreError>;
    publish_crl(crl: Crl, after: Option<CrlNumber>, news: Vec<SerialNumber>) -> Result<bool, StoreError>;
    find_crl(customer: CustomerId, id: SigningCertificateId) -> Result<Option<Crl>, StoreError>;
    find_crl_head(customer: CustomerId, id: SigningCertificateId) -> Result<Option<CrlHead>, StoreError>;
    list_sealed_otherwise(column: SealedColumn, header: &[u8], after: u64, limit: u32) -> Result<Vec<SealedValue>, StoreError>;
    replace_sealed(column: SealedColumn, by: &str, values: Vec<(SealedValue, Vec<u8>)>) -> Result<(), StoreError>;
    count_sealed(header: &[u8]) -> Result<SealedCounts, StoreError>;
    count_digests() -> Result<Vec<DigestCounts>, StoreError>;
    list_keys_under(pepper: PepperNumber, after: ProvisioningKeyId, limit: u32) -> Result<Vec<KeyUnderPepper>, StoreError>;
    list_api_clients_under(pepper: PepperNumber, limit: u32) -> Result<Vec<ApiClient>, StoreError>;
    replace_digests(digests: Vec<NewDigest<ProvisioningKeyId>>) -> Result<u64, StoreError>;
    sweep() -> Result<(), StoreError>;
    check_integrity(audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError>;
    check_audit(audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError>;
    list_remarks() -> Result<Vec<Remark>, StoreError>;
    probe() -> Result<(), StoreError>;
    find_webhook(customer: CustomerId, id: WebhookId) -> Result<Option<Webhook>, StoreError>;
    list_webhooks(customer: CustomerId, query: &ListQuery<WebhookField>) -> Result<Page<Webhook>, StoreError>;
    list_webhook_deliveries(customer: CustomerId, id: WebhookId, page: PageRequest) -> Result<Page<WebhookDelivery>, StoreError>;
    list_served_webhooks() -> Result<Vec<ServedWebhook>, StoreError>;
    list_webhook_marks(customer: CustomerId, id: WebhookId) -> Result<Vec<WebhookMark>, StoreError>;
    list_untold_ledgers(customer: CustomerId, id: WebhookId, since: Timestamp, limit: u32) -> Result<Vec<UntoldLedger>, StoreError>;
    list_ledger_after(customer: CustomerId, key: ProvisioningKeyId, after: u64, limit: u32) -> Result<Vec<KeyUse>, StoreError>;
    queue_webhook_news(news: WebhookNews) -> Result<bool, StoreError>;
    list_due_webhooks(now: Timestamp, are_failing: bool, limit: u32) -> Result<Vec<(CustomerId, WebhookId)>, StoreError>;
    claim_delivery(customer: CustomerId, id: WebhookId, now: Timestamp, part: f64) -> Result<Option<ClaimedDelivery>, StoreError>;
    finish_delivery_attempt(attempt: DeliveryAttempt) -> Result<(), StoreError>;
}
