//! Who may do what: every row of the table of routes × every kind of caller, through the door's handler.
//!
//! A new row is visited by itself. One on a new kind of object needs an object that is there:
//! [`Arranged::existing`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster::auth::token::{Claims, SubjectKind};
use muster::clock::Clock as _;
use muster::domain::revocation::{Crl, CrlHead, CrlNumber};
use muster::domain::{Actor, Administrator, ApiClient, Customer, Kind, Revision, Role};
use muster::id::{CustomerId, SigningCertificateId};
use muster::management::Input;
use muster::management::clean_up::CleanUpInput;
use muster::management::customers::CustomerInput;
use muster::management::groups::GroupInput;
use muster::management::keys::KeyInput;
use muster::management::sessions::TOKEN_LIFETIME;
use muster::management::webhooks::WebhookInput;
use muster::server::api::Api;
use muster::server::api::routes::{Endpoint, ROUTES, Route, on_kind};
use muster::server::api::schema::{Form, Takes};
use muster::server::http::{Handler as _, Peer};
use muster::store::{Change, ListQuery, Store as _};
use serde_json::{Value, json};

use crate::support::rows;
use crate::support::world::{self, World, WorldDevice};

/// One that nobody verifies.
fn crl(customer_id: CustomerId, signing_certificate_id: SigningCertificateId) -> Crl {
    let (number, at) = (CrlNumber(1), world::NOW);
    let head = CrlHead { customer_id, signing_certificate_id, number, this_update: at, next_update: at, entries: 0 };
    Crl { head, der: Bytes::from_static(b"a CRL") }
}

/// What all customers share.
const SHARED: &str = "versionProfiles";

/// A customer that is not there.
const NOBODY: &str = "999999";

/// Who asks. The first ten are nobody to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    Anonymous,
    Garbage,
    Forged,
    Expired,
    SignedOut,
    Deleted,
    Disabled,
    OfDisabledCustomer,
    DisabledAdministrator,
    /// An administrator whose session was ended.
    EndedSession,
    /// An API client of the customer whose objects are asked for; an owner belongs to none.
    Insider(Role),
    /// An administrator of the same.
    Administrator(Role),
    /// Of another customer.
    Outsider(Role),
}

const STRANGERS: [Caller; 10] = [
    Caller::Anonymous,
    Caller::Garbage,
    Caller::Forged,
    Caller::Expired,
    Caller::SignedOut,
    Caller::Deleted,
    Caller::Disabled,
    Caller::OfDisabledCustomer,
    Caller::DisabledAdministrator,
    Caller::EndedSession,
];

const OUTSIDERS: [Role; 3] = [Role::Auditor, Role::Operator, Role::Admin];

/// An answer without what differs from one to the next: its reference and its date.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Received {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Received {
    /// As it would read about another object.
    fn about(mut self, id: &str, other: &str) -> Self {
        assert_eq!(id.len(), other.len());
        self.body = self.body.replace(id, other);
        self
    }

    fn id(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["id"].as_str().unwrap_or_default().to_owned()
    }
}

/// A service with two customers, callers of every kind, and one object of every kind in the first customer.
struct Arranged {
    world: World,
    api: Arc<Api>,
    /// Those who get a new session for each request.
    administrators: BTreeMap<Caller, Administrator>,
    /// Client id and customer of those who get a new token for each request.
    clients: BTreeMap<Caller, (String, CustomerId)>,
    /// What the others show.
    tokens: BTreeMap<Caller, String>,
    other_customer: CustomerId,
    /// By resource and kind.
    objects: BTreeMap<(&'static str, Kind), String>,
}

impl Arranged {
    async fn new() -> Self {
        let world = World::new().await;
        let api = Arc::new(Api::new(Arc::clone(&world.management)));
        let (other, closed) = (rows::customer(800_001, "Other"), rows::customer(800_002, "Closed"));
        let closed = Customer { enabled: false, ..closed };
        for customer in [&other, &closed] {
            world.apply(Change::InsertCustomer(customer.clone())).await;
        }

        let mut clients = BTreeMap::new();
        let mut tokens = BTreeMap::from([(Caller::Garbage, "x.y.z".to_owned())]);
        let insiders = Role::ALL.map(|role| {
            let customer = if role == Role::Owner { CustomerId::SERVICE } else { world.customer };
            (Caller::Insider(role), customer, role)
        });
        let outsiders = OUTSIDERS.map(|role| (Caller::Outsider(role), other.id, role));
        let others = [
            (Caller::Disabled, world.customer, Role::Admin),
            (Caller::Expired, world.customer, Role::Admin),
            (Caller::OfDisabledCustomer, closed.id, Role::Admin),
            (Caller::SignedOut, world.customer, Role::Admin),
        ];
        let callers = insiders.into_iter().chain(outsiders).chain(others);
        for (number, (caller, customer, role)) in callers.enumerate() {
            let name = format!("client {number}");
            let enabled = caller != Caller::Disabled;
            let client = rows::api_client(900_000 + number as u64, customer, &name, &name);
            world.apply(Change::InsertApiClient(ApiClient { role, enabled, ..client })).await;
            match caller {
                Caller::Expired => drop(tokens.insert(caller, token(&world, &name, customer, TOKEN_LIFETIME))),
                Caller::SignedOut => drop(tokens.insert(caller, token(&world, &name, customer, Duration::ZERO))),
                _ => drop(clients.insert(caller, (name, customer))),
            }
        }
        let people = Role::ALL.map(|role| (Caller::Administrator(role), role)).into_iter();
        let strangers = [Caller::DisabledAdministrator, Caller::EndedSession].map(|caller| (caller, Role::Admin));
        let mut administrators = BTreeMap::new();
        let mut somebody = String::new();
        for (number, (caller, role)) in people.chain(strangers).enumerate() {
            let customer = if role == Role::Owner { CustomerId::SERVICE } else { world.customer };
            let row = rows::administrator(950_000 + number as u64, customer, &format!("person-{number}"));
            let row = Administrator { role, enabled: caller != Caller::DisabledAdministrator, ..row };
            world.apply(Change::InsertAdministrator(row.clone())).await;
            if matches!(caller, Caller::Administrator(_)) {
                administrators.insert(caller, row);
                continue;
            }
            let (token, session) = world.session(&row).await;
            if caller == Caller::EndedSession {
                world.apply(Change::EndSession { session, at: world.clock.now() }).await;
            }
            tokens.insert(caller, token);
            somebody = row.id.to_string();
        }
        tokens.insert(Caller::Deleted, token(&world, "nobody", world.customer, Duration::ZERO));
        // The last character may carry bits that do not count.
        let (client_id, customer) = &clients[&Caller::Insider(Role::Admin)];
        let mut forged = token(&world, client_id, *customer, Duration::ZERO).into_bytes();
        let near_the_end = forged.len() - 5;
        forged[near_the_end] = if forged[near_the_end] == b'A' { b'B' } else { b'A' };
        tokens.insert(Caller::Forged, String::from_utf8(forged).expect("ASCII"));

        let mut objects = BTreeMap::new();
        let certificates = world.store.list_signing_certificates(world.customer, &ListQuery::first(1)).await;
        let certificate = certificates.expect("a list").rows.remove(0).id;
        world.store.publish_crl(crl(world.customer, certificate), None, vec![]).await.expect("a CRL");
        for kind in Kind::ALL {
            let group = world.group(kind, "HQ").await;
            let input = KeyInput {
                name: Input::Given("key".to_owned()),
                group: Input::Given(group),
                maximum: Input::Given(10),
                ..KeyInput::default()
            };
            let (system, management) = (Actor::system(), &world.management);
            let key = management.create_key(&system, world.customer, kind, input).await.expect("a key");
            let string = key.string.expect("shown at creation");
            let component = world.enroll(string.expose(), &WorldDevice::new("device")).await.expect("a component");
            let input = CleanUpInput { days: Input::Given(30), ..CleanUpInput::default() };
            let schedule = management.create_clean_up_schedule(&system, world.customer, kind, input).await;
            objects.insert(("group", kind), group.to_string());
            objects.insert(("provisioningKey", kind), key.key.id.to_string());
            objects.insert(("component", kind), component.component_id.to_string());
            objects.insert(("schedule", kind), schedule.expect("a schedule").id.to_string());
            objects.insert(("enrollmentCert", kind), certificate.to_string());
            objects.insert(("versionProfiles", kind), "0".to_owned());
            objects.insert(("zcomponent", kind), group.to_string());
            objects.insert(("administrators", kind), somebody.clone());
            objects.insert(("apiClients", kind), "900000".to_owned());
            let input = WebhookInput {
                name: Input::Given(format!("hook {kind}")),
                url: Input::Given("https://hooks.example.com/".to_owned()),
                events: Input::Given(vec!["key.expiring".to_owned()]),
                enabled: Input::Absent,
            };
            let webhook = management.create_webhook(&system, world.customer, input).await.expect("a webhook").webhook;
            objects.insert(("webhooks", kind), webhook.id.to_string());
        }
        let arranged = Self { world, api, administrators, clients, tokens, other_customer: other.id, objects };
        let signed_out = arranged.ask(Caller::SignedOut, "POST", "/signout", "").await;
        assert_eq!(signed_out.status, 204);
        arranged
    }

    /// The id of an object in the first customer that the row is about; rows that are about none have no
    /// `{id}`.
    fn existing(&self, route: &Route, kind: Kind) -> &str {
        let before = route.pattern.split("/{id}").next().expect("a part");
        let resource = match before.rsplit('/').next().expect("a part") {
            "{componentType}" => "component",
            "{groupType}" => "group",
            "{scheduleType}" => "schedule",
            resource => resource,
        };
        let object = self.objects.iter().find(|((name, of), _)| *name == resource && *of == kind);
        object.unwrap_or_else(|| panic!("no {resource} is arranged: {}", route.pattern)).1
    }

    async fn visit(&self, caller: Caller, route: &Route, customer: &str, kind: Kind, id: &str) -> Received {
        self.visit_with(caller, route, customer, kind, id, "{}").await
    }

    async fn visit_with(
        &self,
        caller: Caller,
        route: &Route,
        customer: &str,
        kind: Kind,
        id: &str,
        body: &str,
    ) -> Received {
        let path = format!("/{}", on_kind(route.pattern, kind))
            .replace("{customerId}", customer)
            .replace("{sessionId}", "a-session")
            .replace("{id}", id);
        assert!(!path.contains('{'), "{path}");
        self.ask(caller, route.method.as_str(), &path, body).await
    }

    async fn ask(&self, caller: Caller, method: &str, path: &str, body: &str) -> Received {
        // Each from a place of its own, so that nobody's failures are counted against another.
        let mut known = self.tokens.keys().chain(self.clients.keys()).chain(self.administrators.keys());
        let host = known.position(|known| *known == caller);
        let host = host.map_or(255, |host| host as u8);
        let peer = Peer {
            address: SocketAddr::new(IpAddr::from([192, 0, 2, host]), 50_000),
            client_certificate: None,
            silence: Arc::default(),
        };
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
        let token = match (self.administrators.get(&caller), self.clients.get(&caller)) {
            (Some(administrator), _) => Some(self.world.session(administrator).await.0),
            (None, Some((id, customer))) => Some(token(&self.world, id, *customer, Duration::ZERO)),
            (None, None) => self.tokens.get(&caller).cloned(),
        };
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request");

        let (near, far) = tokio::io::duplex(64 * 1024);
        let (api, peer) = (Arc::clone(&self.api), Arc::new(peer));
        let service = service_fn(move |request| {
            let (api, peer) = (Arc::clone(&api), Arc::clone(&peer));
            async move { Ok::<_, std::convert::Infallible>(api.handle(request, &peer).await) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.expect("a door");
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let headers = head.headers.iter().filter(|(name, _)| *name != "x-transaction-id" && *name != "date");
        Received {
            status: head.status.as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
                .collect(),
            body: String::from_utf8(body.to_vec()).expect("UTF-8"),
        }
    }
}

/// A token that was given so long ago.
fn token(world: &World, client_id: &str, customer: CustomerId, age: Duration) -> String {
    let issued = muster::clock::Timestamp::from_unix_seconds(world.clock.now().unix_seconds() - age.as_secs() as i64);
    let claims = Claims::new(client_id, SubjectKind::ApiClient, customer, issued, TOKEN_LIFETIME);
    world.token_key.sign(&claims).to_string()
}

/// As long as `id`, and nobody's.
fn missing(id: &str) -> String {
    "9".repeat(id.len())
}

/// The rows that a token is needed for, on each of the kinds where they have one.
fn guarded() -> impl Iterator<Item = (&'static Route, Role, Kind)> {
    ROUTES.iter().flat_map(|route| {
        let role = match route.endpoint {
            Endpoint::Authenticated { role, .. } => Some(role),
            Endpoint::Public(_) => None,
        };
        let kinds = if route.pattern.contains("Type}") { &Kind::ALL[..] } else { &Kind::ALL[..1] };
        role.into_iter().flat_map(move |role| kinds.iter().map(move |kind| (route, role, *kind)))
    })
}

#[tokio::test]
async fn whoever_is_nobody_gets_one_answer_everywhere() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    let one = arranged.ask(Caller::Anonymous, "POST", "/signout", "").await;
    assert_eq!((one.status, one.id().as_str()), (401, "access.denied"));
    assert_eq!(one.headers["www-authenticate"], "Bearer");
    for (route, _, kind) in guarded() {
        let has_id = route.pattern.contains("{id}");
        let ids = if has_id { vec![arranged.existing(route, kind), "999999", "x"] } else { vec![""] };
        for caller in STRANGERS {
            for customer in [&customer, NOBODY] {
                for id in &ids {
                    let refused = arranged.visit(caller, route, customer, kind, id).await;
                    assert_eq!(refused, one, "{caller:?}: {} {}", route.method, route.pattern);
                }
            }
        }
    }
}

#[tokio::test]
async fn each_row_lets_its_role_through_and_no_weaker_one() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    for (route, needed, kind) in guarded() {
        let has_id = route.pattern.contains("{id}");
        let id = if has_id { arranged.existing(route, kind).to_owned() } else { String::new() };
        let callers = Role::ALL.map(|role| [(Caller::Insider(role), role), (Caller::Administrator(role), role)]);
        for (caller, role) in callers.into_iter().flatten() {
            let row = format!("{caller:?}: {} {}", route.method, route.pattern);
            if role < needed {
                let refused = arranged.visit(caller, route, &customer, kind, &id).await;
                assert_eq!((refused.status, refused.id().as_str()), (403, "authorization.failed"), "{row}");
                let reason = format!("this takes the role {needed}; the caller is {role}");
                assert!(refused.body.contains(&reason), "{row}: {}", refused.body);
                continue;
            }
            // What is there is read; what would change is not there, so that it is there for the next one.
            let id = if route.method == "GET" { id.clone() } else { missing(&id) };
            let answer = arranged.visit(caller, route, &customer, kind, &id).await;
            let expected = match (route.method.as_str(), has_id) {
                ("GET", _) => vec![200],
                (_, true) => vec![404],
                (_, false) => vec![200, 201, 204, 400],
            };
            assert!(expected.contains(&answer.status), "{row}: {answer:?}");
        }
    }
}

/// What is otherwise an admin's to do, and one's own password.
#[tokio::test]
async fn everybody_reaches_what_is_about_themselves() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    let rows: Vec<_> = ROUTES.iter().filter(|route| route.of_oneself).collect();
    assert_eq!(rows.len(), 3);
    for role in Role::ALL {
        let (caller, customer) =
            (Caller::Administrator(role), if role == Role::Owner { "0".to_owned() } else { customer.clone() });
        let own = arranged.administrators[&caller].id.to_string();
        for route in &rows {
            let answer = arranged.visit(caller, route, &customer, Kind::Machine, &own).await;
            // No passwords were sent, and there is no such session.
            let expected = match route.method.as_str() {
                "GET" => (200, ""),
                "POST" => (400, "missing.mandatory.params"),
                _ => (404, "resource.not.found"),
            };
            assert_eq!((answer.status, answer.id().as_str()), expected, "{role}: {} {}", route.method, route.pattern);
        }
        let password = rows.iter().find(|route| route.method == "POST").expect("a row");
        let other = arranged.existing(password, Kind::Machine);
        let refused =
            arranged.visit(caller, password, &arranged.world.customer.to_string(), Kind::Machine, other).await;
        assert_eq!((refused.status, refused.id().as_str()), (403, "authorization.failed"), "{role}: another's");
    }
}

#[tokio::test]
async fn what_is_open_to_all_does_not_look_at_the_caller() {
    let arranged = Arranged::new().await;
    for route in ROUTES.iter().filter(|route| matches!(route.endpoint, Endpoint::Public(_))) {
        let one = arranged.visit(Caller::Anonymous, route, "", Kind::Machine, "").await;
        for caller in STRANGERS.into_iter().chain(Role::ALL.map(Caller::Insider)) {
            let answer = arranged.visit(caller, route, "", Kind::Machine, "").await;
            assert_eq!(answer, one, "{caller:?}: {}", route.pattern);
        }
    }
}

#[tokio::test]
async fn another_customer_reads_like_a_missing_one() {
    let arranged = Arranged::new().await;
    let customer = arranged.world.customer.to_string();
    let nobody = missing(&customer);
    for (route, _, kind) in guarded().filter(|(route, ..)| route.pattern.contains("{customerId}")) {
        let id = if route.pattern.contains("{id}") { arranged.existing(route, kind) } else { "" };
        for caller in OUTSIDERS.map(Caller::Outsider) {
            let row = format!("{caller:?}: {} {}", route.method, route.pattern);
            let foreign = arranged.visit(caller, route, &customer, kind, id).await;
            let none = arranged.visit(caller, route, &nobody, kind, id).await;
            assert_eq!((foreign.status, foreign.id().as_str()), (404, "resource.not.found"), "{row}");
            assert_eq!(foreign.about(&customer, &nobody), none, "{row}");
        }
    }
}

#[tokio::test]
async fn another_customers_object_reads_like_a_missing_one() {
    let arranged = Arranged::new().await;
    let own = arranged.other_customer.to_string();
    let caller = Caller::Outsider(Role::Admin);
    let rows = guarded().filter(|(route, needed, _)| route.pattern.contains("{id}") && *needed <= Role::Admin);
    for (route, _, kind) in rows.filter(|(route, ..)| !route.pattern.contains(SHARED)) {
        let row = format!("{} {}", route.method, route.pattern);
        let id = arranged.existing(route, kind);
        let foreign = arranged.visit(caller, route, &own, kind, id).await;
        let none = arranged.visit(caller, route, &own, kind, &missing(id)).await;
        assert_eq!((foreign.status, foreign.id().as_str()), (404, "resource.not.found"), "{row}");
        assert_eq!(foreign.about(id, &missing(id)), none, "{row}");
    }
}

#[tokio::test]
async fn what_a_request_refers_to_is_looked_for_in_its_own_customer() {
    let arranged = Arranged::new().await;
    let own = arranged.other_customer.to_string();
    let caller = Caller::Outsider(Role::Admin);
    let mut at_fault = BTreeSet::new();
    // What is done to an object that is there is with the edits below.
    let making = |route: &Route| route.method == "POST" && !route.pattern.contains("{id}");
    for (route, _, kind) in guarded().filter(|(route, ..)| making(route)) {
        let Takes::New(shape) = route.takes else { continue };
        for member in shape.request_members().filter(|member| matches!(member.form, Form::Id)) {
            let objects = arranged.objects.iter().filter(|((resource, of), _)| *resource != SHARED && *of == kind);
            for ((resource, of), id) in objects {
                // The name is none, so that nothing is made, whatever is right beside it.
                let body = |id: &str| json!({ "name": "a|b", "maxUsage": 1, member.name: id }).to_string();
                let foreign = arranged.visit_with(caller, route, &own, *of, "1", &body(id)).await;
                let none = arranged.visit_with(caller, route, &own, *of, "1", &body(&missing(id))).await;
                assert_eq!(foreign.status, 400, "{}: {foreign:?}", route.pattern);
                if foreign.body.contains(&format!("{:?}", member.name)) {
                    at_fault.insert(member.name);
                }
                let row = format!("{} of a {resource}: {}", member.name, route.pattern);
                assert_eq!(foreign.about(id, &missing(id)), none, "{row}");
            }
        }
    }
    assert!(
        at_fault.is_superset(&BTreeSet::from(["enrollmentCertId", "parentCertId", "zcomponentId"])),
        "{at_fault:?}"
    );
}

/// The same for edits of one's own objects, and for lists of ids.
#[tokio::test]
async fn what_an_edit_refers_to_is_looked_for_in_its_own_customer() {
    let arranged = Arranged::new().await;
    let (system, management) = (Actor::system(), &arranged.world.management);
    let input = CustomerInput { name: Input::Given("Elsewhere".to_owned()), ..CustomerInput::default() };
    let elsewhere = management.create_customer(&system, input, None).await.expect("a customer").customer.id;
    let input = GroupInput { name: Input::Given("HQ".to_owned()), ..GroupInput::default() };
    let group = management.create_group(&system, elsewhere, Kind::Machine, input).await.expect("a group").group;
    let (name, group_id) = (Input::Given("k".to_owned()), Input::Given(group.id));
    let input = KeyInput { name, group: group_id, ..KeyInput::default() };
    let key = management.create_key(&system, elsewhere, Kind::Machine, input).await.expect("a key").key;
    let foreign = [group.id.to_string(), group.signing_certificate_id.to_string(), key.id.to_string()];

    let (own, caller) = (arranged.world.customer.to_string(), Caller::Insider(Role::Admin));
    let mut referred = BTreeSet::new();
    for (route, _, kind) in guarded().filter(|(_, _, kind)| *kind == Kind::Machine) {
        let (Takes::Edit(shape) | Takes::New(shape)) = route.takes else { continue };
        let at = if route.pattern.contains("{id}") { arranged.existing(route, kind) } else { "" };
        for member in shape.request_members().filter(|member| matches!(member.form, Form::Id | Form::Ids)) {
            for id in &foreign {
                let value = |id: &str| if matches!(member.form, Form::Ids) { json!([id]) } else { json!(id) };
                // A name that is none keeps what is right beside it from being made.
                let body =
                    |id: &str| json!({ "name": "a|b", "operation": "delete", member.name: value(id) }).to_string();
                let answer = arranged.visit_with(caller, route, &own, kind, at, &body(id)).await;
                let none = arranged.visit_with(caller, route, &own, kind, at, &body(&missing(id))).await;
                assert!(answer.status < 500, "{}: {answer:?}", route.pattern);
                assert_eq!(
                    answer.about(id, &missing(id)),
                    none,
                    "{} of {} {}",
                    member.name,
                    route.method,
                    route.pattern
                );
                referred.insert((route.method.as_str(), member.name));
            }
        }
    }
    for expected in [("PUT", "enrollmentCertId"), ("PUT", "provisioningKeyId"), ("POST", "ids")] {
        assert!(referred.contains(&expected), "{expected:?} in {referred:?}");
    }
    let untouched = management.find_key(&system, elsewhere, Kind::Machine, key.id).await.expect("the key");
    assert_eq!(untouched.key.revision, Revision::FIRST);
}
