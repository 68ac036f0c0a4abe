//! What an administrator sees first: what happened of late over all of a customer's keys.

use std::time::Duration;

use super::{Error, Management};
use crate::clock::DAY;
use crate::domain::ledger::RefusalSum;
use crate::domain::{Actor, Attention, BucketStep, Buckets, Kind, Role};
use crate::id::CustomerId;
use crate::store::{EndingComponent, KindCounts, Page};

/// Most things that are told at once to need attention.
pub const ATTENTION_MAX: u32 = 20;

/// How long before its end a component's certificate is spoken of.
pub const CERTIFICATE_END_NEAR: Duration = DAY.saturating_mul(30);

/// What became of devices over time, over all of a customer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollmentsOverTime {
    pub buckets: Buckets,
    /// One for each bucket, in order.
    pub counts: Vec<EnrollmentCounts>,
}

/// What became of devices within one bucket. Replays, which change nothing, are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnrollmentCounts {
    pub enrolled: u64,
    pub re_enrolled: u64,
    /// Of devices whose key verified, within seconds of when they happened.
    pub refused: u64,
}

impl Management {
    /// What became of devices over these buckets. Costs a row for each hour, however many devices that
    /// were; while a storm of them goes on, the counting of those since it began
    /// ([`Store::list_customer_hours`](crate::store::Store::list_customer_hours)).
    ///
    /// # Errors
    /// Rights and outages.
    pub async fn enrollments_over_time(
        &self,
        actor: &Actor,
        customer: CustomerId,
        buckets: Buckets,
    ) -> Result<EnrollmentsOverTime, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let mut counts = vec![EnrollmentCounts::default(); buckets.count()];
        for hour in self.store().list_customer_hours(customer, buckets.from()).await? {
            if let Some(place) = buckets.place(hour.hour) {
                counts[place].enrolled += hour.uses;
                counts[place].re_enrolled += hour.re_enrollments;
                counts[place].refused += hour.refusals;
            }
        }
        Ok(EnrollmentsOverTime { buckets, counts })
    }

    /// Why devices were refused over the last day, this hour and the 23 before it, the most frequent reason
    /// first; each at most once. Strings that are no key of anybody's are counted in the metrics alone.
    ///
    /// # Errors
    /// Rights and outages.
    pub async fn refusals_of_last_day(&self, actor: &Actor, customer: CustomerId) -> Result<Vec<RefusalSum>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        Ok(self.store().sum_refusals(customer, self.last_day().from()).await?)
    }

    /// What needs attention now, gravest first, at most [`ATTENTION_MAX`], with how much does.
    ///
    /// # Errors
    /// Rights and outages.
    pub async fn attention(&self, actor: &Actor, customer: CustomerId) -> Result<Page<Attention>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        Ok(self.store().list_attention(customer, self.now(), ATTENTION_MAX).await?)
    }

    /// Live components whose certificate ends within [`CERTIFICATE_END_NEAR`], of all kinds, the soonest first, at
    /// most `limit`.
    ///
    /// # Errors
    /// Rights and outages.
    pub async fn ending_components(
        &self,
        actor: &Actor,
        customer: CustomerId,
        limit: u32,
    ) -> Result<Vec<EndingComponent>, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let now = self.now();
        let until = now.saturating_add(CERTIFICATE_END_NEAR);
        Ok(self.store().list_ending_components(customer, now, until, limit).await?)
    }

    /// How many components, groups and keys of a kind there are: one read of a few counters.
    ///
    /// # Errors
    /// Rights and outages.
    pub async fn kind_counts(&self, actor: &Actor, customer: CustomerId, kind: Kind) -> Result<KindCounts, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        Ok(self.store().count_kind(customer, kind).await?)
    }

    /// This hour and the 23 before it.
    fn last_day(&self) -> Buckets {
        Buckets::until(self.now(), BucketStep::Hour, 24)
    }
}
