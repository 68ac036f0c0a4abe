//! What this node's listeners show, and what devices are told to trust them by, as the store has it now.
//!
//! The anchor above certificates made here is the service's, and rolled by an administrator on any node. The nodes
//! learn of it from the change feed, as of everything else: each then makes leaves below the new one, tells both
//! anchors to devices, and writes them to the file that commands on its machine trust.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::endpoint::Endpoint;
use super::first_start::write_anchor;
use crate::ca::EndpointAnchor;
use crate::clock::{Clock, Timestamp};
use crate::domain::TrustPin;
use crate::enrollment::Directory;
use crate::management::first_start::LoadSecretsError;
use crate::management::tls_anchor::load_anchor;
use crate::metrics::Metrics;
use crate::protocol::enroll::PemText;
use crate::secret::master::MasterKeys;
use crate::server::health::AnchorHealth;
use crate::store::{Store, StoreError};

/// How long key strings go on to carry the old pin after a roll, where other nodes share the store: a key that was
/// just made may be presented to one that does not show the new anchor yet. Both pins are good meanwhile.
const PIN_SETTLES: Duration = Duration::from_secs(10);

/// What the node's listeners show, kept up to date.
pub(super) struct TlsTrust {
    pub(super) store: Arc<dyn Store>,
    pub(super) master_keys: Arc<MasterKeys>,
    pub(super) directory: Arc<Directory>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) data_dir: PathBuf,
    pub(super) enroll: Endpoint,
    pub(super) admin: Endpoint,
    pub(super) anchor: ArcSwap<EndpointAnchor>,
    /// What new key strings pin.
    pub(super) pin: Arc<ArcSwap<TrustPin>>,
    /// What the enrollment endpoint's answers say to trust it by.
    pub(super) server_anchors: Arc<ArcSwap<PemText>>,
    pub(super) followed: Mutex<Followed>,
}

/// How far the store was followed.
#[derive(Default)]
pub(super) struct Followed {
    /// [`Directory::service_changes`] when the anchor was read last.
    changes: Option<u64>,
    /// From when on new key strings pin the anchor that was taken over last.
    settled: Option<Instant>,
}

/// See [`TlsTrust::certificate_ends`].
pub(super) struct CertificateEnds {
    /// `None` while both listeners show files from elsewhere.
    pub(super) anchor: Option<Timestamp>,
    /// By listener.
    pub(super) listeners: [(&'static str, Timestamp); 2],
}

impl TlsTrust {
    /// Takes over the anchor as the store has it, if something of the service was changed since the last look.
    ///
    /// # Errors
    /// The store's. An anchor that cannot be used is logged, and the present one stays.
    pub(super) async fn follow(&self) -> Result<(), StoreError> {
        let changes = self.directory.service_changes();
        let mut followed = self.followed.lock().await;
        if followed.changes != Some(changes) {
            match load_anchor(&*self.store, &self.master_keys).await {
                Ok(anchor) => self.take_over(anchor, &mut followed),
                Err(LoadSecretsError::Store(error)) => return Err(error),
                Err(error) => tracing::error!(%error, "The TLS trust anchor cannot be followed."),
            }
            followed.changes = Some(changes);
        }
        if followed.settled.is_some_and(|settled| Instant::now() >= settled) {
            followed.settled = None;
            self.pin.store(Arc::new(self.enroll.pin()));
        }
        Ok(())
    }

    fn take_over(&self, anchor: EndpointAnchor, followed: &mut Followed) {
        if self.anchor.load().is(&anchor) {
            return;
        }
        let (anchor, now) = (Arc::new(anchor), self.clock.now());
        self.anchor.store(Arc::clone(&anchor));
        for endpoint in self.endpoints() {
            if let Err(error) = endpoint.take_anchor(Arc::clone(&anchor), now) {
                tracing::error!(%error, "A listener could not take over the TLS trust anchor.");
            }
        }
        if let Err(error) = write_anchor(&self.data_dir, &anchor.trust_anchors_pem(now)) {
            tracing::error!(%error, "Commands on this machine may not trust the service any more.");
        }
        let not_after = anchor.not_after();
        match anchor.previous_not_after(now) {
            Some(_) => tracing::info!(%not_after, "The TLS trust anchor is being rolled; both are shown."),
            None => tracing::info!(%not_after, "Listeners have one TLS trust anchor."),
        }
        self.tell(now);
        let settles = if self.store.is_shared() { PIN_SETTLES } else { Duration::ZERO };
        followed.settled = Some(Instant::now() + settles);
    }

    /// Renews what was made here and is due.
    pub(super) fn renew_if_due(&self) {
        let now = self.clock.now();
        for endpoint in self.endpoints() {
            match endpoint.renew_if_due(now) {
                Ok(true) => {
                    tracing::info!(not_after = %endpoint.not_after(), "A listener's own certificate was renewed.");
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "A listener's own certificate could not be renewed."),
            }
        }
        self.tell(now);
    }

    /// Says what the listeners show now, after they may have been given other files.
    pub(super) fn publish(&self) {
        self.pin.store(Arc::new(self.enroll.pin()));
        self.tell(self.clock.now());
    }

    /// All but the pin.
    fn tell(&self, now: Timestamp) {
        self.server_anchors.store(Arc::new(self.enroll.trust_anchors_pem(now).as_str().into()));
        self.metrics.set_certificate_expiry("enroll-endpoint", self.enroll.not_after());
        self.metrics.set_certificate_expiry("admin-endpoint", self.admin.not_after());
        let anchor = self.anchor_health(now);
        let series = [
            ("endpoint-anchor", anchor.map(|anchor| anchor.not_after)),
            ("endpoint-anchor-previous", anchor.and_then(|anchor| anchor.previous_not_after)),
        ];
        for (certificate, not_after) in series {
            match not_after {
                Some(not_after) => self.metrics.set_certificate_expiry(certificate, not_after),
                None => self.metrics.forget_certificate(certificate),
            }
        }
    }

    /// `None` while both listeners show files from elsewhere.
    pub(super) fn anchor_health(&self, now: Timestamp) -> Option<AnchorHealth> {
        let anchor = self.anchor.load();
        self.endpoints()
            .into_iter()
            .any(Endpoint::is_own)
            .then(|| AnchorHealth { not_after: anchor.not_after(), previous_not_after: anchor.previous_not_after(now) })
    }

    /// When what the listeners show ends.
    pub(super) fn certificate_ends(&self, now: Timestamp) -> CertificateEnds {
        CertificateEnds {
            anchor: self.anchor_health(now).map(|anchor| anchor.not_after),
            listeners: [("admin", self.admin.not_after()), ("enroll", self.enroll.not_after())],
        }
    }

    fn endpoints(&self) -> [&Endpoint; 2] {
        [&self.enroll, &self.admin]
    }
}
