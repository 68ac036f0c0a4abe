//! A caller of the management API: signs in, then sends and reads JSON.
//!
//! It knows the API's manners (envelopes, errors, paging), not its objects; what members mean is the
//! business of whoever calls.

use std::fmt::Write as _;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::http::{Answer, ExchangeError, HostPort, Target, exchange};
use super::tls::{Trust, TrustError, client_config};
use crate::domain::Cloud;
use crate::id::CustomerId;

/// A page of 500 keys with all their members is below 1 MiB.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
const PAGE_SIZE_MAX: usize = 500;

/// Where the management API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiAddress {
    /// The name that the server's certificate must carry.
    pub server: Cloud,
    /// Where to connect instead.
    pub connect: Option<HostPort>,
    /// In front of every path; empty, or starts with `/` and does not end with one.
    pub prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("https://HOST[:PORT][/PATH] was expected")]
pub struct InvalidApiAddress;

impl FromStr for ApiAddress {
    type Err = InvalidApiAddress;

    fn from_str(text: &str) -> Result<Self, InvalidApiAddress> {
        let rest = text.strip_prefix("https://").ok_or(InvalidApiAddress)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
        if !path.bytes().all(plain) {
            return Err(InvalidApiAddress);
        }
        let server = authority.to_ascii_lowercase().parse().map_err(|_| InvalidApiAddress)?;
        Ok(Self { server, connect: None, prefix: path.trim_end_matches('/').to_owned() })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// `id` is the API's error id, e.g. `invalid.resource.argument`.
    #[error("{reason} ({id}, http status {status})")]
    Refused { status: u16, id: String, reason: String },
    #[error("{server} is unreachable: {reason}")]
    Unreachable { server: Cloud, reason: ExchangeError },
    #[error("whom to trust: {0}")]
    Trust(#[from] TrustError),
    #[error("the answer to {what} is not what was expected")]
    Answer { what: String },
}

/// A signed-in caller. Every call is a connection of its own.
pub struct ApiClient {
    target: Target,
    prefix: String,
    authorization: HeaderValue,
    customer: Option<CustomerId>,
}

#[derive(Deserialize)]
struct Token<'a> {
    access_token: &'a str,
}

/// Of a token's claims, the one that says for which customer its bearer works.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    customer_id: String,
}

impl Token<'_> {
    /// `None` for those who belong to no customer, and for tokens that are not ours. The server alone
    /// judges a token; this only saves asking for an id that it names.
    fn customer(&self) -> Option<CustomerId> {
        let payload = self.access_token.split('.').nth(1)?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        claims.customer_id.parse().ok()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    /// A decimal string; numbers are understood too.
    #[serde(default)]
    total_pages: Value,
    #[serde(default)]
    list: Vec<Value>,
}

impl Page {
    fn total_pages(&self) -> u64 {
        self.total_pages.as_u64().or_else(|| self.total_pages.as_str()?.parse().ok()).unwrap_or(1)
    }
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(default)]
    reason: String,
}

impl ApiClient {
    /// `POST /signin` with an API client's id and secret.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with 401 for wrong credentials.
    pub async fn sign_in(
        address: &ApiAddress,
        trust: &Trust,
        client_id: &str,
        client_secret: &str,
    ) -> Result<Self, ApiError> {
        let target = Target {
            cloud: address.server.clone(),
            connect: address.connect.clone(),
            tls: client_config(trust)?,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let mut client = Self {
            target,
            prefix: address.prefix.clone(),
            authorization: HeaderValue::from_static("none"),
            customer: None,
        };
        let mut form = Zeroizing::new(String::with_capacity(64 + 3 * (client_id.len() + client_secret.len())));
        form.push_str("client_id=");
        encode_component(&mut form, client_id);
        form.push_str("&client_secret=");
        encode_component(&mut form, client_secret);
        let body = Bytes::from_owner(Zeroizing::new(form.as_bytes().to_vec()));
        let answer = client.call(Method::POST, "/signin", Some((body, "application/x-www-form-urlencoded"))).await?;
        let unexpected = || ApiError::Answer { what: "the sign-in".to_owned() };
        let token: Token<'_> = serde_json::from_slice(&answer.body).map_err(|_| unexpected())?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.access_token));
        client.authorization = HeaderValue::from_str(&bearer).map_err(|_| unexpected())?;
        client.authorization.set_sensitive(true);
        client.customer = token.customer();
        Ok(client)
    }

    /// The customer that the caller works for, if it belongs to one.
    pub fn customer(&self) -> Option<CustomerId> {
        self.customer
    }

    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        let answer = self.call(Method::GET, path, None).await?;
        read(&answer, path)
    }

    /// All objects of a list, whatever number of pages it has. `query` is without `?`, encoded, may
    /// be empty.
    pub async fn list(&self, path: &str, query: &str) -> Result<Vec<Value>, ApiError> {
        let mut all = Vec::new();
        for number in 1.. {
            let page = format!("page={number}&pagesize={PAGE_SIZE_MAX}");
            let query = if query.is_empty() { page } else { format!("{query}&{page}") };
            let answer = self.call(Method::GET, &format!("{path}?{query}"), None).await?;
            let found: Page = read(&answer, path)?;
            let is_last = found.list.is_empty() || number >= found.total_pages();
            all.extend(found.list);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    pub async fn post(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        let answer = self.call(Method::POST, path, Some(json(object))).await?;
        read(&answer, path)
    }

    pub async fn put(&self, path: &str, object: &Value) -> Result<(), ApiError> {
        self.call(Method::PUT, path, Some(json(object))).await.map(drop)
    }

    pub async fn delete(&self, path: &str) -> Result<(), ApiError> {
        self.call(Method::DELETE, path, None).await.map(drop)
    }

    /// Gives only 2xx answers.
    async fn call(&self, method: Method, path: &str, body: Option<(Bytes, &'static str)>) -> Result<Answer, ApiError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, self.authorization.clone());
        let body = match body {
            None => Bytes::new(),
            Some((body, media_type)) => {
                request = request.header(CONTENT_TYPE, HeaderValue::from_static(media_type));
                body
            }
        };
        let request = request.body(Full::new(body)).map_err(|_| ApiError::Answer { what: path.to_owned() })?;
        let answer = exchange(&self.target, request, |_| {})
            .await
            .map_err(|reason| ApiError::Unreachable { server: self.target.cloud.clone(), reason })?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let status = answer.status.as_u16();
        let envelope = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|_| Envelope { id: "unknown".into(), reason: "the request was refused".into() });
        Err(ApiError::Refused { status, id: printable(&envelope.id), reason: printable(&envelope.reason) })
    }
}

/// `/mgmtconfig/<version>/admin/customers/<id>/<rest>`.
pub fn customer_path(version: &str, customer: CustomerId, rest: &str) -> String {
    format!("/mgmtconfig/{version}/admin/customers/{customer}/{rest}")
}

/// `search=name EQ <name>`, encoded for a query.
pub fn search_by_name(name: &str) -> String {
    let mut query = String::from("search=name%20EQ%20");
    encode_component(&mut query, name);
    query
}

fn json(object: &Value) -> (Bytes, &'static str) {
    (Bytes::from(object.to_string()), "application/json")
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Answer, what: &str) -> Result<T, ApiError> {
    serde_json::from_slice(&answer.body).map_err(|_| ApiError::Answer { what: what.to_owned() })
}

/// RFC 3986 §2.1; all but the unreserved characters.
fn encode_component(target: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            target.push(char::from(byte));
        } else {
            write!(target, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
}

/// Texts from the wire end on a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(1_000).collect()
}

#[cfg(test)]
mod tests {
    use hyper::{Response, StatusCode};
    use serde_json::json;

    use super::*;
    use crate::client::test_door::serve;

    #[test]
    fn addresses() {
        let address: ApiAddress = "https://Muster.example.com:8444/zpa/".parse().unwrap();
        assert_eq!((address.server.as_str(), address.prefix.as_str()), ("muster.example.com:8444", "/zpa"));
        let address: ApiAddress = "https://[::1]:1".parse().unwrap();
        assert_eq!((address.server.host(), address.server.port(), address.prefix.as_str()), ("::1", 1, ""));
        for text in [
            "",
            "muster.example.com",
            "http://muster.example.com",
            "https://",
            "https://a:b",
            "https://a/?b",
            "https://a/b c",
        ] {
            assert_eq!(text.parse::<ApiAddress>(), Err(InvalidApiAddress), "{text:?}");
        }
    }

    #[test]
    fn a_name_is_encoded_whole() {
        assert_eq!(search_by_name("HQ east&x=1+ä"), "search=name%20EQ%20HQ%20east%26x%3D1%2B%C3%A4");
    }

    const ID_AND_SECRET: &str = "client_id=id&client_secret=s%26%2B%20";

    /// Signs `id` with `s&+ ` in; then every call must carry the token.
    async fn client(
        mut answer: impl FnMut(&Request<Bytes>) -> (u16, Value) + Send + 'static,
    ) -> Result<ApiClient, ApiError> {
        let server = serve("localhost", move |request| {
            let (status, body) = match request.uri().path() {
                "/zpa/signin" if request.body() == ID_AND_SECRET => {
                    (200, json!({ "token_type": "Bearer", "access_token": "a.b.c", "expires_in": "3600" }))
                }
                "/zpa/signin" => (401, json!({ "id": "access.denied", "reason": "wrong\u{1b} credentials" })),
                _ => {
                    assert_eq!(request.headers()["authorization"], "Bearer a.b.c");
                    answer(&request)
                }
            };
            let mut answer = Response::new(Full::from(body.to_string()));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok(answer)
        });
        let server = server.await;
        let address = ApiAddress {
            server: "localhost".parse().unwrap(),
            connect: Some(HostPort::from(server.address)),
            prefix: "/zpa".to_owned(),
        };
        let trust = Trust::Anchors(vec![server.anchor]);
        let refused = ApiClient::sign_in(&address, &trust, "id", "other").await.err().unwrap();
        assert_eq!(refused.to_string(), "wrong credentials (access.denied, http status 401)");
        ApiClient::sign_in(&address, &trust, "id", "s&+ ").await
    }

    #[tokio::test]
    async fn all_pages_of_a_list_are_read() {
        let client = client(|request| {
            let query = request.uri().query().unwrap();
            let list = match query {
                "search=x&page=1&pagesize=500" => json!(["a", "b"]),
                "search=x&page=2&pagesize=500" => json!(["c"]),
                _ => panic!("{query}"),
            };
            (200, json!({ "totalPages": "2", "totalCount": "3", "list": list }))
        });
        assert_eq!(client.await.unwrap().list("/things", "search=x").await.unwrap(), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn an_empty_list_needs_no_members() {
        let client = client(|_| (200, json!({ "totalPages": 0 })));
        assert_eq!(client.await.unwrap().list("/things", "").await.unwrap(), Vec::<Value>::new());
    }

    #[tokio::test]
    async fn a_refusal_gives_the_apis_id_and_reason() {
        let client = client(|request| {
            assert_eq!((request.method(), request.body()), (&Method::POST, &Bytes::from("{\"name\":\"\"}")));
            (400, json!({ "id": "invalid.resource.argument", "reason": "name is empty", "params": ["name"] }))
        });
        let error = client.await.unwrap().post("/things", &json!({ "name": "" })).await.unwrap_err();
        assert_eq!(error.to_string(), "name is empty (invalid.resource.argument, http status 400)");
    }

    #[tokio::test]
    async fn a_change_may_be_answered_without_a_body() {
        let client = client(|_| (204, Value::Null));
        client.await.unwrap().put("/things/1", &json!({})).await.unwrap();
    }
}
