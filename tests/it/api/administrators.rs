//! Administrators: from making one to its last session.

use serde_json::{Value, json};

use super::support::{Client, id};
use crate::support::Service;

const PASSWORD: &str = "correct horse battery";

fn refusal(answer: &crate::support::Answer) -> (u16, String, Value) {
    let body = answer.json();
    (answer.status, body["id"].as_str().expect("an id").to_owned(), body["params"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_from_first_to_last() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let made = client
        .make(
            "administrators",
            &json!({ "username": "ada", "role": "operator", "password": PASSWORD, "description": "counts" }),
        )
        .await;
    assert!(made.get("password").is_none(), "a given one is not told");
    assert_eq!((&made["username"], &made["role"], &made["enabled"]), (&json!("ada"), &json!("operator"), &json!(true)));
    assert!(made.get("lastSignInTime").is_none() && made["creationTime"].is_string());
    let path = format!("administrators/{}", id(&made));

    let ada = Client::of(&service, client.customer()).signed_in("ADA", PASSWORD).await;
    let found = ada.get(&path).await;
    assert_eq!((found.status, found.header("etag")), (200, Some("\"1\"")));
    assert!(found.json()["lastSignInTime"].is_string());
    assert_eq!(ada.get("administrators?search=username+EQ+Ada").await.json()["totalCount"], "1");
    assert_eq!(ada.post("administrators", &json!({})).await.status, 403, "an operator makes none");

    let sessions = ada.get(&format!("{path}/sessions")).await.json();
    let session = &sessions["list"][0];
    assert_eq!((&sessions["totalCount"], &session["current"]), (&json!("1"), &json!(true)));
    assert_eq!((&session["remoteAddress"], &session["userAgent"]), (&json!("127.0.0.1"), &json!("tests/1")));
    assert!(session["creationTime"].is_string() && session["expirationTime"].is_string());
    let second = ada.signed_in("ada", PASSWORD).await;
    let own = format!("{path}/sessions/{}", id(session));
    assert_eq!(second.delete(&own).await.status, 204);
    assert_eq!(ada.get(&path).await.status, 401, "it was ended");
    assert_eq!(refusal(&second.delete(&own).await).1, "resource.not.found");

    let guess = json!({ "currentPassword": "x", "newPassword": "another password" });
    let wrong = second.post(&format!("{path}/password"), &guess).await;
    assert_eq!(refusal(&wrong), (400, "invalid.resource.argument".into(), json!(["currentPassword"])));
    let change = json!({ "currentPassword": PASSWORD, "newPassword": "another password" });
    assert_eq!(client.post(&format!("{path}/password"), &change).await.status, 403, "one's own only");
    assert_eq!(second.post(&format!("{path}/password"), &change).await.status, 204);
    assert_eq!(second.get(&path).await.status, 401, "all sessions ended");
    assert_eq!(second.sign_in_as("ada", PASSWORD).await.status, 401);
    let third = second.signed_in("ada", "another password").await;

    let reset =
        client.put(&path, &json!({ "password": PASSWORD, "role": "auditor", "id": "7", "lastSignInTime": "1" })).await;
    assert_eq!((reset.status, reset.body.as_str()), (204, ""));
    assert_eq!(third.get(&path).await.status, 401);
    let fourth = third.signed_in("ada", PASSWORD).await;
    assert_eq!(fourth.get(&path).await.json()["role"], "auditor");
    let stale = client.send("PUT", &path, r#"{"enabled":false}"#, &[("if-match", "\"1\"")]).await;
    assert_eq!(refusal(&stale).0, 412);
    client.edit(&path, &json!({ "enabled": false })).await;
    assert_eq!(fourth.get(&path).await.status, 401);
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(refusal(&client.get(&path).await), (404, "resource.not.found".into(), json!([id(&made)])));
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_by_its_member() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let missing = client.post("administrators", &json!({})).await;
    assert_eq!(refusal(&missing), (400, "missing.mandatory.params".into(), json!(["username", "role"])));
    let body = json!({ "username": "a@b", "role": "king", "enabled": 1, "password": "short", "description": 7 });
    let wrong = client.post("administrators", &body).await;
    let members = json!(["username", "description", "role", "enabled", "password"]);
    assert_eq!(refusal(&wrong), (400, "invalid.resource.argument".into(), members));
    let taken =
        client.post("administrators", &json!({ "username": "Admin", "role": "auditor", "password": PASSWORD })).await;
    assert_eq!(refusal(&taken), (400, "duplicate.resource.name".into(), json!(["username"])));
    let above =
        client.post("administrators", &json!({ "username": "eve", "role": "owner", "password": PASSWORD })).await;
    assert_eq!((above.status, above.text("id").as_str()), (403, "authorization.failed"));
    let generated = client.make("administrators", &json!({ "username": "eve", "role": "auditor" })).await;
    let password = generated["password"].as_str().expect("shown once").to_owned();
    assert!(client.get(&format!("administrators/{}", id(&generated))).await.json().get("password").is_none());
    Client::of(&service, client.customer()).signed_in("eve", &password).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_stand_in_customer_0_and_one_stays() {
    let service = Service::start();
    let owner = Client::owner(&service).await;
    let customer = Client::sign_in(&service).await;
    let owners = owner.get("administrators").await.json();
    let first = owners["list"][0].clone();
    assert_eq!((&owners["totalCount"], &first["role"]), (&json!("1"), &json!("owner")));
    let hidden = customer.get("/mgmtconfig/v1/admin/customers/0/administrators").await;
    assert_eq!((hidden.status, hidden.text("reason").as_str()), (404, "Resource not found: customer 0"));
    let other = owner.get(&format!("/mgmtconfig/v1/admin/customers/{}/administrators", customer.customer())).await;
    assert_eq!(other.status, 200, "an owner reaches every customer");

    let path = format!("administrators/{}", id(&first));
    for body in [json!({ "enabled": false }), json!({ "password": "another password" })] {
        let refused = owner.put(&path, &body).await;
        assert_eq!((refused.status, refused.text("id").as_str()), (403, "authorization.failed"), "{body}");
    }
    assert_eq!(owner.delete(&path).await.status, 403, "not oneself");
    let elsewhere = owner.put(&path, &json!({ "role": "admin" })).await;
    assert_eq!(refusal(&elsewhere).2, json!(["role"]));
    // A program with the same rights.
    let made = owner.make("apiClients", &json!({ "name": "automation", "role": "owner" })).await;
    let mut program = Client::of(&service, "0");
    let member = |name: &str| made[name].as_str().expect("a string").to_owned();
    let form = format!("client_id={}&client_secret={}", member("clientId"), member("clientSecret"));
    program.token = Some(program.send("POST", "/signin", form, &[]).await.text("access_token"));
    let last = program.put(&path, &json!({ "enabled": false })).await;
    assert_eq!((last.status, last.text("id").as_str()), (400, "last.owner"));
    assert_eq!(refusal(&program.delete(&path).await).1, "last.owner");
    program.make("administrators", &json!({ "username": "second", "role": "owner", "password": PASSWORD })).await;
    assert_eq!(program.delete(&path).await.status, 204);
    assert_eq!(owner.get("administrators").await.status, 401);
}

/// The same answer, byte for byte but for its headers, whatever was wrong; and guessing is slowed down.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_says_nothing_about_why_it_failed() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let anybody = Client::of(&service, client.customer());
    for (username, enabled) in [("ada", true), ("off", false)] {
        let body = json!({ "username": username, "role": "admin", "password": PASSWORD, "enabled": enabled });
        client.make("administrators", &body).await;
    }
    let mut bodies = Vec::new();
    for (username, password) in
        [("ada", "wrong password"), ("nobody", PASSWORD), ("off", PASSWORD), ("ada", ""), ("", "")]
    {
        let refused = anybody.sign_in_as(username, password).await;
        assert_eq!(refused.status, 401, "{username}");
        bodies.push(refused.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    for _ in 0..3 {
        assert_eq!(anybody.sign_in_as("nobody", PASSWORD).await.status, 401);
    }
    assert_eq!(anybody.sign_in_as("nobody", PASSWORD).await.status, 401, "the fifth");
    let slowed = anybody.sign_in_as("nobody", PASSWORD).await;
    assert_eq!((slowed.status, slowed.text("id").as_str()), (429, "invalid.toomanyrequests"));
    let seconds: u32 = slowed.header("retry-after").and_then(|text| text.parse().ok()).expect("a bare number");
    assert!((1..=15).contains(&seconds), "{seconds}");
    assert_eq!(anybody.sign_in_as("ada", PASSWORD).await.status, 200, "others from there go on");
    assert_eq!(Client::sign_in(&service).await.get("administrators").await.status, 200, "and programs");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_a_restart_and_so_does_their_end() {
    let mut service = Service::start();
    let client = Client::sign_in(&service).await;
    client.make("administrators", &json!({ "username": "ada", "role": "auditor", "password": PASSWORD })).await;
    let anybody = Client::of(&service, client.customer());
    let (kept, ended) = (anybody.signed_in("ada", PASSWORD).await, anybody.signed_in("ada", PASSWORD).await);
    assert_eq!(ended.send("POST", "/signout", "", &[]).await.status, 204);
    assert_eq!(client.send("POST", "/signout", "", &[]).await.status, 204);
    service.kill();
    service.launch();
    for (before, status) in [(kept, 200), (ended, 401), (client, 401)] {
        let mut after = Client::of(&service, before.customer());
        after.token = before.token;
        assert_eq!(after.get("administrators").await.status, status);
    }
    service.assert_healthy();
}
