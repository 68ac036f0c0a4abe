//! Bytes of a connection to a door, without TLS: hyper reads them as the listener has it do, the door answers.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use muster::server::http::silence::Silence;
use muster::server::http::{Handler, Peer, Unanswered};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

/// Nothing that is sent at once and ended keeps a door busy for this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

const LENGTH: &[u8] = b"{length}";

/// A request that reached the door, and what it said.
pub struct Answered {
    pub path: String,
    pub response: Response<Bytes>,
}

impl Answered {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub fn has_type(&self, essence: &str) -> bool {
        let found = self.response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        found.is_some_and(|found| found.starts_with(essence))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.response.body()).into_owned()
    }

    /// What every answer of every door is held to.
    fn assert_in_order(&self) {
        let (status, headers, body) = (self.status(), self.response.headers(), self.response.body());
        assert!(!status.is_server_error(), "{status} {}: {}", self.path, self.text());
        if let Some(length) = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok()) {
            assert!(length == body.len() || body.is_empty(), "{}: {length} is not {}", self.path, body.len());
        }
        if self.has_type("application/json") || self.has_type("application/problem+json") {
            serde_json::from_slice::<serde_json::Value>(body).expect("JSON");
        }
    }
}

/// `sent` with the length of what stands behind its first empty line in the place of `{length}`: else next to nothing that is
/// made of a request has a body.
fn with_length(sent: &[u8]) -> Vec<u8> {
    let find = |word: &[u8]| sent.windows(word.len()).position(|window| window == word);
    match (find(LENGTH), find(b"\r\n\r\n")) {
        (Some(at), Some(end)) if at < end => {
            let length = (sent.len() - end - 4).to_string();
            [&sent[..at], length.as_bytes(), &sent[at + LENGTH.len()..]].concat()
        }
        _ => sent.to_vec(),
    }
}

/// Sends `sent`, with its [length](with_length), on a connection of its own, ends it, and waits until the door is done with it.
///
/// # Panics
/// When the door does not come to an end, or an answer is not in order.
pub async fn exchange(handler: &impl Handler, certificate: Option<&[u8]>, sent: &[u8]) -> Vec<Answered> {
    let sent = &*with_length(sent);
    let peer = Peer {
        address: ([192, 0, 2, 7], 40_000).into(),
        client_certificate: certificate.map(|der| CertificateDer::from(der.to_vec())),
        silence: Arc::new(Silence::new(Instant::now())),
    };
    let answered = RefCell::new(Vec::new());
    let answer = async |request: Request<Incoming>| {
        let path = request.uri().to_string();
        let response = handler.handle(request, &peer).await;
        if let Some(unanswered) = response.extensions().get::<Unanswered>() {
            return Err(*unanswered);
        }
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("it is there").to_bytes();
        let known = Answered { path, response: Response::from_parts(head.clone(), body.clone()) };
        known.assert_in_order();
        answered.borrow_mut().push(known);
        Ok(Response::from_parts(head, Full::new(body)))
    };
    let (client, server) = tokio::io::duplex(1 << 16);
    let serve = async move {
        // What is no HTTP ends the connection; that is hyper's to say.
        let _ = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service_fn(answer)).await;
    };
    let (mut reading, mut writing) = tokio::io::split(client);
    let write = async {
        // A door that has heard enough closes.
        let _ = writing.write_all(sent).await;
        let _ = writing.shutdown().await;
    };
    let mut received = Vec::new();
    let all = async { tokio::join!(serve, write, reading.read_to_end(&mut received)) };
    let (.., read) = tokio::time::timeout(ANSWER_TIMEOUT, all).await.expect("the door came to an end");
    read.expect("what was answered");
    answered.into_inner()
}
