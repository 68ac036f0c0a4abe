//! Administrators, API clients and sessions.

use std::net::IpAddr;
use std::time::Duration;

use muster::clock::Timestamp;
use muster::domain::{Administrator, Description, Revision, Role, SessionRecord};
use muster::id::{CustomerId, Id};
use muster::secret::pepper::{KeyDigest, PepperNumber};
use muster::store::{AdministratorField, BrokenRule, Change, ChangeError, Comparison, ListQuery, PageRequest};

use super::world::World;
use crate::support::rows::{self, NOW, name};

async fn administrator(world: &World, customer: CustomerId, username: &str) -> Administrator {
    let row = rows::administrator(world.id(), customer, username);
    world.apply(vec![Change::InsertAdministrator(row.clone())]).await;
    row
}

async fn stored(world: &World, row: &Administrator) -> Administrator {
    world.store.find_administrator_by_id(row.customer_id, row.id).await.unwrap().expect("the administrator is there")
}

fn session(row: &Administrator, id: &str, from: Timestamp) -> SessionRecord {
    SessionRecord {
        id: id.into(),
        customer_id: row.customer_id,
        administrator_id: Some(row.id),
        created_at: from,
        expires_at: from.saturating_add(Duration::from_secs(3_600)),
        ended_at: None,
        remote_address: Some(IpAddr::from([192, 0, 2, 1])),
        user_agent: "curl/8".into(),
    }
}

fn insert(session: &SessionRecord) -> Change {
    Change::InsertSession { session: session.clone(), revision: Revision::FIRST }
}

fn delete(row: &Administrator, revision: Option<Revision>) -> Change {
    Change::DeleteAdministrator { customer: row.customer_id, id: row.id, revision }
}

pub async fn administrators_are_changed_listed_and_deleted(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let customer = tenant.customer.id;
    let ada = administrator(&world, customer, "ada").await;
    let eve = administrator(&world, other.customer.id, "eve").await;
    let mut changed = ada.clone();
    changed.username = name("Ada.L");
    changed.description = Description::new("counts").unwrap();
    changed.password_hash = "$argon2id$other".into();
    changed.role = Role::Auditor;
    changed.enabled = false;
    changed.last_sign_in_at = Some(NOW);
    changed.modified_by = None;
    world.apply(vec![Change::UpdateAdministrator(changed.clone())]).await;
    let found = stored(&world, &ada).await;
    assert_eq!((&found.username, &found.description), (&changed.username, &changed.description));
    assert_eq!((found.password_hash, found.role, found.enabled), (changed.password_hash.clone(), Role::Auditor, false));
    assert_eq!((found.modified_by, found.revision), (None, Revision(2)));
    assert_eq!(found.last_sign_in_at, None, "sign-ins write that");
    let outdated = BrokenRule::Outdated { found: Revision(2) };
    assert_eq!(world.broken_rule(Change::UpdateAdministrator(changed.clone())).await, outdated);
    assert_eq!(world.broken_rule(delete(&ada, Some(Revision::FIRST))).await, outdated);

    let listed = world.store.list_administrators(customer, &ListQuery::first(10)).await.unwrap();
    assert_eq!((listed.total, listed.rows[0].id), (1, ada.id));
    let query = ListQuery::first_where(10, AdministratorField::Username, Comparison::Equals, "ADA.L");
    assert_eq!(world.store.list_administrators(customer, &query).await.unwrap().total, 1);
    assert!(world.store.find_administrator_by_id(customer, eve.id).await.unwrap().is_none(), "of another customer");

    changed.revision = Revision(2);
    changed.username = name("EVE");
    let taken = world.broken_rule(Change::UpdateAdministrator(changed)).await;
    assert_eq!(taken, BrokenRule::DuplicateName, "names are unique over all customers");
    let mut elsewhere = eve.clone();
    elsewhere.customer_id = customer;
    assert_eq!(world.broken_rule(Change::UpdateAdministrator(elsewhere.clone())).await, BrokenRule::NotFound);
    assert_eq!(world.broken_rule(delete(&elsewhere, None)).await, BrokenRule::NotFound);

    world.apply(vec![delete(&ada, Some(Revision(2)))]).await;
    assert!(world.store.find_administrator("ada.l").await.unwrap().is_none());
    assert_eq!(world.broken_rule(delete(&ada, None)).await, BrokenRule::NotFound);
}

pub async fn the_last_enabled_owner_stays(world: World) {
    let tenant = world.tenant().await;
    let admin = administrator(&world, tenant.customer.id, "admin").await;
    let one = administrator(&world, CustomerId::SERVICE, "one").await;
    let disabled = |row: &Administrator| Change::UpdateAdministrator(Administrator { enabled: false, ..row.clone() });
    let demoted = Change::UpdateAdministrator(Administrator { role: Role::Admin, ..one.clone() });
    for change in [disabled(&one), demoted, delete(&one, None)] {
        assert_eq!(world.broken_rule(change).await, BrokenRule::LastOwner);
    }
    assert_eq!(stored(&world, &one).await.revision, Revision::FIRST, "nothing was changed");
    // No owner: not asked.
    world.apply(vec![disabled(&admin), delete(&admin, None)]).await;

    // An owner that is disabled does not count, in either direction.
    let two = administrator(&world, CustomerId::SERVICE, "two").await;
    world.apply(vec![disabled(&two)]).await;
    assert_eq!(world.broken_rule(delete(&one, None)).await, BrokenRule::LastOwner);
    world.apply(vec![delete(&two, None)]).await;
}

pub async fn of_two_owners_who_end_each_other_one_stays(world: World) {
    let mut one = administrator(&world, CustomerId::SERVICE, "owner-0").await;
    for round in 1..=20 {
        let two = administrator(&world, CustomerId::SERVICE, &format!("owner-{round}")).await;
        let (first, second) = tokio::join!(
            world.try_apply(vec![delete(&one, None)]),
            world.try_apply(vec![Change::UpdateAdministrator(Administrator { enabled: false, ..two.clone() })]),
        );
        let refused = [&first, &second]
            .into_iter()
            .filter(|result| matches!(result, Err(ChangeError::Rule { rule: BrokenRule::LastOwner, .. })));
        assert_eq!(refused.count(), 1, "{first:?} {second:?}");
        let all = world.store.list_administrators(CustomerId::SERVICE, &ListQuery::first(100)).await.unwrap().rows;
        let mut left = all.into_iter().filter(|row| row.enabled);
        one = left.next().expect("an owner is left");
        assert!(left.next().is_none());
    }
}

pub async fn api_clients_are_changed_listed_and_deleted(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let customer = tenant.customer.id;
    let client = rows::api_client(world.id(), customer, "Terraform", "tf-1");
    let second = rows::api_client(world.id(), customer, "Portal", "portal-1");
    world.apply(vec![Change::InsertApiClient(client.clone()), Change::InsertApiClient(second.clone())]).await;
    let mut changed = client.clone();
    changed.name = name("Terraform 2");
    changed.client_id = "another".into();
    changed.secret_digest = KeyDigest::from_bytes([4; KeyDigest::BYTES]);
    changed.pepper = PepperNumber(3);
    changed.secret_generation = 1;
    changed.role = Role::Auditor;
    changed.enabled = false;
    changed.managing = None;
    changed.last_used_at = Some(NOW);
    changed.modified_by = Some(9);
    world.apply(vec![Change::UpdateApiClient(changed.clone())]).await;
    let find = || world.store.find_api_client_by_id(customer, client.id);
    let found = find().await.unwrap().unwrap();
    assert_eq!((&found.name, found.client_id.as_str()), (&changed.name, "tf-1"));
    assert_eq!((found.secret_digest.as_bytes(), found.pepper), (&[4; KeyDigest::BYTES], PepperNumber(3)));
    assert_eq!((found.secret_generation, found.role, found.enabled), (1, Role::Auditor, false));
    assert_eq!((found.managing, found.last_used_at, found.modified_by), (None, None, Some(9)));
    assert_eq!(found.revision, Revision(2));

    let feed = world.store.last_change().await.unwrap();
    world.apply(vec![Change::NoteApiClientUse { customer, id: client.id, at: NOW }]).await;
    let noted = find().await.unwrap().unwrap();
    assert_eq!((noted.last_used_at, noted.revision), (Some(NOW), Revision(2)), "it is no setting");
    assert_eq!(world.store.last_change().await.unwrap(), feed, "and nobody is told");

    assert_eq!(world.store.list_api_clients(customer, &ListQuery::first(10)).await.unwrap().total, 2);
    assert_eq!(world.store.list_api_clients(other.customer.id, &ListQuery::first(10)).await.unwrap().total, 0);
    assert!(world.store.find_api_client_by_id(other.customer.id, client.id).await.unwrap().is_none());
    changed.name = name("PORTAL");
    assert_eq!(
        world.broken_rule(Change::UpdateApiClient(changed.clone())).await,
        BrokenRule::Outdated { found: Revision(2) }
    );
    changed.revision = Revision(2);
    assert_eq!(world.broken_rule(Change::UpdateApiClient(changed)).await, BrokenRule::DuplicateName);

    let delete = |customer, revision| Change::DeleteApiClient { customer, id: client.id, revision };
    assert_eq!(world.broken_rule(delete(other.customer.id, None)).await, BrokenRule::NotFound);
    let outdated = BrokenRule::Outdated { found: Revision(2) };
    assert_eq!(world.broken_rule(delete(customer, Some(Revision::FIRST))).await, outdated);
    world.apply(vec![delete(customer, Some(Revision(2)))]).await;
    assert!(find().await.unwrap().is_none());
}

pub async fn an_api_client_that_manages_keys_stays(world: World) {
    let tenant = world.tenant().await;
    let customer = tenant.customer.id;
    let client = rows::api_client(world.id(), customer, "Terraform", "tf-1");
    let mut key = rows::key(world.id(), &tenant.group, "managed", None);
    key.managed_by = Some(muster::domain::key::ManagedBy { client_id: client.id, label: name("Terraform") });
    world.apply(vec![Change::InsertApiClient(client.clone()), Change::InsertKey(key.clone())]).await;
    let delete = Change::DeleteApiClient { customer, id: client.id, revision: None };
    let rule = world.broken_rule(delete.clone()).await;
    assert_eq!(rule, BrokenRule::Referenced { by: "provisioning keys" });
    world.apply(vec![Change::DeleteKey { customer, id: key.id, revision: None, revoke: None }, delete]).await;
}

pub async fn actors_are_named_within_their_customer_and_the_service(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let customer = tenant.customer.id;
    let owner = administrator(&world, CustomerId::SERVICE, "Root").await;
    let ada = administrator(&world, customer, "ada").await;
    let gone = administrator(&world, customer, "gone").await;
    let stranger = administrator(&world, other.customer.id, "eve").await;
    let client = rows::api_client(world.id(), customer, "Terraform", "tf-1");
    let program = rows::api_client(world.id(), CustomerId::SERVICE, "Backup", "b-1");
    let foreign = rows::api_client(world.id(), other.customer.id, "Foreign", "f-1");
    let insert = |row: &muster::domain::ApiClient| Change::InsertApiClient(row.clone());
    world.apply(vec![insert(&client), insert(&program), insert(&foreign), delete(&gone, None)]).await;

    let ids = [owner.id.raw(), ada.id.raw(), gone.id.raw(), stranger.id.raw()];
    let ids = [&ids[..], &[client.id.raw(), program.id.raw(), foreign.id.raw(), ada.id.raw(), 1]].concat();
    let names = async |customer| {
        let names = world.store.find_actor_names(customer, &ids).await.unwrap();
        let mut names: Vec<_> = names.into_iter().map(|(id, name)| (id, name.to_string())).collect();
        names.sort();
        names
    };
    let pair = |id: u64, name: &str| (id, name.to_owned());
    let (root, backup) = (pair(owner.id.raw(), "Root"), pair(program.id.raw(), "Backup"));
    let (ada, terraform) = (pair(ada.id.raw(), "ada"), pair(client.id.raw(), "Terraform"));
    assert_eq!(names(customer).await, [root.clone(), ada, terraform, backup.clone()]);
    assert_eq!(names(CustomerId::SERVICE).await, [root, backup]);
    assert!(world.store.find_actor_names(customer, &[]).await.unwrap().is_empty());
}

pub async fn a_session_begins_with_the_password_that_was_checked(world: World) {
    let owner = administrator(&world, CustomerId::SERVICE, "owner").await;
    let feed = world.store.last_change().await.unwrap();
    let begun = session(&owner, "s-1", NOW);
    world.apply(vec![insert(&begun)]).await;
    assert_eq!(world.store.find_session("s-1").await.unwrap(), Some(begun));
    let noted = stored(&world, &owner).await;
    assert_eq!((noted.last_sign_in_at, noted.revision), (Some(NOW), Revision::FIRST));
    assert_eq!(world.store.last_change().await.unwrap(), feed, "sessions are not announced");

    world.apply(vec![Change::UpdateAdministrator(owner.clone())]).await;
    let late = session(&owner, "s-2", NOW);
    assert_eq!(world.broken_rule(insert(&late)).await, BrokenRule::Outdated { found: Revision(2) });
    let nobody = rows::administrator(world.id(), CustomerId::SERVICE, "nobody");
    assert_eq!(world.broken_rule(insert(&session(&nobody, "s-3", NOW))).await, BrokenRule::NotFound);
    for id in ["s-2", "s-3", "S-1", ""] {
        assert_eq!(world.store.find_session(id).await.unwrap(), None, "{id:?}");
    }
}

pub async fn sessions_end_one_by_one_or_all_at_once(world: World) {
    let tenant = world.tenant().await;
    let (ada, eve) = (
        administrator(&world, tenant.customer.id, "ada").await,
        administrator(&world, tenant.customer.id, "eve").await,
    );
    let at = |seconds| NOW.saturating_add(Duration::from_secs(seconds));
    for (row, id, from) in [(&ada, "a-1", 0), (&ada, "a-2", 1), (&ada, "a-3", 2), (&eve, "e-1", 3)] {
        world.apply(vec![insert(&session(row, id, at(from)))]).await;
    }
    let live = async |row: &Administrator, now| {
        let page = world.store.list_sessions(row.customer_id, row.id, now, PageRequest::first(10)).await.unwrap();
        assert_eq!(page.total, page.rows.len() as u64);
        page.rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(live(&ada, at(9)).await, ["a-3", "a-2", "a-1"], "newest first");
    assert_eq!(live(&ada, at(3_600)).await, ["a-3", "a-2"], "one has expired");
    let one = PageRequest { offset: 1, limit: 1 };
    let page = world.store.list_sessions(ada.customer_id, ada.id, at(9), one).await.unwrap();
    assert_eq!((page.total, page.rows[0].id.as_str()), (3, "a-2"));

    let feed = world.store.last_change().await.unwrap();
    let end = |seconds| Change::EndSession { session: session(&ada, "a-2", at(1)), at: at(seconds) };
    world.apply(vec![end(10), end(20)]).await;
    let ended = world.store.find_session("a-2").await.unwrap().unwrap();
    assert_eq!(ended.ended_at, Some(at(10)), "from the first time");
    assert_eq!(live(&ada, at(20)).await, ["a-3", "a-1"]);
    let all = Change::EndSessionsOf { customer: ada.customer_id, administrator: ada.id, at: at(30) };
    world.apply(vec![all]).await;
    assert_eq!(live(&ada, at(30)).await, [""; 0]);
    assert_eq!(live(&eve, at(30)).await, ["e-1"], "another's go on");
    world.apply(vec![Change::EndSessionsOfAll { at: at(40) }]).await;
    assert_eq!(live(&eve, at(40)).await, [""; 0]);
    assert_eq!(world.store.find_session("a-2").await.unwrap().unwrap().ended_at, Some(at(10)));
    assert_eq!(world.store.last_change().await.unwrap(), feed);
}

pub async fn expired_sessions_are_swept_and_signed_out_tokens_kept(world: World) {
    let owner = administrator(&world, CustomerId::SERVICE, "owner").await;
    world.apply(vec![insert(&session(&owner, "old", NOW))]).await;
    // An API client's token has no row before it is signed out.
    let token = SessionRecord { administrator_id: None, remote_address: None, ..session(&owner, "token", NOW) };
    let end = |seconds| NOW.saturating_add(Duration::from_secs(seconds));
    world.apply(vec![Change::EndSession { session: token.clone(), at: end(5) }]).await;
    let kept = world.store.find_session("token").await.unwrap();
    assert_eq!(kept, Some(SessionRecord { ended_at: Some(end(5)), ..token }));

    world.apply(vec![insert(&session(&owner, "new", end(1)))]).await;
    for (seconds, left) in [(3_599, ["old", "token", "new"].as_slice()), (3_600, &["new"]), (3_601, &[])] {
        world.clock.set(end(seconds));
        world.store.sweep().await.unwrap();
        for id in ["old", "token", "new"] {
            let is_there = world.store.find_session(id).await.unwrap().is_some();
            assert_eq!(is_there, left.contains(&id), "{id} after {seconds} s");
        }
    }
}
