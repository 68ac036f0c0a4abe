//! What Home and a key's page are told.

use super::components::{enroll, key};
use super::*;
use crate::domain::{BucketStep, Buckets};
use crate::management::keys::history::MaximumChange;

#[tokio::test]
async fn a_keys_usage_tells_where_its_maximum_moved() {
    let fixture = Fixture::new().await;
    let (actor, customer) = (fixture.actor(Role::Operator), fixture.customer());
    let group = fixture.group(Kind::AppConnector, "HQ").await;
    let key = key(&fixture, Kind::AppConnector, group, "k1").await.id;
    let edit = async |input: KeyInput| {
        fixture.advance(3_600);
        let edited = fixture.management.edit_key(&actor, customer, Kind::AppConnector, key, None, &input).await;
        edited.unwrap();
    };
    edit(KeyInput { maximum: Input::Given(20), ..KeyInput::default() }).await;
    edit(KeyInput { description: Input::Given("another".into()), ..KeyInput::default() }).await;
    edit(KeyInput { maximum: Input::Given(5), ..KeyInput::default() }).await;

    let now = fixture.clock.now();
    let usage = async |hours| {
        let buckets = Buckets::until(now, BucketStep::Hour, hours);
        fixture.management.key_usage(&actor, customer, Kind::AppConnector, key, buckets).await.unwrap()
    };
    let lowered = MaximumChange { at: now, before: Some(20), after: Some(5) };
    let raised =
        MaximumChange { at: now.saturating_sub(Duration::from_secs(7_200)), before: Some(10_000), after: Some(20) };
    assert_eq!(usage(24).await.maximum_changes, [lowered, raised]);
    assert_eq!(usage(1).await.maximum_changes, [lowered]);
    assert_eq!((usage(24).await.uses_before, usage(24).await.counts.len()), (0, 24));

    let buckets = Buckets::until(now, BucketStep::Hour, 1);
    let missing = fixture.management.key_usage(&actor, customer, Kind::Machine, key, buckets).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "of another kind");
}

#[tokio::test]
async fn what_happened_stands_in_its_bucket_and_what_came_before_in_the_count() {
    let fixture = Fixture::new().await;
    let (actor, customer) = (fixture.actor(Role::Auditor), fixture.customer());
    let group = fixture.group(Kind::Machine, "HQ").await;
    let (one, two) = (key(&fixture, Kind::Machine, group, "k1").await, key(&fixture, Kind::Machine, group, "k2").await);
    enroll(&fixture, &one, "earlier").await;
    fixture.advance(3 * 3_600);
    let ended = enroll(&fixture, &one, "first").await;
    enroll(&fixture, &two, "first").await;
    fixture.advance(3_600);
    enroll(&fixture, &one, "second").await;
    let (at, release_use) = (fixture.clock.now(), true);
    fixture.apply(Change::DeleteComponent { customer, id: ended, revision: None, at, release_use }).await;

    let buckets = Buckets::until(at, BucketStep::Hour, 3);
    let usage = fixture.management.key_usage(&actor, customer, Kind::Machine, one.id, buckets).await.unwrap();
    assert_eq!(usage.uses_before, 1);
    assert_eq!(usage.counts.iter().map(|count| count.uses).collect::<Vec<_>>(), [0, 1, 0]);
    let all = fixture.management.enrollments_over_time(&actor, customer, buckets).await.unwrap();
    assert_eq!(all.counts.iter().map(|count| count.enrolled).collect::<Vec<_>>(), [0, 2, 1]);
    let in_days = Buckets::until(at, BucketStep::Day, 2);
    let all = fixture.management.enrollments_over_time(&actor, customer, in_days).await.unwrap();
    assert_eq!(all.counts.iter().map(|count| count.enrolled).sum::<u64>(), 4);
}
