//! One enrollment without sockets, and the parts of it that are ours. `cargo bench --bench enrollment`
//!
//! - `claim/<keys>`: take the turn of a device and a seat of a key, give both back; one hot key and
//!   1,000 keys, one thread.
//! - `decide_and_sign/<keys>`: everything but the store: find the key, check its state, verify the CSR,
//!   claim, sign; the store says yes at once.
//! - `whole/alone`: the same on the real store, one device after the other: each waits for its fsync.
//! - `whole/64_at_once`: 64 devices at a time share their fsyncs; time per device.
//!
//! P-256 throughout, CSRs made beforehand, every device new. Compare within one run.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use async_trait::async_trait;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use muster::clock::Timestamp;
use muster::domain::ledger::RefusalTally;
use muster::domain::redemption::KnownComponent;
use muster::domain::renewal::KnownCertificate;
use muster::domain::{Fingerprint, IndexedKey, Kind, Networks, Revision, SerialNumber};
use muster::enrollment::EnrollmentService;
use muster::enrollment::turns::{Seats, Turns};
use muster::id::{ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::index::{KeyEntry, KeyIndex};
use muster::management::keys::KeyInput;
use muster::secret::pepper::{PepperBytes, PepperNumber, Peppers};
use muster::store::{EnrollmentCommit, EnrollmentOutcome, EnrollmentStore, RenewalCommit, RenewalOutcome, StoreError};
use tokio::runtime::Runtime;

#[path = "../tests/it/support/world.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod world;

use world::{World, WorldDevice, enroll};

const AT_ONCE: u64 = 64;

/// Says yes, and writes nothing: what is left is the cost of everything else.
struct YesStore(AtomicU32);

#[async_trait]
impl EnrollmentStore for YesStore {
    async fn commit_enrollment(&self, _: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        let uses = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(EnrollmentOutcome::Committed { component_name: format!("bench-{uses}"), uses: 0 })
    }

    async fn commit_renewal(&self, _: RenewalCommit) -> Result<RenewalOutcome, StoreError> {
        Ok(RenewalOutcome::Committed)
    }

    async fn find_known_certificate(
        &self,
        _: CustomerId,
        _: ComponentId,
        _: SerialNumber,
    ) -> Result<Option<KnownCertificate>, StoreError> {
        Ok(None)
    }

    async fn find_known_component(
        &self,
        _: CustomerId,
        _: ProvisioningKeyId,
        _: &Fingerprint,
        _: Timestamp,
    ) -> Result<Option<KnownComponent>, StoreError> {
        Ok(None)
    }

    async fn add_refusals(&self, _: Vec<RefusalTally>) -> Result<(), StoreError> {
        Ok(())
    }
}

fn entries(count: u64) -> Vec<Arc<KeyEntry>> {
    let peppers = Arc::new(Peppers::new(&[(PepperNumber(1), PepperBytes::new([7; 32]))]));
    let index = KeyIndex::new(Arc::clone(&peppers));
    for id in 1..=count {
        index.put(IndexedKey {
            id: ProvisioningKeyId::from_raw(id),
            customer_id: CustomerId::from_raw(1),
            group_id: GroupId::from_raw(2),
            signing_certificate_id: SigningCertificateId::from_raw(3),
            maximum: NonZeroU32::new(1_000_000),
            enabled: true,
            allow_re_enrollment: false,
            expires_at: None,
            addresses: Networks::default(),
            digest: peppers.digest(&id.to_be_bytes()).1,
            uses: 0.into(),
            revision: Revision::FIRST,
        });
    }
    (1..=count).map(|id| index.find_by_id(ProvisioningKeyId::from_raw(id)).expect("just put")).collect()
}

fn claim(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("claim");
    for count in [1, 1_000] {
        let (turns, seats, entries) = (Turns::default(), Seats::default(), entries(count));
        let device = WorldDevice::new("claim").fingerprint;
        let next = AtomicU64::new(0);
        group.bench_function(BenchmarkId::from_parameter(count), |bench| {
            bench.to_async(&runtime).iter(|| async {
                let at = next.fetch_add(1, Ordering::Relaxed) as usize % entries.len();
                let turn = turns.take(entries[at].key().id, &device).await;
                let seat = seats.take(&entries[at]).await;
                assert!(seat.is_some());
                drop((turn, seat));
            });
        });
    }
    group.finish();
}

fn decide_and_sign(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("decide_and_sign");
    for count in [1, 1_000] {
        let (world, keys) = runtime.block_on(world_with_keys(count));
        let service = world.service_through(Arc::new(YesStore(AtomicU32::new(0))));
        let fresh = Fresh::new();
        group.bench_function(BenchmarkId::from_parameter(count), |bench| {
            bench.to_async(&runtime).iter(|| fresh.enroll(&service, &keys));
        });
    }
    group.finish();
}

fn whole(criterion: &mut Criterion) {
    let runtime = runtime();
    let (world, keys) = runtime.block_on(world_with_keys(1));
    let fresh = Fresh::new();
    let mut group = criterion.benchmark_group("whole");
    group.bench_function("alone", |bench| {
        bench.to_async(&runtime).iter(|| fresh.enroll(&world.service, &keys));
    });
    let world = Arc::new(world);
    let (fresh, keys) = (Arc::new(fresh), Arc::new(keys));
    group.throughput(Throughput::Elements(AT_ONCE));
    group.bench_function("64_at_once", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let devices: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let (world, fresh, keys) = (Arc::clone(&world), Arc::clone(&fresh), Arc::clone(&keys));
                    tokio::spawn(async move { fresh.enroll(&world.service, &keys).await })
                })
                .collect();
            for device in devices {
                device.await.expect("it enrolls");
            }
        });
    });
    group.finish();
}

/// Devices that were never seen before.
struct Fresh {
    csr: String,
    next: AtomicU64,
}

impl Fresh {
    fn new() -> Self {
        Self { csr: WorldDevice::new("bench").csr, next: AtomicU64::new(0) }
    }

    async fn enroll(&self, service: &EnrollmentService, keys: &[String]) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let device = WorldDevice {
            fingerprint: Fingerprint::new(&format!("bench-{number:016}")).expect("a fingerprint"),
            csr: self.csr.clone(),
            address: world::SOMEWHERE,
        };
        let key = &keys[number as usize % keys.len()];
        enroll(service, key, &device).await.expect("it enrolls");
    }
}

async fn world_with_keys(count: usize) -> (World, Vec<String>) {
    let world = World::new().await;
    let group = world.group(Kind::Machine, "bench").await;
    let mut keys = Vec::with_capacity(count);
    for n in 0..count {
        keys.push(world.key(group, &format!("k{n}"), KeyInput::default()).await.1);
    }
    (world, keys)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

criterion_group!(benches, claim, decide_and_sign, whole);
criterion_main!(benches);
