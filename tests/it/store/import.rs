//! An embedded store moves into a shared one: all of it is there as it was, and goes on from there.

use std::sync::Arc;
use std::time::Duration;

use muster::clock::Timestamp;
use muster::domain::address::SourcePrefix;
use muster::domain::key::ManagedBy;
use muster::domain::ledger::RefusalTally;
use muster::domain::webhook::{DeliveryState, WebhookMark};
use muster::domain::{
    AddressList, Administrator, ApiClient, CleanUpDays, CleanUpSchedule, Component, FilterName, Kind, PageName,
    Preference, ProvisioningKey, QueryText, Reference, Refusal, RefusalReason, Revision, RevocationReason, SavedFilter,
    SessionRecord, SigningCertificate, Webhook, WebhookEvent,
};
use muster::id::{
    ApiClientId, CleanUpScheduleId, ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId,
};
use muster::store::transfer::{self, ImportError, Progress};
use muster::store::{
    AnswerId, AuditQuery, Change, ChangeSequence, ClaimedDelivery, ComponentField, DeliveryAttempt, EnrollmentOutcome,
    KeyField, ListQuery, Page, PageRequest, RenewalOutcome, Revocations, SealedSecret, ServedWebhook, Sort, Store,
    StoreError, StoredAnswer,
};

use super::crls::crl;
use super::webhooks::{delivery, news, webhook};
use super::world::{Tenant, World, committed};
use super::{embedded, postgres};
use crate::support::rows::{self, NOW};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Enough that some tables come in several pieces.
const DEVICES: u32 = 2_500;

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_store_is_moved_and_goes_on() {
    let under_test = embedded::UnderTest::new();
    let data_dir = under_test.path();
    let world = World::open(under_test).await;
    let (tenant, keys) = populate(&world).await;
    world.assert_sound().await;
    let before = told(&world.store).await;
    let next_id = world.store.reserve_ids(7).await.unwrap() + 7;
    world.store.close().await;

    let moved_to = postgres::UnderTest::new().await;
    let settings = moved_to.settings();
    let mut tables: Vec<Progress> = Vec::new();
    let tell = |progress| tables.push(progress);
    let imported = transfer::import(&data_dir, &settings, &world.audit_key, NOW, tell).await.unwrap();
    assert_eq!(tables.iter().filter(|table| table.is_complete).map(|table| table.rows).sum::<u64>(), imported.rows);
    let components = tables.iter().find(|table| table.table == "components").unwrap();
    assert!(components.rows > u64::from(DEVICES), "deleted ones are moved as well");
    assert!(!data_dir.join("muster.db").exists() && imported.put_aside.exists());
    let again = transfer::import(&data_dir, &settings, &world.audit_key, NOW, |_| ()).await;
    assert!(matches!(again, Err(ImportError::Source(_))), "nobody serves it any more: {again:?}");

    let world = world.move_to(moved_to).await;
    let after = told(&world.store).await;
    for (before, after) in before.iter().zip(&after) {
        assert_same(before, after);
    }
    assert_eq!(before.len(), after.len());
    world.assert_sound().await;

    // Ids and numbers of the feed go on where they were.
    assert_eq!(world.store.reserve_ids(1).await.unwrap(), next_id);
    let last = world.store.last_change().await.unwrap();
    let key = world.change_key(&keys.limited, |key| key.allow_re_enrollment = true).await;
    assert_eq!(world.store.last_change().await.unwrap().0, last.0 + 1);

    // A device that enrolled is known, and the uses that are left are what they were.
    let uses = key.usage.uses;
    let known = world.store.commit_enrollment(world.commit(&tenant, &key, "limited-3")).await.unwrap();
    assert_eq!(known, EnrollmentOutcome::Known);
    let left = key.maximum.unwrap().get() - uses;
    assert!(left > 0);
    for n in 0..left {
        // The number in a name never goes back, whatever was deleted.
        let name = format!("{}-{}", key.name, uses + n + 1 + RELEASED);
        assert_eq!(world.enroll(&tenant, &key, &format!("new-{n}")).await, committed(name, uses + n + 1));
    }
    assert!(matches!(world.enroll(&tenant, &key, "late").await, EnrollmentOutcome::Exhausted { .. }));
    let again = world.component(tenant.customer.id, keys.component.id).await;
    let re_enrolled = world.store.commit_enrollment(world.re_enrollment(&tenant, &key, "limited-3", &again)).await;
    assert!(matches!(re_enrolled, Ok(EnrollmentOutcome::Committed { .. })), "{re_enrolled:?}");
    let event = world.event(tenant.customer.id, "after");
    world.store.commit_changes(vec![], vec![event], &world.audit_key).await.unwrap();
    world.assert_sound().await;

    // And back, into a file, while the database goes on.
    let back = embedded::UnderTest::new();
    let file = back.path().join("muster.db");
    std::fs::File::create(&file).unwrap();
    let before = told(&world.store).await;
    transfer::export(&settings, &file).await.unwrap();
    let next_id = world.store.reserve_ids(1).await.unwrap();
    let world = world.move_to(back).await;
    let after = told(&world.store).await;
    for (before, after) in before.iter().zip(&after) {
        assert_same(before, after);
    }
    assert_eq!(before.len(), after.len());
    world.assert_sound().await;
    assert_eq!(world.store.reserve_ids(1).await.unwrap(), next_id);
    let known = world.store.commit_enrollment(world.commit(&tenant, &key, "limited-3")).await.unwrap();
    assert_eq!(known, EnrollmentOutcome::Known);
    assert!(matches!(world.enroll(&tenant, &key, "late").await, EnrollmentOutcome::Exhausted { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_empty_database_takes_in_a_store() {
    let under_test = embedded::UnderTest::new();
    let data_dir = under_test.path();
    let world = World::open(under_test).await;
    let tenant = world.tenant().await;
    let moved_to = postgres::UnderTest::new().await;
    let settings = moved_to.settings();
    let import = || transfer::import(&data_dir, &settings, &world.audit_key, NOW, |_| ());
    let held = import().await;
    assert!(matches!(held, Err(ImportError::Source(_))), "somebody is serving: {held:?}");
    world.store.close().await;

    moved_to.query("INSERT INTO preferences VALUES (1, 1, 'keys', 'sort=name')");
    let refused = import().await;
    assert!(matches!(refused, Err(ImportError::NotEmpty { table: "preferences" })), "{refused:?}");
    moved_to.query("DELETE FROM preferences");

    // What is not sound is not kept.
    let database = rusqlite::Connection::open(data_dir.join("muster.db")).unwrap();
    database.execute("INSERT INTO digests VALUES (x'01', 1, 1)", []).unwrap();
    drop(database);
    let refused = import().await;
    assert!(matches!(&refused, Err(ImportError::Unsound(findings)) if findings.len() == 1), "{refused:?}");
    assert_eq!(moved_to.query("SELECT count(*) FROM customers"), "0");
    assert!(data_dir.join("muster.db").exists());

    let database = rusqlite::Connection::open(data_dir.join("muster.db")).unwrap();
    database.execute("DELETE FROM digests", []).unwrap();
    drop(database);
    import().await.unwrap();
    let world = world.move_to(moved_to).await;
    assert_eq!(world.store.find_customer(tenant.customer.id).await.unwrap(), Some(tenant.customer));
}

/// Shows of two long lines where they part.
fn assert_same(before: &str, after: &str) {
    let shared = before.bytes().zip(after.bytes()).take_while(|(before, after)| before == after).count();
    let around = |text: &str| -> String { text.chars().skip(shared.saturating_sub(100)).take(300).collect() };
    assert!(before == after, "{:.60}…\n{}\n{}", before, around(before), around(after));
}

/// Uses that were given back.
const RELEASED: u32 = 1;

struct Keys {
    /// With uses left.
    limited: ProvisioningKey,
    /// Of the device `limited-3`.
    component: Component,
}

/// Something of everything that a store holds, in two customers and over some hours.
async fn populate(world: &World) -> (Tenant, Keys) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let customer = tenant.customer.id;
    let many = world.key(&tenant, None).await;
    let commits = (0..DEVICES).map(|n| world.commit(&tenant, &many, &format!("many-{n}")));
    let enrolling: Vec<_> = commits
        .map(|commit| {
            let store = Arc::clone(&world.store);
            tokio::spawn(async move { store.commit_enrollment(commit).await.unwrap() })
        })
        .collect();
    for enrolled in enrolling {
        assert!(matches!(enrolled.await.unwrap(), EnrollmentOutcome::Committed { .. }));
    }
    world.enrolled(&other, &world.key(&other, Some(1)).await, "elsewhere").await;

    world.clock.advance(HOUR);
    let limited = world.key(&tenant, Some(12)).await;
    let limited = world.change_key(&limited, |key| key.allow_re_enrollment = true).await;
    let mut devices = Vec::new();
    for n in 0..8 {
        devices.push(world.enrolled(&tenant, &limited, &format!("limited-{n}")).await);
    }
    let at = world.now();
    let delete = |id, release_use| Change::DeleteComponent { customer, id, revision: None, at, release_use };
    let mut disabled = devices[2].clone();
    (disabled.enabled, disabled.name) = (false, "Renamed".into());
    let attached = world.store.list_group_components(customer, tenant.group.id, 6).await.unwrap();
    let mut changes = vec![
        delete(devices[0].id, true),
        Change::RevokeComponent {
            customer,
            id: devices[1].id,
            revision: None,
            at,
            reason: RevocationReason::Unspecified,
            by: Some(7),
        },
        Change::UpdateComponent(disabled),
        Change::UpdateComponent(Component { key_id: limited.id, ..attached[5].clone() }),
    ];
    changes.extend(attached[..5].iter().map(|component| delete(component.id, false)));
    world.apply(changes).await;
    world.clock.advance(HOUR);
    let again = world.re_enrollment(&tenant, &limited, "limited-3", &devices[3]);
    world.store.commit_enrollment(again).await.unwrap();
    let renewal = world.renewal(&tenant, Some(&limited), &devices[4]);
    assert_eq!(world.store.commit_renewal(renewal).await.unwrap(), RenewalOutcome::Committed);

    assert!(world.store.publish_crl(crl(&tenant, 1, NOW), None, vec![]).await.unwrap());
    let gone = world.key(&tenant, None).await;
    world.enrolled(&tenant, &gone, "of a key that is gone").await;
    let group = rows::group(world.id(), &tenant.signer, Kind::ServiceEdge, "All of it goes");
    world.apply(vec![Change::InsertGroup(group.clone())]).await;
    let of_group = Tenant { group: group.clone(), ..tenant.clone() };
    let going = world.key(&of_group, None).await;
    world.enrolled(&of_group, &going, "goes").await;
    world
        .apply(vec![
            Change::DeleteKey { customer, id: gone.id, revision: None, revoke: Some((world.now(), None)) },
            Change::DeleteGroupWithContents { customer, id: group.id, revision: None, at: world.now(), by: None },
        ])
        .await;

    for (n, kind) in Kind::ALL.into_iter().enumerate() {
        for name in ["alpha", "Beta", "_"] {
            let group = rows::group(world.id(), &tenant.signer, kind, name);
            let mut key = rows::key(world.id(), &group, &format!("{name} {n}"), Some(3));
            key.expires_at = Some(NOW.saturating_add(DAY * 3));
            key.addresses = AddressList::parse(&["192.0.2.0/24", "2001:db8::/32"]).unwrap();
            key.sealed_string = None;
            key.managed_by = Some(ManagedBy { client_id: ApiClientId::from_raw(3), label: rows::name("Terraform") });
            key.successor_id = Some(ProvisioningKeyId::from_raw(9));
            key.ui_config = Some("\"\u{fc}\"".into());
            world.apply(vec![Change::InsertGroup(group), Change::InsertKey(key)]).await;
        }
        world.apply(vec![Change::InsertCleanUpSchedule(schedule(world, customer, kind))]).await;
    }
    let mut pending = rows::signing_certificate(world.id(), customer, "Pending");
    (pending.certificate, pending.sealed_private_key) = (None, None);
    (pending.csr, pending.parent_id) = (Some(vec![0x30, 0x80, 0]), Some(tenant.signer.id));
    world.apply(vec![Change::InsertSigningCertificate(pending)]).await;

    let refused = |key: &ProvisioningKey, n: u32| RefusalTally {
        customer_id: customer,
        key_id: key.id,
        refusal: if n.is_multiple_of(3) { Refusal::KeyExhausted } else { Refusal::KeyDisabled },
        source: SourcePrefix::of(std::net::Ipv4Addr::from_bits(0xC000_0200 + n).into()),
        minute: world.now(),
        count: u64::from(n) + 1,
        last_reference: Reference::random(),
        last_reason: RefusalReason::new("it is \"off\""),
    };
    world.store.add_refusals((0..40).flat_map(|n| [refused(&many, n), refused(&limited, n)]).collect()).await.unwrap();

    for (customer, username) in [(CustomerId::SERVICE, "Root"), (customer, "ada")] {
        let row = rows::administrator(world.id(), customer, username);
        world.apply(vec![Change::InsertAdministrator(row.clone())]).await;
        for id in ["one", "two"] {
            let session = session(&row, &format!("{username}-{id}"), world);
            world.apply(vec![Change::InsertSession { session, revision: Revision::FIRST }]).await;
        }
        let at = world.now();
        let first = session(&row, &format!("{username}-one"), world);
        let page = PageName::new("keys").unwrap();
        let (query, name) = (QueryText::new("sort=name").unwrap(), FilterName::new("M\u{fc}nchen").unwrap());
        let (customer_id, administrator_id) = (row.customer_id, row.id);
        world
            .apply(vec![
                Change::EndSession { session: first, at },
                Change::PutPreference(Preference {
                    customer_id,
                    administrator_id,
                    page: page.clone(),
                    value: query.clone(),
                }),
                Change::PutSavedFilter(SavedFilter { customer_id, administrator_id, page, name, query }),
            ])
            .await;
    }
    add_webhooks(world, &tenant, limited.id).await;
    let client = rows::api_client(world.id(), customer, "Terraform", "tf-1");
    let (id, at) = (AnswerId([7; 32]), world.now());
    world
        .apply(vec![
            Change::InsertApiClient(client),
            Change::RememberAnswer(StoredAnswer { id, at, sealed_brief: Some(vec![0, 1]), sealed_lasting: vec![2] }),
            Change::PutSecret(SealedSecret { purpose: "pepper".into(), name: "1".into(), sealed: vec![0; 60] }),
            Change::PutSetting { name: "cloud".into(), value: "muster.example".into() },
        ])
        .await;
    for of in [customer, other.customer.id, CustomerId::SERVICE] {
        let events = (0..1_200).map(|n| world.event(of, &n.to_string())).collect();
        world.store.commit_changes(vec![], events, &world.audit_key).await.unwrap();
    }
    let component = world.component(customer, devices[3].id).await;
    (tenant, Keys { limited: world.stored(&limited).await, component })
}

/// One that is told of things, has messages that wait, were delivered and were given up, and one that is off.
async fn add_webhooks(world: &World, tenant: &Tenant, key: ProvisioningKeyId) {
    let customer = tenant.customer.id;
    let mut off = webhook(world, customer, "off");
    off.enabled = false;
    off.modified_by = None;
    let served = webhook(world, customer, "served");
    let (of, id) = (served.customer_id, served.id);
    world.apply(vec![Change::InsertWebhook(off), Change::InsertWebhook(served.clone())]).await;
    let deliveries: Vec<_> = (0..5).map(|_| delivery(world, &served, WebhookEvent::KeyExpiring)).collect();
    let mark = |event, object: u64, value| WebhookMark { event, object, value };
    let told = vec![mark(WebhookEvent::KeyExpiring, 7, 8), mark(WebhookEvent::ComponentEnrolled, key.raw(), 2)];
    assert!(world.store.queue_webhook_news(news(&served, 0, deliveries.clone(), told)).await.unwrap());
    let states = [DeliveryState::Delivered, DeliveryState::GivenUp, DeliveryState::Waiting];
    for (hour, state) in (0..).zip(states) {
        // A webhook that failed pauses.
        let now = world.now().saturating_add(HOUR * hour);
        let claimed = world.store.claim_delivery(of, id, now, 0.5).await.unwrap().expect("it is its turn");
        let ClaimedDelivery { delivery, failures, .. } = claimed;
        let (delivery, result) = (delivery.id, format!("answered {state:?}"));
        let attempt = DeliveryAttempt { customer: of, webhook: id, delivery, failures, at: now, state, result };
        world.store.finish_delivery_attempt(attempt).await.unwrap();
    }
}

fn schedule(world: &World, customer_id: CustomerId, kind: Kind) -> CleanUpSchedule {
    CleanUpSchedule {
        id: CleanUpScheduleId::from_raw(world.id()),
        customer_id,
        kind,
        enabled: kind == Kind::Machine,
        delete_disabled: true,
        days: CleanUpDays::ALL[2],
        created_at: NOW,
        modified_at: NOW,
        modified_by: None,
        revision: Revision::FIRST,
    }
}

fn session(of: &Administrator, id: &str, world: &World) -> SessionRecord {
    SessionRecord {
        id: id.into(),
        customer_id: of.customer_id,
        administrator_id: Some(of.id),
        created_at: world.now(),
        expires_at: world.now().saturating_add(DAY),
        ended_at: None,
        remote_address: Some("2001:db8::7".parse().unwrap()),
        user_agent: "curl/8".into(),
    }
}

/// Every field of a row that has no `Debug`; what stands behind the semicolon is a digest.
macro_rules! told_row {
    ($row:expr, $type:ident { $($field:ident),+ }) => { told_row!($row, $type { $($field),+; }) };
    ($row:expr, $type:ident { $($field:ident),+; $($digest:ident)? }) => {{
        let $type { $($field,)+ $($digest,)? } = $row;
        let fields = [$(format!("{}: {:?}", stringify!($field), $field),)+ $(format!("{:?}", $digest.as_bytes()),)?];
        fields.join(", ")
    }};
}

fn told_key(key: ProvisioningKey) -> String {
    told_row!(key, ProvisioningKey {
        id, customer_id, kind, group_id, signing_certificate_id, name, description, maximum, enabled,
        allow_re_enrollment, expires_at, addresses, version, hint, key_id, pepper, sealed_string, managed_by,
        successor_id, ui_config, usage, created_at, created_by, modified_at, modified_by, revision; digest
    })
}

fn told_signer(signer: SigningCertificate) -> String {
    told_row!(
        signer,
        SigningCertificate {
            id,
            customer_id,
            name,
            description,
            certificate,
            chain,
            public_key_hash,
            sealed_private_key,
            csr,
            parent_id,
            allow_signing,
            lifetime_seconds,
            purpose,
            not_before,
            not_after,
            created_at,
            modified_at,
            modified_by,
            revision
        }
    )
}

fn told_administrator(administrator: Administrator) -> String {
    told_row!(
        administrator,
        Administrator {
            id,
            customer_id,
            username,
            description,
            password_hash,
            role,
            enabled,
            last_sign_in_at,
            created_at,
            modified_at,
            modified_by,
            revision
        }
    )
}

fn told_webhook(webhook: Webhook) -> String {
    told_row!(
        webhook,
        Webhook {
            id,
            customer_id,
            name,
            url,
            events,
            sealed_secret,
            enabled,
            since,
            last_success_at,
            last_failure_at,
            last_failure,
            failing_since,
            created_at,
            modified_at,
            modified_by,
            revision
        }
    )
}

fn told_client(client: ApiClient) -> String {
    told_row!(client, ApiClient {
        id, customer_id, name, client_id, pepper, secret_generation, role, enabled, managing, last_used_at, created_at,
        modified_at, modified_by, revision; secret_digest
    })
}

/// Everything that a store answers, a line for each thing.
async fn told(store: &Arc<dyn Store>) -> Vec<String> {
    let (now, since) = (NOW.saturating_add(HOUR * 2), NOW.saturating_sub(DAY));
    let mut told = Vec::new();
    macro_rules! tell {
        ($what:expr) => {
            told.push(format!("{} = {:?}", stringify!($what), $what))
        };
        ($what:literal, $row:expr) => {
            told.push(format!("{}: {}", $what, $row))
        };
    }
    tell!(store.last_change().await.unwrap());
    tell!(store.list_changes(ChangeSequence(0), 1_000).await.unwrap());
    tell!(store.find_setting("cloud").await.unwrap());
    tell!(store.list_secrets("pepper").await.unwrap());
    tell!(store.find_answer(AnswerId([7; 32])).await.unwrap());
    tell!(store.list_clean_up_schedules().await.unwrap());
    tell!(store.list_unpublished_revocations().await.unwrap());
    tell!(store.scan_groups(GroupId::from_raw(0), 1_000).await.unwrap());
    for signer in store.scan_signing_certificates(SigningCertificateId::from_raw(0), 1_000).await.unwrap() {
        let (customer, id) = (signer.customer_id, signer.id);
        tell!(store.find_signing_certificate_references(customer, id).await.unwrap());
        tell!(store.find_crl(customer, id).await.unwrap());
        let Revocations { previous, certificates, news } = store.find_revocations(customer, id, NOW).await.unwrap();
        // A file keeps one of the news, which is enough to know that there are some.
        tell!((previous, certificates, news.is_empty()));
        tell!("signing certificate", told_signer(signer));
    }
    for key in store.scan_keys(ProvisioningKeyId::from_raw(0), 1_000).await.unwrap() {
        tell!(store.find_key_by_digest(&key.digest).await.unwrap());
    }
    tell!(store.find_session("Root-one").await.unwrap());
    for are_failing in [false, true] {
        tell!(store.list_due_webhooks(now.saturating_add(HOUR * 24), are_failing, 500).await.unwrap());
    }
    for ServedWebhook { webhook, attention_looks, component_looks, waiting } in
        store.list_served_webhooks().await.unwrap()
    {
        tell!((webhook.id, attention_looks, component_looks, waiting));
    }
    let client = store.find_api_client("tf-1").await.unwrap().unwrap();
    tell!("API client", told_client(client));
    let customers: Vec<_> = store.scan_customers().await.unwrap();
    tell!(customers);
    for customer in customers.iter().map(|customer| customer.id).chain([CustomerId::SERVICE]) {
        // Those that are deleted, too.
        let ids: Vec<_> = (1_000..1_500 + u64::from(DEVICES)).map(ComponentId::from_raw).collect();
        tell!(store.find_components(customer, &ids).await.unwrap());
        for kind in Kind::ALL {
            tell!(store.count_kind(customer, kind).await.unwrap());
            tell!(store.find_clean_up_schedule(customer, kind).await.unwrap());
            let groups = store.list_groups(customer, kind, &ListQuery::first(500)).await.unwrap();
            let ids: Vec<_> = groups.rows.iter().map(|group| group.id).collect();
            tell!(groups);
            tell!(store.count_group_contents(customer, &ids).await.unwrap());
            for by_name in [false, true] {
                let sort = by_name.then_some(Sort { field: KeyField::Name, descending: true });
                let query = ListQuery { sort, ..ListQuery::first(500) };
                for key in store.list_keys(customer, kind, &query).await.unwrap().rows {
                    tell_key(store, &mut told, &key, since).await;
                    tell!("key", told_key(key));
                }
                let sort = by_name.then_some(Sort { field: ComponentField::Name, descending: false });
                let query = |offset| ListQuery { sort, offset, conditions: Vec::new(), limit: 500 };
                let components = all(async |offset| store.list_components(customer, kind, &query(offset)).await).await;
                tell!(components);
                for part in components.chunks(100) {
                    let ids: Vec<_> = part.iter().map(|component| component.id).collect();
                    tell!(store.find_component_relations(customer, &ids).await.unwrap());
                    for component in part {
                        let mut certificates = store.list_certificates(customer, component.id, 100).await.unwrap();
                        // The clock stands still here: of one second they come in any order.
                        certificates.sort_by_key(|certificate| certificate.serial);
                        tell!(certificates);
                    }
                }
                for Component { key_id, fingerprint, .. } in
                    components.iter().filter(|one| one.key_id != many(&components))
                {
                    tell!(store.find_known_component(customer, *key_id, fingerprint, since).await.unwrap());
                }
            }
        }
        for webhook in store.list_webhooks(customer, &ListQuery::first(500)).await.unwrap().rows {
            let id = webhook.id;
            tell!(store.list_webhook_deliveries(customer, id, PageRequest::first(500)).await.unwrap());
            tell!(store.list_webhook_marks(customer, id).await.unwrap());
            tell!(store.list_untold_ledgers(customer, id, since, 500).await.unwrap());
            tell!("webhook", told_webhook(webhook));
        }
        tell!(store.list_customer_hours(customer, since).await.unwrap());
        tell!(store.sum_refusals(customer, since).await.unwrap());
        tell!(store.list_attention(customer, now, 100).await.unwrap());
        tell!(store.list_ending_components(customer, now, now.saturating_add(DAY * 900), 500).await.unwrap());
        let ended = (since, ComponentId::from_raw(0));
        tell!(store.scan_ended_components(customer, now.saturating_add(DAY * 900), ended, 500).await.unwrap());
        for administrator in store.list_administrators(customer, &ListQuery::first(500)).await.unwrap().rows {
            let id = administrator.id;
            tell!(store.list_sessions(customer, id, now, PageRequest::first(500)).await.unwrap());
            tell!(store.list_preferences(customer, id).await.unwrap());
            tell!(store.list_saved_filters(customer, id, &PageName::new("keys").unwrap()).await.unwrap());
            tell!("administrator", told_administrator(administrator));
        }
        tell!(store.list_audit(customer, 0, 2_000).await.unwrap());
        let query = AuditQuery { conditions: Vec::new(), page: PageRequest { offset: 100, limit: 100 } };
        tell!(store.search_audit(customer, &query).await.unwrap());
    }
    told
}

async fn tell_key(store: &Arc<dyn Store>, told: &mut Vec<String>, key: &ProvisioningKey, since: Timestamp) {
    let (customer, id) = (key.customer_id, key.id);
    let page = async |offset| store.list_ledger(customer, id, PageRequest { offset, limit: 500 }).await;
    told.push(format!("ledger: {:?}", all(page).await));
    told.push(format!("refusals: {:?}", store.list_refusals(customer, id).await.unwrap()));
    told.push(format!("hours: {:?}", store.find_key_hours(customer, id, since).await.unwrap()));
}

/// The key that most of these have, if they are many.
fn many(components: &[Component]) -> ProvisioningKeyId {
    components
        .get(usize::try_from(DEVICES / 2).unwrap())
        .map_or(ProvisioningKeyId::from_raw(1), |component| component.key_id)
}

/// All pages of a list.
async fn all<T>(list: impl AsyncFn(u64) -> Result<Page<T>, StoreError>) -> Vec<T> {
    let mut rows = Vec::new();
    loop {
        let page = list(rows.len() as u64).await.unwrap();
        let is_last = page.rows.is_empty();
        rows.extend(page.rows);
        if is_last {
            assert_eq!(rows.len() as u64, page.total);
            return rows;
        }
    }
}
