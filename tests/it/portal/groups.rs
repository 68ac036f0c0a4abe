//! Groups: made, changed, and deleted with what is in them.

use super::browser::{Browser, Scripts};
use super::enroll;
use crate::support::Service;

const KIND: &str = "app-connector";
const SECTION: &str = "App Connector Management";
const PAGE: &str = "App Connector Groups";

#[test]
fn a_group_is_made_changed_and_deleted() {
    let service = Service::start();
    for scripts in [Scripts::On, Scripts::Off] {
        lives(&Browser::signed_in(&service, scripts));
    }
}

fn lives(browser: &Browser) {
    browser.go(SECTION, PAGE);
    browser.sees("No app connector groups yet");
    browser.click("Add App Connector Group");
    browser.fill("Name", "Frankfurt/DC 2");
    browser.click("Add group");
    browser.sees("A name cannot contain “/”. Try Frankfurt-DC 2.");
    assert_eq!(browser.status(), 422);
    assert_eq!(browser.value("Signing Certificate"), "Connector", "the kind's");
    browser.fill("Name", "Frankfurt DC 2");
    browser.click("Add group");
    browser.sees_title("Frankfurt DC 2");
    browser.sees("it has no provisioning key");

    browser.click("Edit");
    browser.tick("Enabled", false);
    browser.click("Save group");
    browser.sees("This group is disabled");

    browser.go(SECTION, PAGE);
    browser.click("Delete Frankfurt DC 2");
    browser.sees("It has no keys and no connectors.");
    browser.click("Delete group");
    browser.sees("No app connector groups yet");
}

#[test]
fn an_edit_that_was_overtaken_shows_both_versions() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let browser = Browser::signed_in(&service, Scripts::On);
    browser.go(SECTION, PAGE);
    browser.click("Edit HQ");
    browser.fill("Description", "mine");
    service.cli_ok(&["group", "edit", "--kind", KIND, "HQ", "--description", "theirs"]);
    browser.click("Save group");
    browser.sees("changed this group just now. Compare both versions before you save.");
    browser.sees("Now saved: theirs");
    assert_eq!(browser.status(), 409);
    browser.click("Save group");
    browser.sees_title("HQ");
    browser.sees("mine");
}

#[test]
fn a_group_in_use_says_so_and_goes_only_with_all_that_is_in_it() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "hq", &["--max-uses", "5"]);
    assert!(enroll(&service, "one", &key));
    let browser = Browser::signed_in(&service, Scripts::Off);
    browser.go(SECTION, PAGE);
    browser.click("HQ");
    browser.sees("App Connectors of this group");
    browser.click("Delete");
    browser.sees("HQ has 1 key and 1 connector. Move or delete them first.");
    browser.fill("Type HQ to confirm", "hq");
    browser.click("Delete everything in it");
    browser.sees("This is not the name. Type HQ to go on.");
    assert_eq!(browser.status(), 422);
    browser.fill("Type HQ to confirm", "HQ");
    browser.click("Delete everything in it");
    browser.sees("was deleted with 1 key and 1 connector.");
    assert!(!enroll(&service, "two", &key));
    service.assert_healthy();
}
