//! A key with k uses left gives exactly k enrollments; through kills, too: `faults/kills.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Device, Service};

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
