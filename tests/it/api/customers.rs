//! Customers: an owner makes them, and they never see each other.

use serde_json::json;

use super::support::{Client, KEYS, id, string};
use crate::support::{Device, Service};

const PASSWORD: &str = "correct horse battery";
const CUSTOMERS: &str = "/mgmtconfig/v1/admin/customers";

#[tokio::test(flavor = "multi_thread")]
async fn a_new_customer_enrolls_devices_until_it_is_disabled() {
    let service = Service::start();
    let owner = Client::owner(&service).await;
    let body = json!({ "name": "Acme", "administrator": { "username": "ada", "password": PASSWORD } });
    let made = owner.make(CUSTOMERS, &body).await;
    assert_eq!((&made["administrator"]["role"], made["administrator"].get("password")), (&json!("admin"), None));
    let path = format!("{CUSTOMERS}/{}", id(&made));
    let ada = Client::of(&service, id(&made)).signed_in("ada", PASSWORD).await;
    assert_eq!(ada.get("enrollmentCert").await.json()["totalCount"], "6");
    assert_eq!(ada.get(&path).await.json()["name"], "Acme");
    let group = ada.make_group("appConnectorGroup", "HQ").await;
    let (key, _) = ada.make_key(&group, "k", json!({})).await;
    let (one, two) = (Device::new("one"), Device::new("two"));
    let enrolled = one.enroll(&service.endpoint(), string(&key)).await;
    assert_eq!((enrolled.status, enrolled.text("customerId").as_str()), (200, id(&made)));

    owner.edit(&path, &json!({ "enabled": false, "name": "Acme Ltd." })).await;
    assert_eq!(two.enroll(&service.endpoint(), string(&key)).await.code(), "customer-disabled");
    assert_eq!(ada.get(KEYS).await.status, 401);
    assert_eq!(ada.sign_in_as("ada", PASSWORD).await.status, 401);
    owner.edit(&path, &json!({ "enabled": true })).await;
    assert_eq!(two.enroll(&service.endpoint(), string(&key)).await.status, 200);
    assert_eq!(ada.get(KEYS).await.status, 200);
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_owners_manage_customers() {
    let service = Service::start();
    let (owner, client) = (Client::owner(&service).await, Client::sign_in(&service).await);
    let own = format!("{CUSTOMERS}/{}", client.customer());
    assert_eq!(client.get(&own).await.json()["name"], "Default");
    let refusals = [
        client.get(CUSTOMERS).await,
        client.post(CUSTOMERS, &json!({ "name": "Mine" })).await,
        client.put(&own, &json!({ "name": "Mine" })).await,
    ];
    for refused in refusals {
        assert_eq!((refused.status, refused.text("id").as_str()), (403, "authorization.failed"));
    }
    assert_eq!(owner.send("DELETE", &own, "", &[]).await.status, 405, "none is ever deleted");

    let made = owner.make(CUSTOMERS, &json!({ "name": "Acme" })).await;
    assert_eq!(owner.get(&format!("{CUSTOMERS}?search=acme")).await.json()["list"][0]["id"], made["id"]);
    assert_eq!(owner.get(&format!("{CUSTOMERS}?pagesize=1&page=2")).await.json()["totalPages"], "2");
    let params = async |body: serde_json::Value| {
        let refused = owner.post(CUSTOMERS, &body).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
        refused.json()["params"].clone()
    };
    assert_eq!(params(json!({})).await, json!(["name"]));
    assert_eq!(params(json!({ "name": "ACME" })).await, json!(["name"]));
    assert_eq!(params(json!({ "name": "New", "administrator": "ada" })).await, json!(["administrator"]));
    assert_eq!(params(json!({ "name": "New", "administrator": { "username": "Admin" } })).await, json!(["username"]));
    assert_eq!(owner.get(&format!("{CUSTOMERS}?search=New")).await.json()["totalCount"], "0", "nothing was made");
    assert_eq!(owner.get(&format!("{CUSTOMERS}/0")).await.status, 404);
}

/// Another customer's object reads, byte for byte, like one that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn customers_never_see_each_other() {
    let service = Service::start();
    let (owner, client) = (Client::owner(&service).await, Client::sign_in(&service).await);
    let made = owner
        .make(CUSTOMERS, &json!({ "name": "Acme", "administrator": { "username": "ada", "password": PASSWORD } }))
        .await;
    let ada = Client::of(&service, id(&made)).signed_in("ada", PASSWORD).await;
    let own_administrator = id(&made["administrator"]).to_owned();
    let own_client = id(&ada.make("apiClients", &json!({ "name": "c", "role": "auditor" })).await).to_owned();
    let sessions = ada.get(&format!("administrators/{own_administrator}/sessions")).await.json();
    let session = id(&sessions["list"][0]).to_owned();
    let objects = [
        ("GET", format!("administrators/{own_administrator}"), own_administrator.as_str()),
        ("PUT", format!("administrators/{own_administrator}"), &own_administrator),
        ("DELETE", format!("administrators/{own_administrator}"), &own_administrator),
        ("GET", format!("administrators/{own_administrator}/sessions"), &own_administrator),
        ("DELETE", format!("administrators/{own_administrator}/sessions/{session}"), &own_administrator),
        ("POST", format!("administrators/{own_administrator}/password"), &own_administrator),
        ("GET", format!("apiClients/{own_client}"), &own_client),
        ("PUT", format!("apiClients/{own_client}"), &own_client),
        ("DELETE", format!("apiClients/{own_client}"), &own_client),
        ("POST", format!("apiClients/{own_client}/secret"), &own_client),
    ];
    for (method, path, there) in &objects {
        // Below the caller's own customer, where it is not, and one that is nowhere.
        let foreign = client.send(method, path, "{}", &[]).await;
        let missing = client.send(method, &path.replace(there, "4711"), "{}", &[]).await;
        assert_eq!((foreign.status, missing.status), (404, 404), "{method} {path}");
        assert_eq!(foreign.body.replace(there, "4711"), missing.body, "{method} {path}");
        // Below the other customer, and below one that is nowhere.
        let foreign = client.send(method, &format!("{CUSTOMERS}/{}/{path}", id(&made)), "{}", &[]).await;
        let missing = client.send(method, &format!("{CUSTOMERS}/4711/{path}"), "{}", &[]).await;
        assert_eq!((foreign.status, missing.status), (404, 404), "{method} {path}");
        assert_eq!(foreign.body.replace(id(&made), "4711"), missing.body, "{method} {path}");
    }
    for list in ["administrators", "apiClients", "auditEvents", "auditEvents/export"] {
        let foreign = client.get(&format!("{CUSTOMERS}/{}/{list}", id(&made))).await;
        assert_eq!((foreign.status, foreign.text("id").as_str()), (404, "resource.not.found"), "{list}");
    }
    assert_eq!(ada.get(&format!("apiClients/{own_client}")).await.status, 200, "none of it touched it");
}
