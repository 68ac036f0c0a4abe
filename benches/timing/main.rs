//! Whether time tells one wrong key string from another. `cargo bench --bench timing`
//!
//! The classes, all of which get the one 401: a string that nobody made; a known key's with the first character
//! behind the key id wrong, or the last; the same (last) of a disabled key, and of an exhausted one. The right string of a
//! disabled key is not among them: whoever has it is told.
//!
//! Method, after dudect (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?"). The classes take turns in
//! an order drawn anew each round, so that whatever else the machine does meets all alike. A text is presented once, and
//! copied to the same place before the clock starts: what it takes depends a little on its characters, which its sender
//! knows, and on whether it was just there. For each two classes Welch's t is taken over a fixed number of samples, cropped
//! at several percentiles of both together, and the value farthest from 0 counts: |t| ≥ 4.5 means that they are told
//! apart. Beside it stands the smallest difference of means that would have been.
//!
//! - `index`: digest, look up, compare, in this process, among four times as many keys as there are samples of a class.
//! - `enrollment`: the question that the door asks.
//! - `index, after its key`: the same as `index`, but the key that a text misses was presented just before, as when its device
//!   comes at that moment; for `unknown`, any key. So the processor has seen nearly all of the text.
//! - `early exit`: the control. The same as `index`, then a comparison as it should not be: the key is looked up by its
//!   id and its string compared up to the first difference. With as many samples it must be told apart, or the method
//!   is blind.
//! - `wire`: the real binary, a new TLS 1.3 connection per sample (a 401 closes it), from the request to the answer's first
//!   bytes. Its control, `longer`, is a string that nobody made of 2,000 bytes, which takes a little more to digest.
//!
//! `TIMING_SAMPLES` and `TIMING_CONNECTIONS` are per class. `--test` only shows that it runs.

#[path = "../device/mod.rs"]
mod device;
mod early_exit;
#[path = "../../tests/it/support/random.rs"]
mod random;
mod service;
mod texts;
mod welch;
mod wire;
#[path = "../../tests/it/support/world.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod world;

use std::future::Future;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use muster::domain::{IndexedKey, Networks, Revision};
use muster::enrollment::{EnrollmentParts, EnrollmentService};
use muster::id::{CustomerId, GroupId, Id as _, ProvisioningKeyId, SigningCertificateId};
use muster::index::KeyIndex;
use muster::secret::pepper::{PepperNumber, Peppers};

use early_exit::EarlyExit;
use random::Random;
use texts::{CLASSES, Keys};
use welch::{Comparison, Moments};
use world::World;

/// Percentiles beyond which times are left out of the mean that is printed.
const SHOWN_PERCENT: usize = 90;

fn main() -> ExitCode {
    let smoke = std::env::args().any(|argument| argument == "--test");
    let given = |name, full, short| {
        let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
        given.unwrap_or(if smoke { short } else { full })
    };
    let (samples, connections) = (given("TIMING_SAMPLES", 200_000, 100), given("TIMING_CONNECTIONS", 10_000, 5));

    let mut random = Random::seeded();
    let keys = texts::generate(samples);
    let leaky = EarlyExit::new(&keys);
    let index = Arc::new(filled(&keys));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let world = runtime.block_on(World::new());
    let parts = runtime.block_on(world.node(world.store.clone()));
    let service = EnrollmentService::new(EnrollmentParts { index: Arc::clone(&index), ..parts });

    let (nothing, mut passed) = (|_: &str| (), true);
    let in_index = sample(&keys, &mut random, nothing, |text| index.find(&index.present(text)).is_some());
    passed &= judge("index", &CLASSES, &in_index, Expected::Alike);
    let in_enrollment = sample(&keys, &mut random, nothing, |text| {
        at_once(service.verify_key(&service.present(text))).expect("the store is not asked").is_some()
    });
    passed &= judge("enrollment", &CLASSES, &in_enrollment, Expected::Alike);
    let after_its_key = sample(
        &keys,
        &mut random,
        |key| assert!(index.find(&index.present(key)).is_some()),
        |text| index.find(&index.present(text)).is_some(),
    );
    passed &= judge("index, after its key", &CLASSES, &after_its_key, Expected::Alike);
    let control =
        sample(&keys, &mut random, nothing, |text| index.find(&index.present(text)).is_some() | leaky.is_known(text));
    passed &= judge("early exit", &CLASSES[..3], &control[..3], Expected::Apart);

    let on_the_wire = wire::sample(if smoke { 1 } else { 32 }, connections, &mut random);
    passed &= judge("wire", &CLASSES, &on_the_wire.classes, Expected::Alike);
    let control = [on_the_wire.classes[0].clone(), on_the_wire.longer];
    passed &= judge("wire, longer", &["unknown", "longer"], &control, Expected::Apart);
    if passed || smoke { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is said of the classes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Alike,
    /// Each two: a control.
    Apart,
}

/// Nanoseconds for texts of each class.
type Times = [Vec<f64>; CLASSES.len()];

/// Presents a text of each class for each of `keys` to `is_known`, which is to say no. Before it, and not timed, comes
/// `before` with the key that the text misses.
fn sample(keys: &[Keys], random: &mut Random, before: impl Fn(&str), is_known: impl Fn(&str) -> bool) -> Times {
    let mut times: Times = Default::default();
    let mut text = String::with_capacity(256);
    let mut order: [usize; CLASSES.len()] = std::array::from_fn(|class| class);
    for keys in keys {
        for left in (1..order.len()).rev() {
            order.swap(left, random.below(left as u64 + 1) as usize);
        }
        for class in order {
            // Of all classes each time, so that what went before is the same whichever is presented.
            let texts = texts::missing(keys, random);
            before(texts::missed(keys, class));
            text.clear();
            text.push_str(&texts[class]);
            let begun = Instant::now();
            let is_known = is_known(&text);
            let took = begun.elapsed();
            assert!(!is_known);
            times[class].push(took.as_nanos() as f64);
        }
    }
    times
}

/// Prints what was found of each two classes. Whether it is as expected.
fn judge(subject: &str, classes: &[&str], times: &[Vec<f64>], expected: Expected) -> bool {
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let limit = all[all.len() * SHOWN_PERCENT / 100];
    println!("\n{subject}: {} samples of a class, mean of the lower {SHOWN_PERCENT} %", times[0].len());
    for (class, times) in classes.iter().zip(times) {
        println!("  {class:<12} {:>10.1} ns", Moments::of(times, limit).mean);
    }
    let mut passed = true;
    for (first, one) in classes.iter().zip(times) {
        for (second, other) in classes.iter().zip(times).skip_while(|(class, _)| *class != first).skip(1) {
            let compared = Comparison::of(one, other);
            let is_expected = compared.is_separable() == (expected == Expected::Apart);
            passed &= is_expected;
            let remark = if is_expected { "" } else { "  NOT AS EXPECTED" };
            println!(
                "  {first:<12} {second:<12} t {:>+7.2}   told apart from {:.1} ns on{remark}",
                compared.t, compared.told_from_ns
            );
        }
    }
    passed
}

/// An index of these keys.
fn filled(keys: &[Keys]) -> KeyIndex {
    let peppers = Arc::new(Peppers::new(&[(PepperNumber(1), Peppers::generate())]));
    let index = KeyIndex::new(Arc::clone(&peppers));
    let states = [(true, 0), (true, 0), (false, 0), (true, 1)];
    let with_state = keys.iter().flat_map(|keys| keys.iter().zip(states));
    for ((key, (enabled, uses)), id) in with_state.zip(1..) {
        index.put(IndexedKey {
            id: ProvisioningKeyId::from_raw(id),
            customer_id: CustomerId::from_raw(1),
            group_id: GroupId::from_raw(2),
            signing_certificate_id: SigningCertificateId::from_raw(3),
            maximum: NonZeroU32::new(1),
            enabled,
            allow_re_enrollment: false,
            expires_at: None,
            addresses: Networks::default(),
            digest: peppers.digest(key.as_bytes()).1,
            uses: uses.into(),
            revision: Revision::FIRST,
        });
    }
    index
}

/// What a future gives that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
