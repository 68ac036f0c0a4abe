//! The audit log: what administrators and API clients did, chained so that a changed, missing or
//! reordered row is noticed.
//!
//! Each customer has its own chain. A row's MAC covers the MAC before it and every field of the
//! row, each with its length in front, under a key that the database alone does not give away.

use std::sync::Arc;

use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::administrator::ActorIdentity;
use super::{Actor, Name};
use crate::clock::Timestamp;
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::secret::random_bytes;

/// What is to be written: who did what to what. Sequence and MAC are the store's to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// Whose chain the event stands in.
    pub customer_id: CustomerId,
    pub at: Timestamp,
    /// `administrator`, `api-client` or `system`.
    pub actor_type: String,
    /// Decimal id; empty for the system.
    pub actor_id: String,
    /// User name or client id as it was then.
    pub actor_name: String,
    /// A verb: `create`, `update`, `delete`, `sign-in`…
    pub action: String,
    /// A logical table's singular, e.g. `provisioning-key`.
    pub object_type: String,
    pub object_id: String,
    pub object_name: String,
    /// JSON object of the settings before; never a secret. `None` for a creation.
    pub before: Option<String>,
    /// JSON object of the settings after, or of what came of the action; never a secret. `None` for a
    /// deletion that touched nothing else.
    pub after: Option<String>,
}

impl AuditEvent {
    /// An event of `actor`, with nothing said yet about the object but its names.
    pub fn new(
        actor: &Actor,
        customer_id: CustomerId,
        at: Timestamp,
        action: &str,
        object: (&str, String, &str),
    ) -> Self {
        let (actor_type, actor_id, actor_name) = match &actor.identity {
            ActorIdentity::Administrator { id, username } => ("administrator", id.to_string(), username.clone()),
            ActorIdentity::ApiClient { id, client_id, .. } => ("api-client", id.to_string(), client_id.clone()),
            ActorIdentity::System => ("system", String::new(), "system".to_owned()),
        };
        let (object_type, object_id, object_name) = object;
        Self {
            customer_id,
            at,
            actor_type: actor_type.to_owned(),
            actor_id,
            actor_name,
            action: action.to_owned(),
            object_type: object_type.to_owned(),
            object_id,
            object_name: object_name.to_owned(),
            before: None,
            after: None,
        }
    }

    /// The same done to a key that went along with the object: only the transaction knows which.
    #[must_use]
    pub fn of_key(&self, id: ProvisioningKeyId, name: &Name, key_id: &str) -> Self {
        let known_by = serde_json::json!({ "name": name, "keyId": key_id });
        Self {
            object_type: "provisioning-key".to_owned(),
            object_id: id.to_string(),
            object_name: name.as_str().to_owned(),
            before: Some(known_by.to_string()),
            after: None,
            ..self.clone()
        }
    }

    /// The event of a change that took others along, with how many of what: only the transaction can count. Behind
    /// what was known before.
    #[must_use]
    pub fn with_counts(self, counts: &[(&str, u64)]) -> Self {
        let known = self.after.as_deref().and_then(|after| serde_json::from_str(after).ok());
        let mut after: serde_json::Map<_, _> = known.unwrap_or_default();
        after.extend(counts.iter().map(|(what, count)| ((*what).to_owned(), (*count).into())));
        Self { after: Some(serde_json::Value::Object(after).to_string()), ..self }
    }
}

/// An event in its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// 1, 2, 3… per customer, without gaps.
    pub sequence: u64,
    pub event: AuditEvent,
    pub mac: AuditMac,
}

/// HMAC-SHA-256 over the previous MAC and the row.
pub type AuditMac = [u8; 32];

/// What stands before the first row of a chain.
pub const CHAIN_START: AuditMac = [0; 32];

/// The key of all chains. No `Debug`, no `Clone`.
pub struct AuditKey(Arc<hmac::Key>);

/// The first place where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    #[error("audit row {expected} is missing (row {found} follows)")]
    Missing { expected: u64, found: u64 },
    #[error("audit row {sequence} was changed, or stands where it was not written")]
    Changed { sequence: u64 },
    #[error("the chain should end at row {expected}, its last row is {found}")]
    Truncated { expected: u64, found: u64 },
}

impl AuditKey {
    pub fn generate() -> Zeroizing<[u8; 32]> {
        random_bytes()
    }

    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// A second handle to the same key, for a thread that outlives the borrow. Copies no key bytes.
    pub fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// The MAC of the row that follows `previous`.
    pub fn mac(&self, previous: &AuditMac, sequence: u64, event: &AuditEvent) -> AuditMac {
        let mut context = hmac::Context::with_key(&self.0);
        let mut field = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        use crate::id::Id as _;
        field(previous);
        field(&sequence.to_be_bytes());
        field(&event.customer_id.raw().to_be_bytes());
        field(&event.at.unix_seconds().to_be_bytes());
        for text in [
            &event.actor_type,
            &event.actor_id,
            &event.actor_name,
            &event.action,
            &event.object_type,
            &event.object_id,
            &event.object_name,
        ] {
            field(text.as_bytes());
        }
        for optional in [&event.before, &event.after] {
            field(&[u8::from(optional.is_some())]);
            field(optional.as_deref().unwrap_or_default().as_bytes());
        }
        context.sign().as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
    }
}

/// Follows one customer's chain row by row, oldest first.
pub struct ChainVerifier<'a> {
    key: &'a AuditKey,
    last: u64,
    mac: AuditMac,
}

impl<'a> ChainVerifier<'a> {
    pub fn new(key: &'a AuditKey) -> Self {
        Self { key, last: 0, mac: CHAIN_START }
    }

    /// Goes on behind `row`, which is taken for good.
    pub fn after(key: &'a AuditKey, row: &AuditRow) -> Self {
        Self { key, last: row.sequence, mac: row.mac }
    }

    /// The sequence of the last row that was followed; 0 at the beginning.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// # Errors
    /// The first row that is missing or changed.
    pub fn follow(&mut self, row: &AuditRow) -> Result<(), ChainBreak> {
        let expected = self.last + 1;
        if row.sequence != expected {
            return Err(ChainBreak::Missing { expected, found: row.sequence });
        }
        let mac = self.key.mac(&self.mac, row.sequence, &row.event);
        if !bool::from(mac.ct_eq(&row.mac)) {
            return Err(ChainBreak::Changed { sequence: row.sequence });
        }
        self.last = expected;
        self.mac = mac;
        Ok(())
    }

    /// Compares with the chain's head, which is kept apart from the rows.
    ///
    /// # Errors
    /// [`ChainBreak::Truncated`] or [`ChainBreak::Changed`].
    pub fn finish(self, head_sequence: u64, head_mac: &AuditMac) -> Result<(), ChainBreak> {
        if head_sequence != self.last {
            return Err(ChainBreak::Truncated { expected: head_sequence, found: self.last });
        }
        if bool::from(self.mac.ct_eq(head_mac)) { Ok(()) } else { Err(ChainBreak::Changed { sequence: self.last }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(key: &AuditKey, length: u64) -> Vec<AuditRow> {
        let mut mac = CHAIN_START;
        (1..=length)
            .map(|sequence| {
                let at = Timestamp::from_unix_seconds(1_800_000_000 + sequence as i64);
                let event = AuditEvent::new(
                    &Actor::system(),
                    CustomerId::SERVICE,
                    at,
                    "create",
                    ("group", sequence.to_string(), "HQ"),
                );
                mac = key.mac(&mac, sequence, &event);
                AuditRow { sequence, event, mac }
            })
            .collect()
    }

    fn verify(key: &AuditKey, rows: &[AuditRow], head: &AuditRow) -> Result<(), ChainBreak> {
        let mut verifier = ChainVerifier::new(key);
        rows.iter().try_for_each(|row| verifier.follow(row))?;
        verifier.finish(head.sequence, &head.mac)
    }

    #[test]
    fn a_changed_missing_or_reordered_row_is_found() {
        let key = AuditKey::new(&AuditKey::generate());
        let rows = chain(&key, 5);
        let head = rows[4].clone();
        assert_eq!(verify(&key, &rows, &head), Ok(()));

        let mut changed = rows.clone();
        changed[2].event.after = Some("{}".into());
        assert_eq!(verify(&key, &changed, &head), Err(ChainBreak::Changed { sequence: 3 }));

        let mut missing = rows.clone();
        missing.remove(2);
        assert_eq!(verify(&key, &missing, &head), Err(ChainBreak::Missing { expected: 3, found: 4 }));

        let mut reordered = rows.clone();
        reordered.swap(1, 2);
        assert_eq!(verify(&key, &reordered, &head), Err(ChainBreak::Missing { expected: 2, found: 3 }));
        reordered[1].sequence = 2;
        reordered[2].sequence = 3;
        assert_eq!(verify(&key, &reordered, &head), Err(ChainBreak::Changed { sequence: 2 }));

        assert_eq!(verify(&key, &rows[..4], &head), Err(ChainBreak::Truncated { expected: 5, found: 4 }));

        let mut from_the_middle = ChainVerifier::after(&key, &rows[1]);
        assert_eq!(rows[2..].iter().try_for_each(|row| from_the_middle.follow(row)), Ok(()));
        assert_eq!(from_the_middle.last(), 5);
        assert_eq!(
            ChainVerifier::after(&key, &rows[0]).follow(&changed[2]),
            Err(ChainBreak::Missing { expected: 2, found: 3 })
        );
    }
}
