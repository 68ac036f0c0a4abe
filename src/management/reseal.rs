//! What an older master key sealed is sealed by the first one. No door leads here: it takes the store itself.
//!
//! Each transaction leaves nothing but values that open, so whoever dies in the midst of it loses nothing, and whoever comes
//! next goes on. Several may do it at once. Remembered answers are left: their time is over within a day.

use serde_json::json;

use super::sealing::{self, SealedBy, SealingError};
use super::{CommitError, Error, Object};
use crate::clock::Clock;
use crate::domain::Actor;
use crate::domain::audit::{AuditEvent, AuditKey};
use crate::domain::places::{self, RecordPlace};
use crate::id::{CustomerId, Id as _, ProvisioningKeyId, SigningCertificateId, WebhookId};
use crate::secret::master::{MasterKeys, UnsealError, header};
use crate::store::{
    BrokenRule, Change, ChangeError, SETTING_SEALED_BY, SealedColumn, SealedSecret, SealedValue, Store,
};

/// Values in one transaction: an enrollment waits for no more of them.
const VALUES_PER_TRANSACTION: u32 = 100;

/// Looks at everything, until one finds nothing.
const PASSES_MAX: u32 = 5;

/// Goes over to the first master key if it never sealed here, and seals anew whatever the one did not seal that the store
/// says seals ([`sealing`]). Answers how many values were looked at for that, those that somebody else was quicker with
/// among them. The service's own secrets go first, in one transaction with what the store says and its audit event: from
/// then on nothing else seals.
///
/// # Errors
/// Outages; [`Error::Internal`] for a value that opens with none of the keys, or when the one that seals is not here. What was
/// sealed anew until then is.
pub async fn reseal(
    store: &dyn Store,
    master_keys: &MasterKeys,
    audit_key: &AuditKey,
    clock: &dyn Clock,
) -> Result<u64, Error> {
    let mut resealed = 0;
    // Another node may be at it, or go over to another key in the midst of it.
    for _ in 0..PASSES_MAX {
        let sealed_by = sealing::follow(store, master_keys).await?;
        let successor = sealed_by.successor(&master_keys.ids()).map(str::to_owned);
        let is_successor = successor.is_some();
        let by = successor.unwrap_or_else(|| master_keys.sealing_id());
        let Some(sealing) = master_keys.sealing_by(&by) else { continue };
        let succeeded = is_successor.then_some(&sealed_by);
        // Another node was quicker, or a secret was changed meanwhile, and nothing of it was written: once more.
        let Some(secrets) = reseal_secrets(store, &sealing, succeeded, audit_key, clock).await? else { continue };
        if is_successor {
            // If it is gone by now, the store takes nothing of what is sealed until it is back.
            master_keys.seal_by(&by);
        }
        let in_this_pass = secrets + reseal_columns(store, &sealing).await?;
        if in_this_pass == 0 {
            break;
        }
        resealed += in_this_pass;
    }
    Ok(resealed)
}

async fn reseal_columns(store: &dyn Store, master_keys: &MasterKeys) -> Result<u64, Error> {
    let by = master_keys.sealing_id();
    let header = header(&by);
    let mut resealed = 0;
    for column in SealedColumn::ALL {
        let mut after = 0;
        loop {
            let found = store.list_sealed_otherwise(column, &header, after, VALUES_PER_TRANSACTION).await?;
            let Some(last) = found.last() else { break };
            after = last.id;
            let values: Result<Vec<_>, Error> =
                found.into_iter().map(|value| anew(column, value, master_keys)).collect();
            let values = values?;
            resealed += values.len() as u64;
            store.replace_sealed(column, &by, values).await?;
        }
    }
    Ok(resealed)
}

/// `succeeded`: what the store said before, if another key is to seal from now on. `None`: nothing was written, because
/// something stands there that was not there before.
async fn reseal_secrets(
    store: &dyn Store,
    master_keys: &MasterKeys,
    succeeded: Option<&SealedBy>,
    audit_key: &AuditKey,
    clock: &dyn Clock,
) -> Result<Option<u64>, Error> {
    let by = master_keys.sealing_id();
    let mut changes: Vec<_> = succeeded.map(|before| say(before, &by)).into_iter().collect();
    let mut resealed = 0;
    for purpose in places::SECRETS {
        for secret in store.list_secrets(purpose).await? {
            if secret.sealed.starts_with(&header(&by)) {
                continue;
            }
            let place = places::secret_named(purpose, &secret.name);
            let sealed = reseal_value(&place, &secret.sealed, master_keys)?;
            let SealedSecret { purpose, name, sealed: before } = secret;
            changes.push(Change::ReplaceSecret { secret: SealedSecret { purpose, name, sealed }, before });
            resealed += 1;
        }
    }
    if changes.is_empty() {
        return Ok(Some(0));
    }
    let event = AuditEvent {
        after: Some(json!({ "masterKey": by }).to_string()),
        ..AuditEvent::new(
            &Actor::system(),
            CustomerId::SERVICE,
            clock.now(),
            "reseal",
            (Object::Service.as_str(), String::new(), ""),
        )
    };
    // Where nothing is sealed otherwise, the store only says what has been so.
    let events = if resealed == 0 { vec![] } else { vec![event] };
    match store.commit_changes_in_background(changes, events, audit_key).await {
        Ok(_) => Ok(Some(resealed)),
        Err(ChangeError::Rule { rule: BrokenRule::NotFound | BrokenRule::SealedOtherwise, .. }) => Ok(None),
        Err(error) => Err(CommitError::from(error).about(Object::Service, "", "")),
    }
}

/// The store's word that `by` seals from now on.
fn say(before: &SealedBy, by: &str) -> Change {
    let after = before.succeeded_by(by);
    Change::ReplaceSetting {
        name: SETTING_SEALED_BY.to_owned(),
        value: after.value().unwrap_or_default(),
        before: before.value(),
    }
}

fn anew(column: SealedColumn, value: SealedValue, master_keys: &MasterKeys) -> Result<(SealedValue, Vec<u8>), Error> {
    let place = match column {
        SealedColumn::KeyStrings => places::key_string(value.customer, ProvisioningKeyId::from_raw(value.id)),
        SealedColumn::SigningKeys => places::signing_key(value.customer, SigningCertificateId::from_raw(value.id)),
        SealedColumn::WebhookSecrets => places::webhook_secret(value.customer, WebhookId::from_raw(value.id)),
    };
    let sealed = reseal_value(&place, &value.sealed, master_keys)?;
    Ok((value, sealed))
}

fn reseal_value(place: &RecordPlace, sealed: &[u8], master_keys: &MasterKeys) -> Result<Vec<u8>, Error> {
    let plain = master_keys.open(place.as_place(), sealed).map_err(|error: UnsealError| Error::Internal {
        detail: format!("the {} {} cannot be sealed anew: {error}", place.purpose(), place.record()),
    })?;
    Ok(master_keys.seal(place.as_place(), &plain))
}

impl From<SealingError> for Error {
    fn from(error: SealingError) -> Self {
        match error {
            SealingError::Store(error) => error.into(),
            SealingError::Differs { .. } | SealingError::Missing { .. } => Self::Internal { detail: error.to_string() },
        }
    }
}
