//! One's own account: theme, password, sessions.

use super::visitor::{Visitor, encoded, hidden};
use crate::support::Service;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0";

async fn is_signed_in(visitor: &mut Visitor) -> bool {
    visitor.get("/account").await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_who_one_is_and_keeps_the_theme() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let customer = service.api_client()["customerId"].as_str().expect("an id").to_owned();
    let around = format!("/account?customer={customer}");
    // Somebody else's customer, or none, is one's own: the service.
    for (address, shown) in
        [("/account", "This service"), (&around, "Default"), ("/account?customer=x", "This service")]
    {
        let page = visitor.get(address).await;
        assert_eq!(page.status, 200, "{address}");
        let (username, _) = service.owner();
        for text in [&*username, "Owner", "All of this service", shown, "This session"] {
            assert!(page.body.contains(text), "no {text} on {address}: {}", page.body);
        }
    }
    let answer = visitor.post("/preferences/theme", &[("theme", "dark"), ("back", &around)]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some(&*around)));
    let mut elsewhere = Visitor::owner(&service).await;
    assert!(elsewhere.get("/account").await.body.contains("<html lang=\"en\" data-theme=\"dark\">"));
    assert_eq!(visitor.post("/preferences/theme", &[("theme", "")]).await.status, 303);
    assert!(elsewhere.get("/account").await.body.contains("<html lang=\"en\">"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_told_apart_and_ended() {
    let service = Service::start();
    let mut here = Visitor::owner(&service).await;
    let (username, password) = service.owner();
    let mut firefox = Visitor::new(&service);
    let token = hidden(&firefox.page("/sign-in").await, "csrf");
    let form = encoded(&[("csrf", &token), ("username", &username), ("password", &password)]);
    let origin = format!("https://localhost:{}", service.admin.port());
    let headers =
        [("origin", &*origin), ("content-type", "application/x-www-form-urlencoded"), ("user-agent", FIREFOX)];
    assert_eq!(firefox.send("POST", "/sign-in", &headers, form.as_bytes()).await.status, 303);

    let page = here.get("/account").await.body;
    for text in ["Firefox on Linux", "Unknown program", "127.0.0.1", "End all others"] {
        assert!(page.contains(text), "no {text}: {page}");
    }
    assert_eq!(page.matches("This session").count(), 1);
    let session = hidden(&page, "session");
    let ended = here.post("/account/sessions/end?customer=0", &[("session", &session)]).await;
    assert_eq!((ended.status, ended.header("location")), (303, Some("/account?customer=0")));
    assert!(!is_signed_in(&mut firefox).await && is_signed_in(&mut here).await);
    // Ended already.
    assert_eq!(here.post("/account/sessions/end", &[("session", &session)]).await.status, 303);

    let (mut second, mut third) = (Visitor::owner(&service).await, Visitor::owner(&service).await);
    assert_eq!(here.post("/account/sessions/end-others", &[]).await.status, 303);
    let page = here.get("/account").await.body;
    assert!(page.contains("2 other sessions have ended.") && !page.contains("End all others"), "{page}");
    assert!(!is_signed_in(&mut second).await && !is_signed_in(&mut third).await && is_signed_in(&mut here).await);
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_all_sessions() {
    let service = Service::start();
    let (mut here, mut elsewhere) = (Visitor::owner(&service).await, Visitor::owner(&service).await);
    let (username, password) = service.owner();
    let new = "correct horse battery staple";
    for (current, first, second, sentence) in [
        ("not the password", new, new, "The current password is wrong."),
        (&*password, new, "another one", "This is not the same as the new password."),
        (&*password, "short", "short", "The new password has 5 bytes"),
        ("", "", "", "The current password is missing."),
    ] {
        let fields = [("current-password", current), ("new-password", first), ("new-password-again", second)];
        let answer = here.post("/account/password", &fields).await;
        assert_eq!(answer.status, 422, "{sentence}: {}", answer.body);
        assert!(answer.body.contains(sentence), "{sentence}: {}", answer.body);
        for typed in [current, first, second].into_iter().filter(|typed| !typed.is_empty()) {
            assert!(!answer.body.contains(&format!("\"{typed}\"")), "{typed} comes back");
        }
    }
    let fields = [("current-password", &*password), ("new-password", new), ("new-password-again", new)];
    let answer = here.post("/account/password", &fields).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")), "{}", answer.body);
    assert!(here.get("/sign-in").await.body.contains("Your password is changed"));
    assert!(!is_signed_in(&mut here).await && !is_signed_in(&mut elsewhere).await);
    assert_eq!(here.sign_in(&username, &password).await.status, 401);
    assert_eq!(here.sign_in(&username, new).await.status, 303);
}

/// A session that was left open is no place to guess the password.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_the_current_password_are_slowed_down() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let new = "correct horse battery staple";
    let fields = [("current-password", "a guess"), ("new-password", new), ("new-password-again", new)];
    let mut statuses = Vec::new();
    let last = loop {
        let answer = visitor.post("/account/password", &fields).await;
        statuses.push(answer.status);
        if answer.status != 422 {
            break answer;
        }
    };
    assert_eq!(statuses, [422, 422, 422, 422, 422, 429]);
    assert!(last.header("retry-after").is_some() && last.body.contains("Too many passwords were wrong."));
    assert!(is_signed_in(&mut visitor).await);
}
