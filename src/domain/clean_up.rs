//! Clean-up: components whose certificate ended long ago, unrenewed, go by themselves.

use std::time::Duration;

use super::{Component, ComponentState, Kind, Revision};
use crate::clock::{DAY, Timestamp};
use crate::id::{CleanUpScheduleId, CustomerId};

/// When components of one kind are deleted without anyone asking. A customer has at most one per kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanUpSchedule {
    pub id: CleanUpScheduleId,
    pub customer_id: CustomerId,
    pub kind: Kind,
    pub enabled: bool,
    /// Whether disabled components go too.
    pub delete_disabled: bool,
    /// How long after the end of its certificate a component goes.
    pub days: CleanUpDays,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    pub modified_by: Option<u64>,
    pub revision: Revision,
}

impl CleanUpSchedule {
    /// Whether `component`, whose current certificate ended at `ended_at`, is to go now.
    ///
    /// A revoked one never is: its row is what keeps the device out.
    pub fn takes(&self, component: &Component, ended_at: Timestamp, now: Timestamp) -> bool {
        self.enabled
            && component.kind == self.kind
            && component.state == ComponentState::Live
            && (component.enabled || self.delete_disabled)
            && now >= ended_at.saturating_add(self.days.duration())
    }
}

/// 5, 7, 14, 30, 60 or 90 days, as the public management API has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CleanUpDays(u8);

impl CleanUpDays {
    pub const ALL: [Self; 6] = [Self(5), Self(7), Self(14), Self(30), Self(60), Self(90)];

    /// `None`: not one of [`Self::ALL`].
    pub fn new(days: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|accepted| u64::from(accepted.0) == days)
    }

    pub const fn get(self) -> u8 {
        self.0
    }

    pub fn duration(self) -> Duration {
        DAY * u32::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_days_of_the_public_api_are_taken() {
        let taken: Vec<_> = (0..=366).filter_map(CleanUpDays::new).map(CleanUpDays::get).collect();
        assert_eq!(taken, [5, 7, 14, 30, 60, 90]);
        assert_eq!(CleanUpDays::new(u64::MAX), None);
    }
}
