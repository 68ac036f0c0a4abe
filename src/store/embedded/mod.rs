//! The embedded store: SQLite in the data directory, one process, one writer thread.
//!
//! Why SQLite, and what an enrollment costs here: `docs/decisions/0001-embedded-engine.md`.
//! The tables: `migrations/`. One file per aggregate holds its statements; [`writer`] has the
//! transactions and what happens when they fail, [`enroll`] the one of an enrollment.

mod administrators;
mod answers;
mod attention;
mod audit;
mod backup;
mod blocks;
mod certificates;
mod changes;
mod clean_up_schedules;
mod components;
mod connection;
mod crls;
mod customers;
mod encoding;
mod enroll;
mod errors;
mod files;
mod groups;
mod hours;
mod integrity;
mod keys;
mod ledger;
mod lists;
mod lock;
mod migrations;
mod names;
mod peppers;
mod preferences;
mod queue;
mod readers;
mod renew;
mod saved_filters;
mod sealed;
mod sessions;
mod settings;
mod signing_certificates;
mod transfer;
mod webhooks;
mod writer;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::Connection;

use self::blocks::ComponentList;
use self::components::NamesUse;
use self::files::{DatabaseFile, OpenFiles};
use self::migrations::Schema;
use self::queue::Lane;
use self::readers::{ReaderKind, Readers};
use self::writer::{ANSWER_TIME_MAX, CHANGE_TIME_MAX, Verdict, WriterHandle};
use super::{
    AdministratorField, AnswerId, ApiClientField, AuditQuery, BatchSettings, Change, ChangeError, ChangeSequence,
    ChangedObject, ClaimedDelivery, CommitObserver, ComponentField, ComponentRelations, CustomerField, DeliveryAttempt,
    DigestCounts, EndedComponent, EndingComponent, EnrollmentCommit, EnrollmentOutcome, EnrollmentStore, Finding,
    GroupContents, GroupField, KeyField, KeyHours, KeyUnderPepper, KeyUse, KindCounts, ListQuery, NewDigest, Page,
    PageRequest, Remark, RenewalCommit, RenewalOutcome, Revocations, SealedColumn, SealedCounts, SealedSecret,
    SealedValue, ServedWebhook, SigningCertificateField, SigningCertificateReferences, Store, StoreError, StoredAnswer,
    UntoldLedger, WebhookField, WebhookNews,
};
use crate::clock::{Clock, Timestamp};
use crate::domain::audit::{AuditEvent, AuditKey, AuditRow};
use crate::domain::key::IndexedKey;
use crate::domain::ledger::{HourTally, LedgerRow, RefusalSum, RefusalTally};
use crate::domain::redemption::KnownComponent;
use crate::domain::renewal::KnownCertificate;
use crate::domain::revocation::{Crl, CrlHead, CrlNumber};
use crate::domain::webhook::WebhookMark;
use crate::domain::{
    Administrator, ApiClient, Attention, CertificateRecord, CleanUpSchedule, Component, Customer, Fingerprint, Group,
    Kind, Name, PageName, Preference, ProvisioningKey, SavedFilter, SerialNumber, SessionRecord, SigningCertificate,
    Webhook, WebhookDelivery,
};
use crate::files::sync_directory_of;
use crate::id::{
    AdministratorId, ApiClientId, ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId, WebhookId,
};
use crate::secret::pepper::{KeyDigest, PepperNumber};
use crate::store::lists::{is_walk, is_walk_of_audit};

pub use self::backup::{Examined, copy_database, examine, fold_log};
pub use self::lock::DirectoryLock;
pub(in crate::store) use self::transfer::{EmbeddedSource, EmbeddedTarget};

/// The database's name in the data directory.
pub const FILE_NAME: &str = "muster.db";

/// Rows that a list by name looks through for what is not in its order yet: some tenths of a second.
const NAMES_BEHIND_MAX: u64 = 20_000;

/// How long a list by name waits for its order to come that near.
const NAMES_PATIENCE: Duration = Duration::from_secs(20);

/// Tallies of refusals that are written in one transaction: an enrollment waits for no more of them.
const REFUSALS_PER_TRANSACTION: usize = 500;

/// [`Store`] on one SQLite file.
///
/// Dropping it does what is still queued and lets go of the directory; it blocks meanwhile.
pub struct EmbeddedStore {
    clock: Arc<dyn Clock>,
    readers: Readers,
    /// `None`: opened to read only.
    writer: Option<WriterHandle>,
}

/// Why a store was not opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{} is in use by {}; stop that one, or give this one a data directory of its own",
        data_dir.display(),
        holder(*pid, *since)
    )]
    Locked { data_dir: PathBuf, pid: Option<u32>, since: Option<Timestamp> },
    #[error("there is no store at {}; `muster init` makes one", path.display())]
    Missing { path: PathBuf },
    #[error(
        "{} has schema {found}, this program knows schemas up to {supported}; use the version of muster that wrote it, \
         or a newer one",
        path.display()
    )]
    NewerSchema { path: PathBuf, found: u32, supported: u32 },
    #[error(
        "{} has schema {found}, this program reads schema {supported}; `muster serve` brings it up to date when it starts",
        path.display()
    )]
    OlderSchema { path: PathBuf, found: u32, supported: u32 },
    #[error(
        "{} is damaged or is no store of muster ({detail}); put back a backup, or move the file away to begin anew",
        path.display()
    )]
    Damaged { path: PathBuf, detail: String },
    #[error("{}: {source}; check that the disk is there, writable and not full, and who owns the file", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

fn holder(pid: Option<u32>, since: Option<Timestamp>) -> String {
    match (pid, since) {
        (Some(pid), Some(since)) => format!("process {pid} since {since}"),
        (Some(pid), None) => format!("process {pid}"),
        (None, _) => "another process".to_owned(),
    }
}

impl EmbeddedStore {
    /// Opens `data_dir/muster.db`, made if there is none, and brings its schema up to date.
    ///
    /// The directory must exist. It belongs to this process until the store is closed or dropped.
    /// Blocks for the lock file, the log that the last process left, and migrations.
    ///
    /// # Errors
    /// See [`OpenError`]; each says the way out.
    pub fn open(
        data_dir: &Path,
        clock: Arc<dyn Clock>,
        batch: BatchSettings,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<Arc<Self>, OpenError> {
        let lock = DirectoryLock::take(data_dir, clock.now())?;
        let path = data_dir.join(FILE_NAME);
        let io = |source| OpenError::Io { path: path.clone(), source };
        create_file(&path).map_err(io)?;
        let database = DatabaseFile::at(path.clone()).map_err(io)?;

        let connection = open_to_write(&path)?;
        let files = OpenFiles::of(database.clone()).map_err(io)?;
        let readers = Readers::start(database, ReaderKind::Latest).map_err(io)?;
        let writer = WriterHandle::start(connection, files, lock, Arc::clone(&clock), batch, observer).map_err(io)?;
        Ok(Arc::new(Self { clock, readers, writer: Some(writer) }))
    }

    /// Opens an existing store to read, without its lock: another process may be serving.
    ///
    /// Everything that is read comes from one snapshot, the state at the first read. Whatever
    /// writes answers [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// See [`OpenError`]; never [`OpenError::Locked`].
    pub fn open_read_only(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        let path = data_dir.join(FILE_NAME);
        let io = |source| OpenError::Io { path: path.clone(), source };
        open_to_read(data_dir)?;
        let database = DatabaseFile::at(path.clone()).map_err(io)?;
        let readers = Readers::start(database, ReaderKind::OneSnapshot).map_err(io)?;
        Ok(Arc::new(Self { clock, readers, writer: None }))
    }

    /// Caps the database file at `bytes`, rounded down to pages, or at what it has: what would make
    /// it larger is refused as on a full disk. `None` takes the cap away. Not kept over a restart.
    ///
    /// # Errors
    /// The store's, when it cannot write.
    pub async fn limit_size(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        self.change(Lane::Administration, move |connection| {
            let page_bytes: u64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
            // SQLite never goes below what the file has, and takes 0 for a question.
            let pages = bytes.map_or(u64::from(u32::MAX - 1), |bytes| (bytes / page_bytes).max(1));
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
            Ok(Verdict::RollBack(()))
        })
        .await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.readers.read(move |connection| Ok(read(connection)?)).await
    }

    /// What may take long when much is not counted yet.
    async fn walk<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.list(true, read).await
    }

    async fn list<T, F>(&self, is_walk: bool, list: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let list = move |connection: &Connection| Ok(list(connection)?);
        if is_walk { self.readers.walk(list).await } else { self.readers.read(list).await }
    }

    /// Keeps the order of components by name from being too far behind to be used. `false`: it is, and
    /// the store was opened to read only.
    async fn bring_names_near(&self) -> Result<bool, StoreError> {
        let begun = Instant::now();
        loop {
            let behind = self.read(names::behind).await?;
            if behind <= NAMES_BEHIND_MAX {
                return Ok(true);
            }
            if self.writer.is_none() {
                return Ok(false);
            }
            if begun.elapsed() > NAMES_PATIENCE {
                return Err(StoreError::Unavailable { reason: format!("the order by name is {behind} rows behind") });
            }
            self.change(Lane::Background, |connection| names::step(connection).map(Verdict::Commit)).await?;
        }
    }

    async fn change<T, F>(&self, lane: Lane, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<Verdict<T>> + Send + 'static,
    {
        self.writer()?.change(lane, CHANGE_TIME_MAX, work).await
    }

    async fn apply(
        &self,
        lane: Lane,
        changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        audit_key: &AuditKey,
    ) -> Result<ChangeSequence, ChangeError> {
        let (audit_key, now) = (audit_key.share(), self.clock.now());
        let applied =
            self.change(lane, move |connection| changes::apply(connection, &changes, &audit, &audit_key, now)).await?;
        applied.map_err(|(position, rule)| ChangeError::Rule { position, rule })
    }

    fn writer(&self) -> Result<&WriterHandle, StoreError> {
        self.writer.as_ref().ok_or_else(|| StoreError::Unavailable { reason: "it was opened to read only".into() })
    }
}

#[async_trait]
impl EnrollmentStore for EmbeddedStore {
    async fn commit_enrollment(&self, commit: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        self.writer()?.enroll(commit).await
    }

    async fn commit_renewal(&self, commit: RenewalCommit) -> Result<RenewalOutcome, StoreError> {
        self.writer()?.renew(commit).await
    }

    async fn find_known_certificate(
        &self,
        customer: CustomerId,
        component: ComponentId,
        serial: SerialNumber,
    ) -> Result<Option<KnownCertificate>, StoreError> {
        self.readers
            .read(move |connection| components::find_known_certificate(connection, customer, component, serial))
            .await
    }

    async fn find_known_component(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        fingerprint: &Fingerprint,
        re_enrollments_since: Timestamp,
    ) -> Result<Option<KnownComponent>, StoreError> {
        let fingerprint = fingerprint.clone();
        self.readers
            .read(move |connection| {
                components::find_known(connection, customer, key, &fingerprint, re_enrollments_since)
            })
            .await
    }

    async fn add_refusals(&self, tallies: Vec<RefusalTally>) -> Result<(), StoreError> {
        let now = self.clock.now();
        for part in tallies.chunks(REFUSALS_PER_TRANSACTION) {
            let part = part.to_vec();
            self.change(Lane::Background, move |connection| {
                ledger::add_refusals(connection, &part, now).map(Verdict::Commit)
            })
            .await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    fn is_shared(&self) -> bool {
        false
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn commit_changes(
        &self,
        changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        audit_key: &AuditKey,
    ) -> Result<ChangeSequence, ChangeError> {
        self.apply(Lane::Administration, changes, audit, audit_key).await
    }

    async fn commit_changes_in_background(
        &self,
        changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        audit_key: &AuditKey,
    ) -> Result<ChangeSequence, ChangeError> {
        self.apply(Lane::Background, changes, audit, audit_key).await
    }

    async fn list_changes(&self, after: ChangeSequence, limit: u32) -> Result<Vec<ChangedObject>, StoreError> {
        self.read(move |connection| changes::list(connection, after, limit)).await
    }

    async fn last_change(&self) -> Result<ChangeSequence, StoreError> {
        self.read(changes::last).await
    }

    async fn reserve_ids(&self, count: u64) -> Result<u64, StoreError> {
        let reserve = move |connection: &Connection| settings::reserve_ids(connection, count).map(Verdict::Commit);
        // Enrollments wait for it.
        let reserved = self.writer()?.change(Lane::Administration, ANSWER_TIME_MAX, reserve).await?;
        reserved.ok_or_else(|| StoreError::Unavailable { reason: "all ids were given out".into() })
    }

    async fn find_answer(&self, id: AnswerId) -> Result<Option<StoredAnswer>, StoreError> {
        self.read(move |connection| answers::find(connection, id)).await
    }

    async fn find_setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = name.to_owned();
        self.read(move |connection| settings::find(connection, &name)).await
    }

    async fn list_secrets(&self, purpose: &str) -> Result<Vec<SealedSecret>, StoreError> {
        let purpose = purpose.to_owned();
        self.read(move |connection| settings::list_secrets(connection, &purpose)).await
    }

    async fn find_customer(&self, id: CustomerId) -> Result<Option<Customer>, StoreError> {
        self.read(move |connection| customers::find(connection, id)).await
    }

    async fn find_group(&self, customer: CustomerId, id: GroupId) -> Result<Option<Group>, StoreError> {
        self.read(move |connection| groups::find(connection, customer, id)).await
    }

    async fn find_signing_certificate(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<SigningCertificate>, StoreError> {
        self.read(move |connection| signing_certificates::find(connection, customer, id)).await
    }

    async fn find_signing_certificate_references(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<SigningCertificateReferences>, StoreError> {
        self.read(move |connection| signing_certificates::find_references(connection, customer, id)).await
    }

    async fn find_key(
        &self,
        customer: CustomerId,
        id: ProvisioningKeyId,
    ) -> Result<Option<ProvisioningKey>, StoreError> {
        self.read(move |connection| keys::find(connection, customer, id)).await
    }

    async fn find_component(&self, customer: CustomerId, id: ComponentId) -> Result<Option<Component>, StoreError> {
        self.read(move |connection| components::find(connection, customer, id)).await
    }

    async fn find_components(&self, customer: CustomerId, ids: &[ComponentId]) -> Result<Vec<Component>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |connection| {
            ids.iter().filter_map(|id| components::find(connection, customer, *id).transpose()).collect()
        })
        .await
    }

    async fn find_component_relations(
        &self,
        customer: CustomerId,
        ids: &[ComponentId],
    ) -> Result<Vec<ComponentRelations>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |connection| components::find_relations(connection, customer, &ids)).await
    }

    async fn find_certificate(
        &self,
        customer: CustomerId,
        component: ComponentId,
        serial: SerialNumber,
    ) -> Result<Option<CertificateRecord>, StoreError> {
        self.read(move |connection| certificates::find(connection, customer, component, serial)).await
    }

    async fn find_clean_up_schedule(
        &self,
        customer: CustomerId,
        kind: Kind,
    ) -> Result<Option<CleanUpSchedule>, StoreError> {
        self.read(move |connection| clean_up_schedules::find(connection, customer, kind)).await
    }

    async fn find_api_client(&self, client_id: &str) -> Result<Option<ApiClient>, StoreError> {
        let client_id = client_id.to_owned();
        self.read(move |connection| administrators::find_client(connection, &client_id)).await
    }

    async fn find_administrator(&self, username: &str) -> Result<Option<Administrator>, StoreError> {
        let username = username.to_owned();
        self.read(move |connection| administrators::find(connection, &username)).await
    }

    async fn find_key_by_digest(
        &self,
        digest: &KeyDigest,
    ) -> Result<Option<(CustomerId, ProvisioningKeyId)>, StoreError> {
        let digest = *digest;
        self.read(move |connection| keys::find_by_digest(connection, &digest)).await
    }

    async fn find_administrator_by_id(
        &self,
        customer: CustomerId,
        id: AdministratorId,
    ) -> Result<Option<Administrator>, StoreError> {
        self.read(move |connection| administrators::find_by_id(connection, customer, id)).await
    }

    async fn find_api_client_by_id(
        &self,
        customer: CustomerId,
        id: ApiClientId,
    ) -> Result<Option<ApiClient>, StoreError> {
        self.read(move |connection| administrators::find_client_by_id(connection, customer, id)).await
    }

    async fn find_actor_names(&self, customer: CustomerId, ids: &[u64]) -> Result<HashMap<u64, Name>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |connection| administrators::find_names(connection, customer, &ids)).await
    }

    async fn find_session(&self, id: &str) -> Result<Option<SessionRecord>, StoreError> {
        let id = id.to_owned();
        self.read(move |connection| sessions::find(connection, &id)).await
    }

    async fn list_administrators(
        &self,
        customer: CustomerId,
        query: &ListQuery<AdministratorField>,
    ) -> Result<Page<Administrator>, StoreError> {
        let (query, now) = (query.clone(), self.clock.now());
        self.read(move |connection| administrators::list(connection, customer, &query, now)).await
    }

    async fn list_api_clients(
        &self,
        customer: CustomerId,
        query: &ListQuery<ApiClientField>,
    ) -> Result<Page<ApiClient>, StoreError> {
        let (query, now) = (query.clone(), self.clock.now());
        self.read(move |connection| administrators::list_clients(connection, customer, &query, now)).await
    }

    async fn list_customers(&self, query: &ListQuery<CustomerField>) -> Result<Page<Customer>, StoreError> {
        let (query, now) = (query.clone(), self.clock.now());
        self.read(move |connection| customers::list(connection, &query, now)).await
    }

    async fn list_groups(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<GroupField>,
    ) -> Result<Page<Group>, StoreError> {
        let (query, now) = (query.clone(), self.clock.now());
        self.list(is_walk(&query), move |connection| groups::list(connection, customer, kind, &query, now)).await
    }

    async fn count_group_contents(
        &self,
        customer: CustomerId,
        ids: &[GroupId],
    ) -> Result<Vec<GroupContents>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |connection| ids.iter().map(|id| groups::contents(connection, customer, *id)).collect()).await
    }

    async fn list_signing_certificates(
        &self,
        customer: CustomerId,
        query: &ListQuery<SigningCertificateField>,
    ) -> Result<Page<SigningCertificate>, StoreError> {
        let (query, now) = (query.clone(), self.clock.now());
        self.list(is_walk(&query), move |connection| signing_certificates::list(connection, customer, &query, now))
            .await
    }

    async fn list_keys(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<KeyField>,
    ) -> Result<Page<ProvisioningKey>, StoreError> {
        let (query, now) = (query.clone(), self.clock.now());
        self.list(is_walk(&query), move |connection| keys::list(connection, customer, kind, &query, now)).await
    }

    async fn list_keys_of_group(
        &self,
        customer: CustomerId,
        group: GroupId,
        after: ProvisioningKeyId,
        limit: u32,
    ) -> Result<Vec<ProvisioningKey>, StoreError> {
        self.read(move |connection| keys::list_of_group(connection, customer, group, after, limit)).await
    }

    async fn list_components(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<ComponentField>,
    ) -> Result<Page<Component>, StoreError> {
        let (query, now) = (query.clone(), self.clock.now());
        let (has_order, is_walk) = match components::names_use(&query) {
            NamesUse::Lookup => (true, self.read(names::behind).await? > NAMES_BEHIND_MAX),
            NamesUse::None => (true, components::is_walk(&query)),
            NamesUse::Pages => self.bring_names_near().await.map(|has_order| (has_order, !has_order))?,
        };
        self.list(is_walk, move |connection| components::list(connection, customer, kind, &query, now, has_order)).await
    }

    async fn list_group_components(
        &self,
        customer: CustomerId,
        group: GroupId,
        limit: u32,
    ) -> Result<Vec<Component>, StoreError> {
        self.read(move |connection| components::list_of_group(connection, customer, group, limit)).await
    }

    async fn list_ending_components(
        &self,
        customer: CustomerId,
        after: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<EndingComponent>, StoreError> {
        self.read(move |connection| components::list_ending(connection, customer, (after, until), limit)).await
    }

    async fn count_kind(&self, customer: CustomerId, kind: Kind) -> Result<KindCounts, StoreError> {
        self.read(move |connection| {
            Ok(KindCounts {
                components: blocks::total(connection, customer, ComponentList::OfKind(kind))?,
                groups: groups::count(connection, customer, kind)?,
                keys: keys::count(connection, customer, kind)?,
            })
        })
        .await
    }

    async fn list_clean_up_schedules(&self) -> Result<Vec<CleanUpSchedule>, StoreError> {
        self.read(clean_up_schedules::list).await
    }

    async fn list_ledger(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        page: PageRequest,
    ) -> Result<Page<KeyUse>, StoreError> {
        self.read(move |connection| ledger::list(connection, customer, key, page)).await
    }

    async fn list_re_enrollments(
        &self,
        customer: CustomerId,
        component: ComponentId,
        limit: u32,
    ) -> Result<Vec<LedgerRow>, StoreError> {
        self.read(move |connection| ledger::list_re_enrollments(connection, customer, component, limit)).await
    }

    async fn list_certificates(
        &self,
        customer: CustomerId,
        component: ComponentId,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        self.read(move |connection| certificates::list(connection, customer, component, limit)).await
    }

    async fn list_refusals(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
    ) -> Result<Vec<RefusalTally>, StoreError> {
        self.read(move |connection| ledger::list_refusals(connection, customer, key)).await
    }

    async fn sum_refusals(&self, customer: CustomerId, since: Timestamp) -> Result<Vec<RefusalSum>, StoreError> {
        self.walk(move |connection| ledger::sum_refusals(connection, customer, since)).await
    }

    async fn list_attention(
        &self,
        customer: CustomerId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Page<Attention>, StoreError> {
        self.walk(move |connection| attention::list(connection, customer, now, limit)).await
    }

    async fn find_key_hours(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        since: Timestamp,
    ) -> Result<Option<KeyHours>, StoreError> {
        self.walk(move |connection| {
            let Some(key) = keys::find(connection, customer, key)? else { return Ok(None) };
            Ok(Some(KeyHours { uses: key.usage.uses, hours: hours::of_key(connection, customer, key.id, since)? }))
        })
        .await
    }

    async fn list_customer_hours(&self, customer: CustomerId, since: Timestamp) -> Result<Vec<HourTally>, StoreError> {
        self.walk(move |connection| hours::of_customer(connection, customer, since)).await
    }

    async fn list_sessions(
        &self,
        customer: CustomerId,
        administrator: AdministratorId,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<SessionRecord>, StoreError> {
        self.read(move |connection| sessions::list(connection, customer, administrator, now, page)).await
    }

    async fn list_preferences(
        &self,
        customer: CustomerId,
        administrator: AdministratorId,
    ) -> Result<Vec<Preference>, StoreError> {
        self.read(move |connection| preferences::list(connection, customer, administrator)).await
    }

    async fn list_saved_filters(
        &self,
        customer: CustomerId,
        administrator: AdministratorId,
        page: &PageName,
    ) -> Result<Vec<SavedFilter>, StoreError> {
        let page = page.clone();
        self.read(move |connection| saved_filters::list(connection, customer, administrator, &page)).await
    }

    async fn search_audit(&self, customer: CustomerId, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError> {
        let (query, now) = (query.clone(), self.clock.now());
        self.list(is_walk_of_audit(&query), move |connection| audit::search(connection, customer, &query, now)).await
    }

    async fn list_audit(&self, customer: CustomerId, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.read(move |connection| audit::list(connection, customer, after, limit)).await
    }

    async fn scan_customers(&self) -> Result<Vec<Customer>, StoreError> {
        self.read(customers::scan).await
    }

    async fn scan_groups(&self, after: GroupId, limit: u32) -> Result<Vec<Group>, StoreError> {
        self.read(move |connection| groups::scan(connection, after, limit)).await
    }

    async fn scan_signing_certificates(
        &self,
        after: SigningCertificateId,
        limit: u32,
    ) -> Result<Vec<SigningCertificate>, StoreError> {
        self.read(move |connection| signing_certificates::scan(connection, after, limit)).await
    }

    async fn scan_keys(&self, after: ProvisioningKeyId, limit: u32) -> Result<Vec<IndexedKey>, StoreError> {
        self.read(move |connection| keys::scan(connection, after, limit)).await
    }

    async fn find_indexed_keys(
        &self,
        customer: CustomerId,
        ids: &[ProvisioningKeyId],
    ) -> Result<Vec<IndexedKey>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |connection| {
            ids.iter().filter_map(|id| keys::find_indexed(connection, customer, *id).transpose()).collect()
        })
        .await
    }

    async fn scan_ended_components(
        &self,
        customer: CustomerId,
        ended_by: Timestamp,
        after: (Timestamp, ComponentId),
        limit: u32,
    ) -> Result<Vec<EndedComponent>, StoreError> {
        self.read(move |connection| components::scan_ended(connection, customer, ended_by, after, limit)).await
    }

    async fn list_unpublished_revocations(&self) -> Result<Vec<(CustomerId, SigningCertificateId)>, StoreError> {
        self.read(crls::list_with_news).await
    }

    async fn find_revocations(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
        now: Timestamp,
    ) -> Result<Revocations, StoreError> {
        self.walk(move |connection| crls::find_revocations(connection, customer, id, now)).await
    }

    async fn publish_crl(
        &self,
        crl: Crl,
        after: Option<CrlNumber>,
        news: Vec<SerialNumber>,
    ) -> Result<bool, StoreError> {
        self.change(Lane::Background, move |connection| {
            let is_published = crls::publish(connection, &crl, after, &news)?;
            Ok(if is_published { Verdict::Commit(true) } else { Verdict::RollBack(false) })
        })
        .await
    }

    async fn find_crl(&self, customer: CustomerId, id: SigningCertificateId) -> Result<Option<Crl>, StoreError> {
        self.read(move |connection| crls::find(connection, customer, id)).await
    }

    async fn find_crl_head(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<CrlHead>, StoreError> {
        self.read(move |connection| crls::find_head(connection, customer, id)).await
    }

    async fn find_webhook(&self, customer: CustomerId, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        self.read(move |connection| webhooks::find(connection, customer, id)).await
    }

    async fn list_webhooks(
        &self,
        customer: CustomerId,
        query: &ListQuery<WebhookField>,
    ) -> Result<Page<Webhook>, StoreError> {
        let (query, now) = (query.clone(), self.clock.now());
        self.read(move |connection| webhooks::list(connection, customer, &query, now)).await
    }

    async fn list_webhook_deliveries(
        &self,
        customer: CustomerId,
        id: WebhookId,
        page: PageRequest,
    ) -> Result<Page<WebhookDelivery>, StoreError> {
        self.read(move |connection| webhooks::list_deliveries(connection, customer, id, page)).await
    }

    async fn list_served_webhooks(&self) -> Result<Vec<ServedWebhook>, StoreError> {
        self.read(webhooks::list_served).await
    }

    async fn list_webhook_marks(&self, customer: CustomerId, id: WebhookId) -> Result<Vec<WebhookMark>, StoreError> {
        self.read(move |connection| webhooks::list_marks(connection, customer, id)).await
    }

    async fn list_untold_ledgers(
        &self,
        customer: CustomerId,
        id: WebhookId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<UntoldLedger>, StoreError> {
        self.walk(move |connection| webhooks::list_untold(connection, customer, id, since, limit)).await
    }

    async fn list_ledger_after(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<KeyUse>, StoreError> {
        self.read(move |connection| ledger::list_after(connection, customer, key, after, limit)).await
    }

    async fn queue_webhook_news(&self, news: WebhookNews) -> Result<bool, StoreError> {
        self.change(Lane::Background, move |connection| {
            let is_queued = webhooks::queue(connection, &news)?;
            Ok(if is_queued { Verdict::Commit(true) } else { Verdict::RollBack(false) })
        })
        .await
    }

    async fn list_due_webhooks(
        &self,
        now: Timestamp,
        are_failing: bool,
        limit: u32,
    ) -> Result<Vec<(CustomerId, WebhookId)>, StoreError> {
        self.read(move |connection| webhooks::list_due(connection, now, are_failing, limit)).await
    }

    async fn claim_delivery(
        &self,
        customer: CustomerId,
        id: WebhookId,
        now: Timestamp,
        part: f64,
    ) -> Result<Option<ClaimedDelivery>, StoreError> {
        self.change(Lane::Background, move |connection| {
            webhooks::claim(connection, customer, id, now, part).map(Verdict::Commit)
        })
        .await
    }

    async fn finish_delivery_attempt(&self, attempt: DeliveryAttempt) -> Result<(), StoreError> {
        self.change(Lane::Background, move |connection| {
            webhooks::finish_attempt(connection, &attempt).map(Verdict::Commit)
        })
        .await
    }

    async fn list_sealed_otherwise(
        &self,
        column: SealedColumn,
        header: &[u8],
        after: u64,
        limit: u32,
    ) -> Result<Vec<SealedValue>, StoreError> {
        let header = header.to_owned();
        self.walk(move |connection| sealed::list_otherwise(connection, column, &header, after, limit)).await
    }

    async fn replace_sealed(
        &self,
        column: SealedColumn,
        by: &str,
        values: Vec<(SealedValue, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let by = by.to_owned();
        self.change(Lane::Background, move |connection| {
            sealed::replace(connection, column, &by, &values).map(Verdict::Commit)
        })
        .await
    }

    async fn count_sealed(&self, header: &[u8]) -> Result<SealedCounts, StoreError> {
        let header = header.to_owned();
        self.walk(move |connection| sealed::count(connection, &header)).await
    }

    async fn count_digests(&self) -> Result<Vec<DigestCounts>, StoreError> {
        self.walk(peppers::count).await
    }

    async fn list_keys_under(
        &self,
        pepper: PepperNumber,
        after: ProvisioningKeyId,
        limit: u32,
    ) -> Result<Vec<KeyUnderPepper>, StoreError> {
        self.read(move |connection| peppers::list_keys(connection, pepper, after, limit)).await
    }

    async fn list_api_clients_under(&self, pepper: PepperNumber, limit: u32) -> Result<Vec<ApiClient>, StoreError> {
        self.read(move |connection| peppers::list_clients(connection, pepper, limit)).await
    }

    async fn replace_digests(&self, digests: Vec<NewDigest<ProvisioningKeyId>>) -> Result<u64, StoreError> {
        self.change(Lane::Background, move |connection| {
            peppers::replace_of_keys(connection, &digests).map(Verdict::Commit)
        })
        .await
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.change(Lane::Background, move |connection| {
            answers::sweep(connection, now)?;
            sessions::sweep(connection, now)?;
            Ok(Verdict::Commit(()))
        })
        .await
    }

    async fn check_integrity(&self, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError> {
        let audit_key = audit_key.share();
        self.readers.read_at_length(move |connection| integrity::check(connection, &audit_key)).await
    }

    async fn check_audit(&self, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError> {
        let audit_key = audit_key.share();
        self.readers.read_at_length(move |connection| integrity::check_audit(connection, &audit_key)).await
    }

    async fn list_remarks(&self) -> Result<Vec<Remark>, StoreError> {
        Ok(Vec::new())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.change(Lane::Administration, move |connection| settings::probe(connection, now).map(Verdict::Commit)).await
    }

    async fn close(&self) {
        self.readers.close();
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }
}

/// A connection to read an existing store through, and where that is.
fn open_to_read(data_dir: &Path) -> Result<(Connection, PathBuf), OpenError> {
    let path = data_dir.join(FILE_NAME);
    if !path.try_exists().map_err(|source| OpenError::Io { path: path.clone(), source })? {
        return Err(OpenError::Missing { path });
    }
    let unusable = |error| unusable(&path, &error);
    let connection = connection::open_reader(&path).map_err(unusable)?;
    let supported = migrations::SUPPORTED;
    match migrations::schema(&connection).map_err(unusable)? {
        Schema::Empty => Err(OpenError::Missing { path }),
        Schema::Foreign => Err(foreign(&path)),
        Schema::Version(found) if found > supported => Err(OpenError::NewerSchema { path, found, supported }),
        Schema::Version(found) if found < supported => Err(OpenError::OlderSchema { path, found, supported }),
        Schema::Version(_) => Ok((connection, path)),
    }
}

/// A connection to write through, to a file that is ours or empty, with the schema brought up to date.
fn open_to_write(path: &Path) -> Result<Connection, OpenError> {
    let unusable = |error| unusable(path, &error);
    let mut connection = connection::open_to_inspect(path).map_err(unusable)?;
    let found = match migrations::schema(&connection).map_err(unusable)? {
        Schema::Empty => 0,
        Schema::Version(found) => found,
        Schema::Foreign => return Err(foreign(path)),
    };
    if found > migrations::SUPPORTED {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found, supported: migrations::SUPPORTED });
    }
    connection::make_writer(&connection).map_err(unusable)?;
    migrations::migrate(&mut connection, found).map_err(unusable)?;
    // A file that had no log, as one out of a backup, gets it with the first read.
    migrations::schema(&connection).map_err(unusable)?;
    Ok(connection)
}

/// Makes the file if there is none: readable by its owner only, its name durable in the directory.
fn create_file(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => sync_directory_of(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn unusable(path: &Path, error: &rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let (path, detail) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => OpenError::Damaged { path, detail },
        _ => OpenError::Io { path, source: std::io::Error::other(detail) },
    }
}

fn foreign(path: &Path) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), detail: "it holds another program's tables".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::store::{AuditField, Comparison, Condition};

    struct Unobserved;

    impl CommitObserver for Unobserved {
        fn observe_commit(&self, _: usize, _: Duration) {}
    }

    fn open(data_dir: &Path) -> Result<Arc<EmbeddedStore>, OpenError> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
        EmbeddedStore::open(data_dir, clock, BatchSettings::default(), Arc::new(Unobserved))
    }

    #[tokio::test]
    async fn a_store_whose_writer_panicked_keeps_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();

        let panicked: Result<(), _> = store.change(Lane::Administration, |_| panic!("on purpose")).await;
        assert!(matches!(panicked, Err(StoreError::Unknown { .. })), "{panicked:?}");
        store.close().await;

        assert!(matches!(store.probe().await, Err(StoreError::Unavailable { .. })));
        assert!(matches!(open(dir.path()).err(), Some(OpenError::Locked { .. })));
        drop(store);
        open(dir.path()).expect("dropped: the directory is free");
    }

    /// Devices and sign-ins wait for the same threads.
    #[tokio::test]
    async fn a_search_of_the_whole_audit_log_leaves_a_thread_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        // As many as there could be threads.
        for _ in 0..8 {
            let (store, held) = (Arc::clone(&store), Arc::clone(&held));
            tokio::spawn(async move {
                let wait = move |_: &Connection| Ok(held.lock().unwrap().recv().is_err());
                store.walk(wait).await
            });
        }
        let search = |field, comparison| {
            let conditions = vec![Condition::new(field, comparison, "7")];
            let (store, page) = (Arc::clone(&store), PageRequest::first(1));
            async move { store.search_audit(CustomerId::SERVICE, &AuditQuery { conditions, page }).await }
        };
        tokio::task::yield_now().await;
        let mut walk = tokio::spawn(search(AuditField::ActorName, Comparison::Contains));
        tokio::task::yield_now().await;
        search(AuditField::ObjectId, Comparison::Equals).await.expect("an index leads there");
        let soon = tokio::time::timeout(Duration::ZERO, &mut walk).await;
        assert!(soon.is_err(), "it did not wait for its turn among the walks");
        drop(release);
        walk.await.unwrap().unwrap();
    }
}
