//! The shared store: any number of nodes on one PostgreSQL, or on what speaks and behaves like it.
//!
//! Why it is made as it is: `docs/decisions/0012-postgresql.md`. The tables: `migrations/`. One file per aggregate
//! holds its statements; [`commits`] gathers enrollments, [`enroll`] has their transaction, [`changes`] that of
//! administrators.

mod administrators;
mod answers;
mod attention;
mod audit;
mod certificates;
mod changes;
mod clean_up_schedules;
mod commits;
mod components;
mod connections;
mod counts;
mod crls;
mod customers;
mod encoding;
mod enroll;
mod errors;
mod groups;
mod hours;
mod integrity;
mod keys;
mod ledger;
mod lists;
mod migrations;
mod pages;
mod peppers;
mod preferences;
mod renew;
mod saved_filters;
mod sealed;
mod server;
mod session;
mod sessions;
mod settings;
mod signing_certificates;
mod transfer;
mod webhooks;

use std::collections::HashMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio::time::timeout;

use self::changes::Turns;
use self::commits::Commits;
use self::connections::Connections;
use self::errors::Error;
use self::migrations::Schema;
use self::session::{Mode, Session};
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
use crate::id::{
    AdministratorId, ApiClientId, ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId, WebhookId,
};
use crate::secret::pepper::{KeyDigest, PepperNumber};
use crate::store::lists::is_walk_of_audit;

pub use connections::PostgresSettings;
pub(in crate::store) use transfer::{PostgresSource, PostgresTarget};

/// How long a long list waits for those before it.
const WALK_PATIENCE: Duration = Duration::from_secs(20);

/// [`Store`] on a PostgreSQL database that other nodes use, too.
pub struct PostgresStore {
    connections: Arc<Connections>,
    clock: StoreClock,
    /// Turns of administrative transactions.
    turns: Arc<Turns>,
    /// Turns of those that go through a whole list.
    walks: Semaphore,
    /// Held while a probe is under way.
    probing: Arc<Mutex<()>>,
    access: Access,
}

/// What a store was opened for.
enum Access {
    Serve(Commits),
    /// To read only: everything is read through this session, in one snapshot.
    Read(Arc<Mutex<Session>>),
}

/// By which clock a store judges.
#[derive(Clone)]
pub enum StoreClock {
    /// The database's, the same for all nodes.
    Database,
    /// Another, for those who turn the time.
    Of(Arc<dyn Clock>),
}

impl StoreClock {
    /// What is bound where a statement asks for the time as [`now`] writes it.
    fn given(&self) -> Option<Timestamp> {
        match self {
            Self::Database => None,
            Self::Of(clock) => Some(clock.now()),
        }
    }
}

/// The time by the store's clock, where `parameter` is what [`StoreClock::given`] was bound to.
pub(super) fn now(parameter: &str) -> String {
    format!("coalesce({parameter}::bigint, floor(extract(epoch FROM clock_timestamp()))::bigint)")
}

/// What [`PostgresStore::migrate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// 0: there was nothing yet.
    pub from: u32,
    pub to: u32,
}

/// Why a database was not opened, and what to do about it. The address is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database's address cannot be used ({reason}); it is postgres://USER:PASSWORD@HOST[,HOST…]/DATABASE")]
    Address { reason: String },
    #[error("{}: {reason}; it is to hold the certificates, in PEM, of the CA that signed the database's", path.display())]
    CaFile { path: PathBuf, reason: String },
    #[error("the database holds another program's tables; give this one a database of its own")]
    Foreign,
    #[error(
        "the database has schema {found}, which programs that know schemas up to {supported} cannot use; start a newer \
         version of muster"
    )]
    NewerSchema { found: u32, supported: u32 },
    #[error(
        "the database has schema {found}, this program needs schema {supported}; `muster db migrate` brings it there"
    )]
    OlderSchema { found: u32, supported: u32 },
    #[error("there is no store in the database; `muster init` makes one")]
    Missing,
    #[error(
        "the database does not answer: {}; check its address, and that it runs, is no standby and lets this user in",
        reason(.0)
    )]
    Unreachable(StoreError),
}

/// What the database said, without that this is about the store.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable { reason } | StoreError::Unknown { reason } => reason.clone(),
        StoreError::Overloaded { .. } | StoreError::Corrupt { .. } => error.to_string(),
    }
}

impl PostgresStore {
    /// Opens the store, made if the database is empty. Waits for an answer of the database once.
    ///
    /// # Errors
    /// See [`OpenError`]; each says the way out.
    pub async fn open(
        settings: &PostgresSettings,
        clock: StoreClock,
        batch: BatchSettings,
        observer: Arc<dyn CommitObserver>,
    ) -> Result<Arc<Self>, OpenError> {
        let connections = Arc::new(Connections::new(settings)?);
        let mut session = connections.get().await.map_err(OpenError::Unreachable)?;
        let mut found = migrations::schema(&session).await.map_err(unreadable)?;
        if found == Schema::Empty {
            migrations::migrate(&mut session).await.map_err(OpenError::Unreachable)?;
            found = migrations::schema(&session).await.map_err(unreadable)?;
        }
        require_usable(found)?;
        drop(session);
        let commits = Commits::start(&connections, clock.clone(), batch, observer);
        let walks = Semaphore::new(walks_max(settings.connections_max));
        let turns = Arc::new(Turns::new());
        Ok(Arc::new(Self { connections, clock, turns, walks, probing: Arc::default(), access: Access::Serve(commits) }))
    }

    /// Opens an existing store to read: everything is read in one snapshot, the state at the first read. Whatever
    /// writes answers [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_read_only(settings: &PostgresSettings, clock: StoreClock) -> Result<Arc<Self>, OpenError> {
        let connections = Arc::new(Connections::new(settings)?);
        let mut session = connections.get().await.map_err(OpenError::Unreachable)?;
        require_usable(migrations::schema(&session).await.map_err(unreadable)?)?;
        session.begin(Mode::Snapshot).await.map_err(unreadable)?;
        session.take_time().await.map_err(unreadable)?;
        let access = Access::Read(Arc::new(Mutex::new(session)));
        let (turns, walks) = (Arc::new(Turns::new()), Semaphore::new(1));
        Ok(Arc::new(Self { connections, clock, turns, walks, probing: Arc::default(), access }))
    }

    /// Brings the schema up to date, on a database that other nodes may be using.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn migrate(settings: &PostgresSettings) -> Result<Migrated, OpenError> {
        let connections = Connections::new(settings)?;
        let mut session = connections.get().await.map_err(OpenError::Unreachable)?;
        let from = match migrations::migrate(&mut session).await.map_err(OpenError::Unreachable)? {
            Schema::Empty => 0,
            Schema::Version { version, .. } => version,
            Schema::Foreign => return Err(OpenError::Foreign),
        };
        require_usable(migrations::schema(&session).await.map_err(unreadable)?)?;
        Ok(Migrated { from, to: from.max(migrations::SUPPORTED) })
    }

    /// For one statement.
    async fn session(&self) -> Result<Reading, StoreError> {
        Ok(match &self.access {
            Access::Serve(_) => Reading::Own(Box::new(self.connections.get().await?)),
            Access::Read(_) if self.connections.is_closed() => return Err(closed()),
            Access::Read(snapshot) => Reading::Shared(Arc::clone(snapshot).lock_owned().await),
        })
    }

    /// For one statement that writes.
    async fn writing_session(&self) -> Result<Session, StoreError> {
        self.commits()?;
        self.connections.get().await
    }

    /// Several statements that see the same state.
    async fn in_snapshot<T>(&self, read: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, StoreError> {
        match self.session().await? {
            Reading::Shared(session) => Ok(read(&session).await?),
            Reading::Own(mut session) => {
                session.begin(Mode::Snapshot).await?;
                let value = read(&session).await?;
                session.roll_back().await?;
                Ok(value)
            }
        }
    }

    /// [`Self::in_snapshot`], for what may go through a whole list: connections are left for those that do not.
    async fn walk<T>(&self, read: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, StoreError> {
        let _turn = timeout(WALK_PATIENCE, self.walks.acquire())
            .await
            .map_err(|_| StoreError::Unavailable { reason: "other long lists are being read".into() })?
            .map_err(|_| closed())?;
        self.in_snapshot(read).await
    }

    /// In a task of its own: whoever asked may go away, what was begun is brought to its end.
    async fn apply(
        &self,
        changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        audit_key: &AuditKey,
    ) -> Result<ChangeSequence, ChangeError> {
        self.commits()?;
        let (turns, connections) = (Arc::clone(&self.turns), Arc::clone(&self.connections));
        let (clock, audit_key) = (self.clock.clone(), audit_key.share());
        let applied = tokio::spawn(async move {
            turns.take(changes::commit(&connections, &clock, &changes, &audit, &audit_key)).await
        });
        applied.await.unwrap_or_else(|error| Err(StoreError::Unknown { reason: error.to_string() }.into()))
    }

    /// [`Self::walk`] for those that are one, else [`Self::in_snapshot`].
    async fn list<T>(
        &self,
        is_walk: bool,
        list: impl AsyncFnOnce(&Session) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        if is_walk { self.walk(list).await } else { self.in_snapshot(list).await }
    }

    /// [`Self::walk`], as long as it takes.
    async fn read_at_length<T>(&self, read: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, StoreError> {
        self.walk(async |session| {
            session.take_time().await?;
            read(session).await
        })
        .await
    }

    /// What writes; whoever was opened to read only has nothing.
    fn commits(&self) -> Result<&Commits, StoreError> {
        match &self.access {
            Access::Serve(commits) => Ok(commits),
            Access::Read(_) => Err(StoreError::Unavailable { reason: "it was opened to read only".into() }),
        }
    }
}

/// A connection to read through.
enum Reading {
    Own(Box<Session>),
    Shared(OwnedMutexGuard<Session>),
}

impl Deref for Reading {
    type Target = Session;

    fn deref(&self) -> &Session {
        match self {
            Self::Own(session) => session,
            Self::Shared(session) => session,
        }
    }
}

fn walks_max(connections_max: usize) -> usize {
    (connections_max / 2).max(1)
}

fn unreadable(error: Error) -> OpenError {
    OpenError::Unreachable(error.into())
}

fn closed() -> StoreError {
    StoreError::Unavailable { reason: "it was closed".into() }
}

fn require_usable(schema: Schema) -> Result<(), OpenError> {
    let supported = migrations::SUPPORTED;
    match schema {
        _ if schema.is_usable() => Ok(()),
        Schema::Empty => Err(OpenError::Missing),
        Schema::Foreign => Err(OpenError::Foreign),
        Schema::Version { version: found, .. } if found < supported => Err(OpenError::OlderSchema { found, supported }),
        Schema::Version { version: found, .. } => Err(OpenError::NewerSchema { found, supported }),
    }
}

#[async_trait]
impl EnrollmentStore for PostgresStore {
    async fn commit_enrollment(&self, commit: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        self.commits()?.enroll(commit).await
    }

    async fn commit_renewal(&self, commit: RenewalCommit) -> Result<RenewalOutcome, StoreError> {
        self.commits()?.renew(commit).await
    }

    async fn find_known_certificate(
        &self,
        customer: CustomerId,
        component: ComponentId,
        serial: SerialNumber,
    ) -> Result<Option<KnownCertificate>, StoreError> {
        Ok(components::find_known_certificate(&*self.session().await?, customer, component, serial).await?)
    }

    async fn find_known_component(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        fingerprint: &Fingerprint,
        re_enrollments_since: Timestamp,
    ) -> Result<Option<KnownComponent>, StoreError> {
        Ok(components::find_known(&*self.session().await?, customer, key, fingerprint, re_enrollments_since).await?)
    }

    async fn add_refusals(&self, tallies: Vec<RefusalTally>) -> Result<(), StoreError> {
        self.commits()?;
        Ok(ledger::add_refusals(&*self.session().await?, tallies, &self.clock).await?)
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn is_shared(&self) -> bool {
        true
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        match &self.clock {
            StoreClock::Database => Ok(settings::database_time(&*self.session().await?).await?),
            StoreClock::Of(clock) => Ok(clock.now()),
        }
    }

    async fn commit_changes(
        &self,
        changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        audit_key: &AuditKey,
    ) -> Result<ChangeSequence, ChangeError> {
        self.apply(changes, audit, audit_key).await
    }

    async fn commit_changes_in_background(
        &self,
        changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        audit_key: &AuditKey,
    ) -> Result<ChangeSequence, ChangeError> {
        self.apply(changes, audit, audit_key).await
    }

    async fn list_changes(&self, after: ChangeSequence, limit: u32) -> Result<Vec<ChangedObject>, StoreError> {
        Ok(changes::list(&*self.session().await?, after, limit).await?)
    }

    async fn last_change(&self) -> Result<ChangeSequence, StoreError> {
        match changes::last(&*self.session().await?).await {
            // One that broke since it was used last says nothing of the database, and much hangs on this answer.
            Err(error) if error.is_of_connection() => Ok(changes::last(&*self.session().await?).await?),
            looked => Ok(looked?),
        }
    }

    async fn reserve_ids(&self, count: u64) -> Result<u64, StoreError> {
        let reserved = settings::reserve_ids(&self.writing_session().await?, count).await?;
        reserved.ok_or_else(|| StoreError::Unavailable { reason: "all ids were given out".into() })
    }

    async fn find_answer(&self, id: AnswerId) -> Result<Option<StoredAnswer>, StoreError> {
        Ok(answers::find(&*self.session().await?, id).await?)
    }

    async fn find_setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(settings::find(&*self.session().await?, name).await?)
    }

    async fn list_secrets(&self, purpose: &str) -> Result<Vec<SealedSecret>, StoreError> {
        Ok(settings::list_secrets(&*self.session().await?, purpose).await?)
    }

    async fn find_customer(&self, id: CustomerId) -> Result<Option<Customer>, StoreError> {
        Ok(customers::find(&*self.session().await?, id).await?)
    }

    async fn find_group(&self, customer: CustomerId, id: GroupId) -> Result<Option<Group>, StoreError> {
        Ok(groups::find(&*self.session().await?, customer, id).await?)
    }

    async fn find_signing_certificate(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<SigningCertificate>, StoreError> {
        Ok(signing_certificates::find(&*self.session().await?, customer, id).await?)
    }

    async fn find_signing_certificate_references(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<SigningCertificateReferences>, StoreError> {
        Ok(signing_certificates::find_references(&*self.session().await?, customer, id).await?)
    }

    async fn find_key(
        &self,
        customer: CustomerId,
        id: ProvisioningKeyId,
    ) -> Result<Option<ProvisioningKey>, StoreError> {
        Ok(keys::find(&*self.session().await?, customer, id).await?)
    }

    async fn find_component(&self, customer: CustomerId, id: ComponentId) -> Result<Option<Component>, StoreError> {
        Ok(components::find(&*self.session().await?, customer, id).await?)
    }

    async fn find_components(&self, customer: CustomerId, ids: &[ComponentId]) -> Result<Vec<Component>, StoreError> {
        Ok(components::find_many(&*self.session().await?, customer, ids).await?)
    }

    async fn find_component_relations(
        &self,
        customer: CustomerId,
        ids: &[ComponentId],
    ) -> Result<Vec<ComponentRelations>, StoreError> {
        Ok(components::find_relations(&*self.session().await?, customer, ids).await?)
    }

    async fn find_certificate(
        &self,
        customer: CustomerId,
        component: ComponentId,
        serial: SerialNumber,
    ) -> Result<Option<CertificateRecord>, StoreError> {
        Ok(certificates::find(&*self.session().await?, customer, component, serial).await?)
    }

    async fn find_clean_up_schedule(
        &self,
        customer: CustomerId,
        kind: Kind,
    ) -> Result<Option<CleanUpSchedule>, StoreError> {
        Ok(clean_up_schedules::find(&*self.session().await?, customer, kind).await?)
    }

    async fn find_api_client(&self, client_id: &str) -> Result<Option<ApiClient>, StoreError> {
        Ok(administrators::find_client(&*self.session().await?, client_id).await?)
    }

    async fn find_administrator(&self, username: &str) -> Result<Option<Administrator>, StoreError> {
        Ok(administrators::find(&*self.session().await?, username).await?)
    }

    async fn find_key_by_digest(
        &self,
        digest: &KeyDigest,
    ) -> Result<Option<(CustomerId, ProvisioningKeyId)>, StoreError> {
        Ok(keys::find_by_digest(&*self.session().await?, digest).await?)
    }

    async fn find_administrator_by_id(
        &self,
        customer: CustomerId,
        id: AdministratorId,
    ) -> Result<Option<Administrator>, StoreError> {
        Ok(administrators::find_by_id(&*self.session().await?, customer, id).await?)
    }

    async fn find_api_client_by_id(
        &self,
        customer: CustomerId,
        id: ApiClientId,
    ) -> Result<Option<ApiClient>, StoreError> {
        Ok(administrators::find_client_by_id(&*self.session().await?, customer, id).await?)
    }

    async fn find_actor_names(&self, customer: CustomerId, ids: &[u64]) -> Result<HashMap<u64, Name>, StoreError> {
        Ok(administrators::find_names(&*self.session().await?, customer, ids).await?)
    }

    async fn find_session(&self, id: &str) -> Result<Option<SessionRecord>, StoreError> {
        Ok(sessions::find(&*self.session().await?, id).await?)
    }

    async fn list_administrators(
        &self,
        customer: CustomerId,
        query: &ListQuery<AdministratorField>,
    ) -> Result<Page<Administrator>, StoreError> {
        let now = self.clock.given();
        self.in_snapshot(async |session| pages::administrators(session, customer, query, now).await).await
    }

    async fn list_api_clients(
        &self,
        customer: CustomerId,
        query: &ListQuery<ApiClientField>,
    ) -> Result<Page<ApiClient>, StoreError> {
        let now = self.clock.given();
        self.in_snapshot(async |session| pages::api_clients(session, customer, query, now).await).await
    }

    async fn list_customers(&self, query: &ListQuery<CustomerField>) -> Result<Page<Customer>, StoreError> {
        let now = self.clock.given();
        self.in_snapshot(async |session| pages::customers(session, query, now).await).await
    }

    async fn list_groups(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<GroupField>,
    ) -> Result<Page<Group>, StoreError> {
        let now = self.clock.given();
        self.list(lists::is_walk(query), async |session| pages::groups(session, customer, kind, query, now).await).await
    }

    async fn count_group_contents(
        &self,
        customer: CustomerId,
        ids: &[GroupId],
    ) -> Result<Vec<GroupContents>, StoreError> {
        Ok(groups::contents(&*self.session().await?, customer, ids).await?)
    }

    async fn list_signing_certificates(
        &self,
        customer: CustomerId,
        query: &ListQuery<SigningCertificateField>,
    ) -> Result<Page<SigningCertificate>, StoreError> {
        let now = self.clock.given();
        let list = async |session: &Session| pages::signing_certificates(session, customer, query, now).await;
        self.list(lists::is_walk(query), list).await
    }

    async fn list_keys(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<KeyField>,
    ) -> Result<Page<ProvisioningKey>, StoreError> {
        let now = self.clock.given();
        self.list(lists::is_walk(query), async |session| pages::keys(session, customer, kind, query, now).await).await
    }

    async fn list_keys_of_group(
        &self,
        customer: CustomerId,
        group: GroupId,
        after: ProvisioningKeyId,
        limit: u32,
    ) -> Result<Vec<ProvisioningKey>, StoreError> {
        Ok(keys::list_of_group(&*self.session().await?, customer, group, after, limit).await?)
    }

    async fn list_components(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery<ComponentField>,
    ) -> Result<Page<Component>, StoreError> {
        let now = self.clock.given();
        let list = async |session: &Session| pages::components(session, customer, kind, query, now).await;
        self.list(pages::is_walk_of_components(query), list).await
    }

    async fn list_group_components(
        &self,
        customer: CustomerId,
        group: GroupId,
        limit: u32,
    ) -> Result<Vec<Component>, StoreError> {
        Ok(components::list_of_group(&*self.session().await?, customer, group, limit).await?)
    }

    async fn list_ending_components(
        &self,
        customer: CustomerId,
        after: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<EndingComponent>, StoreError> {
        Ok(components::list_ending(&*self.session().await?, customer, (after, until), limit).await?)
    }

    async fn count_kind(&self, customer: CustomerId, kind: Kind) -> Result<KindCounts, StoreError> {
        self.in_snapshot(async |session| {
            Ok(KindCounts {
                components: counts::of_kind(session, customer, kind).await?,
                groups: groups::count(session, customer, kind).await?,
                keys: keys::count(session, customer, kind).await?,
            })
        })
        .await
    }

    async fn list_clean_up_schedules(&self) -> Result<Vec<CleanUpSchedule>, StoreError> {
        Ok(clean_up_schedules::list(&*self.session().await?).await?)
    }

    async fn list_ledger(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        page: PageRequest,
    ) -> Result<Page<KeyUse>, StoreError> {
        self.in_snapshot(async |session| ledger::list(session, customer, key, page).await).await
    }

    async fn list_re_enrollments(
        &self,
        customer: CustomerId,
        component: ComponentId,
        limit: u32,
    ) -> Result<Vec<LedgerRow>, StoreError> {
        Ok(ledger::list_re_enrollments(&*self.session().await?, customer, component, limit).await?)
    }

    async fn list_certificates(
        &self,
        customer: CustomerId,
        component: ComponentId,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        Ok(certificates::list(&*self.session().await?, customer, component, limit).await?)
    }

    async fn list_refusals(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
    ) -> Result<Vec<RefusalTally>, StoreError> {
        Ok(ledger::list_refusals(&*self.session().await?, customer, key).await?)
    }

    async fn sum_refusals(&self, customer: CustomerId, since: Timestamp) -> Result<Vec<RefusalSum>, StoreError> {
        self.walk(async |session| ledger::sum_refusals(session, customer, since).await).await
    }

    async fn list_attention(
        &self,
        customer: CustomerId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Page<Attention>, StoreError> {
        self.walk(async |session| attention::list(session, customer, now, limit).await).await
    }

    async fn find_key_hours(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        since: Timestamp,
    ) -> Result<Option<KeyHours>, StoreError> {
        self.in_snapshot(async |session| {
            let Some(key) = keys::find(session, customer, key).await? else { return Ok(None) };
            let hours = hours::of_key(session, customer, key.id, since).await?;
            Ok(Some(KeyHours { uses: key.usage.uses, hours }))
        })
        .await
    }

    async fn list_customer_hours(&self, customer: CustomerId, since: Timestamp) -> Result<Vec<HourTally>, StoreError> {
        self.walk(async |session| hours::of_customer(session, customer, since).await).await
    }

    async fn list_sessions(
        &self,
        customer: CustomerId,
        administrator: AdministratorId,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<SessionRecord>, StoreError> {
        self.in_snapshot(async |session| sessions::list(session, customer, administrator, now, page).await).await
    }

    async fn list_preferences(
        &self,
        customer: CustomerId,
        administrator: AdministratorId,
    ) -> Result<Vec<Preference>, StoreError> {
        Ok(preferences::list(&*self.session().await?, customer, administrator).await?)
    }

    async fn list_saved_filters(
        &self,
        customer: CustomerId,
        administrator: AdministratorId,
        page: &PageName,
    ) -> Result<Vec<SavedFilter>, StoreError> {
        Ok(saved_filters::list(&*self.session().await?, customer, administrator, page).await?)
    }

    async fn search_audit(&self, customer: CustomerId, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError> {
        let now = self.clock.given();
        self.list(is_walk_of_audit(query), async |session| pages::audit(session, customer, query, now).await).await
    }

    async fn list_audit(&self, customer: CustomerId, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        Ok(audit::list(&*self.session().await?, customer, after, limit).await?)
    }

    async fn scan_customers(&self) -> Result<Vec<Customer>, StoreError> {
        Ok(customers::scan(&*self.session().await?).await?)
    }

    async fn scan_groups(&self, after: GroupId, limit: u32) -> Result<Vec<Group>, StoreError> {
        Ok(groups::scan(&*self.session().await?, after, limit).await?)
    }

    async fn scan_signing_certificates(
        &self,
        after: SigningCertificateId,
        limit: u32,
    ) -> Result<Vec<SigningCertificate>, StoreError> {
        Ok(signing_certificates::scan(&*self.session().await?, after, limit).await?)
    }

    async fn scan_keys(&self, after: ProvisioningKeyId, limit: u32) -> Result<Vec<IndexedKey>, StoreError> {
        Ok(keys::scan(&*self.session().await?, after, limit).await?)
    }

    async fn find_indexed_keys(
        &self,
        customer: CustomerId,
        ids: &[ProvisioningKeyId],
    ) -> Result<Vec<IndexedKey>, StoreError> {
        Ok(keys::find_indexed_many(&*self.session().await?, customer, ids).await?)
    }

    async fn scan_ended_components(
        &self,
        customer: CustomerId,
        ended_by: Timestamp,
        after: (Timestamp, ComponentId),
        limit: u32,
    ) -> Result<Vec<EndedComponent>, StoreError> {
        Ok(components::scan_ended(&*self.session().await?, customer, ended_by, after, limit).await?)
    }

    async fn list_unpublished_revocations(&self) -> Result<Vec<(CustomerId, SigningCertificateId)>, StoreError> {
        Ok(crls::list_with_news(&*self.session().await?).await?)
    }

    async fn find_revocations(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
        now: Timestamp,
    ) -> Result<Revocations, StoreError> {
        self.walk(async |session| crls::find_revocations(session, customer, id, now).await).await
    }

    async fn publish_crl(
        &self,
        crl: Crl,
        after: Option<CrlNumber>,
        news: Vec<SerialNumber>,
    ) -> Result<bool, StoreError> {
        self.commits()?;
        let (turns, connections, clock) = (Arc::clone(&self.turns), Arc::clone(&self.connections), self.clock.clone());
        let published =
            tokio::spawn(async move { turns.take(crls::publish(&connections, &clock, &crl, after, &news)).await });
        published.await.unwrap_or_else(|error| Err(StoreError::Unknown { reason: error.to_string() }))
    }

    async fn find_crl(&self, customer: CustomerId, id: SigningCertificateId) -> Result<Option<Crl>, StoreError> {
        Ok(crls::find(&*self.session().await?, customer, id).await?)
    }

    async fn find_crl_head(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<CrlHead>, StoreError> {
        Ok(crls::find_head(&*self.session().await?, customer, id).await?)
    }

    async fn find_webhook(&self, customer: CustomerId, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        Ok(webhooks::find(&*self.session().await?, customer, id).await?)
    }

    async fn list_webhooks(
        &self,
        customer: CustomerId,
        query: &ListQuery<WebhookField>,
    ) -> Result<Page<Webhook>, StoreError> {
        let now = self.clock.given();
        self.in_snapshot(async |session| pages::webhooks(session, customer, query, now).await).await
    }

    async fn list_webhook_deliveries(
        &self,
        customer: CustomerId,
        id: WebhookId,
        page: PageRequest,
    ) -> Result<Page<WebhookDelivery>, StoreError> {
        self.in_snapshot(async |session| webhooks::list_deliveries(session, customer, id, page).await).await
    }

    async fn list_served_webhooks(&self) -> Result<Vec<ServedWebhook>, StoreError> {
        Ok(webhooks::list_served(&*self.session().await?).await?)
    }

    async fn list_webhook_marks(&self, customer: CustomerId, id: WebhookId) -> Result<Vec<WebhookMark>, StoreError> {
        Ok(webhooks::list_marks(&*self.session().await?, customer, id).await?)
    }

    async fn list_untold_ledgers(
        &self,
        customer: CustomerId,
        id: WebhookId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<UntoldLedger>, StoreError> {
        self.walk(async |session| webhooks::list_untold(session, customer, id, since, limit).await).await
    }

    async fn list_ledger_after(
        &self,
        customer: CustomerId,
        key: ProvisioningKeyId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<KeyUse>, StoreError> {
        Ok(ledger::list_after(&*self.session().await?, customer, key, after, limit).await?)
    }

    async fn queue_webhook_news(&self, news: WebhookNews) -> Result<bool, StoreError> {
        self.commits()?;
        webhooks::queue(&self.connections, &news).await
    }

    async fn list_due_webhooks(
        &self,
        now: Timestamp,
        are_failing: bool,
        limit: u32,
    ) -> Result<Vec<(CustomerId, WebhookId)>, StoreError> {
        Ok(webhooks::list_due(&*self.session().await?, now, are_failing, limit).await?)
    }

    async fn claim_delivery(
        &self,
        customer: CustomerId,
        id: WebhookId,
        now: Timestamp,
        part: f64,
    ) -> Result<Option<ClaimedDelivery>, StoreError> {
        self.commits()?;
        webhooks::claim(&self.connections, customer, id, now, part).await
    }

    async fn finish_delivery_attempt(&self, attempt: DeliveryAttempt) -> Result<(), StoreError> {
        self.commits()?;
        webhooks::finish_attempt(&self.connections, &attempt).await
    }

    async fn list_sealed_otherwise(
        &self,
        column: SealedColumn,
        header: &[u8],
        after: u64,
        limit: u32,
    ) -> Result<Vec<SealedValue>, StoreError> {
        Ok(sealed::list_otherwise(&*self.session().await?, column, header, after, limit).await?)
    }

    async fn replace_sealed(
        &self,
        column: SealedColumn,
        by: &str,
        values: Vec<(SealedValue, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        Ok(sealed::replace(&self.writing_session().await?, column, by, &values).await?)
    }

    async fn count_sealed(&self, header: &[u8]) -> Result<SealedCounts, StoreError> {
        Ok(sealed::count(&*self.session().await?, header).await?)
    }

    async fn count_digests(&self) -> Result<Vec<DigestCounts>, StoreError> {
        self.walk(async |session| peppers::count(session).await).await
    }

    async fn list_keys_under(
        &self,
        pepper: PepperNumber,
        after: ProvisioningKeyId,
        limit: u32,
    ) -> Result<Vec<KeyUnderPepper>, StoreError> {
        Ok(peppers::list_keys(&*self.session().await?, pepper, after, limit).await?)
    }

    async fn list_api_clients_under(&self, pepper: PepperNumber, limit: u32) -> Result<Vec<ApiClient>, StoreError> {
        Ok(peppers::list_clients(&*self.session().await?, pepper, limit).await?)
    }

    async fn replace_digests(&self, digests: Vec<NewDigest<ProvisioningKeyId>>) -> Result<u64, StoreError> {
        self.commits()?;
        let (turns, connections, clock) = (Arc::clone(&self.turns), Arc::clone(&self.connections), self.clock.clone());
        let replaced =
            tokio::spawn(async move { turns.take(peppers::replace_of_keys(&connections, &clock, &digests)).await });
        replaced.await.unwrap_or_else(|error| Err(StoreError::Unknown { reason: error.to_string() }))
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.now().await?;
        let session = self.writing_session().await?;
        answers::sweep(&session, now).await?;
        Ok(sessions::sweep(&session, now).await?)
    }

    async fn check_integrity(&self, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError> {
        self.read_at_length(async |session| integrity::check(session, audit_key).await).await
    }

    async fn check_audit(&self, audit_key: &AuditKey) -> Result<Vec<Finding>, StoreError> {
        self.read_at_length(async |session| integrity::check_audit(session, audit_key).await).await
    }

    async fn list_remarks(&self) -> Result<Vec<Remark>, StoreError> {
        Ok(server::list_remarks(&*self.session().await?).await?)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let Ok(turn) = Arc::clone(&self.probing).try_lock_owned() else {
            return Err(StoreError::Unavailable { reason: "the last commit has no answer yet".into() });
        };
        let (session, clock) = (self.writing_session().await?, self.clock.clone());
        // Not broken off with whoever asked: the database goes on with it, and one at a time is enough there.
        let probed = tokio::spawn(async move {
            let _turn = turn;
            settings::probe(&session, &clock).await
        });
        Ok(probed.await.unwrap_or_else(|error| Err(Error::Unreachable(error.to_string())))?)
    }

    async fn close(&self) {
        if let Access::Serve(commits) = &self.access {
            commits.close().await;
        }
        self.turns.close().await;
        self.connections.close();
    }
}
