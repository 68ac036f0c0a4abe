//! Lists, scans, ledger and refusals.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use muster::clock::Timestamp;
use muster::domain::address::SourcePrefix;
use muster::domain::certificate::SigningPurpose;
use muster::domain::key::ManagedBy;
use muster::domain::ledger::RefusalTally;
use muster::domain::{
    Administrator, ApiClient, Component, ComponentState, Customer, Description, Group, KeyVersion, Kind, Networks,
    ProvisioningKey, Reference, Refusal, RefusalReason, Revision, RevocationReason, Role, SessionRecord,
    SigningCertificate,
};
use muster::id::{ApiClientId, ComponentId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::secret::pepper::{KeyDigest, PepperNumber};
use muster::store::{
    AdministratorField, ApiClientField, BrokenRule, Change, Comparison, ComponentField, Condition, CustomerField,
    EnrollmentIntent, EnrollmentOutcome, GroupContents, GroupField, KeyField, ListField, ListQuery, NewDigest, Page,
    PageRequest, SealedSecret, SigningCertificateField, Sort, Value,
};

use super::world::{Tenant, World};
use crate::support::rows::{self, NOW};

async fn with_keys(world: &World, names: &[&str]) -> Tenant {
    let tenant = world.tenant().await;
    let keys = names.iter().map(|name| Change::InsertKey(rows::key(world.id(), &tenant.group, name, None)));
    world.apply(keys.collect()).await;
    tenant
}

type Conditions = Vec<Condition<KeyField>>;

async fn key_names(
    world: &World,
    tenant: &Tenant,
    conditions: Conditions,
    offset: u64,
    limit: u32,
) -> (Vec<String>, u64) {
    let query = ListQuery { conditions, sort: None, offset, limit };
    let page = world.store.list_keys(tenant.customer.id, Kind::Machine, &query).await.unwrap();
    (page.rows.iter().map(|key| key.name.as_str().to_owned()).collect(), page.total)
}

fn named(comparison: Comparison, text: &str) -> Condition<KeyField> {
    Condition::new(KeyField::Name, comparison, text)
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
    let query = ListQuery::first_where(10, ComponentField::Name, Comparison::EndsWith, "-3");
    let components = world.store.list_components(tenant.customer.id, Kind::Machine, &query).await.unwrap();
    assert_eq!((components.rows[0].name.as_str(), components.total), ("c-3", 1));
}

pub async fn all_conditions_of_a_query_must_hold(world: World) {
    let tenant = with_keys(&world, &["Berlin-1", "berlin-2", "Paris", "ERLANGEN"]).await;
    let both = vec![named(Comparison::Contains, "erl"), named(Comparison::NotEquals, "berlin-1")];
    assert_eq!(key_names(&world, &tenant, both, 0, 10).await, (vec!["berlin-2".into(), "ERLANGEN".into()], 2));
    let second = key_names(&world, &tenant, vec![named(Comparison::Contains, "erl")], 1, 1).await;
    assert_eq!(second, (vec!["berlin-2".into()], 3));
}

pub async fn conditions_take_their_text_literally(world: World) {
    let tenant = with_keys(&world, &["a_b", "axb", "a.b"]).await;
    for (text, names) in [("a_b", vec!["a_b"]), ("a%", vec![]), ("' OR 1=1 --", vec![]), ("?1", vec![]), ("\0", vec![])]
    {
        for comparison in [Comparison::Contains, Comparison::StartsWith] {
            let (found, _) = key_names(&world, &tenant, vec![named(comparison, text)], 0, 10).await;
            assert_eq!(found, names, "{comparison:?} {text:?}");
        }
    }
    let long = named(Comparison::Contains, &"a".repeat(100_000));
    assert_eq!(key_names(&world, &tenant, vec![long], 0, 10).await, (vec![], 0));
}

/// Holds every field, comparison and order of a list against [`ListQuery::select`], with the values
/// that are there, parts of them, and their neighbours. `all` is what there is, in order of id.
async fn assert_agrees_with_model<T: Clone, F: ListField, I: PartialEq + Debug>(
    all: &[T],
    fields: &[F],
    value_of: impl Fn(&T, F) -> Option<Value>,
    id_of: impl Fn(&T) -> I,
    list: impl AsyncFn(ListQuery<F>) -> Page<T>,
) {
    let assert_alike = async |query: ListQuery<F>| {
        let (found, expected) = (list(query.clone()).await, query.select(all.to_vec(), &value_of));
        let ids = |page: &Page<T>| page.rows.iter().map(&id_of).collect::<Vec<_>>();
        assert_eq!((ids(&found), found.total), (ids(&expected), expected.total), "{query:?}");
    };
    for &field in fields {
        for descending in [false, true] {
            let sort = Some(Sort { field, descending });
            assert_alike(ListQuery { sort, ..ListQuery::first(500) }).await;
            assert_alike(ListQuery { sort, offset: 1, ..ListQuery::first(2) }).await;
        }
        let mut values: Vec<Value> = vec![true.into(), false.into(), 0.into(), "".into(), "zz top".into()];
        for value in all.iter().filter_map(|row| value_of(row, field)) {
            assert_eq!(value.kind(), field.value_kind(), "{field:?}");
            let more = match value.clone() {
                Value::Flag(_) => vec![],
                Value::Number(number) => vec![(number - 1).into(), (number + 1).into()],
                Value::Text(text) => {
                    let (start, end) = text.split_at(text.len() / 2);
                    vec![start.to_ascii_uppercase().into(), end.to_ascii_uppercase().into(), format!("{text}\0").into()]
                }
            };
            values.extend([value].into_iter().chain(more).filter(|value| !values.contains(value)).collect::<Vec<_>>());
        }
        for comparison in Comparison::ALL {
            for value in &values {
                let condition = Condition { field, comparison, value: value.clone() };
                assert_alike(ListQuery { conditions: vec![condition], ..ListQuery::first(500) }).await;
            }
        }
    }
}

fn number(id: impl Id) -> Option<Value> {
    Some(Value::Number(i64::try_from(id.raw()).unwrap()))
}

fn instant(at: Timestamp) -> Option<Value> {
    Some(at.unix_seconds().into())
}

fn text(text: &impl ToString) -> Option<Value> {
    Some(text.to_string().into())
}

/// A tenant with a second group, and signing certificates with and without what they may have.
async fn with_variety(world: &World) -> (Tenant, Vec<Group>, Vec<SigningCertificate>) {
    let tenant = world.tenant().await;
    let mut pending = rows::signing_certificate(world.id(), tenant.customer.id, "awaited");
    pending.certificate = None;
    pending.sealed_private_key = None;
    pending.purpose = SigningPurpose::ZappClient;
    pending.allow_signing = false;
    let mut below = rows::signing_certificate(world.id(), tenant.customer.id, "Below");
    below.parent_id = Some(tenant.signer.id);
    below.purpose = SigningPurpose::IsolationClient;
    below.not_after = NOW.saturating_add(Duration::from_secs(60));
    let mut other = rows::group(world.id(), &below, Kind::Machine, "branch");
    other.enabled = false;
    other.description = Description::default();
    other.created_at = NOW.saturating_sub(Duration::from_secs(10));
    world
        .apply(vec![
            Change::InsertSigningCertificate(pending.clone()),
            Change::InsertSigningCertificate(below.clone()),
            Change::InsertGroup(other.clone()),
        ])
        .await;
    let signers = vec![tenant.signer.clone(), pending, below];
    let groups = vec![tenant.group.clone(), other];
    (tenant, groups, signers)
}

pub async fn groups_and_signing_certificates_are_found_by_every_field(world: World) {
    let (tenant, groups, signers) = with_variety(&world).await;
    with_variety(&world).await;
    let name_of = |id| signers.iter().find(|signer| signer.id == id).map(|signer| signer.name.as_str().into());
    let value_of = |group: &Group, field| match field {
        GroupField::CreatedAt => instant(group.created_at),
        GroupField::Description => text(&group.description.as_str()),
        GroupField::Enabled => Some(group.enabled.into()),
        GroupField::Id => number(group.id),
        GroupField::ModifiedAt => instant(group.modified_at),
        GroupField::Name => text(&group.name),
        GroupField::SigningCertificateId => number(group.signing_certificate_id),
        GroupField::SigningCertificateName => name_of(group.signing_certificate_id),
    };
    let list = async |kind, query| world.store.list_groups(tenant.customer.id, kind, &query).await.unwrap();
    let of_kind = async |query| list(Kind::Machine, query).await;
    assert_agrees_with_model(&groups, GroupField::ALL, value_of, |group| group.id, of_kind).await;
    let of_no_kind = async |query| list(Kind::ServiceEdge, query).await;
    assert_agrees_with_model(&[], GroupField::ALL, value_of, |group| group.id, of_no_kind).await;

    let value_of = |signer: &SigningCertificate, field| match field {
        SigningCertificateField::AllowSigning => Some(signer.allow_signing.into()),
        SigningCertificateField::CreatedAt => instant(signer.created_at),
        SigningCertificateField::Description => text(&signer.description.as_str()),
        SigningCertificateField::Id => number(signer.id),
        SigningCertificateField::ModifiedAt => instant(signer.modified_at),
        SigningCertificateField::Name => text(&signer.name),
        SigningCertificateField::NotAfter => signer.certificate.as_ref().and_then(|_| instant(signer.not_after)),
        SigningCertificateField::NotBefore => signer.certificate.as_ref().and_then(|_| instant(signer.not_before)),
        SigningCertificateField::ParentId => signer.parent_id.and_then(number),
        SigningCertificateField::ParentName => signer.parent_id.and_then(name_of),
        SigningCertificateField::PrivateKeyPresent => Some(signer.sealed_private_key.is_some().into()),
        SigningCertificateField::Purpose => text(&match signer.purpose {
            SigningPurpose::IsolationClient => "isolation_client",
            SigningPurpose::None => "none",
            SigningPurpose::ZappClient => "zapp_client",
        }),
        SigningCertificateField::State => text(&signer.state(world.now()).as_str()),
    };
    let list = async |query| world.store.list_signing_certificates(tenant.customer.id, &query).await.unwrap();
    assert_agrees_with_model(&signers, SigningCertificateField::ALL, value_of, |signer| signer.id, list).await;
}

pub async fn keys_are_found_by_every_field(world: World) {
    let (tenant, groups, signers) = with_variety(&world).await;
    let second = Duration::from_secs(1);
    let mut keys: Vec<_> = ["Berlin-1", "berlin-2", "Paris", "a.b", "a_b"]
        .into_iter()
        .map(|name| rows::key(world.id(), &tenant.group, name, Some(3)))
        .collect();
    keys[1].maximum = None;
    keys[1].sealed_string = None;
    keys[1].version = KeyVersion::Imported;
    keys[1].expires_at = Some(NOW.saturating_add(second * 60));
    keys[2].group_id = groups[1].id;
    keys[2].signing_certificate_id = signers[2].id;
    keys[2].enabled = false;
    keys[2].allow_re_enrollment = true;
    keys[2].description = Description::new("for the branch").unwrap();
    keys[3].expires_at = Some(NOW);
    keys[3].managed_by = Some(ManagedBy { client_id: ApiClientId::from_raw(9), label: rows::name("Terraform") });
    keys[3].successor_id = Some(keys[4].id);
    keys[4].created_at = NOW.saturating_sub(second);
    keys[4].modified_at = NOW.saturating_add(second);
    keys[4].maximum = NonZeroU32::new(1);
    keys[4].key_id = "0/Z6lDTzzzzzzzzz".into();
    keys[4].hint = "3|localhost:8443|0/Z6lDT...".into();
    world.apply(keys.iter().cloned().map(Change::InsertKey).collect()).await;
    let component = world.enrolled(&tenant, &keys[0], "device").await;
    world.enrolled(&tenant, &keys[4], "device").await;
    world.clock.advance(second);
    let again = world.re_enrollment(&tenant, &keys[0], "device", &component);
    world.store.commit_enrollment(again).await.unwrap();
    for key in &mut keys {
        *key = world.stored(key).await;
    }

    let now = world.now();
    let value_of = |key: &ProvisioningKey, field| match field {
        KeyField::AllowReEnrollment => Some(key.allow_re_enrollment.into()),
        KeyField::CreatedAt => instant(key.created_at),
        KeyField::Description => text(&key.description.as_str()),
        KeyField::Enabled => Some(key.enabled.into()),
        KeyField::ExpiresAt => key.expires_at.and_then(instant),
        KeyField::Exportable => Some(key.is_exportable().into()),
        KeyField::GroupId => number(key.group_id),
        KeyField::GroupName => groups.iter().find(|group| group.id == key.group_id).and_then(|group| text(&group.name)),
        KeyField::Hint => text(&key.hint),
        KeyField::Id => number(key.id),
        KeyField::KeyId => text(&key.key_id),
        KeyField::LastUsedAt => key.usage.last_used.and_then(|last| instant(last.at)),
        KeyField::LastUsedBy => key.usage.last_used.and_then(|last| number(last.by)),
        KeyField::Managed => Some(key.managed_by.is_some().into()),
        KeyField::ManagedBy => key.managed_by.as_ref().and_then(|managed| text(&managed.label)),
        KeyField::ManagedById => key.managed_by.as_ref().and_then(|managed| number(managed.client_id)),
        KeyField::Maximum => key.maximum.map(|maximum| i64::from(maximum.get()).into()),
        KeyField::ModifiedAt => instant(key.modified_at),
        KeyField::Name => text(&key.name),
        KeyField::ReEnrollments => Some(i64::try_from(key.usage.re_enrollments).unwrap().into()),
        KeyField::SigningCertificateId => number(key.signing_certificate_id),
        KeyField::SigningCertificateName => {
            let signer = signers.iter().find(|signer| signer.id == key.signing_certificate_id);
            signer.and_then(|signer| text(&signer.name))
        }
        KeyField::State => text(&key.state(now).as_str()),
        KeyField::SuccessorId => key.successor_id.and_then(number),
        KeyField::UsedPercent => {
            key.maximum.map(|maximum| (i64::from(key.usage.uses) * 100 / i64::from(maximum.get())).into())
        }
        KeyField::Uses => Some(i64::from(key.usage.uses).into()),
        KeyField::Version => key.version.number().map(|version| i64::from(version).into()),
    };
    let list = async |kind, query| world.store.list_keys(tenant.customer.id, kind, &query).await.unwrap();
    let of_kind = async |query| list(Kind::Machine, query).await;
    assert_agrees_with_model(&keys, KeyField::ALL, value_of, |key| key.id, of_kind).await;
    let of_no_kind = async |query| list(Kind::ServiceEdge, query).await;
    assert_agrees_with_model(&[], KeyField::ALL, value_of, |key| key.id, of_no_kind).await;

    world.clock.advance(second * 58);
    let states = async |state| {
        let query = ListQuery::first_where(10, KeyField::State, Comparison::Equals, state);
        list(Kind::Machine, query).await.rows.iter().map(|key| key.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(states("active").await, "Berlin-1 berlin-2", "a second before it expires");
    world.clock.advance(second);
    assert_eq!((states("active").await, states("Expired").await), ("Berlin-1".into(), "berlin-2 a.b".into()));
}

pub async fn components_are_found_by_every_field(world: World) {
    let (tenant, groups, _) = with_variety(&world).await;
    let (key, gone) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let mut ids = Vec::new();
    let places = [
        (&key, "192.0.2.9", Some("Edge-1.example"), None),
        (&gone, "2001:db8::7", None, Some("muster 1.0")),
        (&key, "192.0.2.10", Some("edge-2.example"), Some("Muster 1.1")),
        (&key, "192.0.2.9", Some("edge-3.example"), None),
        (&key, "192.0.2.9", None, None),
    ];
    for (n, (key, address, hostname, version)) in places.into_iter().enumerate() {
        let mut commit = world.commit(&tenant, key, &format!("device-{n}"));
        commit.remote_address = address.parse().unwrap();
        commit.device.hostname = hostname.map(str::to_owned);
        commit.device.platform = (n != 1).then(|| format!("el{n}"));
        commit.device.software_version = version.map(str::to_owned);
        commit.certificate.not_after = match n {
            0 => world.now(),
            n => commit.certificate.not_after.saturating_add(Duration::from_secs(n as u64 % 2)),
        };
        ids.push(commit.intent.component());
        world.store.commit_enrollment(commit).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
    }
    let customer = tenant.customer.id;
    let mut moved = world.component(customer, ids[2]).await;
    moved.name = "renamed".into();
    moved.description = Description::new("in the cellar").unwrap();
    moved.enabled = false;
    moved.group_id = groups[1].id;
    world
        .apply(vec![
            Change::UpdateComponent(moved),
            Change::RevokeComponent {
                customer,
                id: ids[3],
                revision: None,
                at: world.now(),
                reason: RevocationReason::Unspecified,
                by: None,
            },
            Change::DeleteComponent { customer, id: ids[4], revision: None, at: world.now(), release_use: false },
            Change::DeleteKey { customer, id: gone.id, revision: None, revoke: None },
        ])
        .await;
    let mut components = Vec::new();
    for id in &ids[..4] {
        let component = world.component(customer, *id).await;
        let not_after = world.certificate(customer, component.id, component.current_serial).await.not_after;
        components.push((component, not_after));
    }

    let value_of = |(component, not_after): &(Component, Timestamp), field| match field {
        ComponentField::CertificateNotAfter => instant(*not_after),
        ComponentField::Description => text(&component.description.as_str()),
        ComponentField::Enabled => Some(component.enabled.into()),
        ComponentField::EnrolledAt => instant(component.enrolled_at),
        ComponentField::Fingerprint => text(&component.fingerprint),
        ComponentField::GroupId => number(component.group_id),
        ComponentField::GroupName => {
            groups.iter().find(|group| group.id == component.group_id).and_then(|group| text(&group.name))
        }
        ComponentField::Hostname => component.hostname.as_ref().and_then(text),
        ComponentField::Id => number(component.id),
        ComponentField::KeyId => number(component.key_id),
        ComponentField::KeyName => (component.key_id == key.id).then(|| key.name.as_str().into()),
        ComponentField::ModifiedAt => instant(component.modified_at),
        ComponentField::Name => text(&component.name),
        ComponentField::Platform => component.platform.as_ref().and_then(text),
        ComponentField::RemoteAddress => text(&component.remote_address),
        ComponentField::SerialNumber => text(&component.current_serial),
        ComponentField::SoftwareVersion => component.software_version.as_ref().and_then(text),
        ComponentField::State => text(&match component.state {
            ComponentState::Revoked { .. } => "revoked",
            _ if !component.enabled => "disabled",
            _ if *not_after <= world.now() => "expired",
            _ => "live",
        }),
    };
    let list = async |kind, query: ListQuery<_>| {
        let page = world.store.list_components(customer, kind, &query).await.unwrap();
        Page { rows: page.rows.into_iter().map(|row| (row, NOW)).collect(), total: page.total }
    };
    let of_kind = async |query| list(Kind::Machine, query).await;
    assert_agrees_with_model(&components, ComponentField::ALL, value_of, |(row, _)| row.id, of_kind).await;
    let of_no_kind = async |query| list(Kind::ServiceEdge, query).await;
    assert_agrees_with_model(&[], ComponentField::ALL, value_of, |(row, _)| row.id, of_no_kind).await;
}

pub async fn components_are_found_by_an_address_as_people_write_it(world: World) {
    let tenant = world.tenant().await;
    let key = world.key(&tenant, None).await;
    let mut components = Vec::new();
    for address in [
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "::2",
        "::1:0",
        "::ffff",
        "::1.2.3.4",
        "::ffff:1.2.3.4",
        "::ffff:0:1.2.3.4",
        "64:ff9b::1.2.3.4",
        "0:1::",
        "1:0:0:2::3",
        "1::2:0:0:3",
        "1:0:2:3:4:5:6:7",
        "fe80::a0b:c",
    ] {
        let mut commit = world.commit(&tenant, &key, &format!("device-{}", components.len()));
        commit.remote_address = address.parse().unwrap();
        let id = commit.intent.component();
        world.store.commit_enrollment(commit).await.unwrap();
        components.push(world.component(tenant.customer.id, id).await);
    }
    let list = async |query| world.store.list_components(tenant.customer.id, Kind::Machine, &query).await.unwrap();
    let value_of = |component: &Component, _| text(&component.remote_address);
    assert_agrees_with_model(&components, &[ComponentField::RemoteAddress], value_of, |row| row.id, list).await;
}

pub async fn customers_are_found_by_every_field(world: World) {
    let mut customers =
        [world.tenant().await, world.tenant().await, world.tenant().await].map(|tenant| tenant.customer);
    customers[1].enabled = false;
    customers[1].modified_at = NOW.saturating_add(Duration::from_secs(1));
    customers[2].name = rows::name("acme");
    world.apply(customers[1..].iter().cloned().map(Change::UpdateCustomer).collect()).await;
    let value_of = |customer: &Customer, field| match field {
        CustomerField::CreatedAt => instant(customer.created_at),
        CustomerField::Enabled => Some(customer.enabled.into()),
        CustomerField::Id => number(customer.id),
        CustomerField::ModifiedAt => instant(customer.modified_at),
        CustomerField::Name => text(&customer.name),
    };
    let list = async |query| world.store.list_customers(&query).await.unwrap();
    assert_agrees_with_model(&customers, CustomerField::ALL, value_of, |customer| customer.id, list).await;
}

pub async fn administrators_and_api_clients_are_found_by_every_field(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let (customer, later) = (tenant.customer.id, NOW.saturating_add(Duration::from_secs(1)));
    let mut administrators = [("ada", Role::Admin), ("Eve", Role::Auditor), ("bob", Role::Operator)]
        .map(|(username, role)| Administrator { role, ..rows::administrator(world.id(), customer, username) });
    (administrators[1].enabled, administrators[1].modified_at) = (false, later);
    administrators[1].description = Description::new("counts").unwrap();
    let elsewhere = rows::administrator(world.id(), other.customer.id, "of another customer");
    let all = administrators.iter().chain([&elsewhere]).cloned().map(Change::InsertAdministrator);
    world.apply(all.collect()).await;
    let session = SessionRecord {
        id: "a-session".into(),
        customer_id: customer,
        administrator_id: Some(administrators[0].id),
        created_at: later,
        expires_at: later,
        ended_at: None,
        remote_address: None,
        user_agent: String::new(),
    };
    world.apply(vec![Change::InsertSession { session, revision: Revision::FIRST }]).await;
    administrators[0].last_sign_in_at = Some(later);
    let value_of = |row: &Administrator, field| match field {
        AdministratorField::CreatedAt => instant(row.created_at),
        AdministratorField::Description => text(&row.description.as_str()),
        AdministratorField::Enabled => Some(row.enabled.into()),
        AdministratorField::Id => number(row.id),
        AdministratorField::LastSignInAt => row.last_sign_in_at.and_then(instant),
        AdministratorField::ModifiedAt => instant(row.modified_at),
        AdministratorField::Role => text(&row.role),
        AdministratorField::Username => text(&row.username),
    };
    let list = async |query| world.store.list_administrators(customer, &query).await.unwrap();
    assert_agrees_with_model(&administrators, AdministratorField::ALL, value_of, |row| row.id, list).await;

    let mut clients = [("Terraform", "tf-1"), ("portal", "p-2"), ("Backup", "B-3")]
        .map(|(name, client_id)| rows::api_client(world.id(), customer, name, client_id));
    (clients[0].enabled, clients[0].role) = (false, Role::Auditor);
    (clients[1].managing, clients[1].modified_at) = (None, later);
    clients[2].managing = Some(rows::name("nightly"));
    let elsewhere = rows::api_client(world.id(), other.customer.id, "of another customer", "o-4");
    world.apply(clients.iter().chain([&elsewhere]).cloned().map(Change::InsertApiClient).collect()).await;
    world.apply(vec![Change::NoteApiClientUse { customer, id: clients[1].id, at: later }]).await;
    clients[1].last_used_at = Some(later);
    let value_of = |row: &ApiClient, field| match field {
        ApiClientField::ClientId => text(&row.client_id),
        ApiClientField::CreatedAt => instant(row.created_at),
        ApiClientField::Enabled => Some(row.enabled.into()),
        ApiClientField::Id => number(row.id),
        ApiClientField::Label => row.managing.as_ref().and_then(text),
        ApiClientField::LastUsedAt => row.last_used_at.and_then(instant),
        ApiClientField::Managing => Some(row.managing.is_some().into()),
        ApiClientField::ModifiedAt => instant(row.modified_at),
        ApiClientField::Name => text(&row.name),
        ApiClientField::Role => text(&row.role),
    };
    let list = async |query| world.store.list_api_clients(customer, &query).await.unwrap();
    assert_agrees_with_model(&clients, ApiClientField::ALL, value_of, |row| row.id, list).await;
}

pub async fn a_digest_leads_to_its_key(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let keys = [world.key(&tenant, None).await, world.key(&other, None).await];
    let find = async |digest| world.store.find_key_by_digest(&digest).await.unwrap();
    for key in &keys {
        assert_eq!(find(key.digest).await, Some((key.customer_id, key.id)));
    }
    let near = |at: usize| {
        let mut digest = *keys[0].digest.as_bytes();
        digest[at] ^= 1;
        KeyDigest::from_bytes(digest)
    };
    for at in [0, 16, 31] {
        assert_eq!(find(near(at)).await, None, "all of the digest counts");
    }
    let (customer, id, before, moved) = (keys[0].customer_id, keys[0].id, keys[0].digest, near(31));
    let pepper = SealedSecret { purpose: "pepper".into(), name: "2".into(), sealed: vec![1] };
    world.apply(vec![Change::InsertSecret(pepper)]).await;
    let new = NewDigest { customer, id, before, pepper: PepperNumber(2), digest: moved };
    assert_eq!(world.store.replace_digests(vec![new]).await.unwrap(), 1);
    assert_eq!(find(before).await, None);
    assert_eq!(find(moved).await, Some((customer, id)));
    world.apply(vec![Change::DeleteKey { customer, id, revision: None, revoke: None }]).await;
    assert_eq!(find(moved).await, None);
}

pub async fn keys_of_a_group_are_in_order_of_id(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let branch = rows::group(world.id(), &tenant.signer, Kind::Machine, "Branch");
    world.apply(vec![Change::InsertGroup(branch.clone())]).await;
    let mut expected = Vec::new();
    for n in 0..3 {
        expected.push(world.key(&tenant, None).await.id);
        world.apply(vec![Change::InsertKey(rows::key(world.id(), &branch, &format!("branch {n}"), None))]).await;
    }
    let list = async |customer, group, after, limit| {
        let keys = world.store.list_keys_of_group(customer, group, after, limit).await.unwrap();
        keys.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    let (customer, group, start) = (tenant.customer.id, tenant.group.id, ProvisioningKeyId::from_raw(0));
    assert_eq!(list(customer, group, start, 10).await, expected);
    assert_eq!(list(customer, group, start, 2).await, expected[..2]);
    assert_eq!(list(customer, group, expected[1], 10).await, expected[2..]);
    assert_eq!(list(customer, branch.id, start, 10).await.len(), 3);
    assert_eq!(list(other.customer.id, group, start, 10).await, [], "another customer's group");
}

/// Enrolls as the component with this id.
async fn enrolled_as(world: &World, tenant: &Tenant, key: &ProvisioningKey, id: u64) -> Component {
    let component = ComponentId::from_raw(id);
    let mut commit = world.commit(tenant, key, &format!("device-{id}"));
    commit.intent = EnrollmentIntent::Enroll { component };
    assert!(matches!(world.store.commit_enrollment(commit).await, Ok(EnrollmentOutcome::Committed { .. })));
    world.component(tenant.customer.id, component).await
}

/// Every page of every list whose pages are found by their place, in both directions, against the model.
pub async fn assert_pages(world: &World, tenant: &Tenant, components: &[Component], prefixes: &[&str]) {
    let value_of = |row: &Component, field| match field {
        ComponentField::GroupId => number(row.group_id),
        ComponentField::Id => number(row.id),
        ComponentField::Name => text(&row.name),
        _ => unreachable!("{field:?} is not asked for"),
    };
    let mut filters = vec![vec![]];
    filters.extend(
        prefixes.iter().map(|prefix| vec![Condition::new(ComponentField::Name, Comparison::StartsWith, *prefix)]),
    );
    let mut groups: Vec<_> = components.iter().map(|row| row.group_id).collect();
    groups.dedup();
    filters.extend(groups.into_iter().take(3).map(|group| {
        vec![Condition {
            field: ComponentField::GroupId,
            comparison: Comparison::Equals,
            value: number(group).unwrap(),
        }]
    }));
    for conditions in filters {
        for sort in [
            None,
            Some((ComponentField::Id, true)),
            Some((ComponentField::Name, false)),
            Some((ComponentField::Name, true)),
        ] {
            let sort = sort.map(|(field, descending)| Sort { field, descending });
            for offset in 0..=components.len() as u64 {
                let query = ListQuery { conditions: conditions.clone(), sort, offset, limit: 3 };
                let found = world.store.list_components(tenant.customer.id, Kind::Machine, &query).await.unwrap();
                assert_eq!(found, query.select(components.to_vec(), value_of), "{query:?}");
            }
        }
    }
}

pub async fn pages_of_components_follow_every_change(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let other = rows::group(world.id(), &tenant.signer, Kind::Machine, "Branch");
    let key = rows::key(world.id(), &tenant.group, "Edge", None);
    let same = rows::key(world.id(), &tenant.group, "edge-1", None);
    let changes = [key.clone(), same.clone()].map(Change::InsertKey);
    world.apply([Change::InsertGroup(other.clone())].into_iter().chain(changes).collect()).await;
    assert_pages(&world, &tenant, &[], &["e"]).await;

    // On both sides of where a block of ids ends, and not in the order of their ids.
    let mut components = Vec::new();
    for id in [8_191, 4_095, 4_097, 4_096, 12_288, 8_192] {
        let key = if id % 2 == 0 { &same } else { &key };
        components.push(enrolled_as(&world, &tenant, key, id).await);
    }
    components.sort_by_key(|row| row.id);
    let prefixes = ["", "e", "EDGE-", "edge-1", "edge-1-", "f"];
    assert_pages(&world, &tenant, &components, &prefixes).await;
    world.assert_sound().await;

    // Some are in the order by name by now, the last one not yet.
    components.push(enrolled_as(&world, &tenant, &key, 20_000).await);
    for (at, name, group) in [(1, "zebra", other.id), (3, "Aardvark", tenant.group.id), (6, "edge-1-0", other.id)] {
        let row = &mut components[at];
        (row.name, row.group_id) = (name.to_owned(), group);
        world.apply(vec![Change::UpdateComponent(row.clone())]).await;
        *row = world.component(customer, row.id).await;
    }
    assert_pages(&world, &tenant, &components, &["", "z", "aard", "edge-1-"]).await;
    world.assert_sound().await;

    components.push(enrolled_as(&world, &tenant, &same, 20_001).await);
    for at in [7, 4, 1, 0] {
        let id = components.remove(at).id;
        world
            .apply(vec![Change::DeleteComponent { customer, id, revision: None, at: world.now(), release_use: false }])
            .await;
    }
    let again = world.re_enrollment(&tenant, &key, "device-20000", &components[3]);
    assert!(matches!(world.store.commit_enrollment(again).await, Ok(EnrollmentOutcome::Committed { .. })));
    components[3] = world.component(customer, components[3].id).await;
    assert_pages(&world, &tenant, &components, &["", "z", "edge-1"]).await;
    world.assert_sound().await;

    let world = world.reopen().await;
    assert_pages(&world, &tenant, &components, &["edge"]).await;
    let named = ListQuery::first_where(5, ComponentField::Name, Comparison::Equals, "EDGE-1-0");
    let found = world.store.list_components(customer, Kind::Machine, &named).await.unwrap();
    assert_eq!((found.rows, found.total), (vec![components[3].clone()], 1));
}

pub async fn the_components_of_a_deleted_group_are_on_no_page(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let other = Tenant { group: rows::group(world.id(), &tenant.signer, Kind::Machine, "Branch"), ..tenant.clone() };
    world.apply(vec![Change::InsertGroup(other.group.clone())]).await;
    let (going, staying) = (world.key(&tenant, None).await, world.key(&other, None).await);

    // One block of ids has components of both groups, one of each alone.
    let mut components = Vec::new();
    for id in [4_095, 8_192, 8_193] {
        components.push(enrolled_as(&world, &tenant, &going, id).await);
    }
    for id in [8_194, 12_288] {
        components.push(enrolled_as(&world, &other, &staying, id).await);
    }
    assert_pages(&world, &tenant, &components, &[""]).await;
    // The order by name may have those by now, and not yet these.
    components.push(enrolled_as(&world, &tenant, &going, 12_289).await);
    components.push(enrolled_as(&world, &other, &staying, 12_290).await);
    // One came from the group that stays, and one left the group that goes.
    for (at, group) in [(3, tenant.group.id), (1, other.group.id)] {
        components[at].group_id = group;
        world.apply(vec![Change::UpdateComponent(components[at].clone())]).await;
        components[at] = world.component(customer, components[at].id).await;
    }

    let id = tenant.group.id;
    let at = world.now();
    world.apply(vec![Change::DeleteGroupWithContents { customer, id, revision: None, at, by: None }]).await;
    components.retain(|row| row.group_id != id);
    assert_eq!(components.len(), 3);
    assert_pages(&world, &tenant, &components, &["", going.name.as_str(), staying.name.as_str()]).await;
    let of_group = ListQuery::first_where(5, ComponentField::GroupId, Comparison::Equals, number(id).unwrap());
    let found = world.store.list_components(customer, Kind::Machine, &of_group).await.unwrap();
    assert_eq!((found.rows, found.total), (vec![], 0));
    assert_eq!(world.store.list_group_components(customer, id, 5).await.unwrap(), []);
    let counted = world.store.count_group_contents(customer, &[id, other.group.id]).await.unwrap();
    assert_eq!(counted, [GroupContents::default(), GroupContents { keys: 1, components: 3 }]);
    world.assert_sound().await;

    // What comes after fills the places that became free.
    components.insert(0, enrolled_as(&world, &other, &staying, 4_094).await);
    assert_pages(&world, &tenant, &components, &[""]).await;
    let world = world.reopen().await;
    assert_pages(&world, &tenant, &components, &[""]).await;
    world.assert_sound().await;
}

pub async fn a_renamed_component_is_found_by_its_new_name_only(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let key = world.key(&tenant, None).await;
    let named = async |name: &str| {
        let query = ListQuery::first_where(5, ComponentField::Name, Comparison::Equals, name);
        let found = world.store.list_components(customer, Kind::Machine, &query).await.unwrap();
        assert_eq!(found.total, found.rows.len() as u64, "{name}");
        found.rows.into_iter().map(|row| (row.id, row.name)).collect::<Vec<_>>()
    };
    let rename = async |id, name: &str| {
        let renamed = Component { name: name.to_owned(), ..world.component(customer, id).await };
        world.apply(vec![Change::UpdateComponent(renamed)]).await;
    };
    let first = world.enrolled(&tenant, &key, "a").await;
    assert_eq!(named(&first.name).await, [(first.id, first.name.clone())]);
    // The order by name may have the first by now, and not yet this one.
    let second = world.enrolled(&tenant, &key, "b").await;
    rename(first.id, "Gate").await;
    rename(second.id, "Door").await;
    assert_eq!(named(&first.name).await, []);
    assert_eq!(named(&second.name).await, []);
    assert_eq!(named("gate").await, [(first.id, "Gate".to_owned())]);
    // Another case is the same name, and is shown as it was given.
    rename(second.id, "DOOR").await;
    assert_eq!(named("door").await, [(second.id, "DOOR".to_owned())]);
    rename(first.id, &second.name).await;
    assert_eq!(named(&second.name).await, [(first.id, second.name.clone())]);
    assert_eq!(named("gate").await, []);
    world.assert_sound().await;
}

pub async fn a_component_is_not_given_a_name_that_another_bears(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let customer = tenant.customer.id;
    let (mut key, foreign) = (world.key(&tenant, None).await, world.key(&stranger, None).await);
    let renamed = async |component: &Component, name: &str| {
        let row = world.component(component.customer_id, component.id).await;
        Change::UpdateComponent(Component { name: name.to_owned(), ..row })
    };
    let (first, second) = (world.enrolled(&tenant, &key, "a").await, world.enrolled(&tenant, &key, "b").await);
    let shouted = first.name.to_uppercase();
    // Neither is in the order by name yet; then both are, and one enrolled since.
    assert_eq!(world.broken_rule(renamed(&second, &shouted).await).await, BrokenRule::DuplicateName);
    assert_pages(&world, &tenant, &[first.clone(), second.clone()], &[""]).await;
    assert_eq!(world.broken_rule(renamed(&second, &shouted).await).await, BrokenRule::DuplicateName);
    let third = world.enrolled(&tenant, &key, "c").await;
    assert_eq!(world.broken_rule(renamed(&second, &third.name).await).await, BrokenRule::DuplicateName);

    // Its own in another case, another customer's, and one whose bearer is gone.
    let elsewhere = world.enrolled(&stranger, &foreign, "a").await;
    world.apply(vec![renamed(&first, &shouted).await]).await;
    world.apply(vec![renamed(&elsewhere, &shouted).await]).await;
    for gone in [&first, &third] {
        world
            .apply(vec![Change::DeleteComponent { customer, id: gone.id, revision: None, at: NOW, release_use: false }])
            .await;
        world.apply(vec![renamed(&second, &gone.name).await]).await;
    }

    // An enrollment takes its name whoever bears it; both can be edited under it.
    world.apply(vec![renamed(&second, &format!("{}-4", key.name)).await]).await;
    key = world.stored(&key).await;
    let fourth = world.enrolled(&tenant, &key, "d").await;
    assert_eq!(fourth.name, world.component(customer, second.id).await.name);
    for twin in [&second, &fourth] {
        world.apply(vec![renamed(twin, &fourth.name).await]).await;
    }
    world.assert_sound().await;
}

pub async fn a_kind_with_many_groups_is_paged_in_order_of_id(world: World) {
    let tenant = world.tenant().await;
    let groups: Vec<_> =
        (0..300).map(|n| rows::group(world.id(), &tenant.signer, Kind::Machine, &format!("group {n}"))).collect();
    world.apply(groups.iter().cloned().map(Change::InsertGroup).collect()).await;
    let mut components = Vec::new();
    for n in [0, 299, 1, 150] {
        let tenant = Tenant { group: groups[n].clone(), ..tenant.clone() };
        let key = world.key(&tenant, None).await;
        components.push(world.enrolled(&tenant, &key, "device").await);
    }
    assert_pages(&world, &tenant, &components, &[]).await;
    // A group of another kind has none of this one.
    let elsewhere =
        ListQuery::first_where(5, ComponentField::GroupId, Comparison::Equals, number(groups[0].id).unwrap());
    let found = world.store.list_components(tenant.customer.id, Kind::ServiceEdge, &elsewhere).await.unwrap();
    assert_eq!((found.rows, found.total), (vec![], 0));
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
    let found = &world.store.find_indexed_keys(key.customer_id, &[key.id]).await.unwrap()[0];
    for indexed in [scanned, found] {
        let uses = indexed.uses.load(Ordering::Relaxed);
        assert_eq!((indexed.id, indexed.revision, uses), (key.id, key.revision, key.usage.uses));
        assert_eq!(indexed.digest.as_bytes(), key.digest.as_bytes());
        assert_eq!(
            (indexed.maximum, indexed.enabled, &indexed.addresses),
            (key.maximum, key.enabled, &Networks::from(&key.addresses))
        );
    }

    let groups = world.store.scan_groups(GroupId::from_raw(0), 10).await.unwrap();
    assert_eq!(groups, tenants.iter().map(|tenant| tenant.group.clone()).collect::<Vec<_>>());
    assert_eq!(world.store.scan_groups(groups[0].id, 10).await.unwrap(), [tenants[1].group.clone()]);
    let signers = world.store.scan_signing_certificates(SigningCertificateId::from_raw(0), 10).await.unwrap();
    assert_eq!(signers.iter().map(|row| row.id).collect::<Vec<_>>(), tenants.clone().map(|tenant| tenant.signer.id));
    let customers = world.store.scan_customers().await.unwrap();
    assert_eq!(customers, tenants.map(|tenant| tenant.customer));
}

pub async fn indexed_keys_are_found_many_at_a_time(world: World) {
    let (tenant, stranger) = (world.tenant().await, world.tenant().await);
    let customer = tenant.customer.id;
    let (first, gone, foreign) =
        (world.key(&tenant, Some(2)).await, world.key(&tenant, None).await, world.key(&stranger, None).await);
    world.enrolled(&tenant, &first, "d").await;
    world.apply(vec![Change::DeleteKey { customer, id: gone.id, revision: None, revoke: None }]).await;
    let many: Vec<_> = (0..997).map(|n| rows::key(world.id(), &tenant.group, &format!("k{n}"), None)).collect();
    world.apply(many.iter().cloned().map(Change::InsertKey).collect()).await;

    let mut asked: Vec<_> = many.iter().map(|key| key.id).collect();
    asked.extend([foreign.id, gone.id, first.id]);
    let mut found = world.store.find_indexed_keys(customer, &asked).await.unwrap();
    found.sort_by_key(|key| key.id);
    let expected: Vec<_> = std::iter::once(&first).chain(&many).map(|key| (key.id, *key.digest.as_bytes())).collect();
    assert_eq!(found.iter().map(|key| (key.id, *key.digest.as_bytes())).collect::<Vec<_>>(), expected);
    assert_eq!((found[0].uses.load(Ordering::Relaxed), found[0].maximum), (1, NonZeroU32::new(2)));
    assert!(world.store.find_indexed_keys(customer, &[]).await.unwrap().is_empty());
}

pub async fn the_ledger_is_listed_newest_first(world: World) {
    let tenant = world.tenant().await;
    let (key, other) = (world.key(&tenant, None).await, world.key(&tenant, None).await);
    let customer = key.customer_id;
    let page = async |offset, limit| {
        let page = world.store.list_ledger(customer, key.id, PageRequest { offset, limit }).await.unwrap();
        assert!(page.rows.iter().all(|used| used.row.key_id == key.id));
        (page.rows.iter().map(|used| used.row.sequence).collect::<Vec<_>>(), page.total)
    };
    assert_eq!(page(0, 5).await, (vec![], 0));
    let mut components = Vec::new();
    for n in 0..5 {
        components.push(world.enrolled(&tenant, &key, &format!("device-{n}")).await);
        world.enrolled(&tenant, &other, &format!("device-{n}")).await;
    }
    assert_eq!(page(1, 2).await, (vec![4, 3], 5));
    assert_eq!(page(3, 2).await, (vec![2, 1], 5));
    assert_eq!(page(4, 2).await, (vec![1], 5));
    for beyond in [5, 6, u64::MAX] {
        assert_eq!(page(beyond, 2).await, (vec![], 5));
    }

    // Each is named as its component is now, a deleted one too.
    let mut renamed = components[1].clone();
    renamed.name = "Gate".into();
    let id = components[0].id;
    let delete = Change::DeleteComponent { customer, id, revision: None, at: NOW, release_use: true };
    world.apply(vec![Change::UpdateComponent(renamed), delete]).await;
    let rows = world.store.list_ledger(customer, key.id, PageRequest::first(10)).await.unwrap().rows;
    let names: Vec<_> = rows.into_iter().rev().map(|used| used.component_name.unwrap()).collect();
    let [first, _, rest @ ..] = &components[..] else { unreachable!() };
    let mut expected = vec![first.name.clone(), "Gate".to_owned()];
    expected.extend(rest.iter().chain([first]).map(|component| component.name.clone()));
    assert_eq!(names, expected);
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
        last_reason: RefusalReason::new("the key is disabled"),
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
