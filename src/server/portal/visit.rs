//! One request to a page, taken apart.

use std::net::IpAddr;

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, USER_AGENT};
use hyper::http::request::Parts;
use zeroize::Zeroizing;

use super::guard;
use super::preferences::Preferences;
use super::reply::{Notice, Trouble};
use super::routes::PathParameters;
use crate::domain::Kind;
use crate::id::CustomerId;
use crate::server::http::form;

/// What somebody asks for.
pub(super) struct Visit {
    pub(super) path: PathParameters,
    /// As it was asked for, for links back to it: path and query.
    pub(super) address: String,
    /// Host and port that the browser asked for; may be empty, and anything unless a form was sent.
    pub(super) host: String,
    pub(super) query: Fields,
    pub(super) form: Fields,
    /// From where and with what somebody visits, for the list of sessions.
    pub(super) source: IpAddr,
    pub(super) user_agent: String,
    /// The sentence that the page before left for this one.
    pub(super) notice: Option<Notice>,
    /// Of whoever is signed in.
    pub(super) preferences: Preferences,
    /// What the forms of the page are to carry, and what a form must carry that was sent. Empty without the cookie
    /// that it is made from.
    pub(super) form_token: String,
    /// Whether our script asks. It gets the same answers, but for a copied key string, which it wants as text.
    pub(super) is_fetch: bool,
    /// Whether somebody came from a page of ours, by a link or a form, and not by a shared address.
    pub(super) is_from_here: bool,
    /// The form is to be shown with what was typed and nothing is to be done: a session ended before it was sent.
    pub(super) is_shown_again: bool,
}

/// Names and values in the order in which they were sent. Values may be secrets and are wiped on drop.
#[derive(Default)]
pub(super) struct Fields(Vec<(String, Zeroizing<String>)>);

impl Visit {
    /// `proof` is the cookie that forms are tied to: [`guard::SESSION`] or [`guard::VISIT`].
    ///
    /// # Errors
    /// [`Trouble::Malformed`]: query or form are not form-encoded UTF-8.
    pub(super) fn read(
        path: PathParameters,
        head: &Parts,
        form: &Bytes,
        source: IpAddr,
        proof: &str,
    ) -> Result<Self, Trouble> {
        let headers = &head.headers;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let form = if form.is_empty() {
            Fields::default()
        } else if is_form(headers) {
            Fields::parse(std::str::from_utf8(form).map_err(|_| Trouble::Malformed)?)?
        } else {
            return Err(Trouble::Malformed);
        };
        Ok(Self {
            path,
            address: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            host: text(HOST.as_str()).to_owned(),
            query: Fields::parse(head.uri.query().unwrap_or_default())?,
            form,
            source,
            user_agent: text(USER_AGENT.as_str()).to_owned(),
            notice: guard::cookie(headers, guard::NOTICE).and_then(|value| Notice::decode(&value)),
            preferences: Preferences::default(),
            form_token: guard::cookie(headers, proof).map(|cookie| guard::form_token(&cookie)).unwrap_or_default(),
            is_fetch: text("x-requested-with") == "muster",
            is_from_here: text("sec-fetch-site") == "same-origin",
            is_shown_again: false,
        })
    }

    /// # Errors
    /// [`Trouble::NoSuchPage`]: the path names none that could be one.
    pub(super) fn customer(&self) -> Result<CustomerId, Trouble> {
        if self.path.customer == "0" {
            return Ok(CustomerId::SERVICE);
        }
        self.path.customer.parse().map_err(|_| Trouble::NoSuchPage)
    }

    /// The object in the path.
    ///
    /// # Errors
    /// [`Trouble::NoSuchPage`]: the path names none that could be one.
    pub(super) fn id<T: std::str::FromStr>(&self) -> Result<T, Trouble> {
        self.path.id.parse().map_err(|_| Trouble::NoSuchPage)
    }

    /// # Panics
    /// On a page without a kind in its pattern.
    pub(super) fn kind(&self) -> Kind {
        self.path.kind.expect("the page's pattern has {kind}")
    }
}

impl Fields {
    pub(super) fn new(pairs: Vec<(String, Zeroizing<String>)>) -> Self {
        Self(pairs)
    }

    /// What a form of an object as it is would send; empty texts are ticks that are off, too.
    pub(super) fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned()))).into())
    }

    /// # Errors
    /// [`Trouble::Malformed`]: it is not form-encoded UTF-8.
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        form::parse(text).map(Self).ok_or(Trouble::Malformed)
    }

    /// The first value of that name; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
