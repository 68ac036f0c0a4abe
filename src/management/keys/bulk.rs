//! The same done to many keys, each for itself.

use std::collections::HashSet;

use super::{KeyInput, checked_expiry};
use crate::clock::Timestamp;
use crate::domain::{Actor, Kind, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::fields::{Checker, Field, Input};
use crate::management::{Error, Management};

/// Keys in one request, inclusive.
pub const BULK_IDS_MAX: usize = 500;

/// What a caller asks for. What the operation does not need is not looked at.
#[derive(Clone, Debug, Default)]
pub struct BulkInput {
    /// `delete`, `disable`, `enable` or `extend`.
    pub operation: Input<String>,
    /// 1 to [`BULK_IDS_MAX`]. One that is there twice is done once.
    pub ids: Input<Vec<ProvisioningKeyId>>,
    /// To `extend`: the new expiry. An instant and not a span, so that a repetition changes nothing.
    pub expires_at: Input<Timestamp>,
    /// To `delete`: whether the keys' live components are revoked too. False when absent.
    pub revoke: Input<bool>,
}

/// What came of one key.
pub struct BulkResult {
    pub id: ProvisioningKeyId,
    pub outcome: Result<(), Error>,
}

enum Operation {
    Delete { revoke: bool },
    Edit(Box<KeyInput>),
}

impl Management {
    /// Does the same to each key in a transaction of its own, in the order given, so that one that is refused
    /// stops no other. One result for each distinct id.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults of the request: then nothing was done; rights. What happens to
    /// one key is in its result: as for [`Management::edit_key`] and [`Management::delete_key`].
    pub async fn bulk_keys(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        input: BulkInput,
    ) -> Result<Vec<BulkResult>, Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        let (operation, ids) = checked(input, self.now())?;
        let mut results = Vec::with_capacity(ids.len());
        for id in ids {
            let outcome = match &operation {
                Operation::Delete { revoke } => self.delete_key(actor, customer, kind, id, None, *revoke).await,
                Operation::Edit(input) => self.edit_key(actor, customer, kind, id, None, input).await.map(drop),
            };
            results.push(BulkResult { id, outcome });
        }
        Ok(results)
    }
}

fn checked(input: BulkInput, now: Timestamp) -> Result<(Operation, Vec<ProvisioningKeyId>), Error> {
    let mut checker = Checker::default();
    let BulkInput { operation, ids, expires_at, revoke } = input;
    let edit = |input| Operation::Edit(Box::new(input));
    let enable = |enabled| edit(KeyInput { enabled: Input::Given(enabled), ..KeyInput::default() });
    let extend = |at| edit(KeyInput { expires_at: Input::Given(at), ..KeyInput::default() });
    let operation = match checker.required(Field::Operation, operation, Ok::<_, std::convert::Infallible>).as_deref() {
        Some("delete") => {
            Some(Operation::Delete { revoke: checker.take(Field::Revoke, revoke).given().unwrap_or(false) })
        }
        Some("disable") => Some(enable(false)),
        Some("enable") => Some(enable(true)),
        Some("extend") => checker.required(Field::ExpiresAt, expires_at, |at| checked_expiry(at, now)).map(extend),
        Some(_) => {
            checker.fault(Field::Operation, "must be delete, disable, enable or extend");
            None
        }
        None => None,
    };
    let ids = checker.required(Field::Ids, ids, checked_ids);
    match (operation, ids) {
        (Some(operation), Some(ids)) => checker.finish().map(|()| (operation, ids)),
        _ => Err(checker.into_error()),
    }
}

/// Without repetitions, in the order of their first places.
fn checked_ids(mut ids: Vec<ProvisioningKeyId>) -> Result<Vec<ProvisioningKeyId>, String> {
    if !(1..=BULK_IDS_MAX).contains(&ids.len()) {
        return Err(format!("has {} entries; 1 to {BULK_IDS_MAX} are accepted", ids.len()));
    }
    let mut seen = HashSet::with_capacity(ids.len());
    ids.retain(|id| seen.insert(*id));
    Ok(ids)
}
