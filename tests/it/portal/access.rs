//! Who sees what: every row of the table of pages × every kind of visitor, through the portal's handler.
//!
//! A new row is visited by itself. One on a new kind of object needs an object that is there:
//! [`Arranged::existing`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster::clock::Clock;
use muster::domain::{Actor, Administrator, ApiClient, Kind, Role};
use muster::id::CustomerId;
use muster::management::Input;
use muster::management::keys::KeyInput;
use muster::management::webhooks::WebhookInput;
use muster::server::http::{Handler as _, Peer};
use muster::server::portal::{Parts, Portal, pages};
use muster::store::{AuditQuery, Change, ListQuery, PageRequest, Store as _};

use super::visitor::{SESSION, VISIT, assert_protected, encoded, hidden};
use crate::door::ops;
use crate::support::rows;
use crate::support::world::{World, WorldDevice};

/// Where a key string may be: asked for by a form of its own.
const STRINGS: [&str; 4] = ["/copy", "/download", "/show", "/keys/add"];

/// What of an object that is arranged is not there.
const NOT_THERE: [&str; 2] = ["/request.pem", "/secret"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    Anonymous,
    /// Of the customer whose objects are asked for; an owner belongs to none.
    Insider(Role),
    /// An admin of another customer.
    Outsider,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    method: &'static str,
    pattern: &'static str,
    is_public: bool,
    kind: Kind,
}

impl Row {
    fn has(self, part: &str) -> bool {
        self.pattern.contains(part)
    }

    fn path(self, customer: &str, id: &str) -> String {
        let kind = self.kind.to_string();
        self.pattern.replace("{customer}", customer).replace("{kind}", &kind).replace("{id}", id)
    }
}

/// All rows, on each of the kinds where they have one.
fn rows_of(method: &'static str) -> impl Iterator<Item = Row> {
    pages().filter(move |(found, ..)| *found == method).flat_map(move |(_, pattern, is_public)| {
        let kinds = if pattern.contains("{kind}") { &Kind::ALL[..] } else { &Kind::ALL[..1] };
        kinds.iter().map(move |&kind| Row { method, pattern, is_public, kind })
    })
}

/// An answer without its date.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Received {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    fn leads_to_sign_in(&self) -> bool {
        match self.status {
            303 => self.header("location").split('?').next() == Some("/sign-in"),
            // With a form that waits.
            401 => self.body.contains("Sign in to Muster"),
            _ => false,
        }
    }
}

/// What is sent with a request.
#[derive(Clone, Copy)]
struct Sent<'a> {
    /// In place of the right one.
    form_token: Option<&'a str>,
    origin: Option<&'a str>,
}

const ORDINARY: Sent<'_> = Sent { form_token: None, origin: Some("https://localhost") };

/// A service with two customers, visitors of every kind, and one object of every kind in the first customer.
struct Arranged {
    world: World,
    portal: Arc<Portal>,
    administrators: BTreeMap<Caller, Administrator>,
    other_customer: CustomerId,
    /// By the last part of the path before the id.
    objects: BTreeMap<(&'static str, Kind), String>,
    /// What nobody may see unasked.
    secrets: Vec<String>,
}

impl Arranged {
    async fn new() -> Self {
        let world = World::new().await;
        let clock: Arc<dyn Clock> = Arc::<muster::clock::ManualClock>::clone(&world.clock);
        let cloud = Arc::new(ArcSwap::from_pointee("localhost:8443".parse().expect("a cloud")));
        let health = Arc::<ops::Parts>::default();
        let portal = Arc::new(Portal::new(Parts { management: Arc::clone(&world.management), clock, cloud, health }));
        let other = rows::customer(800_001, "Other");
        world.apply(Change::InsertCustomer(other.clone())).await;

        let mut administrators = BTreeMap::new();
        let insiders = Role::ALL.map(|role| {
            let customer = if role == Role::Owner { CustomerId::SERVICE } else { world.customer };
            (Caller::Insider(role), customer, role)
        });
        let callers = insiders.into_iter().chain([(Caller::Outsider, other.id, Role::Admin)]);
        for (number, (caller, customer, role)) in callers.enumerate() {
            let row = rows::administrator(950_000 + number as u64, customer, &format!("person-{number}"));
            let row = Administrator { role, enabled: true, ..row };
            world.apply(Change::InsertAdministrator(row.clone())).await;
            administrators.insert(caller, row);
        }
        let somebody = administrators[&Caller::Insider(Role::Auditor)].id.to_string();
        let client = rows::api_client(900_000, world.customer, "client", "client");
        world.apply(Change::InsertApiClient(ApiClient { enabled: true, ..client })).await;

        let (mut objects, mut secrets) = (BTreeMap::new(), Vec::new());
        let certificates = world.store.list_signing_certificates(world.customer, &ListQuery::first(1)).await;
        let certificate = certificates.expect("a list").rows.remove(0).id;
        for kind in Kind::ALL {
            let group = world.group(kind, "HQ").await;
            let input = KeyInput {
                name: Input::Given("key".to_owned()),
                group: Input::Given(group),
                maximum: Input::Given(10),
                ..KeyInput::default()
            };
            let key = world.management.create_key(&Actor::system(), world.customer, kind, input).await.expect("a key");
            let string = key.string.expect("shown at creation").expose().to_owned();
            let component = world.enroll(&string, &WorldDevice::new("device")).await.expect("a component");
            objects.insert(("groups", kind), group.to_string());
            objects.insert(("keys", kind), key.key.id.to_string());
            objects.insert(("components", kind), component.component_id.to_string());
            objects.insert(("signing-certificates", kind), certificate.to_string());
            objects.insert(("administrators", kind), somebody.clone());
            objects.insert(("api-clients", kind), "900000".to_owned());
            let input = WebhookInput {
                name: Input::Given(format!("hook {kind}")),
                url: Input::Given("https://hooks.example.com/".to_owned()),
                events: Input::Given(vec!["key.expiring".to_owned()]),
                enabled: Input::Absent,
            };
            let webhook = world.management.create_webhook(&Actor::system(), world.customer, input).await;
            objects.insert(("webhooks", kind), webhook.expect("a webhook").webhook.id.to_string());
            // The short form shows its beginning.
            secrets.push(string.rsplit('|').next().expect("three parts")[16..].to_owned());
        }
        Self { world, portal, administrators, other_customer: other.id, objects, secrets }
    }

    /// The id of an object in the first customer that the row is about; empty for rows that are about none.
    fn existing(&self, row: Row) -> &str {
        let Some((before, _)) = row.pattern.split_once("/{id}") else { return "" };
        let resource = before.rsplit('/').next().expect("a part");
        let object = self.objects.iter().find(|((name, of), _)| *name == resource && *of == row.kind);
        object.unwrap_or_else(|| panic!("none of {resource} is arranged: {}", row.pattern)).1
    }

    async fn visit(&self, caller: Caller, row: Row, customer: &str, id: &str) -> Received {
        self.visit_with(caller, row, customer, id, ORDINARY).await
    }

    /// With a session that has just begun, or with the cookie of somebody who stands at the sign-in.
    async fn visit_with(&self, caller: Caller, row: Row, customer: &str, id: &str, sent: Sent<'_>) -> Received {
        let token = match self.administrators.get(&caller) {
            Some(administrator) => Some(self.world.session(administrator).await.0),
            None => None,
        };
        self.visit_in(token.as_deref(), row, &row.path(customer, id), sent).await
    }

    /// In a session, or in none.
    async fn visit_in(&self, session: Option<&str>, row: Row, path: &str, sent: Sent<'_>) -> Received {
        let mut token = String::new();
        let mut cookies = String::new();
        if row.method == "POST" {
            let visit = "a-visit-of-somebody-who-is-not-known";
            cookies = format!("{VISIT}={visit}");
            // The pages say what their forms carry.
            token = match (session, row.is_public) {
                (Some(session), false) => {
                    let page = self.send("GET", "/account", &format!("{SESSION}={session}"), None, String::new()).await;
                    hidden(&page.body, "csrf")
                }
                _ => hidden(&self.send("GET", "/sign-in", &cookies, None, String::new()).await.body, "csrf"),
            };
        }
        if let Some(session) = session {
            cookies = format!("{cookies}; {SESSION}={session}");
        }
        let body = match row.method {
            // Edits say what was edited; of somebody who is signed out that would be kept.
            "POST" if session.is_some() => encoded(&[("csrf", sent.form_token.unwrap_or(&token)), ("revision", "1")]),
            "POST" => encoded(&[("csrf", sent.form_token.unwrap_or(&token))]),
            _ => String::new(),
        };
        let received = self.send(row.method, path, &cookies, sent.origin, body).await;
        assert!(received.status < 500, "{} {path}: {received:?}", row.method);
        if !STRINGS.iter().any(|end| row.pattern.ends_with(end)) {
            for secret in &self.secrets {
                assert!(!received.body.contains(secret.as_str()), "{} {path} shows a key string", row.method);
            }
        }
        received
    }

    async fn send(&self, method: &str, path: &str, cookies: &str, origin: Option<&str>, body: String) -> Received {
        let address = SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 50_000);
        let (portal, peer) =
            (Arc::clone(&self.portal), Arc::new(Peer { address, client_certificate: None, silence: Arc::default() }));
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.trim_start_matches("; "));
        }
        if method == "POST" {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let (near, far) = tokio::io::duplex(64 * 1024);
        let service = service_fn(move |request| {
            let (portal, peer) = (Arc::clone(&portal), Arc::clone(&peer));
            async move { Ok::<_, std::convert::Infallible>(portal.handle(request, &peer).await) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.expect("a door");
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let headers = head.headers.iter().filter(|(name, _)| *name != "date");
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned())).collect();
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        assert_protected(pairs, &format!("{method} {path}"));
        Received { status: head.status.as_u16(), headers, body: String::from_utf8(body.to_vec()).expect("UTF-8") }
    }

    /// How much was changed: events of both customers, without those that reading leaves.
    async fn changes(&self) -> usize {
        let mut count = 0;
        for customer in [CustomerId::SERVICE, self.world.customer, self.other_customer] {
            let page = PageRequest { offset: 0, limit: PageRequest::LIMIT_MAX };
            let events = self.world.store.search_audit(customer, &AuditQuery { conditions: Vec::new(), page }).await;
            let events = events.expect("a list").rows;
            let of_oneself = ["check", "end-session", "sign-in", "sign-out"];
            count += events.iter().filter(|row| !of_oneself.contains(&&*row.event.action)).count();
        }
        count
    }
}

/// As long as `id`, and nobody's.
fn missing(id: &str) -> String {
    "9".repeat(id.len())
}

#[tokio::test]
async fn somebody_without_a_session_is_led_to_the_sign_in() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    for row in rows_of("GET").chain(rows_of("POST")).filter(|row| !row.is_public) {
        for id in [arranged.existing(row), "999999", "x"] {
            for customer in [&*customer, "0", "999999", "x"] {
                let answer = arranged.visit(Caller::Anonymous, row, customer, id).await;
                assert!(answer.leads_to_sign_in(), "{row:?}: {answer:?}");
                assert_eq!(answer.body, "");
            }
        }
        let path = row.path(&customer, arranged.existing(row));
        for session in ["", "x.y.z", "\"\"", &"a".repeat(5_000)] {
            let answer = arranged.visit_in(Some(session), Row { is_public: true, ..row }, &path, ORDINARY).await;
            assert!(answer.leads_to_sign_in(), "{row:?} with {session:?}: {answer:?}");
        }
    }
    for row in rows_of("GET").filter(|row| row.is_public) {
        assert_eq!(arranged.visit(Caller::Anonymous, row, "", "").await.status, 200, "{row:?}");
    }
}

#[tokio::test]
async fn what_one_role_sees_all_stronger_ones_see() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    for row in rows_of("GET").filter(|row| !row.is_public) {
        let mut is_seen = false;
        for role in Role::ALL {
            let answer = arranged.visit(Caller::Insider(role), row, &customer, arranged.existing(row)).await;
            let is_open = matches!(answer.status, 200 | 303 | 409);
            let may_lack = answer.status == 404 && NOT_THERE.iter().any(|end| row.pattern.ends_with(end));
            assert!(is_open || answer.status == 403 || may_lack, "{role} {row:?}: {}", answer.status);
            assert!(is_open || may_lack || !is_seen, "{role} does not see what a weaker role sees: {row:?}");
            is_seen |= is_open;
        }
        assert!(is_seen || NOT_THERE.iter().any(|end| row.pattern.ends_with(end)), "nobody sees {row:?}");
    }
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    let owner = &arranged.administrators[&Caller::Insider(Role::Owner)];
    for row in rows_of("GET") {
        let cookies = format!("{SESSION}={}", arranged.world.session(owner).await.0);
        let path = row.path(&customer, arranged.existing(row));
        let got = arranged.send("GET", &path, &cookies, None, String::new()).await;
        let head = arranged.send("HEAD", &path, &cookies, None, String::new()).await;
        assert_eq!((head.status, &*head.body), (got.status, ""), "{row:?}");
        assert_eq!(head.header("content-length"), got.body.len().to_string(), "{row:?}");
    }
}

#[tokio::test]
async fn a_form_that_is_not_ours_is_refused_and_does_nothing() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    let before = arranged.changes().await;
    let (token, foreign) = ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "https://evil.example");
    for row in rows_of("POST") {
        let id = arranged.existing(row);
        for origin in [None, Some(foreign), Some("null"), Some("http://localhost"), Some("https://localhost:1")] {
            for caller in [Caller::Anonymous, Caller::Insider(Role::Owner)] {
                let sent = Sent { form_token: None, origin };
                let answer = arranged.visit_with(caller, row, &customer, id, sent).await;
                assert_eq!(answer.status, 403, "{caller:?} {row:?} from {origin:?}");
            }
        }
        for form_token in ["", token] {
            let sent = Sent { form_token: Some(form_token), ..ORDINARY };
            for role in Role::ALL {
                let answer = arranged.visit_with(Caller::Insider(role), row, &customer, id, sent).await;
                assert_eq!(answer.status, 403, "{role} {row:?} with {form_token:?}");
                assert!(answer.body.contains("The form was not accepted"), "{}", answer.body);
            }
            if row.is_public {
                let answer = arranged.visit_with(Caller::Anonymous, row, &customer, id, sent).await;
                assert_eq!(answer.status, 403, "{row:?} with {form_token:?}");
            }
        }
    }
    assert_eq!(arranged.changes().await, before);
}

#[tokio::test]
async fn an_auditor_changes_nothing() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    let before = arranged.changes().await;
    for row in rows_of("POST").filter(|row| !row.is_public) {
        let answer = arranged.visit(Caller::Insider(Role::Auditor), row, &customer, arranged.existing(row)).await;
        assert!(!answer.leads_to_sign_in() || row.has("/sign-out"), "{row:?}: {answer:?}");
    }
    assert_eq!(arranged.changes().await, before);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_by_any_form() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    for row in rows_of("POST").filter(|row| row.has("{id}")) {
        for role in Role::ALL {
            let id = missing(arranged.existing(row));
            let answer = arranged.visit(Caller::Insider(role), row, &customer, &id).await;
            assert!(matches!(answer.status, 403 | 404), "{role} {row:?}: {answer:?}");
            assert!(role < Role::Admin || answer.status == 404, "{role} {row:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn another_customer_reads_like_a_missing_one() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    let before = arranged.changes().await;
    for row in rows_of("GET").chain(rows_of("POST")).filter(|row| row.has("{customer}")) {
        let id = arranged.existing(row);
        let mut foreign = arranged.visit(Caller::Outsider, row, &customer, id).await;
        let none = arranged.visit(Caller::Outsider, row, &missing(&customer), id).await;
        // What takes an owner says so, and rows of which none is ticked lead back to the list, whosever it is.
        let is_nothing_ticked = row.has("/bulk") && foreign.status == 303;
        assert!(matches!(foreign.status, 403 | 404) || is_nothing_ticked, "{row:?}: {foreign:?}");
        for (_, value) in foreign.headers.iter_mut().filter(|(name, _)| name == "location") {
            *value = value.replace(&customer, &missing(&customer));
        }
        assert_eq!(foreign, none, "{row:?}");
    }
    assert_eq!(arranged.changes().await, before);
}

#[tokio::test]
async fn another_customers_object_reads_like_a_missing_one() {
    let arranged = Arranged::new().await;
    let own = arranged.other_customer.to_string();
    for row in rows_of("GET").chain(rows_of("POST")).filter(|row| row.has("{id}")) {
        let id = arranged.existing(row);
        let foreign = arranged.visit(Caller::Outsider, row, &own, id).await;
        let none = arranged.visit(Caller::Outsider, row, &own, &missing(id)).await;
        assert_eq!(foreign.status, 404, "{row:?}: {foreign:?}");
        assert_eq!(foreign, none, "{row:?}");
    }
}
