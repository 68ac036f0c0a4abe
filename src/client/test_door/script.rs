//! A door with one component, which keeps of it what the service keeps, and does with each request what the test
//! says.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode};
use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Authority, authority, enrollment, serve_below, sign, sign_until};
use crate::clock::{Clock as _, DAY, SystemClock, Timestamp};
use crate::domain::{KeySecret, KeyVersion, TrustPin};
use crate::protocol::enroll::Outcome;

/// What the door does with one request.
#[derive(Clone, Copy)]
pub enum Act {
    /// What the service would do; the certificate is to be renewed in a long time.
    Answer,
    /// What the service would do; the certificate is to be renewed at once.
    AnswerDue,
    /// Signs with a CA that is not among the anchors it names.
    AnswerBelowOther,
    /// Signs another key pair.
    AnswerOther,
    /// Closes the connection once the request is read.
    Cut,
    /// What the service would do, and then closes the connection.
    Lose,
    /// Status, code, `Retry-After`.
    Refuse(u16, &'static str, Option<&'static str>),
}

pub struct Seen {
    pub path: String,
    pub content_type: Option<String>,
    pub host: Option<String>,
    pub body: Value,
    /// The client certificate.
    pub shown: Option<CertificateDer<'static>>,
}

impl Seen {
    /// Of the CSR: SubjectPublicKeyInfo, DER.
    pub fn public_key(&self) -> Vec<u8> {
        public_key_of_csr(self.body["csr"].as_str().unwrap())
    }
}

pub struct Door {
    pub address: SocketAddr,
    pub pin: TrustPin,
    state: Arc<Mutex<State>>,
}

struct State {
    script: VecDeque<Act>,
    seen: Vec<Seen>,
    /// What the door's clock is ahead of the machine's, in seconds.
    ahead: i64,
    root: Authority,
    other: Authority,
    /// PEM of what the endpoint hangs from.
    anchor: String,
    /// PEM of the component's certificate, and of its direct predecessor.
    current: Option<(String, Timestamp)>,
    previous: Option<String>,
}

impl Door {
    /// Does `script` in order, then cuts. Its certificate is for `host`.
    pub async fn open(host: &str, script: impl IntoIterator<Item = Act>) -> Self {
        let anchor = authority("endpoint anchor");
        let state = Arc::new(Mutex::new(State {
            script: script.into_iter().collect(),
            seen: Vec::new(),
            ahead: 0,
            root: authority("component root"),
            other: authority("another root"),
            anchor: anchor.pem(),
            current: None,
            previous: None,
        }));
        let served = Arc::clone(&state);
        let clients = state.lock().unwrap().root.der().clone();
        let server = serve_below(&anchor, host, Some(clients), move |request| served.lock().unwrap().serve(&request));
        let server = server.await;
        Self { address: server.address, pin: server.pin, state }
    }

    pub fn key(&self) -> KeySecret {
        self.key_for("localhost", self.pin)
    }

    pub fn key_for(&self, host: &str, pin: TrustPin) -> KeySecret {
        let cloud = format!("{host}:{}", self.address.port()).parse().unwrap();
        KeySecret::generate(KeyVersion::Bootstrap, &cloud, pin)
    }

    pub fn seen(&self) -> Seens<'_> {
        Seens(self.state.lock().unwrap())
    }

    pub fn calls(&self) -> usize {
        self.seen().len()
    }

    /// Further acts.
    pub fn then(&self, script: impl IntoIterator<Item = Act>) {
        self.state.lock().unwrap().script.extend(script);
    }

    /// From now on the door's clock is so many seconds ahead of the machine's.
    pub fn set_ahead(&self, seconds: i64) {
        self.state.lock().unwrap().ahead = seconds;
    }
}

/// What the door has seen; it serves nobody meanwhile.
pub struct Seens<'d>(MutexGuard<'d, State>);

impl std::ops::Deref for Seens<'_> {
    type Target = [Seen];

    fn deref(&self) -> &[Seen] {
        &self.0.seen
    }
}

impl State {
    fn serve(&mut self, request: &Request<Bytes>) -> io::Result<Response<Full<Bytes>>> {
        let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let (path, csr) = (request.uri().path().to_owned(), body["csr"].as_str().unwrap().to_owned());
        let shown = request.extensions().get::<CertificateDer<'static>>().cloned();
        let seen = Seen {
            path: path.clone(),
            content_type: header("content-type"),
            host: header("host"),
            body,
            shown: shown.clone(),
        };
        self.seen.push(seen);
        let act = self.script.pop_front().unwrap_or(Act::Cut);
        match act {
            Act::Cut => Err(io::ErrorKind::ConnectionAborted.into()),
            Act::Refuse(status, code, retry_after) => Ok(self.refusal(status, code, retry_after)),
            Act::AnswerOther => {
                let request = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
                let certificate = sign(&request.pem().unwrap(), &self.root);
                Ok(self.answer(Outcome::Enrolled, &certificate, far()))
            }
            Act::AnswerBelowOther => {
                let certificate = sign(&csr, &self.other);
                Ok(self.answer(Outcome::Enrolled, &certificate, far()))
            }
            Act::Answer | Act::AnswerDue | Act::Lose => {
                let answer = self.decide(&path, &csr, shown.as_ref(), matches!(act, Act::AnswerDue));
                if matches!(act, Act::Lose) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(answer) }
            }
        }
    }

    /// As the service does, for one component.
    fn decide(
        &mut self,
        path: &str,
        csr: &str,
        shown: Option<&CertificateDer<'_>>,
        is_due: bool,
    ) -> Response<Full<Bytes>> {
        let is_same_key =
            self.current.as_ref().is_some_and(|(pem, _)| public_key_of(&der(pem)) == public_key_of_csr(csr));
        let outcome = match (path, shown) {
            ("/v1/enroll", _) if is_same_key => Outcome::Replayed,
            ("/v1/enroll", _) => {
                self.previous = None;
                if self.current.is_none() { Outcome::Enrolled } else { Outcome::ReEnrolled }
            }
            (_, None) => return self.refusal(401, "client-certificate-required", None),
            (_, Some(shown)) => {
                let is = |pem: Option<&String>| pem.is_some_and(|pem| der(pem) == *shown);
                if is(self.current.as_ref().map(|(pem, _)| pem)) {
                    self.previous = self.current.as_ref().map(|(pem, _)| pem.clone());
                    if is_same_key { Outcome::Renewed } else { Outcome::Rekeyed }
                } else if !is(self.previous.as_ref()) {
                    return self.refusal(401, "client-certificate-refused", None);
                } else if is_same_key {
                    Outcome::Replayed
                } else {
                    return self.refusal(403, "client-certificate-superseded", None);
                }
            }
        };
        if outcome != Outcome::Replayed {
            // Renewals are spread over half of what is left: three quarters of this are over.
            let now = SystemClock.now();
            let (renew_after, not_after) =
                if is_due { (now.saturating_sub(2 * DAY), now.saturating_add(DAY / 2)) } else { (far(), far()) };
            self.current = Some((sign_until(csr, &self.root, not_after), renew_after));
        }
        let (certificate, renew_after) = self.current.clone().unwrap();
        self.answer(outcome, &certificate, renew_after)
    }

    fn answer(&self, outcome: Outcome, certificate: &str, renew_after: Timestamp) -> Response<Full<Bytes>> {
        let mut answer = enrollment(certificate.to_owned(), &self.root);
        let leaf = der(certificate);
        let (_, parsed) = X509Certificate::from_der(&leaf).unwrap();
        answer.serial_number = parsed.raw_serial().iter().map(|octet| format!("{octet:02x}")).collect();
        answer.not_after = Timestamp::from_unix_seconds(parsed.validity().not_after.timestamp()).to_string();
        answer.outcome = outcome;
        answer.renew_after = renew_after.to_string();
        answer.server_trust_anchors = self.anchor.clone();
        answer.server_time = self.now().to_string();
        Response::new(Full::from(serde_json::to_vec(&answer).unwrap()))
    }

    fn refusal(&self, status: u16, code: &str, retry_after: Option<&'static str>) -> Response<Full<Bytes>> {
        let problem = json!({
            "type": format!("urn:muster:problem:{code}"), "title": "", "status": status, "code": code,
            "detail": "", "reference": "abcdefghijkl", "serverTime": self.now(),
        });
        let mut answer = Response::new(Full::from(problem.to_string()));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert("retry-after", HeaderValue::from_static(seconds));
        }
        answer
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(SystemClock.now().unix_seconds() + self.ahead)
    }
}

fn far() -> Timestamp {
    SystemClock.now().saturating_add(Duration::from_secs(365 * 86_400))
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn public_key_of(certificate: &CertificateDer<'_>) -> Vec<u8> {
    X509Certificate::from_der(certificate).unwrap().1.public_key().raw.to_vec()
}

fn public_key_of_csr(csr: &str) -> Vec<u8> {
    CertificateSigningRequestParams::from_pem(csr).unwrap().public_key.subject_public_key_info()
}
