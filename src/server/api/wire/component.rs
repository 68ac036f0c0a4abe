//! `connector`, `serviceEdge`, `networkConnector`, `machine`.

use super::Listed;
use crate::store::ComponentField;

/// Each kind shows its group under names of its own; a search may use any.
impl Listed for ComponentField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("name", Self::Name),
        ("description", Self::Description),
        ("enabled", Self::Enabled),
        ("state", Self::State),
        ("creationTime", Self::EnrolledAt),
        ("enrollmentTime", Self::EnrolledAt),
        ("modifiedTime", Self::ModifiedAt),
        ("fingerprint", Self::Fingerprint),
        ("certificateSerialNumber", Self::SerialNumber),
        ("certificateNotAfter", Self::CertificateNotAfter),
        ("provisioningKeyId", Self::KeyId),
        ("provisioningKeyName", Self::KeyName),
        ("hostname", Self::Hostname),
        ("platform", Self::Platform),
        ("currentVersion", Self::SoftwareVersion),
        ("remoteAddress", Self::RemoteAddress),
        ("publicIp", Self::RemoteAddress),
        ("appConnectorGroupId", Self::GroupId),
        ("appConnectorGroupName", Self::GroupName),
        ("serviceEdgeGroupId", Self::GroupId),
        ("serviceEdgeGroupName", Self::GroupName),
        ("networkConnectorGroupId", Self::GroupId),
        ("networkConnectorGroupName", Self::GroupName),
        ("machineGroupId", Self::GroupId),
        ("machineGroupName", Self::GroupName),
    ];
}
