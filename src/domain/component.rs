//! Components: what enrollments made.

use std::net::IpAddr;

use super::{Description, Fingerprint, Kind, Revision, SerialNumber};
use crate::clock::Timestamp;
use crate::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId};

/// An App Connector, Private Service Edge, Network Connector or machine.
///
/// At most one that is not deleted exists per (key, fingerprint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub id: ComponentId,
    pub customer_id: CustomerId,
    /// The key it enrolled with, or was attached to. It may have been deleted since.
    pub key_id: ProvisioningKeyId,
    pub group_id: GroupId,
    pub kind: Kind,
    /// `<key name>-<n>` at first, whoever else is called so: enrollments do not look for names. An edit is
    /// refused a name that another component of the customer and kind bears, without regard to case.
    pub name: String,
    pub description: Description,
    /// The `n` of the first name; unique per key.
    pub ordinal: u64,
    pub fingerprint: Fingerprint,
    pub hostname: Option<String>,
    pub platform: Option<String>,
    pub software_version: Option<String>,
    pub remote_address: IpAddr,
    pub enabled: bool,
    pub state: ComponentState,
    pub enrolled_at: Timestamp,
    /// Serial of the certificate that is good now; its row is in `certificates`.
    pub current_serial: SerialNumber,
    /// Serial of the one that the current certificate replaced in a renewal or rekey; `None` after an enrollment or
    /// re-enrollment.
    pub previous_serial: Option<SerialNumber>,
    pub modified_at: Timestamp,
    /// The administrator or API client, or `None` when nobody changed it since it enrolled.
    pub modified_by: Option<u64>,
    pub revision: Revision,
}

/// Expiry of its certificate does not end a component; these do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentState {
    /// In service, unless disabled.
    Live,
    /// Refused until it is deleted; its certificates are on the CRL.
    Revoked { at: Timestamp },
    /// Kept for its certificates and its history; the device may enroll anew.
    Deleted { at: Timestamp },
}

/// One badge for a component. When several hold, the first in this order is shown: what keeps it out
/// for longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentBadge {
    Deleted,
    Revoked,
    Disabled,
    /// Its certificate ended.
    Expired,
    Live,
}

impl ComponentBadge {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Live => "live",
        }
    }
}

impl Component {
    /// `not_after`: of its current certificate.
    pub fn badge(&self, not_after: Timestamp, now: Timestamp) -> ComponentBadge {
        match self.state {
            ComponentState::Deleted { .. } => ComponentBadge::Deleted,
            ComponentState::Revoked { .. } => ComponentBadge::Revoked,
            ComponentState::Live if !self.enabled => ComponentBadge::Disabled,
            ComponentState::Live if now >= not_after => ComponentBadge::Expired,
            ComponentState::Live => ComponentBadge::Live,
        }
    }
}

/// What a device says of itself beside the fingerprint. None of it is believed, all of it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceDescription {
    /// At most 253 bytes.
    pub hostname: Option<String>,
    /// At most 64 bytes.
    pub platform: Option<String>,
    /// At most 64 bytes.
    pub software_version: Option<String>,
}
