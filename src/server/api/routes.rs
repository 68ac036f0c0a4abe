//! The one table of routes.
//!
//! Patterns stand without a leading slash and begin where the API begins: whatever parts a client's
//! base URL puts in front (`/zpa`, or a path of its own, once or twice) are ignored.
//!
//! | in a pattern | matches |
//! |---|---|
//! | `{customerId}` `{id}` | any one part; what is no id leads to "not found" |
//! | `{groupType}` | `appConnectorGroup`, `serviceEdgeGroup`, `networkConnectorGroup`, `machineGroup` |
//! | `{associationType}` | `CONNECTOR_GRP`, `SERVICE_EDGE_GRP`, `NP_ASSISTANT_GRP`, `MACHINE_GRP` |

use std::future::Future;
use std::pin::Pin;

use hyper::{Method, Uri};

use super::answer::Answer;
use super::refusal::Refusal;
use super::{Api, Call, groups, keys, sign_in, signing_certificates, version_profiles, wire};
use crate::domain::{Kind, Role};
use crate::management::sessions::Session;

/// One row: a method, a path, who may, and what it does.
pub struct Route {
    pub method: Method,
    pub pattern: &'static str,
    /// For people who read the OpenAPI document.
    pub summary: &'static str,
    pub endpoint: Endpoint,
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

macro_rules! public {
    ($method:ident $pattern:literal, $run:path, $summary:literal) => {
        Route {
            method: Method::$method,
            pattern: $pattern,
            summary: $summary,
            endpoint: Endpoint::Public(|api, call| Box::pin($run(api, call))),
        }
    };
}

macro_rules! route {
    ($method:ident $pattern:literal, $role:ident, $run:path, $summary:literal) => {
        Route {
            method: Method::$method,
            pattern: $pattern,
            summary: $summary,
            endpoint: Endpoint::Authenticated {
                role: Role::$role,
                run: |api, call, session| Box::pin($run(api, call, session)),
            },
        }
    };
}

/// All routes. Where two patterns match a path, the first one is meant.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    public!(POST "signin", sign_in::sign_in, "Sign in (expires_in is a string)"),
    public!(POST "oauth2/v1/token", sign_in::token, "Sign in, OAuth 2 client credentials"),
    route!(POST "signout", Auditor, sign_in::sign_out, "Sign out"),

    route!(GET    "mgmtconfig/v1/admin/customers/{customerId}/{groupType}", Auditor, groups::list, "List groups"),
    route!(POST   "mgmtconfig/v1/admin/customers/{customerId}/{groupType}", Admin, groups::create, "Make a group"),
    route!(GET    "mgmtconfig/v1/admin/customers/{customerId}/{groupType}/summary", Auditor, groups::summary, "List groups by id and name"),
    route!(GET    "mgmtconfig/v1/admin/customers/{customerId}/{groupType}/{id}", Auditor, groups::get, "Get a group"),
    route!(PUT    "mgmtconfig/v1/admin/customers/{customerId}/{groupType}/{id}", Admin, groups::edit, "Edit a group"),
    route!(DELETE "mgmtconfig/v1/admin/customers/{customerId}/{groupType}/{id}", Admin, groups::delete, "Delete a group that is not in use"),

    route!(GET    "mgmtconfig/v1/admin/customers/{customerId}/associationType/{associationType}/provisioningKey", Auditor, keys::list, "List provisioning keys"),
    route!(POST   "mgmtconfig/v1/admin/customers/{customerId}/associationType/{associationType}/provisioningKey", Operator, keys::create, "Make a provisioning key"),
    route!(GET    "mgmtconfig/v1/admin/customers/{customerId}/associationType/{associationType}/provisioningKey/{id}", Auditor, keys::get, "Get a provisioning key"),
    route!(PUT    "mgmtconfig/v1/admin/customers/{customerId}/associationType/{associationType}/provisioningKey/{id}", Operator, keys::edit, "Edit a provisioning key"),
    route!(DELETE "mgmtconfig/v1/admin/customers/{customerId}/associationType/{associationType}/provisioningKey/{id}", Operator, keys::delete, "Delete a provisioning key"),

    route!(GET    "mgmtconfig/v2/admin/customers/{customerId}/enrollmentCert", Auditor, signing_certificates::list, "List signing certificates"),
    route!(GET    "mgmtconfig/v1/admin/customers/{customerId}/enrollmentCert", Auditor, signing_certificates::list, "List signing certificates"),
    route!(POST   "mgmtconfig/v1/admin/customers/{customerId}/enrollmentCert/selfsigned/generate", Admin, signing_certificates::create_root, "Make a root"),
    route!(POST   "mgmtconfig/v1/admin/customers/{customerId}/enrollmentCert/generate", Admin, signing_certificates::create_below, "Make a signing certificate below another"),
    route!(GET    "mgmtconfig/v1/admin/customers/{customerId}/enrollmentCert/{id}", Auditor, signing_certificates::get, "Get a signing certificate"),
    route!(PUT    "mgmtconfig/v1/admin/customers/{customerId}/enrollmentCert/{id}", Admin, signing_certificates::edit, "Edit a signing certificate"),

    route!(GET    "mgmtconfig/v1/admin/customers/{customerId}/visible/versionProfiles", Auditor, version_profiles::list, "List version profiles"),
];

/// What the path says. Parts that the pattern does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathParameters {
    pub(super) customer: String,
    pub(super) id: String,
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
}

pub(super) fn find(method: &Method, path: &str) -> Lookup {
    let parts = parts_of(path);
    let mut allowed = Vec::new();
    for route in ROUTES {
        let Some(parameters) = match_pattern(route.pattern, &parts) else { continue };
        if route.method == *method {
            return Lookup::Found(route, parameters);
        }
        allowed.push(route.method.clone());
    }
    if allowed.is_empty() { Lookup::None } else { Lookup::WrongMethod { allowed } }
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
        [.., "signin" | "signout"] => parts.len() - 1,
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
            "{groupType}" => parameters.kind = Some(wire::group::kind_of_type(part)?),
            "{associationType}" => parameters.kind = Some(wire::key::kind_of_association(part)?),
            literal if literal == part => {}
            _ => return None,
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
            let expected = PathParameters { customer: "7".into(), id: "9".into(), kind: Some(Kind::AppConnector) };
            assert_eq!(parameters, expected, "{path}");
        }
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        let path = "/mgmtconfig/v1/admin/customers/7/machineGroup";
        let Lookup::WrongMethod { allowed } = find(&Method::PATCH, path) else { panic!("{path}") };
        assert_eq!(allowed, [Method::GET, Method::POST]);
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
