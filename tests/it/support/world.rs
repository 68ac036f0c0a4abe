//! The service without its doors: a real store in a temporary directory, the use cases of devices and
//! of administrators, and a clock that moves when told to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use muster::auth::TokenKey;
use muster::auth::token::{Claims, SubjectKind};
use muster::ca::Profile;
use muster::client::tls::Trust;
use muster::clock::{Clock, ManualClock, Timestamp};
use muster::domain::audit::AuditKey;
use muster::domain::component::DeviceDescription;
use muster::domain::peppers::open_peppers;
use muster::domain::webhook::Destinations;
use muster::domain::{
    Actor, Administrator, Cloud, Fingerprint, Kind, SessionRecord, SigningCertificate, TrustPin, places,
};
use muster::enrollment::{
    Directory, DirectoryError, Enrollment, EnrollmentError, EnrollmentParts, EnrollmentRequest, EnrollmentService,
    StoreClock,
};
use muster::id::{CustomerId, GroupId, ProvisioningKeyId};
use muster::index::KeyIndex;
use muster::management::first_start::{FirstStart, PreparedFirstStart, ServiceSecrets, load_secrets};
use muster::management::groups::GroupInput;
use muster::management::keys::KeyInput;
use muster::management::peppers::move_digests;
use muster::management::sessions::TOKEN_LIFETIME;
use muster::management::{Announce, AnnounceError, Input, Management, Parts};
use muster::metrics::Metrics;
use muster::secret::master::MasterKeys;
use muster::secret::pepper::Peppers;
use muster::store::embedded::EmbeddedStore;
use muster::store::{BatchSettings, Change, ChangeSequence, CommitObserver, EnrollmentStore, IdAllocator, Store};
use muster::webhooks::{Parts as WebhookParts, Webhooks};

/// 2026-11-20T16:06:00Z.
pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_190_760);

/// Where devices are, unless a test says otherwise.
pub const SOMEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// A service after its first start.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub store: Arc<EmbeddedStore>,
    pub audit_key: Arc<AuditKey>,
    pub service: EnrollmentService,
    pub management: Arc<Management>,
    pub token_key: Arc<TokenKey>,
    pub customer: CustomerId,
    parts: EnrollmentParts,
    secrets: Secrets,
    dir: tempfile::TempDir,
}

/// What all nodes on a store share.
#[derive(Clone)]
struct Secrets {
    audit_key: Arc<AuditKey>,
    master_keys: Arc<MasterKeys>,
    token_key: Arc<TokenKey>,
}

/// A world that is shut down.
pub struct ClosedWorld {
    clock: Arc<ManualClock>,
    customer: CustomerId,
    master_keys: Arc<MasterKeys>,
    pub dir: tempfile::TempDir,
}

/// A world that is shut down, without a directory.
pub struct PackedWorld {
    now: Timestamp,
    customer: CustomerId,
    master_keys: Arc<MasterKeys>,
    files: Vec<(std::ffi::OsString, Vec<u8>)>,
}

struct ToDirectory(Arc<Directory>);

#[async_trait]
impl Announce for ToDirectory {
    async fn announce(&self, through: ChangeSequence) -> Result<(), AnnounceError> {
        self.0.follow(through).await.map_err(|error| AnnounceError { through, reason: error.to_string() })
    }
}

struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: Duration) {}
}

impl ClosedWorld {
    /// Opens the store and fills memory from it, as `serve` does.
    pub async fn open(self) -> World {
        let store = open_store(&self.dir, &self.clock);
        World::start(self, store).await
    }

    /// Takes it into memory, to be had again as often as wanted.
    pub fn pack(self) -> PackedWorld {
        let files = std::fs::read_dir(self.dir.path()).expect("a directory").map(|entry| {
            let entry = entry.expect("a file");
            (entry.file_name(), std::fs::read(entry.path()).expect("a file"))
        });
        let files = files.collect();
        PackedWorld { now: self.clock.now(), customer: self.customer, master_keys: self.master_keys, files }
    }
}

impl PackedWorld {
    /// Puts it into `dir`.
    pub fn unpack(&self, dir: tempfile::TempDir) -> ClosedWorld {
        for (name, bytes) in &self.files {
            std::fs::write(dir.path().join(name), bytes).expect("a file");
        }
        let clock = Arc::new(ManualClock::new(self.now));
        ClosedWorld { clock, customer: self.customer, master_keys: Arc::clone(&self.master_keys), dir }
    }
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(ManualClock::new(NOW));
        let embedded = open_store(&dir, &clock);
        let store: Arc<dyn Store> = Arc::<EmbeddedStore>::clone(&embedded);
        let ids = IdAllocator::new(Arc::clone(&store));
        let master_keys = Arc::new(MasterKeys::parse(&MasterKeys::generate_text("1")).expect("a master key"));
        let component_lifetime_seconds = SigningCertificate::LIFETIME_SECONDS_DEFAULT;
        let start = FirstStart { cloud: cloud(), profile: profile(), component_lifetime_seconds };
        let prepared = PreparedFirstStart::make(&*store, &ids, &master_keys, &*clock, start).await;
        let prepared = prepared.expect("a first start").expect("the store is empty");
        let made = prepared.commit(&*store).await.expect("a first start").expect("nobody was before");
        Self::start(ClosedWorld { clock, customer: made.customer_id, master_keys, dir }, embedded).await
    }

    async fn start(closed: ClosedWorld, embedded: Arc<EmbeddedStore>) -> Self {
        let ClosedWorld { clock, customer, master_keys, dir } = closed;
        let shared_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let store: Arc<dyn Store> = Arc::<EmbeddedStore>::clone(&embedded);
        let ServiceSecrets { token_key, audit_key, .. } = load_secrets(&*store, &master_keys).await.expect("secrets");
        let (audit_key, token_key) = (Arc::new(audit_key), Arc::new(token_key));
        let secrets = Secrets { audit_key, master_keys, token_key };
        let (parts, management) = secrets.node(store, shared_clock).await.expect("a directory");
        Self {
            clock,
            store: embedded,
            audit_key: Arc::clone(&secrets.audit_key),
            service: EnrollmentService::new(parts.clone()),
            management: Arc::new(management),
            token_key: Arc::clone(&secrets.token_key),
            customer,
            parts,
            secrets,
            dir,
        }
    }

    pub async fn close(self) -> ClosedWorld {
        self.store.close().await;
        let Self { clock, customer, secrets, dir, .. } = self;
        ClosedWorld { clock, customer, master_keys: secrets.master_keys, dir }
    }

    pub fn directory(&self) -> &Directory {
        &self.parts.directory
    }

    /// What another node's enrollment service is made of: a memory of its own, filled from `store`.
    pub async fn node(&self, store: Arc<dyn Store>) -> EnrollmentParts {
        let clock = Arc::clone(&self.parts.clock);
        self.node_with_clock(store, clock).await.expect("a directory").0
    }

    /// Another node, with a clock of its own, and what its administrators work with.
    ///
    /// # Errors
    /// It cannot fill its memory.
    pub async fn node_with_clock(
        &self,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<(EnrollmentParts, Management), DirectoryError> {
        self.secrets.node(store, clock).await
    }

    /// The use cases of administrators on such a node, whose way to the store is `store`.
    pub fn management_of(&self, parts: &EnrollmentParts, store: Arc<dyn Store>) -> Management {
        let ids = Arc::new(IdAllocator::new(Arc::clone(&store)));
        self.secrets.management(store, EnrollmentParts { ids, ..parts.clone() })
    }

    /// A node that tells the world's webhooks.
    pub fn webhooks(&self, destinations: Destinations, trust: Trust) -> Arc<Webhooks> {
        let EnrollmentParts { ids, clock, metrics, .. } = &self.parts;
        Arc::new(Webhooks::new(WebhookParts {
            store: Arc::<EmbeddedStore>::clone(&self.store),
            ids: Arc::clone(ids),
            clock: Arc::clone(clock),
            master_keys: Arc::clone(&self.secrets.master_keys),
            metrics: Arc::clone(metrics),
            management: Arc::clone(&self.management),
            destinations,
            trust,
        }))
    }

    /// Another enrollment service on the same state, which talks to the store through `store`.
    pub fn service_through(&self, store: Arc<dyn EnrollmentStore>) -> EnrollmentService {
        EnrollmentService::new(EnrollmentParts { store, ..self.parts.clone() })
    }

    pub async fn apply(&self, change: Change) {
        self.store.commit_changes(vec![change], vec![], &self.audit_key).await.expect("a change");
    }

    /// A session that has just begun, with its token.
    pub async fn session(&self, administrator: &Administrator) -> (String, SessionRecord) {
        let (id, customer, now) = (administrator.id, administrator.customer_id, self.clock.now());
        let claims = Claims::new(&id.to_string(), SubjectKind::Administrator, customer, now, TOKEN_LIFETIME);
        let session = SessionRecord {
            id: claims.jti.clone(),
            customer_id: customer,
            administrator_id: Some(id),
            created_at: now,
            expires_at: now.saturating_add(TOKEN_LIFETIME),
            ended_at: None,
            remote_address: None,
            user_agent: String::new(),
        };
        self.apply(Change::InsertSession { session: session.clone(), revision: administrator.revision }).await;
        (self.token_key.sign(&claims).to_string(), session)
    }

    pub async fn group(&self, kind: Kind, name: &str) -> GroupId {
        let input = GroupInput { name: Input::Given(name.to_owned()), ..GroupInput::default() };
        let made = self.management.create_group(&Actor::system(), self.customer, kind, input).await;
        made.expect("a group").group.id
    }

    /// A machine key of `group`: its id and its string.
    pub async fn key(&self, group: GroupId, name: &str, input: KeyInput) -> (ProvisioningKeyId, String) {
        let input = KeyInput { name: Input::Given(name.to_owned()), group: Input::Given(group), ..input };
        let made = self.management.create_key(&Actor::system(), self.customer, Kind::Machine, input).await;
        let made = made.expect("a key");
        let string = made.string.expect("shown at creation").expose().to_owned();
        (made.key.id, string)
    }

    pub async fn edit_key(&self, id: ProvisioningKeyId, input: KeyInput) {
        let edited = self.management.edit_key(&Actor::system(), self.customer, Kind::Machine, id, None, &input).await;
        edited.expect("an edit");
    }

    pub async fn uses(&self, id: ProvisioningKeyId) -> u32 {
        self.store.find_key(self.customer, id).await.expect("the store").expect("the key").usage.uses
    }

    pub fn master_keys(&self) -> Arc<MasterKeys> {
        Arc::clone(&self.secrets.master_keys)
    }

    /// What the running service does by itself while a pepper is rotated: key strings that are kept, …
    pub async fn move_kept_digests(&self) {
        let peppers = self.parts.index.peppers();
        move_digests(&*self.store, &self.secrets.master_keys, peppers).await.expect("the store");
        self.parts.directory.refresh().await.expect("the store");
    }

    /// … and those that were presented.
    pub async fn move_presented_keys(&self) {
        self.parts.directory.move_presented_keys().await.expect("the store");
    }

    pub async fn enroll(&self, key: &str, device: &WorldDevice) -> Result<Enrollment, EnrollmentError> {
        enroll(&self.service, key, device).await
    }

    pub async fn assert_healthy(&self) {
        let findings = self.store.check_integrity(&self.audit_key).await.expect("the store");
        assert_eq!(findings, []);
    }
}

fn open_store(dir: &tempfile::TempDir, clock: &Arc<ManualClock>) -> Arc<EmbeddedStore> {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    EmbeddedStore::open(dir.path(), clock, BatchSettings::default(), Arc::new(Unobserved)).expect("a store")
}

fn cloud() -> Cloud {
    "localhost:8443".parse().expect("a cloud")
}

fn profile() -> Arc<Profile> {
    Arc::new(Profile {
        trust_domain: "localhost".to_owned(),
        dns_suffix: Some("localhost".to_owned()),
        svid_eku: false,
        public_url: None,
    })
}

impl Secrets {
    async fn node(
        &self,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<(EnrollmentParts, Management), DirectoryError> {
        let (profile, metrics) = (profile(), Arc::new(Metrics::new()));
        let sealed = store.list_secrets(places::PEPPER).await?;
        let live = open_peppers(sealed.iter().map(|it| (&*it.name, &*it.sealed)), &self.master_keys).expect("peppers");
        let index = Arc::new(KeyIndex::new(Arc::new(Peppers::new(&live))));
        let (filled, feeding, master_keys) = (Arc::clone(&index), Arc::clone(&store), Arc::clone(&self.master_keys));
        let directory = Directory::load(feeding, master_keys, filled, Arc::clone(&metrics)).await?;
        let ids = Arc::new(IdAllocator::new(Arc::clone(&store)));
        let store_clock = Arc::new(StoreClock::new(Arc::clone(&clock), Arc::clone(&metrics)));
        let administered = Arc::clone(&store);
        let parts = EnrollmentParts { store, clock, store_clock, index, directory, ids, profile, metrics };
        Ok((parts.clone(), self.management(administered, parts)))
    }

    fn management(&self, store: Arc<dyn Store>, parts: EnrollmentParts) -> Management {
        let Self { audit_key, master_keys, token_key } = self.clone();
        Management::new(Parts {
            store,
            ids: parts.ids,
            clock: parts.clock,
            announce: Arc::new(ToDirectory(parts.directory)),
            master_keys,
            audit_key,
            peppers: Arc::clone(parts.index.peppers()),
            token_key,
            cloud: Arc::new(ArcSwap::from_pointee(cloud())),
            trust_pin: Arc::new(ArcSwap::from_pointee(TrustPin::NONE)),
            profile: parts.profile,
            component_lifetime_seconds: SigningCertificate::LIFETIME_SECONDS_DEFAULT,
            webhook_destinations: Destinations { allowed: vec!["127.0.0.0/8".parse().expect("a network")] },
        })
    }
}

/// A device as the service sees it behind the door.
#[derive(Clone)]
pub struct WorldDevice {
    pub fingerprint: Fingerprint,
    pub csr: String,
    pub address: IpAddr,
}

impl WorldDevice {
    /// With a fingerprint made from `name`, and a new P-256 key pair.
    pub fn new(name: &str) -> Self {
        Self::with_csr(name, new_csr())
    }

    pub fn with_csr(name: &str, csr: String) -> Self {
        let fingerprint = Fingerprint::new(&format!("{name:-<16}")).expect("a fingerprint");
        Self { fingerprint, csr, address: SOMEWHERE }
    }

    /// The same hardware with a new key pair.
    pub fn reinstalled(&self) -> Self {
        Self { csr: new_csr(), ..self.clone() }
    }
}

/// Presents `key` to `service`; it must be known.
pub async fn enroll(
    service: &EnrollmentService,
    key: &str,
    device: &WorldDevice,
) -> Result<Enrollment, EnrollmentError> {
    let verified = service.verify_key(&service.present(key)).await.expect("the store").expect("a known key");
    let request = EnrollmentRequest {
        fingerprint: device.fingerprint.clone(),
        device: DeviceDescription::default(),
        csr: &device.csr,
        remote_address: device.address,
    };
    service.enroll(verified, request).await
}

fn new_csr() -> String {
    let key_pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair");
    rcgen::CertificateParams::default().serialize_request(&key_pair).expect("a CSR").pem().expect("PEM")
}
