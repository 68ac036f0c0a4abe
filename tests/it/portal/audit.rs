//! The audit log as it is read and taken along.

use serde_json::json;

use super::visitor::Visitor;
use crate::api::support::Client;
use crate::support::Service;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_shows_what_was_before_and_after_and_leads_to_what_is_there() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    let path = format!("appConnectorGroup/{group}");
    client.edit(&path, &json!({ "name": "Head <b>office</b>".replace(['<', '>', '/'], "-") })).await;
    let mut visitor = Visitor::owner(&service).await;
    let log = format!("/c/{}/audit", client.customer());

    let page = visitor.get(&format!("{log}?object={group}&open=all")).await.body;
    assert!(page.contains("<b>2 events</b>"), "{page}");
    for part in [
        "<del><span class=\"vh\">Before: </span>HQ</del>",
        "<ins><span class=\"vh\">After: </span>Head -b-office--b-</ins>",
        "Object ID",
        &format!("href=\"/c/{}/app-connector/groups/{group}\"", client.customer()),
    ] {
        assert!(page.contains(part), "no {part}: {page}");
    }
    // What did not change is not told.
    assert_eq!(page.matches("Signing certificate id").count(), 1, "only where it was made: {page}");

    assert_eq!(client.delete(&path).await.status, 204);
    let page = visitor.get(&format!("{log}?object={group}&open=all")).await.body;
    assert!(page.contains("<b>3 events</b>") && page.contains("Deleted"), "{page}");
    assert!(!page.contains(&format!("app-connector/groups/{group}\"")), "it is gone: {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_searched() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("machineGroup", "HQ").await;
    let mut visitor = Visitor::owner(&service).await;
    let log = format!("/c/{}/audit", client.customer());
    let today = &visitor.get(&log).await.body;
    let (_, today) = today.split_once("<time datetime=\"").map_or(("", ""), |parts| parts);
    assert_eq!(today, "", "times of the list are text");
    for (query, count) in [
        (format!("object={group}"), "1 event"),
        ("name=h".to_owned(), "1 event"),
        ("action=sign-in".to_owned(), "1 event"),
        ("type=group&action=create".to_owned(), "1 event"),
        ("who=nobody".to_owned(), "0 events"),
        ("time=..2020-01-01".to_owned(), "0 events"),
        ("time=2020-01-01..".to_owned(), "10 events"),
        ("time=yesterday".to_owned(), "0 events"),
        ("number=9".to_owned(), "2 events"),
    ] {
        let page = visitor.get(&format!("{log}?{query}")).await.body;
        assert!(page.contains(&format!("<b>{count}</b>, 10 without filters")), "{query}: {page}");
    }
    let page = visitor.get(&format!("{log}?time=yesterday")).await.body;
    assert!(page.contains("The filter on Time (UTC) cannot be “yesterday”. Nothing matches it."), "{page}");
    // The service's own.
    let page = visitor.get("/c/0/audit?action=initialize").await.body;
    assert!(page.contains("<b>1 event</b>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_what_the_api_exports() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let exported = client.get("auditEvents/export").await.body;
    let mut visitor = Visitor::owner(&service).await;
    let log = format!("/c/{}/audit", client.customer());
    let page = visitor.get(&log).await.body;
    assert!(page.contains(&format!("href=\"{log}/export?after=0\"")), "{page}");
    let file = visitor.get(&format!("{log}/export?after=0")).await;
    assert_eq!((file.status, file.header("content-type")), (200, Some("application/x-ndjson")));
    let name = format!("attachment; filename=\"audit-{}-1-9.jsonl\"", client.customer());
    assert_eq!(file.header("content-disposition"), Some(&*name));
    assert_eq!(file.body, exported);
    let rest = visitor.get(&format!("{log}/export?after=8")).await;
    assert_eq!(Some(rest.body.trim_end()), exported.lines().last());
    assert_eq!(visitor.get(&format!("{log}/export?after=x")).await.status, 404);
    let pieces = visitor.get(&format!("{log}/export")).await;
    assert!(pieces.body.contains("Events 1–9"), "{}", pieces.body);
}
