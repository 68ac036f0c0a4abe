//! The same done to many keys, each for itself.

use std::collections::HashSet;
use std::time::Duration;

use super::{KeyInput, checked_expiry};
use crate::clock::Timestamp;
use crate::domain::{Actor, Kind, ProvisioningKey, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::fields::{Checker, Field, Input};
use crate::management::{Error, Management};

/// Keys in one request, inclusive.
pub const BULK_IDS_MAX: usize = 500;

/// By how many days a key can be extended at once, inclusive.
const DAYS_MAX: u64 = 3_650;

const DAY_SECONDS: u64 = 86_400;

/// What a caller asks for. What the operation does not need is not looked at.
#[derive(Clone, Debug, Default)]
pub struct BulkInput {
    /// `delete`, `disable`, `enable` or `extend`.
    pub operation: Input<String>,
    /// 1 to [`BULK_IDS_MAX`]. One that is there twice is done once.
    pub ids: Input<Vec<ProvisioningKeyId>>,
    /// To `extend`: the new expiry; or
    pub expires_at: Input<Timestamp>,
    /// to `extend`: 1 to 3,650 days on from each key's expiry, or from now where that is over.
    pub days: Input<u64>,
    /// To `delete`: whether the keys' live components are revoked too. False when absent.
    pub revoke: Input<bool>,
}

/// What came of one key.
pub struct BulkResult {
    pub id: ProvisioningKeyId,
    pub outcome: Result<(), Error>,
}

#[derive(Clone, Copy)]
enum Operation {
    Delete { revoke: bool },
    Edit(Edit),
}

#[derive(Clone, Copy)]
enum Edit {
    Disable,
    Enable,
    ExtendBy(Duration),
    ExtendTo(Timestamp),
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
            let outcome = match operation {
                Operation::Delete { revoke } => self.delete_key(actor, customer, kind, id, None, revoke).await,
                Operation::Edit(edit) => {
                    let input = |key: &ProvisioningKey, now| edit.input(key, now);
                    self.edit_key_as(actor, customer, kind, id, None, input).await.map(drop)
                }
            };
            results.push(BulkResult { id, outcome });
        }
        Ok(results)
    }
}

impl Edit {
    /// What it means for `key`.
    fn input(self, key: &ProvisioningKey, now: Timestamp) -> Result<KeyInput, Error> {
        let enabled = |enabled| KeyInput { enabled: Input::Given(enabled), ..KeyInput::default() };
        let expires_at = |at| KeyInput { expires_at: Input::Given(at), ..KeyInput::default() };
        match self {
            Self::Disable => Ok(enabled(false)),
            Self::Enable => Ok(enabled(true)),
            Self::ExtendTo(at) => Ok(expires_at(at)),
            Self::ExtendBy(span) => match key.expires_at {
                Some(end) => Ok(expires_at(end.max(now).saturating_add(span))),
                None => {
                    let mut checker = Checker::default();
                    checker.fault(Field::Days, "cannot be added: the key does not expire");
                    Err(checker.into_error())
                }
            },
        }
    }
}

fn checked(input: BulkInput, now: Timestamp) -> Result<(Operation, Vec<ProvisioningKeyId>), Error> {
    let mut checker = Checker::default();
    let BulkInput { operation, ids, expires_at, days, revoke } = input;
    let operation = match checker.required(Field::Operation, operation, Ok::<_, std::convert::Infallible>).as_deref() {
        Some("delete") => {
            Some(Operation::Delete { revoke: checker.take(Field::Revoke, revoke).given().unwrap_or(false) })
        }
        Some("disable") => Some(Operation::Edit(Edit::Disable)),
        Some("enable") => Some(Operation::Edit(Edit::Enable)),
        Some("extend") => checked_extension(expires_at, days, now, &mut checker).map(Operation::Edit),
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

fn checked_extension(
    expires_at: Input<Timestamp>,
    days: Input<u64>,
    now: Timestamp,
    checker: &mut Checker,
) -> Option<Edit> {
    if matches!(days, Input::Absent | Input::Cleared) {
        let until = checker.required(Field::ExpiresAt, expires_at, |at| checked_expiry(at, now));
        return until.map(Edit::ExtendTo);
    }
    if !matches!(expires_at, Input::Absent | Input::Cleared) {
        checker.fault(Field::Days, "stands beside an expiry; one of both is accepted");
    }
    let days = checker.check(Field::Days, days, |days| match days {
        1..=DAYS_MAX => Ok(Duration::from_secs(days * DAY_SECONDS)),
        found => Err(format!("is {found}; 1 to {DAYS_MAX} is accepted")),
    });
    days.given().map(Edit::ExtendBy)
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
