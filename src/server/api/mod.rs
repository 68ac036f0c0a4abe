//! The management API, in the shape that the public ZPA clients speak.
//!
//! All routes are in [`routes::ROUTES`]: that one table drives dispatch, the OpenAPI document and the
//! test of who may do what. One file per resource holds its handlers, one in [`wire`] its members; a
//! handler decodes, calls one use case of [`Management`], encodes. It touches no store and decides
//! nothing about rights.
//!
//! | | |
//! |---|---|
//! | `POST /signin` `POST /oauth2/v1/token` `POST /signout` | [`sign_in`] |
//! | `…/customers` | [`customers`] |
//! | `…/administrators`, with `sessions` and `password` | [`administrators`] |
//! | `…/apiClients`, with `secret` | [`api_clients`] |
//! | `…/auditEvents`, with `export` | [`audit_events`] |
//! | `…/appConnectorGroup` `…/serviceEdgeGroup` `…/networkConnectorGroup` `…/machineGroup` | [`groups`] |
//! | `…/associationType/{T}/provisioningKey` `…/associationType/{T}/zcomponent/{id}/provisioningKey` | [`keys`] |
//! | `…/connector` `…/serviceEdge` `…/networkConnector` `…/machine` | [`components`] |
//! | `…/connectorSchedule` `…/serviceEdgeSchedule` `…/networkConnectorSchedule` `…/machineSchedule` | [`clean_up`] |
//! | `…/enrollmentCert` | [`signing_certificates`] |
//! | `…/clientTypes` | [`client_types`] |
//! | `…/visible/versionProfiles` `…/versionProfile` | [`version_profiles`] |
//! | `…/webhooks`, with `deliveries` and `test` | [`webhooks`] |
//! | `GET /openapi.json` | [`openapi`] |
//!
//! What all requests share is here: path prefixes are ignored, a body is accepted on every method
//! and read to its end, `Authorization` takes a Bearer token only, answers are never cached.

pub mod answer;
pub mod routes;
pub mod schema;
pub mod wire;

mod administrators;
mod api_clients;
mod audit_events;
mod clean_up;
mod client_types;
mod components;
mod customers;
mod groups;
mod keys;
mod openapi;
mod pepper;
mod query;
mod refusal;
mod sign_in;
mod signing_certificates;
mod tls_anchor;
mod version_profiles;
mod webhooks;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, IF_MATCH, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use zeroize::Zeroize as _;

use self::answer::Answer;
use self::query::Query;
use self::refusal::Refusal;
use self::routes::{Endpoint, Lookup, PathParameters, Route};
use self::wire::members::Members;
use crate::domain::{Actor, Kind, Reference, Revision};
use crate::id::CustomerId;
use crate::management::once::{self, Outcome, Repeatable};
use crate::management::sessions::Session;
use crate::management::{Error, Management, Object};
use crate::server::http::failures::FailureLimiter;
use crate::server::http::quiet::Quiet;
use crate::server::http::{BodyError, Handler, Peer, read_body};

/// `draft-ietf-httpapi-idempotency-key-header`.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Largest request body, in bytes. A signing certificate with its chain fits many times.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Largest body of a request without a good token, in bytes.
pub const ANONYMOUS_BODY_BYTES_MAX: usize = 16 * 1024;

/// The handler behind the management listener.
pub struct Api {
    management: Arc<Management>,
    failed_sign_ins: FailureLimiter,
    quiet: Arc<Quiet>,
    openapi: Bytes,
}

/// One request, taken apart. Opaque outside this room.
pub struct Call {
    route: &'static Route,
    path: PathParameters,
    query: Query,
    if_match: Option<IfMatch>,
    repeatable: Option<Repeatable>,
    body: Bytes,
    /// Leads from what is answered to the log.
    reference: Reference,
    address: IpAddr,
    /// As the caller has it; empty when absent or no text.
    user_agent: String,
}

/// One request as it was read, with what the table has for it.
struct Arrived<'a> {
    lookup: &'a Lookup,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    body: Result<Bytes, BodyError>,
    reference: Reference,
    address: IpAddr,
}

/// What `If-Match` (RFC 9110 §13.1.1) asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IfMatch {
    Any,
    Revision(Revision),
    /// A tag that this service never gave, so one that no object has.
    Foreign,
}

impl Api {
    pub fn new(management: Arc<Management>) -> Self {
        let now = Instant::now();
        Self {
            management,
            failed_sign_ins: FailureLimiter::new(now),
            quiet: Arc::new(Quiet::new(now)),
            openapi: openapi::write(),
        }
    }

    /// Whether a path is one of the table's, whatever the method.
    pub fn has(&self, path: &str) -> bool {
        !matches!(routes::find(&Method::GET, path), Lookup::None)
    }

    /// Who asks comes before what is wrong with the question, and before more than a little of it is
    /// read. `None` on a route that is open to all, and where there is no route.
    async fn identify(&self, lookup: &Lookup, headers: &HeaderMap) -> Result<Option<Session>, Refusal> {
        let Lookup::Found(Route { endpoint: Endpoint::Authenticated { .. }, .. }, _) = lookup else {
            return Ok(None);
        };
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
        let token = token.ok_or(Refusal::NoToken)?;
        Ok(Some(self.management.authenticate(token).await?))
    }

    /// Everything but reading from the network.
    async fn respond(&self, arrived: Arrived<'_>, caller: Result<Option<Session>, Refusal>) -> Result<Answer, Refusal> {
        let Arrived { lookup, uri, headers, body, reference, address } = arrived;
        let (route, path) = match lookup {
            Lookup::Found(route, path) => (*route, path.clone()),
            Lookup::WrongMethod { allowed } => return Err(Refusal::MethodNotAllowed { allowed: allowed.clone() }),
            Lookup::None => return Err(Refusal::NoSuchRoute),
        };
        let session = caller?;
        let query = Query::parse(routes::query_of(uri))?;
        let body = body?;
        let repeatable = match &session {
            Some(session) => repeatable(headers, &session.actor, route, uri, &body)?,
            None => None,
        };
        // Whoever may not ask is told so, and no answer.
        let repeatable = repeatable.filter(|_| match (&route.endpoint, &session) {
            (Endpoint::Authenticated { role, .. }, Some(session)) => session.actor.role >= *role,
            _ => false,
        });
        if let Some(answer) = self.find_repeated(repeatable.as_ref()).await? {
            return Ok(answer);
        }
        let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let if_match = if_match(headers);
        let call = Call { route, path, query, if_match, repeatable, body, reference, address, user_agent };
        let outcome = match (&route.endpoint, &session) {
            (Endpoint::Authenticated { run, .. }, Some(session)) => run(self, &call, session).await,
            (Endpoint::Authenticated { .. }, None) => return Err(Refusal::NoToken),
            (Endpoint::Public(run), _) => run(self, &call).await,
        };
        match outcome {
            // The same request may have been carried out meanwhile, and be what stands in this one's way.
            Err(refusal) => self.find_repeated(call.repeatable.as_ref()).await?.ok_or(refusal),
            done => done,
        }
    }

    async fn find_repeated(&self, repeatable: Option<&Repeatable>) -> Result<Option<Answer>, Refusal> {
        let Some(repeatable) = repeatable else { return Ok(None) };
        Ok(self.management.find_repeated(repeatable).await?.map(|repeated| Answer::of_repetition(&repeated)))
    }
}

#[async_trait]
impl Handler for Api {
    async fn handle(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let reference = Reference::random();
        let (head, incoming) = request.into_parts();
        let lookup = routes::find(&head.method, head.uri.path());
        let caller = self.identify(&lookup, &head.headers).await;
        let has_session = matches!(caller, Ok(Some(_)));
        let bytes_max = if has_session { BODY_BYTES_MAX } else { ANONYMOUS_BODY_BYTES_MAX };
        // Whatever the method is: some public clients put a body into every GET.
        let arrived = Arrived {
            lookup: &lookup,
            uri: &head.uri,
            headers: &head.headers,
            body: read_body(incoming, bytes_max).await,
            reference,
            address: peer.address.ip(),
        };
        let outcome = self.respond(arrived, caller).await;
        let answer = told(&lookup, outcome, &reference);
        // A sign-in is worth its line, too.
        let is_known = has_session || answer.status().is_success() && lookup.signs_in();
        if is_known || self.quiet.admits_line(sum_up) {
            tracing::info!(
                request.id = %reference,
                request.method = %head.method,
                request.route = lookup.pattern(),
                response.status = answer.status().as_u16(),
                source = %peer.address.ip(),
                duration_ms = started.elapsed().as_millis(),
                "a management request was answered"
            );
        }
        answer.into_response(&reference)
    }
}

/// The answer, which is as the table of routes says.
fn told(lookup: &Lookup, outcome: Result<Answer, Refusal>, reference: &Reference) -> Answer {
    let answer = outcome.unwrap_or_else(|refusal| refusal.into_answer(reference));
    if let Lookup::Found(route, _) = lookup {
        debug_assert_eq!(route.contradiction(&answer), None);
    }
    answer
}

fn sum_up(left_out: u64) {
    tracing::info!(
        refusals = left_out,
        "management requests without a session were refused so often that {left_out} have no line of their own"
    );
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_matches(' '))
}

fn if_match(headers: &HeaderMap) -> Option<IfMatch> {
    let value = headers.get(IF_MATCH)?.to_str().unwrap_or_default().trim();
    if value == "*" {
        return Some(IfMatch::Any);
    }
    let digits = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let revision = digits.and_then(|digits| digits.parse().ok()).map(Revision);
    Some(revision.map_or(IfMatch::Foreign, IfMatch::Revision))
}

/// What `Idempotency-Key` asks for, on the requests that make something; others ignore it.
fn repeatable(
    headers: &HeaderMap,
    actor: &Actor,
    route: &Route,
    uri: &Uri,
    body: &[u8],
) -> Result<Option<Repeatable>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY).filter(|_| route.honours_idempotency_key) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=once::KEY_BYTES_MAX).contains(&key.len()) => {
            let request: [&[u8]; 3] = [route.method.as_str().as_bytes(), uri.path().as_bytes(), body];
            Ok(Some(Repeatable::new(actor, key, &request)))
        }
        _ => Err(Refusal::IdempotencyKey),
    }
}

/// A body may hold a key string or a private key, so its bytes are wiped; not so while they lie in the
/// connection's own buffer, where a short one stays.
impl Drop for Call {
    fn drop(&mut self) {
        if let Ok(mut bytes) = std::mem::take(&mut self.body).try_into_mut() {
            bytes.zeroize();
        }
    }
}

impl Call {
    /// The members of the body, to be read as the route declares them. Where nothing need be said, no body
    /// says nothing.
    fn members(&self) -> Result<Members, Refusal> {
        let shape = self.route.json_shape();
        debug_assert!(shape.is_some(), "{} declares nothing that it takes", self.route.pattern);
        let body: &[u8] = if self.body.is_empty() && !self.route.needs_body() { b"{}" } else { &self.body };
        Ok(Members::parse(body)?.declared_by(shape))
    }

    /// The customer in the path; a text that is no id is a customer that does not exist.
    fn customer(&self) -> Result<CustomerId, Refusal> {
        self.id(Object::Customer, &self.path.customer)
    }

    /// The same where the service itself, customer 0, is one too: it has administrators, API clients and
    /// an audit log.
    fn customer_or_service(&self) -> Result<CustomerId, Refusal> {
        if self.path.customer == "0" { Ok(CustomerId::SERVICE) } else { self.customer() }
    }

    /// The object's id in the path, or in the same way none.
    fn object<T: std::str::FromStr>(&self, object: Object) -> Result<T, Refusal> {
        self.id(object, &self.path.id)
    }

    /// # Panics
    /// On a route without a kind in its pattern.
    fn kind(&self) -> Kind {
        self.path.kind.expect("the route's pattern has a part that says the kind")
    }

    /// The revision that a change is bound to, if the caller named one.
    fn expected_revision(&self) -> Result<Option<Revision>, Refusal> {
        match self.if_match {
            None | Some(IfMatch::Any) => Ok(None),
            Some(IfMatch::Revision(revision)) => Ok(Some(revision)),
            Some(IfMatch::Foreign) => Err(Refusal::ForeignETag),
        }
    }

    /// For a use case that makes something: whoever asks, and what a repetition is answered.
    fn request<'a, V>(
        &'a self,
        session: &'a Session,
        encode: &'a (dyn Fn(&V) -> Outcome + Sync),
    ) -> once::Request<'a, V> {
        once::Request::new(&session.actor, self.repeatable.as_ref(), encode)
    }

    fn id<T: std::str::FromStr>(&self, object: Object, text: &str) -> Result<T, Refusal> {
        text.parse().map_err(|_| Error::not_found(object, text.chars().take(64).collect::<String>()).into())
    }
}

/// For handlers, so that they read alike.
fn actor(session: &Session) -> &Actor {
    &session.actor
}
