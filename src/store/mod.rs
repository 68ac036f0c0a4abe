//! The store's contract. Both stores keep it, and `tests/it/store` holds each to it.
//!
//! # What a store promises
//! - An answer that reports a commit comes after the commit is durable: it survives the death of
//!   the process and of the machine.
//! - [`EnrollmentStore::commit_enrollment`] decides and writes in one transaction, and never takes a use
//!   above the key's maximum, whatever runs beside it.
//! - [`Store::commit_changes`] writes all its changes, their audit rows and their rows in the
//!   change feed, or nothing.
//! - [`StoreError::Unknown`] means just that. The caller must not act as if it had failed: the
//!   device's retry finds the record.
//! - Reads see every commit that was answered before they began.
//! - Calls end: a store that is out of reach, or silent, is `Unavailable` after some seconds. Whoever stops
//!   waiting before leaves nothing locked.
//! - Keys of customers, first: no read or write crosses customers unless it says so.
//!
//! What it deliberately does not do: seal or open secrets, sign, judge names or roles, know HTTP.
//! It is given sealed values and checked records. No SQL shows in a signature.

mod codes;
mod encoding;
mod feed;
mod findings;
mod gone;
mod ids;
mod jobs;
mod lists;
mod query;
mod revisions;
mod rows;
#[cfg(test)]
mod samples;
mod sealing;

pub mod backup;
pub mod embedded;
pub mod postgres;
pub mod transfer;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{DAY, Timestamp};
use crate::domain::audit::{AuditEvent, AuditKey, AuditRow};
use crate::domain::certificate::IssuedCertificate;
use crate::domain::component::DeviceDescription;
use crate::domain::key::{IndexedKey, KeyName};
use crate::domain::ledger::{HourTally, LedgerRow, RefusalSum, RefusalTally};
use crate::domain::redemption::KnownComponent;
use crate::domain::renewal::KnownCertificate;
use crate::domain::revocation::{Crl, CrlHead, CrlNumber, RevokedCertificate};
use crate::domain::webhook::{DeliveryState, WebhookMark};
use crate::domain::{
    Administrator, ApiClient, Attention, CertificateRecord, CleanUpSchedule, Component, Customer, FilterName,
    Fingerprint, Group, Kind, Name, PageName, Preference, ProvisioningKey, Revision, RevocationReason, SavedFilter,
    SerialNumber, SessionRecord, SigningCertificate, Webhook, WebhookDelivery,
};
use crate::id::{
    AdministratorId, ApiClientId, CleanUpScheduleId, ComponentId, CustomerId, GroupId, ProvisioningKeyId,
    SigningCertificateId, WebhookDeliveryId, WebhookId,
};
use crate::secret::pepper::{Digests, KeyDigest, PepperNumber};

pub use ids::IdAllocator;
pub use query::{
    AdministratorField, ApiClientField, AuditField, AuditQuery, Comparison, ComponentField, Condition, CustomerField,
    GroupField, KeyField, ListField, ListQuery, PageRequest, SigningCertificateField, Sort, Value, ValueKind,
    WebhookField,
};
pub use sealing::SETTING_SEALED_BY;

/// What the enrollment path asks of a store: one transaction, one look, one count.
#[async_trait]
pub trait EnrollmentStore: Send + Sync {
    /// Decides for good and records, together with whatever else is waiting.
    ///
    /// The transaction checks, in this order: that customer, group, signing certificate and key
    /// still have the revisions that the enrollment was checked against; that the key is not
    /// expired by the store's clock; that (key, fingerprint) is free, or for a re-enrollment that
    /// the component still has the superseded serial as current; for an enrollment that
    /// `uses < maximum`. Then it writes component, certificate, use and ledger row.
    ///
    /// Waits for the batch's fsync. Dropping the future does not undo what was queued.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] at once when the queue is full: nothing happened.
    /// [`StoreError::Unavailable`]: nothing was written. [`StoreError::Corrupt`]: nor was it, as a row
    /// that this one hangs on is damaged; others go on. [`StoreError::Unknown`]: perhaps it was.
    async fn commit_enrollment(&self, commit: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError>;

    /// The same for a renewal, in the same batches. It takes no use, and needs no key.
    ///
    /// The transaction checks that customer, group, signing certificate and component still have the revisions that
    /// the renewal was checked against, and the key, too, or that it is still gone; that the component is live,
    /// enabled and has the replaced serial as current; that the presented certificate is in its time by the
    /// store's clock. Then it writes the certificate, what became of those that it replaces, and the component.
    ///
    /// # Errors
    /// As for [`Self::commit_enrollment`].
    async fn commit_renewal(&self, commit: RenewalCommit) -> Result<RenewalOutcome, StoreError>;

    /// A component's certificate with the component and its current one, as of one moment. Of deleted components, too.
    async fn find_known_certificate(
        &self,
        customer: CustomerId,
        component: ComponentId,
        serial: SerialNumber,
    ) -> Result<Option<KnownCertificate>, StoreError>;

    /// The component of (key, fingerprint) that is not deleted, with its current certificate and
    /// the number of its re-enrollments after `re_enrollments_since`.
    async fn find_known_component(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        fingerprint: &Fingerprint,
        re_enrollments_since: Timestamp,
    ) -> Result<Option<KnownComponent>, StoreError>;

    /// Adds to the counts of refusals of verified keys. Best effort: bounded per key, may be lost
    /// in a crash, never part of an enrollment's batch. Many are written in several transactions,
    /// with enrollments in between; an error may leave the first of them written.
    async fn add_refusals(&self, tallies: Vec<RefusalTally>) -> Result<(), StoreError>;
}

/// Everything that is remembered. Shared as `Arc<dyn Store>`.
#[async_trait]
pub trait Store: EnrollmentStore {
    // --- what it is -----------------------------------------------------------------------

    /// Whether other processes write to it, too. If so, what a node keeps in memory is a cache: a key
    /// that it does not know may exist, and the store's clock is not the node's.
    fn is_shared(&self) -> bool;

    /// The time by the clock that judges expiry at commit, as of a moment between call and answer.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    // --- administration -------------------------------------------------------------------

    /// Applies all changes in order, appends the audit events to their customers' chains, and gives
    /// every changed object that [`ObjectRef`] knows a row in the change feed; one transaction, or nothing.
    ///
    /// # Errors
    /// [`ChangeError::Rule`] when a change breaks one: the first that does, by its place in `changes`.
    async fn commit_changes(
        &self,
        changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        audit_key: &AuditKey,
    ) -> Result<ChangeSequence, ChangeError>;

    /// As [`Self::commit_changes`], at a moment when nothing else waits, or after a second. For what the
    /// service does by itself; callers keep it small, as enrollments wait for it meanwhile.
    ///
    /// # Errors
    /// As for [`Self::commit_changes`].
    async fn commit_changes_in_background(
        &self,
        changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        audit_key: &AuditKey,
    ) -> Result<ChangeSequence, ChangeError>;

    /// Objects changed after `after`, oldest first, at most `limit`; an object once per transaction.
    /// Sequences are consecutive: when the first row is not the one that follows `after`, rows in
    /// between are no longer kept, and whoever asks must load everything anew. A read that begins after
    /// the answer sees each object as of its change or later.
    async fn list_changes(&self, after: ChangeSequence, limit: u32) -> Result<Vec<ChangedObject>, StoreError>;

    /// The newest change; zero in an empty store.
    async fn last_change(&self) -> Result<ChangeSequence, StoreError>;

    /// Reserves `count` consecutive ids for this process and answers the first. Never the same twice.
    async fn reserve_ids(&self, count: u64) -> Result<u64, StoreError>;

    // --- service-wide ---------------------------------------------------------------------

    /// What a request came to that must not happen twice; expired ones too, until they are swept.
    async fn find_answer(&self, id: AnswerId) -> Result<Option<StoredAnswer>, StoreError>;

    async fn find_setting(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// All sealed secrets of one purpose, by name.
    async fn list_secrets(&self, purpose: &str) -> Result<Vec<SealedSecret>, StoreError>;

    // --- one object, by id within its customer; `None` also for another customer's ----------

    async fn find_customer(&self, id: CustomerId) -> Result<Option<Customer>, StoreError>;
    async fn find_group(&self, customer: CustomerId, id: GroupId) -> Result<Option<Group>, StoreError>;
    async fn find_signing_certificate(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<SigningCertificate>, StoreError>;
    async fn find_signing_certificate_references(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<SigningCertificateReferences>, StoreError>;
    async fn find_key(
        &self,
        customer: CustomerId,
        id: ProvisioningKeyId,
    ) -> Result<Option<ProvisioningKey>, StoreError>;
    /// Deleted ones too: they are kept for their certificates and their history.
    async fn find_component(&self, customer: CustomerId, id: ComponentId) -> Result<Option<Component>, StoreError>;
    /// Several as [`Self::find_component`] gives each, in the order asked; those that the customer does not
    /// have are left out. One read for all of them.
    async fn find_components(&self, customer: CustomerId, ids: &[ComponentId]) -> Result<Vec<Component>, StoreError>;
    /// What goes with these components, in the order asked; those that the customer does not have are
    /// left out. One read for all of them.
    async fn find_component_relations(
        &self,
        customer: CustomerId,
        ids: &[ComponentId],
    ) -> Result<Vec<ComponentRelations>, StoreError>;
    /// One of a component's; `None` also for another's. A certificate names its component.
    async fn find_certificate(
        &self,
        customer: CustomerId,
        component: ComponentId,
        serial: SerialNumber,
    ) -> Result<Option<CertificateRecord>, StoreError>;
    async fn find_clean_up_schedule(
        &self,
        customer: CustomerId,
        kind: Kind,
    ) -> Result<Option<CleanUpSchedule>, StoreError>;
    /// By the id that it signs in with; over all customers.
    async fn find_api_client(&self, client_id: &str) -> Result<Option<ApiClient>, StoreError>;
    /// By user name without regard to case; over all customers.
    async fn find_administrator(&self, username: &str) -> Result<Option<Administrator>, StoreError>;
    async fn find_administrator_by_id(
        &self,
        customer: CustomerId,
        id: AdministratorId,
    ) -> Result<Option<Administrator>, StoreError>;
    async fn find_api_client_by_id(
        &self,
        customer: CustomerId,
        id: ApiClientId,
    ) -> Result<Option<ApiClient>, StoreError>;
    /// The names of administrators and API clients by their ids: this customer's and the service's own. Those
    /// that are gone are left out. One read for all of them.
    async fn find_actor_names(&self, customer: CustomerId, ids: &[u64]) -> Result<HashMap<u64, Name>, StoreError>;
    /// By the token's id; over all customers. Expired ones may be gone.
    async fn find_session(&self, id: &str) -> Result<Option<SessionRecord>, StoreError>;

    /// Whose key string has this digest; over all customers. One descent of an index.
    async fn find_key_by_digest(
        &self,
        digest: &KeyDigest,
    ) -> Result<Option<(CustomerId, ProvisioningKeyId)>, StoreError>;

    // --- lists ----------------------------------------------------------------------------
    // A page of the whole list costs the same whatever its number, in order of id and of name. Other
    // orders, and filters, may read the list once; where that takes too long it is `Unavailable`.

    async fn list_administrators(
        &self,
        customer: CustomerId,
        query: &ListQuery<AdministratorField>,
    ) -> Result<Page<Administrator>, StoreError>;
    async fn list_api_clients(
        &self,
        customer: CustomerId,
        query: &ListQuery<ApiClientField>,
    ) -> Result<Page<ApiClient>, StoreError>;
    async fn list_customers(&self, query: &ListQuery<CustomerField>) -> Result<Page<Customer>, StoreError>;
    async fn list_groups(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<GroupField>,
    ) -> Result<Page<Group>, StoreError>;
    /// How much belongs to each of these groups, in the order asked; nothing to one that the customer
    /// does not have. One read for all of them.
    async fn count_group_contents(
        &self,
        customer: CustomerId,
        ids: &[GroupId],
    ) -> Result<Vec<GroupContents>, StoreError>;
    async fn list_signing_certificates(
        &self,
        customer: CustomerId,
        query: &ListQuery<SigningCertificateField>,
    ) -> Result<Page<SigningCertificate>, StoreError>;
    async fn list_keys(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<KeyField>,
    ) -> Result<Page<ProvisioningKey>, StoreError>;
    /// A group's keys in order of id, those after `after`, at most `limit`.
    async fn list_keys_of_group(
        &self,
        customer: CustomerId,
        group: GroupId,
        after: ProvisioningKeyId,
        limit: u32,
    ) -> Result<Vec<ProvisioningKey>, StoreError>;
    /// Those that are not deleted.
    async fn list_components(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<ComponentField>,
    ) -> Result<Page<Component>, StoreError>;
    /// The first `limit` of a group that are not deleted, in order of id.
    async fn list_group_components(
        &self,
        customer: CustomerId,
        group: GroupId,
        limit: u32,
    ) -> Result<Vec<Component>, StoreError>;
    /// Live components of a customer whose certificate ends after `after` and at `until` or before, of all kinds,
    /// at most `limit`, the soonest first. Costs what it answers.
    async fn list_ending_components(
        &self,
        customer: CustomerId,
        after: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<EndingComponent>, StoreError>;
    /// How much of a kind a customer has. One read.
    async fn count_kind(&self, customer: CustomerId, kind: Kind) -> Result<KindCounts, StoreError>;
    /// Over all customers, in order of customer and kind.
    async fn list_clean_up_schedules(&self) -> Result<Vec<CleanUpSchedule>, StoreError>;
    /// A key's ledger, newest first. A page costs the same whatever its number.
    async fn list_ledger(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        page: PageRequest,
    ) -> Result<Page<KeyUse>, StoreError>;
    /// The ledger's rows of a component's re-enrollments, whatever its key was, newest first, at most `limit`.
    /// Costs what it answers.
    async fn list_re_enrollments(
        &self,
        customer: CustomerId,
        component: ComponentId,
        limit: u32,
    ) -> Result<Vec<LedgerRow>, StoreError>;
    /// All that a component was given, newest first, at most `limit`: the current one, and those that end last.
    /// Costs what it answers.
    async fn list_certificates(
        &self,
        customer: CustomerId,
        component: ComponentId,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>, StoreError>;
    async fn list_refusals(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
    ) -> Result<Vec<RefusalTally>, StoreError>;
    /// All refusals of a customer's keys by code, from the hour on that `since` is in, the most frequent code
    /// first. Kept for two days; `since` is not longer ago. Costs a row per hour, code and key that was refused.
    async fn sum_refusals(&self, customer: CustomerId, since: Timestamp) -> Result<Vec<RefusalSum>, StoreError>;
    /// What needs attention at `now`, gravest first, at most `limit`, and how much does. Costs one look at each
    /// of the customer's keys; those with a use a row per hour of the last day, too.
    async fn list_attention(
        &self,
        customer: CustomerId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Page<Attention>, StoreError>;
    /// What happened to a key hour by hour, from the hour on that `since` is in, and its uses as of the same
    /// moment. Costs its hours and what was not counted yet.
    async fn find_key_hours(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        since: Timestamp,
    ) -> Result<Option<KeyHours>, StoreError>;
    /// What happened to all keys of a customer hour by hour, from the hour on that `since` is in; hours in
    /// which something did, in order. Those that are deleted since count too. Costs the hours, and while
    /// enrollments are not counted yet one look per key and their rows: about a second per million.
    async fn list_customer_hours(&self, customer: CustomerId, since: Timestamp) -> Result<Vec<HourTally>, StoreError>;
    /// An administrator's sessions that are good at `now`, newest first.
    async fn list_sessions(
        &self,
        customer: CustomerId,
        administrator: AdministratorId,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<SessionRecord>, StoreError>;
    /// An administrator's, in order of page: at most [`PREFERENCES_MAX`](crate::domain::preference::PREFERENCES_MAX).
    async fn list_preferences(
        &self,
        customer: CustomerId,
        administrator: AdministratorId,
    ) -> Result<Vec<Preference>, StoreError>;
    /// An administrator's of one page, in order of name without regard to ASCII case: at most
    /// [`SAVED_FILTERS_OF_PAGE_MAX`](crate::domain::preference::SAVED_FILTERS_OF_PAGE_MAX).
    async fn list_saved_filters(
        &self,
        customer: CustomerId,
        administrator: AdministratorId,
        page: &PageName,
    ) -> Result<Vec<SavedFilter>, StoreError>;
    /// One customer's audit rows that meet all conditions, newest first. Those of one object, by its id, cost
    /// what there are of it.
    async fn search_audit(&self, customer: CustomerId, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError>;
    /// One customer's chain, oldest first, rows after `after`, at most `limit`.
    async fn list_audit(&self, customer: CustomerId, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;

    // --- filling the memory of a starting node: over all customers, in order of id ----------

    /// All of them: they are few.
    async fn scan_customers(&self) -> Result<Vec<Customer>, StoreError>;
    async fn scan_groups(&self, after: GroupId, limit: u32) -> Result<Vec<Group>, StoreError>;
    async fn scan_signing_certificates(
        &self,
        after: SigningCertificateId,
        limit: u32,
    ) -> Result<Vec<SigningCertificate>, StoreError>;
    async fn scan_keys(&self, after: ProvisioningKeyId, limit: u32) -> Result<Vec<IndexedKey>, StoreError>;
    /// Several as [`Self::scan_keys`] gives each, in any order; those that are gone, or another customer's, are
    /// left out. One read for all of them, up to a thousand.
    async fn find_indexed_keys(
        &self,
        customer: CustomerId,
        ids: &[ProvisioningKeyId],
    ) -> Result<Vec<IndexedKey>, StoreError>;

    /// Components of a customer in enabled groups, neither deleted nor revoked, whose current certificate
    /// ended at `ended_by` or before: at most `limit` after `after`, in order of that end and id. Costs what
    /// it answers and what ended in disabled groups, however many components there are.
    async fn scan_ended_components(
        &self,
        customer: CustomerId,
        ended_by: Timestamp,
        after: (Timestamp, ComponentId),
        limit: u32,
    ) -> Result<Vec<EndedComponent>, StoreError>;

    // --- what is revoked ------------------------------------------------------------------

    /// Signing certificates of which something was revoked that their CRL does not have; over all customers. A look at
    /// next to nothing: a revocation is news from its commit to that of the CRL which has it, whatever the clocks say.
    async fn list_unpublished_revocations(&self) -> Result<Vec<(CustomerId, SigningCertificateId)>, StoreError>;

    /// What the next CRL of a signing certificate says, as of one moment. A certificate that ended is still in the
    /// first CRL after its end (RFC 5280 §3.3), and in none before which it had ended at `now` when there is none yet.
    /// Costs the entries, by an index that has all of them.
    async fn find_revocations(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
        now: Timestamp,
    ) -> Result<Revocations, StoreError>;

    /// Puts a CRL in the place of the one with the number `after`, takes out the `news` that it was made with, and gives
    /// it a row in the change feed. `false`: another was quicker, or the signing certificate is gone; nothing was
    /// written. At a moment when nothing else waits, or after a second.
    async fn publish_crl(
        &self,
        crl: Crl,
        after: Option<CrlNumber>,
        news: Vec<SerialNumber>,
    ) -> Result<bool, StoreError>;

    async fn find_crl(&self, customer: CustomerId, id: SigningCertificateId) -> Result<Option<Crl>, StoreError>;

    async fn find_crl_head(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<CrlHead>, StoreError>;

    // --- webhooks -------------------------------------------------------------------------

    async fn find_webhook(&self, customer: CustomerId, id: WebhookId) -> Result<Option<Webhook>, StoreError>;

    async fn list_webhooks(
        &self,
        customer: CustomerId,
        query: &ListQuery<WebhookField>,
    ) -> Result<Page<Webhook>, StoreError>;

    /// A webhook's, newest first: those that wait, and the last
    /// [`DELIVERIES_SHOWN`](crate::domain::webhook::DELIVERIES_SHOWN) that are over. None is tried before it is the
    /// webhook's turn: `next_at` says so.
    async fn list_webhook_deliveries(
        &self,
        customer: CustomerId,
        id: WebhookId,
        page: PageRequest,
    ) -> Result<Page<WebhookDelivery>, StoreError>;

    /// Those that are enabled, of all customers, in order of id.
    async fn list_served_webhooks(&self) -> Result<Vec<ServedWebhook>, StoreError>;

    /// Of what a webhook was told, but for ledgers, in order.
    async fn list_webhook_marks(&self, customer: CustomerId, id: WebhookId) -> Result<Vec<WebhookMark>, StoreError>;

    /// Keys with ledger rows since `since` that a webhook was not told of, at most `limit`, those first whose row waits
    /// longest: so none waits for ever behind busier ones. Costs one look at each of the customer's keys. Of a key that was
    /// deleted since, nothing is told.
    async fn list_untold_ledgers(
        &self,
        customer: CustomerId,
        id: WebhookId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<UntoldLedger>, StoreError>;

    /// A key's ledger after a sequence, oldest first, at most `limit`.
    async fn list_ledger_after(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<KeyUse>, StoreError>;

    /// Queues what a look came to, with the marks that say so; of keys that are gone none is kept. `false`: another
    /// such look was quicker, the webhook is gone or off, or more than
    /// [`QUEUE_MAX`](crate::domain::webhook::QUEUE_MAX) would wait; nothing was written. At a moment when nothing else
    /// waits, or after a second.
    async fn queue_webhook_news(&self, news: WebhookNews) -> Result<bool, StoreError>;

    /// Enabled webhooks of all customers whose turn it is, those that failed last or all others: the longest due first,
    /// at most `limit`.
    ///
    /// A webhook's turn comes when something waits for it, after each success behind all that are due by then, after a
    /// failure when its [`probe_pause`](crate::domain::webhook::probe_pause) is over. So it has one attempt under way
    /// at a time, over all nodes, and a receiver that is away costs one in each pause.
    async fn list_due_webhooks(
        &self,
        now: Timestamp,
        are_failing: bool,
        limit: u32,
    ) -> Result<Vec<(CustomerId, WebhookId)>, StoreError>;

    /// Takes a webhook's turn with the delivery that is due: a test, else the longest due. Counts the attempt before
    /// it is made, for both, and writes when the next ones are if nobody tells how it ended; `part` as for
    /// [`retry_pause`](crate::domain::webhook::retry_pause). `None`: it is not its turn, or nothing is due.
    async fn claim_delivery(
        &self,
        customer: CustomerId,
        id: WebhookId,
        now: Timestamp,
        part: f64,
    ) -> Result<Option<ClaimedDelivery>, StoreError>;

    /// How an attempt ended, for the delivery and its webhook. That one failed says nothing of a webhook that was
    /// changed, or that something else was tried for, since it began.
    async fn finish_delivery_attempt(&self, attempt: DeliveryAttempt) -> Result<(), StoreError>;

    // --- what is sealed, by which master key -------------------------------------------------

    /// Sealed values of a column that do not begin with `header`, over all customers, in order of id: at most `limit`
    /// after `after`.
    async fn list_sealed_otherwise(
        &self,
        column: SealedColumn,
        header: &[u8],
        after: u64,
        limit: u32,
    ) -> Result<Vec<SealedValue>, StoreError>;

    /// Puts each second value in the place of the first, where that still stands; the others are left, and all of them are
    /// if another master key seals here than the one with the id `by`. No revision changes, and there is no row in the
    /// change feed: what is sealed is the same. At a moment when nothing else waits, or after a second; callers keep it small.
    async fn replace_sealed(
        &self,
        column: SealedColumn,
        by: &str,
        values: Vec<(SealedValue, Vec<u8>)>,
    ) -> Result<(), StoreError>;

    /// How many sealed values begin with `header`; with an empty one, how many there are.
    async fn count_sealed(&self, header: &[u8]) -> Result<SealedCounts, StoreError>;

    // --- what is digested, under which pepper ------------------------------------------------

    /// How many digests are under each pepper that a row names, in order of its number; those under none
    /// ([`PepperNumber::GONE`]) first. Walks through an index of all keys.
    async fn count_digests(&self) -> Result<Vec<DigestCounts>, StoreError>;

    /// Keys whose digest is under this pepper, over all customers, in order of id: at most `limit` after `after`. Costs
    /// what it answers.
    async fn list_keys_under(
        &self,
        pepper: PepperNumber,
        after: ProvisioningKeyId,
        limit: u32,
    ) -> Result<Vec<KeyUnderPepper>, StoreError>;

    /// API clients whose secret's digest is under this pepper, over all customers, in order of id, at most `limit`.
    async fn list_api_clients_under(&self, pepper: PepperNumber, limit: u32) -> Result<Vec<ApiClient>, StoreError>;

    /// Puts new digests in the place of older ones, and answers how many. One that is no longer as it was, or whose new
    /// digest another key has, is left. No revision changes, as no setting does; the feed has the keys. At a moment when
    /// nothing else waits, or after a second; callers keep it small and name no key twice.
    async fn replace_digests(&self, digests: Vec<NewDigest<ProvisioningKeyId>>) -> Result<u64, StoreError>;

    // --- care -----------------------------------------------------------------------------

    /// Lets go of what has had its time: remembered answers, and of younger ones the part with the
    /// secrets; sessions that have expired. Called every minute or so.
    async fn sweep(&self) -> Result<(), StoreError>;

    /// Checks I1 to I5 (docs/contract.md, "Invariants") from one snapshot. Empty: all is well.
    async fn check_integrity(&self, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError>;

    /// I5 alone: whether every row of every audit chain is there, unchanged and in its place.
    async fn check_audit(&self, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError>;

    /// What an operator should know of the server that keeps the data, if one does.
    async fn list_remarks(&self) -> Result<Vec<Remark>, StoreError>;

    /// Whether a commit would be possible now; costs one small durable write.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Finishes what is queued, syncs and lets go of every lock. Later calls answer `Unavailable`.
    async fn close(&self);
}

/// What an enrollment asks the store to record.
#[derive(Clone, Debug)]
pub struct EnrollmentCommit {
    /// The settings that the checks were made against.
    pub seen: SeenRevisions,
    pub fingerprint: Fingerprint,
    pub device: DeviceDescription,
    pub remote_address: std::net::IpAddr,
    pub certificate: IssuedCertificate,
    pub intent: EnrollmentIntent,
}

/// Which rows an enrollment was checked against, and how they were then.
#[derive(Clone, Copy, Debug)]
pub struct SeenRevisions {
    pub customer: (CustomerId, Revision),
    pub group: (GroupId, Revision),
    pub signing_certificate: (SigningCertificateId, Revision),
    pub key: (ProvisioningKeyId, Revision),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrollmentIntent {
    /// A new component with this id, for one use.
    Enroll { component: ComponentId },
    /// A new certificate for a known component, without a use, if `superseded` is still current.
    ReEnroll { component: ComponentId, superseded: SerialNumber },
}

impl EnrollmentIntent {
    /// Whom the certificate is for.
    pub fn component(self) -> ComponentId {
        match self {
            Self::Enroll { component } | Self::ReEnroll { component, .. } => component,
        }
    }
}

/// What the store decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollmentOutcome {
    /// Durable. `uses` is the key's count with this one.
    Committed { component_name: String, uses: u32 },
    /// `uses ≥ maximum`; nothing written.
    Exhausted { uses: u32 },
    /// Expired by the store's clock; nothing written.
    Expired,
    /// (key, fingerprint) is not as the intent assumed; nothing written. Look again and decide anew.
    Known,
    /// A setting was changed meanwhile, or a row is gone; nothing written. Refresh and check anew.
    Outdated,
}

/// What a renewal asks the store to record.
#[derive(Clone, Debug)]
pub struct RenewalCommit {
    /// The rows that the checks were made against.
    pub seen: SeenForRenewal,
    pub remote_address: std::net::IpAddr,
    /// The current certificate, which the new one replaces.
    pub replaced: SerialNumber,
    /// Whether the new one has another key pair: then whatever had the old one goes on the CRL.
    pub is_rekey: bool,
    /// From then on the presented certificate is no longer taken.
    pub good_until: Timestamp,
    pub certificate: IssuedCertificate,
}

/// Which rows a renewal was checked against, and how they were then.
#[derive(Clone, Copy, Debug)]
pub struct SeenForRenewal {
    pub customer: (CustomerId, Revision),
    pub group: (GroupId, Revision),
    pub signing_certificate: (SigningCertificateId, Revision),
    /// The component's; `None`: it is gone.
    pub key: (ProvisioningKeyId, Option<Revision>),
    pub component: (ComponentId, Revision),
}

/// What the store decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenewalOutcome {
    /// Durable.
    Committed,
    /// The presented certificate's time is over by the store's clock; nothing written.
    Expired,
    /// Another renewal was first, or a setting was changed meanwhile; nothing written. Refresh, look again and decide
    /// anew.
    Outdated,
}

/// One step of an administrative transaction. `Update*` carries the whole row with the revision it
/// was based on; the store refuses when that is no longer the row's, and stores the next one.
/// Counters and ledger-made fields are ignored, in an insert too, and so is what is fixed: kind
/// and creation of all, group, version, public key id, digest and pepper of a key.
#[derive(Clone)]
pub enum Change {
    /// `revision` as for a group. Refused for the last enabled owner: [`BrokenRule::LastOwner`], decided in
    /// the transaction. Its preferences and saved filters go with it; its sessions are as good as ended,
    /// since whom they name is gone.
    DeleteAdministrator {
        customer: CustomerId,
        id: AdministratorId,
        revision: Option<Revision>,
    },
    /// `revision` as for a group. Refused while it manages keys.
    DeleteApiClient {
        customer: CustomerId,
        id: ApiClientId,
        revision: Option<Revision>,
    },
    /// `revision`: the one that must be the row's, or the refusal is as for an update; `None`:
    /// whatever it is. Refused while keys or components belong to it.
    DeleteGroup {
        customer: CustomerId,
        id: GroupId,
        revision: Option<Revision>,
    },
    /// A group with its keys and components, however many: the keys are gone, the components deleted as
    /// by [`Self::DeleteComponent`]. `revision` as above. Refused while a key is managed by another API
    /// client than `by`. The feed has the group and the keys. The audit event that stands where the change
    /// stands in its list then tells how many of each went ([`AuditEvent::with_counts`]), after one for
    /// each key ([`AuditEvent::of_key`]).
    DeleteGroupWithContents {
        customer: CustomerId,
        id: GroupId,
        revision: Option<Revision>,
        at: Timestamp,
        by: Option<ApiClientId>,
    },
    /// Components stay. `revision` as for a group. With `revoke`, `at` and `by` of
    /// [`Change::RevokeComponent`], those of its components that are live revoke; the audit event that
    /// stands where the change stands in its list then tells how many.
    DeleteKey {
        customer: CustomerId,
        id: ProvisioningKeyId,
        revision: Option<Revision>,
        revoke: Option<(Timestamp, Option<u64>)>,
    },
    /// What an administrator keeps for itself has no revision, and no row in the change feed. One that is
    /// not there: nothing happens.
    DeletePreference {
        customer: CustomerId,
        administrator: AdministratorId,
        page: PageName,
    },
    /// [`BrokenRule::NotFound`] when there is none of this name, without regard to ASCII case.
    DeleteSavedFilter {
        customer: CustomerId,
        administrator: AdministratorId,
        page: PageName,
        name: FilterName,
    },
    /// Exactly this one: [`BrokenRule::NotFound`] also when another value stands there.
    DeleteSecret(SealedSecret),
    /// `revision` as for a group. Refused while anything of [`SigningCertificateReferences`] refers to it
    /// at `at`.
    DeleteSigningCertificate {
        customer: CustomerId,
        id: SigningCertificateId,
        revision: Option<Revision>,
        at: Timestamp,
    },
    /// With its deliveries. `revision` as for a group.
    DeleteWebhook {
        customer: CustomerId,
        id: WebhookId,
        revision: Option<Revision>,
    },
    /// The session's token is refused from `at` on; a session that has no row gets one. What was ended
    /// stays so from the first time. No row in the change feed, as for all changes of sessions.
    EndSession {
        session: SessionRecord,
        at: Timestamp,
    },
    EndSessionsOf {
        customer: CustomerId,
        administrator: AdministratorId,
        at: Timestamp,
    },
    /// Over all customers.
    EndSessionsOfAll {
        at: Timestamp,
    },
    /// Writes nothing: a text that came from elsewhere, of which these are the digests, is no key's string.
    /// [`BrokenRule::DuplicateDigest`] when it is one's, whatever its pepper; [`BrokenRule::UnknownPepper`] when a pepper
    /// is there that is none of theirs, as then nobody can tell.
    ExpectNewString(Digests),
    InsertAdministrator(Administrator),
    InsertApiClient(ApiClient),
    /// A customer has at most one per kind: [`BrokenRule::DuplicateName`].
    InsertCleanUpSchedule(CleanUpSchedule),
    InsertCustomer(Customer),
    InsertGroup(Group),
    /// [`BrokenRule::UnknownPepper`] when its digest is under one that was let go of; so for an API client and its
    /// secret.
    InsertKey(ProvisioningKey),
    /// [`BrokenRule::DuplicateName`] when there is one of this purpose and name, whatever its value.
    InsertSecret(SealedSecret),
    /// An administrator's session, which notes its last sign-in. `revision`: the one that must be the
    /// administrator's, so that no session begins with a password that was changed meanwhile.
    InsertSession {
        session: SessionRecord,
        revision: Revision,
    },
    /// [`BrokenRule::DuplicateName`] when there is one of this name, whatever its value.
    InsertSetting {
        name: String,
        value: String,
    },
    InsertSigningCertificate(SigningCertificate),
    /// [`BrokenRule::Full`] where it would be one more than [`WEBHOOKS_MAX`](crate::domain::webhook::WEBHOOKS_MAX). No
    /// row in the change feed, as for all changes of webhooks: nobody keeps them in memory.
    InsertWebhook(Webhook),
    /// A test, in the place of one that waits.
    InsertWebhookTest(WebhookDelivery),
    /// When it last signed in. No setting: the revision stays, and there is no row in the change feed.
    NoteApiClientUse {
        customer: CustomerId,
        id: ApiClientId,
        at: Timestamp,
    },
    /// Replaces the page's. [`BrokenRule::Full`] where it would be one more than
    /// [`PREFERENCES_MAX`](crate::domain::preference::PREFERENCES_MAX).
    PutPreference(Preference),
    /// Replaces the page's of the same name, without regard to ASCII case. [`BrokenRule::Full`] where it would be one more
    /// than [`SAVED_FILTERS_OF_PAGE_MAX`](crate::domain::preference::SAVED_FILTERS_OF_PAGE_MAX) or
    /// [`SAVED_FILTERS_MAX`](crate::domain::preference::SAVED_FILTERS_MAX).
    PutSavedFilter(SavedFilter),
    PutSecret(SealedSecret),
    /// [`BrokenRule::AnsweredBefore`] while one with this id is younger than [`ANSWER_LASTING`], by the store's clock.
    RememberAnswer(StoredAnswer),
    /// Another digest of an API client's secret, which is the same. Nothing when it is no longer as it was. No setting: the
    /// revision stays, and there is no row in the change feed.
    ReplaceApiClientDigest(NewDigest<ApiClientId>),
    PutSetting {
        name: String,
        value: String,
    },
    /// [`BrokenRule::DuplicateName`] when another of the page has the new name, without regard to ASCII case.
    RenameSavedFilter {
        customer: CustomerId,
        administrator: AdministratorId,
        page: PageName,
        name: FilterName,
        new: FilterName,
    },
    /// The value of the same name: [`BrokenRule::NotFound`] when what stands there is not `before`.
    ReplaceSecret {
        secret: SealedSecret,
        before: Vec<u8>,
    },
    /// The value of the same name: [`BrokenRule::NotFound`] when what stands there is not `before`, which is `None` for nothing.
    ReplaceSetting {
        name: String,
        value: String,
        before: Option<String>,
    },
    /// All keys and groups that have the signing certificate `from` get `to`, however many, each with its next
    /// revision. Refused while a key is managed by another API client than `client`;
    /// [`BrokenRule::UnknownReference`] when the customer has no `to`. The feed has the keys and groups. The audit
    /// event that stands where the change stands in its list then tells how many of each.
    ReplaceSigningCertificate(SigningCertificateReplacement),
    /// Lets go of a pepper for which there is a newer one; [`BrokenRule::NotFound`] when there is none, or it is gone
    /// already. Whatever has a digest under it keeps it from going: [`BrokenRule::Referenced`]. With `give_up` it goes all
    /// the same, and nobody presents those key strings and secrets any more: the keys are disabled, the tokens of the API
    /// clients end, both with their next revision and [`PepperNumber::GONE`]. `give_up`: when, and who is noted as
    /// `modified_by`. The audit event that stands where the change stands in its list then tells how many of each.
    RetirePepper {
        pepper: PepperNumber,
        give_up: Option<(Timestamp, Option<u64>)>,
    },
    /// Live components revoke: their certificates too, the current one and those that were renewed and have not ended.
    /// No-op when already ended. `revision` as for a group.
    RevokeComponent {
        customer: CustomerId,
        id: ComponentId,
        revision: Option<Revision>,
        at: Timestamp,
        reason: RevocationReason,
        /// Who is noted as `modified_by`.
        by: Option<u64>,
    },
    /// Ends a component for good, with its certificates as a revocation does, and frees its fingerprint.
    /// `release_use` gives a use back to the key that it was taken from, if that still exists; the audit
    /// event that stands where the change stands in its list then tells whether. `revision` as for a group.
    /// A second time: [`BrokenRule::NotFound`].
    DeleteComponent {
        customer: CustomerId,
        id: ComponentId,
        revision: Option<Revision>,
        at: Timestamp,
        release_use: bool,
    },
    /// [`Self::DeleteComponent`] by a clean-up schedule: [`BrokenRule::Outdated`] when the component or its
    /// certificate is no longer as it was `seen`, [`BrokenRule::UnknownReference`] when the schedule is not.
    CleanUpComponent {
        customer: CustomerId,
        id: ComponentId,
        seen: (Revision, SerialNumber),
        schedule: (CleanUpScheduleId, Revision),
        at: Timestamp,
    },
    /// All but kind and creation.
    UpdateCleanUpSchedule(CleanUpSchedule),
    /// Refused when no enabled owner would be left: [`BrokenRule::LastOwner`], decided in the transaction.
    UpdateAdministrator(Administrator),
    /// The digest of its secret and the pepper are those of the row, unless the secret is a new one.
    UpdateApiClient(ApiClient),
    /// Name, description, enabled flag, group, and the key that it is attached to, which must be of
    /// its group; where another component of that key has the same fingerprint:
    /// [`BrokenRule::DuplicateFingerprint`]; where another of its kind bears the new name:
    /// [`BrokenRule::DuplicateName`].
    UpdateComponent(Component),
    UpdateCustomer(Customer),
    UpdateGroup(Group),
    /// All but its key string, which is destroyed or stays.
    UpdateKey(ProvisioningKey),
    /// All but its private key, which is destroyed or stays.
    UpdateSigningCertificate(SigningCertificate),
    /// All but its secret and what its deliveries write. Another `since` forgets how far it was told of ledgers; one that
    /// [begins anew](Webhook::begins_anew) forgets that it failed, and has its turn.
    UpdateWebhook(Webhook),
}

/// A webhook that is on, and what a look at it starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedWebhook {
    pub webhook: Webhook,
    /// How often something that needs attention was queued for it: what a look shows to be the one that goes on from
    /// there.
    pub attention_looks: u64,
    /// The same of what happened to components. The two do not hold each other up.
    pub component_looks: u64,
    /// Deliveries that wait.
    pub waiting: u32,
}

/// What is looked for, each with a count of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Attention,
    Components,
}

/// A key whose ledger goes on behind what a webhook was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntoldLedger {
    pub key: KeyName,
    /// The sequence of the last row that it was told of, or that was there before it was to be.
    pub told: u64,
}

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookNews {
    pub customer: CustomerId,
    pub webhook: WebhookId,
    pub look: Look,
    /// How many of them [`ServedWebhook`] counted when it began.
    pub looks: u64,
    pub deliveries: Vec<WebhookDelivery>,
    pub told: Vec<WebhookMark>,
    /// Marks of what is so no more.
    pub ceased: Vec<WebhookMark>,
}

/// An attempt that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedDelivery {
    /// As it was before.
    pub webhook: Webhook,
    /// This attempt is counted, and when the next one would be.
    pub delivery: WebhookDelivery,
    /// Attempts since something was delivered to the webhook, with this one.
    pub failures: u32,
}

/// How an attempt at a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryAttempt {
    pub customer: CustomerId,
    pub webhook: WebhookId,
    pub delivery: WebhookDeliveryId,
    /// [`ClaimedDelivery::failures`].
    pub failures: u32,
    pub at: Timestamp,
    /// [`DeliveryState::Waiting`]: it failed and is tried again.
    pub state: DeliveryState,
    pub result: String,
}

/// One signing certificate in the place of another, see [`Change::ReplaceSigningCertificate`].
#[derive(Clone, Copy, Debug)]
pub struct SigningCertificateReplacement {
    pub customer: CustomerId,
    pub from: SigningCertificateId,
    pub to: SigningCertificateId,
    pub at: Timestamp,
    /// Who is noted as `modified_by`.
    pub by: Option<u64>,
    /// Whose managed keys may be changed.
    pub client: Option<ApiClientId>,
}

/// What keeps a signing certificate from being deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigningCertificateReferences {
    pub keys: u64,
    /// Groups that have it as their default.
    pub groups: u64,
    /// Signing certificates right below it.
    pub below: u64,
    /// The last of the component certificates that it signed has ended by then, whatever became of them: those
    /// that count may be renewed, those that are revoked must stay on its CRL. Up to a day late. `None`: it
    /// never signed.
    pub signed_until: Option<Timestamp>,
}

impl SigningCertificateReferences {
    /// Whether it may be deleted at `at`; else the first that is in the way.
    pub fn in_the_way(&self, at: Timestamp) -> Option<&'static str> {
        [
            (self.keys > 0, "provisioning keys"),
            (self.groups > 0, "groups"),
            (self.below > 0, "signing certificates below it"),
            (self.signed_until.is_some_and(|end| at < end), "component certificates that have not ended"),
        ]
        .into_iter()
        .find_map(|(is_in_the_way, what)| is_in_the_way.then_some(what))
    }
}

/// A sealed value with its name, e.g. purpose `pepper`, name `1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    pub purpose: String,
    pub name: String,
    pub sealed: Vec<u8>,
}

/// A column of sealed values, one for each of many objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedColumn {
    /// Strings of provisioning keys that may be viewed.
    KeyStrings,
    /// Private keys of signing certificates.
    SigningKeys,
    /// What webhooks' deliveries are signed with.
    WebhookSecrets,
}

impl SealedColumn {
    pub const ALL: [Self; 3] = [Self::KeyStrings, Self::SigningKeys, Self::WebhookSecrets];

    /// Table and column.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::KeyStrings => ("provisioning_keys", "sealed_string"),
            Self::SigningKeys => ("signing_certificates", "sealed_private_key"),
            Self::WebhookSecrets => ("webhooks", "sealed_secret"),
        }
    }
}

/// One value of a [`SealedColumn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedValue {
    pub customer: CustomerId,
    /// The object's id, without its kind.
    pub id: u64,
    pub sealed: Vec<u8>,
}

/// How many values are sealed in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SealedCounts {
    /// The service's own.
    pub secrets: u64,
    pub key_strings: u64,
    pub signing_keys: u64,
    pub webhook_secrets: u64,
    /// Remembered answers: each is gone after [`ANSWER_LASTING`].
    pub answers: u64,
}

impl SealedCounts {
    /// All of them, in one read. `header` is the first value that the statement binds.
    fn sql(header: &str) -> String {
        let begins = |column: &str| format!("substr({column}, 1, length({header})) = {header}");
        format!(
            "SELECT (SELECT count(*) FROM secrets WHERE {}),
                 (SELECT count(*) FROM provisioning_keys WHERE sealed_string IS NOT NULL AND {}),
                 (SELECT count(*) FROM signing_certificates WHERE sealed_private_key IS NOT NULL AND {}),
                 (SELECT count(*) FROM webhooks WHERE {}),
                 (SELECT count(*) FROM answers WHERE {})",
            begins("sealed"),
            begins("sealed_string"),
            begins("sealed_private_key"),
            begins("sealed_secret"),
            begins("sealed_lasting")
        )
    }

    /// Those that are not among `part`, which was counted in the same moment.
    #[must_use]
    pub fn without(self, part: Self) -> Self {
        Self {
            secrets: self.secrets - part.secrets,
            key_strings: self.key_strings - part.key_strings,
            signing_keys: self.signing_keys - part.signing_keys,
            webhook_secrets: self.webhook_secrets - part.webhook_secrets,
            answers: self.answers - part.answers,
        }
    }

    /// How many there are.
    pub fn all(&self) -> u64 {
        self.lasting() + self.answers
    }

    /// Those that stay until they are sealed anew.
    pub fn lasting(&self) -> u64 {
        self.secrets + self.key_strings + self.signing_keys + self.webhook_secrets
    }
}

/// Digests under one pepper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestCounts {
    pub pepper: PepperNumber,
    pub keys: u64,
    pub api_clients: u64,
}

/// A key as whoever digests its string anew needs it.
#[derive(Clone)]
pub struct KeyUnderPepper {
    pub customer: CustomerId,
    pub key: KeyName,
    pub digest: KeyDigest,
    /// As of [`ProvisioningKey::sealed_string`].
    pub sealed_string: Option<Vec<u8>>,
}

/// The digest of a text under a newer pepper, for whatever has the one under an older.
#[derive(Clone, Copy)]
pub struct NewDigest<I> {
    pub customer: CustomerId,
    pub id: I,
    /// What must stand there.
    pub before: KeyDigest,
    /// Must be newer than that of `before`.
    pub pepper: PepperNumber,
    pub digest: KeyDigest,
}

/// Names a remembered answer: SHA-256 over the caller and the key of its choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnswerId(pub [u8; 32]);

/// What a request came to that must not happen twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    pub id: AnswerId,
    pub at: Timestamp,
    /// With what is shown once only; kept for [`ANSWER_BRIEF`]. `None`: the answer has no such part.
    pub sealed_brief: Option<Vec<u8>>,
    /// Kept for [`ANSWER_LASTING`].
    pub sealed_lasting: Vec<u8>,
}

/// How long a remembered answer keeps what is shown once only.
pub const ANSWER_BRIEF: Duration = Duration::from_secs(600);

/// How long an answer is remembered at all.
pub const ANSWER_LASTING: Duration = DAY;

/// A point in the change feed. Zero: before the first change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeSequence(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedObject {
    pub sequence: ChangeSequence,
    pub object: ObjectRef,
}

/// What was changed, for those who keep a copy in memory. The row may be gone. Components are not here:
/// nobody keeps them, and there may be a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectRef {
    Administrator(CustomerId, AdministratorId),
    ApiClient(CustomerId, ApiClientId),
    CleanUpSchedule(CustomerId, CleanUpScheduleId),
    /// Of the signing certificate with this id.
    Crl(CustomerId, SigningCertificateId),
    Customer(CustomerId),
    Group(CustomerId, GroupId),
    Key(CustomerId, ProvisioningKeyId),
    /// Settings and secrets.
    Service,
    SigningCertificate(CustomerId, SigningCertificateId),
}

/// What a CRL is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocations {
    /// The CRL that there is.
    pub previous: Option<CrlHead>,
    /// In order of their end.
    pub certificates: Vec<RevokedCertificate>,
    /// Those among them whose news no CRL has told yet, as far as the store keeps them apart.
    pub news: Vec<SerialNumber>,
}

/// One page, and how many rows there are on all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub total: u64,
}

/// What is shown with a component, as of the moment it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentRelations {
    pub component: ComponentId,
    pub group_name: Option<Name>,
    /// `None`: deleted since.
    pub key_name: Option<Name>,
    /// Of its current certificate, as the rest below.
    pub signing_certificate_id: SigningCertificateId,
    pub signing_certificate_name: Option<Name>,
    pub serial: SerialNumber,
    pub issued_at: Timestamp,
    pub not_after: Timestamp,
}

/// A ledger row with the name of its component as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    pub row: LedgerRow,
    /// `None`: a row of many components, or the component's row was purged.
    pub component_name: Option<String>,
}

/// A key's hours, and where they led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHours {
    /// The key's count when this was read.
    pub uses: u32,
    /// In order; hours in which nothing happened are left out.
    pub hours: Vec<HourTally>,
}

/// How many keys, and components that are not deleted, belong to a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupContents {
    pub keys: u64,
    pub components: u64,
}

/// How much of a kind a customer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCounts {
    /// Those that are not deleted.
    pub components: u64,
    pub groups: u64,
    pub keys: u64,
}

/// A component whose current certificate is about to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingComponent {
    pub id: ComponentId,
    pub kind: Kind,
    pub name: String,
    pub not_after: Timestamp,
}

/// A component whose current certificate ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedComponent {
    pub component: Component,
    pub ended_at: Timestamp,
}

/// Something that should not be, found by [`Store::check_integrity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {detail}")]
pub struct Finding {
    /// `I1` to `I5`; `digests` of what devices are recognised by, `lists` of what only lists count by, `store` for damage
    /// below them.
    pub invariant: &'static str,
    pub detail: String,
}

/// Something about the place where the data is kept, see [`Store::list_remarks`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Whether the store's promises do not hold as long as it is so.
    pub is_grave: bool,
    /// Half a sentence about the server, to be put behind its name.
    pub text: String,
}

/// Why the store gave no answer. Never the caller's fault.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store's queue is full ({waiting} waiting)")]
    Overloaded { waiting: usize },
    #[error("the store is not available: {reason}")]
    Unavailable { reason: String },
    #[error("the store could not say whether the commit took place: {reason}")]
    Unknown { reason: String },
    #[error("a stored row cannot be read: {detail}")]
    Corrupt { detail: String },
}

/// Why an administrative transaction did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("change {position}: {rule}")]
    Rule { position: usize, rule: BrokenRule },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The rule that a change broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenRule {
    #[error("the request was answered before")]
    AnsweredBefore,
    #[error("the key string is known already")]
    DuplicateDigest,
    #[error("another component of the key has the same fingerprint")]
    DuplicateFingerprint,
    #[error("another signing certificate has the key pair")]
    DuplicateKeyPair,
    #[error("the name is taken")]
    DuplicateName,
    #[error("there are {limit} already, and no more are kept")]
    Full { limit: u32 },
    #[error("it has a key that {label} manages")]
    Managed { label: Name },
    #[error("no enabled owner would be left")]
    LastOwner,
    #[error("no such object")]
    NotFound,
    #[error("the object was changed meanwhile (its revision is {found:?})")]
    Outdated { found: Revision },
    #[error("other objects refer to it: {by}")]
    Referenced { by: &'static str },
    /// By another master key than [`SETTING_SEALED_BY`] says.
    #[error("it is sealed by another master key than the one that seals here")]
    SealedOtherwise,
    #[error("its digests are under other peppers than those that are there now")]
    UnknownPepper,
    #[error("what it refers to does not exist: {what}")]
    UnknownReference { what: &'static str },
}

/// How enrollments are gathered into one durable transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSettings {
    /// Most enrollments in one transaction.
    pub size_max: usize,
    /// How long a batch waits for company while others are arriving. A lone enrollment does not wait.
    pub linger: Duration,
    /// Most enrollments waiting; one more is refused at once.
    pub queue_max: usize,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { size_max: 128, linger: Duration::from_millis(1), queue_max: 4_096 }
    }
}

/// What a store reports of its commits; `metrics` implements it.
pub trait CommitObserver: Send + Sync {
    /// One durable transaction of `size` enrollments and renewals.
    fn observe_commit(&self, size: usize, took: Duration);
}
