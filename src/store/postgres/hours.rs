//! `key_hours`: what happened to a customer's keys hour by hour, for charts that cost the same however many
//! enrollments they sum up. Written in the transaction that makes it happen: by [`enroll`](super::enroll) and
//! [`ledger`](super::ledger).

use super::encoding::Count;
use super::errors::Error;
use super::session::{Row, Session};
use crate::clock::Timestamp;
use crate::domain::buckets::{HOUR, start_of};
use crate::domain::ledger::HourTally;
use crate::id::{CustomerId, ProvisioningKeyId};

fn read(row: &Row) -> Result<HourTally, Error> {
    Ok(HourTally {
        hour: row.get(0)?,
        uses: row.count(1)?,
        releases: row.count(2)?,
        re_enrollments: row.count(3)?,
        refusals: row.count(4)?,
    })
}

/// Adds to a key's hour.
pub(super) async fn add(
    session: &Session,
    customer: CustomerId,
    key: ProvisioningKeyId,
    tally: HourTally,
) -> Result<(), Error> {
    session
        .execute(
            "INSERT INTO key_hours AS h (customer_id, key_id, hour, uses, releases, re_enrollments, refusals)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (customer_id, key_id, hour) DO UPDATE SET uses = h.uses + excluded.uses,
                 releases = h.releases + excluded.releases,
                 re_enrollments = h.re_enrollments + excluded.re_enrollments,
                 refusals = h.refusals + excluded.refusals",
            &[
                &customer,
                &key,
                &tally.hour,
                &Count(tally.uses),
                &Count(tally.releases),
                &Count(tally.re_enrollments),
                &Count(tally.refusals),
            ],
        )
        .await?;
    Ok(())
}

/// A key's hours from the one on that `since` is in, in order, those in which something happened.
pub(super) async fn of_key(
    session: &Session,
    customer: CustomerId,
    key: ProvisioningKeyId,
    since: Timestamp,
) -> Result<Vec<HourTally>, Error> {
    session
        .list(
            "SELECT hour, uses, releases, re_enrollments, refusals FROM key_hours
             WHERE customer_id = $1 AND key_id = $2 AND hour >= $3 ORDER BY hour",
            &[&customer, &key, &start_of(since, HOUR)],
            read,
        )
        .await
}

/// What happened to a customer's keys from the hour on that `since` is in, in order, hours in which something did.
/// Costs a row per hour and key that something happened to.
pub(super) async fn of_customer(
    session: &Session,
    customer: CustomerId,
    since: Timestamp,
) -> Result<Vec<HourTally>, Error> {
    session
        .list(
            "SELECT hour, sum(uses)::bigint, sum(releases)::bigint, sum(re_enrollments)::bigint, sum(refusals)::bigint
             FROM key_hours WHERE customer_id = $1 AND hour >= $2 GROUP BY hour ORDER BY hour",
            &[&customer, &start_of(since, HOUR)],
            read,
        )
        .await
}
