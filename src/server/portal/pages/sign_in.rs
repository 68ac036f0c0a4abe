//! Signing in and out. A form that was sent after the session had ended comes back once somebody is
//! signed in again, with what was typed.

use askama::Template;
use hyper::header::RETRY_AFTER;
use hyper::{Method, StatusCode};
use zeroize::Zeroizing;

use crate::management::Error;
use crate::management::sessions::{PORTAL_SESSION_LIFETIME, Session};
use crate::server::portal::form::is_secret;
use crate::server::portal::frame::Frame;
use crate::server::portal::guard::local;
use crate::server::portal::preferences::Preferences;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::routes::{self, Lookup, Page};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::{Portal, filters, guard};

/// What the names of kept fields begin with.
const KEPT: &str = "kept.";

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/server/portal/askama.toml")]
struct SignInPage {
    frame: Frame,
    problem: Option<String>,
    username: String,
    /// Where one goes from here: an address of this portal.
    next: String,
    /// A form that waits: names, with [`KEPT`] in front, and values.
    kept: Vec<(String, String)>,
}

/// The way to sign in for somebody who asked for `address` without a session. A form that was sent there is
/// kept in the page, if it is one that can be shown again.
pub(in crate::server::portal) fn ask(portal: &Portal, visit: &Visit, address: &str) -> Reply {
    let path = address.split('?').next().unwrap_or_default();
    let is_form = matches!(routes::find(&Method::POST, path), Lookup::Found(Page::Form(_), ..));
    let sent = visit.form.iter().filter(|(name, _)| is_form && !is_secret(name));
    let kept: Vec<_> = sent.map(|(name, value)| (format!("{KEPT}{name}"), value.to_owned())).collect();
    if kept.is_empty() {
        let next = if is_page(address) { address } else { visit.form.text("back") };
        return Reply::see_other(way(next_page(next)));
    }
    let (form_token, cookie) = proof(visit);
    let page = SignInPage {
        frame: Frame::bare(portal, form_token, "Sign in"),
        problem: Some("Your session has ended. Sign in to go on; what you typed is kept.".to_owned()),
        username: String::new(),
        next: local(address).to_owned(),
        kept,
    };
    with_proof(Reply::page(StatusCode::UNAUTHORIZED, &page), cookie).with_cookie(guard::SESSION, None)
}

/// What the form of a sign-in carries, and the cookie for it if the browser has none. One that is there stays, so
/// that several tabs can stand at the sign-in.
fn proof(visit: &Visit) -> (String, Option<Zeroizing<String>>) {
    if !visit.form_token.is_empty() {
        return (visit.form_token.clone(), None);
    }
    let cookie = guard::new_visit();
    (guard::form_token(&cookie), Some(cookie))
}

fn with_proof(reply: Reply, cookie: Option<Zeroizing<String>>) -> Reply {
    if cookie.is_some() { reply.with_cookie(guard::VISIT, cookie) } else { reply }
}

/// Whether one can look at an address: it is a page's, and not only where a form goes.
fn is_page(address: &str) -> bool {
    let path = address.split('?').next().unwrap_or_default();
    matches!(routes::find(&Method::GET, path), Lookup::Found(..))
}

/// Where one goes after signing in: to a page of this portal, whatever was asked for.
fn next_page(asked: &str) -> &str {
    let address = local(asked);
    if is_page(address) { address } else { "/" }
}

/// Where one signs in to go on to `next`.
fn way(next: &str) -> String {
    if next == "/" {
        return "/sign-in".to_owned();
    }
    let mut address = "/sign-in?next=".to_owned();
    crate::server::http::form::encode_into(&mut address, next);
    address
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: Option<&Session>,
) -> Result<Reply, Trouble> {
    let next = local(visit.query.text("next"));
    if session.is_some() {
        return Ok(Reply::see_other(next_page(next)));
    }
    let (form_token, cookie) = proof(visit);
    let mut frame = Frame::bare(portal, form_token, "Sign in");
    frame.notice.clone_from(&visit.notice);
    let page = SignInPage { frame, problem: None, username: String::new(), next: next.to_owned(), kept: Vec::new() };
    Ok(with_proof(Reply::ok(&page), cookie))
}

pub(in crate::server::portal) async fn submit(
    portal: &Portal,
    visit: &Visit,
    before: Option<&Session>,
) -> Result<Reply, Trouble> {
    let (username, next) = (visit.form.text("username"), local(visit.form.text("next")));
    let password = Zeroizing::new(visit.form.text("password").to_owned());
    let signed_in = portal
        .management()
        .sign_in_administrator(username, password, visit.source, &visit.user_agent, PORTAL_SESSION_LIFETIME)
        .await;
    let (status, problem, retry_after) = match signed_in {
        Ok(signed_in) => {
            // A browser has one session.
            if let Some(before) = before
                && let Err(error) = portal.management().sign_out(before).await
            {
                tracing::warn!(%error, "the session before a sign-in could not be ended");
            }
            let token = signed_in.token;
            let shown = match again(visit, next, guard::form_token(&token)) {
                Some((run, mut visit)) => {
                    visit.preferences = portal.preferences(&signed_in.session).await.unwrap_or_default();
                    run(portal, &visit, &signed_in.session).await.ok()
                }
                None => None,
            };
            // Whatever is the matter with the form is told there; whoever signed in is signed in.
            let reply = shown.unwrap_or_else(|| Reply::see_other(next_page(next)));
            return Ok(reply.with_cookie(guard::SESSION, Some(token)));
        }
        Err(Error::InvalidCredentials) => {
            (StatusCode::UNAUTHORIZED, "Name and password do not match. Check both and try again.".to_owned(), None)
        }
        Err(Error::TooManySignIns { retry_after }) => {
            let seconds = retry_after.as_secs().max(1);
            let problem = format!("Too many sign-ins failed. Try again in {seconds} s.");
            (StatusCode::TOO_MANY_REQUESTS, problem, Some(seconds))
        }
        Err(error) => return Err(error.into()),
    };
    let page = SignInPage {
        frame: Frame::bare(portal, visit.form_token.clone(), "Sign in"),
        problem: Some(problem),
        username: username.to_owned(),
        next: next.to_owned(),
        kept: kept(visit).map(|(name, value)| (format!("{KEPT}{name}"), value.to_owned())).collect(),
    };
    let reply = Reply::page(status, &page);
    Ok(match retry_after {
        Some(seconds) => reply.with_header(RETRY_AFTER, seconds),
        None => reply,
    })
}

pub(in crate::server::portal) async fn sign_out(
    portal: &Portal,
    _visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    portal.management().sign_out(session).await?;
    Ok(Reply::see_other("/sign-in").with_cookie(guard::SESSION, None).with_notice("", "You are signed out."))
}

fn kept(visit: &Visit) -> impl Iterator<Item = (&str, &str)> {
    visit.form.iter().filter_map(|(name, value)| Some((name.strip_prefix(KEPT)?, value)))
}

type Run = for<'a> fn(&'a Portal, &'a Visit, &'a Session) -> routes::ReplyFuture<'a>;

/// The visit that shows a kept form again, and the page that takes it.
fn again(visit: &Visit, next: &str, form_token: String) -> Option<(Run, Visit)> {
    let fields: Vec<_> = kept(visit).map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned()))).collect();
    if fields.is_empty() {
        return None;
    }
    let (path, query) = next.split_once('?').unwrap_or((next, ""));
    let Lookup::Found(Page::Form(run), _, path) = routes::find(&Method::POST, path) else { return None };
    let visit = Visit {
        path,
        address: next.to_owned(),
        host: visit.host.clone(),
        query: Fields::parse(query).ok()?,
        form: Fields::new(fields),
        source: visit.source,
        user_agent: visit.user_agent.clone(),
        notice: None,
        preferences: Preferences::default(),
        form_token,
        is_fetch: false,
        is_from_here: true,
        is_shown_again: true,
    };
    Some((run, visit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_on_to_a_page_and_nowhere_else() {
        for address in ["/", "/account?customer=7", "/c/7/machine/keys?name=a%20b"] {
            assert_eq!(next_page(address), address);
        }
        // No page's, only for forms, or not here.
        for address in ["/nothing", "/sign-out", "/mgmtconfig/v1/admin", "//evil.example/c/7", "https://evil.example/"]
        {
            assert_eq!(next_page(address), "/", "{address}");
        }
    }

    #[test]
    fn the_way_back_survives_the_query() {
        assert_eq!(way("/"), "/sign-in");
        assert_eq!(way("/a/b?x=1&y=%20"), "/sign-in?next=%2Fa%2Fb%3Fx%3D1%26y%3D%2520");
    }
}
