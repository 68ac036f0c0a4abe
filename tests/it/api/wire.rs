//! Requests and answers as bytes: types, headers, statuses, paging, revisions.

use serde_json::{Value, json};

use super::support::{Client, KEYS, KINDS, assert_bare, assert_no_numbers_and_no_nulls, id, string};
use crate::support::{Device, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_and_its_keys_from_first_to_last() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    for (resource, association, _) in KINDS {
        let group = client.make(resource, &json!({ "name": "HQ", "latitude": "37.3" })).await;
        assert_no_numbers_and_no_nulls(&group);
        let keys = format!("associationType/{association}/provisioningKey");
        let body = json!({ "name": "k1", "maxUsage": 3, "zcomponentId": id(&group), "ipAcl": ["192.0.2.0/24"],
            "expirationInEpochSec": 4_102_444_800_u64, "allowReEnrollment": true, "description": "first" });
        let made = client.make(&keys, &body).await;
        assert_no_numbers_and_no_nulls(&made);
        assert_eq!((&made["maxUsage"], &made["usageCount"]), (&json!("3"), &json!("0")));
        assert_eq!(made["expirationInEpochSec"], "4102444800");
        let path = format!("{keys}/{}", id(&made));
        let found = client.get(&path).await;
        assert_eq!(found.json(), made, "{association}");
        assert_eq!(found.header("etag"), Some("\"1\""));

        let edited = client.put(&path, &json!({ "maxUsage": "5", "expirationInEpochSec": null })).await;
        assert_bare(&edited);
        assert_eq!(edited.header("etag"), Some("\"2\""));
        let found = client.get(&path).await.json();
        assert_eq!((&found["maxUsage"], &found["description"]), (&json!("5"), &json!("first")));
        assert!(found.get("expirationInEpochSec").is_none());
        assert_eq!(found["provisioningKey"], made["provisioningKey"]);

        let group_path = format!("{resource}/{}", id(&group));
        let in_use = client.delete(&group_path).await;
        assert_eq!((in_use.status, &in_use.json()["id"]), (400, &json!("resource.referenced")));
        for path in [&path, &group_path] {
            assert_bare(&client.delete(path).await);
            assert_eq!(client.get(path).await.status, 404, "{path}");
        }
    }
    let certificates = client.get("enrollmentCert").await.json();
    assert_eq!(certificates["totalCount"], "6");
    assert_no_numbers_and_no_nulls(&certificates);
    service.assert_healthy();
}

/// Else a client that compares what it wrote with what it reads would write for ever.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_come_back_as_they_were_given() {
    let mut service = Service::start();
    let client = Client::sign_in(&service).await;
    let given = json!(["192.0.2.7", "2001:DB8::/32", "198.51.100.0/24", "192.0.2.7/32"]);
    let group = client.make("appConnectorGroup", &json!({ "name": "HQ", "ipAcl": given })).await;
    let (key, path) = client.make_key(id(&group), "k", json!({ "ipAcl": given })).await;
    assert_eq!((&group["ipAcl"], &key["ipAcl"]), (&given, &given));
    let again = client.put(&path, &json!({ "ipAcl": given })).await;
    assert_eq!(again.header("etag"), Some("\"1\""), "nothing was changed");
    service.stop();
    service.launch();
    let client = Client::sign_in(&service).await;
    for path in [&path, &format!("appConnectorGroup/{}", id(&group))] {
        assert_eq!(client.get(path).await.json()["ipAcl"], given, "{path}");
    }
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_answers_carry() {
    let service = Service::start();
    let mut client = Client::sign_in(&service).await;
    // As one of the public clients does, with a body.
    let list = client.send("GET", "machineGroup", "{}", &[]).await;
    assert_eq!(list.header("content-type"), Some("application/json;charset=utf-8"));
    assert_eq!(list.header("cache-control"), Some("no-store"));
    assert_eq!(list.json(), json!({ "totalPages": "0", "totalCount": "0", "list": [] }));
    let elsewhere = client.get("/a/prefix/zpa/mgmtconfig/v1/admin/customers/99/machineGroup").await;
    assert_eq!((elsewhere.status, elsewhere.text("reason").as_str()), (404, "Resource not found: customer 99"));

    let wrong = client.send("PATCH", "machineGroup/1", "", &[]).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, PUT, DELETE")));
    let large = vec![b' '; muster::server::api::BODY_BYTES_MAX + 1];
    let refused = client.send("POST", "machineGroup", large, &[]).await;
    assert_eq!((refused.status, refused.text("id").as_str()), (413, "body.too.large"));

    let token = client.token.take();
    let refused = client.get("machineGroup").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    client.token = token;
    assert_bare(&client.send("POST", "/signout", "", &[]).await);
    let refused = client.get("machineGroup").await;
    assert_eq!((refused.status, refused.text("id").as_str()), (401, "access.denied"));
}

/// MUST 14, over the members that a key, a group and a certificate show.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_searched_and_sorted_in_every_spelling() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let (hq, branch) =
        (client.make_group("appConnectorGroup", "HQ").await, client.make_group("appConnectorGroup", "Branch").await);
    client.make_key(&hq, "Berlin-1", json!({ "maxUsage": "30" })).await;
    client.make_key(&hq, "berlin-2", json!({ "maxUsage": "10", "enabled": false })).await;
    client.make_key(&branch, "Paris", json!({ "maxUsage": "20", "exportable": false })).await;
    let names = async |path: &str| {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let page = answer.json();
        let names: Vec<_> =
            page["list"].as_array().expect("a list").iter().map(|row| row["name"].as_str().expect("a name")).collect();
        assert_eq!(page["totalCount"], json!(names.len().to_string()), "{path}");
        names.join(" ")
    };
    let of_group = format!("search=zcomponentId+EQ+{branch}");
    for (query, expected) in [
        ("?search=name%2BEQ%2BBERLIN-2", "berlin-2"),
        ("&search=name%20EQ%20paris", "Paris"),
        ("?search=berlin", "Berlin-1 berlin-2"),
        ("?search=name+STARTSWITH+ber&search=enabled+EQ+true", "Berlin-1"),
        ("?search=maxUsage+GTEQ+10+AND+maxUsage+LT+30", "berlin-2 Paris"),
        ("?search=state+EQ+disabled", "berlin-2"),
        ("?search=exportable%2BNE%2Btrue", "Paris"),
        ("?search=zcomponentName+LIKE+h%25", "Berlin-1 berlin-2"),
        (&*format!("?{of_group}"), "Paris"),
        ("?search=enrollmentCertName+EQ+connector&sortBy=maxUsage", "berlin-2 Paris Berlin-1"),
        ("?sortBy=name&sortDir=DESC", "Paris berlin-2 Berlin-1"),
        ("?sortBy=zcomponentName&sortOrder=asc", "Paris Berlin-1 berlin-2"),
        ("?sortDir=DESC", "Paris berlin-2 Berlin-1"),
    ] {
        assert_eq!(names(&format!("{KEYS}{query}")).await, expected, "{query}");
    }
    assert_eq!(names("appConnectorGroup?search=enabled+EQ+true&sortBy=name").await, "Branch HQ");
    assert_eq!(names("appConnectorGroup/summary?search=name+NE+hq").await, "Branch");
    let signing =
        names("enrollmentCert?search=privateKeyPresent%20EQ%20true&search=clientCertType+EQ+ZAPP_CLIENT").await;
    assert_eq!(signing, "Client");
    assert_eq!(
        names("visible/versionProfiles?search=name+CONTAINS+default&sortBy=id&sortDir=DESC").await,
        "Previous Default Default"
    );

    for (query, member) in [
        ("search=provisioningKey+CONTAINS+3", "search"),
        ("search=enabled+EQ+1", "search"),
        ("search=enabled+GT+false", "search"),
        ("search=maxUsage+LIKE+1%25", "search"),
        ("sortBy=provisioningKey", "sortBy"),
        ("sortBy=name&sortDir=up", "sortDir"),
        ("sortOrder=up", "sortOrder"),
    ] {
        let refused = client.get(&format!("{KEYS}?{query}")).await;
        let found = (refused.status, refused.text("id"), refused.json()["params"].clone());
        assert_eq!(found, (400, "invalid.resource.argument".to_owned(), json!([member])), "{query}");
    }
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_bound_to_a_revision_is_refused_when_it_is_no_longer_that() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) = client.make_key(&group, "k", json!({})).await;
    let bound = async |method: &str, body: &str, tag: &str| {
        let answer = client.send(method, &path, body, &[("if-match", tag)]).await;
        let etag = answer.header("etag").map(str::to_owned);
        (answer.status, etag)
    };
    assert_eq!(bound("PUT", r#"{"maxUsage":20}"#, "\"1\"").await, (204, Some("\"2\"".into())));
    for (method, tag) in [("PUT", "\"1\""), ("PUT", "\"3\""), ("PUT", "W/\"2\""), ("DELETE", "\"1\"")] {
        let refused = client.send(method, &path, r#"{"maxUsage":30}"#, &[("if-match", tag)]).await;
        assert_eq!((refused.status, refused.text("id").as_str()), (412, "precondition.failed"), "{method} {tag}");
    }
    // Enrollments count, and change no setting: they do not spoil an edit that was begun.
    assert_eq!(Device::new("device").enroll(&service.endpoint(), string(&key)).await.status, 200);
    let found = client.get(&path).await;
    assert_eq!((found.header("etag"), &found.json()["maxUsage"]), (Some("\"2\""), &json!("20")));
    assert_eq!(bound("PUT", r#"{"maxUsage":30}"#, "*").await, (204, Some("\"3\"".into())));
    assert_eq!(bound("DELETE", "", "\"3\"").await, (204, None));
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_edits_without_a_revision_all_come_through() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (_, path) = client.make_key(&group, "k", json!({})).await;

    // Each of them changes another member; none may undo another's.
    let bodies = [
        json!({ "maxUsage": 7 }),
        json!({ "description": "d" }),
        json!({ "allowReEnrollment": true }),
        json!({ "name": "k2" }),
    ];
    let answers = tokio::join!(
        client.put(&path, &bodies[0]),
        client.put(&path, &bodies[1]),
        client.put(&path, &bodies[2]),
        client.put(&path, &bodies[3]),
    );
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_bare(&answer);
    }
    let found = client.get(&path).await;
    let key = found.json();
    assert_eq!((&key["maxUsage"], &key["description"]), (&json!("7"), &json!("d")));
    assert_eq!((&key["allowReEnrollment"], &key["name"]), (&json!(true), &json!("k2")));
    assert_eq!(found.header("etag"), Some("\"5\""));
    service.assert_healthy();
}

/// Key strings and the client's secret are looked for in `promises/canary.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn neither_token_nor_password_stays_behind() {
    let service = Service::start_with("[log]\nlevel = \"trace\"\n");
    let client = Client::sign_in(&service).await;
    client.make_group("machineGroup", "canary-name").await;
    client.send("POST", "/signout", "", &[]).await;
    let first_start = service.data_dir().join("first-start.json");
    let first: Value = serde_json::from_slice(&std::fs::read(&first_start).expect("a file")).expect("JSON");

    let mut seen = std::fs::read(service.log_file()).expect("a log");
    for entry in std::fs::read_dir(service.data_dir()).expect("the data directory") {
        let path = entry.expect("a file").path();
        if path != first_start {
            seen.extend(std::fs::read(path).expect("a file"));
        }
    }
    let is_there = |text: &str| seen.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(is_there("canary-name"), "the search finds what is there");
    assert!(!is_there(client.token.as_deref().expect("a token")), "the token stays behind");
    assert!(!is_there(first["administrator"]["password"].as_str().expect("a password")), "the password stays behind");
}
