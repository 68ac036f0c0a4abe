//! What an administrator does to a component holds for its device's very next request.

use std::sync::Arc;

use serde_json::{Value, json};

use super::support::{Client, KEYS, KINDS, id, string};
use crate::support::{Answer, Device, Endpoint, Service};

/// Resources of components and schedules, and the members that name a component's group, in the order of [`KINDS`].
const RESOURCES: [(&str, &str, &str); 4] = [
    ("connector", "connectorSchedule", "appConnectorGroup"),
    ("serviceEdge", "serviceEdgeSchedule", "serviceEdgeGroup"),
    ("networkConnector", "networkConnectorSchedule", "networkConnectorGroup"),
    ("machine", "machineSchedule", "machineGroup"),
];

/// `enrolled`, `replayed`, `re-enrolled`, or the code of the refusal.
fn outcome(answer: &Answer) -> String {
    if answer.status == 200 { answer.text("outcome") } else { answer.code() }
}

async fn enroll(device: &Device, endpoint: &Endpoint, key: &Value) -> String {
    outcome(&device.enroll(endpoint, string(key)).await)
}

/// A new component's path.
async fn enrolled(device: &Device, endpoint: &Endpoint, key: &Value) -> String {
    let answer = device.enroll(endpoint, string(key)).await;
    assert_eq!(outcome(&answer), "enrolled", "{}", answer.body);
    format!("connector/{}", answer.text("componentId"))
}

async fn post(client: &Client, path: &str, body: &Value) -> Answer {
    client.send("POST", path, body.to_string(), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn components_of_each_kind_are_listed_found_and_read() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    for ((groups, association, kind), (resource, _, member)) in KINDS.into_iter().zip(RESOURCES) {
        let group = client.make_group(groups, "HQ").await;
        let keys = format!("associationType/{association}/provisioningKey");
        let key = client.make(&keys, &json!({ "name": "k", "maxUsage": 5, "zcomponentId": group })).await;
        let mut answers = Vec::new();
        for n in 0..3 {
            let device = Device::new(&format!("{kind}-{n}"));
            answers.push((device.enroll(&endpoint, string(&key)).await, device.fingerprint));
        }
        let page = client.get(&format!("{resource}?page=2&pagesize=2")).await.json();
        assert_eq!((&page["totalPages"], &page["totalCount"]), (&json!("2"), &json!("3")), "{kind}");
        assert_eq!(page["list"][0]["name"], "k-3");
        assert_eq!(client.get(&format!("{resource}?page=3&pagesize=2")).await.json()["list"], json!([]));
        let found = client.get(&format!("{resource}?search=name%2BEQ%2BK-2")).await.json();
        assert_eq!((&found["totalCount"], &found["list"][0]["name"]), (&json!("1"), &json!("k-2")), "{kind}");

        let (answer, fingerprint) = &answers[1];
        let one = client.get(&format!("{resource}/{}", answer.text("componentId"))).await;
        assert_eq!(one.header("etag"), Some("\"1\""));
        let one = one.json();
        assert_eq!(one, found["list"][0], "alike in the list and alone");
        assert_eq!((&one["fingerprint"], &one["hostname"]), (&json!(fingerprint), &json!("test.example")));
        assert_eq!((&one["provisioningKeyId"], &one["provisioningKeyName"]), (&key["id"], &json!("k")));
        assert_eq!((&one[format!("{member}Id")], &one[format!("{member}Name")]), (&json!(group), &json!("HQ")));
        assert_eq!(one["enrollmentCert"], json!({ "id": key["enrollmentCertId"], "name": signer(kind) }));
        assert_eq!((&one["state"], &one["enabled"]), (&json!("live"), &json!(true)));
        assert_eq!((&one["remoteAddress"], &one["publicIp"]), (&json!("127.0.0.1"), &json!("127.0.0.1")));
        assert_eq!(
            (&one["certificateSerialNumber"], &one["issuedCertId"]),
            (&json!(answer.text("serialNumber")), &json!(answer.text("serialNumber")))
        );
        for member in ["creationTime", "modifiedTime", "enrollmentTime", "certificateNotAfter"] {
            assert!(one[member].as_str().is_some_and(|text| text.parse::<u64>().is_ok()), "{member}");
        }
        // MUST 17, and what would have to be made up.
        for member in ["ipAcl", "controlChannelStatus", "lastRenewalTime", "description"] {
            assert!(one.get(member).is_none(), "{member}");
        }

        let certificate = client.get(&format!("{resource}/{}/certificate", answer.text("componentId"))).await;
        assert_eq!(certificate.header("content-type"), Some("application/x-pem-file"));
        assert_eq!(certificate.body, answer.text("certificate"));

        let read = client.get(&format!("{groups}/{group}")).await.json();
        assert_eq!((&read["keyCount"], &read["componentCount"]), (&json!("1"), &json!("3")), "{kind}");
        let machines = read.get("machines").and_then(Value::as_array).map(Vec::len);
        assert_eq!(machines, (kind == "machine").then_some(3));
        let listed = client.get(groups).await.json()["list"][0].clone();
        assert_eq!((&listed["componentCount"], listed.get("machines")), (&json!("3"), None));
        // Attached members would make a public client detach what its configuration does not list.
        assert!(read.get("connectors").is_none() && read.get("serviceEdges").is_none());
    }
    // Of another kind, deleted, and no id at all: one answer for all.
    let some = id(&client.get("connector").await.json()["list"][0]).to_owned();
    let missing = client.get("serviceEdge/1").await;
    assert_eq!((missing.status, &missing.json()["id"]), (404, &json!("resource.not.found")));
    let foreign = client.get(&format!("serviceEdge/{some}")).await;
    assert_eq!((foreign.status, foreign.body), (404, missing.body.replace('1', &some)));
    assert_eq!(client.get("connector/x").await.status, 404);
    service.assert_healthy();
}

fn signer(kind: &str) -> &'static str {
    match kind {
        "app-connector" => "Connector",
        "service-edge" => "Service Edge",
        "network-connector" => "Network Connector",
        _ => "Client",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_revoked_and_deleted_are_told_to_the_next_request() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, key_path) = client.make_key(&group, "k", json!({ "maxUsage": 1, "allowReEnrollment": true })).await;
    let device = Device::new("device");
    let path = enrolled(&device, &endpoint, &key).await;

    client.edit(&path, &json!({ "enabled": false })).await;
    assert_eq!(client.get(&path).await.json()["state"], "disabled");
    for device in [&device, &device.reinstalled()] {
        assert_eq!(enroll(device, &endpoint, &key).await, "component-disabled");
    }
    client.edit(&path, &json!({ "enabled": true })).await;
    assert_eq!(enroll(&device, &endpoint, &key).await, "replayed");

    assert_eq!(client.send("POST", &format!("{path}/revoke"), "", &[]).await.status, 204);
    assert_eq!(client.send("POST", &format!("{path}/revoke"), "", &[]).await.status, 204);
    assert_eq!(client.get(&path).await.json()["state"], "revoked");
    for device in [&device, &device.reinstalled()] {
        assert_eq!(enroll(device, &endpoint, &key).await, "component-revoked");
    }
    // Its use is gone with it unless it is given back.
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(enroll(&device, &endpoint, &key).await, "key-exhausted");
    client.edit(&key_path, &json!({ "maxUsage": 2 })).await;
    let path = enrolled(&device, &endpoint, &key).await;
    assert_eq!(client.get(&path).await.json()["name"], "k-2");
    let refused = client.delete(&format!("{path}?releaseUse=yes")).await;
    assert_eq!((refused.status, &refused.json()["params"]), (400, &json!(["releaseUse"])));
    assert_eq!(client.delete(&format!("{path}?releaseUse=true")).await.status, 204);
    assert_eq!(client.get(&key_path).await.json()["usageCount"], "1");
    assert_eq!(enroll(&device, &endpoint, &key).await, "enrolled");
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_edited_as_the_public_clients_do() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, key_path) = client.make_key(&group, "k", json!({})).await;
    let path = enrolled(&Device::new("device"), &endpoint, &key).await;

    client.edit(&path, &json!({ "name": "roof", "description": "North", "enabled": false })).await;
    // Go leaves `enabled` out and sends an empty key: nothing of either changes.
    client.edit(&path, &json!({ "name": "roof", "provisioningKeyId": "", "provisioningKeyName": "" })).await;
    let read = client.get(&path).await;
    assert_eq!(read.header("etag"), Some("\"2\""));
    let mut whole = read.json();
    assert_eq!((&whole["name"], &whole["description"]), (&json!("roof"), &json!("North")));
    assert_eq!((&whole["enabled"], &whole["provisioningKeyId"]), (&json!(false), &key["id"]));
    assert_ne!(whole["modifiedBy"], "-2");
    // pyzscaler reads it and sends all of it back, also when its key is gone.
    assert_eq!(client.delete(&key_path).await.status, 204);
    whole["description"] = json!("South");
    client.edit(&path, &whole).await;
    let read = client.get(&path).await.json();
    assert_eq!((&read["description"], read.get("provisioningKeyName")), (&json!("South"), None));

    let stale = client.send("PUT", &path, "{}", &[("if-match", "\"2\"")]).await;
    assert_eq!((stale.status, &stale.json()["id"]), (412, &json!("precondition.failed")));
    for (method, path) in [("DELETE", path.clone()), ("POST", format!("{path}/revoke"))] {
        assert_eq!(client.send(method, &path, "", &[("if-match", "\"2\"")]).await.status, 412, "{method}");
    }
    let wrong = client.put(&path, &json!({ "name": "a|b", "enabled": 1, "provisioningKeyId": "7" })).await;
    assert_eq!((wrong.status, &wrong.json()["params"]), (400, &json!(["name", "enabled", "provisioningKeyId"])));
    assert_eq!(client.send("DELETE", &path, "", &[("if-match", "\"3\"")]).await.status, 204);
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attached_component_answers_to_its_new_key() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let branch = client.make_group("appConnectorGroup", "Branch").await;
    let (one, _) = client.make_key(&group, "one", json!({ "maxUsage": 2 })).await;
    let (two, two_path) = client.make_key(&group, "two", json!({ "maxUsage": 1 })).await;
    let (elsewhere, _) = client.make_key(&branch, "elsewhere", json!({})).await;
    let device = Device::new("device");
    let path = enrolled(&device, &endpoint, &one).await;

    let refused = client.put(&path, &json!({ "provisioningKeyId": id(&elsewhere) })).await;
    assert_eq!((refused.status, &refused.json()["params"]), (400, &json!(["provisioningKeyId"])));
    client.edit(&path, &json!({ "provisioningKeyId": id(&two) })).await;
    assert_eq!(client.get(&path).await.json()["provisioningKeyName"], "two");
    assert_eq!(client.get(&two_path).await.json()["usageCount"], "0");
    assert_eq!(enroll(&device, &endpoint, &two).await, "replayed");
    // To the old key the device is new again; then the two cannot meet.
    let twin = enrolled(&device, &endpoint, &one).await;
    let refused = client.put(&twin, &json!({ "provisioningKeyId": id(&two) })).await;
    assert_eq!((refused.status, &refused.json()["params"]), (400, &json!(["provisioningKeyId"])));
    assert!(refused.text("reason").contains("same fingerprint"), "{}", refused.body);
    // Deleted, it gives its use back to the key that it was taken from.
    assert_eq!(client.delete(&format!("{path}?releaseUse=true")).await.status, 204);
    assert_eq!(client.get(&format!("{KEYS}/{}", id(&one))).await.json()["usageCount"], "1");
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_deleted_at_once() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, _) = client.make_key(&group, "k", json!({})).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let path = enrolled(&Device::new(&format!("device-{n}")), &endpoint, &key).await;
        ids.push(path.trim_start_matches("connector/").to_owned());
    }
    for body in [
        json!({}),
        json!({ "ids": [] }),
        json!({ "ids": "1" }),
        json!({ "ids": ["x"] }),
        json!({ "ids": vec!["1"; 501] }),
    ] {
        let refused = post(&client, "connector/bulkDelete", &body).await;
        assert_eq!((refused.status, &refused.json()["params"]), (400, &json!(["ids"])), "{body}");
    }
    // Of another kind, or not there: skipped.
    assert_eq!(post(&client, "machine/bulkDelete", &json!({ "ids": ids })).await.status, 204);
    assert_eq!(client.get("connector").await.json()["totalCount"], "3");
    for _ in 0..2 {
        let done = post(&client, "connector/bulkDelete", &json!({ "ids": [ids[0], "1", ids[2]] })).await;
        assert_eq!((done.status, done.body.as_str(), done.header("content-type")), (204, "", None));
    }
    let left = client.get("connector").await.json();
    assert_eq!((&left["totalCount"], &left["list"][0]["id"]), (&json!("1"), &json!(ids[1])));
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_with_its_keys_and_components_when_forced() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let path = format!("appConnectorGroup/{group}");
    let (key, _) = client.make_key(&group, "k", json!({})).await;
    let (device, other) = (Device::new("device"), Device::new("other"));
    let component = enrolled(&device, &endpoint, &key).await;
    for query in ["", "?force=false"] {
        let refused = client.delete(&format!("{path}{query}")).await;
        assert_eq!((refused.status, &refused.json()["id"]), (400, &json!("resource.referenced")));
    }
    assert_eq!(client.delete(&format!("{path}?force=1")).await.json()["params"], json!(["force"]));
    let stale = client.send("DELETE", &format!("{path}?force=true"), "", &[("if-match", "\"2\"")]).await;
    assert_eq!(stale.status, 412);
    assert_eq!(client.delete(&format!("{path}?force=true")).await.status, 204);
    for device in [&device, &other] {
        assert_eq!(enroll(device, &endpoint, &key).await, "invalid-key");
    }
    for path in [&component, &path, &format!("{KEYS}/{}", id(&key))] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    assert_eq!(client.get("connector").await.json()["totalCount"], "0");
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_has_one_clean_up_schedule() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    for (_, resource, _) in RESOURCES {
        let none = client.get(resource).await;
        assert_eq!((none.status, &none.json()["id"]), (404, &json!("resource.not.found")), "{resource}");
        let sent = json!({ "customerId": "1", "enabled": true, "deleteDisabled": false, "frequency": "days",
            "frequencyInterval": "5" });
        let made = client.make(resource, &sent).await;
        let again = post(&client, resource, &sent).await;
        assert_eq!((again.status, &again.json()["id"]), (400, &json!("resource.already.exist")), "{resource}");
        let path = format!("{resource}/{}", id(&made));
        // As the Python client writes it.
        client.edit(&path, &json!({ "customer_id": "1", "delete_disabled": true, "frequency": "days", "frequency_interval": "90" })).await;
        let read = client.get(resource).await;
        assert_eq!(read.header("etag"), Some("\"2\""));
        let read = read.json();
        assert_eq!((&read["enabled"], &read["deleteDisabled"]), (&json!(true), &json!(true)), "{resource}");
        assert_eq!((&read["frequency"], &read["frequencyInterval"]), (&json!("days"), &json!("90")));
        for wrong in [json!({ "frequencyInterval": 6 }), json!({ "frequency": "weeks" })] {
            let refused = client.put(&path, &wrong).await;
            assert_eq!((refused.status, &refused.json()["params"]), (400, &json!(["frequencyInterval"])), "{wrong}");
        }
        assert_eq!(client.put(&format!("{resource}/1"), &json!({})).await.status, 404);
        assert_eq!(client.send("PUT", &path, "{}", &[("if-match", "\"1\"")]).await.status, 412);
    }
    service.assert_healthy();
}

/// Two components of one fingerprint run for one key, and a device of that fingerprint with them.
#[tokio::test(flavor = "multi_thread")]
async fn racing_attachments_and_enrollments_leave_one_component_per_key_and_fingerprint() {
    let service = Service::start();
    let client = Arc::new(Client::sign_in(&service).await);
    let endpoint = service.endpoint();
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (one, _) = client.make_key(&group, "one", json!({})).await;
    let (two, _) = client.make_key(&group, "two", json!({})).await;
    let (target, target_path) = client.make_key(&group, "target", json!({ "maxUsage": 1_000 })).await;
    for round in 0..8 {
        let device = Arc::new(Device::new(&format!("twin-{round}")));
        let paths = [enrolled(&device, &endpoint, &one).await, enrolled(&device, &endpoint, &two).await];
        let attaching = paths.map(|path| {
            let (client, to) = (Arc::clone(&client), id(&target).to_owned());
            tokio::spawn(async move { client.put(&path, &json!({ "provisioningKeyId": to })).await })
        });
        let (endpoint, key) = (endpoint.clone(), target.clone());
        let enrolling = tokio::spawn(async move { enroll(&device, &endpoint, &key).await });
        let mut won = 0;
        for attached in attaching {
            let answer = attached.await.expect("a task");
            match answer.status {
                204 => won += 1,
                400 => assert!(answer.text("reason").contains("same fingerprint"), "{}", answer.body),
                _ => panic!("{}", answer.body),
            }
        }
        match enrolling.await.expect("a task").as_str() {
            "enrolled" => won += 1,
            // Its key pair is that of the component that was attached first.
            "replayed" => {}
            other => panic!("{other}"),
        }
        assert_eq!(won, 1, "round {round}");
    }
    let uses = client.get(&target_path).await.text("usageCount").parse::<u32>().expect("a number");
    assert!(uses <= 8, "{uses}");
    service.assert_healthy();
}

/// A device re-enrolls while its component is deleted and its use released.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_races_a_re_enrollment_loses_no_use() {
    let service = Service::start();
    let (client, endpoint) = (Arc::new(Client::sign_in(&service).await), service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, key_path) = client.make_key(&group, "k", json!({ "maxUsage": 1, "allowReEnrollment": true })).await;
    let mut path = enrolled(&Device::new("device"), &endpoint, &key).await;
    for round in 0..8 {
        let (endpoint_, key_) = (endpoint.clone(), key.clone());
        let again = tokio::spawn(async move { Device::new("device").enroll(&endpoint_, string(&key_)).await });
        let deleted = client.delete(&format!("{path}?releaseUse=true")).await;
        assert_eq!(deleted.status, 204, "{}", deleted.body);
        let again = again.await.expect("a task");
        let last = match outcome(&again).as_str() {
            // It came before the deletion, which took its new certificate with it.
            "re-enrolled" => Device::new("device").enroll(&endpoint, string(&key)).await,
            "enrolled" => again,
            // It came before, too; or the key was looked at in between.
            "key-exhausted" => Device::new("device").enroll(&endpoint, string(&key)).await,
            other => panic!("round {round}: {other}"),
        };
        assert_eq!(last.status, 200, "round {round}: {}", last.body);
        path = format!("connector/{}", last.text("componentId"));
        assert_eq!(client.get(&key_path).await.json()["usageCount"], "1", "round {round}");
        assert_eq!(client.get("connector").await.json()["totalCount"], "1", "round {round}");
    }
    service.assert_healthy();
}

/// Devices enroll while their group is deleted with all it has: who came in time is counted, who did not
/// meets a key that is not known.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_deletion_that_races_enrollments_leaves_nothing_behind() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, _) = client.make_key(&group, "k", json!({ "maxUsage": 1_000 })).await;
    let enrolling: Vec<_> = (0..24)
        .map(|n| {
            let (endpoint, key) = (endpoint.clone(), key.clone());
            tokio::spawn(async move { enroll(&Device::new(&format!("device-{n}")), &endpoint, &key).await })
        })
        .collect();
    assert_eq!(client.delete(&format!("appConnectorGroup/{group}?force=true")).await.status, 204);
    for enrolled in enrolling {
        let outcome = enrolled.await.expect("a task");
        assert!(["enrolled", "invalid-key"].contains(&outcome.as_str()), "{outcome}");
    }
    assert_eq!(client.get("connector").await.json()["totalCount"], "0");
    assert_eq!(client.get("appConnectorGroup").await.json()["totalCount"], "0");
    service.assert_healthy();
}
