//! What administrators keep for themselves.

use super::*;
use crate::domain::preference::SAVED_FILTERS_OF_PAGE_MAX;
use crate::id::AdministratorId;

impl Fixture {
    /// An administrator of this name, as its requests come.
    async fn own(&self, username: &str, role: Role) -> Actor {
        let id: AdministratorId = self.administrator(username, role).await;
        let identity = ActorIdentity::Administrator { id, username: username.into() };
        Actor { identity, ..self.actor(role) }
    }
}

#[tokio::test]
async fn preferences_are_ones_own_and_nobody_elses() {
    let fixture = Fixture::new().await;
    let management = &fixture.management;
    let (ada, eve) = (fixture.own("ada", Role::Auditor).await, fixture.own("eve", Role::Admin).await);
    let (before, events) = (fixture.store.last_change().await.unwrap(), fixture.audit(fixture.customer()).await.len());
    let value = "columns=name,uses&sort=-uses&rows=50";
    management.set_preference(&ada, "app-connector/keys", Some(value)).await.unwrap();
    management.set_preference(&ada, "theme", Some("dark")).await.unwrap();
    management.set_preference(&eve, "theme", Some("light")).await.unwrap();
    let kept = management.preferences(&ada).await.unwrap();
    assert_eq!((kept.len(), kept["app-connector/keys"].as_str(), kept["theme"].as_str()), (2, value, "dark"));

    management.set_preference(&ada, "theme", None).await.unwrap();
    assert_eq!(management.preferences(&ada).await.unwrap().len(), 1);
    assert_eq!(management.preferences(&eve).await.unwrap()["theme"].as_str(), "light");
    let faulty = management.set_preference(&ada, "No page", Some("a b")).await;
    assert_eq!(faults(faulty), [Field::Page, Field::Query]);
    for n in 0..199 {
        management.set_preference(&ada, &format!("page-{n}"), Some("")).await.unwrap();
    }
    assert_eq!(faults(management.set_preference(&ada, "theme", Some("dark")).await), [Field::Page]);

    let client = fixture.actor(Role::Admin);
    assert!(management.preferences(&client).await.unwrap().is_empty());
    let refused = management.set_preference(&client, "theme", Some("dark")).await;
    assert!(matches!(refused, Err(Error::NobodyMay { .. })));
    assert_eq!(fixture.store.last_change().await.unwrap(), before);
    assert_eq!(fixture.audit(fixture.customer()).await.len(), events, "nothing of it is written down");

    let id = ada.administrator_id().unwrap();
    management.delete_administrator(&eve, fixture.customer(), id, None).await.unwrap();
    assert!(management.preferences(&ada).await.unwrap().is_empty());
    let late = management.set_preference(&ada, "theme", Some("dark")).await;
    assert!(matches!(late, Err(Error::Vanished { .. })), "a request that outlived its administrator");
}

#[tokio::test]
async fn saved_filters_are_ones_own_and_nobody_elses() {
    let fixture = Fixture::new().await;
    let management = &fixture.management;
    let (ada, eve) = (fixture.own("ada", Role::Auditor).await, fixture.own("eve", Role::Operator).await);
    let names = async |actor: &Actor| {
        let rows = management.list_saved_filters(actor, "keys").await.unwrap();
        rows.into_iter().map(|row| (row.name.to_string(), row.query.to_string())).collect::<Vec<_>>()
    };
    let pair = |name: &str, query: &str| (name.to_owned(), query.to_owned());
    management.save_filter(&ada, "keys", "Läuft ab", "state=expired").await.unwrap();
    management.save_filter(&ada, "keys", "berlin", "name=a").await.unwrap();
    management.save_filter(&ada, "keys", "Berlin", "name=b").await.unwrap();
    assert_eq!(names(&ada).await, [pair("Berlin", "name=b"), pair("Läuft ab", "state=expired")]);
    assert_eq!(names(&eve).await, []);

    let taken = management.rename_saved_filter(&ada, "keys", "Läuft ab", "BERLIN").await;
    assert!(matches!(taken, Err(Error::DuplicateName { object: Object::SavedFilter, name }) if name == "BERLIN"));
    management.rename_saved_filter(&ada, "keys", "läuft AB", "soon").await.unwrap();
    for (actor, name) in [(&eve, "soon"), (&ada, "Läuft ab"), (&ada, "\t")] {
        let renamed = management.rename_saved_filter(actor, "keys", name, "other").await;
        assert!(matches!(renamed, Err(Error::NotFound { object: Object::SavedFilter, id }) if id == name));
        let deleted = management.delete_saved_filter(actor, "keys", name).await;
        assert!(matches!(deleted, Err(Error::NotFound { object: Object::SavedFilter, id }) if id == name));
    }
    management.delete_saved_filter(&ada, "keys", "soon").await.unwrap();
    assert_eq!(names(&ada).await, [pair("Berlin", "name=b")]);

    let faulty = management.save_filter(&ada, "Keys", "", "a b").await;
    assert_eq!(faults(faulty), [Field::Page, Field::Name, Field::Query]);
    assert_eq!(faults(management.rename_saved_filter(&ada, "keys", "Berlin", " ").await), [Field::Name]);
    for n in 1..SAVED_FILTERS_OF_PAGE_MAX {
        management.save_filter(&ada, "keys", &format!("f {n}"), "").await.unwrap();
    }
    assert_eq!(faults(management.save_filter(&ada, "keys", "one more", "").await), [Field::Name]);
    let client = fixture.actor(Role::Admin);
    assert!(management.list_saved_filters(&client, "keys").await.unwrap().is_empty());
    let refused = management.save_filter(&client, "keys", "a", "").await;
    assert!(matches!(refused, Err(Error::NobodyMay { .. })));
}
