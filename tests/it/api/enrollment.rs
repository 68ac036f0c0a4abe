//! An administrator who was answered can rely on it: the next device meets the new state.

use muster::clock::{Clock as _, SystemClock, Timestamp};
use serde_json::json;

use super::support::{Client, KINDS, id, string};
use crate::support::{Device, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_any_kind_enrolls_at_once() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    for (resource, association, kind) in KINDS {
        let group = client.make_group(resource, "HQ").await;
        let keys = format!("associationType/{association}/provisioningKey");
        for n in 0..5 {
            let name = format!("{kind}-{n}");
            let key = client.make(&keys, &json!({ "name": name, "maxUsage": 1, "zcomponentId": group })).await;
            let enrolled = Device::new(&name).enroll(&service.endpoint(), string(&key)).await;
            assert_eq!(enrolled.status, 200, "{name}: {}", enrolled.body);
            assert_eq!((enrolled.text("outcome"), enrolled.text("kind")), ("enrolled".into(), kind.into()));
            assert_eq!((enrolled.text("groupId"), enrolled.text("groupName")), (group.clone(), "HQ".into()));

            let found = client.get(&format!("{keys}/{}", id(&key))).await.json();
            assert_eq!((&found["usageCount"], &found["state"]), (&json!("1"), &json!("exhausted")), "{name}");
            assert_eq!(found["lastUsedBy"], enrolled.text("componentId"));
        }
    }
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_holds_for_the_very_next_enrollment() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) = client.make_key(&group, "k", json!({ "maxUsage": 1 })).await;
    let first = Device::new("first");
    assert_eq!(first.enroll(&endpoint, string(&key)).await.status, 200);

    // A device of its own for each that is accepted, so that none is a replay.
    let next = async |name: &str| {
        let answer = Device::new(name).enroll(&endpoint, string(&key)).await;
        if answer.status == 200 { answer.text("outcome") } else { answer.code() }
    };
    assert_eq!(next("second").await, "key-exhausted");
    client.edit(&path, &json!({ "maxUsage": "2" })).await;
    assert_eq!(next("second").await, "enrolled");
    client.edit(&path, &json!({ "maxUsage": 1 })).await;
    assert_eq!(next("third").await, "key-exhausted");
    client.edit(&path, &json!({ "maxUsage": 20 })).await;

    client.edit(&path, &json!({ "enabled": false })).await;
    assert_eq!(next("third").await, "key-disabled");
    client.edit(&path, &json!({ "enabled": true })).await;
    assert_eq!(next("third").await, "enrolled");

    client.edit(&path, &json!({ "ipAcl": ["192.0.2.0/24", "2001:db8::/32"] })).await;
    assert_eq!(next("fourth").await, "address-not-allowed");
    client.edit(&path, &json!({ "ipAcl": ["192.0.2.0/24", "127.0.0.1"] })).await;
    assert_eq!(next("fourth").await, "enrolled");
    client.edit(&path, &json!({ "ipAcl": [] })).await;

    assert_eq!(first.reinstalled().enroll(&endpoint, string(&key)).await.code(), "reenrollment-not-allowed");
    client.edit(&path, &json!({ "allowReEnrollment": true })).await;
    assert_eq!(first.reinstalled().enroll(&endpoint, string(&key)).await.text("outcome"), "re-enrolled");

    let group_path = format!("appConnectorGroup/{group}");
    client.edit(&group_path, &json!({ "enabled": false })).await;
    assert_eq!(next("fifth").await, "group-disabled");
    client.edit(&group_path, &json!({ "enabled": true })).await;
    assert_eq!(next("fifth").await, "enrolled");
    let found = client.get(&path).await.json();
    assert_eq!((&found["usageCount"], &found["reEnrollments"]), (&json!("5"), &json!("1")));
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_until_its_expiry_and_again_when_that_is_taken_away() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) = client.make_key(&group, "k", json!({})).await;
    let past = client.put(&path, &json!({ "expirationInEpochSec": "1700000000" })).await;
    assert_eq!((past.status, &past.json()["params"]), (400, &json!(["expirationInEpochSec"])));

    let expiry = SystemClock.now().unix_seconds() + 2;
    client.edit(&path, &json!({ "expirationInEpochSec": expiry.to_string() })).await;
    // Every answer tells the service's time, so nothing here has to guess how fast the test is.
    let device = Device::new("device");
    let mut time_before = 0;
    loop {
        let answer = device.enroll(&endpoint, string(&key)).await;
        let time = Timestamp::from_rfc3339(&answer.text("serverTime")).expect("an instant").unix_seconds();
        if answer.status == 403 {
            assert_eq!(answer.code(), "key-expired");
            assert!(time >= expiry, "refused at {time}, the key ends at {expiry}");
            break;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(time_before < expiry, "accepted after {time_before}, the key ended at {expiry}");
        time_before = time;
    }
    assert_eq!(client.get(&path).await.json()["state"], "expired");
    client.edit(&path, &json!({ "expirationInEpochSec": null })).await;
    assert_eq!(Device::new("another").enroll(&endpoint, string(&key)).await.text("outcome"), "enrolled");
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_is_unknown_to_devices_at_once() {
    let mut service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) = client.make_key(&group, "k", json!({})).await;
    let device = Device::new("device");
    assert_eq!(device.enroll(&endpoint, string(&key)).await.status, 200);
    assert_eq!(client.delete(&path).await.status, 204);
    // Also to one that has its certificate: a replay shows the key first.
    for device in [&device, &Device::new("another")] {
        let refused = device.enroll(&endpoint, string(&key)).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "invalid-key"));
    }
    // The component stays, and with it the group.
    let in_use = client.delete(&format!("appConnectorGroup/{group}")).await;
    assert_eq!((in_use.status, &in_use.json()["id"]), (400, &json!("resource.referenced")));
    service.assert_healthy();
    service.stop();
    service.launch();
    assert_eq!(device.enroll(&service.endpoint(), string(&key)).await.status, 401, "also after a restart");
    service.assert_healthy();
}
