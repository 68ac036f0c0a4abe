//! Pages without a network: the same table, visits and handlers, in front of a service in memory and on a
//! temporary disk.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode};
use zeroize::Zeroizing;

use super::guard::{NOTICE, SESSION};
use super::reply::{Notice, Trouble};
use super::routes::{self, Lookup, Page};
use super::visit::Visit;
use super::{Parts, Portal};
use crate::domain::administrator::ActorIdentity;
use crate::domain::{Actor, Kind, Name, Reference, Role};
use crate::id::{ApiClientId, CustomerId, GroupId, Id as _};
use crate::management::groups::GroupInput;
use crate::management::keys::{KeyInput, KeyView};
use crate::management::sessions::{PORTAL_SESSION_LIFETIME, Session};
use crate::management::tests::Fixture;
use crate::management::{Input, Management};
use crate::server::health::{Health, HealthSource};

/// An administrator at the portal.
pub(super) struct Desk {
    pub(super) portal: Portal,
    pub(super) session: Session,
    pub(super) fixture: Fixture,
}

/// What came back.
pub(super) struct Seen {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// Home asks how the service is, and is not visited here.
struct Unasked;

#[async_trait]
impl HealthSource for Unasked {
    async fn check(&self) -> Health {
        unreachable!("no page that is visited here asks")
    }
}

impl Desk {
    /// Of the owner of the first start.
    pub(super) async fn new() -> Self {
        let fixture = Fixture::new().await;
        let parts = Parts {
            management: Arc::clone(&fixture.management),
            clock: fixture.clock(),
            health: Arc::new(Unasked),
            cloud: Arc::new(ArcSwap::from_pointee("example.com:8443".parse().unwrap())),
        };
        let password = Zeroizing::new(fixture.first.password.to_string());
        let source = "192.0.2.1".parse().unwrap();
        let signed_in = fixture
            .management
            .sign_in_administrator(&fixture.first.username, password, source, "a test", PORTAL_SESSION_LIFETIME)
            .await
            .unwrap();
        Self { portal: Portal::new(parts), session: signed_in.session, fixture }
    }

    /// The same person with another role, in the first customer.
    pub(super) fn become_role(&mut self, role: Role) {
        self.session.actor.role = role;
        self.session.actor.customer_id = self.customer();
    }

    pub(super) fn customer(&self) -> CustomerId {
        self.fixture.customer()
    }

    pub(super) fn management(&self) -> &Management {
        &self.fixture.management
    }

    /// `path` is below the customer.
    pub(super) async fn get(&self, path: &str) -> Seen {
        self.ask(Method::GET, path, "", &[]).await
    }

    /// As a browser follows a link of a page of ours.
    pub(super) async fn follow(&self, path: &str) -> Seen {
        self.ask(Method::GET, path, "", &[("sec-fetch-site", "same-origin")]).await
    }

    pub(super) async fn post(&self, path: &str, form: &str) -> Seen {
        self.ask(Method::POST, path, form, &[]).await
    }

    /// As our script posts.
    pub(super) async fn fetch(&self, path: &str, form: &str) -> Seen {
        self.ask(Method::POST, path, form, &[("x-requested-with", "muster")]).await
    }

    async fn ask(&self, method: Method, path: &str, form: &str, headers: &[(&str, &str)]) -> Seen {
        let path = format!("/c/{}{path}", self.customer());
        let mut request = Request::builder().method(method.clone()).uri(&path);
        request = request.header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let lookup = routes::find(&method, head.uri.path());
        let Lookup::Found(Page::SignedIn(run) | Page::Form(run), _, parameters) = lookup else {
            panic!("no page: {method} {path}")
        };
        let form = Bytes::copy_from_slice(form.as_bytes());
        let visit = Visit::read(parameters, &head, &form, "192.0.2.1".parse().unwrap(), SESSION).unwrap();
        let reply = run(&self.portal, &visit, &self.session).await;
        let reply = reply.unwrap_or_else(|trouble: Trouble| {
            self.portal.explain(&trouble, Some(&visit), &path, &Reference::random())
        });
        let (head, body) = reply.into_response().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Seen { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(super) async fn group(&self, kind: Kind, name: &str) -> GroupId {
        let input = GroupInput { name: Input::Given(name.into()), ..GroupInput::default() };
        let made = self.management().create_group(&self.session.actor, self.customer(), kind, input).await;
        made.unwrap().group.id
    }

    /// A key of the group with room for ten.
    pub(super) async fn key(&self, kind: Kind, group: GroupId, name: &str) -> KeyView {
        self.key_with(kind, group, name, KeyInput::default()).await
    }

    /// With what `more` says besides.
    pub(super) async fn key_with(&self, kind: Kind, group: GroupId, name: &str, more: KeyInput) -> KeyView {
        let input =
            KeyInput { name: Input::Given(name.into()), group: Input::Given(group), maximum: Input::Given(10), ..more };
        self.management().create_key(&self.session.actor, self.customer(), kind, input).await.unwrap()
    }

    /// One that an API client manages under this label.
    pub(super) async fn managed_key(&self, kind: Kind, group: GroupId, name: &str, label: &str) -> KeyView {
        let identity = ActorIdentity::ApiClient {
            id: ApiClientId::from_raw(77),
            client_id: "client".into(),
            managing: Some(Name::new(label).unwrap()),
        };
        let actor = Actor { identity, customer_id: self.customer(), role: Role::Admin };
        let input = KeyInput {
            name: Input::Given(name.into()),
            group: Input::Given(group),
            maximum: Input::Given(10),
            ..KeyInput::default()
        };
        self.management().create_key(&actor, self.customer(), kind, input).await.unwrap()
    }
}

impl Seen {
    /// The page, which is well.
    pub(super) fn page(self) -> String {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The sentence for the next page, with what it is about.
    pub(super) fn notice(&self) -> String {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        let cookies = self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        let value =
            cookies.filter_map(|cookie| cookie.strip_prefix(NOTICE)?.strip_prefix('=')).next().expect("a notice");
        let Notice { subject, sentence } = Notice::decode(value.split(';').next().unwrap()).expect("a notice");
        format!("{subject} {sentence}").trim_start().to_owned()
    }

    /// The text, without tags.
    pub(super) fn text(&self) -> String {
        let parts = self.body.split('<').enumerate();
        let text: String = parts
            .map(|(index, part)| if index == 0 { part } else { part.split_once('>').map_or("", |(_, text)| text) })
            .collect();
        text.replace("&#38;", "&").replace("&#39;", "'").replace("&#34;", "\"")
    }
}
