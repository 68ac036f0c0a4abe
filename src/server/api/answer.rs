//! Answers: status, JSON body, and the headers that every one of them carries.

use std::io;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

use super::schema::Content;
use crate::domain::{Name, Reference, Revision};
use crate::management::once::{Outcome, Repeated};

pub const JSON: &str = "application/json;charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Leads to the log line.
const TRANSACTION_ID: HeaderName = HeaderName::from_static("x-transaction-id");

/// What goes back. A body may hold a key string, so its bytes are wiped once sent. (What TLS and HTTP
/// copy of them is not.)
pub struct Answer {
    status: StatusCode,
    body: Option<Body>,
    /// What the body is saved as.
    file_name: Option<String>,
    revision: Option<Revision>,
    retry_after_seconds: Option<u32>,
    allow: Vec<Method>,
    challenge: bool,
}

struct Body {
    content_type: &'static str,
    bytes: Bytes,
}

impl Answer {
    fn new(status: StatusCode, body: Option<Body>) -> Self {
        Self {
            status,
            body,
            file_name: None,
            revision: None,
            retry_after_seconds: None,
            allow: Vec::new(),
            challenge: false,
        }
    }

    /// # Panics
    /// When `body` cannot be written as JSON; the shapes in `wire` all can.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Self {
        Self::new(status, Some(Body { content_type: JSON, bytes: Bytes::from_owner(to_json(body)) }))
    }

    /// 200 with bytes that are written already. Those of secrets come from an owner that wipes them.
    pub fn bytes(content_type: &'static str, bytes: Bytes) -> Self {
        Self::new(StatusCode::OK, Some(Body { content_type, bytes }))
    }

    /// A text file to save as `<name>.txt`: one line, ended as in a file.
    pub fn text_file(name: &Name, line: &str) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(line.len() + 1));
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        let body = Body { content_type: TEXT, bytes: Bytes::from_owner(bytes) };
        Self { file_name: Some(format!("{name}.txt")), ..Self::new(StatusCode::OK, Some(body)) }
    }

    /// 200, with a text that is no JSON.
    pub fn text(content_type: &'static str, text: String) -> Self {
        Self::new(StatusCode::OK, Some(Body { content_type, bytes: text.into() }))
    }

    /// 200: JSON values, a line each (newline-delimited JSON). Not for secrets: the buffer grows.
    ///
    /// # Panics
    /// As [`Self::json`].
    pub fn json_lines(values: impl Iterator<Item = impl Serialize>) -> Self {
        let mut bytes = Vec::new();
        for value in values {
            serde_json::to_writer(&mut bytes, &value).expect("wire shapes serialize");
            bytes.push(b'\n');
        }
        Self::new(StatusCode::OK, Some(Body { content_type: Content::LINES, bytes: bytes.into() }))
    }

    /// 204: no body, and so no content type.
    pub fn empty() -> Self {
        Self::new(StatusCode::NO_CONTENT, None)
    }

    /// What a repetition of the request is answered: the same, once [`of_repetition`](Self::of_repetition)
    /// read it. `lasting` is the answer without what is shown once only, where there is such a thing.
    pub fn outcome(&self, lasting: Option<&Self>) -> Outcome {
        match lasting {
            Some(lasting) => Outcome { lasting: lasting.encode(), brief: Some(self.encode()) },
            None => Outcome { lasting: self.encode(), brief: None },
        }
    }

    /// Status (2 bytes), revision (8 bytes, 0 for none), body.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let body = self.body();
        let mut bytes = Zeroizing::new(Vec::with_capacity(10 + body.len()));
        bytes.extend_from_slice(&self.status.as_u16().to_be_bytes());
        bytes.extend_from_slice(&self.revision.map_or(0, |Revision(revision)| revision).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// # Panics
    /// When it was not [`outcome`](Self::outcome) that made it.
    pub fn of_repetition(Repeated(bytes): &Repeated) -> Self {
        let (status, rest) = bytes.split_first_chunk().expect("an encoded answer has a status");
        let (revision, body) = rest.split_first_chunk().expect("an encoded answer has a revision");
        let status = StatusCode::from_u16(u16::from_be_bytes(*status)).expect("an answer's own status");
        let bytes = Bytes::from_owner(Zeroizing::new(body.to_vec()));
        let body = (!body.is_empty()).then_some(Body { content_type: JSON, bytes });
        let revision = Some(u64::from_be_bytes(*revision)).filter(|revision| *revision != 0).map(Revision);
        Self { revision, ..Self::new(status, body) }
    }

    /// The object's `ETag`: its revision in quotes.
    pub fn tagged(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// A bare integer of seconds: some public clients break on anything else.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    pub fn allowing(mut self, methods: Vec<Method>) -> Self {
        self.allow = methods;
        self
    }

    /// Asks for a Bearer token (RFC 6750 §3).
    pub fn challenging(mut self) -> Self {
        self.challenge = true;
        self
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Empty where there is none.
    pub(super) fn body(&self) -> &[u8] {
        self.body.as_ref().map_or(b"", |body| &body.bytes)
    }

    /// Without its parameters.
    pub(super) fn content_type_essence(&self) -> Option<&'static str> {
        self.body.as_ref().map(|body| body.content_type.split(';').next().unwrap_or_default())
    }

    pub(super) fn revision(&self) -> Option<Revision> {
        self.revision
    }

    pub fn into_response(self, reference: &Reference) -> Response<Full<Bytes>> {
        let (content_type, bytes) = match self.body {
            Some(body) => (Some(body.content_type), body.bytes),
            None => (None, Bytes::new()),
        };
        let mut response = Response::new(Full::new(bytes));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let text = |text: &str| HeaderValue::from_str(text).expect("digits, letters and punctuation only");
        if let Some(name) = &self.file_name {
            // A name has neither quotes nor backslashes (RFC 6266 §4.1).
            headers.insert(CONTENT_DISPOSITION, text(&format!("attachment; filename=\"{name}\"")));
        }
        headers.insert(TRANSACTION_ID, text(reference.as_str()));
        if let Some(Revision(revision)) = self.revision {
            headers.insert(ETAG, text(&format!("\"{revision}\"")));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if !self.allow.is_empty() {
            let methods: Vec<_> = self.allow.iter().map(Method::as_str).collect();
            headers.insert(ALLOW, text(&methods.join(", ")));
        }
        if self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Measured first: a Vec that grows would leave half-grown copies of key strings behind.
fn to_json(body: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, body).expect("wire shapes serialize");
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, body).expect("wire shapes serialize");
    bytes
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_never_grows() {
        for count in [0, 1, 500] {
            let body = to_json(&vec!["a \"key\" string of some length"; count]);
            assert_eq!(body.capacity(), body.len());
        }
    }
}
