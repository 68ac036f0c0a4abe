//! What happened hour by hour, to a key and to all of a customer's.

use std::time::Duration;

use muster::clock::Timestamp;
use muster::domain::address::SourcePrefix;
use muster::domain::key::KeyName;
use muster::domain::ledger::{HourTally, RefusalSum, RefusalTally};
use muster::domain::{ProvisioningKey, Reference, Refusal, RefusalReason};
use muster::id::{Id, ProvisioningKeyId};
use muster::store::{Change, KeyHours};

use super::world::World;
use crate::support::rows::NOW;

/// When the hour of `NOW` begins, 16:00, and the one after it.
const FIRST: Timestamp = Timestamp::from_unix_seconds(1_795_190_400);
const SECOND: Timestamp = Timestamp::from_unix_seconds(1_795_190_400 + 3_600);

const HOUR: Duration = Duration::from_secs(3_600);

async fn hours(world: &World, key: &ProvisioningKey, since: Timestamp) -> KeyHours {
    world.store.find_key_hours(key.customer_id, key.id, since).await.unwrap().expect("the key is there")
}

pub async fn what_happened_is_told_by_the_hour(world: World) {
    let tenant = world.tenant().await;
    let mut key = world.key(&tenant, Some(5)).await;
    key = world.change_key(&key, |key| key.allow_re_enrollment = true).await;
    let other = world.key(&tenant, None).await;
    let customer = key.customer_id;
    let first = world.enrolled(&tenant, &key, "first").await;
    world.enrolled(&tenant, &key, "second").await;
    world.enrolled(&tenant, &other, "first").await;
    world.clock.advance(HOUR);
    world.store.commit_enrollment(world.re_enrollment(&tenant, &key, "first", &first)).await.unwrap();
    world.enrolled(&tenant, &key, "third").await;
    let delete = Change::DeleteComponent { customer, id: first.id, revision: None, at: world.now(), release_use: true };
    world.apply(vec![delete]).await;

    let tally = |hour, uses, releases, re_enrollments| HourTally { hour, uses, releases, re_enrollments, refusals: 0 };
    let of_key = vec![tally(FIRST, 2, 0, 0), tally(SECOND, 1, 1, 1)];
    assert_eq!(hours(&world, &key, NOW).await, KeyHours { uses: 2, hours: of_key.clone() });
    let later = KeyHours { uses: 2, hours: of_key[1..].to_vec() };
    assert_eq!(hours(&world, &key, SECOND).await, later);
    assert_eq!(hours(&world, &other, NOW).await, KeyHours { uses: 1, hours: vec![tally(FIRST, 1, 0, 0)] });
    let of_all = [tally(FIRST, 3, 0, 0), tally(SECOND, 1, 1, 1)];
    assert_eq!(world.store.list_customer_hours(customer, NOW).await.unwrap(), of_all);
    assert_eq!(world.store.list_customer_hours(customer, SECOND).await.unwrap(), of_all[1..]);
    world.assert_sound().await;
}

pub async fn hours_are_told_to_their_customer_only(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let key = world.key(&tenant, None).await;
    world.enrolled(&tenant, &key, "first").await;
    assert_eq!(world.store.find_key_hours(other.customer.id, key.id, NOW).await.unwrap(), None);
    assert_eq!(world.store.find_key_hours(key.customer_id, ProvisioningKeyId::from_raw(1), NOW).await.unwrap(), None);
    assert_eq!(world.store.list_customer_hours(other.customer.id, NOW).await.unwrap(), []);
}

pub async fn refusals_have_their_hour_however_many_rows_are_kept(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let tally = |key_id, place: u32| RefusalTally {
        customer_id: key.customer_id,
        key_id,
        refusal: Refusal::KeyDisabled,
        source: SourcePrefix::of(std::net::Ipv4Addr::from_bits(0xC000_0200 + place).into()),
        minute: NOW,
        count: 2,
        last_reference: Reference::random(),
        last_reason: RefusalReason::new("the key is disabled"),
    };
    world.store.add_refusals((0..1_500).map(|place| tally(key.id, place)).collect()).await.unwrap();
    world.store.add_refusals(vec![tally(ProvisioningKeyId::from_raw(1), 0)]).await.unwrap();

    let expected = vec![HourTally { refusals: 3_000, ..HourTally::empty(FIRST) }];
    assert_eq!(hours(&world, &key, NOW).await, KeyHours { uses: 0, hours: expected.clone() });
    assert_eq!(world.store.list_customer_hours(key.customer_id, NOW).await.unwrap(), expected);
    world.assert_sound().await;
}

pub async fn refusals_are_summed_by_code_for_two_days(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let (one, two) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let of_other = world.key(&other, None).await;
    let tally = |key: &ProvisioningKey, refusal, minutes: u64, count| RefusalTally {
        customer_id: key.customer_id,
        key_id: key.id,
        refusal,
        source: SourcePrefix::of("192.0.2.1".parse().unwrap()),
        minute: NOW.saturating_add(Duration::from_secs(minutes * 60)),
        count,
        last_reference: Reference::random(),
        last_reason: RefusalReason::new("as the test asked"),
    };
    let (exhausted, disabled) = (Refusal::KeyExhausted, Refusal::KeyDisabled);
    let tallies = vec![
        tally(&one, exhausted, 0, 2),
        tally(&one, exhausted, 60, 2),
        tally(&two, exhausted, 61, 3),
        tally(&two, disabled, 3, 5),
        tally(&of_other, exhausted, 0, 100),
    ];
    world.store.add_refusals(tallies).await.unwrap();
    let sums = async |since| world.store.sum_refusals(tenant.customer.id, since).await.unwrap();
    let sum = |refusal, count, minutes: u64, key: Option<(&ProvisioningKey, u64)>| RefusalSum {
        refusal,
        count,
        last_minute: NOW.saturating_add(Duration::from_secs(minutes * 60)),
        most_refused: key.map(|(key, count)| (KeyName { id: key.id, kind: key.kind, name: key.name.clone() }, count)),
    };
    let both = [sum(exhausted, 7, 61, Some((&one, 4))), sum(disabled, 5, 3, Some((&two, 5)))];
    assert_eq!(sums(NOW).await, both);
    assert_eq!(sums(SECOND).await, [sum(exhausted, 5, 61, Some((&two, 3)))]);

    // A key that is gone is nobody's to look at; what it was refused for happened.
    let delete = Change::DeleteKey { customer: two.customer_id, id: two.id, revision: None, revoke: None };
    world.apply(vec![delete]).await;
    assert_eq!(sums(NOW).await, [sum(exhausted, 7, 61, Some((&one, 4))), sum(disabled, 5, 3, None)]);

    // What is written two days later takes along what is older.
    world.clock.advance(3 * 24 * HOUR);
    world.store.add_refusals(vec![tally(&one, disabled, 3 * 24 * 60, 1)]).await.unwrap();
    assert_eq!(sums(NOW).await, [sum(disabled, 1, 3 * 24 * 60, Some((&one, 1)))]);
}
