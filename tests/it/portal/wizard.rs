//! Making a key step by step, of each kind, up to a device that enrolls with it.

use super::browser::{Browser, Rules, Scripts};
use super::enroll;
use crate::support::Service;

/// A kind: its word on the command line, its section of the navigation, and what its keys are called.
pub const KINDS: [(&str, &str, &str); 4] = [
    ("app-connector", "App Connector Management", "App Connector"),
    ("service-edge", "Private Service Edge Management", "Private Service Edge"),
    ("network-connector", "Network Connectors", "Network Connector"),
    ("machine", "Device Authentication", "Machine"),
];

#[test]
fn the_wizard_makes_a_key_of_each_kind_that_enrolls_a_device() {
    let service = Service::start();
    makes_a_key_of_each_kind(&service, &Browser::signed_in(&service, Scripts::On));
}

pub fn makes_a_key_of_each_kind(service: &Service, browser: &Browser) {
    for (kind, section, word) in KINDS {
        let title = format!("Add {word} Provisioning Key");
        browser.go(section, &format!("{word} Provisioning Keys"));
        browser.click(&title);
        browser.sees("Signing Certificate");
        browser.click("Next");
        browser.tick("Create Group", true);
        browser.fill("Name", "Duisburg");
        browser.click("Next");
        browser.fill("Name", "first");
        match kind {
            "network-connector" => {
                browser.click("More Maximum, status, re-enrollment, expiry, addresses, description, key version");
            }
            "machine" => browser.click("More Maximum, expiry, addresses, description, key version"),
            _ => {}
        }
        browser.fill(&format!("Maximum # of {word}s"), "1");
        browser.click("Next");
        browser.sees("Review");
        assert_eq!(
            service.cli(&["key", "show", "--kind", kind, "first"]).status.code(),
            Some(1),
            "nothing is stored yet"
        );
        browser.click("Save");
        browser.sees("Provisioning Key Details");
        let key = browser.selected("Provisioning key");
        let exported = service.cli_ok(&["key", "export", "--kind", kind, "first"]);
        assert_eq!(key, exported, "selected whole, and nothing besides");
        browser.click("Done");
        browser.sees_title(&format!("{word} Provisioning Keys"));
        assert!(enroll(service, kind, &key));
        browser.click("Refresh");
        assert_eq!(service.uses(kind, "first"), 1);
    }
}

#[test]
fn back_keeps_what_was_typed_and_cancel_leaves_nothing() {
    let service = Service::start();
    let browser = Browser::signed_in(&service, Scripts::On);
    browser.go("App Connector Management", "App Connector Provisioning Keys");
    browser.click("Add App Connector Provisioning Key");
    browser.click("Next");
    browser.tick("Create Group", true);
    browser.fill("Name", "Berlin");
    browser.fill("Description", "by the river");
    browser.click("Next");
    browser.fill("Name", "kept");
    browser.fill("Maximum # of App Connectors", "7");
    browser.click("Back");
    assert_eq!(browser.value("Name"), "Berlin");
    assert_eq!(browser.value("Description"), "by the river");
    browser.click("Next");
    assert_eq!(browser.value("Name"), "kept");
    assert_eq!(browser.value("Maximum # of App Connectors"), "7");
    browser.click("Cancel");
    browser.sees_title("App Connector Provisioning Keys");
    assert_eq!(service.cli_ok(&["key", "list", "--json", "--kind", "app-connector"]).matches("kept").count(), 0);
    assert_eq!(service.cli_ok(&["group", "list", "--json", "--kind", "app-connector"]).matches("Berlin").count(), 0);
}

#[test]
fn what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays() {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let browser = Browser::signed_in(&service, Scripts::On);
    browser.go("App Connector Management", "App Connector Provisioning Keys");
    browser.click("Add App Connector Provisioning Key");
    browser.click("Next");
    browser.choose("App Connector Group", "HQ");
    browser.click("Next");
    browser.fill("Name", "eu-warehouse/duisburg");
    browser.fill("Maximum # of App Connectors", "0");
    browser.click("Next");
    browser.sees("A name cannot contain “/”");
    browser.sees("The maximum is at least 1. To stop a key, disable it.");
    assert_eq!(browser.status(), 422);
    assert_eq!(browser.value("Name"), "eu-warehouse/duisburg");
    assert_eq!(browser.value("Maximum # of App Connectors"), "0");
    assert_eq!(browser.faults(Rules::All), [""; 0]);
    browser.fill("Name", "eu-warehouse-duisburg");
    browser.fill("Maximum # of App Connectors", "2");
    browser.click("Next");
    browser.sees("Review");
}
