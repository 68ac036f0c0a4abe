//! Nothing needs a mouse.

use super::browser::{Browser, ENTER, ESCAPE, Scripts, TAB};
use crate::support::Service;

#[test]
fn one_signs_in_and_skips_to_the_content_by_keys_alone() {
    let service = Service::start();
    let browser = Browser::open(&service, Scripts::Off);
    let (username, password) = service.owner();
    browser.visit("/");
    assert_eq!(browser.focused(), "User name");
    username.chars().for_each(|key| browser.press(key));
    browser.press(TAB);
    assert_eq!(browser.focused(), "Password");
    password.chars().for_each(|key| browser.press(key));
    browser.press(ENTER);
    browser.sees_title("Home");
    browser.press(TAB);
    assert_eq!(browser.focused(), "Skip to content");
    browser.press(ENTER);
    assert_eq!(browser.ask("return document.activeElement.localName"), "main");
}

#[test]
fn escape_closes_a_menu_and_the_focus_stays_on_its_button() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    service.create_key("machine", "HQ", "one", &[]);
    let browser = Browser::signed_in(&service, Scripts::On);
    browser.go("Device Authentication", "Machine Provisioning Keys");
    browser.click("Columns");
    browser.sees_control("Reset");
    browser.press(TAB);
    browser.press(ESCAPE);
    browser.until(|| !browser.has_control("Reset"), "the menu closes");
    assert_eq!(browser.focused(), "Columns");
}

#[test]
fn enter_on_a_ticked_row_does_nothing_to_the_keys() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    service.create_key("machine", "HQ", "stopped", &["--disabled"]);
    let browser = Browser::signed_in(&service, Scripts::Off);
    browser.go("Device Authentication", "Machine Provisioning Keys");
    browser.tick("Select stopped", true);
    browser.press(ENTER);
    browser.sees_title("Machine Provisioning Keys");
    assert_eq!(service.key("machine", "stopped")["enabled"], false);
}
