//! The key pages: what the table shows of a key's life, and what can be done from it.

use serde_json::Value;

use super::browser::{Browser, Scripts};
use super::enroll;
use crate::support::Service;
use crate::support::service::muster;

const KIND: &str = "app-connector";
const SECTION: &str = "App Connector Management";
const PAGE: &str = "App Connector Provisioning Keys";
const MAXIMUM: &str = "Maximum # of App Connectors";
const COUNT: &str = "Provisioning Key Utilization Count";
const GROUP: &str = "App Connector Group";
const COPY: &str = "Copy Provisioning Key";

/// With keys of these names in the group HQ, ten uses each.
pub fn service_with(names: &[&str]) -> Service {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    for name in names {
        service.create_key(KIND, "HQ", name, &["--max-uses", "10"]);
    }
    service
}

fn names(browser: &Browser) -> Vec<String> {
    browser.rows().iter().map(|row| row["Name"].clone()).collect()
}

#[test]
fn what_a_row_offers_follows_from_the_state_of_its_key() {
    let service = Service::start();
    store_a_key_in_each_state(&service);
    let browser = Browser::signed_in(&service, Scripts::On);
    browser.go(SECTION, PAGE);
    let offers = |row: &str| {
        let names = [COPY, &format!("Download {row}.txt"), &format!("Edit {row}"), &format!("Delete {row}")];
        names.map(|name| browser.has_control_in(row, name))
    };
    assert_eq!(offers("ordinary"), [true, true, true, true]);
    assert_eq!(offers("stopped"), [true, true, true, true]);
    assert_eq!(offers("hidden"), [false, false, true, true]);
    assert_eq!(offers("managed"), [true, true, false, false]);
    assert_eq!(offers("exhausted"), [true, true, true, true]);
    assert!(browser.is_off_in("exhausted", COPY));
    assert!(!browser.is_off_in("ordinary", COPY));
    browser.sees("Not in your credential vault? Make a new key");
    browser.sees("Managed by Terraform prod");
    for badge in ["Disabled", "Exhausted", "Expires in 2 days"] {
        browser.sees(badge);
    }
}

/// Keys in the group HQ, called by what becomes of them.
pub fn store_a_key_in_each_state(service: &Service) {
    service.create_group(KIND, "HQ");
    for (name, more) in
        [("ordinary", ""), ("hidden", "--no-view"), ("stopped", "--disabled"), ("ending", "--expires=60h")]
    {
        service.create_key(
            KIND,
            "HQ",
            name,
            &[&["--max-uses", "10"][..], &more.split_whitespace().collect::<Vec<_>>()].concat(),
        );
    }
    let exhausted = service.create_key(KIND, "HQ", "exhausted", &["--max-uses", "1"]);
    assert!(enroll(service, "the-only-one", &exhausted));
    create_as_terraform(service, "managed");
}

/// A key of an API client that manages what it makes.
fn create_as_terraform(service: &Service, name: &str) {
    let client =
        ["api-client", "create", "--json", "--name", "terraform", "--role", "admin", "--managing-as", "Terraform prod"];
    let client: Value = serde_json::from_str(&service.cli_ok(&client)).expect("JSON");
    let member = |name: &str| client[name].as_str().unwrap_or_else(|| panic!("no {name} in {client}"));
    let made = muster()
        .args(["key", "create", "--kind", KIND, "--group", "HQ", "--name", name, "--max-uses", "1"])
        .env("MUSTER_URL", format!("https://localhost:{}", service.admin.port()))
        .env("MUSTER_CLIENT_ID", member("clientId"))
        .env("MUSTER_CLIENT_SECRET", member("clientSecret"))
        .env("MUSTER_CA_FILE", service.data_dir().join("tls-trust-anchor.pem"))
        .output()
        .expect("the binary runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn a_copied_key_enrolls_until_it_is_exhausted_and_again_when_the_maximum_is_raised() {
    let service = service_with(&[]);
    lives_from_copy_to_exhaustion_and_back(&service, &Browser::signed_in(&service, Scripts::On));
}

pub fn lives_from_copy_to_exhaustion_and_back(service: &Service, browser: &Browser) {
    let made = service.create_key(KIND, "HQ", "short-lived", &["--max-uses", "2"]);
    browser.go(SECTION, PAGE);
    assert!(!browser.html().contains(secret(&made)), "a list holds no secret");
    let copied = copy(browser, "short-lived");
    assert_eq!(copied, made);

    assert!(enroll(service, "one", &copied));
    browser.go(SECTION, PAGE);
    assert_eq!(browser.rows()[0][COUNT], "1");
    assert!(enroll(service, "two", &copied));
    browser.click("Refresh");
    browser.sees("Maximum reached. To copy it, edit the maximum");
    assert_eq!(browser.rows()[0][COUNT], "2");
    assert!(browser.is_off_in("short-lived", COPY));
    assert!(browser.is_off_in("short-lived", "Download short-lived.txt"));
    assert!(!enroll(service, "three", &copied));

    browser.click_in("short-lived", "edit the maximum");
    browser.fill(MAXIMUM, "3");
    browser.click("Save key");
    browser.sees("was saved");
    browser.go(SECTION, PAGE);
    assert_eq!(browser.rows()[0][COUNT], "2");
    assert_eq!(copy(browser, "short-lived"), made);
    assert!(enroll(service, "three", &made));
    assert_eq!(service.uses(KIND, "short-lived"), 3);
}

/// Copies a key as one does with scripts, by the clipboard, or without, by hand from its page.
fn copy(browser: &Browser, row: &str) -> String {
    browser.click_in(row, COPY);
    if browser.has_scripts {
        browser.sees("Provisioning key copied");
        browser.clipboard()
    } else {
        browser.selected("Provisioning key")
    }
}

/// The part of a key string that nobody may see unasked.
fn secret(key: &str) -> &str {
    &key.rsplit('|').next().expect("three parts")[16..]
}

#[test]
fn a_saved_filter_is_there_in_the_next_session() {
    let service = service_with(&["eu-one", "eu-two", "us-one"]);
    saves_a_filter_for_the_next_session(&service, Scripts::On);
}

pub fn saves_a_filter_for_the_next_session(service: &Service, scripts: Scripts) {
    let browser = Browser::signed_in(service, scripts);
    browser.go(SECTION, PAGE);
    browser.fill("Name contains", "eu-");
    apply(&browser);
    browser.sees("2 keys");
    assert_eq!(names(&browser), ["eu-one", "eu-two"]);

    browser.click("Hide Filters");
    browser.sees_control("Show Filters 1");
    assert_eq!(names(&browser), ["eu-one", "eu-two"], "folded away, and still in force");

    browser.click("Applied Filters: None");
    browser.fill("Name for the filters now on", "Europe");
    browser.click("Save");
    browser.sees_control("Applied Filters: Europe");
    browser.sign_out(service);
    drop(browser);

    let browser = Browser::signed_in(service, scripts);
    browser.go(SECTION, PAGE);
    assert_eq!(names(&browser).len(), 3, "none is in force at first");
    browser.click("Applied Filters: None");
    browser.click("Europe");
    browser.sees_control("Applied Filters: Europe");
    assert_eq!(names(&browser), ["eu-one", "eu-two"]);
}

/// A script that runs applies by itself, and takes the button away.
fn apply(browser: &Browser) {
    if !browser.has_scripts {
        browser.click("Apply");
    }
}

#[test]
fn chosen_columns_stay_and_all_rows_open_at_once() {
    let service = service_with(&["one", "two"]);
    chooses_columns_and_opens_all_rows(&Browser::signed_in(&service, Scripts::On));
}

pub fn chooses_columns_and_opens_all_rows(browser: &Browser) {
    browser.go(SECTION, PAGE);
    assert_eq!(browser.columns()[1..6], ["Name", MAXIMUM, COUNT, GROUP, "Provisioning Key"]);
    browser.click("Columns");
    browser.tick("Status", true);
    browser.tick(MAXIMUM, false);
    browser.click("Apply");
    let is_chosen =
        |columns: &[String]| columns.iter().any(|head| head == "Status") && !columns.iter().any(|head| head == MAXIMUM);
    browser.until(|| is_chosen(&browser.columns()), "the chosen columns");
    browser.go(SECTION, PAGE);
    assert!(is_chosen(&browser.columns()), "{:?}", browser.columns());

    browser.click("Expand All");
    browser.sees("Re-enrollment");
    assert_eq!(browser.text().matches("Signing Certificate").count(), 2 + 1, "two rows, one leaf of the navigation");
}

#[test]
fn a_key_is_downloaded_as_a_text_file() {
    let service = service_with(&[]);
    downloads(&service, &Browser::signed_in(&service, Scripts::On));
}

pub fn downloads(service: &Service, browser: &Browser) {
    let made = service.create_key(KIND, "HQ", "wanted", &["--max-uses", "1"]);
    browser.go(SECTION, PAGE);
    browser.click_in("wanted", "Download wanted.txt");
    assert_eq!(browser.downloaded("wanted.txt").trim_end(), made);
}

#[test]
fn a_key_is_deleted_once_its_name_is_typed() {
    let service = service_with(&["doomed", "kept"]);
    deletes(&service, &Browser::signed_in(&service, Scripts::On));
}

pub fn deletes(service: &Service, browser: &Browser) {
    browser.go(SECTION, PAGE);
    browser.click_in("doomed", "Delete doomed");
    browser.fill("Type doomed to confirm", "doomed");
    browser.click("Delete key");
    browser.sees("was deleted");
    assert_eq!(names(browser), ["kept"]);
    assert_eq!(service.cli(&["key", "show", "--kind", KIND, "doomed"]).status.code(), Some(1));
}
