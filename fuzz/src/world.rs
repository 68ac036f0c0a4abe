//! A service without sockets, on a store in memory: what stands behind the doors that the targets send bytes to.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use muster::auth::TokenKey;
use muster::auth::token::{Claims, SubjectKind};
use muster::ca::{Profile, request_pem};
use muster::clock::{Clock, ManualClock, Timestamp};
use muster::domain::audit::AuditKey;
use muster::domain::component::DeviceDescription;
use muster::domain::webhook::Destinations;
use muster::domain::{Actor, Administrator, Cloud, Fingerprint, KeySecret, Kind, SessionRecord, TrustPin};
use muster::enrollment::{
    CrlParts, CrlPublisher, Crls, Directory, EnrollmentParts, EnrollmentRequest, EnrollmentService, StoreClock,
};
use muster::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId};
use muster::index::KeyIndex;
use muster::management::first_start::{FirstStart, PreparedFirstStart, ServiceSecrets, load_secrets};
use muster::management::groups::GroupInput;
use muster::management::keys::KeyInput;
use muster::management::sessions::TOKEN_LIFETIME;
use muster::management::{Announce, AnnounceError, Input, Management, Parts};
use muster::metrics::Metrics;
use muster::secret::master::MasterKeys;
use muster::store::embedded::EmbeddedStore;
use muster::store::{BatchSettings, Change, ChangeSequence, CommitObserver, IdAllocator, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::authority;

/// 2026-11-20T16:06:00Z.
pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_190_760);

/// A key string that every world knows; of no other service.
pub const KEY_STRING: &str = "1|localhost:8443|fuzzfuzzfuzzfuzzfuzzfuzzfuzzfuzz";

/// How often [`KEY_STRING`] may be used.
pub const KEY_MAXIMUM: u64 = 40;

/// What tokens are signed with; the store's own is not looked at.
const TOKEN_KEY: &[u8; 32] = &[5; 32];

/// Runs a future on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let make = || tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    RUNTIME.get_or_init(make).block_on(future)
}

/// An empty folder, in memory where the system has a place for that: a sync costs nothing there.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

/// A service after its first start, with a group and a key of each kind, and a component.
pub struct World {
    pub store: Arc<EmbeddedStore>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub audit_key: Arc<AuditKey>,
    pub master_keys: Arc<MasterKeys>,
    pub management: Arc<Management>,
    pub service: Arc<EnrollmentService>,
    pub directory: Arc<Directory>,
    pub crls: Arc<Crls>,
    pub cloud: Arc<ArcSwap<Cloud>>,
    pub customer: CustomerId,
    pub group: GroupId,
    /// That of [`KEY_STRING`].
    pub key: ProvisioningKeyId,
    pub component: ComponentId,
    /// DER of the component's first certificate.
    pub certificate: Vec<u8>,
    pub folder: TempDir,
    token_key: TokenKey,
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

impl World {
    pub async fn new() -> Self {
        let folder = folder();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
        let batches = BatchSettings { linger: Duration::ZERO, ..BatchSettings::default() };
        let embedded =
            EmbeddedStore::open(folder.path(), Arc::clone(&clock), batches, Arc::new(Unobserved)).expect("a store");
        let store: Arc<dyn Store> = Arc::<EmbeddedStore>::clone(&embedded);
        let ids = Arc::new(IdAllocator::new(Arc::clone(&store)));
        let master_keys = Arc::new(MasterKeys::parse(&MasterKeys::generate_text("1")).expect("a master key"));
        let profile = Arc::new(Profile {
            trust_domain: "localhost".into(),
            dns_suffix: Some("localhost".into()),
            svid_eku: false,
            public_url: Some("https://localhost:8443".into()),
        });
        let cloud: Cloud = "localhost:8443".parse().expect("a cloud");
        let component_lifetime_seconds = 90 * 86_400;
        let start = FirstStart { cloud: cloud.clone(), profile: Arc::clone(&profile), component_lifetime_seconds };
        let prepared = PreparedFirstStart::make(&*store, &ids, &master_keys, &*clock, start).await;
        let first = prepared.expect("a first start").expect("an empty store").commit(&*store).await;
        let customer = first.expect("a first start").expect("nobody was before").customer_id;

        let ServiceSecrets { peppers, audit_key, .. } = load_secrets(&*store, &master_keys).await.expect("secrets");
        let (peppers, audit_key) = (Arc::new(peppers), Arc::new(audit_key));
        let metrics = Arc::new(Metrics::new());
        let index = Arc::new(KeyIndex::new(Arc::clone(&peppers)));
        let loaded = (Arc::clone(&store), Arc::clone(&master_keys), Arc::clone(&index), Arc::clone(&metrics));
        let directory = Directory::load(loaded.0, loaded.1, loaded.2, loaded.3).await.expect("a directory");
        let store_clock = Arc::new(StoreClock::new(Arc::clone(&clock), Arc::clone(&metrics)));
        let service = Arc::new(EnrollmentService::new(EnrollmentParts {
            store: Arc::<EmbeddedStore>::clone(&embedded),
            clock: Arc::clone(&clock),
            store_clock: Arc::clone(&store_clock),
            index,
            directory: Arc::clone(&directory),
            ids: Arc::clone(&ids),
            profile: Arc::clone(&profile),
            metrics: Arc::clone(&metrics),
        }));
        let cloud = Arc::new(ArcSwap::from_pointee(cloud));
        let management = Arc::new(Management::new(Parts {
            store: Arc::clone(&store),
            ids,
            clock: Arc::clone(&clock),
            announce: Arc::new(ToDirectory(Arc::clone(&directory))),
            master_keys: Arc::clone(&master_keys),
            audit_key: Arc::clone(&audit_key),
            peppers,
            token_key: Arc::new(TokenKey::new(TOKEN_KEY)),
            cloud: Arc::clone(&cloud),
            trust_pin: Arc::new(ArcSwap::from_pointee(TrustPin::NONE)),
            profile,
            component_lifetime_seconds,
            webhook_destinations: Destinations::default(),
        }));
        let (group, key) = fill(&management, customer).await;
        let (component, certificate) = enroll(&service).await;
        let mut publisher = CrlPublisher::new(CrlParts {
            store,
            clock: Arc::clone(&clock),
            store_clock,
            directory: Arc::clone(&directory),
            metrics: Arc::clone(&metrics),
            lifetime: Duration::from_secs(86_400),
        });
        publisher.look().await;
        Self {
            store: embedded,
            clock,
            metrics,
            audit_key,
            master_keys,
            management,
            service,
            directory,
            crls: publisher.crls(),
            cloud,
            customer,
            group,
            key,
            component,
            certificate,
            folder,
            token_key: TokenKey::new(TOKEN_KEY),
        }
    }

    /// The token of a session of the first owner that has just begun.
    pub async fn sign_in(&self) -> String {
        let owner: Administrator = self.store.find_administrator("admin").await.expect("the store").expect("the owner");
        let claims =
            Claims::new(&owner.id.to_string(), SubjectKind::Administrator, owner.customer_id, NOW, TOKEN_LIFETIME);
        let session = SessionRecord {
            id: claims.jti.clone(),
            customer_id: owner.customer_id,
            administrator_id: Some(owner.id),
            created_at: NOW,
            expires_at: NOW.saturating_add(TOKEN_LIFETIME),
            ended_at: None,
            remote_address: None,
            user_agent: String::new(),
        };
        let change = Change::InsertSession { session, revision: owner.revision };
        self.store.commit_changes(vec![change], vec![], &self.audit_key).await.expect("a session");
        self.token_key.sign(&claims).to_string()
    }

    /// How often [`KEY_STRING`] was used; `None` when the key is gone.
    pub async fn uses(&self) -> Option<u32> {
        self.store.find_key(self.customer, self.key).await.expect("the store").map(|key| key.usage.uses)
    }

    pub async fn assert_intact(&self) {
        assert_eq!(self.store.check_integrity(&self.audit_key).await.expect("the store"), []);
    }
}

/// A group of each kind, a key in each, and [`KEY_STRING`] among those of machines: the group and the key of that.
async fn fill(management: &Management, customer: CustomerId) -> (GroupId, ProvisioningKeyId) {
    let actor = Actor::system();
    let mut machines = None;
    for kind in Kind::ALL {
        let named = |text: String| Input::Given(text);
        let input = GroupInput {
            name: named(format!("Group of {kind}")),
            addresses: Input::Given(vec!["0.0.0.0/0".into(), "::/0".into()]),
            description: named("one\ntwo".into()),
            ..GroupInput::default()
        };
        let group = management.create_group(&actor, customer, kind, input).await.expect("a group").group.id;
        let input = KeyInput {
            name: named(format!("key-{kind}")),
            group: Input::Given(group),
            maximum: Input::Given(KEY_MAXIMUM),
            ..KeyInput::default()
        };
        management.create_key(&actor, customer, kind, input).await.expect("a key");
        machines = Some(group);
    }
    let group = machines.expect("machines come last");
    let input = KeyInput {
        name: Input::Given("fuzz".into()),
        group: Input::Given(group),
        maximum: Input::Given(KEY_MAXIMUM),
        allow_re_enrollment: Input::Given(true),
        ..KeyInput::default()
    };
    let string = Input::Given(KeySecret::from_text(Zeroizing::new(KEY_STRING.to_owned())));
    let key = management.import_key(&actor, customer, Kind::Machine, string, input).await.expect("a key");
    (group, key.key.id)
}

async fn enroll(service: &EnrollmentService) -> (ComponentId, Vec<u8>) {
    let key = service.verify_key(&service.present(KEY_STRING)).await.expect("the store").expect("a known key");
    let csr = request_pem(&authority::get().request_of(&[], None));
    let request = EnrollmentRequest {
        fingerprint: Fingerprint::new("0123456789abcdef").expect("a fingerprint"),
        device: DeviceDescription { hostname: Some("edge-1".into()), ..DeviceDescription::default() },
        csr: &csr,
        remote_address: [192, 0, 2, 7].into(),
    };
    let made = service.enroll(key, request).await.expect("an enrollment");
    (made.component_id, made.certificate_der)
}
