//! Refusals as answers: `application/problem+json` (RFC 9457).

use std::ops::RangeInclusive;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::{answer, forbid_storing};
use crate::clock::Timestamp;
use crate::domain::Reference;
use crate::protocol::problem::{PROBLEM_JSON, Problem, TYPE_PREFIX};
use crate::secret::random_bytes;

/// One way to be refused: everything about the answer that is not of the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemKind {
    pub status: StatusCode,
    /// What a program branches on; ends the `type`, and is the label of the metric.
    pub code: &'static str,
    pub title: &'static str,
    /// A sentence for whoever holds the device. Says nothing that the caller must not learn.
    pub detail: &'static str,
    pub hint: Hint,
}

/// A header that tells the caller what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// `WWW-Authenticate` with this scheme (RFC 9110 §11.6.1 wants a challenge with every 401).
    Authenticate(&'static str),
    None,
    /// `Retry-After` in whole seconds, drawn from the range for each answer, so that devices that
    /// were refused together do not come back together.
    RetryAfter(RangeInclusive<u8>),
}

impl ProblemKind {
    /// The answer, with a Content-Length. But for `reference` and `serverTime`, which have fixed
    /// lengths, and a drawn Retry-After, all answers of one kind are the same bytes.
    pub fn answer(&self, reference: Reference, now: Timestamp) -> Response<Full<Bytes>> {
        let problem = Problem {
            type_uri: [TYPE_PREFIX, self.code].concat(),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail.to_owned(),
            reference: reference.to_string(),
            server_time: now.to_string(),
        };
        let body = serde_json::to_vec(&problem).expect("strings and a number serialize");
        let mut response = answer(self.status, PROBLEM_JSON, body);
        let headers = response.headers_mut();
        forbid_storing(headers);
        match &self.hint {
            Hint::Authenticate(scheme) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            }
            Hint::None => {}
            Hint::RetryAfter(seconds) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(draw(seconds)));
            }
        }
        response
    }
}

/// One of the range. A range that does not divide 256 favours its beginning a little, which spreads
/// as well.
fn draw(range: &RangeInclusive<u8>) -> u16 {
    let [random] = *random_bytes::<1>();
    let (first, last) = (u16::from(*range.start()), u16::from(*range.end()));
    first + u16::from(random) % (last.saturating_sub(first) + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn retry_after_is_spread_over_its_whole_range() {
        let drawn: BTreeSet<_> = (0..2_000).map(|_| draw(&(1..=5))).collect();
        assert_eq!(drawn, BTreeSet::from([1, 2, 3, 4, 5]));
        assert_eq!(draw(&(7..=7)), 7);
        assert!((0..2_000).map(|_| draw(&(0..=255))).max() <= Some(255));
    }

    #[test]
    fn members_stand_in_the_order_of_the_protocol() {
        let kind = ProblemKind {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "overloaded",
            title: "Overloaded",
            detail: "Come back later.",
            hint: Hint::RetryAfter(3..=3),
        };
        let reference = Reference::random();
        let response = kind.answer(reference, Timestamp::from_unix_seconds(0));
        assert_eq!(response.headers()[RETRY_AFTER], "3");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(http_body_util::BodyExt::collect(response.into_body())).unwrap().to_bytes();
        let expected = format!(
            "{{\"type\":\"urn:muster:problem:overloaded\",\"title\":\"Overloaded\",\"status\":503,\
             \"code\":\"overloaded\",\"detail\":\"Come back later.\",\"reference\":\"{reference}\",\
             \"serverTime\":\"1970-01-01T00:00:00Z\"}}"
        );
        assert_eq!(body, expected);
    }
}
