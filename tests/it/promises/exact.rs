//! A key with k uses left gives exactly k enrollments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::support::device::try_post;
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

/// Devices keep coming back until they are answered, while the service is killed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_no_answered_enrollment_and_count_none_twice() {
    let mut random = Random::seeded();
    let mut service = Service::start();
    service.create_group("machine", "HQ");
    let key = service.create_key("machine", "HQ", "race", &["--max-uses", &USES.to_string()]);

    let endpoint = Arc::new(RwLock::new(service.endpoint()));
    let racing: Vec<_> = (0..DEVICES)
        .map(|n| tokio::spawn(until_answered(Device::new(&format!("race-{n}")), Arc::clone(&endpoint), key.clone())))
        .collect();
    let kills = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.below(60))).await;
        service.kill();
        service.launch();
        *endpoint.write().expect("no writer panicked") = service.endpoint();
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
    assert_eq!((serials.len(), refused), (USES, DEVICES - USES));
    assert_eq!(service.uses("machine", "race"), USES as u64);
    service.assert_healthy();
}

/// Tries until there is a final answer: the serial, or `None` when the key is exhausted.
async fn until_answered(device: Device, endpoint: Arc<RwLock<Endpoint>>, key: String) -> (Device, Option<String>) {
    let request = device.request(&key);
    loop {
        let there = endpoint.read().expect("no writer panicked").clone();
        match try_post(&there, &request).await {
            Some(answer) if answer.status == 200 => return (device, Some(answer.text("serialNumber"))),
            Some(answer) if answer.status == 403 => {
                assert_eq!(answer.code(), "key-exhausted", "{}", answer.body);
                return (device, None);
            }
            Some(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
            None => {} // killed
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
