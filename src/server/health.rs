//! How the service is: one source for `/readyz` and for whoever looks at Home.

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::enrollment::ClockDifference;

/// Where the doors learn how the service is. Asked on every `GET /readyz`, so it must answer in
/// milliseconds, also while a part is away.
#[async_trait]
pub trait HealthSource: Send + Sync + 'static {
    async fn check(&self) -> Health;
}

/// Each part, whether it is ready, and a number that tells more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub store: StoreHealth,
    pub signing: SigningHealth,
    pub index: IndexHealth,
    pub clock: ClockHealth,
    /// The TLS certificates that the listeners show, in the order of their names.
    pub endpoints: Vec<EndpointHealth>,
    /// The service's own TLS trust anchor; `None` while no listener shows a certificate below it.
    pub anchor: Option<AnchorHealth>,
    /// Requests with a string that is no key of anybody's, since this process began.
    pub unknown_keys: u64,
    /// When the last backup was made of this node's data directory, if one was.
    pub last_backup: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreHealth {
    /// Answers, and takes commits.
    pub is_ready: bool,
    /// As the configuration names it.
    pub engine: &'static str,
    /// How long the last small durable commit took, its wait for others included; `None`: it failed.
    pub commit_took: Option<Duration>,
}

/// Signing certificates that are in validity and meant to sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigningHealth {
    pub meant: usize,
    /// Of those, how many are parsed and have their key.
    pub able: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexHealth {
    /// Every key that there was at the start is in the index.
    pub is_ready: bool,
    pub keys: usize,
    /// Changes of settings in the store that are not in force on this node yet; `None`: they are being applied, or the
    /// store did not say.
    pub changes_behind: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockHealth {
    /// It is not before the store's first start.
    pub is_after_first_start: bool,
    pub difference: ClockDifference,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHealth {
    /// `admin` or `enroll`.
    pub listener: &'static str,
    /// End of the leaf; of files from elsewhere of the first of the chain.
    pub not_after: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnchorHealth {
    pub not_after: Timestamp,
    /// Of the one before it, while it is rolled.
    pub previous_not_after: Option<Timestamp>,
}

impl SigningHealth {
    pub fn is_ready(self) -> bool {
        self.able == self.meant
    }
}

impl ClockHealth {
    pub fn is_ready(self) -> bool {
        self.is_after_first_start && self.difference.is_ready()
    }
}

impl Health {
    /// Whether the node can do its work. A TLS certificate that ended is its clients' to judge.
    pub fn is_ready(&self) -> bool {
        self.store.is_ready && self.signing.is_ready() && self.index.is_ready && self.clock.is_ready()
    }
}
