//! A program that calls the management API of a running service, JSON over HTTPS.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::device::{connect_to, read_answer};
use crate::support::{Answer, Service};

/// The four kinds by their words on the wire: resource of the groups, association type of the keys, and
/// what devices are told.
pub const KINDS: [(&str, &str, &str); 4] = [
    ("appConnectorGroup", "CONNECTOR_GRP", "app-connector"),
    ("serviceEdgeGroup", "SERVICE_EDGE_GRP", "service-edge"),
    ("networkConnectorGroup", "NP_ASSISTANT_GRP", "network-connector"),
    ("machineGroup", "MACHINE_GRP", "machine"),
];

/// The API client that the first start made, signed in. Each request has a connection of its own.
pub struct Client {
    address: SocketAddr,
    anchor_pem: String,
    /// Of its customer.
    base: String,
    /// `None`: requests carry no token.
    pub token: Option<String>,
}

impl Client {
    pub async fn sign_in(service: &Service) -> Self {
        let mut client = Self::without_token(service);
        let signed_in = client.send("POST", "/signin", credentials(service), &[]).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.body);
        client.token = Some(signed_in.text("access_token"));
        client
    }

    pub fn without_token(service: &Service) -> Self {
        Self::of(service, service.api_client()["customerId"].as_str().expect("a string"))
    }

    /// The owner that the first start made. Below its own customer, which is 0.
    pub async fn owner(service: &Service) -> Self {
        let (username, password) = service.owner();
        Self::of(service, "0").signed_in(&username, &password).await
    }

    /// Somebody without a token, below this customer.
    pub fn of(service: &Service, customer: &str) -> Self {
        Self {
            address: service.admin,
            anchor_pem: service.trust_anchor_pem(),
            base: format!("/mgmtconfig/v1/admin/customers/{customer}/"),
            token: None,
        }
    }

    /// The same with an administrator's token.
    pub async fn signed_in(&self, username: &str, password: &str) -> Self {
        let answer = self.sign_in_as(username, password).await;
        assert_eq!(answer.status, 200, "{username}: {}", answer.body);
        let (anchor_pem, base) = (self.anchor_pem.clone(), self.base.clone());
        Self { address: self.address, anchor_pem, base, token: Some(answer.text("access_token")) }
    }

    pub async fn sign_in_as(&self, username: &str, password: &str) -> Answer {
        let form = format!("username={username}&password={}", password.replace(' ', "+"));
        self.send("POST", "/signin", form, &[("user-agent", "tests/1")]).await
    }

    /// The path of what is below the customer.
    pub fn absolute(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The id of its customer.
    pub fn customer(&self) -> &str {
        self.base.trim_end_matches('/').rsplit('/').next().expect("the last part of a path")
    }

    /// `path` is below the customer, or absolute.
    pub async fn send(&self, method: &str, path: &str, body: impl AsRef<[u8]>, headers: &[(&str, &str)]) -> Answer {
        let body = body.as_ref();
        let path = if path.starts_with('/') { path.to_owned() } else { self.absolute(path) };
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        if let Some(token) = &self.token {
            head += &format!("authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = connect_to(self.address, &self.anchor_pem).await.expect("a connection");
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.expect("a request");
        // The service may answer before it has read a body that is too large, and close.
        let _ = stream.write_all(body).await;
        read_answer(&mut stream).await.expect("an answer")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", &[]).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body.to_string(), &[]).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, body.to_string(), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "", &[]).await
    }

    /// What was made.
    pub async fn make(&self, path: &str, body: &Value) -> Value {
        let answer = self.send("POST", path, body.to_string(), &[]).await;
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.body);
        answer.json()
    }

    /// An edit that is accepted.
    pub async fn edit(&self, path: &str, body: &Value) {
        let answer = self.put(path, body).await;
        assert_eq!(answer.status, 204, "{path}: {}", answer.body);
    }

    /// A group's id.
    pub async fn make_group(&self, resource: &str, name: &str) -> String {
        id(&self.make(resource, &json!({ "name": name })).await).to_owned()
    }

    /// A key for App Connectors with ten uses, and its path. `more` are further members.
    pub async fn make_key(&self, group: &str, name: &str, more: Value) -> (Value, String) {
        let mut body = json!({ "name": name, "maxUsage": "10", "zcomponentId": group });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let made = self.make(KEYS, &body).await;
        let path = format!("{KEYS}/{}", id(&made));
        (made, path)
    }
}

/// The form that the API client of the first start signs in with.
pub fn credentials(service: &Service) -> String {
    let client = service.api_client();
    let member = |name: &str| client[name].as_str().expect("a string").to_owned();
    format!("client_id={}&client_secret={}", member("clientId"), member("clientSecret"))
}

/// Where the keys of App Connectors are.
pub const KEYS: &str = "associationType/CONNECTOR_GRP/provisioningKey";

pub fn id(made: &Value) -> &str {
    made["id"].as_str().expect("an id is a string")
}

/// The key string of an answer that shows it.
pub fn string(made: &Value) -> &str {
    made["provisioningKey"].as_str().expect("the key string is shown")
}

/// 204 with neither body nor type.
pub fn assert_bare(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    for header in ["content-type", "content-length", "transfer-encoding"] {
        assert_eq!(answer.header(header), None, "{header}");
    }
}

/// Counters, ids and epochs are strings, and what is not there is left out.
pub fn assert_no_numbers_and_no_nulls(value: &Value) {
    match value {
        Value::Number(_) | Value::Null => panic!("{value} on the wire"),
        Value::Array(list) => list.iter().for_each(assert_no_numbers_and_no_nulls),
        Value::Object(members) => members.values().for_each(assert_no_numbers_and_no_nulls),
        Value::Bool(_) | Value::String(_) => {}
    }
}
