//! The decision (docs/contract.md, "Renewal"): what a presented certificate and a verified CSR lead to.
//!
//! Pure, so that every row of the table is a test. The store confirms the decision at commit.

use super::certificate::PublicKeyHash;
use super::{CertificateRecord, CertificateStatus, Component, ComponentState, Refusal};

/// What the store knows of a certificate that somebody presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCertificate {
    pub component: Component,
    /// The component's current certificate.
    pub current: CertificateRecord,
    /// The presented one, which may be the same.
    pub presented: CertificateRecord,
}

/// What a certificate is to its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Current,
    /// Replaced by the current one, in a renewal or rekey: whoever has it may have lost the answer.
    Predecessor,
    /// Replaced before that. Its key pair is the current one's still.
    Renewed,
    /// It says nothing any more: superseded by a re-enrollment or an earlier rekey, revoked, deleted.
    Ended,
}

/// What to do with a device that holds the key pair of a certificate of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalDecision {
    /// A new certificate for the key pair of the current one.
    Renew,
    /// A new certificate for another key pair.
    Rekey,
    /// Answer the current certificate again; write nothing.
    Replay,
    Refuse(Refusal),
}

impl KnownCertificate {
    pub fn standing(&self) -> Standing {
        let serial = self.presented.serial;
        match (self.component.state, self.presented.status) {
            (ComponentState::Deleted { .. } | ComponentState::Revoked { .. }, _) => Standing::Ended,
            (ComponentState::Live, _) if serial == self.component.current_serial => Standing::Current,
            (ComponentState::Live, _) if Some(serial) == self.component.previous_serial => Standing::Predecessor,
            (ComponentState::Live, CertificateStatus::Renewed { .. }) => Standing::Renewed,
            (ComponentState::Live, _) => Standing::Ended,
        }
    }

    /// Decides for a device whose certificate is in its time and whose customer, group and component are in order. One
    /// that has [ended](Standing::Ended) was refused before.
    pub fn decide(&self, public_key: &PublicKeyHash) -> RenewalDecision {
        let same_key_pair = self.current.public_key_hash == *public_key;
        match self.standing() {
            Standing::Current if same_key_pair => RenewalDecision::Renew,
            Standing::Current => RenewalDecision::Rekey,
            Standing::Predecessor if same_key_pair => RenewalDecision::Replay,
            Standing::Ended | Standing::Predecessor | Standing::Renewed => {
                RenewalDecision::Refuse(Refusal::ClientCertificateSuperseded)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{Description, Fingerprint, Kind, Revision, RevocationReason, SerialNumber};
    use crate::id::{ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};

    const AT: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const SAME: PublicKeyHash = [1; 32];
    const DIFFERENT: PublicKeyHash = [2; 32];

    const CURRENT: SerialNumber = SerialNumber::from_bytes([3; 16]);
    const PREVIOUS: SerialNumber = SerialNumber::from_bytes([2; 16]);
    const FIRST: SerialNumber = SerialNumber::from_bytes([1; 16]);

    fn certificate(serial: SerialNumber, status: CertificateStatus) -> CertificateRecord {
        CertificateRecord {
            serial,
            customer_id: CustomerId::from_raw(1),
            component_id: ComponentId::from_raw(9),
            key_id: ProvisioningKeyId::from_raw(2),
            signing_certificate_id: SigningCertificateId::from_raw(4),
            der: vec![],
            public_key_hash: SAME,
            issued_at: AT,
            not_before: AT,
            not_after: AT,
            status,
        }
    }

    fn known(state: ComponentState, previous: Option<SerialNumber>, presented: CertificateRecord) -> KnownCertificate {
        let component = Component {
            id: ComponentId::from_raw(9),
            customer_id: CustomerId::from_raw(1),
            key_id: ProvisioningKeyId::from_raw(3),
            group_id: GroupId::from_raw(2),
            kind: Kind::Machine,
            name: "k-1".into(),
            description: Description::default(),
            ordinal: 1,
            fingerprint: Fingerprint::new("0123456789abcdef").unwrap(),
            hostname: None,
            platform: None,
            software_version: None,
            remote_address: [192, 0, 2, 1].into(),
            enabled: true,
            state,
            enrolled_at: AT,
            current_serial: CURRENT,
            previous_serial: previous,
            modified_at: AT,
            modified_by: None,
            revision: Revision::FIRST,
        };
        KnownCertificate { component, current: certificate(CURRENT, CertificateStatus::Current), presented }
    }

    #[test]
    fn every_row_of_the_table() {
        use RenewalDecision::{Refuse, Rekey, Renew, Replay};
        const SUPERSEDED: RenewalDecision = Refuse(Refusal::ClientCertificateSuperseded);
        let renewed = CertificateStatus::Renewed { at: AT };
        let superseded = CertificateStatus::Superseded { at: AT };
        let revoked = CertificateStatus::Revoked { at: AT, reason: RevocationReason::Unspecified };

        // presented, the component's predecessor, standing, with the same key pair, with another
        let rows = [
            ((CURRENT, CertificateStatus::Current), None, Standing::Current, Renew, Rekey),
            ((CURRENT, CertificateStatus::Current), Some(PREVIOUS), Standing::Current, Renew, Rekey),
            ((PREVIOUS, renewed), Some(PREVIOUS), Standing::Predecessor, Replay, SUPERSEDED),
            ((PREVIOUS, superseded), Some(PREVIOUS), Standing::Predecessor, Replay, SUPERSEDED),
            ((FIRST, renewed), Some(PREVIOUS), Standing::Renewed, SUPERSEDED, SUPERSEDED),
            ((FIRST, renewed), None, Standing::Renewed, SUPERSEDED, SUPERSEDED),
            ((FIRST, superseded), Some(PREVIOUS), Standing::Ended, SUPERSEDED, SUPERSEDED),
            ((FIRST, superseded), None, Standing::Ended, SUPERSEDED, SUPERSEDED),
            ((FIRST, revoked), None, Standing::Ended, SUPERSEDED, SUPERSEDED),
        ];
        for (row, ((serial, status), previous, standing, same, different)) in rows.into_iter().enumerate() {
            let known = known(ComponentState::Live, previous, certificate(serial, status));
            assert_eq!(known.standing(), standing, "row {row}");
            assert_eq!((known.decide(&SAME), known.decide(&DIFFERENT)), (same, different), "row {row}");
        }
        for state in [ComponentState::Revoked { at: AT }, ComponentState::Deleted { at: AT }] {
            for (serial, status) in [(CURRENT, revoked), (PREVIOUS, renewed), (FIRST, renewed)] {
                let known = known(state, Some(PREVIOUS), certificate(serial, status));
                assert_eq!(known.standing(), Standing::Ended, "{state:?}, {serial}");
            }
        }
    }
}
