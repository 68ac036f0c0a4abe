//! The use cases, on the embedded store in a directory of its own. The same through the front door is in
//! `tests/it/api`.

mod administrators;
mod components;
mod home;
mod keys;
mod peppers;
mod preferences;
mod with_group;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tempfile::TempDir;

use super::certificate_uploads::{SigningCertificateImport, SigningCertificateRequest};
use super::fields::{Field, Input};
use super::first_start::{FirstCredentials, FirstStart, LoadSecretsError, PreparedFirstStart, load_secrets};
use super::groups::GroupInput;
use super::keys::KeyInput;
use super::sessions::TOKEN_LIFETIME;
use super::signing_certificates::{NewSigningCertificate, SigningCertificateInput};
use super::{Announce, AnnounceError, Error, Management, Object, Parts};
use crate::auth::ClientCredentials;
use crate::auth::token::{Claims, SubjectKind};
use crate::ca::Profile;
use crate::clock::{Clock, DAY_SECONDS, ManualClock, Timestamp};
use crate::domain::administrator::ActorIdentity;
use crate::domain::audit::AuditRow;
use crate::domain::key_string::{Inspection, inspect};
use crate::domain::peppers::open_peppers;
use crate::domain::{Actor, ApiClient, Customer, Kind, Name, Role, TrustPin, places};
use crate::id::{ApiClientId, CustomerId, GroupId, Id as _};
use crate::secret::master::MasterKeys;
use crate::store::embedded::EmbeddedStore;
use crate::store::{BatchSettings, Change, ChangeSequence, CommitObserver, IdAllocator, ListQuery, Store};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const PIN: TrustPin = TrustPin::from_bytes([7; 32]);

/// Counts how often and up to where it was told.
#[derive(Default)]
pub(crate) struct Announced(AtomicU64);

#[async_trait]
impl Announce for Announced {
    async fn announce(&self, through: ChangeSequence) -> Result<(), AnnounceError> {
        self.0.fetch_max(through.0, Ordering::SeqCst);
        Ok(())
    }
}

/// A service after its first start.
pub(crate) struct Fixture {
    pub(crate) management: Arc<Management>,
    pub(crate) first: FirstCredentials,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    announced: Arc<Announced>,
    master_keys: Arc<MasterKeys>,
    /// Of one key, `m`.
    pub(crate) master_key_text: String,
    directory: TempDir,
}

struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: Duration) {}
}

/// An empty store. Its directory goes when the second value is dropped.
fn empty_store(clock: &Arc<ManualClock>) -> (Arc<dyn Store>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    let store = EmbeddedStore::open(directory.path(), clock, BatchSettings::default(), Arc::new(Unobserved));
    (store.unwrap(), directory)
}

fn profile() -> Arc<Profile> {
    Arc::new(Profile {
        trust_domain: "example.com".into(),
        dns_suffix: Some("example.com".into()),
        svid_eku: false,
        public_url: None,
    })
}

async fn initialize(
    store: &Arc<dyn Store>,
    master_keys: &Arc<MasterKeys>,
    clock: &ManualClock,
) -> Result<Option<FirstCredentials>, Error> {
    let ids = IdAllocator::new(Arc::clone(store));
    let start = FirstStart {
        cloud: "example.com:8443".parse().unwrap(),
        profile: profile(),
        component_lifetime_seconds: DAY_SECONDS,
    };
    match PreparedFirstStart::make(&**store, &ids, master_keys, clock, start).await? {
        Some(prepared) => prepared.commit(&**store).await,
        None => Ok(None),
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let (store, directory) = empty_store(&clock);
        let master_key_text = MasterKeys::generate_text("m").to_string();
        let master_keys = Arc::new(MasterKeys::parse(&master_key_text).unwrap());
        let Ok(Some(first)) = initialize(&store, &master_keys, &clock).await else { panic!("the first start failed") };
        let secrets = load_secrets(&*store, &master_keys).await.unwrap();
        let announced = Arc::new(Announced::default());
        let management = Management::new(Parts {
            ids: Arc::new(IdAllocator::new(Arc::clone(&store))),
            store: Arc::clone(&store),
            clock: clock.clone(),
            announce: announced.clone(),
            master_keys: Arc::clone(&master_keys),
            audit_key: Arc::new(secrets.audit_key),
            peppers: Arc::new(secrets.peppers),
            token_key: Arc::new(secrets.token_key),
            cloud: Arc::new(ArcSwap::from_pointee("example.com:8443".parse().unwrap())),
            trust_pin: Arc::new(ArcSwap::from_pointee(PIN)),
            profile: profile(),
            component_lifetime_seconds: DAY_SECONDS,
            webhook_destinations: Default::default(),
        });
        Self {
            management: Arc::new(management),
            first,
            store,
            clock,
            announced,
            master_keys,
            master_key_text,
            directory,
        }
    }

    /// The peppers as the store has them; whether the newest makes digests.
    pub(crate) async fn follow_peppers(&self, is_settled: bool) {
        let sealed = self.store.list_secrets(places::PEPPER).await.unwrap();
        let sealed = sealed.iter().map(|secret| (&*secret.name, &*secret.sealed));
        let live = open_peppers(sealed, &self.master_keys).unwrap();
        self.management.parts.peppers.replace(&live, is_settled);
    }

    /// As on a node that has not heard of the newest one.
    pub(crate) async fn forget_newest_pepper(&self) {
        let sealed = self.store.list_secrets(places::PEPPER).await.unwrap();
        let sealed = sealed.iter().map(|secret| (&*secret.name, &*secret.sealed));
        let live = open_peppers(sealed, &self.master_keys).unwrap();
        self.management.parts.peppers.replace(&live[1..], true);
    }

    /// Whether the older pepper went.
    pub(crate) async fn retire_if_unused(&self) -> bool {
        let parts = &self.management.parts;
        super::peppers::retire_if_unused(&*self.store, &parts.peppers, &parts.audit_key, NOW).await.unwrap()
    }

    pub(crate) async fn move_digests(&self) -> u64 {
        let parts = &self.management.parts;
        super::peppers::move_digests(&*self.store, &self.master_keys, &parts.peppers).await.unwrap()
    }

    pub(crate) fn customer(&self) -> CustomerId {
        self.first.customer_id
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::<ManualClock>::clone(&self.clock)
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn actor(&self, role: Role) -> Actor {
        let identity =
            ActorIdentity::ApiClient { id: ApiClientId::from_raw(77), client_id: "client".into(), managing: None };
        Actor { identity, customer_id: self.customer(), role }
    }

    /// Past the use cases, to arrange what they cannot yet.
    async fn apply(&self, change: Change) {
        self.store.commit_changes(vec![change], vec![], &self.management.parts.audit_key).await.unwrap();
    }

    async fn stored_customer(&self) -> Customer {
        self.store.find_customer(self.customer()).await.unwrap().unwrap()
    }

    async fn audit(&self, customer: CustomerId) -> Vec<AuditRow> {
        self.store.list_audit(customer, 0, 500).await.unwrap()
    }

    async fn group(&self, kind: Kind, name: &str) -> GroupId {
        let input = GroupInput { name: Input::Given(name.into()), ..GroupInput::default() };
        let made = self.management.create_group(&self.actor(Role::Admin), self.customer(), kind, input).await.unwrap();
        made.group.id
    }
}

fn key_input(name: &str, group: GroupId) -> KeyInput {
    KeyInput {
        name: Input::Given(name.into()),
        group: Input::Given(group),
        maximum: Input::Given(10),
        ..KeyInput::default()
    }
}

fn faults(error: Result<impl Sized, Error>) -> Vec<Field> {
    match error {
        Err(Error::Invalid(errors)) => errors.iter().map(|error| error.field).collect(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}

#[tokio::test]
async fn a_first_start_happens_once_and_needs_its_master_key() {
    let fixture = Fixture::new().await;
    let again = initialize(&fixture.store, &fixture.master_keys, &fixture.clock).await;
    assert!(matches!(again, Ok(None)));
    let signers = fixture.store.list_signing_certificates(fixture.customer(), &ListQuery::first(500)).await.unwrap();
    let names: Vec<_> = signers.rows.iter().map(|signer| signer.name.as_str()).collect();
    let expected = ["Root", "Client", "Connector", "Service Edge", "Isolation Client", "Network Connector"];
    assert_eq!(names, expected);
    let root = &signers.rows[0];
    assert!(root.chain.is_empty() && root.is_usable(NOW));
    assert!(signers.rows.iter().all(|signer| signer.lifetime_seconds == DAY_SECONDS));
    for below in &signers.rows[1..] {
        assert_eq!(below.parent_id, Some(root.id), "{}", below.name);
        assert_eq!(below.chain, [root.certificate.clone().unwrap()], "{}", below.name);
    }
    let owner = fixture.store.find_administrator(&fixture.first.username).await.unwrap().unwrap();
    assert_eq!((owner.role, owner.customer_id), (Role::Owner, CustomerId::SERVICE));
    let (service, customer) = (fixture.audit(CustomerId::SERVICE).await, fixture.audit(fixture.customer()).await);
    assert_eq!((service.len(), customer.len()), (2, 8), "service and owner; customer, certificates and client");
    let told = format!("{service:?} {customer:?}");
    let secrets = [&*fixture.first.password, &*fixture.first.client_secret];
    assert!(secrets.iter().all(|secret| !told.contains(*secret)));
    assert!(fixture.first.endpoint_anchor.starts_with("-----BEGIN CERTIFICATE-----\n"));

    let other = MasterKeys::parse(&MasterKeys::generate_text("m")).unwrap();
    let refused = load_secrets(&*fixture.store, &other).await.err().unwrap();
    assert!(matches!(refused, LoadSecretsError::Pepper(_)), "{refused}");
    assert!(refused.to_string().contains("master key"), "{refused}");
    let (empty, _directory) = empty_store(&fixture.clock);
    let empty = load_secrets(&*empty, &other).await.err().unwrap();
    assert!(matches!(empty, LoadSecretsError::Missing { .. }), "{empty}");
}

#[tokio::test]
async fn of_two_first_starts_at_once_one_is_done() {
    let clock = ManualClock::new(NOW);
    let (store, _directory) = empty_store(&Arc::new(ManualClock::new(NOW)));
    let keys: Vec<_> = (0..2).map(|_| Arc::new(MasterKeys::parse(&MasterKeys::generate_text("m")).unwrap())).collect();
    let ids = IdAllocator::new(Arc::clone(&store));
    let mut prepared = Vec::new();
    for keys in &keys {
        let (cloud, profile) = ("example.com:8443".parse().unwrap(), profile());
        let start = FirstStart { cloud, profile, component_lifetime_seconds: DAY_SECONDS };
        prepared.push(PreparedFirstStart::make(&*store, &ids, keys, &clock, start).await.unwrap().unwrap());
    }
    let (second, first) = (prepared.pop().unwrap(), prepared.pop().unwrap());
    let good = first.commit(&*store).await.unwrap().expect("it was the first");
    assert!(second.commit(&*store).await.unwrap().is_none());
    assert!(load_secrets(&*store, &keys[0]).await.is_ok());
    let found = store.find_api_client(&good.client_id).await.unwrap().unwrap();
    assert_eq!(found.customer_id, good.customer_id);
    let customers = store.list_customers(&ListQuery::first(500)).await.unwrap();
    assert_eq!(customers.total, 1, "nothing of the second is there");
}

#[tokio::test]
async fn a_token_is_good_until_it_ends_or_its_customer_is_disabled() {
    let fixture = Fixture::new().await;
    let management = &fixture.management;
    for (id, secret) in [("", ""), (&*fixture.first.client_id, "wrong"), ("unknown", &*fixture.first.client_secret)] {
        let refused = management.sign_in_client(id, secret).await;
        assert!(matches!(refused, Err(Error::InvalidCredentials)), "{id:?}");
    }
    let sign_in = || management.sign_in_client(&fixture.first.client_id, &fixture.first.client_secret);
    let token = sign_in().await.unwrap().token;
    let session = management.authenticate(&token).await.unwrap();
    assert_eq!((session.actor.role, session.actor.customer_id), (Role::Admin, fixture.customer()));

    let other = sign_in().await.unwrap().token;
    management.sign_out(&session).await.unwrap();
    assert!(matches!(management.authenticate(&token).await, Err(Error::InvalidToken(_))));
    assert!(management.authenticate(&other).await.is_ok());

    let in_force = fixture.stored_customer().await;
    fixture.apply(Change::UpdateCustomer(Customer { enabled: false, ..in_force })).await;
    assert!(matches!(management.authenticate(&other).await, Err(Error::InvalidToken(_))));
    assert!(matches!(sign_in().await, Err(Error::InvalidCredentials)));
    let disabled = fixture.stored_customer().await;
    fixture.apply(Change::UpdateCustomer(Customer { enabled: true, ..disabled })).await;

    fixture.clock.advance(Duration::from_secs(3_599));
    assert!(management.authenticate(&other).await.is_ok());
    fixture.clock.advance(Duration::from_secs(1));
    assert!(matches!(management.authenticate(&other).await, Err(Error::InvalidToken(_))));
}

/// The log is kept from being written, as a crash between two commits would.
#[tokio::test]
async fn a_sign_out_that_cannot_be_written_down_did_not_happen() {
    let fixture = Fixture::new().await;
    let management = &fixture.management;
    let signed_in = management.sign_in_client(&fixture.first.client_id, &fixture.first.client_secret).await.unwrap();
    let session = management.authenticate(&signed_in.token).await.unwrap();
    let other = rusqlite::Connection::open(fixture.directory.path().join("muster.db")).unwrap();
    other
        .execute_batch("CREATE TRIGGER t BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'on purpose'); END")
        .unwrap();

    assert!(management.sign_out(&session).await.is_err());
    assert!(management.authenticate(&signed_in.token).await.is_ok());

    other.execute_batch("DROP TRIGGER t").unwrap();
    management.sign_out(&session).await.unwrap();
    assert!(matches!(management.authenticate(&signed_in.token).await, Err(Error::InvalidToken(_))));
    let events = fixture.audit(fixture.customer()).await;
    assert_eq!(events.iter().filter(|row| row.event.action == "sign-out").count(), 1);
}

#[tokio::test]
async fn a_disabled_or_vanished_client_is_refused_however_good_its_token() {
    let fixture = Fixture::new().await;
    let (management, customer) = (&fixture.management, fixture.customer());
    let parts = &management.parts;
    let credentials = ClientCredentials::generate();
    let (pepper, secret_digest) = credentials.digest(&parts.peppers);
    let first = fixture.store.find_api_client(&fixture.first.client_id).await.unwrap().unwrap();
    let token_of = |client_id: &str| {
        parts.token_key.sign(&Claims::new(client_id, SubjectKind::ApiClient, customer, NOW, TOKEN_LIFETIME))
    };
    assert!(management.authenticate(&token_of(&first.client_id)).await.is_ok());
    let disabled = ApiClient {
        id: parts.ids.next().await.unwrap(),
        name: Name::new("disabled").unwrap(),
        client_id: credentials.client_id.clone(),
        secret_digest,
        pepper,
        enabled: false,
        ..first
    };
    fixture.apply(Change::InsertApiClient(disabled)).await;
    let refused = management.sign_in_client(&credentials.client_id, &credentials.client_secret).await;
    assert!(matches!(refused, Err(Error::InvalidCredentials)));
    for client_id in [&*credentials.client_id, "0123456789abcdef01234567"] {
        let refused = management.authenticate(&token_of(client_id)).await;
        assert!(matches!(refused, Err(Error::InvalidToken(_))), "{client_id}");
    }
}

#[tokio::test]
async fn a_key_is_sealed_announced_and_written_down_without_its_string() {
    let fixture = Fixture::new().await;
    let (customer, kind) = (fixture.customer(), Kind::AppConnector);
    let group = fixture.group(kind, "HQ").await;
    let actor = fixture.actor(Role::Operator);
    let made = fixture.management.create_key(&actor, customer, kind, key_input("k1", group)).await.unwrap();
    let string = made.string.as_ref().unwrap().expose().to_owned();
    assert_eq!(inspect(&string), Inspection::Usable { cloud: "example.com:8443".parse().unwrap(), pin: PIN });
    assert_eq!(made.signing_certificate_name.as_ref().map(Name::as_str), Some("Connector"));

    let last = fixture.store.last_change().await.unwrap();
    assert_eq!(fixture.announced.0.load(Ordering::SeqCst), last.0);
    let stored = fixture.store.find_key(customer, made.key.id).await.unwrap().unwrap();
    let sealed = stored.sealed_string.unwrap();
    assert!(!sealed.windows(16).any(|window| string.as_bytes().windows(16).skip(40).any(|part| part == window)));
    let event = fixture.audit(customer).await.pop().unwrap().event;
    assert_eq!((&*event.action, &*event.object_type, &*event.actor_name), ("create", "provisioning-key", "client"));
    assert!(!event.after.unwrap().contains(&string[30..]));
    let fixture = &fixture;
    let shown = |role| {
        let (management, actor) = (&fixture.management, fixture.actor(role));
        async move { management.find_key(&actor, customer, kind, made.key.id).await.unwrap().string }
    };
    assert_eq!(shown(Role::Operator).await.unwrap().expose(), string);
    assert!(shown(Role::Auditor).await.is_none());
    let listed = fixture.management.list_keys(&actor, customer, kind, &ListQuery::first(20)).await.unwrap();
    assert_eq!(listed.rows[0].string.as_ref().unwrap().expose(), string);
}

#[tokio::test]
async fn all_faults_of_a_key_are_told_at_once() {
    let fixture = Fixture::new().await;
    let (customer, actor) = (fixture.customer(), fixture.actor(Role::Operator));
    let machines = fixture.group(Kind::Machine, "Laptops").await;
    let create = |kind, input| fixture.management.create_key(&actor, customer, kind, input);

    let empty = create(Kind::AppConnector, KeyInput::default()).await;
    assert_eq!(faults(empty), [Field::Name, Field::Maximum, Field::Group]);
    let wrong = KeyInput {
        name: Input::Given("a/b".into()),
        maximum: Input::Given(1 << 31),
        expires_at: Input::Given(NOW),
        addresses: Input::Given(vec!["192.0.2.1/24".into()]),
        enabled: Input::Malformed("must be true or false"),
        ..key_input("", machines)
    };
    let expected = [Field::Name, Field::Maximum, Field::Enabled, Field::ExpiresAt, Field::Addresses, Field::Group];
    assert_eq!(faults(create(Kind::AppConnector, wrong).await), expected);

    let unlimited = KeyInput { maximum: Input::Absent, ..key_input("m", machines) };
    assert_eq!(create(Kind::Machine, unlimited).await.unwrap().key.maximum, None);
    for (maximum, accepted) in [(0, false), (1, true), ((1 << 31) - 1, true), (1 << 31, false)] {
        let input = KeyInput { maximum: Input::Given(maximum), ..key_input(&format!("m{maximum}"), machines) };
        assert_eq!(create(Kind::Machine, input).await.is_ok(), accepted, "{maximum}");
    }
    let twice = create(Kind::Machine, key_input("M", machines)).await;
    assert!(matches!(twice, Err(Error::DuplicateName { object: Object::ProvisioningKey, .. })));
}

#[tokio::test]
async fn an_edit_merges_and_view_only_goes_off() {
    let fixture = Fixture::new().await;
    let (customer, kind, actor) = (fixture.customer(), Kind::ServiceEdge, fixture.actor(Role::Operator));
    let group = fixture.group(kind, "HQ").await;
    let made = fixture.management.create_key(&actor, customer, kind, key_input("k", group)).await.unwrap();
    let edit = |expected, input: KeyInput| {
        let (management, actor, id) = (&fixture.management, &actor, made.key.id);
        async move {
            let revision = management.edit_key(actor, customer, kind, id, expected, &input).await?;
            let view = management.find_key(actor, customer, kind, id).await?;
            assert_eq!(revision, view.key.revision);
            Ok::<_, Error>(view)
        }
    };
    let renamed = KeyInput { name: Input::Given("new".into()), ..KeyInput::default() };
    let after = edit(None, renamed.clone()).await.unwrap();
    assert_eq!((after.key.name.as_str(), after.key.maximum.map(NonZeroU32::get)), ("new", Some(10)));
    assert_eq!(after.key.revision, made.key.revision.next());

    // Nothing new: nothing written.
    let written = fixture.audit(customer).await.len();
    assert_eq!(edit(None, renamed).await.unwrap().key.revision, after.key.revision);
    assert_eq!(fixture.audit(customer).await.len(), written);

    let lower = |uses| KeyInput { maximum: Input::Given(uses), ..KeyInput::default() };
    let outdated = edit(Some(made.key.revision), lower(5)).await;
    assert!(matches!(outdated, Err(Error::Outdated { .. })));
    assert!(edit(Some(after.key.revision), lower(5)).await.is_ok());

    let view = |on| KeyInput { exportable: Input::Given(on), ..KeyInput::default() };
    assert!(edit(None, view(false)).await.unwrap().string.is_none());
    assert_eq!(faults(edit(None, view(true)).await), [Field::Exportable]);
    let elsewhere = KeyInput { group: Input::Given(fixture.group(kind, "B").await), ..KeyInput::default() };
    assert_eq!(faults(edit(None, elsewhere).await), [Field::Group]);
    let unlimited = KeyInput { maximum: Input::Cleared, ..KeyInput::default() };
    assert_eq!(faults(edit(None, unlimited).await), [Field::Maximum]);
}

#[tokio::test]
async fn addresses_are_kept_as_they_were_given() {
    let fixture = Fixture::new().await;
    let (customer, kind, actor) = (fixture.customer(), Kind::Machine, fixture.actor(Role::Operator));
    let group = fixture.group(kind, "Laptops").await;
    let list = |entries: &[&str]| Input::Given(entries.iter().map(|&entry| entry.to_owned()).collect());
    let given = ["192.0.2.7", "2001:DB8::/32", "192.0.2.7/32"];
    let input = KeyInput { addresses: list(&given), ..key_input("k", group) };
    let made = fixture.management.create_key(&actor, customer, kind, input).await.unwrap().key;
    let edit = |entries: &[&str]| {
        let input = KeyInput { addresses: list(entries), ..KeyInput::default() };
        let (management, actor) = (&fixture.management, &actor);
        async move {
            management.edit_key(actor, customer, kind, made.id, None, &input).await.unwrap();
            management.find_key(actor, customer, kind, made.id).await.unwrap().key
        }
    };
    assert_eq!(edit(&given).await.revision, made.revision, "the same again is no change");
    let stored = fixture.store.find_key(customer, made.id).await.unwrap().unwrap();
    assert!(stored.addresses.entries().eq(given));
    let other = edit(&["192.0.2.7/32"]).await;
    assert_eq!(other.revision, made.revision.next(), "another spelling is one");
    assert!(other.addresses.entries().eq(["192.0.2.7/32"]));
    let event = fixture.audit(customer).await.pop().unwrap().event;
    let written = |settings: Option<String>| {
        let settings: serde_json::Value = serde_json::from_str(&settings.unwrap()).unwrap();
        settings["addresses"].clone()
    };
    assert_eq!(written(event.before), serde_json::json!(given));
    assert_eq!(written(event.after), serde_json::json!(["192.0.2.7/32"]));
}

#[tokio::test]
async fn racing_edits_keep_each_others_changes() {
    let fixture = Fixture::new().await;
    let (management, customer, kind) = (&fixture.management, fixture.customer(), Kind::Machine);
    let admin = fixture.actor(Role::Admin);
    let group = fixture.group(kind, "Laptops").await;
    let key = management.create_key(&admin, customer, kind, key_input("k", group)).await.unwrap().key.id;

    let rename = KeyInput { name: Input::Given("k2".into()), ..KeyInput::default() };
    let lower = KeyInput { maximum: Input::Given(5), ..KeyInput::default() };
    let (one, other) = tokio::join!(
        management.edit_key(&admin, customer, kind, key, None, &rename),
        management.edit_key(&admin, customer, kind, key, None, &lower),
    );
    assert!(one.is_ok() && other.is_ok());
    let after = management.find_key(&admin, customer, kind, key).await.unwrap().key;
    assert_eq!((after.name.as_str(), after.maximum.map(NonZeroU32::get)), ("k2", Some(5)));
    assert_eq!(after.revision.0, 3);

    let rename = GroupInput { name: Input::Given("Notebooks".into()), ..GroupInput::default() };
    let disable = GroupInput { enabled: Input::Given(false), ..GroupInput::default() };
    let (one, other) = tokio::join!(
        management.edit_group(&admin, customer, kind, group, None, &rename),
        management.edit_group(&admin, customer, kind, group, None, &disable),
    );
    assert!(one.is_ok() && other.is_ok());
    let after = management.find_group(&admin, customer, kind, group).await.unwrap().group;
    assert_eq!((after.name.as_str(), after.enabled, after.revision.0), ("Notebooks", false, 3));
}

#[tokio::test]
async fn a_hidden_key_is_shown_at_creation_and_never_again() {
    let fixture = Fixture::new().await;
    let (customer, kind, actor) = (fixture.customer(), Kind::AppConnector, fixture.actor(Role::Operator));
    let group = fixture.group(kind, "HQ").await;
    let input = KeyInput { exportable: Input::Given(false), ..key_input("k", group) };
    let made = fixture.management.create_key(&actor, customer, kind, input).await.unwrap();
    assert!(made.string.is_some() && made.key.sealed_string.is_none());
    assert!(fixture.management.find_key(&actor, customer, kind, made.key.id).await.unwrap().string.is_none());
}

#[tokio::test]
async fn a_managed_key_is_read_only_to_all_others() {
    let fixture = Fixture::new().await;
    let (customer, kind) = (fixture.customer(), Kind::AppConnector);
    let group = fixture.group(kind, "HQ").await;
    let identity = ActorIdentity::ApiClient {
        id: ApiClientId::from_raw(78),
        client_id: "deception".into(),
        managing: Some(Name::new("Deception").unwrap()),
    };
    let manager = Actor { identity, ..fixture.actor(Role::Operator) };
    let made = fixture.management.create_key(&manager, customer, kind, key_input("k", group)).await.unwrap();
    let input = KeyInput { enabled: Input::Given(false), ..KeyInput::default() };
    let owner = Actor { customer_id: CustomerId::SERVICE, ..fixture.actor(Role::Owner) };
    for other in [&fixture.actor(Role::Admin), &owner] {
        let edited = fixture.management.edit_key(other, customer, kind, made.key.id, None, &input).await;
        assert!(matches!(edited, Err(Error::ReadOnly { .. })));
        let deleted = fixture.management.delete_key(other, customer, kind, made.key.id, None, false).await;
        assert!(matches!(deleted, Err(Error::ReadOnly { .. })));
    }
    assert!(fixture.management.edit_key(&manager, customer, kind, made.key.id, None, &input).await.is_ok());
    assert!(fixture.management.delete_key(&manager, customer, kind, made.key.id, None, false).await.is_ok());
}

#[tokio::test]
async fn another_customer_is_as_if_it_were_not_there() {
    let fixture = Fixture::new().await;
    let foreign = Actor { customer_id: CustomerId::from_raw(4_711), ..fixture.actor(Role::Admin) };
    let query = ListQuery::first(1);
    let management = &fixture.management;
    let there = management.list_groups(&foreign, fixture.customer(), Kind::Machine, &query).await.err().unwrap();
    let missing =
        management.list_groups(&foreign, CustomerId::from_raw(99), Kind::Machine, &query).await.err().unwrap();
    let told = |error: &Error| match error {
        Error::NotFound { object: Object::Customer, id } => id.clone(),
        other => panic!("{other}"),
    };
    assert_eq!(told(&there), fixture.customer().to_string());
    assert_eq!(told(&missing), "99");
    let owner = Actor { customer_id: CustomerId::SERVICE, ..fixture.actor(Role::Owner) };
    assert!(management.list_groups(&owner, fixture.customer(), Kind::Machine, &query).await.is_ok());
    let missing = management.list_groups(&owner, CustomerId::from_raw(99), Kind::Machine, &query).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
    // Weaker roles are told that they are.
    let operator = fixture.actor(Role::Operator);
    let group = management.create_group(&operator, fixture.customer(), Kind::Machine, GroupInput::default()).await;
    assert!(matches!(group, Err(Error::Forbidden { needed: Role::Admin, .. })));
}

#[tokio::test]
async fn a_group_in_use_stays_and_an_empty_one_goes() {
    let fixture = Fixture::new().await;
    let (customer, kind, admin) = (fixture.customer(), Kind::Machine, fixture.actor(Role::Admin));
    let group = fixture.group(kind, "Laptops").await;
    let made = fixture.management.create_key(&admin, customer, kind, key_input("k", group)).await.unwrap();
    let delete = || fixture.management.delete_group(&admin, customer, kind, group, None);
    assert!(matches!(delete().await, Err(Error::Referenced { object: Object::Group, .. })));
    fixture.management.delete_key(&admin, customer, kind, made.key.id, None, false).await.unwrap();
    assert!(delete().await.is_ok());
    assert!(matches!(delete().await, Err(Error::NotFound { object: Object::Group, .. })));
}

#[tokio::test]
async fn signing_certificates_are_made_below_roots_only() {
    let fixture = Fixture::new().await;
    let (customer, admin) = (fixture.customer(), fixture.actor(Role::Admin));
    let new = |name: &str, parent| NewSigningCertificate {
        name: Input::Given(name.into()),
        parent,
        ..NewSigningCertificate::default()
    };
    let create = |input| fixture.management.create_signing_certificate(&admin, customer, input);
    let root = create(new("Root 2", Input::Absent)).await.unwrap();
    let below = create(new("Edge 2", Input::Given(root.certificate.id))).await.unwrap();
    assert_eq!(below.parent_name.as_ref().map(Name::as_str), Some("Root 2"));
    assert!(below.certificate.is_usable(fixture.clock.now()));
    assert_eq!(below.certificate.lifetime_seconds, DAY_SECONDS);
    assert_eq!(faults(create(new("C", Input::Given(below.certificate.id))).await), [Field::Parent]);

    let off = SigningCertificateInput { allow_signing: Input::Given(false), ..SigningCertificateInput::default() };
    let id = below.certificate.id;
    fixture.management.edit_signing_certificate(&admin, customer, id, None, &off).await.unwrap();
    let edited = fixture.management.find_signing_certificate(&admin, customer, id).await.unwrap();
    assert!(!edited.certificate.allow_signing);
    let group = fixture.group(Kind::ServiceEdge, "HQ").await;
    let input = KeyInput { signing_certificate: Input::Given(id), ..key_input("k", group) };
    let refused = fixture.management.create_key(&admin, customer, Kind::ServiceEdge, input).await;
    assert_eq!(faults(refused), [Field::SigningCertificate]);
}

/// A root made elsewhere that counts from `begin` to `end`, and its private key.
fn root_of(begin: Timestamp, end: Timestamp) -> SigningCertificateImport {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (begin.to_offset_date_time(), end.to_offset_date_time());
    SigningCertificateImport {
        name: Input::Given("Elsewhere".into()),
        certificate: Input::Given(params.self_signed(&key).unwrap().pem()),
        private_key: Input::Given(key.serialize_pem().into()),
        ..SigningCertificateImport::default()
    }
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(NOW.unix_seconds() + seconds)
}

#[tokio::test]
async fn an_import_counts_from_its_first_second_to_its_last() {
    let fixture = Fixture::new().await;
    let (customer, admin) = (fixture.customer(), fixture.actor(Role::Admin));
    let import = |begin, end| fixture.management.import_signing_certificate(&admin, customer, root_of(begin, end));
    for (begin, end) in [(after(1), after(900_000)), (after(-2), after(-1)), (after(-2), NOW)] {
        assert_eq!(faults(import(begin, end).await), [Field::Certificate], "{begin} to {end}");
    }
    // A tenth of a day, which is how long what it signs lives here, must be left.
    assert_eq!(faults(import(NOW, after(8_639)).await), [Field::Certificate]);
    let made = import(NOW, after(8_640)).await.unwrap().certificate;
    assert_eq!((made.not_before, made.not_after), (NOW, after(8_640)));

    // It can be chosen until it ends, and none is made below one whose path length is 0.
    let below = || NewSigningCertificate {
        name: Input::Given("Below".into()),
        parent: Input::Given(made.id),
        ..NewSigningCertificate::default()
    };
    let create = || fixture.management.create_signing_certificate(&admin, customer, below());
    let refused = create().await;
    assert!(matches!(&refused, Err(Error::Invalid(errors)) if errors.to_string().contains("path length")));
    fixture.clock.advance(Duration::from_secs(8_640));
    assert_eq!(faults(create().await), [Field::Parent]);
    let group = GroupInput {
        name: Input::Given("HQ".into()),
        signing_certificate: Input::Given(made.id),
        ..GroupInput::default()
    };
    let refused = fixture.management.create_group(&admin, customer, Kind::Machine, group).await;
    assert_eq!(faults(refused), [Field::SigningCertificate]);
}

#[tokio::test]
async fn what_is_brought_is_sealed_and_written_down_without_its_key() {
    let fixture = Fixture::new().await;
    let (management, customer, admin) = (&fixture.management, fixture.customer(), fixture.actor(Role::Admin));
    let input = root_of(NOW, after(900_000));
    let Input::Given(pem) = &input.private_key else { unreachable!() };
    let lines: Vec<String> = pem.lines().map(str::to_owned).filter(|line| !line.starts_with('-')).collect();
    let made = management.import_signing_certificate(&admin, customer, input).await.unwrap().certificate;
    let request = SigningCertificateRequest { name: Input::Given("CSR".into()), ..Default::default() };
    let requested = management.request_signing_certificate(&admin, customer, request).await.unwrap().certificate;
    let input = SigningCertificateInput { allow_signing: Input::Given(false), ..Default::default() };
    management.edit_signing_certificate(&admin, customer, made.id, None, &input).await.unwrap();
    for id in [made.id, requested.id] {
        management.delete_signing_certificate(&admin, customer, id, None).await.unwrap();
    }

    let events: Vec<_> = fixture.audit(customer).await.into_iter().map(|row| row.event).skip(8).collect();
    let told: Vec<_> = events.iter().map(|event| (&*event.action, &*event.object_name)).collect();
    let expected = [
        ("create", "Elsewhere"),
        ("create", "CSR"),
        ("update", "Elsewhere"),
        ("delete", "Elsewhere"),
        ("delete", "CSR"),
    ];
    assert_eq!(told, expected);
    assert!(events.iter().all(|event| event.object_type == "signing-certificate"));
    let digest = made.certificate_sha256().unwrap();
    assert!(events[0].after.as_ref().unwrap().contains(&digest), "which certificate it was");
    let texts = format!("{events:?}");
    assert!(lines.iter().all(|line| !texts.contains(line)));
    let place = places::signing_key(customer, requested.id);
    let opened = fixture.master_keys.open(place.as_place(), requested.sealed_private_key.as_ref().unwrap());
    assert!(opened.is_ok());
    assert_eq!(fixture.announced.0.load(Ordering::SeqCst), fixture.store.last_change().await.unwrap().0);
}

#[tokio::test]
async fn names_of_a_request_are_checked_at_their_bounds() {
    let fixture = Fixture::new().await;
    let (customer, admin) = (fixture.customer(), fixture.actor(Role::Admin));
    let request = |name: &str, text: &str, country: &str| {
        let given = |text: &str| Input::Given(text.to_owned());
        let input = SigningCertificateRequest {
            name: given(name),
            common_name: given(text),
            organization: given(text),
            organizational_unit: given(text),
            country: given(country),
            ..SigningCertificateRequest::default()
        };
        let (management, admin) = (&fixture.management, &admin);
        async move { management.request_signing_certificate(admin, customer, input).await }
    };
    let subject = [Field::CommonName, Field::Organization, Field::OrganizationalUnit];
    for (number, text) in ["a".to_owned(), "\u{df}".repeat(64)].iter().enumerate() {
        assert!(request(&format!("good {number}"), text, "DE").await.is_ok(), "{text}");
    }
    for text in [String::new(), "a".repeat(65), "a\u{7}".to_owned()] {
        assert_eq!(faults(request("bad", &text, "DE").await), subject, "{text:?}");
    }
    for country in ["", "D", "DEU", "de", "D\u{c4}"] {
        assert_eq!(faults(request("bad", "a", country).await), [Field::Country], "{country:?}");
    }
    // A name that is too long for a subject is shortened there, as in certificates.
    let long = SigningCertificateRequest { name: Input::Given("n".repeat(255)), ..Default::default() };
    let made = fixture.management.request_signing_certificate(&admin, customer, long).await.unwrap().certificate;
    assert!(made.csr.unwrap().windows(48).any(|window| window == format!("{}~", "n".repeat(47)).as_bytes()));
}

#[tokio::test]
async fn another_customers_signing_certificate_is_not_found() {
    let fixture = Fixture::new().await;
    let (management, admin) = (&fixture.management, fixture.actor(Role::Admin));
    let mut other = fixture.stored_customer().await;
    (other.id, other.name) = (CustomerId::from_raw(4_711), Name::new("Other").unwrap());
    fixture.apply(Change::InsertCustomer(other.clone())).await;
    let owner = Actor { customer_id: CustomerId::SERVICE, ..fixture.actor(Role::Owner) };
    let theirs = management.import_signing_certificate(&owner, other.id, root_of(NOW, after(900_000))).await.unwrap();
    let (own, id) = (fixture.customer(), theirs.certificate.id);

    let input = SigningCertificateInput::default();
    for customer in [own, other.id] {
        let refusals = [
            management.find_signing_certificate(&admin, customer, id).await.err(),
            management.edit_signing_certificate(&admin, customer, id, None, &input).await.err(),
            management.delete_signing_certificate(&admin, customer, id, None).await.err(),
            management.preview_signing_certificate_deletion(&admin, customer, id).await.err(),
        ];
        for refused in refusals {
            assert!(matches!(refused, Some(Error::NotFound { .. })), "{refused:?}");
        }
    }
    let foreign = management.import_signing_certificate(&admin, other.id, root_of(NOW, after(900_000))).await;
    assert!(matches!(foreign, Err(Error::NotFound { object: Object::Customer, .. })));
    assert!(management.find_signing_certificate(&owner, other.id, id).await.is_ok());
    // Those who may not make them, may not bring them either.
    let operator = fixture.actor(Role::Operator);
    let refusals = [
        management.import_signing_certificate(&operator, own, root_of(NOW, after(900_000))).await.err(),
        management.request_signing_certificate(&operator, own, SigningCertificateRequest::default()).await.err(),
        management.delete_signing_certificate(&operator, own, id, None).await.err(),
        management.preview_signing_certificate_deletion(&operator, own, id).await.err(),
    ];
    for refused in refusals {
        assert!(matches!(refused, Some(Error::Forbidden { needed: Role::Admin, .. })), "{refused:?}");
    }
}
