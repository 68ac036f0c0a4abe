//! The management API over real TLS, on the embedded store.

mod support;

use hyper::{Method, StatusCode};
use muster::store::Store as _;
use serde_json::{Value, json};

use self::support::{Client, Service};

const KEYS: &str = "associationType/CONNECTOR_GRP/provisioningKey";

async fn make(client: &Client, path: &str, body: Value) -> Value {
    let answer = client.send(Method::POST, path, body.to_string()).await;
    assert!(answer.status.is_success(), "{path}: {:?}", answer.body);
    answer.json()
}

#[tokio::test]
async fn a_group_and_its_keys_from_first_to_last() {
    let service = Service::start().await;
    let client = service.sign_in().await;
    for (resource, association) in [
        ("appConnectorGroup", "CONNECTOR_GRP"),
        ("serviceEdgeGroup", "SERVICE_EDGE_GRP"),
        ("networkConnectorGroup", "NP_ASSISTANT_GRP"),
        ("machineGroup", "MACHINE_GRP"),
    ] {
        let group = make(&client, &service.path(resource), json!({ "name": "HQ", "latitude": "37.3" })).await;
        let keys = service.path(&format!("associationType/{association}/provisioningKey"));
        let body = json!({ "name": "k1", "maxUsage": 3, "zcomponentId": group["id"], "ipAcl": ["192.0.2.0/24"],
            "expirationInEpochSec": "4102444800", "allowReEnrollment": true, "description": "first" });
        let made = make(&client, &keys, body).await;
        let path = format!("{keys}/{}", made["id"].as_str().unwrap());
        let found = client.send(Method::GET, &path, "").await;
        assert_eq!(found.json(), made, "{association}");
        assert_eq!(found.header("etag"), Some("\"1\""));

        let edited = client.send(Method::PUT, &path, r#"{"maxUsage":"5","expirationInEpochSec":null}"#).await;
        assert_eq!((edited.status, edited.header("etag")), (StatusCode::NO_CONTENT, Some("\"2\"")));
        let found = client.send(Method::GET, &path, "").await.json();
        assert_eq!((&found["maxUsage"], &found["description"]), (&json!("5"), &json!("first")));
        assert!(found.get("expirationInEpochSec").is_none());
        assert_eq!(found["provisioningKey"], made["provisioningKey"]);

        let group_path = service.path(&format!("{resource}/{}", group["id"].as_str().unwrap()));
        let in_use = client.send(Method::DELETE, &group_path, "").await;
        assert_eq!((in_use.status, &in_use.json()["id"]), (StatusCode::BAD_REQUEST, &json!("resource.referenced")));
        for path in [&path, &group_path] {
            assert_eq!(client.send(Method::DELETE, path, "").await.status, StatusCode::NO_CONTENT, "{path}");
            assert_eq!(client.send(Method::GET, path, "").await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
    assert_eq!(service.store.check_integrity(&service.audit_key).await.unwrap(), []);
}

#[tokio::test]
async fn what_the_wire_carries() {
    let service = Service::start().await;
    let client = service.sign_in().await;
    let list = client.send(Method::GET, &service.path("machineGroup"), "{}").await;
    assert_eq!(list.header("content-type"), Some("application/json;charset=utf-8"));
    assert_eq!(list.header("cache-control"), Some("no-store"));
    assert_eq!(list.json(), json!({ "totalPages": "0", "totalCount": "0", "list": [] }));

    let group = make(&client, &service.path("machineGroup"), json!({ "name": "A" })).await;
    let path = service.path(&format!("machineGroup/{}", group["id"].as_str().unwrap()));
    let edited = client.send(Method::PUT, &path, "{\"enabled\":false}\n").await;
    assert_eq!((edited.status, edited.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(edited.header("content-type"), None);
    let stale = client.send_with(Method::PUT, &path, "{\"enabled\":true}", &[("if-match", "\"1\"")]).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);

    let wrong = client.send(Method::PATCH, &path, "").await;
    assert_eq!((wrong.status, wrong.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("GET, PUT, DELETE")));
    let mut stranger = service.sign_in().await;
    stranger.token = None;
    let refused = stranger.send(Method::GET, &path, "").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (StatusCode::UNAUTHORIZED, Some("Bearer")));

    let large = vec![b' '; muster::server::api::BODY_BYTES_MAX + 1];
    let refused = client.send(Method::POST, &service.path("machineGroup"), large).await;
    assert_eq!((refused.status, &refused.json()["id"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body.too.large")));
}

#[tokio::test]
async fn racing_edits_without_a_revision_all_come_through() {
    let service = Service::start().await;
    let client = service.sign_in().await;
    let group = make(&client, &service.path("appConnectorGroup"), json!({ "name": "HQ" })).await;
    let body = json!({ "name": "k", "maxUsage": 1, "zcomponentId": group["id"] });
    let made = make(&client, &service.path(KEYS), body).await;
    let path = service.path(&format!("{KEYS}/{}", made["id"].as_str().unwrap()));

    // Each of them changes another member; none may undo another's.
    let bodies = [r#"{"maxUsage":7}"#, r#"{"description":"d"}"#, r#"{"allowReEnrollment":true}"#, r#"{"name":"k2"}"#];
    let answers = tokio::join!(
        client.send(Method::PUT, &path, bodies[0]),
        client.send(Method::PUT, &path, bodies[1]),
        client.send(Method::PUT, &path, bodies[2]),
        client.send(Method::PUT, &path, bodies[3]),
    );
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{:?}", answer.body);
    }
    let found = client.send(Method::GET, &path, "").await;
    let key = found.json();
    assert_eq!((&key["maxUsage"], &key["description"]), (&json!("7"), &json!("d")));
    assert_eq!((&key["allowReEnrollment"], &key["name"]), (&json!(true), &json!("k2")));
    assert_eq!(found.header("etag"), Some("\"5\""));
    assert_eq!(service.store.check_integrity(&service.audit_key).await.unwrap(), []);
}

#[tokio::test]
async fn another_customers_objects_read_like_missing_ones() {
    let service = Service::start().await;
    let client = service.sign_in().await;
    let foreign = client.send(Method::GET, "/mgmtconfig/v1/admin/customers/99/machineGroup", "").await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(foreign.json()["reason"], "Resource not found: customer 99");
}

#[tokio::test]
async fn no_secret_is_in_the_data_directory_in_clear() {
    let service = Service::start().await;
    let client = service.sign_in().await;
    let group = make(&client, &service.path("appConnectorGroup"), json!({ "name": "HQ" })).await;
    let body = json!({ "name": "canary-name", "maxUsage": 1, "zcomponentId": group["id"] });
    let made = make(&client, &service.path(KEYS), body).await;
    let string = made["provisioningKey"].as_str().unwrap();
    // The first 16 characters of the secret are public; what follows is not.
    let secret = &string.rsplit('|').next().unwrap()[16..40];

    let mut seen = Vec::new();
    for entry in std::fs::read_dir(service.directory.path()).unwrap() {
        seen.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let is_there = |text: &str| seen.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(is_there("canary-name"), "the search finds what is there");
    for (what, text) in [
        ("key string", secret),
        ("client secret", &*service.first.client_secret),
        ("password", &*service.first.password),
        ("token", client.token.as_deref().unwrap()),
    ] {
        assert!(!is_there(text), "the {what} is in the data directory");
    }
}
