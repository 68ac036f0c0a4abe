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

use super::health::HealthSource;
use super::http::route::{self, Found, Route};
use super::http::{self, Handler, Peer, forbid_storing};
use crate::metrics::Metrics;

const TEXT: &str = "text/plain; charset=utf-8";
/// The exposition format that the `prometheus` crate writes.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which parts are ready. The numbers behind them are in the metrics.
#[derive(Serialize)]
struct ReadinessAnswer {
    ready: bool,
    store: bool,
    signing: bool,
    index: bool,
    clock: bool,
}

/// The [`Handler`] of the metrics listener.
pub struct OpsDoor {
    metrics: Arc<Metrics>,
    health: Arc<dyn HealthSource>,
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
    pub fn new(metrics: Arc<Metrics>, health: Arc<dyn HealthSource>) -> Self {
        Self { metrics, health }
    }

    async fn readiness(&self) -> Response<Full<Bytes>> {
        let health = self.health.check().await;
        let answer = ReadinessAnswer {
            ready: health.is_ready(),
            store: health.store.is_ready,
            signing: health.signing.is_ready(),
            index: health.index.is_ready,
            clock: health.clock.is_ready(),
        };
        let status = if answer.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = serde_json::to_vec(&answer).expect("flags serialize");
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
