//! The decision (docs/contract.md, "Decision"): what a verified key and a verified CSR lead to.
//!
//! Pure, so that every row of the table is a test. The store confirms the decision at commit.

use std::time::Duration;

use super::certificate::PublicKeyHash;
use super::{CertificateRecord, Component, ComponentState, Refusal};
use crate::clock::Timestamp;

/// Re-enrollments of one component within [`RE_ENROLLMENT_WINDOW`]; one more is refused.
pub const RE_ENROLLMENTS_MAX: u32 = 10;

/// The window of [`RE_ENROLLMENTS_MAX`], ending now.
pub const RE_ENROLLMENT_WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// What the store knows of a (key, fingerprint) that is not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownComponent {
    pub component: Component,
    /// Its current certificate.
    pub certificate: CertificateRecord,
    /// Re-enrollments after the instant that was asked for, see [`RE_ENROLLMENT_WINDOW`].
    pub recent_re_enrollments: u32,
}

/// What to do with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Make a component and take a use.
    Enroll,
    /// Sign anew for the known component; no use.
    ReEnroll,
    /// Answer the stored certificate again; write nothing.
    Replay,
    Refuse(Refusal),
}

/// Decides for a device whose key, group, customer and signing certificate are in order.
///
/// `uses_left` is asked only when the device is not known.
pub fn decide(
    known: Option<&KnownComponent>,
    public_key: &PublicKeyHash,
    allow_re_enrollment: bool,
    uses_left: bool,
    now: Timestamp,
) -> Decision {
    let Some(known) = known else {
        return if uses_left { Decision::Enroll } else { Decision::Refuse(Refusal::KeyExhausted) };
    };
    match known.component.state {
        ComponentState::Deleted { .. } => {
            unreachable!("a deleted component is not known under its fingerprint any more")
        }
        ComponentState::Revoked { .. } => Decision::Refuse(Refusal::ComponentRevoked),
        ComponentState::Live if !known.component.enabled => Decision::Refuse(Refusal::ComponentDisabled),
        ComponentState::Live => {
            let same_key_pair = known.certificate.public_key_hash == *public_key;
            if same_key_pair && now < known.certificate.not_after {
                Decision::Replay
            } else if !allow_re_enrollment {
                Decision::Refuse(Refusal::ReEnrollmentNotAllowed)
            } else if known.recent_re_enrollments >= RE_ENROLLMENTS_MAX {
                Decision::Refuse(Refusal::ReEnrollmentLimit)
            } else {
                Decision::ReEnroll
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CertificateStatus, Description, Fingerprint, Kind, Revision, SerialNumber};
    use crate::id::{ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const SAME: PublicKeyHash = [1; 32];
    const DIFFERENT: PublicKeyHash = [2; 32];

    fn known(state: ComponentState, enabled: bool, not_after: Timestamp, recent: u32) -> KnownComponent {
        let serial = SerialNumber::from_bytes([1; 16]);
        KnownComponent {
            component: Component {
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
                enabled,
                state,
                enrolled_at: NOW,
                current_serial: serial,
                modified_at: NOW,
                revision: Revision::FIRST,
            },
            certificate: CertificateRecord {
                serial,
                customer_id: CustomerId::from_raw(1),
                component_id: ComponentId::from_raw(9),
                signing_certificate_id: SigningCertificateId::from_raw(4),
                der: vec![],
                public_key_hash: SAME,
                issued_at: NOW,
                not_before: NOW,
                not_after,
                status: CertificateStatus::Current,
            },
            recent_re_enrollments: recent,
        }
    }

    #[test]
    fn every_row_of_the_table() {
        use Decision::{Enroll, ReEnroll, Refuse, Replay};
        let later = NOW.saturating_add(Duration::from_secs(1));
        let live = |not_after, recent| Some(known(ComponentState::Live, true, not_after, recent));
        let disabled = || Some(known(ComponentState::Live, false, later, 0));
        let revoked = || Some(known(ComponentState::Revoked { at: NOW }, true, later, 0));

        // known, public key, re-enrollment allowed, uses left, decision
        let rows = [
            (None, SAME, false, true, Enroll),
            (None, SAME, true, false, Refuse(Refusal::KeyExhausted)),
            (live(later, 0), SAME, false, false, Replay),
            (live(later, 10), SAME, true, false, Replay),
            (live(NOW, 0), SAME, false, true, Refuse(Refusal::ReEnrollmentNotAllowed)),
            (live(NOW, 0), SAME, true, false, ReEnroll),
            (live(later, 0), DIFFERENT, false, true, Refuse(Refusal::ReEnrollmentNotAllowed)),
            (live(later, 9), DIFFERENT, true, false, ReEnroll),
            (live(later, 10), DIFFERENT, true, true, Refuse(Refusal::ReEnrollmentLimit)),
            (disabled(), SAME, true, true, Refuse(Refusal::ComponentDisabled)),
            (disabled(), DIFFERENT, true, true, Refuse(Refusal::ComponentDisabled)),
            (revoked(), SAME, true, true, Refuse(Refusal::ComponentRevoked)),
            (revoked(), DIFFERENT, true, true, Refuse(Refusal::ComponentRevoked)),
        ];
        for (row, (known, public_key, allowed, left, decision)) in rows.into_iter().enumerate() {
            assert_eq!(decide(known.as_ref(), &public_key, allowed, left, NOW), decision, "row {row}");
        }
    }
}
