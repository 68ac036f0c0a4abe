//! Reading the audit log: a page of it, newest first, or the chain from its beginning, for keeping and
//! checking elsewhere.

use super::{Error, Management};
use crate::domain::audit::AuditRow;
use crate::domain::{Actor, Role};
use crate::id::CustomerId;
use crate::store::{AuditQuery, Page};

/// Most rows of one export.
pub const EXPORT_ROWS_MAX: u32 = 5_000;

impl Management {
    /// # Errors
    /// Rights and outages.
    pub async fn list_audit_events(
        &self,
        actor: &Actor,
        customer: CustomerId,
        query: &AuditQuery,
    ) -> Result<Page<AuditRow>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        Ok(self.store().search_audit(customer, query).await?)
    }

    /// The rows that follow row `after`, oldest first, at most `limit` of them and
    /// [`EXPORT_ROWS_MAX`]. None: that was all.
    ///
    /// # Errors
    /// Rights and outages.
    pub async fn export_audit_events(
        &self,
        actor: &Actor,
        customer: CustomerId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        Ok(self.store().list_audit(customer, after, limit.min(EXPORT_ROWS_MAX)).await?)
    }
}
