//! Components: what is shown of one, and what can be done to it.

use super::browser::{Browser, Scripts};
use super::enroll;
use crate::support::Service;

const KIND: &str = "app-connector";
const SECTION: &str = "App Connector Management";
const PAGE: &str = "App Connectors";

/// With two connectors of the key `hq` in the group HQ, which has another key, `spare`.
fn service() -> (Service, String) {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "hq", &["--max-uses", "3"]);
    service.create_key(KIND, "HQ", "spare", &["--max-uses", "3"]);
    for device in ["one", "two"] {
        assert!(enroll(&service, device, &key));
    }
    (service, key)
}

#[test]
fn a_component_shows_its_certificate_and_its_history_and_is_switched_attached_and_revoked() {
    let (service, key) = service();
    for (name, device, scripts) in [("hq-1", "one", Scripts::On), ("hq-2", "two", Scripts::Off)] {
        let browser = Browser::signed_in(&service, scripts);
        browser.go(SECTION, PAGE);
        browser.click(name);
        browser.sees_title(name);
        for words in ["spiffe://", "clientAuth", "ECDSA P-256", "Enrolled", "127.0.0.1"] {
            browser.sees(words);
        }
        browser.click("Disable");
        browser.sees("was disabled.");
        browser.click("Enable");
        browser.sees("was enabled.");
        browser.click("Attach");
        browser.choose("Provisioning Key", "spare");
        browser.click("Attach");
        browser.sees("was attached to spare. No use was taken.");
        browser.sees("Attached to another key");
        browser.click("Revoke");
        browser.sees(&format!("Revoke {name}?"));
        browser.click("Revoke connector");
        browser.sees("Its certificates no longer count");
        assert!(!browser.has_control("Disable"));
        assert!(enroll(&service, device, &key), "it was attached elsewhere, so the first key knows it no more");
        if scripts == Scripts::On {
            service.cli_ok(&["key", "edit", "--kind", KIND, "hq", "--max-uses", "4"]);
        }
    }
}

#[test]
fn a_deletion_gives_the_use_back_when_it_is_asked_to() {
    let (service, _) = service();
    let browser = Browser::signed_in(&service, Scripts::On);
    browser.go(SECTION, PAGE);
    browser.click("Delete hq-1");
    browser.tick("Give the use back to its key", true);
    browser.fill("Type hq-1 to confirm", "hq-1");
    browser.click("Delete connector");
    browser.sees("the use that it took was given back");
    assert_eq!(service.uses(KIND, "hq"), 1);
    browser.tick("Select hq-2", true);
    browser.click("Delete…");
    browser.sees("Delete 1 connector?");
    browser.click("Delete connectors");
    browser.sees("No app connectors yet");
    assert_eq!(service.uses(KIND, "hq"), 1, "none is given back unasked");
}

#[test]
fn the_same_hardware_is_one_link_away() {
    let (service, _) = service();
    service.create_group("machine", "Desks");
    let key = service.create_key("machine", "Desks", "desks", &["--max-uses", "1"]);
    std::fs::remove_dir_all(service.dir().join("one")).expect("the device forgets its state");
    assert!(enroll(&service, "one", &key));
    let browser = Browser::signed_in(&service, Scripts::On);
    browser.go(SECTION, PAGE);
    browser.click("hq-1");
    browser.sees_title("hq-1");
    let machines = "return [...document.querySelectorAll('.pairs a')].find(a => a.textContent === 'Machines').click()";
    browser.ask(machines);
    browser.sees_title("Machines");
    assert_eq!(browser.value("Fingerprint contains"), "=one-------------");
    let names: Vec<_> = browser.rows().iter().map(|row| row["Name"].clone()).collect();
    assert_eq!(names, ["desks-1"]);
}

#[test]
fn the_clean_up_of_a_kind_is_set_and_shown() {
    let service = Service::start();
    let browser = Browser::signed_in(&service, Scripts::Off);
    browser.go(SECTION, PAGE);
    browser.click("Clean-up");
    browser.tick("Delete App Connectors by themselves", true);
    browser.choose("How long after the end of the certificate", "14 days");
    browser.click("Save clean-up");
    browser.sees("Clean-up is on: App Connectors go 14 days after their certificate’s end.");
    browser.click("Clean-up");
    assert_eq!(browser.value("How long after the end of the certificate"), "14 days");
    browser.tick("Delete App Connectors by themselves", false);
    browser.click("Save clean-up");
    browser.sees("Clean-up is off.");
}
