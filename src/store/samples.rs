//! What both stores' unit tests enroll.

use std::net::IpAddr;

use super::{EnrollmentCommit, EnrollmentIntent, SeenRevisions};
use crate::clock::Timestamp;
use crate::domain::component::DeviceDescription;
use crate::domain::{Fingerprint, IssuedCertificate, Revision, SerialNumber};
use crate::id::{ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};

/// Of a device of its own, with key 4 of customer 1.
pub(super) fn commit(device: u64) -> EnrollmentCommit {
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    EnrollmentCommit {
        seen: SeenRevisions {
            customer: (CustomerId::from_raw(1), Revision::FIRST),
            group: (GroupId::from_raw(3), Revision::FIRST),
            signing_certificate: (SigningCertificateId::from_raw(2), Revision::FIRST),
            key: (ProvisioningKeyId::from_raw(4), Revision::FIRST),
        },
        fingerprint: Fingerprint::new(&format!("{device:032}")).unwrap(),
        device: DeviceDescription::default(),
        remote_address: IpAddr::from([192, 0, 2, 1]),
        certificate: IssuedCertificate {
            serial: SerialNumber::random(),
            der: vec![0x30; 600],
            public_key_hash: [1; 32],
            issued_at: now,
            not_before: now,
            not_after: now,
        },
        intent: EnrollmentIntent::Enroll { component: ComponentId::from_raw(100 + device) },
    }
}
