//! What a page of a long list costs, and what lists cost the enrollments beside them.
//!
//! One customer, one kind, one group: `LISTS_KEYS` keys (default 100,000) and `LISTS_COMPONENTS`
//! components (default 10,000,000), each key with as many. Keys go through the store's contract.
//! Components are written into its tables in one transaction, as enrolling them would take longer
//! than measuring them; what no list reads is left out (the ledger, the bytes of the certificates).
//! Their order by name is then filled by the store itself.
//!
//! `LISTS_SECONDS` (default 5) is how long each of the enrollment rates is taken. With `--test` all of
//! them are small: seconds, to see that it runs.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster::clock::{Clock, SystemClock};
use muster::domain::audit::AuditKey;
use muster::domain::{Customer, Fingerprint, Group, Kind, Revision, SerialNumber, SigningCertificate};
use muster::id::{ComponentId, Id, ProvisioningKeyId};
use muster::store::embedded::EmbeddedStore;
use muster::store::{
    BatchSettings, Change, CommitObserver, Comparison, ComponentField, Condition, EnrollmentCommit, EnrollmentIntent,
    EnrollmentOutcome, EnrollmentStore as _, KeyField, ListField, ListQuery, Sort, Store as _, StoreError,
};

#[path = "../tests/it/support/rows.rs"]
#[expect(dead_code, reason = "the tests' rows; not all of them are used here")]
mod rows;

const FIRST_KEY: u64 = 1_000;
const FIRST_COMPONENT: u64 = 1 << 32;
const PAGE: u32 = 500;
/// Each page is read so often; told is the middle one.
const REPEATS: usize = 9;
/// Between two pages beside enrollments: some twenty administrators who turn pages all the time.
const PAUSE: Duration = Duration::from_millis(50);
/// Enrollments in flight while the rate is taken.
const AT_ONCE: u64 = 64;

fn main() {
    let is_short = std::env::args().any(|argument| argument == "--test");
    let or = |full, short| if is_short { short } else { full };
    let keys = setting("LISTS_KEYS", or(100_000, 1_000));
    let components = setting("LISTS_COMPONENTS", or(10_000_000, 20_000));
    let seconds = Duration::from_secs(setting("LISTS_SECONDS", or(5, 1)));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir_in(".").expect("a directory on the disk that is measured");
    runtime.block_on(async {
        let place = Place::fill(dir.path(), keys, components).await;
        place.report_pages().await;
        place.report_enrollments(seconds).await;
        place.store.close().await;
    });
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: Duration) {}
}

struct Place {
    store: Arc<EmbeddedStore>,
    customer: Customer,
    signer: SigningCertificate,
    group: Group,
    keys: u64,
    components: u64,
    next: AtomicU64,
}

impl Place {
    async fn fill(dir: &Path, keys: u64, components: u64) -> Self {
        let begun = Instant::now();
        let customer = rows::customer(1, "Acme");
        let signer = rows::signing_certificate(2, customer.id, "Client");
        let group = rows::group(3, &signer, Kind::Machine, "HQ");
        let store = open(dir);
        let mut changes = vec![
            Change::InsertCustomer(customer.clone()),
            Change::InsertSigningCertificate(signer.clone()),
            Change::InsertGroup(group.clone()),
        ];
        let audit_key = AuditKey::new(&[1; 32]);
        for number in 0..keys {
            changes.push(Change::InsertKey(rows::key(FIRST_KEY + number, &group, &format!("key {number}"), None)));
            if changes.len() >= 10_000 || number + 1 == keys {
                store.commit_changes(std::mem::take(&mut changes), vec![], &audit_key).await.expect("the keys");
            }
        }
        store.close().await;
        drop(store);
        println!("{keys} keys made in {:.1?}", begun.elapsed());

        let begun = Instant::now();
        insert_components(&dir.join("muster.db"), keys, components);
        println!("{components} components made in {:.1?}", begun.elapsed());

        let begun = Instant::now();
        let place =
            Self { store: open(dir), customer, signer, group, keys, components, next: AtomicU64::new(components) };
        let by_name = sorted(ComponentField::Name, false, 0);
        while let Err(error) = place.store.list_components(place.customer.id, Kind::Machine, &by_name).await {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        }
        println!("put in order of name in {:.1?}", begun.elapsed());
        place
    }

    async fn report_pages(&self) {
        println!("\npages of {PAGE}, the middle of {REPEATS}:");
        for (word, field) in [("id", ComponentField::Id), ("name", ComponentField::Name)] {
            for (direction, descending) in [("ascending", false), ("descending", true)] {
                for (which, offset) in places(self.components) {
                    let name = format!("components by {word}, {direction}, {which}");
                    self.time_components(&name, &sorted(field, descending, offset)).await;
                }
            }
        }
        let in_group = Condition::new(ComponentField::GroupId, Comparison::Equals, self.group.id.raw().cast_signed());
        for (which, offset) in places(self.components) {
            let query = ListQuery { conditions: vec![in_group.clone()], offset, ..ListQuery::first(PAGE) };
            self.time_components(&format!("components of a group, {which}"), &query).await;
        }
        let name = format!("key {}-1", self.keys / 2);
        for (what, comparison) in [("EQ", Comparison::Equals), ("STARTSWITH", Comparison::StartsWith)] {
            let query = ListQuery::first_where(PAGE, ComponentField::Name, comparison, name.as_str());
            let sort = Some(Sort { field: ComponentField::Name, descending: false });
            self.time_components(&format!("components by name {what}"), &ListQuery { sort, ..query }).await;
        }
        let query = ListQuery::first_where(PAGE, ComponentField::Hostname, Comparison::Contains, "-77.");
        self.time_components("components by hostname CONTAINS (walks all)", &query).await;

        for (word, field) in [("id", KeyField::Id), ("name", KeyField::Name), ("uses", KeyField::Uses)] {
            for (which, offset) in places(self.keys) {
                self.time_keys(&format!("keys by {word}, {which}"), &sorted(field, false, offset)).await;
            }
        }
        for (what, comparison) in [("EQ", Comparison::Equals), ("CONTAINS", Comparison::Contains)] {
            let query = ListQuery::first_where(PAGE, KeyField::Name, comparison, "key 77");
            self.time_keys(&format!("keys by name {what}"), &query).await;
        }
    }

    async fn time_components(&self, name: &str, query: &ListQuery<ComponentField>) {
        let list =
            async || self.store.list_components(self.customer.id, Kind::Machine, query).await.map(|page| page.total);
        time(name, list).await;
    }

    async fn time_keys(&self, name: &str, query: &ListQuery<KeyField>) {
        let list = async || self.store.list_keys(self.customer.id, Kind::Machine, query).await.map(|page| page.total);
        time(name, list).await;
    }

    /// Alone and with a loop of lists beside it, one after the other and twice, as machines drift.
    async fn report_enrollments(&self, seconds: Duration) {
        println!("\nenrollments per second, {AT_ONCE} at once:");
        for round in 1..=2 {
            for (what, lists) in
                [("alone", None), ("beside pages by id", Some(false)), ("beside pages by name", Some(true))]
            {
                let is_over = AtomicBool::new(false);
                let begun = Instant::now();
                // A list that waits for its order ends only after the enrollments have: each is over its own time.
                let (enrolled, listed, ()) = tokio::join!(
                    async {
                        let loops = (0..AT_ONCE).map(|_| self.enroll_until(&is_over));
                        let enrolled = join_all(loops).await.into_iter().sum::<u64>();
                        enrolled as f64 / begun.elapsed().as_secs_f64()
                    },
                    async {
                        let listed = self.list_until(&is_over, lists).await;
                        listed as f64 / begun.elapsed().as_secs_f64()
                    },
                    async {
                        tokio::time::sleep(seconds).await;
                        is_over.store(true, Ordering::Relaxed);
                    }
                );
                println!("{round}  {what:<22} {enrolled:>8.0}   lists per second {listed:>6.1}");
            }
        }
    }

    async fn enroll_until(&self, is_over: &AtomicBool) -> u64 {
        let mut enrolled = 0;
        while !is_over.load(Ordering::Relaxed) {
            let outcome = self.store.commit_enrollment(self.commit()).await;
            assert!(matches!(outcome, Ok(EnrollmentOutcome::Committed { .. })), "{outcome:?}");
            enrolled += 1;
        }
        enrolled
    }

    async fn list_until(&self, is_over: &AtomicBool, by_name: Option<bool>) -> u64 {
        let Some(by_name) = by_name else { return 0 };
        let field = if by_name { ComponentField::Name } else { ComponentField::Id };
        let mut listed = 0;
        while !is_over.load(Ordering::Relaxed) {
            let offset = (listed * 7_919 * u64::from(PAGE)) % self.components;
            let query = sorted(field, listed % 2 == 1, offset);
            self.store.list_components(self.customer.id, Kind::Machine, &query).await.expect("a page");
            listed += 1;
            tokio::time::sleep(PAUSE).await;
        }
        listed
    }

    fn commit(&self) -> EnrollmentCommit {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // As spread as a hash is, and never the same twice.
        let fingerprint = format!("{}{number:012}", SerialNumber::random());
        EnrollmentCommit {
            seen: muster::store::SeenRevisions {
                customer: (self.customer.id, Revision::FIRST),
                group: (self.group.id, Revision::FIRST),
                signing_certificate: (self.signer.id, Revision::FIRST),
                key: (ProvisioningKeyId::from_raw(FIRST_KEY + number * 7_919 % self.keys), Revision::FIRST),
            },
            fingerprint: Fingerprint::new(&fingerprint).expect("44 hex digits"),
            device: rows::device(),
            remote_address: IpAddr::from([192, 0, 2, 1]),
            certificate: rows::certificate(),
            intent: EnrollmentIntent::Enroll { component: ComponentId::from_raw(FIRST_COMPONENT + number) },
        }
    }
}

async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_ready = true;
        for (future, output) in pending.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                std::task::Poll::Ready(value) => *output = Some(value),
                std::task::Poll::Pending => is_ready = false,
            }
        }
        if is_ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

fn sorted<F: ListField>(field: F, descending: bool, offset: u64) -> ListQuery<F> {
    ListQuery { sort: Some(Sort { field, descending }), offset, ..ListQuery::first(PAGE) }
}

fn places(total: u64) -> [(&'static str, u64); 3] {
    let page = u64::from(PAGE);
    [("first", 0), ("middle", total / 2 / page * page), ("last", total.saturating_sub(1) / page * page)]
}

async fn time(name: &str, list: impl AsyncFn() -> Result<u64, StoreError>) {
    let mut took = Vec::with_capacity(REPEATS);
    let mut found = 0;
    for _ in 0..REPEATS {
        let begun = Instant::now();
        match list().await {
            Ok(total) => found = total,
            Err(error) => return println!("{name:<48} {error} ({:.1?})", begun.elapsed()),
        }
        took.push(begun.elapsed());
        // A walk is long enough to be told after one look.
        if took[0] > Duration::from_secs(2) {
            break;
        }
    }
    took.sort();
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    println!(
        "{name:<48} {:>9.2} ms  ({:.2} to {:.2})  of {found}",
        ms(took[took.len() / 2]),
        ms(took[0]),
        ms(took[took.len() - 1])
    );
}

fn open(dir: &Path) -> Arc<EmbeddedStore> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    EmbeddedStore::open(dir, clock, BatchSettings::default(), Arc::new(Unobserved)).expect("the store opens")
}

/// As enrollments leave them, in order of key and number.
fn insert_components(path: &Path, keys: u64, components: u64) {
    let connection = rusqlite::Connection::open(path).expect("the file opens");
    let each = components.div_ceil(keys);
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF;
             PRAGMA cache_size = -1000000;
             PRAGMA wal_autocheckpoint = 100000;
             CREATE TEMP VIEW numbers AS
                 WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {components})
                 SELECT i, {FIRST_KEY} + i / {each} AS key_id, i % {each} + 1 AS ordinal FROM n;
             BEGIN;
             INSERT INTO components (id, customer_id, key_id, fingerprint, enabled, current_serial, revision, kind,
                     group_id, enrolled_key_id, ordinal, name, hostname, platform, remote_address, enrolled_at,
                     modified_at, description)
                 SELECT {FIRST_COMPONENT} + i, 1, key_id, format('device-%037d', i), 1, unhex(format('01%030x', i)), 1,
                     4, 3, key_id, ordinal, format('key %d-%d', key_id - {FIRST_KEY}, ordinal),
                     format('edge-%d.branch.example', i % 1000), 'linux/x86_64', x'c0000201', 1795190760, 1795190760, ''
                 FROM numbers;
             INSERT INTO certificates (customer_id, key_id, component_id, serial, status, signing_certificate_id,
                     public_key_hash, issued_at, not_before, not_after, der)
                 SELECT 1, key_id, {FIRST_COMPONENT} + i, unhex(format('01%030x', i)), 1, 2, zeroblob(32), 1795190760,
                     1795190760, 1802966760, x'30'
                 FROM numbers;
             INSERT INTO component_blocks SELECT 1, 3, id >> 12, count(*) FROM components GROUP BY 3;
             INSERT INTO component_blocks SELECT 1, -4, id >> 12, count(*) FROM components GROUP BY 3;
             UPDATE key_counters SET uses = {each}, last_ordinal = {each};
             COMMIT;"
        ))
        .expect("the components");
}
