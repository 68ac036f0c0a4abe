//! What needs attention, and what is no news.

use std::time::Duration;

use muster::clock::{DAY, Timestamp};
use muster::domain::address::SourcePrefix;
use muster::domain::attention::{Attention, GroupName, SigningCertificateName};
use muster::domain::key::KeyName;
use muster::domain::ledger::RefusalTally;
use muster::domain::{ProvisioningKey, Reference, Refusal, RefusalReason, SigningCertificate};
use muster::store::{Change, Page};

use super::world::{Tenant, World};
use crate::support::rows::{self, NOW};

const MINUTE: Timestamp = Timestamp::from_unix_seconds(NOW.unix_seconds() / 60 * 60);

async fn attention(world: &World, tenant: &Tenant) -> Vec<Attention> {
    let Page { rows, total } = world.store.list_attention(tenant.customer.id, world.now(), 20).await.unwrap();
    assert_eq!(rows.len() as u64, total);
    rows
}

fn named(key: &ProvisioningKey) -> KeyName {
    KeyName { id: key.id, kind: key.kind, name: key.name.clone() }
}

fn certificate(signer: &SigningCertificate) -> SigningCertificateName {
    SigningCertificateName { id: signer.id, name: signer.name.clone() }
}

/// At the world's time.
async fn refuse(world: &World, key: &ProvisioningKey, refusal: Refusal, count: u64) {
    let tally = RefusalTally {
        customer_id: key.customer_id,
        key_id: key.id,
        refusal,
        source: SourcePrefix::of("192.0.2.1".parse().unwrap()),
        minute: Timestamp::from_unix_seconds(world.now().unix_seconds() / 60 * 60),
        count,
        last_reference: Reference::random(),
        last_reason: RefusalReason::new("as the test asked"),
    };
    world.store.add_refusals(vec![tally]).await.unwrap();
}

pub async fn refusals_make_news_of_what_is_off_or_used_up(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let exhausted = world.key(&tenant, Some(1)).await;
    world.enrolled(&tenant, &exhausted, "first").await;
    let disabled = world.key(&tenant, None).await;
    let disabled = world.change_key(&disabled, |key| key.enabled = false).await;
    assert_eq!(attention(&world, &tenant).await, [], "nobody asks for them");

    refuse(&world, &exhausted, Refusal::KeyExhausted, 2).await;
    refuse(&world, &disabled, Refusal::KeyDisabled, 5).await;
    world.clock.advance(Duration::from_secs(3_600));
    refuse(&world, &exhausted, Refusal::KeyExhausted, 1).await;
    let of_exhausted =
        Attention::KeyExhausted { key: named(&exhausted), uses: 1, maximum: 1, refusals: 3, since: MINUTE };
    let of_disabled = Attention::KeyDisabled { key: named(&disabled), refusals: 5, since: MINUTE };
    assert_eq!(attention(&world, &tenant).await, [of_exhausted, of_disabled.clone()]);
    assert_eq!(attention(&world, &other).await, []);

    // Room was made, and the group was disabled meanwhile.
    world.change_key(&exhausted, |key| key.maximum = std::num::NonZeroU32::new(2)).await;
    refuse(&world, &exhausted, Refusal::GroupDisabled, 4).await;
    refuse(&world, &disabled, Refusal::GroupDisabled, 3).await;
    assert_eq!(attention(&world, &tenant).await, std::slice::from_ref(&of_disabled), "the group is enabled again");
    let mut group = tenant.group.clone();
    group.enabled = false;
    world.apply(vec![Change::UpdateGroup(group)]).await;
    let since = MINUTE.saturating_add(Duration::from_secs(3_600));
    let group = GroupName { id: tenant.group.id, kind: tenant.group.kind, name: tenant.group.name.clone() };
    let of_group = Attention::GroupDisabled { group, refusals: 7, since };
    assert_eq!(attention(&world, &tenant).await, [of_group, of_disabled]);

    world.clock.advance(2 * DAY);
    assert_eq!(attention(&world, &tenant).await, [], "nobody asks any more");
}

pub async fn a_key_that_fills_up_is_told_with_its_rate(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, Some(10)).await;
    for device in 0..7 {
        world.enrolled(&tenant, &key, &format!("early-{device}")).await;
    }
    world.clock.advance(DAY + Duration::from_secs(3_600));
    world.enrolled(&tenant, &key, "late-1").await;
    assert_eq!(attention(&world, &tenant).await, [], "80 %");
    world.enrolled(&tenant, &key, "late-2").await;
    let nearly = Attention::KeyNearlyExhausted { key: named(&key), uses: 9, maximum: 10, uses_last_day: 2 };
    assert_eq!(attention(&world, &tenant).await, [nearly]);
    world.enrolled(&tenant, &key, "last").await;
    assert_eq!(attention(&world, &tenant).await, [], "it is exhausted, and nobody asks");

    let key = world.change_key(&key, |key| key.maximum = std::num::NonZeroU32::new(11)).await;
    assert_eq!(attention(&world, &tenant).await.len(), 1);
    world.change_key(&key, |key| key.enabled = false).await;
    assert_eq!(attention(&world, &tenant).await, []);
}

pub async fn ends_are_told_while_they_are_near(world: World) {
    let tenant = world.tenant().await;
    let end = tenant.signer.not_after;
    let key = world.key(&tenant, Some(10)).await;
    let expires_at = NOW.saturating_add(100 * DAY);
    let key = world.change_key(&key, |key| key.expires_at = Some(expires_at)).await;
    let second = Duration::from_secs(1);
    let expiring = Attention::KeyExpiring { key: named(&key), expires_at, uses: 0, maximum: Some(10) };
    let expired = Attention::KeyExpired { key: named(&key), expired_at: expires_at, uses: 0, maximum: Some(10) };
    for (now, expected) in [
        (expires_at.saturating_sub(7 * DAY + second), None),
        (expires_at.saturating_sub(7 * DAY), Some(&expiring)),
        (expires_at.saturating_sub(second), Some(&expiring)),
        (expires_at, Some(&expired)),
        (expires_at.saturating_add(7 * DAY - second), Some(&expired)),
        (expires_at.saturating_add(7 * DAY), None),
    ] {
        world.clock.set(now);
        assert_eq!(attention(&world, &tenant).await.first(), expected, "{now}");
    }
    world.change_key(&key, |key| key.enabled = false).await;

    let signer = || certificate(&tenant.signer);
    let expiring = Attention::SigningCertificateExpiring { certificate: signer(), expires_at: end, keys: 1 };
    let expired = Attention::SigningCertificateExpired { certificate: signer(), expired_at: end, keys: 1 };
    for (now, expected) in [
        (end.saturating_sub(60 * DAY + second), None),
        (end.saturating_sub(60 * DAY), Some(&expiring)),
        (end.saturating_sub(second), Some(&expiring)),
        (end, Some(&expired)),
        (end.saturating_add(1_000 * DAY), Some(&expired)),
    ] {
        world.clock.set(now);
        assert_eq!(attention(&world, &tenant).await.first(), expected, "{now}");
    }
    let unused = rows::signing_certificate(world.id(), tenant.customer.id, "Unused");
    world.apply(vec![Change::InsertSigningCertificate(unused)]).await;
    assert_eq!(attention(&world, &tenant).await, [expired], "nothing has the other one");
}

pub async fn graver_things_come_first_and_all_are_counted(world: World) {
    let tenant = world.tenant().await;
    let expires_at = NOW.saturating_add(DAY);
    let mut expiring = Vec::new();
    for _ in 0..3 {
        let key = world.key(&tenant, Some(1)).await;
        expiring.push(world.change_key(&key, |key| key.expires_at = Some(expires_at)).await);
    }
    let exhausted = world.key(&tenant, Some(1)).await;
    world.enrolled(&tenant, &exhausted, "first").await;
    refuse(&world, &exhausted, Refusal::KeyExhausted, 1).await;

    let Page { rows, total } = world.store.list_attention(tenant.customer.id, NOW, 2).await.unwrap();
    assert_eq!(total, 4);
    assert!(matches!(&rows[0], Attention::KeyExhausted { key, .. } if *key == named(&exhausted)), "{rows:?}");
    assert!(matches!(&rows[1], Attention::KeyExpiring { key, .. } if *key == named(&expiring[0])), "{rows:?}");
    assert_eq!(rows.len(), 2);
}
