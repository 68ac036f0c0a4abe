//! Reading the audit log: a page of it, newest first, or the chain from its beginning, for keeping and
//! checking elsewhere.

use super::{Error, Management, Object};
use crate::domain::audit::AuditRow;
use crate::domain::{Actor, Kind, Role};
use crate::id::{
    AdministratorId, ApiClientId, ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId, WebhookId,
};
use crate::store::{AuditQuery, Page};

/// Most rows of one export.
pub const EXPORT_ROWS_MAX: u32 = 5_000;

/// What an audit event is about and is still there, with all that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    Administrator(AdministratorId),
    ApiClient(ApiClientId),
    Component(Kind, ComponentId),
    Group(Kind, GroupId),
    ProvisioningKey(Kind, ProvisioningKeyId),
    SigningCertificate(SigningCertificateId),
    Webhook(WebhookId),
}

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

    /// Looks for the object that an audit event of this customer names by type and id. `None`: it is gone, or
    /// nothing that one could look at. One read of one row.
    ///
    /// # Errors
    /// Rights and outages.
    pub async fn locate(
        &self,
        actor: &Actor,
        customer: CustomerId,
        object_type: &str,
        id: &str,
    ) -> Result<Option<Located>, Error> {
        fn read<T: std::str::FromStr>(id: &str) -> Option<T> {
            id.parse().ok()
        }

        self.authorise(actor, customer, Role::Auditor).await?;
        let store = self.store();
        let is = |object: Object| object_type == object.as_str();
        let located = if let Some(id) = read(id).filter(|_| is(Object::Administrator)) {
            store.find_administrator_by_id(customer, id).await?.map(|_| Located::Administrator(id))
        } else if let Some(id) = read(id).filter(|_| is(Object::ApiClient)) {
            store.find_api_client_by_id(customer, id).await?.map(|_| Located::ApiClient(id))
        } else if let Some(id) = read(id).filter(|_| is(Object::Component)) {
            store.find_component(customer, id).await?.map(|found| Located::Component(found.kind, id))
        } else if let Some(id) = read(id).filter(|_| is(Object::Group)) {
            store.find_group(customer, id).await?.map(|found| Located::Group(found.kind, id))
        } else if let Some(id) = read(id).filter(|_| is(Object::ProvisioningKey)) {
            store.find_key(customer, id).await?.map(|found| Located::ProvisioningKey(found.kind, id))
        } else if let Some(id) = read(id).filter(|_| is(Object::SigningCertificate)) {
            store.find_signing_certificate(customer, id).await?.map(|_| Located::SigningCertificate(id))
        } else if let Some(id) = read(id).filter(|_| is(Object::Webhook)) {
            store.find_webhook(customer, id).await?.map(|_| Located::Webhook(id))
        } else {
            None
        };
        Ok(located)
    }
}
