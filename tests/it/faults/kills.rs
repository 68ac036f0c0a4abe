//! `SIGKILL` at random moments of the enrollment path. `KILLS=1000` for more than the few of an everyday run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use super::{Found, Given};
use crate::support::device::{
    Identity, connect, connect_showing, csr, http_request, key_pair, read_answer, renew_request,
};
use crate::support::{Answer, Device, Endpoint, Random, Service};

/// Devices that are at it at the same time.
const AT_ONCE: usize = 16;

/// What each key has, and how many devices want one.
const USES: usize = 60;
const DEVICES: usize = 80;

/// At most so many answers come between two kills.
const ANSWERS_BETWEEN: u64 = 6;

/// What devices and the killer know of one another.
struct Race {
    /// Changes with every launch.
    endpoint: RwLock<Endpoint>,
    key: String,
    /// The next device to come.
    next: AtomicUsize,
    /// Every answer with a certificate.
    given: Mutex<Vec<Given>>,
    /// Answers of any kind.
    answered: AtomicUsize,
    /// Requests that had begun and got no whole answer.
    cut: AtomicUsize,
    is_over: AtomicBool,
}

/// What one run came to.
#[derive(Debug, Default)]
struct Sum {
    kills: usize,
    keys: usize,
    enrolled: usize,
    re_enrolled: usize,
    renewed: usize,
    cut: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_was_answered_and_counts_nothing_twice() {
    let kills = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let began = Instant::now();
    let mut random = Random::seeded();
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    let mut sum = Sum::default();
    while sum.kills < kills {
        let left = kills - sum.kills;
        race_through_kills(&mut service, &mut random, &mut sum, left).await;
    }
    assert!(sum.cut > 0, "no kill hit an open request: {sum:?}");
    eprintln!("{sum:?} in {:?}", began.elapsed());
}

/// One key with fewer uses than there are devices, and kills until all of them have their last word.
async fn race_through_kills(service: &mut Service, random: &mut Random, sum: &mut Sum, kills: usize) {
    let name = format!("race-{}", sum.keys);
    let more = ["--max-uses", &USES.to_string(), "--allow-re-enrollment"];
    let key = service.create_key("machine", "HQ", &name, &more);
    let race = Arc::new(Race {
        endpoint: RwLock::new(service.endpoint()),
        key,
        next: AtomicUsize::new(0),
        given: Mutex::default(),
        answered: AtomicUsize::new(0),
        cut: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let racing: Vec<_> =
        (0..AT_ONCE).map(|_| tokio::spawn(one_after_the_other(Arc::clone(&race), name.clone()))).collect();

    let mut killed = 0;
    while killed < kills && !race.is_over.load(Ordering::SeqCst) {
        wait_for_a_moment(&race, random).await;
        service.kill();
        killed += 1;
        assert_nothing_lost(&service.data_dir(), &race, &format!("{name}, kill {killed}")).await;
        service.launch();
        *race.endpoint.write().expect("no writer panicked") = service.endpoint();
    }

    let mut outcomes = BTreeMap::<_, usize>::new();
    for device in racing {
        for outcome in device.await.expect("a device ends well") {
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    let of = |outcome: &str| outcomes.get(outcome).copied().unwrap_or_default();
    assert_eq!((of("enrolled"), of("key-exhausted")), (USES, DEVICES - USES), "{name}: {outcomes:?}");
    assert_eq!(service.uses("machine", &name), USES as u64, "{name}");
    service.assert_healthy();
    sum.kills += killed;
    sum.keys += 1;
    sum.enrolled += of("enrolled");
    sum.re_enrolled += of("re-enrolled");
    sum.renewed += of("renewed") + of("rekeyed");
    sum.cut += race.cut.load(Ordering::SeqCst);
}

/// Until some more were answered, and some microseconds: on a slow machine as on a fast one, the kill hits devices
/// that are at it, each at another place.
async fn wait_for_a_moment(race: &Race, random: &mut Random) {
    let moment = race.answered.load(Ordering::SeqCst) + random.below(ANSWERS_BETWEEN) as usize;
    while race.answered.load(Ordering::SeqCst) < moment && !race.is_over.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
}

async fn assert_nothing_lost(data_dir: &Path, race: &Race, when: &str) {
    let given = race.given.lock().expect("no writer panicked").clone();
    let found = Found::looked_at(data_dir).await;
    found.assert_sound(when).await;
    for given in &given {
        found.assert_has(given, when).await;
    }
}

/// Takes device after device to its last word; what that was, and what came on the way to it.
async fn one_after_the_other(race: Arc<Race>, name: String) -> Vec<String> {
    let mut outcomes = Vec::new();
    loop {
        let number = race.next.fetch_add(1, Ordering::SeqCst);
        if number >= DEVICES {
            race.is_over.store(true, Ordering::SeqCst);
            return outcomes;
        }
        let device = Device::new(&format!("{name}-{number}"));
        let answer = enroll(&race, &device).await;
        if answer.status == 403 {
            outcomes.push(answer.code());
            continue;
        }
        // Whether the first attempt was cut or not: it is one enrollment.
        outcomes.push("enrolled".to_owned());
        outcomes.push(match number % 3 {
            0 => continue,
            1 => enroll(&race, &device.reinstalled()).await.text("outcome"),
            _ => renew(&race, &Identity::of(&answer, &device.key_pair)).await.text("outcome"),
        });
    }
}

async fn enroll(race: &Race, device: &Device) -> Answer {
    let request = http_request(device.request(&race.key).to_string().as_bytes());
    until_answered(race, &request, None).await
}

/// To another key pair: were an answer lost and not repaired, the device would be locked out.
async fn renew(race: &Race, held: &Identity) -> Answer {
    let request = renew_request(&serde_json::json!({ "csr": csr(&key_pair()) }));
    until_answered(race, &request, Some(held)).await
}

/// Until there is an answer that is the device's, or the key's, last word.
async fn until_answered(race: &Race, request: &[u8], shown: Option<&Identity>) -> Answer {
    loop {
        let endpoint = race.endpoint.read().expect("no writer panicked").clone();
        let connected = match shown {
            None => connect(&endpoint).await,
            Some(held) => connect_showing(&endpoint, held).await,
        };
        let Some(mut stream) = connected else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let answer = match stream.write_all(request).await {
            Ok(()) => read_answer(&mut stream).await,
            Err(_) => None,
        };
        if let Some(answer) = race.noted(answer) {
            return answer;
        }
    }
}

impl Race {
    /// The answer, if it is one that a device takes for its last word.
    fn noted(&self, answer: Option<Answer>) -> Option<Answer> {
        let Some(answer) = answer else {
            self.cut.fetch_add(1, Ordering::SeqCst);
            return None;
        };
        match answer.status {
            200 => self.given.lock().expect("no writer panicked").push(Given::by(&answer)),
            403 => assert_eq!(answer.code(), "key-exhausted", "{}", answer.body),
            503 => return None,
            status => panic!("{status}: {}", answer.body),
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
        Some(answer)
    }
}
