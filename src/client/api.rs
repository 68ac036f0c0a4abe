//! A caller of the management API: signs in, then sends and reads JSON.
//!
//! It knows the API's manners (envelopes, errors, paging), not its objects; what members mean is the
//! business of whoever calls.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::endpoint::delay_before_retry;
use super::http::{Answer, ExchangeError, HostPort, Target, exchange};
use super::tls::{Trust, TrustError, client_config};
use crate::domain::Cloud;
use crate::id::CustomerId;
use crate::secret::random_bytes;

/// A page of 500 keys with all their members is below 1 MiB.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
const PAGE_SIZE_MAX: u64 = 500;

/// How often a request is sent that may be sent again.
const ATTEMPTS_MAX: u32 = 5;
/// A server that wants to be left alone for longer is told to the caller instead.
const PATIENCE: Duration = Duration::from_secs(30);

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

impl ApiError {
    /// The vendor answers some of them with 400; the id says it.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, id, .. } if *status == 404 || id == "resource.not.found")
    }
}

/// Who signs in.
pub enum Caller {
    Administrator { username: String, password: Zeroizing<String> },
    ApiClient { client_id: String, client_secret: Zeroizing<String> },
}

/// A signed-in caller. Every call is a connection of its own.
///
/// What may be sent twice is sent again when the connection is lost or the server is overloaded, a
/// bounded number of times: reads, and what carries an `Idempotency-Key`. Other changes are sent once;
/// after a lost connection nobody but the caller can say whether to repeat them.
pub struct ApiClient {
    target: Target,
    prefix: String,
    authorization: HeaderValue,
    customer: Option<CustomerId>,
}

/// One request, before it has its headers.
struct Order<'a> {
    method: Method,
    path: &'a str,
    /// With its media type.
    body: Option<(Bytes, &'static str)>,
    /// Names the request, so that its repetition is recognised.
    idempotency_key: Option<HeaderValue>,
}

impl<'a> Order<'a> {
    fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, body: None, idempotency_key: None }
    }

    fn with(mut self, object: &Value) -> Self {
        self.body = Some((Bytes::from_owner(Zeroizing::new(object.to_string().into_bytes())), "application/json"));
        self
    }

    /// Happens once, however often it is sent.
    fn once(mut self) -> Self {
        let key = format!("{:032x}", u128::from_be_bytes(*random_bytes::<16>()));
        self.idempotency_key = Some(HeaderValue::from_str(&key).expect("hex is a header value"));
        self
    }

    fn may_be_repeated(&self) -> bool {
        self.method == Method::GET || self.idempotency_key.is_some()
    }
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

/// Counters are decimal strings; numbers are understood too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    total_pages: Value,
    #[serde(default)]
    list: Vec<Value>,
}

fn number(counter: &Value) -> Option<u64> {
    counter.as_u64().or_else(|| counter.as_str()?.parse().ok())
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(default)]
    reason: String,
}

impl ApiClient {
    /// `POST /signin` with the names and secrets of an API client or an administrator.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with 401 for wrong credentials.
    pub async fn sign_in(address: &ApiAddress, trust: &Trust, caller: &Caller) -> Result<Self, ApiError> {
        let target = Target {
            cloud: address.server.clone(),
            connect: address.connect.clone(),
            from: None,
            tls: client_config(trust)?,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let mut client = Self {
            target,
            prefix: address.prefix.clone(),
            authorization: HeaderValue::from_static("none"),
            customer: None,
        };
        let mut order = Order::new(Method::POST, "/signin");
        order.body = Some((caller.form(), "application/x-www-form-urlencoded"));
        let answer = accepted(client.send(&order).await?)?;
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
        read(&self.get_bytes(path).await?, path)
    }

    /// What is not JSON: PEM, JSON lines.
    pub async fn get_bytes(&self, path: &str) -> Result<Bytes, ApiError> {
        Ok(self.call(&Order::new(Method::GET, path)).await?.body)
    }

    /// Objects of a list, page by page. `query` is without `?`, encoded, may be empty.
    pub fn pages(&self, path: String, query: String) -> Pages<'_> {
        Pages { client: self, path, query, next: Some(1) }
    }

    /// Makes something. An answer that was lost is asked for again, and then is the same.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        read(&self.call(&Order::new(Method::POST, path).with(object).once()).await?.body, path)
    }

    /// Does something that may only be asked for once. The answer's body, which may be empty or text.
    pub async fn post(&self, path: &str, object: &Value) -> Result<Bytes, ApiError> {
        Ok(self.call(&Order::new(Method::POST, path).with(object)).await?.body)
    }

    pub async fn put(&self, path: &str, object: &Value) -> Result<(), ApiError> {
        self.call(&Order::new(Method::PUT, path).with(object)).await.map(drop)
    }

    /// The answer's body; empty unless the deletion was only asked about.
    pub async fn delete(&self, path: &str) -> Result<Bytes, ApiError> {
        Ok(self.call(&Order::new(Method::DELETE, path)).await?.body)
    }

    /// Gives only 2xx answers.
    async fn call(&self, order: &Order<'_>) -> Result<Answer, ApiError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let result = self.send(order).await;
            match delay_after(&result, attempt).filter(|_| order.may_be_repeated() && attempt < ATTEMPTS_MAX) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return accepted(result?),
            }
        }
    }

    /// Gives every answer.
    async fn send(&self, order: &Order<'_>) -> Result<Answer, ApiError> {
        let mut request = Request::builder()
            .method(order.method.clone())
            .uri(format!("{}{}", self.prefix, order.path))
            .header(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"))
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some(key) = &order.idempotency_key {
            request = request.header("idempotency-key", key.clone());
        }
        let body = match &order.body {
            None => Bytes::new(),
            Some((body, media_type)) => {
                request = request.header(CONTENT_TYPE, HeaderValue::from_static(media_type));
                body.clone()
            }
        };
        let request = request.body(Full::new(body)).map_err(|_| ApiError::Answer { what: order.path.to_owned() })?;
        exchange(&self.target, request, |_| {})
            .await
            .map_err(|reason| ApiError::Unreachable { server: self.target.cloud.clone(), reason })
    }
}

/// The pages of a list, in their order.
pub struct Pages<'a> {
    client: &'a ApiClient,
    path: String,
    query: String,
    /// `None`: the last one was read.
    next: Option<u64>,
}

impl Pages<'_> {
    /// The next page; `None` after the last. `size` is the same in all calls and at most 500.
    pub async fn next(&mut self, size: u64) -> Result<Option<Vec<Value>>, ApiError> {
        let Some(number) = self.next else { return Ok(None) };
        let page = page_of(&self.path, &self.query, number, size.min(PAGE_SIZE_MAX));
        let page: Page = read(&self.client.get_bytes(&page).await?, &self.path)?;
        let is_last = page.list.is_empty() || number >= self::number(&page.total_pages).unwrap_or(1);
        self.next = (!is_last).then_some(number + 1);
        Ok(Some(page.list))
    }
}

fn page_of(path: &str, query: &str, number: u64, size: u64) -> String {
    let joint = if query.is_empty() { "" } else { "&" };
    format!("{path}?{query}{joint}page={number}&pagesize={size}")
}

/// How long to wait before the same is sent again, where that may help.
fn delay_after(result: &Result<Answer, ApiError>, attempt: u32) -> Option<Duration> {
    let asked = match result {
        Ok(answer) if matches!(answer.status.as_u16(), 429 | 503) => answer.retry_after,
        Err(ApiError::Unreachable { reason, .. }) if !matches!(reason, ExchangeError::NotTrusted(_)) => None,
        Ok(_) | Err(_) => return None,
    };
    asked.is_none_or(|asked| asked <= PATIENCE).then(|| delay_before_retry(attempt, asked))
}

fn accepted(answer: Answer) -> Result<Answer, ApiError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let status = answer.status.as_u16();
    let envelope = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| Envelope { id: "unknown".into(), reason: "the request was refused".into() });
    Err(ApiError::Refused { status, id: printable(&envelope.id), reason: printable(&envelope.reason) })
}

impl Caller {
    fn form(&self) -> Bytes {
        let (members, name, secret) = match self {
            Self::Administrator { username, password } => (["username", "password"], username, password),
            Self::ApiClient { client_id, client_secret } => (["client_id", "client_secret"], client_id, client_secret),
        };
        let mut form = Zeroizing::new(String::with_capacity(64 + 3 * (name.len() + secret.len())));
        for (joint, member, value) in [("", members[0], name.as_str()), ("&", members[1], secret.as_str())] {
            form.push_str(joint);
            form.push_str(member);
            form.push('=');
            encode_component(&mut form, value);
        }
        Bytes::from_owner(Zeroizing::new(form.as_bytes().to_vec()))
    }
}

/// `search=<expression>`, encoded for a query.
pub fn search(expression: &str) -> String {
    parameter("search", expression)
}

/// `<name>=<value>`, encoded for a query.
pub fn parameter(name: &str, value: &str) -> String {
    let mut query = format!("{name}=");
    encode_component(&mut query, value);
    query
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|_| ApiError::Answer { what: what.to_owned() })
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
        let query = search("name EQ HQ east&x=1+ä");
        assert_eq!(query, "search=name%20EQ%20HQ%20east%26x%3D1%2B%C3%A4");
    }

    const ID_AND_SECRET: &str = "client_id=id&client_secret=s%26%2B%20";

    /// Signs `id` with `s&+ ` in; then every call must carry the token. Status 0 is no answer at all.
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
            if status == 0 {
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
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
        let caller = |secret: &str| Caller::ApiClient {
            client_id: "id".to_owned(),
            client_secret: Zeroizing::new(secret.to_owned()),
        };
        let refused = ApiClient::sign_in(&address, &trust, &caller("other")).await.err().unwrap();
        assert_eq!(refused.to_string(), "wrong credentials (access.denied, http status 401)");
        ApiClient::sign_in(&address, &trust, &caller("s&+ ")).await
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
        let client = client.await.unwrap();
        let mut pages = client.pages("/things".to_owned(), "search=x".to_owned());
        assert_eq!(pages.next(501).await.unwrap().unwrap(), ["a", "b"]);
        assert_eq!(pages.next(501).await.unwrap().unwrap(), ["c"]);
        assert_eq!(pages.next(501).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_empty_list_needs_no_members() {
        let client = client(|_| (200, json!({ "totalPages": 0 })));
        let client = client.await.unwrap();
        let mut pages = client.pages("/things".to_owned(), String::new());
        assert_eq!(pages.next(500).await.unwrap(), Some(vec![]));
        assert_eq!(pages.next(500).await.unwrap(), None);
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

    #[test]
    fn what_an_administrator_sends_to_sign_in() {
        let caller = Caller::Administrator { username: "a b".into(), password: Zeroizing::new("c&d".to_owned()) };
        assert_eq!(caller.form(), "username=a%20b&password=c%26d");
    }

    /// Answers with these statuses in turn; the last request is one more. What was sent each time.
    async fn sent_before(
        statuses: &'static [u16],
        call: impl AsyncFnOnce(&ApiClient) -> Result<(), ApiError>,
    ) -> (Vec<Option<String>>, Result<(), ApiError>) {
        let (sent, received) = std::sync::mpsc::channel();
        let mut answers = statuses.iter();
        let client = client(move |request| {
            let key = request.headers().get("idempotency-key");
            sent.send(key.map(|key| key.to_str().unwrap().to_owned())).unwrap();
            match answers.next() {
                Some(status) => (*status, json!({ "id": "x", "reason": "later" })),
                None => (200, json!({})),
            }
        });
        let result = call(&client.await.unwrap()).await;
        (received.try_iter().collect(), result)
    }

    #[tokio::test]
    async fn what_is_made_once_is_asked_for_again_with_the_same_key() {
        let (keys, result) =
            sent_before(&[0], async |client| client.create("/things", &json!({})).await.map(drop)).await;
        result.unwrap();
        assert_eq!(keys.len(), 2);
        assert!(keys[0].as_ref().is_some_and(|key| key.len() == 32) && keys[0] == keys[1], "{keys:?}");
    }

    #[tokio::test]
    async fn a_change_is_sent_once() {
        for status in [0, 503] {
            let statuses: &'static [u16] = if status == 0 { &[0] } else { &[503] };
            let (keys, result) = sent_before(statuses, async |client| client.put("/things/1", &json!({})).await).await;
            assert_eq!(keys, [None], "{status}");
            result.unwrap_err();
            let (keys, result) =
                sent_before(statuses, async |client| client.post("/things/1/turn", &json!({})).await.map(drop)).await;
            assert_eq!(keys, [None], "{status}");
            result.unwrap_err();
        }
    }

    #[test]
    fn only_what_may_pass_is_waited_for() {
        let answer = |status: u16, retry_after: Option<u64>| {
            let retry_after = retry_after.map(Duration::from_secs);
            Ok(Answer { status: StatusCode::from_u16(status).unwrap(), retry_after, body: Bytes::new() })
        };
        let patience = PATIENCE.as_secs();
        for (result, waits) in [
            (answer(503, None), true),
            (answer(503, Some(patience)), true),
            (answer(503, Some(patience + 1)), false),
            (answer(429, Some(1)), true),
            (answer(500, None), false),
            (answer(400, None), false),
            (answer(200, None), false),
        ] {
            assert_eq!(delay_after(&result, 1).is_some(), waits, "{result:?}");
        }
    }
}
