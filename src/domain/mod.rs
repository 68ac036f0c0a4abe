//! Values and rules. No I/O, no async, no HTTP, no SQL: what is here can be tested by calling it.

pub mod address;
pub mod administrator;
pub mod attention;
pub mod audit;
pub mod buckets;
pub mod certificate;
pub mod clean_up;
pub mod component;
pub mod customer;
pub mod fingerprint;
pub mod group;
pub mod key;
pub mod key_string;
pub mod kind;
pub mod ledger;
pub mod name;
pub mod peppers;
pub mod places;
pub mod preference;
pub mod redemption;
pub mod refusal;
pub mod renewal;
pub mod revocation;
pub mod session;
pub mod webhook;

pub use address::{AddressList, Networks};
pub use administrator::{Actor, Administrator, ApiClient, Role};
pub use attention::Attention;
pub use buckets::{BucketStep, Buckets};
pub use certificate::{CertificateRecord, CertificateStatus, IssuedCertificate, SerialNumber, SigningCertificate};
pub use clean_up::{CleanUpDays, CleanUpSchedule};
pub use component::{Component, ComponentBadge, ComponentState};
pub use customer::Customer;
pub use fingerprint::Fingerprint;
pub use group::Group;
pub use key::{IndexedKey, KeyState, ProvisioningKey};
pub use key_string::{Cloud, KeySecret, KeyVersion, TrustPin};
pub use kind::Kind;
pub use name::{Description, Name};
pub use preference::{FilterName, PageName, Preference, QueryText, SavedFilter};
pub use refusal::{Reference, Refusal, RefusalReason};
pub use revocation::RevocationReason;
pub use session::SessionRecord;
pub use webhook::{Webhook, WebhookDelivery, WebhookEvent, WebhookEvents, WebhookUrl};

/// How often the settings of a row were changed; 1 when it is made. Counters do not move it.
///
/// It is the row's ETag, and what an enrollment shows the store to prove which settings it was
/// checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Revision(pub u64);

impl Revision {
    pub const FIRST: Self = Self(1);

    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
