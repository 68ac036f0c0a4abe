//! A store that fails after something was done, and before it is answered.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::visitor::{NOTICE, Visitor};
use crate::support::Service;

/// From the next change of `table` on, the names of customers cannot be read, which every page does.
fn break_after_a_change_of(service: &Service, table: &str, event: &str) {
    let database = rusqlite::Connection::open(service.data_dir().join("muster.db")).expect("the database");
    database.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
    let trigger = format!("CREATE TRIGGER broken AFTER {event} ON {table} BEGIN UPDATE customers SET name = ''; END");
    database.execute_batch(&trigger).expect("a trigger");
}

/// The subject of the notice that was left, a line break, and its sentence.
fn notice(visitor: &Visitor) -> String {
    let notice = URL_SAFE_NO_PAD.decode(&visitor.cookies[NOTICE]).expect("base64url");
    String::from_utf8(notice).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_made_is_shown_whatever_happens_then() {
    let of_customer = |path: &'static str| move |customer: &str| format!("/c/{customer}{path}");
    let add = [("username", "ada"), ("name", "CI"), ("role", "operator"), ("enabled", "on")];
    for (table, path, secret) in [
        ("api_clients", of_customer("/api-clients/add"), "id=\"client-secret\">"),
        ("administrators", of_customer("/administrators/add"), "id=\"password\">"),
    ] {
        let service = Service::start();
        let mut visitor = Visitor::owner(&service).await;
        break_after_a_change_of(&service, table, "INSERT");
        let answer = visitor.post(&path(&visitor.customer), &add).await;
        assert_eq!((answer.status, answer.body.contains(secret)), (200, true), "{table}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_string_of_a_successor_that_is_kept_nowhere_is_shown_whatever_happens_then() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    service.create_key("machine", "HQ", "one", &["--max-uses", "5", "--no-view"]);
    let id = service.key("machine", "one")["id"].as_str().expect("an id").to_owned();
    let mut visitor = Visitor::owner(&service).await;
    break_after_a_change_of(&service, "provisioning_keys", "INSERT");
    let answer = visitor.post(&format!("/c/{}/machine/keys/{id}/rotate", visitor.customer), &[]).await;
    assert_eq!((answer.status, answer.body.contains("only time")), (200, true), "{}", answer.body);
    assert!(answer.body.contains("3|localhost"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_groups_that_were_ticked_it_is_told_which_stayed_as_they_were() {
    let service = Service::start();
    let ids: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            service.create_group("machine", name);
            let list = service.cli_ok(&["group", "list", "--json", "--kind", "machine"]);
            let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
            let rows = list.as_array().or_else(|| list["list"].as_array()).expect("a list");
            rows.iter().find(|row| row["name"] == name).expect("it was made")["id"].as_str().expect("an id").to_owned()
        })
        .into();
    let mut visitor = Visitor::owner(&service).await;
    let database = rusqlite::Connection::open(service.data_dir().join("muster.db")).expect("the database");
    let trigger =
        "CREATE TRIGGER broken BEFORE UPDATE ON groups WHEN old.name = 'b' BEGIN SELECT raise(ABORT, 'no'); END";
    database.execute_batch(trigger).expect("a trigger");
    let ids = ids.iter().map(|id| ("id", id.as_str()));
    let fields: Vec<_> = [("do", "disable")].into_iter().chain(ids).collect();
    let answer = visitor.post(&format!("/c/{}/machine/groups/bulk", visitor.customer), &fields).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let notice = notice(&visitor);
    assert_eq!(notice, "\n1 group disabled, 2 are left as before, because the store did not answer.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_was_done_is_told_as_done_whatever_can_be_read_then() {
    let service = Service::start();
    let url = ("url", "https://hooks.example.com/");
    service.cli_ok(&["webhook", "create", "--name", "one", "--url", url.1, "--event", "key.expiring"]);
    service.cli_ok(&["api-client", "create", "--name", "one", "--role", "operator"]);
    let mut visitor = Visitor::owner(&service).await;
    let database = rusqlite::Connection::open(service.data_dir().join("muster.db")).expect("the database");
    database.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
    for (table, place, more) in [
        ("webhooks", "webhooks", [url, ("key.expiring", "on")]),
        ("api_clients", "api-clients", [("role", "auditor"), ("managing", "")]),
    ] {
        let id: i64 = database
            .query_row(&format!("SELECT id FROM {table} WHERE name = 'one'"), [], |row| row.get(0))
            .expect("it was made");
        let trigger = format!(
            "CREATE TRIGGER broken_{table} AFTER UPDATE ON {table} BEGIN
                 UPDATE {table} SET name = '' WHERE id = new.id; END"
        );
        database.execute_batch(&trigger).expect("a trigger");
        let fields: Vec<_> = [("revision", "1"), ("name", "two"), ("enabled", "on")].into_iter().chain(more).collect();
        let path = format!("/c/{}/{place}/{id}/edit", visitor.customer);
        let answer = visitor.post(&path, &fields).await;
        assert_eq!((answer.status, &*notice(&visitor)), (303, "two\nwas saved."), "{table}: {}", answer.body);
    }
}
