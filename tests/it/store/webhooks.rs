//! Webhooks: their rows, what is queued for them, and who delivers it.

use std::time::Duration;

use muster::domain::key::KeyName;
use muster::domain::webhook::{DELIVERIES_SHOWN, DeliveryState, QUEUE_MAX, WEBHOOKS_MAX, WebhookMark};
use muster::domain::{ProvisioningKey, Revision, Webhook, WebhookDelivery, WebhookEvent, WebhookEvents};
use muster::id::{CustomerId, Id, WebhookDeliveryId, WebhookId};
use muster::store::{
    BrokenRule, Change, ClaimedDelivery, DeliveryAttempt, ListQuery, Look, PageRequest, ServedWebhook, UntoldLedger,
    WebhookNews,
};

use super::world::{Tenant, World};
use crate::support::rows::{self, NOW};

pub fn webhook(world: &World, customer: CustomerId, name: &str) -> Webhook {
    Webhook {
        id: WebhookId::from_raw(world.id()),
        customer_id: customer,
        name: rows::name(name),
        url: "https://hooks.example.com/a?b=c".parse().unwrap(),
        events: WebhookEvents::parse(&["component.enrolled", "key.expiring"]).unwrap(),
        sealed_secret: vec![1, 2, 3],
        enabled: true,
        since: NOW,
        last_success_at: None,
        last_failure_at: None,
        last_failure: String::new(),
        failing_since: None,
        created_at: NOW,
        modified_at: NOW,
        modified_by: Some(7),
        revision: Revision::FIRST,
    }
}

pub fn delivery(world: &World, webhook: &Webhook, event: WebhookEvent) -> WebhookDelivery {
    WebhookDelivery {
        id: WebhookDeliveryId::from_raw(world.id()),
        customer_id: webhook.customer_id,
        webhook_id: webhook.id,
        event,
        payload: "{\"type\":\"x\"}".to_owned(),
        created_at: world.now(),
        state: DeliveryState::Waiting,
        attempts: 0,
        next_at: world.now(),
        last_result: String::new(),
    }
}

pub fn news(webhook: &Webhook, looks: u64, deliveries: Vec<WebhookDelivery>, told: Vec<WebhookMark>) -> WebhookNews {
    let (customer, webhook, look) = (webhook.customer_id, webhook.id, Look::Attention);
    WebhookNews { customer, webhook, look, looks, deliveries, told, ceased: Vec::new() }
}

async fn inserted(world: &World, tenant: &Tenant) -> Webhook {
    let webhook = webhook(world, tenant.customer.id, "hook");
    world.apply(vec![Change::InsertWebhook(webhook.clone())]).await;
    webhook
}

async fn served(world: &World) -> Vec<ServedWebhook> {
    world.store.list_served_webhooks().await.unwrap()
}

async fn deliveries(world: &World, webhook: &Webhook) -> Vec<WebhookDelivery> {
    let page = PageRequest::first(500);
    let page = world.store.list_webhook_deliveries(webhook.customer_id, webhook.id, page).await.unwrap();
    assert_eq!(page.rows.len() as u64, page.total);
    page.rows
}

pub async fn webhooks_are_changed_listed_and_deleted(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let customer = tenant.customer.id;
    let mut hook = inserted(&world, &tenant).await;
    assert_eq!(world.store.find_webhook(customer, hook.id).await.unwrap(), Some(hook.clone()));
    assert_eq!(world.store.find_webhook(other.customer.id, hook.id).await.unwrap(), None);
    let twin = webhook(&world, customer, "HOOK");
    assert_eq!(world.broken_rule(Change::InsertWebhook(twin)).await, BrokenRule::DuplicateName);
    let nowhere = webhook(&world, CustomerId::from_raw(1), "x");
    let rule = world.broken_rule(Change::InsertWebhook(nowhere)).await;
    assert_eq!(rule, BrokenRule::UnknownReference { what: "customer" });

    hook.name = rows::name("other");
    hook.url = "https://hooks.example.com/z".parse().unwrap();
    hook.events = WebhookEvents::parse(&["key.expired"]).unwrap();
    hook.enabled = false;
    hook.modified_by = None;
    let update = Change::UpdateWebhook(hook.clone());
    world.apply(vec![update.clone()]).await;
    assert_eq!(world.broken_rule(update).await, BrokenRule::Outdated { found: Revision(2) });
    hook.revision = Revision(2);
    assert_eq!(world.store.list_webhooks(customer, &ListQuery::first(10)).await.unwrap().rows, [hook.clone()]);
    assert_eq!(served(&world).await, [], "it is off");
    let stolen = Webhook { customer_id: other.customer.id, ..hook.clone() };
    assert_eq!(world.broken_rule(Change::UpdateWebhook(stolen)).await, BrokenRule::NotFound);

    for n in 1..WEBHOOKS_MAX {
        world.apply(vec![Change::InsertWebhook(webhook(&world, customer, &format!("w{n}")))]).await;
    }
    let one_more = webhook(&world, customer, "more");
    assert_eq!(world.broken_rule(Change::InsertWebhook(one_more)).await, BrokenRule::Full { limit: WEBHOOKS_MAX });
    let delete = |customer, revision| Change::DeleteWebhook { customer, id: hook.id, revision };
    assert_eq!(world.broken_rule(delete(other.customer.id, None)).await, BrokenRule::NotFound);
    let outdated = world.broken_rule(delete(customer, Some(Revision(1)))).await;
    assert_eq!(outdated, BrokenRule::Outdated { found: Revision(2) });
    world.apply(vec![delete(customer, Some(Revision(2)))]).await;
    assert_eq!(world.store.find_webhook(customer, hook.id).await.unwrap(), None);
}

pub async fn what_a_look_found_is_queued_by_one(world: World) {
    let tenant = world.tenant().await;
    let hook = inserted(&world, &tenant).await;
    let mark = |value| WebhookMark { event: WebhookEvent::KeyExpiring, object: 9, value };
    let (first, second) =
        (delivery(&world, &hook, WebhookEvent::KeyExpiring), delivery(&world, &hook, WebhookEvent::ComponentEnrolled));
    let (a, b) = (
        world.store.queue_webhook_news(news(&hook, 0, vec![first.clone()], vec![mark(1)])),
        world.store.queue_webhook_news(news(&hook, 0, vec![second.clone()], vec![mark(2)])),
    );
    let (a, b) = tokio::join!(a, b);
    assert_ne!(a.unwrap(), b.unwrap(), "one of the two");
    let [of] = &served(&world).await[..] else { panic!("one") };
    assert_eq!((of.attention_looks, of.component_looks, of.waiting), (1, 0, 1));
    assert_eq!(deliveries(&world, &hook).await.len(), 1);
    let marks = world.store.list_webhook_marks(hook.customer_id, hook.id).await.unwrap();
    assert_eq!(marks.len(), 1);

    // The other kind of look goes on from where it was.
    let third = delivery(&world, &hook, WebhookEvent::ComponentEnrolled);
    let of_components =
        |looks, deliveries| WebhookNews { look: Look::Components, ..news(&hook, looks, deliveries, vec![]) };
    assert!(world.store.queue_webhook_news(of_components(0, vec![third])).await.unwrap());
    let [of] = &served(&world).await[..] else { panic!("one") };
    assert_eq!((of.attention_looks, of.component_looks, of.waiting), (1, 1, 2));
    let too_many = (2..=QUEUE_MAX).map(|_| delivery(&world, &hook, WebhookEvent::ComponentEnrolled)).collect();
    assert!(
        !world.store.queue_webhook_news(of_components(1, too_many)).await.unwrap(),
        "the two may meet in a full queue"
    );
    assert_eq!(deliveries(&world, &hook).await.len(), 2);

    let ceased = WebhookNews { ceased: marks, ..news(&hook, 1, Vec::new(), Vec::new()) };
    assert!(world.store.queue_webhook_news(ceased).await.unwrap());
    assert_eq!(world.store.list_webhook_marks(hook.customer_id, hook.id).await.unwrap(), []);
    world.apply(vec![Change::UpdateWebhook(Webhook { enabled: false, ..hook.clone() })]).await;
    assert!(!world.store.queue_webhook_news(news(&hook, 2, vec![second], Vec::new())).await.unwrap(), "it is off");
    world.apply(vec![Change::DeleteWebhook { customer: hook.customer_id, id: hook.id, revision: None }]).await;
    assert_eq!(deliveries(&world, &hook).await, []);
}

/// Takes a webhook's turn, spread by nothing.
async fn claim(world: &World, webhook: &Webhook) -> Option<ClaimedDelivery> {
    world.store.claim_delivery(webhook.customer_id, webhook.id, world.now(), 0.5).await.unwrap()
}

async fn finish(world: &World, claimed: &ClaimedDelivery, state: DeliveryState, result: &str) {
    let attempt = DeliveryAttempt {
        customer: claimed.webhook.customer_id,
        webhook: claimed.webhook.id,
        delivery: claimed.delivery.id,
        failures: claimed.failures,
        at: world.now(),
        state,
        result: result.to_owned(),
    };
    world.store.finish_delivery_attempt(attempt).await.unwrap();
}

/// Of those that work and of those that failed last, whose turn it is now.
async fn due(world: &World) -> [Vec<WebhookId>; 2] {
    let list = async |are_failing| {
        let due = world.store.list_due_webhooks(world.now(), are_failing, 1_000).await.unwrap();
        due.into_iter().map(|(_, id)| id).collect()
    };
    [list(false).await, list(true).await]
}

async fn found(world: &World, webhook: &Webhook) -> Webhook {
    world.store.find_webhook(webhook.customer_id, webhook.id).await.unwrap().unwrap()
}

async fn queue(world: &World, webhook: &Webhook, looks: u64, deliveries: Vec<WebhookDelivery>) {
    assert!(world.store.queue_webhook_news(news(webhook, looks, deliveries, Vec::new())).await.unwrap());
}

pub async fn a_delivery_is_claimed_by_one(world: World) {
    let tenant = world.tenant().await;
    let hook = inserted(&world, &tenant).await;
    let queued: Vec<_> = (0..3).map(|_| delivery(&world, &hook, WebhookEvent::KeyExpiring)).collect();
    queue(&world, &hook, 0, queued.clone()).await;
    let (a, b) = tokio::join!(claim(&world, &hook), claim(&world, &hook));
    assert_ne!(a.is_some(), b.is_some(), "one of the two");
    let claimed = a.or(b).unwrap();
    let retry_at = world.now().saturating_add(Duration::from_secs(30));
    let first = WebhookDelivery { attempts: 1, next_at: retry_at, ..queued[0].clone() };
    assert_eq!(claimed, ClaimedDelivery { webhook: hook.clone(), delivery: first.clone(), failures: 1 });
    assert_eq!(due(&world).await, [[], []], "one at a time");
    let waiting = deliveries(&world, &hook).await;
    assert!(waiting.iter().all(|waiting| waiting.next_at == retry_at), "as is shown: {waiting:?}");

    // Whoever has it dies: it is its turn again after the pause.
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(due(&world).await, [vec![], vec![hook.id]]);
    let second = claim(&world, &hook).await.unwrap();
    assert_eq!((second.delivery.id, second.failures), (queued[1].id, 2), "the longest due");
    finish(&world, &second, DeliveryState::Waiting, "answered 500").await;
    let failed = found(&world, &hook).await;
    assert_eq!((failed.failing_since, &*failed.last_failure), (Some(world.now()), "answered 500"));
    let failed_at = world.now();
    world.clock.advance(Duration::from_secs(90));
    let third = claim(&world, &hook).await.unwrap();
    assert_eq!((third.delivery.id, third.delivery.attempts), (queued[2].id, 1), "due since it was queued");
    finish(&world, &third, DeliveryState::Delivered, "answered 200").await;
    let works = found(&world, &hook).await;
    assert_eq!((works.last_success_at, works.last_failure_at), (Some(world.now()), Some(failed_at)));
    assert_eq!(works.failing_since, None);
    let again = claim(&world, &hook).await.unwrap();
    assert_eq!((again.delivery.id, again.delivery.attempts, again.failures), (first.id, 2, 1));
    finish(&world, &again, DeliveryState::Delivered, "answered 200").await;
    let all = deliveries(&world, &hook).await;
    let delivered = all.iter().find(|delivery| delivery.id == first.id).unwrap();
    assert_eq!((delivered.state, delivered.attempts, delivered.next_at), (DeliveryState::Delivered, 2, world.now()));
}

pub async fn webhooks_take_turns_and_one_that_fails_pauses(world: World) {
    let (one, other) = (world.tenant().await, world.tenant().await);
    let (dead, works) = (inserted(&world, &one).await, inserted(&world, &other).await);
    let some =
        |webhook: &Webhook| (0..5).map(|_| delivery(&world, webhook, WebhookEvent::KeyExpiring)).collect::<Vec<_>>();
    assert_eq!(due(&world).await, [[], []], "nothing waits");
    queue(&world, &dead, 0, some(&dead)).await;
    world.clock.advance(Duration::from_secs(1));
    queue(&world, &works, 0, some(&works)).await;
    assert_eq!(due(&world).await, [vec![dead.id, works.id], vec![]], "the longest due first");
    let limited = world.store.list_due_webhooks(world.now(), false, 1).await.unwrap();
    assert_eq!(limited, [(dead.customer_id, dead.id)]);

    // Each success takes it behind those that are due by then, however long the rest has waited.
    let first = claim(&world, &dead).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    finish(&world, &first, DeliveryState::Delivered, "answered 200").await;
    assert_eq!(due(&world).await, [vec![works.id, dead.id], vec![]]);

    // One probe in each pause, whatever else waits or comes.
    for (failures, pause) in [(1, 30), (2, 90), (3, 270), (4, 810), (5, 900), (6, 900)] {
        let probe = claim(&world, &dead).await.unwrap();
        assert_eq!(probe.failures, failures);
        finish(&world, &probe, DeliveryState::Waiting, "no answer").await;
        queue(&world, &dead, u64::from(failures), some(&dead)).await;
        world.clock.advance(Duration::from_secs(pause - 1));
        assert_eq!(due(&world).await, [vec![works.id], vec![]], "{failures}");
        assert_eq!(claim(&world, &dead).await, None);
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(due(&world).await, [vec![works.id], vec![dead.id]], "{failures}");
    }

    // Whoever asks for a test hears of it at once.
    let probe = claim(&world, &dead).await.unwrap();
    finish(&world, &probe, DeliveryState::Waiting, "no answer").await;
    let test = delivery(&world, &dead, WebhookEvent::Test);
    world.apply(vec![Change::InsertWebhookTest(test.clone())]).await;
    assert_eq!(due(&world).await, [vec![works.id], vec![dead.id]]);
    let tested = claim(&world, &dead).await.unwrap();
    assert_eq!(tested.delivery.id, test.id, "before all that waits");
    finish(&world, &tested, DeliveryState::Delivered, "answered 200").await;
    assert_eq!(due(&world).await, [vec![works.id, dead.id], vec![]], "it is back");

    // When all is over it has no turn until there is something.
    while let Some(claimed) = claim(&world, &works).await {
        finish(&world, &claimed, DeliveryState::GivenUp, "answered 404").await;
        world.clock.advance(Duration::from_secs(1_000));
    }
    assert_eq!(due(&world).await, [vec![dead.id], vec![]]);
    queue(&world, &works, 1, some(&works)).await;
    assert_eq!(due(&world).await, [vec![dead.id], vec![works.id]]);
}

pub async fn what_failed_before_an_edit_says_nothing_after_it(world: World) {
    let tenant = world.tenant().await;
    let mut hook = inserted(&world, &tenant).await;
    queue(&world, &hook, 0, (0..9).map(|_| delivery(&world, &hook, WebhookEvent::KeyExpiring)).collect()).await;
    let fail = async |claimed: &ClaimedDelivery| finish(&world, claimed, DeliveryState::Waiting, "no answer").await;
    let edit = async |hook: &mut Webhook, change: fn(&mut Webhook)| {
        change(hook);
        world.apply(vec![Change::UpdateWebhook(hook.clone())]).await;
        hook.revision = hook.revision.next();
    };
    fail(&claim(&world, &hook).await.unwrap()).await;
    edit(&mut hook, |hook| hook.name = rows::name("other")).await;
    edit(&mut hook, |hook| hook.since = NOW.saturating_add(Duration::from_secs(1))).await;
    assert_eq!(found(&world, &hook).await.failing_since, Some(NOW), "it leads where it did");
    assert_eq!(due(&world).await, [[], []]);

    let elsewhere = |hook: &mut Webhook| hook.url = "https://elsewhere.example.com/".parse().unwrap();
    edit(&mut hook, elsewhere).await;
    assert_eq!(found(&world, &hook).await.failing_since, None);
    assert_eq!(due(&world).await, [vec![hook.id], vec![]], "it is tried at once");
    let late = claim(&world, &hook).await.unwrap();
    edit(&mut hook, |hook| hook.url = "https://hooks.example.com/z".parse().unwrap()).await;
    fail(&late).await;
    assert_eq!(found(&world, &hook).await.failing_since, None, "that was the URL before");
    assert_eq!(due(&world).await, [vec![hook.id], vec![]]);

    fail(&claim(&world, &hook).await.unwrap()).await;
    edit(&mut hook, |hook| hook.enabled = false).await;
    assert_eq!(found(&world, &hook).await.failing_since, Some(NOW), "the reason may be seen");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(due(&world).await, [[], []], "it is off");
    assert_eq!(claim(&world, &hook).await, None);
    edit(&mut hook, |hook| hook.enabled = true).await;
    assert_eq!(found(&world, &hook).await.failing_since, None);
    assert_eq!(due(&world).await, [vec![hook.id], vec![]]);

    // One that took long fails after another one arrived.
    let (slow, test) = (claim(&world, &hook).await.unwrap(), delivery(&world, &hook, WebhookEvent::Test));
    world.apply(vec![Change::InsertWebhookTest(test)]).await;
    let quick = claim(&world, &hook).await.unwrap();
    finish(&world, &quick, DeliveryState::Delivered, "answered 200").await;
    fail(&slow).await;
    assert_eq!(found(&world, &hook).await.failing_since, None);
}

pub async fn of_what_is_over_the_last_are_kept_and_one_test_waits(world: World) {
    let tenant = world.tenant().await;
    let hook = inserted(&world, &tenant).await;
    let queued: Vec<_> =
        (0..DELIVERIES_SHOWN + 3).map(|_| delivery(&world, &hook, WebhookEvent::KeyExpiring)).collect();
    assert!(world.store.queue_webhook_news(news(&hook, 0, queued.clone(), Vec::new())).await.unwrap());
    for over in &queued[..DELIVERIES_SHOWN as usize + 2] {
        let attempt = DeliveryAttempt {
            customer: hook.customer_id,
            webhook: hook.id,
            delivery: over.id,
            failures: 0,
            at: world.now(),
            state: DeliveryState::GivenUp,
            result: String::new(),
        };
        world.store.finish_delivery_attempt(attempt).await.unwrap();
    }
    let (waiting, over): (Vec<_>, Vec<_>) =
        deliveries(&world, &hook).await.into_iter().partition(|delivery| delivery.state == DeliveryState::Waiting);
    assert_eq!((waiting.len(), over.len()), (1, DELIVERIES_SHOWN as usize));
    assert!(over.iter().all(|kept| kept.id != queued[0].id && kept.id != queued[1].id), "the oldest went");

    let tests = [delivery(&world, &hook, WebhookEvent::Test), delivery(&world, &hook, WebhookEvent::Test)];
    for test in &tests {
        world.apply(vec![Change::InsertWebhookTest(test.clone())]).await;
    }
    let waiting = deliveries(&world, &hook).await.into_iter().filter(|delivery| delivery.event == WebhookEvent::Test);
    assert_eq!(waiting.collect::<Vec<_>>(), tests[1..]);
    let elsewhere = WebhookDelivery { webhook_id: WebhookId::from_raw(1), ..tests[0].clone() };
    assert_eq!(world.broken_rule(Change::InsertWebhookTest(elsewhere)).await, BrokenRule::NotFound);
}

pub async fn ledgers_are_told_from_where_they_were_left(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let (key, foreign) = (world.key(&tenant, None).await, world.key(&other, None).await);
    let customer = tenant.customer.id;
    world.enrolled(&tenant, &key, "before").await;
    world.enrolled(&other, &foreign, "foreign").await;
    world.clock.advance(Duration::from_secs(60));
    let hook = Webhook { since: world.now(), ..webhook(&world, customer, "hook") };
    world.apply(vec![Change::InsertWebhook(hook.clone())]).await;
    let untold = async || world.store.list_untold_ledgers(customer, hook.id, hook.since, 10).await.unwrap();
    let after = async |after: u64, limit: u32| {
        let rows = world.store.list_ledger_after(customer, key.id, after, limit).await.unwrap();
        rows.into_iter().map(|entry| (entry.row.sequence, entry.component_name.is_some())).collect::<Vec<_>>()
    };
    let enroll_by = async |key: &ProvisioningKey, device: &str| {
        let mut commit = world.commit(&tenant, key, device);
        commit.certificate.issued_at = world.now();
        world.store.commit_enrollment(commit).await.unwrap();
    };
    let enroll = async |device: &str| enroll_by(&key, device).await;
    assert_eq!(untold().await, []);
    enroll("a").await;
    enroll("b").await;
    let name = KeyName { id: key.id, kind: key.kind, name: key.name.clone() };
    assert_eq!(untold().await, [UntoldLedger { key: name.clone(), told: 1 }]);
    assert_eq!(after(1, 10).await, [(2, true), (3, true)]);
    assert_eq!(after(1, 1).await, [(2, true)]);

    let mark = |value| WebhookMark { event: WebhookEvent::ComponentEnrolled, object: key.id.raw(), value };
    assert!(world.store.queue_webhook_news(news(&hook, 0, Vec::new(), vec![mark(2)])).await.unwrap());
    assert_eq!(untold().await, [UntoldLedger { key: name, told: 2 }]);
    assert_eq!(
        world.store.list_webhook_marks(customer, hook.id).await.unwrap(),
        [],
        "ledgers have a list of their own"
    );
    assert!(world.store.queue_webhook_news(news(&hook, 1, Vec::new(), vec![mark(3)])).await.unwrap());
    assert_eq!(untold().await, []);
    enroll("c").await;
    assert_eq!(untold().await[0].told, 3);

    // What waits longest comes first, so that no key waits behind a busier one for ever.
    let quiet = world.key(&tenant, None).await;
    world.clock.advance(Duration::from_secs(1));
    enroll_by(&quiet, "quiet").await;
    world.clock.advance(Duration::from_secs(1));
    let ids = async || untold().await.into_iter().map(|ledger| ledger.key.id).collect::<Vec<_>>();
    assert_eq!(ids().await, [key.id, quiet.id]);
    enroll("d").await;
    assert_eq!(ids().await, [key.id, quiet.id]);
    assert!(world.store.queue_webhook_news(news(&hook, 2, Vec::new(), vec![mark(4)])).await.unwrap());
    assert_eq!(ids().await, [quiet.id, key.id]);

    // From another beginning on it is told of nothing before.
    world.clock.advance(Duration::from_secs(60));
    let later = Webhook { since: world.now(), ..hook.clone() };
    world.apply(vec![Change::UpdateWebhook(later.clone())]).await;
    let untold = world.store.list_untold_ledgers(customer, hook.id, later.since, 10).await.unwrap();
    assert_eq!(untold, []);
}

pub async fn marks_of_ledgers_go_with_their_keys(world: World) {
    let tenant = world.tenant().await;
    let hook = inserted(&world, &tenant).await;
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(world.key(&tenant, None).await);
    }
    let mark = |key: &ProvisioningKey| WebhookMark { event: WebhookMark::OF_LEDGER, object: key.id.raw(), value: 1 };
    let tell = async |looks, keys: &[ProvisioningKey]| {
        let told = keys.iter().map(mark).collect();
        assert!(world.store.queue_webhook_news(news(&hook, looks, Vec::new(), told)).await.unwrap());
    };
    tell(0, &keys).await;
    assert_eq!(world.count("webhook_marks"), 3);
    let (customer, id) = (keys[0].customer_id, keys[0].id);
    world.apply(vec![Change::DeleteKey { customer, id, revision: None, revoke: None }]).await;
    assert_eq!(world.count("webhook_marks"), 2);
    tell(1, &keys).await;
    assert_eq!(world.count("webhook_marks"), 2, "a look that began before");
    let (id, at, by) = (tenant.group.id, world.now(), None);
    world.apply(vec![Change::DeleteGroupWithContents { customer, id, revision: None, at, by }]).await;
    assert_eq!(world.count("webhook_marks"), 0);
}
