//! The list with none, one and many keys, in each state, for each role; and what is done to many.

use hyper::StatusCode;

use super::*;
use crate::domain::Role;
use crate::management::Input;
use crate::management::keys::KeyInput;
use crate::server::portal::tests::Desk;

const KIND: Kind = Kind::AppConnector;
const LIST: &str = "/app-connector/keys";

#[tokio::test]
async fn without_a_key_the_next_step_is_shown_with_its_command() {
    let mut desk = Desk::new().await;
    let seen = desk.get("/machine/keys").await;
    let text = seen.text();
    assert!(text.contains("No machine provisioning keys yet"), "{text}");
    assert!(text.contains("muster group create --kind machine --name \"HQ\"\nmuster key create"), "{text}");
    let page = seen.page();
    assert!(!page.contains("<table") && !page.contains("class=\"tools\""), "neither table nor toolbar");
    assert!(page.contains("/machine/keys/add"));

    desk.group(Kind::Machine, "Front desk").await;
    let text = desk.get("/machine/keys?name=x").await.text();
    assert!(!text.contains("muster group create"), "{text}");
    assert!(text.contains("muster key create --kind machine --group \"Front desk\" \\"), "{text}");

    desk.become_role(Role::Auditor);
    let page = desk.get("/machine/keys").await.page();
    assert!(!page.contains("/machine/keys/add"), "an auditor makes none");
}

#[tokio::test]
async fn a_list_shows_one_key_and_pages_of_many() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    let made = desk.key(KIND, group, "one").await;
    let page = desk.get(LIST).await.page();
    assert!(page.contains("<b>1–1</b> of <b>1 key</b>"));
    let secret = made.string.unwrap();
    assert!(!page.contains(&secret.expose()[secret.expose().len() - 40..]), "a list holds no secret");
    assert!(page.contains(&made.key.hint[made.key.hint.rfind('|').unwrap()..]));

    for number in 2..=26 {
        desk.key(KIND, group, &format!("key-{number}")).await;
    }
    assert!(desk.get(LIST).await.page().contains("<b>1–25</b> of <b>26 keys</b>"));
    assert!(desk.get(&format!("{LIST}?page=2")).await.page().contains("<b>26–26</b> of <b>26 keys</b>"));
}

#[tokio::test]
async fn an_open_row_tells_who_made_the_key() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    let made = desk.key(KIND, group, "one").await;
    let text = desk.get(&format!("{LIST}?open={}", made.key.id)).await.text();
    let by = format!("by {}", desk.fixture.first.username);
    assert_eq!(text.matches(&by).count(), 2, "created and modified: {text}");
    assert!(text.contains("no App Connectors"), "{text}");
    assert!(text.contains("Never"), "{text}");
}

#[tokio::test]
async fn what_can_be_had_of_a_key_follows_from_its_state_and_the_role() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    let ordinary = desk.key(KIND, group, "ordinary").await.key;
    let exhausted =
        ProvisioningKey { usage: crate::domain::key::KeyUsage { uses: 10, ..ordinary.usage }, ..ordinary.clone() };
    let hidden = ProvisioningKey { sealed_string: None, ..exhausted.clone() };
    let managed = desk.managed_key(KIND, group, "managed", "Terraform prod").await.key;
    let managed_exhausted = ProvisioningKey { usage: exhausted.usage, ..managed.clone() };
    let told = |key: &ProvisioningKey, may_edit| {
        let cell = key_cell(key, may_edit);
        let obstacle = cell.obstacle.map(|obstacle| {
            let link = obstacle.link.map(|link| format!(" [{}]", link.label)).unwrap_or_default();
            format!("{}{}{link}", if obstacle.is_warning { "! " } else { "" }, obstacle.text)
        });
        (cell.hint.is_some(), !cell.copy_address.is_empty(), obstacle.unwrap_or_default())
    };
    for (key, may_edit, expected) in [
        (&ordinary, true, (true, true, "")),
        (&ordinary, false, (true, false, "")),
        (&exhausted, true, (true, true, "! Maximum reached. To copy it, [edit the maximum]")),
        (&exhausted, false, (true, false, "! Maximum reached.")),
        (&hidden, true, (false, true, "Not in your credential vault? [Make a new key]")),
        (&hidden, false, (false, false, "Not in your credential vault?")),
        (&managed, true, (true, true, "")),
        (&managed_exhausted, true, (true, true, "! Maximum reached. Terraform prod can raise it.")),
    ] {
        let (hint, copy, obstacle) = told(key, may_edit);
        assert_eq!((hint, copy, obstacle.as_str()), expected, "{}", key.name);
    }
}

#[tokio::test]
async fn an_auditor_sees_the_list_and_no_way_to_a_string() {
    let mut desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    desk.key(KIND, group, "one").await;
    let page = desk.get(LIST).await.page();
    for offer in ["/copy\"", "/download\"", "/edit\"", "/delete\"", "value=\"enable\"", "keys/add"] {
        assert!(page.contains(offer), "{offer}");
    }
    desk.become_role(Role::Auditor);
    let page = desk.get(LIST).await.page();
    for offer in ["/copy\"", "/download\"", "/edit\"", "/delete\"", "value=\"enable\"", "keys/add"] {
        assert!(!page.contains(offer), "{offer}");
    }
    assert!(page.contains("value=\"csv\""), "what one sees can be taken away as a file");
}

#[tokio::test]
async fn keys_are_switched_together_and_each_outcome_is_told() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    let (one, two) = (desk.key(KIND, group, "one").await.key.id, desk.key(KIND, group, "two").await.key.id);
    let managed = desk.managed_key(KIND, group, "three", "Terraform prod").await.key.id;
    let list = format!("/c/{}{LIST}", desk.customer());
    let bulk = format!("{LIST}/bulk");

    let done = desk.post(&bulk, &format!("do=disable&id={one}&id={managed}&id={two}&back={list}%3Fpage%3D1")).await;
    assert_eq!(done.notice(), "2 keys disabled, 1 is managed by Terraform prod.");
    assert_eq!(done.header("location"), format!("{list}?page=1"));
    let states = |page: String| page.matches("Disabled</span>").count();
    assert_eq!(states(desk.get(LIST).await.page()), 2);

    let done = desk.post(&bulk, &format!("do=enable&id={one}")).await;
    assert_eq!((done.notice().as_str(), done.header("location")), ("1 key enabled.", list.as_str()));
    let done = desk.post(&bulk, &format!("do=none&id={two}")).await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, list.as_str()));
    assert_eq!(states(desk.get(LIST).await.page()), 1, "nothing was done");
    let done = desk.post(&bulk, "do=enable").await;
    assert_eq!(done.notice(), "No key is ticked. Tick those that are meant.");
    for form in ["do=explode&id=7", "do=enable&id=seven"] {
        assert_eq!(desk.post(&bulk, form).await.status, StatusCode::BAD_REQUEST, "{form}");
    }
}

#[tokio::test]
async fn many_are_deleted_after_a_question_that_counts_them() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    let (one, two) = (desk.key(KIND, group, "one").await.key.id, desk.key(KIND, group, "two").await.key.id);
    let managed = desk.managed_key(KIND, group, "three", "Terraform prod").await.key.id;
    let ticked = format!("do=delete&id={one}&id={two}&id={managed}");
    let question = desk.post(&format!("{LIST}/bulk"), &ticked).await;
    let text = question.text();
    for sentence in ["Delete 2 keys?", "one and two.", "1 more is managed elsewhere and will stay."] {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    let page = question.page();
    assert!(page.contains(&format!("name=\"id\" value=\"{one}\"")) && !page.contains(&format!("value=\"{managed}\"")));
    assert!(desk.get(LIST).await.page().contains("3 keys"), "nothing is deleted yet");

    let done = desk.post(&format!("{LIST}/bulk"), &format!("{ticked}&confirmed=yes")).await;
    assert_eq!(done.notice(), "2 keys deleted, 1 is managed by Terraform prod.");
    assert!(desk.get(LIST).await.page().contains("<b>1 key</b>"));
    let again = desk.post(&format!("{LIST}/bulk"), &ticked).await;
    assert!(again.notice().contains("can be deleted here"), "what is left is managed");
}

#[tokio::test]
async fn the_list_as_a_file_holds_no_string_and_no_formula() {
    let mut desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    let hostile = KeyInput { description: Input::Given("=cmd|' /C calc'!A0, \"x\"".into()), ..KeyInput::default() };
    let made = desk.key_with(KIND, group, "-one", hostile).await;
    desk.become_role(Role::Auditor);
    let file = desk.post(&format!("{LIST}/bulk"), &format!("do=csv&id={}", made.key.id)).await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"app-connector-provisioning-keys.csv\"");
    let text = file.page();
    let lines: Vec<_> = text.split("\r\n").collect();
    assert_eq!(lines.len(), 3, "a head, a row, an end: {text}");
    assert!(lines[0].starts_with("Name,State,Maximum # of App Connectors,"));
    assert!(lines[1].starts_with("'-one,active,10,0,HQ,Connector,on,off,"), "{text}");
    assert!(lines[1].ends_with(",\"'=cmd|' /C calc'!A0, \"\"x\"\"\""), "{text}");
    let string = made.string.unwrap();
    assert!(!text.contains(&string.expose()[string.expose().len() - 40..]));
}

#[tokio::test]
async fn what_stands_in_the_address_stays_text() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    desk.key(KIND, group, "one").await;
    let page =
        desk.get(&format!("{LIST}?name=%22%3E%3Cscript%3E&sort=%3Cscript%3E&open=%22%3E%3Cscript%3E")).await.page();
    assert!(!page.contains("<script>"), "{page}");
}

#[tokio::test]
async fn a_page_that_is_far_beyond_the_last_one_is_empty() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    desk.key(KIND, group, "one").await;
    for page in [2, u64::MAX / 25 + 1, u64::MAX - 1, u64::MAX] {
        let page = desk.get(&format!("{LIST}?page={page}")).await.page();
        assert!(page.contains("<b>0</b> of <b>1 key</b>"), "{page}");
        assert!(page.contains("aria-label=\"Previous page\""), "{page}");
    }
    assert_eq!(desk.get(&format!("/audit/export?after={}", u64::MAX)).await.page(), "");
}

#[tokio::test]
async fn a_list_is_shown_though_its_order_could_not_be_kept() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    desk.key(KIND, group, "one").await;
    for number in 0..crate::domain::preference::PREFERENCES_MAX {
        let page = format!("page-{number}");
        desk.management().set_preference(&desk.session.actor, &page, Some("")).await.unwrap();
    }
    assert!(desk.follow(&format!("{LIST}?sort=-name")).await.page().contains("aria-sort=\"descending\""));
}

#[tokio::test]
async fn no_more_is_done_at_once_than_a_page_has_rows() {
    let desk = Desk::new().await;
    let group = desk.group(KIND, "HQ").await;
    let id = desk.key(KIND, group, "one").await.key.id;
    for list in [LIST, "/app-connector/components", "/app-connector/groups"] {
        for operation in ["csv", "delete", "enable"] {
            let form = format!("do={operation}{}", format!("&id={id}").repeat(101));
            let seen = desk.post(&format!("{list}/bulk"), &form).await;
            assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{list} {operation}");
        }
    }
    let form = format!("do=csv{}", format!("&id={id}").repeat(100));
    let lines = desk.post(&format!("{LIST}/bulk"), &form).await.page();
    assert_eq!(lines.lines().count(), 2, "a row that is sent twice is one row: {lines}");
}
