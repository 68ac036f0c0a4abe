//! What it costs to recognise a key string, and what a key takes in memory.
//! `cargo bench --bench index`
//!
//! `find/<keys>/<case>`: parse, digest, look up, compare, with 1, 10³ and `INDEX_KEYS` keys in the index
//! (default 10⁶). The texts change from call to call, so that the index and not one cache line is
//! measured. A miss, and a text that does not parse, must cost what a hit costs.
//!
//! Before that, of the largest index:
//!
//! - memory: growth of the process's resident size over the keys put in; with a limit and without an
//!   address list, as most keys are;
//! - putting in: the mean and the longest of the calls, in which a table grows;
//! - one look at each of 10⁵ texts, timed one by one: what a text leads to was last touched when the
//!   index was filled, so nothing of it is in a cache. The clock's own cost is part of it;
//! - a change and a deletion of keys in no order.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use muster::domain::{Cloud, IndexedKey, KeySecret, KeyVersion, Networks, Revision, TrustPin};
use muster::id::{CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::index::KeyIndex;
use muster::secret::pepper::{KeyDigest, PepperBytes, PepperNumber, Peppers};

/// Texts that the measured calls go round in.
const TEXTS: usize = 1_024;
/// Texts that are looked at once, and keys that are changed and deleted.
const COLD: usize = 100_000;

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
        addresses: Networks::default(),
        digest,
        uses: 0.into(),
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

/// An index of `count` keys, and the strings of up to `known` of them, which are spread over the others.
fn filled(count: usize, known: usize) -> (KeyIndex, Vec<String>) {
    let index = KeyIndex::new(Arc::new(Peppers::new(&[peppers()])));
    let known = texts(count.min(known));
    let digests = Peppers::new(&[peppers()]);
    // Resident before the keys are.
    let mut puts = Times(vec![1; count]);
    puts.0.clear();
    let (every, mut texts, before) = (count / known.len(), known.iter(), resident_bytes());
    for n in 0..count {
        let text = if n % every == 0 { texts.next() } else { None };
        let digest = match text {
            Some(text) => digests.digest(text.as_bytes()).1,
            None => digests.digest(&n.to_be_bytes()).1,
        };
        let key = indexed(n as u64 + 1, digest);
        puts.time(|| index.put(key));
    }
    let per_key = (resident_bytes() - before) as f64 / count as f64;
    println!("{count} keys: {per_key:.0} bytes each; put: {puts}");
    (index, known)
}

fn find(criterion: &mut Criterion) {
    let keys = std::env::var("INDEX_KEYS").map_or(1_000_000, |text| text.parse().expect("INDEX_KEYS is a number"));
    let (many, mut many_known) = filled(keys, COLD);
    let mut unknown = texts(COLD);
    let mut cut: Vec<String> = unknown.iter().map(|text| text.replacen('|', " ", 1)).collect();
    for (case, texts) in [("hit", &many_known), ("miss", &unknown), ("no key string", &cut)] {
        let mut looks = Times::default();
        for text in texts {
            looks.time(|| drop(black_box(many.find(&many.present(text)))));
        }
        println!("first look, {case}: {looks}");
    }
    // Ids in no order, each once.
    let ids = || (0..keys.min(COLD)).map(|n| (n * 7_919) % keys + 1).map(|id| ProvisioningKeyId::from_raw(id as u64));
    let (mut changes, mut deletions) = (Times::default(), Times::default());
    for id in ids() {
        let before = many.find_by_id(id).expect("it was put in");
        let after = IndexedKey { revision: before.key().revision.next(), ..indexed(id.raw(), before.key().digest) };
        drop(before);
        changes.time(|| many.put(after));
    }
    println!("change: {changes}");
    let deleted: Vec<_> =
        ids().map(|id| indexed(id.raw(), many.find_by_id(id).expect("it is there").key().digest)).collect();
    for key in &deleted {
        deletions.time(|| many.remove(key.id));
    }
    println!("deletion: {deletions}");
    deleted.into_iter().for_each(|key| many.put(key));

    for texts in [&mut many_known, &mut unknown, &mut cut] {
        texts.truncate(TEXTS);
    }
    let ((one, one_known), (thousand, thousand_known)) = (filled(1, TEXTS), filled(1_000, TEXTS));
    let mut group = criterion.benchmark_group("find");
    for (name, index, known) in [
        ("1".to_owned(), one, one_known),
        ("10^3".to_owned(), thousand, thousand_known),
        (keys.to_string(), many, many_known),
    ] {
        for (case, texts) in [("hit", &known), ("miss", &unknown), ("unparsable", &cut)] {
            group.bench_with_input(BenchmarkId::new(&name, case), texts, |bench, texts| {
                let mut round = texts.iter().cycle();
                bench.iter(|| black_box(index.find(&index.present(round.next().expect("a cycle has no end")))));
            });
        }
    }
    group.finish();
}

/// How long each of many calls took.
#[derive(Default)]
struct Times(Vec<u32>);

impl Times {
    fn time(&mut self, call: impl FnOnce()) {
        let begun = Instant::now();
        call();
        self.0.push(begun.elapsed().as_nanos().try_into().unwrap_or(u32::MAX));
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |part: f64| Duration::from_nanos(sorted[((sorted.len() - 1) as f64 * part) as usize].into());
        let sum: u64 = sorted.iter().copied().map(u64::from).sum();
        let mean = Duration::from_nanos(sum / sorted.len() as u64);
        let (p50, p99, p999, longest) = (at(0.5), at(0.99), at(0.999), at(1.0));
        write!(f, "mean {mean:.2?}, p50 {p50:.2?}, p99 {p99:.2?}, p99.9 {p999:.2?}, longest {longest:.2?}")
    }
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4_096
}

criterion_group!(benches, find);
criterion_main!(benches);
