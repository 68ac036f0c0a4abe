//! What it costs to recognise a key string, and what a key takes in memory.
//! `cargo bench --bench index`
//!
//! `find/<keys>/<case>`: parse, digest, look up, compare, with 1, 10³ and 10⁶ keys in the index. The
//! texts change from call to call, so that the index and not one cache line is measured. A miss, and a
//! text that does not parse, must cost what a hit costs.
//!
//! Memory: growth of the process's resident size over 10⁶ keys put in, printed before the benches; with
//! a limit and without an address list, as most keys are.

use std::fs;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use muster::domain::{AddressList, Cloud, IndexedKey, KeySecret, KeyVersion, Revision, TrustPin};
use muster::id::{CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::index::KeyIndex;
use muster::secret::pepper::{KeyDigest, PepperBytes, PepperNumber, Peppers};

/// Texts that the measured calls go round in.
const TEXTS: usize = 1_024;

fn indexed(id: u64, digest: KeyDigest) -> IndexedKey {
    IndexedKey {
        id: ProvisioningKeyId::from_raw(id),
        customer_id: CustomerId::from_raw(1),
        group_id: GroupId::from_raw(2),
        signing_certificate_id: SigningCertificateId::from_raw(3),
        maximum: NonZeroU32::new(10),
        enabled: true,
        allow_re_enrollment: false,
        expires_at: None,
        addresses: AddressList::default(),
        digest,
        uses: 0,
        revision: Revision::FIRST,
    }
}

fn peppers() -> (PepperNumber, PepperBytes) {
    (PepperNumber(1), PepperBytes::new([7; 32]))
}

fn texts(count: usize) -> Vec<String> {
    let cloud: Cloud = "enroll.example.com:8443".parse().expect("a cloud");
    let make = |_| KeySecret::generate(KeyVersion::Bootstrap, &cloud, TrustPin::NONE).expose().to_owned();
    (0..count).map(make).collect()
}

/// An index of `count` keys, and up to [`TEXTS`] of their strings.
fn filled(count: usize) -> (KeyIndex, Vec<String>) {
    let index = KeyIndex::new(Arc::new(Peppers::new(&[peppers()])));
    let known = texts(count.min(TEXTS));
    let digests = Peppers::new(&[peppers()]);
    for n in 0..count {
        let digest = match known.get(n) {
            Some(text) => digests.digest(text.as_bytes()).1,
            None => digests.digest(&n.to_be_bytes()).1,
        };
        index.put(indexed(n as u64 + 1, digest));
    }
    (index, known)
}

fn find(criterion: &mut Criterion) {
    let before = resident_bytes();
    let (million, million_known) = filled(1_000_000);
    let per_key = (resident_bytes() - before) as f64 / 1e6;
    println!("memory: {per_key:.0} bytes per key at 10^6 keys");

    let unknown = texts(TEXTS);
    let cut: Vec<String> = unknown.iter().map(|text| text.replacen('|', " ", 1)).collect();
    let mut group = criterion.benchmark_group("find");
    for (name, (index, known)) in [("1", filled(1)), ("10^3", filled(1_000)), ("10^6", (million, million_known))] {
        for (case, texts) in [("hit", &known), ("miss", &unknown), ("unparsable", &cut)] {
            group.bench_with_input(BenchmarkId::new(name, case), texts, |bench, texts| {
                let mut round = texts.iter().cycle();
                bench.iter(|| black_box(index.find(&index.present(round.next().expect("a cycle has no end")))));
            });
        }
    }
    group.finish();
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4_096
}

criterion_group!(benches, find);
criterion_main!(benches);
