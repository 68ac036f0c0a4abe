//! The pages of a key whose uses devices take: without a browser, against the real binary.

use super::visitor::{Visitor, copied};
use crate::support::{Device, Service};

const KIND: &str = "app-connector";

/// Where a key's page is.
fn page_of(visitor: &Visitor, service: &Service, name: &str) -> String {
    let id = service.key(KIND, name)["id"].as_str().expect("an id").to_owned();
    format!("/c/{}/{KIND}/keys/{id}", visitor.customer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_tells_what_devices_did_with_it() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "eu-fra2", &["--max-uses", "2"]);
    for device in ["one", "two"] {
        assert_eq!(Device::new(device).enroll(&service.endpoint(), &key).await.status, 200);
    }
    assert_eq!(Device::new("three").enroll(&service.endpoint(), &key).await.code(), "key-exhausted");

    let mut visitor = Visitor::owner(&service).await;
    let page = page_of(&visitor, &service, "eu-fra2");
    let seen = refused_on(&mut visitor, &page).await;
    for part in ["Exhausted", "Maximum reached.", "eu-fra2-1", "eu-fra2-2", "All 2 entries", "key-exhausted"] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    assert!(seen.contains("All 2 uses are taken"), "the inside reason: {seen}");
    let uses = visitor.get(&format!("{page}/uses")).await.body;
    assert!(uses.contains("<b>1–2</b> of <b>2 entries</b>") && uses.contains("127.0.0.1"), "{uses}");
    let refusals = visitor.get(&format!("{page}/refusals")).await.body;
    assert!(refusals.contains("key-exhausted"), "{refusals}");
    let list = visitor.get(&format!("/c/{}/{KIND}/keys?open=all", visitor.customer)).await.body;
    for part in ["2 App Connectors", "just now", "eu-fra2-2</a>", "edit the maximum"] {
        assert!(list.contains(part), "{part}: {list}");
    }
}

/// The page, once the refusal is on it: refusals are counted outside of enrollments.
async fn refused_on(visitor: &mut Visitor, page: &str) -> String {
    for _ in 0..600 {
        let seen = visitor.get(page).await;
        assert_eq!(seen.status, 200, "{}", seen.body);
        if seen.body.contains("key-exhausted") {
            return seen.body;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the refusal is not on {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_key_is_refused_until_its_maximum_is_raised() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "short", &["--max-uses", "1"]);
    assert_eq!(Device::new("one").enroll(&service.endpoint(), &key).await.status, 200);
    let mut visitor = Visitor::owner(&service).await;
    let page = page_of(&visitor, &service, "short");
    for button in ["copy", "show", "download"] {
        let refused = visitor.post(&format!("{page}/{button}"), &[]).await;
        assert_eq!(refused.status, 409, "{button}");
        assert!(refused.body.contains("edit the maximum") && refused.body.contains(&format!("{page}/edit#maximum")));
        assert!(!refused.body.contains(&key[key.len() - 8..]), "{button}");
    }

    let certificate = service.key(KIND, "short")["enrollmentCertId"].as_str().expect("an id").to_owned();
    let form = |maximum| {
        [
            ("revision", "1"),
            ("name", "short"),
            ("certificate", certificate.as_str()),
            ("exportable", "on"),
            ("enabled", "on"),
            ("maximum", maximum),
        ]
    };
    let saved = visitor.post(&format!("{page}/edit"), &form("2")).await;
    assert_eq!((saved.status, saved.header("location")), (303, Some(page.as_str())), "{}", saved.body);
    let shown = visitor.post(&format!("{page}/copy"), &[]).await;
    assert_eq!((shown.status, shown.header("cache-control")), (200, Some("no-store")));
    assert_eq!(copied(&shown.body, "id=\"secret\""), key, "nothing stands between its parts");
    let file = visitor.post(&format!("{page}/download"), &[]).await;
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"short.txt\""));
    assert_eq!((file.header("cache-control"), &file.body), (Some("no-store"), &format!("{key}\n")));
    assert_eq!(Device::new("two").enroll(&service.endpoint(), &key).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_takes_its_components_along_when_asked() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "doomed", &["--max-uses", "5"]);
    assert_eq!(Device::new("one").enroll(&service.endpoint(), &key).await.status, 200);
    let mut visitor = Visitor::owner(&service).await;
    let page = page_of(&visitor, &service, "doomed");
    let question = visitor.get(&format!("{page}/delete")).await.body;
    assert!(question.contains("1 App Connector came from this key; it keeps working."), "{question}");
    assert!(question.contains("Revoke it too"), "{question}");
    let done = visitor.post(&format!("{page}/delete"), &[("confirm", "doomed"), ("revoke", "on")]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let components = service.cli_ok(&["component", "list", "--json", "--kind", KIND]);
    assert!(components.contains("revoked"), "{components}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_all_of_it_and_gets_no_string() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "seen", &["--max-uses", "5"]);
    let mut visitor = Visitor::with_role(&service, "auditor").await;
    let page = page_of(&visitor, &service, "seen");
    let list = format!("/c/{}/{KIND}/keys", visitor.customer);
    for path in [&list, &page, &format!("{page}/uses"), &format!("{page}/refusals")] {
        let seen = visitor.get(path).await;
        assert_eq!(seen.status, 200, "{path}");
        assert!(!seen.body.contains(&key[key.len() - 8..]), "{path}");
    }
    for button in ["copy", "show", "download"] {
        let refused = visitor.post(&format!("{page}/{button}"), &[]).await;
        assert_eq!(refused.status, 403, "{button}");
        assert!(refused.body.contains("Auditors do not see key strings. Ask an operator."), "{button}");
        assert!(!refused.body.contains(&key[key.len() - 8..]), "{button}");
    }
}
