//! Export: the key string as a file to take away, which is written down.

use crate::domain::{Actor, KeySecret, Kind, Name, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::{Error, Management, Object, audited};

/// What is taken away.
pub struct ExportedKey {
    /// The key's; what the file is named after.
    pub name: Name,
    pub string: KeySecret,
}

impl Management {
    /// The string of a key, for a file. Managed keys too: they are read-only and not hidden. The event is
    /// durable before the string is given out.
    ///
    /// # Errors
    /// [`Error::NotExportable`]; [`Error::KeyExhausted`], as what is handed out should be of use;
    /// [`Error::NotFound`]; rights and outages.
    pub async fn export_key(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ProvisioningKeyId,
    ) -> Result<ExportedKey, Error> {
        self.authorise(actor, customer, Role::Operator).await?;
        let key = self.key_of_kind(customer, kind, id).await?;
        let string = self.reveal(actor, &key)?.ok_or(Error::NotExportable)?;
        if key.is_exhausted() {
            return Err(Error::KeyExhausted);
        }
        let event = audited::done("export", actor, self.now(), &key);
        self.commit(Vec::new(), vec![event])
            .await
            .map_err(|error| error.about(Object::ProvisioningKey, id, key.name.as_str()))?;
        Ok(ExportedKey { name: key.name, string })
    }
}
