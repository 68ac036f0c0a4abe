//! The portal: pages for administrators, drawn by the server and complete without scripts.
//!
//! All pages are in [`routes::PAGES`]; one file per page or object in [`mod@pages`] holds its view models and
//! handlers, `templates/` their markup. A handler reads the visit, calls use cases of [`Management`] and fills
//! a view model with finished words; templates compute nothing. It touches no store and decides nothing about
//! rights: what somebody may not see is refused by the use case.
//!
//! What all pages share is here and in [`guard`]: a session comes from the cookie and from nowhere
//! else, a form must be ours, every answer carries the headers that keep others out, what is posted
//! ends in a redirection unless it shows a secret once, and nothing is ever kept in a cache.

mod ask;
mod assets;
mod chart;
mod csv;
mod empty;
mod filters;
mod form;
mod frame;
mod guard;
mod head;
mod kinds;
mod list;
mod listing;
mod object;
mod pages;
mod preferences;
mod reply;
mod routes;
mod table;
mod ticked;
mod visit;
mod window;
mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::http::request::Parts as Head;
use hyper::{Method, Request, Response};

use self::assets::ASSETS;
use self::preferences::Preferences;
use self::reply::{Reply, Trouble};
use self::routes::{Lookup, Page};
use self::visit::Visit;
use crate::clock::{Clock, Timestamp};
use crate::domain::{Cloud, Reference};
use crate::management::sessions::Session;
use crate::management::{Error, Management};
use crate::server::health::HealthSource;
use crate::server::http::quiet::Quiet;
use crate::server::http::{BodyError, Handler, Peer, read_body};

/// Largest form, in bytes: a signing certificate with its chain and key fits many times.
const FORM_BYTES_MAX: usize = 256 * 1024;

/// Largest form of somebody who is not signed in, in bytes: one that was typed before the session ended.
const ANONYMOUS_FORM_BYTES_MAX: usize = 16 * 1024;

/// What the form of a sign-in may have besides such a form that it keeps: name, password, address, longer names.
const SIGN_IN_BYTES_MAX: usize = 4 * 1024;

/// What the portal is made of, shared with other rooms.
pub struct Parts {
    pub management: Arc<Management>,
    pub clock: Arc<dyn Clock>,
    /// Named in the footer, and in what devices are told to do.
    pub cloud: Arc<ArcSwap<Cloud>>,
    /// Shown on Home.
    pub health: Arc<dyn HealthSource>,
}

/// All rows of the table of pages: method, pattern, and whether it is for everybody. For whoever visits them all.
pub fn pages() -> impl Iterator<Item = (&'static Method, &'static str, bool)> {
    routes::PAGES.iter().map(|row| (&row.method, row.pattern, matches!(row.page, Page::Public(_))))
}

/// The handler behind the management listener for [everything that is a page](Portal::has).
pub struct Portal {
    parts: Parts,
    quiet: Arc<Quiet>,
}

impl Portal {
    pub fn new(parts: Parts) -> Self {
        Self { parts, quiet: Arc::new(Quiet::new(Instant::now())) }
    }

    /// Whether a path is one of a page or of a file that pages load.
    pub fn has(&self, path: &str) -> bool {
        ASSETS.find(path).is_some() || !matches!(routes::find(&Method::GET, path), Lookup::None)
    }

    fn management(&self) -> &Management {
        &self.parts.management
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Everything but reading from the network.
    async fn respond(
        &self,
        lookup: Lookup,
        head: &Head,
        session: Result<Option<Session>, Error>,
        form: Result<Bytes, BodyError>,
        peer: &Peer,
    ) -> Result<Reply, (Trouble, Option<Visit>)> {
        let bare = |trouble| (trouble, None);
        let (page, path) = match lookup {
            Lookup::Found(page, _, path) => (page, path),
            Lookup::WrongMethod => return Err(bare(Trouble::WrongMethod)),
            Lookup::None if ASSETS.find(head.uri.path()).is_some() => return Err(bare(Trouble::WrongMethod)),
            Lookup::None => return Err(bare(Trouble::NoSuchPage)),
        };
        let session = session.map_err(|error| bare(error.into()))?;
        let form = form.map_err(|error| bare(Trouble::Body(error)))?;
        // The form of a sign-in is the browser's, whoever is signed in meanwhile; all others are the session's.
        let proof = match (page, &session) {
            (Page::SignedIn(_) | Page::Form(_), Some(_)) => guard::SESSION,
            _ => guard::VISIT,
        };
        let mut visit = Visit::read(path, head, &form, peer.address.ip(), proof).map_err(bare)?;
        if let Some(session) = &session {
            visit.preferences = self.preferences(session).await.map_err(|error| bare(error.into()))?;
        }
        let is_post = head.method == Method::POST;
        let outcome = match (page, &session) {
            // Nor is it kept, and offered to whoever signs in.
            _ if is_post && !guard::is_from_here(&head.headers) => Err(Trouble::ForeignForm),
            // Nothing is done, so whose form it is does not matter.
            (Page::SignedIn(_) | Page::Form(_), None) => Err(Trouble::SignedOut),
            _ if is_post && !guard::is_token(&visit.form_token, visit.form.text("csrf")) => Err(Trouble::ForeignForm),
            (Page::Public(run), _) => run(self, &visit, session.as_ref()).await,
            (Page::SignedIn(run) | Page::Form(run), Some(session)) => run(self, &visit, session).await,
        };
        outcome.map_err(|trouble| (trouble, Some(visit)))
    }

    async fn preferences(&self, session: &Session) -> Result<Preferences, Error> {
        let kept = self.management().preferences(&session.actor).await?;
        Ok(Preferences(kept.into_iter().map(|(page, value)| (page.to_string(), value.to_string())).collect()))
    }

    /// Whose session the cookie is, if it is one that is still good. Tokens of API clients are none.
    async fn identify(&self, headers: &HeaderMap) -> Result<Option<Session>, Error> {
        let Some(token) = guard::cookie(headers, guard::SESSION) else { return Ok(None) };
        match self.management().authenticate(&token).await {
            Ok(session) => Ok(Some(session).filter(|session| session.actor.administrator_id().is_some())),
            Err(Error::InvalidToken(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Handler for Portal {
    async fn handle(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let reference = Reference::random();
        let (mut head, body) = request.into_parts();
        // A HEAD is a GET whose body stays here (RFC 9110 §9.3.2).
        let is_head = head.method == Method::HEAD;
        if is_head {
            head.method = Method::GET;
        }
        if let Some(mut response) = ASSETS.find(head.uri.path()).filter(|_| head.method == Method::GET) {
            guard::protect(response.headers_mut());
            return if is_head { without_body(response) } else { response };
        }
        let lookup = routes::find(&head.method, head.uri.path());
        let pattern = lookup.pattern();
        let session = self.identify(&head.headers).await;
        let is_known = matches!(session, Ok(Some(_)));
        let bytes_max = match lookup {
            _ if is_known => FORM_BYTES_MAX,
            Lookup::Found(Page::Public(_), ..) => ANONYMOUS_FORM_BYTES_MAX + SIGN_IN_BYTES_MAX,
            _ => ANONYMOUS_FORM_BYTES_MAX,
        };
        let form = read_body(body, bytes_max).await;
        let reply = match self.respond(lookup, &head, session, form, peer).await {
            Ok(reply) => reply,
            Err((trouble, visit)) => {
                let address = head.uri.path_and_query().map_or("/", |path| path.as_str());
                self.explain(&trouble, visit.as_ref(), address, &reference)
            }
        };
        if is_known || self.quiet.admits_line(sum_up) {
            tracing::info!(
                request.id = %reference,
                request.method = %head.method,
                request.route = pattern,
                response.status = reply.status().as_u16(),
                source = %peer.address.ip(),
                duration_ms = started.elapsed().as_millis(),
                "a page was answered"
            );
        }
        let mut response = reply.into_response();
        guard::protect(response.headers_mut());
        if is_head { without_body(response) } else { response }
    }
}

fn sum_up(left_out: u64) {
    tracing::info!(
        pages = left_out,
        "pages without a session were asked for so often that {left_out} have no line of their own"
    );
}

/// Keeps the length that the body would have had.
fn without_body(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.map(|_| Full::default())
}
