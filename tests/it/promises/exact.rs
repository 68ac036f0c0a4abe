//! A key with k uses left gives exactly k enrollments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::support::device::{connect, http_request, read_answer};
use crate::support::{Device, Endpoint, Random, Service};

const DEVICES: usize = 200;
const USES: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_racing_devices_share_forty_uses() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let key = service.create_key("app-connector", "HQ", "race", &["--max-uses", &USES.to_string()]);
    let endpoint = service.endpoint();

    let racing: Vec<_> = (0..DEVICES)
        .map(|n| {
            let (endpoint, key) = (endpoint.clone(), key.clone());
            tokio::spawn(async move { Device::new(&format!("race-{n}")).enroll(&endpoint, &key).await })
        })
        .collect();
    let mut answers = BTreeMap::new();
    let mut names = BTreeSet::new();
    for device in racing {
        let answer = device.await.expect("a device ends well");
        let what = if answer.status == 200 { answer.text("outcome") } else { answer.code() };
        *answers.entry((answer.status, what)).or_insert(0) += 1;
        if answer.status == 200 {
            names.insert(answer.text("componentName"));
        }
    }

    let expected = [((200, "enrolled".to_owned()), USES), ((403, "key-exhausted".to_owned()), DEVICES - USES)];
    assert_eq!(answers, BTreeMap::from(expected));
    assert_eq!(names, (1..=USES).map(|n| format!("race-{n}")).collect());
    assert_eq!(service.uses("app-connector", "race"), USES as u64);
    service.assert_healthy();
}

/// Kills of one race.
const KILLS_A_ROUND: usize = 3;

/// Devices keep coming back until they are answered, while the service is killed in the midst of them.
/// `KILLS=…` for more than the few of an everyday run.
#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_no_answered_enrollment_and_count_none_twice() {
    let mut random = Random::seeded();
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    let mut left = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2 * KILLS_A_ROUND);
    while left > 0 {
        let kills = left.min(KILLS_A_ROUND);
        race_through_kills(&mut service, &mut random, &format!("race-{left}"), kills).await;
        left -= kills;
    }
}

/// What racing devices and the killer know of one another.
struct Race {
    /// Changes with every launch.
    endpoint: RwLock<Endpoint>,
    /// Devices with a final answer.
    answered: AtomicUsize,
    /// Requests that had begun and got no whole answer.
    cut: AtomicUsize,
}

/// Two hundred devices and a key of their own with forty uses. Each kill comes when a few more devices
/// were answered and many are not yet: on a slow machine as on a fast one, it hits open requests.
async fn race_through_kills(service: &mut Service, random: &mut Random, name: &str, kills: usize) {
    let key = service.create_key("machine", "HQ", name, &["--max-uses", &USES.to_string()]);
    let devices: Vec<_> = (0..DEVICES).map(|n| Device::new(&format!("{name}-{n}"))).collect();
    let endpoint = RwLock::new(service.endpoint());
    let race = Arc::new(Race { endpoint, answered: AtomicUsize::new(0), cut: AtomicUsize::new(0) });
    let racing: Vec<_> = devices
        .into_iter()
        .map(|device| tokio::spawn(until_answered(device, Arc::clone(&race), key.clone())))
        .collect();

    let mut killed_at = Vec::new();
    for _ in 0..kills {
        let more = 1 + random.below(USES as u64 / KILLS_A_ROUND as u64) as usize;
        let moment = (race.answered.load(Ordering::SeqCst) + more).min(DEVICES);
        while race.answered.load(Ordering::SeqCst) < moment {
            tokio::task::yield_now().await;
        }
        service.kill();
        killed_at.push(race.answered.load(Ordering::SeqCst));
        service.launch();
        *race.endpoint.write().expect("no writer panicked") = service.endpoint();
    }

    let mut serials = BTreeSet::new();
    let mut refused = 0;
    for device in racing {
        let (device, serial) = device.await.expect("a device ends well");
        let again = device.enroll(&service.endpoint(), &key).await;
        match serial {
            Some(serial) => {
                assert_eq!((again.status, again.text("outcome").as_str()), (200, "replayed"), "{}", again.body);
                assert_eq!(again.text("serialNumber"), serial, "an answered enrollment was lost");
                assert!(serials.insert(serial), "two devices have one certificate");
            }
            None => {
                assert_eq!(again.code(), "key-exhausted");
                refused += 1;
            }
        }
    }
    let cut = race.cut.load(Ordering::SeqCst);
    assert!(cut > 0, "{name}: no kill hit an open request; killed at {killed_at:?}");
    assert_eq!((serials.len(), refused), (USES, DEVICES - USES));
    assert_eq!(service.uses("machine", name), USES as u64);
    service.assert_healthy();
}

/// Tries until there is a final answer: the serial, or `None` when the key is exhausted.
async fn until_answered(device: Device, race: Arc<Race>, key: String) -> (Device, Option<String>) {
    let request = http_request(device.request(&key).to_string().as_bytes());
    let serial = loop {
        let there = race.endpoint.read().expect("no writer panicked").clone();
        if let Some(mut stream) = connect(&there).await {
            let answer = match stream.write_all(&request).await {
                Ok(()) => read_answer(&mut stream).await,
                Err(_) => None,
            };
            match answer {
                Some(answer) if answer.status == 200 => break Some(answer.text("serialNumber")),
                Some(answer) if answer.status == 403 => {
                    assert_eq!(answer.code(), "key-exhausted", "{}", answer.body);
                    break None;
                }
                Some(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
                None => _ = race.cut.fetch_add(1, Ordering::SeqCst), // killed
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    race.answered.fetch_add(1, Ordering::SeqCst);
    (device, serial)
}
