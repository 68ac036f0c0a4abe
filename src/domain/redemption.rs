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

/// Check 3 (docs/contract.md, "Checks") but for the address: customer, group and signing certificate
/// of a key, `None` where one is gone, disabled, or cannot sign now, then the key itself. The first
/// that is not in order is the refusal.
///
/// # Errors
/// [`Refusal::CustomerDisabled`], [`Refusal::GroupDisabled`], [`Refusal::SigningCertificateUnavailable`],
/// [`Refusal::KeyDisabled`], [`Refusal::KeyExpired`], in this order.
pub fn check_standing<C, G, S>(
    (customer, group, signer): (Option<C>, Option<G>, Option<S>),
    key_enabled: bool,
    key_expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(C, G, S), Refusal> {
    let customer = customer.ok_or(Refusal::CustomerDisabled)?;
    let group = group.ok_or(Refusal::GroupDisabled)?;
    let signer = signer.ok_or(Refusal::SigningCertificateUnavailable)?;
    if !key_enabled {
        return Err(Refusal::KeyDisabled);
    }
    if key_expires_at.is_some_and(|end| now >= end) {
        return Err(Refusal::KeyExpired);
    }
    Ok((customer, group, signer))
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
                previous_serial: None,
                modified_at: NOW,
                modified_by: None,
                revision: Revision::FIRST,
            },
            certificate: CertificateRecord {
                serial,
                customer_id: CustomerId::from_raw(1),
                component_id: ComponentId::from_raw(9),
                key_id: ProvisioningKeyId::from_raw(2),
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
    fn the_first_that_is_not_in_order_is_the_refusal() {
        let before = NOW.saturating_sub(Duration::from_secs(1));
        let after = NOW.saturating_add(Duration::from_secs(1));
        let check = |in_order: [bool; 4], expires_at| {
            let there = |place: usize| in_order[place].then_some(place);
            check_standing((there(0), there(1), there(2)), in_order[3], expires_at, NOW)
        };
        let order = [
            Refusal::CustomerDisabled,
            Refusal::GroupDisabled,
            Refusal::SigningCertificateUnavailable,
            Refusal::KeyDisabled,
        ];
        for (place, refusal) in order.into_iter().enumerate() {
            // What comes later is not in order either, and is not what is told.
            let in_order = std::array::from_fn(|at| at < place);
            assert_eq!(check(in_order, Some(before)), Err(refusal));
        }
        for end in [before, NOW] {
            assert_eq!(check([true; 4], Some(end)), Err(Refusal::KeyExpired), "{end}");
        }
        for end in [None, Some(after)] {
            assert_eq!(check([true; 4], end), Ok((0, 1, 2)), "{end:?}");
        }
    }

    #[test]
    fn a_component_re_enrolls_ten_times_a_day() {
        assert_eq!((RE_ENROLLMENTS_MAX, RE_ENROLLMENT_WINDOW), (10, Duration::from_secs(86_400)));
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
