//! What happened to a key: the ledger of its uses, and the refusals.

use std::collections::HashMap;

use crate::domain::ledger::{LedgerRow, RefusalTally};
use crate::domain::{Actor, Kind, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::{Error, Management};
use crate::store::{Page, PageRequest};

/// A ledger row with the name of its component as it is now.
pub struct KeyUseView {
    pub row: LedgerRow,
    /// `None`: a row of many components, or the component's row was purged.
    pub component_name: Option<String>,
}

impl Management {
    /// One page of a key's ledger, newest first. Costs one read for the page and one for each distinct
    /// component on it.
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
    ) -> Result<Page<KeyUseView>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        self.key_of_kind(customer, kind, id).await?;
        let page = self.store().list_ledger(customer, id, page).await?;
        let mut names: HashMap<_, Option<String>> = HashMap::new();
        let mut rows = Vec::with_capacity(page.rows.len());
        for row in page.rows {
            let component_name = match row.entry.component_id() {
                None => None,
                Some(component) => match names.get(&component) {
                    Some(name) => name.clone(),
                    None => {
                        let found = self.store().find_component(customer, component).await?;
                        names.entry(component).or_insert(found.map(|component| component.name)).clone()
                    }
                },
            };
            rows.push(KeyUseView { row, component_name });
        }
        Ok(Page { rows, total: page.total })
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
