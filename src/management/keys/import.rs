//! Keys from elsewhere: devices keep the key string that they hold already.

use super::{KeyInput, KeyView};
use crate::clock::Timestamp;
use crate::domain::audit::AuditEvent;
use crate::domain::key_string::KeyString;
use crate::domain::{Actor, KeySecret, KeyVersion, Kind, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::fields::{Checker, Field, Input};
use crate::management::{Error, Management, Object, Request, audited};
use crate::store::Change;

impl Management {
    /// Makes a key of a string that comes from elsewhere. Only its digest is kept, so it is never shown,
    /// not here either; `string` is wiped when this returns. It enrolls from then on.
    ///
    /// Every form of the grammar is taken ([`KeyString`]), ours included: a key that was deleted here, or made
    /// by another service, comes back this way. Only one of ours that was not copied whole is refused, as
    /// devices refuse it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults; [`Error::DuplicateKeyString`], whosever key it is;
    /// [`Error::DuplicateName`]; rights and outages.
    pub async fn import_key(
        &self,
        request: impl Into<Request<'_, KeyView>>,
        customer: CustomerId,
        kind: Kind,
        string: Input<KeySecret>,
        input: KeyInput,
    ) -> Result<KeyView, Error> {
        let Request { actor, once } = request.into();
        self.authorise(actor, customer, Role::Operator).await?;
        let now = self.now();
        let mut checker = Checker::default();
        let string = checker.required(Field::KeyString, string, checked_form);
        let new = self.check_new_key(customer, kind, input, now, &mut checker).await?;
        if let (Some(new), Some((_, version))) = (&new, &string) {
            if new.settings.exportable == Some(true) {
                checker.fault(Field::Exportable, "cannot be: only the digest of an imported key string is kept");
            }
            if new.settings.version.is_some_and(|given| given != *version) {
                checker.fault(Field::Version, "is not what the key string says");
            }
        }
        let (Some(new), Some((string, version))) = (new, string) else {
            return Err(checker.into_error());
        };
        checker.finish()?;

        let string = KeyString::parse(string.expose()).expect("its form was checked");
        let digests = self.parts.peppers.digests(string.as_str().as_bytes());
        let id: ProvisioningKeyId = self.parts.ids.next().await?;
        let view = new.into_view(actor, now, id, self.traces_of(string, version));
        // A key may be known under an older pepper, or move to a newer one meanwhile: only the transaction can tell.
        let changes = vec![Change::ExpectNewString(digests), Change::InsertKey(view.key.clone())];
        let committed = self.commit_made(once, changes, vec![imported(actor, now, &view)], &view).await;
        committed.map_err(|error| error.about(Object::ProvisioningKey, id, view.key.name.as_str()))?;
        Ok(view)
    }

    /// Whose key string it is, over all customers; every live pepper is tried, the oldest first: a key that moves
    /// meanwhile is found where it goes.
    pub(super) async fn find_key_by_string(
        &self,
        string: KeyString<'_>,
    ) -> Result<Option<(CustomerId, ProvisioningKeyId)>, Error> {
        let mut found = None;
        let digests: Vec<_> = self.parts.peppers.digests(string.as_str().as_bytes()).iter().collect();
        for (_, digest) in digests.iter().rev() {
            found = found.or(self.store().find_key_by_digest(digest).await?);
        }
        Ok(found)
    }
}

/// Says nothing of the text itself.
fn checked_form(string: KeySecret) -> Result<(KeySecret, KeyVersion), &'static str> {
    let parsed = KeyString::parse(string.expose())
        .ok_or("is no key string: version|cloud|secret was expected, with at least 32 characters of base64")?;
    let version = parsed.form().ok_or("is damaged: its check does not match, copy it again")?;
    Ok((string, version))
}

fn imported(actor: &Actor, now: Timestamp, view: &KeyView) -> AuditEvent {
    AuditEvent { action: "import".to_owned(), ..audited::created(actor, now, &view.key) }
}
