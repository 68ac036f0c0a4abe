//! What a server must do so that the public ZPA clients work with it, rule by rule, through the front. The
//! numbers are those of the list that the rules come from; `tests/clients/` shows the clients themselves.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::support::{Client, KEYS, KINDS, assert_bare, assert_no_numbers_and_no_nulls, credentials, id, string};
use crate::support::{Device, Service};

/// Error ids that clients take for passing trouble, and repeat a request for.
const PASSING: [&str; 4] = [
    "api.concurrent.access.error",
    "bad.request",
    "db.simultaneous.request",
    "non.restricted.entity.authorization.failed",
];

/// The names on the first page of a list.
async fn names(client: &Client, path: &str) -> Vec<String> {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    let list = answer.json();
    let rows = list["list"].as_array().expect("a list");
    rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
}

/// The id of a signing certificate.
async fn certificate(client: &Client, name: &str) -> String {
    let list = client.get(&format!("enrollmentCert?search=name+EQ+{}", name.replace(' ', "+"))).await.json();
    id(&list["list"][0]).to_owned()
}

/// Go looks for `exp` in the token before every request, and signs in anew where there is none.
#[tokio::test(flavor = "multi_thread")]
async fn must_01_the_legacy_sign_in_gives_a_jwt_and_its_seconds_as_a_string() {
    let service = Service::start();
    let client = Client::without_token(&service);
    let before = SystemClock.now().unix_seconds();
    let answer = client.send("POST", "/signin", credentials(&service), &[]).await;
    assert_eq!((answer.status, answer.text("token_type").as_str()), (200, "Bearer"));
    let seconds: i64 = answer.text("expires_in").parse().expect("digits");
    let token = answer.text("access_token");
    let parts: Vec<_> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).expect("base64 for URLs");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let expiry = claims["exp"].as_i64().expect("exp is a number");
    assert_eq!(parts.len(), 3);
    assert!(seconds >= 3_600 && expiry >= before + 3_600, "{seconds} {expiry}");
}

#[tokio::test(flavor = "multi_thread")]
async fn must_02_the_oneapi_sign_in_gives_its_seconds_as_a_number_below_any_path() {
    let service = Service::start();
    let mut client = Client::without_token(&service);
    let form = format!("grant_type=client_credentials&{}&audience=https%3A%2F%2Fapi.example", credentials(&service));
    for path in ["/oauth2/v1/token", "/x.zslogin.net/oauth2/v1/token", "/a/b/oauth2/v1/token"] {
        let answer = client.send("POST", path, &form, &[]).await;
        assert_eq!((answer.status, answer.text("token_type").as_str()), (200, "Bearer"), "{path}");
        assert!(answer.json()["expires_in"].as_u64().is_some_and(|seconds| seconds >= 3_600), "{}", answer.body);
        client.token = Some(answer.text("access_token"));
        assert_eq!(client.get("machineGroup").await.status, 200);
        client.token = None;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn must_03_paths_are_served_at_the_root_below_zpa_and_below_any_other() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let path = client.absolute(&format!("appConnectorGroup/{group}"));
    for front in ["", "/zpa", "/p", "/p/p", "/x.zsapi.net/zpa"] {
        let found = client.get(&format!("{front}{path}")).await;
        assert_eq!((found.status, found.text("name").as_str()), (200, "HQ"), "{front:?}");
        let signed_in = client.send("POST", &format!("{front}/signin"), credentials(&service), &[]).await;
        assert_eq!(signed_in.status, 200, "{front:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn must_04_every_body_is_json_and_a_change_is_answered_bare() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let group_path = format!("appConnectorGroup/{group}");
    let (_, key_path) = client.make_key(&group, "k", json!({})).await;
    let body = json!({ "name": "k", "maxUsage": "1", "zcomponentId": group }).to_string();
    for (method, path, body, status) in [
        ("GET", "appConnectorGroup", "", 200),
        ("GET", &group_path, "", 200),
        ("POST", "machineGroup", r#"{"name":"Tills"}"#, 201),
        ("POST", KEYS, &body, 400),
        ("POST", KEYS, "nonsense", 400),
        ("GET", "appConnectorGroup/4711", "", 404),
        ("GET", "nowhere", "", 404),
        ("PATCH", &group_path, "", 405),
        ("POST", "/signin", "client_id=a&client_secret=b", 401),
    ] {
        let answer = client.send(method, path, body, &[]).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let json = "application/json;charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(json), "{method} {path}");
        assert!(answer.json().is_object(), "{method} {path}");
    }
    for path in [&key_path, &group_path] {
        assert_bare(&client.put(path, &json!({ "description": "d" })).await);
        assert_bare(&client.put(path, &json!({ "description": "d" })).await);
    }
    for path in [&key_path, &group_path] {
        assert_bare(&client.delete(path).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn must_05_ids_counters_and_instants_are_strings_and_nothing_is_null() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let mut paths = vec!["enrollmentCert".to_owned(), "visible/versionProfiles".to_owned(), "clientTypes".to_owned()];
    for (resource, association, kind) in KINDS {
        let group = client.make_group(resource, "HQ").await;
        let keys = format!("associationType/{association}/provisioningKey");
        let body =
            json!({ "name": kind, "maxUsage": 2, "zcomponentId": group, "expirationInEpochSec": 4_102_444_800_u64 });
        let key = client.make(&keys, &body).await;
        assert_no_numbers_and_no_nulls(&key);
        assert_eq!(Device::new(kind).enroll(&service.endpoint(), string(&key)).await.status, 200);
        paths.extend([resource.to_owned(), format!("{resource}/{group}"), format!("{resource}/summary")]);
        paths.extend([keys.clone(), format!("{keys}/{}", id(&key))]);
    }
    for path in paths {
        let found = client.get(&path).await;
        assert_eq!(found.status, 200, "{path}: {}", found.body);
        assert_no_numbers_and_no_nulls(&found.json());
    }
    let key = client.get(KEYS).await.json()["list"][0].clone();
    let counters = ["id", "usageCount", "maxUsage", "reEnrollments", "zcomponentId", "enrollmentCertId", "lastUsedBy"];
    for member in counters.into_iter().chain(["creationTime", "modifiedTime", "lastUsedTime", "expirationInEpochSec"]) {
        let text = key[member].as_str().unwrap_or_else(|| panic!("{member} in {key}"));
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{member}: {text:?}");
    }
    for member in ["enabled", "exportable", "readOnly", "zscalerManaged", "allowReEnrollment"] {
        assert!(key[member].is_boolean(), "{member} in {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn must_06_pages_have_twenty_rows_at_most_500_and_end_with_empty_ones() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    for n in 1..=5 {
        client.make_key(&group, &format!("k{n}"), json!({})).await;
    }
    let page = async |query: &str| {
        let answer = client.get(&format!("{KEYS}?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let page = answer.json();
        assert_no_numbers_and_no_nulls(&page);
        let names: Vec<String> =
            page["list"].as_array().expect("a list").iter().map(|key| key["name"].to_string()).collect();
        (page["totalPages"].clone(), page["totalCount"].clone(), names.join(" "))
    };
    let expected = |pages: &str, count: &str, names: &str| (json!(pages), json!(count), names.to_owned());
    assert_eq!(page("").await, expected("1", "5", r#""k1" "k2" "k3" "k4" "k5""#));
    assert_eq!(page("page=2&pagesize=2").await, expected("3", "5", r#""k3" "k4""#));
    assert_eq!(page("page=3&pagesize=2").await, expected("3", "5", r#""k5""#));
    for past in ["page=4&pagesize=2", "page=4294967295&pagesize=500"] {
        let (_, count, names) = page(past).await;
        assert_eq!((count, names.as_str()), (json!("5"), ""), "{past}");
    }
    for n in 6..=21 {
        client.make_key(&group, &format!("k{n}"), json!({})).await;
    }
    let (pages, count, names) = page("").await;
    assert_eq!((pages, count, names.split(' ').count()), (json!("2"), json!("21"), 20));
    assert_eq!(page("page=2").await, expected("2", "21", r#""k21""#));
    assert_eq!(page("pagesize=500").await.0, "1");
    for (wrong, member) in [("page=0", "page"), ("pagesize=0", "pagesize"), ("pagesize=501", "pagesize")] {
        let refused = client.get(&format!("{KEYS}?{wrong}")).await;
        assert_eq!((refused.status, &refused.json()["params"]), (400, &json!([member])), "{wrong}");
    }
}

/// With a unit behind it one of the clients crashes, without it another one does.
#[tokio::test(flavor = "multi_thread")]
async fn must_07_who_must_wait_is_told_a_bare_number_of_seconds() {
    let service = Service::start();
    let client = Client::without_token(&service);
    let mut refused = 0;
    for _ in 0..40 {
        let answer = client.send("POST", "/signin", "client_id=a&client_secret=b", &[]).await;
        match answer.status {
            401 => assert_eq!(answer.header("retry-after"), None),
            429 => {
                let seconds = answer.header("retry-after").expect("always there");
                assert!(seconds.parse::<u32>().is_ok_and(|seconds| seconds >= 1), "{seconds:?}");
                assert_eq!(answer.text("id"), "invalid.toomanyrequests");
                refused += 1;
            }
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert!(refused > 0, "nothing was refused, and so nothing shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn must_08_no_permanent_refusal_looks_like_passing_trouble() {
    let service = Service::start();
    let mut client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let group_path = format!("appConnectorGroup/{group}");
    let (_, key_path) = client.make_key(&group, "k", json!({ "exportable": false })).await;
    let key = |more: Value| {
        let mut key = json!({ "name": "n", "maxUsage": 1, "zcomponentId": group });
        key.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        key.to_string()
    };
    let refusals = [
        ("POST", "appConnectorGroup", r#"{"name":"hq"}"#.to_owned(), 400, "duplicate.resource.name"),
        ("POST", KEYS, key(json!({ "name": "K" })), 400, "duplicate.resource.name"),
        ("POST", KEYS, key(json!({ "maxUsage": null })), 400, "missing.mandatory.params"),
        ("POST", KEYS, key(json!({ "enrollmentCertId": "4711" })), 400, "invalid.resource.argument"),
        ("POST", KEYS, "[]".to_owned(), 400, "invalid.resource.argument"),
        ("PUT", &key_path, r#"{"exportable":true}"#.to_owned(), 400, "invalid.resource.argument"),
        ("PUT", &key_path, r#"{"zcomponentId":"1"}"#.to_owned(), 400, "invalid.resource.argument"),
        ("PUT", "versionProfiles/1", "{}".to_owned(), 400, "config.change.not.allowed.sku.not.enabled"),
        ("DELETE", &group_path, String::new(), 400, "resource.referenced"),
        ("GET", "appConnectorGroup?page=0", String::new(), 400, "invalid.resource.argument"),
        ("GET", "appConnectorGroup/4711", String::new(), 404, "resource.not.found"),
        ("GET", "nowhere", String::new(), 404, "resource.not.found"),
        ("PATCH", &group_path, String::new(), 405, "method.not.allowed"),
    ];
    for (method, path, body, status, error_id) in refusals {
        let refused = client.send(method, path, &body, &[]).await;
        assert_eq!((refused.status, refused.text("id").as_str()), (status, error_id), "{method} {path}");
        assert!(refused.status != 409 && !PASSING.contains(&error_id), "{method} {path}");
    }
    let stale = client.send("PUT", &key_path, "{}", &[("if-match", "\"7\"")]).await;
    assert_eq!((stale.status, stale.text("id").as_str()), (412, "precondition.failed"));
    client.token = None;
    assert_eq!(client.get(&group_path).await.text("id"), "access.denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn must_09_an_unknown_object_and_one_of_another_kind_are_not_found_alike() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, _) = client.make_key(&group, "k", json!({})).await;
    let missing = |id: &str| json!({ "id": "resource.not.found", "params": [id], "reason": format!("Resource not found: provisioningKey {id}") });
    let body = json!({ "enabled": false }).to_string();
    for (_, association, _) in KINDS {
        let keys = format!("associationType/{association}/provisioningKey");
        // Where it is, an id that nothing has; elsewhere its own.
        let id = if association == "CONNECTOR_GRP" { "4711" } else { id(&key) };
        for method in ["GET", "PUT", "DELETE"] {
            let refused = client.send(method, &format!("{keys}/{id}"), &body, &[]).await;
            assert_eq!((refused.status, refused.json()), (404, missing(id)), "{method} {association}");
        }
    }
    for (resource, ..) in &KINDS[1..] {
        assert_eq!(client.get(&format!("{resource}/{group}")).await.status, 404, "{resource}");
    }
    for association in ["", "connector_grp", "SITE_CONTROLLER_GRP"] {
        let path = format!("associationType/{association}/provisioningKey");
        assert_eq!(client.get(&path).await.status, 404, "{association:?}");
    }
    let found = client.get(&format!("{KEYS}/{}", id(&key))).await;
    assert_eq!((found.status, &found.json()["enabled"]), (200, &json!(true)), "none of it touched the key");
}

/// One client sends two bytes with every GET and DELETE.
#[tokio::test(flavor = "multi_thread")]
async fn must_10_a_body_where_none_belongs_is_read_and_ignored() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let path = format!("appConnectorGroup/{group}");
    for body in ["{}", "", r#"{"name":"other"}"#, "nonsense"] {
        assert_eq!(client.send("GET", "appConnectorGroup", body, &[]).await.json()["totalCount"], "1", "{body:?}");
        assert_eq!(client.send("GET", &path, body, &[]).await.text("name"), "HQ", "{body:?}");
    }
    assert_bare(&client.send("DELETE", &path, "{}", &[]).await);
    assert_bare(&client.send("POST", "/signout", "{}", &[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn must_11_numbers_strings_and_booleans_are_taken_for_each_other() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let certificate = certificate(&client, "Connector").await;
    for (n, profile) in [json!(2), json!("2")].iter().enumerate() {
        let body = json!({ "name": format!("HQ {n}"), "versionProfileId": profile, "enrollmentCertId": certificate,
            "upgradeTimeInSecs": 66_600, "enabled": "true" });
        let group = client.make("appConnectorGroup", &body).await;
        assert_eq!((&group["versionProfileId"], &group["upgradeTimeInSecs"]), (&json!("2"), &json!("66600")));
        assert_eq!(group["enabled"], true);
        let number = |text: &str| text.parse::<u64>().expect("an id is a number");
        for (m, ids) in [
            json!({ "zcomponentId": id(&group), "enrollmentCertId": certificate, "maxUsage": "7", "exportable": "true" }),
            json!({ "zcomponentId": number(id(&group)), "enrollmentCertId": number(&certificate), "maxUsage": 7,
                "exportable": true }),
        ]
        .iter()
        .enumerate()
        {
            let mut body = ids.clone();
            body["name"] = json!(format!("k {n} {m}"));
            let key = client.make(KEYS, &body).await;
            assert_eq!((&key["maxUsage"], &key["zcomponentId"]), (&json!("7"), &group["id"]));
            assert_eq!((&key["enrollmentCertId"], &key["exportable"]), (&json!(certificate), &json!(true)));
        }
    }
    let edges = client.make("serviceEdgeGroup", &json!({ "name": "Edges", "isPublic": true })).await;
    assert_eq!(edges["isPublic"], "TRUE");
}

#[tokio::test(flavor = "multi_thread")]
async fn must_12_a_put_merges_and_ignores_what_is_not_the_callers_to_set() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let more = json!({ "description": "d", "ipAcl": ["192.0.2.0/24"], "allowReEnrollment": true });
    let (made, path) = client.make_key(&group, "k", more).await;
    let read_only = json!({ "id": "1", "usageCount": "9", "provisioningKey": "3|a|b", "componentId": "1",
        "zcomponentName": "x", "enrollmentCertName": "x", "creationTime": "1", "modifiedTime": "1", "modifiedBy": "1",
        "readOnly": true, "zscalerManaged": true, "microtenantId": "0", "keyId": "x", "state": "expired",
        "nobodyKnowsThis": { "deep": [1] } });
    assert_bare(&client.put(&path, &read_only).await);
    assert_eq!(client.get(&path).await.json(), made, "nothing of it was taken");
    client.edit(&path, &json!({ "maxUsage": "20" })).await;
    let found = client.get(&path).await.json();
    let mut expected = made;
    expected["maxUsage"] = json!("20");
    expected["modifiedTime"] = found["modifiedTime"].clone();
    assert_eq!(found, expected, "all else stays");

    let group_path = format!("appConnectorGroup/{group}");
    client.edit(&group_path, &json!({ "latitude": "1", "description": "d", "connectors": [{ "id": "1" }] })).await;
    client.edit(&group_path, &json!({ "name": "HQ 2" })).await;
    let found = client.get(&group_path).await.json();
    assert_eq!((&found["name"], &found["latitude"], &found["description"]), (&json!("HQ 2"), &json!("1"), &json!("d")));
    assert_eq!(found.get("connectors"), None);
}

/// Go leaves out what is false or empty, and only Go sends `associationType`.
#[tokio::test(flavor = "multi_thread")]
async fn must_13_what_go_leaves_out_is_off_and_what_others_leave_out_stays() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) =
        client.make_key(&group, "tf", json!({ "ipAcl": ["192.0.2.0/24"], "allowReEnrollment": true })).await;
    let refusal = async || Device::new("device").enroll(&endpoint, string(&key)).await.code();
    assert_eq!(refusal().await, "address-not-allowed");

    let from_go = json!({ "id": id(&key), "name": "tf", "maxUsage": "10", "usageCount": "0", "zcomponentId": group,
        "enrollmentCertId": key["enrollmentCertId"], "provisioningKey": string(&key), "associationType": "" });
    client.edit(&path, &from_go).await;
    let found = client.get(&path).await.json();
    assert_eq!((&found["enabled"], found.get("ipAcl")), (&json!(false), None));
    // Go does not know these: it cannot have meant to switch them off.
    assert_eq!((&found["exportable"], &found["allowReEnrollment"]), (&json!(true), &json!(true)));
    assert_eq!(refusal().await, "key-disabled");

    client.edit(&path, &json!({ "enabled": true, "ipAcl": ["127.0.0.0/8"] })).await;
    client.edit(&path, &json!({ "maxUsage": 11 })).await;
    let found = client.get(&path).await.json();
    assert_eq!((&found["enabled"], &found["ipAcl"]), (&json!(true), &json!(["127.0.0.0/8"])));
    assert_eq!(Device::new("device").enroll(&endpoint, string(&key)).await.status, 200);
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn must_14_a_search_is_understood_in_every_spelling_and_names_in_any_case() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    for name in ["Service Edge", "service desk", "Kiosk"] {
        client.make_group("machineGroup", name).await;
    }
    let both = ["Service Edge", "service desk"];
    for (query, expected) in [
        // Python and Go, with OneAPI: the pluses are escaped, blanks of the value are pluses.
        ("?search=name%2BEQ%2Bservice+EDGE", &both[..1]),
        ("?search=name%2BEQ%2BService%20Edge&page=1&pagesize=500", &both[..1]), // Go, legacy
        ("?search=name%20EQ%20Service%20Edge", &both[..1]),
        ("?search=name+EQ+Service+Edge", &both[..1]),
        ("&search=name%20EQ%20Service%20Edge", &both[..1]), // as documented examples have it
        ("?search=DESK", &both[1..]),                       // pyzscaler
        ("?search=name+EQ+service", &[]),
        ("?search=name+LIKE+service", &both[..]),
        ("?search=name+CONTAINS+vice", &both[..]),
        ("?search=name+STARTSWITH+SERV", &both[..]),
        ("?search=name+ENDSWITH+esk", &both[1..]),
        ("?search=name+NE+kiosk", &both[..]),
        ("?search=name+LIKE+service+AND+name+NE+service+edge", &both[1..]),
        ("?search=name+LIKE+service&search=name+NE+service+edge", &both[1..]),
    ] {
        assert_eq!(names(&client, &format!("machineGroup{query}")).await, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn must_15_certificates_and_version_profiles_are_there_from_the_start() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let list = client.absolute("enrollmentCert").replace("/v1/", "/v2/");
    for name in ["Root", "Client", "Connector", "Service Edge", "Isolation Client"] {
        let search = format!("{list}?search=name%2BEQ%2B{}", name.replace(' ', "+"));
        let found = client.get(&search).await.json();
        assert_eq!((&found["totalCount"], &found["list"][0]["name"]), (&json!("1"), &json!(name)));
        let found = client.get(&format!("enrollmentCert/{}", id(&found["list"][0]))).await.json();
        assert_eq!((&found["privateKeyPresent"], &found["allowSigning"]), (&json!(true), &json!(true)), "{name}");
        assert_eq!(found.get("privateKey"), None);
    }
    let profiles = client.get("visible/versionProfiles").await.json();
    let ids: Vec<_> =
        profiles["list"].as_array().expect("a list").iter().map(|row| [&row["id"], &row["name"]]).collect();
    assert_eq!(json!(ids), json!([["0", "Default"], ["1", "Previous Default"], ["2", "New Release"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn must_16_a_group_gets_the_certificate_of_its_kind_and_knows_its_older_name() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    for ((resource, ..), name) in KINDS.into_iter().zip(["Connector", "Service Edge", "Network Connector", "Client"]) {
        for body in [json!({ "name": "default" }), json!({ "name": "empty", "enrollmentCertId": "" })] {
            let group = client.make(resource, &body).await;
            assert_eq!(group["enrollmentCertName"], name, "{resource}");
        }
        let root = certificate(&client, "Root").await;
        let group = client.make(resource, &json!({ "name": "older", "signingCertId": root })).await;
        assert_eq!((&group["enrollmentCertId"], group.get("signingCertId")), (&json!(root), None), "{resource}");
        let both = json!({ "name": "both", "signingCertId": "4711", "enrollmentCertId": root });
        assert_eq!(client.make(resource, &both).await["enrollmentCertId"], root, "the newer name wins");
    }
}

/// One client reads it as a string, another as a list.
#[tokio::test(flavor = "multi_thread")]
async fn must_17_components_have_no_address_list() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let components = ["connector", "serviceEdge", "networkConnector", "machine"];
    for ((resource, association, kind), component) in KINDS.into_iter().zip(components) {
        let addresses = json!(["127.0.0.0/8"]);
        let group = client.make(resource, &json!({ "name": "HQ", "ipAcl": addresses })).await;
        let keys = format!("associationType/{association}/provisioningKey");
        let body = json!({ "name": kind, "maxUsage": 1, "zcomponentId": id(&group), "ipAcl": addresses });
        let key = client.make(&keys, &body).await;
        assert_eq!(Device::new(kind).enroll(&service.endpoint(), string(&key)).await.status, 200);
        let listed = client.get(component).await.json()["list"][0].clone();
        let found = client.get(&format!("{component}/{}", id(&listed))).await.json();
        for component in [listed, found] {
            assert_eq!(component.get("ipAcl"), None, "{kind}");
            assert_no_numbers_and_no_nulls(&component);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn must_18_nothing_is_returned_that_terraform_would_take_for_a_difference() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    for (n, maximum) in ["1", "10", "2147483647"].into_iter().enumerate() {
        let (made, path) = client
            .make_key(&group, &format!("k{n}"), json!({ "maxUsage": maximum, "associationType": "", "enabled": true }))
            .await;
        for key in [made, client.get(&path).await.json(), client.get(KEYS).await.json()["list"][n].clone()] {
            assert_eq!(key["maxUsage"], maximum, "as it was sent");
            for member in ["appConnectorGroupId", "appConnectorGroupName", "associationType", "uiConfig", "ipAcl"] {
                assert_eq!(key.get(member), None, "{member}");
            }
        }
    }
    // Members of a group that it was not given, and those that are attached to it.
    let group = client.get(&format!("appConnectorGroup/{group}")).await.json();
    for member in ["description", "latitude", "countryCode", "cityCountry", "connectors", "serverGroups", "ipAcl"] {
        assert_eq!(group.get(member), None, "{member}");
    }
}

/// Terraform asks for it before it deletes a group, to detach the group from its rules.
#[tokio::test(flavor = "multi_thread")]
async fn must_19_there_is_no_access_policy_to_detach_a_group_from() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let refused = client.get("policySet/policyType/ACCESS_POLICY").await;
    assert_eq!((refused.status, refused.text("id").as_str()), (404, "resource.not.found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn must_20_a_key_string_is_shown_once_and_then_while_it_is_exportable() {
    let service = Service::start();
    let (client, endpoint) = (Client::sign_in(&service).await, service.endpoint());
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (viewable, viewable_path) = client.make_key(&group, "viewable", json!({})).await;
    let (once, once_path) = client.make_key(&group, "once", json!({ "exportable": false })).await;
    let shown = async || {
        let list = client.get(KEYS).await.json();
        let listed: Vec<_> =
            list["list"].as_array().expect("a list").iter().map(|key| key["provisioningKey"].clone()).collect();
        for (path, listed) in [&viewable_path, &once_path].into_iter().zip(&listed) {
            assert_eq!(client.get(path).await.json()["provisioningKey"], *listed, "{path}");
        }
        listed
    };
    assert_eq!(shown().await, [viewable["provisioningKey"].clone(), json!(null)]);
    assert_eq!(client.get(&once_path).await.json()["exportable"], false);

    client.edit(&viewable_path, &json!({ "exportable": false })).await;
    assert_eq!(shown().await, [json!(null), json!(null)]);
    for path in [&viewable_path, &once_path] {
        let refused = client.put(path, &json!({ "exportable": true })).await;
        assert_eq!((refused.status, &refused.json()["params"]), (400, &json!(["exportable"])), "{path}");
        assert_eq!(client.get(path).await.json()["exportable"], false, "{path}");
    }
    for key in [&viewable, &once] {
        assert_eq!(Device::new("device").enroll(&endpoint, string(key)).await.status, 200);
    }
    service.assert_healthy();
}

/// Terraform signs in twice at its start and four times before it destroys; one of the clients with every
/// request. Whoever guesses secrets behind the same address must not keep them out.
#[tokio::test(flavor = "multi_thread")]
async fn must_21_a_burst_of_sign_ins_passes_whatever_fails_beside_it() {
    let service = Service::start();
    let client = Client::without_token(&service);
    let good = credentials(&service);
    let mut slowed = 0;
    for _ in 0..30 {
        let (one, other, bad) = tokio::join!(
            client.send("POST", "/signin", &good, &[]),
            client.send("POST", "/signin", &good, &[]),
            client.send("POST", "/signin", "client_id=a&client_secret=b", &[]),
        );
        assert_eq!((one.status, other.status), (200, 200));
        slowed += u32::from(bad.status == 429);
    }
    assert!(slowed > 0, "the guesser was not slowed down");
}
