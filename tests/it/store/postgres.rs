//! What only the shared store can be asked: its schema, its connections, several of it on one database.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster::clock::Clock;
use muster::domain::address::SourcePrefix;
use muster::domain::ledger::RefusalTally;
use muster::domain::{ProvisioningKey, Reference, Refusal, RefusalReason};
use muster::id::Id;
use muster::store::postgres::{OpenError, PostgresSettings, PostgresStore, StoreClock};
use muster::store::{BatchSettings, Change, CommitObserver, Store};

use super::world::{StoreUnderTest, World};
use crate::support::postgres::{Cluster, Database, Durability, connect};
use crate::support::rows::NOW;
use crate::support::{Pki, eventually};

/// The shared store in a database of its own, which goes when the test ends.
pub struct UnderTest {
    database: Arc<Database>,
}

impl UnderTest {
    pub async fn new() -> Self {
        let migrated = async |url| {
            PostgresStore::migrate(&settings(url)).await.expect("an empty database takes the schema");
        };
        Self { database: Arc::new(Cluster::shared().database_like(migrated).await) }
    }

    pub fn settings(&self) -> PostgresSettings {
        settings(self.database.url())
    }

    /// As [`Database::query`].
    pub fn query(&self, sql: &str) -> String {
        self.database.query(sql)
    }
}

#[async_trait]
impl StoreUnderTest for UnderTest {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        open(self.database.url(), StoreClock::Of(clock)).await
    }

    fn count(&self, table: &str) -> u64 {
        self.query(&format!("SELECT count(*) FROM {table}")).parse().expect("a number")
    }
}

struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: Duration) {}
}

fn settings(url: String) -> PostgresSettings {
    PostgresSettings { url: url.into(), ca_file: None, connections_max: 4 }
}

async fn open(url: String, clock: StoreClock) -> Arc<PostgresStore> {
    let opened = PostgresStore::open(&settings(url), clock, BatchSettings::default(), Arc::new(Unobserved)).await;
    opened.expect("the store opens")
}

/// A store, and the database that it is in.
async fn world() -> (World, Arc<Database>) {
    let under_test = UnderTest::new().await;
    let database = Arc::clone(&under_test.database);
    (World::open(under_test).await, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_must_be_who_it_says() {
    let cluster = tokio::task::block_in_place(|| Cluster::start_with_tls(Durability::Memory));
    let database = cluster.database();
    let dir = tempfile::tempdir().unwrap();
    let try_open = async |anchor_pem: Option<&str>| {
        let ca_file = anchor_pem.map(|pem| {
            let file = dir.path().join("ca.pem");
            std::fs::write(&file, pem).unwrap();
            file
        });
        let settings = PostgresSettings { ca_file, ..settings(database.url()) };
        PostgresStore::open(&settings, StoreClock::Database, BatchSettings::default(), Arc::new(Unobserved)).await
    };

    let store = try_open(Some(cluster.anchor_pem())).await.expect("its CA is known");
    store.probe().await.unwrap();
    for (anchor_pem, whose) in [(None, "the system's"), (Some(Pki::new().anchor_pem), "another")] {
        let opened = try_open(anchor_pem.as_deref()).await;
        assert!(matches!(opened, Err(OpenError::Unreachable(_))), "{whose} CA did not sign its certificate");
    }
    assert!(matches!(try_open(Some("nothing")).await, Err(OpenError::CaFile { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_used_by_those_that_it_is_compatible_with() {
    let under_test = UnderTest::new().await;
    let try_open = async || {
        let (settings, batch) = (under_test.settings(), BatchSettings::default());
        PostgresStore::open(&settings, StoreClock::Database, batch, Arc::new(Unobserved)).await.err()
    };
    assert!(try_open().await.is_none());
    under_test.query("INSERT INTO schema_versions VALUES (1001, 1)");
    assert!(try_open().await.is_none(), "a later version expanded it");
    under_test.query("INSERT INTO schema_versions VALUES (1002, 1002)");
    assert!(matches!(try_open().await, Some(OpenError::NewerSchema { found: 1002, .. })), "another contracted it");
    under_test.query("DELETE FROM schema_versions WHERE version > 1; UPDATE schema_versions SET version = 0");
    assert!(matches!(try_open().await, Some(OpenError::OlderSchema { found: 0, .. })));

    let foreign = Cluster::shared().database();
    foreign.query("CREATE TABLE somebody_elses (id INT)");
    let opened = PostgresStore::migrate(&settings(foreign.url())).await;
    assert!(matches!(opened, Err(OpenError::Foreign)));
    assert_eq!(foreign.query("SELECT count(*) FROM pg_class WHERE relname = 'customers'"), "0");
}

/// Whoever asks next must not wait for an answer that nobody waits for any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_was_given_up_is_in_nobodys_way() {
    let under_test = UnderTest::new().await;
    let store = open(under_test.database.url(), StoreClock::Database).await;
    let mut other = connect(&under_test.database.url()).await.unwrap();
    let locked = other.transaction().await.unwrap();
    locked.batch_execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await.unwrap();

    // Fewer than there are connections.
    for _ in 0..3 {
        let given_up = tokio::time::timeout(Duration::from_millis(200), store.scan_customers()).await;
        assert!(given_up.is_err(), "the table is locked");
    }
    let answered = tokio::time::timeout(Duration::from_secs(2), store.last_change()).await;
    answered.expect("it does not stand behind them").unwrap();
    locked.rollback().await.unwrap();
    store.scan_customers().await.unwrap();
}

/// One damage after the other, each told in addition to those before.
#[tokio::test(flavor = "multi_thread")]
async fn each_deliberate_damage_is_found() {
    let (world, database) = world().await;
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(3)).await;
    let component = world.enrolled(&tenant, &key, "a").await;
    world.enrolled(&tenant, &key, "b").await;
    let again = world.re_enrollment(&tenant, &key, "a", &component);
    world.store.commit_enrollment(again).await.unwrap();
    let events = (0..3).map(|n| world.event(tenant.customer.id, &n.to_string())).collect();
    world.store.commit_changes(vec![], events, &world.audit_key).await.unwrap();
    world.assert_sound().await;

    for (invariant, told, damage) in [
        ("lists", "counts 3 components", "UPDATE component_counts SET components = components + 1"),
        ("lists", "the hours of key", "DELETE FROM key_hours"),
        ("I1", "counts 1 uses", "UPDATE key_counters SET uses = uses - 1"),
        ("I1", "with 1 missing", "DELETE FROM key_uses WHERE sequence = 2"),
        ("I2", "its maximum is 1", "UPDATE provisioning_keys SET maximum = 1; UPDATE key_counters SET uses = 2"),
        ("I4", "no replaced certificate 07", "UPDATE components SET previous_serial = '\\x07'"),
        ("I4", "passes for current", "UPDATE certificates SET status = 1 WHERE status = 2"),
        ("I4", "ledger row 1", "DELETE FROM certificates WHERE serial NOT IN (SELECT current_serial FROM components)"),
        ("I4", "has no certificate", "UPDATE components SET revoked_at = 5"),
        ("I3", "has 2 components", "DROP INDEX components_by_fingerprint; UPDATE components SET fingerprint = 'f'"),
        ("digests", "a digest leads to key", "INSERT INTO digests VALUES ('\\x00', 1, 1)"),
        ("digests", "no row among the digests", "DELETE FROM digests"),
        ("I5", "audit log of customer", "UPDATE audit_events SET actor_name = 'nobody' WHERE sequence = 2"),
        ("store", "no value of so many bytes", "UPDATE audit_events SET mac = '\\x00' WHERE sequence = 1"),
    ] {
        let is_told = async || {
            let findings = world.store.check_integrity(&world.audit_key).await.unwrap();
            findings.iter().any(|finding| finding.invariant == invariant && finding.detail.contains(told))
        };
        assert!(!is_told().await, "{told} is told before {damage}");
        database.query(damage);
        assert!(is_told().await, "{told} is not told after {damage}");
    }
}

/// Devices that are refused do not stand behind those that are served.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_while_the_keys_lock_is_held() {
    let (world, database) = world().await;
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let mut other = connect(&database.url()).await.unwrap();
    let transaction = other.transaction().await.unwrap();
    transaction.execute("SELECT 1 FROM key_counters FOR UPDATE", &[]).await.unwrap();

    world.store.add_refusals(vec![refused(&key)]).await.unwrap();
    assert_eq!(world.store.list_refusals(key.customer_id, key.id).await.unwrap(), [refused(&key)]);
}

/// Nobody would look for them any more.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_key_that_is_being_deleted_do_not_stay() {
    let (world, database) = world().await;
    let tenant = world.tenant().await;
    let (first, second) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let rows = || database.query("SELECT count(*) FROM key_refusals");
    let mut other = connect(&database.url()).await.unwrap();

    // The deletion comes first.
    let deleting = other.transaction().await.unwrap();
    deleting.execute("DELETE FROM provisioning_keys WHERE id = $1", &[&id_of(&first)]).await.unwrap();
    let adding = tokio::spawn({
        let (store, tally) = (Arc::clone(&world.store), refused(&first));
        async move { store.add_refusals(vec![tally]).await }
    });
    wait_until_one_waits(&database);
    deleting.commit().await.unwrap();
    adding.await.unwrap().unwrap();
    assert_eq!(rows(), "0");

    // The refusal comes first.
    let adding = other.transaction().await.unwrap();
    adding.execute("SELECT 1 FROM provisioning_keys WHERE id = $1 FOR KEY SHARE", &[&id_of(&second)]).await.unwrap();
    let deleting = tokio::spawn({
        let (customer, id) = (second.customer_id, second.id);
        let delete = Change::DeleteKey { customer, id, revision: None, revoke: None };
        let (store, audit_key) = (Arc::clone(&world.store), world.audit_key.share());
        async move { store.commit_changes(vec![delete], vec![], &audit_key).await }
    });
    wait_until_one_waits(&database);
    let insert = "INSERT INTO key_refusals VALUES ($1, $2, 0, 'key-disabled', '192.0.2.0/24', 1, '', '')";
    let customer = i64::try_from(second.customer_id.raw()).unwrap();
    adding.execute(insert, &[&customer, &id_of(&second)]).await.unwrap();
    adding.commit().await.unwrap();
    deleting.await.unwrap().unwrap();
    assert_eq!(rows(), "0");
}

fn wait_until_one_waits(database: &Database) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let is_waiting = || (database.query(waiting) == "1").then_some(());
    tokio::task::block_in_place(|| eventually("somebody to wait for a lock", is_waiting));
}

fn id_of(key: &ProvisioningKey) -> i64 {
    i64::try_from(key.id.raw()).unwrap()
}

fn refused(key: &ProvisioningKey) -> RefusalTally {
    RefusalTally {
        customer_id: key.customer_id,
        key_id: key.id,
        refusal: Refusal::KeyDisabled,
        source: SourcePrefix::of("192.0.2.1".parse().unwrap()),
        minute: NOW,
        count: 1,
        last_reference: Reference::parse("AAAAAAAAAAAA").unwrap(),
        last_reason: RefusalReason::new("the key is disabled"),
    }
}
