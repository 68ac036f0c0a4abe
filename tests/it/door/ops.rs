//! What whoever watches the service is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use muster::enrollment::ClockDifference;
use muster::metrics::Metrics;
use muster::server::health::{ClockHealth, Health, HealthSource, IndexHealth, SigningHealth, StoreHealth};
use muster::server::listener::Limits;
use muster::server::ops::OpsDoor;

use super::support::{SHORT, Server, ask, get};

/// A service whose store is away until told otherwise.
#[derive(Default)]
pub struct Parts {
    store: AtomicBool,
    store_ahead_seconds: AtomicI64,
}

#[async_trait]
impl HealthSource for Parts {
    async fn check(&self) -> Health {
        let is_ready = self.store.load(Ordering::SeqCst);
        let difference = ClockDifference { store_ahead_seconds: self.store_ahead_seconds.load(Ordering::SeqCst) };
        Health {
            store: StoreHealth { is_ready, engine: "embedded", commit_took: is_ready.then_some(SHORT) },
            signing: SigningHealth { meant: 2, able: 2 },
            index: IndexHealth { is_ready: true, keys: 3, changes_behind: Some(0) },
            clock: ClockHealth { is_after_first_start: true, difference },
            endpoints: Vec::new(),
            anchor: None,
            unknown_keys: 0,
            last_backup: None,
        }
    }
}

#[tokio::test]
async fn health_readiness_and_numbers_are_told() {
    let parts = Arc::new(Parts::default());
    let metrics = Arc::new(Metrics::new());
    metrics.set_index_keys(3);
    let door = OpsDoor::new(metrics.clone(), parts.clone());
    let server = Server::start(Arc::new(door), Limits::default(), None, SHORT, metrics);
    let mut stream = server.tcp().await;

    assert_eq!(ask(&mut stream, get("/healthz")).await.body, "ok\n");
    let waiting = ask(&mut stream, get("/readyz")).await;
    assert_eq!(waiting.status, 503);
    assert_eq!(waiting.body, r#"{"ready":false,"store":false,"signing":true,"index":true,"clock":true}"#);
    parts.store.store(true, Ordering::SeqCst);
    let ready = ask(&mut stream, get("/readyz")).await;
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (200, Some(true)));

    for (seconds, is_ready) in [(5, true), (6, false), (-5, true), (-6, false), (61, false), (0, true)] {
        parts.store_ahead_seconds.store(seconds, Ordering::SeqCst);
        let reply = ask(&mut stream, get("/readyz")).await;
        assert_eq!((reply.status == 200, reply.json()["clock"].as_bool()), (is_ready, Some(is_ready)), "{seconds} s");
    }

    let numbers = ask(&mut stream, get("/metrics")).await;
    assert!(numbers.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    assert!(numbers.body.contains("\nmuster_index_keys 3\n"));

    assert_eq!(ask(&mut stream, get("/")).await.status, 404);
    let posted = ask(&mut stream, "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((posted.status, &posted.headers["allow"][..]), (405, "GET"));
}
