//! What the doors share about HTTP: a connection's facts, bounded bodies, answers, route tables, and
//! what keeps anonymous callers cheap: [`failures`] and [`quiet`].

pub mod failures;
pub mod form;
pub mod problem;
pub mod quiet;
pub mod route;
pub mod silence;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use rustls_pki_types::CertificateDer;

use self::silence::Silence;

/// What is known of the other end of a connection.
#[derive(Clone)]
pub struct Peer {
    /// After PROXY protocol; IPv4-mapped addresses as IPv4.
    pub address: SocketAddr,
    /// End entity of a client certificate whose possession the handshake proved; nothing else was checked.
    /// At most 8 KiB of DER: a larger one is none of ours, and counts as none.
    pub client_certificate: Option<CertificateDer<'static>>,
    /// Over while the handler works. One that waits for the rest of a request says so.
    pub silence: Arc<Silence>,
}

/// What stands behind a listener.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. The answer carries a Content-Length, or is [`unanswered`].
    async fn handle(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>>;
}

/// How long a body may take when nobody says otherwise.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Room made for a chunked body that comes in several pieces; grows up to the bound.
const CHUNKED_BYTES_FIRST: usize = 16 * 1024;

/// Why there is no body to work with. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The other end is gone; nobody would read an answer.
    #[error("the body broke off")]
    Broken,
    #[error("the body did not arrive in time")]
    TimedOut,
    #[error("the body is larger than {maximum_bytes} bytes")]
    TooLarge { maximum_bytes: usize },
}

/// Reads a whole body of at most `bytes_max` within [`BODY_TIMEOUT`].
///
/// # Errors
/// Any [`BodyError`]; the connection cannot be used for another request then.
pub async fn read_body(body: Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    read_body_within(body, bytes_max, BODY_TIMEOUT).await
}

/// The same with a deadline of its own, from now.
///
/// A Content-Length above the bound is refused before a byte is read; a chunked body is counted as
/// it comes. A body that arrives in one piece, as most do, is handed on without a copy.
///
/// # Errors
/// As [`read_body`].
pub async fn read_body_within(body: Incoming, bytes_max: usize, within: Duration) -> Result<Bytes, BodyError> {
    match tokio::time::timeout(within, collect(body, bytes_max)).await {
        Ok(collected) => collected,
        Err(_) => Err(BodyError::TimedOut),
    }
}

async fn collect<B>(mut body: B, bytes_max: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let too_large = BodyError::TooLarge { maximum_bytes: bytes_max };
    let announced = body.size_hint();
    if announced.lower() > bytes_max as u64 {
        return Err(too_large);
    }
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    while !body.is_end_stream() {
        let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await else { break };
        // What is not data is trailers, and nobody here asked for any.
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if first.len() + whole.len() + data.len() > bytes_max {
            return Err(too_large);
        }
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            if whole.is_empty() {
                whole.reserve_exact(
                    announced.exact().map_or(bytes_max.min(CHUNKED_BYTES_FIRST), |exact| exact as usize),
                );
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.into() })
}

/// A finished answer with its Content-Length.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let body = body.into();
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length);
    response
}

/// Forbids everyone on the way to keep the answer (RFC 9111 §5.2.2.5).
pub fn forbid_storing(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Why a request gets no answer and its connection is closed instead. Alphabetical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("the request's body broke off")]
    Broken,
    #[error("the request's body did not arrive in time")]
    TimedOut,
}

/// Tells the listener to close the connection without an answer.
pub fn unanswered(reason: Unanswered) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    response.extensions_mut().insert(reason);
    response
}

/// Whether the one Content-Type says JSON, in UTF-8 if it says a charset at all.
///
/// `type "/" subtype *( ";" parameter )`, RFC 9110 §8.3.1; other parameters are left alone.
pub fn is_json(headers: &HeaderMap) -> bool {
    parameters(headers, "application/json").is_some_and(|mut parameters| {
        parameters.all(|(name, value)| {
            !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    })
}

/// Whether the one Content-Type is `essence`, whatever its parameters say.
pub fn has_type(headers: &HeaderMap, essence: &str) -> bool {
    parameters(headers, essence).is_some()
}

/// The parameters of the one Content-Type, if that is `essence`.
fn parameters<'h>(headers: &'h HeaderMap, essence: &str) -> Option<impl Iterator<Item = (&'h str, &'h str)>> {
    let text = only(headers, CONTENT_TYPE)?.to_str().ok()?;
    let mut parts = text.split(';').map(str::trim);
    let is_it = parts.next()?.eq_ignore_ascii_case(essence);
    is_it.then(|| parts.filter_map(|parameter| parameter.split_once('=')))
}

/// The value of a header that stands there exactly once.
pub fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use hyper::body::{Frame, SizeHint};

    use super::*;

    /// A body in the given pieces, with a Content-Length or chunked.
    struct Pieces {
        pieces: VecDeque<Bytes>,
        announced: Option<u64>,
    }

    impl Pieces {
        fn new(lengths: &[usize], announced: bool) -> Self {
            let mut next = 0_u8..=255;
            let piece = |length: &usize| Bytes::from(vec![next.next().unwrap(); *length]);
            let total = lengths.iter().sum::<usize>() as u64;
            Self { pieces: lengths.iter().map(piece).collect(), announced: announced.then_some(total) }
        }
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
        }

        fn size_hint(&self) -> SizeHint {
            self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn read(lengths: &[usize], announced: bool) -> Result<Bytes, BodyError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(collect(Pieces::new(lengths, announced), 10))
    }

    #[test]
    fn a_body_is_taken_up_to_its_bound() {
        for announced in [true, false] {
            for lengths in [&[9][..], &[10], &[4, 5], &[4, 6], &[1; 10], &[0, 10, 0]] {
                let body = read(lengths, announced).unwrap();
                assert_eq!(body.len(), lengths.iter().sum::<usize>(), "{lengths:?}");
            }
            for lengths in [&[11][..], &[4, 7], &[1; 11], &[10, 1]] {
                let error = read(lengths, announced).unwrap_err();
                assert_eq!(error, BodyError::TooLarge { maximum_bytes: 10 }, "{lengths:?}");
            }
        }
    }

    #[test]
    fn pieces_keep_their_order() {
        assert_eq!(&read(&[2, 3, 1], false).unwrap()[..], [0, 0, 1, 1, 1, 2]);
        assert!(read(&[], false).unwrap().is_empty());
    }

    #[test]
    fn only_json_in_utf_8_is_json() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            headers
        };
        for value in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; profile=x",
        ] {
            assert!(is_json(&headers(&[value])), "{value}");
        }
        for value in
            ["", "text/json", "application/jsonx", "application/problem+json", "application/json; charset=latin1"]
        {
            assert!(!is_json(&headers(&[value])), "{value}");
        }
        assert!(!is_json(&headers(&[])));
        assert!(!is_json(&headers(&["application/json", "application/json"])));
    }
}
