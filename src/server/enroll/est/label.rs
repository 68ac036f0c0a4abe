//! The label of a path (RFC 7030 §3.2.2): for which customer or group it is.

use crate::id::{CustomerId, GroupId, Id as _};
use crate::server::enroll::refused::Refused;
use crate::server::enroll::{CustomerTrustAnchors, KeyIdentity};

/// One segment of a path, looked at before anything is known of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Absent,
    /// Of a customer or of a group: no id is of both.
    Id(u64),
    /// It names nothing.
    Unknown,
}

impl Label {
    /// `segment`: empty if the path has none.
    pub fn parse(segment: &str) -> Self {
        match segment.parse::<CustomerId>() {
            _ if segment.is_empty() => Self::Absent,
            Ok(id) => Self::Id(id.raw()),
            Err(_) => Self::Unknown,
        }
    }

    /// # Errors
    /// Nothing of this customer and this group is there.
    pub fn admit(self, who: KeyIdentity) -> Result<(), Refused> {
        match self {
            Self::Absent => Ok(()),
            Self::Id(id) if id == who.customer_id.raw() || id == who.group_id.raw() => Ok(()),
            Self::Id(_) | Self::Unknown => Err(Refused::NotFound),
        }
    }

    /// The customer whose CAs are there. Without a label: the only one that there is.
    pub fn customer(self, anchors: &dyn CustomerTrustAnchors) -> Option<CustomerId> {
        match self {
            Self::Absent => anchors.only_customer(),
            Self::Id(id) => Some(anchors.customer_of_group(GroupId::from_raw(id)).unwrap_or(CustomerId::from_raw(id))),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ProvisioningKeyId;

    #[test]
    fn only_ids_are_labels() {
        assert_eq!(Label::parse(""), Label::Absent);
        assert_eq!(Label::parse("72057594037927936"), Label::Id(72_057_594_037_927_936));
        for segment in ["0", "07", "-1", "x", "7 ", "%37", "9223372036854775808"] {
            assert_eq!(Label::parse(segment), Label::Unknown, "{segment}");
        }
    }

    #[test]
    fn a_label_admits_its_customer_or_its_group_and_no_other() {
        let who = KeyIdentity {
            customer_id: CustomerId::from_raw(7),
            group_id: GroupId::from_raw(8),
            key_id: ProvisioningKeyId::from_raw(9),
        };
        let admits = |segment| Label::parse(segment).admit(who).is_ok();
        for (segment, expected) in [("", true), ("7", true), ("8", true), ("9", false), ("x", false), ("78", false)] {
            assert_eq!(admits(segment), expected, "{segment}");
        }
    }
}
