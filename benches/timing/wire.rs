//! The same question to the real binary.

use std::time::Instant;

use crate::Times;
use crate::device::request;
use crate::random::Random;
use crate::service::Service;
use crate::texts::{self, CLASSES, Keys, Texts};
use crate::world::WorldDevice;

const FINGERPRINT: &str = "oXaN4RRiMcMd0kWfMf2cXl0q1Jm8n3m3Lz8y0r9mT5U=";
const LONGER_BYTES: usize = 2_000;

pub struct OnTheWire {
    pub classes: Times,
    pub longer: Vec<f64>,
}

/// Presents about `connections` texts of each class, with `keys` keys of each state.
pub fn sample(keys: usize, connections: usize, random: &mut Random) -> OnTheWire {
    // The limit on failures answers 429 to whoever asks as often as this does.
    let service = Service::start("[enroll]\nfailures_per_second = 0\n");
    let csr = WorldDevice::new("timing").csr;
    let keys = make_keys(&service, keys, &csr);
    let texts: Vec<Texts> = keys.iter().map(|keys| texts::missing(keys, random)).collect();
    let requests = requests(&texts, &csr);
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); requests.len()];
    let mut answer = [0; 4_096];
    for _ in 0..connections * requests.len() {
        let class = random.below(requests.len() as u64) as usize;
        let pool = &requests[class];
        let request = &pool[random.below(pool.len() as u64) as usize];
        let mut connection = service.connect();
        let begun = Instant::now();
        let read = connection.exchange(request, &mut answer);
        let took = begun.elapsed();
        assert!(answer[..read].starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer[..read]));
        connection.finish();
        times[class].push(took.as_nanos() as f64);
    }
    let longer = times.pop().expect("the last is the control");
    OnTheWire { classes: times.try_into().expect("the classes and the control"), longer }
}

/// Whole requests of each class, and of the control.
fn requests(texts: &[Texts], csr: &str) -> Vec<Vec<Vec<u8>>> {
    let whole = |text: &str| request(text, FINGERPRINT, csr);
    let longer = |text: &str| format!("{text}{}", "A".repeat(LONGER_BYTES - text.len()));
    let of_class = |class: usize| texts.iter().map(|texts| whole(&texts[class])).collect();
    let control = texts.iter().map(|[unknown, ..]| whole(&longer(unknown))).collect();
    (0..CLASSES.len()).map(of_class).chain([control]).collect()
}

fn make_keys(service: &Service, count: usize, csr: &str) -> Vec<Keys> {
    service.muster(&["group", "create", "--kind", "machine", "--name", "timing"]);
    let create = ["key", "create", "--kind", "machine", "--group", "timing", "--max-uses", "1", "--name"];
    let make = |name: &str| service.muster(&[&create[..], &[name]].concat());
    let made = (0..count).map(|n| {
        let keys = ["first", "last", "disabled", "exhausted"].map(|state| make(&format!("{state} {n}")));
        service.muster(&["key", "disable", &format!("disabled {n}")]);
        let (mut connection, mut answer) = (service.connect(), [0; 4_096]);
        let read = connection.exchange(&request(&keys[3], FINGERPRINT, csr), &mut answer);
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
        connection.finish();
        keys
    });
    made.collect()
}
