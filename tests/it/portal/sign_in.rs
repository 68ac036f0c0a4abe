//! Who comes in, and how.

use super::browser::{Browser, Screen, Scripts};
use crate::support::Service;

#[test]
fn the_owner_of_the_first_start_signs_in_and_out() {
    let service = Service::start();
    let browser = Browser::open(&service, Scripts::On);
    browser.sign_in(&service);
    browser.sign_out(&service);
    browser.visit("/");
    browser.sees("Sign in to Muster");
}

#[test]
fn a_wrong_password_keeps_the_name_and_says_neither_which() {
    let service = Service::start();
    let browser = Browser::open(&service, Scripts::On);
    let (username, _) = service.owner();
    browser.visit("/");
    browser.fill("User name", &username);
    browser.fill("Password", "not the password");
    browser.click("Sign in");
    browser.sees("Name and password do not match. Check both and try again.");
    assert_eq!(browser.status(), 401);
    assert_eq!(browser.value("User name"), username);
    assert_eq!(browser.value("Password"), "");
}

#[test]
fn on_a_phone_the_navigation_opens_from_its_button_without_scripts() {
    let service = Service::start();
    let browser = Browser::signed_in(&service, Scripts::Off);
    browser.resize(Screen::Phone);
    assert!(!browser.has_control("Device Authentication"));
    browser.click("Menu");
    browser.click("Device Authentication");
    browser.click("Machines");
    browser.sees_title("Machines");
    assert!(!browser.has_control("Device Authentication"), "the sheet is gone");
}

#[test]
fn a_form_that_was_sent_after_the_session_ended_comes_back_as_it_was_typed() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    let browser = Browser::signed_in(&service, Scripts::On);
    browser.go("Device Authentication", "Machine Groups");
    browser.click_in("HQ", "Edit HQ");
    browser.fill("Description", "by the river");
    browser.lose_session();
    browser.click("Save group");
    browser.sees("Your session has ended");
    assert_eq!(browser.status(), 401);
    let (username, password) = service.owner();
    browser.fill("User name", &username);
    browser.fill("Password", &password);
    browser.click("Sign in");
    browser.sees_control("Save group");
    assert_eq!(browser.value("Description"), "by the river");
    assert!(
        !service.cli_ok(&["group", "show", "--json", "--kind", "machine", "HQ"]).contains("river"),
        "nothing was saved"
    );
    browser.click("Save group");
    browser.sees("was saved");
    assert!(service.cli_ok(&["group", "show", "--json", "--kind", "machine", "HQ"]).contains("river"));
}
