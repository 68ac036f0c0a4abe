//! Where one room's trait meets another room's type.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::domain::address::SourcePrefix;
use crate::domain::{Reference, Refusal, RefusalReason};
use crate::enrollment::{Directory, RefusalTallies};
use crate::id::CustomerId;
use crate::management::{Announce, AnnounceError};
use crate::metrics::Metrics;
use crate::protocol::enroll::PemText;
use crate::server::enroll::{CustomerTrustAnchors, KeyIdentity, RefusalSink};
use crate::store::{ChangeSequence, CommitObserver};

/// An administrator's change is in force on this node before the administrator is answered.
pub(super) struct AnnounceToDirectory(pub Arc<Directory>);

#[async_trait]
impl Announce for AnnounceToDirectory {
    async fn announce(&self, through: ChangeSequence) -> Result<(), AnnounceError> {
        self.0.follow(through).await.map_err(|error| AnnounceError { through, reason: error.to_string() })
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
}
