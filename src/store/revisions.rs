//! How a change is held to the revision that it was based on.

use super::BrokenRule;
use crate::domain::Revision;

/// Guards an update against lost updates: the row must still have the revision it was based on.
pub(super) fn next_revision(found: Option<Revision>, based_on: Revision) -> Result<Revision, BrokenRule> {
    match found {
        None => Err(BrokenRule::NotFound),
        Some(found) if found != based_on => Err(BrokenRule::Outdated { found }),
        Some(found) => Ok(found.next()),
    }
}

/// What a deletion needs of the row's revision; `None`: nothing.
pub(super) fn require_revision(found: Revision, expected: Option<Revision>) -> Result<(), BrokenRule> {
    match expected {
        Some(expected) if expected != found => Err(BrokenRule::Outdated { found }),
        _ => Ok(()),
    }
}
