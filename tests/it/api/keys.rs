//! What can be done with a provisioning key, each followed by what a device or the next request meets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use muster::clock::SystemClock;
use muster::domain::ComponentState;
use muster::store::Store as _;
use muster::store::embedded::EmbeddedStore;
use serde_json::{Value, json};

use super::support::{Client, KEYS, KINDS, id, string};
use crate::support::device::post;
use crate::support::{Answer, Device, Service};

/// A key string as another service may have made it: 36 characters, padding, a number.
const FOREIGN: &str = "2|api.private.example.com|Rm9yZWlnbi1mb3JlaWduLWZvcmVpZ24tMQ==-216196257331404676";

fn refusal(answer: &Answer) -> (u16, String, Value) {
    let body = answer.json();
    (answer.status, body["id"].as_str().unwrap_or_default().to_owned(), body["params"].clone())
}

fn refused(status: u16, id: &str, params: Value) -> (u16, String, Value) {
    (status, id.to_owned(), params)
}

fn import_of(group: &str, name: &str, text: &str) -> Value {
    json!({ "name": name, "zcomponentId": group, "maxUsage": "2", "provisioningKey": text })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_string_enrolls_and_is_never_shown() {
    let service = Service::start_with("[log]\nlevel = \"trace\"\n");
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    assert_eq!(Device::new("early").enroll(&endpoint, FOREIGN).await.status, 401);
    // As read from a file.
    let made = client.make(&format!("{KEYS}/import"), &import_of(&group, "old", &format!("{FOREIGN}\n"))).await;
    assert_eq!(Device::new("first").enroll(&endpoint, FOREIGN).await.text("outcome"), "enrolled");
    let path = format!("{KEYS}/{}", id(&made));
    let found = client.get(&path).await.json();
    for key in [&made, &found] {
        assert_eq!(
            (&key["exportable"], key.get("provisioningKey"), key.get("keyVersion")),
            (&json!(false), None, None)
        );
        assert_eq!(key["keyHint"], "2|api.private.example.com|Rm9yZWl...");
        let key_id = key["keyId"].as_str().expect("a key id");
        assert!(key_id.len() == 16 && !FOREIGN.contains(key_id), "{key_id} is of the secret");
    }
    assert_eq!((&found["usageCount"], &found["maxUsage"]), (&json!("1"), &json!("2")));
    let export = client.post(&format!("{path}/export"), &json!({})).await;
    assert_eq!(refusal(&export), refused(400, "not.exportable", json!(["exportable"])));

    let import = async |body: Value| refusal(&client.post(&format!("{KEYS}/import"), &body).await);
    let duplicate = |member: &str| refused(400, "duplicate.resource.name", json!([member]));
    assert_eq!(import(import_of(&group, "twin", FOREIGN)).await, duplicate("provisioningKey"));
    let (ours, _) = client.make_key(&group, "ours", json!({})).await;
    assert_eq!(import(import_of(&group, "twin", string(&ours))).await, duplicate("provisioningKey"));
    assert_eq!(import(import_of(&group, "OLD", &FOREIGN.replace("Rm9y", "Rm8y"))).await, duplicate("name"));
    let wrong = |member: &str| refused(400, "invalid.resource.argument", json!([member]));
    let damaged = string(&ours).replace("8443", "8444");
    for text in ["", "3|example.com", "9|example.com|Rm9yZWlnbi1mb3JlaWduLWZvcmVpZ24tMQ", &damaged] {
        assert_eq!(import(import_of(&group, "n", text)).await, wrong("provisioningKey"), "{text:.10}");
    }
    assert_eq!(
        import(json!({ "name": "n", "zcomponentId": group, "maxUsage": 1 })).await,
        refused(400, "missing.mandatory.params", json!(["provisioningKey"]))
    );
    let mut body = import_of(&group, "n", &FOREIGN.replace("Rm9y", "Rm8y"));
    body["provisioningKey"] = json!(7);
    assert_eq!(import(body).await, wrong("provisioningKey"));

    // Nowhere in the log, nor in the store's files; nor does an answer repeat what was refused.
    let secret = "Rm9yZWlnbi1mb3JlaWduLWZvcmVpZ24";
    let twin = client.post(&format!("{KEYS}/import"), &import_of(&group, "twin", FOREIGN)).await;
    assert!(!twin.body.contains(secret));
    let mut seen = service.log().into_bytes();
    for entry in std::fs::read_dir(service.data_dir()).expect("the data directory") {
        seen.extend(std::fs::read(entry.expect("a file").path()).expect("a file"));
    }
    let is_there = |text: &str| seen.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(is_there("Rm9yZWl..."), "the search finds what is there");
    assert!(!is_there(secret), "the imported string stays behind");
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_elsewhere_in_our_form_keeps_its_version_over_a_restart() {
    let mut service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("machineGroup", "Laptops").await;
    let keys = "associationType/MACHINE_GRP/provisioningKey";
    let mut strings = Vec::new();
    for version in ["1", "3"] {
        let body = json!({ "name": format!("v{version}"), "zcomponentId": group, "keyVersion": version });
        let key = client.make(keys, &body).await;
        let path = format!("{keys}/{}", id(&key));
        assert_eq!(client.delete(&path).await.status, 204);
        let back =
            json!({ "name": "back", "zcomponentId": group, "provisioningKey": string(&key), "keyVersion": version });
        let other = if version == "1" { "3" } else { "1" };
        let mut wrong = back.clone();
        wrong["keyVersion"] = json!(other);
        let wrong = client.post(&format!("{keys}/import"), &wrong).await;
        assert_eq!(refusal(&wrong), refused(400, "invalid.resource.argument", json!(["keyVersion"])));
        let mut named = back;
        named["name"] = json!(format!("back-{version}"));
        let back = client.make(&format!("{keys}/import"), &named).await;
        assert_eq!((&back["keyVersion"], &back["keyId"]), (&json!(version), &key["keyId"]));
        assert_eq!((back.get("maxUsage"), &back["exportable"]), (None, &json!(false)));
        strings.push(string(&key).to_owned());
    }
    service.stop();
    service.launch();
    for (n, string) in strings.iter().enumerate() {
        let enrolled = Device::new(&format!("device-{n}")).enroll(&service.endpoint(), string).await;
        assert_eq!(enrolled.text("outcome"), "enrolled");
    }
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_works_beside_its_successor_until_it_is_disabled() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (old, path) = client.make_key(&group, "k", json!({ "maxUsage": 2, "uiConfig": "{\"icon\":1}" })).await;
    let device = Device::new("device");
    assert_eq!(device.enroll(&endpoint, string(&old)).await.status, 200);

    // As the public clients do, with or without a body.
    let rotated = client.send("POST", &format!("{path}/rotate"), "", &[]).await;
    assert_eq!((rotated.status, rotated.header("etag")), (200, Some("\"1\"")), "{}", rotated.body);
    let new = rotated.json();
    assert_eq!((&new["name"], &new["usageCount"], &new["maxUsage"]), (&json!("k-2"), &json!("0"), &json!("2")));
    assert_eq!(new["uiConfig"], "{\"icon\":1}");
    assert_ne!(string(&new), string(&old));
    assert_eq!(client.get(&path).await.json()["successorId"], new["id"]);
    for key in [&old, &new] {
        let name = format!("next-{}", id(key));
        assert_eq!(Device::new(&name).enroll(&endpoint, string(key)).await.text("outcome"), "enrolled");
    }
    // To a device the successor is a new key.
    assert_eq!(device.enroll(&endpoint, string(&new)).await.text("outcome"), "enrolled");
    assert_eq!(Device::new("late").enroll(&endpoint, string(&new)).await.code(), "key-exhausted");
    client.edit(&path, &json!({ "enabled": false })).await;
    assert_eq!(Device::new("late").enroll(&endpoint, string(&old)).await.code(), "key-disabled");

    let again = client.post(&format!("{path}/rotate"), &json!({})).await;
    assert_eq!(refusal(&again), refused(400, "already.rotated", json!([id(&new)])));
    let new_path = format!("{KEYS}/{}", id(&new));
    let stale = client.send("POST", &format!("{new_path}/rotate"), "{}", &[("if-match", "\"9\"")]).await;
    assert_eq!((stale.status, stale.text("id").as_str()), (412, "precondition.failed"));
    for (body, expected) in [
        (json!({ "name": "K" }), refused(400, "duplicate.resource.name", json!(["name"]))),
        (json!({ "name": "a|b" }), refused(400, "invalid.resource.argument", json!(["name"]))),
        (json!({ "name": 7 }), refused(400, "invalid.resource.argument", json!(["name"]))),
    ] {
        assert_eq!(refusal(&client.post(&format!("{new_path}/rotate"), &body).await), expected, "{body}");
    }
    assert_eq!(client.make(&format!("{new_path}/rotate"), &json!({})).await["name"], "k-3");
    let missing = client.post(&format!("{KEYS}/4711/rotate"), &json!({})).await;
    assert_eq!(refusal(&missing), refused(404, "resource.not.found", json!(["4711"])));
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rotations_at_once_make_one_successor() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    for n in 0..5 {
        let (_, path) = client.make_key(&group, &format!("race{n}"), json!({})).await;
        let (rotate, body) = (format!("{path}/rotate"), json!({}));
        let answers = tokio::join!(client.post(&rotate, &body), client.post(&rotate, &body));
        let (made, other) = match (answers.0.status, answers.1.status) {
            (200, 400) => (answers.0, answers.1),
            (400, 200) => (answers.1, answers.0),
            statuses => panic!("{statuses:?}: {} {}", answers.0.body, answers.1.body),
        };
        let made = made.json();
        assert_eq!(refusal(&other), refused(400, "already.rotated", json!([id(&made)])));
        assert_eq!(client.get(&path).await.json()["successorId"], made["id"]);
        let device = Device::new(&format!("device-{n}"));
        assert_eq!(device.enroll(&endpoint, string(&made)).await.text("outcome"), "enrolled");
    }
    assert_eq!(client.get(KEYS).await.json()["totalCount"], "10");
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_a_text_file_while_it_is_of_use() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) = client.make_key(&group, "Head office 1.0", json!({ "maxUsage": 1 })).await;
    let export = async || client.post(&format!("{path}/export"), &json!({})).await;
    let exported = export().await;
    assert_eq!(exported.status, 200);
    for (header, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-disposition", "attachment; filename=\"Head office 1.0.txt\""),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(exported.header(header), Some(value));
    }
    assert_eq!(exported.body, format!("{}\n", string(&key)));
    assert_eq!(Device::new("device").enroll(&endpoint, &exported.body).await.status, 200, "the file as it is");

    let exhausted = export().await;
    assert_eq!(refusal(&exhausted), refused(400, "nonce.usage.exceeded", json!(["maxUsage"])));
    assert!(exhausted.text("reason").contains("raise maxUsage"), "{}", exhausted.body);
    // The list and the key itself go on showing it.
    assert_eq!(client.get(&path).await.json()["provisioningKey"], key["provisioningKey"]);
    client.edit(&path, &json!({ "maxUsage": 2 })).await;
    assert_eq!(export().await.status, 200);
    client.edit(&path, &json!({ "exportable": false })).await;
    assert_eq!(refusal(&export().await), refused(400, "not.exportable", json!(["exportable"])));
    let elsewhere = path.replace("CONNECTOR_GRP", "MACHINE_GRP");
    assert_eq!(client.post(&format!("{elsewhere}/export"), &json!({})).await.status, 404);
    assert_eq!(client.get(&format!("{path}/export")).await.status, 405);
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_and_the_very_next_enrollment_say_the_same() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) = client.make_key(&group, "k", json!({ "maxUsage": 3 })).await;
    let check = async |text: &str| {
        // Under any association type: who checks a key often does not know which it is.
        let body = json!({ "provisioningKey": text });
        let answers = [
            client.make(&format!("{KEYS}/check"), &body).await,
            client.make("associationType/MACHINE_GRP/provisioningKey/check", &body).await,
        ];
        assert_eq!(answers[0], answers[1]);
        answers.into_iter().next().expect("two")
    };
    let mut devices = 0;
    let mut agree = async |code: Option<&str>| {
        let checked = check(string(&key)).await;
        assert_eq!((&checked["result"], &checked["id"], &checked["name"]), (&json!("known"), &key["id"], &json!("k")));
        assert_eq!((&checked["keyId"], &checked["associationType"]), (&key["keyId"], &json!("CONNECTOR_GRP")));
        assert_eq!((&checked["wouldEnroll"], checked["code"].as_str()), (&json!(code.is_none()), code));
        devices += 1;
        let answer = Device::new(&format!("device-{devices}")).enroll(&endpoint, string(&key)).await;
        match code {
            None => assert_eq!(answer.text("outcome"), "enrolled"),
            Some(code) => assert_eq!(answer.code(), code),
        }
    };
    agree(None).await;
    let uses = client.get(&path).await.json()["usageCount"].clone();
    assert_eq!(uses, "1", "a check takes none");

    let edits = async |path: &str, member: &str, value: Value| client.edit(path, &json!({ member: value })).await;
    let group_path = format!("appConnectorGroup/{group}");
    let signer = client.make("enrollmentCert/selfsigned/generate", &json!({ "name": "other" })).await;
    edits(&path, "enrollmentCertId", signer["id"].clone()).await;
    let signer_path = format!("enrollmentCert/{}", id(&signer));
    edits(&path, "enabled", json!(false)).await;
    agree(Some("key-disabled")).await;
    edits(&signer_path, "allowSigning", json!(false)).await;
    agree(Some("signing-certificate-unavailable")).await;
    edits(&group_path, "enabled", json!(false)).await;
    agree(Some("group-disabled")).await;
    edits(&group_path, "enabled", json!(true)).await;
    edits(&signer_path, "allowSigning", json!(true)).await;
    edits(&path, "enabled", json!(true)).await;
    agree(None).await;
    edits(&path, "maxUsage", json!(1)).await;
    agree(Some("key-exhausted")).await;
    edits(&path, "maxUsage", json!(9)).await;
    edits(&path, "ipAcl", json!(["192.0.2.0/24"])).await;
    let checked = check(string(&key)).await;
    assert_eq!((&checked["wouldEnroll"], &checked["addressesRestricted"]), (&json!(true), &json!(true)));

    for damaged in ["", "hello", &string(&key)[..40], &string(&key)[..string(&key).len() - 1]] {
        assert_eq!(check(damaged).await, json!({ "result": "damaged", "wouldEnroll": false }), "{damaged:.20}");
    }
    let unknown = [FOREIGN.to_owned(), string(&key).replacen('3', "1", 1), whole_key_of_nobody()];
    for unknown in unknown {
        assert_eq!(check(&unknown).await, json!({ "result": "unknown", "wouldEnroll": false }), "{unknown:.20}");
    }
    for (body, id) in [
        (json!({}), "missing.mandatory.params"),
        (json!({ "provisioningKey": null }), "missing.mandatory.params"),
        (json!({ "provisioningKey": ["x"] }), "invalid.resource.argument"),
    ] {
        let answer = client.post(&format!("{KEYS}/check"), &body).await;
        assert_eq!(refusal(&answer), refused(400, id, json!(["provisioningKey"])), "{body}");
    }
    service.assert_healthy();
}

/// A version-3 string with the right length and check, as a device accepts it.
fn whole_key_of_nobody() -> String {
    let cloud = "localhost:8443".parse().expect("a cloud");
    let key = muster::domain::KeySecret::generate(
        muster::domain::KeyVersion::Bootstrap,
        &cloud,
        muster::domain::TrustPin::NONE,
    );
    key.expose().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_tells_each_use_newest_first() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) = client.make_key(&group, "k", json!({ "allowReEnrollment": true })).await;
    let first = Device::new("first");
    let again = first.reinstalled();
    let enrolled = first.enroll(&endpoint, string(&key)).await;
    assert_eq!(Device::new("second").enroll(&endpoint, string(&key)).await.status, 200);
    let re_enrolled = again.enroll(&endpoint, string(&key)).await;
    assert_eq!(re_enrolled.text("outcome"), "re-enrolled");

    let page = async |query: &str| {
        let answer = client.get(&format!("{path}/uses{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(!answer.body.contains('|'), "no key string");
        answer.json()
    };
    let all = page("").await;
    assert_eq!((&all["totalCount"], &all["totalPages"]), (&json!("3"), &json!("1")));
    let rows = all["list"].as_array().expect("a list");
    let types: Vec<_> = rows.iter().map(|row| (row["sequence"].as_str(), row["type"].as_str())).collect();
    let expected = [("3", "re-enrollment"), ("2", "use"), ("1", "use")].map(|(n, what)| (Some(n), Some(what)));
    assert_eq!(types, expected);
    let (re_enrollment, use_row) = (&rows[0], &rows[2]);
    for row in [re_enrollment, use_row] {
        assert_eq!((&row["componentId"], &row["componentName"]), (&json!(enrolled.text("componentId")), &json!("k-1")));
        assert_eq!(row["remoteAddress"], "127.0.0.1");
        assert!(row["time"].as_str().is_some_and(|time| time.parse::<u64>().is_ok()));
    }
    assert_eq!(use_row["certificateSerialNumber"], enrolled.text("serialNumber"));
    assert_eq!((use_row["publicKeyHash"].as_str(), use_row.get("previous")), (Some(&*hash_of(&first)), None));
    assert_eq!(re_enrollment["certificateSerialNumber"], re_enrolled.text("serialNumber"));
    assert_eq!(re_enrollment["publicKeyHash"], hash_of(&again));
    let previous = json!({ "remoteAddress": "127.0.0.1", "certificateSerialNumber": enrolled.text("serialNumber"),
        "publicKeyHash": hash_of(&first) });
    assert_eq!(re_enrollment["previous"], previous);

    let second = page("?page=2&pagesize=2").await;
    assert_eq!((&second["totalPages"], &second["list"]), (&json!("2"), &json!([use_row])));
    assert_eq!(page("?page=3&pagesize=2").await["list"], json!([]));
    assert_eq!(client.get(&format!("{KEYS}/4711/uses")).await.status, 404);
    assert_eq!(client.get(&format!("{}/uses", path.replace("CONNECTOR_GRP", "MACHINE_GRP"))).await.status, 404);
}

/// SHA-256 of a device's SubjectPublicKeyInfo.
fn hash_of(device: &Device) -> String {
    use rcgen::PublicKeyData as _;
    let spki = device.key_pair.subject_public_key_info();
    ring::digest::digest(&ring::digest::SHA256, &spki).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_by_code() {
    let mut service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) = client.make_key(&group, "k", json!({ "maxUsage": 1 })).await;
    let endpoint = service.endpoint();
    assert_eq!(Device::new("first").enroll(&endpoint, string(&key)).await.status, 200);
    assert_eq!(client.get(&format!("{path}/refusals")).await.json()["list"], json!([]));
    let mut last = String::new();
    for n in 0..3 {
        last = Device::new(&format!("late-{n}")).enroll(&endpoint, string(&key)).await.text("reference");
    }
    let mut wrong = Device::new("wrong").request(string(&key));
    wrong["csr"] = json!("no CSR");
    assert_eq!(post(&endpoint, &wrong).await.code(), "invalid-csr");
    client.edit(&path, &json!({ "enabled": false })).await;
    assert_eq!(Device::new("late").enroll(&endpoint, string(&key)).await.code(), "key-disabled");

    // What was counted is handed over at the latest when the service ends.
    service.stop();
    service.launch();
    let client = Client::sign_in(&service).await;
    let all = client.get(&format!("{path}/refusals")).await.json();
    let rows = all["list"].as_array().expect("a list");
    // A new minute may have begun between two of them.
    let count = |code: &str| {
        let counts = rows.iter().filter(|row| row["code"] == code).map(|row| row["count"].as_str().expect("a string"));
        counts.map(|count| count.parse::<u64>().expect("a number")).sum::<u64>()
    };
    assert_eq!((count("key-exhausted"), count("key-disabled"), count("invalid-csr")), (3, 1, 1));
    assert_eq!(all["totalCount"], rows.len().to_string());
    let exhausted = rows.iter().find(|row| row["code"] == "key-exhausted").expect("a row");
    assert_eq!((&exhausted["lastReference"], &exhausted["source"]), (&json!(last), &json!("127.0.0.1/32")));
    assert_eq!(exhausted["lastReason"], "all 1 uses are taken");
    assert_eq!(exhausted["minute"].as_str().map(|minute| minute.parse::<u64>().expect("an epoch") % 60), Some(0));
    let first = client.get(&format!("{path}/refusals?pagesize=1")).await.json();
    assert_eq!(first["list"], json!([rows[0]]));
    let past = client.get(&format!("{path}/refusals?page=9&pagesize=500")).await.json();
    assert_eq!((&past["list"], &past["totalCount"]), (&json!([]), &all["totalCount"]));
    assert_eq!(client.get(&format!("{KEYS}/4711/refusals")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_revokes_when_asked() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let store = || EmbeddedStore::open_read_only(&service.data_dir(), Arc::new(SystemClock)).expect("the store");
    let rows = [("a", "", 204), ("b", "?revoke=false", 204), ("c", "?revoke=true", 204), ("d", "?revoke=maybe", 400)];
    for (name, query, status) in rows {
        let (key, path) = client.make_key(&group, name, json!({})).await;
        let enrolled = Device::new(name).enroll(&endpoint, string(&key)).await;
        let answer = client.delete(&format!("{path}{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
        assert_eq!(client.get(&path).await.status, if status == 204 { 404 } else { 200 }, "{query}");

        let customer = enrolled.text("customerId").parse().expect("an id");
        let component = store().find_component(customer, enrolled.text("componentId").parse().expect("an id")).await;
        let is_revoked =
            matches!(component.expect("the store").expect("a component").state, ComponentState::Revoked { .. });
        assert_eq!(is_revoked, query == "?revoke=true", "{query}");
        let last = store().list_audit(customer, 0, 500).await.expect("the store").pop().expect("an event").event;
        let told = (name == "c").then(|| r#"{"revokedComponents":1}"#.to_owned());
        if status == 204 {
            assert_eq!((&*last.action, last.after), ("delete", told), "{query}");
        }
    }
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_answers_for_each_key_as_it_would_alone() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (a, a_path) = client.make_key(&group, "a", json!({ "expirationInEpochSec": "4102444800" })).await;
    let (b, b_path) = client.make_key(&group, "b", json!({})).await;
    let bulk = async |operation: &str, more: Value| {
        let mut body = json!({ "operation": operation, "ids": [id(&b), "4711", id(&a), id(&b)] });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        client.make(&format!("{KEYS}/bulk"), &body).await["results"].clone()
    };
    let missing = client.get(&format!("{KEYS}/4711")).await.json();
    let ok = |key: &Value| json!({ "id": id(key), "status": "ok" });
    let gone = json!({ "id": "4711", "status": "refused", "error": missing });
    assert_eq!(bulk("disable", json!({})).await, json!([ok(&b), gone, ok(&a)]));
    assert_eq!(Device::new("device").enroll(&endpoint, string(&a)).await.code(), "key-disabled");
    assert_eq!(bulk("enable", json!({})).await, json!([ok(&b), gone, ok(&a)]));
    assert_eq!(Device::new("device").enroll(&endpoint, string(&a)).await.text("outcome"), "enrolled");
    let until = json!({ "expirationInEpochSec": 4_102_531_200_u64 });
    assert_eq!(bulk("extend", until).await, json!([ok(&b), gone, ok(&a)]));
    for path in [&a_path, &b_path] {
        assert_eq!(client.get(path).await.json()["expirationInEpochSec"], "4102531200");
    }
    assert_eq!(bulk("delete", json!({ "revoke": true })).await, json!([ok(&b), gone, ok(&a)]));
    assert_eq!(Device::new("device").enroll(&endpoint, string(&a)).await.status, 401);
    assert_eq!(client.get(KEYS).await.json()["totalCount"], "0");

    let wrong = |id: &str, members: Value| refused(400, id, members);
    for (body, expected) in [
        (json!({}), wrong("missing.mandatory.params", json!(["operation", "ids"]))),
        (json!({ "operation": "burn", "ids": ["1"] }), wrong("invalid.resource.argument", json!(["operation"]))),
        (json!({ "operation": "enable", "ids": [] }), wrong("invalid.resource.argument", json!(["ids"]))),
        (json!({ "operation": "enable", "ids": ["x"] }), wrong("invalid.resource.argument", json!(["ids"]))),
        (json!({ "operation": "enable", "ids": "1" }), wrong("invalid.resource.argument", json!(["ids"]))),
        (
            json!({ "operation": "delete", "ids": [1], "revoke": 1 }),
            wrong("invalid.resource.argument", json!(["revoke"])),
        ),
        (
            json!({ "operation": "extend", "ids": [1] }),
            wrong("missing.mandatory.params", json!(["expirationInEpochSec"])),
        ),
    ] {
        assert_eq!(refusal(&client.post(&format!("{KEYS}/bulk"), &body).await), expected, "{body}");
    }
    service.assert_healthy();
}

/// The one list that is a bare array, at the path that one of the public clients builds.
#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_a_group_are_a_bare_array() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    for (resource, association, _) in KINDS {
        let (group, empty) = (client.make_group(resource, "HQ").await, client.make_group(resource, "Empty").await);
        let keys = format!("associationType/{association}/provisioningKey");
        for name in ["a", "b"] {
            client.make(&keys, &json!({ "name": name, "maxUsage": 1, "zcomponentId": group })).await;
        }
        let of = |group: &str| format!("associationType/{association}/zcomponent/{group}/provisioningKey");
        let listed = client.get(&of(&group)).await.json();
        assert_eq!(listed, client.get(&keys).await.json()["list"], "{association}");
        assert_eq!(client.get(&of(&empty)).await.json(), json!([]));
        assert_eq!(client.get(&of("4711")).await.status, 404);
        let other = if association == "MACHINE_GRP" { "CONNECTOR_GRP" } else { "MACHINE_GRP" };
        let other = format!("associationType/{other}/zcomponent/{group}/provisioningKey");
        assert_eq!(client.get(&other).await.status, 404, "{association}");
    }
}

/// What other clients put into a key and this service has no use for.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_mean_nothing_here_are_ignored_and_ui_config_is_kept() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let more = json!({ "restrictionType": "NONE", "microtenantId": "0", "autoSign": "1", "uiConfig": "a" });
    let (made, path) = client.make_key(&group, "k", more).await;
    for member in ["restrictionType", "microtenantId", "autoSign"] {
        assert!(made.get(member).is_none(), "{member}");
    }
    assert_eq!(made["uiConfig"], "a");
    client.edit(&path, &json!({ "maxUsage": 11 })).await;
    assert_eq!(client.get(&path).await.json()["uiConfig"], "a");
    client.edit(&path, &json!({ "uiConfig": "" })).await;
    assert!(client.get(&path).await.json().get("uiConfig").is_none());
    for (bytes, status) in [(4_095, 204), (4_096, 204), (4_097, 400)] {
        assert_eq!(client.put(&path, &json!({ "uiConfig": "x".repeat(bytes) })).await.status, status, "{bytes}");
    }
}

/// What an administrator was answered holds for the very next enrollment, while others change
/// other keys, the group and each other's names beside it.
#[tokio::test(flavor = "multi_thread")]
async fn between_an_answer_and_its_effect_there_is_no_gap() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let is_over = AtomicBool::new(false);
    let beside = async |name: &str| {
        let (_, path) = client.make_key(&group, name, json!({})).await;
        let mut edits = 0_u64;
        while !is_over.load(Ordering::Relaxed) {
            edits += 1;
            client.edit(&path, &json!({ "maxUsage": 1 + edits % 7, "enabled": edits.is_multiple_of(2) })).await;
            let body = json!({ "description": format!("{name} {edits}") });
            client.edit(&format!("appConnectorGroup/{group}"), &body).await;
        }
        edits
    };
    let enrolls = async |device: &str, key: &str| {
        let answer = Device::new(device).enroll(&endpoint, key).await;
        assert_eq!(answer.status, 200, "{device}: {}", answer.body);
        assert_eq!(answer.text("outcome"), "enrolled", "{device}");
    };
    let in_front = async || {
        for n in 0..8 {
            let (made, path) = client.make_key(&group, &format!("made{n}"), json!({ "maxUsage": 1 })).await;
            enrolls(&format!("created-{n}"), string(&made)).await;
            client.edit(&path, &json!({ "maxUsage": 2 })).await;
            enrolls(&format!("raised-{n}"), string(&made)).await;
            client.edit(&path, &json!({ "maxUsage": 9, "enabled": false })).await;
            assert_eq!(Device::new("early").enroll(&endpoint, string(&made)).await.code(), "key-disabled");
            client.edit(&path, &json!({ "enabled": true })).await;
            enrolls(&format!("enabled-{n}"), string(&made)).await;
            let successor = client.make(&format!("{path}/rotate"), &json!({})).await;
            enrolls(&format!("rotated-{n}"), string(&successor)).await;
            let secret = STANDARD_NO_PAD.encode(format!("imported-key-string-number-{n:09}"));
            let text = format!("1|elsewhere.example|{secret}");
            let body = import_of(&group, &format!("imported{n}"), &text);
            let imported = client.make(&format!("{KEYS}/import"), &body).await;
            enrolls(&format!("imported-{n}"), &text).await;
            assert_eq!(client.delete(&format!("{KEYS}/{}", id(&imported))).await.status, 204);
            assert_eq!(Device::new("late").enroll(&endpoint, &text).await.status, 401);
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let ((), one, other) = tokio::join!(in_front(), beside("beside one"), beside("beside another"));
    assert!(one > 0 && other > 0, "there were changes beside it");
    service.assert_healthy();
}
