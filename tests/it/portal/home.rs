//! Home: the next step of somebody who has nothing yet, then what happened and what needs attention.

use super::browser::{Browser, Scripts};
use super::enroll;
use crate::support::Service;

const KIND: &str = "app-connector";

#[test]
fn home_leads_from_nothing_to_what_needs_attention() {
    let service = Service::start();
    let browser = Browser::signed_in(&service, Scripts::On);
    browser.sees("Nothing enrolls here yet");
    service.create_group(KIND, "HQ");
    browser.visit("/");
    browser.sees("No provisioning keys yet");
    let key = service.create_key(KIND, "HQ", "short-lived", &["--max-uses", "1"]);
    browser.visit("/");
    browser.sees("No device has enrolled yet");
    assert!(enroll(&service, "one", &key));
    assert!(!enroll(&service, "two", &key));
    // Refusals are handed over within seconds.
    let is_told = || {
        browser.visit("/");
        browser.text().contains("short-lived is exhausted")
    };
    browser.until(is_told, "what needs attention");
    for words in ["1 request refused since", "Ready", "Enrolled 1", "Refused 1", "Key exhausted"] {
        browser.sees(words);
    }
    let links = browser.links();
    for end in ["/edit", "/refusals"] {
        assert!(links.iter().any(|link| link.split('#').next().unwrap_or(link).ends_with(end)), "{end} in {links:?}");
    }
    browser.click("30 days");
    browser.sees("Enrollments per day");
    assert!(browser.path().ends_with("?range=30d"));
    browser.click("Show as table");
    browser.sees("Re-enrolled");
}

#[test]
fn home_tells_the_same_without_scripts() {
    let service = Service::start();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "plain", &["--max-uses", "2", "--expires", "60h"]);
    assert!(enroll(&service, "one", &key));
    let browser = Browser::signed_in(&service, Scripts::Off);
    browser.sees("plain expires in 2 days");
    browser.sees("1 of 2 uses.");
    browser.click("7 days");
    browser.sees("Enrollments per day");
    browser.sees("Enrolled 1");
}
