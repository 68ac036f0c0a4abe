//! What EST clients are told, in the form that all of those seen can read (docs/est.md).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::ca::certs_only;
use crate::clock::Timestamp;
use crate::domain::Reference;
use crate::server::http::problem::ProblemKind;
use crate::server::http::{answer, forbid_storing};

/// What leads to the line in the log; where there is a problem in the body, it says the same.
const REFERENCE: HeaderName = HeaderName::from_static("muster-reference");

const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// A "certs-only" message in DER: base64 in one line with an end, as strongSwan takes nothing else.
pub fn certificates(message: &[u8]) -> Response<Full<Bytes>> {
    let mut body = STANDARD.encode(message);
    body.push('\n');
    let mut response = answer(StatusCode::OK, "application/pkcs7-mime; smime-type=certs-only", body);
    response.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("base64"));
    response
}

/// A component's certificate, alone (RFC 7030 §4.2.3).
pub fn enrolled(certificate: &[u8], reference: Reference) -> Response<Full<Bytes>> {
    let mut response = certificates(&certs_only([certificate]));
    forbid_storing(response.headers_mut());
    refer(&mut response, reference);
    response
}

/// 204, which has no body and no length (RFC 9110 §8.6).
pub fn nothing() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The problem; a 401 is without a body, which some clients leave unread before they come back with the credentials
/// that it asks for.
pub fn refusal(problem: &ProblemKind, reference: Reference, now: Timestamp) -> Response<Full<Bytes>> {
    let mut response = match problem.status {
        StatusCode::UNAUTHORIZED => challenge(),
        _ => problem.answer(reference, now),
    };
    refer(&mut response, reference);
    response
}

fn challenge() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"muster\""));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    forbid_storing(headers);
    response
}

fn refer(response: &mut Response<Full<Bytes>>, reference: Reference) {
    let value = HeaderValue::from_str(reference.as_str()).expect("base64url is visible ASCII");
    response.headers_mut().insert(REFERENCE, value);
}
