//! Customers, administrators and API clients in the portal: secrets shown once, sessions ended, and who may what.

use super::visitor::{Visitor, copied, hidden, led_to};
use crate::api::support::Client;
use crate::support::Service;

/// The page of what a list names so.
async fn path_of(visitor: &mut Visitor, list: &str, name: &str) -> String {
    let listed = visitor.page(&format!("{list}?name=={}", name.replace(' ', "%20"))).await;
    let (before, _) = listed.split_once(&format!("title=\"{name}\"")).unwrap_or_else(|| panic!("{name}: {listed}"));
    let address = before.rsplit("href=\"").next().and_then(|rest| rest.split('"').next());
    address.expect("the address of its name").to_owned()
}

async fn can_sign_in(service: &Service, username: &str, password: &str) -> bool {
    Client::without_token(service).sign_in_as(username, password).await.status == 200
}

async fn can_client_sign_in(service: &Service, id: &str, secret: &str) -> bool {
    let form = format!("client_id={id}&client_secret={secret}");
    Client::without_token(service).send("POST", "/signin", form, &[]).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_gets_a_password_that_is_shown_once_and_another_later() {
    let service = Service::start();
    let mut owner = Visitor::owner(&service).await;
    let list = format!("/c/{}/administrators", owner.customer);
    let form = owner.page(&format!("{list}/add")).await;
    assert!(!form.contains("value=\"owner\"") && form.contains("value=\"admin\""), "owners are of the service: {form}");
    let fields = [("username", "jana"), ("role", "operator"), ("enabled", "on"), ("description", "<b>bold</b>")];
    let shown = owner.post(&format!("{list}/add"), &fields).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    assert!(shown.body.contains("This is the only time the password is shown."), "{}", shown.body);
    let password = copied(&shown.body, "id=\"password\"");
    assert!(can_sign_in(&service, "jana", &password).await);

    let twice = owner.post(&format!("{list}/add"), &fields).await;
    assert_eq!(twice.status, 422);
    assert!(twice.body.contains("Another administrator has this user name"), "{}", twice.body);

    let path = path_of(&mut owner, &list, "jana").await;
    let jana = owner.page(&path).await;
    assert!(!jana.contains(&password) && jana.contains("&#60;b&#62;bold"), "{jana}");
    let session = hidden(&jana, "session");
    led_to(&owner.post(&format!("{path}/end-session"), &[("session", &session)]).await);
    assert!(owner.page(&path).await.contains("jana is not signed in."));
    assert_eq!(owner.post(&format!("{path}/end-session"), &[("session", &session)]).await.status, 404);

    let reset = format!("{path}/password");
    let revision = hidden(&owner.page(&reset).await, "revision");
    let short = owner.post(&reset, &[("revision", &revision), ("password", "short")]).await;
    assert_eq!(short.status, 422);
    assert!(short.body.contains("Password has 5 bytes") && !short.body.contains("\"short\""), "{}", short.body);
    let shown = owner.post(&reset, &[("revision", &revision), ("password", "")]).await;
    let newer = copied(&shown.body, "id=\"password\"");
    assert!(can_sign_in(&service, "jana", &newer).await && !can_sign_in(&service, "jana", &password).await);
    let again = owner.post(&reset, &[("revision", &revision), ("password", "")]).await;
    assert_eq!(again.status, 409, "a page that is loaded again resets nothing twice: {}", again.body);

    let edit = format!("{path}/edit");
    let revision = hidden(&owner.page(&edit).await, "revision");
    led_to(&owner.post(&edit, &[("revision", &revision), ("username", "jana"), ("role", "auditor")]).await);
    assert!(!can_sign_in(&service, "jana", &newer).await, "the tick was off");
    let delete = format!("{path}/delete");
    let revision = hidden(&owner.page(&delete).await, "revision");
    assert_eq!(led_to(&owner.post(&delete, &[("revision", &revision)]).await), list);
    assert_eq!(owner.get(&path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_stays_and_nobody_ends_themselves() {
    let service = Service::start();
    let mut owner = Visitor::owner(&service).await;
    let list = "/c/0/administrators";
    let form = owner.page("/c/0/administrators/add").await;
    assert!(form.contains("value=\"owner\"") && !form.contains("value=\"admin\""), "{form}");
    let path = path_of(&mut owner, list, "admin").await;
    let shown = owner.page(&path).await;
    assert!(shown.contains("This is you") && !shown.contains(&format!("{path}/delete")), "{shown}");
    assert_eq!(owner.get(&format!("{path}/delete")).await.status, 403);
    let edit = owner.page(&format!("{path}/edit")).await;
    assert!(!edit.contains("name=\"enabled\"") && !edit.contains("name=\"role\""), "{edit}");
    let fields = [("revision", &*hidden(&edit, "revision")), ("username", "admin"), ("description", "first")];
    led_to(&owner.post(&format!("{path}/edit"), &fields).await);
    assert!(owner.page(&path).await.contains("first"), "and the rest is saved");

    let second = [("username", "second"), ("role", "owner"), ("enabled", "on"), ("password", "a second password")];
    led_to(&owner.post("/c/0/administrators/add", &second).await);
    let path = path_of(&mut owner, list, "second").await;
    let question = owner.page(&format!("{path}/delete")).await;
    assert!(question.contains("At least one enabled owner stays"), "{question}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_client_gets_its_secret_once_and_its_lines() {
    let service = Service::start();
    let mut owner = Visitor::owner(&service).await;
    let list = format!("/c/{}/api-clients", owner.customer);
    let fields = [("name", "Terraform prod"), ("role", "operator"), ("managing", "on"), ("enabled", "on")];
    let shown = owner.post(&format!("{list}/add"), &fields).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    let (id, secret) = (copied(&shown.body, "id=\"client-id\""), copied(&shown.body, "id=\"client-secret\""));
    assert!(can_client_sign_in(&service, &id, &secret).await);
    let origin = format!("https://localhost:{}", service.admin.port());
    let lines = copied(&shown.body, "id=\"environment\"");
    assert!(lines.contains(&format!("MUSTER_URL={origin}\n")) && lines.contains(&id), "{lines}");
    assert_eq!(shown.body.matches(&secret).count(), 1, "the secret stands in no line: {}", shown.body);

    let path = path_of(&mut owner, &list, "Terraform prod").await;
    assert!(!owner.page(&path).await.contains(&secret));
    let question = owner.page(&format!("{path}/secret")).await;
    assert!(question.contains("refused at once"), "{question}");
    let revision = hidden(&question, "revision");
    let shown = owner.post(&format!("{path}/secret"), &[("revision", &revision)]).await;
    let newer = copied(&shown.body, "id=\"client-secret\"");
    assert_ne!(newer, secret);
    assert!(can_client_sign_in(&service, &id, &newer).await && !can_client_sign_in(&service, &id, &secret).await);
    assert_eq!(owner.post(&format!("{path}/secret"), &[("revision", &revision)]).await.status, 409);

    let edit = format!("{path}/edit");
    let form = owner.page(&edit).await;
    let revision = hidden(&form, "revision");
    let fields = [("revision", &*revision), ("name", "Terraform prod"), ("role", "operator"), ("label", "ignored")];
    led_to(&owner.post(&edit, &fields).await);
    let shown = owner.page(&path).await;
    assert!(shown.contains("Disabled") && shown.contains("manages no keys"), "{shown}");
    assert!(!can_client_sign_in(&service, &id, &newer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_client_that_manages_keys_stays_and_they_are_named() {
    let service = Service::start();
    let mut owner = Visitor::owner(&service).await;
    let list = format!("/c/{}/api-clients", owner.customer);
    let fields = [("name", "robot"), ("role", "admin"), ("managing", "on"), ("label", "Fleet"), ("enabled", "on")];
    let shown = owner.post(&format!("{list}/add"), &fields).await;
    let (id, secret) = (copied(&shown.body, "id=\"client-id\""), copied(&shown.body, "id=\"client-secret\""));
    let mut robot = Client::without_token(&service);
    let signed_in = robot.send("POST", "/signin", format!("client_id={id}&client_secret={secret}"), &[]).await;
    robot.token = Some(signed_in.text("access_token"));
    let group = robot.make_group("appConnectorGroup", "HQ").await;
    let (_, key) = robot.make_key(&group, "fleet-1", serde_json::json!({})).await;

    let path = path_of(&mut owner, &list, "robot").await;
    assert!(owner.page(&path).await.contains(">fleet-1</a>"));
    let question = owner.page(&format!("{path}/delete")).await;
    assert!(question.contains("It manages 1 key: fleet-1.") && !question.contains("btn-bad-solid"), "{question}");
    let revision = hidden(&question, "revision");
    let refused = owner.post(&format!("{path}/delete"), &[("revision", &revision)]).await;
    assert_eq!(refused.status, 409, "{}", refused.body);

    assert_eq!(robot.delete(&key).await.status, 204);
    let question = owner.page(&format!("{path}/delete")).await;
    assert!(question.contains("Delete API client"), "{question}");
    let revision = hidden(&question, "revision");
    assert_eq!(led_to(&owner.post(&format!("{path}/delete"), &[("revision", &revision)]).await), list);
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_make_customers_and_nobody_else_sees_them() {
    let service = Service::start();
    let mut owner = Visitor::owner(&service).await;
    let fields = [("name", "Northgate"), ("enabled", "on"), ("username", "north"), ("password", "")];
    let shown = owner.post("/c/add", &fields).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    let password = copied(&shown.body, "id=\"password\"");
    assert!(can_sign_in(&service, "north", &password).await);
    let taken = owner.post("/c/add", &[("name", "northgate"), ("enabled", "on")]).await;
    assert!(taken.status == 422 && taken.body.contains("Another customer is called northgate"), "{}", taken.body);
    let nameless = owner.post("/c/add", &[("name", ""), ("password", "a long password")]).await;
    for fault in ["Name is missing.", "User name is missing."] {
        assert!(nameless.status == 422 && nameless.body.contains(fault), "{fault}: {}", nameless.body);
    }

    let home = path_of(&mut owner, "/c", "Northgate").await;
    let certificates = owner.page(&format!("{home}/signing-certificates")).await;
    assert!(certificates.contains("6 signing certificates"), "it was switched to: {certificates}");
    let edit = owner.page(&format!("{home}/edit")).await;
    let fields = [("revision", &*hidden(&edit, "revision")), ("name", "Northgate")];
    led_to(&owner.post(&format!("{home}/edit"), &fields).await);
    assert!(!can_sign_in(&service, "north", &password).await, "the tick was off");
    let conflict = owner.post(&format!("{home}/edit"), &fields).await;
    assert!(conflict.status == 409 && conflict.body.contains("Somebody changed this customer"), "{}", conflict.body);

    let mut admin = Visitor::with_role(&service, "admin").await;
    for path in ["/c", "/c/add"] {
        assert_eq!(admin.get(path).await.status, 403, "{path}");
    }
    assert_eq!(admin.get(&format!("/c/{}/edit", admin.customer)).await.status, 403);
    assert_eq!(admin.get(&format!("{home}/administrators")).await.status, 404);
    let list = admin.page(&format!("/c/{}/administrators", admin.customer)).await;
    assert!(list.contains("some-admin") && list.contains("You"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_sees_people_and_programs_without_a_button() {
    let service = Service::start();
    let mut auditor = Visitor::with_role(&service, "auditor").await;
    for (list, name) in [("administrators", "some-auditor"), ("api-clients", "first-start")] {
        let list = format!("/c/{}/{list}", auditor.customer);
        let listed = auditor.page(&list).await;
        assert!(!listed.contains("/edit\"") && !listed.contains(&format!("{list}/add")), "{listed}");
        let path = path_of(&mut auditor, &list, name).await;
        let shown = auditor.page(&path).await;
        assert!(!shown.contains("/edit\"") && !shown.contains("/delete\""), "{shown}");
        for what in ["/edit", "/delete"] {
            assert_eq!(auditor.get(&format!("{path}{what}")).await.status, 403, "{path}{what}");
        }
        assert_eq!(auditor.get(&format!("{list}/add")).await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_its_secret_once_and_shows_how_its_deliveries_went() {
    let service = Service::start();
    let mut owner = Visitor::owner(&service).await;
    let list = format!("/c/{}/webhooks", owner.customer);
    assert!(owner.page(&list).await.contains("No webhooks yet"));
    let internal = [("name", "pager"), ("url", "https://127.0.0.1/"), ("key.expiring", "on"), ("enabled", "on")];
    let refused = owner.post(&format!("{list}/add"), &internal).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("internal address"), "{}", refused.body);
    let none = owner.post(&format!("{list}/add"), &[("name", "pager"), ("url", "https://localhost:1/")]).await;
    assert!(none.status == 422 && none.body.contains("at least one"), "{}", none.body);
    let fields = [("name", "pager"), ("url", "https://localhost:1/a"), ("key.expiring", "on"), ("enabled", "on")];
    let shown = owner.post(&format!("{list}/add"), &fields).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    let secret = copied(&shown.body, "id=\"webhook-secret\"");
    assert!(secret.starts_with("whsec_"), "{secret}");

    let path = path_of(&mut owner, &list, "pager").await;
    let page = owner.page(&path).await;
    assert!(page.contains("Key expires soon") && page.contains("Nothing was to be told yet"), "{page}");
    assert!(!page.contains(&secret));
    led_to(&owner.post(&format!("{path}/test"), &[]).await);
    assert!(owner.page(&path).await.contains("Test"));

    let edit = format!("{path}/edit");
    let revision = hidden(&owner.page(&edit).await, "revision");
    let fields = [("revision", &*revision), ("name", "pager"), ("url", "https://localhost:1/a"), ("key.expired", "on")];
    led_to(&owner.post(&edit, &fields).await);
    let page = owner.page(&path).await;
    assert!(page.contains("Disabled") && page.contains("Key expired") && !page.contains("Key expires soon"), "{page}");
    let revision = hidden(&owner.page(&format!("{path}/delete")).await, "revision");
    led_to(&owner.post(&format!("{path}/delete"), &[("revision", &revision)]).await);
    assert!(owner.page(&list).await.contains("No webhooks yet"));
}
