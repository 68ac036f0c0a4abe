//! Where one room's trait meets another room's type.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::tls_trust::TlsTrust;
use crate::clock::Clock;
use crate::domain::address::SourcePrefix;
use crate::domain::{Reference, Refusal, RefusalReason};
use crate::enrollment::{Directory, RefusalTallies};
use crate::id::{CustomerId, GroupId};
use crate::management::{Announce, AnnounceError};
use crate::metrics::Metrics;
use crate::protocol::enroll::PemText;
use crate::server::enroll::{CustomerTrustAnchors, KeyIdentity, RefusalSink};
use crate::store::{ChangeSequence, CommitObserver};

/// An administrator's change is in force on this node before the administrator is answered.
pub(super) struct AnnounceToNode {
    pub directory: Arc<Directory>,
    pub tls: Arc<TlsTrust>,
}

#[async_trait]
impl Announce for AnnounceToNode {
    async fn announce(&self, through: ChangeSequence) -> Result<(), AnnounceError> {
        let followed = match self.directory.follow(through).await {
            Ok(()) => self.tls.follow().await,
            Err(error) => Err(error),
        };
        followed.map_err(|error| AnnounceError { through, reason: error.to_string() })
    }
}

/// What the store reports of its commits goes to the metrics.
pub(super) struct ObserveCommits(pub Arc<Metrics>);

impl CommitObserver for ObserveCommits {
    fn observe_commit(&self, size: usize, took: Duration) {
        self.0.observe_commit(size, took);
    }
}

/// Refusals of verified keys are counted in memory.
pub(super) struct CountRefusals {
    pub tallies: Arc<RefusalTallies>,
    pub clock: Arc<dyn Clock>,
}

impl RefusalSink for CountRefusals {
    fn note(&self, key: KeyIdentity, refusal: (Refusal, RefusalReason), source: SourcePrefix, reference: Reference) {
        self.tallies.note((key.customer_id, key.key_id), refusal, source, reference, self.clock.now());
    }
}

impl CustomerTrustAnchors for Directory {
    fn trust_anchors_pem(&self, customer: CustomerId) -> Option<PemText> {
        self.trust_anchors_pem(customer)
    }

    fn authorities(&self, customer: CustomerId) -> Option<Arc<[u8]>> {
        self.authorities(customer)
    }

    fn only_customer(&self) -> Option<CustomerId> {
        self.only_customer()
    }

    fn customer_of_group(&self, group: GroupId) -> Option<CustomerId> {
        self.customer_of_group(group)
    }
}
