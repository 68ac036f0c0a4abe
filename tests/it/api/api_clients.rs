//! API clients: from making one to its end, and what it manages.

use serde_json::{Value, json};

use super::support::{Client, id};
use crate::support::{Answer, Service};

async fn sign_in(client: &Client, id: &str, secret: &str) -> Answer {
    client.send("POST", "/signin", format!("client_id={id}&client_secret={secret}"), &[]).await
}

fn text<'a>(made: &'a Value, member: &str) -> &'a str {
    made[member].as_str().unwrap_or_else(|| panic!("no {member} in {made}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_client_from_first_to_last() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let made = client.make("apiClients", &json!({ "name": "tf", "role": "operator" })).await;
    let (client_id, secret) = (text(&made, "clientId"), text(&made, "clientSecret"));
    assert_eq!((&made["managing"], made.get("label")), (&json!(false), None));
    let path = format!("apiClients/{}", id(&made));
    let found = client.get(&path).await;
    assert_eq!(found.header("etag"), Some("\"1\""));
    assert!(found.json().get("clientSecret").is_none() && found.json().get("lastUsedTime").is_none());

    let mut program = Client::of(&service, client.customer());
    program.token = Some(sign_in(&program, client_id, secret).await.text("access_token"));
    assert_eq!(program.get(&path).await.json()["role"], "operator");
    assert!(client.get(&path).await.json()["lastUsedTime"].is_string());
    assert_eq!(program.post("apiClients", &json!({ "name": "x", "role": "auditor" })).await.status, 403);

    let replaced = client.post(&format!("{path}/secret"), &json!({})).await;
    assert_eq!((replaced.status, replaced.header("etag")), (200, Some("\"2\"")));
    assert_eq!(replaced.text("clientId"), client_id);
    let new_secret = replaced.text("clientSecret");
    assert_ne!(new_secret, secret);
    assert_eq!(program.get(&path).await.status, 401, "tokens of the old secret are dead");
    assert_eq!(sign_in(&program, client_id, secret).await.status, 401, "and so is it");
    program.token = Some(sign_in(&program, client_id, &new_secret).await.text("access_token"));

    client.edit(&path, &json!({ "enabled": false, "clientId": "other", "clientSecret": "other" })).await;
    assert_eq!(program.get(&path).await.status, 401, "disabled: from its next request on");
    assert_eq!(sign_in(&program, client_id, &new_secret).await.status, 401);
    client.edit(&path, &json!({ "enabled": true, "name": "Terraform", "role": "auditor" })).await;
    let found = program.get(&path).await.json();
    assert_eq!(
        (&found["name"], &found["role"], text(&found, "clientId")),
        (&json!("Terraform"), &json!("auditor"), client_id)
    );
    assert_eq!(client.get("apiClients?search=name+EQ+terraform").await.json()["totalCount"], "1");
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(program.get(&path).await.status, 401);
    for (method, path) in
        [("GET", path.clone()), ("PUT", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/secret"))]
    {
        let missing = client.send(method, &path, "{}", &[]).await;
        assert_eq!((missing.status, missing.text("id").as_str()), (404, "resource.not.found"), "{method}");
    }
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_by_its_member() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let params = async |body: Value| {
        let refused = client.post("apiClients", &body).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.body);
        refused.json()["params"].clone()
    };
    assert_eq!(params(json!({})).await, json!(["name", "role"]));
    assert_eq!(
        params(json!({ "name": "a/b", "role": "king", "enabled": 1, "managing": "x" })).await,
        json!(["name", "role", "enabled", "managing"])
    );
    assert_eq!(params(json!({ "name": "a", "role": "auditor", "label": "Deception" })).await, json!(["label"]));
    assert_eq!(params(json!({ "name": "First-Start", "role": "auditor" })).await, json!(["name"]), "taken");
    let above = client.post("apiClients", &json!({ "name": "a", "role": "owner" })).await;
    assert_eq!((above.status, above.text("id").as_str()), (403, "authorization.failed"));
    let clients = client.get("apiClients").await.json();
    let own = format!("apiClients/{}", id(&clients["list"][0]));
    for refused in [
        client.put(&own, &json!({ "enabled": false })).await,
        client.put(&own, &json!({ "role": "auditor" })).await,
        client.delete(&own).await,
    ] {
        assert_eq!((refused.status, refused.text("id").as_str()), (403, "authorization.failed"), "not oneself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_manages_keys_stays_while_it_does() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let made = client
        .make("apiClients", &json!({ "name": "d", "role": "operator", "managing": true, "label": "Deception" }))
        .await;
    assert_eq!((&made["managing"], &made["label"]), (&json!(true), &json!("Deception")));
    let mut manager = Client::of(&service, client.customer());
    let signed_in = sign_in(&manager, text(&made, "clientId"), text(&made, "clientSecret")).await;
    manager.token = Some(signed_in.text("access_token"));
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let (key, path) = manager.make_key(&group, "k", json!({})).await;
    assert_eq!(key["managedBy"], "Deception");
    let refused = client.delete(&path).await;
    assert_eq!((refused.status, refused.text("id").as_str()), (403, "readonly.entity"));
    let own = format!("apiClients/{}", id(&made));
    let refused = client.delete(&own).await;
    assert_eq!((refused.status, refused.text("id").as_str()), (400, "resource.referenced"));
    assert_eq!(manager.delete(&path).await.status, 204);
    assert_eq!(client.delete(&own).await.status, 204);
}
