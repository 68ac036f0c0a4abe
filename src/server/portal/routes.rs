//! The one table of pages.
//!
//! | in a pattern | matches |
//! |---|---|
//! | `{customer}` | a customer's id, `0` for the service itself |
//! | `{kind}` | `app-connector`, `service-edge`, `network-connector`, `machine` |
//! | `{id}` | any one part |
//!
//! A list's filters, order, page and open rows stand in the query, so every view has an address.

use std::future::Future;
use std::pin::Pin;

use hyper::Method;

use super::Portal;
use super::pages::{
    account, add_component, administrator, administrators, api_client, api_clients, audit, check, clean_up, components,
    customers, groups, home, key, keys, preferences, sign_in, signing_certificate, signing_certificate_add,
    signing_certificates, webhook, webhooks, wizard,
};
use super::reply::{Reply, Trouble};
use super::visit::Visit;
use crate::domain::Kind;
use crate::management::sessions::Session;

/// One row.
pub(super) struct Row {
    pub(super) method: Method,
    pub(super) pattern: &'static str,
    pub(super) page: Page,
}

/// Who may ask, and what is done. The use cases say what each role may do.
#[derive(Clone, Copy)]
pub(super) enum Page {
    /// For everybody; told of the session if there is one.
    Public(for<'a> fn(&'a Portal, &'a Visit, Option<&'a Session>) -> ReplyFuture<'a>),
    SignedIn(for<'a> fn(&'a Portal, &'a Visit, &'a Session) -> ReplyFuture<'a>),
    /// The same for what takes a form and shows it again, nothing done, when
    /// [asked to](Visit::is_shown_again).
    Form(for<'a> fn(&'a Portal, &'a Visit, &'a Session) -> ReplyFuture<'a>),
}

pub(super) type ReplyFuture<'a> = Pin<Box<dyn Future<Output = Result<Reply, Trouble>> + Send + 'a>>;

macro_rules! public {
    ($method:ident $pattern:literal, $run:path) => {
        Row {
            method: Method::$method,
            pattern: $pattern,
            page: Page::Public(|portal, visit, session| Box::pin($run(portal, visit, session))),
        }
    };
}

macro_rules! page {
    ($method:ident $pattern:literal, $run:path) => {
        Row {
            method: Method::$method,
            pattern: $pattern,
            page: Page::SignedIn(|portal, visit, session| Box::pin($run(portal, visit, session))),
        }
    };
}

macro_rules! form {
    ($pattern:literal, $run:path) => {
        Row {
            method: Method::POST,
            pattern: $pattern,
            page: Page::Form(|portal, visit, session| Box::pin($run(portal, visit, session))),
        }
    };
}

/// All pages. Where two patterns match, the first one is meant.
#[rustfmt::skip]
pub(super) static PAGES: &[Row] = &[
    public!(GET  "/sign-in", sign_in::show),
    public!(POST "/sign-in", sign_in::submit),
    page!(POST "/sign-out", sign_in::sign_out),

    page!(GET  "/account", account::show),
    form!(     "/account/password", account::change_password),
    page!(POST "/account/sessions/end", account::end_session),
    page!(POST "/account/sessions/end-others", account::end_other_sessions),
    page!(POST "/preferences/columns", preferences::columns),
    page!(POST "/preferences/theme", preferences::theme),
    page!(POST "/saved-filters", preferences::save_filter),
    page!(POST "/saved-filters/delete", preferences::delete_filter),
    page!(POST "/saved-filters/rename", preferences::rename_filter),

    page!(GET  "/", home::redirect),
    page!(GET  "/c", customers::list),
    page!(GET  "/c/add", customers::add),
    form!(     "/c/add", customers::save_new),
    page!(GET  "/c/{customer}", home::show),
    page!(GET  "/c/{customer}/edit", customers::edit),
    form!(     "/c/{customer}/edit", customers::save),

    page!(GET  "/c/{customer}/{kind}/clean-up", clean_up::show),
    form!(     "/c/{customer}/{kind}/clean-up", clean_up::save),

    page!(GET  "/c/{customer}/{kind}/components", components::list),
    page!(GET  "/c/{customer}/{kind}/components/add", add_component::start),
    form!(     "/c/{customer}/{kind}/components/add", add_component::go_on),
    page!(POST "/c/{customer}/{kind}/components/bulk", components::bulk),
    page!(GET  "/c/{customer}/{kind}/components/{id}", components::show),
    page!(GET  "/c/{customer}/{kind}/components/{id}/attach", components::ask_to_attach),
    form!(     "/c/{customer}/{kind}/components/{id}/attach", components::attach),
    page!(GET  "/c/{customer}/{kind}/components/{id}/certificate", components::certificate),
    page!(GET  "/c/{customer}/{kind}/components/{id}/delete", components::ask_to_delete),
    form!(     "/c/{customer}/{kind}/components/{id}/delete", components::delete),
    page!(POST "/c/{customer}/{kind}/components/{id}/disable", components::disable),
    page!(GET  "/c/{customer}/{kind}/components/{id}/edit", components::edit),
    form!(     "/c/{customer}/{kind}/components/{id}/edit", components::save),
    page!(POST "/c/{customer}/{kind}/components/{id}/enable", components::enable),
    page!(GET  "/c/{customer}/{kind}/components/{id}/revoke", components::ask_to_revoke),
    form!(     "/c/{customer}/{kind}/components/{id}/revoke", components::revoke),

    page!(GET  "/c/{customer}/{kind}/groups", groups::list),
    page!(GET  "/c/{customer}/{kind}/groups/add", groups::add),
    form!(     "/c/{customer}/{kind}/groups/add", groups::create),
    page!(POST "/c/{customer}/{kind}/groups/bulk", groups::bulk),
    page!(GET  "/c/{customer}/{kind}/groups/{id}", groups::show),
    page!(GET  "/c/{customer}/{kind}/groups/{id}/delete", groups::ask_to_delete),
    form!(     "/c/{customer}/{kind}/groups/{id}/delete", groups::delete),
    page!(GET  "/c/{customer}/{kind}/groups/{id}/edit", groups::edit),
    form!(     "/c/{customer}/{kind}/groups/{id}/edit", groups::save),

    page!(GET  "/c/{customer}/{kind}/keys", keys::list),
    page!(GET  "/c/{customer}/{kind}/keys/add", wizard::start),
    form!(     "/c/{customer}/{kind}/keys/add", wizard::go_on),
    page!(POST "/c/{customer}/{kind}/keys/bulk", keys::bulk::submit),
    page!(GET  "/c/{customer}/{kind}/keys/{id}", key::show),
    page!(POST "/c/{customer}/{kind}/keys/{id}/copy", key::string::copy),
    page!(GET  "/c/{customer}/{kind}/keys/{id}/delete", key::delete::ask),
    form!(     "/c/{customer}/{kind}/keys/{id}/delete", key::delete::submit),
    page!(POST "/c/{customer}/{kind}/keys/{id}/disable", key::disable),
    page!(POST "/c/{customer}/{kind}/keys/{id}/download", key::string::download),
    page!(GET  "/c/{customer}/{kind}/keys/{id}/edit", key::edit::show),
    form!(     "/c/{customer}/{kind}/keys/{id}/edit", key::edit::save),
    page!(POST "/c/{customer}/{kind}/keys/{id}/enable", key::enable),
    page!(GET  "/c/{customer}/{kind}/keys/{id}/refusals", key::history::refusals),
    page!(GET  "/c/{customer}/{kind}/keys/{id}/rotate", key::rotate::ask),
    form!(     "/c/{customer}/{kind}/keys/{id}/rotate", key::rotate::submit),
    page!(POST "/c/{customer}/{kind}/keys/{id}/show", key::string::show),
    page!(GET  "/c/{customer}/{kind}/keys/{id}/uses", key::history::uses),

    page!(GET  "/c/{customer}/signing-certificates", signing_certificates::list),
    page!(GET  "/c/{customer}/signing-certificates/add", signing_certificate_add::add),
    form!(     "/c/{customer}/signing-certificates/add", signing_certificate_add::save),
    page!(GET  "/c/{customer}/signing-certificates/{id}", signing_certificate::show),
    page!(GET  "/c/{customer}/signing-certificates/{id}/certificate.pem", signing_certificate::certificate_file),
    page!(GET  "/c/{customer}/signing-certificates/{id}/chain.pem", signing_certificate::chain_file),
    page!(GET  "/c/{customer}/signing-certificates/{id}/request.pem", signing_certificate::request_file),
    page!(GET  "/c/{customer}/signing-certificates/{id}/edit", signing_certificate::edit::show),
    form!(     "/c/{customer}/signing-certificates/{id}/edit", signing_certificate::edit::save),
    page!(GET  "/c/{customer}/signing-certificates/{id}/certificate", signing_certificate::upload::show),
    form!(     "/c/{customer}/signing-certificates/{id}/certificate", signing_certificate::upload::save),
    page!(GET  "/c/{customer}/signing-certificates/{id}/replace", signing_certificate::replace::show),
    form!(     "/c/{customer}/signing-certificates/{id}/replace", signing_certificate::replace::submit),
    page!(GET  "/c/{customer}/signing-certificates/{id}/delete", signing_certificate::delete::ask),
    form!(     "/c/{customer}/signing-certificates/{id}/delete", signing_certificate::delete::submit),

    page!(GET  "/c/{customer}/check", check::show),
    page!(POST "/c/{customer}/check", check::submit),

    page!(GET  "/c/{customer}/administrators", administrators::list),
    page!(GET  "/c/{customer}/administrators/add", administrator::add),
    form!(     "/c/{customer}/administrators/add", administrator::save_new),
    page!(GET  "/c/{customer}/administrators/{id}", administrator::show),
    page!(GET  "/c/{customer}/administrators/{id}/edit", administrator::edit),
    form!(     "/c/{customer}/administrators/{id}/edit", administrator::save),
    page!(GET  "/c/{customer}/administrators/{id}/password", administrator::ask_password),
    form!(     "/c/{customer}/administrators/{id}/password", administrator::reset_password),
    page!(POST "/c/{customer}/administrators/{id}/end-session", administrator::end_session),
    page!(GET  "/c/{customer}/administrators/{id}/delete", administrator::ask_delete),
    page!(POST "/c/{customer}/administrators/{id}/delete", administrator::delete),

    page!(GET  "/c/{customer}/api-clients", api_clients::list),
    page!(GET  "/c/{customer}/api-clients/add", api_client::add),
    form!(     "/c/{customer}/api-clients/add", api_client::save_new),
    page!(GET  "/c/{customer}/api-clients/{id}", api_client::show),
    page!(GET  "/c/{customer}/api-clients/{id}/edit", api_client::edit),
    form!(     "/c/{customer}/api-clients/{id}/edit", api_client::save),
    page!(GET  "/c/{customer}/api-clients/{id}/secret", api_client::ask_secret),
    page!(POST "/c/{customer}/api-clients/{id}/secret", api_client::replace_secret),
    page!(GET  "/c/{customer}/api-clients/{id}/delete", api_client::ask_delete),
    page!(POST "/c/{customer}/api-clients/{id}/delete", api_client::delete),

    page!(GET  "/c/{customer}/webhooks", webhooks::list),
    page!(GET  "/c/{customer}/webhooks/add", webhook::add),
    form!(     "/c/{customer}/webhooks/add", webhook::save_new),
    page!(GET  "/c/{customer}/webhooks/{id}", webhook::show),
    page!(GET  "/c/{customer}/webhooks/{id}/edit", webhook::edit),
    form!(     "/c/{customer}/webhooks/{id}/edit", webhook::save),
    page!(GET  "/c/{customer}/webhooks/{id}/test", webhook::ask_test),
    page!(POST "/c/{customer}/webhooks/{id}/test", webhook::test),
    page!(GET  "/c/{customer}/webhooks/{id}/delete", webhook::ask_delete),
    page!(POST "/c/{customer}/webhooks/{id}/delete", webhook::delete),

    page!(GET  "/c/{customer}/audit", audit::list),
    page!(GET  "/c/{customer}/audit/export", audit::export),
];

/// What the path says. Parts that the pattern does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathParameters {
    pub(super) customer: String,
    pub(super) id: String,
    pub(super) kind: Option<Kind>,
}

pub(super) enum Lookup {
    Found(Page, &'static str, PathParameters),
    /// The path is there for another method.
    WrongMethod,
    None,
}

impl Lookup {
    /// For the log: never the path itself, which a visitor can fill with anything.
    pub(super) fn pattern(&self) -> &'static str {
        match self {
            Self::Found(_, pattern, _) => pattern,
            Self::WrongMethod | Self::None => "",
        }
    }
}

pub(super) fn find(method: &Method, path: &str) -> Lookup {
    let mut is_there = false;
    for row in PAGES {
        let Some(parameters) = match_pattern(row.pattern, path) else { continue };
        if row.method == *method {
            return Lookup::Found(row.page, row.pattern, parameters);
        }
        is_there = true;
    }
    if is_there { Lookup::WrongMethod } else { Lookup::None }
}

/// The methods that a path is there for, as the header `Allow` has them (RFC 9110 §10.2.1).
pub(super) fn allowed(path: &str) -> String {
    let mut methods = Vec::new();
    for row in PAGES.iter().filter(|row| match_pattern(row.pattern, path).is_some()) {
        let names: &[_] = if row.method == Method::GET { &["GET", "HEAD"] } else { &[row.method.as_str()] };
        methods.extend(names.iter().filter(|name| !methods.contains(*name)).copied().collect::<Vec<_>>());
    }
    methods.join(", ")
}

fn match_pattern(pattern: &str, path: &str) -> Option<PathParameters> {
    let mut parameters = PathParameters::default();
    let mut parts = path.split('/');
    for expected in pattern.split('/') {
        let part = parts.next()?;
        match expected {
            "{customer}" => part.clone_into(&mut parameters.customer),
            "{id}" => part.clone_into(&mut parameters.id),
            "{kind}" => parameters.kind = Some(part.parse().ok()?),
            literal if literal == part => {}
            _ => return None,
        }
    }
    parts.next().is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_stands_twice() {
        for (index, row) in PAGES.iter().enumerate() {
            let twice = PAGES[..index].iter().any(|other| other.method == row.method && other.pattern == row.pattern);
            assert!(!twice, "{} {}", row.method, row.pattern);
        }
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        assert!(matches!(find(&Method::GET, "/sign-in"), Lookup::Found(Page::Public(_), "/sign-in", _)));
        assert!(matches!(find(&Method::PUT, "/sign-in"), Lookup::WrongMethod));
        assert_eq!(allowed("/sign-in"), "GET, HEAD, POST");
        assert_eq!(allowed("/sign-out"), "POST");
        for path in ["", "/sign-in/", "/Sign-in", "//", "/c/7/nothing"] {
            assert!(matches!(find(&Method::GET, path), Lookup::None), "{path:?}");
        }
    }
}
