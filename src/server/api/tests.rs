//! Requests as the public clients write them, answered without a network. Where a rule has a number
//! in the list of what a compatible server must do, the test names it.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::answer::Answer;
use super::routes::{ROUTES, on_kind};
use super::wire::members::tests::READ;
use super::*;
use crate::management::tests::Fixture;

/// A client with a token.
struct Client {
    api: Api,
    fixture: Fixture,
    token: String,
}

struct Received {
    status: StatusCode,
    body: Value,
    etag: Option<Revision>,
}

impl Client {
    async fn signed_in() -> Self {
        let fixture = Fixture::new().await;
        let api = Api::new(Arc::clone(&fixture.management));
        let mut client = Self { api, fixture, token: String::new() };
        client.sign_in().await;
        client
    }

    async fn sign_in(&mut self) {
        let (id, secret) = (&*self.fixture.first.client_id, &*self.fixture.first.client_secret);
        let form = format!("client_id={id}&client_secret={secret}");
        let signed_in = self.send(Method::POST, "/signin", &form, None).await;
        self.token = signed_in.body["access_token"].as_str().unwrap().to_owned();
    }

    async fn send(&self, method: Method, path: &str, body: &str, if_match: Option<&str>) -> Received {
        let headers: Vec<_> = if_match.map(|tag| (IF_MATCH, tag)).into_iter().collect();
        self.send_with(method, path, body, &headers).await
    }

    async fn send_with(&self, method: Method, path: &str, body: &str, more: &[(HeaderName, &str)]) -> Received {
        let uri: Uri = path.parse().unwrap();
        let mut headers = HeaderMap::new();
        if !self.token.is_empty() {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", self.token)).unwrap());
        }
        for (name, value) in more {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let lookup = routes::find(&method, uri.path());
        let address = "192.0.2.1".parse().unwrap();
        let sent = Bytes::copy_from_slice(body.as_bytes());
        let body = Ok(sent.clone());
        let caller = self.api.identify(&lookup, &headers).await;
        let reference = Reference::random();
        let arrived = Arrived { lookup: &lookup, uri: &uri, headers: &headers, body, reference, address };
        let once = match (&lookup, &caller) {
            (Lookup::Found(route, _), Ok(Some(session))) => {
                repeatable(&headers, &session.actor, route, &uri, &sent).ok().flatten()
            }
            _ => None,
        };
        let outcome = self.api.respond(arrived, caller).await;
        if let (Some(once), Ok(_)) = (&once, &outcome) {
            let remembered = self.api.management.find_repeated(once).await.unwrap();
            assert!(remembered.is_some(), "{path} is not remembered");
        }
        let answer = told(&lookup, outcome, &reference);
        let body = if answer.body().is_empty() { Value::Null } else { serde_json::from_slice(answer.body()).unwrap() };
        Received { status: answer.status(), body, etag: answer.revision() }
    }

    async fn get(&self, path: &str) -> Value {
        let path = self.path(path);
        // As one of the public clients does (MUST 10).
        let received = self.send(Method::GET, &path, "{}", None).await;
        assert_eq!(received.status, StatusCode::OK, "{path}: {}", received.body);
        received.body
    }

    async fn post(&self, path: &str, body: Value) -> Received {
        self.send(Method::POST, &self.path(path), &body.to_string(), None).await
    }

    /// With an `Idempotency-Key`.
    async fn post_once(&self, path: &str, body: &Value, key: &str) -> Received {
        self.send_with(Method::POST, &self.path(path), &body.to_string(), &[(IDEMPOTENCY_KEY, key)]).await
    }

    async fn put(&self, path: &str, body: Value) -> Received {
        self.send(Method::PUT, &self.path(path), &format!("{body}\n"), None).await
    }

    fn path(&self, rest: &str) -> String {
        format!("/zpa/mgmtconfig/v1/admin/customers/{}/{rest}", self.fixture.customer())
    }

    async fn certificate(&self, name: &str) -> String {
        let path = self.path("").replace("/v1/", "/v2/");
        let search = format!("{path}enrollmentCert?search=name%2BEQ%2B{}", name.replace(' ', "+"));
        let received = self.send(Method::GET, &search, "", None).await;
        assert_eq!(received.body["totalCount"], "1", "{}", received.body);
        received.body["list"][0]["id"].as_str().unwrap().to_owned()
    }

    async fn group(&self, resource: &str, name: &str) -> String {
        let received = self.post(resource, json!({ "name": name })).await;
        assert_eq!(received.status, StatusCode::CREATED, "{}", received.body);
        received.body["id"].as_str().unwrap().to_owned()
    }
}

const KEYS: &str = "associationType/CONNECTOR_GRP/provisioningKey";

#[tokio::test]
async fn must_1_and_2_the_two_sign_ins_differ_in_the_type_of_expires_in() {
    let client = Client::signed_in().await;
    let (id, secret) = (&*client.fixture.first.client_id, &*client.fixture.first.client_secret);
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&audience=https%3A%2F%2Fa");
    let legacy = client.send(Method::POST, "/p/signin", &form, None).await.body;
    assert_eq!((&legacy["token_type"], &legacy["expires_in"]), (&json!("Bearer"), &json!("3600")));
    assert_eq!(legacy["access_token"].as_str().unwrap().split('.').count(), 3);
    let oauth = client.send(Method::POST, "/x.zslogin/oauth2/v1/token", &form, None).await.body;
    assert_eq!((&oauth["token_type"], &oauth["expires_in"]), (&json!("Bearer"), &json!(3600)));

    let wrong = form.replace(secret, "wrong");
    let refused = client.send(Method::POST, "/oauth2/v1/token", &wrong, None).await;
    assert_eq!((refused.status, &refused.body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")));
    let refused = client.send(Method::POST, "/oauth2/v1/token", "grant_type=password", None).await;
    assert_eq!((refused.status, &refused.body["error"]), (StatusCode::BAD_REQUEST, &json!("unsupported_grant_type")));
    let refused = client.send(Method::POST, "/signin", "client_id=%zz", None).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn must_21_bursts_of_good_sign_ins_pass_whatever_fails_beside_them() {
    let client = Client::signed_in().await;
    let (id, secret) = (&*client.fixture.first.client_id, &*client.fixture.first.client_secret);
    let good = format!("client_id={id}&client_secret={secret}");
    let mut slowed = 0;
    for _ in 0..60 {
        let bad = client.send(Method::POST, "/signin", "client_id=a&client_secret=b", None).await;
        match bad.status {
            StatusCode::UNAUTHORIZED => assert_eq!(bad.body["id"], "access.denied"),
            StatusCode::TOO_MANY_REQUESTS => slowed += 1,
            other => panic!("{other}"),
        }
        assert_eq!(client.send(Method::POST, "/signin", &good, None).await.status, StatusCode::OK);
    }
    assert!(slowed > 20, "{slowed}");
}

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let mut client = Client::signed_in().await;
    let good = client.token.clone();
    let last = if good.ends_with('A') { "B" } else { "A" };
    for token in [String::new(), "x".into(), format!("{}{last}", &good[..good.len() - 1])] {
        client.token = token;
        let refused = client.send(Method::GET, &client.path("machineGroup"), "", None).await;
        assert_eq!((refused.status, &refused.body["id"]), (StatusCode::UNAUTHORIZED, &json!("access.denied")));
    }
    client.token = good;
    assert_eq!(client.send(Method::POST, "/signout", "", None).await.status, StatusCode::NO_CONTENT);
    let refused = client.send(Method::GET, &client.path("machineGroup"), "", None).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn must_15_certificates_and_version_profiles_are_there() {
    let client = Client::signed_in().await;
    let list = client.get("enrollmentCert").await;
    let names: Vec<_> = list["list"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    let expected = ["Root", "Client", "Connector", "Service Edge", "Isolation Client", "Network Connector"];
    assert_eq!(names, expected);
    let connector = client.get(&format!("enrollmentCert/{}", client.certificate("connector").await)).await;
    assert_eq!(connector["parentCertName"], "Root");
    assert_eq!((&connector["privateKeyPresent"], &connector["allowSigning"]), (&json!(true), &json!(true)));
    assert!(connector["certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(connector["serialNo"].as_str().unwrap().bytes().all(|byte| byte.is_ascii_digit()));
    assert!(connector.get("privateKey").is_none());
    assert_eq!(
        client.get(&format!("enrollmentCert/{}", client.certificate("Client").await)).await["clientCertType"],
        "ZAPP_CLIENT"
    );

    let profiles = client.get("visible/versionProfiles?search=name%2BEQ%2Bdefault").await;
    assert_eq!((&profiles["totalCount"], &profiles["list"][0]["id"]), (&json!("1"), &json!("0")));
    assert_eq!(client.get("visible/versionProfiles").await["totalCount"], "3");
}

#[tokio::test]
async fn must_5_11_and_16_a_group_as_pyzscaler_makes_it() {
    let client = Client::signed_in().await;
    let sent = json!({ "name": "probe-1", "latitude": "37.3", "location": "San Jose, CA, USA", "longitude": "-121.8",
        "overrideVersionProfile": true, "versionProfileId": 0 });
    let made = client.post("appConnectorGroup", sent).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let group = &made.body;
    assert_eq!(group["versionProfileId"], "0");
    assert_eq!(group["enrollmentCertName"], "Connector");
    assert_eq!((&group["upgradeDay"], &group["praEnabled"]), (&json!("SUNDAY"), &json!(false)));
    for member in ["id", "creationTime", "modifiedTime", "modifiedBy", "enrollmentCertId"] {
        assert!(group[member].is_string(), "{member}");
    }
    assert!(group.get("ipAcl").is_none() && group.get("description").is_none());

    // It reads the group and sends all of it back.
    let path = format!("appConnectorGroup/{}", group["id"].as_str().unwrap());
    let mut whole = client.get(&path).await;
    whole["description"] = json!("e");
    let put = client.put(&path, whole).await;
    assert_eq!((put.status, &put.body), (StatusCode::NO_CONTENT, &Value::Null));
    let after = client.get(&path).await;
    assert_eq!((&after["description"], &after["latitude"]), (&json!("e"), &json!("37.3")));

    // An older name of the member, and a certificate that is not there.
    let edge = client.certificate("Service Edge").await;
    let made =
        client.post("serviceEdgeGroup", json!({ "name": "e", "signingCertId": edge, "isPublic": "FALSE" })).await;
    assert_eq!((&made.body["enrollmentCertId"], &made.body["isPublic"]), (&json!(edge), &json!("FALSE")));
    let path = format!("serviceEdgeGroup/{}", made.body["id"].as_str().unwrap());
    for (sent, kept) in [(json!(true), "TRUE"), (json!("false"), "FALSE"), (json!(null), "DEFAULT")] {
        client.put(&path, json!({ "isPublic": sent })).await;
        assert_eq!(client.get(&path).await["isPublic"], kept, "{sent}");
    }
    let refused = client.put(&path, json!({ "isPublic": "PERHAPS" })).await;
    assert_eq!((refused.status, &refused.body["params"]), (StatusCode::BAD_REQUEST, &json!(["isPublic"])));
    let refused = client.post("serviceEdgeGroup", json!({ "name": "f", "enrollmentCertId": "999" })).await;
    assert_eq!((refused.status, &refused.body["params"]), (StatusCode::BAD_REQUEST, &json!(["enrollmentCertId"])));
}

#[tokio::test]
async fn must_11_12_18_and_20_a_key_as_the_python_clients_make_it() {
    let client = Client::signed_in().await;
    let (group, certificate) = (client.group("appConnectorGroup", "HQ").await, client.certificate("Connector").await);
    let sent = json!({ "enrollmentCertId": certificate, "componentId": group, "name": "probe", "maxUsage": "10",
        "zcomponentId": group, "exportable": "true" });
    let made = client.post(KEYS, sent.clone()).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let key = &made.body;
    assert_eq!((&key["maxUsage"], &key["usageCount"]), (&json!("10"), &json!("0")));
    assert_eq!((&key["enabled"], &key["exportable"]), (&json!(true), &json!(true)));
    assert_eq!((&key["state"], &key["keyVersion"]), (&json!("active"), &json!("3")));
    let secret = key["provisioningKey"].as_str().unwrap();
    assert_eq!(secret.rsplit('|').next().unwrap()[..16], *key["keyId"].as_str().unwrap());
    for member in ["appConnectorGroupId", "associationType", "uiConfig", "ipAcl", "expirationInEpochSec"] {
        assert!(key.get(member).is_none(), "{member}");
    }
    let path = format!("{KEYS}/{}", key["id"].as_str().unwrap());

    // pyzscaler reads it and sends all of it back, with a number.
    let mut whole = client.get(&path).await;
    assert_eq!(whole["provisioningKey"], secret);
    whole["maxUsage"] = json!(20);
    whole["usageCount"] = json!("999");
    let put = client.put(&path, whole).await;
    assert_eq!((put.status, &put.body), (StatusCode::NO_CONTENT, &Value::Null));
    assert_eq!(
        (&client.get(&path).await["maxUsage"], &client.get(&path).await["usageCount"]),
        (&json!("20"), &json!("0"))
    );
    // The SDK sends what changes only, and its own names for what does not.
    for body in [json!({ "maxUsage": "30" }), json!({ "name": "probe", "componentId": group, "microtenantId": "0" })] {
        assert_eq!(client.put(&path, body).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(client.get(&path).await["maxUsage"], "30");

    let twice = client.post(KEYS, sent).await;
    assert_eq!((twice.status, &twice.body["id"]), (StatusCode::BAD_REQUEST, &json!("duplicate.resource.name")));
    let forgotten = client.post(KEYS, json!({ "name": "x", "maxUsage": null, "zcomponentId": group })).await;
    assert_eq!(forgotten.body["id"], "missing.mandatory.params");
    assert_eq!(forgotten.body["params"], json!(["maxUsage"]));
}

#[tokio::test]
async fn must_9_another_kind_is_not_found_like_a_missing_one() {
    let client = Client::signed_in().await;
    let group = client.group("appConnectorGroup", "HQ").await;
    let made = client.post(KEYS, json!({ "name": "k", "maxUsage": 1, "zcomponentId": group })).await;
    let id = made.body["id"].as_str().unwrap();
    let elsewhere = client.path(&format!("associationType/SERVICE_EDGE_GRP/provisioningKey/{id}"));
    let refused = client.send(Method::GET, &elsewhere, "", None).await;
    assert_eq!((refused.status, &refused.body["id"]), (StatusCode::NOT_FOUND, &json!("resource.not.found")));
    let path = client.path(&format!("{KEYS}/{id}"));
    assert_eq!(client.send(Method::DELETE, &path, "{}", None).await.status, StatusCode::NO_CONTENT);
    let missing = client.send(Method::GET, &path, "", None).await;
    assert_eq!((missing.status, missing.body), (StatusCode::NOT_FOUND, refused.body));
    for odd in ["abc", "0", "-1", "99999999999999999999"] {
        let missing = client.send(Method::GET, &client.path(&format!("{KEYS}/{odd}")), "", None).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND, "{odd}");
    }
}

#[tokio::test]
async fn must_13_terraform_disables_and_clears() {
    let client = Client::signed_in().await;
    let (group, certificate) = (client.group("appConnectorGroup", "HQ").await, client.certificate("Connector").await);
    let body = json!({ "enabled": true, "ipAcl": ["192.0.2.0/24"], "maxUsage": "2", "name": "tf",
        "enrollmentCertId": certificate, "zcomponentId": group, "associationType": "" });
    let made = client.post(KEYS, body.clone()).await.body;
    assert_eq!(made["ipAcl"], json!(["192.0.2.0/24"]));
    let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());

    let mut update = body;
    for member in ["enabled", "ipAcl"] {
        update.as_object_mut().unwrap().remove(member);
    }
    update["id"] = made["id"].clone();
    update["provisioningKey"] = made["provisioningKey"].clone();
    update["usageCount"] = json!("0");
    assert_eq!(client.put(&path, update.clone()).await.status, StatusCode::NO_CONTENT);
    let after = client.get(&path).await;
    assert_eq!((&after["enabled"], after.get("ipAcl")), (&json!(false), None));
    assert_eq!((&after["exportable"], &after["provisioningKey"]), (&json!(true), &made["provisioningKey"]));
    // The same again changes nothing: the plan is clean.
    let revision = client.put(&path, update).await.etag;
    assert_eq!(revision, client.send(Method::GET, &client.path(&path), "", None).await.etag);
    // Who is not Go leaves out what stays.
    assert_eq!(client.put(&path, json!({ "enabled": true })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.put(&path, json!({ "maxUsage": 3 })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.get(&path).await["enabled"], true);
}

#[tokio::test]
async fn must_6_and_14_lists_page_past_the_end_and_find_names_in_any_case() {
    let client = Client::signed_in().await;
    for name in ["Alpha", "alpha 2", "Beta"] {
        client.group("machineGroup", name).await;
    }
    let page = client.get("machineGroup?pagesize=2&page=1").await;
    assert_eq!((&page["totalPages"], &page["totalCount"]), (&json!("2"), &json!("3")));
    assert_eq!(page["list"].as_array().unwrap().len(), 2);
    let past = client.get("machineGroup?pagesize=2&page=3").await;
    assert_eq!((&past["list"], &past["totalCount"]), (&json!([]), &json!("3")));
    assert_eq!(client.get("machineGroup?search=name%2BEQ%2BALPHA").await["totalCount"], "1");
    assert_eq!(client.get("machineGroup?search=alpha&page=1").await["totalCount"], "2");
    assert_eq!(client.get("machineGroup/summary").await["list"][2]["name"], "Beta");
    let refused = client.send(Method::GET, &client.path("machineGroup?pagesize=501"), "", None).await;
    assert_eq!((refused.status, &refused.body["params"]), (StatusCode::BAD_REQUEST, &json!(["pagesize"])));
}

#[tokio::test]
async fn an_edit_bound_to_a_revision_is_refused_when_it_is_no_longer_that() {
    let client = Client::signed_in().await;
    let group = client.group("machineGroup", "Laptops").await;
    let path = client.path(&format!("machineGroup/{group}"));
    let put = |tag| {
        let (client, path) = (&client, &path);
        async move { client.send(Method::PUT, path, r#"{"enabled":false}"#, tag).await }
    };
    assert_eq!(client.send(Method::GET, &path, "", None).await.etag, Some(Revision(1)));
    for stale in ["\"2\"", "\"x\"", "1", "W/\"1\""] {
        let refused = put(Some(stale)).await;
        assert_eq!(
            (refused.status, &refused.body["id"]),
            (StatusCode::PRECONDITION_FAILED, &json!("precondition.failed"))
        );
    }
    assert_eq!(put(Some("\"1\"")).await.etag, Some(Revision(2)));
    assert_eq!(put(Some("*")).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn all_faults_of_a_request_come_in_one_answer() {
    let client = Client::signed_in().await;
    let body = json!({ "name": "a|b", "maxUsage": "many", "enabled": 1, "ipAcl": "192.0.2.0/24", "keyVersion": "2",
        "expirationInEpochSec": "1" });
    let refused = client.post(KEYS, body).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.body["id"], "invalid.resource.argument");
    let expected = ["name", "maxUsage", "enabled", "expirationInEpochSec", "ipAcl", "keyVersion", "zcomponentId"];
    assert_eq!(refused.body["params"], json!(expected));
    for body in ["", "[]", "nonsense", "{\"name\":"] {
        let refused = client.send(Method::POST, &client.path(KEYS), body, None).await;
        assert_eq!(
            (refused.status, &refused.body["id"]),
            (StatusCode::BAD_REQUEST, &json!("invalid.resource.argument"))
        );
    }
}

#[tokio::test]
async fn must_8_no_refusal_makes_the_public_clients_retry_for_ever() {
    let passing = [
        "bad.request",
        "db.simultaneous.request",
        "api.concurrent.access.error",
        "non.restricted.entity.authorization.failed",
    ];
    let client = Client::signed_in().await;
    let group = client.group("machineGroup", "Laptops").await;
    let keys = "associationType/MACHINE_GRP/provisioningKey";
    client.post(keys, json!({ "name": "k", "zcomponentId": group })).await;
    let refusals = [
        client.post("machineGroup", json!({ "name": "laptops" })).await,
        client.post(keys, json!({ "name": "K", "zcomponentId": group })).await,
        client.send(Method::DELETE, &client.path(&format!("machineGroup/{group}")), "", None).await,
        client.send(Method::PATCH, &client.path("machineGroup"), "", None).await,
        client.send(Method::GET, &client.path("policySet/policyType/ACCESS_POLICY"), "", None).await,
    ];
    for refused in refusals {
        assert!(refused.status.is_client_error() && refused.status != StatusCode::CONFLICT, "{}", refused.status);
        assert!(!passing.contains(&refused.body["id"].as_str().unwrap()), "{}", refused.body);
    }
}

#[test]
fn must_7_passing_trouble_is_told_with_a_bare_number_of_seconds() {
    let reason = String::new;
    let waiting = 1;
    for error in [
        Error::Contended { object: Object::Group, id: reason() },
        Error::StoreOverloaded { waiting },
        Error::StoreUnavailable { reason: reason() },
        Error::OutcomeUnknown { reason: reason() },
    ] {
        let reference = Reference::random();
        let response = Refusal::from(error).into_answer(&reference).into_response(&reference);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let seconds = response.headers()["retry-after"].to_str().unwrap();
        assert!((1..=4).contains(&seconds.parse::<u32>().unwrap()), "{seconds:?}");
    }
}

#[test]
fn answers_carry_their_headers_and_an_empty_one_no_type() {
    let reference = Reference::random();
    let full = Answer::json(StatusCode::OK, &json!({})).tagged(Revision(7)).retry_after(3).into_response(&reference);
    let header = |name: &str| full.headers().get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("content-type"), Some("application/json;charset=utf-8"));
    assert_eq!((header("cache-control"), header("etag")), (Some("no-store"), Some("\"7\"")));
    assert_eq!((header("retry-after"), header("x-transaction-id")), (Some("3"), Some(reference.as_str())));
    let empty = Answer::empty().into_response(&reference);
    assert_eq!((empty.status(), empty.headers().get("content-type")), (StatusCode::NO_CONTENT, None));
}

#[tokio::test]
async fn a_repetition_is_answered_and_not_done_again() {
    let client = Client::signed_in().await;
    let body = json!({ "name": "HQ" });
    let made = client.post_once("appConnectorGroup", &body, "a").await;
    let again = client.post_once("appConnectorGroup", &body, "a").await;
    assert_eq!((made.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!((&made.body, made.etag), (&again.body, again.etag));

    // Another key, and a name that is taken by now: done, and refused as such.
    let taken = client.post_once("appConnectorGroup", &body, "b").await;
    assert_eq!((taken.status, &taken.body["id"]), (StatusCode::BAD_REQUEST, &json!("duplicate.resource.name")));
    // A refusal is not remembered: what was wrong may be right the next time.
    assert_eq!(
        client.post_once("appConnectorGroup", &json!({ "name": "HQ 2" }), "b").await.status,
        StatusCode::CREATED
    );

    for (path, body) in [("appConnectorGroup", json!({ "name": "HQ 3" })), ("serviceEdgeGroup", body)] {
        let refused = client.post_once(path, &body, "a").await;
        assert_eq!((refused.status, &refused.body["params"]), (StatusCode::BAD_REQUEST, &json!(["Idempotency-Key"])));
    }
    assert_eq!(client.get("appConnectorGroup").await["totalCount"], "2");
}

#[tokio::test]
async fn repetitions_that_race_make_one_key_and_all_are_told_of_it() {
    let client = Client::signed_in().await;
    let group = client.group("appConnectorGroup", "HQ").await;
    let body = json!({ "name": "k", "maxUsage": "1", "zcomponentId": group });
    let post = || client.post_once(KEYS, &body, "a");
    let (first, second, third, fourth) = tokio::join!(post(), post(), post(), post());
    assert!(first.body["provisioningKey"].as_str().unwrap().starts_with("3|"), "{}", first.body);
    for answer in [second, third, fourth] {
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, &first.body));
    }
    assert_eq!(client.get(KEYS).await["totalCount"], "1");
}

/// What the winner made stands in the way of the others before their transactions do.
#[tokio::test]
async fn repetitions_of_an_import_or_a_rotation_that_race_are_all_told_of_it() {
    let client = Client::signed_in().await;
    let group = client.group("appConnectorGroup", "HQ").await;
    let members = json!({ "name": "rotated", "maxUsage": "1", "zcomponentId": group });
    let made = client.post(KEYS, members).await.body;
    let rotate = format!("{KEYS}/{}/rotate", made["id"].as_str().unwrap());
    let string = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/".repeat(2);
    let imported = json!({ "name": "imported", "maxUsage": "1", "zcomponentId": group,
        "provisioningKey": format!("1|elsewhere.example|{string}") });
    for (path, body) in [(format!("{KEYS}/import"), imported), (rotate, json!({ "name": "successor" }))] {
        let post = || client.post_once(&path, &body, &path);
        let (first, second, third, fourth) = tokio::join!(post(), post(), post(), post());
        assert_eq!(first.status, StatusCode::OK, "{path}: {}", first.body);
        for answer in [second, third, fourth] {
            assert_eq!((answer.status, &answer.body, answer.etag), (first.status, &first.body, first.etag), "{path}");
        }
    }
    assert_eq!(client.get(KEYS).await["totalCount"], "3");
}

#[tokio::test]
async fn a_repetition_soon_loses_what_is_shown_once_and_then_all() {
    let mut client = Client::signed_in().await;
    let group = client.group("appConnectorGroup", "HQ").await;
    let body =
        |name: &str, view: bool| json!({ "name": name, "maxUsage": "1", "zcomponentId": group, "exportable": view });
    let (seen, hidden) = (body("seen", true), body("hidden", false));
    let strings = async || {
        let (seen, hidden) = (client.post_once(KEYS, &seen, "s").await, client.post_once(KEYS, &hidden, "h").await);
        [seen, hidden].map(|answer| answer.body.get("provisioningKey").cloned())
    };
    let [first_seen, first_hidden] = strings().await;
    assert!(first_seen.is_some() && first_hidden.is_some());

    client.fixture.advance(599);
    assert_eq!(strings().await, [first_seen, first_hidden]);
    client.fixture.advance(1);
    assert_eq!(strings().await, [None, None], "viewing may be off by now");
    client.fixture.advance(86_400 - 600);
    client.sign_in().await;
    let refused = client.post_once(KEYS, &seen, "s").await;
    assert_eq!((refused.status, &refused.body["id"]), (StatusCode::BAD_REQUEST, &json!("duplicate.resource.name")));
}

#[tokio::test]
async fn a_repetition_soon_loses_passwords_and_client_secrets() {
    let client = Client::signed_in().await;
    let made = client.post("apiClients", json!({ "name": "rotated", "role": "auditor" })).await;
    let secret = format!("apiClients/{}/secret", made.body["id"].as_str().unwrap());
    let person = json!({ "username": "ada", "role": "auditor" });
    let program = json!({ "name": "tf", "role": "auditor" });
    for (path, body, member) in [
        ("administrators", &person, "password"),
        ("apiClients", &program, "clientSecret"),
        (&*secret, &json!({}), "clientSecret"),
    ] {
        let first = client.post_once(path, body, path).await;
        assert!(first.status.is_success() && first.body[member].is_string(), "{path}: {}", first.body);
        client.fixture.advance(599);
        assert_eq!(client.post_once(path, body, path).await.body, first.body, "{path}");
        client.fixture.advance(1);
        let later = client.post_once(path, body, path).await;
        let mut expected = first.body;
        expected.as_object_mut().unwrap().remove(member);
        assert_eq!((later.status, later.body, later.etag), (first.status, expected, first.etag), "{path}");
    }
}

#[tokio::test]
async fn an_idempotency_key_has_its_bounds() {
    let client = Client::signed_in().await;
    let at = "k".repeat(255);
    assert_eq!(client.post_once("machineGroup", &json!({ "name": "at" }), &at).await.status, StatusCode::CREATED);
    for key in [String::new(), format!("{at}k")] {
        let refused = client.post_once("machineGroup", &json!({ "name": "over" }), &key).await;
        assert_eq!((refused.status, &refused.body["params"]), (StatusCode::BAD_REQUEST, &json!(["Idempotency-Key"])));
    }
    // On what makes nothing it means nothing.
    let list = client.send_with(Method::GET, &client.path("machineGroup"), "", &[(IDEMPOTENCY_KEY, &at)]).await;
    assert_eq!(list.body["totalCount"], "1");
}

/// With the assertion that answers are as declared, and the one that members are read as declared, this is
/// what makes the document true: nothing is read that is not in it, nothing is in it that is not read.
#[tokio::test]
async fn every_row_reads_the_members_that_it_declares() {
    let client = Client::signed_in().await;
    for route in ROUTES {
        let Some(shape) = route.json_shape() else { continue };
        let customer = client.fixture.customer().to_string();
        let path = format!("/{}", route.pattern).replace("{customerId}", &customer).replace("{id}", "1");
        READ.take();
        for kind in Kind::ALL {
            client.send(route.method.clone(), &on_kind(&path, kind), "{}", None).await;
        }
        let declared: BTreeSet<_> = shape.request_members().map(|member| member.name.to_owned()).collect();
        assert_eq!(READ.take(), declared, "{} {}", route.method, route.pattern);
    }
}

#[tokio::test]
async fn the_document_has_every_row_and_leads_nowhere_else() {
    let client = Client::signed_in().await;
    let document = client.send(Method::GET, "/zpa/openapi.json", "", None).await.body;
    let rows: BTreeSet<_> = ROUTES.iter().map(|route| route.handler.replace("::", ".")).collect();
    let mut ids = BTreeSet::new();
    let mut named = BTreeSet::new();
    for operation in document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
    {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} stands twice");
        named.extend(rows.iter().filter(|row| id == **row || id.starts_with(&format!("{row}."))).cloned());
    }
    assert_eq!(named, rows);
    assert!(ids.contains("groups.list.machineGroup") && ids.contains("signing_certificates.list.v2"));
    for reference in references(&document) {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_document_asks_for_no_more_and_no_less_than_is_needed() {
    let client = Client::signed_in().await;
    let document = client.send(Method::GET, "/zpa/openapi.json", "", None).await.body;
    let post = |path: &str| {
        let path = format!("/mgmtconfig/v1/admin/customers/{{customerId}}/{path}");
        document["paths"][&path]["post"]["requestBody"]["required"].clone()
    };
    let keys = "associationType/{associationType}/provisioningKey";
    assert_eq!(post(&format!("{keys}/{{id}}/rotate")), json!(false));
    assert_eq!([post(keys), post("machineSchedule")], [json!(true), json!(true)]);
    for (schema, member) in [("KeyBulk.New", "ids"), ("ComponentIds.New", "ids")] {
        let ids = &document["components"]["schemas"][schema]["properties"][member];
        assert_eq!((&ids["minItems"], &ids["maxItems"]), (&json!(1), &json!(500)), "{schema}");
    }
    let schedule = &document["components"]["schemas"]["CleanUpSchedule.New"];
    let spellings = json!([{ "required": ["frequencyInterval"] }, { "required": ["frequency_interval"] }]);
    assert_eq!((&schedule["required"], &schedule["allOf"]), (&Value::Null, &json!([{ "anyOf": spellings }])));

    for (body, made) in [("", StatusCode::BAD_REQUEST), (r#"{"frequency_interval":30}"#, StatusCode::CREATED)] {
        assert_eq!(client.send(Method::POST, &client.path("machineSchedule"), body, None).await.status, made, "{body}");
    }
}

/// All targets of `$ref`.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(list) => list.iter().flat_map(references).collect(),
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        _ => Vec::new(),
    }
}
