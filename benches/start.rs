//! What many keys cost a node: to start with them, to change one, to enroll while they are being edited.
//! `cargo bench --bench start`
//!
//! Makes a store with `KEYS` keys (default 1,000,000): a thousand through the use case, the others as
//! copies of one of them, written into the tables in one transaction, as making them takes longer than
//! what is measured. Then, in one run:
//!
//! - start: opens the store and fills a node's memory, as `serve` does before its listeners accept. The
//!   page cache is warm, as after a restart;
//! - one change: a key is updated in the store, and memory follows, `CHANGES` times (default 1,000),
//!   one after the other; then the same as administrators do it, with its rights, its checks and its
//!   audit event;
//! - edits beside enrollments: 64 devices at a time enroll with the thousand keys, without sockets;
//!   alone; while an administrator extends `EDITS` keys (default 2,000) in bulks of 500, where each has a
//!   transaction of its own; while `EDITS_AT_ONCE` keys (default 20,000) are extended in transactions of
//!   500 and memory follows; alone once more. Of the edited keys every hundredth is one that devices
//!   enroll with.
//!
//! CPU is the process's, utime + stime.

use std::fmt;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster::clock::{Clock as _, DAY, Timestamp};
use muster::domain::{Actor, Fingerprint, Kind, ProvisioningKey};
use muster::id::{Id as _, ProvisioningKeyId};
use muster::management::Input;
use muster::management::keys::KeyInput;
use muster::management::keys::bulk::{BULK_IDS_MAX, BulkInput};
use muster::store::{Change, Store as _};

#[path = "../tests/it/support/world.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod world;

use world::{World, WorldDevice, enroll};

const FIRST_COPY: u64 = 1 << 40;
/// Keys that devices enroll with.
const USED: usize = 1_000;
/// Enrollments in flight.
const AT_ONCE: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, flag, database, key, copies] = &args[..]
        && flag == "--copy-key"
    {
        return copy_key(database, key, copies);
    }
    let smoke = args.iter().any(|arg| arg == "--test");
    let or = |full, short| if smoke { short } else { full };
    let keys = setting("KEYS", or(1_000_000, 2_000));
    let changes = setting("CHANGES", or(1_000, 20));
    let edits = setting("EDITS", or(2_000, 500));
    let at_once = setting("EDITS_AT_ONCE", or(20_000, 500));
    let alone = Duration::from_secs(or(5, 1));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let place = Arc::new(Place::start(keys).await);
        place.report_changes(changes).await;
        place.report_edits(edits, at_once, alone).await;
        place.world.store.close().await;
    });
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// What goes on while devices enroll.
#[derive(Clone, Copy)]
enum Beside {
    Nothing(Duration),
    Bulks(u64),
    Transactions(u64),
}

struct Place {
    world: World,
    /// Ids and strings.
    used: Vec<(ProvisioningKeyId, String)>,
    copies: u64,
    csr: String,
    next: AtomicU64,
}

impl Place {
    async fn start(keys: u64) -> Self {
        let begun = Instant::now();
        let world = World::new().await;
        let group = world.group(Kind::Machine, "bench").await;
        let mut used = Vec::with_capacity(USED);
        for number in 0..USED {
            used.push(world.key(group, &format!("used {number}"), KeyInput::default()).await);
        }
        let copies = keys.saturating_sub(USED as u64);
        let closed = world.close().await;
        let database = closed.dir.path().join("muster.db");
        // In a process of its own: what it leaves of its memory would be filled first.
        let copied = Command::new(std::env::current_exe().expect("this program"))
            .arg("--copy-key")
            .arg(&database)
            .args([used[0].0.to_string(), copies.to_string()])
            .status();
        assert!(copied.expect("this program runs").success(), "the copies are made");
        let bytes = fs::metadata(&database).expect("the store").len();
        println!("made {keys} keys in {:.1?}, {} bytes each on disk", begun.elapsed(), bytes / keys);

        let before = (resident_bytes(), cpu_time(), Instant::now());
        let world = closed.open().await;
        let (resident, cpu, wall) = (resident_bytes() - before.0, cpu_time() - before.1, before.2.elapsed());
        assert_eq!(world.directory().count_keys() as u64, copies + USED as u64);
        println!(
            "start: {wall:.2?}, {cpu:.2?} CPU, resident size + {} bytes per key, {} MiB at its highest",
            resident / keys,
            resident_bytes_most() >> 20
        );
        Self { world, used, copies, csr: WorldDevice::new("bench").csr, next: AtomicU64::new(0) }
    }

    /// Keys in no order, each once: every hundredth is one that devices enroll with.
    fn keys(&self, count: u64) -> impl Iterator<Item = ProvisioningKeyId> {
        (0..count).map(|n| match n % 100 {
            0 => self.used[(n / 100) as usize % USED].0,
            _ => ProvisioningKeyId::from_raw(FIRST_COPY + n * 7_919 % self.copies),
        })
    }

    async fn report_changes(&self, count: u64) {
        let (store, directory) = (&self.world.store, self.world.directory());
        let (mut commits, mut follows) = (Vec::new(), Vec::new());
        for id in self.keys(count) {
            let key = store.find_key(self.world.customer, id).await.expect("the store").expect("the key");
            let change = Change::UpdateKey(ProvisioningKey { allow_re_enrollment: true, ..key });
            let begun = Instant::now();
            let through = store.commit_changes(vec![change], vec![], &self.world.audit_key).await;
            let through = through.expect("no rule is broken");
            commits.push(begun.elapsed());
            let begun = Instant::now();
            directory.follow(through).await.expect("the store");
            follows.push(begun.elapsed());
        }
        println!("one change: committed {}", Times(commits));
        println!("            followed  {}", Times(follows));

        let (mut edits, cpu) = (Vec::new(), cpu_time());
        for id in self.keys(count) {
            let begun = Instant::now();
            self.world.edit_key(id, KeyInput { allow_re_enrollment: Input::Given(false), ..KeyInput::default() }).await;
            edits.push(begun.elapsed());
        }
        println!("one edit:   answered {}, {:.0?} CPU", Times(edits), (cpu_time() - cpu) / count as u32);
    }

    async fn report_edits(self: &Arc<Self>, edits: u64, at_once: u64, alone: Duration) {
        let alone = Beside::Nothing(alone);
        for beside in [alone, Beside::Bulks(edits), Beside::Transactions(at_once), alone] {
            let (is_over, begun, cpu) = (Arc::new(AtomicBool::new(false)), Instant::now(), cpu_time());
            let (times, (what, edits)) = tokio::join!(self.enroll_until(&is_over), async {
                let done = match beside {
                    Beside::Nothing(span) => {
                        tokio::time::sleep(span).await;
                        ("alone", 0)
                    }
                    Beside::Bulks(edits) => {
                        self.extend(edits).await;
                        ("beside bulks", edits)
                    }
                    Beside::Transactions(edits) => {
                        self.extend_at_once(edits).await;
                        ("beside transactions", edits)
                    }
                };
                is_over.store(true, Ordering::Relaxed);
                done
            });
            let (wall, cpu, count) = (begun.elapsed(), cpu_time() - cpu, times.len() as f64);
            println!(
                "enrollments {what}: {:.0}/s, {}, {:.0} µs CPU; {edits} edits, {:.0}/s",
                count / wall.as_secs_f64(),
                Times(times),
                cpu.as_secs_f64() * 1e6 / count,
                edits as f64 / wall.as_secs_f64(),
            );
        }
    }

    fn tomorrow(&self) -> Timestamp {
        self.world.clock.now().saturating_add(DAY)
    }

    /// As one administrator does who has many keys to extend: each has a transaction of its own.
    async fn extend(&self, edits: u64) {
        let ids: Vec<_> = self.keys(edits).collect();
        for ids in ids.chunks(BULK_IDS_MAX) {
            let input = BulkInput {
                operation: Input::Given("extend".to_owned()),
                ids: Input::Given(ids.to_vec()),
                expires_at: Input::Given(self.tomorrow()),
                ..BulkInput::default()
            };
            let management = &self.world.management;
            let done = management.bulk_keys(&Actor::system(), self.world.customer, Kind::Machine, input).await;
            assert!(done.expect("the bulk").iter().all(|one| one.outcome.is_ok()), "each is extended");
        }
    }

    /// The same in transactions of as many, straight into the store, and memory follows each.
    async fn extend_at_once(&self, edits: u64) {
        let ids: Vec<_> = self.keys(edits).collect();
        for ids in ids.chunks(BULK_IDS_MAX) {
            let mut changes = Vec::with_capacity(ids.len());
            for id in ids {
                let key =
                    self.world.store.find_key(self.world.customer, *id).await.expect("the store").expect("the key");
                let expires_at = Some(self.tomorrow());
                changes.push(Change::UpdateKey(ProvisioningKey { expires_at, ..key }));
            }
            let through = self.world.store.commit_changes(changes, vec![], &self.world.audit_key).await;
            self.world.directory().follow(through.expect("no rule is broken")).await.expect("the store");
        }
    }

    /// What each enrollment took.
    async fn enroll_until(self: &Arc<Self>, is_over: &Arc<AtomicBool>) -> Vec<Duration> {
        let devices = (0..AT_ONCE).map(|_| {
            let (place, is_over) = (Arc::clone(self), Arc::clone(is_over));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    times.push(place.enroll().await);
                }
                times
            })
        });
        let mut times = Vec::new();
        for device in devices.collect::<Vec<_>>() {
            times.extend(device.await.expect("each enrolls"));
        }
        times
    }

    async fn enroll(&self) -> Duration {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let device = WorldDevice {
            fingerprint: Fingerprint::new(&format!("bench-{number:016}")).expect("a fingerprint"),
            csr: self.csr.clone(),
            address: world::SOMEWHERE,
        };
        let begun = Instant::now();
        enroll(&self.world.service, &self.used[number as usize % USED].1, &device).await.expect("it enrolls");
        begun.elapsed()
    }
}

/// Copies of a key with their own id, name, public key id and digest, in a store that is closed.
fn copy_key(database: &str, key: &str, copies: &str) {
    let connection = rusqlite::Connection::open(database).expect("the file opens");
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = OFF;
             PRAGMA synchronous = OFF;
             PRAGMA cache_size = -1000000;
             CREATE TEMP VIEW numbers AS
                 WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {copies})
                 SELECT i FROM n WHERE i < {copies};
             BEGIN;
             INSERT INTO provisioning_keys (id, customer_id, revision, group_id, signing_certificate_id, maximum,
                     expires_at, enabled, allow_re_enrollment, kind, name, digest, pepper, addresses, version, hint,
                     key_id, uses_when_set, created_at, created_by, modified_at, modified_by, description,
                     sealed_string)
                 SELECT {FIRST_COPY} + i, customer_id, revision, group_id, signing_certificate_id, maximum,
                     expires_at, enabled, allow_re_enrollment, kind, format('key %08d', i), randomblob(32), pepper,
                     addresses, version, hint, hex(randomblob(8)), 0, created_at, created_by, modified_at, modified_by,
                     description, sealed_string
                 FROM numbers, provisioning_keys WHERE id = {key};
             INSERT INTO key_counters (key_id, uses, re_enrollments, last_ordinal, last_sequence)
                 SELECT {FIRST_COPY} + i, 0, 0, 0, 0 FROM numbers;
             INSERT INTO digests (digest, customer_id, key_id)
                 SELECT digest, customer_id, id FROM provisioning_keys WHERE id >= {FIRST_COPY} ORDER BY digest;
             COMMIT;
             PRAGMA journal_mode = WAL;"
        ))
        .expect("the copies");
}

/// How long each of many things took.
struct Times(Vec<Duration>);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize];
        write!(f, "p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}, longest {:.2?}", at(0.5), at(0.99), at(0.999), at(1.0))
    }
}

/// utime + stime, in the kernel's ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
    let after_name = stat.rsplit(')').next().expect("the name is in parentheses");
    let fields = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

fn resident_bytes() -> u64 {
    status_kib("VmRSS:") << 10
}

fn resident_bytes_most() -> u64 {
    status_kib("VmHWM:") << 10
}

fn status_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field is there");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
