//! What happened to a key: the ledger of its uses, the refusals, and both over time.

use serde_json::Value as Json;

use crate::clock::Timestamp;
use crate::domain::audit::AuditEvent;
use crate::domain::ledger::RefusalTally;
use crate::domain::{Actor, Buckets, Kind, Role};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::{Error, Management, Object};
use crate::store::{AuditField, AuditQuery, Comparison, Condition, KeyUse, Page, PageRequest};

/// How a key was used over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUsageOverTime {
    pub buckets: Buckets,
    /// The key's count where the first bucket begins.
    pub uses_before: u32,
    /// One for each bucket, in order.
    pub counts: Vec<UsageCounts>,
    /// Newest first, those that were made since the first bucket began; of the newest 500 changes of the key.
    pub maximum_changes: Vec<MaximumChange>,
}

/// What happened to a key within one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageCounts {
    /// Uses taken less those given back: what the count moved by.
    pub uses: i64,
    pub re_enrollments: u64,
    /// Of devices that showed this key, within seconds of when they happened.
    pub refusals: u64,
}

/// `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaximumChange {
    pub at: Timestamp,
    pub before: Option<u32>,
    pub after: Option<u32>,
}

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

    /// How a key was used over these buckets. Costs a row for each hour in which something happened, at most,
    /// however many uses that were, and the key's audit rows.
    ///
    /// # Errors
    /// [`Error::NotFound`]; rights and outages.
    pub async fn key_usage(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ProvisioningKeyId,
        buckets: Buckets,
    ) -> Result<KeyUsageOverTime, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        self.key_of_kind(customer, kind, id).await?;
        let Some(found) = self.store().find_key_hours(customer, id, buckets.from()).await? else {
            return Err(Error::not_found(Object::ProvisioningKey, id));
        };
        let mut counts = vec![UsageCounts::default(); buckets.count()];
        let mut uses_before = i64::from(found.uses);
        for hour in found.hours {
            let uses = hour.uses.cast_signed() - hour.releases.cast_signed();
            uses_before -= uses;
            if let Some(place) = buckets.place(hour.hour) {
                counts[place].uses += uses;
                counts[place].re_enrollments += hour.re_enrollments;
                counts[place].refusals += hour.refusals;
            }
        }
        Ok(KeyUsageOverTime {
            buckets,
            uses_before: u32::try_from(uses_before.max(0)).unwrap_or(u32::MAX),
            counts,
            maximum_changes: self.maximum_changes(customer, id, buckets.from()).await?,
        })
    }

    async fn maximum_changes(
        &self,
        customer: CustomerId,
        id: ProvisioningKeyId,
        since: Timestamp,
    ) -> Result<Vec<MaximumChange>, Error> {
        let conditions = vec![
            Condition::new(AuditField::ObjectId, Comparison::Equals, id.to_string()),
            Condition::new(AuditField::ObjectType, Comparison::Equals, Object::ProvisioningKey.as_str()),
            Condition::new(AuditField::At, Comparison::GreaterOrEquals, since.unix_seconds()),
        ];
        let query = AuditQuery { conditions, page: PageRequest::first(PageRequest::LIMIT_MAX) };
        let rows = self.store().search_audit(customer, &query).await?.rows;
        Ok(rows.iter().filter_map(|row| maximum_change(&row.event)).collect())
    }
}

/// `None`: the event left the maximum as it was.
fn maximum_change(event: &AuditEvent) -> Option<MaximumChange> {
    let maximum = |settings: &Option<String>| -> Option<Option<u32>> {
        let settings: Json = serde_json::from_str(settings.as_deref()?).ok()?;
        match settings.get("maximum")? {
            Json::Null => Some(None),
            maximum => maximum.as_u64().and_then(|maximum| u32::try_from(maximum).ok()).map(Some),
        }
    };
    let (before, after) = (maximum(&event.before)?, maximum(&event.after)?);
    (before != after).then_some(MaximumChange { at: event.at, before, after })
}
