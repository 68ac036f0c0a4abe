//! Lists, scans, ledger and refusals.

use std::time::Duration;

use muster::domain::address::SourcePrefix;
use muster::domain::ledger::RefusalTally;
use muster::domain::{Kind, Reference, Refusal};
use muster::id::{GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::store::{Change, ListQuery, NameFilter};

use super::world::{Tenant, World};
use crate::support::rows::{self, NOW};

async fn with_keys(world: &World, names: &[&str]) -> Tenant {
    let tenant = world.tenant().await;
    let keys = names.iter().map(|name| Change::InsertKey(rows::key(world.id(), &tenant.group, name, None)));
    world.apply(keys.collect()).await;
    tenant
}

async fn key_names(
    world: &World,
    tenant: &Tenant,
    filter: Vec<NameFilter>,
    offset: u64,
    limit: u32,
) -> (Vec<String>, u64) {
    let query = ListQuery { filter, offset, limit };
    let page = world.store.list_keys(tenant.customer.id, Kind::Machine, &query).await.unwrap();
    (page.rows.iter().map(|key| key.name.as_str().to_owned()).collect(), page.total)
}

pub async fn pages_are_in_order_of_id_and_tell_the_total(world: World) {
    let tenant = with_keys(&world, &["c", "a", "e", "b", "d"]).await;
    with_keys(&world, &["of another customer"]).await;
    let names = |offset, limit| key_names(&world, &tenant, vec![], offset, limit);
    assert_eq!(names(0, 2).await, (vec!["c".into(), "a".into()], 5));
    assert_eq!(names(2, 2).await, (vec!["e".into(), "b".into()], 5));
    assert_eq!(names(4, 2).await, (vec!["d".into()], 5));
    assert_eq!(names(5, 2).await, (vec![], 5));
    assert_eq!(names(u64::MAX, 500).await, (vec![], 5));

    let other_kind = world.store.list_keys(tenant.customer.id, Kind::ServiceEdge, &ListQuery::first(10)).await.unwrap();
    assert_eq!((other_kind.rows.len(), other_kind.total), (0, 0));
    let groups = world.store.list_groups(tenant.customer.id, Kind::Machine, &ListQuery::first(10)).await.unwrap();
    assert_eq!((groups.rows, groups.total), (vec![tenant.group.clone()], 1));
    let signers = world.store.list_signing_certificates(tenant.customer.id, &ListQuery::first(10)).await.unwrap();
    assert_eq!((signers.rows[0].id, signers.total), (tenant.signer.id, 1));

    let page = world.store.list_keys(tenant.customer.id, Kind::Machine, &ListQuery::first(1)).await.unwrap();
    let key = &page.rows[0];
    for n in 0..3 {
        world.enrolled(&tenant, key, &format!("device-{n}")).await;
    }
    let query = ListQuery { offset: 1, ..ListQuery::first(1) };
    let components = world.store.list_components(tenant.customer.id, Kind::Machine, &query).await.unwrap();
    assert_eq!((components.rows[0].name.as_str(), components.total), ("c-2", 3));
    let query = ListQuery { filter: vec![NameFilter::EndsWith("-3".into())], ..ListQuery::first(10) };
    let components = world.store.list_components(tenant.customer.id, Kind::Machine, &query).await.unwrap();
    assert_eq!((components.rows[0].name.as_str(), components.total), ("c-3", 1));
}

pub async fn filters_compare_names_without_regard_to_case(world: World) {
    let tenant = with_keys(&world, &["Berlin-1", "berlin-2", "Paris", "ERLANGEN"]).await;
    let expected: [(Vec<NameFilter>, &[&str]); 9] = [
        (vec![NameFilter::Contains("ERL".into())], &["Berlin-1", "berlin-2", "ERLANGEN"]),
        (vec![NameFilter::StartsWith("BERLIN".into())], &["Berlin-1", "berlin-2"]),
        (vec![NameFilter::EndsWith("-2".into())], &["berlin-2"]),
        (vec![NameFilter::Equals("paris".into())], &["Paris"]),
        (vec![NameFilter::NotEquals("PARIS".into())], &["Berlin-1", "berlin-2", "ERLANGEN"]),
        (vec![NameFilter::Contains("erl".into()), NameFilter::NotEquals("berlin-1".into())], &["berlin-2", "ERLANGEN"]),
        (vec![NameFilter::EndsWith("far longer than any name".into())], &[]),
        (vec![NameFilter::EndsWith(String::new())], &["Berlin-1", "berlin-2", "Paris", "ERLANGEN"]),
        (vec![NameFilter::Contains(String::new())], &["Berlin-1", "berlin-2", "Paris", "ERLANGEN"]),
    ];
    for (filter, names) in expected {
        let (found, total) = key_names(&world, &tenant, filter.clone(), 0, 10).await;
        assert_eq!(
            (found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), total),
            (names, names.len() as u64),
            "{filter:?}"
        );
    }
    let (page, total) = key_names(&world, &tenant, vec![NameFilter::Contains("erl".into())], 1, 1).await;
    assert_eq!((page, total), (vec!["berlin-2".into()], 3));
}

pub async fn filters_take_their_text_literally(world: World) {
    let tenant = with_keys(&world, &["a_b", "axb", "a.b"]).await;
    for (text, names) in [("a_b", vec!["a_b"]), ("a%", vec![]), ("' OR 1=1 --", vec![]), ("?1", vec![]), ("\0", vec![])]
    {
        for filter in [NameFilter::Contains(text.into()), NameFilter::StartsWith(text.into())] {
            let (found, _) = key_names(&world, &tenant, vec![filter.clone()], 0, 10).await;
            assert_eq!(found, names, "{filter:?}");
        }
    }
    let long = NameFilter::Contains("a".repeat(100_000));
    assert_eq!(key_names(&world, &tenant, vec![long], 0, 10).await, (vec![], 0));
}

pub async fn scans_visit_every_customer_in_order_of_id(world: World) {
    let tenants = [with_keys(&world, &["a", "b"]).await, with_keys(&world, &["c"]).await];
    let mut seen = Vec::new();
    let mut after = ProvisioningKeyId::from_raw(0);
    loop {
        let keys = world.store.scan_keys(after, 2).await.unwrap();
        let Some(last) = keys.last() else { break };
        after = last.id;
        seen.extend(keys.into_iter().map(|key| (key.customer_id, key.id)));
    }
    assert_eq!(seen.len(), 3);
    assert!(seen.is_sorted_by_key(|(_, id)| *id));
    assert_eq!(seen[2].0, tenants[1].customer.id);

    let key = world.store.find_key(seen[0].0, seen[0].1).await.unwrap().unwrap();
    let scanned = &world.store.scan_keys(ProvisioningKeyId::from_raw(0), 1).await.unwrap()[0];
    let found = world.store.find_indexed_key(key.customer_id, key.id).await.unwrap().unwrap();
    for indexed in [scanned, &found] {
        assert_eq!((indexed.id, indexed.revision, indexed.uses), (key.id, key.revision, key.usage.uses));
        assert_eq!(indexed.digest.as_bytes(), key.digest.as_bytes());
        assert_eq!((indexed.maximum, indexed.enabled, &indexed.addresses), (key.maximum, key.enabled, &key.addresses));
    }

    let groups = world.store.scan_groups(GroupId::from_raw(0), 10).await.unwrap();
    assert_eq!(groups, tenants.iter().map(|tenant| tenant.group.clone()).collect::<Vec<_>>());
    assert_eq!(world.store.scan_groups(groups[0].id, 10).await.unwrap(), [tenants[1].group.clone()]);
    let signers = world.store.scan_signing_certificates(SigningCertificateId::from_raw(0), 10).await.unwrap();
    assert_eq!(signers.iter().map(|row| row.id).collect::<Vec<_>>(), tenants.clone().map(|tenant| tenant.signer.id));
    let customers = world.store.list_customers().await.unwrap();
    assert_eq!(customers, tenants.map(|tenant| tenant.customer));
}

pub async fn the_ledger_is_listed_newest_first(world: World) {
    let tenant = world.tenant().await;
    let (key, other) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    for n in 0..5 {
        world.enrolled(&tenant, &key, &format!("device-{n}")).await;
        world.enrolled(&tenant, &other, &format!("device-{n}")).await;
    }
    let query = ListQuery { offset: 1, ..ListQuery::first(2) };
    let page = world.store.list_ledger(key.customer_id, key.id, &query).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [4, 3]);
    assert_eq!((page.total, page.rows[0].key_id), (5, key.id));
}

pub async fn refusals_add_up_and_are_bounded(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let tally = |minute: u64, refusal, count| RefusalTally {
        customer_id: key.customer_id,
        key_id: key.id,
        refusal,
        source: SourcePrefix::of("2001:db8::1".parse().unwrap()),
        minute: NOW.saturating_add(Duration::from_secs(minute * 60)),
        count,
        last_reference: Reference::random(),
    };
    let (first, second, other) =
        (tally(0, Refusal::KeyExhausted, 2), tally(0, Refusal::KeyExhausted, 3), tally(1, Refusal::KeyExpired, 1));
    world.store.add_refusals(vec![first.clone(), other.clone()]).await.unwrap();
    world.store.add_refusals(vec![second.clone()]).await.unwrap();
    let sum = RefusalTally { count: 5, ..second };
    assert_eq!(world.store.list_refusals(key.customer_id, key.id).await.unwrap(), [other, sum]);

    world.store.add_refusals((0..1_500).map(|minute| tally(minute, Refusal::KeyDisabled, 1)).collect()).await.unwrap();
    let kept = world.store.list_refusals(key.customer_id, key.id).await.unwrap();
    assert_eq!(kept.len(), 1_000);
    assert_eq!(kept[0].minute, tally(1_499, Refusal::KeyDisabled, 1).minute, "the newest stay");

    let mut unknown = first;
    unknown.key_id = ProvisioningKeyId::from_raw(1);
    world.store.add_refusals(vec![unknown]).await.unwrap();
    let of_unknown = world.store.list_refusals(key.customer_id, ProvisioningKeyId::from_raw(1)).await.unwrap();
    assert_eq!(of_unknown, [], "rows of a key that is gone would never be bounded");
}
