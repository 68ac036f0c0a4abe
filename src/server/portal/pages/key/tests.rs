//! A key's page and what is done from it, through the handlers.

use hyper::StatusCode;

use super::*;
use crate::domain::Kind;
use crate::server::portal::tests::{Desk, Seen};

const KIND: Kind = Kind::AppConnector;

/// A key of its own group, and where its page is.
async fn key(desk: &Desk, more: KeyInput) -> (KeyView, String) {
    let group = desk.group(KIND, "HQ").await;
    let made = desk.key_with(KIND, group, "eu-fra2", more).await;
    let path = format!("/app-connector/keys/{}", made.key.id);
    (made, path)
}

fn view_off() -> KeyInput {
    KeyInput { exportable: Input::Given(false), ..KeyInput::default() }
}

fn string(made: &KeyView) -> &str {
    made.string.as_ref().unwrap().expose()
}

fn assert_holds_no_string(seen: &Seen, made: &KeyView) {
    let string = string(made);
    assert!(!seen.body.contains(&string[string.len() - 8..]), "{}", seen.body);
}

#[tokio::test]
async fn a_new_key_has_a_page_without_its_string() {
    let desk = Desk::new().await;
    let description = "<script>alert(1)</script> & more";
    let more = KeyInput {
        description: Input::Given(description.into()),
        addresses: Input::Given(vec!["203.0.113.0/24".into(), "2001:db8::/32".into()]),
        ..KeyInput::default()
    };
    let (made, path) = key(&desk, more).await;
    let seen = desk.get(&path).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert_holds_no_string(&seen, &made);
    assert!(!seen.body.contains("<script>alert"), "hostile text stays text");
    let text = seen.text();
    for part in ["Active", "0 of 10", "10 left.", "Never", "No device has used this key yet.", "203.0.113.0/24"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in ["3, bootstrap", &made.key.key_id, &desk.fixture.first.username, "No device with this key was refused."]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(desk.get("/app-connector/keys/12345").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        desk.get(&path.replace("app-connector", "machine")).await.status,
        StatusCode::NOT_FOUND,
        "of another kind"
    );
}

#[tokio::test]
async fn the_string_is_shown_in_groups_that_are_copied_without_white_space() {
    let desk = Desk::new().await;
    let (made, path) = key(&desk, KeyInput::default()).await;
    for button in ["/copy", "/show"] {
        let seen = desk.post(&format!("{path}{button}"), "").await;
        assert_eq!(seen.header("cache-control"), "", "the door says no-store on all that does not say otherwise");
        let text = seen.text();
        assert!(text.contains(string(&made)), "{button}: {text}");
        let end = &string(&made)[string(&made).len() - 4..];
        assert!(text.contains(&format!("96-character secret, ends in {end}")), "{text}");
        assert!(text.contains("This key is a secret."), "{text}");
    }
    assert_holds_no_string(&desk.get(&path).await, &made);
}

#[tokio::test]
async fn our_script_copies_text_and_a_file_has_one_line() {
    let desk = Desk::new().await;
    let (made, path) = key(&desk, KeyInput::default()).await;
    let copied = desk.fetch(&format!("{path}/copy"), "").await;
    assert_eq!(copied.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(copied.page(), string(&made));
    let file = desk.post(&format!("{path}/download"), "").await;
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"eu-fra2.txt\"");
    assert_eq!(file.page(), format!("{}\n", string(&made)));
}

#[tokio::test]
async fn a_string_that_cannot_be_had_is_refused_with_what_would_help() {
    let mut desk = Desk::new().await;
    let (made, path) = key(&desk, view_off()).await;
    for button in ["/copy", "/show", "/download"] {
        let seen = desk.post(&format!("{path}{button}"), "").await;
        assert_eq!(seen.status, StatusCode::CONFLICT, "{button}");
        assert_holds_no_string(&seen, &made);
        assert!(seen.text().contains("Not in your credential vault? Make a new key"), "{}", seen.text());
    }
    assert_eq!(desk.fetch(&format!("{path}/copy"), "").await.status, StatusCode::CONFLICT);
    desk.become_role(Role::Auditor);
    for button in ["/copy", "/show", "/download"] {
        let seen = desk.post(&format!("{path}{button}"), "").await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{button}");
        assert!(seen.text().contains("Auditors do not see key strings. Ask an operator."), "{}", seen.text());
    }
}

#[tokio::test]
async fn an_auditor_reads_everything_and_is_offered_nothing() {
    let mut desk = Desk::new().await;
    let (_, path) = key(&desk, KeyInput::default()).await;
    desk.become_role(Role::Auditor);
    let page = desk.get(&path).await.page();
    for offer in ["/edit", "/rotate", "/disable", "/delete", "/copy", "/show", "/download", "/check\" class=\"btn"] {
        assert!(!page.contains(&format!("{path}{offer}")), "{offer}");
    }
    for part in ["/uses", "/refusals"] {
        desk.get(&format!("{path}{part}")).await.page();
    }
    for part in ["/edit", "/rotate", "/delete"] {
        assert_eq!(desk.get(&format!("{path}{part}")).await.status, StatusCode::FORBIDDEN, "{part}");
    }
    for part in ["/enable", "/disable"] {
        assert_eq!(desk.post(&format!("{path}{part}"), "").await.status, StatusCode::FORBIDDEN, "{part}");
    }
}

#[tokio::test]
async fn a_managed_key_is_seen_and_changed_elsewhere() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    let made = desk.managed_key(KIND, group, "managed", "Terraform prod").await;
    let path = format!("/app-connector/keys/{}", made.key.id);
    let page = desk.get(&path).await.page();
    assert!(page.contains("Managed by Terraform prod"));
    for offer in ["/edit", "/rotate", "/disable", "/delete"] {
        assert!(!page.contains(&format!("{path}{offer}")), "{offer}");
    }
    assert!(page.contains(&format!("{path}/copy")));
    for part in ["/edit", "/rotate", "/delete"] {
        let seen = desk.get(&format!("{path}{part}")).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{part}");
        assert!(seen.text().contains("This key is managed by Terraform prod. Change it there."), "{}", seen.text());
    }
    for part in ["/enable", "/disable", "/edit", "/rotate", "/delete"] {
        let seen = desk.post(&format!("{path}{part}"), "revision=1&confirm=managed").await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{part}");
    }
}

/// A form as the page sends it, with another maximum.
fn form(made: &KeyView, revision: u64, maximum: &str) -> String {
    let certificate = made.key.signing_certificate_id;
    format!("revision={revision}&name=eu-fra2&certificate={certificate}&exportable=on&enabled=on&maximum={maximum}")
}

#[tokio::test]
async fn an_edit_is_saved_and_says_the_new_value() {
    let desk = Desk::new().await;
    let (made, path) = key(&desk, KeyInput::default()).await;
    let edit = format!("{path}/edit");
    let page = desk.get(&edit).await.page();
    assert!(page.contains("name=\"revision\" value=\"1\"") && page.contains("name=\"maximum\" value=\"10\""));
    let saved = desk.post(&edit, &form(&made, 1, "5%2C000")).await;
    assert_eq!(saved.notice(), "eu-fra2 was saved. Maximum # of App Connectors is now 5,000.");
    assert_eq!(saved.header("location"), format!("/c/{}{path}", desk.customer()));
    let saved =
        desk.post(&edit, &form(&made, 2, "5000").replace("&exportable=on", "").replace("&enabled=on", "")).await;
    assert_eq!(saved.notice(), "eu-fra2 was saved. Status is now disabled. View or export is now off.");
    let page = desk.get(&edit).await.page();
    assert!(page.contains("name=\"exportable\" value=\"on\" disabled"), "it is never switched on again");
    assert!(page.contains("class=\"fold\" open"), "a status that is not the default is in sight");
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once_and_what_was_typed_stays() {
    let desk = Desk::new().await;
    let (made, path) = key(&desk, KeyInput::default()).await;
    desk.key(KIND, made.key.group_id, "taken").await;
    let wrong = form(&made, 1, "0").replace("name=eu-fra2", "name=eu%2Ffra2") + "&addresses=203.0.113.0%2F33";
    let seen = desk.post(&format!("{path}/edit"), &wrong).await;
    assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = seen.text();
    for sentence in [
        "A name cannot contain “/”. Try eu-fra2.",
        "The maximum is at least 1. To stop a key, disable it.",
        "Line 1: “203.0.113.0/33” is not a network.",
        "3 fields need other values",
    ] {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    assert!(
        seen.body.contains("value=\"eu/fra2\"") && seen.body.contains("203.0.113.0/33</textarea>"),
        "{}",
        seen.body
    );
    let seen = desk.post(&format!("{path}/edit"), &form(&made, 1, "10").replace("eu-fra2", "TAKEN")).await;
    assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
    let sentence = "Another App Connector key is called TAKEN; capitals do not count. Choose another name.";
    assert!(seen.text().contains(sentence), "{}", seen.text());
}

#[tokio::test]
async fn two_who_edit_at_once_are_shown_both_versions() {
    let desk = Desk::new().await;
    let (made, path) = key(&desk, KeyInput::default()).await;
    let edit = format!("{path}/edit");
    assert_eq!(desk.post(&edit, &form(&made, 1, "20")).await.status, StatusCode::SEE_OTHER);
    desk.fixture.advance(120);
    let seen = desk.post(&edit, &form(&made, 1, "30")).await;
    assert_eq!(seen.status, StatusCode::CONFLICT);
    let sentence =
        format!("{} changed this key 2 min ago. Compare both versions before you save.", desk.fixture.first.username);
    assert!(seen.text().contains(&sentence), "{}", seen.text());
    assert!(
        seen.body.contains("name=\"maximum\" value=\"30\"") && seen.body.contains("Now saved: 20"),
        "{}",
        seen.body
    );
    assert!(seen.body.contains("name=\"revision\" value=\"2\""), "saving again is meant");
    assert_eq!(seen.body.matches("Now saved").count(), 1, "what is alike is not compared");
}

#[tokio::test]
async fn a_key_is_deleted_once_its_name_is_typed() {
    let desk = Desk::new().await;
    let (_, path) = key(&desk, KeyInput::default()).await;
    let delete = format!("{path}/delete");
    let question = desk.get(&delete).await.text();
    for sentence in ["Delete eu-fra2?", "No App Connector came from this key.", "Type eu-fra2 to confirm"] {
        assert!(question.contains(sentence), "{sentence}: {question}");
    }
    let seen = desk.post(&delete, "confirm=eu-fra").await;
    assert_eq!(seen.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(seen.body.contains("value=\"eu-fra\""));
    desk.get(&path).await.page();
    let seen = desk.post(&delete, "confirm=eu-fra2").await;
    assert_eq!(seen.notice(), "eu-fra2 was deleted.");
    assert_eq!(desk.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.post(&delete, "confirm=eu-fra2").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_key_is_switched_off_and_on() {
    let desk = Desk::new().await;
    let (_, path) = key(&desk, KeyInput::default()).await;
    let done = desk.post(&format!("{path}/disable"), "").await;
    assert_eq!(done.notice(), "eu-fra2 is disabled. No device enrolls with it.");
    let page = desk.get(&path).await.page();
    assert!(page.contains(&format!("{path}/enable\"")) && !page.contains(&format!("{path}/disable\"")));
    assert_eq!(desk.post(&format!("{path}/enable"), "").await.notice(), "eu-fra2 is enabled.");
    assert!(desk.get(&path).await.text().contains("Active"));
}

#[tokio::test]
async fn a_rotation_leads_to_the_successor_and_both_name_each_other() {
    let desk = Desk::new().await;
    let (_, path) = key(&desk, KeyInput::default()).await;
    let rotate = format!("{path}/rotate");
    assert!(desk.get(&rotate).await.text().contains("Left empty: eu-fra2-2, or the next number that is free."));
    let wrong = desk.post(&rotate, "successor=a%2Fb").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("A name cannot contain “/”. Try a-b."), "{}", wrong.text());

    let done = desk.post(&rotate, "successor=").await;
    assert!(done.notice().starts_with("eu-fra2-2 follows eu-fra2."), "{}", done.notice());
    let successor = done.header("location").to_owned();
    let page = desk.get(&path).await.page();
    assert!(page.contains("Rotated to") && page.contains(&successor));
    assert!(!page.contains(&format!("{path}/rotate")), "one successor is enough");
    let below = successor.strip_prefix(&format!("/c/{}", desk.customer())).unwrap();
    let page = desk.get(below).await.page();
    assert!(page.contains("Rotated from") && page.contains(&path));
    assert_eq!(desk.post(&rotate, "").await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_successor_whose_string_is_not_kept_shows_it_at_once() {
    let desk = Desk::new().await;
    let (made, path) = key(&desk, view_off()).await;
    let seen = desk.post(&format!("{path}/rotate"), "").await;
    let text = seen.text();
    assert_eq!(seen.status, StatusCode::OK);
    assert!(text.contains("This is the only time the key is shown."), "{text}");
    assert!(text.contains("96-character secret, ends in "), "{text}");
    assert!(text.contains("eu-fra2-2"), "{text}");
    assert_holds_no_string(&seen, &made);
}

#[tokio::test]
async fn the_ledger_and_the_refusals_have_pages_of_their_own() {
    let desk = Desk::new().await;
    let (_, path) = key(&desk, KeyInput::default()).await;
    for query in ["", "?page=0", "?page=2", "?page=18446744073709551615", "?page=%22%3E%3Cscript%3E"] {
        let page = desk.get(&format!("{path}/uses{query}")).await.page();
        assert!(page.contains("There is no entry here.") && !page.contains("<script>"), "{query}");
    }
    assert!(desk.get(&format!("{path}/refusals")).await.text().contains("No device with this key was refused."));
}

#[tokio::test]
async fn a_maximum_below_the_count_is_warned_of() {
    let desk = Desk::new().await;
    let (before, _) = key(&desk, KeyInput::default()).await;
    let mut after = desk.key(KIND, before.key.group_id, "other").await;
    after.key = before.key.clone();
    after.key.usage.uses = 87;
    after.key.maximum = std::num::NonZeroU32::new(50);
    assert_eq!(
        edit::notice(&before, &after),
        "was saved. Maximum # of App Connectors is now 50. 87 uses are taken already. With a maximum of 50 the key \
         is exhausted at once."
    );
    assert!(edit::below_count(&after.key).unwrap().starts_with("87 uses are taken already."));
    assert_eq!(edit::below_count(&before.key), None);
    let stats = Stats::new(&after, &Related::default(), desk.fixture.clock().now());
    assert_eq!(stats.left, "37 more than the maximum.");
}

#[tokio::test]
async fn a_checked_string_is_told_apart_and_never_comes_back() {
    let mut desk = Desk::new().await;
    let (made, path) = key(&desk, KeyInput::default()).await;
    let encoded = |text: &str| format!("key={}", text.replace('|', "%7C").replace('+', "%2B").replace('/', "%2F"));
    let whole = encoded(string(&made));
    let seen = desk.post("/check", &whole).await;
    assert_holds_no_string(&seen, &made);
    assert!(seen.text().contains("eu-fra2; would be accepted now."), "{}", seen.text());
    assert!(seen.body.contains(&path));

    desk.post(&format!("{path}/disable"), "").await;
    let text = desk.post("/check", &whole).await.text();
    assert!(text.contains("eu-fra2; would be refused now with key-disabled."), "{text}");
    assert!(text.contains("The key is disabled."), "{text}");

    let cut = encoded(&string(&made)[..string(&made).len() - 5]);
    let seen = desk.post("/check", &cut).await;
    assert!(
        seen.text().contains("Damaged: the last characters are missing (91 of 96). Copy it again."),
        "{}",
        seen.text()
    );
    let unknown = encoded(&format!("1|example.com|{}", "A".repeat(48)));
    assert!(desk.post("/check", &unknown).await.text().contains("Unknown here."));
    assert_eq!(desk.post("/check", "key=+%0A").await.status, StatusCode::UNPROCESSABLE_ENTITY);

    desk.become_role(Role::Auditor);
    assert!(desk.get("/check").await.text().contains("Auditors do not see key strings."));
    assert_eq!(desk.post("/check", &whole).await.status, StatusCode::FORBIDDEN);
}
