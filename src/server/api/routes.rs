//! The one table of routes.
//!
//! Patterns stand without a leading slash and begin where the API begins: whatever parts a client's
//! base URL puts in front (`/zpa`, or a path of its own, once or twice) are ignored.
//!
//! | in a pattern | matches |
//! |---|---|
//! | `{customerId}` `{id}` `{sessionId}` | any one part; what is no id leads to "not found" |
//! | `{groupType}` | `appConnectorGroup`, `serviceEdgeGroup`, `networkConnectorGroup`, `machineGroup` |
//! | `{associationType}` | `CONNECTOR_GRP`, `SERVICE_EDGE_GRP`, `NP_ASSISTANT_GRP`, `MACHINE_GRP` |
//! | `{componentType}` | `connector`, `serviceEdge`, `networkConnector`, `machine` |
//! | `{scheduleType}` | `connectorSchedule`, `serviceEdgeSchedule`, `networkConnectorSchedule`, `machineSchedule` |

use std::future::Future;
use std::pin::Pin;

use hyper::{Method, StatusCode, Uri};

use super::answer::Answer;
use super::query::{AUDIT, DRY_RUN, EXPORT, FORCE, LIST, PAGE, RELEASE_USE, REVOKE};
use super::refusal::Refusal;
use super::schema::{Content, Parameter, Shape, Success, Takes};
use super::wire::administrator::{ADMINISTRATOR, PASSWORD_CHANGE, SESSION};
use super::wire::api_client::API_CLIENT;
use super::wire::audit_event::AUDIT_EVENT;
use super::wire::clean_up::CLEAN_UP_SCHEDULE;
use super::wire::client_type::CLIENT_TYPES;
use super::wire::component::{COMPONENT, COMPONENT_IDS, PEM, REVOCATION};
use super::wire::customer::{CUSTOMER, NEW_CUSTOMER};
use super::wire::group::{GROUP, GROUP_SUMMARY};
use super::wire::key::{KEY, KEY_IMPORT, KEY_ROTATION, KEY_STRING};
use super::wire::key_bulk::{KEY_BULK, KEY_BULK_RESULTS};
use super::wire::key_check::KEY_CHECK;
use super::wire::key_history::{KEY_REFUSAL, KEY_USE};
use super::wire::pepper::PEPPERS;
use super::wire::session::{CLIENT_CREDENTIALS, LEGACY_TOKEN, OAUTH_TOKEN, SIGN_IN};
use super::wire::signing_certificate::{
    NEW_ROOT, NEW_SIGNING_CERTIFICATE, PKIX_CRL, SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_DELETION,
    SIGNING_CERTIFICATE_EDIT, SIGNING_CERTIFICATE_IMPORT, SIGNING_CERTIFICATE_REPLACEMENT, SIGNING_CERTIFICATE_REQUEST,
};
use super::wire::tls_anchor::TLS_TRUST_ANCHOR;
use super::wire::version_profile::VERSION_PROFILE;
use super::wire::webhook::{WEBHOOK, WEBHOOK_DELIVERY};
use super::{
    Api, Call, administrators, api_clients, audit_events, clean_up, client_types, components, customers, groups, keys,
    openapi, pepper, sign_in, signing_certificates, tls_anchor, version_profiles, webhooks, wire,
};
use crate::domain::{Kind, Role};
use crate::management::sessions::Session;

/// A part of a pattern that says a kind, with the word that it has for each.
pub type KindPart = (&'static str, fn(Kind) -> &'static str);

pub const KIND_PARTS: [KindPart; 4] = [
    ("{associationType}", wire::key::association),
    ("{componentType}", wire::component::component_type),
    ("{groupType}", wire::group::group_type),
    ("{scheduleType}", wire::clean_up::schedule_type),
];

/// A pattern as it reads on one kind.
pub fn on_kind(pattern: &str, kind: Kind) -> String {
    KIND_PARTS.iter().fold(pattern.to_owned(), |path, (part, word_of)| path.replace(part, word_of(kind)))
}

/// One row: a method, a path, who may, what it does, and what goes in and out.
pub struct Route {
    pub method: Method,
    pub pattern: &'static str,
    /// The function behind it, `room::function`.
    pub handler: &'static str,
    /// For people who read the OpenAPI document.
    pub summary: &'static str,
    pub endpoint: Endpoint,
    pub takes: Takes,
    /// Members of the query. Others are ignored.
    pub parameters: &'static [Parameter],
    pub success: Success,
    /// With `dryRun=true` nothing is done, and what would be is answered with 200.
    pub preview: Option<&'static Shape>,
    /// `If-Match` binds it to a revision.
    pub honours_if_match: bool,
    /// `Idempotency-Key` makes it safe to repeat.
    pub honours_idempotency_key: bool,
    /// Credentials are in its body, and failures are counted.
    pub checks_credentials: bool,
    /// Whoever it is about may too, whatever the role.
    pub of_oneself: bool,
}

/// Who may call, and what is called.
pub enum Endpoint {
    Public(PublicFn),
    Authenticated {
        /// The weakest role that is let through. The use case is what holds it; here it is told.
        role: Role,
        run: AuthenticatedFn,
    },
}

pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send + 'a>>;

pub type PublicFn = for<'a> fn(&'a Api, &'a Call) -> AnswerFuture<'a>;
pub type AuthenticatedFn = for<'a> fn(&'a Api, &'a Call, &'a Session) -> AnswerFuture<'a>;

/// A pattern; the words in front stand for what many have in common.
macro_rules! path {
    ($path:literal) => {
        $path
    };
    (V1 $path:literal) => {
        concat!("mgmtconfig/v1/admin/customers/{customerId}/", $path)
    };
    (V2 $path:literal) => {
        concat!("mgmtconfig/v2/admin/customers/{customerId}/", $path)
    };
    (KEYS $path:literal) => {
        concat!("mgmtconfig/v1/admin/customers/{customerId}/associationType/{associationType}/provisioningKey", $path)
    };
}

macro_rules! public {
    ($method:ident $path:literal, $run:path, $summary:literal) => {
        Route::new(Method::$method, $path, stringify!($run), $summary, {
            Endpoint::Public(|api, call| Box::pin($run(api, call)))
        })
    };
}

macro_rules! route {
    ($method:ident $($base:ident)? $path:literal, $role:ident, $run:path, $summary:literal) => {
        Route::new(Method::$method, path!($($base)? $path), stringify!($run), $summary, {
            Endpoint::Authenticated {
                role: Role::$role,
                run: |api, call, session| Box::pin($run(api, call, session)),
            }
        })
    };
}

/// All routes. Where two patterns match a path, the one that says more of it is meant (OpenAPI 3.1,
/// Path Templating Matching).
///
/// A new row: method, path, weakest role, handler, summary, then what goes in and out. As it begins, a
/// row takes nothing and answers 204 without a body; `lists`, `gets`, `creates`, `edits` and `deletes` say
/// what such rows have in common, the other words of [`Route`] say or change one thing. The shapes are
/// declared in `wire`, beside what writes and reads them; a handler that reads JSON takes
/// `call.members()`. Everything that can be refused follows from that: [`Route::refusals`].
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    public!(GET  "openapi.json", openapi::document, "This document").answers(Content::Document),

    public!(POST "signin", sign_in::sign_in, "Sign in; expires_in is a string").signs_in(&SIGN_IN, &LEGACY_TOKEN),
    public!(POST "oauth2/v1/token", sign_in::token, "Sign in with OAuth 2 client credentials").signs_in(&CLIENT_CREDENTIALS, &OAUTH_TOKEN),
    route!(POST "signout", Auditor, sign_in::sign_out, "Sign out"),

    route!(GET    "mgmtconfig/v1/admin/customers", Owner, customers::list, "List customers").lists(&CUSTOMER),
    route!(POST   "mgmtconfig/v1/admin/customers", Owner, customers::create, "Make a customer, and its first administrator if asked to").creates(&NEW_CUSTOMER),
    route!(GET    "mgmtconfig/v1/admin/customers/{customerId}", Auditor, customers::get, "Get a customer").gets(&CUSTOMER),
    route!(PUT    "mgmtconfig/v1/admin/customers/{customerId}", Owner, customers::edit, "Edit a customer").edits(&CUSTOMER),

    route!(GET    "mgmtconfig/v1/admin/tlsTrustAnchor", Owner, tls_anchor::get, "Get the CA above the TLS certificates of the service's listeners")
        .answers(Content::Object(&TLS_TRUST_ANCHOR)),
    route!(POST   "mgmtconfig/v1/admin/tlsTrustAnchor/roll", Owner, tls_anchor::roll, "Make a new TLS trust anchor, which the old one vouches for")
        .answers(Content::Object(&TLS_TRUST_ANCHOR)),
    route!(POST   "mgmtconfig/v1/admin/tlsTrustAnchor/finish", Owner, tls_anchor::finish, "Let go of the TLS trust anchor before the present one")
        .answers(Content::Object(&TLS_TRUST_ANCHOR)),

    route!(GET    "mgmtconfig/v1/admin/pepper", Owner, pepper::get, "Get what is digested under which pepper")
        .answers(Content::Object(&PEPPERS)),
    route!(POST   "mgmtconfig/v1/admin/pepper/rotate", Owner, pepper::rotate, "Make a new pepper, which digests move to")
        .answers(Content::Object(&PEPPERS)),
    route!(POST   "mgmtconfig/v1/admin/pepper/finish", Owner, pepper::finish, "Let go of the pepper before the newest, and of what is left under it")
        .answers(Content::Object(&PEPPERS)),

    route!(GET    V1 "administrators", Auditor, administrators::list, "List administrators").lists(&ADMINISTRATOR),
    route!(POST   V1 "administrators", Admin, administrators::create, "Make an administrator").creates(&ADMINISTRATOR),
    route!(GET    V1 "administrators/{id}", Auditor, administrators::get, "Get an administrator").gets(&ADMINISTRATOR),
    route!(PUT    V1 "administrators/{id}", Admin, administrators::edit, "Edit an administrator").edits(&ADMINISTRATOR),
    route!(DELETE V1 "administrators/{id}", Admin, administrators::delete, "Delete an administrator").deletes(),
    route!(POST   V1 "administrators/{id}/password", Auditor, administrators::change_password, "Change one's own password; ends all of one's sessions")
        .takes(&PASSWORD_CHANGE).of_oneself().checks_credentials(),
    route!(GET    V1 "administrators/{id}/sessions", Admin, administrators::list_sessions, "List an administrator's sessions, newest first")
        .lists(&SESSION).with_parameters(PAGE).of_oneself(),
    route!(DELETE V1 "administrators/{id}/sessions/{sessionId}", Admin, administrators::end_session, "End a session").of_oneself(),

    route!(GET    V1 "apiClients", Auditor, api_clients::list, "List API clients").lists(&API_CLIENT),
    route!(POST   V1 "apiClients", Admin, api_clients::create, "Make an API client").creates(&API_CLIENT),
    route!(GET    V1 "apiClients/{id}", Auditor, api_clients::get, "Get an API client").gets(&API_CLIENT),
    route!(PUT    V1 "apiClients/{id}", Admin, api_clients::edit, "Edit an API client").edits(&API_CLIENT),
    route!(DELETE V1 "apiClients/{id}", Admin, api_clients::delete, "Delete an API client").deletes(),
    route!(POST   V1 "apiClients/{id}/secret", Admin, api_clients::replace_secret, "Replace an API client's secret; ends the old one and its tokens")
        .gets(&API_CLIENT).with_if_match().idempotent(),

    route!(GET    V1 "auditEvents", Auditor, audit_events::list, "List audit events, newest first").lists(&AUDIT_EVENT).with_parameters(AUDIT),
    route!(GET    V1 "auditEvents/export", Auditor, audit_events::export, "Export audit events, oldest first, one a line")
        .answers(Content::Lines(&AUDIT_EVENT)).with_parameters(EXPORT),

    route!(GET    V1 "{groupType}", Auditor, groups::list, "List groups").lists(&GROUP),
    route!(POST   V1 "{groupType}", Admin, groups::create, "Make a group").creates(&GROUP),
    route!(GET    V1 "{groupType}/summary", Auditor, groups::summary, "List groups by id and name").lists(&GROUP_SUMMARY),
    route!(GET    V1 "{groupType}/{id}", Auditor, groups::get, "Get a group").gets(&GROUP),
    route!(PUT    V1 "{groupType}/{id}", Admin, groups::edit, "Edit a group").edits(&GROUP),
    route!(DELETE V1 "{groupType}/{id}", Admin, groups::delete, "Delete a group that is not in use").deletes().with_parameters(FORCE),
    route!(GET    V1 "{groupType}/{id}/sg", Auditor, groups::get, "Get a group with its server groups, which there are none of").gets(&GROUP),

    route!(GET    KEYS "", Auditor, keys::list, "List provisioning keys").lists(&KEY),
    route!(POST   KEYS "", Operator, keys::create, "Make a provisioning key").creates(&KEY).with_status(StatusCode::OK),
    route!(POST   KEYS "/bulk", Operator, keys::bulk, "Enable, disable, delete or extend up to 500 provisioning keys, each for itself")
        .takes(&KEY_BULK).answers(Content::Object(&KEY_BULK_RESULTS)),
    route!(POST   KEYS "/check", Operator, keys::check, "Say what a key string is and whether it would enroll now; takes no use")
        .takes(&KEY_STRING).answers(Content::Object(&KEY_CHECK)),
    route!(POST   KEYS "/import", Operator, keys::import, "Make a provisioning key of a string from elsewhere")
        .creates(&KEY).takes(&KEY_IMPORT).with_status(StatusCode::OK),
    route!(GET    KEYS "/{id}", Auditor, keys::get, "Get a provisioning key").gets(&KEY),
    route!(PUT    KEYS "/{id}", Operator, keys::edit, "Edit a provisioning key").edits(&KEY),
    route!(DELETE KEYS "/{id}", Operator, keys::delete, "Delete a provisioning key").deletes().with_parameters(REVOKE),
    route!(POST   KEYS "/{id}/export", Operator, keys::export, "Get a key string as a text file").answers(Content::Raw("text/plain")),
    route!(GET    KEYS "/{id}/refusals", Auditor, keys::refusals, "List the refusals that devices met with a key, newest first")
        .lists(&KEY_REFUSAL).with_parameters(PAGE),
    route!(POST   KEYS "/{id}/rotate", Operator, keys::rotate, "Make a successor of a provisioning key")
        .creates(&KEY).takes(&KEY_ROTATION).with_status(StatusCode::OK).with_if_match(),
    route!(GET    KEYS "/{id}/uses", Auditor, keys::uses, "List a key's ledger, newest first").lists(&KEY_USE).with_parameters(PAGE),
    route!(GET    V1 "associationType/{associationType}/zcomponent/{id}/provisioningKey", Auditor, keys::list_of_group, "List a group's provisioning keys, a bare array")
        .answers(Content::List(&KEY)),

    route!(GET    V1 "{componentType}", Auditor, components::list, "List components").lists(&COMPONENT),
    route!(POST   V1 "{componentType}/bulkDelete", Operator, components::delete_many, "Delete up to 500 components").takes(&COMPONENT_IDS),
    route!(GET    V1 "{componentType}/{id}", Auditor, components::get, "Get a component").gets(&COMPONENT),
    route!(PUT    V1 "{componentType}/{id}", Operator, components::edit, "Edit a component, or attach it to another key").edits(&COMPONENT),
    route!(DELETE V1 "{componentType}/{id}", Operator, components::delete, "Revoke and delete a component").deletes().with_parameters(RELEASE_USE),
    route!(GET    V1 "{componentType}/{id}/certificate", Auditor, components::certificate, "Get a component's certificate").answers(Content::Raw(PEM)),
    route!(POST   V1 "{componentType}/{id}/revoke", Operator, components::revoke, "Revoke a component and keep its device out").takes(&REVOCATION).with_if_match(),

    route!(GET    V1 "{scheduleType}", Auditor, clean_up::get, "Get a kind's clean-up schedule").gets(&CLEAN_UP_SCHEDULE),
    route!(POST   V1 "{scheduleType}", Admin, clean_up::create, "Make a kind's clean-up schedule").creates(&CLEAN_UP_SCHEDULE),
    route!(PUT    V1 "{scheduleType}/{id}", Admin, clean_up::edit, "Edit a clean-up schedule").edits(&CLEAN_UP_SCHEDULE),

    route!(GET    V2 "enrollmentCert", Auditor, signing_certificates::list, "List signing certificates").lists(&SIGNING_CERTIFICATE),
    route!(GET    V1 "enrollmentCert", Auditor, signing_certificates::list, "List signing certificates").lists(&SIGNING_CERTIFICATE),
    route!(POST   V1 "enrollmentCert", Admin, signing_certificates::import, "Import a signing certificate with its private key")
        .creates(&SIGNING_CERTIFICATE).takes(&SIGNING_CERTIFICATE_IMPORT),
    route!(POST   V1 "enrollmentCert/csr/generate", Admin, signing_certificates::request, "Make a key pair and the CSR for its signing certificate")
        .creates(&SIGNING_CERTIFICATE).takes(&SIGNING_CERTIFICATE_REQUEST).with_status(StatusCode::OK),
    route!(POST   V1 "enrollmentCert/selfsigned/generate", Admin, signing_certificates::create_root, "Make a root")
        .creates(&SIGNING_CERTIFICATE).takes(&NEW_ROOT).with_status(StatusCode::OK),
    route!(POST   V1 "enrollmentCert/generate", Admin, signing_certificates::create_below, "Make a signing certificate below another")
        .creates(&SIGNING_CERTIFICATE).takes(&NEW_SIGNING_CERTIFICATE).with_status(StatusCode::OK),
    route!(GET    V1 "enrollmentCert/{id}", Auditor, signing_certificates::get, "Get a signing certificate").gets(&SIGNING_CERTIFICATE),
    route!(GET    V1 "enrollmentCert/{id}/crl", Auditor, signing_certificates::crl, "Get the newest CRL of a signing certificate, in DER").answers(Content::Raw(PKIX_CRL)),
    route!(PUT    V1 "enrollmentCert/{id}", Admin, signing_certificates::edit, "Edit a signing certificate, or bring its certificate").edits(&SIGNING_CERTIFICATE_EDIT),
    route!(POST   V1 "enrollmentCert/{id}/replace", Admin, signing_certificates::replace, "Give all keys and groups that have it another signing certificate")
        .takes(&SIGNING_CERTIFICATE_REPLACEMENT),
    route!(DELETE V1 "enrollmentCert/{id}", Admin, signing_certificates::delete, "Delete a signing certificate that is not in use").deletes().or_previews(&SIGNING_CERTIFICATE_DELETION),

    route!(GET    V1 "clientTypes", Auditor, client_types::list, "List client types").answers(Content::Object(&CLIENT_TYPES)),
    route!(GET    V1 "versionProfile", Auditor, version_profiles::get, "Get the version profile of a customer").answers(Content::Object(&VERSION_PROFILE)),
    route!(PUT    V1 "versionProfiles/{id}", Admin, version_profiles::choose, "Choose the version profile of a customer"),
    route!(GET    V1 "visible/versionProfiles", Auditor, version_profiles::list, "List version profiles").lists(&VERSION_PROFILE),
    route!(PUT    V1 "visible/versionProfiles/{id}", Admin, version_profiles::choose, "Choose the version profile of a customer"),

    route!(GET    V1 "webhooks", Auditor, webhooks::list, "List webhooks").lists(&WEBHOOK),
    route!(POST   V1 "webhooks", Admin, webhooks::create, "Make a webhook").creates(&WEBHOOK),
    route!(GET    V1 "webhooks/{id}", Auditor, webhooks::get, "Get a webhook").gets(&WEBHOOK),
    route!(PUT    V1 "webhooks/{id}", Admin, webhooks::edit, "Edit a webhook").edits(&WEBHOOK),
    route!(DELETE V1 "webhooks/{id}", Admin, webhooks::delete, "Delete a webhook with what waits for it").deletes(),
    route!(GET    V1 "webhooks/{id}/deliveries", Auditor, webhooks::deliveries, "List a webhook's deliveries, newest first")
        .lists(&WEBHOOK_DELIVERY).with_parameters(PAGE),
    route!(POST   V1 "webhooks/{id}/test", Admin, webhooks::test, "Queue a test; its delivery tells how it went")
        .answers(Content::Object(&WEBHOOK_DELIVERY)),
];

impl Route {
    const fn new(
        method: Method,
        pattern: &'static str,
        handler: &'static str,
        summary: &'static str,
        endpoint: Endpoint,
    ) -> Self {
        Self {
            method,
            pattern,
            handler,
            summary,
            endpoint,
            takes: Takes::Nothing,
            parameters: &[],
            success: Success { status: StatusCode::NO_CONTENT, content: Content::Nothing, has_etag: false },
            preview: None,
            honours_if_match: false,
            honours_idempotency_key: false,
            checks_credentials: false,
            of_oneself: false,
        }
    }

    /// A page of such objects: paging, search, sort.
    const fn lists(self, shape: &'static Shape) -> Self {
        self.with_parameters(LIST).answers(Content::Page(shape))
    }

    /// One object with its `ETag`.
    const fn gets(self, shape: &'static Shape) -> Self {
        self.answers(Content::Object(shape)).with_etag()
    }

    /// From its members, as the object that it is then: 201, with its `ETag`.
    const fn creates(self, shape: &'static Shape) -> Self {
        self.takes(shape).gets(shape).with_status(StatusCode::CREATED).idempotent()
    }

    /// By the members that are given, in any revision or in one: 204, with the new `ETag`.
    const fn edits(mut self, shape: &'static Shape) -> Self {
        self.takes = Takes::Edit(shape);
        self.with_if_match().with_etag()
    }

    /// In any revision or in one: 204.
    const fn deletes(self) -> Self {
        self.with_if_match()
    }

    /// With `dryRun=true` it says what would be done.
    const fn or_previews(mut self, shape: &'static Shape) -> Self {
        self.preview = Some(shape);
        self.with_parameters(DRY_RUN)
    }

    /// Credentials from a form for a token.
    const fn signs_in(mut self, credentials: &'static Shape, token: &'static Shape) -> Self {
        self.takes = Takes::Form(credentials);
        self.answers(Content::Object(token)).checks_credentials()
    }

    /// A JSON object.
    const fn takes(mut self, shape: &'static Shape) -> Self {
        self.takes = Takes::New(shape);
        self
    }

    /// 200 with such a body.
    const fn answers(mut self, content: Content) -> Self {
        self.success = Success { status: StatusCode::OK, content, has_etag: false };
        self
    }

    const fn with_parameters(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    const fn with_status(mut self, status: StatusCode) -> Self {
        self.success.status = status;
        self
    }

    const fn with_etag(mut self) -> Self {
        self.success.has_etag = true;
        self
    }

    const fn with_if_match(mut self) -> Self {
        self.honours_if_match = true;
        self
    }

    const fn idempotent(mut self) -> Self {
        self.honours_idempotency_key = true;
        self
    }

    const fn checks_credentials(mut self) -> Self {
        self.checks_credentials = true;
        self
    }

    const fn of_oneself(mut self) -> Self {
        self.of_oneself = true;
        self
    }

    /// The statuses that it may refuse with, in order, and what each of them means.
    pub fn refusals(&self) -> Vec<(StatusCode, &'static str)> {
        let role = match self.endpoint {
            Endpoint::Authenticated { role, .. } => Some(role),
            Endpoint::Public(_) => None,
        };
        let all = [
            (StatusCode::BAD_REQUEST, "Something in the request is wrong, or a rule forbids it", true),
            (
                StatusCode::UNAUTHORIZED,
                "No good token, or wrong credentials",
                role.is_some() || self.checks_credentials,
            ),
            (
                StatusCode::FORBIDDEN,
                "The role is too weak, or the object is read-only",
                role > Some(Role::Auditor) || self.of_oneself,
            ),
            (StatusCode::NOT_FOUND, "There is no such object for this caller", self.pattern.contains('{')),
            (StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time", true),
            (StatusCode::PRECONDITION_FAILED, "The object is not in that revision", self.honours_if_match),
            (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large", true),
            (StatusCode::TOO_MANY_REQUESTS, "Too many failures; come back later", self.checks_credentials),
            (StatusCode::INTERNAL_SERVER_ERROR, "A defect; the log says more", true),
            (StatusCode::SERVICE_UNAVAILABLE, "Not now; come back later", true),
        ];
        all.into_iter().filter(|(_, _, gives)| *gives).map(|(status, about, _)| (status, about)).collect()
    }

    /// In what an answer is not what the row declares.
    pub(super) fn contradiction(&self, answer: &Answer) -> Option<String> {
        let (status, success) = (answer.status(), &self.success);
        let why = if !status.is_success() {
            let declared = self.refusals().iter().any(|(refusal, _)| *refusal == status);
            (!declared).then(|| format!("{status} is not declared"))
        } else if let (StatusCode::OK, Some(preview)) = (status, self.preview) {
            Content::Object(preview).contradiction(answer.body())
        } else if status != success.status {
            Some(format!("{status} instead of {}", success.status))
        } else if answer.revision().is_some() != success.has_etag {
            Some("the ETag".to_owned())
        } else if answer.content_type_essence() != success.content.content_type() {
            Some(format!("the content type {:?}", answer.content_type_essence()))
        } else {
            success.content.contradiction(answer.body())
        };
        why.map(|why| format!("{} {}: {why}", self.method, self.pattern))
    }

    /// Whether a request without a body says too little. What is new may be made of nothing, where nothing of
    /// it is required; an edit of nothing is none.
    pub(super) fn needs_body(&self) -> bool {
        match self.takes {
            Takes::New(shape) => shape.requires_something(),
            Takes::Edit(_) | Takes::Form(_) => true,
            Takes::Nothing => false,
        }
    }

    /// The shape of the JSON that it reads.
    pub(super) fn json_shape(&self) -> Option<&'static Shape> {
        match self.takes {
            Takes::Edit(shape) | Takes::New(shape) => Some(shape),
            Takes::Form(_) | Takes::Nothing => None,
        }
    }
}

/// What the path says. Parts that the pattern does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathParameters {
    pub(super) customer: String,
    pub(super) id: String,
    pub(super) session: String,
    pub(super) kind: Option<Kind>,
}

pub(super) enum Lookup {
    Found(&'static Route, PathParameters),
    /// The path is there for other methods, in the order of the table.
    WrongMethod {
        allowed: Vec<Method>,
    },
    None,
}

impl Lookup {
    /// For the log: never the path itself, which a caller can fill with anything.
    pub(super) fn pattern(&self) -> &'static str {
        match self {
            Self::Found(route, _) => route.pattern,
            Self::WrongMethod { .. } | Self::None => "",
        }
    }

    pub(super) fn signs_in(&self) -> bool {
        matches!(self, Self::Found(Route { takes: Takes::Form(_), .. }, _))
    }
}

pub(super) fn find(method: &Method, path: &str) -> Lookup {
    let parts = parts_of(path);
    let matching = ROUTES.iter().filter_map(|route| Some((route.pattern, match_pattern(route.pattern, &parts)?)));
    let Some((pattern, parameters)) = matching.max_by_key(|(pattern, _)| literal_parts(pattern)) else {
        return Lookup::None;
    };
    let rows = ROUTES.iter().filter(|route| route.pattern == pattern);
    match rows.clone().find(|route| route.method == *method) {
        Some(route) => Lookup::Found(route, parameters),
        None => Lookup::WrongMethod { allowed: rows.map(|route| route.method.clone()).collect() },
    }
}

fn literal_parts(pattern: &str) -> usize {
    pattern.split('/').filter(|part| !part.starts_with('{')).count()
}

/// The query, also where it was put behind an `&` without a `?`, as some documented examples have it.
pub(super) fn query_of(uri: &Uri) -> &str {
    match uri.query() {
        Some(query) => query,
        None => uri.path().split_once('&').map_or("", |(_, query)| query),
    }
}

/// The parts from where the API begins.
fn parts_of(path: &str) -> Vec<&str> {
    let path = path.split_once('&').map_or(path, |(path, _)| path);
    let parts: Vec<_> = path.trim_end_matches('/').split('/').skip(1).collect();
    let start = match parts.as_slice() {
        [.., "openapi.json" | "signin" | "signout"] => parts.len() - 1,
        [.., "oauth2", "v1", "token"] => parts.len() - 3,
        _ => parts.iter().position(|part| *part == "mgmtconfig").unwrap_or(0),
    };
    parts[start..].to_vec()
}

fn match_pattern(pattern: &str, parts: &[&str]) -> Option<PathParameters> {
    let mut parameters = PathParameters::default();
    let mut parts = parts.iter();
    for expected in pattern.split('/') {
        let part = *parts.next()?;
        match expected {
            "{customerId}" => part.clone_into(&mut parameters.customer),
            "{id}" => part.clone_into(&mut parameters.id),
            "{sessionId}" => part.clone_into(&mut parameters.session),
            literal if literal == part => {}
            other => {
                let (_, word_of) = KIND_PARTS.iter().find(|(name, _)| *name == other)?;
                parameters.kind = Some(Kind::ALL.into_iter().find(|kind| word_of(*kind) == part)?);
            }
        }
    }
    parts.next().is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(method: &Method, path: &str) -> &'static str {
        find(method, path).pattern()
    }

    #[test]
    fn parts_in_front_are_ignored() {
        for path in ["/signin", "/p/signin", "/p/p/signin", "/signin/"] {
            assert_eq!(pattern(&Method::POST, path), "signin", "{path}");
        }
        for path in ["/oauth2/v1/token", "/x.zslogin10.0.0.1/oauth2/v1/token"] {
            assert_eq!(pattern(&Method::POST, path), "oauth2/v1/token", "{path}");
        }
        for front in ["", "/zpa", "/p/p", "/x.zsapi.net/zpa"] {
            let path = format!("{front}/mgmtconfig/v1/admin/customers/7/appConnectorGroup/9");
            let Lookup::Found(_, parameters) = find(&Method::GET, &path) else { panic!("{path}") };
            let expected = PathParameters {
                customer: "7".into(),
                id: "9".into(),
                kind: Some(Kind::AppConnector),
                ..PathParameters::default()
            };
            assert_eq!(parameters, expected, "{path}");
        }
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        let path = "/mgmtconfig/v1/admin/customers/7/machineGroup";
        let Lookup::WrongMethod { allowed } = find(&Method::PATCH, path) else { panic!("{path}") };
        assert_eq!(allowed, [Method::GET, Method::POST]);
        // What is no group is not edited.
        let path = "/mgmtconfig/v1/admin/customers/7/machineGroup/summary";
        let Lookup::WrongMethod { allowed } = find(&Method::PUT, path) else { panic!("{path}") };
        assert_eq!(allowed, [Method::GET]);
        for path in [
            "/",
            "",
            "/mgmtconfig",
            "/mgmtconfig/v1/admin/customers/7/serverGroup",
            "/mgmtconfig/v1/admin/customers/7/policySet/policyType/ACCESS_POLICY",
            "/mgmtconfig/v1/admin/customers/7/associationType/EXPORTER_GRP/provisioningKey",
            "/mgmtconfig/v1/admin/customers/7/associationType/CONNECTOR_GRPzcomponent/9/provisioningKey",
            "/mgmtconfig/v1/admin/customers/7/machineGroup/9/9",
        ] {
            assert!(matches!(find(&Method::GET, path), Lookup::None), "{path:?}");
        }
    }

    #[test]
    fn a_summary_is_no_id() {
        assert!(pattern(&Method::GET, "/mgmtconfig/v1/admin/customers/7/machineGroup/summary").ends_with("/summary"));
    }

    #[test]
    fn a_query_behind_an_ampersand_is_a_query() {
        let uri: Uri = "/mgmtconfig/v2/admin/customers/7/enrollmentCert&search=name%20EQ%20Root".parse().unwrap();
        assert!(pattern(&Method::GET, uri.path()).ends_with("/enrollmentCert"));
        assert_eq!(query_of(&uri), "search=name%20EQ%20Root");
    }

    #[test]
    fn no_row_stands_twice() {
        for (index, route) in ROUTES.iter().enumerate() {
            let twice = ROUTES[..index].iter().any(|r| r.method == route.method && r.pattern == route.pattern);
            assert!(!twice, "{} {}", route.method, route.pattern);
        }
    }
}
