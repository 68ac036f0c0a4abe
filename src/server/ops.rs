//! What whoever watches the service calls, over plain HTTP on a listener of its own.
//!
//! | route | answers |
//! |---|---|
//! | `GET /metrics` | all numbers in Prometheus' text format |
//! | `GET /healthz` | 200 as long as the process answers |
//! | `GET /readyz` | 200 when every part is ready, else 503; JSON says which are |
//!
//! Nothing here is secret or changes anything, and nobody is asked who they are: the listener is
//! bound to the loopback address unless the operator says otherwise.

use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::ALLOW;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::http::route::{self, Found, Route};
use super::http::{self, Handler, Peer, forbid_storing};
use crate::metrics::Metrics;

const TEXT: &str = "text/plain; charset=utf-8";
/// The exposition format that the `prometheus` crate writes.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where the door learns whether the service can do its work. Asked on every `GET /readyz`, so it
/// must answer in milliseconds, also while a part is away.
#[async_trait]
pub trait Readiness: Send + Sync + 'static {
    async fn check(&self) -> ReadinessReport;
}

/// Which parts are ready. Also the JSON of the answer, with `ready` in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReadinessReport {
    /// Answers, and takes commits.
    pub store: bool,
    /// Every signing certificate in use is parsed and in validity.
    pub signing: bool,
    /// Every key is in the index.
    pub index: bool,
    /// The clock agrees with the store's.
    pub clock: bool,
}

impl ReadinessReport {
    pub fn is_ready(self) -> bool {
        let Self { store, signing, index, clock } = self;
        store && signing && index && clock
    }
}

#[derive(Serialize)]
struct ReadinessAnswer {
    ready: bool,
    #[serde(flatten)]
    report: ReadinessReport,
}

/// The [`Handler`] of the metrics listener.
pub struct OpsDoor {
    metrics: Arc<Metrics>,
    readiness: Arc<dyn Readiness>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Health,
    Metrics,
    Readiness,
}

static ROUTES: [Route<Endpoint>; 3] = [
    Route { method: Method::GET, pattern: "/metrics", endpoint: Endpoint::Metrics },
    Route { method: Method::GET, pattern: "/healthz", endpoint: Endpoint::Health },
    Route { method: Method::GET, pattern: "/readyz", endpoint: Endpoint::Readiness },
];

impl OpsDoor {
    pub fn new(metrics: Arc<Metrics>, readiness: Arc<dyn Readiness>) -> Self {
        Self { metrics, readiness }
    }

    async fn readiness(&self) -> Response<Full<Bytes>> {
        let report = self.readiness.check().await;
        let ready = report.is_ready();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = serde_json::to_vec(&ReadinessAnswer { ready, report }).expect("flags serialize");
        http::answer(status, "application/json", body)
    }
}

#[async_trait]
impl Handler for OpsDoor {
    async fn handle(&self, request: Request<Incoming>, _peer: &Peer) -> Response<Full<Bytes>> {
        let mut response = match route::find(&ROUTES, request.method(), request.uri().path()) {
            Found::Endpoint(Endpoint::Metrics, _) => http::answer(StatusCode::OK, METRICS_TEXT, self.metrics.render()),
            Found::Endpoint(Endpoint::Health, _) => http::answer(StatusCode::OK, TEXT, "ok\n"),
            Found::Endpoint(Endpoint::Readiness, _) => self.readiness().await,
            Found::MethodNotAllowed(methods) => {
                let mut response = http::answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n");
                response.headers_mut().insert(ALLOW, route::allow(&methods));
                response
            }
            Found::NotFound => http::answer(StatusCode::NOT_FOUND, TEXT, "not found\n"),
        };
        forbid_storing(response.headers_mut());
        response
    }
}
