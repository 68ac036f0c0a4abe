//! Whether this node can do its work: `/readyz`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::clock::{Clock, Timestamp};
use crate::enrollment::Directory;
use crate::management::first_start::SETTING_INITIALIZED_AT;
use crate::server::ops::{Readiness, ReadinessReport};
use crate::store::Store;

/// A probe writes; however often the door is asked, it is made once in this time.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// A store that takes longer is not ready.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct NodeReadiness {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    last_probe: Mutex<Option<(Instant, Probe)>>,
}

#[derive(Clone, Copy)]
struct Probe {
    store: bool,
    /// The clock is not before the store's first start.
    clock: bool,
}

impl NodeReadiness {
    pub(super) fn new(store: Arc<dyn Store>, directory: Arc<Directory>, clock: Arc<dyn Clock>) -> Self {
        Self { store, directory, clock, last_probe: Mutex::new(None) }
    }

    async fn probe(&self) -> Probe {
        let mut last = self.last_probe.lock().await;
        match *last {
            Some((at, probe)) if at.elapsed() < PROBE_EVERY => probe,
            _ => {
                let probing = async { (self.store.probe().await.is_ok(), self.is_after_first_start().await) };
                let (store, clock) = tokio::time::timeout(PROBE_TIMEOUT, probing).await.unwrap_or((false, false));
                let probe = Probe { store, clock };
                *last = Some((Instant::now(), probe));
                probe
            }
        }
    }

    async fn is_after_first_start(&self) -> bool {
        let first_start = self.store.find_setting(SETTING_INITIALIZED_AT).await.ok().flatten();
        let first_start = first_start.and_then(|text| Timestamp::from_rfc3339(&text).ok());
        first_start.is_some_and(|first_start| self.clock.now() >= first_start)
    }
}

#[async_trait]
impl Readiness for NodeReadiness {
    async fn check(&self) -> ReadinessReport {
        let Probe { store, clock } = self.probe().await;
        // The listeners accept only after the index was filled.
        ReadinessReport { store, signing: self.directory.is_signing_ready(self.clock.now()), index: true, clock }
    }
}
