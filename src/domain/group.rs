//! Groups: what components join.

use super::{AddressList, Description, Kind, Name, Revision};
use crate::clock::Timestamp;
use crate::id::{CustomerId, GroupId, SigningCertificateId};

/// What a component joins. Its kind decides the kind of its keys and components.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub id: GroupId,
    pub customer_id: CustomerId,
    pub kind: Kind,
    pub name: Name,
    pub description: Description,
    pub enabled: bool,
    /// Preselected for a new key; signs for components whose key is gone.
    pub signing_certificate_id: SigningCertificateId,
    pub addresses: AddressList,
    /// Members of the public management API that Muster keeps for its clients and does not
    /// interpret (`latitude`, `versionProfileId`, `upgradeDay`…), by their wire names.
    pub attributes: serde_json::Map<String, serde_json::Value>,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    /// The administrator or API client, or `None` when the system did it.
    pub modified_by: Option<u64>,
    pub revision: Revision,
}
