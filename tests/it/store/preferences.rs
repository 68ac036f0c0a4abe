//! What administrators keep for themselves: preferences and saved filters.

use std::sync::Arc;

use muster::domain::preference::{PREFERENCES_MAX, SAVED_FILTERS_MAX, SAVED_FILTERS_OF_PAGE_MAX};
use muster::domain::{Administrator, FilterName, PageName, Preference, QueryText, SavedFilter};
use muster::id::CustomerId;
use muster::store::{BrokenRule, Change, ChangeError};

use super::world::World;
use crate::support::rows;

async fn administrator(world: &World, customer: CustomerId, username: &str) -> Administrator {
    let row = rows::administrator(world.id(), customer, username);
    world.apply(vec![Change::InsertAdministrator(row.clone())]).await;
    row
}

fn page(text: &str) -> PageName {
    PageName::new(text).unwrap()
}

fn filter_name(text: &str) -> FilterName {
    FilterName::new(text).unwrap()
}

fn query(text: &str) -> QueryText {
    QueryText::new(text).unwrap()
}

fn preference(of: &Administrator, on: &str, value: &str) -> Preference {
    let (customer_id, administrator_id) = (of.customer_id, of.id);
    Preference { customer_id, administrator_id, page: page(on), value: query(value) }
}

fn filter(of: &Administrator, on: &str, name: &str, value: &str) -> SavedFilter {
    let (customer_id, administrator_id) = (of.customer_id, of.id);
    SavedFilter { customer_id, administrator_id, page: page(on), name: filter_name(name), query: query(value) }
}

fn put(row: Preference) -> Change {
    Change::PutPreference(row)
}

fn save(row: SavedFilter) -> Change {
    Change::PutSavedFilter(row)
}

fn rename(of: &Administrator, on: &str, name: &str, new: &str) -> Change {
    let (customer, administrator) = (of.customer_id, of.id);
    Change::RenameSavedFilter {
        customer,
        administrator,
        page: page(on),
        name: filter_name(name),
        new: filter_name(new),
    }
}

fn delete(of: &Administrator, on: &str, name: &str) -> Change {
    let (customer, administrator) = (of.customer_id, of.id);
    Change::DeleteSavedFilter { customer, administrator, page: page(on), name: filter_name(name) }
}

impl World {
    async fn preferences(&self, of: &Administrator) -> Vec<Preference> {
        self.store.list_preferences(of.customer_id, of.id).await.unwrap()
    }

    async fn filters(&self, of: &Administrator, on: &str) -> Vec<SavedFilter> {
        self.store.list_saved_filters(of.customer_id, of.id, &page(on)).await.unwrap()
    }
}

pub async fn preferences_are_replaced_page_by_page(world: World) {
    let tenant = world.tenant().await;
    let (ada, eve) = (
        administrator(&world, tenant.customer.id, "ada").await,
        administrator(&world, tenant.customer.id, "eve").await,
    );
    let feed = world.store.last_change().await.unwrap();
    let (theme, keys) = (preference(&ada, "theme", "dark"), preference(&ada, "machine/keys", "rows=50"));
    world.apply(vec![put(theme.clone()), put(keys.clone()), put(preference(&eve, "theme", "light"))]).await;
    assert_eq!(world.preferences(&ada).await, [keys, theme.clone()], "in order of page");
    let replaced = preference(&ada, "machine/keys", "");
    world.apply(vec![put(replaced.clone())]).await;
    assert_eq!(world.preferences(&ada).await, [replaced.clone(), theme]);

    let (customer, administrator) = (ada.customer_id, ada.id);
    let forget = Change::DeletePreference { customer, administrator, page: page("theme") };
    world.apply(vec![forget.clone(), forget]).await;
    assert_eq!(world.preferences(&ada).await, std::slice::from_ref(&replaced));
    assert_eq!(world.preferences(&eve).await, [preference(&eve, "theme", "light")]);
    assert_eq!(world.store.last_change().await.unwrap(), feed, "nobody is told");

    let world = world.reopen().await;
    assert_eq!(world.preferences(&ada).await, [replaced]);
}

pub async fn saved_filters_have_a_name_each_on_their_page(world: World) {
    let tenant = world.tenant().await;
    let (ada, eve) = (
        administrator(&world, tenant.customer.id, "ada").await,
        administrator(&world, tenant.customer.id, "eve").await,
    );
    let feed = world.store.last_change().await.unwrap();
    let (soon, berlin) = (filter(&ada, "keys", "läuft ab", "state=expired"), filter(&ada, "keys", "Berlin", "name=B"));
    let elsewhere = filter(&ada, "groups", "Berlin", "name=C");
    let theirs = filter(&eve, "keys", "BERLIN", "name=D");
    let all = [&soon, &berlin, &elsewhere, &theirs].map(|row| save(row.clone()));
    world.apply(all.to_vec()).await;
    assert_eq!(world.filters(&ada, "keys").await, [berlin.clone(), soon.clone()], "in order of name");

    let again = filter(&ada, "keys", "bERLIN", "name=E");
    world.apply(vec![save(again.clone())]).await;
    assert_eq!(world.filters(&ada, "keys").await, [again, soon.clone()], "replaced, and spelled anew");
    assert_eq!(world.broken_rule(rename(&ada, "keys", "läuft ab", "berlin")).await, BrokenRule::DuplicateName);
    assert_eq!(world.broken_rule(rename(&ada, "keys", "Paris", "Rom")).await, BrokenRule::NotFound);
    world.apply(vec![rename(&ada, "keys", "BERLIN", "Berlin"), rename(&ada, "keys", "läuft ab", "A")]).await;
    let (soon, berlin) = (filter(&ada, "keys", "A", "state=expired"), filter(&ada, "keys", "Berlin", "name=E"));
    assert_eq!(world.filters(&ada, "keys").await, [soon, berlin.clone()]);

    world.apply(vec![delete(&ada, "keys", "a")]).await;
    assert_eq!(world.broken_rule(delete(&ada, "keys", "a")).await, BrokenRule::NotFound);
    assert_eq!(world.filters(&ada, "keys").await, [berlin]);
    assert_eq!(world.filters(&ada, "groups").await, [elsewhere]);
    assert_eq!(world.filters(&eve, "keys").await, [theirs]);
    assert_eq!(world.store.last_change().await.unwrap(), feed, "nobody is told");
}

pub async fn what_an_administrator_keeps_goes_with_it(world: World) {
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let ada = administrator(&world, tenant.customer.id, "ada").await;
    let eve = administrator(&world, tenant.customer.id, "eve").await;
    for of in [&ada, &eve] {
        world.apply(vec![put(preference(of, "theme", "dark")), save(filter(of, "keys", "one", "a=b"))]).await;
    }
    let gone = Change::DeleteAdministrator { customer: ada.customer_id, id: ada.id, revision: None };
    world.apply(vec![gone]).await;
    assert_eq!(world.preferences(&ada).await, []);
    assert_eq!(world.filters(&ada, "keys").await, []);
    assert_eq!((world.preferences(&eve).await.len(), world.filters(&eve, "keys").await.len()), (1, 1));

    let mut elsewhere = eve.clone();
    elsewhere.customer_id = other.customer.id;
    assert_eq!(world.preferences(&elsewhere).await, []);
    assert_eq!(world.filters(&elsewhere, "keys").await, []);
    assert_eq!(world.broken_rule(delete(&elsewhere, "keys", "one")).await, BrokenRule::NotFound);
    let unknown = BrokenRule::UnknownReference { what: "administrator" };
    for of in [&ada, &elsewhere] {
        assert_eq!(world.broken_rule(put(preference(of, "theme", "dark"))).await, unknown);
        assert_eq!(world.broken_rule(save(filter(of, "keys", "one", "a=b"))).await, unknown);
    }
}

pub async fn what_an_administrator_keeps_is_bounded(world: World) {
    let owner = administrator(&world, CustomerId::SERVICE, "owner").await;
    let preferences = |of| (0..of).map(|n| put(preference(&owner, &format!("page-{n}"), ""))).collect();
    world.apply(preferences(PREFERENCES_MAX)).await;
    let more = put(preference(&owner, "theme", "dark"));
    assert_eq!(world.broken_rule(more.clone()).await, BrokenRule::Full { limit: PREFERENCES_MAX });
    world.apply(vec![put(preference(&owner, "page-0", "rows=9"))]).await;
    assert_eq!(world.preferences(&owner).await.len(), PREFERENCES_MAX as usize);

    let of_page = |on: u32, of| -> Vec<_> {
        (0..of).map(|n| save(filter(&owner, &format!("page-{on}"), &format!("filter {n}"), ""))).collect()
    };
    world.apply(of_page(0, SAVED_FILTERS_OF_PAGE_MAX)).await;
    let more = save(filter(&owner, "page-0", "more", ""));
    assert_eq!(world.broken_rule(more).await, BrokenRule::Full { limit: SAVED_FILTERS_OF_PAGE_MAX });
    world.apply(vec![save(filter(&owner, "page-0", "FILTER 0", "a=b"))]).await;
    let pages = SAVED_FILTERS_MAX / SAVED_FILTERS_OF_PAGE_MAX;
    world.apply((1..pages).flat_map(|on| of_page(on, SAVED_FILTERS_OF_PAGE_MAX)).collect()).await;
    let more = save(filter(&owner, "one-more", "filter", ""));
    assert_eq!(world.broken_rule(more.clone()).await, BrokenRule::Full { limit: SAVED_FILTERS_MAX });
    world.apply(vec![delete(&owner, "page-3", "filter 7"), more]).await;

    // Of several who take the last place at once one has it.
    world.apply(vec![delete(&owner, "page-5", "filter 0")]).await;
    let (world, owner) = (Arc::new(world), Arc::new(owner));
    let racing: Vec<_> = (0..4)
        .map(|n| {
            let (world, owner) = (Arc::clone(&world), Arc::clone(&owner));
            tokio::spawn(
                async move { world.try_apply(vec![save(filter(&owner, "race", &format!("r {n}"), ""))]).await },
            )
        })
        .collect();
    let mut saved = 0;
    for one in racing {
        match one.await.unwrap() {
            Ok(_) => saved += 1,
            Err(ChangeError::Rule { rule: BrokenRule::Full { limit: SAVED_FILTERS_MAX }, .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(saved, 1);
}
