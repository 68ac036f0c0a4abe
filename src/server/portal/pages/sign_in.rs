//! Signing in and out. A form that was sent after the session had ended comes back once somebody is
//! signed in again, with what was typed.

use askama::Template;
use hyper::{Method, StatusCode};
use zeroize::Zeroizing;

use crate::management::Error;
use crate::management::sessions::{PORTAL_SESSION_LIFETIME, Session};
use crate::server::portal::frame::Frame;
use crate::server::portal::guard::local;
use crate::server::portal::preferences::Preferences;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::routes::{self, Lookup, Page};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::{Portal, filters, guard};

/// What the names of kept fields begin with.
const KEPT: &str = "kept.";

/// Fields whose values are not sent to and fro: a page shows a secret once, or never.
const SECRETS: [&str; 5] = ["csrf", "key", "password", "new-password", "private-key"];

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
/// kept in the page.
pub(in crate::server::portal) fn ask(portal: &Portal, visit: Option<&Visit>, address: &str) -> Reply {
    let kept: Vec<_> = visit
        .into_iter()
        .flat_map(|visit| visit.form.iter())
        .filter(|(name, _)| !SECRETS.contains(name))
        .map(|(name, value)| (format!("{KEPT}{name}"), value.to_owned()))
        .collect();
    if kept.is_empty() {
        return Reply::see_other(way(address));
    }
    let cookie = guard::new_visit();
    let page = SignInPage {
        frame: Frame::bare(portal, guard::form_token(&cookie), "Sign in"),
        problem: Some("Your session has ended. Sign in to go on; what you typed is kept.".to_owned()),
        username: String::new(),
        next: local(address).to_owned(),
        kept,
    };
    Reply::page(StatusCode::UNAUTHORIZED, &page)
        .with_cookie(guard::SESSION, None)
        .with_cookie(guard::VISIT, Some(cookie))
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
        return Ok(Reply::see_other(next));
    }
    // What belongs to nobody yet gets a token of its own to be recognised by.
    let cookie = guard::new_visit();
    let mut frame = Frame::bare(portal, guard::form_token(&cookie), "Sign in");
    frame.notice.clone_from(&visit.notice);
    let page = SignInPage { frame, problem: None, username: String::new(), next: next.to_owned(), kept: Vec::new() };
    Ok(Reply::ok(&page).with_cookie(guard::VISIT, Some(cookie)))
}

pub(in crate::server::portal) async fn submit(
    portal: &Portal,
    visit: &Visit,
    _session: Option<&Session>,
) -> Result<Reply, Trouble> {
    let (username, next) = (visit.form.text("username"), local(visit.form.text("next")));
    let password = Zeroizing::new(visit.form.text("password").to_owned());
    let signed_in = portal
        .management()
        .sign_in_administrator(username, password, visit.source, &visit.user_agent, PORTAL_SESSION_LIFETIME)
        .await;
    let (status, problem) = match signed_in {
        Ok(signed_in) => {
            let token = signed_in.token;
            let reply = match again(visit, next, guard::form_token(&token)) {
                Some((run, mut visit)) => {
                    visit.preferences = portal.preferences(&signed_in.session).await?;
                    run(portal, &visit, &signed_in.session).await?
                }
                None => Reply::see_other(next),
            };
            return Ok(reply.with_cookie(guard::SESSION, Some(token)).with_cookie(guard::VISIT, None));
        }
        Err(Error::InvalidCredentials) => {
            (StatusCode::UNAUTHORIZED, "Name and password do not match. Check both and try again.".to_owned())
        }
        Err(Error::TooManySignIns { retry_after }) => {
            let seconds = retry_after.as_secs() + 1;
            (StatusCode::TOO_MANY_REQUESTS, format!("Too many sign-ins failed. Try again in {seconds} s."))
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
    Ok(Reply::page(status, &page))
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
    fn the_way_back_survives_the_query() {
        assert_eq!(way("/"), "/sign-in");
        assert_eq!(way("/a/b?x=1&y=%20"), "/sign-in?next=%2Fa%2Fb%3Fx%3D1%26y%3D%2520");
    }
}
