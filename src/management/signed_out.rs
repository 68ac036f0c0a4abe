//! Tokens that were signed out before their end.
//!
//! They are kept in the store, so that a restart does not make them good again, in 64 settings by
//! the first character of their id: authenticating reads one short row, and as every write drops
//! what has expired, the rows hold at most an hour's sign-outs.

use super::{CommitError, Error, Management, Object};
use crate::clock::Timestamp;
use crate::domain::audit::AuditEvent;
use crate::store::Change;

/// A token's id and its end in seconds since the epoch.
type SignedOut = (String, i64);

impl Management {
    pub(super) async fn is_signed_out(&self, token_id: &str) -> Result<bool, Error> {
        let listed = self.signed_out(&setting_name(token_id)).await?;
        Ok(listed.iter().any(|(id, _)| id == token_id))
    }

    /// Together with its audit event, or not at all.
    pub(super) async fn remember_sign_out(
        &self,
        token_id: &str,
        expires_at: Timestamp,
        now: Timestamp,
        event: AuditEvent,
    ) -> Result<(), Error> {
        // Read, add, write: one at a time, or one of two would be lost.
        let _turn = self.sign_outs.lock().await;
        let name = setting_name(token_id);
        let mut listed = self.signed_out(&name).await?;
        listed.retain(|(id, end)| *end > now.unix_seconds() && id != token_id);
        listed.push((token_id.to_owned(), expires_at.unix_seconds()));
        let value = serde_json::to_string(&listed).expect("texts and numbers");
        let changes = vec![Change::PutSetting { name, value }];
        match self.store().commit_changes(changes, vec![event], &self.parts.audit_key).await {
            Ok(_) => Ok(()),
            Err(error) => Err(CommitError::from(error).about(Object::Session, token_id, "")),
        }
    }

    async fn signed_out(&self, setting: &str) -> Result<Vec<SignedOut>, Error> {
        let Some(value) = self.store().find_setting(setting).await? else { return Ok(Vec::new()) };
        serde_json::from_str(&value).map_err(|error| Error::Internal { detail: format!("setting {setting}: {error}") })
    }
}

fn setting_name(token_id: &str) -> String {
    let slot = token_id.chars().next().unwrap_or('-');
    format!("signed-out/{slot}")
}
