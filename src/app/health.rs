//! How this node is: for `/readyz` and for administrators.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::endpoint::Endpoint;
use super::tls_trust::TlsTrust;
use crate::clock::{Clock, Timestamp};
use crate::enrollment::{Directory, StoreClock};
use crate::management::first_start::SETTING_INITIALIZED_AT;
use crate::metrics::Metrics;
use crate::server::health::{
    ClockHealth, EndpointHealth, Health, HealthSource, IndexHealth, SigningHealth, StoreHealth,
};
use crate::store::Store;

/// A probe writes; however often the doors ask, it is made once in this time.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// A store that takes longer is not ready.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct NodeHealth {
    pub(super) store: Arc<dyn Store>,
    pub(super) engine: &'static str,
    pub(super) directory: Arc<Directory>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store_clock: Arc<StoreClock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tls: Arc<TlsTrust>,
    pub(super) last_probe: Mutex<Option<(Instant, Probe)>>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Probe {
    commit_took: Option<Duration>,
    is_after_first_start: bool,
    changes_behind: Option<u64>,
}

impl NodeHealth {
    async fn probe(&self) -> Probe {
        let mut last = self.last_probe.lock().await;
        match *last {
            Some((at, probe)) if at.elapsed() < PROBE_EVERY => probe,
            _ => {
                let probe = tokio::time::timeout(PROBE_TIMEOUT, self.probe_anew()).await.unwrap_or_default();
                *last = Some((Instant::now(), probe));
                probe
            }
        }
    }

    async fn probe_anew(&self) -> Probe {
        let began = Instant::now();
        let commit_took = self.store.probe().await.is_ok().then(|| began.elapsed());
        Probe {
            commit_took,
            is_after_first_start: self.is_after_first_start().await,
            changes_behind: self.directory.changes_behind().await.ok().flatten(),
        }
    }

    async fn is_after_first_start(&self) -> bool {
        let first_start = self.store.find_setting(SETTING_INITIALIZED_AT).await.ok().flatten();
        let first_start = first_start.and_then(|text| Timestamp::from_rfc3339(&text).ok());
        first_start.is_some_and(|first_start| self.clock.now() >= first_start)
    }
}

#[async_trait]
impl HealthSource for NodeHealth {
    async fn check(&self) -> Health {
        let Probe { commit_took, is_after_first_start, changes_behind } = self.probe().await;
        let (meant, able) = self.directory.count_signers(self.clock.now());
        let endpoint = |listener, endpoint: &Endpoint| EndpointHealth { listener, not_after: endpoint.not_after() };
        Health {
            store: StoreHealth { is_ready: commit_took.is_some(), engine: self.engine, commit_took },
            signing: SigningHealth { meant, able },
            // The listeners accept only after the index was filled.
            index: IndexHealth { is_ready: true, keys: self.directory.count_keys(), changes_behind },
            clock: ClockHealth { is_after_first_start, difference: self.store_clock.difference() },
            endpoints: vec![endpoint("admin", &self.tls.admin), endpoint("enroll", &self.tls.enroll)],
            anchor: self.tls.anchor_health(self.clock.now()),
            unknown_keys: self.metrics.unknown_keys(),
            last_backup: self.metrics.last_backup(),
        }
    }
}
