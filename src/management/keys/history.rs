//! What happened to a key: the ledger of its uses, and the refusals.

use crate::domain::ledger::RefusalTally;
use crate::domain::{Actor, Kind, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::{Error, Management};
use crate::store::{KeyUse, Page, PageRequest};

impl Management {
    /// One page of a key's ledger, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn list_key_uses(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ProvisioningKeyId,
        page: PageRequest,
    ) -> Result<Page<KeyUse>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        self.key_of_kind(customer, kind, id).await?;
        Ok(self.store().list_ledger(customer, id, page).await?)
    }

    /// The refusals that devices with this key met, newest minute first: at most the thousand rows that the
    /// store keeps of a key. They are counted outside of enrollments and appear within seconds.
    ///
    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn list_key_refusals(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ProvisioningKeyId,
    ) -> Result<Vec<RefusalTally>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        self.key_of_kind(customer, kind, id).await?;
        Ok(self.store().list_refusals(customer, id).await?)
    }
}
