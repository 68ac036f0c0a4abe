//! `GET /crl/{signingCertId}.crl`: the newest CRL, for whoever wants to know which certificates count no more.
//!
//! RFC 2585 §3 for the type, RFC 9110 §13 for what spares a download. A cache may keep it for some minutes only: how long
//! one counts says its next update, and how old the news may be that a relying service gets should not depend on
//! what stands in between.

use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use hyper::{Response, StatusCode};

use crate::clock::Timestamp;
use crate::domain::revocation::{Crl, CrlHead};
use crate::server::http;

const PKIX_CRL: &str = "application/pkix-crl";

/// Upper bound on how long a cache may answer in our place.
const CACHED_MAX: Duration = Duration::from_secs(300);

/// The CRL, or that the caller has it already.
pub(super) fn answer(crl: Crl, asked: &HeaderMap, now: Timestamp) -> Response<Full<Bytes>> {
    let mut response = match is_known(&crl.head, asked) {
        true => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => http::answer(StatusCode::OK, PKIX_CRL, crl.der),
    };
    let kept = crl.head.renewed_at().since(now).min(CACHED_MAX);
    let headers = response.headers_mut();
    headers.insert(ETAG, text(etag(&crl.head)));
    headers.insert(LAST_MODIFIED, text(http_date(crl.head.this_update)));
    headers.insert(CACHE_CONTROL, text(format!("public, max-age={}", kept.as_secs())));
    headers.insert(EXPIRES, text(http_date(now.saturating_add(kept))));
    response
}

/// Whether the conditions of a request say that the caller has this one. The tag decides where there is one
/// (RFC 9110 §13.2.2).
fn is_known(head: &CrlHead, asked: &HeaderMap) -> bool {
    let own = etag(head);
    let mut tags = asked.get_all(IF_NONE_MATCH).iter().peekable();
    if tags.peek().is_some() {
        return tags.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own
        });
    }
    let since = asked.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since = since.and_then(|text| httpdate::parse_http_date(text).ok());
    since.is_some_and(|since| system_time(head.this_update) <= since)
}

/// Each CRL has a number of its own.
fn etag(head: &CrlHead) -> String {
    format!("\"{}\"", head.number.0)
}

fn http_date(instant: Timestamp) -> String {
    httpdate::fmt_http_date(system_time(instant))
}

/// Instants before 1970 are that: no clock that made a CRL told one.
fn system_time(instant: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(instant.unix_seconds()).unwrap_or(0))
}

fn text(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("numbers and dates are ASCII")
}
