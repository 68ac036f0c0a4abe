//! Which master key seals in a store. The store says it, and takes nothing that another sealed: what nodes have in their
//! files may be older.

use super::{BrokenRule, Change};
use crate::secret::master::header;

/// The setting with the ids of the master keys that have sealed here, separated by spaces, the one that seals now first. A
/// store that lacks it takes whatever is sealed.
pub const SETTING_SEALED_BY: &str = "sealed_by";

/// The one that seals, of a value of [`SETTING_SEALED_BY`].
pub(super) fn sealing(value: &str) -> &str {
    value.split(' ').next().unwrap_or_default()
}

/// Looks at the changes of one transaction in their order.
pub(super) struct Guard {
    /// The value of [`SETTING_SEALED_BY`] as it is by then.
    sealed_by: Option<String>,
}

impl Guard {
    /// Whether it has something to look at, and so needs the setting's value.
    pub(super) fn is_needed(changes: &[Change]) -> bool {
        changes.iter().any(|change| !sealed_by_caller(change).is_empty())
    }

    pub(super) fn new(sealed_by: Option<String>) -> Self {
        Self { sealed_by }
    }

    /// Refuses what another master key sealed than the one that seals. What an update leaves as it stands is not looked at.
    pub(super) fn check(&mut self, change: &Change) -> Result<(), BrokenRule> {
        if let Change::InsertSetting { name, value }
        | Change::PutSetting { name, value }
        | Change::ReplaceSetting { name, value, .. } = change
            && name == SETTING_SEALED_BY
        {
            self.sealed_by = Some(value.clone());
        }
        let Some(sealed_by) = &self.sealed_by else { return Ok(()) };
        let header = header(sealing(sealed_by));
        let is_by_it = sealed_by_caller(change).iter().all(|sealed| sealed.starts_with(&header));
        if is_by_it { Ok(()) } else { Err(BrokenRule::SealedOtherwise) }
    }
}

/// What a change brings that is sealed.
fn sealed_by_caller(change: &Change) -> Vec<&[u8]> {
    let sealed = match change {
        Change::InsertKey(key) => key.sealed_string.as_deref(),
        Change::InsertSigningCertificate(row) => row.sealed_private_key.as_deref(),
        Change::InsertWebhook(row) => Some(row.sealed_secret.as_slice()),
        Change::InsertSecret(secret) | Change::PutSecret(secret) | Change::ReplaceSecret { secret, .. } => {
            Some(secret.sealed.as_slice())
        }
        Change::RememberAnswer(answer) => {
            let brief = answer.sealed_brief.as_deref();
            return brief.into_iter().chain([answer.sealed_lasting.as_slice()]).collect();
        }
        _ => None,
    };
    sealed.into_iter().collect()
}
