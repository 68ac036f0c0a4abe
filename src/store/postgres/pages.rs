//! The lists that administrators turn the pages of. `now`: see [`StoreClock::given`](super::StoreClock::given).

use super::encoding::Count;
use super::errors::Error;
use super::session::Session;
use super::{administrators, audit, components, customers, groups, keys, lists, signing_certificates, webhooks};
use crate::clock::Timestamp;
use crate::domain::audit::AuditRow;
use crate::domain::{
    Administrator, ApiClient, Component, Customer, Group, Kind, ProvisioningKey, SigningCertificate, Webhook,
};
use crate::id::CustomerId;
use crate::store::lists::{Dialect, List};
use crate::store::{
    AdministratorField, ApiClientField, AuditQuery, Comparison, ComponentField, Condition, CustomerField, GroupField,
    KeyField, ListQuery, Page, SigningCertificateField, Value, WebhookField,
};

pub(super) async fn administrators(
    session: &Session,
    customer: CustomerId,
    query: &ListQuery<AdministratorField>,
    now: Option<Timestamp>,
) -> Result<Page<Administrator>, Error> {
    let dialect = Dialect::Postgres { now };
    let list = List::of_customer(administrators::COLUMNS, "administrators", customer, dialect);
    lists::page(session, list, query, administrators::read).await
}

pub(super) async fn api_clients(
    session: &Session,
    customer: CustomerId,
    query: &ListQuery<ApiClientField>,
    now: Option<Timestamp>,
) -> Result<Page<ApiClient>, Error> {
    let dialect = Dialect::Postgres { now };
    let list = List::of_customer(administrators::CLIENT_COLUMNS, "api_clients", customer, dialect);
    lists::page(session, list, query, administrators::read_client).await
}

pub(super) async fn webhooks(
    session: &Session,
    customer: CustomerId,
    query: &ListQuery<WebhookField>,
    now: Option<Timestamp>,
) -> Result<Page<Webhook>, Error> {
    let list = List::of_customer(webhooks::COLUMNS, "webhooks", customer, Dialect::Postgres { now });
    lists::page(session, list, query, webhooks::read).await
}

pub(super) async fn customers(
    session: &Session,
    query: &ListQuery<CustomerField>,
    now: Option<Timestamp>,
) -> Result<Page<Customer>, Error> {
    let list = List::of_service(customers::COLUMNS, "customers", Dialect::Postgres { now });
    lists::page(session, list, query, customers::read).await
}

pub(super) async fn groups(
    session: &Session,
    customer: CustomerId,
    kind: Kind,
    query: &ListQuery<GroupField>,
    now: Option<Timestamp>,
) -> Result<Page<Group>, Error> {
    let list = List::of_kind(groups::COLUMNS, "groups", customer, kind, Dialect::Postgres { now });
    lists::page(session, list, query, groups::read).await
}

pub(super) async fn signing_certificates(
    session: &Session,
    customer: CustomerId,
    query: &ListQuery<SigningCertificateField>,
    now: Option<Timestamp>,
) -> Result<Page<SigningCertificate>, Error> {
    let dialect = Dialect::Postgres { now };
    let list = List::of_customer(signing_certificates::COLUMNS, "signing_certificates", customer, dialect);
    lists::page(session, list, query, signing_certificates::read).await
}

pub(super) async fn keys(
    session: &Session,
    customer: CustomerId,
    kind: Kind,
    query: &ListQuery<KeyField>,
    now: Option<Timestamp>,
) -> Result<Page<ProvisioningKey>, Error> {
    let mut list = List::of_kind(keys::COLUMNS, keys::TABLE, customer, kind, Dialect::Postgres { now });
    list.restrict("id > 0");
    lists::page(session, list, query, keys::read).await
}

/// Those that are not deleted. All of a kind and all of a group are counted already.
pub(super) async fn components(
    session: &Session,
    customer: CustomerId,
    kind: Kind,
    query: &ListQuery<ComponentField>,
    now: Option<Timestamp>,
) -> Result<Page<Component>, Error> {
    let mut list = List::of_kind(components::COLUMNS, "components", customer, kind, Dialect::Postgres { now });
    list.restrict("deleted_at IS NULL AND id > 0");
    if let Some(group) = counted(&query.conditions) {
        let row = session
            .row(
                "SELECT coalesce(sum(components), 0)::bigint FROM component_counts
                 WHERE customer_id = $1 AND kind = $2 AND group_id = coalesce($3, group_id)",
                &[&customer, &kind, &group],
            )
            .await?;
        list = list.of_length(row.count(0)?);
    }
    lists::page(session, list, query, components::read).await
}

/// Whether many components are gone through.
pub(super) fn is_walk_of_components(query: &ListQuery<ComponentField>) -> bool {
    let is_by_id = query.sort.is_none_or(|sort| sort.field == ComponentField::Id);
    if is_by_id && counted(&query.conditions).is_some() { lists::is_far(query) } else { lists::is_walk(query) }
}

/// Newest first. Without conditions a page costs the same whatever its number, as sequences have no
/// gaps; with them the chain is read from its end, but for an object's own events, to which an index leads.
pub(super) async fn audit(
    session: &Session,
    customer: CustomerId,
    query: &AuditQuery,
    now: Option<Timestamp>,
) -> Result<Page<AuditRow>, Error> {
    if !query.conditions.is_empty() {
        let mut list = List::of_customer(audit::COLUMNS, "audit_events", customer, Dialect::Postgres { now });
        list.narrow(&query.conditions);
        let order = |_: &mut List, is_reversed| if is_reversed { "sequence" } else { "sequence DESC" }.to_owned();
        return lists::page_ordered_by(session, list, order, query.page, audit::read).await;
    }
    let total = audit::find_head(session, customer).await?.map_or(0, |(sequence, _)| sequence);
    let (limit, _) = query.page.bounds();
    let sql = format!(
        "SELECT {} FROM audit_events WHERE customer_id = $1 AND sequence <= $2 ORDER BY sequence DESC LIMIT $3",
        audit::COLUMNS
    );
    let newest = Count(total.saturating_sub(query.page.offset));
    let rows = session.list(&sql, &[&customer, &newest, &Count(limit)], audit::read).await?;
    Ok(Page { rows, total })
}

/// What `component_counts` has the number of: all, or those of one group.
fn counted(conditions: &[Condition<ComponentField>]) -> Option<Option<i64>> {
    match conditions {
        [] => Some(None),
        [Condition { field: ComponentField::GroupId, comparison: Comparison::Equals, value: Value::Number(group) }] => {
            Some(Some(*group))
        }
        _ => None,
    }
}
