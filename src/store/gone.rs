//! What a change takes along with its object, and what the audit log says of it, in both stores.

use std::borrow::Cow;
use std::iter::once;

use crate::domain::Name;
use crate::domain::audit::AuditEvent;
use crate::id::ProvisioningKeyId;

/// What was deleted or changed together with the object of one change.
#[derive(Default)]
pub(super) struct Gone {
    /// Of what, how much; empty unless the change is one that takes others along.
    pub(super) counts: Vec<(&'static str, u64)>,
    /// Those that have an event of their own.
    pub(super) keys: Vec<DeletedKey>,
}

/// What the audit log says of a key that went with its group.
pub(super) struct DeletedKey {
    pub(super) id: ProvisioningKeyId,
    pub(super) name: Name,
    pub(super) key_id: String,
}

impl Gone {
    pub(super) fn counted(what: &'static str, count: u64) -> Self {
        Self { counts: vec![(what, count)], keys: Vec::new() }
    }
}

/// What is written of a transaction: its events, of which those that stand where a change took others along
/// tell how many, after one for each key. `gone` is in the order of the changes.
pub(super) fn events_with<'a>(
    events: &'a [AuditEvent],
    gone: &'a [Gone],
) -> impl Iterator<Item = Cow<'a, AuditEvent>> + Send {
    events.iter().enumerate().flat_map(|(position, event)| {
        let gone = gone.get(position).filter(|gone| !gone.counts.is_empty());
        let keys = gone.into_iter().flat_map(|gone| &gone.keys);
        let of_keys = keys.map(|key| Cow::Owned(event.of_key(key.id, &key.name, &key.key_id)));
        of_keys.chain(once(match gone {
            Some(gone) => Cow::Owned(event.clone().with_counts(&gone.counts)),
            None => Cow::Borrowed(event),
        }))
    })
}
