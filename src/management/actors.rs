//! Who is behind the row ids that objects carry as `created_by` and `modified_by`.

use std::collections::HashMap;

use super::{Error, Management};
use crate::domain::{Actor, Name, Role};
use crate::id::CustomerId;

impl Management {
    /// The user names of administrators and the names of API clients, the customer's and the service's own, by
    /// their ids; those that are gone are missing. One read, however many are asked for.
    ///
    /// # Errors
    /// Rights and outages.
    pub async fn name_actors(
        &self,
        actor: &Actor,
        customer: CustomerId,
        ids: &[u64],
    ) -> Result<HashMap<u64, Name>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        Ok(self.store().find_actor_names(customer, ids).await?)
    }
}
