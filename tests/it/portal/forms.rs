//! What is sent to the portal by accident or by an attacker, and what becomes of a form whose session has ended.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::visitor::{NOTICE, SESSION, VISIT, Visitor, encoded, hidden, hidden_fields};
use crate::api::support::Client;
use crate::support::Service;

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_form_of_ours_is_refused() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let origin = format!("https://localhost:{}", service.admin.port());
    let token = hidden(&visitor.page("/account").await, "csrf");
    let form = encoded(&[("csrf", &token), ("theme", "dark")]);
    for (content_type, body, status) in [
        (FORM, form.clone().into_bytes(), 303),
        ("application/x-www-form-urlencoded;charset=UTF-8", form.clone().into_bytes(), 303),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--".to_vec(), 400),
        ("application/json", b"{\"csrf\":\"x\"}".to_vec(), 400),
        ("text/plain", form.clone().into_bytes(), 400),
        ("", form.clone().into_bytes(), 400),
        (FORM, b"csrf=%zz".to_vec(), 400),
        (FORM, b"csrf=\xff".to_vec(), 400),
        (FORM, [form.as_bytes(), b"&more=", &vec![b'a'; 256 * 1024 - form.len() - 6]].concat(), 303),
        (FORM, [form.as_bytes(), b"&more=", &vec![b'a'; 256 * 1024 - form.len() - 5]].concat(), 413),
    ] {
        let headers = [("origin", &*origin), ("content-type", content_type)];
        let answer = visitor.send("POST", "/preferences/theme", &headers, &body).await;
        assert_eq!(answer.status, status, "{content_type:?}: {}", answer.body);
    }
    // Somebody who is not signed in has less room.
    visitor.cookies.clear();
    for (length, status) in [(16 * 1024, 303), (16 * 1024 + 1, 413)] {
        let headers = [("origin", &*origin), ("content-type", FORM)];
        let answer = visitor.send("POST", "/preferences/theme", &headers, &vec![b'a'; length]).await;
        assert_eq!(answer.status, status, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fields_of_one_name_the_first_counts() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let token = hidden(&visitor.page("/account").await, "csrf");
    let themes = [("theme", "dark"), ("theme", "light")];
    let answer =
        visitor.post("/preferences/theme", &[&[("csrf", "wrong"), ("csrf", &token)], &themes[..]].concat()).await;
    assert_eq!(answer.status, 403);
    let answer =
        visitor.post("/preferences/theme", &[&[("csrf", &*token), ("csrf", "wrong")], &themes[..]].concat()).await;
    assert_eq!(answer.status, 303);
    assert!(visitor.get("/account").await.body.contains("data-theme=\"dark\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_there_for_other_methods_says_which() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let page = visitor.get("/account").await.body;
    let style = page.split('"').find(|part| part.ends_with(".css")).expect("a style sheet").to_owned();
    for (method, path, allowed) in [
        ("GET", "/sign-out", "POST"),
        ("GET", "/sign-out?x", "POST"),
        ("DELETE", "/account", "GET, HEAD"),
        ("PUT", "/sign-in", "GET, HEAD, POST"),
        ("POST", &style, "GET, HEAD"),
    ] {
        let answer = visitor.send(method, path, &[("accept", "text/html")], b"").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
        assert!(answer.body.contains("This page takes no such request"), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_was_made_up_is_text_and_gone_afterwards() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let forged = |text: &str| URL_SAFE_NO_PAD.encode(text);
    visitor.cookies.insert(NOTICE.to_owned(), forged("<script>1</script>\n\"><img src=x onerror=1>"));
    let page = visitor.get("/account").await.body;
    assert!(page.contains("&#60;script&#62;1&#60;/script&#62;"), "{page}");
    assert!(!page.contains("<script>1") && !page.contains("<img"), "{page}");
    assert_eq!(visitor.cookies.get(NOTICE), None);
    for value in [forged(&format!("long\n{}", "a".repeat(4_000))), forged("control\n\u{1b}[31m"), "%%%".to_owned()] {
        visitor.cookies.insert(NOTICE.to_owned(), value);
        let answer = visitor.get("/account").await;
        assert_eq!((answer.status, answer.body.contains("role=\"status\"")), (200, false));
        assert_eq!(visitor.cookies.get(NOTICE), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_leads_to_a_page_of_ours_only() {
    let service = Service::start();
    let (username, password) = service.owner();
    for (next, expected) in [
        ("/account?customer=0", "/account?customer=0"),
        ("/sign-out", "/"),
        ("/nothing", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\r\nset-cookie: x=y", "/"),
        ("javascript:alert(1)", "/"),
    ] {
        let mut visitor = Visitor::new(&service);
        let page = visitor.get(&format!("/sign-in?{}", encoded(&[("next", next)]))).await.body;
        assert!(!page.contains("evil.example") && !page.contains("javascript:"), "{page}");
        let fields = [("next", next), ("username", &username), ("password", &password)];
        let answer = visitor.post("/sign-in", &fields).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(expected)), "{next}");
        let answer = visitor.get(&format!("/sign-in?{}", encoded(&[("next", next)]))).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(expected)), "{next} when signed in");
    }
}

/// Each tab has the form of the one browser, and a session that has ended is in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stands_at_the_sign_in_can_try_again() {
    let service = Service::start();
    let (username, password) = service.owner();
    let mut visitor = Visitor::owner(&service).await;
    let ended = visitor.cookies[SESSION].clone();
    assert_eq!(visitor.post("/sign-out", &[]).await.status, 303);
    visitor.cookies.insert(SESSION.to_owned(), ended);

    let first_tab = hidden(&visitor.page("/sign-in").await, "csrf");
    let second_tab = hidden(&visitor.page("/sign-in").await, "csrf");
    assert_eq!(first_tab, second_tab);
    let wrong = [("csrf", &*first_tab), ("username", &*username), ("password", "not the password")];
    let refused = visitor.post("/sign-in", &wrong).await;
    assert_eq!(refused.status, 401);
    let again = hidden(&refused.body, "csrf");
    let right = [("csrf", &*again), ("username", &*username), ("password", &*password)];
    assert_eq!(visitor.post("/sign-in", &right).await.status, 303);
    // The other tab signs in anew; the browser's session before ends.
    let before = visitor.cookies[SESSION].clone();
    let right = [("csrf", &*second_tab), ("username", &*username), ("password", &*password)];
    assert_eq!(visitor.post("/sign-in", &right).await.status, 303);
    assert_ne!(visitor.cookies[SESSION], before);
    assert_eq!(visitor.get("/account").await.status, 200);
    visitor.cookies.insert(SESSION.to_owned(), before);
    assert_eq!(visitor.get("/account").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_sign_ins_that_failed_say_when_to_try_again() {
    let service = Service::start();
    let mut visitor = Visitor::new(&service);
    let mut statuses = Vec::new();
    let last = loop {
        let answer = visitor.sign_in("nobody", "not the password").await;
        statuses.push(answer.status);
        if answer.status != 401 {
            break answer;
        }
    };
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    let seconds: u64 = last.header("retry-after").expect("it says when").parse().expect("seconds");
    assert!((1..=15).contains(&seconds), "{seconds}");
    assert!(last.body.contains(&format!("Too many sign-ins failed. Try again in {seconds} s.")), "{}", last.body);
    assert!(last.body.contains("value=\"nobody\"") && !last.body.contains("not the password"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_program_opens_no_page() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let mut visitor = Visitor::new(&service);
    visitor.cookies.insert(SESSION.to_owned(), client.token.clone().expect("a token"));
    let answer = visitor.get("/account").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in?next=%2Faccount")));
    assert!(visitor.get("/sign-in").await.body.contains("Sign in to Muster"));
    assert!(visitor.cookies.contains_key(VISIT));
}

/// Ends what the owner has signed in to in browsers, by the management API.
async fn end_sessions(service: &Service) {
    let owner = Client::owner(service).await;
    let administrators = owner.get("administrators").await.json();
    let id = administrators["list"][0]["id"].as_str().expect("an id").to_owned();
    let sessions = owner.get(&format!("administrators/{id}/sessions")).await.json();
    for session in sessions["list"].as_array().expect("a list") {
        if session["userAgent"] != "tests/1" {
            let session = session["id"].as_str().expect("an id");
            assert_eq!(owner.delete(&format!("administrators/{id}/sessions/{session}")).await.status, 204);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_whose_session_has_ended_comes_back_after_the_sign_in() {
    let service = Service::start();
    let (username, password) = service.owner();
    let customer = service.api_client()["customerId"].as_str().expect("an id").to_owned();
    let (add, list) = (format!("/c/{customer}/administrators/add"), format!("/c/{customer}/administrators"));
    let mut visitor = Visitor::owner(&service).await;
    let token = hidden(&visitor.page(&add).await, "csrf");
    end_sessions(&service).await;

    let secret = "correct horse battery staple";
    let typed = [
        ("username", "ada"),
        ("role", "auditor"),
        ("enabled", "on"),
        ("description", "R&D \"<b>\""),
        ("password", secret),
    ];
    let asked = visitor.post(&add, &typed).await;
    assert_eq!(asked.status, 401);
    assert!(asked.body.contains("Your session has ended."), "{}", asked.body);
    assert!(!visitor.cookies.contains_key(SESSION));

    // What was typed goes to and fro, as often as it takes; the secret does not.
    let mut page = asked.body;
    let mut answer = None;
    for password in ["not the password", &password] {
        assert!(!page.contains(secret) && !page.contains(&token), "{page}");
        let mut fields = hidden_fields(&page);
        fields.extend([("username", &*username), ("password", password)].map(|(n, v)| (n.to_owned(), v.to_owned())));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let next = visitor.post("/sign-in", &fields).await;
        page.clone_from(&next.body);
        answer = Some(next);
    }
    let shown = answer.expect("an answer");
    assert_eq!(shown.status, 200, "{}", shown.body);
    assert!(visitor.cookies.contains_key(SESSION));
    for text in ["value=\"ada\"", "R&#38;D &#34;&#60;b&#62;&#34;", "value=\"auditor\" selected"] {
        assert!(shown.body.contains(text), "no {text}: {}", shown.body);
    }
    assert!(!shown.body.contains(secret) && !shown.body.contains(&password), "{}", shown.body);
    assert!(!visitor.get(&list).await.body.contains(">ada<"), "nothing is done before it is sent again");

    let token = hidden(&shown.body, "csrf");
    let typed = [&[("csrf", &*token)], &typed[..]].concat();
    let saved = visitor.post(&add, &typed).await;
    assert!(matches!(saved.status, 200 | 303), "{}", saved.body);
    Client::of(&service, &customer).signed_in("ada", secret).await;
}

/// What is no form to be filled in is not kept: one goes on to where its button stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_button_whose_session_has_ended_leads_back_to_its_page() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    end_sessions(&service).await;
    for (fields, expected) in [
        (vec![("theme", "dark"), ("back", "/account?customer=0")], "/sign-in?next=%2Faccount%3Fcustomer%3D0"),
        (vec![("theme", "dark"), ("back", "//evil.example/account")], "/sign-in"),
        (vec![("theme", "dark")], "/sign-in"),
    ] {
        let asked = visitor.post("/preferences/theme", &fields).await;
        assert_eq!((asked.status, asked.header("location")), (303, Some(expected)), "{fields:?}");
    }
}

/// As when somebody else signs in, who does not see the customer: they are signed in all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_cannot_come_back_is_in_nobodys_way() {
    let service = Service::start();
    let (username, password) = service.owner();
    let mut visitor = Visitor::new(&service);
    visitor.page("/sign-in").await;
    let next = "/c/999999/app-connector/groups/add";
    let fields = [("next", next), ("kept.name", "HQ"), ("username", &username), ("password", &password)];
    let answer = visitor.post("/sign-in", &fields).await;
    assert!(visitor.cookies.contains_key(SESSION), "{}", answer.body);
    assert_eq!((answer.status, answer.header("location")), (303, Some(next)));
    assert_eq!(visitor.get(next).await.status, 404);
    assert_eq!(visitor.get("/account").await.status, 200);
}

/// The form of the sign-in holds the other one, and still fits.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_form_that_is_kept_can_be_sent_along() {
    let service = Service::start();
    let (username, password) = service.owner();
    let mut visitor = Visitor::new(&service);
    let origin = format!("https://localhost:{}", service.admin.port());
    let headers = [("origin", &*origin), ("content-type", FORM)];
    let form = format!("name=HQ&description={}", "a".repeat(16 * 1024 - 20));
    let asked = visitor.send("POST", "/c/999999/app-connector/groups/add", &headers, form.as_bytes()).await;
    assert_eq!((form.len(), asked.status), (16 * 1024, 401), "{}", asked.body);
    let mut fields = hidden_fields(&asked.body);
    fields.extend([("username", username), ("password", password)].map(|(name, value)| (name.to_owned(), value)));
    // As a browser does it, which escapes no letters.
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", value.replace('/', "%2F"))).collect();
    let answer = visitor.send("POST", "/sign-in", &headers, fields.join("&").as_bytes()).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
}
